//! What a message takes in memory once it is decoded. It is found out before, from its bytes: two bytes can become a
//! record of several hundred.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::ingest::error::IngestError;

/// The fields of a message that take memory beyond the message itself.
#[derive(Debug)]
pub(in crate::ingest) struct Shape(pub(in crate::ingest) &'static [(u32, Field)]);

/// A field that takes memory.
#[derive(Debug)]
pub(in crate::ingest) enum Field {
    /// Its bytes are copied.
    Copied,
    /// Each is an item of a list, of this many bytes, and may have fields that take more.
    Repeated(usize, &'static Shape),
    /// As `Repeated`, and what is counted: see [`Weight::items`].
    Counted(usize, &'static Shape),
}

/// What a message will take.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weight {
    /// Bytes beyond the message.
    pub(crate) bytes: usize,
    /// How many [counted](Field::Counted) fields there are.
    pub(crate) items: usize,
}

impl Weight {
    /// Weighs a message. The error says that it is none.
    pub(in crate::ingest) fn of(message: &[u8], shape: &Shape) -> Result<Self, IngestError> {
        let mut weight = Self::default();
        weight.add(message, shape)?;
        Ok(weight)
    }

    // This recurses as deep as shapes do.
    fn add(&mut self, message: &[u8], shape: &Shape) -> Result<(), IngestError> {
        let mut rest = message;
        while !rest.is_empty() {
            let (tag, wire_type) = decode_key(&mut rest).map_err(|error| invalid(&error))?;
            let field = shape.0.iter().find(|(of, _)| *of == tag).map(|(_, field)| field);
            let (Some(field), WireType::LengthDelimited) = (field, wire_type) else {
                skip_field(wire_type, tag, &mut rest, DecodeContext::default()).map_err(|error| invalid(&error))?;
                continue;
            };
            let length = decode_varint(&mut rest).map_err(|error| invalid(&error))?;
            let content = usize::try_from(length)
                .ok()
                .and_then(|length| rest.split_at_checked(length));
            let Some((content, after)) = content else {
                return Err(IngestError::InvalidMessage(format!(
                    "the message cannot be read: field {tag} announces {length} bytes, and {} are left; nothing was taken",
                    rest.len()
                )));
            };
            rest = after;
            match field {
                Field::Copied => self.bytes += content.len(),
                Field::Repeated(each, of) => {
                    self.bytes += each;
                    self.add(content, of)?;
                }
                Field::Counted(each, of) => {
                    self.items += 1;
                    self.bytes += each;
                    self.add(content, of)?;
                }
            }
        }
        Ok(())
    }
}

/// The error for a message that cannot be decoded.
pub(in crate::ingest) fn invalid(error: &prost::DecodeError) -> IngestError {
    IngestError::InvalidMessage(format!("the message cannot be read: {error}; nothing was taken"))
}
