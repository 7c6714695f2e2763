//! From texts to descriptors.
//!
//! `protox` parses. Its compiler is not used: it follows imports by recursion, and with many `import public` in time that doubles with
//! each. What it parsed is reduced to what the bytes of a message depend on. Options (but `packed` and `allow_alias`), services,
//! extensions, reserved numbers, defaults of proto2 and source positions are left out: whoever registered the schema had them
//! checked, and what the library does with them takes quadratic time or recurses without bound.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use prost_reflect::{
    DescriptorPool,
    prost_types::{
        DescriptorProto, EnumDescriptorProto, EnumOptions, EnumValueDescriptorProto, FieldDescriptorProto,
        FieldOptions, FileDescriptorProto, MessageOptions, OneofDescriptorProto, UninterpretedOption,
        field_descriptor_proto::Type,
    },
};
use protox::file::{File, FileResolver as _, GoogleFileResolver};

use super::text;
use crate::{BadSchema, Source};

/// The most files of a schema, with all that it imports.
const MOST_FILES: usize = 256;
/// The most messages, fields, oneofs, enums and their values, in all files. Each takes some kilobytes.
const MOST_THINGS: usize = 60_000;
/// The most values of one enum: the library keeps them sorted by insertion.
const MOST_ENUM_VALUES: usize = 10_000;
/// The most bytes of all full names, and of what is looked up to find the types that they mean.
const MOST_NAMES: usize = 32 << 20;
/// The types that belong to Protobuf itself.
const GOOGLE: &str = "google.protobuf.";

/// A schema's descriptors, and what its text itself declares.
pub(super) struct Compiled {
    pub(super) pool: DescriptorPool,
    pub(super) package: String,
    pub(super) declared: Vec<Declared>,
}

/// A message that the text declares, with those inside of it in their order. Entries of maps and groups are none of them: clients of
/// Confluent's registry for Java, whose rule this is, count the `message` statements of the text (`ProtobufSchema.toMessageIndexes`).
pub(super) struct Declared {
    pub(super) name: String,
    pub(super) nested: Vec<Declared>,
}

/// Compiles a schema's text with what it imports.
pub(super) fn compile(source: &Source) -> Result<Compiled, BadSchema> {
    let mut texts: HashMap<&str, &str> = HashMap::new();
    for (name, text) in &source.references {
        texts.insert(name, text);
    }
    let mut main = "schema".to_owned();
    while texts.contains_key(main.as_str()) {
        main.push('_');
    }
    let root = parse(&main, &source.text)?;
    let declared = declared(&root.message_type, &[], &root.extension);
    let package = root.package().to_owned();
    let pool = link(root, &texts)?;
    Ok(Compiled {
        pool,
        package,
        declared,
    })
}

/// A file that others wait for, while what it imports is read.
struct Open {
    file: FileDescriptorProto,
    next_import: usize,
    bundled: bool,
}

/// Reads what a file imports, in depth, without recursion.
fn link(root: FileDescriptorProto, texts: &HashMap<&str, &str>) -> Result<DescriptorPool, BadSchema> {
    let mut pool = DescriptorPool::new();
    let mut budget = Budget::default();
    // What a file passes on to those that import it.
    let mut linked: HashMap<String, Vec<Rc<str>>> = HashMap::new();
    let mut names = HashSet::from([root.name().to_owned()]);
    let mut stack = vec![Open {
        file: root,
        next_import: 0,
        bundled: false,
    }];
    while let Some(open) = stack.last_mut() {
        let Some(import) = open.file.dependency.get(open.next_import) else {
            if let Some(open) = stack.pop() {
                add(open, &mut pool, &mut linked, &mut budget)?;
            }
            continue;
        };
        open.next_import += 1;
        if linked.contains_key(import) {
            continue;
        }
        if !names.insert(import.clone()) {
            return Err(BadSchema::new(format!(
                "{}: it imports {import:?}, which needs this file itself; imports cannot go in a circle",
                open.file.name()
            )));
        }
        if names.len() > MOST_FILES {
            return Err(BadSchema::new(format!(
                "the schema imports over {MOST_FILES} files; divide it"
            )));
        }
        let bundled = GoogleFileResolver::new().open_file(import).ok();
        let next = Open {
            bundled: bundled.is_some(),
            file: match (bundled, texts.get(import.as_str())) {
                (Some(file), _) => file.into(),
                (None, Some(text)) => parse(import, text)?,
                (None, None) => return Err(missing(open.file.name(), import)),
            },
            next_import: 0,
        };
        stack.push(next);
    }
    Ok(pool)
}

fn missing(file: &str, import: &str) -> BadSchema {
    BadSchema::new(format!(
        "{file}: it imports {import:?}, which is not among the schema's references; register it as one, under this name"
    ))
}

fn parse(name: &str, text: &str) -> Result<FileDescriptorProto, BadSchema> {
    text::check(name, text)?;
    let file: FileDescriptorProto = File::from_source(name, text)
        .map_err(|error| {
            // In this form, the error has the line.
            let mut reason = format!("{error:?}");
            if reason.contains("found 'edition'") {
                reason.push_str("; editions cannot be used yet, only proto2 and proto3");
            }
            BadSchema::new(reason)
        })?
        .into();
    if file.dependency.len() > MOST_FILES {
        return Err(BadSchema::new(format!(
            "{name}: it has over {MOST_FILES} imports; divide it"
        )));
    }
    if file.dependency.iter().any(|import| import.len() > text::MOST_NAME) {
        return Err(BadSchema::new(format!(
            "{name}: the name of an import has over {} bytes; shorten it",
            text::MOST_NAME
        )));
    }
    Ok(file)
}

/// Adds a file whose imports are there.
fn add(
    open: Open,
    pool: &mut DescriptorPool,
    linked: &mut HashMap<String, Vec<Rc<str>>>,
    budget: &mut Budget,
) -> Result<(), BadSchema> {
    let Open { file, bundled, .. } = open;
    // Imports that are passed on are listed here as the file's own: the library follows `import public` one step, and doubles its time
    // where two ways lead to the same file.
    let mut seen = HashSet::new();
    let mut dependency = Vec::new();
    let mut passed_on: Vec<Rc<str>> = Vec::new();
    let mut passed_on_seen = HashSet::new();
    for (index, import) in file.dependency.iter().enumerate() {
        let public = file
            .public_dependency
            .iter()
            .any(|&it| usize::try_from(it) == Ok(index));
        let further = linked.get(import).map_or(&[][..], Vec::as_slice);
        for name in std::iter::once(&Rc::from(import.as_str())).chain(further) {
            if seen.insert(name.clone()) {
                budget.names(name.len())?;
                dependency.push(name.to_string());
            }
            if public && passed_on_seen.insert(name.clone()) {
                passed_on.push(name.clone());
            }
        }
    }
    budget.bundled = bundled;
    let name = file.name().to_owned();
    let package = file.package().to_owned();
    // The library keeps each of its beginnings.
    budget.names(package.len() * (1 + dots(&package)))?;
    let reduced = FileDescriptorProto {
        name: file.name,
        package: file.package,
        dependency,
        message_type: each(file.message_type, |message| budget.message(message, &package))?,
        enum_type: each(file.enum_type, |it| budget.enumeration(it, &package))?,
        syntax: file.syntax,
        ..FileDescriptorProto::default()
    };
    pool.add_file_descriptor_proto(reduced)
        .map_err(|error| BadSchema::new(format!("{name}: {error}")))?;
    linked.insert(name, passed_on);
    Ok(())
}

fn each<T>(all: Vec<T>, reduce: impl FnMut(T) -> Result<T, BadSchema>) -> Result<Vec<T>, BadSchema> {
    all.into_iter().map(reduce).collect()
}

fn dots(name: &str) -> usize {
    name.bytes().filter(|&byte| byte == b'.').count()
}

/// What all files have taken so far.
#[derive(Default)]
struct Budget {
    things: usize,
    names: usize,
    /// Whether the file at hand is one of Protobuf's own.
    bundled: bool,
}

impl Budget {
    fn names(&mut self, bytes: usize) -> Result<(), BadSchema> {
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
    fn message(&mut self, message: DescriptorProto, scope: &str) -> Result<DescriptorProto, BadSchema> {
        let full_name = self.thing(scope, message.name())?;
        let options = message.options.unwrap_or_default();
        for refused in ["map_entry", "message_set_wire_format"] {
            if is_set(&options.uninterpreted_option, refused) {
                return Err(BadSchema::new(format!(
                    "`{full_name}` has the option `{refused}`, which cannot be used"
                )));
            }
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
            options: options.map_entry.map(|entry| MessageOptions {
                map_entry: Some(entry),
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

    fn enumeration(&mut self, it: EnumDescriptorProto, scope: &str) -> Result<EnumDescriptorProto, BadSchema> {
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

/// The messages in a scope, without what the parser made of the maps and groups there.
fn declared(
    messages: &[DescriptorProto],
    fields: &[FieldDescriptorProto],
    extensions: &[FieldDescriptorProto],
) -> Vec<Declared> {
    let groups: HashSet<&str> = fields
        .iter()
        .chain(extensions)
        .filter(|field| field.r#type() == Type::Group)
        .map(FieldDescriptorProto::type_name)
        .collect();
    messages
        .iter()
        .filter(|message| {
            let entry = message.options.as_ref().is_some_and(MessageOptions::map_entry);
            !entry && !groups.contains(message.name())
        })
        .map(|message| Declared {
            name: message.name().to_owned(),
            nested: declared(&message.nested_type, &message.field, &message.extension),
        })
        .collect()
}
