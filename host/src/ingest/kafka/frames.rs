//! Reads frames: a length, then so many bytes. Room is taken as the bytes come.

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::{mpsc, watch},
    time::timeout,
};

use crate::{
    admission::{Admission, Reservation, Room},
    config::Limits,
    ingest::{
        body::capacity,
        life::look_again,
        timed::{InRequest, Phase, Timed},
    },
};

/// The bytes of a length.
const LENGTH: usize = 4;
/// The shortest request: its api key, version and correlation id.
const SHORTEST: usize = 8;
/// What is taken for a request of which nothing but the length has come, bytes.
const FIRST: usize = 4 << 10;
/// The longest request of a client that has not shown the password: what comes before is short.
const LONGEST_OF_STRANGER: usize = 16 << 10;

/// A whole request, and what it holds.
pub(super) struct Frame {
    pub(super) bytes: Bytes,
    pub(super) room: Reservation,
    pub(super) in_request: InRequest,
}

/// Why no frame comes.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoFrame {
    /// The client is gone, or the connection was idle for too long: nothing to tell.
    #[error("the connection has ended")]
    Over,
    /// The process drains, and takes no new request.
    #[error("the process ends")]
    Drain,
    /// The length cannot be that of a request.
    #[error("a request announces {length} bytes, expected {SHORTEST} to {most} ({bound}){hint}")]
    Length {
        length: i32,
        most: usize,
        /// Where the limit comes from.
        bound: &'static str,
        hint: &'static str,
    },
    /// The bytes of a request did not come in time.
    #[error("a request was not complete {ms} ms after its length (limits.body_timeout_ms)")]
    Slow { ms: u64 },
    /// The bytes of a request stood still.
    #[error("a request stood still while others needed its room (limits.max_buffered_bytes)")]
    Still,
    /// There was no room for its bytes.
    #[error("{0}")]
    NoRoom(String),
}

/// Reads the frames of one connection.
pub(super) struct Frames<'a, S> {
    pub(super) stream: Timed<S>,
    pub(super) phase: Phase,
    pub(super) limits: &'a Limits,
    pub(super) admission: &'a Admission,
    pub(super) drain: watch::Receiver<bool>,
}

impl<S: AsyncRead + Unpin> Frames<'_, S> {
    /// The next request. `answers`: where its answer will go; once nobody takes answers any more, the connection is over.
    /// `is_stranger`: the client has not shown the password yet.
    pub(super) async fn next<A>(&mut self, answers: &mpsc::Sender<A>, is_stranger: bool) -> Result<Frame, NoFrame> {
        let length = self.length(answers).await?;
        let (most, bound) = match is_stranger {
            true => (LONGEST_OF_STRANGER, "before authentication"),
            false => (self.limits.max_body_bytes, "limits.max_body_bytes"),
        };
        let size = usize::try_from(length)
            .ok()
            .filter(|size| (SHORTEST..=most).contains(size));
        let Some(size) = size else {
            let hint = hint(length);
            return Err(NoFrame::Length {
                length,
                most,
                bound,
                hint,
            });
        };
        let within = self.limits.body_timeout();
        let (bytes, room) = match timeout(within, self.body(size)).await {
            Ok(body) => body?,
            Err(_) => {
                let ms = self.limits.body_timeout_ms;
                return Err(NoFrame::Slow { ms });
            }
        };
        // Only now: a few bytes would otherwise keep a connection's place, and a client with some hundred of them all places.
        let in_request = self.phase.request(false);
        Ok(Frame {
            bytes,
            room,
            in_request,
        })
    }

    async fn length<A>(&mut self, answers: &mpsc::Sender<A>) -> Result<i32, NoFrame> {
        let (mut length, mut have) = ([0; LENGTH], 0);
        while have < LENGTH {
            tokio::select! {
                biased;
                () = answers.closed() => return Err(NoFrame::Over),
                _ = self.drain.wait_for(|drain| *drain) => return Err(NoFrame::Drain),
                read = self.stream.read(&mut length[have..]) => match read {
                    Ok(0) | Err(_) => return Err(NoFrame::Over),
                    Ok(read) => have += read,
                },
                () = look_again(&self.phase) => if self.phase.is_over() {
                    return Err(NoFrame::Over);
                },
                () = self.phase.evicted() => give_place(&self.phase)?,
            }
        }
        Ok(i32::from_be_bytes(length))
    }

    async fn body(&mut self, size: usize) -> Result<(Bytes, Reservation), NoFrame> {
        let mut room: Room = self.admission.body();
        room.announce(size);
        let mut bytes = Vec::new();
        while bytes.len() < size {
            if bytes.len() == bytes.capacity() {
                // An announced length proves nothing, so a large request grows as it comes.
                let more = match bytes.len() {
                    0 => size.min(FIRST),
                    here => capacity(here + 1, bytes.capacity(), Some(size), size),
                };
                room.grow(more)
                    .await
                    .map_err(|busy| NoFrame::NoRoom(busy.to_string()))?;
                bytes.reserve_exact(more - bytes.len());
            }
            let left = size - bytes.len();
            let mut rest = (&mut self.stream).take(left as u64);
            let read = tokio::select! {
                biased;
                read = rest.read_buf(&mut bytes) => read,
                () = self.phase.evicted() => {
                    give_place(&self.phase)?;
                    continue;
                }
                () = room.gives_way() => return Err(NoFrame::Still),
                _ = self.drain.wait_for(|drain| *drain) => return Err(NoFrame::Drain),
            };
            match read {
                Ok(0) | Err(_) => return Err(NoFrame::Over),
                Ok(read) => room.arrived(read),
            }
        }
        Ok((Bytes::from(bytes), room.whole()))
    }

    /// Reads and forgets what still comes, until the client closes or `end` comes. Closing a connection with unread bytes would reset
    /// it, and answers that its client has not read yet would be lost.
    pub(super) async fn discard(&mut self, end: impl Future<Output = ()>) {
        let mut unread = [0; 1 << 10];
        let reading = async { while matches!(self.stream.read(&mut unread).await, Ok(read) if read > 0) {} };
        tokio::select! {
            () = reading => {}
            () = end => {}
        }
    }
}

/// Another connection needs the place of this one, which keeps it only while a request is under way.
fn give_place(phase: &Phase) -> Result<(), NoFrame> {
    match phase.silent_since() {
        Some(_) => Err(NoFrame::Over),
        None => {
            phase.stays();
            Ok(())
        }
    }
}

/// What a client that does not speak Kafka's protocol seems to speak, by the first bytes that it sent.
fn hint(length: i32) -> &'static str {
    match length.to_be_bytes() {
        [0x16, 0x03, ..] => {
            "; it looks like TLS, which this listener does not speak: set security.protocol to PLAINTEXT or SASL_PLAINTEXT"
        }
        [b'A'..=b'Z', b'A'..=b'Z', b'A'..=b'Z' | b' ', b'A'..=b'Z' | b' ' | b'/'] => {
            "; it looks like HTTP, which is spoken at listen.http"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_of_another_protocol_is_told_apart() {
        assert!(hint(i32::from_be_bytes(*b"GET ")).contains("HTTP"));
        assert!(hint(i32::from_be_bytes(*b"POST")).contains("HTTP"));
        assert!(hint(0x1603_0100).contains("TLS"));
        assert_eq!(hint(-1), "");
        assert_eq!(hint(0x7fff_ffff), "");
    }
}
