//! The answer to a request whose events were taken.

use bytes::Bytes;
use hyper::{Response, StatusCode};

use super::refusal::{PUBLISH_MESSAGE, Refusal, is_json, message_of};
use crate::ingest::{outgoing::counted, reply::Outcomes};

/// 204: every event was written.
pub(super) fn written() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// The answer to one event.
pub(super) fn to_one(outcomes: &Outcomes) -> Response<Bytes> {
    match outcomes.all().find_map(|told| told.outcome.error()) {
        None => written(),
        Some(error) => Refusal::of_record(error).response(),
    }
}

/// The answer to a bulk of events with these ids: those that were not written, or not certainly.
pub(super) fn to_bulk(mut outcomes: Outcomes, ids: &[Bytes]) -> Response<Bytes> {
    let mut body = b"{\"failedEntries\":[".to_vec();
    let begin = body.len();
    for (told, id) in outcomes.all().zip(ids) {
        let Some(error) = told.outcome.error() else {
            continue;
        };
        if body.len() > begin {
            body.push(b',');
        }
        let id = std::str::from_utf8(id).unwrap_or_default();
        write_failed(&mut body, id, &message_of(error));
    }
    if body.len() == begin {
        return written();
    }
    body.extend_from_slice(b"],\"errorCode\":\"");
    body.extend_from_slice(PUBLISH_MESSAGE.0.as_bytes());
    body.extend_from_slice(b"\"}");
    let mut response = Response::new(counted(body, outcomes.take_held()));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    is_json(response)
}

/// The id stands there by both names: Dapr has the first, and its SDK for JavaScript looks for the second.
// Writing to a Vec cannot fail.
fn write_failed(body: &mut Vec<u8>, id: &str, error: &str) {
    for name in ["{\"entryId\":", ",\"entryID\":"] {
        body.extend_from_slice(name.as_bytes());
        let _ = serde_json::to_writer(&mut *body, id);
    }
    body.extend_from_slice(b",\"error\":");
    let _ = serde_json::to_writer(&mut *body, error);
    body.push(b'}');
}
