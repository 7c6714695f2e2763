//! What a client is told of a request that was not taken, as `application/problem+json` (RFC 9457).

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::Serialize;

use crate::base::text::{WHOLE_BYTES, shortened};

/// Seconds after which a client may retry after a 503.
const RETRY_AFTER_SECONDS: &str = "1";

/// The document about a request that was not taken.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    /// Where in the body the error is.
    place: Option<Position>,
    /// For 405: the method that the path takes.
    allow: Option<&'static str>,
    /// For 409: the sequence that would be taken, and its epoch.
    expected: Option<(u64, u64)>,
}

/// A position in the body.
#[derive(Debug, Clone, Copy)]
pub enum Position {
    /// In a text.
    Text {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// In bytes, from 0.
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
    /// A document with a status, a code for programs, and a sentence for people.
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

    /// A 405 with the one method that is allowed.
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

    /// Adds the position in the body.
    pub fn at(self, place: Position) -> Self {
        Self {
            place: Some(place),
            ..self
        }
    }

    /// Adds the sequence that would be taken, and its epoch.
    pub fn expecting(self, expected: Option<(u64, u64)>) -> Self {
        Self { expected, ..self }
    }

    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// For programs.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The sequence that would be taken, and its epoch.
    pub fn expected(&self) -> Option<(u64, u64)> {
        self.expected
    }

    /// What happened, and what to do.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The byte of the body that the error is about, if there is one.
    pub fn offset(&self) -> Option<usize> {
        match self.place {
            Some(Position::Byte(offset)) => Some(offset),
            Some(Position::Text { .. }) | None => None,
        }
    }

    /// The response to the client.
    pub fn response(&self) -> Response<Full<Bytes>> {
        self.document().map(Full::new)
    }

    /// The response to the client, with a body of plain bytes.
    pub fn document(&self) -> Response<Bytes> {
        let (line, column) = match self.place {
            Some(Position::Text { line, column }) => (Some(line), Some(column)),
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
            // The rest of the body will not be read.
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
