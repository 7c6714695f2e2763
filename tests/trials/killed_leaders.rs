//! A leader is killed, and comes back.

use super::{checker::check, clients::Load, cluster::Cluster, form};
use crate::support::sidecar::Builder;

const TOPIC: &str = "killed-leaders";

#[test]
fn killed_leaders_lose_double_and_reorder_nothing_that_was_acknowledged() {
    let cluster = Cluster::take();
    cluster.create_topic(TOPIC, 9, &[]).unwrap();
    let sidecar = Builder::kafka(&cluster.bootstrap())
        .kafka_lines("[kafka.properties]\nrequest.timeout.ms = 4000\ndelivery.timeout.ms = 60000")
        .start();
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
