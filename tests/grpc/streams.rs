//! `Stream`: requests and outcomes at the same time.

use pointsman_proto::v1::{self, end::Reason, outcome::Kind, stream_response};
use tonic::codegen::tokio_stream;

use crate::support::{
    consumer::read,
    grpc::{Answers, Client, STREAM, kinds, record},
    sidecar::Builder,
};

fn message(records: Vec<v1::Record>) -> v1::StreamRequest {
    v1::StreamRequest {
        topic: "orders".to_owned(),
        records,
        ..Default::default()
    }
}

fn numbered(sequence: u64, records: Vec<v1::Record>) -> v1::StreamRequest {
    v1::StreamRequest {
        number: Some(v1::Number {
            client: "shop".to_owned(),
            epoch: 1,
            sequence,
            resume: false,
        }),
        ..message(records)
    }
}

/// All answers, to the end of the stream.
fn all(mut answers: Answers<'_, v1::StreamResponse>) -> (Vec<v1::Outcomes>, v1::End) {
    let mut outcomes = Vec::new();
    loop {
        let answer = answers.next().unwrap().expect("an end");
        match answer.kind.expect("outcomes or an end") {
            stream_response::Kind::Outcomes(more) => outcomes.push(more),
            stream_response::Kind::End(end) => {
                assert!(answers.next().unwrap().is_none(), "nothing comes after the end");
                return (outcomes, end);
            }
        }
    }
}

#[test]
fn outcomes_of_a_stream_come_in_the_order_sent_and_an_end_comes_last() {
    let sidecar = Builder::embedded().start();
    let mut client = Client::unix(&sidecar);
    // Messages of all sizes: none, one record, more than the window.
    let sizes = [1, 0, 7, 1_500, 1, 1, 600];
    let mut number = 0;
    let messages: Vec<_> = sizes
        .iter()
        .map(|size| {
            let records = (0..*size).map(|_| {
                number += 1;
                record("a", &number.to_string())
            });
            message(records.collect())
        })
        .collect();
    let total: usize = sizes.iter().sum();
    let answers = client.stream(STREAM, tokio_stream::iter(messages)).unwrap();
    let (outcomes, end) = all(answers);
    let outcomes: Vec<_> = outcomes.into_iter().flat_map(|outcomes| outcomes.outcomes).collect();
    assert!(kinds(&outcomes).iter().all(|kind| *kind == Kind::Acked));
    let indexes: Vec<_> = outcomes.iter().map(|outcome| outcome.index).collect();
    assert_eq!(indexes, (0..total as u64).collect::<Vec<_>>());
    assert_eq!((end.reason(), end.count), (Reason::Complete, total as u64));
    let found = read(sidecar.embedded.as_deref().unwrap(), "orders", total);
    let numbers: Vec<usize> = found.iter().map(|record| record.text().parse().unwrap()).collect();
    assert_eq!(numbers, (1..=total).collect::<Vec<_>>());
}

#[test]
fn a_stream_may_be_resumed_by_its_numbers_without_a_record_lost_or_doubled() {
    let sidecar = Builder::embedded().start();
    let mut client = Client::unix(&sidecar);
    let send = |sequences: std::ops::Range<u64>| {
        let messages: Vec<_> = sequences
            .map(|sequence| numbered(sequence, vec![record("a", &sequence.to_string()); 3]))
            .collect();
        tokio_stream::iter(messages)
    };
    let (first, end) = all(client.stream(STREAM, send(1..20)).unwrap());
    assert_eq!((end.reason(), end.count), (Reason::Complete, 57));
    let sequences: Vec<_> = first.iter().map(|outcomes| outcomes.sequence.unwrap()).collect();
    assert_eq!(sequences, (1..20).collect::<Vec<_>>());
    // As if the last answers had been lost.
    let (again, end) = all(client.stream(STREAM, send(15..30)).unwrap());
    assert_eq!((end.reason(), end.count), (Reason::Complete, 45));
    let without_index = |outcomes: &v1::Outcomes| {
        let outcomes = outcomes.outcomes.iter().map(|outcome| v1::Outcome {
            index: 0,
            ..outcome.clone()
        });
        outcomes.collect::<Vec<_>>()
    };
    for (before, after) in first[14..].iter().zip(&again) {
        assert_eq!(without_index(before), without_index(after));
    }
    assert_eq!(read(sidecar.embedded.as_deref().unwrap(), "orders", 87).len(), 87);
    // A gap ends the stream, and says what would be taken.
    let (none, end) = all(client.stream(STREAM, send(40..41)).unwrap());
    assert!(none.is_empty());
    assert_eq!(end.reason(), Reason::Error);
    assert_eq!(
        end.error.as_ref().map(|error| error.code.as_str()),
        Some("sequence_conflict")
    );
    assert_eq!((end.expected_sequence, end.expected_epoch), (Some(30), Some(1)));
}

#[test]
fn what_cannot_be_read_ends_a_stream_after_what_came_before() {
    let sidecar = Builder::embedded().config("[limits]\nmax_records = 5").start();
    let mut client = Client::unix(&sidecar);
    let messages = vec![message(vec![record("a", "1")]), message(vec![record("a", "2"); 6])];
    let (outcomes, end) = all(client.stream(STREAM, tokio_stream::iter(messages)).unwrap());
    let told: usize = outcomes.iter().map(|outcomes| outcomes.outcomes.len()).sum();
    assert_eq!((told, end.count, end.reason()), (1, 1, Reason::Error));
    assert_eq!(end.error.unwrap().code, "too_many_records");
}

#[test]
fn compressed_messages_of_a_stream_are_read_too() {
    let sidecar = Builder::embedded().start();
    let mut client = Client::unix(&sidecar).compressed();
    let messages: Vec<_> = (0..5)
        .map(|_| message(vec![record("a", &"x".repeat(1_000)); 400]))
        .collect();
    let (_, end) = all(client.stream(STREAM, tokio_stream::iter(messages)).unwrap());
    assert_eq!((end.reason(), end.count), (Reason::Complete, 2_000));
}

#[test]
fn a_drain_ends_a_stream_with_all_outcomes_of_what_was_taken() {
    let mut sidecar = Builder::embedded().start();
    let mut client = Client::unix(&sidecar);
    let (sender, messages) = tokio::sync::mpsc::channel::<v1::StreamRequest>(1);
    sender.try_send(message(vec![record("a", "1"); 3])).unwrap();
    let messages = tokio_stream::StreamExt::map(Received(messages), |message| message);
    let mut answers = client.stream(STREAM, messages).unwrap();
    let first: Option<v1::StreamResponse> = answers.next().unwrap();
    assert!(matches!(first.unwrap().kind, Some(stream_response::Kind::Outcomes(_))));
    sidecar.terminate();
    let (_, end) = all(answers);
    assert_eq!((end.reason(), end.count), (Reason::Drain, 3));
    drop(sender);
    assert!(sidecar.ended().success());
}

struct Received<T>(tokio::sync::mpsc::Receiver<T>);

impl<T> tokio_stream::Stream for Received<T> {
    type Item = T;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<T>> {
        self.0.poll_recv(context)
    }
}
