//! Full names, by the rules of the specification's chapter "Names".

use crate::{document::Json, invalid::Invalid};

/// The longest full name in bytes: each type in a namespace repeats it.
const MOST_BYTES: usize = 1_024;

/// A name with its namespace before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FullName {
    text: String,
    /// How much of it is the namespace, without the dot after it.
    space: usize,
}

impl FullName {
    /// The full name that a definition gives its type. A name with dots is one already; any other is in `namespace` or, without that, in
    /// the namespace of the definition around it.
    pub(super) fn defined(name: Option<Json<'_>>, namespace: Option<Json<'_>>, around: &str) -> Result<Self, Invalid> {
        let name = match name {
            Some(Json::Text(name)) => name,
            Some(other) => return Err(Invalid::new(format!("a name is a string, not {}", other.shown()))),
            None => return Err(Invalid::new("a record, enum or fixed type has no name: give it one")),
        };
        let space = match namespace {
            None | Some(Json::Null) => around,
            Some(Json::Text(space)) => space,
            Some(other) => return Err(Invalid::new(format!("a namespace is a string, not {}", other.shown()))),
        };
        let full = Self::used(name, space)?;
        if !is_name(full.simple()) {
            return Err(bad_name(full.simple()));
        }
        if PRIMITIVES.contains(&full.simple()) {
            let reason = format!("the name {name:?} cannot be given to a type: it is that of one of Avro's own");
            return Err(Invalid::new(reason));
        }
        if !full.space().is_empty() && !full.space().split('.').all(is_namespace) {
            let reason = format!(
                "the namespace {:?} is not a list of names with dots between",
                full.space()
            );
            return Err(Invalid::new(reason));
        }
        Ok(full)
    }

    /// The full name that a name stands for, used in this namespace.
    pub(super) fn used(name: &str, space: &str) -> Result<Self, Invalid> {
        if name.len() + space.len() >= MOST_BYTES {
            let reason = format!("the name {name:?} is too long: with its namespace, it may have {MOST_BYTES} bytes");
            return Err(Invalid::new(reason));
        }
        let (space, name) = name.rsplit_once('.').unwrap_or((space, name));
        let text = match space {
            "" => name.to_owned(),
            space => format!("{space}.{name}"),
        };
        let space = space.len();
        Ok(Self { text, space })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn space(&self) -> &str {
        &self.text[..self.space]
    }

    /// The name without its namespace.
    pub(super) fn simple(&self) -> &str {
        self.text[self.space..].trim_start_matches('.')
    }
}

/// The types without a definition, in the order of their places in each list of types.
pub(super) const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// Whether this may be the name of a type, field or symbol. The specification has ASCII letters only; Java's library takes any letters.
pub(super) fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters
        .next()
        .is_some_and(|first| first == '_' || first.is_alphabetic())
        && letters.all(|letter| letter == '_' || letter.is_alphanumeric())
}

/// Whether this may be a part of a namespace. Java's library does not look at namespaces, so schemas with dashes in theirs are in use.
fn is_namespace(part: &str) -> bool {
    !part.is_empty()
        && part
            .chars()
            .all(|letter| matches!(letter, '_' | '-') || letter.is_alphanumeric())
}

pub(super) fn bad_name(name: &str) -> Invalid {
    let reason =
        format!("{name:?} cannot be a name: a name has letters, digits and underscores, and begins with no digit");
    Invalid::new(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defined(name: &str, namespace: Option<&str>, around: &str) -> Result<String, Invalid> {
        let full = FullName::defined(Some(Json::Text(name)), namespace.map(Json::Text), around)?;
        Ok(full.text().to_owned())
    }

    #[test]
    fn a_name_is_taken_with_the_namespace_that_the_specification_gives_it() {
        let cases = [
            ("X", None, "", "X"),
            ("X", None, "org.foo", "org.foo.X"),
            ("X", Some("org.bar"), "org.foo", "org.bar.X"),
            ("X", Some(""), "org.foo", "X"),
            ("org.baz.X", Some("org.bar"), "org.foo", "org.baz.X"),
            (".X", None, "org.foo", "X"),
        ];
        for (name, namespace, around, full) in cases {
            assert_eq!(defined(name, namespace, around).as_deref(), Ok(full));
        }
    }

    #[test]
    fn a_name_that_no_reader_would_take_is_refused() {
        for name in ["", "1x", "x-y", "x y", "a.1x", "a.", "a..b", "long", "a.string"] {
            assert!(defined(name, None, "").is_err(), "{name}");
        }
        assert!(defined("x", Some("a..b"), "").is_err());
        assert!(defined("x", Some(&"a".repeat(2_000)), "").is_err());
    }
}
