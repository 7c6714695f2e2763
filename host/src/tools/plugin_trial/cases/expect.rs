//! What a case expects of the plugin.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, IntoDeserializer as _, MapAccess, Visitor},
};

/// What a plugin must decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// The record ends up here.
    Partition(u32),
    /// The decision `key-hash` of these bytes.
    KeyHash(Vec<u8>),
    /// The decision `any`.
    Any,
    /// The decision `tenant`.
    Tenant {
        /// The tenant's name.
        name: String,
        /// Where its record ends up, if that is expected too.
        partition: Option<u32>,
    },
    /// The record is refused with this text.
    Reject(String),
}

/// The names of the decisions. `key-hash` is spelt `key_hash` in old tables.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    Partition,
    #[serde(alias = "key_hash")]
    KeyHash,
    Any,
    Tenant,
    Reject,
}

impl<'de> Deserialize<'de> for Expect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Expect;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"any\", or a table such as { partition = 3 }")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Expect, E> {
        match Word::deserialize(word.into_deserializer())? {
            Word::Any => Ok(Expect::Any),
            _ => Err(E::custom(format!("`{word}` needs its value, as {{ {word} = … }}"))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Expect, A::Error> {
        let mut expect = None;
        while let Some(word) = map.next_key()? {
            expect = Some(match (expect, word) {
                (None, Word::Partition) => Expect::Partition(map.next_value()?),
                (None, Word::KeyHash) => Expect::KeyHash(map.next_value::<String>()?.into_bytes()),
                (None, Word::Reject) => Expect::Reject(map.next_value()?),
                (None, Word::Tenant) => Expect::Tenant {
                    name: map.next_value()?,
                    partition: None,
                },
                (Some(Expect::Tenant { name, partition: None }), Word::Partition) => Expect::Tenant {
                    name,
                    partition: Some(map.next_value()?),
                },
                (Some(Expect::Partition(partition)), Word::Tenant) => Expect::Tenant {
                    name: map.next_value()?,
                    partition: Some(partition),
                },
                (None, Word::Any) => return Err(A::Error::custom("`any` has no value, write it as \"any\"")),
                (Some(_), _) => {
                    return Err(A::Error::custom(
                        "only `tenant` and `partition` can be expected together",
                    ));
                }
            });
        }
        expect.ok_or_else(|| A::Error::custom("it is empty; write what is expected, such as { partition = 3 }"))
    }
}
