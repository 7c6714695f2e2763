//! Messages from JSON, one rule after the other.

use super::{all, old};
use crate::protobuf::Message;

fn bytes(message: &Message, json: &str) -> Vec<u8> {
    let mut out = vec![0xaa];
    message
        .encode(json.as_bytes(), &mut out)
        .unwrap_or_else(|wrong| panic!("{json}: {wrong}"));
    assert_eq!(out.remove(0), 0xaa);
    message.check(&out).unwrap_or_else(|wrong| panic!("{json}: {wrong}"));
    out
}

fn mistake(message: &Message, json: &str) -> String {
    let mut out = vec![0xaa];
    let wrong = message.encode(json.as_bytes(), &mut out).expect_err(json);
    assert_eq!(out, [0xaa], "what was before stays, and nothing else");
    wrong.to_string()
}

#[test]
fn fields_are_written_by_number_whatever_the_order_of_the_json() {
    let expected = [0x18, 5, 0x68, 1, 0x72, 2, b'h', b'i'];
    assert_eq!(
        bytes(&all(), r#"{"anInt32": 5, "aBool": true, "aString": "hi"}"#),
        expected
    );
    assert_eq!(
        bytes(&all(), r#"{"aString": "hi", "anInt32": 5, "aBool": true}"#),
        expected
    );
    assert_eq!(
        bytes(&all(), r#"{"a_bool": true, "a_string": "hi", "an_int32": 5}"#),
        expected
    );
}

#[test]
fn the_default_of_a_type_is_written_only_where_presence_counts() {
    assert_eq!(
        bytes(
            &all(),
            r#"{"anInt32": 0, "aString": "", "someBytes": "", "aColour": "NONE", "packed": []}"#
        ),
        [0u8; 0]
    );
    assert_eq!(
        bytes(
            &all(),
            r#"{"aBool": false, "aDouble": 0.0, "aFixed32": 0, "child": null}"#
        ),
        [0u8; 0]
    );
    assert_eq!(bytes(&all(), r#"{"maybe": 0}"#), [0x90, 1, 0]);
    assert_eq!(bytes(&all(), r#"{"text": ""}"#), [0xe2, 1, 0]);
    assert_eq!(bytes(&all(), r#"{"child": {}}"#), [0x8a, 1, 0]);
    assert_eq!(bytes(&all(), r#"{"wrapped": 0}"#), [0xba, 2, 0]);
}

#[test]
fn numbers_have_the_bytes_of_their_kinds() {
    assert_eq!(
        bytes(&all(), r#"{"anInt32": -1}"#),
        [&[0x18][..], &[0xff; 9], &[1]].concat()
    );
    assert_eq!(bytes(&all(), r#"{"aSint64": "-2"}"#), [0x40, 3]);
    assert_eq!(
        bytes(&all(), r#"{"aUint64": "18446744073709551615"}"#),
        [&[0x30][..], &[0xff; 9], &[1]].concat()
    );
    assert_eq!(bytes(&all(), r#"{"aSfixed32": -2}"#), [0x5d, 0xfe, 0xff, 0xff, 0xff]);
    assert_eq!(bytes(&all(), r#"{"aFloat": "Infinity"}"#), [0x15, 0, 0, 0x80, 0x7f]);
    assert_eq!(
        bytes(&all(), r#"{"packed": [1, 300, 1e2]}"#),
        [0x9a, 1, 4, 1, 0xac, 2, 100]
    );
    assert_eq!(bytes(&all(), r#"{"unpacked": [1, -1]}"#), [0xa0, 1, 2, 0xa0, 1, 1]);
    assert_eq!(bytes(&all(), r#"{"colours": ["RED", 2, 77]}"#), [0xc2, 1, 3, 1, 2, 77]);
    assert_eq!(bytes(&all(), r#"{"otherName": 1}"#), bytes(&all(), r#"{"renamed": 1}"#));
}

/// JSON that does not fit, and what is told of it.
const MISTAKES: &[(&str, &str)] = &[
    ("[]", "expected an object, got an array"),
    (r#"{"nope": 1}"#, "/nope: `test.All` has no field of this name"),
    (
        r#"{"child": {"anInt32": "x"}}"#,
        "/child/anInt32: expected int32, got \"x\"",
    ),
    (
        r#"{"children": [{}, {"aBool": 1}]}"#,
        "/children/1/aBool: expected bool, got 1",
    ),
    (r#"{"children": {}}"#, "/children: expected an array, got an object"),
    (r#"{"packed": [1, null]}"#, "/packed/1: expected int32, got null"),
    (r#"{"packed": 1}"#, "/packed: expected an array, got 1"),
    (
        r#"{"an_int32": 2147483648}"#,
        "/an_int32: 2147483648 is out of the range of int32",
    ),
    (r#"{"aUint32": -1}"#, "/aUint32: -1 is out of the range of uint32"),
    (r#"{"anInt64": 1.5}"#, "/anInt64: expected int64, got 1.5"),
    (
        r#"{"someBytes": "!"}"#,
        "/someBytes: expected bytes (base64), got \"!\"",
    ),
    (r#"{"aString": 5}"#, "/aString: expected string, got 5"),
    (
        r#"{"aColour": "PINK"}"#,
        "/aColour: expected a value of the enum `test.Colour`, got \"PINK\"",
    ),
    (
        r#"{"aBool": true, "anInt32": 1, "aBool": true}"#,
        "/aBool: the field is there twice",
    ),
    (r#"{"a_bool": true, "aBool": true}"#, "/aBool: the field is there twice"),
    (
        r#"{"text": "a", "number": 1}"#,
        "/number: another field of the oneof `choice` is set too; one at most may be",
    ),
    (
        r#"{"byNumber": {"x": {}}}"#,
        "/byNumber/x: the key of a map: expected int32, got \"x\"",
    ),
    (
        r#"{"byNumber": {"1": {"nope": 1}}}"#,
        "/byNumber/1/nope: `test.All` has no field of this name",
    ),
    (
        r#"{"byName": {"a": 1, "b": 2, "a": 3}}"#,
        "/byName/a: the key is there twice",
    ),
    (r#"{"byName": {"a": null}}"#, "/byName/a: expected int64, got null"),
    (
        r#"{"any": {"x": 1}}"#,
        "/any: `@type` is missing, which says the type of what is here",
    ),
    (
        r#"{"any": {"@type": "x/test.All", "nope": 1}}"#,
        "/any/nope: `test.All` has no field of this name",
    ),
    (
        r#"{"empty": {"a": 1}}"#,
        "/empty/a: `google.protobuf.Empty` has no field of this name",
    ),
    (
        r#"{"structure": {"a": 1, "a": 2}}"#,
        "/structure/a: the name is there twice",
    ),
];

#[test]
fn what_the_schema_does_not_say_is_refused_with_the_way_to_it() {
    let message = all();
    for (json, expected) in MISTAKES.iter().copied() {
        assert_eq!(mistake(&message, json), expected);
    }
    assert!(
        mistake(&message, r#"{"at": "yesterday"}"#)
            .starts_with("/at: \"yesterday\" is no `google.protobuf.Timestamp`: ")
    );
    assert!(
        mistake(&message, r#"{"any": {"@type": "x/None"}}"#).starts_with("/any/@type: expected a URL that ends in")
    );
    assert!(mistake(&message, r#"{"anInt32": 1"#).starts_with("the value is not JSON"));
}

#[test]
fn a_oneof_may_name_its_other_fields_as_long_as_they_are_null() {
    assert_eq!(
        bytes(&all(), r#"{"text": null, "number": 1, "message": null}"#),
        [0xe8, 1, 1]
    );
}

#[test]
fn proto2_is_held_to_its_required_fields_its_closed_enums_and_its_groups() {
    let order = old().message(None).expect("a message");
    let json = r#"{"id": "a", "line": [{"quantity": 1}, {"quantity": 0, "sku": "s"}]}"#;
    let expected = [10, 1, b'a', 0x1b, 8, 1, 0x1c, 0x1b, 8, 0, 0x12, 1, b's', 0x1c];
    assert_eq!(bytes(&order, json), expected);
    assert_eq!(order.json(&expected, 1_000).expect("JSON"), json.replace(' ', ""));
    assert_eq!(mistake(&order, "{}"), "/id: a required field is missing");
    assert_eq!(mistake(&order, r#"{"id": null}"#), "/id: a required field is missing");
    assert_eq!(
        mistake(&order, r#"{"id": "a", "parent": {}}"#),
        "/parent/id: a required field is missing"
    );
    assert_eq!(
        mistake(&order, r#"{"id": "a", "line": [{}]}"#),
        "/line/0/quantity: a required field is missing"
    );
    assert!(mistake(&order, r#"{"id": "a", "kind": 3}"#).contains("`old.Closed`"));
    // Presence counts for all fields of proto2.
    assert_eq!(bytes(&order, r#"{"id": "", "kind": "TWO"}"#), [10, 0, 16, 2]);
    assert!(mistake(&order, r#"{"id": "a", "[old.extra]": 1}"#).contains("no field of this name"));
}

#[test]
fn lengths_are_right_where_they_take_more_than_a_byte() {
    let message = all();
    for len in [0, 1, 100, 118, 119, 120, 127, 128, 129, 16_383, 16_384, 100_000] {
        let json = format!(
            r#"{{"child": {{"child": {{"text": "{0}"}}, "by_number": {{"7": {{"aString": "{0}"}}}}}}}}"#,
            "x".repeat(len)
        );
        let out = bytes(&message, &json);
        let back = message.json(&out, 1 << 20).expect("JSON");
        let json = json
            .replace("aString", "a_string")
            .replace(r#""a_string": """#, "")
            .replace(' ', "");
        assert_eq!(back, json);
    }
}

#[test]
fn messages_nest_a_hundred_deep_and_no_deeper() {
    let message = all();
    let nested = |depth: usize| format!("{}{{}}{}", r#"{"child":"#.repeat(depth), "}".repeat(depth));
    bytes(&message, &nested(100));
    assert!(mistake(&message, &nested(101)).contains("nest deeper than 100"));
    for depth in 0..120 {
        let list = format!(r#"{{"value": {}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        let object = format!(r#"{{"value": {}1{}}}"#, r#"{"a":"#.repeat(depth), "}".repeat(depth));
        for json in [list, object] {
            let mut out = Vec::new();
            if message.encode(json.as_bytes(), &mut out).is_ok() {
                message.check(&out).expect("what is written can be read");
                assert_eq!(
                    message.json(&out, 10_000).expect("JSON").replace("1.0", "1"),
                    json.replace(' ', "")
                );
            }
        }
    }
    let any = |depth: usize| {
        let open = r#"{"@type":"x/google.protobuf.Any","value":"#.repeat(depth);
        format!(r#"{{"any":{open}{{}}{}}}"#, "}".repeat(depth))
    };
    let out = bytes(&message, &any(50));
    assert_eq!(message.json(&out, 10_000).expect("JSON"), any(50));
}

#[test]
fn an_any_has_the_fields_of_its_type_or_its_special_json() {
    let message = all();
    for json in [
        r#"{"any":{"@type":"type.googleapis.com/test.All","an_int32":5,"strings":["a"]}}"#,
        r#"{"any":{"@type":"x/google.protobuf.Duration","value":"1.500s"}}"#,
        r#"{"any":{"@type":"x/google.protobuf.Struct","value":{"a":[null,"b"]}}}"#,
        r#"{"any":{}}"#,
    ] {
        assert_eq!(message.json(&bytes(&message, json), 1_000).expect("JSON"), json);
    }
    assert!(
        mistake(
            &message,
            r#"{"any": {"@type": "x/google.protobuf.Duration", "value": "1s", "b": 1}}"#
        )
        .contains("/any/b")
    );
    assert!(mistake(&message, r#"{"any": {"@type": "x/google.protobuf.Duration"}}"#).contains("`value` is missing"));
}

#[test]
fn null_is_a_value_where_protobuf_has_one() {
    let message = all();
    for json in [r#"{"value":null}"#, r#"{"list":[null,{"a":null}],"value":[null]}"#] {
        let out = bytes(&message, json);
        let back: serde_json::Value = serde_json::from_str(&message.json(&out, 1_000).expect("JSON")).expect("JSON");
        assert_eq!(back, serde_json::from_str::<serde_json::Value>(json).expect("JSON"));
    }
    assert_eq!(
        bytes(
            &message,
            r#"{"at": null, "wrapped": null, "structure": null, "any": null, "nothing": null}"#
        ),
        [0u8; 0]
    );
}
