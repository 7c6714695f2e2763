//! A JSON text, read once into a list of nodes that borrow from it: what the encoders of Avro and Protobuf walk over.
//!
//! `serde_json::Value` makes a map and a string of its own for each object and name. Here, a document is one list, in the order of the
//! text, in which each array and object knows where it ends.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::invalid::{Invalid, shortened};

/// A JSON text that was read. Nested at most 128 deep, which is serde_json's own bound.
#[derive(Debug)]
pub(crate) struct Document<'j> {
    nodes: Vec<Node<'j>>,
}

/// A part of a document. A container's nodes follow it, up to its `end`; in an object, names and values take turns.
#[derive(Debug)]
enum Node<'j> {
    Null,
    Bool(bool),
    Signed(i64),
    /// Only numbers that an `i64` cannot hold.
    Unsigned(u64),
    Float(f64),
    Text(Cow<'j, str>),
    Array {
        items: usize,
        end: usize,
    },
    Object {
        entries: usize,
        end: usize,
    },
}

/// A value in a document.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Json<'d> {
    Null,
    Bool(bool),
    /// Any whole number that fits, without fraction or exponent in its text.
    Signed(i64),
    /// Only numbers that an `i64` cannot hold.
    Unsigned(u64),
    Float(f64),
    Text(&'d str),
    Array(Array<'d>),
    Object(Object<'d>),
}

/// The items of an array, in order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Array<'d> {
    nodes: &'d [Node<'d>],
    at: usize,
    items: usize,
}

/// The entries of an object, in the order of the text. Names may repeat.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Object<'d> {
    nodes: &'d [Node<'d>],
    at: usize,
    entries: usize,
}

impl<'j> Document<'j> {
    /// Reads a text that has to be JSON as a whole.
    pub(crate) fn parse(json: &'j [u8]) -> Result<Self, Invalid> {
        // Room for a usual record; a list of nodes grows by copying.
        let mut nodes = Vec::with_capacity(48);
        let mut parser = serde_json::Deserializer::from_slice(json);
        Fill(&mut nodes)
            .deserialize(&mut parser)
            .and_then(|()| parser.end())
            .map_err(|error| Invalid::new(format!("the value is not JSON: {error}")))?;
        Ok(Self { nodes })
    }

    /// The value as a whole.
    pub(crate) fn root(&self) -> Json<'_> {
        value(&self.nodes, 0).0
    }
}

/// The value at this place, and the place of what follows it.
fn value<'d>(nodes: &'d [Node<'d>], at: usize) -> (Json<'d>, usize) {
    let next = at + 1;
    match &nodes[at] {
        Node::Null => (Json::Null, next),
        Node::Bool(value) => (Json::Bool(*value), next),
        Node::Signed(value) => (Json::Signed(*value), next),
        Node::Unsigned(value) => (Json::Unsigned(*value), next),
        Node::Float(value) => (Json::Float(*value), next),
        Node::Text(text) => (Json::Text(text), next),
        &Node::Array { items, end } => {
            let array = Array { nodes, at: next, items };
            (Json::Array(array), end)
        }
        &Node::Object { entries, end } => {
            let object = Object {
                nodes,
                at: next,
                entries,
            };
            (Json::Object(object), end)
        }
    }
}

impl Json<'_> {
    /// The value as a message shows it: short, on one line.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Signed(value) => value.to_string(),
            Self::Unsigned(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Text(text) => format!("{:?}", shortened(text.chars().take(64).collect())),
            Self::Array(_) => "an array".to_owned(),
            Self::Object(_) => "an object".to_owned(),
        }
    }
}

impl<'d> Iterator for Array<'d> {
    type Item = Json<'d>;

    fn next(&mut self) -> Option<Json<'d>> {
        self.items = self.items.checked_sub(1)?;
        let (item, next) = value(self.nodes, self.at);
        self.at = next;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.items, Some(self.items))
    }
}

impl ExactSizeIterator for Array<'_> {}

impl<'d> Iterator for Object<'d> {
    type Item = (&'d str, Json<'d>);

    fn next(&mut self) -> Option<Self::Item> {
        self.entries = self.entries.checked_sub(1)?;
        let Node::Text(name) = &self.nodes[self.at] else {
            unreachable!("a name stands before each value of an object");
        };
        let (value, next) = value(self.nodes, self.at + 1);
        self.at = next;
        Some((name, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.entries, Some(self.entries))
    }
}

impl ExactSizeIterator for Object<'_> {}

/// Reads one value to the end of the list.
struct Fill<'n, 'j>(&'n mut Vec<Node<'j>>);

impl<'j> DeserializeSeed<'j> for Fill<'_, 'j> {
    type Value = ();

    fn deserialize<D: Deserializer<'j>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'j> Fill<'_, 'j> {
    fn push(self, node: Node<'j>) {
        self.0.push(node);
    }
}

impl<'j> Visitor<'j> for Fill<'_, 'j> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.push(Node::Null);
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.push(Node::Bool(value));
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.push(Node::Signed(value));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.push(match i64::try_from(value) {
            Ok(value) => Node::Signed(value),
            Err(_) => Node::Unsigned(value),
        });
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.push(Node::Float(value));
        Ok(())
    }

    fn visit_borrowed_str<E: Error>(self, text: &'j str) -> Result<(), E> {
        self.push(Node::Text(Cow::Borrowed(text)));
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.push(Node::Text(Cow::Owned(text.to_owned())));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'j>>(self, mut seq: A) -> Result<(), A::Error> {
        let nodes = self.0;
        let at = nodes.len();
        nodes.push(Node::Null);
        let mut items = 0;
        while seq.next_element_seed(Fill(nodes))?.is_some() {
            items += 1;
        }
        let end = nodes.len();
        nodes[at] = Node::Array { items, end };
        Ok(())
    }

    fn visit_map<A: MapAccess<'j>>(self, mut map: A) -> Result<(), A::Error> {
        let nodes = self.0;
        let at = nodes.len();
        nodes.push(Node::Null);
        let mut entries = 0;
        while let Some(Name(name)) = map.next_key()? {
            nodes.push(Node::Text(name));
            map.next_value_seed(Fill(nodes))?;
            entries += 1;
        }
        let end = nodes.len();
        nodes[at] = Node::Object { entries, end };
        Ok(())
    }
}

/// The name of an entry.
struct Name<'j>(Cow<'j, str>);

impl<'j> Deserialize<'j> for Name<'j> {
    fn deserialize<D: Deserializer<'j>>(name: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'j> Visitor<'j> for Read {
            type Value = Name<'j>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E: Error>(self, name: &'j str) -> Result<Name<'j>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Name<'j>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        name.deserialize_str(Read)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Number, Value};

    use super::*;

    fn as_value(json: Json<'_>) -> Value {
        match json {
            Json::Null => Value::Null,
            Json::Bool(value) => value.into(),
            Json::Signed(value) => value.into(),
            Json::Unsigned(value) => value.into(),
            Json::Float(value) => Number::from_f64(value).map_or(Value::Null, Value::Number),
            Json::Text(text) => text.into(),
            Json::Array(items) => Value::Array(items.map(as_value).collect()),
            Json::Object(entries) => Value::Object(Map::from_iter(
                entries.map(|(name, value)| (name.to_owned(), as_value(value))),
            )),
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_document_holds_what_its_text_says(json in any_json()) {
            let text = json.to_string();
            let document = Document::parse(text.as_bytes()).expect("JSON");
            prop_assert_eq!(as_value(document.root()), serde_json::from_str::<Value>(&text).expect("JSON"));
        }

        #[test]
        fn bytes_that_are_not_json_are_refused_and_nothing_else_happens(bytes: Vec<u8>) {
            let is_json = serde_json::from_slice::<Value>(&bytes).is_ok();
            prop_assert_eq!(Document::parse(&bytes).is_ok(), is_json);
        }
    }

    #[test]
    fn a_text_that_is_nested_without_end_is_refused() {
        assert!(Document::parse("[".repeat(1_000_000).as_bytes()).is_err());
    }
}
