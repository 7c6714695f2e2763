//! An event that is wrapped as a CloudEvent. Its members stand in the order in which Dapr writes them: by name.

use std::io;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::out::{Length, Out, write_member, write_text};
use crate::ingest::parse::{Memory, NoMemory};

/// The content type of data that has none.
pub(super) const TEXT: &str = "text/plain";
/// The type of an event that has none.
pub(super) const TYPE: &str = "com.dapr.event.sent";
/// The source of an event whose application is not known.
pub(super) const SOURCE: &str = "Dapr";
/// The version of CloudEvents.
pub(super) const VERSION: &str = "1.0";

/// The members of the envelope.
#[derive(Debug)]
pub(super) struct Envelope<'e> {
    pub(super) data: Data<'e>,
    pub(super) content_type: &'e str,
    pub(super) expiration: Option<&'e str>,
    pub(super) id: &'e str,
    pub(super) pubsub: &'e str,
    pub(super) source: &'e str,
    pub(super) subject: Option<&'e str>,
    pub(super) time: &'e str,
    pub(super) topic: &'e str,
    pub(super) trace_parent: &'e str,
    pub(super) trace_state: &'e str,
    pub(super) kind: &'e str,
}

/// The data of an event, as it stands in the envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data<'e> {
    /// As it is.
    Json(&'e str),
    /// As a string.
    Text(&'e str),
    /// As `data_base64`.
    Bytes(&'e [u8]),
}

impl<'e> Data<'e> {
    /// By the content type. JSON that is none becomes a string, as with Dapr. What would be a string and is not UTF-8 stays as
    /// it is, in base64; Dapr replaces such bytes.
    pub(super) fn of(data: &'e [u8], content_type: &str) -> Self {
        if is(content_type, "application/json")
            && let Ok(json) = serde_json::from_slice::<&RawValue>(data)
        {
            return Self::Json(json.get());
        }
        let is_binary = [
            "application/octet-stream",
            "application/cloudevents+protobuf",
            "application/x-protobuf",
        ]
        .iter()
        .any(|binary| is(content_type, binary));
        match std::str::from_utf8(data) {
            Ok(text) if !is_binary => Self::Text(text),
            _ => Self::Bytes(data),
        }
    }

    fn write(self, out: &mut impl Out) -> io::Result<()> {
        match self {
            Self::Json(json) => {
                out.write_all(b"{\"data\":")?;
                out.write_all(json.as_bytes())
            }
            Self::Text(text) => {
                out.write_all(b"{\"data\":")?;
                write_text(out, text)
            }
            Self::Bytes(bytes) => {
                out.write_all(b"{\"data_base64\":\"")?;
                out.write_base64(bytes)?;
                out.write_all(b"\"")
            }
        }
    }
}

impl Envelope<'_> {
    /// The whole event. It is written twice: first to learn how much memory to count.
    pub(super) fn write(&self, memory: &Memory) -> Result<Bytes, NoMemory> {
        let mut length = Length(0);
        // Neither a number nor a vector refuses to be written to.
        let _ = self.members(&mut length);
        memory.take(length.0)?;
        let mut bytes = Vec::with_capacity(length.0);
        let _ = self.members(&mut bytes);
        Ok(bytes.into())
    }

    fn members(&self, out: &mut impl Out) -> io::Result<()> {
        self.data.write(out)?;
        for (name, value) in [
            ("datacontenttype", Some(self.content_type)),
            ("expiration", self.expiration),
            ("id", Some(self.id)),
            ("pubsubname", Some(self.pubsub)),
            ("source", Some(self.source)),
            ("specversion", Some(VERSION)),
            ("subject", self.subject),
            ("time", Some(self.time)),
            ("topic", Some(self.topic)),
            ("traceid", Some(self.trace_parent)),
            ("traceparent", Some(self.trace_parent)),
            ("tracestate", Some(self.trace_state)),
            ("type", Some(self.kind)),
        ] {
            if let Some(value) = value {
                out.write_all(b",")?;
                write_member(out, name, value)?;
            }
        }
        out.write_all(b"}")
    }
}

/// Whether a content type is this one, whatever its parameters.
pub(super) fn is(content_type: &str, essence: &str) -> bool {
    let given = content_type.split(';').next().unwrap_or_default();
    given.eq_ignore_ascii_case(essence)
}

#[cfg(test)]
mod tests {
    use base64_simd::STANDARD;
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn envelope<'e>(data: Data<'e>, text: &'e str) -> Envelope<'e> {
        Envelope {
            data,
            content_type: TEXT,
            expiration: None,
            id: text,
            pubsub: text,
            source: SOURCE,
            subject: Some(text),
            time: "2026-08-21T20:12:09Z",
            topic: "orders",
            trace_parent: "",
            trace_state: "",
            kind: TYPE,
        }
    }

    #[test]
    fn data_stays_what_its_content_type_says() {
        let json = "application/json; charset=utf-8";
        for (data, content_type, expected) in [
            (&b" {\"a\": 1} "[..], json, Data::Json("{\"a\": 1}")),
            (b"7", "Application/JSON", Data::Json("7")),
            (b"{\"a\"", json, Data::Text("{\"a\"")),
            (b"{} {}", json, Data::Text("{} {}")),
            (b"", json, Data::Text("")),
            (b"{}", "application/vnd.shop+json", Data::Text("{}")),
            (b"<a/>", "application/xml", Data::Text("<a/>")),
            (b"a", "application/octet-stream", Data::Bytes(b"a")),
            (b"a", "application/cloudevents+protobuf", Data::Bytes(b"a")),
            (b"\xff", "text/plain", Data::Bytes(b"\xff")),
            (b"\"\xff\"", json, Data::Bytes(b"\"\xff\"")),
        ] {
            assert_eq!(Data::of(data, content_type), expected, "{content_type}");
        }
    }

    #[test]
    fn the_members_are_dapr_s_in_dapr_s_order() {
        let memory = Memory::unbounded();
        let written = envelope(Data::Json("{\"b\":1.0,\"a\":null}"), "ä\"")
            .write(&memory)
            .expect("memory");
        let expected = "{\"data\":{\"b\":1.0,\"a\":null},\"datacontenttype\":\"text/plain\",\"id\":\"ä\\\"\",\
            \"pubsubname\":\"ä\\\"\",\"source\":\"Dapr\",\"specversion\":\"1.0\",\"subject\":\"ä\\\"\",\
            \"time\":\"2026-08-21T20:12:09Z\",\"topic\":\"orders\",\"traceid\":\"\",\"traceparent\":\"\",\
            \"tracestate\":\"\",\"type\":\"com.dapr.event.sent\"}";
        assert_eq!(written, expected);
        assert_eq!(memory.used(), expected.len());
    }

    proptest! {
        #[test]
        fn whatever_is_wrapped_comes_out_as_it_was_and_takes_what_is_counted(
            data in vec(any::<u8>(), 0..2_000),
            text in any::<String>(),
            content_type in "(application/(json|octet-stream|xml)|text/plain)?",
        ) {
            let memory = Memory::unbounded();
            let given = Data::of(&data, &content_type);
            let written = envelope(given, &text).write(&memory).expect("memory");
            prop_assert_eq!(memory.used(), written.len());
            let read: serde_json::Value = serde_json::from_slice(&written).expect("JSON");
            prop_assert_eq!(&read["id"], &text);
            match given {
                Data::Json(json) => prop_assert_eq!(&read["data"], &serde_json::from_str::<serde_json::Value>(json).expect("JSON")),
                Data::Text(text) => prop_assert_eq!(&read["data"], text),
                Data::Bytes(_) => {
                    let base64 = read["data_base64"].as_str().expect("base64");
                    prop_assert_eq!(STANDARD.decode_to_vec(base64).expect("base64"), data);
                }
            }
        }

        #[test]
        fn no_event_is_wrapped_without_memory_for_it(data in vec(any::<u8>(), 0..100), may in 0..200_usize) {
            let memory = Memory::of(may);
            let written = envelope(Data::Bytes(&data), "").write(&memory);
            prop_assert_eq!(written.is_ok(), memory.used() <= may);
        }
    }
}
