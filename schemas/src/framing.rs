//! The id of a schema, in a value or in a header.
//!
//! Before a value stands the byte 0 and the id, four bytes, big endian: the wire format of Confluent's serializers. Instead of it, a
//! record may have a header ([`KEY_HEADER`], [`VALUE_HEADER`]): the byte 0 and the same four bytes, or the byte 1 and the sixteen bytes
//! of a GUID. For Protobuf, both are followed by the indexes of the message, which are not read here. The source of all of this is
//! `io.confluent.kafka.serializers.schema.id.SchemaId` of Confluent's Schema Registry 8.
//!
//! Confluent's serializers put a GUID into headers only, but their deserializers also take it before a value. What is read here goes to
//! such readers, so a GUID is read in both places; what is written before a value is always a number, which older readers know as well.

use std::fmt;

use crate::Invalid;

/// The name of the header with the id of the key's schema.
pub const KEY_HEADER: &str = "__key_schema_id";

/// The name of the header with the id of the value's schema.
pub const VALUE_HEADER: &str = "__value_schema_id";

/// The first byte before a number.
const NUMBER: u8 = 0;

/// The first byte before a GUID.
const GUID: u8 = 1;

/// How a registry names a schema, whatever its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SchemaId {
    /// Unique within one registry.
    Number(u32),
    /// Unique everywhere, in the order of the bytes of RFC 9562.
    Guid([u8; 16]),
}

impl fmt::Display for SchemaId {
    /// A number in digits, a GUID as `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Guid(guid) => {
                for (index, byte) in guid.iter().enumerate() {
                    let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
                    write!(f, "{dash}{byte:02x}")?;
                }
                Ok(())
            }
        }
    }
}

impl SchemaId {
    /// Reads a GUID as a registry writes it: 32 hex digits, with the dashes or without. `None` for anything else.
    pub fn guid_of_text(text: &str) -> Option<Self> {
        let digits: String = text.chars().filter(|&letter| letter != '-').collect();
        if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let guid = u128::from_str_radix(&digits, 16).ok()?;
        Some(Self::Guid(guid.to_be_bytes()))
    }
}

/// Reads what stands before a value. Returns the id, and how many bytes it took.
pub fn read_prefix(value: &[u8]) -> Result<(SchemaId, usize), Invalid> {
    read(value, "value")
}

/// Writes the prefix of a value: always five bytes.
pub fn write_prefix(id: u32, out: &mut Vec<u8>) {
    out.push(NUMBER);
    out.extend_from_slice(&id.to_be_bytes());
}

/// Reads the value of a header. Returns the id, and how many bytes it took: in a record with Protobuf, more follow.
pub fn read_header(value: &[u8]) -> Result<(SchemaId, usize), Invalid> {
    read(value, "header")
}

/// The value of a header. For Protobuf, the indexes of the message have to be added.
pub fn header_value(id: SchemaId) -> Vec<u8> {
    match id {
        SchemaId::Number(number) => [&[NUMBER][..], &number.to_be_bytes()].concat(),
        SchemaId::Guid(guid) => [&[GUID][..], &guid].concat(),
    }
}

fn read(bytes: &[u8], what: &str) -> Result<(SchemaId, usize), Invalid> {
    let Some((&magic, rest)) = bytes.split_first() else {
        return Err(Invalid::new(format!(
            "the {what} is empty; expected a schema id: the byte 0 and 4 bytes"
        )));
    };
    let short = |needed: usize| {
        Invalid::new(format!(
            "the {what} ends within the schema id: {} bytes, of {needed}",
            bytes.len()
        ))
    };
    match magic {
        NUMBER => {
            let (id, _) = rest.split_first_chunk::<4>().ok_or_else(|| short(5))?;
            Ok((SchemaId::Number(u32::from_be_bytes(*id)), 5))
        }
        GUID => {
            let (guid, _) = rest.split_first_chunk::<16>().ok_or_else(|| short(17))?;
            Ok((SchemaId::Guid(*guid), 17))
        }
        _ => Err(Invalid::new(format!(
            "the {what} has no schema id: it begins with the byte {magic}, not with 0 (id) or 1 (GUID); was it written without a \
             serializer of a schema registry?"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_is_read_as_confluents_serializers_write_it() {
        let value = [0, 0, 0, 1, 2, b'x'];
        assert_eq!(read_prefix(&value), Ok((SchemaId::Number(258), 5)));
        let mut out = b"kept".to_vec();
        write_prefix(258, &mut out);
        assert_eq!(out, [b"kept", &value[..5]].concat());
        // The example of Java's `new UUID(0x0011223344556677L, 0x8899aabbccddeeffL)`.
        let header: Vec<u8> = std::iter::once(1).chain((0..16).map(|n| n * 0x11)).collect();
        let (guid, taken) = read_header(&header).expect("a GUID");
        assert_eq!(guid.to_string(), "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!((header_value(guid), taken), (header, 17));
    }

    #[test]
    fn a_value_without_an_id_is_told_what_it_lacks() {
        let told = |value: &[u8]| read_prefix(value).expect_err("no id").to_string();
        assert!(told(b"").contains("the value is empty"), "{}", told(b""));
        assert_eq!(told(&[0, 1, 2]), "the value ends within the schema id: 3 bytes, of 5");
        assert_eq!(told(&[1; 16]), "the value ends within the schema id: 16 bytes, of 17");
        assert!(told(b"{\"a\":1}").contains("begins with the byte 123"));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_again(number: u32, guid: [u8; 16], rest: Vec<u8>) {
            for id in [SchemaId::Number(number), SchemaId::Guid(guid)] {
                let mut header = header_value(id);
                let length = header.len();
                header.extend(&rest);
                prop_assert_eq!(read_header(&header), Ok((id, length)));
            }
            let guid = SchemaId::Guid(guid);
            prop_assert_eq!(SchemaId::guid_of_text(&guid.to_string()), Some(guid));
        }

        #[test]
        fn no_bytes_make_reading_an_id_panic(bytes: Vec<u8>, text: String) {
            let _ = (read_prefix(&bytes), SchemaId::guid_of_text(&text));
        }
    }
}
