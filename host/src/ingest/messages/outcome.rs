//! Outcomes as messages.

use pointsman_proto::v1;
use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint},
};

use super::frame;
use crate::{
    base::outcome::{Kind, Outcome, RecordError},
    ingest::reply::{Outcomes, Told},
    pipeline::{Traced, TracedRow},
};

/// Fields of `ProduceResponse`, and of `Outcomes`, which has its first two alike.
const GENERATION: u32 = 1;
const OUTCOMES: u32 = 2;
const ACCEPTED: u32 = 3;
/// Bytes of an outcome that is `acked`, about.
const ACKED: usize = 32;

/// The answer to `ACK_ALL`: every outcome.
pub(in crate::ingest) fn all(outcomes: &Outcomes) -> Vec<u8> {
    let all = outcomes.all();
    let mut body = Vec::with_capacity(frame::HEAD + 16 + ACKED * all.len());
    frame::begin(&mut body);
    number(&mut body, GENERATION, outcomes.generation().into());
    for told in all {
        outcome(&mut body, told.index as u64, &told);
    }
    frame::end(&mut body, 0);
    body
}

/// The answer to `ACK_NONE`: how many were queued, and what was refused.
pub(in crate::ingest) fn accepted(outcomes: &Outcomes, refused: &[Told<'_>]) -> Vec<u8> {
    let mut body = Vec::with_capacity(frame::HEAD + 16 + 2 * ACKED * refused.len());
    frame::begin(&mut body);
    number(&mut body, GENERATION, outcomes.generation().into());
    for told in refused {
        outcome(&mut body, told.index as u64, told);
    }
    number(&mut body, ACCEPTED, (outcomes.len() - refused.len()) as u64);
    frame::end(&mut body, 0);
    body
}

/// Adds one outcome as field 2, under this index.
pub(in crate::ingest) fn outcome(body: &mut Vec<u8>, index: u64, told: &Told<'_>) {
    let (ack, error) = match told.outcome {
        Outcome::Acked(ack) => (Some(ack), None),
        Outcome::Rejected(error) | Outcome::Failed(error) | Outcome::Unknown(error) => (None, Some(error)),
    };
    let outcome = v1::Outcome {
        index,
        kind: kind(told.outcome.kind()).into(),
        partition: ack.map(|ack| ack.partition),
        offset: ack.and_then(|ack| ack.offset),
        timestamp: ack.and_then(|ack| ack.timestamp),
        error: error.map(record_error),
        late: told.late,
        trace: trace(&told.traced),
    };
    prost::encoding::message::encode(OUTCOMES, &outcome, body);
}

/// Adds a number as this field; 0 is left out, as proto3 has it.
pub(in crate::ingest) fn number(body: &mut Vec<u8>, field: u32, number: u64) {
    if number != 0 {
        encode_key(field, WireType::Varint, body);
        encode_varint(number, body);
    }
}

/// A piece of a stream's answer: these outcomes, which [`outcome`] wrote, of a request with or without a number.
pub(in crate::ingest) fn piece(generation: u32, outcomes: &[u8], sequence: Option<u64>) -> Vec<u8> {
    let mut inside = Vec::with_capacity(16);
    number(&mut inside, GENERATION, generation.into());
    let mut after = Vec::new();
    if let Some(sequence) = sequence {
        // A field with presence is written even if it is 0.
        encode_key(3, WireType::Varint, &mut after);
        encode_varint(sequence, &mut after);
    }
    let length = inside.len() + outcomes.len() + after.len();
    let mut body = Vec::with_capacity(frame::HEAD + 12 + length);
    frame::begin(&mut body);
    encode_key(1, WireType::LengthDelimited, &mut body);
    encode_varint(length as u64, &mut body);
    for part in [&inside[..], outcomes, &after] {
        body.extend_from_slice(part);
    }
    frame::end(&mut body, 0);
    body
}

/// The last message of a stream.
pub(in crate::ingest) fn end(end: v1::End) -> Vec<u8> {
    let response = v1::StreamResponse {
        kind: Some(v1::stream_response::Kind::End(end)),
    };
    let mut body = Vec::with_capacity(frame::HEAD + response.encoded_len());
    frame::begin(&mut body);
    response.encode_raw(&mut body);
    frame::end(&mut body, 0);
    body
}

fn kind(kind: Kind) -> v1::outcome::Kind {
    match kind {
        Kind::Acked => v1::outcome::Kind::Acked,
        Kind::Rejected => v1::outcome::Kind::Rejected,
        Kind::Failed => v1::outcome::Kind::Failed,
        Kind::Unknown => v1::outcome::Kind::Unknown,
    }
}

fn record_error(error: &RecordError) -> v1::RecordError {
    v1::RecordError {
        code: error.code.as_str().to_owned(),
        message: error.message.to_string(),
    }
}

fn trace(traced: &Traced<'_>) -> Option<v1::Trace> {
    if traced.plugin.is_none() && traced.tenant.is_none() && traced.schema.is_none() {
        return None;
    }
    let mut told = v1::Trace::default();
    if let Some(plugin) = traced.plugin {
        plugin.name().clone_into(&mut told.plugin);
        plugin.digest().clone_into(&mut told.digest);
    }
    if let Some(tenant) = traced.tenant {
        tenant.name.clone_into(&mut told.tenant);
        if let Some(TracedRow { version, status }) = tenant.row {
            told.tenant_version = version;
            status.clone_into(&mut told.tenant_status);
        }
    }
    if let Some(written) = traced.schema {
        told.schema_subject = written.subject.to_string();
        told.schema_version = written.version.unwrap_or_default();
        told.schema_id = written.id.to_string();
    }
    Some(told)
}
