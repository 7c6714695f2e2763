//! Whatever a plugin is or does hurts only the records of its own route: another route's traffic goes on all the time.

mod cost;

use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{
    components,
    plugin_folder::{PluginFolder, built, deciding, digest, shown, version},
    sidecar::{Builder, Sidecar, eventually},
};

/// Sends to topic `good` while `meanwhile` runs, and checks that every record is acknowledged.
fn with_neighbour<T>(sidecar: &Sidecar, meanwhile: impl FnOnce() -> T) -> T {
    /// Stops the sender also when `meanwhile` panics: else the scope would wait for its thread without end.
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let (stop, answered) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        let neighbour = scope.spawn(|| {
            let mut connection = sidecar.unix();
            let mut slowest = Duration::ZERO;
            while !stop.load(Ordering::SeqCst) {
                let begun = Instant::now();
                let reply = connection.json("/v1/topics/good/records", r#"{"records":[{"key":"a"},{"key":"b"}]}"#);
                assert_eq!(reply.outcomes(), ["acked", "acked"], "the neighbour's records");
                slowest = slowest.max(begun.elapsed());
                answered.fetch_add(1, Ordering::SeqCst);
            }
            slowest
        });
        let stopping = Stop(&stop);
        eventually("the neighbour's traffic flows", || answered.load(Ordering::SeqCst) > 0);
        let before = answered.load(Ordering::SeqCst);
        let result = meanwhile();
        eventually("the neighbour's traffic still flows", || {
            answered.load(Ordering::SeqCst) > before
        });
        drop(stopping);
        let slowest = neighbour.join().expect("the neighbour is well");
        let count = answered.load(Ordering::SeqCst);
        eprintln!("neighbour: {count} requests, the slowest took {slowest:?}");
        result
    })
}

fn outcomes(sidecar: &Sidecar, topic: &str, key: &str, count: usize) -> Vec<String> {
    let record = format!(r#"{{"key":"{key}"}}"#);
    let body = format!(r#"{{"records":[{}]}}"#, vec![record; count].join(","));
    sidecar
        .tcp()
        .json(&format!("/v1/topics/{topic}/records"), &body)
        .outcomes()
}

#[test]
fn a_hostile_file_never_comes_into_service_and_the_old_version_goes_on() {
    let folder = PluginFolder::new();
    let key_hash = built("key-hash");
    let config = "configure_ms = 200\ncompile_cpu_ms = 2000\ncompile_memory_bytes = 100663296";
    let sidecar = folder
        .sidecar_with_good_and("bad", "bad", config)
        .route("looping", "hostile", "config = { loop = 1 }")
        .start();
    let cases: [(&str, Vec<u8>, &str); 9] = [
        ("endless start", components::endless_start(), "ran over 200"),
        (
            "a world of its own",
            components::wrong_world(),
            "does not export pointsman:partitioner/partitioner@1.1.0, only other:thing",
        ),
        (
            "another version",
            components::of_version("2.0.0"),
            "it imports pointsman:partitioner/types@2.0.0; this host has versions 1.0.0 and 1.1.0",
        ),
        (
            "sockets",
            components::with_sockets(),
            "it imports wasi:sockets/tcp@0.2.0",
        ),
        (
            "truncated",
            components::truncated(&key_hash).into_owned(),
            "not a valid wasm component",
        ),
        ("no wasm", b"#!/bin/sh\n".to_vec(), "not wasm at all"),
        ("a core module", b"\0asm\x01\0\0\0".to_vec(), "a core wasm module"),
        (
            "a compile bomb: time",
            components::much_code(4_000, 1_500),
            "over 2 s of CPU time",
        ),
        (
            "a compile bomb: memory",
            components::much_code(1, 3_000_000),
            "bytes of memory",
        ),
    ];
    with_neighbour(&sidecar, || {
        for (case, bytes, says) in &cases {
            folder.put("bad", bytes);
            eventually(case, || {
                let problem = shown(&sidecar, "bad")["problem"].clone();
                // On a very busy machine a child at the lowest priority may not get its CPU time before it is given up.
                let is_refused = |problem: &str| problem.contains(says) || problem.contains("stopped after 20 s");
                problem.as_str().is_some_and(is_refused)
            });
            assert_eq!(deciding(&sidecar, "bad"), digest(&key_hash), "{case}");
        }
        let large = File::create(folder.file("bad")).unwrap();
        large.set_len(200 << 20).unwrap();
        eventually("a large file", || {
            let problem = shown(&sidecar, "bad")["problem"].clone();
            problem
                .as_str()
                .is_some_and(|problem| problem.contains("over 33554432 bytes"))
        });
        assert_eq!(deciding(&sidecar, "bad"), digest(&key_hash));
        // A `configure` that never ends, for a route that waits for its plugin.
        folder.put("hostile", &built("hostile"));
        eventually("an endless configure", || {
            let problem = shown(&sidecar, "hostile")["problem"].clone();
            problem.as_str().is_some_and(|problem| problem.contains("ran over 200"))
        });
        assert_eq!(outcomes(&sidecar, "looping", "a", 1), ["rejected plugin_unavailable"]);
    });
    // A good file is still taken.
    let good = version(&key_hash, 7);
    folder.put("bad", &good);
    eventually("it recovers", || deciding(&sidecar, "bad") == digest(&good));
}

#[test]
fn whatever_a_call_does_only_its_own_record_suffers() {
    let mut sidecar = Builder::embedded()
        // Enough time to copy giant texts on a busy machine: only the loop is to be stopped by its time.
        .config("[plugins]\nmax_traps = 10000\ncall_cpu_ms = 50\ncall_wall_ms = 2000")
        .config(&format!("dir = {:?}", crate::support::sidecar::plugin_dir()))
        .route("good", "key-hash", "")
        .route("bad", "hostile", "")
        .start();
    let trapped = "rejected plugin_trapped";
    with_neighbour(&sidecar, || {
        for (key, expected) in [
            ("panic", trapped),
            ("loop", "rejected plugin_timeout"),
            ("hog", trapped),
            ("allocate", trapped),
            ("recurse", trapped),
            ("giant", trapped),
            ("huge", "rejected partition_out_of_range"),
            ("flood", trapped),
            ("chatty", "acked"),
        ] {
            assert_eq!(outcomes(&sidecar, "bad", key, 5), vec![expected; 5], "{key}");
        }
        // A new instance starts counting anew, so at least two records come between those that trap.
        let thirds = outcomes(&sidecar, "bad", "third", 30);
        let traps = thirds.iter().filter(|outcome| *outcome == trapped).count();
        assert!((3..=10).contains(&traps), "{thirds:?}");
        assert!(
            thirds.iter().all(|outcome| outcome == trapped || outcome == "acked"),
            "{thirds:?}"
        );
        let close = |three: &[String]| three.iter().filter(|outcome| *outcome == trapped).count() > 1;
        assert!(!thirds.windows(3).any(close), "{thirds:?}");
    });
    assert!(sidecar.is_alive());
    // 5 calls log 1,000 lines each, and each trap logs a panic's message. At most 20 lines a second are let through,
    // for all instances together.
    let log = sidecar.log();
    let lines: Vec<_> = log.iter().filter(|line| line["target"] == "plugin").collect();
    assert!((1..=100).contains(&lines.len()), "{} lines", lines.len());
    assert!(
        lines
            .iter()
            .all(|line| line["message"].as_str().unwrap().len() <= 1_100)
    );
}

#[test]
fn a_table_counts_as_memory_too() {
    let folder = PluginFolder::new();
    folder.put("hog", &components::table_hog());
    let sidecar = folder
        .sidecar()
        .config("memory_bytes = 4194304")
        .route("*", "hog", "")
        .start();
    // Each call adds 100,000 elements of 16 bytes, and there were two smoke calls.
    let seen = outcomes(&sidecar, "t", "a", 3);
    assert!(seen.contains(&"rejected plugin_trapped".to_owned()), "{seen:?}");
    let said = sidecar
        .tcp()
        .json("/v1/topics/t/records", r#"{"records":[{},{},{},{}]}"#)
        .text();
    assert!(said.contains("plugins.memory_bytes (4194304)"), "{said}");
}

#[test]
fn an_innocent_plugin_is_never_cut_while_all_cores_are_busy() {
    // The request's own budget is no matter here, and the machine may be busier than this test makes it.
    let sidecar = Builder::embedded()
        .config("[limits]\nmax_plugin_ms = 60000")
        .route("*", "hostile", "")
        .start();
    let stop = AtomicBool::new(false);
    let cores = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores * 3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::black_box(0);
                }
            });
        }
        let senders: Vec<_> = (0..cores)
            .map(|_| scope.spawn(|| outcomes(&sidecar, "t", "slow", 500)))
            .collect();
        let seen: Vec<_> = senders.into_iter().map(|sender| sender.join()).collect();
        stop.store(true, Ordering::Relaxed);
        for outcomes in seen {
            assert_eq!(outcomes.unwrap(), vec!["acked"; 500]);
        }
    });
    assert_eq!(
        sidecar.metric("pointsman_plugin_errors_total{kind=\"over_time\",plugin=\"hostile\"}"),
        0.0
    );
}

#[test]
fn live_answers_while_a_slow_plugin_works_through_ten_thousand_records() {
    let sidecar = Builder::embedded()
        .config("[limits]\nmax_plugin_ms = 600000")
        .route("good", "key-hash", "")
        .route("*", "hostile", "")
        .start();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let slow = scope.spawn(|| {
            let seen = outcomes(&sidecar, "t", "slow", 10_000);
            done.store(true, Ordering::SeqCst);
            seen
        });
        let (mut probes, mut slowest) = (0, Duration::ZERO);
        while !done.load(Ordering::SeqCst) {
            let begun = Instant::now();
            assert_eq!(sidecar.admin("/live").status, 200);
            slowest = slowest.max(begun.elapsed());
            assert_eq!(outcomes(&sidecar, "good", "a", 1), ["acked"]);
            probes += 1;
        }
        assert!(probes > 3, "the records were decided before anything could be asked");
        eprintln!("/live: {probes} probes, the slowest took {slowest:?}");
        assert_eq!(slow.join().unwrap(), vec!["acked"; 10_000]);
    });
}

#[test]
fn a_plugin_that_keeps_trapping_is_suspended_and_tried_again() {
    let sidecar = Builder::embedded()
        .config("[plugins]\nsuspend_ms = 300\nmax_suspend_ms = 1000")
        .config(&format!("dir = {:?}", crate::support::sidecar::plugin_dir()))
        .route("good", "key-hash", "")
        .route("lenient", "hostile", "on_error = \"key-hash\"")
        .route("*", "hostile", "config = {}")
        .start();
    with_neighbour(&sidecar, || {
        let seen = outcomes(&sidecar, "t", "panic", 30);
        // The first two records were asked about in one call, whose failure counts, too.
        assert_eq!(seen[..19], vec!["rejected plugin_trapped"; 19]);
        assert_eq!(seen[19..], vec!["rejected plugin_suspended"; 11]);
        assert_eq!(sidecar.metric("pointsman_plugin_suspended{plugin=\"hostile\"}"), 1.0);
        assert!(sidecar.admin("/ready").text().contains("suspended"));
        // The other route shares the plugin and its config, so the plugin is suspended there, too, and on_error
        // decides.
        assert_eq!(outcomes(&sidecar, "lenient", "a", 1), ["acked"]);
        // After the pause one call is let through. It fails, and the pause doubles.
        eventually("it is tried again", || {
            outcomes(&sidecar, "t", "panic", 1) == ["rejected plugin_trapped"]
        });
        assert_eq!(outcomes(&sidecar, "t", "a", 1), ["rejected plugin_suspended"]);
        eventually("it is well again", || outcomes(&sidecar, "t", "a", 1) == ["acked"]);
    });
    for (metric, expected) in [
        ("pointsman_plugin_suspended{plugin=\"hostile\"}", 0.0),
        ("pointsman_plugin_suspensions_total{plugin=\"hostile\"}", 2.0),
        (
            "pointsman_plugin_errors_total{kind=\"trapped\",plugin=\"hostile\"}",
            21.0,
        ),
    ] {
        assert_eq!(sidecar.metric(metric), expected, "{metric}");
    }
    sidecar.wait_for_log("plugin suspended");
    sidecar.wait_for_log("plugin resumed");
}
