//! Reading a body within its bounds: room first, then bytes.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::{
    StatusCode,
    body::{Body as _, Incoming},
};

use super::problem::Problem;
use crate::{
    admission::{Admission, Held, Room},
    config::Limits,
};

/// How long what is left of a refused request is read.
const DISCARD: Duration = Duration::from_secs(1);

/// A whole body and the room that it holds.
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    pub(super) room: Held,
}

/// Reads a body: 413 over the limit, 503 without room, 408 when it is slow, 400 when it breaks off.
pub(super) async fn read(body: &mut Incoming, limits: &Limits, admission: &Admission) -> Result<Whole, Problem> {
    let length = body.size_hint().exact();
    let length = match length.map(usize::try_from) {
        Some(Ok(length)) if length <= limits.max_body_bytes => Some(length),
        Some(_) => return Err(too_large(limits)),
        None => None,
    };
    let room = admission.body(length).await?;
    match tokio::time::timeout(limits.body_timeout(), collect(body, length, limits, room)).await {
        Ok(whole) => whole,
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_timeout",
            format!(
                "the body was not complete {} ms after its header (limits.body_timeout_ms); nothing was taken",
                limits.body_timeout_ms
            ),
        )),
    }
}

/// Reads what is left of a refused request's body, up to a bound, and forgets it: closing a connection with unread bytes
/// would reset it, and the client might never see the answer.
pub(super) async fn discard(body: &mut Incoming, limits: &Limits) {
    let mut left = limits.max_body_bytes;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(bytes) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    let _ = tokio::time::timeout(DISCARD, reading).await;
}

async fn collect(
    body: &mut Incoming,
    length: Option<usize>,
    limits: &Limits,
    mut room: Room,
) -> Result<Whole, Problem> {
    let mut bytes = BytesMut::with_capacity(length.unwrap_or_default());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Problem::bad_request(
                "incomplete_body",
                format!("the body broke off: {error}; nothing was taken"),
            )
        })?;
        let Ok(data) = frame.into_data() else {
            // Trailers.
            continue;
        };
        let size = bytes.len() + data.len();
        if size > limits.max_body_bytes {
            return Err(too_large(limits));
        }
        room.grow(size).await?;
        bytes.extend_from_slice(&data);
    }
    Ok(Whole {
        bytes: bytes.freeze(),
        room: room.whole(),
    })
}

fn too_large(limits: &Limits) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!(
            "the body is over limits.max_body_bytes ({}); send it in parts, or raise that; nothing was taken",
            limits.max_body_bytes
        ),
    )
}
