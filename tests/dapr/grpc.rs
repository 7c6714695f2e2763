//! The same over gRPC, by tonic's client.

use std::collections::HashMap;

use pointsman_proto::dapr;
use prost::bytes::Bytes;
use tonic::{Code, Request, Response, Status, metadata::MetadataValue};
use tonic_types::StatusExt as _;

use super::{PARENT, event, read_back, start};
use crate::support::{
    grpc::Client,
    sidecar::{Builder, Sidecar},
};

const PUBLISH: &str = "/dapr.proto.runtime.v1.Dapr/PublishEvent";
const BULK: &str = "/dapr.proto.runtime.v1.Dapr/BulkPublishEvent";
const BULK_ALPHA: &str = "/dapr.proto.runtime.v1.Dapr/BulkPublishEventAlpha1";

fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn request(
    topic: &str,
    data: &'static [u8],
    content_type: &str,
    metadata: &[(&str, &str)],
) -> dapr::PublishEventRequest {
    dapr::PublishEventRequest {
        pubsub_name: "kafka".to_owned(),
        topic: topic.to_owned(),
        data: Bytes::from_static(data),
        data_content_type: content_type.to_owned(),
        metadata: map(metadata),
    }
}

fn entry(id: &str, event: &str, metadata: &[(&str, &str)]) -> dapr::BulkPublishRequestEntry {
    dapr::BulkPublishRequestEntry {
        entry_id: id.to_owned(),
        event: Bytes::copy_from_slice(event.as_bytes()),
        content_type: "text/plain".to_owned(),
        metadata: map(metadata),
    }
}

fn bulk(topic: &str, entries: Vec<dapr::BulkPublishRequestEntry>) -> dapr::BulkPublishRequest {
    dapr::BulkPublishRequest {
        pubsub_name: "kafka".to_owned(),
        topic: topic.to_owned(),
        entries,
        metadata: map(&[("rawPayload", "true"), ("partitionKey", "k")]),
    }
}

/// Publishes one event, with these headers.
fn publish(
    client: &mut Client,
    request: dapr::PublishEventRequest,
    headers: &[(&'static str, &str)],
) -> Result<(), Status> {
    let mut request = Request::new(request);
    for (name, value) in headers {
        request
            .metadata_mut()
            .insert(*name, MetadataValue::try_from(*value).unwrap());
    }
    client.call::<_, ()>(PUBLISH, request).map(Response::into_inner)
}

fn published(
    client: &mut Client,
    path: &'static str,
    request: dapr::BulkPublishRequest,
) -> Result<Vec<(String, String)>, Status> {
    let told: dapr::BulkPublishResponse = client.call(path, Request::new(request))?.into_inner();
    let failed = told.failed_entries.into_iter();
    Ok(failed.map(|failed| (failed.entry_id, failed.error)).collect())
}

/// Dapr's reason for what went wrong, with the status.
fn refused(result: Result<(), Status>, code: Code, reason: &str) {
    let status = result.expect_err("refused");
    let details = status.get_error_details();
    let told = details.error_info().map(|info| info.reason.as_str());
    assert_eq!((status.code(), told), (code, Some(reason)), "{status:?}");
}

#[test]
fn an_event_over_grpc_lands_as_one_over_http() {
    let sidecar = start();
    let mut client = Client::tcp(&sidecar);
    let headers = [PARENT, ("dapr-app-id", "shop")];
    let metadata = [("partitionKey", "k"), ("cloudevent.type", "order")];
    publish(
        &mut client,
        request("json", b"{\"n\":1}", "application/json", &metadata),
        &headers,
    )
    .unwrap();
    let record = read_back(&sidecar, "json", 1).remove(0);
    assert_eq!(record.key.as_deref(), Some(&b"k"[..]));
    assert_eq!(record.headers.len(), 2);
    let told = event(&record);
    assert_eq!(
        (told["data"]["n"].as_u64(), told["type"].as_str()),
        (Some(1), Some("order"))
    );
    assert_eq!(
        (told["source"].as_str(), told["traceparent"].as_str()),
        (Some("shop"), Some(PARENT.1))
    );

    let mut client = Client::unix(&sidecar).compressed();
    publish(
        &mut client,
        request("raw", b"\xff\0", "", &[("rawPayload", "true")]),
        &[PARENT],
    )
    .unwrap();
    let record = read_back(&sidecar, "raw", 1).remove(0);
    assert_eq!(record.value.as_deref(), Some(&b"\xff\0"[..]));
    let trace = ("traceid".to_owned(), Some(PARENT.1.as_bytes().to_vec()));
    assert!(record.headers.contains(&trace), "{record:?}");

    publish(&mut client, request("text", b"", "", &[]), &[]).unwrap();
    assert_eq!(event(&read_back(&sidecar, "text", 1)[0])["data"], "");
}

#[test]
fn a_bulk_over_grpc_keeps_its_order_and_names_what_failed() {
    let sidecar = start();
    let mut client = Client::tcp(&sidecar);
    for (topic, path) in [("stable", BULK), ("alpha", BULK_ALPHA)] {
        let entries = (0..200).map(|number| entry(&format!("e{number}"), &number.to_string(), &[]));
        assert_eq!(
            published(&mut client, path, bulk(topic, entries.collect())).unwrap(),
            []
        );
        let values: Vec<_> = read_back(&sidecar, topic, 200)
            .iter()
            .map(|record| record.text().to_owned())
            .collect();
        assert_eq!(values, (0..200).map(|number| number.to_string()).collect::<Vec<_>>());
    }
    let entries = vec![
        entry("good", "a", &[]),
        entry("bad", "b", &[("partitionNumber", "x")]),
        entry("gone", "c", &[("partitionNumber", "99")]),
        entry("also good", "d", &[]),
    ];
    let failed = published(&mut client, BULK, bulk("mixed", entries)).unwrap();
    assert_eq!(
        (failed.len(), failed[0].0.as_str(), failed[1].0.as_str()),
        (2, "bad", "gone"),
        "{failed:?}"
    );
    assert!(failed[0].1.starts_with("malformed_record: ") && failed[1].1.starts_with("partition_out_of_range: "));
    assert_eq!(read_back(&sidecar, "mixed", 2).len(), 2);
    assert_eq!(published(&mut client, BULK, bulk("mixed", Vec::new())).unwrap(), []);
    for entries in [
        vec![entry("", "a", &[])],
        vec![entry("same", "a", &[]), entry("same", "b", &[])],
    ] {
        let result = published(&mut client, BULK, bulk("mixed", entries)).map(|_| ());
        refused(result, Code::InvalidArgument, "DAPR_PUBSUB_MARSHAL_EVENTS");
    }
}

#[test]
fn what_is_refused_over_grpc_has_dapr_s_own_reasons() {
    let sidecar = Builder::embedded()
        .listen("apis = [\"dapr\"]")
        .route("orders", "key-hash", "")
        .start();
    let mut client = Client::tcp(&sidecar);
    let mut refused_of = |request, code, reason| refused(publish(&mut client, request, &[]), code, reason);
    let invalid = Code::InvalidArgument;
    refused_of(dapr::PublishEventRequest::default(), invalid, "DAPR_PUBSUB_NAME_EMPTY");
    refused_of(request("", b"", "", &[]), invalid, "DAPR_PUBSUB_TOPIC_NAME_EMPTY");
    let raw = [("rawPayload", "yes")];
    refused_of(
        request("orders", b"", "", &raw),
        invalid,
        "DAPR_PUBSUB_METADATA_DESERIALIZATION",
    );
    let broken = request("orders", b"[]", "application/cloudevents+json", &[]);
    refused_of(broken, invalid, "DAPR_PUBSUB_CLOUD_EVENT_CREATION");
    refused_of(
        request("other", b"", "", &[]),
        Code::PermissionDenied,
        "DAPR_PUBSUB_FORBIDDEN",
    );
    refused_of(
        request("or ders", b"", "", &[]),
        Code::Internal,
        "DAPR_PUBSUB_PUBLISH_MESSAGE",
    );
}

#[test]
fn what_of_dapr_s_service_is_not_here_says_so() {
    let sidecar = start();
    let mut client = Client::tcp(&sidecar);
    let about: dapr::GetMetadataResponse = client
        .call(
            "/dapr.proto.runtime.v1.Dapr/GetMetadata",
            Request::new(dapr::GetMetadataRequest {}),
        )
        .unwrap()
        .into_inner();
    assert_eq!(about.registered_components[0].r#type, "pubsub.kafka");
    for path in [
        "/dapr.proto.runtime.v1.Dapr/GetState",
        "/dapr.proto.runtime.v1.Dapr/Shutdown",
    ] {
        let told = client.call::<(), ()>(path, Request::new(())).unwrap_err();
        assert_eq!(told.code(), Code::Unimplemented, "{told:?}");
        assert!(told.message().contains("publish"), "{told:?}");
    }
    let off = Builder::embedded().start();
    let told = publish(&mut Client::tcp(&off), request("orders", b"", "", &[]), &[]).unwrap_err();
    assert_eq!(told.code(), Code::Unimplemented, "{told:?}");
    assert!(told.message().contains("add \"dapr\" to apis"), "{told:?}");
}

#[test]
fn a_token_is_taken_over_grpc_as_dapr_s_clients_send_it() {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "secret\n").unwrap();
    let sidecar: Sidecar = Builder::embedded()
        .listen(&format!("apis = [\"dapr\"]\ntoken_file = {:?}", token.path()))
        .start();
    let mut client = Client::tcp(&sidecar);
    let mut with = |headers: &[(&'static str, &str)]| publish(&mut client, request("orders", b"", "", &[]), headers);
    with(&[("dapr-api-token", "secret")]).unwrap();
    for wrong in [&[][..], &[("dapr-api-token", "other")]] {
        assert_eq!(with(wrong).unwrap_err().code(), Code::Unauthenticated, "{wrong:?}");
    }
}

#[test]
fn a_message_of_many_small_parts_is_refused_before_it_takes_memory() {
    let sidecar = Builder::embedded()
        .listen("apis = [\"dapr\"]")
        .config("[limits]\nmax_records = 100\n")
        .start();
    let mut client = Client::tcp(&sidecar);
    let entries = (0..101).map(|number| entry(&number.to_string(), "", &[]));
    let told = published(&mut client, BULK, bulk("orders", entries.collect())).unwrap_err();
    assert_eq!(told.code(), Code::ResourceExhausted, "{told:?}");
}
