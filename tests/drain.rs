//! The drain: open requests are finished and answered, or given up at the deadline, and the report is true.

use std::time::{Duration, Instant};

use crate::support::{
    consumer::read,
    http::Http,
    sidecar::{BINARY, Builder, eventually, to_its_end},
};

mod numbered;

const PATH: &str = "/v1/topics/t/records";

#[test]
fn open_requests_are_answered_and_what_lingers_is_sent() {
    let mut sidecar = Builder::embedded()
        // Only a flush sends these in time.
        .kafka_lines("[kafka.properties]\nlinger.ms = 60000")
        .start();
    let bootstrap = sidecar.embedded.clone().unwrap();
    assert_eq!(
        sidecar.tcp().json(&format!("{PATH}?ack=none"), r#"{"value":0}"#).status,
        202
    );
    let mut waiting = sidecar.tcp();
    waiting.send("POST", PATH, &[("content-type", "application/json")], br#"{"value":1}"#);
    // Half of this body has come when the signal comes.
    let mut half = sidecar.unix();
    half.raw(
        format!(
            "POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{{\"val"
        )
        .as_bytes(),
    );
    let mut idle = sidecar.tcp();
    eventually("all is under way", || {
        sidecar.metric("pointsman_producer_queue_messages") == 2.0
            && sidecar.metric("pointsman_connections") >= 3.0
            && sidecar.metric("pointsman_buffered_bytes") >= 22.0
    });
    let unix = sidecar.unix.clone();
    let address = sidecar.http;
    // The broker ends with the process, so the topic is read while the half request keeps the process alive.
    sidecar.terminate();
    sidecar.wait_for_log("stopping");
    let reply = waiting.reply().expect("an answer");
    assert_eq!(reply.outcomes(), ["acked"]);
    idle.closed();
    eventually("the listeners are closed", || {
        !unix.exists() && std::net::TcpStream::connect(address).is_err()
    });
    assert_eq!(read(&bootstrap, "t", 2).len(), 2);
    half.raw(b"ue\":2}");
    assert_eq!(half.reply().expect("an answer").outcomes(), ["acked"]);
    assert_eq!(sidecar.ended().code(), Some(0), "{}", sidecar.log_text());
    sidecar.wait_for_log("every record has its outcome");
}

#[test]
fn at_the_deadline_what_is_left_is_reported_and_answered() {
    let single = crate::support::kafka::Kafka::start(1).expect("a broker");
    single.create_topic("t", 1, &[]).unwrap();
    let mut sidecar = Builder::kafka(&single.bootstrap())
        .kafka_lines("[kafka.properties]\nlinger.ms = 0")
        .config("[shutdown]\ndrain_ms = 1500")
        .start();
    assert_eq!(sidecar.tcp().json(PATH, r#"{"value":0}"#).status, 200);
    drop(single);
    eventually("it notices", || {
        sidecar.admin("/ready").json()["kafka"]["state"] == "down"
    });
    let mut waiting: Vec<Http> = (0..3).map(|_| sidecar.tcp()).collect();
    for http in &mut waiting {
        http.send("POST", PATH, &[("content-type", "application/json")], br#"{"value":1}"#);
    }
    assert_eq!(
        sidecar
            .tcp()
            .json(&format!("{PATH}?ack=none"), r#"{"records":[{},{}]}"#)
            .status,
        202
    );
    eventually("all are handed over", || {
        sidecar.metric("pointsman_producer_queue_messages") == 5.0
    });
    let begun = Instant::now();
    sidecar.terminate();
    let outcomes: Vec<String> = waiting
        .iter_mut()
        .map(|http| http.reply().expect("an answer").outcomes().remove(0))
        .collect();
    let is_lost = |outcome: &str| ["unknown purged", "unknown drain_expired"].contains(&outcome);
    // Records that waited for their partition's turn were certainly not sent.
    assert!(
        outcomes
            .iter()
            .all(|outcome| is_lost(outcome) || outcome == "failed not_queued"),
        "{outcomes:?}"
    );
    assert_eq!(sidecar.ended().code(), Some(1));
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let said = sidecar.wait_for_log("the drain deadline passed");
    assert_eq!(said["left"], 5, "{said}");
    assert_eq!(
        said["failed"].as_u64().unwrap() + said["unknown"].as_u64().unwrap(),
        5,
        "{said}"
    );
    // One turn was under way, of one request; two requests have one record and one has two.
    assert!(said["failed"].as_u64() >= Some(3), "{said}");
}

#[test]
fn a_signal_ends_an_idle_process_at_once() {
    for signal in ["-INT", "-TERM"] {
        let mut sidecar = Builder::embedded().start();
        let begun = Instant::now();
        sidecar.signal(signal);
        assert_eq!(sidecar.ended().code(), Some(0));
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}

#[test]
fn an_idle_http2_client_that_answers_nothing_does_not_hold_the_drain() {
    let mut sidecar = Builder::embedded().config("[shutdown]\ndrain_ms = 600000").start();
    let mut silent: Vec<Http> = vec![sidecar.tcp(), sidecar.unix()];
    for http in &mut silent {
        // The preface, empty settings, and the acknowledgement of the sidecar's settings.
        http.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0");
    }
    eventually("they are open", || sidecar.metric("pointsman_connections") == 2.0);
    sidecar.terminate();
    assert_eq!(sidecar.ended().code(), Some(0), "{}", sidecar.log_text());
    sidecar.wait_for_log("every record has its outcome");
}

#[test]
fn a_hook_can_ask_for_the_drain_and_hears_how_it_ended() {
    let mut sidecar = Builder::embedded()
        // Only a flush sends it in time.
        .kafka_lines("[kafka.properties]\nlinger.ms = 60000")
        .start();
    assert_eq!(
        sidecar.tcp().json(&format!("{PATH}?ack=none"), r#"{"value":0}"#).status,
        202
    );
    let asked = pointsman(&["drain", "--admin", &sidecar.admin.to_string()], &[]);
    assert!(asked.status.success(), "{asked:?}");
    let report: serde_json::Value = serde_json::from_slice(&asked.stdout).unwrap();
    assert_eq!(report["finished"], true);
    assert_eq!(
        sidecar.admin("/live").status,
        200,
        "the hook's container must not end before the hook"
    );
    sidecar.terminate();
    assert_eq!(sidecar.ended().code(), Some(0), "{}", sidecar.log_text());
}

#[test]
fn what_a_drain_gives_up_is_told_by_topic_and_fails_the_hook() {
    let single = crate::support::kafka::Kafka::start(1).expect("a broker");
    single.create_topic("t", 1, &[]).unwrap();
    single.create_topic("u", 1, &[]).unwrap();
    let mut sidecar = Builder::kafka(&single.bootstrap())
        .config("[shutdown]\ndrain_ms = 1000")
        .start();
    let both = r#"{"records":[{"topic":"t","value":1},{"topic":"u","value":1},{"topic":"u","value":2}]}"#;
    assert_eq!(sidecar.tcp().json("/v1/records", both).status, 200);
    drop(single);
    eventually("it notices", || {
        sidecar.admin("/ready").json()["kafka"]["state"] == "down"
    });
    assert_eq!(sidecar.tcp().json("/v1/records?ack=none", both).status, 202);
    let asked = pointsman(&["drain", "--admin", &sidecar.admin.to_string()], &[]);
    assert_eq!(asked.status.code(), Some(1), "{asked:?}");
    let report: serde_json::Value = serde_json::from_slice(&asked.stdout).unwrap();
    let lost = |topic: &str| {
        let lost = &report["topics"][topic];
        lost["failed"].as_u64().unwrap_or_default() + lost["unknown"].as_u64().unwrap_or_default()
    };
    assert_eq!(
        (report["left"].as_u64(), lost("t"), lost("u")),
        (Some(3), 1, 2),
        "{report}"
    );
    assert_eq!(sidecar.ended().code(), Some(1));
    assert_eq!(sidecar.wait_for_log("records of a topic were given up")["topic"], "t");
}

#[test]
fn an_application_that_is_stopped_at_the_same_time_can_still_connect_during_the_grace() {
    let mut sidecar = Builder::embedded()
        .config("[shutdown]\naccept_grace_ms = 60000")
        .start();
    sidecar.terminate();
    sidecar.wait_for_log("still accepting");
    assert_eq!(sidecar.admin("/ready").status, 503, "no new work is to be sent here");
    assert_eq!(sidecar.tcp().json(PATH, r#"{"value":1}"#).outcomes(), ["acked"]);
    assert_eq!(sidecar.unix().json(PATH, r#"{"value":1}"#).outcomes(), ["acked"]);
    let address = sidecar.http;
    // A second signal ends the grace, and nothing is lost by it.
    sidecar.terminate();
    eventually("the listener is closed", || {
        std::net::TcpStream::connect(address).is_err()
    });
    assert_eq!(sidecar.ended().code(), Some(0), "{}", sidecar.log_text());
}

#[test]
fn probes_need_no_shell_and_find_the_sidecar_by_its_own_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "open-sesame\n").unwrap();
    let mut sidecar = Builder::embedded()
        .listen(&format!("admin_token_file = {token:?}"))
        .start();
    let admin = sidecar.admin.to_string();
    for what in ["live", "ready"] {
        let output = pointsman(&["probe", what, "--admin", &admin], &[]);
        assert!(output.status.success(), "{what}: {output:?}");
    }
    // The system chose the port, so the environment has it, and not the file.
    let config = sidecar.config.to_str().unwrap().to_owned();
    let output = pointsman(
        &["probe", "live", "--config", &config],
        &[("POINTSMAN_LISTEN__ADMIN", &admin)],
    );
    assert!(output.status.success(), "{output:?}");
    let refused = pointsman(&["drain", "--admin", &admin], &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&refused.stdout).contains("unauthorized"),
        "{refused:?}"
    );
    let nobody = pointsman(&["probe", "live", "--admin", "127.0.0.1:1"], &[]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&nobody.stderr).contains("--admin"),
        "{nobody:?}"
    );
    let drained = pointsman(&["drain", "--config", &config], &[("POINTSMAN_LISTEN__ADMIN", &admin)]);
    assert!(drained.status.success(), "the token stands in the file: {drained:?}");
    sidecar.terminate();
    assert_eq!(sidecar.ended().code(), Some(0));
}

fn pointsman(arguments: &[&str], environment: &[(&str, &str)]) -> std::process::Output {
    let mut command = std::process::Command::new(BINARY);
    to_its_end(command.args(arguments).envs(environment.iter().copied()))
}
