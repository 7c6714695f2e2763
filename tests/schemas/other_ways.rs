//! Schemas hold for every way in, and for what comes again.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::{builder, doubled, embedded, encode, order, schema, sidecar};
use crate::support::{
    consumer::read,
    http::Reply,
    kafka_wire::{Batch, INVALID_RECORD, NONE, Wire, record},
    registry::Registry,
    sidecar::{Sidecar, eventually},
    stream::Stream,
};

/// Kafka's code for "not now": clients send the batch again.
const NOT_ENOUGH_REPLICAS: i16 = 19;

#[test]
fn a_batch_of_a_kafka_client_is_encoded_or_refused_as_a_whole() {
    let registry = Registry::shared();
    registry.register("wired-value", "AVRO", &schema("order.avsc"), &[]);
    let sidecar = builder("embedded", &registry.url(), &encode("avro"))
        .listen("kafka = \"127.0.0.1:0\"")
        .start();
    let mut wire = Wire::connect(sidecar.kafka.expect("a listener for Kafka clients"));
    let (good, bad) = (order(1).to_string(), r#"{"order_id":7}"#);
    assert_eq!(
        wire.produce("wired", &Batch::of(&[record("a", &good), record("b", &good)]).bytes())
            .error,
        NONE
    );
    let told = wire.produce("wired", &Batch::of(&[record("a", &good), record("b", bad)]).bytes());
    assert_eq!(told.error, INVALID_RECORD, "{told:?}");
    let [(1, reason)] = &told.records[..] else {
        panic!("{told:?}")
    };
    assert!(reason.contains("/order_id: "), "{reason}");
    let read = read(embedded(&sidecar), "wired", 2);
    assert!(
        read.iter()
            .all(|record| record.value.as_deref().is_some_and(|value| value[0] == 0))
    );
}

#[test]
fn a_kafka_client_whose_schema_cannot_be_had_now_is_told_to_come_again() {
    let sidecar = builder("embedded", "http://127.0.0.1:1", &encode("avro"))
        .listen("kafka = \"127.0.0.1:0\"")
        .start();
    let mut wire = Wire::connect(sidecar.kafka.expect("a listener for Kafka clients"));
    let told = wire.produce("wired", &Batch::of(&[record("a", &order(1).to_string())]).bytes());
    assert_eq!(told.error, NOT_ENOUGH_REPLICAS, "{told:?}");
}

#[test]
fn a_stream_refuses_a_line_that_does_not_fit_and_goes_on() {
    let registry = Registry::shared();
    registry.register("streamed-value", "JSON", &schema("order.json"), &[]);
    let sidecar = sidecar("embedded", &registry.url(), &encode("json"));
    let mut stream = Stream::open(sidecar.http, "streamed");
    for value in [order(1), json!({"order_id": 1}), order(2)] {
        stream.send(&format!("{}\n", json!({"value": value})));
    }
    stream.finish();
    let (lines, end) = stream.rest();
    let told: Vec<&str> = lines.iter().filter_map(|line| line["outcome"].as_str()).collect();
    assert_eq!(told, ["acked", "rejected", "acked"], "{lines:?}");
    assert_eq!(end["end"], "complete");
    assert_eq!(lines[1]["error"]["code"], "schema_invalid");
}

static IS_AWAY: AtomicBool = AtomicBool::new(true);

#[test]
fn a_numbered_request_that_failed_for_its_schema_may_come_again_and_keeps_its_place() {
    let double = doubled::double(|method, path, to| match IS_AWAY.load(Ordering::SeqCst) {
        true => doubled::reply(to, "503 Service Unavailable", "", "{}"),
        false => doubled::with_guids(method, path, to),
    });
    let sidecar = sidecar("embedded", &format!("http://{double}"), &encode("avro"));
    assert_eq!(numbered(&sidecar, 1).outcomes(), ["failed schema_unavailable"]);
    let later = numbered(&sidecar, 2);
    assert_eq!((later.status, later.problem().as_str()), (409, "sequence_blocked"));
    IS_AWAY.store(false, Ordering::SeqCst);
    eventually("the first one passes", || numbered(&sidecar, 1).outcomes() == ["acked"]);
    assert_eq!(numbered(&sidecar, 2).outcomes(), ["acked"]);
}

fn numbered(sidecar: &Sidecar, number: usize) -> Reply {
    let body = json!({"key": "a", "value": order(number)}).to_string();
    let number = number.to_string();
    let headers = [
        ("content-type", "application/json"),
        ("pointsman-client", "app"),
        ("pointsman-sequence", number.as_str()),
    ];
    sidecar
        .tcp()
        .post("/v1/topics/orders/records", &headers, body.as_bytes())
}
