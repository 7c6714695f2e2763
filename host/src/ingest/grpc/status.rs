//! What a caller is told of a call of which nothing was taken: a status, with the code of the problem as
//! `google.rpc.ErrorInfo`.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::call::CONTENT;
use crate::ingest::{
    error::IngestError,
    outgoing::{CountedAs, Reply},
};

/// The domain of all codes.
const DOMAIN: &str = "pointsman";
/// After how long a call of which nothing was taken may be made again.
const RETRY: Duration = Duration::from_secs(1);
/// How messages of a call may be compressed.
const ACCEPTED: (HeaderName, HeaderValue) = (
    HeaderName::from_static("grpc-accept-encoding"),
    HeaderValue::from_static("identity,gzip"),
);

/// An answer of one message, which has its head already. `counted` is the status that it would have over HTTP.
pub(in crate::ingest) fn answered(message: Bytes, counted: StatusCode) -> Response<Reply> {
    let mut response = Response::new(Reply::WithTrailers(message, ok()));
    dress(response.headers_mut());
    response.extensions_mut().insert(CountedAs(counted));
    response
}

/// The trailers of a call that was answered.
pub(in crate::ingest) fn ok() -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))])
}

/// The trailers of a call that the end of the process ends.
pub(in crate::ingest) fn draining() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    let status = Status::unavailable("the process is about to end; call another, or retry later");
    // Its text is plain.
    let _ = status.add_header(&mut trailers);
    trailers
}

/// The headers of every answer.
pub(in crate::ingest) fn dress(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, CONTENT);
    headers.insert(ACCEPTED.0, ACCEPTED.1);
}

/// An answer that has nothing but a status.
pub(in crate::ingest) fn refusal(error: &IngestError) -> Response<Reply> {
    told(&of(error), error.problem().status())
}

/// An answer that has nothing but this status. `counted` is the status that it would have over HTTP.
pub(in crate::ingest) fn told(status: &Status, counted: StatusCode) -> Response<Reply> {
    let mut headers = HeaderMap::new();
    if status.add_header(&mut headers).is_err() {
        // A status whose text makes no header; ours are escaped, so this is only for the type.
        headers = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("13"))]);
    }
    dress(&mut headers);
    let mut response = Response::new(Reply::Whole(Bytes::new()));
    *response.headers_mut() = headers;
    response.extensions_mut().insert(CountedAs(counted));
    response
}

/// The status of a call of which nothing was taken, or whose outcomes are late.
pub(in crate::ingest) fn of(error: &IngestError) -> Status {
    let problem = error.problem();
    let mut metadata = HashMap::new();
    if let Some((sequence, epoch)) = problem.expected() {
        metadata.insert("expected".to_owned(), sequence.to_string());
        metadata.insert("epoch".to_owned(), epoch.to_string());
    }
    let mut details = ErrorDetails::with_error_info(problem.code(), DOMAIN, metadata);
    let code = code(problem.status());
    if code == Code::Unavailable {
        details.set_retry_info(Some(RETRY));
    }
    Status::with_error_details(code, problem.detail(), details)
}

/// As clients expect it: they try again by themselves after `Unavailable`.
fn code(status: StatusCode) -> Code {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::InvalidArgument,
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Code::Unimplemented,
        StatusCode::CONFLICT => Code::FailedPrecondition,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Code::ResourceExhausted,
        // The request did not come in time, so nothing of it was taken.
        StatusCode::REQUEST_TIMEOUT | StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        StatusCode::GATEWAY_TIMEOUT => Code::DeadlineExceeded,
        _ => Code::Internal,
    }
}
