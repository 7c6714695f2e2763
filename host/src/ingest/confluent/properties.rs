//! What holds for any body and any outcomes.

use bytes::Bytes;
use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Value, json};

use super::{embedded::Embedded, reply};
use crate::{
    base::{
        outcome::{Ack, Code, Outcome, RecordError},
        record::Record,
    },
    config::Limits,
    ingest::{
        error::IngestError,
        parse::{Context, Memory},
    },
};

fn read(embedded: Embedded, body: &str, partition: Option<u32>) -> Result<Vec<Record>, IngestError> {
    let limits = Limits::default();
    let context = Context {
        topic: Some("orders".into()),
        limits: &limits,
        memory: Memory::unbounded(),
    };
    let records = embedded.records(&Bytes::from(body.to_owned()), partition, &context)?;
    let records = records.into_iter();
    Ok(records
        .map(|parsed| parsed.expect("no refusal of one record"))
        .collect())
}

fn refused(embedded: Embedded, body: &str) -> String {
    let error = read(embedded, body, None).expect_err(body);
    format!("{}: {error}", error.problem().code())
}

/// Keys and values as JSON texts, with white space and numbers as people write them.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            "1.50",
            "-0",
            "1e3",
            "true",
            "\"\\u0041\\/\"",
            "{ \"a\" : [ ] }",
            "[1 ,2]"
        ])
        .prop_map(str::to_owned),
        "\\PC{0,12}".prop_map(|text| Value::from(text).to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
    ]
}

fn members(key: &Option<String>, value: &Option<String>, partition: Option<u32>) -> String {
    let null = || "null".to_owned();
    let partition = partition.map_or_else(null, |partition| partition.to_string());
    let of = |text: &Option<String>| text.clone().unwrap_or_else(null);
    format!(
        "{{ \"value\":{},\"partition\":{partition}, \"key\" : {} }}",
        of(value),
        of(key)
    )
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let error = || (select(Code::ALL), "\\PC{0,40}").prop_map(|(code, message)| RecordError::new(code, message));
    prop_oneof![
        (0..=i32::MAX.unsigned_abs(), option::of(0..=i64::MAX)).prop_map(|(partition, offset)| {
            Outcome::Acked(Ack {
                partition,
                offset,
                timestamp: None,
            })
        }),
        error().prop_map(Outcome::Rejected),
        error().prop_map(Outcome::Failed),
        error().prop_map(Outcome::Unknown),
    ]
}

proptest! {
    /// Whatever a client sends.
    #[test]
    fn no_body_panics(body in "\\PC{0,80}", end in "[\\[\\]{}\",:0-9a-z ]{0,60}") {
        for embedded in [Embedded::Json, Embedded::Binary] {
            for body in [body.as_str(), &end, &format!("{{\"records\":[{{{end}"), &format!("{{\"records\":{body}}}")] {
                let _ = read(embedded, body, Some(1));
            }
        }
    }

    #[test]
    fn json_is_written_byte_for_byte(
        records in vec((option::of(text()), option::of(text()), option::of(0..9_u32)), 1..8),
        path in option::of(0..9_u32),
    ) {
        let texts: Vec<_> = records.iter().map(|(key, value, partition)| members(key, value, *partition)).collect();
        let body = format!("{{\"key_schema_id\":7, \"records\" : [{}] ,\"value_schema\":\"x\"}}", texts.join(" , "));
        let found = read(Embedded::Json, &body, path).expect("records");
        prop_assert_eq!(found.len(), records.len());
        for (found, (key, value, partition)) in found.iter().zip(records) {
            prop_assert_eq!(found.key.as_deref(), key.as_deref().map(str::as_bytes));
            prop_assert_eq!(found.value.as_deref(), value.as_deref().map(str::as_bytes));
            prop_assert_eq!(found.partition, partition.or(path));
        }
    }

    #[test]
    fn binary_is_written_as_the_bytes_that_were_encoded(
        key in vec(any::<u8>(), 0..20),
        value in vec(any::<u8>(), 0..20),
    ) {
        // As some writers of JSON do.
        let escaped = |base64: String| Value::from(base64).to_string().replace('/', "\\/");
        let base64 = |bytes: &[u8]| escaped(base64_simd::STANDARD.encode_to_string(bytes));
        let body = format!("{{\"records\":[{}]}}", members(&Some(base64(&key)), &Some(base64(&value)), None));
        let found = read(Embedded::Binary, &body, None).expect("a record");
        prop_assert_eq!(found[0].key.as_deref(), Some(&key[..]));
        prop_assert_eq!(found[0].value.as_deref(), Some(&value[..]));
    }

    #[test]
    fn a_reply_says_of_each_record_what_became_of_it(outcomes in vec(outcome(), 1..12)) {
        let reply: Value = serde_json::from_slice(&reply::body(outcomes.iter())).expect("JSON");
        prop_assert_eq!(&reply["key_schema_id"], &Value::Null);
        prop_assert_eq!(reply["offsets"].as_array().map(Vec::len), Some(outcomes.len()));
        for (told, outcome) in reply["offsets"].as_array().into_iter().flatten().zip(&outcomes) {
            match outcome {
                Outcome::Acked(ack) => prop_assert_eq!(told, &json!({
                    "partition": ack.partition, "offset": ack.offset.unwrap_or(-1), "error_code": null, "error": null,
                })),
                Outcome::Rejected(error) | Outcome::Failed(error) | Outcome::Unknown(error) => {
                    prop_assert_eq!(&told["partition"], &Value::Null);
                    prop_assert_eq!(&told["offset"], &Value::Null);
                    prop_assert_eq!(&told["error"], &json!(format!("{}: {}", error.code.as_str(), error.message)));
                    let is_unknown = matches!(outcome, Outcome::Unknown(_));
                    prop_assert!(told["error_code"] == 2 || (told["error_code"] == 1 && !is_unknown), "{}", told);
                }
            }
        }
    }
}

#[test]
fn one_record_that_cannot_be_read_refuses_all() {
    let good = r#"{"value":"AAEC"}"#;
    for (bad, why) in [
        (r#"{"value":"A"}"#, "invalid_message: records[1]: value is not base64"),
        (
            r#"{"key":1}"#,
            "invalid_message: records[1]: key is not a string of base64",
        ),
        (
            r#"{"vale":"AAEC"}"#,
            "invalid_message: the body is not a produce request: unknown field `vale`",
        ),
        (
            r#"{"key":null,"key":null}"#,
            "invalid_message: the body is not a produce request: duplicate field `key`",
        ),
        (
            r#"{"partition":-1}"#,
            "invalid_message: the body is not a produce request: invalid value",
        ),
        (
            r#"["AAEC"]"#,
            "invalid_message: the body is not a produce request: invalid type: sequence",
        ),
        (r#"{"value":}"#, "invalid_json: "),
    ] {
        let said = refused(Embedded::Binary, &format!("{{\"records\":[{good},{bad},{good}]}}"));
        assert!(said.starts_with(why), "{bad}: {said}");
    }
    let deep = format!(
        "{{\"records\":[{{\"key\":{}1{}}}]}}",
        "[".repeat(20_000),
        "]".repeat(20_000)
    );
    let said = refused(Embedded::Json, &deep);
    assert!(
        said.starts_with("invalid_message: records[0]: key is nested deeper"),
        "{said}"
    );
}

#[test]
fn a_body_without_records_is_never_taken_for_success() {
    for body in ["", " \n", "{}", r#"{"records":[]}"#, r#"{"value_schema_id":1}"#] {
        let said = refused(Embedded::Json, body);
        assert!(said.starts_with("empty_body: "), "{body}: {said}");
    }
    for body in [
        r#"{"records":null}"#,
        r#"{"records":[{}],"records":[{}]}"#,
        r#"{"record":[]}"#,
        "[]",
        "1",
    ] {
        let said = refused(Embedded::Json, body);
        assert!(said.starts_with("invalid_message: "), "{body}: {said}");
    }
    assert!(refused(Embedded::Json, r#"{"records":[{}]} {}"#).starts_with("invalid_json: "));
}

#[test]
fn more_records_or_memory_than_a_request_may_have_are_refused() {
    let limits = Limits {
        max_records: 2,
        ..Limits::default()
    };
    let read = |most: usize| {
        let context = Context {
            topic: Some("orders".into()),
            limits: &limits,
            memory: Memory::of(most),
        };
        let count = if most == usize::MAX { 3 } else { 2 };
        let body = format!("{{\"records\":[{}]}}", vec!["{}"; count].join(","));
        let error = Embedded::Json
            .records(&Bytes::from(body), None, &context)
            .expect_err("too much");
        (error.problem().code(), context.memory.is_over())
    };
    assert_eq!(read(usize::MAX), ("too_many_records", false));
    assert_eq!(read(10), ("too_many_records", true));
}
