//! How a stream ended, and what its form is: lines or messages.

use bytes::Bytes;
use hyper::{
    HeaderMap,
    header::{CONTENT_TYPE, HeaderValue},
};
use pointsman_proto::v1;

use super::framing::Framing;
use crate::{
    ingest::{error::IngestError, grpc::status, messages::outcome},
    pipeline::NotTaken,
};

/// How a stream ended.
#[derive(Debug, Clone)]
pub(super) enum End {
    /// The client has sent everything.
    Complete,
    /// The process is about to end.
    Drain,
    /// An error.
    Error(EndError),
    /// The client did not read the outcomes.
    ClientNotReading,
}

/// Why a stream ended early.
#[derive(Debug, Clone)]
pub(super) struct EndError {
    /// For programs.
    code: &'static str,
    /// For people.
    message: String,
    /// For a number that did not fit: the sequence that would be taken, and its epoch.
    expected: Option<(u64, u64)>,
}

/// What a reply is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Lines,
    Messages,
}

impl End {
    /// The end by an error.
    pub(super) fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::Error(EndError {
            code,
            message: message.into(),
            expected: None,
        })
    }

    /// The end of a stream whose task is lost.
    pub(super) fn lost() -> Self {
        Self::error("internal_error", "the stream met a mistake in the sidecar")
    }

    /// The end of a stream whose next records were not taken.
    pub(super) fn not_taken(error: &NotTaken) -> Self {
        let code = match error {
            NotTaken::Busy(_) => "busy",
            NotTaken::TenantMoving { .. } => "tenant_moving",
            NotTaken::NoTable(_) => "routing_unavailable",
            NotTaken::Unavailable(_) => "kafka_unavailable",
        };
        Self::error(code, error.to_string())
    }
}

impl From<IngestError> for End {
    fn from(error: IngestError) -> Self {
        let problem = error.problem();
        Self::Error(EndError {
            code: problem.code(),
            message: problem.detail().to_owned(),
            expected: problem.expected(),
        })
    }
}

impl Form {
    pub(super) fn of(framing: &Framing) -> Self {
        match framing {
            Framing::Lines(_) => Self::Lines,
            Framing::Messages(_) => Self::Messages,
        }
    }

    /// Adds the headers of the reply.
    pub(super) fn dress(self, headers: &mut HeaderMap) {
        match self {
            Self::Lines => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
            }
            Self::Messages => status::dress(headers),
        }
    }

    /// What comes after the reply.
    pub(super) fn trailers(self) -> Option<HeaderMap> {
        match self {
            Self::Lines => None,
            Self::Messages => Some(status::ok()),
        }
    }

    /// The last piece of the reply, after so many outcomes.
    pub(super) fn end(self, end: &End, told: u64) -> Bytes {
        match self {
            Self::Lines => line(end, told),
            Self::Messages => Bytes::from(outcome::end(message(end, told))),
        }
    }
}

fn line(end: &End, told: u64) -> Bytes {
    let (end, error) = match end {
        End::Complete => ("complete", None),
        End::Drain => ("drain", None),
        End::ClientNotReading => ("client_not_reading", None),
        End::Error(error) => (
            "error",
            Some(serde_json::json!({"code": error.code, "message": error.message})),
        ),
    };
    let mut line = serde_json::json!({"end": end, "count": told});
    if let Some(error) = error {
        line["error"] = error;
    }
    Bytes::from(format!("{line}\n"))
}

fn message(end: &End, told: u64) -> v1::End {
    let reason = match end {
        End::Complete => v1::end::Reason::Complete,
        End::Drain => v1::end::Reason::Drain,
        End::Error(_) => v1::end::Reason::Error,
        End::ClientNotReading => v1::end::Reason::ClientNotReading,
    };
    let error = match end {
        End::Error(error) => Some(error),
        End::Complete | End::Drain | End::ClientNotReading => None,
    };
    let expected = error.and_then(|error| error.expected);
    v1::End {
        reason: reason.into(),
        count: told,
        error: error.map(|error| v1::RecordError {
            code: error.code.to_owned(),
            message: error.message.clone(),
        }),
        expected_sequence: expected.map(|(sequence, _)| sequence),
        expected_epoch: expected.map(|(_, epoch)| epoch),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_says_how_it_ended() {
        let line = |end: End| String::from_utf8(line(&end, 3).to_vec()).expect("text");
        assert_eq!(line(End::Complete), "{\"count\":3,\"end\":\"complete\"}\n");
        let error = line(End::error("busy", "full"));
        assert!(
            error.contains("\"end\":\"error\"") && error.contains("\"code\":\"busy\""),
            "{error}"
        );
    }
}
