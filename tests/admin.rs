//! The admin listener tells the truth, and only to authorized clients.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::support::{
    http::Http,
    sidecar::{Builder, Sidecar, eventually},
};

/// Less time than a silent connection is kept.
const BEFORE_THEY_GO: Duration = Duration::from_secs(8);

#[test]
fn a_sidecar_without_brokers_is_live_and_ready_and_says_that_kafka_is_down() {
    // Nobody listens on port 1.
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
    let mut http = Http::tcp(sidecar.admin);
    http.send("GET", path, headers, b"");
    http.reply().unwrap().status
}

/// The headers that a browser sends for a page of another site: a form, a script, a host name that was made to resolve
/// to 127.0.0.1.
fn as_pages_ask(address: SocketAddr) -> Vec<Vec<(&'static str, String)>> {
    let own = || ("host", address.to_string());
    let form = || ("content-type", "application/x-www-form-urlencoded".to_owned());
    let rebound = || format!("rebound.example:{}", address.port());
    vec![
        vec![own(), ("origin", "http://site.example".to_owned()), form()],
        vec![own(), ("origin", "null".to_owned())],
        vec![own(), ("origin", "http://127.0.0.1:3000".to_owned())],
        vec![own(), ("sec-fetch-site", "cross-site".to_owned())],
        vec![own(), ("sec-fetch-site", "same-site".to_owned())],
        vec![("host", rebound())],
        vec![
            ("host", rebound()),
            ("origin", format!("http://{}", rebound())),
            ("sec-fetch-site", "same-origin".to_owned()),
        ],
    ]
}

/// Status and code of the answer to a request with exactly these headers.
fn told(address: SocketAddr, method: &str, path: &str, headers: &[(&str, String)], body: &str) -> (u16, String) {
    let mut head = format!("{method} {path} HTTP/1.1\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut http = Http::tcp(address);
    http.raw(format!("{head}\r\n{body}").as_bytes());
    let reply = http.reply().unwrap();
    (
        reply.status,
        reply.json()["code"].as_str().unwrap_or_default().to_owned(),
    )
}

#[test]
fn no_web_page_ends_the_process_or_reads_its_configuration() {
    let mut sidecar = Builder::embedded().route("p*", "key-hash", "").start();
    let refused = (403, "foreign_origin".to_owned());
    for headers in as_pages_ask(sidecar.admin) {
        for (method, path) in [
            ("GET", "/config"),
            ("GET", "/plugins"),
            ("POST", "/plugins/key-hash/reload"),
            ("POST", "/plugins/key-hash/rollback"),
            ("POST", "/drain"),
        ] {
            assert_eq!(
                told(sidecar.admin, method, path, &headers, ""),
                refused,
                "{path} {headers:?}"
            );
        }
        assert_eq!(told(sidecar.admin, "GET", "/live", &headers, "").0, 200, "{headers:?}");
    }
    let own = ("host", sidecar.admin.to_string());
    for form in [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
    ] {
        let form = [own.clone(), ("content-type", form.to_owned())];
        assert_eq!(told(sidecar.admin, "POST", "/drain", &form, ""), refused, "{form:?}");
    }
    assert!(sidecar.is_alive());
    assert_eq!(sidecar.admin("/ready").json()["draining"], false);
    for host in [own.1, "localhost".to_owned(), "[::1]:1".to_owned()] {
        assert_eq!(told(sidecar.admin, "GET", "/config", &[("host", host)], "").0, 200);
    }
    assert_eq!(sidecar.order("/drain").status, 200);
    sidecar.terminate();
    assert!(sidecar.ended().success());
}

#[test]
fn no_web_page_sends_records() {
    let sidecar = Builder::embedded().start();
    let json = ("content-type", "application/json".to_owned());
    let rebound = format!("rebound.example:{}", sidecar.http.port());
    for (host, origin) in [
        (sidecar.http.to_string(), "http://site.example".to_owned()),
        (sidecar.http.to_string(), "null".to_owned()),
        (rebound.clone(), format!("http://{rebound}")),
    ] {
        let headers = [("host", host), ("origin", origin), json.clone()];
        for path in ["/v1/topics/t/records", "/v1/topics/t/stream"] {
            let (status, code) = told(sidecar.http, "POST", path, &headers, "{\"value\":1}");
            assert_eq!((status, code.as_str()), (403, "foreign_origin"), "{path} {headers:?}");
        }
    }
    let anything = [("host", "any-name".to_owned()), json];
    let sent = told(sidecar.http, "POST", "/v1/topics/t/records", &anything, "{\"value\":1}");
    assert_eq!(sent.0, 200, "programs send what Host they like");
}

#[test]
fn a_probe_is_answered_however_many_hold_connections_to_the_admin_listener() {
    let sidecar = Builder::embedded().start();
    let connect = || TcpStream::connect(sidecar.admin).unwrap();
    let ask = |text: &str| {
        let mut stream = connect();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let live = |held: &str| {
        let mut probe = ask("GET /live HTTP/1.0\r\n\r\n");
        probe.set_read_timeout(Some(BEFORE_THEY_GO)).unwrap();
        let mut answer = String::new();
        let read = probe.read_to_string(&mut answer);
        assert!(
            read.is_ok() && answer.starts_with("HTTP/1.0 200"),
            "{held}: {read:?} {answer}"
        );
    };
    let silent: Vec<_> = (0..200).map(|_| connect()).collect();
    live("silent ones");
    let unread = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
    let deaf: Vec<_> = (0..64).map(|_| ask(&unread)).collect();
    live("ones that never read");
    let slow: Vec<_> = (0..200).map(|_| ask("GET /live HTTP/1.1\r\nhost: ")).collect();
    live("slow headers");
    drop((silent, deaf, slow));
}
