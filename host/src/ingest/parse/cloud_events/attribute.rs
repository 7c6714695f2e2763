//! What the names and the values of an event's attributes may be (CloudEvents 1.0.2, "Context Attributes" and "Type
//! System").

use std::borrow::Cow;

use super::time::is_timestamp;
use crate::base::text::shorten;

/// Most bytes of a name or a value that a message quotes.
const SHOWN: usize = 64;
/// The one version that is taken.
const VERSION: &str = "1.0";

/// A name with a meaning of its own. All other attributes are extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    SpecVersion,
    Id,
    Source,
    Type,
    DataContentType,
    DataSchema,
    Subject,
    Time,
    /// Of the Partitioning extension.
    PartitionKey,
    /// No attribute: a member of the JSON format, and a name that attributes may not have.
    Data,
    /// No attribute: the data as bytes, a member of the JSON format.
    DataBase64,
}

impl Known {
    /// None for an extension, and for what is no name.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "specversion" => Self::SpecVersion,
            "id" => Self::Id,
            "source" => Self::Source,
            "type" => Self::Type,
            "datacontenttype" => Self::DataContentType,
            "dataschema" => Self::DataSchema,
            "subject" => Self::Subject,
            "time" => Self::Time,
            "partitionkey" => Self::PartitionKey,
            "data" => Self::Data,
            "data_base64" => Self::DataBase64,
            _ => return None,
        })
    }
}

/// The known names that an event has.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Seen(u16);

impl Seen {
    /// Whether the name is new.
    pub(super) fn add(&mut self, known: Known) -> bool {
        let before = self.0;
        self.0 |= 1 << known as u16;
        self.0 != before
    }

    pub(super) fn has(self, known: Known) -> bool {
        self.0 & (1 << known as u16) != 0
    }

    /// Whether each attribute is there that every event has.
    pub(super) fn check_required(self) -> Result<(), Cow<'static, str>> {
        let required = [
            (Known::Id, "the event has no id"),
            (Known::Source, "the event has no source"),
            (Known::SpecVersion, "the event has no specversion"),
            (Known::Type, "the event has no type"),
        ];
        match required.into_iter().find(|(known, _)| !self.has(*known)) {
            Some((_, lacks)) => Err(lacks.into()),
            None => Ok(()),
        }
    }
}

/// A name or a value as a message quotes it.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    shorten(text, SHOWN)
}

/// Checks the name of an attribute. It may be as long as the client likes, since its length is only a SHOULD.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let is_valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if !name.is_empty() && name.bytes().all(is_valid) {
        return Ok(());
    }
    Err(format!(
        "{:?} is not the name of an attribute, which has only the characters a to z and 0 to 9",
        shown(name)
    ))
}

/// Checks the value of an attribute whose type is a string, or that stands as text in a header.
pub(super) fn check_text(known: Option<Known>, name: &str, text: &str) -> Result<(), String> {
    if !is_plain(text.as_bytes())
        && let Some(char) = text.chars().find(|char| !is_allowed(*char))
    {
        return Err(format!(
            "{} has the character {char:?}, which no attribute may have",
            shown(name)
        ));
    }
    match known {
        // An extension may be empty.
        None | Some(Known::Data | Known::DataBase64) => Ok(()),
        Some(Known::Id | Known::Source | Known::SpecVersion | Known::Type) if text.is_empty() => {
            Err(format!("{name} is empty, and every event needs one"))
        }
        Some(_) if text.is_empty() => Err(format!("{name} is empty; leave it out, or give it a value")),
        Some(Known::SpecVersion) if text != VERSION => Err(format!(
            "specversion is {:?}; send the event as version \"{VERSION}\" of CloudEvents",
            shown(text)
        )),
        Some(Known::Time) if !is_timestamp(text) => Err(format!(
            "time is {:?}, which is not a time of RFC 3339 such as 2026-01-31T23:59:59.5Z",
            shown(text)
        )),
        Some(_) => Ok(()),
    }
}

/// Whether these are printable ASCII characters. Without an early end, the compiler looks at many bytes at once.
pub(super) fn is_plain(text: &[u8]) -> bool {
    text.iter().fold(true, |all, byte| all & (b' '..=b'~').contains(byte))
}

/// Whether the type String has this character: neither a control character nor one of Unicode's noncharacters.
fn is_allowed(char: char) -> bool {
    let number = u32::from(char);
    !char.is_control() && number & 0xfffe != 0xfffe && !(0xfdd0..=0xfdef).contains(&number)
}
