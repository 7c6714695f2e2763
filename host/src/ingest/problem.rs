//! A request that was not taken, as `application/problem+json` (RFC 9457): the one place where errors become statuses.

use std::fmt::Display;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::Serialize;

use crate::{
    admission::Busy,
    base::{
        outcome::{Code, RecordError},
        text::{WHOLE_BYTES, shortened},
    },
    pipeline::NotTaken,
};

/// Seconds after which a client that was told 503 may try again.
const RETRY_AFTER_SECONDS: &str = "1";
/// What is told of broken JSON quotes names and strings of the body, which may be as long as it; so many characters of it.
const MOST_TOLD: usize = 200;

/// Why a request was not taken.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    place: Option<Position>,
    /// For 405.
    allow: Option<&'static str>,
    /// For 409: the sequence that would be taken, and its epoch.
    expected: Option<(u64, u64)>,
}

/// Where in the body.
#[derive(Debug, Clone, Copy)]
enum Position {
    /// Of a text: line and column, from 1.
    Text(usize, usize),
    /// Of bytes, from 0.
    Byte(usize),
}

#[derive(Serialize)]
struct Document<'a> {
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
}

impl Problem {
    /// A status, a code for programs, a sentence for people.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: shortened(detail.into(), WHOLE_BYTES),
            place: None,
            allow: None,
            expected: None,
        }
    }

    /// 400.
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 405, with the one method that is allowed.
    pub fn method(allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                format!("this path takes {allow} only"),
            )
        }
    }

    /// 404: the topic of the path.
    pub fn topic(error: &RecordError) -> Self {
        let status = match error.code {
            Code::InvalidTopic => StatusCode::BAD_REQUEST,
            Code::TopicUnauthorized => StatusCode::FORBIDDEN,
            Code::TooManyTopics => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::NOT_FOUND,
        };
        Self::new(status, error.code.as_str(), error.message.to_string())
    }

    /// 400: broken JSON, with its place.
    pub fn json(error: &serde_json::Error) -> Self {
        Self {
            place: Some(Position::Text(error.line(), error.column())),
            ..Self::bad_request("invalid_json", format!("the body is no valid JSON: {}", told(error)))
        }
    }

    /// 400: packed records that cannot be told apart from this byte on.
    pub fn packed(offset: usize, detail: impl Display) -> Self {
        let detail = format!("the body is no batch of packed records: {detail} (byte {offset})");
        Self {
            place: Some(Position::Byte(offset)),
            ..Self::bad_request("invalid_packed", detail)
        }
    }

    /// With the sequence that would be taken, and its epoch.
    pub fn expecting(self, expected: Option<(u64, u64)>) -> Self {
        Self { expected, ..self }
    }

    /// What happened and what to do.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The byte of the body that it is about, where it is about one.
    pub fn offset(&self) -> Option<usize> {
        match self.place {
            Some(Position::Byte(offset)) => Some(offset),
            Some(Position::Text(..)) | None => None,
        }
    }

    /// As the client gets it.
    pub fn response(&self) -> Response<Full<Bytes>> {
        self.document().map(Full::new)
    }

    /// The same as plain bytes.
    pub fn document(&self) -> Response<Bytes> {
        let (line, column) = match self.place {
            Some(Position::Text(line, column)) => (Some(line), Some(column)),
            Some(Position::Byte(_)) | None => (None, None),
        };
        let document = Document {
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            line,
            column,
            offset: self.offset(),
            expected: self.expected.map(|(sequence, _)| sequence),
            epoch: self.expected.map(|(_, epoch)| epoch),
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            // What is left of the body will not be read.
            StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

/// A message of the JSON reader, cut to a length that a person reads; its place stays.
pub(crate) fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = text.strip_suffix(&place).unwrap_or(&text);
    match message.char_indices().nth(MOST_TOLD) {
        Some((end, _)) => format!("{}…{place}", &message[..end]),
        None => text,
    }
}

impl From<Busy> for Problem {
    fn from(busy: Busy) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            format!("{busy}; nothing was taken"),
        )
    }
}

impl From<NotTaken> for Problem {
    fn from(error: NotTaken) -> Self {
        match error {
            NotTaken::Busy(busy) => busy.into(),
            NotTaken::Unavailable(reason) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "kafka_unavailable",
                format!("{reason}; nothing was taken"),
            ),
        }
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
