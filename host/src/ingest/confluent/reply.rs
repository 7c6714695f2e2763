//! The reply to a call whose records were taken: one entry for each, in the order of the request.

use std::io::Write as _;

use bytes::Bytes;
use hyper::{
    Response,
    header::{CONTENT_TYPE, HeaderValue},
};

use crate::{
    base::outcome::{Code, Kind, Outcome},
    ingest::{outgoing::counted, reply::Outcomes},
};

/// The content type of all replies.
pub(super) const V2_JSON: HeaderValue = HeaderValue::from_static("application/vnd.kafka.v2+json");
/// Bytes in a reply for a record that was `acked`, about.
const ACKED_BYTES: usize = 72;
/// What Kafka's clients have for an offset that the broker did not say.
const NO_OFFSET: i64 = -1;

/// `error_code` of a record that would be refused again.
const FINAL: u8 = 1;
/// `error_code` of a record that may pass if it is sent again.
const RETRIABLE: u8 = 2;

/// The reply with all outcomes.
pub(super) fn told(mut outcomes: Outcomes) -> Response<Bytes> {
    let body = body(outcomes.all().map(|told| told.outcome));
    let mut response = Response::new(counted(body, outcomes.take_held()));
    response.headers_mut().insert(CONTENT_TYPE, V2_JSON);
    response
}

// Writing to a Vec cannot fail.
pub(super) fn body<'o>(outcomes: impl ExactSizeIterator<Item = &'o Outcome>) -> Vec<u8> {
    let mut body = Vec::with_capacity(64 + outcomes.len() * ACKED_BYTES);
    body.extend_from_slice(b"{\"offsets\":[");
    for (index, outcome) in outcomes.enumerate() {
        if index > 0 {
            body.push(b',');
        }
        write(&mut body, outcome);
    }
    body.extend_from_slice(b"],\"key_schema_id\":null,\"value_schema_id\":null}");
    body
}

fn write(body: &mut Vec<u8>, outcome: &Outcome) {
    match outcome {
        Outcome::Acked(ack) => {
            let (partition, offset) = (ack.partition, ack.offset.unwrap_or(NO_OFFSET));
            let _ = write!(
                body,
                "{{\"partition\":{partition},\"offset\":{offset},\"error_code\":null,\"error\":null}}"
            );
        }
        Outcome::Rejected(error) | Outcome::Failed(error) | Outcome::Unknown(error) => {
            let error_code = match outcome.kind() == Kind::Unknown || may_pass(error.code) {
                true => RETRIABLE,
                false => FINAL,
            };
            let _ = write!(
                body,
                "{{\"partition\":null,\"offset\":null,\"error_code\":{error_code},\"error\":"
            );
            let text = format_args!("{}: {}", error.code.as_str(), error.message);
            let _ = serde_json::to_writer(&mut *body, &text);
            body.push(b'}');
        }
    }
}

/// Whether the same record may be taken in a moment.
fn may_pass(code: Code) -> bool {
    matches!(
        code,
        Code::NotQueued
            | Code::GenerationChanged
            | Code::BatchRefused
            | Code::SchemaUnavailable
            | Code::TooManyTopics
            | Code::PluginBudgetSpent
            | Code::PluginUnavailable
            | Code::PluginSuspended
    )
}
