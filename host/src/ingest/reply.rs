//! What a request is told: one outcome for each record, in the order of the request.

use std::{borrow::Cow, io::Write as _, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
};

use crate::{
    outcome::{Ack, Code, Kind, Outcome, RecordError},
    pipeline::Submitted,
    plugin::Pool,
    sequence::Settled,
};

/// A reply takes about this much for each record, bytes.
const BYTES_A_RECORD: usize = 96;

/// What is told of a record whose outcome is not known when the request's time is up.
static NOT_IN_TIME: Outcome = Outcome::Unknown(RecordError {
    code: Code::RequestTimeout,
    message: Cow::Borrowed(
        "the record has no outcome within the request's time (Pointsman-Timeout-Ms); it may still be written, now or later",
    ),
});

/// `ack=all`: every outcome.
pub fn outcomes(submitted: &Submitted) -> Response<Full<Bytes>> {
    let batch = &submitted.batch;
    let outcomes = (0..batch.len()).map(|index| (batch.outcome(index).unwrap_or(&NOT_IN_TIME), false));
    all(batch.generation(), batch.len(), outcomes, &submitted.trace)
}

/// A numbered request: every outcome, remembered or new.
pub fn settled(settled: &Settled, trace: &[Option<Arc<Pool>>]) -> Response<Full<Bytes>> {
    let records = settled.records();
    let outcomes = records.iter().map(|stored| (&stored.outcome, stored.late));
    all(settled.generation, records.len(), outcomes, trace)
}

/// Outcomes, each with whether it is late.
fn all<'o>(
    generation: u32,
    count: usize,
    outcomes: impl Iterator<Item = (&'o Outcome, bool)>,
    trace: &[Option<Arc<Pool>>],
) -> Response<Full<Bytes>> {
    let mut body = Vec::with_capacity(64 + count * BYTES_A_RECORD);
    let mut kinds = [0_usize; 4];
    let _ = write!(body, "{{\"generation\":{generation},\"records\":[");
    for (index, (outcome, late)) in outcomes.enumerate() {
        if index > 0 {
            body.push(b',');
        }
        kinds[outcome.kind() as usize] += 1;
        body.push(b'{');
        write_outcome(&mut body, outcome);
        if late {
            body.extend_from_slice(b",\"late\":true");
        }
        write_trace(&mut body, trace.get(index));
        body.push(b'}');
    }
    body.extend_from_slice(b"]}\n");
    json(status(kinds, count), body)
}

/// `ack=none`: what was refused or failed so far; the rest is on its way.
pub fn accepted(submitted: &Submitted) -> Response<Full<Bytes>> {
    let batch = &submitted.batch;
    let refused: Vec<(usize, &Outcome)> = (0..batch.len())
        .filter_map(|index| Some((index, batch.outcome(index)?)))
        .filter(|(_, outcome)| matches!(outcome.kind(), Kind::Rejected | Kind::Failed))
        .collect();
    let accepted = batch.len() - refused.len();
    let mut body = Vec::with_capacity(64 + refused.len() * BYTES_A_RECORD);
    let _ = write!(body, "{{\"accepted\":{accepted},\"records\":[");
    for (nth, (index, outcome)) in refused.iter().enumerate() {
        let comma = if nth > 0 { "," } else { "" };
        let _ = write!(body, "{comma}{{\"index\":{index},");
        write_outcome(&mut body, outcome);
        body.push(b'}');
    }
    body.extend_from_slice(b"]}\n");
    let mut kinds = [0_usize; 4];
    for (_, outcome) in &refused {
        kinds[outcome.kind() as usize] += 1;
    }
    let status = match accepted {
        0 => status(kinds, batch.len()),
        _ => StatusCode::ACCEPTED,
    };
    json(status, body)
}

/// One kind for all has a status of its own; a mixture is 207.
fn status(kinds: [usize; 4], all: usize) -> StatusCode {
    let only = |kind: Kind| kinds[kind as usize] == all;
    if only(Kind::Acked) {
        StatusCode::OK
    } else if only(Kind::Rejected) {
        StatusCode::UNPROCESSABLE_ENTITY
    } else if only(Kind::Failed) {
        StatusCode::BAD_GATEWAY
    } else if only(Kind::Unknown) {
        StatusCode::GATEWAY_TIMEOUT
    } else {
        StatusCode::MULTI_STATUS
    }
}

fn json(status: StatusCode, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

// Writing to a Vec cannot fail.
pub(super) fn write_outcome(body: &mut Vec<u8>, outcome: &Outcome) {
    let _ = write!(body, "\"outcome\":\"{}\"", outcome.kind().as_str());
    match outcome {
        Outcome::Acked(ack) => write_ack(body, *ack),
        Outcome::Rejected(error) | Outcome::Failed(error) | Outcome::Unknown(error) => write_error(body, error),
    }
}

fn write_ack(body: &mut Vec<u8>, ack: Ack) {
    let _ = write!(body, ",\"partition\":{},\"offset\":", ack.partition);
    write_number(body, ack.offset);
    body.extend_from_slice(b",\"timestamp\":");
    write_number(body, ack.timestamp);
}

fn write_number(body: &mut Vec<u8>, number: Option<i64>) {
    let _ = match number {
        Some(number) => write!(body, "{number}"),
        None => write!(body, "null"),
    };
}

fn write_error(body: &mut Vec<u8>, error: &RecordError) {
    let _ = write!(body, ",\"error\":{{\"code\":\"{}\",\"message\":", error.code.as_str());
    let _ = serde_json::to_writer(&mut *body, &error.message);
    body.push(b'}');
}

pub(super) fn write_trace(body: &mut Vec<u8>, asked: Option<&Option<Arc<Pool>>>) {
    let Some(Some(plugin)) = asked else {
        return;
    };
    // Plugin names and digests need no escapes: the configuration allows letters, digits, - and _ only.
    let _ = write!(
        body,
        ",\"plugin\":{{\"name\":\"{}\",\"digest\":\"{}\"}}",
        plugin.name(),
        plugin.digest()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixture_is_never_told_as_one_kind() {
        assert_eq!(status([3, 0, 0, 0], 3), StatusCode::OK);
        assert_eq!(status([0, 3, 0, 0], 3), StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(status([0, 0, 3, 0], 3), StatusCode::BAD_GATEWAY);
        assert_eq!(status([0, 0, 0, 3], 3), StatusCode::GATEWAY_TIMEOUT);
        for mixed in [[2, 1, 0, 0], [0, 1, 2, 0], [0, 0, 1, 2], [1, 1, 1, 0]] {
            assert_eq!(status(mixed, 3), StatusCode::MULTI_STATUS, "{mixed:?}");
        }
    }
}
