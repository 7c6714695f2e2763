//! Says which tenant a record belongs to, so that the routing table decides where it goes.
//!
//! Configuration: `config = { tenant = "header:tenant-id", shard_key = "key", missing = "reject" }`.
//!
//! - `tenant` (required): where the tenant's name is.
//!   - `"header:NAME"`: the last header of this name.
//!   - `"key-prefix:SEPARATOR"`: the part of the key before the first SEPARATOR, such as `key-prefix:/`.
//!   - `"json:POINTER"`: the field of the JSON value at this JSON pointer, such as `json:/customer/id`; a string by its
//!     text, a number or a boolean by its JSON text. A value that was written by a schema (Avro, Protobuf, JSON Schema) is
//!     read by it, if the route checks it.
//!   - `"topic"`: the topic is the tenant.
//! - `shard_key` (default: none): what spreads the records of a tenant that has several partitions: `"key"`, `"header:NAME"`
//!   or `"json:POINTER"`. A record without it goes where the routing table sends such records of this tenant.
//! - `missing` (default `"reject"`): what a record without a tenant gets. `"reject"`: it is refused. `"key"`: its key decides,
//!   and without one it may go anywhere. `"any"`: it may go anywhere.
//!
//! A tenant's name is text of 1 to 255 bytes. Anything else is a record without a tenant.

mod source;

use std::borrow::Cow;

use pointsman_plugin::{Config, Decision, Partitioner, Record, export};
use serde::Deserialize;

use self::source::Source;

/// Most bytes of a tenant's name.
const NAME_BYTES: usize = 255;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    tenant: String,
    shard_key: Option<String>,
    #[serde(default)]
    missing: Missing,
}

/// What a record without a tenant gets.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Missing {
    #[default]
    Reject,
    Key,
    Any,
}

struct ByTenant {
    tenant: Source,
    shard_key: Option<Source>,
    missing: Missing,
}

impl Partitioner for ByTenant {
    fn configure(config: &Config) -> Result<Self, String> {
        let settings: Settings = config.parse()?;
        let tenant = Source::tenant(&settings.tenant).map_err(|error| format!("`tenant`: {error}"))?;
        let shard_key = settings.shard_key.as_deref().map(Source::shard_key).transpose();
        Ok(Self {
            tenant,
            shard_key: shard_key.map_err(|error| format!("`shard_key`: {error}"))?,
            missing: settings.missing,
        })
    }

    fn partition(&mut self, record: &Record<'_>, _partitions: u32) -> Decision {
        let found = self.tenant.bytes(record).and_then(name);
        match (found, self.missing) {
            (Ok(tenant), _) => Decision::Tenant {
                tenant,
                shard_key: self.shard_key(record),
            },
            (Err(_), Missing::Key) => Decision::Key,
            (Err(_), Missing::Any) => Decision::Any,
            (Err(why), Missing::Reject) => Decision::reject(format!(
                "{why}; a record for topic `{}` must name its tenant, by {}",
                record.topic(),
                self.tenant
            )),
        }
    }
}

impl ByTenant {
    fn shard_key(&self, record: &Record<'_>) -> Option<Vec<u8>> {
        let found = self.shard_key.as_ref()?.bytes(record);
        found.ok().map(Cow::into_owned)
    }
}

fn name(bytes: Cow<'_, [u8]>) -> Result<String, String> {
    match bytes.len() {
        0 => return Err("the tenant's name is empty".to_owned()),
        1..=NAME_BYTES => {}
        long => return Err(format!("the tenant's name has {long} bytes, and may have {NAME_BYTES}")),
    }
    String::from_utf8(bytes.into_owned()).map_err(|_| "the tenant's name is not text in UTF-8".to_owned())
}

export!(ByTenant);

#[cfg(test)]
mod tests {
    use pointsman_plugin::SchemaId;

    use super::*;

    fn configured(config: &str) -> Result<ByTenant, String> {
        ByTenant::configure(&Config::from_json(config)?)
    }

    fn decides(config: &str, record: &Record<'_>) -> Decision {
        configured(config).expect("a config").partition(record, 8)
    }

    #[test]
    fn each_place_of_the_tenant_s_name_is_read() {
        let record = Record::builder("orders")
            .key("acme/order-7")
            .header("tenant-id", "old")
            .header("tenant-id", "acme")
            .value(r#"{"customer": {"id": 42, "name": "caf\u00e9"}}"#)
            .build();
        for (tenant, expected) in [
            ("header:tenant-id", "acme"),
            ("key-prefix:/", "acme"),
            ("key-prefix:/order", "acme"),
            ("json:/customer/id", "42"),
            ("json:/customer/name", "café"),
            ("topic", "orders"),
        ] {
            let config = format!(r#"{{"tenant": "{tenant}"}}"#);
            assert_eq!(decides(&config, &record), Decision::tenant(expected), "{tenant}");
        }
        for (shard_key, expected) in [
            ("key", &b"acme/order-7"[..]),
            ("header:tenant-id", b"acme"),
            ("json:/customer/id", b"42"),
        ] {
            let config = format!(r#"{{"tenant": "topic", "shard_key": "{shard_key}"}}"#);
            let expected = Decision::tenant_shard("orders", expected);
            assert_eq!(decides(&config, &record), expected, "{shard_key}");
        }
    }

    #[test]
    fn a_tenant_inside_a_value_with_a_schema_is_found_by_the_schema() {
        let encoded = || {
            Record::builder("orders")
                .value(b"\x02\x06c-1")
                .schema_id(SchemaId::Number(7))
        };
        let config = r#"{"tenant": "json:/customer/id", "shard_key": "json:/order"}"#;
        let record = encoded().field("/customer/id", "acme").field("/order", "9").build();
        assert_eq!(decides(config, &record), Decision::tenant_shard("acme", *b"9"));
        let Decision::Reject(told) = decides(config, &encoded().build()) else {
            panic!("not refused")
        };
        assert!(
            told.contains("as its schema has it") && told.contains("the field at `/customer/id`"),
            "{told}"
        );
    }

    #[test]
    fn a_record_without_a_shard_key_still_has_its_tenant() {
        let record = Record::builder("t").header("tenant", "acme").build();
        for shard_key in ["key", "header:other", "json:/id"] {
            let config = format!(r#"{{"tenant": "header:tenant", "shard_key": "{shard_key}"}}"#);
            assert_eq!(decides(&config, &record), Decision::tenant("acme"));
        }
    }

    #[test]
    fn what_a_record_without_a_tenant_gets_is_a_matter_of_config_and_the_refusal_says_where_it_was_looked_for() {
        let long = "x".repeat(256);
        let record = |header: Option<&[u8]>| {
            let builder = Record::builder("orders").key("k");
            match header {
                Some(header) => builder.header("tenant", header).build(),
                None => builder.build(),
            }
        };
        for (header, why) in [
            (None, "the record has no header `tenant`"),
            (Some(&b""[..]), "the tenant's name is empty"),
            (Some(&[0xff]), "is not text in UTF-8"),
            (Some(long.as_bytes()), "has 256 bytes, and may have 255"),
        ] {
            let record = record(header);
            assert_eq!(
                decides(r#"{"tenant": "header:tenant", "missing": "key"}"#, &record),
                Decision::Key
            );
            assert_eq!(
                decides(r#"{"tenant": "header:tenant", "missing": "any"}"#, &record),
                Decision::Any
            );
            let Decision::Reject(told) = decides(r#"{"tenant": "header:tenant"}"#, &record) else {
                panic!("not refused")
            };
            assert!(told.contains(why) && told.contains("topic `orders`"), "{told}");
        }
        let Decision::Reject(told) = decides(r#"{"tenant": "key-prefix:/"}"#, &record(None)) else {
            panic!("not refused")
        };
        assert!(told.contains("the record's key has no `/`"), "{told}");
    }

    #[test]
    fn a_config_that_cannot_work_is_refused_by_the_name_of_its_key() {
        for (config, expected) in [
            ("{}", "missing field `tenant`"),
            (
                r#"{"tenant": "header"}"#,
                "`tenant`: `header` is not a place for a tenant's name",
            ),
            (r#"{"tenant": "header:"}"#, "`header:` needs the name of a header"),
            (
                r#"{"tenant": "key-prefix:"}"#,
                "`key-prefix:` needs what stands behind the name",
            ),
            (r#"{"tenant": "json:id"}"#, "`tenant`: `id` is not a JSON pointer"),
            (r#"{"tenant": "key"}"#, "`key` is not a place for a tenant's name"),
            (
                r#"{"tenant": "topic", "shard_key": "topic"}"#,
                "`shard_key`: `topic` is not a place for a shard key",
            ),
            (r#"{"tenant": "topic", "missing": "drop"}"#, "unknown variant `drop`"),
            (r#"{"tenant": "topic", "shard": "key"}"#, "unknown field `shard`"),
        ] {
            let message = configured(config).err().expect(config);
            assert!(message.contains(expected), "{message}");
        }
    }
}
