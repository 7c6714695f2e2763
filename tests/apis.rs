//! `[listen] apis`: which protocols are spoken.

use crate::support::sidecar::Builder;

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
