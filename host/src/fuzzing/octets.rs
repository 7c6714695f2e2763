//! `application/octet-stream`, and the choice of a content type.

use bytes::Bytes;
use hyper::HeaderMap;

use super::{
    headers::split,
    parsed::{TOPIC, check_problem, is_slice, limits, parse},
};
use crate::ingest::parse::Format;

/// Checks that the record has the body, and what the headers say, and nothing else.
pub fn octets(data: &[u8]) {
    let (limits, (headers, body)) = (limits(data), split(data));
    let body = Bytes::copy_from_slice(body);
    content_type(&headers);
    if let Ok(parsed) = parse(Format::Octet, &body, &headers, None, &limits) {
        panic!("a record without a topic: {parsed:?}");
    }
    let all = |name: &str| {
        headers
            .get_all(name)
            .iter()
            .map(|value| value.as_bytes())
            .collect::<Vec<_>>()
    };
    let (keys, partitions) = (all("pointsman-key"), all("pointsman-partition"));
    let Ok(parsed) = parse(Format::Octet, &body, &headers, Some(TOPIC), &limits) else {
        let is_partition = |text: &[u8]| text.iter().all(u8::is_ascii_digit) && !text.is_empty() && text.len() < 10;
        let fine = keys.len() < 2 && partitions.len() < 2 && partitions.iter().all(|text| is_partition(text));
        assert!(body.is_empty() || !fine, "refused: {headers:?}");
        return;
    };
    let [Ok(record)] = parsed.as_slice() else {
        panic!("not one record: {parsed:?}");
    };
    let value = record.value.as_ref().expect("a value");
    assert!(value == &body && is_slice(value, &body));
    assert_eq!(keys, record.key.as_deref().into_iter().collect::<Vec<_>>());
    let said: Vec<String> = partitions
        .iter()
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect();
    let read = record.partition.map(|partition| partition.to_string());
    let bare = said.iter().map(|text| match text.trim_start_matches('0') {
        "" => "0",
        bare => bare,
    });
    assert_eq!(bare.collect::<Vec<_>>(), read.iter().collect::<Vec<_>>(), "{said:?}");
    let expected = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix("pointsman-header-")?;
        (!name.is_empty()).then_some((name, value.as_bytes()))
    });
    let found = record
        .headers
        .iter()
        .map(|header| (&*header.name, header.value.as_deref().expect("a value")));
    assert!(found.eq(expected), "{:?}", record.headers);
}

fn content_type(headers: &HeaderMap) {
    match Format::of(headers, false) {
        Ok(_) => {
            let given = headers
                .get("content-type")
                .and_then(|value| value.to_str().ok())
                .expect("a content type");
            assert!(given.to_ascii_lowercase().contains("application/"), "{given}");
        }
        Err(problem) => check_problem(&problem),
    }
}
