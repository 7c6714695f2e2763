//! Tests against real Apache Kafka, read back by the Java client.

use base64_simd::STANDARD;
use serde_json::Value;

use crate::support::{
    kafka::Kafka,
    sidecar::{Builder, Sidecar},
};

const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");

fn read(kafka: &Kafka, topic: &str) -> Vec<Value> {
    let lines = kafka.read(topic).expect("readable");
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    value.as_str().map(|text| STANDARD.decode_to_vec(text).unwrap())
}

fn path(topic: &str) -> String {
    format!("/v1/topics/{topic}/records")
}

#[test]
fn what_the_answer_says_is_what_the_java_client_reads() {
    let kafka = Kafka::single();
    kafka.create_topic("answers", 12, &[]).unwrap();
    let sidecar = Builder::kafka(&kafka.bootstrap()).route("*", "key-hash", "").start();
    let body = r#"{"records":[
        {"key":"a","value":{ "n" : 1 },"headers":{"h":"v","n":null},"timestamp":1700000000123},
        {"key":"b","value":null},
        {"key_base64":"/wA=","value_base64":"gIE="},
        {"value":1}
    ]}"#;
    let reply = sidecar.unix().json(&path("answers"), body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.header("pointsman-embedded").is_none());
    let answer = reply.json();
    let found = read(kafka, "answers");
    assert_eq!(found.len(), 4);
    for (index, key) in [Some(&b"a"[..]), Some(b"b"), Some(&[255, 0]), None]
        .into_iter()
        .enumerate()
    {
        let acked = &answer["records"][index];
        let stands = found
            .iter()
            .find(|record| record["partition"] == acked["partition"] && record["offset"] == acked["offset"])
            .unwrap_or_else(|| panic!("record {index} is not where {acked} says: {found:?}"));
        assert_eq!(bytes(&stands["key"]).as_deref(), key);
        assert_eq!(stands["timestamp"], acked["timestamp"]);
    }
    let first = found
        .iter()
        .find(|record| bytes(&record["key"]).as_deref() == Some(b"a"))
        .unwrap();
    assert_eq!(bytes(&first["value"]).unwrap(), br#"{ "n" : 1 }"#);
    assert_eq!(first["timestamp"], 1_700_000_000_123_i64);
    assert_eq!(first["headers"].to_string(), r#"[["h","dg=="],["n",null]]"#);
    let tombstone = found
        .iter()
        .find(|record| bytes(&record["key"]).as_deref() == Some(b"b"))
        .unwrap();
    assert!(tombstone["value"].is_null());
}

#[test]
fn a_key_takes_the_partition_that_javas_own_producer_gives_it() {
    let kafka = Kafka::single();
    kafka.create_topic("parity", 12, &[]).unwrap();
    let sidecar = Builder::kafka(&kafka.bootstrap()).route("*", "key-hash", "").start();
    for key in [
        &b"a"[..],
        b"",
        b"customer-4711",
        &[0xff, 0x80, 0x00, 0x7f, 0x01],
        "schlüssel".as_bytes(),
    ] {
        let key = STANDARD.encode_to_string(key);
        let java: Value = serde_json::from_str(&kafka.produce("parity", Some(&key), None).unwrap()).unwrap();
        let body = format!(r#"{{"key_base64":"{key}"}}"#);
        let here = sidecar.tcp().json(&path("parity"), &body).partitions();
        assert_eq!(java["partition"], here[0], "{key}");
    }
}

#[test]
fn a_batch_keeps_its_order_in_every_partition() {
    let kafka = Kafka::three();
    kafka.create_topic("ordered", 6, &[]).unwrap();
    let sidecar = Builder::kafka(&kafka.bootstrap()).route("*", "key-hash", "").start();
    let clients = 4;
    std::thread::scope(|scope| {
        for client in 0..clients {
            let sidecar = &sidecar;
            scope.spawn(move || send_in_order(sidecar, client));
        }
    });
    let found = read(kafka, "ordered");
    assert_eq!(found.len(), clients * 10 * 500);
    let mut last = std::collections::HashMap::new();
    for record in &found {
        let text = String::from_utf8(bytes(&record["value"]).unwrap()).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        let stream = (value[0].as_u64().unwrap(), record["partition"].as_u64().unwrap());
        let number = value[1].as_i64().unwrap();
        let before = last.insert(stream, number).unwrap_or(-1);
        assert!(before < number, "{before} stands before {number} in {stream:?}");
    }
}

fn send_in_order(sidecar: &Sidecar, client: usize) {
    let mut connection = sidecar.unix();
    for request in 0..10 {
        let lines: String = (0..500)
            .map(|index| {
                let number = request * 500 + index;
                format!(
                    "{{\"key\":\"{client}-{}\",\"value\":[{client},{number}]}}\n",
                    number % 13
                )
            })
            .collect();
        let reply = connection.post(&path("ordered"), &[NDJSON], lines.as_bytes());
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

#[test]
fn an_unknown_topic_is_not_invented_and_a_created_one_is_found() {
    let kafka = Kafka::single();
    let sidecar = Builder::kafka(&kafka.bootstrap()).start();
    let reply = sidecar.tcp().json(&path("later"), r#"{"value":1}"#);
    assert_eq!((reply.status, reply.problem().as_str()), (404, "unknown_topic"));
    kafka.create_topic("known", 1, &[]).unwrap();
    let mixed = r#"{"records":[{"topic":"known","value":1},{"topic":"later","value":1}]}"#;
    let reply = sidecar.tcp().json("/v1/records", mixed);
    assert_eq!(reply.outcomes(), ["acked", "rejected unknown_topic"]);
    kafka.create_topic("later", 1, &[]).unwrap();
    crate::support::sidecar::eventually("the topic is found", || {
        sidecar.tcp().json(&path("later"), r#"{"value":1}"#).status == 200
    });
    assert_eq!(read(kafka, "later").len(), 1);
}

#[test]
fn a_topic_that_the_brokers_create_by_themselves_can_be_used_at_once() {
    let kafka = Kafka::three();
    let sidecar = Builder::kafka(&kafka.bootstrap()).start();
    let reply = sidecar.tcp().json(&path("created-by-use"), r#"{"key":"a","value":1}"#);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(read(kafka, "created-by-use").len(), 1);
}

#[test]
fn what_a_topic_does_not_take_is_rejected_and_says_what_to_do_and_the_rest_goes_on() {
    let kafka = Kafka::single();
    kafka
        .create_topic("small", 1, &[("max.message.bytes", "1000")])
        .unwrap();
    kafka
        .create_topic("compacted", 1, &[("cleanup.policy", "compact")])
        .unwrap();
    let sidecar = Builder::kafka(&kafka.bootstrap()).start();
    let rejected = |topic: &str, body: &str, outcome: &str, says: &str| {
        let reply = sidecar.tcp().json(&path(topic), body);
        assert_eq!(
            (reply.status, reply.outcomes()),
            (422, vec![format!("rejected {outcome}")])
        );
        assert!(reply.text().contains(says), "{}", reply.text());
    };
    // The largest value that fits, and one byte more. Besides the value there are 61 bytes of the batch, 2 of the
    // record's length, 8 of its fields, and 2 quotes.
    let value = |length: usize| format!(r#"{{"key":"k","value":"{}"}}"#, "x".repeat(length));
    rejected(
        "small",
        &value(1_000 - 61 - 2 - 8 - 2 + 1),
        "record_too_large",
        "max.message.bytes",
    );
    rejected("compacted", r#"{"value":1}"#, "key_required", "give the record a key");
    let acked = |topic: &str, body: &str| assert_eq!(sidecar.tcp().json(&path(topic), body).outcomes(), ["acked"]);
    acked("small", &value(1_000 - 61 - 2 - 8 - 2));
    // A tombstone has a key.
    acked("compacted", r#"{"key":"k"}"#);
    assert_eq!((read(kafka, "small").len(), read(kafka, "compacted").len()), (1, 1));
    for topic in ["small", "compacted"] {
        let metric = format!("pointsman_topic_closures_total{{topic=\"{topic}\"}}");
        assert_eq!(sidecar.metric(&metric), 0.0);
    }
}

#[test]
fn settings_that_change_while_records_flow_are_followed() {
    let kafka = Kafka::single();
    kafka.create_topic("changing", 1, &[]).unwrap();
    let sidecar = Builder::kafka(&kafka.bootstrap())
        .kafka_lines("metadata_refresh_ms = 200")
        .start();
    let outcome = || {
        let reply = sidecar.tcp().json(&path("changing"), r#"{"value":1}"#);
        reply.outcomes().remove(0)
    };
    assert_eq!(outcome(), "acked");
    kafka.set_config("changing", "cleanup.policy", "compact").unwrap();
    crate::support::sidecar::eventually("the key is missed", || outcome() == "rejected key_required");
    kafka.set_config("changing", "cleanup.policy", "delete").unwrap();
    crate::support::sidecar::eventually("it is not any more", || outcome() == "acked");
}

#[test]
fn a_right_that_is_taken_away_closes_its_topic_only_and_given_back_opens_it() {
    let kafka = Kafka::single();
    kafka.create_topic("guarded", 1, &[]).unwrap();
    kafka.create_topic("free", 1, &[]).unwrap();
    let properties = kafka.sasl_ssl_properties("PLAIN");
    let sidecar = Builder::kafka(&kafka.sasl_ssl_bootstrap())
        .kafka_lines(&format!("properties = '''\n{properties}'''"))
        .start();
    let outcome = |topic: &str| {
        let reply = sidecar.tcp().json(&path(topic), r#"{"key":"k","value":1}"#);
        reply.outcomes().remove(0)
    };
    let mut written = 0;
    let mut guarded = || {
        let outcome = outcome("guarded");
        written += usize::from(outcome == "acked");
        outcome
    };
    assert_eq!(guarded(), "acked");
    assert_eq!(outcome("free"), "acked");
    kafka.deny_write("guarded").unwrap();
    crate::support::sidecar::eventually("the broker refuses", || guarded() == "failed topic_unauthorized");
    assert_eq!(guarded(), "rejected topic_unauthorized");
    for _ in 0..20 {
        assert_eq!(outcome("free"), "acked", "one topic's trouble is its own");
    }
    // The record that is let through after the pause is refused, too, and the pause doubles.
    crate::support::sidecar::eventually("it is tried again", || guarded() == "failed topic_unauthorized");
    kafka.allow_write("guarded").unwrap();
    crate::support::sidecar::eventually("it is open again", || guarded() == "acked");
    assert_eq!(sidecar.metric("pointsman_generation"), 1.0);
    assert_eq!(
        read(kafka, "guarded").len(),
        written,
        "what was called failed or rejected was not written"
    );
}

#[test]
fn a_request_that_does_not_wait_for_the_brokers_is_told_that_its_records_may_still_land() {
    let kafka = Kafka::start(1).expect("a broker");
    kafka.create_topic("slow", 1, &[]).unwrap();
    let sidecar = Builder::kafka(&kafka.bootstrap()).start();
    assert_eq!(sidecar.tcp().json(&path("slow"), r#"{"value":0}"#).status, 200);
    kafka.freeze(0);
    let headers = [("content-type", "application/json"), ("pointsman-timeout-ms", "300")];
    let body = br#"{"records":[{"value":1},{"value":2,"partition":9}]}"#;
    let reply = sidecar.tcp().post(&path("slow"), &headers, body);
    assert_eq!(
        (reply.status, reply.outcomes()),
        (
            207,
            vec![
                "unknown request_timeout".to_owned(),
                "rejected partition_out_of_range".to_owned()
            ]
        )
    );
    kafka.thaw(0);
    crate::support::sidecar::eventually("it landed after all", || read(&kafka, "slow").len() == 2);
    let bad = sidecar
        .tcp()
        .post(&path("slow"), &[headers[0], ("pointsman-timeout-ms", "soon")], body);
    assert_eq!((bad.status, bad.problem().as_str()), (400, "bad_header"));
}

#[test]
fn a_topic_that_is_deleted_is_refused_and_one_that_is_made_again_is_used() {
    let kafka = Kafka::single();
    kafka.create_topic("phoenix", 2, &[]).unwrap();
    kafka.create_topic("bystander", 1, &[]).unwrap();
    let sidecar = Builder::kafka(&kafka.bootstrap())
        // The second setting: how long librdkafka waits for a topic that may only be late (30 s by default).
        .kafka_lines("metadata_refresh_ms = 200\n[kafka.properties]\n\"topic.metadata.propagation.max.ms\" = 500")
        .start();
    let send = |topic: &str| sidecar.tcp().json(&path(topic), r#"{"key":"k","value":1}"#);
    for _ in 0..10 {
        assert_eq!(send("phoenix").status, 200);
    }
    kafka.delete_topic("phoenix").unwrap();
    crate::support::sidecar::eventually("it is unknown", || {
        let reply = send("phoenix");
        reply.status == 404 && reply.problem() == "unknown_topic"
    });
    assert_eq!(send("bystander").status, 200);
    // With fewer partitions than before, and a broker that has forgotten the producer's sequence there.
    kafka.create_topic("phoenix", 1, &[]).unwrap();
    let mut acked = 0;
    crate::support::sidecar::eventually("it is used again", || {
        acked += usize::from(send("phoenix").status == 200);
        acked == 5
    });
    assert!(read(kafka, "phoenix").len() >= 5);
    assert_eq!(send("bystander").status, 200);
    eprintln!(
        "generation after a topic was made again: {}",
        sidecar.metric("pointsman_generation")
    );
}

#[test]
fn partitions_that_are_added_are_used_after_a_refresh() {
    let kafka = Kafka::single();
    kafka.create_topic("growing", 1, &[]).unwrap();
    let sidecar = Builder::kafka(&kafka.bootstrap())
        .kafka_lines("metadata_refresh_ms = 200")
        .start();
    let body = r#"{"partition":2,"value":1}"#;
    let outcome = || sidecar.tcp().json(&path("growing"), body).outcomes().remove(0);
    assert_eq!(outcome(), "rejected partition_out_of_range");
    kafka.add_partitions("growing", 3).unwrap();
    crate::support::sidecar::eventually("they are seen", || outcome() == "acked");
}

#[test]
fn a_pasted_producer_properties_logs_in_over_tls_and_its_password_is_never_shown() {
    let kafka = Kafka::single();
    kafka.create_topic("secure", 3, &[]).unwrap();
    let password = kafka.password();
    let (user, ca) = (kafka.user(), kafka.ca_pem());
    for mechanism in ["SCRAM-SHA-512", "PLAIN"] {
        let login = kafka.sasl_ssl_properties(mechanism);
        let properties = format!("enable.idempotence=true\nacks=all\ncompression.type=zstd\n{login}");
        let sidecar = Builder::kafka(&kafka.sasl_ssl_bootstrap())
            .kafka_lines(&format!("properties = '''\n{properties}'''"))
            .start();
        let reply = sidecar.tcp().json(&path("secure"), r#"{"key":"k","value":1}"#);
        assert_eq!(reply.outcomes(), ["acked"], "{mechanism}");
        let shown = sidecar.admin("/config").text();
        assert!(
            shown.contains("sasl.username") && shown.contains("[redacted]"),
            "{shown}"
        );
        for text in [shown, sidecar.log_text(), sidecar.admin("/metrics").text()] {
            assert!(!text.contains(password), "{text}");
        }
    }
    let wrong = Builder::kafka(&kafka.sasl_ssl_bootstrap())
        .kafka_lines(&format!(
            "[kafka.properties]\nsecurity.protocol = \"SASL_SSL\"\nsasl.mechanism = \"PLAIN\"\nsasl.username = \"{user}\"\n\
             sasl.password = \"wrong-horse\"\nssl.ca.location = {ca:?}"
        ))
        .config("[limits]\nmax_wait_ms = 500")
        .start();
    let reply = wrong.tcp().json(&path("secure"), r#"{"key":"k","value":1}"#);
    assert_eq!((reply.status, reply.problem().as_str()), (503, "kafka_unavailable"));
    assert!(!wrong.log_text().contains("wrong-horse") && !reply.text().contains("wrong-horse"));
    assert_eq!(read(kafka, "secure").len(), 2);
}

#[test]
fn a_block_of_properties_as_teams_have_it_starts_and_produces() {
    let kafka = Kafka::single();
    kafka.create_topic("pasted", 3, &[]).unwrap();
    let block = "enable.idempotence=true\nacks=all\nretries=2147483647\ndelivery.timeout.ms=60000\n\
                 max.in.flight.requests.per.connection=1\ncompression.type=zstd\nbatch.size=32000\nlinger.ms=500\n\
                 connections.max.idle.ms=90000000\nmetadata.max.age.ms=86400000\n\
                 key.serializer=org.apache.kafka.common.serialization.StringSerializer\n";
    let sidecar = Builder::kafka(&kafka.bootstrap())
        .kafka_lines(&format!("properties = '''\n{block}'''"))
        .start();
    let reply = sidecar.tcp().json(
        &path("pasted"),
        r#"{"records":[{"key":"a","value":1},{"key":"b","value":2}]}"#,
    );
    assert_eq!(reply.outcomes(), ["acked", "acked"]);
    assert_eq!(read(kafka, "pasted").len(), 2);
}
