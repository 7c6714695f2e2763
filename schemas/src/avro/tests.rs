//! Tests of the whole way: a schema's text, JSON, bytes and back.

mod decoding;
mod encoding;
mod properties;
mod schemas;
mod shapes;
mod unions;

use super::AvroSchema;
use crate::Source;

fn schema(text: &str) -> AvroSchema {
    refers_to(text, &[]).unwrap_or_else(|bad| panic!("{text}: {bad}"))
}

/// A schema with these references.
fn refers_to(text: &str, references: &[(&str, &str)]) -> Result<AvroSchema, String> {
    let references = references
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let source = Source {
        text: text.to_owned(),
        references: references.collect(),
    };
    AvroSchema::compile(&source).map_err(|bad| bad.to_string())
}

/// What a schema is refused with.
fn refused(text: &str) -> String {
    match refers_to(text, &[]) {
        Ok(_) => panic!("taken: {text}"),
        Err(bad) => bad,
    }
}

fn encoded(schema: &AvroSchema, json: &str) -> Result<Vec<u8>, String> {
    let mut out = b"before".to_vec();
    let told = schema
        .encode(json.as_bytes(), &mut out)
        .map_err(|wrong| wrong.to_string());
    assert_eq!(out[..6], *b"before");
    if told.is_err() {
        assert_eq!(out.len(), 6);
    }
    told.map(|()| out.split_off(6))
}

/// Encodes, checks and decodes.
fn there_and_back(schema: &AvroSchema, json: &str) -> String {
    let payload = encoded(schema, json).unwrap_or_else(|wrong| panic!("{json}: {wrong}"));
    assert_eq!(schema.check(&payload), Ok(()));
    schema.json(&payload, 1 << 20).expect("what was encoded")
}

fn read(schema: &AvroSchema, payload: &[u8]) -> Result<String, String> {
    let checked = schema.check(payload).map_err(|wrong| wrong.to_string());
    let json = schema.json(payload, 1 << 20).map_err(|wrong| wrong.to_string());
    assert_eq!(json.clone().map(|_| ()), checked);
    json
}

#[test]
fn a_value_has_the_bytes_of_the_specification() {
    let record = r#"{"type": "record", "name": "test", "fields": [{"name": "a", "type": "long"}, {"name": "b", "type": "string"}]}"#;
    let suit = r#"{"type": "enum", "name": "Foo", "symbols": ["A", "B", "C", "D"]}"#;
    let cases: &[(&str, &str, &[u8])] = &[
        (record, r#"{"a": 27, "b": "foo"}"#, b"\x36\x06foo"),
        (r#""string""#, r#""foo""#, b"\x06foo"),
        (r#"{"type": "array", "items": "long"}"#, "[3, 27]", b"\x04\x06\x36\x00"),
        (r#"["null", "string"]"#, "null", b"\x00"),
        (r#"["null", "string"]"#, r#"{"string": "a"}"#, b"\x02\x02a"),
        (suit, r#""D""#, b"\x06"),
        (r#""int""#, "-2", b"\x03"),
        (r#""int""#, "-64", b"\x7f"),
        (r#""int""#, "64", b"\x80\x01"),
        (
            r#""long""#,
            "-9223372036854775808",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ),
        (
            r#""long""#,
            "9223372036854775807",
            b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ),
        (r#""boolean""#, "true", b"\x01"),
        (r#""null""#, "null", b""),
        (r#""float""#, "1.5", b"\x00\x00\xc0\x3f"),
        (r#""double""#, "1.5", b"\x00\x00\x00\x00\x00\x00\xf8\x3f"),
        (
            r#"{"type": "map", "values": "bytes"}"#,
            r#"{"k": "\u00ff"}"#,
            b"\x02\x02k\x02\xff\x00",
        ),
        (
            r#"{"type": "fixed", "name": "F", "size": 2}"#,
            r#""\u0000\u00fe""#,
            b"\x00\xfe",
        ),
    ];
    for (text, json, payload) in cases {
        let schema = schema(text);
        assert_eq!(encoded(&schema, json).as_deref(), Ok(*payload), "{text} {json}");
        assert_eq!(schema.check(payload), Ok(()), "{text} {json}");
    }
}

#[test]
fn a_value_of_a_schema_that_is_only_bytes_has_no_length_before_it_as_with_confluents_serializers() {
    let schema = schema(r#""bytes""#);
    assert_eq!(encoded(&schema, r#""a\u00ffb""#).as_deref(), Ok(&b"a\xffb"[..]));
    assert_eq!(read(&schema, b"a\xffb").as_deref(), Ok("\"aÿb\""));
    assert_eq!(read(&schema, b"").as_deref(), Ok("\"\""));
}
