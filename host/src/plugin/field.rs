//! A field inside a record's value, for a plugin that decides by it. The plugin names the place, and gets the text there; how the
//! value is encoded, it need not know.

use std::collections::BTreeMap;

use json_pointer::Pointer;
use pointsman_schemas::SchemaId;

use crate::base::record::Record;

/// The longest JSON text that fields are read from, bytes. It is a little more than the largest record of Kafka's defaults, and
/// bounds what one look at a value takes.
const JSON_BYTES: usize = 1 << 20;
/// To look into a text of up to this many bytes takes less than a twentieth of a millisecond, so nobody looks at the clock for it.
const QUICK_BYTES: usize = 16 << 10;

/// What the author of a plugin says about a record's value, in place of a schema: for tests without a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatedValue {
    /// The id of the schema that the value was written by.
    pub schema_id: Option<SchemaId>,
    /// What is inside the value, by JSON pointer. All else is read as if there were no schema.
    pub fields: BTreeMap<String, String>,
}

/// The JSON form of the value that a plugin reads, kept from one field to the next.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    /// `None` until a field has been asked for; then `Some(None)` if the schema cannot read the value.
    json: Option<Option<String>>,
}

impl Decoded {
    fn by(&mut self, decode: impl FnOnce() -> Option<String>) -> Option<&str> {
        self.json.get_or_insert_with(decode).as_deref()
    }
}

/// The text of the field at this place; `None` if there is none, or if it is null, an array or an object. `decoded` must be that
/// of the same record.
pub(super) fn text_of(record: &Record, decoded: &mut Decoded, pointer: &Pointer) -> Option<String> {
    let value = record.value.as_deref()?;
    let json = match &record.schema {
        Some(schema) => decoded.by(|| schema.json(value, JSON_BYTES).ok())?.as_bytes(),
        None if value.len() <= JSON_BYTES => value,
        None => return None,
    };
    String::from_utf8(pointer.text_in(json).ok()?).ok()
}

/// Whether [`text_of`] will be done before a clock is worth looking at.
pub(super) fn is_quick(record: &Record, decoded: &Decoded) -> bool {
    let bytes = match (&record.schema, &decoded.json) {
        (None, _) => record.value.as_deref().map_or(0, <[u8]>::len),
        // Few bytes may stand for much, so that only what comes out says how long it takes.
        (Some(_), None) => return false,
        (Some(_), Some(json)) => json.as_deref().map_or(0, str::len),
    };
    bytes <= QUICK_BYTES
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn record(value: Option<Bytes>) -> Record {
        Record {
            topic: Arc::from("t"),
            key: None,
            value,
            headers: Vec::new(),
            partition: None,
            timestamp: None,
            schema: None,
        }
    }

    fn text(value: impl Into<Bytes>, pointer: &str) -> Option<String> {
        let pointer = Pointer::parse(pointer).expect("a pointer");
        text_of(&record(Some(value.into())), &mut Decoded::default(), &pointer)
    }

    #[test]
    fn a_value_without_a_schema_is_read_as_json() {
        let value = r#"{"id": "caf\u00e9", "n": 1.0, "b": true, "none": null, "all": [{"x": 2}]}"#;
        for (pointer, expected) in [
            ("/id", Some("café")),
            ("/n", Some("1.0")),
            ("/b", Some("true")),
            ("/all/0/x", Some("2")),
            ("/none", None),
            ("/all", None),
            ("/other", None),
            ("", None),
        ] {
            assert_eq!(text(value, pointer).as_deref(), expected, "{pointer}");
        }
        assert_eq!(text("plain", "/id"), None);
        assert_eq!(text(&b"\0\0\0\0\x07\x02a"[..], "/id"), None);
        let pointer = Pointer::parse("/id").expect("a pointer");
        assert_eq!(text_of(&record(None), &mut Decoded::default(), &pointer), None);
    }

    #[test]
    fn a_value_that_is_too_long_to_look_into_has_no_fields() {
        let json = |bytes: usize| format!(r#"{{"id": 1, "rest": "{}"}}"#, "x".repeat(bytes - 21));
        assert_eq!(json(JSON_BYTES).len(), JSON_BYTES);
        assert_eq!(text(json(JSON_BYTES), "/id").as_deref(), Some("1"));
        assert_eq!(text(json(JSON_BYTES + 1), "/id"), None);
    }

    #[test]
    fn a_value_is_decoded_once_even_if_its_schema_cannot_read_it() {
        for json in [Some(r#"{"id": 7}"#.to_owned()), None] {
            let (mut decoded, mut times) = (Decoded::default(), 0);
            for _ in 0..3 {
                let found = decoded.by(|| {
                    times += 1;
                    json.clone()
                });
                assert_eq!(found, json.as_deref());
            }
            assert_eq!(times, 1);
        }
    }

    #[test]
    fn a_long_value_is_never_looked_into_without_a_clock() {
        let is_quick = |bytes: usize| is_quick(&record(Some(vec![b' '; bytes].into())), &Decoded::default());
        assert!(is_quick(0) && is_quick(QUICK_BYTES) && !is_quick(QUICK_BYTES + 1));
    }

    proptest! {
        #[test]
        fn no_value_makes_a_field_panic(value in prop::collection::vec(any::<u8>(), 0..64), pointer in "(/[01a~]{0,2}){0,3}") {
            if let Ok(pointer) = Pointer::parse(&pointer) {
                text_of(&record(Some(value.into())), &mut Decoded::default(), &pointer);
            }
        }
    }
}
