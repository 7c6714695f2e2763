//! Topics are deleted, made again, and grow.

use super::{checker::check, clients::Load, cluster::Cluster, form};
use crate::support::sidecar::{Builder, Sidecar, eventually};

const PHOENIX: &str = "deleted-and-made-again";
const BYSTANDER: &str = "beside-a-deleted-topic";

#[test]
fn a_topic_that_is_deleted_and_made_again_or_grows_loses_nothing_and_harms_no_other() {
    let cluster = Cluster::take();
    for topic in [PHOENIX, BYSTANDER] {
        cluster.create_topic(topic, 6, &[]).unwrap();
    }
    let sidecar = Builder::kafka(&cluster.bootstrap())
        // How long librdkafka waits for a topic that may only be late (30 s by default). Meanwhile these brokers would
        // make the topic again.
        .kafka_lines(
            "metadata_refresh_ms = 200\n[kafka.properties]\n\"topic.metadata.propagation.max.ms\" = 500\n\
             \"allow.auto.create.topics\" = false",
        )
        .start();
    let phoenix = Load::new(&sidecar, PHOENIX, 4);
    let bystander = Load::new(&sidecar, BYSTANDER, 4);
    let mut of_phoenix = Vec::new();
    let of_bystander = bystander.run(|| {
        of_phoenix = phoenix.run(|| {
            phoenix.goes_on("at first");
            for _ in 0..form(1, 5) {
                delete_and_make_again(&cluster, &sidecar, &phoenix, &bystander);
            }
            for topic in [PHOENIX, BYSTANDER] {
                cluster.add_partitions(topic, 12).unwrap();
            }
            phoenix.goes_on("after partitions were added");
            bystander.goes_on("after partitions were added");
            uses(&cluster, PHOENIX, 12);
        });
    });
    check(&cluster, PHOENIX, &of_phoenix, form(1, 5));
    let figures = check(&cluster, BYSTANDER, &of_bystander, 0);
    eprintln!(
        "trial on {BYSTANDER}: {} generations",
        sidecar.metric("pointsman_generation")
    );
    assert_eq!(figures.rejected, 0, "one topic's trouble is its own");
}

fn delete_and_make_again(cluster: &Cluster, sidecar: &Sidecar, phoenix: &Load<'_>, bystander: &Load<'_>) {
    let path = format!("/v1/topics/{PHOENIX}/records");
    cluster.delete_topic(PHOENIX).unwrap();
    // This partition never exists, so a record there would be one that nobody sent.
    let nowhere = r#"{"partition":999,"value":1}"#;
    eventually("it is unknown", || sidecar.tcp().json(&path, nowhere).status == 404);
    bystander.goes_on("while the other topic is deleted");
    // With fewer partitions than before, and brokers that have forgotten the producer's sequence there.
    cluster.create_topic(PHOENIX, 3, &[]).unwrap();
    phoenix.next_phase();
    phoenix.goes_on("after the topic was made again");
    bystander.goes_on("after the other topic was made again");
}

/// Waits until all partitions have records.
fn uses(cluster: &Cluster, topic: &str, partitions: usize) {
    eventually("the new partitions are used", || {
        let lines = cluster.read(topic).expect("readable");
        let places = lines.iter().filter_map(|line| line.split(',').next());
        places.collect::<std::collections::HashSet<_>>().len() == partitions
    });
}
