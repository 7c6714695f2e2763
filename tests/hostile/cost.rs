//! What a plugin makes the host itself do, and what memory it makes the host use.

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::symlink,
    process::Command,
    time::{Duration, Instant},
};

use super::{outcomes, with_neighbour};
use crate::support::{
    components,
    plugin_folder::{PluginFolder, built, deciding, digest, shown, version},
    sidecar::{BINARY, Builder, Sidecar, eventually, plugin_dir, to_its_end},
};

const TRAPPED: &str = "rejected plugin_trapped";

/// Waits until a plugin's file is refused with this text, and returns the whole message.
fn problem(sidecar: &Sidecar, plugin: &str, says: &str) -> String {
    let mut problem = String::new();
    eventually(&format!("the file of {plugin} is refused: {says}"), || {
        problem = shown(sidecar, plugin)["problem"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        problem.contains(says)
    });
    problem
}

#[test]
fn what_the_engine_holds_for_an_instance_counts_as_its_memory() {
    let folder = PluginFolder::new();
    let sidecar = folder.sidecar_with_good_and("p", "*", "").start();
    // A million globals take half of what an instance may have.
    folder.put("p", &components::many_globals(10, 100_000));
    let before = sidecar.resident_bytes();
    let loaded = || shown(&sidecar, "p")["active"]["digest"] == digest(&components::many_globals(10, 100_000));
    eventually("it decides", loaded);
    let said = sidecar.admin("/plugins").json()["routes"][1]["plugin"]["instance"].clone();
    let engine_bytes = said["engine_bytes"].as_u64().expect("a number");
    let taken = sidecar.resident_bytes().saturating_sub(before);
    eprintln!("the engine holds {engine_bytes} bytes by the survey, {taken} more are resident");
    assert!((16_000_000..20_000_000).contains(&engine_bytes), "{said}");
    assert!(
        taken > engine_bytes * 8 / 10 && taken < engine_bytes * 2,
        "{taken} bytes were taken, {said} were said"
    );
    // Sixty times as much is refused before it is made.
    let most = sidecar.most_resident_bytes();
    with_neighbour(&sidecar, || {
        folder.put("p", &components::many_globals(62, 1_000_000));
        let says = problem(&sidecar, "p", "plugins.memory_bytes (33554432)");
        assert!(says.contains("62000004 globals, functions and the like"), "{says}");
    });
    let more = sidecar.most_resident_bytes() - most;
    assert!(more < 32 << 20, "{more} bytes more for a file that is refused");
}

#[test]
fn a_small_file_of_types_within_types_costs_the_child_its_life_and_the_sidecar_nothing() {
    let folder = PluginFolder::new();
    let key_hash = built("key-hash");
    let sidecar = folder.sidecar_with_good_and("p", "*", "memory_bytes = 4194304").start();
    let before = sidecar.most_resident_bytes();
    with_neighbour(&sidecar, || {
        let types = [12, 13, 14, 17].map(components::nested_resource_types);
        let mut reasons = String::new();
        for bytes in types.iter().chain([&components::long_names(90_000, 120)]) {
            folder.put("p", bytes);
            eventually("it is looked at", || {
                shown(&sidecar, "p")["file_digest"] == digest(bytes)
            });
            let said = shown(&sidecar, "p")["problem"].clone();
            eprintln!("{} bytes: {said}", bytes.len());
            reasons += said.as_str().expect("it was not taken");
            assert_eq!(deciding(&sidecar, "t"), digest(&key_hash));
        }
        assert!(
            reasons.contains("compiling it took over 1073741824 bytes of memory"),
            "{reasons}"
        );
        assert!(
            reasons.contains("loading its code takes over 4194304 bytes of memory"),
            "{reasons}"
        );
    });
    // The file itself was read, 11 MB in one case.
    let more = sidecar.most_resident_bytes() - before;
    assert!(more < 64 << 20, "{more} bytes more for files that are refused");
}

#[test]
fn a_plugin_that_takes_long_to_compile_or_says_much_delays_no_other() {
    let folder = PluginFolder::new();
    let key_hash = built("key-hash");
    let sidecar = folder.sidecar_with_good_and("bad", "bad", "").start();
    with_neighbour(&sidecar, || {
        // More text than a pipe holds: neither side may block on it.
        folder.put("bad", &components::long_error(99_000));
        let said = problem(&sidecar, "bad", "not a valid wasm component");
        assert!(said.len() < 2_100, "{} bytes", said.len());
        // The compiler's 30 s of CPU time at the lowest priority are not over soon. Its bytes differ in each run: if
        // compiling it ever ended, its code would be cached.
        folder.put(
            "bad",
            &version(&components::much_code(8_000, 1_500), std::process::id()),
        );
        eventually("it is compiled", || shown(&sidecar, "bad")["compiling"] == true);
        for number in 1..=3 {
            let next = version(&key_hash, number);
            folder.put("good", &next);
            eventually("the other's new version decides", || {
                deciding(&sidecar, "good") == digest(&next)
            });
        }
        assert_eq!(
            shown(&sidecar, "bad")["compiling"],
            true,
            "it was over before the others came"
        );
        let ordered = sidecar.order("/plugins/good/reload").json();
        assert_eq!(ordered["result"], "unchanged", "{ordered}");
        // The sidecar can be stopped while the compiler runs, and the version before still decides.
        assert_eq!(outcomes(&sidecar, "bad", "a", 1), ["acked"]);
    });
}

#[test]
fn what_a_call_hands_to_the_host_is_bounded_by_kind_and_in_all() {
    let sidecar = Builder::embedded()
        .config("[plugins]\nmax_traps = 10000\ncall_cpu_ms = 50\ncall_wall_ms = 2000")
        .config(&format!("dir = {:?}", plugin_dir()))
        .route("good", "key-hash", "")
        .route("bad", "hostile", "")
        .start();
    let said = |key: &str| {
        let reply = sidecar
            .tcp()
            .json("/v1/topics/bad/records", &format!(r#"{{"key":"{key}"}}"#));
        reply.json()["records"][0]["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    with_neighbour(&sidecar, || {
        for key in [
            "much hashed",
            "much tenant",
            "much rejected",
            "much logged",
            "much looked up",
        ] {
            assert_eq!(outcomes(&sidecar, "bad", key, 3), vec![TRAPPED; 3], "{key}");
            assert!(said(key).contains("more than 1048576 bytes"), "{key}: {}", said(key));
        }
        for (key, says) in [
            ("long tenant", "256 bytes as a tenant's name"),
            ("long hash", "65537 bytes as the key of a hash"),
        ] {
            assert_eq!(outcomes(&sidecar, "bad", key, 1), [TRAPPED], "{key}");
            assert!(said(key).contains(says), "{key}: {}", said(key));
        }
    });
    // A record's own key is hashed, however long it is.
    let long = "k".repeat(200 << 10);
    assert_eq!(outcomes(&sidecar, "good", &long, 3), vec!["acked"; 3]);
    assert_eq!(outcomes(&sidecar, "bad", &long, 1), ["acked"]);
}

#[test]
fn thirty_mebibytes_that_cost_a_guest_nothing_cost_its_neighbours_nothing_either() {
    let giants = PluginFolder::new();
    let kinds = ["hash", "tenant", "reject", "log", "lookup"];
    let sidecar = giants.sidecar_with_good("max_traps = 10000");
    let sidecar = kinds.iter().fold(sidecar, |sidecar, kind| {
        giants.put(kind, &components::giant(kind));
        sidecar.route(kind, kind, "")
    });
    let sidecar = sidecar.start();
    with_neighbour(&sidecar, || {
        for kind in kinds {
            assert_eq!(outcomes(&sidecar, kind, "other key", 3), vec!["acked"; 3], "{kind}");
            assert_eq!(outcomes(&sidecar, kind, "giant", 50), vec![TRAPPED; 50], "{kind}");
        }
    });
}

#[test]
fn a_batch_that_never_ends_counts_is_seen_and_is_not_asked_for_again_at_once() {
    let folder = PluginFolder::new();
    folder.put("endless", &components::endless_batch());
    let sidecar = folder
        .sidecar_with_good("")
        .route("*", "endless", "on_error = \"key-hash\"")
        .start();
    with_neighbour(&sidecar, || {
        assert_eq!(outcomes(&sidecar, "t", "a", 128), vec!["acked"; 128]);
        assert_eq!(outcomes(&sidecar, "t", "a", 128), vec!["acked"; 128]);
    });
    let metric = |name: &str| sidecar.metric(&format!("pointsman_plugin_{name}{{plugin=\"endless\"}}"));
    // On a slow machine the pause of a second may end, and then another batch fails.
    let failures = metric("batch_failures_total");
    assert!((1.0..=3.0).contains(&failures), "{failures} failures in 256 records");
    let counted = sidecar.metric("pointsman_plugin_errors_total{kind=\"over_time\",plugin=\"endless\"}");
    assert_eq!(counted, failures, "each counts as a failed call");
    assert_eq!(metric("batch_paused"), 1.0);
    assert_eq!(
        sidecar.admin("/plugins").json()["routes"][1]["plugin"]["batch_paused"],
        true
    );
    sidecar.wait_for_log("a batch call of the plugin failed");
}

#[test]
fn no_name_or_error_in_a_component_is_told_in_full() {
    let folder = PluginFolder::new();
    let sidecar = folder.sidecar_with_good_and("p", "*", "").start();
    for (bytes, says) in [
        (components::long_names(50_000, 3), "it imports n0-xxx"),
        (components::long_error(99_000), "not a valid wasm component"),
    ] {
        folder.put("p", &bytes);
        let said = problem(&sidecar, "p", says);
        assert!(said.len() < 2_100, "{} bytes: {said}", said.len());
        assert!(said.contains("bytes) … "), "it says how long it was: {said}");
    }
    assert!(sidecar.admin("/ready").text().len() < 4_000);
    let longest = sidecar.log_text().lines().map(str::len).max();
    assert!(longest < Some(5_000), "{longest:?}");
}

#[test]
fn a_refusal_speaks_to_no_terminal() {
    let output = to_its_end(
        Command::new(BINARY)
            .args(["plugin", "check", "--config", r#"{"escapes":1}"#])
            .arg(plugin_dir().join("hostile.wasm")),
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("gone") && said.contains("forged"), "{said}");
    assert!(!said.chars().any(|char| char.is_control() && char != '\n'), "{said:?}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
}

#[test]
fn a_link_to_what_is_not_the_plugin_folders_is_not_followed() {
    let folder = PluginFolder::new();
    folder.put("p", &built("key-hash"));
    let sidecar = folder.sidecar().route("*", "p", "").start();
    let draft = folder.beside("link");
    symlink("/proc/version", &draft).unwrap();
    std::fs::rename(&draft, folder.file("p")).unwrap();
    let said = problem(&sidecar, "p", "plugins.foreign_links");
    assert!(said.contains("a link to /proc/version"), "{said}");
    assert_eq!(outcomes(&sidecar, "t", "a", 1), ["acked"], "the version before goes on");
}

#[test]
fn a_file_that_grows_is_not_read_at_each_write() {
    let folder = PluginFolder::new();
    let key_hash = built("key-hash");
    folder.put("p", &key_hash);
    let sidecar = folder.sidecar().route("*", "p", "").start();
    let whole = components::many_globals(10, 100_000);
    let file = folder.file("p");
    let begun = Instant::now();
    let mut writes = 0_u32;
    let mut growing = OpenOptions::new().write(true).truncate(true).open(&file).unwrap();
    for piece in whole.chunks(whole.len().div_ceil(200)) {
        growing.write_all(piece).unwrap();
        writes += 1;
        // This sleep stands for a slow copy; it waits for no condition.
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(growing);
    // The version before goes on deciding.
    assert_eq!(outcomes(&sidecar, "t", "a", 3), vec!["acked"; 3]);
    let took = begun.elapsed();
    eventually("the whole file decides", || deciding(&sidecar, "t") == digest(&whole));
    let log = sidecar.log();
    let refused = log.iter().filter(|line| {
        line["message"]
            .as_str()
            .is_some_and(|message| message.contains("cannot be used; nothing has changed"))
    });
    let refused = refused.count();
    eprintln!("{writes} writes in {took:?}, {refused} looks at what was not whole");
    // The pauses between looks double, from 100 ms on.
    assert!(refused <= 12, "{refused} looks at a file that was being written");
}

#[test]
fn a_trap_counts_by_what_the_next_start_costs() {
    let sidecar = Builder::embedded()
        .config(&format!("[plugins]\ndir = {:?}", plugin_dir()))
        .route("good", "key-hash", "")
        .route("*", "hostile", "config = { start = 300000000 }")
        .start();
    with_neighbour(&sidecar, || {
        let seen = outcomes(&sidecar, "t", "panic", 20);
        let trapped = seen.iter().filter(|outcome| *outcome == TRAPPED).count();
        eprintln!("{trapped} traps before it was suspended");
        assert!(
            (1..=15).contains(&trapped),
            "20 would be let pass if they cost nothing: {seen:?}"
        );
    });
}
