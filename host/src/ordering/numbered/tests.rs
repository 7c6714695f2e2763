//! Numbered requests over the in-memory producer: no broker, no socket.

mod handed_over;
mod waiting;

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    base::{outcome::Kind, record::Record},
    config::Limits,
    ordering::sequence::{Owner, Refusal, Stored},
    pipeline::{Pipeline, tests::pipeline},
    produce::memory::{MemoryProducer, PlannedOutcome},
};

const PARTITIONS: u32 = 3;
/// How long a client of these tests sends a request again and again before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pipeline over a producer in memory, and the numbered requests.
#[derive(Clone)]
struct Rig {
    producer: Arc<MemoryProducer>,
    pipeline: Arc<Pipeline>,
    numbered: Arc<Numbered>,
}

fn rig(limits: &Limits) -> Rig {
    let producer = Arc::new(MemoryProducer::default());
    producer.create_topic("t", PARTITIONS);
    let pipeline = pipeline(&producer, limits);
    let metrics = Arc::clone(&pipeline.metrics);
    Rig {
        producer,
        numbered: Numbered::new(limits.into(), limits.max_wait(), metrics),
        pipeline,
    }
}

fn number(epoch: u64, sequence: u64) -> Number {
    Number {
        name: Name::new(Owner::Tcp, "shop"),
        epoch,
        sequence,
        span: 1,
        resume: false,
    }
}

/// The numbers of requests with so many records. They count records as in Kafka's protocol, or requests.
fn numbers(counts: &[usize], by_record: bool) -> Vec<Number> {
    let mut next = 1;
    let number = |&count: &usize| {
        let number = Number {
            span: if by_record { count as u64 } else { 1 },
            ..number(0, next)
        };
        next = number.next_sequence();
        number
    };
    counts.iter().map(number).collect()
}

/// Records whose values say which they are. Each goes to the partition of its place in the request.
fn records(number: &Number, count: usize) -> Vec<Parsed> {
    let record = |index: usize| {
        Ok(Record {
            topic: Arc::from("t"),
            key: None,
            value: Some(Bytes::from(format!("{} {} {index}", number.epoch, number.sequence))),
            headers: Vec::new(),
            partition: Some(index as u32 % PARTITIONS),
            timestamp: None,
            schema: None,
        })
    };
    (0..count).map(record).collect()
}

impl Rig {
    /// Looks the topic up beforehand, so that the look-up does not use up the time that a request may wait.
    async fn knows_topic(&self) {
        self.pipeline.topics.get(&Arc::from("t")).await.expect("a topic");
    }

    async fn begin(&self, number: &Number, count: usize) -> Result<Begun, NotBegun> {
        let content = self.numbered.content(&records(number, count));
        self.numbered.begin(number.clone(), content).await
    }

    async fn permit(&self, number: &Number, count: usize) -> SendPermit {
        match self.begin(number, count).await {
            Ok(Begun::Send(permit)) => permit,
            Ok(_) => panic!("{number:?} is a repeat"),
            Err(error) => panic!("{number:?}: {error}"),
        }
    }

    /// Sends the request. What the client is told: the outcomes, or why there are none.
    async fn send(&self, number: &Number, count: usize) -> Result<Arc<Settled>, String> {
        match self.begin(number, count).await.map_err(|error| error.to_string())? {
            Begun::Send(permit) => {
                let produced = permit
                    .produce(&self.pipeline, records(number, count), None, false)
                    .await;
                Ok(produced.map_err(|error| error.to_string())?.settled)
            }
            Begun::UnderWay(under_way) => Ok(under_way.outcomes().await.expect("the process lives")),
            Begun::Settled(settled) => Ok(settled),
        }
    }

    /// Sends until every record is `acked`.
    async fn send_until_acked(&self, number: &Number, count: usize) -> Arc<Settled> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Ok(settled) = self.send(number, count).await
                && settled.is_acked()
            {
                return settled;
            }
            tokio::task::yield_now().await;
        }
        panic!("{number:?} was never acked");
    }

    fn written(&self) -> Vec<(u32, String)> {
        let text = |record: &Record| String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
        let log = self.producer.log();
        log.iter()
            .map(|(partition, record)| (*partition, text(record)))
            .collect()
    }
}

fn kinds(settled: &Settled) -> Vec<(Kind, bool)> {
    let kind = |stored: &Stored| (stored.outcome.kind(), stored.late);
    settled.records().iter().map(kind).collect()
}

/// Which record a value says that it is. Ordered as the records have to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Written {
    epoch: u64,
    sequence: u64,
    index: u64,
}

/// Checks that the records of each partition are in the order of their epochs and sequences, but for the `late` ones.
fn check_order(written: &[(u32, String)], late: &HashSet<String>) {
    let mut last: HashMap<u32, Written> = HashMap::new();
    for (partition, value) in written.iter().filter(|(_, value)| !late.contains(value)) {
        let mut parts = value.split(' ').map(|part| part.parse().expect("a number"));
        let mut part = || parts.next().expect("three numbers");
        let place = Written {
            epoch: part(),
            sequence: part(),
            index: part(),
        };
        if let Some(before) = last.insert(*partition, place) {
            assert!(
                before < place,
                "{before:?} stands before {place:?} in partition {partition}"
            );
        }
    }
}

/// One record of eleven is lost, in one of three ways.
fn planned_outcome() -> impl Strategy<Value = PlannedOutcome> {
    prop_oneof![
        30 => Just(PlannedOutcome::Acked),
        1 => Just(PlannedOutcome::Failed),
        1 => Just(PlannedOutcome::Unknown { written: true }),
        1 => Just(PlannedOutcome::Unknown { written: false }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// All requests come at once, in any order, and are sent again until they are acked; records are lost on the way.
    #[test]
    fn requests_sent_in_any_order_stand_in_theirs_and_no_acked_record_twice(
        counts in vec(1..6_usize, 1..12),
        arrival in any::<u64>(),
        by_record in any::<bool>(),
        planned in vec(planned_outcome(), 0..60),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            let rig = rig(&Limits { max_wait_ms: 50, ..Limits::default() });
            let unknown = Arc::new(Mutex::new(HashSet::new()));
            rig.producer.decide({
                let unknown = Arc::clone(&unknown);
                move |sent, record| {
                    let outcome = planned.get(sent).copied().unwrap_or(PlannedOutcome::Acked);
                    if matches!(outcome, PlannedOutcome::Unknown { .. }) {
                        let value = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
                        unknown.lock().expect("no panic").insert(value);
                    }
                    outcome
                }
            });
            let numbers = numbers(&counts, by_record);
            let mut order: Vec<usize> = (0..counts.len()).collect();
            fastrand::Rng::with_seed(arrival).shuffle(&mut order);
            let tasks: Vec<_> = order.into_iter().map(|index| {
                let (rig, number, count) = (rig.clone(), numbers[index].clone(), counts[index]);
                tokio::spawn(async move {
                    (index, rig.send_until_acked(&number, count).await)
                })
            }).collect();
            let mut late = HashSet::new();
            for task in tasks {
                let (index, settled) = task.await.expect("no panic");
                assert_eq!(settled.records().len(), counts[index]);
                for (record, stored) in settled.records().iter().enumerate().filter(|(_, stored)| stored.late) {
                    assert_eq!(stored.outcome.kind(), Kind::Acked);
                    late.insert(format!("0 {} {record}", numbers[index].sequence));
                }
            }
            let written = rig.written();
            check_order(&written, &late);
            let unknown = unknown.lock().expect("no panic");
            let mut times: HashMap<&str, usize> = HashMap::new();
            for (_, value) in &written {
                *times.entry(value).or_default() += 1;
            }
            assert_eq!(times.len(), counts.iter().sum::<usize>(), "a record is missing");
            for (value, times) in times {
                assert!(times == 1 || unknown.contains(value), "{value} stands there {times} times");
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_request_is_not_mixed_with_the_next_one_of_its_client() {
    // So many that each request lets other tasks run while it is handed over.
    const RECORDS: usize = 1_200;
    let rig = rig(&Limits::default());
    let sent: Vec<_> = [4, 2, 5, 1, 3]
        .map(|sequence| {
            let rig = rig.clone();
            tokio::spawn(async move { rig.send_until_acked(&number(0, sequence), RECORDS).await })
        })
        .into();
    for task in sent {
        task.await.expect("no panic");
    }
    let written = rig.written();
    assert_eq!(written.len(), 5 * RECORDS);
    check_order(&written, &HashSet::new());
}

#[tokio::test]
async fn the_next_request_does_not_wait_for_outcomes_and_a_repeat_waits_for_nothing_else() {
    let rig = rig(&Limits::default());
    rig.producer.hold();
    let first = rig.permit(&number(0, 1), 2).await;
    let first = tokio::spawn({
        let rig = rig.clone();
        async move {
            first
                .produce(&rig.pipeline, records(&number(0, 1), 2), None, false)
                .await
                .is_ok()
        }
    });
    let second = rig.permit(&number(0, 2), 2).await;
    let second = tokio::spawn({
        let rig = rig.clone();
        async move {
            second
                .produce(&rig.pipeline, records(&number(0, 2), 2), None, false)
                .await
                .is_ok()
        }
    });
    let Ok(Begun::UnderWay(repeat)) = rig.begin(&number(0, 1), 2).await else {
        panic!("the first one has no outcomes yet");
    };
    while rig.producer.log().len() < 4 {
        tokio::task::yield_now().await;
    }
    rig.producer.release();
    let told = repeat.outcomes().await.expect("outcomes");
    assert_eq!(kinds(&told), [(Kind::Acked, false); 2]);
    assert!(first.await.expect("no panic") && second.await.expect("no panic"));
    assert_eq!(rig.send(&number(0, 1), 2).await, Ok(told), "the same, offsets included");
    assert_eq!(rig.producer.log().len(), 4, "nothing was written again");
}

#[tokio::test]
async fn a_repeat_sends_what_is_missing_and_says_that_it_is_late() {
    let rig = rig(&Limits::default());
    let planned = [
        PlannedOutcome::Acked,
        PlannedOutcome::Failed,
        PlannedOutcome::Unknown { written: true },
        PlannedOutcome::Failed,
        PlannedOutcome::Acked,
    ];
    rig.producer
        .decide(move |sent, _| planned.get(sent).copied().unwrap_or(PlannedOutcome::Acked));
    let one = number(0, 1);
    let first = rig.send(&one, 3).await.expect("taken");
    assert_eq!(
        kinds(&first),
        [(Kind::Acked, false), (Kind::Failed, false), (Kind::Unknown, false)]
    );
    let refused = rig.send(&number(0, 2), 1).await.expect_err("blocked");
    assert!(
        refused.contains("sequence 1 has records that are failed or unknown"),
        "{refused}"
    );
    let second = rig.send(&one, 3).await.expect("taken");
    assert_eq!(
        kinds(&second),
        [(Kind::Acked, false), (Kind::Failed, true), (Kind::Acked, true)]
    );
    assert_eq!(first.records()[0], second.records()[0], "where it was written at first");
    let third = rig.send(&one, 3).await.expect("taken");
    assert_eq!(
        kinds(&third),
        [(Kind::Acked, false), (Kind::Acked, true), (Kind::Acked, true)]
    );
    rig.send(&number(0, 2), 1).await.expect("no longer blocked");
    let values: Vec<String> = rig.written().into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["0 1 0", "0 1 2", "0 1 2", "0 1 1", "0 2 0"]);
}

#[tokio::test]
async fn a_new_epoch_stands_behind_the_old_one_and_is_not_held_up_by_its_losses() {
    let rig = rig(&Limits::default());
    rig.producer.decide(|sent, _| {
        if sent == 0 {
            PlannedOutcome::Failed
        } else {
            PlannedOutcome::Acked
        }
    });
    rig.send(&number(0, 1), 1).await.expect("taken");
    let old = number(0, 2);
    assert!(rig.send(&old, 1).await.is_err(), "blocked");
    rig.send(&number(1, 1), 1).await.expect("taken");
    let stale = rig.send(&old, 1).await.expect_err("over");
    assert!(stale.contains("epoch 0 is over"), "{stale}");
    rig.send(&number(1, 2), 1).await.expect("taken");
    assert_eq!(rig.written().len(), 2);
}

#[test]
fn records_that_differ_in_anything_are_never_taken_for_the_same() {
    let rig = rig(&Limits::default());
    let base = || records(&number(0, 1), 1).remove(0).expect("a record");
    let mut all = vec![base(), base(), base(), base(), base()];
    all[1].value = None;
    all[2].key = Some(Bytes::new());
    all[3].partition = None;
    all[4].timestamp = Some(1);
    let digests: HashSet<u64> = all
        .into_iter()
        .map(|record| rig.numbered.content(&[Ok(record)]).digest)
        .collect();
    assert_eq!(digests.len(), 5);
    let same = rig.numbered.content(&[Ok(base())]);
    assert_eq!(
        rig.numbered.content(&[Ok(base())]),
        same,
        "the same records are the same"
    );
}
