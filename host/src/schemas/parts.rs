//! A record's key and value, and what schemas make of them.

use std::sync::Arc;

use bytes::Bytes;
use pointsman_schemas::framing::{self, SchemaId};

use crate::base::record::{HEADER_MEMORY, Header, Record};

/// Key or value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The record's key.
    Key,
    /// The record's value.
    Value,
}

/// What a record's value was written by, for a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenBy {
    /// The subject in the registry.
    pub subject: Arc<str>,
    /// The subject's version; none where only the id was looked at.
    pub version: Option<u32>,
    /// The schema's id.
    pub id: SchemaId,
}

/// What a record becomes once it is decided. Until then plugins see what the application sent.
#[derive(Debug, Default)]
pub struct Encoded {
    pub(super) key: Option<Bytes>,
    pub(super) value: Option<Bytes>,
    pub(super) headers: Vec<Header>,
}

/// What was found of one record.
#[derive(Debug, Default)]
pub struct Applied {
    /// Its new bytes, if they have to be others.
    pub encoded: Option<Box<Encoded>>,
    /// What its value was written by.
    pub written: Option<Arc<WrittenBy>>,
    /// The memory of its new bytes.
    pub bytes: usize,
}

impl Side {
    /// The side's bytes.
    pub(super) fn of(self, record: &Record) -> Option<&Bytes> {
        match self {
            Self::Key => record.key.as_ref(),
            Self::Value => record.value.as_ref(),
        }
    }

    /// Its name in messages.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
        }
    }

    /// The header that holds a schema's id.
    pub(super) const fn header(self) -> &'static str {
        match self {
            Self::Key => framing::KEY_HEADER,
            Self::Value => framing::VALUE_HEADER,
        }
    }
}

impl Applied {
    /// The record's size on the wire and in the producer's queue, with its new bytes.
    pub fn sizes(&self, record: &Record) -> (usize, usize) {
        let (wire, queue) = (record.wire_size(), record.queue_bytes());
        let Some(encoded) = &self.encoded else {
            return (wire, queue);
        };
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let mut sizes = [wire, queue + encoded.headers.len() * HEADER_MEMORY];
        for size in &mut sizes {
            *size += encoded.headers.iter().map(Header::wire_size).sum::<usize>();
            for (new, old) in [(&encoded.key, &record.key), (&encoded.value, &record.value)] {
                if new.is_some() {
                    *size = *size - length(old) + length(new);
                }
            }
        }
        (sizes[0], sizes[1])
    }

    /// Puts the new bytes into the record.
    pub fn put(&mut self, record: &mut Record) {
        if let Some(encoded) = self.encoded.take() {
            record.key = encoded.key.or(record.key.take());
            record.value = encoded.value.or(record.value.take());
            record.headers.extend(encoded.headers);
        }
    }
}

impl Encoded {
    /// The memory that it takes, bytes.
    pub(super) fn bytes(&self) -> usize {
        let part = |new: &Option<Bytes>| new.as_ref().map_or(0, Bytes::len);
        size_of::<Self>() + part(&self.key) + part(&self.value) + self.headers.capacity() * size_of::<Header>()
    }
}
