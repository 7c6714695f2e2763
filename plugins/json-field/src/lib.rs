//! Lets a field of the record's value decide: records with the same text there go to the same partition, the one
//! that Java's default partitioner would give a key of this text.
//!
//! Configuration: `config = { pointer = "/customer/id", missing = "key" }`.
//!
//! - `pointer` (required): where the field is, as a JSON pointer (RFC 6901): `/customer/id`, `/items/0/sku`; in a name,
//!   `~1` stands for `/` and `~0` for `~`. The empty pointer is the value as a whole.
//! - `missing` (default `"key"`): what a record without the field gets. `"key"`: its key decides, and without one it may
//!   go anywhere. `"any"`: it may go anywhere. `"reject"`: it is refused.
//!
//! A string decides by its text, unescaped and without quotes; a number and a boolean by their JSON text as it was
//! sent, so `1` and `1.0` differ while `1` and `"1"` do not. The field is missing when the value is a tombstone or not
//! JSON as a whole, when nothing is there, and when null, an array or an object is there. If an object repeats a name,
//! the last one counts.
//!
//! A value that was written by a schema (Avro, Protobuf, JSON Schema) is read by it, if the route checks it: the sidecar decodes
//! the value, and its JSON form has the field.

use json_pointer::{Absent, Pointer};
use pointsman_plugin::{Config, Decision, Partitioner, Record, export};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    pointer: String,
    #[serde(default)]
    missing: Missing,
}

/// What a record without the field gets.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Missing {
    #[default]
    Key,
    Any,
    Reject,
}

struct JsonField {
    pointer: Pointer,
    missing: Missing,
}

impl Partitioner for JsonField {
    fn configure(config: &Config) -> Result<Self, String> {
        let settings: Settings = config.parse()?;
        Ok(JsonField {
            pointer: Pointer::parse(&settings.pointer).map_err(|error| format!("`pointer`: {error}"))?,
            missing: settings.missing,
        })
    }

    fn partition(&mut self, record: &Record<'_>, _partitions: u32) -> Decision {
        match (self.field(record), self.missing) {
            (Ok(text), _) => Decision::key_hash(text),
            (Err(_), Missing::Key) => Decision::Key,
            (Err(_), Missing::Any) => Decision::Any,
            (Err(absent), Missing::Reject) => Decision::reject(format!(
                "{absent}, but the partition of a record for topic `{}` comes from the field at `{}` of its value; send {} \
                 with a string, a number or a boolean there",
                record.topic(),
                self.pointer,
                record.schema_id().map_or("JSON", |_| "a value"),
            )),
        }
    }
}

impl JsonField {
    /// The field's text, or why there is none.
    fn field(&self, record: &Record<'_>) -> Result<Vec<u8>, Absent> {
        if record.schema_id().is_some() {
            let text = record.field(self.pointer.as_str());
            return text.map(String::into_bytes).ok_or(Absent::BySchema);
        }
        let value = record.value().ok_or(Absent::Tombstone)?;
        self.pointer.text_in(value)
    }
}

export!(JsonField);

#[cfg(test)]
mod tests {
    use pointsman_plugin::SchemaId;

    use super::*;

    fn configured(config: &str) -> Result<JsonField, String> {
        JsonField::configure(&Config::from_json(config)?)
    }

    #[test]
    fn the_field_decides_before_the_key() {
        let mut partitioner = configured(r#"{"pointer": "/customer/id"}"#).unwrap();
        let record = Record::builder("t")
            .key("k")
            .value(r#"{"n": 1, "customer": {"id": "caf\u00e9"}}"#)
            .build();
        assert_eq!(partitioner.partition(&record, 8), Decision::key_hash("café"));
    }

    #[test]
    fn what_a_record_without_the_field_gets_is_a_matter_of_config() {
        let tombstone = Record::builder("orders").key("k").build();
        let text = Record::builder("orders").key("k").value("plain").build();
        for record in [tombstone, text] {
            let decision = |config| configured(config).unwrap().partition(&record, 8);
            assert_eq!(decision(r#"{"pointer": "/id"}"#), Decision::Key);
            assert_eq!(decision(r#"{"pointer": "/id", "missing": "key"}"#), Decision::Key);
            assert_eq!(decision(r#"{"pointer": "/id", "missing": "any"}"#), Decision::Any);
            assert!(matches!(
                decision(r#"{"pointer": "/id", "missing": "reject"}"#),
                Decision::Reject(_)
            ));
        }
    }

    #[test]
    fn a_refusal_names_topic_and_field_and_says_what_is_wrong() {
        let mut partitioner = configured(r#"{"pointer": "/customer/id", "missing": "reject"}"#).unwrap();
        let record = Record::builder("orders").value(r#"{"customer": {}}"#).build();
        let Decision::Reject(reason) = partitioner.partition(&record, 8) else {
            panic!("not refused")
        };
        assert_eq!(
            reason,
            "the record's value has no such field, but the partition of a record for topic `orders` comes from the \
             field at `/customer/id` of its value; send JSON with a string, a number or a boolean there"
        );
    }

    #[test]
    fn in_a_value_with_a_schema_the_field_decides_and_not_what_the_bytes_look_like() {
        let mut partitioner = configured(r#"{"pointer": "/id", "missing": "reject"}"#).unwrap();
        let encoded = || {
            Record::builder("orders")
                .value(b"\0\0\0\0\x07\x06c-1")
                .schema_id(SchemaId::Number(7))
        };
        let record = encoded().field("/id", "c-1").build();
        assert_eq!(partitioner.partition(&record, 8), Decision::key_hash("c-1"));
        let Decision::Reject(reason) = partitioner.partition(&encoded().build(), 8) else {
            panic!("not refused")
        };
        assert!(
            reason.contains("as its schema has it") && reason.contains("send a value with a string"),
            "{reason}"
        );
    }

    #[test]
    fn a_config_that_cannot_work_is_refused_by_the_name_of_its_key() {
        for (config, expected) in [
            ("{}", "missing field `pointer`"),
            (r#"{"pointer": "id"}"#, "`pointer`: `id` is not a JSON pointer"),
            (
                r#"{"pointer": "/id", "missing": "drop"}"#,
                "unknown variant `drop`, expected one of `key`, `any`, `reject`",
            ),
            (r#"{"pointer": "/id", "path": "/x"}"#, "unknown field `path`"),
        ] {
            let message = configured(config).err().unwrap();
            assert!(message.contains(expected), "{message}");
        }
    }
}
