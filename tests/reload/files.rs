//! A plugin's file is replaced, half written, deleted, or not there yet.

use std::fs;
use std::os::unix::fs::symlink;

use super::decides;
use crate::support::{
    plugin_folder::{PluginFolder, built, deciding, digest, shown, version},
    sidecar::eventually,
};

#[test]
fn however_a_file_is_replaced_its_new_content_decides_without_a_restart() {
    let key_hash = built("key-hash");
    let folder = PluginFolder::new();
    let mut numbers = 1..;
    let mut next = || {
        let bytes = version(&key_hash, numbers.next().unwrap());
        (digest(&bytes), bytes)
    };
    let (first, bytes) = next();
    folder.put("p", &bytes);
    // So long that only events can reveal a change.
    let sidecar = folder.sidecar().config("poll_ms = 600000").route("*", "p", "").start();
    // Before the first answer, when the watch may not have begun yet.
    let (second, bytes) = next();
    folder.put("p", &bytes);
    decides(&sidecar, &second);
    assert_ne!(first, second);

    let (wanted, bytes) = next();
    folder.put("p", &bytes);
    decides(&sidecar, &wanted);

    let (wanted, bytes) = next();
    fs::write(folder.file("p"), &bytes).unwrap();
    decides(&sidecar, &wanted);

    fs::remove_file(folder.file("p")).unwrap();
    for generation in 1..4 {
        let (wanted, bytes) = next();
        folder.put_as_config_map("p", &bytes, generation);
        decides(&sidecar, &wanted);
    }

    for _ in 0..2 {
        let (wanted, bytes) = next();
        let other = folder.beside("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join("p.wasm"), &bytes).unwrap();
        fs::rename(folder.path(), folder.beside("old")).unwrap();
        fs::rename(&other, folder.path()).unwrap();
        fs::remove_dir_all(folder.beside("old")).unwrap();
        decides(&sidecar, &wanted);
    }
    // The new folder is watched, too.
    let (wanted, bytes) = next();
    folder.put("p", &bytes);
    decides(&sidecar, &wanted);
}

#[test]
fn a_change_that_no_event_tells_of_is_found_by_polling() {
    let folder = PluginFolder::new();
    let elsewhere = folder.beside("elsewhere/deep");
    fs::create_dir_all(&elsewhere).unwrap();
    let put = |number| {
        let bytes = version(&built("key-hash"), number);
        fs::write(elsewhere.join("draft"), &bytes).unwrap();
        fs::rename(elsewhere.join("draft"), elsewhere.join("p.wasm")).unwrap();
        digest(&bytes)
    };
    put(1);
    symlink(elsewhere.join("p.wasm"), folder.file("p")).unwrap();
    let sidecar = folder.sidecar().config("poll_ms = 100").route("*", "p", "").start();
    for number in 2..4 {
        let wanted = put(number);
        decides(&sidecar, &wanted);
    }
}

#[test]
fn a_half_written_file_is_never_taken_and_the_whole_one_is() {
    let folder = PluginFolder::new();
    let (old, new) = (version(&built("key-hash"), 1), version(&built("key-hash"), 2));
    folder.put("p", &old);
    let sidecar = folder.sidecar().route("*", "p", "").start();
    for cut in [0, 7, 8, 100, new.len() / 2, new.len() - 1] {
        fs::write(folder.file("p"), &new[..cut]).unwrap();
        eventually("it was looked at", || {
            shown(&sidecar, "p")["file_digest"] == digest(&new[..cut])
        });
        let problem = shown(&sidecar, "p")["problem"].clone();
        assert!(problem.is_string(), "cut at {cut}: {problem}");
        assert_eq!(deciding(&sidecar, "t"), digest(&old), "cut at {cut}");
        assert!(sidecar.admin("/ready").text().contains("plugin \\\"p\\\""));
    }
    fs::write(folder.file("p"), &new).unwrap();
    decides(&sidecar, &digest(&new));
    assert!(shown(&sidecar, "p")["problem"].is_null());
    assert_eq!(
        sidecar.metric("pointsman_plugin_reloads_total{plugin=\"p\",result=\"failed\"}"),
        6.0
    );
    assert_eq!(
        sidecar.metric("pointsman_plugin_reloads_total{plugin=\"p\",result=\"loaded\"}"),
        2.0
    );
    // Only one version has the label at a time.
    let info = |bytes: &[u8]| format!("pointsman_plugin_info{{digest=\"{}\",plugin=\"p\"}}", digest(bytes));
    assert_eq!((sidecar.metric(&info(&old)), sidecar.metric(&info(&new))), (0.0, 1.0));
}

#[test]
fn when_the_file_is_deleted_the_old_version_goes_on_and_ready_says_so() {
    let folder = PluginFolder::new();
    let bytes = built("key-hash");
    folder.put("p", &bytes);
    let sidecar = folder.sidecar().route("*", "p", "").start();
    fs::remove_file(folder.file("p")).unwrap();
    eventually("it is told", || {
        sidecar.admin("/ready").text().contains("its file is gone")
    });
    assert_eq!(sidecar.admin("/ready").status, 200, "it still decides");
    assert_eq!(deciding(&sidecar, "t"), digest(&bytes));
    folder.put("p", &bytes);
    eventually("all is well again", || {
        sidecar.admin("/ready").json()["problems"]
            .as_array()
            .unwrap()
            .is_empty()
    });
}

#[test]
fn a_route_without_its_plugin_waits_for_the_file_and_ready_waits_with_it() {
    let folder = PluginFolder::new();
    let sidecar = folder
        .sidecar()
        .route("strict", "p", "")
        .route("lenient", "p", "on_error = \"key-hash\"")
        .start();
    let outcome = |topic: &str| {
        let path = format!("/v1/topics/{topic}/records");
        sidecar.tcp().json(&path, r#"{"key":"a"}"#).outcomes().remove(0)
    };
    assert_eq!(sidecar.admin("/ready").status, 503);
    assert_eq!(sidecar.admin("/live").status, 200);
    assert_eq!(outcome("strict"), "rejected plugin_unavailable");
    assert_eq!(outcome("lenient"), "acked");
    folder.put("p", b"not a plugin");
    eventually("it was looked at", || {
        sidecar.admin("/ready").text().contains("not wasm")
    });
    assert_eq!(sidecar.admin("/ready").status, 503);
    folder.put("p", &built("key-hash"));
    eventually("it is ready", || sidecar.admin("/ready").status == 200);
    assert_eq!(
        (outcome("strict"), outcome("lenient")),
        ("acked".to_owned(), "acked".to_owned())
    );
}

#[test]
fn compiled_code_is_used_again_by_the_next_start_and_kept_where_only_its_owner_can_write() {
    use std::os::unix::fs::MetadataExt as _;
    let folder = PluginFolder::new();
    folder.put("p", &built("key-hash"));
    let cache = folder.beside("cache");
    let lines = format!("cache_dir = {cache:?}");
    let files = || {
        let found = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap());
        // The other files are single functions, for the next version.
        found
            .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "cwasm"))
            .map(|entry| (entry.file_name(), entry.metadata().unwrap().ino()))
            .collect::<Vec<_>>()
    };
    drop(folder.sidecar().config(&lines).route("*", "p", "").start());
    let first = files();
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(fs::metadata(&cache).unwrap().mode() & 0o777, 0o700);
    let sidecar = folder.sidecar().config(&lines).route("*", "p", "").start();
    assert_eq!(files(), first, "compiled anew");
    assert_eq!(deciding(&sidecar, "t"), digest(&built("key-hash")));
    // Damaged code is not run.
    drop(sidecar);
    fs::write(cache.join(&first[0].0), b"something else").unwrap();
    let sidecar = folder.sidecar().config(&lines).route("*", "p", "").start();
    assert_eq!(deciding(&sidecar, "t"), digest(&built("key-hash")));
    sidecar.wait_for_log("damaged");
}
