//! Any event arrives as it was, and no bytes do harm.

use hyper::header::HeaderName;
use proptest::{collection::vec, option, prelude::*};
use serde_json::{Value, json};

use super::*;

/// An event: its attributes, and its data.
#[derive(Debug, Clone)]
struct Event {
    attributes: Vec<(String, String)>,
    data: Option<Vec<u8>>,
}

fn event() -> impl Strategy<Value = Event> {
    let text = || "[ -~äöü€😀]{1,12}";
    let required = (text(), text(), text());
    let extensions = proptest::collection::btree_map("x[a-z0-9]{0,8}", text(), 0..5);
    let data = option::of(vec(any::<u8>(), 1..40));
    (required, option::of(text()), extensions, data).prop_map(|((id, source, kind), key, extensions, data)| {
        let mut attributes = vec![
            ("specversion".to_owned(), "1.0".to_owned()),
            ("id".to_owned(), id),
            ("source".to_owned(), source),
            ("type".to_owned(), kind),
        ];
        attributes.extend(key.map(|key| ("partitionkey".to_owned(), key)));
        attributes.extend(extensions);
        Event { attributes, data }
    })
}

/// As the HTTP protocol binding says that a value is encoded.
fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'!'..=b'~' if byte != b'"' && byte != b'%' => char::from(byte).to_string(),
        _ => format!("%{byte:02x}"),
    };
    text.bytes().map(one).collect()
}

fn as_json(event: &Event) -> String {
    let mut members: serde_json::Map<String, Value> = event
        .attributes
        .iter()
        .map(|(name, text)| (name.clone(), json!(text)))
        .collect();
    if let Some(data) = &event.data {
        members.insert(
            "data_base64".to_owned(),
            json!(base64_simd::STANDARD.encode_to_string(data)),
        );
    }
    Value::from(members).to_string()
}

proptest! {
    #[test]
    fn an_event_in_headers_arrives_as_it_was(event in event()) {
        let mut given = HeaderMap::new();
        for (name, text) in &event.attributes {
            let name = HeaderName::try_from(format!("Ce-{name}")).expect("a name");
            given.insert(name, encoded(text).parse().expect("a value"));
        }
        let body = Bytes::from(event.data.clone().unwrap_or_default());
        let parsed = parse_within(&given, &body, &Limits::default()).expect("a request");
        let record = parsed[0].as_ref().expect("an event");
        let mut read: Vec<(String, String)> = record
            .headers
            .iter()
            .map(|header| (header.name.strip_prefix("ce_").expect("an attribute").to_owned(),
                String::from_utf8(header.value.as_ref().expect("a value").to_vec()).expect("UTF-8")))
            .collect();
        read.sort();
        let mut sent = event.attributes.clone();
        sent.sort();
        prop_assert_eq!(read, sent);
        let key = event.attributes.iter().find(|(name, _)| name == "partitionkey");
        prop_assert_eq!(record.key.as_deref(), key.map(|(_, key)| key.as_bytes()));
        prop_assert_eq!(record.value.as_deref(), event.data.as_deref());
    }

    #[test]
    fn events_in_json_arrive_as_they_were_and_in_their_order(events in vec(event(), 1..6)) {
        let texts: Vec<String> = events.iter().map(as_json).collect();
        let batch = Bytes::from(format!("[{}]", texts.join(" ,\n")));
        let parsed = parse_within(&headers(&[("content-type", BATCH.as_bytes())]), &batch, &Limits::default())
            .expect("a batch");
        prop_assert_eq!(parsed.len(), events.len());
        for ((parsed, text), event) in parsed.iter().zip(&texts).zip(&events) {
            let record = parsed.as_ref().expect("an event");
            prop_assert_eq!(record.value.as_deref(), Some(text.as_bytes()));
            let key = event.attributes.iter().find(|(name, _)| name == "partitionkey");
            prop_assert_eq!(record.key.as_deref(), key.map(|(_, key)| key.as_bytes()));
            let alone = structured(text).expect("an event");
            prop_assert_eq!((alone.key, alone.value), (record.key.clone(), record.value.clone()));
        }
    }

    #[test]
    fn no_bytes_make_the_reader_of_events_panic(
        body in vec(any::<u8>(), 0..60),
        names in vec("ce-[a-z0-9_-]{0,6}|ce-(id|source|type|specversion|time|data|partitionkey)", 0..8),
        values in vec(vec(prop_oneof![Just(b'%'), Just(b'"'), Just(b'\\'), 32..=126_u8, 128..=255_u8], 0..12), 8),
        text in r#"[{}\[\],:"a-z0-9\\ud]{0,60}"#,
    ) {
        let mut given: Vec<(&str, &[u8])> = vec![("ce-id", b"1")];
        given.extend(names.iter().map(String::as_str).zip(values.iter().map(Vec::as_slice)));
        let _ = parse(&given, &body);
        for kind in [JSON, BATCH] {
            let kind = [("content-type", kind.as_bytes())];
            let _ = (parse(&kind, &body), parse(&kind, text.as_bytes()));
        }
    }
}
