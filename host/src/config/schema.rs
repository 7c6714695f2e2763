//! The configuration file as JSON Schema, for editors. The schema is made from the structs that the file is read into,
//! so it has their keys, and describes each key by its doc comment.
//!
//! The schema knows keys, types and defaults. Only [`Config::mistakes`] checks rules between keys, and files.

use std::borrow::Cow;

use schemars::{
    JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema, transform::transform_subschemas,
};
use serde_json::{Map, Value, json};

use super::{
    Config, RawProperties,
    kafka_properties::{NAMES, Treatment},
};

/// The types that a Kafka property may have.
const SCALAR: [&str; 4] = ["string", "integer", "number", "boolean"];

/// The schema of the whole file.
pub fn schema() -> Value {
    // Editors for TOML read this draft. Subschemas are inlined, because this draft ignores a key's description beside a
    // reference.
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Config>();
    as_toml_has_it(&mut schema);
    schema.insert("title".to_owned(), "Configuration of Pointsman".into());
    schema.to_value()
}

/// TOML has no null, so a key that is not wanted is omitted. A table has no default of its own: its keys have theirs.
fn as_toml_has_it(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Array(kinds)) = schema.get_mut("anyOf") {
        kinds.retain(|kind| kind["type"] != "null");
        if let [only] = kinds.as_slice()
            && let Value::Object(only) = only.clone()
        {
            schema.remove("anyOf");
            let own = schema.ensure_object();
            for (key, value) in only {
                // The key's own description stays.
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
    // The width of a number in Rust does not help an editor.
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
        // Dotted names without quotes are nested tables in TOML.
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

    /// The schema of each key, with the names of the tables above it.
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
