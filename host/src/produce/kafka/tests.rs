//! The producer against the embedded broker, which is told to answer with errors: the producer renews itself, and every record
//! gets a true outcome.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use rdkafka::types::RDKafkaRespErr as E;

use super::{client::Client, slots::ENDING, *};
use crate::{
    admission::{Admission, PartitionLoad},
    base::{
        metrics::Metrics,
        outcome::{Code, Kind},
        record::Header,
    },
    config::{self, Limits},
    pipeline::{self, Mode, NotTaken, Pipeline, Submitted},
    produce::{
        batch::{AckMode, Batch, Purpose},
        embedded::EmbeddedBroker,
    },
    routing::{
        route::{Decider, Route, Routes, Table},
        topics::{TopicLimits, Topics},
    },
    tenants::Tenants,
    topic::{Destination, Rules, TopicView},
};

mod several;

const DEADLINE: Duration = Duration::from_secs(60);
const MOST_TOPICS: usize = 3;
const OPTIONS: Options = Options {
    embedded: true,
    most_topics: MOST_TOPICS,
    most_clients: 1,
};

struct Bench {
    pipeline: Pipeline,
    // Dropped after the producer, which it must outlive.
    broker: EmbeddedBroker,
}

impl Bench {
    fn new() -> Self {
        Self::with(OPTIONS)
    }

    fn with(options: Options) -> Self {
        let broker = EmbeddedBroker::start().expect("a broker");
        broker.create_topic("t");
        let properties = [
            ("bootstrap.servers".to_owned(), broker.bootstrap_servers()),
            // One request for each record, so that some records are on their way while others wait.
            ("batch.num.messages".to_owned(), "1".to_owned()),
        ];
        let config = client_config(&properties.into(), 20_000, 1 << 20);
        let producer: Arc<dyn Producer> = Arc::new(KafkaProducer::new(&config, options).expect("a producer"));
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let route = Route::new(&config::Route::everything(), Decider::KeyHash, None).expect("a route");
        let routes = Arc::new(Routes::new(Table::new(0, vec![Arc::new(route)])));
        let limits = Limits::default();
        let topics = Topics::new(
            Arc::clone(&producer),
            routes,
            Arc::clone(&metrics),
            TopicLimits {
                max_topics: 10,
                timeout: DEADLINE,
                rules: Rules::default(),
            },
        );
        let pipeline = Pipeline {
            topics,
            producer,
            tenants: Arc::new(Tenants::off()),
            observer: None,
            schemas: Default::default(),
            stamps: false,
            admission: Arc::new(Admission::new(&limits)),
            metrics,
            max_record_bytes: 1_000_000,
            max_plugin_ms: 1_000,
            open: 0.into(),
            large: pipeline::large_hand_overs(),
            long_work: Default::default(),
        };
        Self { pipeline, broker }
    }

    async fn submit(&self, count: usize) -> Result<Submitted, NotTaken> {
        self.submit_to("t", count).await
    }

    async fn submit_to(&self, topic: &str, count: usize) -> Result<Submitted, NotTaken> {
        let record = |number: usize| Record {
            topic: Arc::from(topic),
            key: Some(Bytes::from_static(b"k")),
            value: Some(Bytes::from(number.to_string())),
            headers: Vec::new(),
            partition: None,
            timestamp: None,
            schema: None,
        };
        let mode = Mode {
            ack: AckMode::Waited,
            trace: false,
        };
        self.pipeline
            .submit((0..count).map(|number| Ok(record(number))).collect(), None, mode)
            .await
    }

    /// The kinds of a request's outcomes, and its generation.
    async fn outcomes(&self, count: usize) -> (Vec<Outcome>, u32) {
        let submitted = self.submit(count).await.expect("taken");
        submitted.batch.done().await;
        let outcome = |index| submitted.batch.outcome(index).expect("every record has one").clone();
        ((0..count).map(outcome).collect(), submitted.batch.generation())
    }

    async fn acked_again(&self) -> u32 {
        let begun = Instant::now();
        loop {
            match self.submit(1).await {
                Ok(submitted) => {
                    submitted.batch.done().await;
                    if submitted.batch.outcome(0).map(Outcome::kind) == Some(Kind::Acked) {
                        return submitted.batch.generation();
                    }
                }
                Err(refused) => assert!(refused.to_string().contains("renewed"), "{refused}"),
            }
            assert!(begun.elapsed() < DEADLINE, "never acknowledged again");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_fatal_error_every_record_is_answered_and_the_next_generation_takes_over() {
    let bench = Bench::new();
    let (outcomes, generation) = bench.outcomes(3).await;
    assert_eq!(generation, 1);
    assert!(
        outcomes.iter().all(|outcome| outcome.kind() == Kind::Acked),
        "{outcomes:?}"
    );

    for generation in 2..4 {
        bench
            .broker
            .answer_next_produce_with(E::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
        let (outcomes, of) = bench.outcomes(50).await;
        assert_eq!(of, generation - 1, "a request does not span two generations");
        // The broker's answer says that it lost count, so nobody knows whether this record is written.
        assert_eq!(outcomes[0].kind(), Kind::Unknown, "{outcomes:?}");
        let never_sent = [Code::GenerationChanged, Code::NotQueued];
        for outcome in outcomes.iter().filter(|outcome| outcome.kind() == Kind::Failed) {
            let code = outcome.error().map(|error| error.code);
            assert!(code.is_some_and(|code| never_sent.contains(&code)), "{outcome:?}");
        }
        assert_eq!(bench.acked_again().await, generation);
    }
    assert_eq!(bench.pipeline.admission.queued_records(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_an_earlier_generation_is_failed_and_not_sent() {
    let bench = Bench::new();
    bench.outcomes(1).await;
    let producer = &bench.pipeline.producer;
    let topic = bench.pipeline.topics.get(&Arc::from("t")).await.expect("a topic");
    let destination = Destination {
        topic: 0,
        partition: 0,
        bytes: 10,
        held: 10,
        keyed: false,
        timestamp: None,
    };
    let purpose = Purpose {
        fence: 0,
        generation: 7,
        ack: AckMode::Waited,
        metrics: Arc::clone(&bench.pipeline.metrics),
        admission: Arc::clone(&bench.pipeline.admission),
        slots: None,
    };
    let partitions = topic.partitions();
    let load = PartitionLoad {
        quota: Arc::clone(&partitions.quotas[0]),
        records: 1,
        bytes: 10,
        wire_bytes: 0,
    };
    let room = bench
        .pipeline
        .admission
        .queue_without_tenants(vec![load], &mut None)
        .await;
    room.expect("room").hand_on();
    let batch = Batch::new(
        [Some(destination)].into_iter(),
        vec![TopicView { topic, partitions }],
        purpose,
    );
    let ticket = Ticket::new(&batch, 0, false);
    let record = Record {
        topic: Arc::from("t"),
        key: None,
        value: None,
        headers: Vec::new(),
        partition: None,
        timestamp: None,
        schema: None,
    };
    producer.sender(batch.generation()).send(record, 0, ticket);
    let outcome = batch.outcome(0).expect("answered at once");
    assert_eq!(outcome.error().map(|error| error.code), Some(Code::GenerationChanged));
    assert_eq!(outcome.kind(), Kind::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_the_brokers_refuse_is_closed_and_opened_by_one_record_that_gets_through() {
    let bench = Bench::new();
    bench.outcomes(1).await;
    for (error, failed, closed) in [
        (
            E::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
            Code::TopicUnauthorized,
            Code::TopicUnauthorized,
        ),
        (
            E::RD_KAFKA_RESP_ERR_INVALID_RECORD,
            Code::InvalidRecord,
            Code::TopicInvalidRecord,
        ),
    ] {
        bench.broker.answer_next_produce_with(error);
        let code = |outcome: &Outcome| outcome.error().map(|error| error.code);
        let (outcomes, _) = bench.outcomes(1).await;
        assert_eq!(
            (outcomes[0].kind(), code(&outcomes[0])),
            (Kind::Failed, Some(failed)),
            "{outcomes:?}"
        );
        let (outcomes, generation) = bench.outcomes(3).await;
        for outcome in &outcomes {
            assert_eq!(
                (outcome.kind(), code(outcome)),
                (Kind::Rejected, Some(closed)),
                "{outcomes:?}"
            );
        }
        assert_eq!(generation, 1, "one topic's trouble is not the producer's end");
        assert_eq!(bench.acked_again().await, 1);
        let (outcomes, _) = bench.outcomes(3).await;
        assert!(
            outcomes.iter().all(|outcome| outcome.kind() == Kind::Acked),
            "{outcomes:?}"
        );
    }
}

/// Covers the calls with and without headers and a time, and a record that is refused at once.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_record_holds_it_is_taken_as_it_is_or_its_ticket_comes_back() {
    let mut bench = Bench::new();
    bench.outcomes(1).await;
    // So that librdkafka refuses the large record, and not the pipeline.
    bench.pipeline.max_record_bytes = usize::MAX;
    let (empty, some) = (Some(Bytes::new()), Some(Bytes::from_static(b"some")));
    let header = |name: &str, value: &Option<Bytes>| Header {
        name: name.into(),
        value: value.clone(),
    };
    let headers = vec![header("", &None), header("a", &empty), header("a", &some)];
    let mut records = Vec::new();
    for key in [&None, &empty, &some] {
        for value in [&None, &empty, &some] {
            for (headers, timestamp) in [
                (Vec::new(), None),
                (headers.clone(), None),
                (Vec::new(), Some(1)),
                (headers.clone(), Some(2)),
            ] {
                records.push(Ok(Record {
                    topic: Arc::from("t"),
                    key: key.clone(),
                    value: value.clone(),
                    headers,
                    partition: None,
                    timestamp,
                    schema: None,
                }));
            }
        }
    }
    records.push(Ok(Record {
        topic: Arc::from("t"),
        key: None,
        value: Some(Bytes::from(vec![0; 3_000_000])),
        headers,
        partition: None,
        timestamp: None,
        schema: None,
    }));
    let count = records.len();
    let mode = Mode {
        ack: AckMode::Waited,
        trace: false,
    };
    let submitted = bench.pipeline.submit(records, None, mode).await.expect("taken");
    submitted.batch.done().await;
    for index in 0..count {
        let kind = submitted.batch.outcome(index).map(Outcome::kind);
        let expected = if index < count - 1 { Kind::Acked } else { Kind::Failed };
        assert_eq!(kind, Some(expected), "record {index}");
    }
    assert!(bench.pipeline.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_holder_of_an_old_client_does_not_wait_for_its_end() {
    let bench = Bench::new();
    bench.outcomes(1).await;
    // A worker may hold a sender in the middle of a request.
    let sender = bench.pipeline.producer.sender(1);
    bench
        .broker
        .answer_next_produce_with(E::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    bench.outcomes(1).await;
    assert_eq!(bench.acked_again().await, 2);
    drop(sender);
    let mine = thread::current().name().map(str::to_owned);
    let ended_by = || client::tests::ENDED_BY.lock().expect("a lock").clone();
    assert!(
        !ended_by().iter().any(|name| Some(name) == mine.as_ref()),
        "{:?}",
        ended_by()
    );
    let deadline = Instant::now() + DEADLINE;
    while !ended_by().iter().any(|name| name == ENDING) {
        assert!(Instant::now() < deadline, "nobody has ended it");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_sent_to_many_topics_is_replaced_and_no_record_suffers() {
    let bench = Bench::new();
    let mut generation = 1;
    let begun = Instant::now();
    let mut sent = 0;
    while generation == 1 {
        assert!(begun.elapsed() < DEADLINE, "never replaced");
        let topic = format!("topic-{}", sent % (2 * MOST_TOPICS));
        if sent < 2 * MOST_TOPICS {
            bench.broker.create_topic(&topic);
        }
        sent += 1;
        let submitted = bench.submit_to(&topic, 3).await.expect("taken");
        submitted.batch.done().await;
        for index in 0..3 {
            let outcome = submitted.batch.outcome(index).expect("an outcome");
            assert_eq!(outcome.kind(), Kind::Acked, "{outcome:?}");
        }
        generation = submitted.batch.generation();
    }
    assert_eq!(generation, 2);
}

#[tokio::test]
async fn what_the_client_library_keeps_of_topics_is_bounded() {
    let broker = EmbeddedBroker::start().expect("a broker");
    let properties = [("bootstrap.servers".to_owned(), broker.bootstrap_servers())];
    let config = client_config(&properties.into(), 20_000, 1 << 20);
    let events = rustix::event::eventfd(0, rustix::event::EventfdFlags::NONBLOCK).expect("an eventfd");
    let client = Client::new(&config, OPTIONS, &Arc::new(events)).expect("a client");
    let name = |number: usize| Arc::from(format!("t{number}"));
    for number in 0..3 * MOST_TOPICS {
        assert_eq!(client.is_worn(), number >= 2 * MOST_TOPICS);
        assert!(client.has_room_for(&name(number)));
        client.topic(&name(number)).expect("a topic");
        client.forget(&name(number));
    }
    assert!(client.has_room_for("t0") && !client.has_room_for("one-more"));
}
