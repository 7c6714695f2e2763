//! A JSON pointer (RFC 6901), and the one pass over a document that finds what it points to.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The most steps of a pointer. Each step is a level of recursion; the parser allows 128, and the stack not many more.
/// Only steps count: values that the pointer does not enter may be nested at any depth, because they are skipped
/// without recursion.
const MAX_STEPS: usize = 64;

/// Why a value has no text at the pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// There is no document.
    Tombstone,
    /// It is not JSON.
    NotJson,
    /// Nothing is there.
    NoField,
    /// Null is there.
    Null,
    /// An array or an object is there.
    NotScalar,
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tombstone => "the record has no value",
            Self::NotJson => "the record's value is not JSON",
            Self::NoField => "the record's value has no such field",
            Self::Null => "the field in the record's value is null",
            Self::NotScalar => "the field in the record's value is an array or an object",
        })
    }
}

/// A JSON pointer that is known to be well formed.
pub struct Pointer {
    text: String,
    steps: Vec<Step>,
}

struct Step {
    name: String,
    /// The same name as an index of an array, if it can be one.
    index: Option<usize>,
}

impl Pointer {
    /// Reads a pointer. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| Err(format!("`{text}` is not a JSON pointer that works here: {why}"));
        if !text.is_empty() && !text.starts_with('/') {
            return refuse(&format!("it has to begin with a slash; write `/{text}`"));
        }
        let mut steps = Vec::new();
        for name in text.split('/').skip(1) {
            let Some(name) = unescape(name) else {
                return refuse("after `~` has to come 0 (for `~`) or 1 (for `/`); write `~0` for the character itself");
            };
            steps.push(Step {
                index: index(&name),
                name,
            });
        }
        if steps.len() > MAX_STEPS {
            return refuse(&format!(
                "it has {} steps; point to something at most {MAX_STEPS} deep",
                steps.len()
            ));
        }
        Ok(Self {
            text: text.to_owned(),
            steps,
        })
    }

    /// The text of the scalar that the pointer points to in this document.
    pub fn text_in(&self, document: &[u8]) -> Result<Vec<u8>, Absent> {
        // Checked here, since the parser does not look into the strings that it skips, and all of JSON must be UTF-8.
        let document = str::from_utf8(document).map_err(|_| Absent::NotJson)?;
        let mut parser = serde_json::Deserializer::from_str(document);
        let found = Walk { steps: &self.steps }
            .deserialize(&mut parser)
            .map_err(|_| Absent::NotJson)?;
        parser.end().map_err(|_| Absent::NotJson)?;

        let json = found.ok_or(Absent::NoField)?.get();
        match json.as_bytes().first() {
            Some(b'"') => serde_json::from_str(json)
                .map(String::into_bytes)
                .map_err(|_| Absent::NotJson),
            Some(b'{' | b'[') => Err(Absent::NotScalar),
            Some(b'n') => Err(Absent::Null),
            _ => Ok(json.as_bytes().to_vec()),
        }
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn unescape(name: &str) -> Option<String> {
    let mut parts = name.split('~');
    let mut unescaped = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (character, rest) = match part.as_bytes().first()? {
            b'0' => ('~', &part[1..]),
            b'1' => ('/', &part[1..]),
            _ => return None,
        };
        unescaped.push(character);
        unescaped.push_str(rest);
    }
    Some(unescaped)
}

/// RFC 6901, section 4: digits, and no leading zero.
fn index(name: &str) -> Option<usize> {
    let digits = name.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = name.len() > 1 && name.starts_with('0');
    if digits && !leading_zero {
        name.parse().ok()
    } else {
        None
    }
}

/// Follows the steps that are left through the next value, and reads that value to its end.
struct Walk<'p> {
    steps: &'p [Step],
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Self::Value, D::Error> {
        match self.steps.split_first() {
            None => serde::Deserialize::deserialize(value).map(Some),
            Some((step, rest)) => value.deserialize_any(Level { step, rest }),
        }
    }
}

/// One object or array on the way, or the scalar at its end.
struct Level<'p> {
    step: &'p Step,
    rest: &'p [Step],
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(Is(&self.step.name))? {
            if is_it {
                found = map.next_value_seed(Walk { steps: self.rest })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        if let Some(index) = self.step.index {
            for _ in 0..index {
                if elements.next_element::<IgnoredAny>()?.is_none() {
                    return Ok(None);
                }
            }
            found = elements.next_element_seed(Walk { steps: self.rest })?.flatten();
        }
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Whether an object's next name is this one, without making a copy of it.
struct Is<'p>(&'p str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<bool, D::Error> {
        name.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn text(pointer: &str, document: &str) -> Result<String, Absent> {
        let text = Pointer::parse(pointer).unwrap().text_in(document.as_bytes())?;
        Ok(String::from_utf8(text).unwrap())
    }

    fn found(text: &str) -> Result<String, Absent> {
        Ok(text.to_owned())
    }

    // The document of RFC 6901, section 5, and those of its pointers that end at a scalar.
    #[test]
    fn the_examples_of_the_rfc_are_found() {
        let document = r#"{"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6,
                           " ": 7, "m~n": 8}"#;
        for (pointer, expected) in [
            ("/foo/0", "bar"),
            ("/", "0"),
            ("/a~1b", "1"),
            ("/c%d", "2"),
            ("/e^f", "3"),
            ("/g|h", "4"),
            ("/i\\j", "5"),
            ("/k\"l", "6"),
            ("/ ", "7"),
            ("/m~0n", "8"),
        ] {
            assert_eq!(text(pointer, document), found(expected), "{pointer}");
        }
        assert_eq!(text("", document), Err(Absent::NotScalar));
        assert_eq!(text("/foo", document), Err(Absent::NotScalar));
    }

    #[test]
    fn scalars_decide_by_the_text_that_was_sent() {
        for (json, expected) in [
            (r#""a\n\u00e9""#, "a\né"),
            (r#""""#, ""),
            ("1", "1"),
            ("1.0", "1.0"),
            ("1e999", "1e999"),
            ("-0", "-0"),
            ("true", "true"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
        ] {
            assert_eq!(text("", &format!(" {json}\n")), found(expected), "{json}");
            assert_eq!(
                text("/a/1", &format!(r#"{{"a": [0, {json}]}}"#)),
                found(expected),
                "{json}"
            );
        }
    }

    #[test]
    fn an_array_has_only_places_that_the_rfc_allows() {
        for pointer in ["/2", "/01", "/-", "/+1", "/", "/a", "/99999999999999999999999"] {
            assert_eq!(text(pointer, r#"["x", "y"]"#), Err(Absent::NoField), "{pointer}");
        }
    }

    #[test]
    fn a_way_that_ends_early_finds_nothing() {
        for scalar in [r#""s""#, "1", "-1", "1.5", "true", "null", "[]", "{}"] {
            assert_eq!(
                text("/a/b", &format!(r#"{{"a": {scalar}}}"#)),
                Err(Absent::NoField),
                "{scalar}"
            );
        }
        assert_eq!(text("/a", r#"{"a": null}"#), Err(Absent::Null));
    }

    #[test]
    fn the_last_of_repeated_names_counts() {
        assert_eq!(text("/a", r#"{"a": 1, "a": 2}"#), found("2"));
        assert_eq!(text("/a/b", r#"{"a": {"b": 1}, "a": 2}"#), Err(Absent::NoField));
    }

    #[test]
    fn a_document_that_is_not_json_to_its_end_is_refused() {
        for document in [
            "",
            "plain",
            r#"{"a": 1"#,
            r#"{"a": 1,}"#,
            r#"{"a": 1} x"#,
            r#"{"a": 1, "b": nul}"#,
            "\u{feff}1",
        ] {
            assert_eq!(text("/a", document), Err(Absent::NotJson), "{document}");
        }
        let not_utf8 = b"{\"a\": 1, \"b\": \"\xff\"}";
        assert_eq!(Pointer::parse("/a").unwrap().text_in(not_utf8), Err(Absent::NotJson));
        assert_eq!(text("/a", r#"{"a": "\ud800"}"#), Err(Absent::NotJson));
    }

    #[test]
    fn depth_does_not_exhaust_the_stack() {
        let depth = 1_000_000;
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(
            text("/b", &format!(r#"{{"a": {deep}, "b": 1, "c": {deep}}}"#)),
            found("1")
        );
        assert_eq!(text("/a", &format!(r#"{{"a": {deep}}}"#)), Err(Absent::NotScalar));
        assert_eq!(text("/a", &"[".repeat(depth)), Err(Absent::NotJson));

        let pointer = "/0".repeat(MAX_STEPS);
        assert_eq!(text(&pointer, &deep), Err(Absent::NotScalar));
        assert!(Pointer::parse(&format!("{pointer}/0")).is_err_and(|message| message.contains("65 steps")));
    }

    #[test]
    fn a_pointer_that_is_none_is_refused_with_the_cure() {
        let refused = |pointer| Pointer::parse(pointer).err().unwrap();
        assert!(refused("a/b").contains("write `/a/b`"));
        for pointer in ["/a~", "/~2", "/~~"] {
            assert!(refused(pointer).contains("write `~0`"), "{pointer}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[01a/~\"é]{0,2}", inner, 0..4)
                    .prop_map(|object| Value::Object(object.into_iter().collect())),
            ]
        })
    }

    proptest! {
        // serde_json has a pointer of its own, which needs the whole document as a tree.
        #[test]
        fn the_walk_finds_what_a_search_of_the_whole_tree_finds(
            document in any_json(),
            steps in prop::collection::vec("[01a/~\"é]{0,2}", 0..4),
        ) {
            let escape = |step: &String| format!("/{}", step.replace('~', "~0").replace('/', "~1"));
            let pointer: String = steps.iter().map(escape).collect();
            let expected = match document.pointer(&pointer) {
                None => Err(Absent::NoField),
                Some(Value::Null) => Err(Absent::Null),
                Some(Value::Array(_) | Value::Object(_)) => Err(Absent::NotScalar),
                Some(Value::String(text)) => Ok(text.clone()),
                Some(scalar) => Ok(scalar.to_string()),
            };
            prop_assert_eq!(text(&pointer, &document.to_string()), expected);
        }

        #[test]
        fn no_bytes_make_it_panic(document in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Pointer::parse("/a/0").unwrap().text_in(&document);
        }
    }
}
