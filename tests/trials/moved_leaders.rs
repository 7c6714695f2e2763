//! The leaders of many partitions change at once, again and again, while requests and answers are late and answers are
//! cut.
//!
//! A producer with two requests of one partition under way may write records twice then: a broker that has not heard yet
//! that it leads refuses the first of them, and the second, which comes when it has heard, for the gap before it. After
//! that librdkafka gives itself another epoch, in which the brokers do not know a record again that they have, but whose
//! answer was cut.

use std::time::Duration;

use super::{
    checker::check,
    clients::Load,
    cluster::Cluster,
    form,
    raw::{Raw, Written},
};
use crate::support::sidecar::Builder;

const PARTITIONS: usize = 24;
/// Long enough for an election to fall between two requests of one partition.
const LATE: Duration = Duration::from_millis(50);
/// Which of the brokers' answers are cut: each n-th.
const CUT: u64 = 40;

#[test]
fn leaders_that_change_while_answers_are_late_or_cut_lose_double_and_reorder_nothing() {
    const TOPIC: &str = "moved-leaders";
    let cluster = Cluster::take();
    cluster.create_topic(TOPIC, PARTITIONS as u32, &[]).unwrap();
    let sidecar = Builder::kafka(&cluster.proxied_bootstrap()).start();
    // A few records at a time: only then are there two requests of a partition, if the producer makes two at all.
    let load = Load::new(&sidecar, TOPIC, 12).paced(4, Duration::from_millis(20));
    let cuts = cluster.proxy().cuts();
    let mut changes = 0;
    let sent = load.run(|| {
        load.goes_on("at first");
        changes = change_leaders(&cluster, TOPIC, form(2, 30), CUT, &|when| load.goes_on(when));
        load.goes_on("after the last change");
    });
    let cuts = cluster.proxy().cuts() - cuts;
    eprintln!("trial on {TOPIC}: {changes} changes of leaders, {cuts} answers cut");
    assert!(changes >= form(30, 200), "{changes} changes");
    let figures = check(&cluster, TOPIC, &sent, 0);
    assert_eq!(figures.unknown + figures.failed, 0, "each record is asked for again");
    assert_eq!(figures.doubled, 0);
}

#[test]
#[ignore = "it counts what librdkafka does by itself, which proves nothing of the sidecar"]
fn records_that_librdkafka_doubles_or_reorders_by_itself_are_counted() {
    for (in_flight, cut) in [(5, CUT), (5, 0), (1, CUT)] {
        let cluster = Cluster::take();
        let topic = format!("raw-{in_flight}-{cut}");
        cluster.create_topic(&topic, PARTITIONS as u32, &[]).unwrap();
        let raw = Raw::new(&cluster, &topic, PARTITIONS, in_flight);
        let cuts = cluster.proxy().cuts();
        let mut changes = 0;
        raw.run(|| {
            raw.goes_on("at first");
            changes = change_leaders(&cluster, &topic, form(2, 50), cut, &|when| raw.goes_on(when));
        });
        let written = Written::read(&cluster, &topic, raw.sent());
        eprintln!("{}", raw.line(changes, cluster.proxy().cuts() - cuts, &written));
    }
}

/// Returns how many partitions got another leader. `goes_on` waits for more acknowledgements.
fn change_leaders(cluster: &Cluster, topic: &str, moves: u32, cut: u64, goes_on: &dyn Fn(&str)) -> u64 {
    cluster.proxy().delay(LATE);
    cluster.proxy().cut_each(cut);
    let mut changes = 0;
    for _ in 0..moves {
        changes += cluster.move_leaders(topic).expect("leaders that move");
        goes_on("after the leaders were moved");
    }
    for way in [Cluster::kill_for_a_while, Cluster::freeze_for_a_while]
        .into_iter()
        .take(form(0, 2))
    {
        changes += way(cluster, topic);
        goes_on("after a leader was gone for a while");
    }
    cluster.proxy().be_kind();
    changes
}
