//! The admin listener tells the truth, and only to those who may hear it.

use crate::support::sidecar::{Builder, Sidecar, eventually};

#[test]
fn a_sidecar_without_brokers_is_live_and_ready_and_says_that_kafka_is_down() {
    // Port 1 is nobody's.
    let sidecar = Builder::kafka("127.0.0.1:1")
        .config("[limits]\nmax_wait_ms = 300")
        .start();
    assert_eq!(sidecar.admin("/live").status, 200);
    eventually("it notices", || {
        sidecar.admin("/ready").json()["kafka"]["state"] == "down"
    });
    let ready = sidecar.admin("/ready");
    assert_eq!(
        (ready.status, ready.json()["ready"].as_bool()),
        (200, Some(true)),
        "a pod must not fall with the cluster"
    );
    let reply = sidecar.tcp().json("/v1/topics/t/records", r#"{"value":1}"#);
    assert_eq!((reply.status, reply.problem().as_str()), (503, "kafka_unavailable"));
    assert!(reply.header("retry-after").is_some());

    let strict = Builder::kafka("127.0.0.1:1")
        .kafka_lines("ready_requires_kafka = true")
        .start();
    assert_eq!(strict.admin("/ready").status, 503);
    assert_eq!(strict.admin("/live").status, 200);
}

#[test]
fn it_shows_plugins_configuration_and_metrics() {
    let sidecar = Builder::embedded().route("p*", "key-hash", "").start();
    assert_eq!(sidecar.tcp().json("/v1/topics/p/records", r#"{"key":"a"}"#).status, 200);
    let plugins = sidecar.admin("/plugins").json();
    let plugin = &plugins["routes"][0]["plugin"];
    assert_eq!(
        (plugins["routes"][0]["topics"][0].as_str(), plugin["name"].as_str()),
        (Some("p*"), Some("key-hash"))
    );
    let digest = plugin["digest"].as_str().unwrap();
    assert_eq!(digest.len(), 64);
    let config = sidecar.admin("/config").json();
    assert_eq!(config["limits"]["max_records"], 10_000);
    assert_eq!(
        config["limits"]["idle_timeout_ms"], 75_000,
        "a pooled connection is kept"
    );
    assert_eq!(config["kafka"]["effective_properties"]["acks"], "all");
    assert_eq!(
        config["embedded"]["bootstrap_servers"].as_str(),
        sidecar.embedded.as_deref()
    );
    for (metric, value) in [
        ("pointsman_records_total{outcome=\"acked\",topic=\"p\"}".to_owned(), 1.0),
        ("pointsman_requests_total{status=\"200\"}".to_owned(), 1.0),
        ("pointsman_generation".to_owned(), 1.0),
        (
            format!("pointsman_plugin_info{{digest=\"{digest}\",plugin=\"key-hash\"}}"),
            1.0,
        ),
        ("pointsman_request_duration_seconds_count".to_owned(), 1.0),
        ("pointsman_ack_duration_seconds_count".to_owned(), 1.0),
        ("pointsman_producer_queue_messages".to_owned(), 0.0),
        ("pointsman_producer_queue_bytes".to_owned(), 0.0),
        ("pointsman_kafka_up".to_owned(), 1.0),
    ] {
        assert_eq!(sidecar.metric(&metric), value, "{metric}");
    }
    assert_eq!(sidecar.admin("/nothing").problem(), "not_found");
}

#[test]
fn a_token_guards_what_is_not_a_probe() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "open-sesame\n").unwrap();
    let lines = format!("admin_token_file = {token:?}\ntoken_file = {token:?}");
    let sidecar = Builder::embedded().listen(&lines).start();
    assert_eq!(get(&sidecar, "/config", &[]), 401);
    assert_eq!(get(&sidecar, "/plugins", &[("authorization", "Bearer wrong")]), 401);
    assert_eq!(
        get(&sidecar, "/config", &[("authorization", "Bearer open-sesame")]),
        200
    );
    for probe in ["/live", "/ready", "/metrics"] {
        assert_eq!(get(&sidecar, probe, &[]), 200, "{probe}");
    }
    let body = br#"{"value":1}"#;
    let json = ("content-type", "application/json");
    let reply = sidecar.tcp().post("/v1/topics/t/records", &[json], body);
    assert_eq!((reply.status, reply.problem().as_str()), (401, "unauthorized"));
    let reply = sidecar.tcp().post(
        "/v1/topics/t/records",
        &[json, ("authorization", "Bearer open-sesame")],
        body,
    );
    assert_eq!(reply.status, 200);
    assert_eq!(
        sidecar.unix().post("/v1/topics/t/records", &[json], body).status,
        200,
        "the socket has its mode"
    );
    assert!(!sidecar.log_text().contains("open-sesame"));
}

fn get(sidecar: &Sidecar, path: &str, headers: &[(&str, &str)]) -> u16 {
    let mut http = crate::support::http::Http::tcp(sidecar.admin);
    http.send("GET", path, headers, b"");
    http.reply().unwrap().status
}
