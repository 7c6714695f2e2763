//! Turns the text of a schema into its list of types.

use std::collections::{HashMap, hash_map::Entry};

use super::{
    defaults::{self, Wanted},
    finite,
    logical::logical,
    names::{FullName, PRIMITIVES, bad_name, is_name},
    types::{Enum, Field, Fixed, Id, Kind, Logical, Names, Record, Type, Types, Union},
};
use crate::{
    BadSchema, Source,
    document::{Array, Document, Json, Object},
    invalid::Invalid,
};

/// The most types in a schema and what it refers to.
const MOST_TYPES: usize = 10_000;
/// The most bytes of a fixed type: more than Kafka takes in a record.
const MOST_FIXED: i64 = 16 << 20;

/// Compiles a schema. What it refers to comes first: the types named there are known in what follows.
pub(super) fn compile(source: &Source) -> Result<Types, BadSchema> {
    let mut texts: Vec<(Option<&str>, &str)> = Vec::with_capacity(source.references.len() + 1);
    texts.extend(source.references.iter().map(|(name, text)| (Some(&**name), &**text)));
    texts.push((None, &source.text));
    let mut documents = Vec::with_capacity(texts.len());
    for (name, text) in &texts {
        let document = Document::parse(text.as_bytes()).map_err(|wrong| {
            let reason = wrong.reason().replacen("the value", "the schema", 1);
            bad(*name, &Invalid::new(reason))
        })?;
        documents.push(document);
    }
    let mut compiler = Compiler::new();
    let mut root = 0;
    for ((name, _), document) in texts.iter().zip(&documents) {
        root = compiler
            .schema(document.root(), "")
            .map_err(|wrong| bad(*name, &wrong))?;
    }
    let Compiler { types, wanted, .. } = compiler;
    let mut types = Types {
        list: types,
        root,
        defaults: Vec::new(),
    };
    finite::settle(&mut types.list).map_err(|wrong| bad(None, &wrong))?;
    let bytes = texts.iter().map(|(_, text)| text.len()).sum();
    defaults::settle(&mut types, &wanted, bytes).map_err(|wrong| bad(None, &wrong))?;
    Ok(types)
}

/// A mistake in the schema, or in what it refers to by this name.
fn bad(name: Option<&str>, wrong: &Invalid) -> BadSchema {
    BadSchema::new(match name {
        Some(name) => format!("in the reference {name:?}: {wrong}"),
        None => wrong.to_string(),
    })
}

struct Compiler<'d> {
    types: Vec<Type>,
    /// The types that were defined so far, by full name.
    named: HashMap<String, Id>,
    /// The defaults that stand in the text. They are encoded last, since that takes the whole schema.
    wanted: Vec<Wanted<'d>>,
}

impl<'d> Compiler<'d> {
    fn new() -> Self {
        let primitives = [
            Kind::Null,
            Kind::Boolean,
            Kind::Int,
            Kind::Long,
            Kind::Float,
            Kind::Double,
            Kind::Bytes,
            Kind::String,
        ];
        Self {
            types: primitives.map(|kind| Type::new(kind, Logical::None)).into(),
            named: HashMap::new(),
            wanted: Vec::new(),
        }
    }

    /// Compiles a part of a text; `space` is the namespace of the definition around it. Recurses as deep as the text, which is bounded.
    fn schema(&mut self, json: Json<'d>, space: &str) -> Result<Id, Invalid> {
        match json {
            Json::Text(name) => self.known(name, space),
            Json::Array(branches) => self.union(branches, space),
            Json::Object(object) => self.object(object, space),
            other => {
                let reason = format!("a type is a name, an object or a list, not {}", other.shown());
                Err(Invalid::new(reason))
            }
        }
    }

    fn object(&mut self, object: Object<'d>, space: &str) -> Result<Id, Invalid> {
        let attributes = Attributes::read(object)?;
        match attributes.kind {
            Some(Json::Text("record" | "error")) => self.record(&attributes, space),
            Some(Json::Text("enum")) => self.enumeration(&attributes, space),
            Some(Json::Text("fixed")) => self.fixed(&attributes, space),
            Some(Json::Text("array")) => {
                let items = self.part("items", attributes.items, space)?;
                self.push(Kind::Array(items), Logical::None)
            }
            Some(Json::Text("map")) => {
                let values = self.part("values", attributes.values, space)?;
                self.push(Kind::Map(values), Logical::None)
            }
            Some(Json::Text(name)) => self.dressed(name, &attributes, space),
            // As Java's library does, which takes `{"type": {"type": "int"}}`.
            Some(nested) => self.schema(nested, space),
            None => Err(Invalid::new("an object without \"type\" is no type")),
        }
    }

    /// A primitive type, perhaps with a logical one.
    fn dressed(&mut self, name: &str, attributes: &Attributes<'d>, space: &str) -> Result<Id, Invalid> {
        let id = self.known(name, space)?;
        if id >= PRIMITIVES.len() {
            return Ok(id);
        }
        let logical = logical(&self.types[id].kind, attributes);
        let kind = match self.types[id].kind {
            Kind::Int => Kind::Int,
            Kind::Long => Kind::Long,
            Kind::Bytes => Kind::Bytes,
            Kind::String => Kind::String,
            // No logical type is known for the others.
            _ => return Ok(id),
        };
        match logical {
            Logical::None => Ok(id),
            logical => self.push(kind, logical),
        }
    }

    /// A type that was defined before, or a primitive one.
    fn known(&self, name: &str, space: &str) -> Result<Id, Invalid> {
        if let Some(id) = PRIMITIVES.iter().position(|primitive| *primitive == name) {
            return Ok(id);
        }
        let full = FullName::used(name, space)?;
        // A name without namespace may also be meant where there is one around: Java's library takes it.
        let id = self.named.get(full.text()).or_else(|| self.named.get(name));
        id.copied().ok_or_else(|| {
            let mut reason = format!("there is no type {name:?}: a type has to be defined before it is used");
            if matches!(name, "record" | "enum" | "fixed" | "array" | "map") {
                reason = format!("{name:?} is no type by itself: write {{\"type\": {{\"type\": {name:?}, …}}}}");
            }
            Invalid::new(reason)
        })
    }

    fn part(&mut self, name: &str, part: Option<Json<'d>>, space: &str) -> Result<Id, Invalid> {
        match part {
            Some(part) => self.schema(part, space),
            None => Err(Invalid::new(format!("{name:?} is missing, which says the type"))),
        }
    }

    fn union(&mut self, branches: Array<'d>, space: &str) -> Result<Id, Invalid> {
        let mut union = Union::default();
        for json in branches {
            let id = self.schema(json, space)?;
            let branch = &self.types[id];
            if matches!(branch.kind, Kind::Union(_)) {
                return Err(Invalid::new("a union cannot be a branch of a union: list its branches"));
            }
            if !union.push(id, branch) {
                let reason = format!("the union has the branch {:?} twice", branch.kind.name());
                return Err(Invalid::new(reason));
            }
        }
        if union.branches.is_empty() {
            return Err(Invalid::new("a union without branches has no values"));
        }
        self.push(Kind::Union(union.into()), Logical::None)
    }

    fn record(&mut self, attributes: &Attributes<'d>, space: &str) -> Result<Id, Invalid> {
        let name = FullName::defined(attributes.name, attributes.namespace, space)?;
        let begun = || Record {
            name: name.text().to_owned(),
            ..Record::default()
        };
        // Its own fields may refer to it, by its name as a branch, too.
        let id = self.define(&name, Kind::Record(begun()), Logical::None)?;
        let mut record = begun();
        for json in list("fields", attributes.fields)? {
            let Json::Object(object) = json else {
                return Err(Invalid::new(format!("a field is an object, not {}", json.shown())));
            };
            let attributes = Attributes::read(object)?;
            let Some(Json::Text(field)) = attributes.name else {
                return Err(Invalid::new(format!("a field of {:?} has no name", record.name)));
            };
            if !is_name(field) {
                return Err(bad_name(field));
            }
            let of = self
                .part("type", attributes.kind, name.space())
                .map_err(|wrong| wrong.in_field(field))?;
            if !record.names.push(field) {
                let reason = format!("the record {:?} has this field twice", record.name);
                return Err(Invalid::new(reason).in_field(field));
            }
            if let Some(json) = attributes.default {
                let field = record.fields.len();
                self.wanted.push(Wanted {
                    record: id,
                    field,
                    json,
                });
            }
            record.fields.push(Field { of, default: None });
        }
        self.types[id].kind = Kind::Record(record);
        Ok(id)
    }

    fn enumeration(&mut self, attributes: &Attributes<'d>, space: &str) -> Result<Id, Invalid> {
        let name = FullName::defined(attributes.name, attributes.namespace, space)?;
        let wrong = |what: String| Invalid::new(format!("the enum {:?} {what}", name.text()));
        let mut symbols = Names::default();
        for json in list("symbols", attributes.symbols)? {
            let Json::Text(symbol) = json else {
                return Err(wrong(format!("has {} as a symbol, which is no string", json.shown())));
            };
            if !is_name(symbol) {
                return Err(bad_name(symbol));
            }
            if !symbols.push(symbol) {
                return Err(wrong(format!("has the symbol {symbol:?} twice")));
            }
        }
        // A reader's default, which nothing here needs.
        match attributes.default {
            None => {}
            Some(Json::Text(symbol)) if symbols.find(symbol, 0).is_some() => {}
            Some(other) => {
                return Err(wrong(format!(
                    "has the default {}, which is no symbol of it",
                    other.shown()
                )));
            }
        }
        let kind = Kind::Enum(Enum {
            name: name.text().to_owned(),
            symbols,
        });
        self.define(&name, kind, Logical::None)
    }

    fn fixed(&mut self, attributes: &Attributes<'d>, space: &str) -> Result<Id, Invalid> {
        let name = FullName::defined(attributes.name, attributes.namespace, space)?;
        let size = match attributes.size {
            Some(Json::Signed(size)) if (0..=MOST_FIXED).contains(&size) => size,
            other => {
                let got = other.map_or("nothing".to_owned(), |size| size.shown());
                let name = name.text();
                let reason =
                    format!("the size of the fixed type {name:?} is a number from 0 to {MOST_FIXED}, not {got}");
                return Err(Invalid::new(reason));
            }
        };
        let kind = Kind::Fixed(Fixed {
            name: name.text().to_owned(),
            size: usize::try_from(size).unwrap_or_default(),
        });
        let logical = logical(&kind, attributes);
        self.define(&name, kind, logical)
    }

    fn define(&mut self, name: &FullName, kind: Kind, logical: Logical) -> Result<Id, Invalid> {
        let id = self.push(kind, logical)?;
        match self.named.entry(name.text().to_owned()) {
            Entry::Vacant(place) => {
                place.insert(id);
                Ok(id)
            }
            Entry::Occupied(_) => Err(Invalid::new(format!("the type {:?} is defined twice", name.text()))),
        }
    }

    fn push(&mut self, kind: Kind, logical: Logical) -> Result<Id, Invalid> {
        let id = self.types.len();
        if id == MOST_TYPES {
            return Err(Invalid::new(format!("the schema has more than {MOST_TYPES} types")));
        }
        self.types.push(Type::new(kind, logical));
        Ok(id)
    }
}

fn list<'d>(name: &str, json: Option<Json<'d>>) -> Result<Array<'d>, Invalid> {
    match json {
        Some(Json::Array(items)) => Ok(items),
        Some(other) => Err(Invalid::new(format!("{name:?} is a list, not {}", other.shown()))),
        None => Err(Invalid::new(format!("{name:?} is missing, which is a list"))),
    }
}

/// What stands in an object of a schema's text. All else, such as `doc` and `aliases`, changes nothing here.
#[derive(Default)]
pub(super) struct Attributes<'d> {
    kind: Option<Json<'d>>,
    name: Option<Json<'d>>,
    namespace: Option<Json<'d>>,
    fields: Option<Json<'d>>,
    items: Option<Json<'d>>,
    values: Option<Json<'d>>,
    symbols: Option<Json<'d>>,
    size: Option<Json<'d>>,
    default: Option<Json<'d>>,
    pub(super) logical: Option<Json<'d>>,
    pub(super) precision: Option<Json<'d>>,
    pub(super) scale: Option<Json<'d>>,
}

impl<'d> Attributes<'d> {
    fn read(object: Object<'d>) -> Result<Self, Invalid> {
        let mut read = Self::default();
        for (name, value) in object {
            let place = match name {
                "type" => &mut read.kind,
                "name" => &mut read.name,
                "namespace" => &mut read.namespace,
                "fields" => &mut read.fields,
                "items" => &mut read.items,
                "values" => &mut read.values,
                "symbols" => &mut read.symbols,
                "size" => &mut read.size,
                "default" => &mut read.default,
                "logicalType" => &mut read.logical,
                "precision" => &mut read.precision,
                "scale" => &mut read.scale,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(Invalid::new(format!("an object has {name:?} twice")));
            }
        }
        Ok(read)
    }
}
