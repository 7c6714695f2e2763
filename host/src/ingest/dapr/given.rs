//! An event that is a CloudEvent already. It passes as it is, but for what only the sidecar knows.

use std::{borrow::Cow, fmt, io};

use bytes::Bytes;
use serde::de::{DeserializeSeed as _, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    envelope::{SOURCE, TYPE, VERSION},
    out::{Length, Out, write_member},
};
use crate::ingest::parse::{Memory, NoMemory};

/// What is filled in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filling<'f> {
    /// Always.
    pub(super) pubsub: &'f str,
    /// Always.
    pub(super) topic: &'f str,
    /// Always, if there is one.
    pub(super) expiration: Option<&'f str>,
    /// Where the event says nothing of it.
    pub(super) time: &'f str,
    /// Where the event says nothing of it, as `traceid` and as `traceparent`.
    pub(super) trace_parent: &'f str,
    /// Where the event says nothing of it.
    pub(super) trace_state: &'f str,
}

/// Members that the event may have itself.
#[derive(Debug, Default)]
struct Seen {
    source: bool,
    version: bool,
    time: bool,
    trace_id: bool,
    trace_parent: bool,
    trace_state: bool,
    kind: bool,
}

/// Longest spelling of a name that is looked at: each of its letters may be an escape.
const LONGEST_NAME: usize = 2 + 6 * "specversion".len();

/// Why an event could not be filled in.
#[derive(Debug)]
pub(super) enum NotFilled {
    /// There is not enough memory.
    NoMemory(NoMemory),
    /// The event is no JSON object; the reader says why.
    NoObject(serde_json::Error),
}

impl Filling<'_> {
    /// The event with what was missing. What stays is copied as it was written, in its order.
    pub(super) fn fill(&self, event: &[u8], memory: &Memory) -> Result<Bytes, NotFilled> {
        let mut added = Length(0);
        // Neither a number nor a vector refuses to be written to.
        let _ = self.add(&mut added, &Seen::default());
        // Nothing that stays is longer than it was, and a comma may come between the two.
        let most = event.len() + added.0 + 1;
        memory.take(most).map_err(NotFilled::NoMemory)?;
        let mut copying = Copying {
            out: Vec::with_capacity(most),
            has_expiration: self.expiration.is_some(),
            seen: Seen::default(),
        };
        let mut de = serde_json::Deserializer::from_slice(event);
        (&mut copying)
            .deserialize(&mut de)
            .and_then(|()| de.end())
            .map_err(NotFilled::NoObject)?;
        let Copying { mut out, seen, .. } = copying;
        let _ = self.add(&mut out, &seen);
        Ok(out.into())
    }

    /// Writes what is missing, and the end of the object.
    fn add(&self, out: &mut impl Out, seen: &Seen) -> io::Result<()> {
        for (name, value) in [
            ("expiration", self.expiration),
            ("source", (!seen.source).then_some(SOURCE)),
            ("specversion", (!seen.version).then_some(VERSION)),
            ("time", (!seen.time).then_some(self.time)),
            ("traceid", (!seen.trace_id).then_some(self.trace_parent)),
            ("traceparent", (!seen.trace_parent).then_some(self.trace_parent)),
            ("tracestate", (!seen.trace_state).then_some(self.trace_state)),
            ("type", (!seen.kind).then_some(TYPE)),
            ("pubsubname", Some(self.pubsub)),
        ] {
            if let Some(value) = value {
                write_member(out, name, value)?;
                out.write_all(b",")?;
            }
        }
        write_member(out, "topic", self.topic)?;
        out.write_all(b"}")
    }
}

/// Copies the members that stay.
struct Copying {
    out: Vec<u8>,
    has_expiration: bool,
    seen: Seen,
}

impl Copying {
    /// Whether a member stays.
    fn keeps(&mut self, name: &str, value: &str) -> bool {
        let seen = &mut self.seen;
        let seen = match &*plain(name) {
            "topic" | "pubsubname" => return false,
            "expiration" => return !self.has_expiration,
            "source" if value != "null" => &mut seen.source,
            "specversion" if value != "null" => &mut seen.version,
            "type" if value != "null" => &mut seen.kind,
            "source" | "specversion" | "type" => return false,
            "time" => &mut seen.time,
            "traceid" => &mut seen.trace_id,
            "traceparent" => &mut seen.trace_parent,
            "tracestate" => &mut seen.trace_state,
            _ => return true,
        };
        *seen = true;
        true
    }
}

/// A name as it stands in the event, without quotes and escapes.
fn plain(name: &str) -> Cow<'_, str> {
    let inner = name
        .strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'))
        .unwrap_or(name);
    if name.len() > LONGEST_NAME || !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    serde_json::from_str::<String>(name).map_or(Cow::Borrowed(inner), Cow::Owned)
}

impl<'de> serde::de::DeserializeSeed<'de> for &mut Copying {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<(), D::Error> {
        de.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Copying {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CloudEvent: an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.out.push(b'{');
        while let Some(name) = map.next_key::<&RawValue>()? {
            let (name, value) = (name.get(), map.next_value::<&RawValue>()?.get());
            if self.keeps(name, value) {
                self.out.extend_from_slice(name.as_bytes());
                self.out.push(b':');
                self.out.extend_from_slice(value.as_bytes());
                self.out.push(b',');
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const FILLING: Filling<'_> = Filling {
        pubsub: "kafka",
        topic: "orders",
        expiration: None,
        time: "2026-08-21T20:12:09Z",
        trace_parent: "00-1-2-01",
        trace_state: "a=b",
    };

    fn filled(event: &str) -> Value {
        let memory = Memory::unbounded();
        let filled = FILLING.fill(event.as_bytes(), &memory).expect("an object");
        assert!(filled.len() <= memory.used(), "{event}");
        serde_json::from_slice(&filled).expect("JSON")
    }

    #[test]
    fn what_an_application_says_in_its_event_stays() {
        let event = r#" { "id": "1", "source": "shop", "type": "order", "specversion": "1.0", "time": "t", "data": {"a":1.50},
            "traceid": "x", "traceparent": "y", "tracestate": "z", "expiration": "e", "own": [1] } "#;
        let mut expected: Value = serde_json::from_str(event).expect("JSON");
        expected["pubsubname"] = "kafka".into();
        expected["topic"] = "orders".into();
        assert_eq!(filled(event), expected);
        let text = FILLING.fill(event.as_bytes(), &Memory::unbounded()).expect("an object");
        let text = std::str::from_utf8(&text).expect("text");
        assert!(text.contains(r#""data":{"a":1.50}"#), "numbers keep their form: {text}");
    }

    #[test]
    fn what_it_does_not_say_is_filled_in() {
        let expected = json!({
            "pubsubname": "kafka", "topic": "orders", "source": "Dapr", "type": "com.dapr.event.sent", "specversion": "1.0",
            "time": "2026-08-21T20:12:09Z", "traceid": "00-1-2-01", "traceparent": "00-1-2-01", "tracestate": "a=b",
        });
        for event in [
            "{}",
            r#"{"topic":"x","pubsubname":"y","source":null,"type":null,"specversion":null}"#,
            r#"{"t\u006fpic":"x","\u0070ubsubname":"y","sourc\u0065":null}"#,
        ] {
            assert_eq!(filled(event), expected, "{event}");
        }
    }

    #[test]
    fn what_is_no_object_is_no_event() {
        for event in ["", "[]", "1", "null", "{\"a\":1", "{} {}", "{\"a\":\"\u{1}\"}"] {
            let given = FILLING.fill(event.as_bytes(), &Memory::unbounded());
            assert!(matches!(given, Err(NotFilled::NoObject(_))), "{event}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(
            FILLING.fill(deep.as_bytes(), &Memory::unbounded()).is_ok(),
            "no recursion"
        );
        assert!(matches!(
            FILLING.fill(b"{}", &Memory::of(9)),
            Err(NotFilled::NoMemory(_))
        ));
    }

    proptest! {
        #[test]
        fn no_event_panics_or_takes_more_than_is_counted(
            event in "\\{(\"(topic|source|t\\\\u006fpic|time|x)\":(null|1|\"y\"|\\{\\}),?){0,6}\\}?",
        ) {
            let memory = Memory::unbounded();
            if let Ok(filled) = FILLING.fill(event.as_bytes(), &memory) {
                prop_assert!(filled.len() <= memory.used());
                let read: Value = serde_json::from_slice(&filled).expect("JSON");
                prop_assert_eq!(&read["topic"], "orders");
            }
        }
    }
}
