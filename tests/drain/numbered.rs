//! The drain begins while a numbered request waits for the one before it.

use std::time::{Duration, Instant};

use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};

use crate::support::{
    consumer::read,
    http::Http,
    numbered::{post, send},
    sidecar::{Builder, Sidecar, eventually, plugin_dir},
};

/// Longer than anything here takes, also on a busy machine.
const DRAIN: Duration = Duration::from_secs(50);
const SECOND: &str = r#"{"value":"second"}"#;

/// This broker outlives the sidecar, so that the topic can be read after the sidecar's end. It has one partition, so
/// that all records have one order.
fn broker() -> MockCluster<'static, DefaultProducerContext> {
    let broker = MockCluster::new(1).unwrap();
    broker.create_topic("t", 1, 1).unwrap();
    broker
}

fn sidecar(broker: &MockCluster<'_, DefaultProducerContext>) -> Sidecar {
    let limits = "[limits]\nmax_plugin_ms = 600000\nmax_wait_ms = 60000";
    Builder::kafka(&broker.bootstrap_servers())
        .config(&format!("{limits}\n[shutdown]\ndrain_ms = {}", DRAIN.as_millis()))
        // Else the plugin would soon be suspended, and the first request would be quick.
        .config(&format!("[plugins]\nmax_traps = 10000\ndir = {:?}", plugin_dir()))
        .route("*", "hostile", "on_error = \"key-hash\"")
        .start()
}

/// Sends the first request, and the second one, which waits for it. The plugin uses up its 5 ms on each record of the
/// first request.
fn second_waits_for_first(sidecar: &Sidecar, records: usize, more: &[(&str, &str)]) -> (Http, Http) {
    let body = format!("{{\"records\":[{}]}}", vec![r#"{"key":"loop"}"#; records].join(","));
    let (mut first, mut second, mut other) = (sidecar.tcp(), sidecar.tcp(), sidecar.tcp());
    let mut is_busy = |sequence: u64| {
        let reply = post(
            &mut other,
            ("shop", 0, sequence),
            &[("pointsman-timeout-ms", "50")],
            SECOND,
        );
        reply.status == 503
    };
    send(&mut first, ("shop", 0, 1), &[], &body);
    eventually("the first one has its turn", || is_busy(2));
    send(&mut second, ("shop", 0, 2), more, SECOND);
    // Without the second one, the third would be a gap.
    eventually("the second one waits", || is_busy(3));
    (first, second)
}

#[test]
fn a_numbered_request_whose_turn_does_not_come_during_the_drain_is_told_that_nothing_was_taken() {
    const RECORDS: usize = 1_000;
    let broker = broker();
    let mut draining = sidecar(&broker);
    let patience = [("pointsman-timeout-ms", "1500")];
    let (mut first, mut second) = second_waits_for_first(&draining, RECORDS, &patience);
    let begun = Instant::now();
    draining.terminate();
    draining.wait_for_log("stopping");
    let told = second.reply().expect("an answer");
    assert_eq!((told.status, told.problem().as_str()), (503, "busy"), "{}", told.text());
    assert!(told.text().contains("nothing was taken"), "{}", told.text());
    let told = first.reply().expect("an answer");
    assert_eq!((told.status, told.outcomes()), (200, vec!["acked".to_owned(); RECORDS]));
    assert_eq!(draining.ended().code(), Some(0), "{}", draining.log_text());
    assert!(begun.elapsed() < DRAIN, "{:?}", begun.elapsed());
    draining.wait_for_log("every record has its outcome");

    // The next process takes the second request, and its record is written right behind the first one's.
    let next = sidecar(&broker);
    let resumed = post(&mut next.tcp(), ("shop", 0, 2), &[("pointsman-resume", "1")], SECOND);
    assert_eq!(resumed.outcomes(), ["acked"]);
    let written = read(&broker.bootstrap_servers(), "t", RECORDS + 1);
    assert_eq!(written.len(), RECORDS + 1);
    assert_eq!(written[RECORDS].text(), "\"second\"");
}

#[test]
fn a_numbered_request_whose_turn_comes_during_the_drain_is_taken_and_stands_behind_the_one_before_it() {
    const RECORDS: usize = 200;
    let broker = broker();
    let mut sidecar = sidecar(&broker);
    let (mut first, mut second) = second_waits_for_first(&sidecar, RECORDS, &[]);
    sidecar.terminate();
    for (http, records) in [(&mut first, RECORDS), (&mut second, 1)] {
        let told = http.reply().expect("an answer");
        assert_eq!((told.status, told.outcomes()), (200, vec!["acked".to_owned(); records]));
    }
    assert_eq!(sidecar.ended().code(), Some(0), "{}", sidecar.log_text());
    sidecar.wait_for_log("every record has its outcome");
    let written = read(&broker.bootstrap_servers(), "t", RECORDS + 1);
    assert_eq!(written[RECORDS].text(), "\"second\"");
}
