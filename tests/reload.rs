//! Plugins and routes change while records flow, and a change that fails changes nothing.

mod files;

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{
    plugin_folder::{PluginFolder, built, deciding, deciding_digests, digest, rewrite, shown, version},
    sidecar::{Sidecar, eventually},
};

fn decides(sidecar: &Sidecar, wanted: &str) {
    eventually("the new version decides", || deciding(sidecar, "t") == wanted);
}

#[test]
fn a_version_that_refuses_the_routes_config_does_not_come_into_service() {
    let folder = PluginFolder::new();
    let header = built("header");
    folder.put("p", &header);
    let sidecar = folder.sidecar().route("*", "p", "config = { name = \"tier\" }").start();
    // `key-hash` takes no config.
    folder.put("p", &built("key-hash"));
    eventually("it was refused", || {
        let problem = shown(&sidecar, "p")["problem"].clone();
        problem
            .as_str()
            .is_some_and(|problem| problem.contains("unknown field `name`"))
    });
    assert_eq!(deciding(&sidecar, "t"), digest(&header));
}

#[test]
fn a_rollback_holds_until_the_file_changes_or_somebody_asks() {
    let folder = PluginFolder::new();
    let key_hash = built("key-hash");
    let bytes: Vec<Vec<u8>> = (0..4).map(|number| version(&key_hash, number)).collect();
    let digests: Vec<String> = bytes.iter().map(|bytes| digest(bytes)).collect();
    folder.put("p", &bytes[0]);
    let sidecar = folder.sidecar().config("poll_ms = 50").route("*", "p", "").start();
    assert_eq!(sidecar.order("/plugins/p/rollback").problem(), "nothing_before");
    folder.put("p", &bytes[1]);
    decides(&sidecar, &digests[1]);

    let done = sidecar.order("/plugins/p/rollback").json();
    assert_eq!(
        (done["digest"].as_str(), done["ignored_digest"].as_str()),
        (Some(&*digests[0]), Some(&*digests[1]))
    );
    assert_eq!(deciding(&sidecar, "t"), digests[0]);
    let said = sidecar.wait_for_log("plugin rolled back");
    assert!(said["message"].as_str().unwrap().contains("a restart takes it again"));
    assert_eq!(sidecar.order("/plugins/p/rollback").problem(), "nothing_before");
    // A new file with the same bytes is the same content.
    folder.put("p", &bytes[1]);
    folder.put("q", &bytes[3]);
    eventually("it was looked at again", || {
        shown(&sidecar, "p")["problem"]
            .as_str()
            .is_some_and(|problem| problem.contains("rolled back"))
    });
    assert_eq!(deciding(&sidecar, "t"), digests[0]);

    let done = sidecar.order("/plugins/p/reload").json();
    assert_eq!(
        (done["result"].as_str(), done["digest"].as_str()),
        (Some("loaded"), Some(&*digests[1]))
    );
    assert_eq!(deciding(&sidecar, "t"), digests[1]);
    assert_eq!(sidecar.order("/plugins/p/reload").json()["result"], "unchanged");

    sidecar.order("/plugins/p/rollback");
    folder.put("p", &bytes[2]);
    decides(&sidecar, &digests[2]);
    folder.put("p", b"broken");
    let refused = sidecar.order("/plugins/p/reload");
    assert_eq!((refused.status, refused.problem().as_str()), (409, "not_loaded"));
    assert_eq!(deciding(&sidecar, "t"), digests[2]);
}

#[test]
fn an_order_names_a_plugin_of_a_route_and_never_a_path() {
    let folder = PluginFolder::new();
    let key_hash = built("key-hash");
    folder.put("p", &key_hash);
    fs::write(folder.beside("secret.wasm"), &key_hash).unwrap();
    folder.put("unused", &key_hash);
    let sidecar = folder.sidecar().route("*", "p", "").start();
    for name in ["../secret", "..%2Fsecret", "unused", "p.wasm", "", "p/../p", "./p"] {
        for order in ["reload", "rollback"] {
            let reply = sidecar.order(&format!("/plugins/{name}/{order}"));
            assert_eq!(
                (reply.status, reply.problem().as_str()),
                (404, "unknown_plugin"),
                "{name}"
            );
        }
    }
    assert_eq!(sidecar.admin("/plugins/p/reload").status, 405);
    assert_eq!(sidecar.order("/plugins/p/remove").status, 404);
}

#[test]
fn within_a_request_an_old_version_never_decides_after_a_new_one() {
    let folder = PluginFolder::new();
    let hostile = built("hostile");
    folder.put("p", &hostile);
    let sidecar = folder
        .sidecar()
        .config("[limits]\nmax_plugin_ms = 600000")
        .route("*", "p", "")
        .start();
    let slow = vec![r#"{"key":"slow"}"#; 3_000].join(",");
    let body = format!(r#"{{"records":[{slow}]}}"#);
    let spanned = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let deadline = Instant::now() + Duration::from_secs(120);
                while spanned.load(Ordering::SeqCst) == 0 && Instant::now() < deadline {
                    let seen = deciding_digests(&sidecar, "t", &body);
                    assert_eq!(seen.len(), 3_000);
                    spanned.fetch_add(swaps_seen(&seen), Ordering::SeqCst);
                }
            });
        }
        let mut turn = 1;
        while spanned.load(Ordering::SeqCst) == 0 {
            let bytes = version(&hostile, turn);
            folder.put("p", &bytes);
            decides(&sidecar, &digest(&bytes));
            turn += 1;
        }
    });
}

/// How often the digest changed. A digest that comes back would be an old version that decided after a new one.
fn swaps_seen(digests: &[String]) -> usize {
    let mut order = digests.to_vec();
    order.dedup();
    let mut distinct = order.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), order.len(), "an old version decided after a new one");
    order.len() - 1
}

#[test]
fn routes_change_with_the_configuration_file_and_an_invalid_one_changes_nothing() {
    let folder = PluginFolder::new();
    folder.put("p", &built("header"));
    let sidecar = folder
        .sidecar()
        .route("a*", "p", "config = { name = \"tier\" }")
        .start();
    let post = |topic: &str| {
        let body = r#"{"key":"k","headers":{"tier":"vip","region":"17"}}"#;
        sidecar.tcp().json(&format!("/v1/topics/{topic}/records"), body)
    };
    let by_tier = post("a").partitions();
    assert_eq!(post("b").problem(), "no_route");
    let config_problem = || sidecar.admin("/plugins").json()["configuration"]["problem"].clone();

    for (broken, says) in [
        ("this is no TOML", "pointsman.toml:"),
        (
            "[[route]]\ntopics = [\"b\"]\nplugin = \"nowhere\"",
            "not been there yet",
        ),
        (
            "[[route]]\ntopics = [\"b\"]\nplugin = \"p\"\nconfig = { nmae = 1 }",
            "unknown field `nmae`",
        ),
    ] {
        rewrite(&sidecar.config, |text| format!("{text}\n{broken}\n"));
        eventually(broken, || {
            config_problem().as_str().is_some_and(|problem| problem.contains(says))
        });
        assert!(sidecar.admin("/ready").text().contains(says));
        assert_eq!(post("a").partitions(), by_tier);
        assert_eq!(post("b").problem(), "no_route");
        rewrite(&sidecar.config, |text| text.replace(&format!("\n{broken}\n"), ""));
        eventually("it is forgotten", || config_problem().is_null());
    }

    // Another config for a known topic, and a route for one that had none.
    rewrite(&sidecar.config, |text| {
        text.replace("name = \"tier\"", "name = \"region\"") + "\n[[route]]\ntopics = [\"b\"]\n"
    });
    eventually("the new route is there", || post("b").status == 200);
    let by_region = sidecar
        .tcp()
        .json("/v1/topics/b/records", r#"{"key":"17"}"#)
        .partitions();
    assert_eq!(post("a").partitions(), by_region);
    assert_ne!(
        by_region, by_tier,
        "this test needs two keys that go to different partitions"
    );

    // Nothing is sent to a topic that has no route any more.
    rewrite(&sidecar.config, |text| {
        text.replace("topics = [\"a*\"]", "topics = [\"c\"]")
    });
    eventually("the route is gone", || post("a").status == 404);
    // A change that needs a restart is reported.
    rewrite(&sidecar.config, |text| format!("{text}\n[limits]\nmax_records = 7\n"));
    eventually("it is told", || {
        sidecar.admin("/plugins").json()["configuration"]["needs_restart"] == serde_json::json!(["limits"])
    });
}

#[test]
fn a_plugin_and_a_config_that_only_fit_together_are_taken_together_in_either_order() {
    let folder = PluginFolder::new();
    let (header, key_hash) = (built("header"), built("key-hash"));
    folder.put("p", &header);
    let sidecar = folder.sidecar().route("*", "p", "config = { name = \"tier\" }").start();
    // `header` needs the name, `key-hash` refuses it. First the file, then the configuration.
    folder.put("p", &key_hash);
    eventually("it was refused", || shown(&sidecar, "p")["problem"].is_string());
    assert_eq!(deciding(&sidecar, "t"), digest(&header));
    rewrite(&sidecar.config, |text| text.replace("config = { name = \"tier\" }", ""));
    decides(&sidecar, &digest(&key_hash));
    // Back again, first the configuration.
    rewrite(&sidecar.config, |text| {
        text.replace("plugin = \"p\"", "plugin = \"p\"\nconfig = { name = \"tier\" }")
    });
    eventually("it was refused", || {
        sidecar.admin("/plugins").json()["configuration"]["problem"].is_string()
    });
    assert_eq!(deciding(&sidecar, "t"), digest(&key_hash));
    folder.put("p", &header);
    decides(&sidecar, &digest(&header));
    assert!(
        sidecar.admin("/ready").json()["problems"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_pinned_route_takes_the_pinned_bytes_and_no_others() {
    let folder = PluginFolder::new();
    let (old, new) = (version(&built("key-hash"), 1), version(&built("key-hash"), 2));
    folder.put("p", &old);
    let sidecar = folder
        .sidecar()
        .route("*", "p", &format!("sha256 = \"{}\"", digest(&old)))
        .start();
    folder.put("p", &new);
    eventually("it was refused", || {
        shown(&sidecar, "p")["problem"]
            .as_str()
            .is_some_and(|problem| problem.contains("the route pins"))
    });
    assert_eq!(deciding(&sidecar, "t"), digest(&old));
    rewrite(&sidecar.config, |text| text.replace(&digest(&old), &digest(&new)));
    decides(&sidecar, &digest(&new));
}
