//! gRPC by tonic's client: what is taken, what is told, and what is not taken.

mod clients;
mod services;
mod streams;

use std::time::Duration;

use pointsman_proto::v1::{self, outcome::Kind};
use tonic::{Code, Request, metadata::MetadataValue};

use crate::support::{
    consumer::read,
    grpc::{Client, PRODUCE, kinds, reason, record, request},
    sidecar::Builder,
};

#[test]
fn every_field_of_a_record_lands_as_it_was_sent() {
    let sidecar = Builder::embedded().start();
    let full = v1::Record {
        topic: "orders".to_owned(),
        key: Some("k".into()),
        value: Some("{\"a\":1}".into()),
        headers: vec![
            v1::Header {
                name: "h".to_owned(),
                value: Some("1".into()),
            },
            v1::Header {
                name: "h".to_owned(),
                value: None,
            },
        ],
        partition: Some(3),
        timestamp: Some(1_700_000_000_000),
    };
    let tombstone = v1::Record {
        partition: Some(3),
        ..Default::default()
    };
    let empty = v1::Record {
        key: Some("".into()),
        value: Some("".into()),
        partition: Some(3),
        ..Default::default()
    };
    for mut client in [Client::tcp(&sidecar), Client::unix(&sidecar)] {
        let records = vec![full.clone(), tombstone.clone(), empty.clone()];
        let answer = client.produce(request("orders", records)).unwrap();
        assert_eq!(kinds(&answer.outcomes), [Kind::Acked; 3]);
        assert_eq!(answer.generation, 1);
        let first = &answer.outcomes[0];
        assert_eq!(
            (first.index, first.partition, first.timestamp),
            (0, Some(3), Some(1_700_000_000_000))
        );
    }
    let found = read(sidecar.embedded.as_deref().unwrap(), "orders", 6);
    assert_eq!(found[0].key.as_deref(), Some(&b"k"[..]));
    assert_eq!(found[0].text(), "{\"a\":1}");
    let headers = [("h".to_owned(), Some(b"1".to_vec())), ("h".to_owned(), None)];
    assert_eq!(found[0].headers, headers);
    assert_eq!((&found[1].key, &found[1].value), (&None, &None));
    assert_eq!((&found[2].key, &found[2].value), (&Some(vec![]), &Some(vec![])));
    assert!(found.iter().all(|record| record.partition == 3));
}

#[test]
fn a_record_that_is_refused_takes_no_other_with_it() {
    let sidecar = Builder::embedded().start();
    let mut client = Client::unix(&sidecar);
    let bad = v1::Record {
        timestamp: Some(-1),
        ..record("k", "v")
    };
    let other = v1::Record {
        topic: "other".to_owned(),
        ..record("k", "v")
    };
    let nowhere = v1::Record {
        partition: Some(1_000),
        ..record("k", "v")
    };
    let records = vec![record("a", "1"), bad, other, nowhere, record("a", "2")];
    let answer = client.produce(request("orders", records)).unwrap();
    let code = |at: usize| answer.outcomes[at].error.as_ref().map(|error| error.code.as_str());
    assert_eq!(
        kinds(&answer.outcomes),
        [Kind::Acked, Kind::Rejected, Kind::Rejected, Kind::Rejected, Kind::Acked]
    );
    assert_eq!(
        [code(1), code(2), code(3)],
        [
            Some("malformed_record"),
            Some("topic_mismatch"),
            Some("partition_out_of_range")
        ]
    );
    let later = answer.outcomes[4].offset.unwrap();
    assert_eq!(
        later,
        answer.outcomes[0].offset.unwrap() + 1,
        "order within the partition"
    );
}

#[test]
fn a_call_of_which_nothing_was_taken_has_a_status_that_says_why() {
    let sidecar = Builder::embedded()
        .config("[limits]\nmax_records = 3\n[[route]]\ntopics = [\"orders\"]")
        .start();
    let mut client = Client::unix(&sidecar);
    let mut refused = |request: v1::ProduceRequest| {
        let status = client.produce(request).unwrap_err();
        (status.code(), reason(&status))
    };
    let told = |code, reason: &str| (code, reason.to_owned());
    assert_eq!(
        refused(request("orders", vec![])),
        told(Code::InvalidArgument, "empty_body")
    );
    assert_eq!(
        refused(request("or/ders", vec![record("k", "v")])),
        told(Code::InvalidArgument, "invalid_topic")
    );
    assert_eq!(
        refused(request("else", vec![record("k", "v")])),
        told(Code::NotFound, "no_route")
    );
    assert_eq!(
        refused(request("orders", vec![record("k", "v"); 4])),
        told(Code::ResourceExhausted, "too_many_records")
    );
    let unknown = v1::ProduceRequest {
        ack: 7,
        ..request("orders", vec![record("k", "v")])
    };
    assert_eq!(refused(unknown), told(Code::InvalidArgument, "bad_query"));
    let large = request("orders", vec![record("k", &"x".repeat(9 << 20))]);
    assert_eq!(refused(large), told(Code::ResourceExhausted, "body_too_large"));
    let path = "/pointsman.v1.IngestService/Nothing";
    let status = client
        .call::<_, v1::ProduceResponse>(path, Request::new(request("orders", vec![])))
        .unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        told(Code::Unimplemented, "unknown_method")
    );
    // All of it is counted as it would be over HTTP.
    let count = |status: u16| sidecar.metric(&format!("pointsman_requests_total{{status=\"{status}\"}}"));
    assert_eq!((count(413), count(404), count(501)), (2.0, 1.0, 1.0));
}

#[test]
fn fire_and_forget_tells_only_what_was_refused() {
    let sidecar = Builder::embedded().start();
    let mut client = Client::unix(&sidecar);
    let bad = v1::Record {
        timestamp: Some(0),
        ..record("k", "v")
    };
    let asked = v1::ProduceRequest {
        ack: v1::Ack::None.into(),
        ..request("orders", vec![record("a", "1"), bad, record("a", "2")])
    };
    let answer = client.produce(asked).unwrap();
    assert_eq!(answer.accepted, 2);
    assert_eq!(kinds(&answer.outcomes), [Kind::Rejected]);
    assert_eq!(answer.outcomes[0].index, 1);
    assert_eq!(read(sidecar.embedded.as_deref().unwrap(), "orders", 2).len(), 2);
    // Where nothing is left, the call counts as one that was refused, as over HTTP.
    let refused = v1::ProduceRequest {
        ack: v1::Ack::None.into(),
        ..request(
            "orders",
            vec![v1::Record {
                timestamp: Some(0),
                ..record("k", "v")
            }],
        )
    };
    assert_eq!(client.produce(refused).unwrap().accepted, 0);
    let count = |status: u16| sidecar.metric(&format!("pointsman_requests_total{{status=\"{status}\"}}"));
    assert_eq!((count(202), count(422)), (1.0, 1.0));
}

#[test]
fn a_numbered_request_is_taken_once_however_its_number_is_sent() {
    let sidecar = Builder::embedded().start();
    let mut client = Client::unix(&sidecar);
    let numbered = |sequence| v1::ProduceRequest {
        number: Some(v1::Number {
            client: "shop".to_owned(),
            epoch: 3,
            sequence,
            resume: false,
        }),
        ..request("orders", vec![record("a", &sequence.to_string())])
    };
    let first = client.produce(numbered(1)).unwrap();
    let again = client.produce(numbered(1)).unwrap();
    assert_eq!(first.outcomes, again.outcomes);
    // The second as metadata.
    let mut asked = Request::new(request("orders", vec![record("a", "2")]));
    for (name, value) in [
        ("pointsman-client", "shop"),
        ("pointsman-epoch", "3"),
        ("pointsman-sequence", "2"),
    ] {
        asked.metadata_mut().insert(name, MetadataValue::from_static(value));
    }
    let second = client
        .call::<_, v1::ProduceResponse>(PRODUCE, asked)
        .unwrap()
        .into_inner();
    let repeated = client.produce(numbered(2)).unwrap();
    assert_eq!(second.outcomes, repeated.outcomes);
    let status = client.produce(numbered(9)).unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::FailedPrecondition, "sequence_conflict")
    );
    use tonic_types::StatusExt as _;
    let details = status.get_error_details();
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!((metadata["expected"].as_str(), metadata["epoch"].as_str()), ("3", "3"));
    assert_eq!(read(sidecar.embedded.as_deref().unwrap(), "orders", 2).len(), 2);
}

#[test]
fn a_trace_says_which_plugin_decided() {
    let sidecar = Builder::embedded().route("*", "key-hash", "").start();
    let asked = v1::ProduceRequest {
        trace: true,
        ..request("orders", vec![record("a", "1")])
    };
    let answer = Client::unix(&sidecar).produce(asked).unwrap();
    let trace = answer.outcomes[0].trace.as_ref().unwrap();
    assert_eq!((trace.plugin.as_str(), trace.digest.len()), ("key-hash", 64));
}

#[test]
fn a_compressed_request_is_read_and_a_bomb_is_not() {
    let sidecar = Builder::embedded().start();
    let mut client = Client::unix(&sidecar).compressed();
    let value = "abc".repeat(100_000);
    let answer = client.produce(request("orders", vec![record("a", &value)])).unwrap();
    assert_eq!(kinds(&answer.outcomes), [Kind::Acked]);
    assert_eq!(read(sidecar.embedded.as_deref().unwrap(), "orders", 1)[0].text(), value);
    let bomb = request("orders", vec![record("a", &"0".repeat(200 << 20))]);
    let status = client.produce(bomb).unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::ResourceExhausted, "body_too_large")
    );
    assert!(sidecar.most_resident_bytes() < 192 << 20);
}

#[test]
fn the_token_comes_as_metadata_and_nothing_is_taken_without() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "secret").unwrap();
    let sidecar = Builder::embedded().listen(&format!("token_file = {token:?}")).start();
    let mut client = Client::tcp(&sidecar);
    let status = client.produce(request("orders", vec![record("a", "1")])).unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Unauthenticated, "unauthorized")
    );
    let mut asked = Request::new(request("orders", vec![record("a", "1")]));
    asked
        .metadata_mut()
        .insert("authorization", MetadataValue::from_static("Bearer secret"));
    let answer = client.call::<_, v1::ProduceResponse>(PRODUCE, asked).unwrap();
    assert_eq!(kinds(&answer.get_ref().outcomes), [Kind::Acked]);
    let instance = answer.metadata().get("pointsman-instance").unwrap();
    assert_eq!(instance.len(), 32);
}

#[test]
fn outcomes_reach_a_caller_before_its_deadline_though_the_brokers_are_silent() {
    let sidecar = Builder::kafka("127.0.0.1:9")
        .config("[limits]\nmax_wait_ms = 100")
        .start();
    let mut asked = Request::new(request("orders", vec![record("a", "1")]));
    asked.set_timeout(Duration::from_secs(20));
    let status = Client::unix(&sidecar)
        .call::<_, v1::ProduceResponse>(PRODUCE, asked)
        .unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Unavailable, "kafka_unavailable")
    );
}

#[test]
fn grpc_by_http_1_is_told_what_is_missing() {
    let sidecar = Builder::embedded().start();
    let reply = sidecar
        .unix()
        .post(PRODUCE, &[("content-type", "application/grpc")], b"\0\0\0\0\0");
    assert_eq!(
        (reply.status, reply.problem().as_str()),
        (415, "unsupported_content_type")
    );
    assert!(reply.text().contains("HTTP/2"), "{}", reply.text());
}
