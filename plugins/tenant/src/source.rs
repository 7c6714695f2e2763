//! Where a text of a record is: the tenant's name, or the shard key.

use std::{borrow::Cow, fmt};

use json_pointer::{Absent, Pointer};
use pointsman_plugin::Record;

/// A place in a record.
pub(crate) enum Source {
    Header(String),
    /// The part of the key before the first of these.
    KeyPrefix(String),
    Json(Pointer),
    Topic,
    Key,
}

impl Source {
    /// A place for a tenant's name.
    pub(crate) fn tenant(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("key-prefix", "")) => {
                Err("`key-prefix:` needs what stands behind the name, such as `key-prefix:/`".to_owned())
            }
            Some(("key-prefix", separator)) => Ok(Self::KeyPrefix(separator.to_owned())),
            None if text == "topic" => Ok(Self::Topic),
            _ => Self::field(text)?.ok_or_else(|| {
                format!(
                    "`{text}` is not a place for a tenant's name; expected `header:NAME`, `key-prefix:SEPARATOR`, \
                     `json:POINTER` or `topic`"
                )
            }),
        }
    }

    /// A place for a shard key.
    pub(crate) fn shard_key(text: &str) -> Result<Self, String> {
        if text == "key" {
            return Ok(Self::Key);
        }
        Self::field(text)?.ok_or_else(|| {
            format!("`{text}` is not a place for a shard key; expected `key`, `header:NAME` or `json:POINTER`")
        })
    }

    fn field(text: &str) -> Result<Option<Self>, String> {
        match text.split_once(':') {
            Some(("header", "")) => Err("`header:` needs the name of a header".to_owned()),
            Some(("header", name)) => Ok(Some(Self::Header(name.to_owned()))),
            Some(("json", pointer)) => Pointer::parse(pointer).map(|pointer| Some(Self::Json(pointer))),
            _ => Ok(None),
        }
    }

    /// What is there, or why nothing is.
    pub(crate) fn bytes<'r>(&self, record: &'r Record<'_>) -> Result<Cow<'r, [u8]>, String> {
        match self {
            Self::Header(name) => match record.header(name) {
                Some(bytes) => Ok(bytes),
                None => Err(format!("the record has no header `{name}`")),
            },
            Self::KeyPrefix(separator) => {
                let key = record.key().ok_or("the record has no key")?;
                let separator_bytes = separator.as_bytes();
                let end = key
                    .windows(separator_bytes.len())
                    .position(|part| part == separator_bytes);
                match end {
                    Some(end) => Ok(Cow::Owned(key[..end].to_vec())),
                    None => Err(format!("the record's key has no `{separator}`")),
                }
            }
            Self::Json(pointer) if record.schema_id().is_some() => match record.field(pointer.as_str()) {
                Some(text) => Ok(Cow::Owned(text.into_bytes())),
                None => Err(Absent::BySchema.to_string()),
            },
            Self::Json(pointer) => {
                let value = record.value().ok_or_else(|| Absent::Tombstone.to_string())?;
                let text = pointer.text_in(value).map_err(|absent| absent.to_string())?;
                Ok(Cow::Owned(text))
            }
            Self::Topic => Ok(Cow::Owned(record.topic().as_bytes().to_vec())),
            Self::Key => match record.key() {
                Some(key) => Ok(Cow::Owned(key.to_vec())),
                None => Err("the record has no key".to_owned()),
            },
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "the header `{name}`"),
            Self::KeyPrefix(separator) => write!(f, "the part of its key before `{separator}`"),
            Self::Json(pointer) => write!(f, "the field at `{pointer}` of its value"),
            Self::Topic => f.write_str("its topic"),
            Self::Key => f.write_str("its key"),
        }
    }
}
