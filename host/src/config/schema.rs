//! The configuration file as JSON Schema, for editors. It is made from the structs that the file is read into, so it has their keys,
//! and says of each what its doc comment says.
//!
//! It knows keys, types and defaults. What depends on other keys or on files, only [`Config::mistakes`] tells.

use std::borrow::Cow;

use schemars::{
    JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema, transform::transform_subschemas,
};
use serde_json::{Map, Value, json};

use super::{
    Config, RawProperties,
    kafka_properties::{NAMES, Treatment},
};

/// What a Kafka property may be.
const SCALAR: [&str; 4] = ["string", "integer", "number", "boolean"];

/// The schema of the whole file.
pub fn schema() -> Value {
    // What editors for TOML read is this draft. Nothing is named apart from where it stands, since beside a reference that draft ignores
    // what is said of a key.
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Config>();
    as_toml_has_it(&mut schema);
    schema.insert("title".to_owned(), "Configuration of Pointsman".into());
    schema.to_value()
}

/// TOML has no null: a key that is not wanted is left out. The defaults of a table are said of its keys.
fn as_toml_has_it(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(kinds)) = schema.get_mut("anyOf") {
        kinds.retain(|kind| kind["type"] != "null");
        if let [only] = kinds.as_slice()
            && let Value::Object(only) = only.clone()
        {
            schema.remove("anyOf");
            let own = schema.ensure_object();
            for (key, value) in only {
                // What is said of the key itself stays.
                own.entry(key).or_insert(value);
            }
        }
    }
    let says_little = |default: &Value| match default {
        Value::Null => true,
        Value::Object(members) => !members.is_empty(),
        _ => false,
    };
    if schema.get("default").is_some_and(says_little) {
        schema.remove("default");
    }
    // How Rust holds a number is nobody's matter.
    let is_rusts = |format: &Value| format.as_str().is_some_and(|format| format != "uri");
    if schema.get("format").is_some_and(is_rusts) {
        schema.remove("format");
    }
    transform_subschemas(&mut as_toml_has_it, schema);
}

impl JsonSchema for RawProperties {
    fn schema_name() -> Cow<'static, str> {
        "RawProperties".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut known = Map::new();
        for entry in NAMES.iter().filter(|entry| entry.treatment != Treatment::Refused) {
            for name in entry.java.iter().filter(|name| !name.ends_with('*')) {
                known.insert(
                    (*name).to_owned(),
                    json!({"type": SCALAR, "description": said(entry.treatment, entry.remark)}),
                );
            }
        }
        // Names without quotes are nested tables to TOML.
        let table = json!({
            "type": "object",
            "properties": known,
            "additionalProperties": {"anyOf": [{"type": SCALAR}, {"type": "object"}]},
        });
        json_schema!({"anyOf": [table, {"type": "string"}]})
    }
}

fn said(treatment: Treatment, remark: &str) -> String {
    let does = format!("Pointsman {}.", treatment.summary());
    match remark {
        "" => does,
        remark => format!("{does} {remark}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each schema of a key, with the names above it.
    fn keys(schema: &Value, at: &str, into: &mut Vec<(String, Value)>) {
        for (name, key) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{at}.{name}");
            keys(key, &path, into);
            keys(&key["items"], &path, into);
            into.push((path, key.clone()));
        }
    }

    #[test]
    fn no_key_is_without_a_word_and_no_table_takes_a_misspelt_one() {
        let schema = schema();
        let mut all = Vec::new();
        keys(&schema, "", &mut all);
        assert!(all.len() > 60, "{}", all.len());
        for (path, key) in all {
            assert!(
                key["description"].as_str().is_some_and(|said| said.len() > 5),
                "{path}: {key}"
            );
            let is_table = key.get("properties").is_some();
            assert!(!is_table || key["additionalProperties"] == false, "{path}: {key}");
        }
        assert_eq!(schema["additionalProperties"], false);
        assert!(!schema.to_string().contains("null"), "{schema:#}");
        assert!(!schema.to_string().contains("$ref"), "{schema:#}");
    }

    #[test]
    fn a_default_of_the_schema_is_that_of_the_code() {
        let schema = schema();
        let default = |table: &str, key: &str| schema["properties"][table]["properties"][key]["default"].clone();
        assert_eq!(default("limits", "max_body_bytes"), 8 << 20);
        assert_eq!(default("listen", "http"), "127.0.0.1:8644");
        assert_eq!(default("kafka", "ordering"), "strict");
        assert_eq!(default("limits", "max_requests"), Value::Null);
    }
}
