//! Kafka's own clients, in Java and in C, send through the sidecar while their connections are cut, leaders change, plugins are
//! replaced, brokers are frozen, and sidecars are killed and stopped.
//!
//! Each client is idempotent and sends to a topic of its own; [`written`] compares what it was told with the topic.

mod written;

use std::{
    net::SocketAddr,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use self::written::{Kill, Written};
use super::{cluster::Cluster, form};
use crate::support::{
    client_proxy::ClientProxy,
    kafka_client::{Running, need},
    plugin_folder::{PluginFolder, built, deciding, digest, rewrite, version},
    sidecar::{Builder, Sidecar, eventually},
};

const PARTITIONS: u32 = 9;
/// The clients that send.
const CLIENTS: [&str; 2] = ["java", "librdkafka"];
/// Records a second of each client: enough for several batches under way, and so few that none wait in the client for long.
const RATE: &str = "rate=500";
/// The port that a sidecar is started with.
const ANY_PORT: &str = "kafka = \"127.0.0.1:0\"";
/// The pause between two versions of a plugin.
const BETWEEN_SWAPS: Duration = Duration::from_millis(100);

/// The clients of one trial.
struct Clients {
    senders: Vec<Sender>,
}

struct Sender {
    topic: String,
    running: Running,
}

impl Clients {
    /// Starts them; each makes a topic. They send to this address.
    fn start(cluster: &Cluster, trial: &str, address: SocketAddr, settings: &[&str]) -> Self {
        need(&["jdk", "kafka", "python", "kafka-clients-python"]);
        let sender = |client: &&str| {
            let topic = format!("{trial}-{client}");
            cluster.create_topic(&topic, PARTITIONS, &[]).unwrap();
            let mut arguments = vec![
                "idempotent=yes",
                "until=stdin",
                "times=yes",
                "records=1000000",
                "deadline_s=120",
                RATE,
            ];
            // librdkafka waits up to 10 s before it connects again; this is Java's value.
            arguments.push("config.reconnect.backoff.max.ms=1000");
            arguments.extend(settings);
            let running = Running::start(client, address, &topic, &arguments);
            Sender { topic, running }
        };
        Self {
            senders: CLIENTS.iter().map(sender).collect(),
        }
    }

    /// Waits until records of every client were acknowledged, more than before, and prints how long that took.
    fn go_on(&self, sidecar: &Sidecar, when: &str) {
        let begun = Instant::now();
        let before: Vec<f64> = self.senders.iter().map(|sender| sender.acked(sidecar)).collect();
        for (sender, before) in self.senders.iter().zip(before) {
            eventually(when, || sender.acked(sidecar) > before);
            eprintln!(
                "trial on {}: {when}: acknowledged after {:.1?}",
                sender.topic,
                begun.elapsed()
            );
        }
    }

    /// Waits until this many records more of every client were acknowledged.
    fn until_acked(&self, sidecar: &Sidecar, more: f64) {
        for sender in &self.senders {
            let mut acked = sender.acked(sidecar);
            let enough = acked + more;
            // There is no deadline while there is progress.
            while acked < enough {
                let before = acked;
                eventually("more records are acknowledged", || {
                    acked = sender.acked(sidecar);
                    acked > before
                });
            }
        }
    }

    /// Lets the clients end, and compares what they were told with what is written.
    fn check(mut self, cluster: &Cluster, kills: &[Kill]) -> Vec<Written> {
        for sender in &mut self.senders {
            sender.running.stop();
        }
        let reports: Vec<(String, Value)> = self
            .senders
            .into_iter()
            .map(|sender| (sender.topic, sender.running.report()))
            .collect();
        let written = reports
            .iter()
            .map(|(topic, report)| Written::check(cluster, topic, report, kills));
        written.collect()
    }
}

impl Sender {
    /// How many of its records this process of the sidecar has had acknowledged.
    fn acked(&self, sidecar: &Sidecar) -> f64 {
        sidecar.metric(&format!(
            "pointsman_records_total{{outcome=\"acked\",topic=\"{}\"}}",
            self.topic
        ))
    }
}

fn sidecar(cluster: &Cluster) -> Builder {
    // A dead broker is given up within seconds.
    Builder::kafka(&cluster.bootstrap())
        .listen(ANY_PORT)
        .kafka_lines("[kafka.properties]\nrequest.timeout.ms = 4000\ndelivery.timeout.ms = 60000")
        .route("*", "key-hash", "")
}

fn address(sidecar: &Sidecar) -> SocketAddr {
    sidecar.kafka.expect("a listener for Kafka clients")
}

fn nothing_is_doubled(all: &[Written]) {
    assert!(all.iter().all(|written| written.doubled == 0), "{all:?}");
}

#[test]
fn kafka_clients_whose_connections_are_cut_while_leaders_change_lose_double_and_reorder_nothing() {
    const TRIAL: &str = "cut-clients";
    let cluster = Cluster::take();
    let sidecar = sidecar(&cluster).start();
    let proxy = ClientProxy::to(address(&sidecar).port());
    let clients = Clients::start(&cluster, TRIAL, proxy.address(), &[]);
    clients.go_on(&sidecar, "at first");
    proxy.cut_one_in(form(30, 60));
    for _ in 0..form(2, 10) {
        for sender in &clients.senders {
            cluster.move_leaders(&sender.topic).expect("leaders that move");
        }
        clients.go_on(&sidecar, "after the leaders were moved");
    }
    for _ in 0..form(0, 5) {
        cluster.kill_for_a_while(&clients.senders[0].topic);
        clients.go_on(&sidecar, "after a leader was killed");
    }
    let least = form(3, 40);
    eventually("connections are cut at each place", || {
        proxy.cuts().iter().all(|cuts| *cuts >= least)
    });
    proxy.cut_one_in(0);
    clients.go_on(&sidecar, "after the last cut");
    eprintln!(
        "trial on {TRIAL}: {:?} cuts in a request, before its answer, in the answer",
        proxy.cuts()
    );
    nothing_is_doubled(&clients.check(&cluster, &[]));
}

#[test]
fn a_plugin_that_is_replaced_under_kafka_clients_loses_doubles_and_reorders_nothing() {
    const TRIAL: &str = "swapped-plugin";
    let cluster = Cluster::take();
    let folder = PluginFolder::new();
    let versions = [0, 1].map(|number| version(&built("key-hash"), number));
    folder.put("p", &versions[0]);
    let sidecar = Builder::kafka(&cluster.bootstrap())
        .listen(ANY_PORT)
        .config(&folder.config(""))
        .route("*", "p", "")
        .start();
    let clients = Clients::start(&cluster, TRIAL, address(&sidecar), &[]);
    clients.go_on(&sidecar, "at first");
    let swaps = form(30, 600);
    let (_timer, ticks) = mpsc::sync_channel::<()>(0);
    for swap in 1..=swaps {
        // This wait paces the swaps; they come whether or not the sidecar keeps up.
        assert_eq!(ticks.recv_timeout(BETWEEN_SWAPS), Err(RecvTimeoutError::Timeout));
        folder.put("p", &versions[swap % 2]);
    }
    clients.go_on(&sidecar, "after the last version was put in place");
    let all = clients.check(&cluster, &[]);
    nothing_is_doubled(&all);
    cluster.create_topic(TRIAL, 1, &[]).unwrap();
    let last = digest(&versions[swaps % 2]);
    eventually("the last version decides", || deciding(&sidecar, TRIAL) == last);
}

/// Lets the next process listen where this one did, so that its clients find it.
fn stay_at(address: SocketAddr, config: &std::path::Path) {
    rewrite(config, |text| text.replace(ANY_PORT, &format!("kafka = \"{address}\"")));
}

/// Microseconds since 1970, which is what clients tell of times.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    now.as_micros().try_into().expect("a time")
}

#[test]
fn kafka_clients_of_a_killed_sidecar_go_on_by_themselves_and_double_only_what_was_not_answered() {
    const TRIAL: &str = "killed-under-clients";
    let cluster = Cluster::take();
    let mut sidecar = sidecar(&cluster).start();
    let (address, config) = (address(&sidecar), sidecar.config.clone());
    let clients = Clients::start(&cluster, TRIAL, address, &[]);
    let mut kills = Vec::new();
    for kill in 1..=form(2, 20) {
        clients.until_acked(&sidecar, 500.0);
        let begun = now();
        sidecar.kill_and_start_again(|| {
            kills.push(Kill { begun, ended: now() });
            stay_at(address, &config);
        });
        clients.go_on(&sidecar, &format!("after kill {kill}"));
    }
    clients.until_acked(&sidecar, 500.0);
    clients.check(&cluster, &kills);
}

#[test]
fn kafka_clients_of_a_sidecar_that_is_stopped_and_replaced_lose_and_double_nothing() {
    const TRIAL: &str = "stopped-under-clients";
    let cluster = Cluster::take();
    let mut sidecar = sidecar(&cluster).start();
    let address = address(&sidecar);
    let clients = Clients::start(&cluster, TRIAL, address, &[]);
    for stop in 1..=form(2, 20) {
        clients.until_acked(&sidecar, 500.0);
        sidecar.terminate();
        let ended = sidecar.ended();
        assert_eq!(ended.code(), Some(0), "{}", sidecar.log_text());
        stay_at(address, &sidecar.config);
        sidecar.start_again();
        clients.go_on(&sidecar, &format!("after stop {stop}"));
    }
    clients.until_acked(&sidecar, 500.0);
    nothing_is_doubled(&clients.check(&cluster, &[]));
}

#[test]
fn kafka_clients_whose_brokers_are_all_frozen_longer_than_a_request_may_take_lose_and_double_nothing() {
    const TRIAL: &str = "frozen-under-clients";
    let cluster = Cluster::take();
    let sidecar = Builder::kafka(&cluster.bootstrap())
        .listen(ANY_PORT)
        .route("*", "key-hash", "")
        .start();
    // The long form has the clients' defaults, 30 s.
    let settings = form(&["config.request.timeout.ms=3000"][..], &[]);
    let clients = Clients::start(&cluster, TRIAL, address(&sidecar), settings);
    clients.go_on(&sidecar, "at first");
    (0..3).for_each(|node| cluster.freeze(node));
    // This sleep waits for no condition: meanwhile requests only time out.
    thread::sleep(form(Duration::from_secs(8), Duration::from_secs(40)));
    (0..3).for_each(|node| cluster.thaw(node));
    clients.go_on(&sidecar, "after all brokers were frozen");
    clients.until_acked(&sidecar, 500.0);
    nothing_is_doubled(&clients.check(&cluster, &[]));
}
