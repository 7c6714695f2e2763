//! Reads a body within its bounds: room is taken as the bytes come.

use std::time::Duration;

use bytes::Bytes;

use super::{
    error::IngestError,
    incoming::{Incoming, Source as _},
};
use crate::{
    admission::{Admission, Reservation, Room, SMALL},
    config::Limits,
};

/// How long the rest of a refused request's body is read.
const DISCARD: Duration = Duration::from_secs(1);
/// The smallest allocation for a body of unknown length, in bytes.
const LEAST: usize = 1 << 10;

/// A whole body, and the room that it holds.
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    pub(super) room: Reservation,
}

/// Reads a body. Errors: 413 over the limit, 503 without room, 408 for a slow body, 400 for one that breaks off.
pub(super) async fn read(body: &mut Incoming, limits: &Limits, admission: &Admission) -> Result<Whole, IngestError> {
    read_by(body, limits, admission, |_| Ok(())).await
}

/// Like [`read`]; `look` is shown what has come, and may refuse the rest.
pub(super) async fn read_by(
    body: &mut Incoming,
    limits: &Limits,
    admission: &Admission,
    look: impl Fn(&[u8]) -> Result<(), IngestError>,
) -> Result<Whole, IngestError> {
    let length = match body.length().map(usize::try_from) {
        Some(Ok(length)) if length <= limits.max_body_bytes => Some(length),
        Some(_) => return Err(too_large(limits)),
        None => None,
    };
    let mut room = admission.body();
    if let Some(length) = length {
        room.announce(length);
    }
    let reading = collect(body, length, (limits, look), room);
    match tokio::time::timeout(limits.body_timeout(), reading).await {
        Ok(whole) => whole,
        Err(_) => Err(timeout(format!(
            "the body was not complete {} ms after its header (limits.body_timeout_ms)",
            limits.body_timeout_ms
        ))),
    }
}

/// Reads the rest of a refused request's body, up to a bound, and forgets it. Closing a connection with unread bytes
/// would reset it, and the client might never see the reply.
pub(super) async fn discard(body: &mut Incoming, limits: &Limits) {
    let mut left = limits.max_body_bytes;
    let reading = async {
        while let Some(Ok(data)) = body.data().await {
            match left.checked_sub(data.len()) {
                Some(rest) => left = rest,
                None => break,
            }
            body.release(data.len());
        }
    };
    let _ = tokio::time::timeout(DISCARD, reading).await;
}

async fn collect(
    body: &mut Incoming,
    length: Option<usize>,
    (limits, look): (&Limits, impl Fn(&[u8]) -> Result<(), IngestError>),
    mut room: Room,
) -> Result<Whole, IngestError> {
    let mut bytes = Vec::new();
    loop {
        let data = tokio::select! {
            // The body comes first: only a body that has to wait for bytes is asked to give way.
            biased;
            data = body.data() => data,
            () = room.gives_way() => {
                return Err(timeout("the body stood still while others needed its room (limits.max_buffered_bytes)"));
            }
        };
        let Some(data) = data else { break };
        let data = data
            .map_err(|error| IngestError::IncompleteBody(format!("the body broke off: {error}; nothing was taken")))?;
        let size = bytes.len() + data.len();
        if size > limits.max_body_bytes {
            return Err(too_large(limits));
        }
        if size > bytes.capacity() {
            let capacity = capacity(size, bytes.capacity(), length, limits.max_body_bytes);
            room.grow(capacity).await?;
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(&data);
        look(&bytes)?;
        room.arrived(data.len());
        body.release(data.len());
    }
    Ok(Whole {
        bytes: Bytes::from(bytes),
        room: room.whole(),
    })
}

/// Bytes to allocate for the `size` bytes that have come, where `before` were allocated. A small body gets its whole
/// length at once; a large one grows as it comes, since an announced length proves nothing.
pub(super) fn capacity(size: usize, before: usize, length: Option<usize>, most: usize) -> usize {
    let most = length.unwrap_or(most).max(size);
    match length {
        Some(length) if length <= SMALL => most,
        Some(_) => size.max(2 * before).max(SMALL).min(most),
        None => size.max(2 * before).max(LEAST).min(most),
    }
}

fn timeout(what: impl std::fmt::Display) -> IngestError {
    IngestError::BodyTimeout(format!("{what}; nothing was taken"))
}

fn too_large(limits: &Limits) -> IngestError {
    IngestError::BodyTooLarge(format!(
        "the body is over limits.max_body_bytes ({}); send it in parts, or raise that; nothing was taken",
        limits.max_body_bytes
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_takes_nothing_before_it_comes() {
        let most = 8 << 20;
        assert_eq!(capacity(1, 0, Some(SMALL), most), SMALL);
        assert_eq!(capacity(1, 0, Some(most), most), SMALL);
        assert_eq!(capacity(1, 0, None, most), LEAST);
        for length in [Some(5 << 20), None] {
            let (mut size, mut before) = (0, 0);
            while size < 5 << 20 {
                size = (size + 16_000).min(5 << 20);
                if size > before {
                    let next = capacity(size, before, length, most);
                    assert!(next >= size && next <= length.unwrap_or(most), "{next}");
                    assert!(next <= (2 * size).max(SMALL), "{next} for {size}");
                    before = next;
                }
            }
        }
        // The HTTP library finds out a client that sends more than it announced. Here that costs nothing more.
        assert_eq!(capacity(12, 10, Some(10), most), 12);
    }
}
