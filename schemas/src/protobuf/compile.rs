//! From texts to descriptors.
//!
//! `protox` parses. Its compiler is not used: it follows imports by recursion, and with many `import public` in time that doubles with
//! each.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use prost_reflect::{
    DescriptorPool,
    prost_types::{
        DescriptorProto, FieldDescriptorProto, FileDescriptorProto, MessageOptions, field_descriptor_proto::Type,
    },
};
use protox::file::{File, FileResolver as _, GoogleFileResolver};

use self::reduce::{Budget, dots, each};
use super::text;
use crate::{BadSchema, Source};

mod reduce;

/// The most files of a schema, with all that it imports.
const MOST_FILES: usize = 256;

/// A schema's descriptors, and what its text itself declares.
pub(super) struct Compiled {
    pub(super) pool: DescriptorPool,
    pub(super) package: String,
    pub(super) declared: Vec<Declared>,
}

/// A message that the text declares, with those inside of it in their order. What the parser makes of maps and groups is none of them:
/// clients of Confluent's registry for Java, whose rule this is, count the `message` statements of the text
/// (`ProtobufSchema.toMessageIndexes`).
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
            file: match bundled {
                Some(file) => file.into(),
                None => match texts.get(import.as_str()).copied().or_else(|| known(import)) {
                    Some(text) => parse(import, text)?,
                    None => return Err(missing(open.file.name(), import)),
                },
            },
            next_import: 0,
        };
        stack.push(next);
    }
    Ok(pool)
}

/// Files that Confluent's converters import without a reference, without what is not looked at.
fn known(import: &str) -> Option<&'static str> {
    Some(match import {
        "confluent/meta.proto" => {
            "syntax = 'proto3'; package confluent; message Meta {
               string doc = 1; map<string, string> params = 2; repeated string tags = 3; }"
        }
        "confluent/type/decimal.proto" => {
            "syntax = 'proto3'; package confluent.type; message Decimal {
               bytes value = 1; uint32 precision = 2; int32 scale = 3; }"
        }
        "google/type/date.proto" => {
            "syntax = 'proto3'; package google.type; message Date { int32 year = 1; int32 month = 2; int32 day = 3; }"
        }
        "google/type/timeofday.proto" => {
            "syntax = 'proto3'; package google.type; message TimeOfDay {
               int32 hours = 1; int32 minutes = 2; int32 seconds = 3; int32 nanos = 4; }"
        }
        _ => return None,
    })
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
