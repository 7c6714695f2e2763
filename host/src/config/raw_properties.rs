//! The `[kafka.properties]` block as a team writes it, before it is translated.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, MapAccess, Visitor},
};

use super::java_properties;

/// Property names and values as written. They may be a table with quoted names (`"linger.ms" = 5`), a table with bare
/// dotted names (`linger.ms = 5`, which TOML reads as nested tables), or a string: the text of a Java
/// `producer.properties`.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RawProperties(pub BTreeMap<String, String>);

/// Shows only the names: the values may be secrets.
impl fmt::Debug for RawProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<'de> Deserialize<'de> for RawProperties {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        de.deserialize_any(PropertiesVisitor)
    }
}

struct PropertiesVisitor;

impl<'de> Visitor<'de> for PropertiesVisitor {
    type Value = RawProperties;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of Kafka properties, or the text of a producer.properties")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RawProperties, E> {
        // `POINTSMAN_KAFKA__PROPERTIES` carries a JSON object.
        if text.trim_start().starts_with('{') {
            return serde_json::from_str(text)
                .map_err(|error| E::custom(format!("invalid JSON object of Kafka properties: {}", place(&error))));
        }
        let pairs = java_properties::parse(text).map_err(E::custom)?;
        let mut properties = BTreeMap::new();
        for (key, value) in pairs {
            insert(&mut properties, key, value)?;
        }
        Ok(RawProperties(properties))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawProperties, A::Error> {
        let mut properties = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            flatten(key, map.next_value()?, &mut properties)?;
        }
        Ok(RawProperties(properties))
    }
}

/// serde_json's message may quote the text, which may hold a secret. The position is enough.
fn place(error: &serde_json::Error) -> String {
    format!("line {}, column {}", error.line(), error.column())
}

fn flatten<E: Error>(key: String, value: toml::Value, into: &mut BTreeMap<String, String>) -> Result<(), E> {
    let text = match value {
        toml::Value::String(text) => text,
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(flag) => flag.to_string(),
        toml::Value::Table(table) => {
            for (name, inner) in table {
                flatten(format!("{key}.{name}"), inner, into)?;
            }
            return Ok(());
        }
        toml::Value::Array(_) | toml::Value::Datetime(_) => {
            return Err(E::custom(format!(
                "Kafka property \"{key}\": expected a string, a number or a boolean"
            )));
        }
    };
    insert(into, key, text)
}

fn insert<E: Error>(into: &mut BTreeMap<String, String>, key: String, value: String) -> Result<(), E> {
    if into.contains_key(&key) {
        return Err(E::custom(format!(
            "Kafka property \"{key}\" is given twice: keep one of them"
        )));
    }
    into.insert(key, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Block {
        properties: RawProperties,
    }

    fn read(text: &str) -> BTreeMap<String, String> {
        let block: Block = toml::from_str(text).expect("readable");
        block.properties.0
    }

    #[test]
    fn every_way_of_writing_a_property_gives_the_same_name_and_value() {
        let expected = BTreeMap::from([
            ("acks".to_owned(), "all".to_owned()),
            ("enable.idempotence".to_owned(), "true".to_owned()),
            ("linger.ms".to_owned(), "500".to_owned()),
        ]);
        for text in [
            "[properties]\nacks = \"all\"\nenable.idempotence = true\nlinger.ms = 500",
            "[properties]\n\"acks\" = \"all\"\n\"enable.idempotence\" = \"true\"\n\"linger.ms\" = \"500\"",
            "properties = '''\n# pasted\nacks=all\nenable.idempotence=true\nlinger.ms : 500\n'''",
            "properties = '{\"acks\":\"all\",\"enable.idempotence\":true,\"linger.ms\":500}'",
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn debug_output_does_not_show_a_password() {
        let properties = read("[properties]\nsasl.password = \"hunter2\"");
        let shown = format!("{:?}", RawProperties(properties));
        assert!(shown.contains("sasl.password") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_property_given_twice_is_not_decided_silently() {
        let error = toml::from_str::<Block>("properties = '''acks=all\nacks=1'''").expect_err("twice");
        assert!(error.message().contains("\"acks\" is given twice"), "{error}");
    }
}
