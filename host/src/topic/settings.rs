//! A topic's configuration, as far as it decides which records the brokers refuse.
//!
//! A broker refuses a whole batch because of one record in it. A batch here may have records of several clients, so a bad
//! record has to be found before it is packed.

use std::ffi::CStr;

/// A topic's settings. The default takes every record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TopicSettings {
    /// Whether each record needs a key, because the topic is compacted.
    pub needs_key: bool,
    /// The largest batch as it is sent, bytes: `max.message.bytes`.
    pub max_batch_bytes: Option<usize>,
    /// How far a record's time may be ahead of the broker's clock, ms.
    pub ahead_ms: Option<i64>,
    /// How far a record's time may be behind the broker's clock, ms.
    pub behind_ms: Option<i64>,
}

/// How the client library packs records into batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packing {
    /// The largest batch of several records, bytes before compression.
    pub batch_bytes: usize,
    /// Whether batches are compressed, and so may be sent in fewer bytes.
    pub compresses: bool,
}

impl Default for Packing {
    /// librdkafka's default, without compression.
    fn default() -> Self {
        Self {
            batch_bytes: 1_000_000,
            compresses: false,
        }
    }
}

/// The settings that are asked for. A broker omits those that it does not know.
pub(crate) const NAMES: [&CStr; 6] = [
    c"cleanup.policy",
    c"max.message.bytes",
    c"message.timestamp.type",
    c"message.timestamp.before.max.ms",
    c"message.timestamp.after.max.ms",
    // Kafka before 4: the default of the two settings above (KIP-937).
    c"message.timestamp.difference.max.ms",
];

impl TopicSettings {
    /// Reads the names and values that a broker gave.
    pub(crate) fn read(entries: &[(String, String)]) -> Self {
        let find = |name: &str| {
            entries
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| &**value)
        };
        // Kafka's largest number means that there is no bound.
        let ms = |name: &str| find(name)?.parse().ok().filter(|ms| (0..i64::MAX).contains(ms));
        let difference = ms("message.timestamp.difference.max.ms");
        let bound = |name: &str| ms(name).or(difference);
        // With this type the broker replaces the record's time by its own, and does not check it.
        let own_time = find("message.timestamp.type") == Some("LogAppendTime");
        Self {
            needs_key: find("cleanup.policy")
                .is_some_and(|policy| policy.split(',').any(|part| part.trim() == "compact")),
            max_batch_bytes: find("max.message.bytes").and_then(|bytes| bytes.parse().ok()),
            ahead_ms: bound("message.timestamp.after.max.ms").filter(|_| !own_time),
            behind_ms: bound("message.timestamp.before.max.ms").filter(|_| !own_time),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[(&str, &str)]) -> TopicSettings {
        let entries: Vec<_> = entries
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        TopicSettings::read(&entries)
    }

    #[test]
    fn no_bound_is_made_up_where_the_broker_has_none() {
        assert_eq!(read(&[]), TopicSettings::default());
        let any = "9223372036854775807";
        let settings = read(&[
            ("cleanup.policy", "delete"),
            ("message.timestamp.before.max.ms", any),
            ("message.timestamp.after.max.ms", any),
            ("message.timestamp.difference.max.ms", any),
        ]);
        assert_eq!(settings, TopicSettings::default());
        let appended = read(&[
            ("message.timestamp.type", "LogAppendTime"),
            ("message.timestamp.after.max.ms", "3600000"),
            ("message.timestamp.before.max.ms", "3600000"),
        ]);
        assert_eq!((appended.ahead_ms, appended.behind_ms), (None, None));
    }

    #[test]
    fn a_topic_that_is_compacted_and_deleted_needs_keys_too() {
        for (policy, needs_key) in [
            ("compact", true),
            ("delete,compact", true),
            ("compact, delete", true),
            ("delete", false),
        ] {
            assert_eq!(read(&[("cleanup.policy", policy)]).needs_key, needs_key, "{policy}");
        }
    }

    #[test]
    fn an_older_brokers_bound_holds_in_both_directions_and_gives_way_to_a_newer_one() {
        let old = read(&[("message.timestamp.difference.max.ms", "5000")]);
        assert_eq!((old.ahead_ms, old.behind_ms), (Some(5_000), Some(5_000)));
        let new = read(&[
            ("message.timestamp.difference.max.ms", "5000"),
            ("message.timestamp.after.max.ms", "60000"),
            ("max.message.bytes", "1048588"),
        ]);
        assert_eq!((new.ahead_ms, new.behind_ms), (Some(60_000), Some(5_000)));
        assert_eq!(new.max_batch_bytes, Some(1_048_588));
    }
}
