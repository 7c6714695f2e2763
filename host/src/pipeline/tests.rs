//! The pipeline over the in-memory producer: no broker, no socket, no WebAssembly.

mod stamped;

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    base::{
        murmur2::partition_for_key,
        outcome::{Code, Kind, Outcome},
    },
    config::{self, Limits},
    produce::memory::MemoryProducer,
    routing::{
        route::{Decider, Route, Routes, Table},
        topics::TopicLimits,
    },
    tenants::Tenants,
    topic::Rules,
};

const PARTITIONS: u32 = 5;
const MAX_RECORD_BYTES: usize = 1_000;

/// A record of a generated request.
#[derive(Debug, Clone)]
enum Plan {
    Key(u8),
    NoKey,
    /// The partition may be out of range.
    Explicit(u32),
    TooLarge,
    ForbiddenTopic,
    Malformed,
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let plan = prop_oneof![
        6 => any::<u8>().prop_map(Plan::Key),
        3 => Just(Plan::NoKey),
        3 => (0..PARTITIONS + 2).prop_map(Plan::Explicit),
        1 => Just(Plan::TooLarge),
        1 => Just(Plan::ForbiddenTopic),
        1 => Just(Plan::Malformed),
    ];
    vec(plan, 1..40)
}

pub(crate) fn pipeline(producer: &Arc<MemoryProducer>, limits: &Limits) -> Arc<Pipeline> {
    let route = Route::new(&config::Route::everything(), Decider::KeyHash, None).expect("a route");
    let routes = Arc::new(Routes::new(Table::new(0, vec![Arc::new(route)])));
    let metrics = Arc::new(Metrics::new().expect("metrics"));
    let producer: Arc<dyn Producer> = Arc::<MemoryProducer>::clone(producer);
    Arc::new(Pipeline {
        topics: Topics::new(
            Arc::clone(&producer),
            routes,
            Arc::clone(&metrics),
            TopicLimits {
                max_topics: limits.max_topics,
                // Long enough for a machine that is fifty times slower.
                timeout: std::time::Duration::from_secs(60),
                rules: Rules::default(),
            },
        ),
        producer,
        tenants: Arc::new(Tenants::off()),
        observer: None,
        schemas: Default::default(),
        stamps: false,
        admission: Arc::new(Admission::new(limits)),
        metrics,
        max_record_bytes: MAX_RECORD_BYTES,
        max_plugin_ms: limits.max_plugin_ms,
        open: 0.into(),
        large: large_hand_overs(),
        long_work: Default::default(),
    })
}

fn parsed(plan: &Plan, request: usize, index: usize) -> Parsed {
    let mut record = Record {
        topic: Arc::from("t"),
        key: None,
        value: Some(Bytes::from(format!("{request} {index}"))),
        headers: Vec::new(),
        partition: None,
        timestamp: None,
        schema: None,
    };
    match plan {
        Plan::Key(key) => record.key = Some(Bytes::from(vec![*key])),
        Plan::NoKey => {}
        Plan::Explicit(partition) => record.partition = Some(*partition),
        Plan::TooLarge => record.value = Some(Bytes::from(vec![0; MAX_RECORD_BYTES])),
        Plan::ForbiddenTopic => record.topic = Arc::from("forbidden"),
        Plan::Malformed => return Err(RecordError::new(Code::MalformedRecord, "as planned")),
    }
    Ok(record)
}

/// A pipeline that already knows the topic, so that no look-up uses up the time for which requests wait for room.
pub(crate) async fn pipeline_with_topic(producer: &Arc<MemoryProducer>, limits: &Limits) -> Arc<Pipeline> {
    let pipeline = pipeline(producer, limits);
    pipeline.topics.get(&Arc::from("t")).await.expect("a topic");
    pipeline
}

const WAITED: Mode = Mode {
    ack: AckMode::Waited,
    trace: false,
};

/// Sends all requests at once, and returns the outcomes of each.
async fn send_all(pipeline: &Arc<Pipeline>, requests: &[Vec<Plan>]) -> Vec<Vec<Outcome>> {
    let tasks: Vec<_> = requests
        .iter()
        .enumerate()
        .map(|(number, plans)| {
            let records = plans
                .iter()
                .enumerate()
                .map(|(index, plan)| parsed(plan, number, index))
                .collect();
            let pipeline = Arc::clone(pipeline);
            tokio::spawn(async move {
                let submitted = pipeline.submit(records, None, WAITED).await.expect("taken");
                submitted.batch.done().await;
                let outcome = |index| submitted.batch.outcome(index).expect("every slot is filled").clone();
                (0..submitted.batch.len()).map(outcome).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.expect("no panic"));
    }
    outcomes
}

fn check(requests: &[Vec<Plan>], outcomes: &[Vec<Outcome>], log: &[(u32, Record)]) {
    // For each partition, the offsets of acked records.
    let mut offsets = vec![Vec::new(); PARTITIONS as usize];
    for (partition, record) in log {
        offsets[*partition as usize].push(record.value.clone().expect("a value"));
    }
    for (number, (plans, outcomes)) in requests.iter().zip(outcomes).enumerate() {
        assert_eq!(plans.len(), outcomes.len());
        let mut last = vec![-1; PARTITIONS as usize];
        for (index, (plan, outcome)) in plans.iter().zip(outcomes).enumerate() {
            let fine = match plan {
                Plan::Key(_) | Plan::NoKey => true,
                Plan::Explicit(partition) => *partition < PARTITIONS,
                Plan::TooLarge | Plan::ForbiddenTopic | Plan::Malformed => false,
            };
            match outcome {
                Outcome::Acked(ack) if fine => {
                    let offset = ack.offset.expect("an offset");
                    let stands = &offsets[ack.partition as usize][offset as usize];
                    assert_eq!(*stands, Bytes::from(format!("{number} {index}")));
                    let before = std::mem::replace(&mut last[ack.partition as usize], offset);
                    assert!(
                        before < offset,
                        "request {number} turned around in partition {}",
                        ack.partition
                    );
                }
                Outcome::Rejected(_) if !fine => {}
                other => panic!("record {index} of request {number}, {plan:?}, got {other:?}"),
            }
        }
    }
    let acked = outcomes
        .iter()
        .flatten()
        .filter(|outcome| outcome.kind() == Kind::Acked)
        .count();
    assert_eq!(acked, log.len(), "nothing else was sent");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Neither a refusal in the middle of a request nor other requests beside it change the order of its records.
    #[test]
    fn records_of_a_request_are_never_turned_around_and_each_gets_one_true_outcome(requests in vec(plans(), 1..8)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            let producer = Arc::new(MemoryProducer::default());
            producer.create_topic("t", PARTITIONS);
            producer.forbid_topic("forbidden");
            let limits = Limits {
                max_wait_ms: 60_000,
                ..Limits::default()
            };
            let pipeline = pipeline(&producer, &limits);
            let outcomes = send_all(&pipeline, &requests).await;
            check(&requests, &outcomes, &producer.log());
        });
    }

    /// The same key always goes to the same partition, and that partition exists.
    #[test]
    fn a_key_never_wanders(key in vec(any::<u8>(), 0..40), partitions in 1..2_000_u32) {
        let first = partition_for_key(&key, partitions);
        prop_assert!(first < partitions);
        prop_assert_eq!(first, partition_for_key(&key.clone(), partitions));
    }
}

#[tokio::test]
async fn room_is_held_until_the_last_record_has_its_outcome_and_no_longer() {
    let producer = Arc::new(MemoryProducer::default());
    producer.create_topic("t", PARTITIONS);
    producer.hold();
    let limits = Limits {
        max_wait_ms: 20,
        ..Limits::default()
    };
    let pipeline = pipeline_with_topic(&producer, &limits).await;
    let mut open = Vec::new();
    for request in 0..4 {
        let most = (0..10_000).map(|index| parsed(&Plan::Explicit(index as u32 % PARTITIONS), request, index));
        open.push(pipeline.submit(most.collect(), None, WAITED).await.expect("it fits"));
    }
    let one = || vec![parsed(&Plan::NoKey, 1, 0)];
    let refused = pipeline.submit(one(), None, WAITED).await;
    assert!(
        matches!(refused, Err(NotTaken::Busy(_))),
        "the queue is full, and nothing was taken"
    );
    assert_eq!(producer.log().len(), 40_000);
    producer.release();
    for submitted in open {
        submitted.batch.done().await;
    }
    pipeline.submit(one(), None, WAITED).await.expect("there is room again");
}

/// This holds even while the request has no answer yet, because another of its records waits.
#[tokio::test]
async fn a_record_that_waits_does_not_hold_the_room_of_those_that_are_done() {
    let producer = Arc::new(MemoryProducer::default());
    producer.create_topic("t", PARTITIONS);
    producer.hold_partition(0);
    let limits = Limits {
        max_wait_ms: 20,
        ..Limits::default()
    };
    let pipeline = pipeline_with_topic(&producer, &limits).await;
    let mut open = Vec::new();
    // Each request leaves one record behind.
    for request in 0..10 {
        let spread = (0..5_000).map(|index| {
            let partition = u32::from(index > 0) * (1 + index as u32 % 4);
            parsed(&Plan::Explicit(partition), request, index)
        });
        open.push(pipeline.submit(spread.collect(), None, WAITED).await.expect("room"));
    }
    assert_eq!(pipeline.admission.queued_records(), 10);
    // And one partition never takes the room that the others need.
    let mut stuck = 0;
    while let Ok(submitted) = pipeline
        .submit(
            (0..200).map(|index| parsed(&Plan::Explicit(0), 10, index)).collect(),
            None,
            WAITED,
        )
        .await
    {
        open.push(submitted);
        stuck += 200;
    }
    assert!((19_800..=20_000).contains(&stuck), "{stuck}");
    let others = (0..10_000).map(|index| parsed(&Plan::Explicit(1 + index as u32 % 4), 11, index));
    pipeline
        .submit(others.collect(), None, WAITED)
        .await
        .expect("room for others");
    let both = (0..200).map(|index| parsed(&Plan::Explicit(index as u32 % 2), 12, index));
    let both = both.collect();
    let written = producer.log().len();
    match pipeline.submit(both, None, WAITED).await {
        Err(NotTaken::Busy(busy)) => assert!(
            busy.to_string().contains("what partition 0 of topic \"t\" may have"),
            "{busy}"
        ),
        _ => panic!("partition 0 holds all that it may"),
    }
    assert_eq!(producer.log().len(), written, "nothing was taken");
    producer.release();
    for submitted in open {
        submitted.batch.done().await;
    }
    assert!(pipeline.is_empty());
}

#[tokio::test]
async fn what_the_producer_gives_up_is_never_called_acked() {
    let producer = Arc::new(MemoryProducer::default());
    producer.create_topic("t", PARTITIONS);
    producer.hold();
    let pipeline = pipeline(&producer, &Limits::default());
    let records = (0..3).map(|index| parsed(&Plan::NoKey, 0, index)).collect();
    let submitted = pipeline.submit(records, None, WAITED).await.expect("taken");
    assert_eq!(submitted.batch.outcome(0), None, "nothing is known yet");
    assert_eq!(pipeline.admission.queued_records(), 3);
    producer.purge();
    submitted.batch.done().await;
    for index in 0..3 {
        assert_eq!(submitted.batch.outcome(index).map(Outcome::kind), Some(Kind::Unknown));
    }
    assert_eq!(pipeline.admission.queued_records(), 0);
    assert_eq!(pipeline.metrics.handed_over()[Kind::Unknown as usize], 3);
}
