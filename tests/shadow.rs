//! A shadow decides, too; its decisions are compared, and nothing that it does affects a record.

use serde_json::Value;

use crate::support::{
    plugin_folder::{PluginFolder, built, digest},
    sidecar::{Builder, Sidecar, eventually},
};

fn shadow(sidecar: &Sidecar) -> Value {
    sidecar.admin("/plugins").json()["routes"][0]["shadow"].clone()
}

fn compared(sidecar: &Sidecar) -> u64 {
    let shadow = shadow(sidecar);
    let count = |name: &str| shadow[name].as_u64().unwrap_or_default();
    count("same") + count("different") + count("error") + count("dropped")
}

fn post(sidecar: &Sidecar, records: &[&str]) -> crate::support::http::Reply {
    let body = format!(r#"{{"records":[{}]}}"#, records.join(","));
    sidecar.tcp().json("/v1/topics/t/records", &body)
}

#[test]
fn a_shadows_decisions_are_compared_and_never_used() {
    let sidecar = Builder::embedded()
        .route(
            "t",
            "key-hash",
            "shadow = { plugin = \"header\", share = 1.0, config = { name = \"tier\" } }",
        )
        .config("[[route]]\ntopics = [\"plain\"]")
        .start();
    let by_key = sidecar
        .tcp()
        .json("/v1/topics/plain/records", r#"{"key":"vip"}"#)
        .partitions();
    let other = r#"{"key":"vip","headers":{"tier":"17"}}"#;
    let same = r#"{"key":"vip"}"#;
    assert_eq!(
        post(&sidecar, &[other, same, other, r#"{}"#]).partitions()[..3],
        by_key.repeat(3)
    );
    eventually("all are compared", || compared(&sidecar) == 4);
    let found = shadow(&sidecar);
    assert_eq!(
        (found["same"].as_u64(), found["different"].as_u64()),
        (Some(2), Some(2)),
        "{found}"
    );
    assert_eq!(found["digest"].as_str(), Some(&*digest(&built("header"))));
    let last = found["last_difference"].as_str().unwrap();
    assert!(last.contains(&format!("decided: partition {}", by_key[0])), "{last}");
    for (result, count) in [("same", 2.0), ("different", 2.0), ("error", 0.0), ("dropped", 0.0)] {
        let metric = format!("pointsman_shadow_records_total{{plugin=\"header\",result=\"{result}\"}}");
        assert_eq!(sidecar.metric(&metric), count, "{result}");
    }
    assert_eq!(
        sidecar.metric("pointsman_shadow_call_duration_seconds_count{plugin=\"header\"}"),
        4.0
    );
}

#[test]
fn a_shadow_that_traps_loops_or_is_not_there_costs_no_record_anything() {
    let folder = PluginFolder::new();
    folder.put("p", &built("key-hash"));
    let sidecar = folder
        .sidecar()
        .route("t", "p", "shadow = { plugin = \"s\", share = 1.0 }")
        .start();
    assert_eq!(sidecar.admin("/ready").status, 200, "a candidate is not waited for");
    assert_eq!(post(&sidecar, &[r#"{"key":"a"}"#]).outcomes(), ["acked"]);
    folder.put("s", &built("hostile"));
    eventually("it is there", || shadow(&sidecar)["digest"].is_string());
    let records: Vec<&str> = [
        r#"{"key":"panic"}"#,
        r#"{"key":"loop"}"#,
        r#"{"key":"a"}"#,
        r#"{"key":"hog"}"#,
    ]
    .into_iter()
    .cycle()
    .take(80)
    .collect();
    assert_eq!(post(&sidecar, &records).outcomes(), vec!["acked"; 80]);
    eventually("all are compared", || compared(&sidecar) == 80);
    let found = shadow(&sidecar);
    // Like any plugin, the shadow is suspended after 20 failures; the route's own plugin is not.
    assert!(found["error"].as_u64().unwrap() >= 20, "{found}");
    assert_eq!(post(&sidecar, &records).outcomes(), vec!["acked"; 80]);
    assert_eq!(sidecar.metric("pointsman_plugin_suspended{plugin=\"p\"}"), 0.0);
    // A file that is not a plugin leaves the shadow before it in its place, and the route as it is.
    folder.put("s", b"no plugin");
    eventually("it is told", || {
        sidecar.admin("/ready").text().contains("not wasm at all")
    });
    assert_eq!(sidecar.admin("/ready").status, 200);
    assert_eq!(shadow(&sidecar)["digest"].as_str(), Some(&*digest(&built("hostile"))));
}

#[test]
fn a_bad_shadow_does_not_stop_the_start() {
    let folder = PluginFolder::new();
    folder.put("p", &built("key-hash"));
    folder.put("broken", b"no plugin");
    folder.put("picky", &built("header"));
    for name in ["broken", "picky"] {
        let sidecar = folder
            .sidecar()
            .route("t", "p", &format!("shadow = {{ plugin = \"{name}\", share = 0.5 }}"))
            .start();
        assert_eq!(post(&sidecar, &[r#"{"key":"a"}"#]).outcomes(), ["acked"]);
        assert_eq!(sidecar.admin("/ready").status, 200);
    }
}
