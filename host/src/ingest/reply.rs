//! The reply to a request: one outcome for each record, in the order of the request.

mod outcomes;
mod packed;
mod told;

use std::{borrow::Borrow, io::Write as _};

use bytes::Bytes;
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, HeaderValue},
};
use pointsman_schemas::framing::SchemaId;

pub(super) use self::{
    outcomes::{Outcomes, most_bytes},
    told::Told,
};
use super::{outgoing::counted, parse::PACKED};
use crate::{
    admission::Reservation,
    base::outcome::{Ack, Kind, Outcome, REPLY_BYTES_A_RECORD, RecordError},
    pipeline::{Traced, TracedTenant},
    plugin::Pool,
    schemas::WrittenBy,
};

/// Bytes in a reply for a record that was `acked`.
const ACKED_BYTES: usize = 96;

/// The form of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As JSON.
    Json,
    /// In the form of packed records.
    Packed,
}

impl Form {
    /// Packed if `Accept` names it, otherwise JSON.
    pub fn of(headers: &HeaderMap) -> Self {
        let given = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut kinds = given
            .flat_map(|value| value.split(','))
            .map(|kind| kind.split(';').next().unwrap_or_default().trim());
        if kinds.any(|kind| kind.eq_ignore_ascii_case(PACKED)) {
            Self::Packed
        } else {
            Self::Json
        }
    }
}

/// The reply to `ack=all`: every outcome.
pub(super) fn told(mut outcomes: Outcomes, form: Form) -> Response<Bytes> {
    let count = outcomes.len();
    let mut kinds = [0; 4];
    let all = outcomes.all().inspect(|told| kinds[told.outcome.kind() as usize] += 1);
    let body = match form {
        Form::Json => json_body(outcomes.generation(), all),
        Form::Packed => packed::body(outcomes.generation(), 0, all),
    };
    response(status(kinds, count), body, form, outcomes.take_held())
}

fn json_body<'o>(generation: u32, outcomes: impl Iterator<Item = Told<'o>>) -> Vec<u8> {
    let mut body = Vec::with_capacity(64 + outcomes.size_hint().0 * ACKED_BYTES);
    let _ = write!(body, "{{\"generation\":{generation},\"records\":[");
    for told in outcomes {
        if told.index > 0 {
            body.push(b',');
        }
        body.push(b'{');
        write_outcome(&mut body, told.outcome);
        if told.late {
            body.extend_from_slice(b",\"late\":true");
        }
        write_traced(&mut body, told.traced);
        body.push(b'}');
    }
    body.extend_from_slice(b"]}\n");
    body
}

/// The reply to `ack=none`: the records that were refused or failed so far. The others are under way.
pub(super) fn accepted(mut outcomes: Outcomes, form: Form) -> Response<Bytes> {
    let refused = outcomes.refused();
    let accepted = outcomes.len() - refused.len();
    let status = status_accepted(&refused, outcomes.len());
    let body = match form {
        Form::Json => json_accepted(accepted, &refused),
        Form::Packed => packed::body(outcomes.generation(), accepted, refused.into_iter()),
    };
    response(status, body, form, outcomes.take_held())
}

fn json_accepted(accepted: usize, refused: &[Told<'_>]) -> Vec<u8> {
    let mut body = Vec::with_capacity(64 + refused.len() * REPLY_BYTES_A_RECORD);
    let _ = write!(body, "{{\"accepted\":{accepted},\"records\":[");
    for (nth, told) in refused.iter().enumerate() {
        let comma = if nth > 0 { "," } else { "" };
        let _ = write!(body, "{comma}{{\"index\":{},", told.index);
        write_outcome(&mut body, told.outcome);
        body.push(b'}');
    }
    body.extend_from_slice(b"]}\n");
    body
}

/// The status of a reply with all these outcomes.
pub(super) fn status_of(outcomes: &Outcomes) -> StatusCode {
    status(counted_by_kind(outcomes.all()), outcomes.len())
}

/// The status of a reply to `ack=none`, where these of so many records were refused.
pub(super) fn status_accepted(refused: &[Told<'_>], all: usize) -> StatusCode {
    match all - refused.len() {
        0 => status(counted_by_kind(refused), all),
        _ => StatusCode::ACCEPTED,
    }
}

fn counted_by_kind<'o, T: Borrow<Told<'o>>>(told: impl IntoIterator<Item = T>) -> [usize; 4] {
    let mut kinds = [0; 4];
    for told in told {
        kinds[told.borrow().outcome.kind() as usize] += 1;
    }
    kinds
}

/// If all outcomes are of one kind, the kind has a status of its own; a mixture is 207.
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

fn response(status: StatusCode, body: Vec<u8>, form: Form, held: Option<Reservation>) -> Response<Bytes> {
    let mut response = Response::new(counted(body, held));
    *response.status_mut() = status;
    let kind = match form {
        Form::Json => "application/json",
        Form::Packed => PACKED,
    };
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
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

pub(super) fn write_traced(body: &mut Vec<u8>, traced: Traced<'_>) {
    if let Some(plugin) = traced.plugin {
        write_plugin(body, plugin);
    }
    if let Some(tenant) = traced.tenant {
        write_tenant(body, tenant);
    }
    if let Some(written) = traced.schema {
        write_schema(body, written);
    }
}

fn write_plugin(body: &mut Vec<u8>, plugin: &Pool) {
    // Plugin names and digests need no escapes: the configuration allows only letters, digits, - and _.
    let _ = write!(
        body,
        ",\"plugin\":{{\"name\":\"{}\",\"digest\":\"{}\"}}",
        plugin.name(),
        plugin.digest()
    );
}

fn write_schema(body: &mut Vec<u8>, written: &WrittenBy) {
    body.extend_from_slice(b",\"schema\":{\"subject\":");
    let _ = serde_json::to_writer(&mut *body, &written.subject);
    if let Some(version) = written.version {
        let _ = write!(body, ",\"version\":{version}");
    }
    let _ = match written.id {
        SchemaId::Number(id) => write!(body, ",\"id\":{id}}}"),
        guid => write!(body, ",\"id\":\"{guid}\"}}"),
    };
}

fn write_tenant(body: &mut Vec<u8>, tenant: TracedTenant<'_>) {
    body.extend_from_slice(b",\"tenant\":{\"name\":");
    let _ = serde_json::to_writer(&mut *body, tenant.name);
    if let Some(row) = tenant.row {
        let _ = write!(body, ",\"version\":{},\"status\":\"{}\"", row.version, row.status);
    }
    body.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::TracedRow;

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

    #[test]
    fn a_tenant_in_a_trace_takes_no_more_than_is_counted_and_its_name_breaks_no_json() {
        for name in ["\u{1}".repeat(255), "\"\\\u{7f}ü\u{2028}".to_owned(), String::new()] {
            let row = TracedRow {
                version: u64::MAX,
                status: "dedicated",
            };
            let tenant = TracedTenant {
                name: &name,
                row: Some(row),
            };
            let mut body = Vec::new();
            write_tenant(&mut body, tenant);
            assert!(body.len() <= TracedTenant::most_bytes(&name), "{}", body.len());
            let json = format!("{{{}}}", String::from_utf8_lossy(&body[1..]));
            let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
            assert_eq!(read["tenant"]["name"], *name);
        }
    }

    #[test]
    fn only_who_asks_for_packed_outcomes_is_told_in_bytes() {
        let form = |given: &[&str]| {
            let given = given
                .iter()
                .map(|text| (ACCEPT, text.parse().expect("a header's value")));
            Form::of(&given.collect())
        };
        for json in [
            &[][..],
            &["*/*"],
            &["application/json"],
            &["application/*"],
            &["application/vnd.pointsman"],
        ] {
            assert_eq!(form(json), Form::Json, "{json:?}");
        }
        for packed in [
            &["application/vnd.pointsman.records"][..],
            &["Application/VND.pointsman.records;q=1"],
            &["application/problem+json, application/vnd.pointsman.records"],
            &["application/problem+json", "application/vnd.pointsman.records"],
        ] {
            assert_eq!(form(packed), Form::Packed, "{packed:?}");
        }
    }
}
