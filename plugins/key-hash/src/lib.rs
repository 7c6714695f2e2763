//! Sends a record where Java's default partitioner would: the murmur2 hash of its key decides. A record without a key
//! may go anywhere; an empty key is hashed like any other.
//!
//! There is nothing to configure.

use pointsman_plugin::{Config, Decision, Partitioner, Record, export};

struct KeyHash;

impl Partitioner for KeyHash {
    fn configure(config: &Config) -> Result<Self, String> {
        config.expect_empty().map(|()| KeyHash)
    }

    fn partition(&mut self, _record: &Record<'_>, _partitions: u32) -> Decision {
        Decision::Key
    }
}

export!(KeyHash);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_decides_whatever_else_the_record_holds() {
        let mut partitioner = KeyHash::configure(&Config::empty()).unwrap();
        for record in [
            Record::builder("orders")
                .key("o-17")
                .value("{}")
                .header("key", "other")
                .build(),
            Record::builder("orders").key("").build(),
            Record::builder("orders").build(),
        ] {
            assert_eq!(partitioner.partition(&record, 12), Decision::Key);
        }
    }

    #[test]
    fn a_config_that_would_be_ignored_is_refused() {
        let config = Config::from_json(r#"{"seed": 1}"#).unwrap();
        let message = KeyHash::configure(&config).err().unwrap();
        assert!(message.contains("unknown field `seed`"), "{message}");
    }
}
