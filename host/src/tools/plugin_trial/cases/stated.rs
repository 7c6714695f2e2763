//! What a case says about its record's value, so that a plugin for encoded values is tested without a schema registry.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use json_pointer::Pointer;
use pointsman_schemas::SchemaId;
use serde::{Deserialize, Deserializer, de::Error as _};

/// The id of a schema: a number, or a GUID as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id(pub(super) SchemaId);

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number from 0 to 4294967295, or a GUID as text")]
enum Written {
    Number(u32),
    Guid(String),
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Written::deserialize(deserializer)? {
            Written::Number(number) => SchemaId::Number(number),
            Written::Guid(text) => match SchemaId::guid_of_text(&text) {
                Some(guid) => guid,
                None => {
                    return Err(D::Error::custom(format_args!(
                        "schema_id {text:?} is no GUID, expected one such as \"89791762-2336-4186-9674-299b90a802e2\", or a number"
                    )));
                }
            },
        }))
    }
}

/// Refuses fields that no value could have.
pub(super) fn check(fields: &BTreeMap<String, String>, has_value: bool) -> anyhow::Result<()> {
    ensure!(
        fields.is_empty() || has_value,
        "fields are inside a value, and there is none: give a value or value_base64, too"
    );
    for pointer in fields.keys() {
        Pointer::parse(pointer).map_err(anyhow::Error::msg).context("fields")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_number_or_a_guid_and_nothing_that_looks_like_one() {
        let id = |json: &str| serde_json::from_str::<Id>(json).ok().map(|Id(id)| id);
        assert_eq!(id("7"), Some(SchemaId::Number(7)));
        let bytes = 0x8979_1762_2336_4186_9674_299b_90a8_02e2_u128.to_be_bytes();
        for text in [
            "89791762-2336-4186-9674-299b90a802e2",
            "89791762-2336-4186-9674-299B90A802E2",
        ] {
            assert_eq!(id(&format!("{text:?}")), Some(SchemaId::Guid(bytes)), "{text}");
        }
        for none in [
            "-1",
            "4294967296",
            "7.5",
            "null",
            r#""7""#,
            r#""""#,
            r#""+9791762-2336-4186-9674-299b90a802e2""#,
            r#""8979176é-2336-4186-9674-299b90a802e2""#,
        ] {
            assert_eq!(id(none), None, "{none}");
        }
    }
}
