//! The body of a request as it comes, over any version of HTTP.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::Body as _;

use super::{http2::arriving::Arriving, timed::Unread};

/// The body of a request; see the [module](self).
pub(super) enum Incoming {
    /// The second part keeps the connection from serving anything else until the whole body is read.
    Http1(hyper::body::Incoming, Option<Unread>),
    Http2(Arriving),
}

/// Where the bytes of a body come from.
pub(crate) trait Source: Send + Unpin + 'static {
    /// The next bytes of the body; none at its end. The error says how the body broke off.
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>>;

    /// Says that this many bytes are no longer needed: the client may send as many more.
    fn release(&mut self, _bytes: usize) {}

    /// Takes what has come, for a later [`poll_data`](Self::poll_data), while its reader waits for something else.
    fn take(&mut self, _context: &mut Context<'_>) {}
}

impl Incoming {
    pub(super) fn http1(body: hyper::body::Incoming, unread: impl FnOnce() -> Unread) -> Self {
        let unread = (!body.is_end_stream()).then(unread);
        Self::Http1(body, unread)
    }

    /// Length of the body in bytes, if it is known.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Http1(body, _) => body.size_hint().exact(),
            Self::Http2(body) => body.length(),
        }
    }

    /// The next bytes of the body; see [`Source::poll_data`].
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
                            // The frame holds trailers, which are not used.
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
