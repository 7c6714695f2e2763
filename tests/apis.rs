//! `[listen] apis`: which protocols are spoken.

use crate::support::{consumer::read, sidecar::Builder};

#[test]
fn a_protocol_that_is_off_is_not_there_and_says_how_to_get_it() {
    let sidecar = Builder::embedded().listen("apis = [\"grpc\"]").start();
    for path in ["/v1/topics/orders/records", "/v1/records", "/v1/topics/orders/stream"] {
        let reply = sidecar.tcp().json(path, "{\"value\":1}");
        assert_eq!((reply.status, reply.problem().as_str()), (404, "not_found"), "{path}");
        let said = reply.text();
        assert!(said.contains("native") && said.contains("apis"), "{said}");
    }
}

#[test]
fn events_are_taken_where_nothing_else_is_and_mean_nothing_where_they_are_off() {
    let event = [
        ("ce-id", "1"),
        ("ce-source", "/shop"),
        ("ce-specversion", "1.0"),
        ("ce-type", "ordered"),
        ("content-type", "application/json"),
    ];
    let path = "/v1/topics/orders/records";
    let only = Builder::embedded().listen("apis = [\"cloudevents\"]").start();
    assert_eq!(only.tcp().post(path, &event, b"{\"value\":1}").outcomes(), ["acked"]);
    assert_eq!(only.tcp().json(path, "{\"value\":1}").problem(), "not_found");
    let off = Builder::embedded().listen("apis = [\"native\"]").start();
    assert_eq!(off.tcp().post(path, &event, b"{\"value\":1}").outcomes(), ["acked"]);
    let found = read(off.embedded.as_deref().unwrap(), "orders", 1);
    assert_eq!(found[0].text(), "1", "a record in JSON, as without those headers");
    let structured = [("content-type", "application/cloudevents+json")];
    assert_eq!(off.tcp().post(path, &structured, b"{}").status, 404);
}
