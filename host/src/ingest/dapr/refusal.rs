//! What was not taken or not written, as clients of Dapr are told it: `{"errorCode":…,"message":…}`. [`Refusal::of_record`] and
//! the constructors are the one place that says which code of Dapr's a thing has.

use std::collections::HashMap;

use bytes::Bytes;
use hyper::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde::Serialize;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    base::{
        outcome::{Code, RecordError},
        text::{WHOLE_BYTES, said, shortened},
    },
    ingest::{error::IngestError, grpc::status, outgoing::Reply},
};

/// A code of Dapr's, as it is told over HTTP and, where Dapr has one, over gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DaprCode(pub(super) &'static str, pub(super) &'static str);

/// Dapr's code for an event that was not published.
pub(super) const PUBLISH_MESSAGE: DaprCode = DaprCode("ERR_PUBSUB_PUBLISH_MESSAGE", "DAPR_PUBSUB_PUBLISH_MESSAGE");
const FORBIDDEN: DaprCode = DaprCode("ERR_PUBSUB_FORBIDDEN", "DAPR_PUBSUB_FORBIDDEN");
const PUBSUB_EMPTY: DaprCode = DaprCode("ERR_PUBSUB_EMPTY", "DAPR_PUBSUB_NAME_EMPTY");
const TOPIC_EMPTY: DaprCode = DaprCode("ERR_TOPIC_NAME_EMPTY", "DAPR_PUBSUB_TOPIC_NAME_EMPTY");
const BAD_METADATA: DaprCode = DaprCode("ERR_PUBSUB_REQUEST_METADATA", "DAPR_PUBSUB_METADATA_DESERIALIZATION");
const BAD_CLOUD_EVENT: DaprCode = DaprCode("ERR_PUBSUB_CLOUD_EVENTS_SER", "DAPR_PUBSUB_CLOUD_EVENT_CREATION");
const BAD_EVENTS: DaprCode = DaprCode("ERR_PUBSUB_EVENTS_SER", "DAPR_PUBSUB_MARSHAL_EVENTS");
/// Dapr's code for what has none.
const GENERIC: DaprCode = DaprCode("ERROR", "ERROR");
/// The domain of Dapr's codes in `google.rpc.ErrorInfo`.
const DOMAIN: &str = "dapr.io";

/// Why a request is not answered as it wishes.
#[derive(Debug)]
pub(in crate::ingest) struct Refusal {
    pub(super) code: DaprCode,
    pub(super) why: Why,
}

/// The part of a [`Refusal`] that has no code of Dapr's.
#[derive(Debug)]
pub(super) enum Why {
    /// Found out here: a status, and what to tell.
    Told(StatusCode, String),
    /// Found out by what all protocols share.
    NotTaken(Box<IngestError>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    error_code: &'a str,
    message: &'a str,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: DaprCode, message: impl Into<String>) -> Self {
        Self {
            code,
            why: Why::Told(status, shortened(message.into(), WHOLE_BYTES)),
        }
    }

    pub(super) fn bad_escape() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            GENERIC,
            "the path has an escape that is not one, or is not UTF-8; escape it as %2F",
        )
    }

    pub(super) fn no_pubsub() -> Self {
        Self::new(StatusCode::NOT_FOUND, PUBSUB_EMPTY, "pubsub name is empty")
    }

    pub(super) fn no_topic(pubsub: &str) -> Self {
        let message = format!("topic is empty in pubsub {}", said(pubsub));
        Self::new(StatusCode::NOT_FOUND, TOPIC_EMPTY, message)
    }

    /// The metadata of a request cannot be read.
    pub(super) fn bad_metadata(what: &str) -> Self {
        let message = format!("failed deserializing metadata: {what}");
        Self::new(StatusCode::BAD_REQUEST, BAD_METADATA, message)
    }

    /// An event with the content type of a CloudEvent is none.
    pub(super) fn bad_cloud_event(what: &str) -> Self {
        let message = format!("cannot create cloudevent: {what}; nothing was taken");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, BAD_CLOUD_EVENT, message)
    }

    /// The events of a bulk cannot be read.
    pub(super) fn bad_events(what: &str) -> Self {
        let message = format!("the events of the request cannot be read: {what}; nothing was taken");
        Self::new(StatusCode::BAD_REQUEST, BAD_EVENTS, message)
    }

    /// A record was not written, or not certainly.
    pub(super) fn of_record(error: &RecordError) -> Self {
        let (status, code) = match error.code {
            // To Dapr, a topic that an application may not publish to is one that the configuration does not give it.
            Code::TopicUnauthorized | Code::NoRoute => (StatusCode::FORBIDDEN, FORBIDDEN),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, PUBLISH_MESSAGE),
        };
        Self::new(status, code, message_of(error))
    }

    /// What is refused of every request, whatever it asks for.
    pub(in crate::ingest) fn response_to(error: &IngestError) -> Response<Bytes> {
        told(error, GENERIC)
    }

    /// What is refused of every call, whatever it asks for.
    pub(in crate::ingest) fn status_to(error: &IngestError) -> Response<Reply> {
        match error {
            // The whole service is off.
            IngestError::NotFound(message) => {
                Self::new(StatusCode::NOT_IMPLEMENTED, GENERIC, message.as_str()).status()
            }
            error => status::refusal(error),
        }
    }

    /// The answer to a caller by gRPC.
    pub(in crate::ingest) fn status(&self) -> Response<Reply> {
        let (status, message) = match &self.why {
            Why::Told(status, message) => (*status, message),
            // What all protocols share is told as to callers of this sidecar's own service.
            Why::NotTaken(error) => return status::refusal(error),
        };
        let code = match status {
            StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => tonic::Code::InvalidArgument,
            StatusCode::FORBIDDEN => tonic::Code::PermissionDenied,
            StatusCode::NOT_IMPLEMENTED => tonic::Code::Unimplemented,
            _ if self.code == BAD_CLOUD_EVENT => tonic::Code::InvalidArgument,
            _ => tonic::Code::Internal,
        };
        let details = ErrorDetails::with_error_info(self.code.1, DOMAIN, HashMap::new());
        status::told(&Status::with_error_details(code, message, details), status)
    }

    /// The response to the client.
    pub(in crate::ingest) fn response(&self) -> Response<Bytes> {
        match &self.why {
            Why::Told(status, message) => {
                let mut response = Response::new(document(self.code, message));
                *response.status_mut() = *status;
                is_json(response)
            }
            Why::NotTaken(error) => told(error, self.code),
        }
    }
}

impl From<IngestError> for Refusal {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Topic(error) => Self::of_record(&error),
            error => Self {
                code: PUBLISH_MESSAGE,
                why: Why::NotTaken(Box::new(error)),
            },
        }
    }
}

/// What is told of one record.
pub(super) fn message_of(error: &RecordError) -> String {
    format!("{}: {}", error.code.as_str(), error.message)
}

/// The sidecar's own answer, with its status and headers, and a body as Dapr's clients know it.
fn told(error: &IngestError, code: DaprCode) -> Response<Bytes> {
    let problem = error.problem();
    is_json(problem.document().map(|_| document(code, problem.detail())))
}

fn document(code: DaprCode, message: &str) -> Bytes {
    let document = Document {
        error_code: code.0,
        message,
    };
    serde_json::to_vec(&document).unwrap_or_default().into()
}

pub(super) fn is_json(mut response: Response<Bytes>) -> Response<Bytes> {
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_of(refusal: &Refusal) -> (u16, serde_json::Value) {
        let response = refusal.response();
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        let body = serde_json::from_slice(response.body()).expect("JSON");
        (response.status().as_u16(), body)
    }

    #[test]
    fn whoever_waits_for_dapr_s_codes_finds_them() {
        let error = |code| RecordError::new(code, "the message");
        for (code, status, told) in [
            (Code::NoRoute, 403, FORBIDDEN),
            (Code::TopicUnauthorized, 403, FORBIDDEN),
            (Code::UnknownTopic, 500, PUBLISH_MESSAGE),
            (Code::TimedOut, 500, PUBLISH_MESSAGE),
        ] {
            for refusal in [
                Refusal::of_record(&error(code)),
                Refusal::from(IngestError::Topic(error(code))),
            ] {
                let (given, body) = told_of(&refusal);
                assert_eq!((given, body["errorCode"].as_str()), (status, Some(told.0)), "{code:?}");
                let message = body["message"].as_str().expect("a message");
                assert_eq!(message, format!("{}: the message", code.as_str()));
                let by_grpc = refusal.status();
                let expected = if status == 403 { "7" } else { "13" };
                assert_eq!(by_grpc.headers()["grpc-status"], expected, "{code:?}");
            }
        }
    }

    #[test]
    fn a_client_is_told_when_to_come_again_as_any_other_is() {
        let busy = Refusal::from(IngestError::Busy("no room".to_owned())).response();
        assert_eq!(busy.status(), 503);
        assert_eq!(busy.headers()["retry-after"], "1");
        let body: serde_json::Value = serde_json::from_slice(busy.body()).expect("JSON");
        assert_eq!(body["errorCode"], PUBLISH_MESSAGE.0);
        assert_eq!(body["message"], "no room; nothing was taken");
    }

    #[test]
    fn what_is_told_never_grows_with_what_was_asked() {
        let long = "x".repeat(1 << 20);
        for refusal in [
            Refusal::no_topic(&long),
            Refusal::bad_metadata(&long),
            Refusal::bad_events(&long),
        ] {
            assert!(refusal.response().body().len() < 3 * WHOLE_BYTES);
        }
    }
}
