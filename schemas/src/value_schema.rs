//! The schema of one value, as what reads a field of it needs it.

use std::sync::Arc;

use crate::{Invalid, framing::SchemaId, registry::Registered};

/// A schema, and where what it describes is found.
#[derive(Debug)]
pub struct ValueSchema {
    registered: Arc<Registered>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// Behind so many bytes of the value, the schema's id.
    Behind(usize),
    /// All of the value. The id, and these indexes of a Protobuf message, are in a header.
    Apart(Box<[u8]>),
}

impl ValueSchema {
    /// Of values that begin with an id of so many bytes.
    pub fn behind(registered: Arc<Registered>, id_bytes: usize) -> Self {
        Self {
            registered,
            place: Place::Behind(id_bytes),
        }
    }

    /// Of values whose id is in a header, with these bytes behind it.
    pub fn apart(registered: Arc<Registered>, indexes: &[u8]) -> Self {
        Self {
            registered,
            place: Place::Apart(indexes.into()),
        }
    }

    /// The schema's id.
    pub fn id(&self) -> SchemaId {
        self.registered.id
    }

    /// A value as JSON text of at most `most` bytes.
    pub fn json(&self, value: &[u8], most: usize) -> Result<String, Invalid> {
        let compiled = self.registered.compiled();
        let compiled = compiled.map_err(|error| Invalid::new(error.to_string()))?;
        match &self.place {
            Place::Behind(bytes) => match value.get(*bytes..) {
                Some(payload) => compiled.json(payload, most),
                None => Err(Invalid::new("the value ends within the schema id")),
            },
            Place::Apart(indexes) => compiled.json_apart(indexes, value, most),
        }
    }

    /// Whether it describes values in the same way as one that is apart with these indexes.
    pub fn is_apart_with(&self, indexes: &[u8]) -> bool {
        matches!(&self.place, Place::Apart(own) if **own == *indexes)
    }
}
