//! A plugin decides, and a bad plugin hurts only its own records.

mod fields;
mod start;
mod versions;

use crate::support::{
    consumer::read,
    sidecar::{Builder, Sidecar, plugin_dir},
};

fn hostile(more: &str) -> Sidecar {
    Builder::embedded().route("*", "hostile", more).start()
}

fn send(sidecar: &Sidecar, keys: &[&str]) -> Vec<String> {
    let records: Vec<String> = keys
        .iter()
        .map(|key| format!(r#"{{"key":"{key}","value":1}}"#))
        .collect();
    let body = format!(r#"{{"records":[{}]}}"#, records.join(","));
    let reply = sidecar.tcp().json("/v1/topics/t/records", &body);
    reply.outcomes()
}

#[test]
fn each_kind_of_failure_rejects_its_own_record_and_the_batch_goes_on() {
    let mut sidecar = hostile("");
    let keys = [
        "a",
        "panic",
        "b",
        "loop",
        "c",
        "hog",
        "d",
        "recurse",
        "e",
        "beyond",
        "huge",
        "reject",
        "chatty reject",
        "f",
    ];
    let outcomes = send(&sidecar, &keys);
    let expected = [
        "acked",
        "rejected plugin_trapped",
        "acked",
        "rejected plugin_timeout",
        "acked",
        "rejected plugin_trapped",
        "acked",
        "rejected plugin_trapped",
        "acked",
        "rejected partition_out_of_range",
        "rejected partition_out_of_range",
        "rejected plugin_rejected",
        "rejected plugin_rejected",
        "acked",
    ];
    assert_eq!(outcomes, expected);
    assert!(sidecar.is_alive());
    let found = read(sidecar.embedded.as_deref().unwrap(), "t", 6);
    let mut keys: Vec<_> = found.iter().map(|read| read.key.clone().unwrap()).collect();
    keys.sort();
    assert_eq!(keys, [b"a", b"b", b"c", b"d", b"e", b"f"]);
    // The call about the first two records failed as a whole, and counts, too.
    assert_eq!(
        sidecar.metric("pointsman_plugin_batch_failures_total{plugin=\"hostile\"}"),
        1.0
    );
    for (kind, count) in [("trapped", 4.0), ("over_time", 1.0)] {
        let metric = format!("pointsman_plugin_errors_total{{kind=\"{kind}\",plugin=\"hostile\"}}");
        assert_eq!(sidecar.metric(&metric), count, "{kind}");
    }
}

#[test]
fn a_refusal_tells_the_client_why() {
    let sidecar = hostile("");
    let says = |key: &str| {
        let body = format!(r#"{{"key":"{key}"}}"#);
        let reply = sidecar.tcp().json("/v1/topics/t/records", &body).json();
        reply["records"][0]["error"]["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(says("reject"), "not today");
    assert!(says("chatty reject").len() < 1_100);
    assert!(says("hog").contains("plugins.memory_bytes"));
    assert!(says("loop").contains("5 ms of CPU time"));
    assert!(says("panic").contains("unreachable"));
    assert!(says("beyond").contains("chose partition 4") && says("beyond").contains("has 0 to 3"));
    // The guest's own panic message goes to the operator.
    let logged = sidecar.wait_for_log("as told");
    assert_eq!(
        (logged["level"].as_str(), logged["plugin"].as_str()),
        (Some("ERROR"), Some("hostile"))
    );
}

#[test]
fn after_a_trap_the_next_record_meets_a_fresh_instance() {
    let sidecar = hostile("");
    let says = |keys: &[&str]| {
        let records: Vec<String> = keys.iter().map(|key| format!(r#"{{"key":"{key}"}}"#)).collect();
        let body = format!(r#"{{"records":[{}]}}"#, records.join(","));
        let reply = sidecar.tcp().json("/v1/topics/t/records", &body).json();
        let last = reply["records"].as_array().unwrap().last().unwrap().clone();
        last["error"]["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(says(&["x", "panic", "x", "x", "seen"]), "3");
    assert_eq!(says(&["x", "loop", "seen"]), "1");
}

#[test]
fn on_error_key_hash_lets_the_host_decide_and_keeps_refusals() {
    let sidecar = hostile("on_error = \"key-hash\"");
    let outcomes = send(&sidecar, &["panic", "loop", "hog", "reject", "beyond"]);
    assert_eq!(
        outcomes,
        [
            "acked",
            "acked",
            "acked",
            "rejected plugin_rejected",
            "rejected partition_out_of_range"
        ]
    );
    let native = Builder::embedded().start();
    for key in ["panic", "hog"] {
        let body = format!(r#"{{"key":"{key}"}}"#);
        let by_fallback = sidecar.tcp().json("/v1/topics/t/records", &body).partitions();
        let by_host = native.tcp().json("/v1/topics/t/records", &body).partitions();
        assert_eq!(by_fallback, by_host);
    }
}

#[test]
fn a_request_cannot_spend_plugin_time_without_end() {
    // The budget is wall time, but a call is stopped after 5 ms of CPU time, which takes far longer on a busy machine.
    // So the budget is large.
    const BUDGET_MS: usize = 500;
    const RECORDS: usize = 500;
    let sidecar = Builder::embedded()
        .config(&format!("[limits]\nmax_plugin_ms = {BUDGET_MS}"))
        // Else the plugin would be suspended before the budget is spent.
        .config(&format!("[plugins]\nmax_traps = 10000\ndir = {:?}", plugin_dir()))
        .route("*", "hostile", "")
        .start();
    let outcomes = send(&sidecar, &["loop"; RECORDS]);
    let count = |wanted: &str| outcomes.iter().filter(|outcome| *outcome == wanted).count();
    let timeouts = count("rejected plugin_timeout");
    let spent = count("rejected plugin_budget_spent");
    assert_eq!(timeouts + spent, RECORDS, "{outcomes:?}");
    // Twice as many calls as fit, because the budget's clock is coarse.
    assert!(
        (1..=BUDGET_MS * 2 / 5).contains(&timeouts),
        "{timeouts} calls of 5 ms in a budget of {BUDGET_MS} ms"
    );
    // The next request has its own budget.
    assert_eq!(send(&sidecar, &["a"]), ["acked"]);
}

#[test]
fn probes_are_answered_while_a_slow_plugin_works() {
    let sidecar = hostile("");
    std::thread::scope(|scope| {
        let busy: Vec<_> = (0..4).map(|_| scope.spawn(|| send(&sidecar, &["slow"; 300]))).collect();
        for _ in 0..20 {
            assert_eq!(sidecar.admin("/live").status, 200);
        }
        // Another client gets its turn as well.
        assert_eq!(send(&sidecar, &["a"]), ["acked"]);
        for busy in busy {
            assert_eq!(busy.join().unwrap().len(), 300);
        }
    });
}

#[test]
fn a_log_flood_is_dammed() {
    let sidecar = hostile("");
    assert_eq!(send(&sidecar, &["flood", "flood", "a"]).last().unwrap(), "acked");
    let lines = sidecar
        .log()
        .into_iter()
        .filter(|line| line["target"] == "plugin")
        .collect::<Vec<_>>();
    assert!(!lines.is_empty() && lines.len() <= 100, "{} lines", lines.len());
    for line in lines {
        assert!(line["message"].as_str().unwrap().len() <= 1_100);
    }
}

#[test]
fn a_tenant_is_hashed_until_there_is_a_routing_table() {
    let sidecar = hostile("");
    let by_tenant = sidecar
        .tcp()
        .json("/v1/topics/t/records", r#"{"key":"tenant"}"#)
        .partitions();
    let native = Builder::embedded().start();
    let by_key = native
        .tcp()
        .json("/v1/topics/t/records", r#"{"key":"acme"}"#)
        .partitions();
    assert_eq!(by_tenant, by_key);
}

#[test]
fn any_stays_on_a_partition_for_16_kib_and_then_moves() {
    let sidecar = Builder::embedded().start();
    let record = format!(r#"{{"value":"{}"}}"#, "x".repeat(1_000));
    let body = format!(r#"{{"records":[{}]}}"#, vec![record; 600].join(","));
    let partitions = sidecar.tcp().json("/v1/topics/t/records", &body).partitions();
    let mut runs = vec![(partitions[0], 0)];
    for partition in partitions {
        match runs.last_mut() {
            Some((current, length)) if *current == partition => *length += 1,
            _ => runs.push((partition, 1)),
        }
    }
    // 16 of these records are 16 KiB. A draw may give the same partition again.
    assert!(runs.len() > 5, "{runs:?}");
    for (_, length) in &runs[..runs.len() - 1] {
        assert_eq!(length % 16, 0, "{runs:?}");
    }
}

#[test]
fn the_projects_plugins_decide_as_they_say() {
    let sidecar = Builder::embedded()
        .route("rr", "round-robin", "")
        .route("header", "header", "config = { name = \"tier\" }")
        .route("field", "json-field", "config = { pointer = \"/customer/id\" }")
        .route("key", "key-hash", "")
        .config("[[route]]\ntopics = [\"plain\"]")
        .start();
    let post = |topic: &str, body: &str| {
        sidecar
            .tcp()
            .json(&format!("/v1/topics/{topic}/records"), body)
            .partitions()
    };
    let by_host = post("plain", r#"{"records":[{"key":"vip"},{"key":"17"},{"key":""}]}"#);
    assert_eq!(
        post("key", r#"{"records":[{"key":"vip"},{"key":"17"},{"key":""}]}"#),
        by_host
    );
    let one = |topic: &str, body: &str| post(topic, body)[0];
    assert_eq!(one("header", r#"{"key":"other","headers":{"tier":"vip"}}"#), by_host[0]);
    assert_eq!(
        one("header", r#"{"key":"17"}"#),
        by_host[1],
        "without the header, the key"
    );
    assert_eq!(
        one("field", r#"{"key":"x","value":{"customer":{"id":"vip"}}}"#),
        by_host[0]
    );
    assert_eq!(
        one("field", r#"{"key":"x","value":{"customer":{"id":17}}}"#),
        by_host[1]
    );
    assert_eq!(
        one("field", r#"{"key":"vip","value":{"customer":{}}}"#),
        by_host[0],
        "without the field, the key"
    );
    // A connection may meet several instances, so only the spread is certain.
    let mut spread = post("rr", r#"{"records":[{},{},{},{},{},{},{},{}]}"#);
    spread.sort();
    assert_eq!(spread, [0, 0, 1, 1, 2, 2, 3, 3]);
}
