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
    /// The value has a schema, and by it there is no text: for one of these reasons, or since the schema cannot read the value.
    BySchema,
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tombstone => "the record has no value",
            Self::NotJson => "the record's value is not JSON",
            Self::NoField => "the record's value has no such field",
            Self::Null => "the field in the record's value is null",
            Self::NotScalar => "the field in the record's value is an array or an object",
            Self::BySchema => "the record's value, as its schema has it, has no string, number or boolean there",
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

    /// The pointer as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
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
mod tests;
