//! What may be the bytes of a message, and what JSON comes of it.

use proptest::prelude::*;

use super::{all, compiled, old};
use crate::protobuf::json::MOST_VALUES;

#[test]
fn bytes_that_are_no_message_are_refused_with_the_way_to_it() {
    let cases: [(&[u8], &str); 14] = [
        (&[0x18], "/anInt32: a varint is cut off by the end of its message"),
        (
            &[0x1a, 0],
            "/anInt32: it is int32, and its bytes have the wire type 2, not 0",
        ),
        (&[0x72, 1, 0xff], "/aString: a string is not UTF-8"),
        (&[0x72, 2, b'a'], "/aString: a length is 2, and only 1 bytes follow"),
        (&[0x8a, 1, 2, 0x18], "/child: a length is 2, and only 1 bytes follow"),
        (
            &[0x8a, 1, 1, 0x18, 5],
            "/child/anInt32: a varint is cut off by the end of its message",
        ),
        (
            &[0x4d, 1, 2, 3],
            "/aFixed32: a fixed number is cut off by the end of its message",
        ),
        (
            &[0xba, 1, 3, 0, 0, 0],
            "/doubles: 3 bytes are no row of numbers of 8 bytes each",
        ),
        (
            &[0x9a, 1, 1, 0x80],
            "/packed: a varint is cut off by the end of its message",
        ),
        (&[0x00], "the number of a field is 0; it has to be 1 to 536870911"),
        (
            &[0xa0, 0x3f, 0x80],
            "field 1012, which is unknown: a varint is cut off by the end of its message",
        ),
        (&[0xa6, 0x3f], "field 1012, which is unknown: there is no wire type 6"),
        (
            &[0xa4, 0x3f],
            "field 1012, which is unknown: a group ends that has not begun",
        ),
        (&[0xca, 1, 3, 0x0a, 1, 0xff], "/byName/key: a string is not UTF-8"),
    ];
    let message = all();
    for (bytes, expected) in cases {
        assert_eq!(message.check(bytes).expect_err(expected).to_string(), expected);
        assert!(message.json(bytes, 1_000).is_err());
    }
}

#[test]
fn fields_that_a_newer_schema_has_are_passed_over() {
    let message = all();
    // A varint, bytes, a fixed number, and a group with a group in it.
    let bytes = [
        0xa0, 0x3f, 5, 0xa2, 0x3f, 1, 0xff, 0xa5, 0x3f, 1, 2, 3, 4, 0xa3, 0x3f, 0x0b, 0x0c, 0xa4, 0x3f, 0x18, 7,
    ];
    message.check(&bytes).expect("a message");
    assert_eq!(message.json(&bytes, 100).expect("JSON"), r#"{"an_int32":7}"#);
    // A number that the enum does not have.
    assert_eq!(message.json(&[0x80, 1, 99], 100).expect("JSON"), r#"{"a_colour":99}"#);
}

#[test]
fn numbers_in_a_row_and_numbers_one_by_one_are_both_read() {
    let message = all();
    assert_eq!(
        message.json(&[0x98, 1, 1, 0x98, 1, 2], 100).expect("JSON"),
        r#"{"packed":[1,2]}"#
    );
    assert_eq!(
        message.json(&[0xa2, 1, 2, 2, 1], 100).expect("JSON"),
        r#"{"unpacked":["1","-1"]}"#
    );
}

#[test]
fn proto2_is_read_with_its_required_fields_and_groups() {
    let order = old().message(None).expect("a message");
    order.check(&[10, 0]).expect("a message");
    assert_eq!(
        order.check(&[]).expect_err("no id").to_string(),
        "/id: a required field is missing"
    );
    let no_end = order.check(&[10, 0, 0x1b, 8, 1]).expect_err("no end").to_string();
    assert_eq!(no_end, "/line: the group of field 3 has no end");
    let wrong_end = order
        .check(&[10, 0, 0x1b, 8, 1, 0x24])
        .expect_err("another end")
        .to_string();
    assert_eq!(
        wrong_end,
        "/line: field 4, which is unknown: a group ends that has not begun"
    );
    // The extension is there, and unknown.
    assert_eq!(order.json(&[10, 0, 0xa0, 6, 1], 100).expect("JSON"), r#"{"id":""}"#);
}

#[test]
fn bytes_that_nest_without_end_are_refused() {
    let message = all();
    let mut nested = Vec::new();
    for _ in 0..200 {
        let mut around = vec![0x8a, 1];
        crate::protobuf::wire::put_varint(&mut around, nested.len() as u64);
        around.extend_from_slice(&nested);
        nested = around;
    }
    assert!(
        message
            .check(&nested)
            .expect_err("too deep")
            .to_string()
            .contains("nest deeper than 100")
    );
    assert!(message.check(&[0xa3, 0x3f].repeat(100_000)).is_err());

    // Each of these is only bytes to the one around it.
    let url = b"x/google.protobuf.Any";
    let mut any = Vec::new();
    for _ in 0..5_000 {
        let mut around = vec![0x0a, url.len() as u8];
        around.extend_from_slice(url);
        around.push(0x12);
        crate::protobuf::wire::put_varint(&mut around, any.len() as u64);
        around.extend_from_slice(&any);
        any = around;
    }
    let mut bytes = vec![0xaa, 2];
    crate::protobuf::wire::put_varint(&mut bytes, any.len() as u64);
    bytes.extend_from_slice(&any);
    message.check(&bytes).expect("a message");
    // From some depth on, they are shown as such.
    let json = message.json(&bytes, 1 << 20).expect("JSON");
    assert_eq!(json.matches("@type").count(), 100);
}

#[test]
fn a_message_of_very_many_values_is_not_unfolded() {
    let message = all();
    for (field, filler) in [(vec![0x9a, 1], 1u8), (vec![0xba, 1], 0)] {
        let len = MOST_VALUES * 8 + 8;
        let mut bytes = field;
        crate::protobuf::wire::put_varint(&mut bytes, len as u64);
        bytes.resize(bytes.len() + len, filler);
        message.check(&bytes).expect("a message");
        let error = message.json(&bytes, usize::MAX).expect_err("too many").to_string();
        assert!(error.contains("65536 values"), "{error}");
    }
    let empty = [0xb2, 1, 0].repeat(MOST_VALUES + 1);
    assert!(message.json(&empty, usize::MAX).is_err());
    let unknown = [0xa0, 0x3f, 5].repeat(MOST_VALUES + 1);
    assert!(message.json(&unknown, usize::MAX).is_err());
}

#[test]
fn json_is_not_longer_than_asked_for() {
    let message = all();
    let bytes = [0x18, 7];
    assert_eq!(message.json(&bytes, 14).expect("JSON").len(), 14);
    let error = message.json(&bytes, 13).expect_err("too long").to_string();
    assert_eq!(error, "as JSON it has over 13 bytes");
}

#[test]
fn an_any_that_the_schema_does_not_know_is_shown_as_its_bytes() {
    let message = all();
    let inside = [&[0x0a, 3][..], b"a/B", &[0x12, 2, 8, 1]].concat();
    let bytes = [&[0xaa, 2, inside.len() as u8][..], &inside].concat();
    assert_eq!(
        message.json(&bytes, 100).expect("JSON"),
        r#"{"any":{"@type":"a/B","value":"CAE="}}"#
    );
}

#[test]
fn a_oneof_of_thousands_does_not_take_its_square() {
    let fields: String = (1..10_000)
        .map(|number| format!("int32 f{number} = {number};"))
        .collect();
    let text = format!("syntax = \"proto3\"; message M {{ oneof o {{ {fields} }} }}");
    let message = compiled(&text).message(None).expect("a message");
    let bytes = [8, 1].repeat(30_000);
    message.check(&bytes).expect("a message");
    assert!(message.json(&bytes, 1_000).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(bytes: Vec<u8>) {
        let message = all();
        let _ = message.check(&bytes);
        let _ = message.json(&bytes, 10_000);
        let old = old();
        let _ = old.message_at(&bytes);
        let _ = old.check(&bytes);
        let _ = old.json(&bytes, 10_000);
    }
}
