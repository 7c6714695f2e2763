//! Lets a header decide: records with equal bytes in the header named by the configuration go to the same partition,
//! the one that Java's default partitioner would give a key of these bytes. If several headers have that name, the last
//! one counts. A record without the header goes by its key; a record without header and key may go anywhere.
//!
//! Configuration: `config = { name = "tenant-id" }`. Upper and lower case are different, as they are in Kafka.

use pointsman_plugin::{Config, Decision, Partitioner, Record, export};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ByHeader {
    /// The header's name.
    name: String,
}

impl Partitioner for ByHeader {
    fn configure(config: &Config) -> Result<Self, String> {
        let settings: Self = config.parse()?;
        if settings.name.is_empty() {
            return Err(
                "`name` is empty; set it in the route's config to the name of the header that decides".to_owned(),
            );
        }
        Ok(settings)
    }

    fn partition(&mut self, record: &Record<'_>, _partitions: u32) -> Decision {
        record.header(&self.name).map_or(Decision::Key, Decision::key_hash)
    }
}

export!(ByHeader);

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(config: &str) -> Result<ByHeader, String> {
        ByHeader::configure(&Config::from_json(config)?)
    }

    #[test]
    fn the_header_decides_before_the_key() {
        let mut partitioner = configured(r#"{"name": "tenant"}"#).unwrap();
        let record = Record::builder("t")
            .key("k")
            .header("tenant", "old")
            .header("tenant", "acme")
            .build();
        assert_eq!(partitioner.partition(&record, 8), Decision::key_hash("acme"));
        let record = Record::builder("t").header("tenant", "").build();
        assert_eq!(partitioner.partition(&record, 8), Decision::key_hash(""));
    }

    #[test]
    fn without_the_header_the_key_decides() {
        let mut partitioner = configured(r#"{"name": "tenant"}"#).unwrap();
        let record = Record::builder("t").key("k").header("Tenant", "acme").build();
        assert_eq!(partitioner.partition(&record, 8), Decision::Key);
    }

    #[test]
    fn a_config_that_cannot_work_is_refused_by_the_name_of_its_key() {
        for (config, expected) in [
            ("{}", "missing field `name`"),
            (r#"{"name": ""}"#, "`name` is empty"),
            (r#"{"name": "a", "nmae": "b"}"#, "unknown field `nmae`"),
        ] {
            let message = configured(config).err().unwrap();
            assert!(message.contains(expected), "{message}");
        }
    }
}
