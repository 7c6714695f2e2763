use super::*;

/// A number as Avro writes it.
fn long(number: i64) -> Vec<u8> {
    encoded(&schema("\"long\""), &number.to_string()).expect("a long")
}

fn read_all(schema: &AvroSchema, parts: &[&[u8]]) -> Result<String, String> {
    read(schema, &parts.concat())
}

#[test]
fn blocks_are_read_in_each_form_that_writers_may_use() {
    let array = schema(r#"{"type": "array", "items": "int"}"#);
    assert_eq!(read(&array, b"\x00").as_deref(), Ok("[]"));
    assert_eq!(read(&array, b"\x02\x02\x04\x04\x06\x00").as_deref(), Ok("[1,2,3]"));
    assert_eq!(read(&array, b"\x03\x04\x02\x04\x02\x06\x00").as_deref(), Ok("[1,2,3]"));
    let map = schema(r#"{"type": "map", "values": "int"}"#);
    assert_eq!(
        read(&map, b"\x01\x06\x02a\x02\x02\x02b\x04\x00").as_deref(),
        Ok(r#"{"a":1,"b":2}"#)
    );
    assert_eq!(
        read(&map, b"\x04\x02a\x02\x02a\x04\x00").as_deref(),
        Err(&"/a: the key is there twice".to_owned())
    );
}

#[test]
fn a_block_or_a_length_that_the_bytes_do_not_pay_for_is_refused() {
    let array = schema(r#"{"type": "array", "items": "int"}"#);
    let cases: [&[&[u8]]; 8] = [
        &[&long(1 << 60)],
        &[&long(3), b"\x00\x00"],
        &[&long(i64::MIN), &long(0)],
        &[&long(-2), &long(100), b"\x02\x04\x00"],
        &[&long(-2), &long(-1), b"\x02\x04\x00"],
        &[&long(-2), &long(i64::MIN), b"\x02\x04\x00"],
        &[&long(-2), &long(1), b"\x02\x04\x00"],
        &[b"\x02\x02"],
    ];
    for parts in cases {
        assert!(read_all(&array, parts).is_err(), "{parts:?}");
    }
    let text = schema("\"string\"");
    for length in [1, -1, i64::MAX, i64::MIN] {
        assert!(read_all(&text, &[&long(length)]).is_err());
    }
    assert!(read(&schema(r#"{"type": "fixed", "name": "F", "size": 3}"#), b"ab").is_err());
}

#[test]
fn items_of_no_bytes_are_bounded_in_number() {
    let nulls = schema(r#"{"type": "array", "items": "null"}"#);
    assert!(read_all(&nulls, &[&long(10_000), b"\x00"]).is_ok());
    assert!(read_all(&nulls, &[&long(10_001), b"\x00"]).is_err());
    assert!(read_all(&nulls, &[&long(1 << 60), b"\x00"]).is_err());
    assert!(read_all(&nulls, &[&long(9_000), &long(9_000), b"\x00"]).is_err());
    assert!(read_all(&nulls, &[&long(i64::MIN), &long(0), b"\x00"]).is_err());
    let many = format!("[{}null]", "null,".repeat(10_000));
    assert!(encoded(&nulls, &many).is_err());
    let records = schema(
        r#"{"type": "array", "items": {"type": "record", "name": "R", "fields": [{"name": "a", "type": "null"}]}}"#,
    );
    assert!(read_all(&records, &[&long(5_000), b"\x00"]).is_ok());
    assert!(read_all(&records, &[&long(5_001), b"\x00"]).is_err());
}

#[test]
fn a_value_is_not_read_deeper_than_its_json_could_be() {
    let list = schema(r#"{"type": "record", "name": "L", "fields": [{"name": "next", "type": ["null", "L"]}]}"#);
    let nested = |deep: usize| [vec![2; deep - 1], vec![0]].concat();
    let json = read(&list, &nested(127)).expect("as deep as JSON");
    assert_eq!(there_and_back(&list, &json), json);
    let wrong = read(&list, &nested(128)).expect_err("too deep");
    assert!(wrong.contains("nested more than 127 deep"), "{wrong}");
    assert!(read(&list, &nested(1_000_000)).is_err());
}

#[test]
fn bytes_that_no_writer_makes_are_refused_with_the_path_to_them() {
    let cases: &[(&str, &[u8], &str)] = &[
        ("\"boolean\"", b"\x02", "expected boolean, got the byte 2"),
        (
            "\"boolean\"",
            b"",
            "the payload ends too early: 1 bytes are to follow, but 0 are left",
        ),
        ("\"int\"", b"\x80", "the payload ends within a number"),
        (
            "\"int\"",
            b"\xff\xff\xff\xff\x1f",
            "expected int, got a number that is more than it holds",
        ),
        (
            "\"int\"",
            b"\xff\xff\xff\xff\xff\x00",
            "a number has more bytes than its type may have",
        ),
        (
            "\"long\"",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
            "a number has more bytes than its type may have",
        ),
        ("\"long\"", b"\x02\x00", "1 bytes are left after the value's end"),
        (
            "\"string\"",
            b"\x02\xff",
            "expected string, got bytes that are not UTF-8",
        ),
        (
            r#"["null"]"#,
            b"\x02",
            "expected a branch of the union (null), got a number that none has",
        ),
        (
            r#"["null"]"#,
            b"\x01",
            "expected a branch of the union (null), got a number that none has",
        ),
        (
            r#"{"type": "enum", "name": "E", "symbols": ["A"]}"#,
            b"\x02",
            "expected a symbol of E, got a number that none has",
        ),
        (
            r#"{"type": "map", "values": {"type": "array", "items": "boolean"}}"#,
            b"\x02\x02k\x04\x00\x05\x00\x00",
            "/k/1: expected boolean, got the byte 5",
        ),
    ];
    for (text, payload, told) in cases {
        assert_eq!(
            read(&schema(text), payload).as_deref(),
            Err(&(*told).to_owned()),
            "{text}"
        );
    }
    // Longer than needed, but each reader takes it.
    assert_eq!(read(&schema("\"int\""), b"\x82\x80\x80\x80\x00").as_deref(), Ok("1"));
}

#[test]
fn a_text_is_never_longer_than_was_asked() {
    let schema = schema(r#"{"type": "map", "values": ["double", "bytes", {"type": "array", "items": "string"}]}"#);
    let json = r#"{"a":0.1,"b":"ÿ\u0000","c":["\u0001","x"]}"#;
    let payload = encoded(&schema, r#"{"a":0.1,"b":{"bytes":"ÿ\u0000"},"c":["\u0001","x"]}"#).expect("valid");
    assert_eq!(schema.json(&payload, json.len()).as_deref(), Ok(json));
    for most in 0..json.len() {
        let wrong = schema.json(&payload, most).expect_err("longer");
        assert_eq!(wrong.reason(), format!("the value is more than {most} bytes as JSON"));
    }
}
