//! Protobuf from JSON (<https://protobuf.dev/programming-guides/json/>).
//!
//! Fields are written in the order of their numbers, as Protobuf's own libraries do, whatever the order of the JSON: keys have to have
//! the same bytes as those from other producers, or they land in other partitions.
//!
//! A nested message has its length before it, which is known only after it. Room for any length is left, and once at the end, what was
//! too much is closed up: however deep messages nest, each byte moves once.

use super::{
    base64::Encoded,
    marks::Marks,
    number,
    plan::{Field, Kind, Plan, Plans, Shape},
    wire::{self, Tag},
};
use crate::{
    Invalid,
    document::{Document, Json, Object},
};

mod well_known;

/// How deep messages may nest; entries of maps count. The readers of Google's libraries stop at 100.
pub(super) const MOST_DEPTH: u32 = 100;
/// Room for a length of up to 32 GiB.
const LENGTH: usize = 5;

/// Appends the message of this plan that a JSON text describes.
pub(super) fn encode(plans: &Plans, plan: u32, json: &[u8], out: &mut Vec<u8>) -> Result<(), Invalid> {
    let start = out.len();
    let document = Document::parse(json)?;
    let mut encoder = Encoder {
        plans,
        out,
        gaps: Vec::new(),
        unused: 0,
        entries: Vec::with_capacity(16),
    };
    let result = encoder.message(plan, document.root(), 0);
    match result {
        Ok(()) => encoder.close_up(),
        Err(_) => encoder.out.truncate(start),
    }
    result
}

struct Encoder<'p, 'd, 'o> {
    plans: &'p Plans,
    out: &'o mut Vec<u8>,
    gaps: Vec<Gap>,
    /// Bytes in `out`, so far, that will be closed up.
    unused: usize,
    /// The entries of the objects that are being written, those of the innermost at the end.
    entries: Vec<Entry<'d>>,
}

/// Room for a length.
struct Gap {
    at: usize,
    /// How many bytes of it, at its beginning, are not needed.
    unused: usize,
}

/// An entry of an object, with the place of its field in the plan.
#[derive(Clone, Copy)]
struct Entry<'d> {
    field: usize,
    name: &'d str,
    value: Json<'d>,
}

/// A length that is not known yet.
struct Length {
    gap: usize,
    unused_before: usize,
}

impl<'p, 'd> Encoder<'p, 'd, '_> {
    fn open(&mut self) -> Length {
        self.gaps.push(Gap {
            at: self.out.len(),
            unused: 0,
        });
        self.out.extend_from_slice(&[0; LENGTH]);
        Length {
            gap: self.gaps.len() - 1,
            unused_before: self.unused,
        }
    }

    fn close(&mut self, length: &Length) {
        let gap = &mut self.gaps[length.gap];
        let content = gap.at + LENGTH;
        let len = (self.out.len() - content - (self.unused - length.unused_before)) as u64;
        gap.unused = LENGTH - wire::varint_len(len);
        self.unused += gap.unused;
        let mut rest = len;
        let room = &mut self.out[gap.at + gap.unused..content];
        let last = room.len() - 1;
        for byte in &mut room[..last] {
            *byte = (rest & 0x7f) as u8 | 0x80;
            rest >>= 7;
        }
        room[last] = rest as u8;
    }

    fn close_up(&mut self) {
        let Some(first) = self.gaps.first() else { return };
        let mut to = first.at;
        for (index, gap) in self.gaps.iter().enumerate() {
            let from = gap.at + gap.unused;
            let end = self.gaps.get(index + 1).map_or(self.out.len(), |next| next.at);
            self.out.copy_within(from..end, to);
            to += end - from;
        }
        self.out.truncate(to);
    }

    /// A message, without tag and length.
    fn message(&mut self, index: u32, json: Json<'d>, depth: u32) -> Result<(), Invalid> {
        if depth > MOST_DEPTH {
            return Err(too_deep());
        }
        let plan = self.plans.message(index);
        if let Some(result) = self.well_known(plan, json, depth) {
            return result;
        }
        match json {
            Json::Object(object) => self.object(plan, object, None, depth),
            _ => Err(number::expected("an object", json)),
        }
    }

    /// A message from an object's entries, without the one that has the name `but`.
    fn object(&mut self, plan: &'p Plan, object: Object<'d>, but: Option<&str>, depth: u32) -> Result<(), Invalid> {
        let base = self.entries.len();
        let mut guess = 0;
        let mut ordered = true;
        for (name, value) in object {
            if but == Some(name) {
                continue;
            }
            let Some(field) = plan.find(name, guess) else {
                return Err(unknown(plan, name));
            };
            ordered &= field >= guess;
            guess = field + 1;
            self.entries.push(Entry { field, name, value });
        }
        if !ordered {
            // In rising order, no field is there twice.
            let entries = &mut self.entries[base..];
            entries.sort_unstable_by_key(|entry| entry.field);
            if let Some(twice) = entries.windows(2).find(|two| two[0].field == two[1].field) {
                return Err(Invalid::new("the field is there twice").in_field(twice[1].name));
            }
        }
        self.fields(plan, base, depth)?;
        self.entries.truncate(base);
        Ok(())
    }

    /// Writes the fields whose entries lie from `base` on.
    fn fields(&mut self, plan: &'p Plan, base: usize, depth: u32) -> Result<(), Invalid> {
        let mut required = 0;
        let mut oneofs = Marks::default();
        for at in base..self.entries.len() {
            let Entry { field, name, value } = self.entries[at];
            let field = &plan.fields[field];
            if matches!(value, Json::Null) && !self.takes_null(field) {
                continue;
            }
            self.field(field, value, depth).map_err(|wrong| wrong.in_field(name))?;
            required += u32::from(field.required);
            if let Some(oneof) = field.oneof
                && !oneofs.mark(oneof)
            {
                let oneof = &plan.oneofs[oneof as usize];
                let wrong = format!("another field of the oneof `{oneof}` is set too; one at most may be");
                return Err(Invalid::new(wrong).in_field(name));
            }
        }
        match required < plan.required {
            true => Err(self.missing(plan, base)),
            false => Ok(()),
        }
    }

    /// The mistake that a required field is not there.
    fn missing(&self, plan: &Plan, base: usize) -> Invalid {
        let set = |at| {
            let at = self.entries[base..].binary_search_by_key(&at, |entry| entry.field);
            at.is_ok_and(|at| !matches!(self.entries[base + at].value, Json::Null))
        };
        let missing = plan
            .fields
            .iter()
            .enumerate()
            .find(|(at, field)| field.required && !set(*at));
        missing_field(missing.map(|(_, field)| field))
    }

    fn takes_null(&self, field: &Field) -> bool {
        matches!(field.shape, Shape::Single { .. }) && self.plans.has_null(field.kind)
    }

    /// A field with all its values.
    fn field(&mut self, field: &'p Field, value: Json<'d>, depth: u32) -> Result<(), Invalid> {
        match (field.shape, value) {
            (Shape::Single { presence }, _) => self.single(field, value, presence, depth),
            (Shape::Map, Json::Object(entries)) => self.map(field, entries, depth),
            (Shape::Map, _) => Err(number::expected("an object", value)),
            (_, Json::Array(items)) => {
                let packed = field.shape == Shape::Packed && items.len() > 0;
                let length = packed.then(|| {
                    field.tag.put(self.out);
                    self.open()
                });
                for (index, item) in items.enumerate() {
                    match packed {
                        true => self.scalar(field.kind, item).map(|_| ()),
                        false => self.single(field, item, true, depth),
                    }
                    .map_err(|wrong| wrong.in_item(index))?;
                }
                if let Some(length) = length {
                    self.close(&length);
                }
                Ok(())
            }
            _ => Err(number::expected("an array", value)),
        }
    }

    /// A value with its tag. Unless `presence`, nothing is written for the type's default.
    fn single(&mut self, field: &Field, value: Json<'d>, presence: bool, depth: u32) -> Result<(), Invalid> {
        let start = self.out.len();
        field.tag.put(self.out);
        match field.kind {
            Kind::Message(index) => {
                let length = self.open();
                self.message(index, value, depth + 1)?;
                self.close(&length);
            }
            Kind::Group(index) => {
                self.message(index, value, depth + 1)?;
                Tag::new(field.number, wire::GROUP_END).put(self.out);
            }
            kind => {
                let default = self.scalar(kind, value)?;
                if default && !presence {
                    self.out.truncate(start);
                }
            }
        }
        Ok(())
    }

    fn map(&mut self, field: &'p Field, entries: Object<'d>, depth: u32) -> Result<(), Invalid> {
        let Kind::Message(entry) = field.kind else {
            return Err(Invalid::new("a map without entries"));
        };
        let [key, value] = &self.plans.message(entry).fields[..] else {
            return Err(Invalid::new("an entry of a map without key and value"));
        };
        if entries.len() > 1 {
            let mut names: Vec<&str> = entries.map(|(name, _)| name).collect();
            names.sort_unstable();
            if let Some(twice) = names.windows(2).find(|two| two[0] == two[1]) {
                return Err(Invalid::new("the key is there twice").in_field(twice[0]));
            }
        }
        for (name, json) in entries {
            field.tag.put(self.out);
            let length = self.open();
            key.tag.put(self.out);
            self.key(key.kind, name)
                .and_then(|()| self.single(value, json, true, depth + 1))
                .map_err(|wrong| wrong.in_field(name))?;
            self.close(&length);
        }
        Ok(())
    }

    /// The key of a map's entry, which is a text in JSON.
    fn key(&mut self, kind: Kind, name: &'d str) -> Result<(), Invalid> {
        let json = match (kind, name) {
            (Kind::Bool, "true") => Json::Bool(true),
            (Kind::Bool, "false") => Json::Bool(false),
            _ => Json::Text(name),
        };
        self.scalar(kind, json)
            .map(|_| ())
            .map_err(|wrong| Invalid::new(format!("the key of a map: {}", wrong.reason())))
    }

    /// A value that is no message, without tag. Says whether it is the type's default.
    fn scalar(&mut self, kind: Kind, json: Json<'_>) -> Result<bool, Invalid> {
        let varint = match kind {
            Kind::String | Kind::Bytes => return self.bytes(kind, json),
            Kind::Double => return Ok(self.fixed(number::double(json)?.to_bits().to_le_bytes())),
            Kind::Float => return Ok(self.fixed(number::float(json)?.to_bits().to_le_bytes())),
            Kind::Fixed32 => return Ok(self.fixed(number::uint32(kind.name(), json)?.to_le_bytes())),
            Kind::Fixed64 => return Ok(self.fixed(number::uint64(kind.name(), json)?.to_le_bytes())),
            Kind::Sfixed32 => return Ok(self.fixed(number::int32(kind.name(), json)?.to_le_bytes())),
            Kind::Sfixed64 => return Ok(self.fixed(number::int64(kind.name(), json)?.to_le_bytes())),
            // Ten bytes for what is negative, as if it were an int64.
            Kind::Int32 => i64::from(number::int32(kind.name(), json)?) as u64,
            Kind::Int64 => number::int64(kind.name(), json)? as u64,
            Kind::Uint32 => number::uint32(kind.name(), json)?.into(),
            Kind::Uint64 => number::uint64(kind.name(), json)?,
            Kind::Sint32 => wire::zigzag(number::int32(kind.name(), json)?.into()),
            Kind::Sint64 => wire::zigzag(number::int64(kind.name(), json)?),
            Kind::Bool => match json {
                Json::Bool(value) => value.into(),
                _ => return Err(number::expected(kind.name(), json)),
            },
            Kind::Enum(index) => i64::from(self.enum_number(index, json)?) as u64,
            Kind::Message(_) | Kind::Group(_) => return Err(number::expected("a number or text", json)),
        };
        wire::put_varint(self.out, varint);
        Ok(varint == 0)
    }

    fn fixed<const N: usize>(&mut self, bytes: [u8; N]) -> bool {
        self.out.extend_from_slice(&bytes);
        bytes == [0; N]
    }

    fn bytes(&mut self, kind: Kind, json: Json<'_>) -> Result<bool, Invalid> {
        let Json::Text(text) = json else {
            return Err(number::expected(kind.name(), json));
        };
        if kind == Kind::String {
            self.text(text);
            return Ok(text.is_empty());
        }
        let encoded = Encoded::of(text).ok_or_else(|| number::expected(kind.name(), json))?;
        wire::put_varint(self.out, encoded.len() as u64);
        encoded.put(self.out);
        Ok(encoded.len() == 0)
    }

    fn text(&mut self, text: &str) {
        wire::put_varint(self.out, text.len() as u64);
        self.out.extend_from_slice(text.as_bytes());
    }

    fn enum_number(&self, index: u32, json: Json<'_>) -> Result<i32, Invalid> {
        let plan = self.plans.enumeration(index);
        let number = match json {
            Json::Null if plan.null => return Ok(0),
            Json::Text(name) => plan.number(name),
            _ => Some(number::int32("enum", json)?).filter(|&number| plan.allows(number)),
        };
        number.ok_or_else(|| number::expected(&format!("a value of the enum `{}`", plan.full_name), json))
    }
}

/// The mistake that there is no end of messages in messages.
pub(super) fn too_deep() -> Invalid {
    Invalid::new(format!(
        "messages nest deeper than {MOST_DEPTH}; make the value flatter"
    ))
}

fn unknown(plan: &Plan, name: &str) -> Invalid {
    Invalid::new(format!("`{}` has no field of this name", plan.full_name)).in_field(name)
}

/// The mistake that a required field is not there.
pub(super) fn missing_field(field: Option<&Field>) -> Invalid {
    let missing = Invalid::new("a required field is missing");
    match field {
        Some(field) => missing.in_field(&field.json_name),
        None => missing,
    }
}
