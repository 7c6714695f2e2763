//! Whether bytes are a message of a schema.
//!
//! Stricter than Protobuf's readers where those would lose or hide something: a known field with another wire type, text that is not
//! UTF-8 in proto2, and a required field that only another part of the same message has are mistakes. As liberal as they are otherwise:
//! numbers of fields and of enums that the schema does not have are what a newer writer may send.

use super::{
    encode::{MOST_DEPTH, missing_field, too_deep},
    marks::Marks,
    plan::{Field, Kind, Plan, Plans, Shape},
    wire::{self, Reader},
};
use crate::Invalid;

/// Walks over messages and counts their values.
pub(super) struct Walk<'p> {
    plans: &'p Plans,
    values: usize,
    most: usize,
}

impl<'p> Walk<'p> {
    pub(super) fn new(plans: &'p Plans, most: usize) -> Self {
        Self { plans, values: 0, most }
    }

    /// Whether the last mistake was that there are too many values, in all messages so far.
    pub(super) fn has_too_many(&self) -> bool {
        self.values > self.most
    }

    /// Checks a message that takes all of the bytes.
    pub(super) fn message(&mut self, index: u32, bytes: &[u8], depth: u32) -> Result<(), Invalid> {
        self.fields(index, &mut Reader { rest: bytes }, depth, None)
    }

    /// Reads fields to the end of the bytes or, in a group, to the group's end.
    fn fields(&mut self, index: u32, reader: &mut Reader<'_>, depth: u32, group: Option<u32>) -> Result<(), Invalid> {
        if depth > MOST_DEPTH {
            return Err(too_deep());
        }
        let plan = self.plans.message(index);
        let mut required = Marks::default();
        let mut found = 0;
        let mut guess = 0;
        while !reader.rest.is_empty() {
            let (number, wire_type) = reader.tag()?;
            if wire_type == wire::GROUP_END && group == Some(number) {
                return enough(plan, found, &required);
            }
            let Some(at) = plan.find_number(number, guess) else {
                self.count(1)?;
                self.skip(number, wire_type, reader, depth)
                    .map_err(|wrong| Invalid::new(format!("field {number}, which is unknown: {}", wrong.reason())))?;
                continue;
            };
            let field = &plan.fields[at];
            self.field(field, wire_type, reader, depth)
                .map_err(|wrong| wrong.in_field(&field.json_name))?;
            found += u32::from(field.required && required.mark(at as u32));
            // It may be one of many.
            guess = match field.shape {
                Shape::Single { .. } | Shape::Packed => at + 1,
                Shape::Repeated | Shape::Map => at,
            };
        }
        match group {
            None => enough(plan, found, &required),
            Some(number) => Err(Invalid::new(format!("the group of field {number} has no end"))),
        }
    }

    fn count(&mut self, values: usize) -> Result<(), Invalid> {
        self.values = self.values.saturating_add(values);
        match self.has_too_many() {
            true => Err(Invalid::new(format!("it has over {} values", self.most))),
            false => Ok(()),
        }
    }

    fn field(&mut self, field: &Field, wire_type: u8, reader: &mut Reader<'_>, depth: u32) -> Result<(), Invalid> {
        self.count(field.weight)?;
        let many = !matches!(field.shape, Shape::Single { .. });
        if wire_type == wire::BYTES && many && field.kind.packable() {
            let bytes = reader.bytes()?;
            return self.packed(field.kind, bytes);
        }
        if wire_type != field.kind.wire_type() {
            return Err(Invalid::new(format!(
                "it is {}, and its bytes have the wire type {wire_type}, not {}",
                field.kind.name(),
                field.kind.wire_type()
            )));
        }
        match field.kind {
            Kind::Message(index) => {
                let bytes = reader.bytes()?;
                self.message(index, bytes, depth + 1)
            }
            Kind::Group(index) => self.fields(index, reader, depth + 1, Some(field.number)),
            Kind::String => match std::str::from_utf8(reader.bytes()?) {
                Ok(_) => Ok(()),
                Err(_) => Err(Invalid::new("a string is not UTF-8")),
            },
            _ => self.skip(field.number, wire_type, reader, depth),
        }
    }

    /// Numbers in a row.
    fn packed(&mut self, kind: Kind, bytes: &[u8]) -> Result<(), Invalid> {
        let size = match kind.wire_type() {
            wire::FIXED32 => 4,
            wire::FIXED64 => 8,
            _ => {
                let mut reader = Reader { rest: bytes };
                while !reader.rest.is_empty() {
                    self.count(1)?;
                    reader.varint()?;
                }
                return Ok(());
            }
        };
        self.count(bytes.len() / size)?;
        match bytes.len() % size {
            0 => Ok(()),
            _ => Err(Invalid::new(format!(
                "{} bytes are no row of numbers of {size} bytes each",
                bytes.len()
            ))),
        }
    }

    /// Passes over a value of which only the wire type matters.
    fn skip(&mut self, number: u32, wire_type: u8, reader: &mut Reader<'_>, depth: u32) -> Result<(), Invalid> {
        match wire_type {
            wire::VARINT => reader.varint().map(|_| ()),
            wire::FIXED64 => reader.skip(8),
            wire::FIXED32 => reader.skip(4),
            wire::BYTES => reader.bytes().map(|_| ()),
            wire::GROUP => self.skip_group(number, reader, depth + 1),
            wire::GROUP_END => Err(Invalid::new("a group ends that has not begun")),
            _ => Err(Invalid::new(format!("there is no wire type {wire_type}"))),
        }
    }

    fn skip_group(&mut self, group: u32, reader: &mut Reader<'_>, depth: u32) -> Result<(), Invalid> {
        if depth > MOST_DEPTH {
            return Err(too_deep());
        }
        loop {
            self.count(1)?;
            let (number, wire_type) = reader.tag()?;
            if (number, wire_type) == (group, wire::GROUP_END) {
                return Ok(());
            }
            self.skip(number, wire_type, reader, depth)?;
        }
    }
}

/// Whether all that is required has been found.
fn enough(plan: &Plan, found: u32, required: &Marks) -> Result<(), Invalid> {
    if found == plan.required {
        return Ok(());
    }
    let mut fields = plan.fields.iter().zip(0..);
    let missing = fields.find(|(field, at)| field.required && !required.has(*at));
    Err(missing_field(missing.map(|(field, _)| field)))
}
