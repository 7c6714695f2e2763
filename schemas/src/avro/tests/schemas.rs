use std::fmt::Write as _;

use super::*;

const ORDER: &str = r#"{"type": "record", "name": "Order", "namespace": "shop", "fields": [
    {"name": "id", "type": {"type": "fixed", "name": "Id", "size": 1}},
    {"name": "other", "type": ["null", "shop.Id", "Order"]},
    {"name": "last", "type": {"type": "record", "name": "Nested", "namespace": "deep.er", "fields": [
        {"name": "x", "type": {"type": "enum", "name": "E", "symbols": ["A"]}}]}},
    {"name": "again", "type": ["deep.er.E", "deep.er.Nested"]}
]}"#;

#[test]
fn names_are_found_by_their_namespaces() {
    let schema = schema(ORDER);
    let json = r#"{"id": "a", "other": {"shop.Id": "b"}, "last": {"x": "A"}, "again": {"deep.er.E": "A"}}"#;
    let payload = encoded(&schema, json).expect("valid");
    assert_eq!(payload, b"a\x02b\x00\x00\x00");
    let json = r#"{"id": "a", "other": {"Id": "b"}, "last": {"x": "A"}, "again": "A"}"#;
    let wrong = encoded(&schema, json).expect_err("no such branch");
    assert!(
        wrong.starts_with("/other/Id: ") || wrong.starts_with("/other: "),
        "{wrong}"
    );
}

#[test]
fn a_record_that_holds_itself_is_named_as_a_branch_by_its_full_name() {
    let text = r#"{"type": "record", "name": "n.L", "fields": [{"name": "next", "type": ["null", "L", {"type": "map", "values": "L"}]}]}"#;
    let schema = schema(text);
    let json = r#"{"next": {"n.L": {"next": {"map": {"k": {"next": null}}}}}}"#;
    assert_eq!(encoded(&schema, json).as_deref(), Ok(&b"\x02\x04\x02\x02k\x00\x00"[..]));
}

#[test]
fn a_name_without_namespace_is_found_from_within_one_as_by_javas_library() {
    let text = r#"{"type": "record", "name": "a.R", "fields": [{"name": "x", "type": "Id"}]}"#;
    let id = r#"{"type": "fixed", "name": "Id", "size": 2}"#;
    let schema = refers_to(text, &[("Id", id)]).expect("valid");
    assert_eq!(encoded(&schema, r#"{"x": "ab"}"#).as_deref(), Ok(&b"ab"[..]));
}

#[test]
fn what_a_schema_refers_to_is_known_in_it_and_a_mistake_there_is_told() {
    let customer = r#"{"type": "record", "name": "shop.Customer", "fields": [{"name": "tier", "type": "shop.Tier"}]}"#;
    let tier = r#"{"type": "enum", "name": "shop.Tier", "symbols": ["gold"]}"#;
    let text = r#"{"type": "array", "items": "shop.Customer"}"#;
    let schema = refers_to(text, &[("tier", tier), ("customer", customer)]).expect("valid");
    assert_eq!(
        encoded(&schema, r#"[{"tier": "gold"}]"#).as_deref(),
        Ok(&b"\x02\x00\x00"[..])
    );
    let bad = refers_to(text, &[("customer", customer)])
        .map(|_| ())
        .expect_err("no tier");
    assert!(
        bad.starts_with("in the reference \"customer\": /tier: there is no type \"shop.Tier\""),
        "{bad}"
    );
}

#[test]
fn a_schema_that_readers_would_not_take_is_refused_with_its_reason() {
    let cases = [
        ("", "the schema is not JSON"),
        ("[\"int\"", "the schema is not JSON"),
        ("5", "not 5"),
        (r#""strin""#, "there is no type \"strin\""),
        ("{}", "without \"type\""),
        ("[]", "without branches"),
        (r#"["int", "int"]"#, "\"int\" twice"),
        (r#"["int", {"type": "int", "logicalType": "date"}]"#, "\"int\" twice"),
        (
            r#"[{"type": "map", "values": "int"}, {"type": "map", "values": "long"}]"#,
            "\"map\" twice",
        ),
        (r#"["null", ["int"]]"#, "cannot be a branch"),
        (r#"["null", {"type": ["int"]}]"#, "cannot be a branch"),
        (r#"{"type": "array"}"#, "\"items\" is missing"),
        (r#"{"type": "map"}"#, "\"values\" is missing"),
        (r#"{"type": "int", "type": "long"}"#, "\"type\" twice"),
        (r#"{"type": "fixed", "name": "F"}"#, "not nothing"),
        (r#"{"type": "fixed", "name": "F", "size": -1}"#, "not -1"),
        (
            r#"{"type": "fixed", "name": "F", "size": 9999999999}"#,
            "not 9999999999",
        ),
        (r#"{"type": "fixed", "size": 1}"#, "has no name"),
        (r#"{"type": "fixed", "name": "1F", "size": 1}"#, "cannot be a name"),
        (r#"{"type": "enum", "name": "E", "symbols": ["A", "A"]}"#, "\"A\" twice"),
        (
            r#"{"type": "enum", "name": "E", "symbols": ["A-B"]}"#,
            "cannot be a name",
        ),
        (
            r#"{"type": "enum", "name": "E", "symbols": ["A"], "default": "B"}"#,
            "no symbol of it",
        ),
        (r#"{"type": "enum", "name": "E"}"#, "\"symbols\" is missing"),
        (r#"{"type": "record", "name": "R"}"#, "\"fields\" is missing"),
        (
            r#"{"type": "record", "name": "R", "fields": [{"type": "int"}]}"#,
            "has no name",
        ),
        (
            r#"{"type": "record", "name": "R", "fields": [{"name": "a"}]}"#,
            "/a: \"type\" is missing",
        ),
        (
            r#"{"type": "record", "name": "R", "fields": [{"name": "a", "type": "array", "items": "int"}]}"#,
            "{\"type\": {",
        ),
        (
            r#"{"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}, {"name": "a", "type": "int"}]}"#,
            "/a: ",
        ),
        (
            r#"[{"type": "fixed", "name": "F", "size": 1}, {"type": "enum", "name": "F", "symbols": []}]"#,
            "\"F\" is defined twice",
        ),
        (
            r#"{"type": "record", "name": "R", "fields": [{"name": "a", "type": "R"}]}"#,
            "no value of \"R\" can end",
        ),
        (
            r#"{"type": "record", "name": "R", "fields": [{"name": "a", "type": ["R"]}]}"#,
            "no value of \"R\" can end",
        ),
    ];
    for (text, reason) in cases {
        let bad = refused(text);
        assert!(bad.contains(reason), "{text}: {bad}");
    }
}

#[test]
fn a_record_that_holds_itself_by_way_of_another_is_refused_also_if_that_one_was_done_before() {
    let text = r#"{"type": "record", "name": "A", "fields": [
        {"name": "f", "type": ["null", {"type": "record", "name": "B", "fields": [{"name": "g", "type": "A"}]}]},
        {"name": "h", "type": "B"}]}"#;
    assert!(refused(text).contains("can end"));
    schema(&text.replace(r#""type": "B"}"#, r#""type": {"type": "map", "values": "B"}}"#));
}

#[test]
fn a_logical_type_that_is_unknown_or_does_not_fit_changes_nothing() {
    let cases = [
        r#"{"type": "int", "logicalType": "half-life"}"#,
        r#"{"type": "int", "logicalType": "timestamp-millis"}"#,
        r#"{"type": "int", "logicalType": 5}"#,
    ];
    for text in cases {
        assert_eq!(there_and_back(&schema(text), "5"), "5");
        assert!(encoded(&schema(text), "\"1970-01-01\"").is_err());
    }
    for wrong in [
        r#""precision": 0"#,
        r#""precision": 2, "scale": 3"#,
        r#""precision": "2""#,
        r#""precision": 3, "scale": -1"#,
    ] {
        let text =
            format!(r#"["null", {{"type": "fixed", "name": "F", "size": 1, "logicalType": "decimal", {wrong}}}]"#);
        assert!(encoded(&schema(&text), "1").is_err(), "{text}");
    }
}

#[test]
fn the_default_of_a_union_may_be_of_any_branch_and_is_of_the_first_that_takes_it() {
    let with = |of: &str, default: &str| {
        format!(r#"{{"type": "record", "name": "R", "fields": [{{"name": "a", "type": {of}, "default": {default}}}]}}"#)
    };
    let cases: &[(&str, &str, &[u8])] = &[
        (r#"["null", "string"]"#, "null", b"\x00"),
        (r#"["null", "string"]"#, r#""x""#, b"\x02\x02x"),
        (r#"["bytes", "string"]"#, r#""\u00ff""#, b"\x00\x02\xff"),
        (r#"["bytes", "string"]"#, r#""\u0100""#, b"\x02\x04\xc4\x80"),
        ("\"int\"", "-1", b"\x01"),
        (
            r#"{"type": "array", "items": ["null", "int"]}"#,
            "[null, 1]",
            b"\x04\x00\x02\x02\x00",
        ),
        (
            r#"{"type": "map", "values": "boolean"}"#,
            r#"{"k": true}"#,
            b"\x02\x02k\x01\x00",
        ),
    ];
    for (of, default, payload) in cases {
        let schema = schema(&with(of, default));
        assert_eq!(encoded(&schema, "{}").as_deref(), Ok(*payload), "{of} {default}");
    }
    for (of, default) in [
        ("\"int\"", "null"),
        ("\"int\"", "3000000000"),
        ("\"string\"", "5"),
        (r#"["null", "int"]"#, "\"x\""),
        (r#"{"type": "enum", "name": "E", "symbols": ["A"]}"#, "\"B\""),
        (r#"{"type": "array", "items": "int"}"#, "[1, \"x\"]"),
    ] {
        let bad = refused(&with(of, default));
        assert!(
            bad.starts_with("the default of the field \"a\" of \"R\" does not fit"),
            "{bad}"
        );
    }
}

#[test]
fn a_default_takes_the_defaults_of_the_records_in_it_wherever_they_are_defined() {
    let text = r#"{"type": "record", "name": "A", "fields": [
        {"name": "n", "type": "int", "default": 7},
        {"name": "b", "type": {"type": "array", "items": {"type": "record", "name": "B", "fields": [
            {"name": "a", "type": ["A", "null"], "default": {"b": []}}]}}, "default": [{"a": null}]}]}"#;
    let schema = schema(text);
    assert_eq!(
        read(&schema, &encoded(&schema, "{}").expect("valid")).as_deref(),
        Ok(r#"{"n":7,"b":[{"a":null}]}"#)
    );
    let json = r#"{"b": [{}]}"#;
    assert_eq!(there_and_back(&schema, json), r#"{"n":7,"b":[{"a":{"n":7,"b":[]}}]}"#);
    let endless = text.replace(r#"{"b": []}"#, "{}").replace(r#"[{"a": null}]"#, "[{}]");
    let bad = refused(&endless.replace(r#"["A", "null"]"#, r#"["A"]"#));
    assert!(bad.contains("does not fit"), "{bad}");
}

/// Records of which each holds the last twice.
fn doubling(levels: usize, field: &str) -> String {
    let mut text = format!(r#"[{{"type": "record", "name": "R0", "fields": [{field}]}}"#);
    for level in 1..levels {
        let field = format!(r#""type": "R{}", "default": {{}}"#, level - 1);
        let fields = format!(r#"{{"name": "a", {field}}}, {{"name": "b", {field}}}"#);
        let _ = write!(
            text,
            r#", {{"type": "record", "name": "R{level}", "fields": [{fields}]}}"#
        );
    }
    text.push(']');
    text
}

#[test]
fn a_short_schema_cannot_make_long_defaults_or_values_without_end() {
    let bad = refused(&doubling(60, r#"{"name": "x", "type": "int", "default": 0}"#));
    assert!(bad.contains("more than 1048576 bytes"), "{bad}");
    // Without bytes, a value of the last would be visited 2^60 times.
    let schema = schema(&doubling(60, r#"{"name": "x", "type": "null", "default": null}"#));
    let wrong = read(&schema, b"\x76").expect_err("too many");
    assert!(wrong.contains("take no bytes"), "{wrong}");
    let wrong = encoded(&schema, r#"{"R59": {}}"#).expect_err("too many");
    assert!(wrong.contains("take no bytes"), "{wrong}");
}

#[test]
fn a_default_that_could_be_read_in_endless_ways_is_refused_in_time() {
    let depth = 40;
    let both = r#"[{"type": "record", "name": "A", "fields": [{"name": "f", "type": ["null", "A",
        {"type": "record", "name": "B", "fields": [{"name": "f", "type": ["null", "A", "B"]}]}]}]}, "B"]"#;
    let default = format!("{}5{}", r#"{"f": "#.repeat(depth), "}".repeat(depth));
    let text = format!(
        r#"{{"type": "record", "name": "R", "fields": [{{"name": "a", "type": {both}, "default": {default}}}]}}"#
    );
    let bad = refused(&text);
    assert!(bad.contains("too many ways"), "{bad}");
}

#[test]
fn a_schema_of_any_size_is_compiled_in_time_or_refused() {
    assert!(refused(&"[".repeat(100_000)).contains("not JSON"));
    let nested = |deep: usize| {
        format!(
            "{}\"int\"{}",
            r#"{"type": "array", "items": "#.repeat(deep),
            "}".repeat(deep)
        )
    };
    schema(&nested(120));
    refused(&nested(130));
    // One record of many fields, which each defines a type; and one that goes on from type to type.
    let mut fields = String::new();
    for number in 0..9_900 {
        let of = match number {
            0 => "\"int\"".to_owned(),
            _ => format!(r#"["null", "T{}"]"#, number - 1),
        };
        if number > 0 {
            fields.push(',');
        }
        let _ = write!(
            fields,
            r#"{{"name": "f{number}", "default": null, "type": ["null", {{"type": "record", "name": "T{number}",
            "fields": [{{"name": "x", "type": {of}}}]}}]}}"#
        );
        if number == 3_300 {
            schema(&format!(r#"{{"type": "record", "name": "R", "fields": [{fields}]}}"#));
        }
    }
    let text = format!(r#"{{"type": "record", "name": "R", "fields": [{fields}]}}"#);
    assert!(refused(&text).contains("more than 10000 types"));
}
