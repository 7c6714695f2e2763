//! Health and reflection, as programs of others ask for them.

use tonic::{Code, Request, codegen::tokio_stream};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus};
use tonic_reflection::pb::{v1, v1alpha};

use crate::support::{
    grpc::{Client, reason},
    sidecar::{Builder, Sidecar, eventually},
};

const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const REFLECTION_ALPHA: &str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

fn asked(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

fn health(sidecar: &Sidecar, service: &str) -> Result<ServingStatus, Code> {
    let answer = Client::tcp(sidecar).call(CHECK, Request::new(asked(service)));
    let answer = answer.map_err(|status| status.code())?;
    let answer: HealthCheckResponse = answer.into_inner();
    Ok(answer.status())
}

#[test]
fn health_says_what_ready_says() {
    let ready = Builder::embedded().start();
    for service in ["", "pointsman.v1.IngestService"] {
        assert_eq!(health(&ready, service), Ok(ServingStatus::Serving), "{service:?}");
    }
    assert_eq!(health(&ready, "pointsman.v2.Else"), Err(Code::NotFound));
    let waiting = Builder::kafka("127.0.0.1:9")
        .kafka_lines("ready_requires_kafka = true")
        .start();
    assert_eq!(waiting.admin("/ready").status, 503);
    assert_eq!(health(&waiting, ""), Ok(ServingStatus::NotServing));
}

#[test]
fn who_watches_health_hears_of_the_end_and_does_not_delay_it() {
    let mut sidecar = Builder::embedded().start();
    let mut client = Client::unix(&sidecar);
    let mut watched = client.stream(WATCH, tokio_stream::iter([asked("")])).unwrap();
    let first: HealthCheckResponse = watched.next().unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    sidecar.terminate();
    let status = loop {
        match watched.next() {
            Ok(Some(next)) => assert_eq!(next.status(), ServingStatus::NotServing),
            Ok(None) => panic!("the end says nothing"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unavailable);
    assert!(sidecar.ended().success());
}

#[test]
fn a_program_that_knows_nothing_learns_the_methods_by_reflection() {
    let sidecar = Builder::embedded().start();
    let mut client = Client::tcp(&sidecar);
    let request = v1::ServerReflectionRequest {
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
        ..Default::default()
    };
    let mut answers = client.stream(REFLECTION, tokio_stream::iter([request])).unwrap();
    let answer: v1::ServerReflectionResponse = answers.next().unwrap().unwrap();
    let Some(v1::server_reflection_response::MessageResponse::ListServicesResponse(services)) = answer.message_response
    else {
        panic!("no services");
    };
    let names: Vec<_> = services.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&"pointsman.v1.IngestService"), "{names:?}");
    assert!(names.contains(&"grpc.health.v1.Health"), "{names:?}");
    // Older programs ask by the version before.
    let symbol = "pointsman.v1.IngestService".to_owned();
    let request = v1alpha::ServerReflectionRequest {
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(symbol)),
        ..Default::default()
    };
    let mut answers = client.stream(REFLECTION_ALPHA, tokio_stream::iter([request])).unwrap();
    let answer: v1alpha::ServerReflectionResponse = answers.next().unwrap().unwrap();
    let Some(v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(files)) =
        answer.message_response
    else {
        panic!("no file");
    };
    assert!(!files.file_descriptor_proto.is_empty());
}

#[test]
fn calls_that_stay_open_for_ever_take_no_place_of_records() {
    let sidecar = Builder::embedded().start();
    let mut clients: Vec<_> = (0..65).map(|_| Client::unix(&sidecar)).collect();
    let mut open = Vec::new();
    let mut refused = Vec::new();
    for client in &mut clients {
        match client.stream::<_, HealthCheckResponse>(WATCH, tokio_stream::iter([asked("")])) {
            Ok(answers) => open.push(answers),
            Err(status) => refused.push(reason(&status)),
        }
    }
    assert_eq!((open.len(), refused), (64, vec!["busy".to_owned()]));
    let reply = sidecar.unix().json("/v1/topics/orders/records", "{\"value\":1}");
    assert_eq!(reply.outcomes(), ["acked"]);
    drop(open);
    drop(clients);
    eventually("the places are free again", || {
        Client::unix(&sidecar)
            .stream::<_, HealthCheckResponse>(WATCH, tokio_stream::iter([asked("")]))
            .is_ok()
    });
}
