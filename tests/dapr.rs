//! Dapr's publish API: what its applications send, and what then stands in the topic.

mod grpc;
mod sdks;

use serde_json::{Value, json};

use crate::support::{
    consumer::{Read, read},
    http::{Http, Reply},
    sidecar::{Builder, Sidecar},
};

const JSON: (&str, &str) = ("content-type", "application/json");
const PARENT: (&str, &str) = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");

fn start() -> Sidecar {
    Builder::embedded().listen("apis = [\"native\", \"dapr\"]").start()
}

fn read_back(sidecar: &Sidecar, topic: &str, expected: usize) -> Vec<Read> {
    read(sidecar.embedded.as_deref().expect("embedded"), topic, expected)
}

/// The value of a record, which is a CloudEvent.
fn event(record: &Read) -> Value {
    serde_json::from_str(record.text()).unwrap_or_else(|error| panic!("{error}: {record:?}"))
}

/// What an event with this content type becomes.
fn published(sidecar: &Sidecar, topic: &str, headers: &[(&str, &str)], query: &str, body: &[u8]) -> Read {
    let path = format!("/v1.0/publish/kafka/{topic}{query}");
    let reply = sidecar.tcp().post(&path, headers, body);
    assert_eq!((reply.status, reply.text().as_str()), (204, ""), "{reply:?}");
    read_back(sidecar, topic, 1).remove(0)
}

/// Dapr's code for what went wrong, with the status. The reply must have both a code and a message.
fn error(reply: &Reply) -> (u16, String) {
    assert_eq!(reply.header("content-type"), Some("application/json"), "{reply:?}");
    let document = reply.json();
    assert!(
        document["message"].as_str().is_some_and(|message| !message.is_empty()),
        "{document}"
    );
    (reply.status, document["errorCode"].as_str().unwrap().to_owned())
}

fn refused(reply: &Reply, status: u16, code: &str) {
    assert_eq!(error(reply), (status, code.to_owned()), "{}", reply.text());
}

#[test]
fn what_an_application_publishes_is_wrapped_as_dapr_wraps_it() {
    let sidecar = start();
    let headers = [JSON, PARENT, ("tracestate", "a=b"), ("dapr-app-id", "shop")];
    let of_json = event(&published(
        &sidecar,
        "json",
        &headers,
        "",
        br#"{"id": 1, "price": 1.50}"#,
    ));
    let id = of_json["id"].as_str().unwrap();
    let time = of_json["time"].as_str().unwrap();
    assert_eq!((id.len(), time.len(), &time[10..11]), (36, 20, "T"), "{of_json}");
    let expected = json!({
        "data": {"id": 1, "price": 1.5}, "datacontenttype": "application/json", "id": id, "pubsubname": "kafka",
        "source": "shop", "specversion": "1.0", "time": time, "topic": "json", "traceid": PARENT.1,
        "traceparent": PARENT.1, "tracestate": "a=b", "type": "com.dapr.event.sent",
    });
    assert_eq!(of_json, expected);

    let text = published(&sidecar, "text", &[], "", "über \"uns\"\n".as_bytes());
    let of_text = event(&text);
    assert_eq!(of_text["data"], "über \"uns\"\n");
    assert_eq!(of_text["datacontenttype"], "text/plain");
    assert_eq!(of_text["source"], "Dapr");
    assert_eq!((text.key, text.headers), (None, Vec::new()));

    let binary = [("content-type", "application/octet-stream")];
    let of_bytes = event(&published(&sidecar, "bytes", &binary, "", &[0, 255, 128]));
    assert_eq!(of_bytes["data_base64"], "AP+A");
    assert!(of_bytes.get("data").is_none());
    assert_ne!(of_bytes["id"], of_text["id"]);
}

#[test]
fn an_application_s_own_cloud_event_passes_with_what_was_missing() {
    let sidecar = start();
    let headers = [("content-type", "application/cloudevents+json"), PARENT];
    let own =
        br#"{"specversion":"1.0","id":"7","source":"shop","type":"order","topic":"x","data":{"a":1.50},"own":"o"}"#;
    let record = published(&sidecar, "own", &headers, "?metadata.ttlInSeconds=60", own);
    assert!(record.text().contains(r#""data":{"a":1.50}"#), "{}", record.text());
    let mut told = event(&record);
    assert!(told["expiration"].as_str() > told["time"].as_str(), "{told}");
    for filled in ["expiration", "time"] {
        told.as_object_mut().unwrap().remove(filled);
    }
    let expected = json!({
        "specversion": "1.0", "id": "7", "source": "shop", "type": "order", "data": {"a": 1.5}, "own": "o",
        "pubsubname": "kafka", "topic": "own", "traceid": PARENT.1, "traceparent": PARENT.1, "tracestate": "",
    });
    assert_eq!(told, expected);
    let reply = sidecar.tcp().post("/v1.0/publish/kafka/own", &headers, b"no event");
    refused(&reply, 500, "ERR_PUBSUB_CLOUD_EVENTS_SER");
}

#[test]
fn a_raw_payload_is_written_as_it_is_and_all_metadata_becomes_headers() {
    let sidecar = start();
    let query = "?metadata.rawPayload=true&metadata.partitionKey=order-1&metadata.own=a%20b";
    let record = published(&sidecar, "raw", &[JSON], query, b" {\"a\" :1}\n");
    assert_eq!(record.text(), " {\"a\" :1}\n");
    assert_eq!(record.key.as_deref(), Some(&b"order-1"[..]));
    let mut headers: Vec<_> = record
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), std::str::from_utf8(value.as_deref().unwrap()).unwrap()))
        .collect();
    headers.sort_unstable();
    assert_eq!(
        headers,
        [("own", "a b"), ("partitionKey", "order-1"), ("rawPayload", "true")]
    );
    let tombstone = published(
        &sidecar,
        "tombstone",
        &[],
        "?metadata.rawPayload=1&metadata.__key=k",
        b"null",
    );
    assert_eq!((tombstone.key.as_deref(), tombstone.value), (Some(&b"k"[..]), None));
}

#[test]
fn a_partition_key_decides_as_the_key_of_any_record_does() {
    let sidecar = start();
    for key in ["order-1", "order-2", "order-3", "ä"] {
        let topic = format!("key-{}", key.len() + key.bytes().map(usize::from).sum::<usize>());
        let native = json!({"key": key, "value": 1}).to_string();
        let native = sidecar.tcp().json(&format!("/v1/topics/{topic}/records"), &native);
        let escaped: String = key.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let path = format!("/v1.0/publish/kafka/{topic}?metadata.partitionKey={escaped}");
        assert_eq!(sidecar.tcp().post(&path, &[], b"x").status, 204);
        let partitions: Vec<_> = read_back(&sidecar, &topic, 2)
            .iter()
            .map(|record| (record.key.clone(), record.partition))
            .collect();
        let expected = (Some(key.as_bytes().to_vec()), native.partitions()[0] as i32);
        assert_eq!(partitions, [expected.clone(), expected]);
    }
    let record = published(
        &sidecar,
        "number",
        &[],
        "?metadata.partitionNumber=2&metadata.partitionKey=k",
        b"x",
    );
    assert_eq!(record.partition, 2);
}

#[test]
fn a_numbered_request_is_written_once_and_is_refused_where_a_repeat_could_not_be_told_from_another_event() {
    let sidecar = start();
    let number = [JSON, ("pointsman-client", "shop"), ("pointsman-sequence", "1")];
    let path = "/v1.0/publish/kafka/numbered";
    let reply = sidecar.tcp().post(path, &number, b"1");
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(reply.text().contains("rawPayload"), "{}", reply.text());
    for _ in 0..2 {
        let reply = sidecar
            .tcp()
            .post(&format!("{path}?metadata.rawPayload=true"), &number, b"1");
        assert_eq!(reply.status, 204, "{}", reply.text());
    }
    assert_eq!(
        sidecar.metric("pointsman_records_total{outcome=\"acked\",topic=\"numbered\"}"),
        1.0
    );
}

#[test]
fn a_bulk_keeps_its_order_in_both_spellings_of_its_ids() {
    let sidecar = start();
    for (topic, path, id) in [
        ("stable", "/v1.0/publish/bulk/kafka/stable", "entryId"),
        ("alpha", "/v1.0-alpha1/publish/bulk/kafka/alpha", "entryID"),
    ] {
        let entry = |number: usize| json!({id: format!("e-{number}"), "event": {"n": number}, "contentType": "application/json"});
        let body = Value::from((0..200).map(entry).collect::<Vec<_>>()).to_string();
        let reply = sidecar.tcp().json(&format!("{path}?metadata.partitionKey=one"), &body);
        assert_eq!((reply.status, reply.text().as_str()), (204, ""), "{reply:?}");
        let numbers: Vec<_> = read_back(&sidecar, topic, 200)
            .iter()
            .map(|record| event(record)["data"]["n"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    }
    assert_eq!(sidecar.tcp().json("/v1.0/publish/bulk/kafka/none", "[]").status, 204);
}

#[test]
fn of_a_bulk_each_event_that_is_not_written_is_named_and_the_others_are_written() {
    let sidecar = start();
    let body = json!([
        {"entryId": "good", "event": "a", "contentType": "text/plain"},
        {"entryId": "no \"number\"", "event": "b", "contentType": "text/plain", "metadata": {"partitionNumber": "x"}},
        {"entryId": "no partition", "event": "c", "contentType": "text/plain", "metadata": {"partitionNumber": "99"}},
        {"entryId": "also good", "event": "d", "contentType": "text/plain"},
    ]);
    let path = "/v1.0/publish/bulk/kafka/mixed?metadata.rawPayload=true&metadata.partitionKey=k";
    let reply = sidecar.tcp().json(path, &body.to_string());
    let told = reply.json();
    assert_eq!(
        (reply.status, told["errorCode"].as_str()),
        (500, Some("ERR_PUBSUB_PUBLISH_MESSAGE")),
        "{told}"
    );
    let failed: Vec<_> = told["failedEntries"].as_array().unwrap().iter().collect();
    let of = |index: usize| {
        (
            failed[index]["entryId"].as_str().unwrap(),
            failed[index]["error"].as_str().unwrap(),
        )
    };
    assert_eq!(failed.len(), 2, "{told}");
    assert!(
        failed.iter().all(|failed| failed["entryID"] == failed["entryId"]),
        "{told}"
    );
    assert_eq!(of(0).0, "no \"number\"");
    assert!(of(0).1.starts_with("malformed_record: "), "{told}");
    assert_eq!(of(1).0, "no partition");
    assert!(of(1).1.starts_with("partition_out_of_range: "), "{told}");
    let written: Vec<_> = read_back(&sidecar, "mixed", 2)
        .iter()
        .map(|record| record.text().to_owned())
        .collect();
    assert_eq!(written, ["a", "d"]);

    let twice = json!([
        {"entryId": "1", "event": "a", "contentType": "text/plain"},
        {"entryId": "1", "event": "b", "contentType": "text/plain"},
    ]);
    let reply = sidecar.tcp().json("/v1.0/publish/bulk/kafka/mixed", &twice.to_string());
    refused(&reply, 400, "ERR_PUBSUB_EVENTS_SER");
}

#[test]
fn what_cannot_be_published_is_answered_with_dapr_s_own_codes() {
    let sidecar = start();
    let post = |path: &str| sidecar.tcp().post(path, &[JSON], b"{}");
    refused(&post("/v1.0/publish//orders"), 404, "ERR_PUBSUB_EMPTY");
    refused(&post("/v1.0/publish/kafka"), 404, "ERR_TOPIC_NAME_EMPTY");
    refused(&post("/v1.0/publish/kafka/"), 404, "ERR_TOPIC_NAME_EMPTY");
    refused(&post("/v1.0/publish/kafka/a%2Fb"), 500, "ERR_PUBSUB_PUBLISH_MESSAGE");
    refused(&post("/v1.0/publish/kafka/a%"), 400, "ERROR");
    let bad = "/v1.0/publish/kafka/orders?metadata.rawPayload=yes";
    refused(&post(bad), 400, "ERR_PUBSUB_REQUEST_METADATA");
    let bad = "/v1.0/publish/kafka/orders?metadata.partitionNumber=-1";
    refused(&post(bad), 500, "ERR_PUBSUB_PUBLISH_MESSAGE");
    refused(&post("/v1.0/publish/bulk/kafka/orders"), 400, "ERR_PUBSUB_EVENTS_SER");
    let get = sidecar.tcp().get("/v1.0/publish/kafka/orders");
    refused(&get, 405, "ERR_PUBSUB_PUBLISH_MESSAGE");
    assert_eq!(get.header("allow"), Some("POST"));
    let mut put = sidecar.tcp();
    put.send("PUT", "/v1.0/publish/kafka/orders", &[JSON], b"{}");
    assert_eq!(put.reply().unwrap().status, 204);
}

#[test]
fn a_topic_that_no_route_serves_is_forbidden() {
    let sidecar = Builder::embedded()
        .listen("apis = [\"dapr\"]")
        .route("orders", "key-hash", "")
        .start();
    assert_eq!(sidecar.tcp().post("/v1.0/publish/kafka/orders", &[], b"x").status, 204);
    let reply = sidecar.tcp().post("/v1.0/publish/kafka/other", &[], b"x");
    refused(&reply, 403, "ERR_PUBSUB_FORBIDDEN");
    assert!(reply.text().contains("no_route"), "{}", reply.text());
}

#[test]
fn what_of_dapr_is_not_here_is_answered_as_by_a_dapr_without_components() {
    let sidecar = start();
    for (path, status, code) in [
        ("/v1.0/state/store", 500, "ERR_STATE_STORE_NOT_CONFIGURED"),
        ("/v1.0/secrets/store/key", 500, "ERR_SECRET_STORES_NOT_CONFIGURED"),
        (
            "/v1.0-alpha1/configuration/store",
            500,
            "ERR_CONFIGURATION_STORE_NOT_CONFIGURED",
        ),
        ("/v1.0-alpha1/lock/store", 500, "ERR_LOCK_STORE_NOT_CONFIGURED"),
        (
            "/v1.0-alpha1/crypto/vault/encrypt",
            500,
            "ERR_CRYPTO_PROVIDERS_NOT_CONFIGURED",
        ),
        ("/v1.0/bindings/mail", 500, "ERR_INVOKE_OUTPUT_BINDING"),
        ("/v1.0/invoke/shop/method/pay", 500, "ERR_DIRECT_INVOKE"),
        ("/v1.0/actors/cart/1/state", 400, "ERR_ACTOR_NO_PLACEMENT"),
        ("/v1.0-beta1/workflows/dapr/order/start", 501, "ERR_API_UNIMPLEMENTED"),
        ("/v1.0/metadata/key", 501, "ERR_API_UNIMPLEMENTED"),
        ("/v1.0/nothing", 501, "ERR_API_UNIMPLEMENTED"),
    ] {
        let reply = sidecar.tcp().json(path, "{}");
        refused(&reply, status, code);
        assert!(reply.text().contains("publish"), "{}", reply.text());
    }
}

#[test]
fn an_sdk_that_asks_first_finds_the_sidecar_well() {
    let sidecar = start();
    for path in ["/v1.0/healthz", "/v1.0/healthz/outbound", "/v1.0/healthz?appid=shop"] {
        assert_eq!(sidecar.tcp().get(path).status, 204, "{path}");
    }
    let about = sidecar.tcp().get("/v1.0/metadata");
    assert_eq!(about.status, 200);
    let about = about.json();
    assert_eq!(about["components"][0]["type"], "pubsub.kafka");
    assert!(
        about["runtimeVersion"].as_str().unwrap().starts_with("pointsman-"),
        "{about}"
    );
    assert!(about.get("id").is_none(), "{about}");
    assert_eq!(sidecar.tcp().get("/v1/metadata").problem(), "not_found");
}

#[test]
fn dapr_is_off_until_it_is_wanted() {
    let sidecar = Builder::embedded().start();
    let reply = sidecar.tcp().post("/v1.0/publish/kafka/orders", &[JSON], b"{}");
    refused(&reply, 404, "ERROR");
    assert!(reply.text().contains("add \\\"dapr\\\" to apis"), "{}", reply.text());
    refused(&sidecar.tcp().get("/v1.0/healthz"), 404, "ERROR");
}

#[test]
fn a_token_is_taken_as_dapr_s_clients_send_it_and_only_the_health_needs_none() {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "secret\n").unwrap();
    let sidecar = Builder::embedded()
        .listen(&format!("apis = [\"dapr\"]\ntoken_file = {:?}", token.path()))
        .start();
    let publish = |mut http: Http, headers: &[(&str, &str)]| http.post("/v1.0/publish/kafka/orders", headers, b"x");
    for right in [("dapr-api-token", "secret"), ("authorization", "Bearer secret")] {
        assert_eq!(publish(sidecar.tcp(), &[right]).status, 204, "{right:?}");
    }
    for wrong in [&[][..], &[("dapr-api-token", "secre")], &[("dapr-api-token", "")]] {
        refused(&publish(sidecar.tcp(), wrong), 401, "ERROR");
    }
    refused(&sidecar.tcp().get("/v1.0/metadata"), 401, "ERROR");
    assert_eq!(sidecar.tcp().get("/v1.0/healthz").status, 204);
    assert_eq!(publish(sidecar.unix(), &[]).status, 204);
}

#[test]
fn a_web_page_publishes_nothing() {
    let sidecar = start();
    for origin in ["http://site.example", "null"] {
        let headers = [("content-type", "text/plain"), ("origin", origin)];
        let reply = sidecar.tcp().post("/v1.0/publish/kafka/orders", &headers, b"x");
        refused(&reply, 403, "ERROR");
    }
}

#[test]
fn a_numbered_publish_is_written_once_however_often_it_is_sent() {
    let sidecar = start();
    let numbered = [("pointsman-client", "shop-1"), ("pointsman-sequence", "1")];
    let path = "/v1.0/publish/kafka/once?metadata.rawPayload=1&metadata.partitionNumber=0";
    for _ in 0..3 {
        let reply = sidecar.tcp().post(path, &numbered, b"first");
        assert_eq!(reply.status, 204, "{}", reply.text());
    }
    assert_eq!(sidecar.tcp().post(path, &[], b"last").status, 204);
    // A second copy of the first one would stand before the last one.
    let values: Vec<_> = read_back(&sidecar, "once", 2)
        .iter()
        .map(|record| record.text().to_owned())
        .collect();
    assert_eq!(values, ["first", "last"]);
}
