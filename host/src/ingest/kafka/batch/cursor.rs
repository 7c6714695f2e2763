//! The bytes of records, read from the first to the last.

use std::str;

use bytes::Bytes;

use super::error::BatchError;

/// Bits of a number that one byte of a varint has.
const BITS: u32 = 7;
/// Bit of a byte that says that the number goes on in the next one.
const GOES_ON: u8 = 0x80;

/// A part of the batch that is read, and how far.
#[derive(Debug)]
pub(super) struct Cursor<'b> {
    /// What slices are made of.
    source: &'b Bytes,
    /// The next byte in `source`.
    at: usize,
    /// The part's end in `source`.
    end: usize,
    /// What is told if something would lie beyond the end.
    beyond: &'static str,
}

impl<'b> Cursor<'b> {
    /// Reads all of these bytes.
    pub(super) fn over(source: &'b Bytes) -> Self {
        Self {
            source,
            at: 0,
            end: source.len(),
            beyond: "it goes beyond the end of the batch",
        }
    }

    /// Bytes that have not been read yet.
    pub(super) fn left(&self) -> usize {
        self.end - self.at
    }

    /// Goes over the next bytes, and reads them as a part of their own.
    pub(super) fn part(&mut self, length: usize, beyond: &'static str) -> Result<Self, BatchError> {
        let at = self.skip(length)?;
        Ok(Self {
            source: self.source,
            at,
            end: self.at,
            beyond,
        })
    }

    /// One byte.
    pub(super) fn byte(&mut self) -> Result<u8, BatchError> {
        let byte = self.source[self.at..self.end].first().copied();
        let byte = byte.ok_or_else(|| BatchError::invalid(self.beyond))?;
        self.at += 1;
        Ok(byte)
    }

    /// A number of 32 bits, in at most 5 bytes.
    pub(super) fn varint(&mut self) -> Result<i32, BatchError> {
        let number = self.zigzag(u32::BITS)? as u32;
        Ok((number >> 1) as i32 ^ -((number & 1) as i32))
    }

    /// A number of 64 bits, in at most 10 bytes.
    pub(super) fn varlong(&mut self) -> Result<i64, BatchError> {
        let number = self.zigzag(u64::BITS)?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// A length that cannot be left out.
    pub(super) fn length(&mut self, of: &str) -> Result<usize, BatchError> {
        let length = self.varint()?;
        usize::try_from(length).map_err(|_| negative(of, length))
    }

    /// Bytes with their length before them. None for the length −1, which is Kafka's null.
    pub(super) fn bytes(&mut self, of: &str) -> Result<Option<Bytes>, BatchError> {
        let length = match self.varint()? {
            -1 => return Ok(None),
            length => usize::try_from(length).map_err(|_| negative(of, length))?,
        };
        let at = self.skip(length)?;
        Ok(Some(self.source.slice(at..self.at)))
    }

    /// Text with its length before it.
    pub(super) fn text(&mut self, of: &str) -> Result<&'b str, BatchError> {
        let length = self.length(of)?;
        let at = self.skip(length)?;
        str::from_utf8(&self.source[at..self.at])
            .map_err(|_| BatchError::invalid(format!("the {of} is no UTF-8; send it as UTF-8")))
    }

    /// Goes over so many bytes, and gives where they begin.
    fn skip(&mut self, length: usize) -> Result<usize, BatchError> {
        if length > self.left() {
            return Err(BatchError::invalid(self.beyond));
        }
        let at = self.at;
        self.at += length;
        Ok(at)
    }

    /// A number of at most so many bits, seven in a byte, the lowest first.
    fn zigzag(&mut self, bits: u32) -> Result<u64, BatchError> {
        let first = self.byte()?;
        // Nearly all numbers are this short.
        if first < GOES_ON {
            return Ok(first.into());
        }
        let mut number = u64::from(first & !GOES_ON);
        let mut shift = BITS;
        while shift < bits {
            let byte = self.byte()?;
            let part = u64::from(byte & !GOES_ON);
            if bits - shift < BITS && part >> (bits - shift) != 0 {
                break;
            }
            number |= part << shift;
            if byte < GOES_ON {
                return Ok(number);
            }
            shift += BITS;
        }
        Err(BatchError::invalid(format!("a number has more than {bits} bits")))
    }
}

/// A length is negative, and not Kafka's null.
#[cold]
fn negative(of: &str, length: i32) -> BatchError {
    BatchError::invalid(format!("the length of the {of} is {length}"))
}
