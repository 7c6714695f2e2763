//! The bytes that Protobuf's messages are made of (<https://protobuf.dev/programming-guides/encoding/>).

use crate::Invalid;

pub(super) const VARINT: u8 = 0;
pub(super) const FIXED64: u8 = 1;
pub(super) const BYTES: u8 = 2;
pub(super) const GROUP: u8 = 3;
pub(super) const GROUP_END: u8 = 4;
pub(super) const FIXED32: u8 = 5;

/// The most bytes of a varint.
pub(super) const MOST_VARINT: usize = 10;
/// The highest number of a field.
const MOST_NUMBER: u64 = (1 << 29) - 1;

/// Appends a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes a varint takes.
pub(super) fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// What stands before a field's value: its number and wire type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tag {
    bytes: [u8; 5],
    len: u8,
}

impl Tag {
    pub(super) fn new(number: u32, wire_type: u8) -> Self {
        let mut tag = Self { bytes: [0; 5], len: 0 };
        // 29 bits of number and 3 of type.
        let mut value = number << 3 | u32::from(wire_type);
        loop {
            let more = value >= 0x80;
            tag.bytes[usize::from(tag.len)] = (value & 0x7f) as u8 | if more { 0x80 } else { 0 };
            tag.len += 1;
            value >>= 7;
            if !more {
                return tag;
            }
        }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes[..usize::from(self.len)]);
    }
}

/// Reads from the beginning of bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'b> {
    pub(super) rest: &'b [u8],
}

impl<'b> Reader<'b> {
    pub(super) fn varint(&mut self) -> Result<u64, Invalid> {
        let mut value = 0u64;
        for (index, &byte) in self.rest.iter().take(MOST_VARINT).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                // Of the tenth byte, only one bit has room.
                if index == MOST_VARINT - 1 && byte > 1 {
                    break;
                }
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(match self.rest.len() < MOST_VARINT {
            true => cut_off("a varint"),
            false => Invalid::new("a varint has over 64 bits"),
        })
    }

    /// A field's number and wire type.
    pub(super) fn tag(&mut self) -> Result<(u32, u8), Invalid> {
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number > MOST_NUMBER {
            return Err(Invalid::new(format!(
                "the number of a field is {number}; it has to be 1 to {MOST_NUMBER}"
            )));
        }
        Ok((number as u32, (tag & 7) as u8))
    }

    /// Bytes with their length before them.
    pub(super) fn bytes(&mut self) -> Result<&'b [u8], Invalid> {
        let len = self.varint()?;
        match usize::try_from(len)
            .ok()
            .and_then(|len| self.rest.split_at_checked(len))
        {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(Invalid::new(format!(
                "a length is {len}, and only {} bytes follow",
                self.rest.len()
            ))),
        }
    }

    /// Passes over this many bytes.
    pub(super) fn skip(&mut self, len: usize) -> Result<(), Invalid> {
        match self.rest.get(len..) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(cut_off("a fixed number")),
        }
    }
}

fn cut_off(what: &str) -> Invalid {
    Invalid::new(format!("{what} is cut off by the end of its message"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_varint_reads_as_it_was_written(value: u64, rest: Vec<u8>) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            prop_assert_eq!(bytes.len(), varint_len(value));
            bytes.extend_from_slice(&rest);
            let mut reader = Reader { rest: &bytes };
            prop_assert_eq!(reader.varint(), Ok(value));
            prop_assert_eq!(reader.rest, &rest);
        }

        #[test]
        fn a_tag_reads_as_it_was_written(number in 1..1u32 << 29, wire_type in 0..8u8) {
            let mut bytes = Vec::new();
            Tag::new(number, wire_type).put(&mut bytes);
            prop_assert_eq!(Reader { rest: &bytes }.tag(), Ok((number, wire_type)));
        }
    }

    #[test]
    fn a_varint_of_more_than_64_bits_or_without_an_end_is_refused() {
        assert!(Reader { rest: &[0xff; 9] }.varint().is_err());
        assert!(Reader { rest: &[0xff; 20] }.varint().is_err());
        assert!(
            Reader {
                rest: &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2]
            }
            .varint()
            .is_err()
        );
        assert!(Reader { rest: &[] }.varint().is_err());
    }

    #[test]
    fn a_length_that_its_message_does_not_have_is_refused() {
        assert!(Reader { rest: &[3, 1, 2] }.bytes().is_err());
        let all = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert!(Reader { rest: &all }.bytes().is_err());
    }
}
