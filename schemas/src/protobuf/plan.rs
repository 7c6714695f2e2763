//! What is worked out once for each message of a schema. Messages refer to each other by index, so that one which holds itself costs
//! nothing more.

use std::collections::{HashMap, HashSet};

use prost_reflect::{Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, MessageDescriptor, Syntax};

use super::wire::{self, Tag};
use crate::BadSchema;

/// All messages and enums of a schema.
pub(super) struct Plans {
    messages: Vec<Plan>,
    enums: Vec<Enumeration>,
    by_name: HashMap<Box<str>, u32>,
    /// The library's own form, for what it does.
    pub(super) pool: DescriptorPool,
}

/// A message.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) full_name: Box<str>,
    /// By number.
    pub(super) fields: Vec<Field>,
    /// JSON names and original ones, sorted, with the place in `fields`.
    names: Vec<(Box<str>, u32)>,
    /// How many fields are required.
    pub(super) required: u32,
    /// The names of oneofs.
    pub(super) oneofs: Vec<Box<str>>,
    pub(super) special: Special,
}

/// A message whose JSON is not an object of its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Special {
    None,
    Any,
    /// A text that the library reads and writes: a time, a duration, a mask.
    Text,
    Struct,
    List,
    Value,
    /// A number, text or bytes in a message of its own.
    Wrapper,
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) json_name: Box<str>,
    /// The original name, unless it is another field's JSON name.
    original: Option<Box<str>>,
    pub(super) tag: Tag,
    pub(super) kind: Kind,
    pub(super) shape: Shape,
    pub(super) required: bool,
    /// The oneof that it is in, unless it is alone there because it is `optional`.
    pub(super) oneof: Option<u32>,
    /// What an occurrence costs the library, in values: it clears the oneof's other fields.
    pub(super) weight: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `presence`: a value is written even if it is the type's default.
    Single {
        presence: bool,
    },
    Repeated,
    /// Numbers in a row, with one tag.
    Packed,
    /// The kind is a message with the fields 1 and 2, which are at 0 and 1.
    Map,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    Enum(u32),
    Message(u32),
    Group(u32),
}

impl Kind {
    pub(super) fn wire_type(self) -> u8 {
        match self {
            Self::Double | Self::Fixed64 | Self::Sfixed64 => wire::FIXED64,
            Self::Float | Self::Fixed32 | Self::Sfixed32 => wire::FIXED32,
            Self::String | Self::Bytes | Self::Message(_) => wire::BYTES,
            Self::Group(_) => wire::GROUP,
            Self::Int32
            | Self::Int64
            | Self::Uint32
            | Self::Uint64
            | Self::Sint32
            | Self::Sint64
            | Self::Bool
            | Self::Enum(_) => wire::VARINT,
        }
    }

    /// Whether values may stand in a row, with one tag.
    pub(super) fn packable(self) -> bool {
        !matches!(self.wire_type(), wire::BYTES | wire::GROUP)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Double => "double",
            Self::Float => "float",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Uint32 => "uint32",
            Self::Uint64 => "uint64",
            Self::Sint32 => "sint32",
            Self::Sint64 => "sint64",
            Self::Fixed32 => "fixed32",
            Self::Fixed64 => "fixed64",
            Self::Sfixed32 => "sfixed32",
            Self::Sfixed64 => "sfixed64",
            Self::Bool => "bool",
            Self::String => "string",
            Self::Bytes => "bytes (base64)",
            Self::Enum(_) => "enum",
            Self::Message(_) | Self::Group(_) => "message",
        }
    }
}

/// An enum.
#[derive(Debug)]
pub(super) struct Enumeration {
    pub(super) full_name: Box<str>,
    /// Sorted.
    names: Vec<(Box<str>, i32)>,
    numbers: HashSet<i32>,
    /// Whether only the numbers that are declared may be written: enums of proto2.
    closed: bool,
    /// `google.protobuf.NullValue`, whose JSON is `null`.
    pub(super) null: bool,
}

impl Enumeration {
    fn new(it: &EnumDescriptor) -> Self {
        let mut names: Vec<_> = it.values().map(|value| (value.name().into(), value.number())).collect();
        names.sort_unstable();
        Self {
            numbers: names.iter().map(|&(_, number)| number).collect(),
            names,
            closed: it.parent_file().syntax() == Syntax::Proto2,
            null: it.full_name() == "google.protobuf.NullValue",
            full_name: it.full_name().into(),
        }
    }

    pub(super) fn number(&self, name: &str) -> Option<i32> {
        let at = self.names.binary_search_by(|(it, _)| (**it).cmp(name)).ok()?;
        Some(self.names[at].1)
    }

    pub(super) fn allows(&self, number: i32) -> bool {
        !self.closed || self.numbers.contains(&number)
    }
}

impl Field {
    fn is_called(&self, name: &str) -> bool {
        *self.json_name == *name || self.original.as_deref() == Some(name)
    }
}

impl Plan {
    /// The place of the field of this name. `guess` is tried first: values mostly list fields in the schema's order.
    pub(super) fn find(&self, name: &str, guess: usize) -> Option<usize> {
        if self.fields.get(guess).is_some_and(|field| field.is_called(name)) {
            return Some(guess);
        }
        let at = self.names.binary_search_by(|(it, _)| (**it).cmp(name)).ok()?;
        Some(self.names[at].1 as usize)
    }

    /// The place of the field of this number. `guess` is tried first.
    pub(super) fn find_number(&self, number: u32, guess: usize) -> Option<usize> {
        if self.fields.get(guess).is_some_and(|field| field.number == number) {
            return Some(guess);
        }
        self.fields.binary_search_by_key(&number, |field| field.number).ok()
    }
}

impl Plans {
    /// Works out all messages of these descriptors.
    pub(super) fn new(pool: DescriptorPool) -> Result<Self, BadSchema> {
        let by_name = index(pool.all_messages().map(|message| message.full_name().into()));
        let enums = index(pool.all_enums().map(|it| it.full_name().into()));
        let builder = Builder {
            messages: &by_name,
            enums: &enums,
        };
        let messages = pool
            .all_messages()
            .map(|message| builder.message(&message))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| BadSchema::new("a map of the schema has no key or value"))?;
        Ok(Self {
            messages,
            enums: pool.all_enums().map(|it| Enumeration::new(&it)).collect(),
            by_name,
            pool,
        })
    }

    /// The message of this full name.
    pub(super) fn named(&self, full_name: &str) -> Option<u32> {
        self.by_name.get(full_name).copied()
    }

    pub(super) fn message(&self, index: u32) -> &Plan {
        &self.messages[index as usize]
    }

    pub(super) fn enumeration(&self, index: u32) -> &Enumeration {
        &self.enums[index as usize]
    }

    /// Whether `null` is a value of this kind.
    pub(super) fn has_null(&self, kind: Kind) -> bool {
        match kind {
            Kind::Enum(index) => self.enumeration(index).null,
            Kind::Message(index) => self.message(index).special == Special::Value,
            _ => false,
        }
    }
}

fn index(names: impl Iterator<Item = Box<str>>) -> HashMap<Box<str>, u32> {
    names.zip(0..).collect()
}

struct Builder<'n> {
    messages: &'n HashMap<Box<str>, u32>,
    enums: &'n HashMap<Box<str>, u32>,
}

impl Builder<'_> {
    fn message(&self, message: &MessageDescriptor) -> Option<Plan> {
        // Those of fields that are only `optional` are not in the text.
        let mut oneof_at = HashMap::new();
        let mut oneofs = Vec::new();
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            oneof_at.insert(oneof.name().to_owned(), (oneofs.len() as u32, oneof.fields().len()));
            oneofs.push(oneof.name().into());
        }
        let json_names: HashSet<String> = message.fields().map(|field| field.json_name().to_owned()).collect();
        let mut fields = Vec::with_capacity(message.fields().len());
        for field in message.fields() {
            let oneof = field
                .containing_oneof()
                .and_then(|oneof| oneof_at.get(oneof.name()).copied());
            let mut planned = self.field(&field, oneof)?;
            planned.original = (!json_names.contains(field.name())).then(|| field.name().into());
            fields.push(planned);
        }
        Some(Plan {
            full_name: message.full_name().into(),
            names: names(&fields),
            required: fields.iter().map(|field| u32::from(field.required)).sum(),
            special: special(message.full_name()),
            fields,
            oneofs,
        })
    }

    fn field(&self, field: &FieldDescriptor, oneof: Option<(u32, usize)>) -> Option<Field> {
        let kind = self.kind(field)?;
        let shape = if field.is_map() {
            let entry = field.kind();
            let entry = entry.as_message()?;
            // Sorted by number, these are at 0 and 1.
            (entry.fields().map(|field| field.number()).eq([1, 2])).then_some(Shape::Map)?
        } else if field.is_list() {
            match field.is_packed() {
                true => Shape::Packed,
                false => Shape::Repeated,
            }
        } else {
            Shape::Single {
                presence: field.supports_presence(),
            }
        };
        let wire_type = match shape {
            Shape::Packed => wire::BYTES,
            _ => kind.wire_type(),
        };
        Some(Field {
            number: field.number(),
            json_name: field.json_name().into(),
            original: None,
            tag: Tag::new(field.number(), wire_type),
            kind,
            shape,
            required: field.cardinality() == Cardinality::Required,
            oneof: oneof.map(|(index, _)| index),
            weight: 1 + oneof.map_or(0, |(_, fields)| fields / 4),
        })
    }

    fn kind(&self, field: &FieldDescriptor) -> Option<Kind> {
        use prost_reflect::Kind as Theirs;
        Some(match field.kind() {
            Theirs::Double => Kind::Double,
            Theirs::Float => Kind::Float,
            Theirs::Int32 => Kind::Int32,
            Theirs::Int64 => Kind::Int64,
            Theirs::Uint32 => Kind::Uint32,
            Theirs::Uint64 => Kind::Uint64,
            Theirs::Sint32 => Kind::Sint32,
            Theirs::Sint64 => Kind::Sint64,
            Theirs::Fixed32 => Kind::Fixed32,
            Theirs::Fixed64 => Kind::Fixed64,
            Theirs::Sfixed32 => Kind::Sfixed32,
            Theirs::Sfixed64 => Kind::Sfixed64,
            Theirs::Bool => Kind::Bool,
            Theirs::String => Kind::String,
            Theirs::Bytes => Kind::Bytes,
            Theirs::Enum(it) => Kind::Enum(*self.enums.get(it.full_name())?),
            Theirs::Message(message) => {
                let index = *self.messages.get(message.full_name())?;
                match field.is_group() {
                    true => Kind::Group(index),
                    false => Kind::Message(index),
                }
            }
        })
    }
}

/// The names by which JSON may call these fields.
fn names(fields: &[Field]) -> Vec<(Box<str>, u32)> {
    let json = fields.iter().zip(0..).map(|(field, at)| (field.json_name.clone(), at));
    let original = fields
        .iter()
        .zip(0..)
        .filter_map(|(field, at)| Some((field.original.clone()?, at)));
    let mut names: Vec<_> = json.chain(original).collect();
    names.sort_unstable();
    names
}

fn special(full_name: &str) -> Special {
    match full_name.strip_prefix("google.protobuf.") {
        Some("Any") => Special::Any,
        Some("Timestamp" | "Duration" | "FieldMask") => Special::Text,
        Some("Struct") => Special::Struct,
        Some("ListValue") => Special::List,
        Some("Value") => Special::Value,
        Some(
            "DoubleValue" | "FloatValue" | "Int64Value" | "UInt64Value" | "Int32Value" | "UInt32Value" | "BoolValue"
            | "StringValue" | "BytesValue",
        ) => Special::Wrapper,
        _ => Special::None,
    }
}
