//! `routing.stamp`, with the records that are written by a real sidecar.

use super::{adopted, partition, record, sidecar};
use crate::{
    packed::reference,
    support::{
        consumer::read,
        routes_file::version,
        sidecar::{Sidecar, eventually},
        stream::Stream,
    },
};

const STAMP: &str = "pointsman-route";

/// The values of the header of each record that was written, by its key.
fn stamps(sidecar: &Sidecar, records: usize) -> Vec<(String, Vec<String>)> {
    let text = |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().unwrap_or_default()).unwrap();
    let read = read(sidecar.embedded.as_deref().expect("embedded"), "t", records);
    let mut found: Vec<(String, Vec<String>)> = read
        .iter()
        .map(|record| {
            let headers = record.headers.iter().filter(|(name, _)| name == STAMP);
            (text(&record.key), headers.map(|(_, value)| text(value)).collect())
        })
        .collect();
    found.sort();
    found
}

fn owned(expected: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
    let text = |text: &&str| (*text).to_owned();
    let one = |(key, stamps): &(&str, &[&str])| (text(key), stamps.iter().map(text).collect());
    expected.iter().map(one).collect()
}

#[test]
fn a_tenants_record_carries_the_version_of_the_table_that_it_went_by_however_it_was_sent() {
    let store = adopted();
    let sidecar = sidecar(&store, "stamp = true");
    eventually("the table is there", || version(&sidecar) == 2);
    partition(&sidecar, "acme", "1 json");
    let explicit = sidecar
        .tcp()
        .json("/v1/topics/t/records", "{\"key\":\"2 explicit\",\"partition\":1}");
    assert_eq!(explicit.status, 200, "{}", explicit.text());
    store.routes("set t acme --slots 3 --out-of-order");
    eventually("the change is there", || version(&sidecar) == 3);
    let packed = reference::pack([reference::Record {
        key: Some(b"3 packed"),
        headers: vec![(STAMP, Some(b"mine")), ("tenant-id", Some(b"acme"))],
        ..reference::Record::default()
    }]);
    let kind = [("content-type", reference::CONTENT_TYPE)];
    let reply = sidecar.tcp().post("/v1/topics/t/records", &kind, &packed);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let mut stream = Stream::open(sidecar.http, "t");
    stream.send(&format!("{}\n", record("acme", "4 stream")));
    assert_eq!(stream.line()["partition"], 3);
    let expected: &[(&str, &[&str])] = &[
        ("1 json", &["2"]),
        ("2 explicit", &[]),
        ("3 packed", &["mine", "3"]),
        ("4 stream", &["3"]),
    ];
    assert_eq!(stamps(&sidecar, 4), owned(expected));
}

#[test]
fn nothing_is_added_to_records_unless_the_configuration_says_so() {
    let store = adopted();
    let sidecar = sidecar(&store, "");
    eventually("the table is there", || version(&sidecar) == 2);
    partition(&sidecar, "acme", "k");
    assert_eq!(stamps(&sidecar, 1), owned(&[("k", &[])]));
}
