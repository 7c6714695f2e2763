//! Replies, over any version of HTTP.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::stream::body::Body as StreamBody;
use crate::admission::Reservation;

/// A whole reply, or the reply of a stream.
pub(super) enum Reply {
    Whole(Bytes),
    Stream(StreamBody),
}

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

/// For hyper, which writes HTTP/1.1.
impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => None,
            Self::Whole(bytes) => Some(std::mem::take(bytes)),
            Self::Stream(stream) => std::task::ready!(stream.poll_piece(context)),
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
