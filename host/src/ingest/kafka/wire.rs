//! Reads the fields of a request, as Kafka's protocol guide describes them.
//!
//! This is not left to a crate, because `kafka-protocol` reserves memory for as many entries as a list announces: 20 bytes
//! that announce 2^31 entries would end the process. Here a list may announce at most one entry for each byte that is left.

use bytes::Bytes;

/// A request that does not follow the protocol. The text says what is wrong, and at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub(super) struct Malformed {
    what: &'static str,
    at: usize,
}

/// The part of a request that has not been read yet.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    rest: Bytes,
    /// Length of the whole request, so that errors can name a byte.
    whole: usize,
    /// Whether lengths are varints and every structure ends with tagged fields.
    flexible: bool,
}

impl Reader {
    /// Reads from the first byte on.
    pub(super) fn new(request: Bytes) -> Self {
        Self {
            whole: request.len(),
            rest: request,
            flexible: false,
        }
    }

    /// From here on, fields have the flexible form or not.
    pub(super) fn flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    /// The error for what comes next.
    pub(super) fn malformed(&self, what: &'static str) -> Malformed {
        Malformed {
            what,
            at: self.whole - self.rest.len(),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let Some(array) = self.rest.first_chunk::<N>().copied() else {
            return Err(self.malformed("the request ends within a field"));
        };
        let _ = self.rest.split_to(N);
        Ok(array)
    }

    pub(super) fn i8(&mut self) -> Result<i8, Malformed> {
        self.array().map(i8::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    /// An unsigned varint of at most 32 bits.
    fn varint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
            if shift == 28 {
                return Err(self.malformed("a number is longer than five bytes"));
            }
        }
        u32::try_from(value).map_err(|_| self.malformed("a number is over 32 bits"))
    }

    fn take(&mut self, length: usize) -> Result<Bytes, Malformed> {
        if length > self.rest.len() {
            return Err(self.malformed("a length goes beyond the end of the request"));
        }
        Ok(self.rest.split_to(length))
    }

    /// Bytes, or None for null. `length` reads the length of the form that is not flexible.
    fn counted(&mut self, length: fn(&mut Self) -> Result<i32, Malformed>) -> Result<Option<Bytes>, Malformed> {
        let length = match self.flexible {
            true => i64::from(self.varint()?) - 1,
            false => i64::from(length(self)?),
        };
        match usize::try_from(length) {
            Ok(length) => self.take(length).map(Some),
            Err(_) if length == -1 => Ok(None),
            Err(_) => Err(self.malformed("a length is negative")),
        }
    }

    /// Bytes, or None for null.
    pub(super) fn bytes(&mut self) -> Result<Option<Bytes>, Malformed> {
        self.counted(Self::i32)
    }

    /// Text, or None for null.
    pub(super) fn nullable_text(&mut self) -> Result<Option<Text>, Malformed> {
        let text = self.counted(|reader| reader.i16().map(i32::from))?;
        let text = text.map(Text::new).transpose();
        text.map_err(|NotUtf8| self.malformed("a text before here is not UTF-8"))
    }

    pub(super) fn text(&mut self) -> Result<Text, Malformed> {
        self.nullable_text()?
            .ok_or_else(|| self.malformed("a text is missing before here"))
    }

    /// How many entries a list has; None for null. Never more than there are bytes left.
    pub(super) fn nullable_list(&mut self) -> Result<Option<usize>, Malformed> {
        let count = match self.flexible {
            true => i64::from(self.varint()?) - 1,
            false => i64::from(self.i32()?),
        };
        match usize::try_from(count) {
            Ok(count) if count <= self.rest.len() => Ok(Some(count)),
            Ok(_) => Err(self.malformed("a list announces more entries than there are bytes left")),
            Err(_) if count == -1 => Ok(None),
            Err(_) => Err(self.malformed("the length of a list is negative")),
        }
    }

    pub(super) fn list(&mut self) -> Result<usize, Malformed> {
        self.nullable_list()?
            .ok_or_else(|| self.malformed("a list is missing before here"))
    }

    /// The end of a structure: skips its tagged fields, none of which mean anything here.
    pub(super) fn end(&mut self) -> Result<(), Malformed> {
        if !self.flexible {
            return Ok(());
        }
        for _ in 0..self.varint()? {
            let _tag = self.varint()?;
            let length = self.varint()? as usize;
            self.take(length)?;
        }
        Ok(())
    }

    pub(super) fn skip(&mut self, bytes: usize) -> Result<(), Malformed> {
        self.take(bytes).map(drop)
    }
}

struct NotUtf8;

/// UTF-8 text that is a slice of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text(Bytes);

impl Text {
    fn new(bytes: Bytes) -> Result<Self, NotUtf8> {
        match std::str::from_utf8(&bytes) {
            Ok(_) => Ok(Self(bytes)),
            Err(_) => Err(NotUtf8),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        // It was checked when it was made.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &[u8], flexible: bool) -> Reader {
        let mut reader = Reader::new(Bytes::copy_from_slice(bytes));
        reader.flexible(flexible);
        reader
    }

    #[test]
    fn no_list_announces_more_entries_than_there_are_bytes() {
        for (bytes, flexible) in [
            (&[0x7f, 0xff, 0xff, 0xff, 0, 0][..], false),
            (&[0, 0, 0, 3, 0, 0], false),
            (&[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0], true),
            (&[0xff, 0xff, 0xff, 0xfe, 0], false),
        ] {
            assert!(reader(bytes, flexible).nullable_list().is_err(), "{bytes:?}");
        }
        assert_eq!(reader(&[0, 0, 0, 2, 0, 0], false).list(), Ok(2));
        assert_eq!(reader(&[3, 0, 0], true).list(), Ok(2));
        assert_eq!(reader(&[0xff; 4], false).nullable_list(), Ok(None));
        assert_eq!(reader(&[0], true).nullable_list(), Ok(None));
    }

    #[test]
    fn no_length_reaches_beyond_the_request_or_below_nothing() {
        for (bytes, flexible) in [
            (&[0, 5, b'a'][..], false),
            (&[0xff, 0xfe, b'a'], false),
            (&[6, b'a'], true),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 1], true),
            (&[0xff, 0xff, 0xff, 0xff, 0x7f], true),
            (&[0, 1, 0xff], false),
        ] {
            assert!(reader(bytes, flexible).nullable_text().is_err(), "{bytes:?}");
        }
        assert_eq!(reader(&[0, 1, b'a'], false).text().expect("text").as_str(), "a");
        assert_eq!(reader(&[2, b'a'], true).text().expect("text").as_str(), "a");
        assert!(reader(&[0xff, 0xff], false).text().is_err());
    }

    #[test]
    fn tagged_fields_are_skipped_and_must_be_whole() {
        let mut whole = reader(&[2, 0, 1, 9, 5, 2, 8, 8, 0x2a], true);
        assert_eq!(whole.end(), Ok(()));
        assert_eq!(whole.array(), Ok([0x2a]));
        assert!(reader(&[2, 0, 1, 9, 5, 2, 8], true).end().is_err());
        assert!(reader(&[0xff, 0xff, 0xff, 0xff, 0x0f], true).end().is_err());
    }
}
