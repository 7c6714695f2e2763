//! Brokers are killed, frozen, reduced to too few, and restarted one after the other.

use std::thread;
use std::time::Duration;

use super::{checker::check, clients::Load, cluster::Cluster, form};
use crate::support::sidecar::{Builder, Sidecar};

/// A sidecar that gives up a silent broker within seconds, which is when order and duplicates are at risk.
fn sidecar(cluster: &Cluster, delivery: Duration) -> Sidecar {
    let delivery = delivery.as_millis();
    Builder::kafka(&cluster.bootstrap())
        .kafka_lines(&format!(
            "[kafka.properties]\nrequest.timeout.ms = 4000\ndelivery.timeout.ms = {delivery}"
        ))
        .start()
}

#[test]
fn killed_leaders_lose_double_and_reorder_nothing_that_was_acknowledged() {
    const TOPIC: &str = "killed-leaders";
    let cluster = Cluster::take();
    cluster.create_topic(TOPIC, 9, &[]).unwrap();
    let sidecar = sidecar(&cluster, Duration::from_secs(60));
    let load = Load::new(&sidecar, TOPIC, 8);
    let sent = load.run(|| {
        load.goes_on("at first");
        for kill in 1..=form(1, 5) {
            let leader = cluster.a_leader(TOPIC);
            cluster.kill(leader);
            load.goes_on(&format!("after leader {kill} was killed"));
            cluster.until_leadership_has_left(TOPIC, leader);
            load.goes_on("after the others took over");
            cluster.start_again(leader);
            cluster.until_in_sync(TOPIC);
            load.goes_on("after it was started again");
        }
        load.until_told(form(10_000, 100_000));
    });
    let figures = check(&cluster, TOPIC, &sent, 0);
    assert!(figures.acked as u64 >= form(9_000, 90_000));
}

#[test]
fn frozen_brokers_lose_double_and_reorder_nothing_that_was_acknowledged() {
    const TOPIC: &str = "frozen-brokers";
    let cluster = Cluster::take();
    cluster.create_topic(TOPIC, 9, &[]).unwrap();
    let sidecar = sidecar(&cluster, Duration::from_secs(60));
    let load = Load::new(&sidecar, TOPIC, 8);
    let sent = load.run(|| {
        load.goes_on("at first");
        let leader = cluster.a_leader(TOPIC);
        cluster.freeze(leader);
        cluster.until_leadership_has_left(TOPIC, leader);
        load.goes_on("while one broker is frozen");
        cluster.thaw(leader);
        cluster.until_in_sync(TOPIC);
        for round in 0..form(1, 6) {
            // Each round spares another node.
            let frozen = [round % 3, (round + 1) % 3];
            frozen.iter().for_each(|node| cluster.freeze(*node));
            // This sleep waits for no condition: meanwhile requests only time out.
            thread::sleep(form(Duration::from_secs(10), Duration::from_secs(45)));
            frozen.iter().for_each(|node| cluster.thaw(*node));
            load.goes_on("after two of three were frozen");
            cluster.until_in_sync(TOPIC);
        }
    });
    check(&cluster, TOPIC, &sent, 0);
}

#[test]
fn records_that_too_few_brokers_have_are_never_called_failed_and_traffic_goes_on() {
    // So many nodes are ended that fewer than `min.insync.replicas` are left. With two of them ended, the cluster has
    // no controller, either.
    let trials = [("three-in-sync", "3", 1), ("two-in-sync", "2", 2)];
    for &(topic, least, ended) in &trials[..form(1, 2)] {
        let cluster = Cluster::take();
        cluster
            .create_topic(topic, 9, &[("min.insync.replicas", least)])
            .unwrap();
        let sidecar = sidecar(&cluster, Duration::from_secs(6));
        let load = Load::new(&sidecar, topic, 8);
        let sent = load.run(|| {
            load.goes_on("at first");
            let nodes: Vec<usize> = cluster.leaders(topic).into_iter().take(ended).collect();
            for &node in &nodes {
                cluster.kill(node);
            }
            // Longer than a record may take, so that some records are given up.
            thread::sleep(form(Duration::from_secs(9), Duration::from_secs(30)));
            cluster.repair().unwrap();
            load.goes_on("after there were enough brokers again");
            cluster.until_in_sync(topic);
            load.goes_on("after all are in sync");
        });
        let figures = check(&cluster, topic, &sent, 0);
        assert_eq!(figures.failed + figures.rejected, 0);
        assert!(figures.unknown > 0, "the brokers were never too few");
    }
}

#[test]
fn a_rolling_restart_of_all_brokers_also_to_other_addresses_costs_no_record() {
    const TOPIC: &str = "rolling-restart";
    let cluster = Cluster::take();
    cluster.create_topic(TOPIC, 9, &[]).unwrap();
    // With the default time-outs.
    let sidecar = Builder::kafka(&cluster.proxied_bootstrap()).start();
    // Slower than elsewhere: it takes long, and brokers that start need the processor, too.
    let load = Load::new(&sidecar, TOPIC, 8).paced(40, Duration::from_millis(300));
    let sent = load.run(|| {
        load.goes_on("at first");
        for round in 0..form(1, 3) {
            for node in 0..3 {
                cluster.shut_down(node);
                load.goes_on(&format!("after broker {node} was shut down"));
                if round % 2 == 0 {
                    cluster.start_at_another_address(node);
                } else {
                    cluster.start_again(node);
                }
                cluster.until_in_sync(TOPIC);
                load.goes_on("after it was started again");
            }
        }
    });
    let figures = check(&cluster, TOPIC, &sent, 0);
    assert_eq!(figures.acked, figures.sent, "each record was acked");
    assert_eq!(figures.doubled, 0);
}
