use super::*;

const ORDER: &str = r#"{"type": "record", "name": "shop.Order", "fields": [
    {"name": "order_id", "type": "string"},
    {"name": "customer", "type": {"type": "record", "name": "Customer", "fields": [
        {"name": "id", "type": "string"},
        {"name": "tier", "type": {"type": "enum", "name": "Tier", "symbols": ["basic", "gold"]}, "default": "basic"}]}},
    {"name": "amount_cents", "type": "long"},
    {"name": "note", "type": ["null", "string"], "default": null},
    {"name": "items", "type": {"type": "array", "items": {"type": "record", "name": "Item", "fields": [
        {"name": "sku", "type": "string"}, {"name": "qty", "type": "int"}]}}},
    {"name": "coupon", "type": ["null", "string"]}
]}"#;

#[test]
fn fields_may_come_in_any_order_and_missing_ones_take_their_default() {
    let schema = schema(ORDER);
    let whole = r#"{"order_id":"o-1","customer":{"id":"c","tier":"gold"},"amount_cents":5,"note":"x","items":[{"sku":"s","qty":2}],"coupon":null}"#;
    assert_eq!(there_and_back(&schema, whole), whole);
    let moved = r#"{"items":[{"qty":2,"sku":"s"}],"note":"x","order_id":"o-1","coupon":null,"customer":{"tier":"gold","id":"c"},"amount_cents":5}"#;
    assert_eq!(there_and_back(&schema, moved), whole);
    let short = r#"{"order_id":"o-1","customer":{"id":"c"},"amount_cents":5,"items":[],"coupon":"y"}"#;
    let filled = r#"{"order_id":"o-1","customer":{"id":"c","tier":"basic"},"amount_cents":5,"note":null,"items":[],"coupon":"y"}"#;
    assert_eq!(there_and_back(&schema, short), filled);
}

/// What is replaced in a whole order, by what, and what is told of that.
const MISTAKES: &[(&str, &str, &str)] = &[
    (r#""id":"c""#, r#""id":5"#, "/customer/id: expected string, got 5"),
    (
        r#"5,"note""#,
        r#""x","note""#,
        "/amount_cents: expected long, got \"x\"",
    ),
    (r#"5,"note""#, r#"1.5,"note""#, "/amount_cents: expected long, got 1.5"),
    (
        r#"5,"note""#,
        r#"9223372036854775808,"note""#,
        "/amount_cents: expected long, got 9223372036854775808, which is more",
    ),
    (
        r#""qty":2"#,
        r#""qty":3000000000"#,
        "/items/0/qty: expected int, got 3000000000, which is more than it holds",
    ),
    (r#""qty":2"#, r#""qty":null"#, "/items/0/qty: expected int, got null"),
    (
        r#""gold""#,
        r#""silver""#,
        "/customer/tier: expected a symbol of shop.Tier (basic, gold), got \"silver\"",
    ),
    (r#""note":"x""#, r#""note":5"#, "/note: expected string, got 5"),
    (
        r#""note":"x""#,
        r#""note":{"string":5}"#,
        "/note/string: expected string, got 5",
    ),
    (r#""note":"x""#, r#""nota":"x""#, "/nota: shop.Order has no such field"),
    (
        r#""id":"c""#,
        r#""id":"c","i/d":1"#,
        "/customer/i~1d: shop.Customer has no such field (it has id, tier)",
    ),
    (
        r#""id":"c""#,
        r#""id":"c","id":"d""#,
        "/customer/id: the field is there twice",
    ),
    (
        r#""note":"x""#,
        r#""items":[],"note":"x""#,
        "/items: the field is there twice",
    ),
    (
        r#","coupon":null"#,
        "",
        "/coupon: missing, and its schema has no default: write null, or give the schema the default null",
    ),
    (
        r#""order_id":"o-1","#,
        "",
        "/order_id: missing, and its schema has no default",
    ),
    (
        r#"[{"sku":"s","qty":2}]"#,
        r#"{"sku":"s","qty":2}"#,
        "/items: expected an array, got an object",
    ),
    (
        r#"{"sku":"s","qty":2}"#,
        "[]",
        "/items/0: expected shop.Item (an object), got an array",
    ),
];

#[test]
fn a_mistake_is_told_with_the_path_to_it() {
    let schema = schema(ORDER);
    let whole = r#"{"order_id":"o-1","customer":{"id":"c","tier":"gold"},"amount_cents":5,"note":"x","items":[{"sku":"s","qty":2}],"coupon":null}"#;
    for (from, to, told) in MISTAKES.iter().copied() {
        let json = whole.replacen(from, to, 1);
        assert_ne!(json, whole);
        let wrong = encoded(&schema, &json).expect_err(told);
        assert!(wrong.starts_with(told), "{json}: {wrong}");
    }
    let wrong = encoded(&schema, &whole[1..]).expect_err("no JSON");
    assert!(wrong.starts_with("the value is not JSON"), "{wrong}");
}

#[test]
fn a_map_or_an_array_of_any_length_is_written_whole_and_a_key_never_twice() {
    let schema = schema(r#"{"type": "map", "values": {"type": "array", "items": "int"}}"#);
    let entries: Vec<String> = (0..100).map(|key| format!("\"k{key}\":[{key},1]")).collect();
    let json = format!("{{{}}}", entries.join(","));
    assert_eq!(there_and_back(&schema, &json), json);
    for key in [0, 5, 50, 99] {
        let json = format!("{{{},\"k{key}\":[]}}", entries.join(","));
        let wrong = encoded(&schema, &json).expect_err("twice");
        assert_eq!(wrong, format!("/k{key}: the key is there twice"));
    }
}

#[test]
fn a_number_is_never_written_as_another_one() {
    let double = schema(r#""double""#);
    for text in [
        "0.30000000000000004",
        "1e300",
        "5e-324",
        "123456789.12345678",
        "-0.0",
        "9007199254740993.5",
    ] {
        let number: f64 = text.parse().expect("a number");
        assert_eq!(encoded(&double, text), Ok(number.to_le_bytes().to_vec()), "{text}");
    }
    for word in ["NaN", "Infinity", "-Infinity"] {
        let json = format!("\"{word}\"");
        assert_eq!(there_and_back(&double, &json), json);
        assert_eq!(there_and_back(&schema("\"float\""), &json), json);
    }
    let float = schema(r#""float""#);
    assert_eq!(there_and_back(&float, "0.1"), "0.1");
    assert!(encoded(&float, "1e39").is_err());
    let long = schema(r#""long""#);
    assert_eq!(there_and_back(&long, "5.0"), "5");
    assert_eq!(there_and_back(&long, "1e3"), "1000");
    // As a double, it was rounded to a whole number that was not meant.
    for text in ["9007199254740993.0", "1e18", "0.5", "-0.1"] {
        assert!(encoded(&long, text).is_err(), "{text}");
    }
}

#[test]
fn dates_and_times_may_be_written_as_text() {
    let logical = |of: &str, name: &str| schema(&format!(r#"{{"type": "{of}", "logicalType": "{name}"}}"#));
    let cases = [
        ("int", "date", "2025-03-30", "20177"),
        ("int", "date", "1969-12-31", "-1"),
        ("int", "date", "2000-02-29", "11016"),
        ("int", "date", "0001-01-01", "-719162"),
        ("int", "time-millis", "10:20:30.5", "37230500"),
        ("long", "time-micros", "23:59:59.999999", "86399999999"),
        ("long", "timestamp-millis", "2025-03-30T10:20:30.123Z", "1743330030123"),
        (
            "long",
            "timestamp-millis",
            "2025-03-30T12:20:30.123000000+02:00",
            "1743330030123",
        ),
        ("long", "timestamp-micros", "1969-12-31T23:59:59.999999z", "-1"),
        (
            "long",
            "timestamp-nanos",
            "2025-03-30t10:20:30.123456789-00:30",
            "1743331830123456789",
        ),
        ("long", "local-timestamp-millis", "1970-01-02T00:00:00", "86400000"),
        ("long", "local-timestamp-nanos", "1970-01-01T00:00:00.000000001", "1"),
    ];
    for (of, name, text, number) in cases {
        let schema = logical(of, name);
        assert_eq!(there_and_back(&schema, &format!("\"{text}\"")), number, "{text}");
        assert_eq!(there_and_back(&schema, number), number);
    }
    let cases = [
        ("int", "date", "2025-02-29"),
        ("int", "date", "2025-13-01"),
        ("int", "date", "2025-3-1"),
        ("int", "date", "2025-03-30T"),
        ("int", "date", "+025-03-30"),
        ("int", "time-millis", "24:00:00"),
        ("int", "time-millis", "10:20:30.0005"),
        ("int", "time-millis", "10:20:30Z"),
        ("int", "time-millis", "10:20"),
        ("long", "timestamp-millis", "2025-03-30T10:20:30"),
        ("long", "timestamp-millis", "2025-03-30 10:20:30Z"),
        ("long", "timestamp-millis", "2025-03-30T10:20:60Z"),
        ("long", "timestamp-millis", "1743330030123"),
        ("long", "timestamp-nanos", "9999-01-01T00:00:00Z"),
        ("long", "local-timestamp-millis", "2025-03-30T10:20:30Z"),
        ("long", "timestamp-millis", "é"),
    ];
    for (of, name, text) in cases {
        let wrong = encoded(&logical(of, name), &format!("\"{text}\"")).expect_err(text);
        assert!(wrong.starts_with("expected "), "{wrong}");
    }
}

#[test]
fn a_decimal_is_its_bytes_or_a_number_that_it_holds_exactly() {
    let bytes = schema(
        r#"{"type": "record", "name": "R", "fields": [
        {"name": "d", "type": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}}]}"#,
    );
    let with = |number: &str| encoded(&bytes, &format!("{{\"d\": {number}}}"));
    let cases: &[(&str, &[u8])] = &[
        ("12.34", b"\x04\x04\xd2"),
        ("-12.34", b"\x04\xfb\x2e"),
        ("0", b"\x02\x00"),
        ("0.00", b"\x02\x00"),
        ("1.27", b"\x02\x7f"),
        ("1.28", b"\x04\x00\x80"),
        ("-1.28", b"\x02\x80"),
        ("1e3", b"\x06\x01\x86\xa0"),
        ("9999.99", b"\x06\x0f\x42\x3f"),
        ("\"\\u0004\\u00d2\"", b"\x04\x04\xd2"),
        ("\"12\"", b"\x0412"),
    ];
    for (number, payload) in cases {
        assert_eq!(with(number).as_deref(), Ok(*payload), "{number}");
    }
    for number in [
        "12.345",
        "10000",
        "1e10",
        "0.001",
        "12.340000000000002",
        "18446744073709551615",
        "true",
    ] {
        let wrong = with(number).expect_err(number);
        assert!(wrong.starts_with("/d: expected "), "{wrong}");
    }
    let fixed =
        schema(r#"{"type": "fixed", "name": "F", "size": 3, "logicalType": "decimal", "precision": 6, "scale": 1}"#);
    assert_eq!(encoded(&fixed, "-0.1").as_deref(), Ok(&b"\xff\xff\xff"[..]));
    assert_eq!(encoded(&fixed, "12.8").as_deref(), Ok(&b"\x00\x00\x80"[..]));
    assert!(encoded(&fixed, "0.12").is_err());
}

#[test]
fn a_uuid_is_one() {
    let uuid = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
    let text = schema(r#"{"type": "string", "logicalType": "uuid"}"#);
    assert_eq!(there_and_back(&text, &format!("\"{uuid}\"")), format!("\"{uuid}\""));
    let fixed = schema(r#"{"type": "fixed", "size": 16, "name": "F", "logicalType": "uuid"}"#);
    let payload = encoded(&fixed, &format!("\"{uuid}\"")).expect("a uuid");
    assert_eq!(payload[..6], *b"\xf8\x1d\x4f\xae\x7d\xec");
    assert_eq!(
        encoded(&fixed, "\"0123456789abcdef\"").as_deref(),
        Ok(&b"0123456789abcdef"[..])
    );
    for wrong in [
        "",
        "f81d4fae-7dec-11d0-a765-00a0c91e6bfg",
        "f81d4fae7dec11d0a76500a0c91e6bf6",
        "f81d4fae-7dec-11d0-a765-00a0c91e6bf66",
    ] {
        assert!(encoded(&text, &format!("\"{wrong}\"")).is_err());
        assert!(encoded(&fixed, &format!("\"{wrong}\"")).is_err());
    }
    assert!(read(&text, b"\x02x").is_err());
}

#[test]
fn a_short_text_cannot_make_gigabytes_of_defaults() {
    let long = "x".repeat(10_000);
    let text = format!(
        r#"{{"type": "array", "items": {{"type": "record", "name": "R", "fields": [{{"name": "a", "type": "string", "default": "{long}"}}]}}}}"#
    );
    let schema = schema(&text);
    let list = |items: usize| format!("[{}{{}}]", "{},".repeat(items));
    assert!(encoded(&schema, &list(100)).is_ok());
    let wrong = encoded(&schema, &list(100_000)).expect_err("a gigabyte");
    assert!(wrong.contains("left to their defaults"), "{wrong}");
}
