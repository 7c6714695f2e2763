use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn compiled(schema: &Value) -> JsonSchema {
    JsonSchema::compile(&source(schema, &[])).expect("a schema")
}

fn source(schema: &Value, references: &[(&str, Value)]) -> Source {
    Source {
        text: schema.to_string(),
        references: references
            .iter()
            .map(|(name, schema)| ((*name).to_owned(), schema.to_string()))
            .collect(),
    }
}

fn refusal(schema: &Value) -> String {
    let refused = JsonSchema::compile(&source(schema, &[])).map(|_| ());
    refused.expect_err("not a schema to use").to_string()
}

fn told(schema: &JsonSchema, value: &str) -> String {
    schema.check(value.as_bytes()).expect_err("a mistake").to_string()
}

/// Fails when something that may take milliseconds takes seconds.
fn quickly<T>(what: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let done = what();
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(20), "it took {took:?}");
    done
}

#[test]
fn a_mistake_is_told_with_its_place_and_without_the_whole_value() {
    let schema = compiled(&json!({
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": {"type": "object", "required": ["a/b"]}},
            "qty": {"type": "integer"},
        },
    }));
    assert_eq!(schema.check(br#"{"qty": 1, "items": [{"a/b": 1}]}"#), Ok(()));
    assert_eq!(
        told(&schema, r#"{"qty": "x"}"#),
        r#"/qty: "x" is not of type "integer""#
    );
    assert_eq!(
        told(&schema, r#"{"items": [{"a/b": 1}, {}]}"#),
        r#"/items/1: "a/b" is a required property"#
    );
    let long = format!("{{\"qty\": {:?}}}", "x".repeat(10_000));
    assert_eq!(told(&schema, &long), "/qty: the text is not of type \"integer\"");
    assert!(told(&schema, "{").contains("not JSON"));
}

#[test]
fn the_bytes_stay_as_they_were_sent() {
    let schema = compiled(&json!({"type": "object"}));
    let mut out = b"kept".to_vec();
    schema.encode(b"{ \"a\": 1.0 }", &mut out).expect("a value");
    schema.encode(b"[]", &mut out).expect_err("no value");
    assert_eq!(out, b"kept{ \"a\": 1.0 }");
    assert_eq!(schema.json(b"{ }", 3), Ok("{ }".to_owned()));
    assert!(schema.json(b"{ }", 2).is_err());
    assert!(schema.json(b"{", 2).is_err() && schema.json(b"\"\xff\"", 9).is_err());
}

#[test]
fn a_draft_is_what_the_schema_says_or_7() {
    // A list of `items` is draft 7; the last drafts ignore it, and so does draft 7 what was new in those.
    let draft_7 = compiled(&json!({"items": [{"type": "integer"}], "prefixItems": [{"type": "string"}]}));
    assert!(draft_7.check(b"[\"x\"]").is_err() && draft_7.check(b"[1]").is_ok());
    let last = "https://json-schema.org/draft/2020-12/schema";
    let last = compiled(&json!({"$schema": last, "prefixItems": [{"type": "string"}]}));
    assert!(last.check(b"[\"x\"]").is_ok() && last.check(b"[1]").is_err());
    assert!(refusal(&json!({"$schema": "http://example.com/own"})).contains("is not known"));
    assert!(refusal(&json!({"type": "nothing"})).contains("/type"));
}

#[test]
fn a_format_does_not_decide() {
    let schema = compiled(&json!({"format": "date-time", "contentMediaType": "application/json"}));
    assert_eq!(schema.check(b"\"yesterday\""), Ok(()));
}

#[test]
fn references_are_found_by_name_and_by_id_and_never_elsewhere() {
    let integer = json!({"type": "integer", "definitions": {"positive": {"minimum": 1}}});
    for (id, name) in [
        (None, "other.json"),
        (Some("http://example.com/a/root.json"), "other.json"),
        (None, "http://example.com/other.json"),
    ] {
        let mut schema =
            json!({"properties": {"a": {"$ref": name}, "b": {"$ref": format!("{name}#/definitions/positive")}}});
        if let Some(id) = id {
            schema["$id"] = id.into();
        }
        let with = JsonSchema::compile(&source(&schema, &[(name, integer.clone())])).expect("a schema");
        assert_eq!(told(&with, r#"{"a": "x"}"#), r#"/a: "x" is not of type "integer""#);
        assert!(with.check(br#"{"b": 0}"#).is_err() && with.check(br#"{"a": 0, "b": 1}"#).is_ok());
        assert!(
            refusal(&schema).contains("is not among the references"),
            "{}",
            refusal(&schema)
        );
    }
    for address in ["file:///etc/hostname", "http://127.0.0.1:1/x", "ftp://example.com/x"] {
        let told = refusal(&json!({"$ref": address}));
        assert!(told.contains(address) && told.contains("never followed"), "{told}");
    }
    // A reference of a reference.
    let between = json!({"$id": "http://example.com/x/between.json", "$ref": "last.json"});
    let chain = source(
        &json!({"$ref": "between.json"}),
        &[("last.json", json!({"type": "null"})), ("between.json", between)],
    );
    let chain = JsonSchema::compile(&chain).expect("a schema");
    assert!(chain.check(b"null").is_ok() && chain.check(b"1").is_err());
}

#[test]
fn a_pattern_that_could_take_long_is_refused() {
    for pattern in [r"^(?=a)(?!b)\1$", r"(a)\1", r"(?<=a)b"] {
        let told = refusal(&json!({"properties": {"a": {"pattern": pattern}}}));
        assert!(told.contains("linear time") && told.contains("/properties/a"), "{told}");
    }
    assert!(refusal(&json!({"pattern": r"(\p{L}{1000}){1000}"})).contains("linear time"));
    let schema = compiled(&json!({"pattern": "^(a+)+$"}));
    let text = format!("\"{}b\"", "a".repeat(100_000));
    assert!(quickly(|| schema.check(text.as_bytes())).is_err());
    let many: Vec<Value> = (0..2_000).map(|n| json!({"pattern": format!("a{n}")})).collect();
    assert!(refusal(&json!({"anyOf": many})).contains("too many"));
}

#[test]
fn a_schema_that_refers_to_itself_without_an_end_is_refused() {
    for schema in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}]}),
        json!({"not": {"not": {"$ref": "#"}}}),
        json!({"$ref": "#/definitions/a", "definitions": {"a": {"anyOf": [{"$ref": "#/definitions/b"}]}, "b": {"$ref": "#/definitions/a"}}}),
        json!({"$ref": "#/definitions/a%20b", "definitions": {"a b": {"allOf": [{"$ref": "#/definitions/a%20b"}]}}}),
        json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "$dynamicAnchor": "n", "$dynamicRef": "#n"}),
    ] {
        assert!(refusal(&schema).contains("refers to itself"), "{}", refusal(&schema));
    }
    // What goes into a part of the value has an end.
    let list = compiled(&json!({"properties": {"next": {"$ref": "#"}}, "required": ["v"]}));
    assert!(list.check(br#"{"v": 1, "next": {"v": 2}}"#).is_ok());
    assert_eq!(
        told(&list, r#"{"v": 1, "next": {"next": {"v": 1}}}"#),
        "/next: \"v\" is a required property"
    );
}

#[test]
fn a_schema_that_doubles_its_work_with_each_reference_is_refused() {
    for (keyword, below) in [("allOf", false), ("anyOf", false), ("oneOf", true)] {
        let mut definitions = serde_json::Map::new();
        for n in 0..40 {
            let next = json!({"$ref": format!("#/definitions/d{}", n + 1)});
            let next = if below {
                json!({"properties": {"c": next}})
            } else {
                next
            };
            definitions.insert(format!("d{n}"), json!({keyword: [next, next]}));
        }
        definitions.insert("d40".to_owned(), json!({"type": "integer"}));
        let schema = json!({"$ref": "#/definitions/d0", "definitions": definitions});
        assert!(quickly(|| refusal(&schema)).contains("more than 1000000 steps"));
    }
}

#[test]
fn a_long_chain_of_references_does_not_overflow_the_stack() {
    let chain = |length: usize| {
        let mut definitions = serde_json::Map::new();
        for n in 0..length {
            definitions.insert(format!("d{n}"), json!({"$ref": format!("#/definitions/d{}", n + 1)}));
        }
        definitions.insert(
            format!("d{length}"),
            json!({"type": "object", "additionalProperties": {"$ref": "#"}}),
        );
        json!({"$ref": "#/definitions/d0", "definitions": definitions})
    };
    assert!(refusal(&chain(20_000)).contains("in a chain"));
    let schema = compiled(&chain(200));
    assert!(schema.check(br#"{"a": {"a": {}}}"#).is_ok());
    let deep = format!("{}{{}}{}", "{\"a\":".repeat(120), "}".repeat(120));
    assert!(told(&schema, &deep).contains("nested too deeply"));
    // As deep as is allowed.
    let schema = compiled(&chain(5));
    assert_eq!(schema.check(deep.as_bytes()), Ok(()));
    let wrong = deep.replace("{}", "1");
    assert!(told(&schema, &wrong).contains("is not of type"));
    assert!(refusal(&nested(500)).contains("recursion limit"));
    compiled(&nested(50));
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!({}), |schema, _| json!({"not": schema}))
}

#[test]
fn a_deep_value_does_not_take_exponential_time_with_alternatives_that_refer_to_themselves() {
    let schema = compiled(&json!({
        "anyOf": [
            {"properties": {"child": {"$ref": "#"}, "kind": {"const": "a"}}, "required": ["kind"]},
            {"properties": {"child": {"$ref": "#"}, "kind": {"const": "b"}}, "required": ["kind"]},
            {"type": "object", "additionalProperties": {"$ref": "#"}, "required": ["x"]},
        ],
    }));
    let value = format!("{}1{}", "{\"child\":".repeat(120), "}".repeat(120));
    assert!(quickly(|| told(&schema, &value)).contains("does not follow the schema"));
    let kinds = format!(
        "{}{{\"kind\":\"b\"}}{}",
        "{\"kind\":\"b\",\"child\":".repeat(100),
        "}".repeat(100)
    );
    assert_eq!(quickly(|| schema.check(kinds.as_bytes())), Ok(()));
    assert!(quickly(|| schema.check(kinds.replacen("\"b\"", "1", 1).as_bytes())).is_err());
    assert!(quickly(|| schema.check(kinds.replace("{\"kind\":\"b\"}", "{}").as_bytes())).is_err());
}

#[test]
fn many_items_do_not_take_quadratic_time() {
    let unique = compiled(&json!({"uniqueItems": true}));
    let items: Vec<Value> = (0..100_000).map(|n| json!({"n": n})).collect();
    let text = serde_json::to_vec(&items).expect("JSON");
    assert_eq!(quickly(|| unique.check(&text)), Ok(()));
    let alternatives = compiled(&json!({"anyOf": [{"items": {"type": "string"}}, {"items": {"type": "null"}}]}));
    assert!(quickly(|| alternatives.check(&text)).is_err());
    assert_eq!(
        told(&alternatives, "[1]"),
        "the value is not valid under any of the schemas listed in the 'anyOf' keyword"
    );
}

proptest! {
    #[test]
    fn no_bytes_make_a_check_panic(bytes: Vec<u8>) {
        let schema = compiled(&json!({"properties": {"a": {"type": "integer"}}}));
        let is_json = serde_json::from_slice::<Value>(&bytes).is_ok();
        prop_assert!(is_json || schema.check(&bytes).is_err());
        prop_assert!(is_json || schema.json(&bytes, 1_000).is_err());
    }

    #[test]
    fn no_text_makes_compiling_panic(text: String) {
        let _ = JsonSchema::compile(&Source { text, references: Vec::new() });
    }
}
