//! Schemas and values that fit them, made up.

use proptest::{collection::SizeRange, prelude::*, sample::Index};
use serde_json::{Map, Value, json};

/// A type. What has a name is told apart by its number; it is given once all are there.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize, usize),
    Enum(usize, usize),
    Array(Box<Shape>),
    Map(Box<Shape>),
    /// Each field, and whether it gets a default, if its type is one that gets any.
    Record(usize, Vec<(Shape, bool)>),
    Union(Vec<Shape>),
}

/// A value as it is sent, and what is wrong in its place.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) form: Form,
    /// None where much is right.
    pub(super) wrong: Option<&'static str>,
}

#[derive(Debug, Clone)]
pub(super) enum Form {
    Scalar(Value),
    Array(Vec<Sent>),
    /// The names are given.
    Record(Vec<(String, Sent)>),
    /// As a map, and a branch with its name, have any.
    Object(Vec<(String, Sent)>),
}

pub(super) fn any_shape() -> impl Strategy<Value = Shape> {
    let scalar = prop_oneof![
        Just(Shape::Null),
        Just(Shape::Boolean),
        Just(Shape::Int),
        Just(Shape::Long),
        Just(Shape::Float),
        Just(Shape::Double),
        Just(Shape::Bytes),
        Just(Shape::String),
        (0_usize..5).prop_map(|size| Shape::Fixed(0, size)),
        (1_usize..12).prop_map(|symbols| Shape::Enum(0, symbols)),
    ];
    let shape = scalar.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            inner.clone().prop_map(|items| Shape::Array(items.into())),
            inner.clone().prop_map(|values| Shape::Map(values.into())),
            prop::collection::vec((inner.clone(), any::<bool>()), 0..12).prop_map(|fields| Shape::Record(0, fields)),
            prop::collection::vec(inner, 1..6).prop_map(union),
        ]
    });
    shape.prop_map(|mut shape| {
        number(&mut shape, &mut 0);
        shape
    })
}

/// A union of those that may be in one together.
fn union(branches: Vec<Shape>) -> Shape {
    let mut kept: Vec<Shape> = Vec::new();
    for branch in branches {
        let named = matches!(branch, Shape::Fixed(..) | Shape::Enum(..) | Shape::Record(..));
        let kind = std::mem::discriminant(&branch);
        let twice = !named && kept.iter().any(|kept| std::mem::discriminant(kept) == kind);
        if !twice && !matches!(branch, Shape::Union(_)) {
            kept.push(branch);
        }
    }
    if kept.is_empty() {
        kept.push(Shape::Null);
    }
    Shape::Union(kept)
}

fn number(shape: &mut Shape, next: &mut usize) {
    *next += 1;
    match shape {
        Shape::Fixed(number, _) | Shape::Enum(number, _) => *number = *next,
        Shape::Array(inner) | Shape::Map(inner) => number(inner, next),
        Shape::Record(own, fields) => {
            *own = *next;
            fields.iter_mut().for_each(|(field, _)| number(field, next));
        }
        Shape::Union(branches) => branches.iter_mut().for_each(|branch| number(branch, next)),
        _ => {}
    }
}

impl Shape {
    /// The text of its schema.
    pub(super) fn schema(&self) -> Value {
        match self {
            Self::Fixed(_, size) => json!({"type": "fixed", "name": self.name(), "size": size}),
            Self::Enum(_, symbols) => {
                let symbols: Vec<String> = (0..*symbols).map(|symbol| format!("S{symbol}")).collect();
                json!({"type": "enum", "name": self.name(), "symbols": symbols})
            }
            Self::Array(items) => json!({"type": "array", "items": items.schema()}),
            Self::Map(values) => json!({"type": "map", "values": values.schema()}),
            Self::Record(_, fields) => {
                let fields = fields.iter().enumerate().map(|(number, (of, default))| {
                    let mut field = json!({"name": field_name(number), "type": of.schema()});
                    if let (true, Some(default)) = (*default, of.default()) {
                        field["default"] = default;
                    }
                    field
                });
                json!({"type": "record", "name": self.name(), "fields": fields.collect::<Vec<_>>()})
            }
            Self::Union(branches) => branches.iter().map(Self::schema).collect(),
            _ => self.name().into(),
        }
    }

    /// What it is called as a branch.
    fn name(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Boolean => "boolean".to_owned(),
            Self::Int => "int".to_owned(),
            Self::Long => "long".to_owned(),
            Self::Float => "float".to_owned(),
            Self::Double => "double".to_owned(),
            Self::Bytes => "bytes".to_owned(),
            Self::String => "string".to_owned(),
            Self::Array(_) => "array".to_owned(),
            Self::Map(_) => "map".to_owned(),
            Self::Union(_) => "union".to_owned(),
            Self::Fixed(number, _) | Self::Enum(number, _) | Self::Record(number, _) => format!("n.N{number}"),
        }
    }

    fn default(&self) -> Option<Value> {
        match self {
            Self::Int => Some(json!(7)),
            Self::Bytes => Some(json!("\u{ff}")),
            Self::Enum(..) => Some(json!("S0")),
            Self::Array(_) => Some(json!([])),
            Self::Map(_) => Some(json!({})),
            Self::Union(branches) if branches.iter().any(|branch| matches!(branch, Self::Null)) => Some(Value::Null),
            _ => None,
        }
    }

    /// Values as they are sent, branches named, and as they are read.
    pub(super) fn values(&self) -> BoxedStrategy<(Sent, Value)> {
        let scalar = |wrong| {
            move |value: Value| {
                let form = Form::Scalar(value.clone());
                let wrong = Some(wrong);
                (Sent { form, wrong }, value)
            }
        };
        let latin = |size: SizeRange| prop::collection::vec(any::<u8>(), size).prop_map(|bytes| text_of(&bytes));
        match self {
            Self::Null => Just(Value::Null).prop_map(scalar("false")).boxed(),
            Self::Boolean => any::<bool>().prop_map_into().prop_map(scalar("0")).boxed(),
            Self::Int => any::<i32>().prop_map_into().prop_map(scalar("2147483648")).boxed(),
            Self::Long => any::<i64>()
                .prop_map_into()
                .prop_map(scalar("9223372036854775808"))
                .boxed(),
            Self::Float => any::<f32>().prop_map(float).prop_map(scalar("1e39")).boxed(),
            Self::Double => any::<f64>().prop_map(double).prop_map(scalar("\"nan\"")).boxed(),
            Self::Bytes => latin((0..5).into()).prop_map(scalar("\"\u{100}\"")).boxed(),
            Self::String => any::<String>().prop_map_into().prop_map(scalar("[]")).boxed(),
            Self::Fixed(_, size) => latin((*size).into()).prop_map(scalar("\"123456\"")).boxed(),
            Self::Enum(_, symbols) => (0..*symbols)
                .prop_map(|symbol| format!("S{symbol}").into())
                .prop_map(scalar("\"S12\""))
                .boxed(),
            Self::Array(items) => prop::collection::vec(items.values(), 0..4).prop_map(array).boxed(),
            Self::Map(values) => prop::collection::btree_map("[a~/é]{0,3}", values.values(), 0..12)
                .prop_map(map)
                .boxed(),
            Self::Record(_, fields) => record(fields),
            Self::Union(branches) => {
                let branches = branches.iter().map(|branch| {
                    let name = branch.name();
                    branch
                        .values()
                        .prop_map(move |(sent, read)| (named(&name, sent), read))
                        .boxed()
                });
                prop::strategy::Union::new(branches).boxed()
            }
        }
    }
}

/// Names whose order is not that of their numbers.
fn field_name(number: usize) -> String {
    format!("{}{number}", ["m", "z", "a"][number % 3])
}

fn text_of(bytes: &[u8]) -> Value {
    bytes.iter().map(|byte| char::from(*byte)).collect::<String>().into()
}

fn double(number: f64) -> Value {
    match number {
        f64::INFINITY => "Infinity".into(),
        f64::NEG_INFINITY => "-Infinity".into(),
        number if number.is_nan() => "NaN".into(),
        number => number.into(),
    }
}

/// By its own shortest digits, not those of the double that it is.
fn float(number: f32) -> Value {
    if !number.is_finite() {
        return double(number.into());
    }
    let digits = serde_json::to_string(&number).expect("a number");
    serde_json::from_str(&digits).expect("a number")
}

fn array(items: Vec<(Sent, Value)>) -> (Sent, Value) {
    let (sent, read): (Vec<_>, Vec<_>) = items.into_iter().unzip();
    let form = Form::Array(sent);
    (
        Sent {
            form,
            wrong: Some("{}"),
        },
        read.into(),
    )
}

fn map(entries: std::collections::BTreeMap<String, (Sent, Value)>) -> (Sent, Value) {
    let mut read = Map::new();
    let mut sent = Vec::new();
    for (key, (value, as_read)) in entries {
        read.insert(key.clone(), as_read);
        sent.push((key, value));
    }
    let form = Form::Object(sent);
    (
        Sent {
            form,
            wrong: Some("[]"),
        },
        read.into(),
    )
}

fn named(name: &str, sent: Sent) -> Sent {
    if name == "null" {
        return Sent { wrong: None, ..sent };
    }
    let form = Form::Object(vec![(name.to_owned(), sent)]);
    Sent { form, wrong: None }
}

/// In any order, and without some that have defaults.
fn record(fields: &[(Shape, bool)]) -> BoxedStrategy<(Sent, Value)> {
    let fields: Vec<_> = fields
        .iter()
        .enumerate()
        .map(|(number, (of, default))| {
            let default = of.default().filter(|_| *default);
            let name = field_name(number);
            let field = (of.values(), any::<bool>());
            field.prop_map(move |((sent, read), left_out)| match &default {
                Some(default) if left_out => (name.clone(), None, default.clone()),
                _ => (name.clone(), Some(sent), read),
            })
        })
        .collect();
    let moved = prop::collection::vec(any::<Index>(), 0..3);
    (fields, moved)
        .prop_map(|(fields, moved)| {
            let mut read = Map::new();
            let mut sent = Vec::new();
            for (name, value, as_read) in fields {
                read.insert(name.clone(), as_read);
                sent.extend(value.map(|value| (name, value)));
            }
            for index in moved {
                if !sent.is_empty() {
                    let field = sent.remove(index.index(sent.len()));
                    sent.push(field);
                }
            }
            let form = Form::Record(sent);
            (
                Sent {
                    form,
                    wrong: Some("\"x\""),
                },
                read.into(),
            )
        })
        .boxed()
}
