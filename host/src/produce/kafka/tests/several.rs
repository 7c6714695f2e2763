//! Several clients side by side, against the embedded broker, which is made to answer slowly.

use super::*;

impl Bench {
    /// A broker that is far enough for several clients.
    fn far() -> Self {
        let bench = Self::with(Options {
            // Known as the broker in this process, it would be thought near.
            embedded: false,
            most_clients: 4,
            ..OPTIONS
        });
        bench.broker.be_far(Duration::from_millis(2));
        bench
    }

    /// Records for each partition in turn.
    async fn submit_spread(&self, count: u32) -> Submitted {
        self.submit_at(count, |number| number % crate::produce::embedded::PARTITIONS)
            .await
    }

    async fn submit_at(&self, count: u32, partition: impl Fn(u32) -> u32) -> Submitted {
        let record = |number: u32| {
            Ok(Record {
                topic: Arc::from("t"),
                key: None,
                value: Some(Bytes::from(number.to_string())),
                headers: Vec::new(),
                partition: Some(partition(number)),
                timestamp: None,
                schema: None,
            })
        };
        let mode = Mode {
            ack: AckMode::Waited,
            trace: false,
        };
        let submitted = self.pipeline.submit((0..count).map(record).collect(), None, mode).await;
        submitted.expect("taken")
    }
}

/// Sends requests with records for each partition, several at once, until there are several clients. Offsets must rise within
/// each request and partition. Returns how many clients there are.
async fn send_until_there_are_several(bench: &Bench) -> usize {
    let begun = Instant::now();
    while bench.pipeline.producer.clients() < 4 {
        assert!(
            begun.elapsed() < DEADLINE,
            "there are {}",
            bench.pipeline.producer.clients()
        );
        let mut requests = Vec::new();
        for _ in 0..8 {
            requests.push(bench.submit_spread(12).await);
        }
        for request in requests {
            request.batch.done().await;
            let mut last = [-1; 4];
            for index in 0..12 {
                match request.batch.outcome(index) {
                    Some(Outcome::Acked(ack)) => {
                        let offset = ack.offset.expect("an offset");
                        assert!(offset > last[ack.partition as usize], "record {index} was overtaken");
                        last[ack.partition as usize] = offset;
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    bench.pipeline.producer.clients()
}

#[tokio::test(flavor = "multi_thread")]
async fn far_brokers_get_several_clients_and_each_partition_keeps_its_order() {
    let bench = Bench::far();
    assert_eq!(bench.pipeline.producer.clients(), 1);
    assert_eq!(send_until_there_are_several(&bench).await, 4);
    assert_eq!(bench.pipeline.producer.generation(), 1);
    assert!(bench.pipeline.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fatal_error_in_one_of_several_clients_renews_all_and_every_record_is_answered() {
    let bench = Bench::far();
    send_until_there_are_several(&bench).await;
    bench
        .broker
        .answer_next_produce_with(E::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    let submitted = bench.submit_spread(100).await;
    submitted.batch.done().await;
    let kinds: Vec<Kind> = (0..100)
        .filter_map(|index| submitted.batch.outcome(index).map(Outcome::kind))
        .collect();
    assert_eq!(kinds.len(), 100);
    assert!(kinds.contains(&Kind::Unknown), "{kinds:?}");
    assert!(!kinds.contains(&Kind::Rejected), "{kinds:?}");
    assert_eq!(bench.acked_again().await, 2);
    assert_eq!(
        bench.pipeline.producer.clients(),
        1,
        "the new generation begins with one"
    );
    assert_eq!(bench.pipeline.admission.queued_records(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_lost_the_broker_end_and_no_record_suffers() {
    let bench = Bench::far();
    send_until_there_are_several(&bench).await;
    let mut request = bench.submit_spread(100).await;
    bench.broker.be_lost_for_a_moment();
    let begun = Instant::now();
    loop {
        request.batch.done().await;
        for index in 0..request.batch.len() {
            let outcome = request.batch.outcome(index).expect("an outcome");
            assert_eq!(outcome.kind(), Kind::Acked, "{outcome:?}");
        }
        if bench.pipeline.producer.clients() == 1 {
            break;
        }
        assert!(begun.elapsed() < DEADLINE, "there are still several");
        request = bench.submit_spread(12).await;
    }
    assert_eq!(bench.pipeline.producer.generation(), 1);
    assert!(bench.pipeline.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_in_one_of_several_clients_fails_its_batch_only() {
    let bench = Bench::far();
    send_until_there_are_several(&bench).await;
    bench
        .broker
        .answer_next_produce_with(E::RD_KAFKA_RESP_ERR_INVALID_RECORD);
    let submitted = bench.submit_spread(100).await;
    submitted.batch.done().await;
    let outcomes: Vec<_> = (0..100).filter_map(|index| submitted.batch.outcome(index)).collect();
    // A batch is one record here. The refusal closes the topic, so what a slow machine hands over after that is rejected.
    let of_kind = |kind| outcomes.iter().filter(|outcome| outcome.kind() == kind).count();
    let closed = outcomes.iter().filter(|outcome| {
        let code = outcome.error().map(|error| error.code);
        outcome.kind() == Kind::Rejected && code == Some(Code::TopicInvalidRecord)
    });
    assert_eq!(of_kind(Kind::Failed), 1, "{outcomes:?}");
    assert_eq!(of_kind(Kind::Acked) + closed.count(), 99, "{outcomes:?}");
    assert_eq!(bench.pipeline.producer.clients(), 4);
    assert_eq!(send_until_there_are_several(&bench).await, 4);
    assert_eq!(bench.pipeline.producer.generation(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_its_turn_is_failed_when_all_is_given_up() {
    let bench = Bench::new();
    bench.submit_at(1, |_| 0).await.batch.done().await;
    bench.broker.be_far(Duration::from_secs(3600));
    // To another partition: the turn of that one may not have ended yet, and then all would have the next one.
    let first = bench.submit_at(1, |_| 1).await;
    let second = bench.submit_at(3, |_| 1).await;
    let producer = Arc::clone(&bench.pipeline.producer);
    assert!(!producer.flush(Duration::from_millis(50)), "one is under way");
    tokio::task::spawn_blocking(move || producer.purge())
        .await
        .expect("its end");
    first.batch.done().await;
    second.batch.done().await;
    assert_eq!(first.batch.outcome(0).map(Outcome::kind), Some(Kind::Unknown));
    for index in 0..3 {
        let outcome = second.batch.outcome(index).expect("answered");
        assert_eq!(outcome.kind(), Kind::Failed, "{outcome:?}");
        assert_eq!(outcome.error().map(|error| error.code), Some(Code::NotQueued));
    }
    assert!(bench.pipeline.is_empty());
}
