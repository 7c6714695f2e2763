//! What a reply tells of a record's tenant.

use serde_json::{Value, json};

use super::{ROUTE, adopted, record, sidecar};
use crate::support::{
    http::Reply,
    routes_file::version,
    sidecar::{Builder, Sidecar, eventually},
    stream::Stream,
};

fn traced(sidecar: &Sidecar, topic: &str, body: &str, more: &[(&str, &str)]) -> Reply {
    let mut headers = vec![("content-type", "application/json"), ("pointsman-trace", "1")];
    headers.extend(more);
    sidecar
        .tcp()
        .post(&format!("/v1/topics/{topic}/records"), &headers, body.as_bytes())
}

fn tenant(reply: &Reply) -> Value {
    reply.json()["records"][0]["tenant"].clone()
}

#[test]
fn a_trace_says_by_which_table_and_row_a_tenants_record_went() {
    let store = adopted();
    store.routes("set t acme --slots 4 --status dedicated --out-of-order");
    store.routes("set t beside --slots 3 --out-of-order");
    store.routes("set t big --slots 0,1 --out-of-order");
    let sidecar = sidecar(&store, "");
    eventually("the table is there", || version(&sidecar) == 5);
    let strange = "a \"\u{1}\\ü";
    for (topic, name, status) in [
        ("t", "acme", "dedicated"),
        ("t", "beside", "shared"),
        ("t", "big", "sharded"),
        ("t", "other", "tail"),
        ("t", strange, "tail"),
        ("elsewhere", "acme", "none"),
    ] {
        let reply = traced(&sidecar, topic, &record(name, "k"), &[]);
        let expected = json!({"name": name, "version": 5, "status": status});
        assert_eq!(tenant(&reply), expected, "{}", reply.text());
        assert_eq!(reply.json()["records"][0]["plugin"]["name"], "tenant");
    }
    let mixed = format!(
        "{{\"records\":[{{\"key\":\"k\",\"partition\":1}},{},{}]}}",
        record("acme", "k"),
        record("big", "k")
    );
    let reply = traced(&sidecar, "t", &mixed, &[]).json();
    assert!(reply["records"][0].get("tenant").is_none(), "{reply}");
    // Refused, since the topic has four partitions.
    assert_eq!(reply["records"][1]["error"]["code"], "partition_out_of_range");
    assert_eq!(reply["records"][1]["tenant"]["name"], "acme");
    assert_eq!(reply["records"][2]["tenant"]["name"], "big");
    let silent = sidecar.tcp().json("/v1/topics/t/records", &record("big", "k"));
    assert!(silent.json()["records"][0].get("tenant").is_none());
}

#[test]
fn a_trace_of_a_stream_and_of_a_numbered_request_names_the_tenant_too() {
    let store = adopted();
    let sidecar = sidecar(&store, "");
    eventually("the table is there", || version(&sidecar) == 2);
    let expected = json!({"name": "acme", "version": 2, "status": "tail"});
    let numbered = [("pointsman-client", "c"), ("pointsman-sequence", "1")];
    let reply = traced(&sidecar, "t", &record("acme", "k"), &numbered);
    assert_eq!(tenant(&reply), expected, "{}", reply.text());
    let mut stream = Stream::open_traced(sidecar.http, "t");
    stream.send(&format!("{}\n", record("acme", "k")));
    assert_eq!(stream.line()["tenant"], expected);
}

#[test]
fn without_a_table_a_trace_names_the_tenant_and_nothing_else() {
    let sidecar = Builder::embedded().route("t", "tenant", ROUTE).start();
    let reply = traced(&sidecar, "t", &record("acme", "k"), &[]);
    assert_eq!(tenant(&reply), json!({"name": "acme"}), "{}", reply.text());
}
