//! Measures what reloads and failing plugins cost: `cargo bench -p pointsman --bench reload`, part of `make bench`.
//!
//! It compares requests with and without a reload each second, in turns, in one run. It measures the time from a rename
//! to the first record that the new version decides, how late an endless loop is cut, and how soon a trapped plugin can
//! decide again. Prints a table for people, and a JSON line for each figure.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it shares the tests' support and needs part of it; its result goes to the terminal"
)]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use pointsman::{
    base::metrics::Metrics,
    config,
    plugin::{Code, Compiler, Engine, Limits, Pool},
    topic::Partitions,
};
use serde_json::{Value, json};

use crate::support::{
    http::Http,
    plugin_folder::{PluginFolder, built, digest, version},
    records::keyed,
    sidecar::{Sidecar, plugin_dir},
};

mod support {
    pub(crate) mod http;
    pub(crate) mod plugin_folder;
    pub(crate) mod records;
    pub(crate) mod sidecar;
}

/// How many turns of each kind there are. Quiet and reloading turns alternate, so that changes in the machine's speed
/// affect both.
const TURNS: usize = 6;
const TURN: Duration = Duration::from_secs(4);
const BETWEEN_RELOADS: Duration = Duration::from_secs(1);
const RELOADS: u32 = 30;
const FAILURES: usize = 100;

fn main() {
    // Arguments are ignored: `cargo bench` passes some of its own.
    deadline_and_recovery();
    reload_time();
    for load in [
        Load {
            name: "paced: 8 connections, 10 records, 2 ms apart",
            connections: 8,
            pause: Some(Duration::from_millis(2)),
        },
        Load {
            name: "saturated: 8 connections, 10 records, no pause",
            connections: 8,
            pause: None,
        },
    ] {
        latency(&load);
    }
}

fn report(what: &str, figures: &str, json: Value) {
    println!("{what:<58} {figures}");
    println!("{json}");
}

/// The figure at this share of the sorted figures: 0.5 is the median.
fn at(sorted: &[Duration], share: f64) -> Duration {
    let index = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or_default()
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

// --- a plugin by itself

fn hostile() -> Arc<Pool> {
    let mut limits = Limits::from(&config::Plugins::default());
    limits.suspend.failures = usize::MAX;
    let compiler = Compiler::in_process(Engine::new().unwrap());
    let file = plugin_dir().join(Path::new("hostile.wasm"));
    let code = Arc::new(Code::load(&compiler, &file, &limits).unwrap());
    Arc::new(Pool::new(code, "{}".to_owned(), limits, &Metrics::new().unwrap()).unwrap())
}

fn deadline_and_recovery() {
    let pool = hostile();
    let partitions = Arc::new(Partitions::of(12));
    let deadline = Limits::from(&config::Plugins::default()).call_cpu;
    let mut overruns = Vec::new();
    let mut recoveries = Vec::new();
    for _ in 0..FAILURES {
        let mut lease = pool.lease_blocking().unwrap();
        let begun = Instant::now();
        let (_, answer) = lease.partition(keyed("loop"), &partitions);
        overruns.push(begun.elapsed().saturating_sub(deadline));
        assert!(answer.is_err());
        drop(lease);

        let mut lease = pool.lease_blocking().unwrap();
        // A first call, so that the measured call does not include the start of new code.
        lease.partition(keyed("a"), &partitions).1.unwrap();
        let begun = Instant::now();
        assert!(lease.partition(keyed("panic"), &partitions).1.is_err());
        drop(lease);
        let mut lease = pool.lease_blocking().unwrap();
        lease.partition(keyed("a"), &partitions).1.unwrap();
        recoveries.push(begun.elapsed());
    }
    overruns.sort();
    recoveries.sort();
    let (p50, p99) = (at(&overruns, 0.5), at(&overruns, 0.99));
    report(
        "an endless loop is cut after its deadline of 5 ms by",
        &format!("p50 {:.2} ms  p99 {:.2} ms  (goal: 10 ms)", ms(p50), ms(p99)),
        json!({"figure": "deadline_overrun", "p50_ms": ms(p50), "p99_ms": ms(p99), "goal_ms": 10}),
    );
    let (p50, p99) = (at(&recoveries, 0.5), at(&recoveries, 0.99));
    report(
        "from a trapping call's begin to the next decision",
        &format!("p50 {:.3} ms  p99 {:.3} ms", ms(p50), ms(p99)),
        json!({"figure": "trap_recovery", "p50_ms": ms(p50), "p99_ms": ms(p99)}),
    );
}

// --- the sidecar

fn sidecar(folder: &PluginFolder) -> Sidecar {
    folder.put("p", &version(&built("key-hash"), 0));
    folder
        .sidecar()
        // A cache of its own, so that each version is compiled.
        .config(&format!("cache_dir = {:?}", folder.beside("cache")))
        .route("*", "p", "")
        .start()
}

fn reload_time() {
    let folder = PluginFolder::new();
    let sidecar = sidecar(&folder);
    let mut connection = sidecar.unix();
    let mut times = Vec::new();
    for number in 1..=RELOADS {
        let bytes = version(&built("key-hash"), number);
        let wanted = digest(&bytes);
        let begun = Instant::now();
        folder.put("p", &bytes);
        while decided_by(&mut connection) != wanted {}
        times.push(begun.elapsed());
    }
    times.sort();
    let (p50, p99) = (at(&times, 0.5), at(&times, 0.99));
    report(
        "from a rename to the first record of the new version",
        &format!("p50 {:.0} ms  p99 {:.0} ms  (goal: 300 ms)", ms(p50), ms(p99)),
        json!({"figure": "reload_time", "p50_ms": ms(p50), "p99_ms": ms(p99), "goal_ms": 300}),
    );
}

fn decided_by(connection: &mut Http) -> String {
    let headers = [("content-type", "application/json"), ("pointsman-trace", "1")];
    let reply = connection
        .post("/v1/topics/t/records", &headers, br#"{"key":"a"}"#)
        .json();
    reply["records"][0]["plugin"]["digest"].as_str().unwrap().to_owned()
}

struct Load {
    name: &'static str,
    connections: usize,
    pause: Option<Duration>,
}

fn latency(load: &Load) {
    let folder = PluginFolder::new();
    let sidecar = sidecar(&folder);
    let mut next = 1;
    turn(load, &sidecar, Duration::from_secs(2), &mut || {});
    let (mut quiet, mut reloading) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        quiet.extend(turn(load, &sidecar, TURN, &mut || {}));
        let mut reload = || {
            folder.put("p", &version(&built("key-hash"), next));
            next += 1;
        };
        reloading.extend(turn(load, &sidecar, TURN, &mut reload));
    }
    quiet.sort();
    reloading.sort();
    let ratio = |share: f64| at(&reloading, share).as_secs_f64() / at(&quiet, share).as_secs_f64();
    println!("{}", load.name);
    for (kind, sorted) in [("no reload", &quiet), ("a reload each second", &reloading)] {
        let (p50, p99) = (ms(at(sorted, 0.5)), ms(at(sorted, 0.99)));
        report(
            &format!("  {kind}"),
            &format!("p50 {p50:.2} ms  p99 {p99:.2} ms  ({} requests)", sorted.len()),
            json!({"figure": "latency", "load": load.name, "kind": kind, "p50_ms": p50, "p99_ms": p99, "requests": sorted.len()}),
        );
    }
    report(
        "  ratio",
        &format!("p50 {:.2}  p99 {:.2}  (goal for p99: 1.2)", ratio(0.5), ratio(0.99)),
        json!({"figure": "latency_ratio", "load": load.name, "p50": ratio(0.5), "p99": ratio(0.99), "goal_p99": 1.2}),
    );
}

/// All connections send for a while, and `reload` is called each second. Returns how long each request took.
fn turn(load: &Load, sidecar: &Sidecar, duration: Duration, reload: &mut dyn FnMut()) -> Vec<Duration> {
    let stop = AtomicBool::new(false);
    let records: Vec<String> = (0..10)
        .map(|number| format!(r#"{{"key":"k-{number}","value":{number}}}"#))
        .collect();
    let body = format!(r#"{{"records":[{}]}}"#, records.join(","));
    thread::scope(|scope| {
        let senders: Vec<_> = (0..load.connections)
            .map(|number| {
                let (stop, body) = (&stop, &body);
                scope.spawn(move || {
                    let mut connection = if number % 2 == 0 { sidecar.unix() } else { sidecar.tcp() };
                    let (_timer, ticks) = mpsc::sync_channel::<()>(0);
                    let mut times = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let begun = Instant::now();
                        assert_eq!(connection.json("/v1/topics/t/records", body).status, 200);
                        times.push(begun.elapsed());
                        if let Some(pause) = load.pause {
                            let _ = ticks.recv_timeout(pause);
                        }
                    }
                    times
                })
            })
            .collect();
        let begun = Instant::now();
        let (_timer, ticks) = mpsc::sync_channel::<()>(0);
        while begun.elapsed() < duration {
            reload();
            let _ = ticks.recv_timeout(BETWEEN_RELOADS);
        }
        stop.store(true, Ordering::Relaxed);
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    })
}
