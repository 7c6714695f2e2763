//! The brokers have the records, but the sidecar gets no answer, or a wrong one.

use std::time::Duration;

use super::{checker::check, clients::Load, cluster::Cluster, form};
use crate::support::sidecar::{Builder, Sidecar, eventually};

/// A sidecar that reaches the brokers only through the proxy.
fn sidecar(cluster: &Cluster, properties: &str) -> Sidecar {
    Builder::kafka(&cluster.proxied_bootstrap())
        .kafka_lines(&format!("[kafka.properties]\n{properties}"))
        .config("[shutdown]\ndrain_ms = 1000")
        .start()
}

#[test]
fn answers_of_the_brokers_that_are_cut_lose_double_and_reorder_nothing() {
    const TOPIC: &str = "cut-answers";
    let cluster = Cluster::take();
    cluster.create_topic(TOPIC, 9, &[]).unwrap();
    let sidecar = sidecar(
        &cluster,
        // The last setting has the Java producer's value: librdkafka waits up to 10 s before it connects again to a
        // broker that has closed several connections, as all brokers do here.
        "request.timeout.ms = 4000\ndelivery.timeout.ms = 60000\n\"reconnect.backoff.max.ms\" = 1000",
    );
    let load = Load::new(&sidecar, TOPIC, 8).paced(40, Duration::from_millis(20));
    let sent = load.run(|| {
        load.goes_on("at first");
        cluster.proxy().cut_each(50);
        load.until_told(form(5_000, 50_000));
        cluster.proxy().cut_each(0);
        load.goes_on("after the last cut");
    });
    let cuts = cluster.proxy().cuts();
    eprintln!("trial on {TOPIC}: {cuts} answers cut");
    assert!(cuts >= 5, "{cuts} answers cut");
    let figures = check(&cluster, TOPIC, &sent, 0);
    assert_eq!(figures.unknown + figures.failed, 0, "a cut answer is asked for again");
    assert_eq!(figures.doubled, 0);
}

#[test]
fn a_record_whose_leader_says_that_it_leads_no_more_is_never_called_failed() {
    const TOPIC: &str = "not-leader";
    const DELIVERY: Duration = Duration::from_secs(5);
    let cluster = Cluster::take();
    cluster.create_topic(TOPIC, 1, &[]).unwrap();
    let sidecar = sidecar(&cluster, "request.timeout.ms = 2000\ndelivery.timeout.ms = 5000");
    let path = format!("/v1/topics/{TOPIC}/records");
    assert_eq!(sidecar.tcp().json(&path, r#"{"value":0}"#).status, 200);
    cluster.proxy().refuse_next_and_close();
    let begun = std::time::Instant::now();
    let reply = sidecar.tcp().json(&path, r#"{"value":1}"#);
    eprintln!(
        "trial on {TOPIC}: {} after {:.1?}, delivery.timeout.ms is {DELIVERY:?}",
        reply.outcomes()[0],
        begun.elapsed()
    );
    assert!(cluster.proxy().is_closed(), "the answer came through the proxy");
    assert_eq!(reply.status, 504, "{}", reply.text());
    assert_eq!(cluster.read(TOPIC).unwrap().len(), 2, "it was written");
    cluster.proxy().open();
    eventually("it goes on", || {
        sidecar.tcp().json(&path, r#"{"value":2}"#).status == 200
    });
}

#[test]
fn a_record_that_a_drain_gives_up_after_such_an_answer_is_never_called_failed() {
    const TOPIC: &str = "not-leader-and-drained";
    let cluster = Cluster::take();
    cluster.create_topic(TOPIC, 1, &[]).unwrap();
    let mut sidecar = sidecar(&cluster, "request.timeout.ms = 2000\ndelivery.timeout.ms = 60000");
    let path = format!("/v1/topics/{TOPIC}/records");
    assert_eq!(sidecar.tcp().json(&path, r#"{"value":0}"#).status, 200);
    cluster.proxy().refuse_next_and_close();
    let mut waiting = sidecar.tcp();
    waiting.send(
        "POST",
        &path,
        &[("content-type", "application/json")],
        br#"{"value":1}"#,
    );
    eventually("the answer is on its way", || cluster.proxy().is_closed());
    sidecar.terminate();
    let outcomes = waiting.reply().expect("an answer").outcomes();
    assert_eq!(sidecar.ended().code(), Some(1));
    eprintln!("trial on {TOPIC}: {}", outcomes[0]);
    assert_eq!(cluster.read(TOPIC).unwrap().len(), 2, "it was written");
    assert!(outcomes[0].starts_with("unknown"), "{outcomes:?}");
}
