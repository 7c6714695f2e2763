//! Metadata: names with values, of a request and of each of its events.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use bytes::Bytes;

use super::{asked::unescaped, refusal::Refusal, ttl};

/// What names of metadata begin with in a query.
const IN_QUERY: &str = "metadata.";

/// Names with values. Each value is UTF-8.
#[derive(Debug, Default)]
pub(super) struct Metadata<'a>(BTreeMap<Cow<'a, str>, Bytes>);

/// The metadata of an event, and beneath it that of its request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Merged<'m> {
    pub(super) own: &'m Metadata<'m>,
    pub(super) shared: &'m Metadata<'m>,
}

impl<'a> Metadata<'a> {
    /// What a query has; of names that are there twice, the first.
    pub(super) fn of_query(query: Option<&str>) -> Result<Metadata<'static>, Refusal> {
        let mut all = Metadata::default();
        for pair in query.unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = unescaped(name);
            // What is no metadata is not read, so it may be anything.
            if name.as_deref().is_some_and(|name| !name.starts_with(IN_QUERY)) {
                continue;
            }
            let (Some(name), Some(value)) = (name, unescaped(value)) else {
                return Err(Refusal::bad_metadata(
                    "the query has an escape that is not one, or is not UTF-8; escape it as %2F",
                ));
            };
            let name = name[IN_QUERY.len()..].to_owned();
            all.0.entry(Cow::Owned(name)).or_insert_with(|| Bytes::from(value));
        }
        Ok(all)
    }

    /// What a message has.
    pub(super) fn of_message(pairs: HashMap<String, String>) -> Metadata<'static> {
        let pairs = pairs.into_iter();
        Metadata(
            pairs
                .map(|(name, value)| (Cow::Owned(name), Bytes::from(value)))
                .collect(),
        )
    }

    /// Adds a pair; of names that are there twice, the last stays.
    pub(super) fn insert(&mut self, name: Cow<'a, str>, value: Bytes) {
        self.0.insert(name, value);
    }

    /// Whether events are to be written as they are. Only a request can say so.
    pub(super) fn is_raw(&self) -> Result<bool, Refusal> {
        // The spellings of Go's `strconv.ParseBool`.
        match self.0.get("rawPayload").map(text) {
            None | Some("" | "0" | "f" | "F" | "FALSE" | "false" | "False") => Ok(false),
            Some("1" | "t" | "T" | "TRUE" | "true" | "True") => Ok(true),
            Some(_) => Err(Refusal::bad_metadata("rawPayload is not a boolean; send true or false")),
        }
    }

    fn get_folded(&self, name: &str) -> Option<&Bytes> {
        self.0.get(name).or_else(|| {
            let mut all = self.0.iter();
            all.find(|(given, _)| given.eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
        })
    }
}

impl<'m> Merged<'m> {
    /// How many names there are at most.
    pub(super) fn most(self) -> usize {
        self.own.0.len() + self.shared.0.len()
    }

    /// Each name once.
    pub(super) fn iter(self) -> impl Iterator<Item = (&'m str, &'m Bytes)> {
        let shared = self.shared.0.iter();
        let shared = shared.filter(move |(name, _)| !self.own.0.contains_key(*name));
        self.own.0.iter().chain(shared).map(|(name, value)| (&**name, value))
    }

    /// The key of the record.
    pub(super) fn key(self) -> Option<&'m Bytes> {
        self.get("partitionKey").or_else(|| self.get("__key"))
    }

    /// The partition of the record, as a number in a text.
    pub(super) fn partition(self) -> Option<&'m str> {
        self.get("partitionNumber").map(text)
    }

    /// What an attribute of the envelope is to be instead, such as `type` by `cloudevent.type`. In any case of letters.
    pub(super) fn attribute(self, name: &str) -> Option<&'m str> {
        self.get_folded(&format!("cloudevent.{name}"))
            .map(text)
            .filter(|value| !value.is_empty())
    }

    /// How long the event lives.
    pub(super) fn ttl(self) -> Option<Duration> {
        let given = self.get_folded("ttl").or_else(|| self.get_folded("ttlInSeconds"))?;
        ttl::read(text(given))
    }

    fn get(self, name: &str) -> Option<&'m Bytes> {
        self.own.0.get(name).or_else(|| self.shared.0.get(name))
    }

    fn get_folded(self, name: &str) -> Option<&'m Bytes> {
        self.own.get_folded(name).or_else(|| self.shared.get_folded(name))
    }
}

fn text(value: &Bytes) -> &str {
    std::str::from_utf8(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(query: &str) -> Metadata<'static> {
        Metadata::of_query(Some(query)).expect("a query")
    }

    fn merged<'m>(own: &'m Metadata<'m>, shared: &'m Metadata<'m>) -> Merged<'m> {
        Merged { own, shared }
    }

    #[test]
    fn an_event_s_own_metadata_wins_over_that_of_its_request() {
        let own = of("metadata.partitionKey=own&metadata.a=1");
        let shared = of("metadata.partitionKey=shared&x=%&metadata.b=2&metadata.b=3&metadata.c");
        let both = merged(&own, &shared);
        let all: Vec<_> = both.iter().map(|(name, value)| (name, text(value))).collect();
        assert_eq!(all, [("a", "1"), ("partitionKey", "own"), ("b", "2"), ("c", "")]);
        assert_eq!(both.key().map(text), Some("own"));
        assert!(all.len() <= both.most());
    }

    #[test]
    fn an_override_of_the_envelope_is_found_in_any_case_and_counts_only_with_a_value() {
        let none = Metadata::default();
        let given = of("metadata.CloudEvent.Type=my.type&metadata.cloudevent.id=&metadata.TTLInSeconds=5");
        let given = merged(&none, &given);
        assert_eq!(given.attribute("type"), Some("my.type"));
        assert_eq!(given.attribute("id"), None);
        assert_eq!(given.ttl(), Some(Duration::from_secs(5)));
    }

    #[test]
    fn a_payload_is_raw_only_if_that_is_said_clearly() {
        for (value, is_raw) in [("true", true), ("1", true), ("False", false), ("", false)] {
            let given = of(&format!("metadata.rawPayload={value}"));
            assert_eq!(given.is_raw().expect("a boolean"), is_raw, "{value}");
        }
        assert!(of("metadata.rawPayload=yes").is_raw().is_err());
        assert!(!of("rawPayload=true").is_raw().expect("none"));
    }

    #[test]
    fn metadata_that_cannot_be_read_is_never_left_out() {
        for query in ["metadata.a=%", "metadata.%ff=1", "%=1"] {
            assert!(Metadata::of_query(Some(query)).is_err(), "{query}");
        }
    }

    proptest! {
        #[test]
        fn no_query_panics(query in "([a-z%.=&]|metadata\\.|rawPayload|ttl){0,20}") {
            if let Ok(all) = Metadata::of_query(Some(&query)) {
                let _ = all.is_raw();
                let all = merged(&all, &all);
                prop_assert!(all.iter().count() <= all.most());
                let _ = (all.ttl(), all.attribute("id"));
            }
        }
    }
}
