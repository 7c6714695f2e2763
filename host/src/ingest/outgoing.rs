//! Replies, over any version of HTTP.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::{
    HeaderMap, StatusCode,
    body::{Body, Frame, SizeHint},
};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::stream::body::Body as StreamBody;
use crate::admission::Reservation;

/// A whole reply, or one that is being made.
pub(super) enum Reply {
    Whole(Bytes),
    /// A whole reply, and what comes after it.
    WithTrailers(Bytes, HeaderMap),
    Stream(StreamBody),
    Served(Served),
}

/// What tonic answers, and what the call holds.
pub(super) struct Served {
    pub(super) body: tonic::body::Body,
    /// Becomes true when the process is about to end.
    pub(super) drain: watch::Receiver<bool>,
    pub(super) _permit: OwnedSemaphorePermit,
    pub(super) _held: Reservation,
}

/// The status that a reply counts as in metrics, where its own says nothing. An extension of the response.
#[derive(Debug, Clone, Copy)]
pub(super) struct CountedAs(pub(super) StatusCode);

/// The text of a reply, and its room until the last byte is written.
struct Counted {
    text: Vec<u8>,
    _held: Reservation,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

/// The text as bytes that give back their room when they are dropped. The room is made to fit the text.
pub(super) fn counted(text: Vec<u8>, held: Option<Reservation>) -> Bytes {
    let Some(mut held) = held else {
        return Bytes::from(text);
    };
    held.set(text.capacity());
    Bytes::from_owner(Counted { text, _held: held })
}

/// For hyper, which writes HTTP/1.1. What gRPC answers comes here only where a caller has none of HTTP/2, which
/// is refused without trailers.
impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match self.get_mut() {
            Self::Whole(bytes) | Self::WithTrailers(bytes, _) if !bytes.is_empty() => Some(std::mem::take(bytes)),
            Self::Whole(_) | Self::WithTrailers(..) => None,
            Self::Stream(stream) => ready!(stream.poll_piece(context)),
            Self::Served(served) => {
                let frame = ready!(Pin::new(&mut served.body).poll_frame(context));
                frame.and_then(|frame| frame.ok()?.into_data().ok())
            }
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::WithTrailers(..) | Self::Stream(_) | Self::Served(_) => SizeHint::default(),
        }
    }
}
