//! A request's body as it comes, whatever HTTP it comes by.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::Body as _;

use super::{http2::arriving::Arriving, timed::Unread};

/// See the [module](self).
pub(super) enum Incoming {
    /// With what keeps its connection from being used for anything else before all of it was read.
    Http1(hyper::body::Incoming, Option<Unread>),
    Http2(Arriving),
}

/// Where the bytes of a body come from.
pub(crate) trait Source: Send + Unpin + 'static {
    /// More of it; none at its end. The error says how it broke off.
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>>;

    /// So many bytes are no longer needed: the client may send as many more.
    fn release(&mut self, _bytes: usize) {}

    /// Takes what has come, for a later [`poll_data`](Self::poll_data): for who waits for something else meanwhile.
    fn take(&mut self, _context: &mut Context<'_>) {}
}

impl Incoming {
    pub(super) fn http1(body: hyper::body::Incoming, unread: impl FnOnce() -> Unread) -> Self {
        let unread = (!body.is_end_stream()).then(unread);
        Self::Http1(body, unread)
    }

    /// Its length in bytes, where it is known.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Http1(body, _) => body.size_hint().exact(),
            Self::Http2(body) => body.length(),
        }
    }

    /// See [`Source::poll_data`].
    pub(super) async fn data(&mut self) -> Option<Result<Bytes, String>> {
        poll_fn(|context| self.poll_data(context)).await
    }
}

impl Source for Incoming {
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        match self {
            Self::Http1(body, unread) => {
                let data = loop {
                    match ready!(Pin::new(&mut *body).poll_frame(context)) {
                        Some(Ok(frame)) => match frame.into_data() {
                            Ok(data) => break Some(Ok(data)),
                            // Trailers.
                            Err(_) => continue,
                        },
                        Some(Err(error)) => break Some(Err(error.to_string())),
                        None => break None,
                    }
                };
                if let Some(token) = unread
                    && (data.is_none() || body.is_end_stream())
                {
                    token.all_read();
                    *unread = None;
                }
                Poll::Ready(data)
            }
            Self::Http2(body) => body.poll_data(context),
        }
    }

    fn release(&mut self, bytes: usize) {
        if let Self::Http2(body) = self {
            body.release(bytes);
        }
    }

    fn take(&mut self, context: &mut Context<'_>) {
        if let Self::Http2(body) = self {
            body.take(context);
        }
    }
}
