//! Where a message begins and ends: one byte that says whether it is compressed, its length in four bytes, the message
//! (gRPC over HTTP/2, "Length-Prefixed-Message").

use bytes::Bytes;

use crate::{config::Limits, ingest::error::IngestError};

/// Bytes before a message.
pub(in crate::ingest) const HEAD: usize = 5;

/// What stands before a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) is_compressed: bool,
    /// Bytes of the message.
    pub(crate) length: usize,
}

impl Head {
    /// The head at the beginning of these bytes. None if it is not all there. The error is for a message that no reader would
    /// take, however much of it has come.
    pub(in crate::ingest) fn of(bytes: &[u8], limits: &Limits) -> Result<Option<Self>, IngestError> {
        let Some((&[flag, length @ ..], _)) = bytes.split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(length) as usize;
        if flag > 1 {
            return Err(IngestError::InvalidMessage(format!(
                "a message begins with the byte {flag}, and only 0 and 1 are known: its length is not where it should be"
            )));
        }
        if length > limits.max_body_bytes {
            return Err(too_large(length, limits));
        }
        Ok(Some(Self {
            is_compressed: flag == 1,
            length,
        }))
    }
}

fn too_large(length: usize, limits: &Limits) -> IngestError {
    IngestError::BodyTooLarge(format!(
        "the message announces {length} bytes, more than limits.max_body_bytes ({}); send it in parts, or raise that; \
         nothing of it was taken",
        limits.max_body_bytes
    ))
}

/// The one message of a body, and its head.
pub(crate) fn only(body: &Bytes, limits: &Limits) -> Result<(Head, Bytes), IngestError> {
    let Some(head) = Head::of(body, limits)? else {
        return Err(IngestError::EmptyBody(
            "the call has no message; send one request".to_owned(),
        ));
    };
    let message = body.slice(HEAD..);
    if message.len() < head.length {
        return Err(IngestError::IncompleteBody(format!(
            "the message announces {} bytes, and {} came; nothing was taken",
            head.length,
            message.len()
        )));
    }
    if message.len() > head.length {
        return Err(IngestError::InvalidMessage(
            "the call has more than one message; send one request, or call Stream; nothing was taken".to_owned(),
        ));
    }
    Ok((head, message))
}

/// Begins a message of which the length is not known yet: [`end`] must come before the next.
pub(in crate::ingest) fn begin(body: &mut Vec<u8>) {
    body.extend_from_slice(&[0; HEAD]);
}

/// Ends the message that [`begin`] began at this place of the body.
pub(in crate::ingest) fn end(body: &mut [u8], begun: usize) {
    // Replies are bounded far below 4 GiB.
    let length = (body.len() - begun - HEAD) as u32;
    body[begun + 1..begun + HEAD].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn framed(flag: u8, length: u32, message: &[u8]) -> Bytes {
        [&[flag][..], &length.to_be_bytes(), message].concat().into()
    }

    #[test]
    fn a_message_that_announces_more_than_a_body_may_have_is_refused_by_its_first_bytes() {
        let limits = Limits::default();
        let most = limits.max_body_bytes as u32;
        assert!(Head::of(&framed(0, most, b""), &limits).is_ok());
        for length in [most + 1, 2 << 30, u32::MAX] {
            let error = Head::of(&framed(0, length, b""), &limits).expect_err("too large");
            assert!(matches!(error, IngestError::BodyTooLarge(_)), "{error}");
        }
    }

    #[test]
    fn half_a_message_or_two_are_never_taken_for_one() {
        let limits = Limits::default();
        assert!(only(&framed(0, 2, b"ab"), &limits).is_ok_and(|(_, message)| message == "ab"));
        for body in [
            &b""[..],
            b"\0\0\0\0",
            &framed(0, 2, b"a"),
            &framed(0, 2, b"abc"),
            &framed(2, 2, b"ab"),
        ] {
            assert!(only(&Bytes::copy_from_slice(body), &limits).is_err(), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_as_a_message_is_read_as_one(content in vec(any::<u8>(), 0..200)) {
            let mut body = b"before".to_vec();
            let begun = body.len();
            begin(&mut body);
            body.extend_from_slice(&content);
            end(&mut body, begun);
            let (head, message) = only(&Bytes::from(body.split_off(begun)), &Limits::default()).expect("a message");
            prop_assert!(!head.is_compressed);
            prop_assert_eq!(&message[..], &content[..]);
        }
    }
}
