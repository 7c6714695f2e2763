//! What was parsed, reduced to what the bytes of a message depend on.
//!
//! Options (but `packed` and `allow_alias`), services, extensions, reserved numbers, defaults of proto2 and source positions are left
//! out: whoever registered the schema had them checked, and what the library does with them takes quadratic time or recurses without
//! bound.

use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumOptions, EnumValueDescriptorProto, FieldDescriptorProto, FieldOptions,
    MessageOptions, OneofDescriptorProto, UninterpretedOption,
    field_descriptor_proto::{Label, Type},
};

use crate::BadSchema;

/// The most messages, fields, oneofs, enums and their values, in all files. Each takes some kilobytes.
const MOST_THINGS: usize = 60_000;
/// The most values of one enum: the library keeps them sorted by insertion.
const MOST_ENUM_VALUES: usize = 10_000;
/// The most bytes of all full names, and of what is looked up to find the types that they mean.
const MOST_NAMES: usize = 32 << 20;
/// The types that belong to Protobuf itself.
const GOOGLE: &str = "google.protobuf.";

pub(super) fn each<T>(all: Vec<T>, reduce: impl FnMut(T) -> Result<T, BadSchema>) -> Result<Vec<T>, BadSchema> {
    all.into_iter().map(reduce).collect()
}

pub(super) fn dots(name: &str) -> usize {
    name.bytes().filter(|&byte| byte == b'.').count()
}

/// What all files have taken so far.
#[derive(Default)]
pub(super) struct Budget {
    things: usize,
    names: usize,
    /// Whether the file at hand is one of Protobuf's own.
    pub(super) bundled: bool,
}

impl Budget {
    pub(super) fn names(&mut self, bytes: usize) -> Result<(), BadSchema> {
        self.names = self.names.saturating_add(bytes);
        if self.names > MOST_NAMES {
            return Err(BadSchema::new(format!(
                "the full names of what the schema declares have over {MOST_NAMES} bytes; shorten or divide it"
            )));
        }
        Ok(())
    }

    /// Counts a thing that is declared in a scope; gives its full name.
    fn thing(&mut self, scope: &str, name: &str) -> Result<String, BadSchema> {
        self.things += 1;
        if self.things > MOST_THINGS {
            return Err(BadSchema::new(format!(
                "the schema declares over {MOST_THINGS} messages, fields and enum values; divide it"
            )));
        }
        let full_name = match scope {
            "" => name.to_owned(),
            _ => format!("{scope}.{name}"),
        };
        self.names(full_name.len())?;
        if full_name.starts_with(GOOGLE) && !self.bundled {
            return Err(BadSchema::new(format!(
                "it declares `{full_name}`; the package `google.protobuf` is Protobuf's own"
            )));
        }
        Ok(full_name)
    }

    /// Reduces a message. The parser has refused what nests deeper than 31.
    pub(super) fn message(&mut self, message: DescriptorProto, scope: &str) -> Result<DescriptorProto, BadSchema> {
        let full_name = self.thing(scope, message.name())?;
        let options = message.options.unwrap_or_default();
        if is_set(&options.uninterpreted_option, "message_set_wire_format") {
            return Err(BadSchema::new(format!(
                "`{full_name}` has the option `message_set_wire_format`, which cannot be used"
            )));
        }
        // Confluent's clients write maps in this way where they make a text from descriptors.
        let map_entry = is_set(&options.uninterpreted_option, "map_entry");
        if map_entry && !is_entry(&message.field) {
            return Err(BadSchema::new(format!(
                "`{full_name}` has the option `map_entry`, and not just a key 1 of a simple type and a value 2"
            )));
        }
        Ok(DescriptorProto {
            field: each(message.field, |field| self.field(field, &full_name))?,
            nested_type: each(message.nested_type, |nested| self.message(nested, &full_name))?,
            enum_type: each(message.enum_type, |it| self.enumeration(it, &full_name))?,
            oneof_decl: each(message.oneof_decl, |oneof| {
                self.thing(&full_name, oneof.name())?;
                Ok(OneofDescriptorProto {
                    name: oneof.name,
                    options: None,
                })
            })?,
            options: (map_entry || options.map_entry()).then(|| MessageOptions {
                map_entry: Some(true),
                ..MessageOptions::default()
            }),
            name: message.name,
            ..DescriptorProto::default()
        })
    }

    fn field(&mut self, field: FieldDescriptorProto, scope: &str) -> Result<FieldDescriptorProto, BadSchema> {
        self.thing(scope, field.name())?;
        let type_name = field.type_name().len();
        if type_name > 0 {
            // It is looked for in each of the scopes around.
            self.names((2 + dots(scope)) * (scope.len() + type_name))?;
        }
        let options = field.options.unwrap_or_default();
        let packed = options
            .packed
            .or_else(|| value_of(&options.uninterpreted_option, "packed"));
        Ok(FieldDescriptorProto {
            options: packed.map(|packed| FieldOptions {
                packed: Some(packed),
                ..FieldOptions::default()
            }),
            default_value: None,
            extendee: None,
            ..field
        })
    }

    pub(super) fn enumeration(
        &mut self,
        it: EnumDescriptorProto,
        scope: &str,
    ) -> Result<EnumDescriptorProto, BadSchema> {
        let full_name = self.thing(scope, it.name())?;
        if it.value.len() > MOST_ENUM_VALUES {
            return Err(BadSchema::new(format!(
                "the enum `{full_name}` has over {MOST_ENUM_VALUES} values; divide it"
            )));
        }
        let options = it.options.unwrap_or_default();
        let allow_alias = options
            .allow_alias
            .or_else(|| value_of(&options.uninterpreted_option, "allow_alias"));
        Ok(EnumDescriptorProto {
            value: each(it.value, |value| {
                self.thing(scope, value.name())?;
                Ok(EnumValueDescriptorProto {
                    name: value.name,
                    number: value.number,
                    options: None,
                })
            })?,
            options: allow_alias.map(|allow_alias| EnumOptions {
                allow_alias: Some(allow_alias),
                ..EnumOptions::default()
            }),
            name: it.name,
            ..EnumDescriptorProto::default()
        })
    }
}

/// Whether a message of these fields can be an entry of a map.
fn is_entry(fields: &[FieldDescriptorProto]) -> bool {
    let [key, value] = fields else { return false };
    let simple = !matches!(
        key.r#type(),
        Type::Double | Type::Float | Type::Bytes | Type::Enum | Type::Message | Type::Group
    );
    let optional = |field: &FieldDescriptorProto| field.label() == Label::Optional && field.oneof_index.is_none();
    (key.number(), key.name(), value.number(), value.name()) == (1, "key", 2, "value")
        && (simple && key.type_name().is_empty())
        && (optional(key) && optional(value) && value.r#type() != Type::Group)
}

/// The options of this name, in the text.
fn options<'o>(all: &'o [UninterpretedOption], name: &str) -> impl Iterator<Item = &'o UninterpretedOption> {
    all.iter().filter(move |option| match option.name.as_slice() {
        [part] => !part.is_extension && part.name_part == name,
        _ => false,
    })
}

fn value_of(all: &[UninterpretedOption], name: &str) -> Option<bool> {
    options(all, name)
        .next()
        .map(|option| option.identifier_value() == "true")
}

fn is_set(all: &[UninterpretedOption], name: &str) -> bool {
    value_of(all, name) == Some(true)
}
