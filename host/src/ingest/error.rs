//! Why a request was not taken. [`IngestError::problem`] is the one place that says what its client is told.

use std::fmt::Display;

use hyper::StatusCode;

use super::{
    origin::ForeignPage,
    problem::{Position, Problem},
};
use crate::{
    admission::Busy,
    base::outcome::{Code, RecordError},
    ordering::{numbered::NotBegun, sequence::Refusal},
    pipeline::NotTaken,
};

/// Most characters of a JSON reader's message that a client is told.
const MOST_TOLD: usize = 200;

/// Why a request was not taken. Each variant is a kind of error. Its text says what happened, to which thing, and what
/// to do.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The query has a parameter or value that does not exist.
    #[error("{0}")]
    BadQuery(String),
    /// A Pointsman header cannot be read, or does not fit the request.
    #[error("{0}")]
    BadHeader(String),
    /// The header block is too large.
    #[error("{0}")]
    HeaderTooLarge(String),
    /// The path does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The path takes only this method.
    #[error("this path takes {0} only")]
    MethodNotAllowed(&'static str),
    /// The token is missing or wrong.
    #[error("{0}")]
    Unauthorized(String),
    /// A web page made a browser send the request.
    #[error(transparent)]
    ForeignPage(#[from] ForeignPage),
    /// No record can be sent to the topic of the path.
    #[error("{}", .0.message)]
    Topic(RecordError),
    /// The path names no topic, and the body cannot name one.
    #[error("{0}")]
    MissingTopic(String),
    /// The request does not say the type of its body.
    #[error("{0}")]
    MissingContentType(String),
    /// No body of this type is taken.
    #[error("{0}")]
    UnsupportedContentType(String),
    /// The body is compressed.
    #[error("{0}")]
    UnsupportedContentEncoding(String),
    /// The body has no records.
    #[error("{0}")]
    EmptyBody(String),
    /// The body broke off.
    #[error("{0}")]
    IncompleteBody(String),
    /// The body did not come in time.
    #[error("{0}")]
    BodyTimeout(String),
    /// The body is too large.
    #[error("{0}")]
    BodyTooLarge(String),
    /// The body has more records than a request may have, or than there is memory for.
    #[error("{0}")]
    TooManyRecords(String),
    /// The body is JSON, but not an object.
    #[error("{0}")]
    NotAnObject(String),
    /// The body is not JSON.
    #[error("{detail}")]
    InvalidJson {
        /// What is wrong.
        detail: String,
        /// The line of the error, from 1.
        line: usize,
        /// The column of the error, from 1.
        column: usize,
    },
    /// From this byte on, the packed records of the body cannot be told apart.
    #[error("the body is not a batch of packed records: {detail} (byte {offset})")]
    InvalidPacked {
        /// What is wrong.
        detail: String,
        /// The byte of the error, from 0.
        offset: usize,
    },
    /// A message of gRPC, or the body of a call of Confluent's API, is not what it has to be.
    #[error("{0}")]
    InvalidMessage(String),
    /// No such method is there.
    #[error("{0}")]
    UnknownMethod(String),
    /// The number of the request does not fit, or its turn did not come in time.
    #[error("{}", not_begun(.0))]
    NotBegun(#[from] NotBegun),
    /// There is no room for the request now.
    #[error("{0}; nothing was taken")]
    Busy(String),
    /// Kafka, or the producer, cannot be used now.
    #[error("{0}; nothing was taken")]
    KafkaUnavailable(String),
    /// A tenant of the request is being moved, and that took too long.
    #[error("{0}; nothing was taken")]
    TenantMoving(String),
    /// The request has tenants, and there is no routing table.
    #[error("{0}; nothing was taken")]
    RoutingUnavailable(String),
    /// A numbered request is still under way when its time is up.
    #[error("{0}")]
    OutcomesLate(String),
    /// The sidecar has a bug.
    #[error("{0}")]
    Internal(String),
}

impl IngestError {
    /// The error for a body that is not JSON; the reader says where it stopped.
    pub fn json(error: &serde_json::Error) -> Self {
        Self::InvalidJson {
            detail: format!("the body is not valid JSON: {}", told(error)),
            line: error.line(),
            column: error.column(),
        }
    }

    /// The error for packed records that cannot be told apart from this byte on.
    pub fn packed(offset: usize, detail: impl Display) -> Self {
        Self::InvalidPacked {
            detail: detail.to_string(),
            offset,
        }
    }

    /// What the client is told: the one place that turns an error into a status and a code.
    pub fn problem(&self) -> Problem {
        let (status, code) = match self {
            Self::BadQuery(_) => (StatusCode::BAD_REQUEST, "bad_query"),
            Self::BadHeader(_) => (StatusCode::BAD_REQUEST, "bad_header"),
            Self::HeaderTooLarge(_) => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "header_too_large"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed(allowed) => return Problem::method(allowed),
            Self::Unauthorized(_) => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::ForeignPage(foreign) => return foreign.problem(),
            Self::Topic(error) => (status_of_topic(error.code), error.code.as_str()),
            Self::MissingTopic(_) => (StatusCode::BAD_REQUEST, "missing_topic"),
            Self::MissingContentType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "missing_content_type"),
            Self::UnsupportedContentType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_content_type"),
            Self::UnsupportedContentEncoding(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_content_encoding"),
            Self::EmptyBody(_) => (StatusCode::BAD_REQUEST, "empty_body"),
            Self::IncompleteBody(_) => (StatusCode::BAD_REQUEST, "incomplete_body"),
            Self::BodyTimeout(_) => (StatusCode::REQUEST_TIMEOUT, "body_timeout"),
            Self::BodyTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::TooManyRecords(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_many_records"),
            Self::NotAnObject(_) => (StatusCode::BAD_REQUEST, "not_an_object"),
            Self::InvalidJson { line, column, .. } => {
                let problem = Problem::new(StatusCode::BAD_REQUEST, "invalid_json", self.to_string());
                return problem.at(Position::Text {
                    line: *line,
                    column: *column,
                });
            }
            Self::InvalidPacked { offset, .. } => {
                let problem = Problem::new(StatusCode::BAD_REQUEST, "invalid_packed", self.to_string());
                return problem.at(Position::Byte(*offset));
            }
            Self::InvalidMessage(_) => (StatusCode::BAD_REQUEST, "invalid_message"),
            Self::UnknownMethod(_) => (StatusCode::NOT_IMPLEMENTED, "unknown_method"),
            Self::NotBegun(NotBegun::Refused(refusal)) => {
                let status = match refusal {
                    refusal if refusal.is_conflict() => StatusCode::CONFLICT,
                    Refusal::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                    _ => StatusCode::SERVICE_UNAVAILABLE,
                };
                return Problem::new(status, refusal.code(), self.to_string()).expecting(refusal.expected());
            }
            Self::NotBegun(NotBegun::Busy { .. }) | Self::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::KafkaUnavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "kafka_unavailable"),
            Self::TenantMoving(_) => (StatusCode::SERVICE_UNAVAILABLE, "tenant_moving"),
            Self::RoutingUnavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "routing_unavailable"),
            Self::OutcomesLate(_) => (StatusCode::GATEWAY_TIMEOUT, "request_timeout"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
        };
        Problem::new(status, code, self.to_string())
    }
}

fn status_of_topic(code: Code) -> StatusCode {
    match code {
        Code::InvalidTopic => StatusCode::BAD_REQUEST,
        Code::TopicUnauthorized => StatusCode::FORBIDDEN,
        Code::TooManyTopics => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::NOT_FOUND,
    }
}

/// A conflict already says itself that nothing was taken.
fn not_begun(error: &NotBegun) -> String {
    match error {
        NotBegun::Refused(refusal) if refusal.is_conflict() => error.to_string(),
        NotBegun::Refused(_) | NotBegun::Busy { .. } => format!("{error}; nothing was taken"),
    }
}

impl From<Busy> for IngestError {
    fn from(busy: Busy) -> Self {
        Self::Busy(busy.to_string())
    }
}

impl From<NotTaken> for IngestError {
    fn from(error: NotTaken) -> Self {
        match error {
            NotTaken::Busy(busy) => busy.into(),
            error @ NotTaken::TenantMoving { .. } => Self::TenantMoving(error.to_string()),
            NotTaken::NoTable(error) => Self::RoutingUnavailable(error.to_string()),
            NotTaken::Unavailable(reason) => Self::KafkaUnavailable(reason),
        }
    }
}

/// A message of the JSON reader, shortened for people; it keeps its line and column.
pub(crate) fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = text.strip_suffix(&place).unwrap_or(&text);
    match message.char_indices().nth(MOST_TOLD) {
        Some((end, _)) => format!("{}…{place}", &message[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_a_body_never_grows_with_it() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}
        let error = |field: &str| serde_json::from_str::<Nothing>(&format!("{{\"{field}\":1}}")).expect_err("unknown");
        let short = error("ä");
        assert_eq!(told(&short), short.to_string());
        let long = told(&error(&"ä".repeat(100_000)));
        assert!(long.chars().count() < 300, "{long}");
        assert!(
            long.starts_with("unknown field `ää") && long.ends_with("ä… at line 1 column 200003"),
            "{long}"
        );
    }
}
