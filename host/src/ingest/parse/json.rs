//! `application/json` and `application/x-ndjson`.
//!
//! A body is read in one pass into typed records. Only if that fails is it read again, into the raw text of each
//! record, so that one malformed record costs the others only time.

use std::{cell::Cell, fmt, marker::PhantomData};

use bytes::Bytes;
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    context::{Context, no_memory, some, too_many},
    wire::{Object, malformed},
};
use crate::{
    ingest::error::{IngestError, told},
    pipeline::Parsed,
};

/// Reads `{"records":[R…]}`, or one R.
pub(super) fn document(body: &Bytes, context: &Context<'_>) -> Result<Vec<Parsed>, IngestError> {
    if !is_batch(body) {
        return single(body, context).map(|record| vec![record]);
    }
    let over = Cell::new(false);
    let typed = read(body, context, &over, |Object(wire): Object<'_>| {
        wire.into_record(body, context)
    });
    if let Ok(records) = typed {
        return some(records);
    }
    if over.get() {
        return Err(too_many(context.limits));
    }
    if context.memory.is_over() {
        return Err(no_memory());
    }
    context.memory.again();
    match read(body, context, &over, |raw: &RawValue| one(raw.get(), body, context)) {
        Ok(records) => some(records),
        Err(_) if over.get() => Err(too_many(context.limits)),
        Err(_) if context.memory.is_over() => Err(no_memory()),
        Err(error) => Err(IngestError::json(&error)),
    }
}

/// Reads one R on each line; skips blank lines.
pub(super) fn lines(body: &Bytes, context: &Context<'_>) -> Result<Vec<Parsed>, IngestError> {
    let mut records = Vec::new();
    for (number, line) in whole_lines(body) {
        if records.len() == context.limits.max_records {
            return Err(too_many(context.limits));
        }
        let parsed = self::line(number, line, body, context);
        context.memory.take_record(&parsed).map_err(|_| no_memory())?;
        records.push(parsed);
    }
    some(records)
}

/// Like [`lines`], for a caller that has bounded the number of lines. None if the records take too much memory. Nothing
/// else can refuse the lines as a whole.
pub(super) fn all_lines(body: &Bytes, context: &Context<'_>) -> Option<Vec<Parsed>> {
    let lines = whole_lines(body).map(|(number, line)| {
        let parsed = self::line(number, line, body, context);
        context.memory.take_record(&parsed).ok()?;
        Some(parsed)
    });
    lines.collect()
}

/// Each line that is not blank, with its number in the body.
fn whole_lines(body: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let lines = body.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    (1..).zip(lines).filter(|(_, line)| !line.is_empty())
}

fn line(number: usize, line: &[u8], body: &Bytes, context: &Context<'_>) -> Parsed {
    match serde_json::from_slice::<Object<'_>>(line) {
        Ok(Object(wire)) => wire.into_record(body, context),
        Err(error) => Err(malformed(format!("line {number} of the body: {}", described(&error)))),
    }
}

fn single(body: &Bytes, context: &Context<'_>) -> Result<Parsed, IngestError> {
    let parsed = whole(body, context)?;
    context.memory.take_record(&parsed).map_err(|_| no_memory())?;
    Ok(parsed)
}

fn whole(body: &Bytes, context: &Context<'_>) -> Result<Parsed, IngestError> {
    let error = match serde_json::from_slice::<Object<'_>>(body) {
        Ok(Object(wire)) => return Ok(wire.into_record(body, context)),
        Err(error) => error,
    };
    // A body that is not JSON is the request's error; JSON that is not a record is the record's.
    match serde_json::from_slice::<&RawValue>(body) {
        Ok(raw) if raw.get().starts_with('{') => Ok(Err(malformed(described(&error)))),
        Ok(_) => Err(IngestError::NotAnObject(
            "the body is not a JSON object; send {\"records\":[…]} or one record such as {\"key\":\"k\",\"value\":1}"
                .to_owned(),
        )),
        Err(error) => Err(IngestError::json(&error)),
    }
}

fn one(text: &str, body: &Bytes, context: &Context<'_>) -> Parsed {
    match serde_json::from_str::<Object<'_>>(text) {
        Ok(Object(wire)) => wire.into_record(body, context),
        Err(error) => Err(malformed(described(&error))),
    }
}

/// serde_json's message ends with line and column, here counted within the record.
fn described(error: &serde_json::Error) -> String {
    format!("the record cannot be read: {} of the record", told(error))
}

/// Whether the first key is `records`: a batch has no other key.
fn is_batch(body: &[u8]) -> bool {
    body.trim_ascii_start()
        .strip_prefix(b"{")
        .is_some_and(|rest| rest.trim_ascii_start().starts_with(b"\"records\""))
}

/// Reads an array, and makes a record of the text of each of its elements.
pub(super) fn array(
    body: &[u8],
    context: &Context<'_>,
    make: impl Fn(&RawValue) -> Parsed,
) -> Result<Vec<Parsed>, IngestError> {
    let over = Cell::new(false);
    let mut de = serde_json::Deserializer::from_slice(body);
    match Bound::new(context, &over, make)
        .deserialize(&mut de)
        .and_then(|records| de.end().map(|()| records))
    {
        Ok(records) => some(records),
        Err(_) if over.get() => Err(too_many(context.limits)),
        Err(_) if context.memory.is_over() => Err(no_memory()),
        Err(error) => Err(IngestError::json(&error)),
    }
}

/// Reads each record as a `T`, and makes a record of it at once.
fn read<'a, T: Deserialize<'a>>(
    body: &'a [u8],
    context: &Context<'_>,
    over: &Cell<bool>,
    make: impl Fn(T) -> Parsed,
) -> Result<Vec<Parsed>, serde_json::Error> {
    let mut de = serde_json::Deserializer::from_slice(body);
    let bound = Bound::new(context, over, make);
    let records = BatchSeed { bound }.deserialize(&mut de)?;
    de.end()?;
    Ok(records)
}

/// Reads `{"records":[…]}` with a bound on the array, so that a body of empty records cannot grow far beyond its own
/// size.
struct BatchSeed<'s, T, F> {
    bound: Bound<'s, T, F>,
}

/// Reads an array with a bound on its length and on the memory of the records.
pub(in crate::ingest) struct Bound<'s, T, F> {
    context: &'s Context<'s>,
    over: &'s Cell<bool>,
    make: F,
    of: PhantomData<T>,
}

impl<'s, T, F: Fn(T) -> Parsed> Bound<'s, T, F> {
    /// Each element is read as a `T`, of which `make` makes a record. `over` becomes true where there are too many.
    pub(in crate::ingest) fn new(context: &'s Context<'s>, over: &'s Cell<bool>, make: F) -> Self {
        Self {
            context,
            over,
            make,
            of: PhantomData,
        }
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Field {
    Records,
}

impl<'de, T: Deserialize<'de>, F: Fn(T) -> Parsed> DeserializeSeed<'de> for BatchSeed<'_, T, F> {
    type Value = Vec<Parsed>;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Vec<Parsed>, D::Error> {
        de.deserialize_map(self)
    }
}

impl<'de, T: Deserialize<'de>, F: Fn(T) -> Parsed> Visitor<'de> for BatchSeed<'_, T, F> {
    type Value = Vec<Parsed>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{\"records\":[…]}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Parsed>, A::Error> {
        let Some(Field::Records) = map.next_key()? else {
            return Err(A::Error::missing_field("records"));
        };
        let records = map.next_value_seed(self.bound)?;
        match map.next_key::<Field>()? {
            None => Ok(records),
            Some(Field::Records) => Err(A::Error::duplicate_field("records")),
        }
    }
}

impl<'de, T: Deserialize<'de>, F: Fn(T) -> Parsed> DeserializeSeed<'de> for Bound<'_, T, F> {
    type Value = Vec<Parsed>;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Vec<Parsed>, D::Error> {
        de.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>, F: Fn(T) -> Parsed> Visitor<'de> for Bound<'_, T, F> {
    type Value = Vec<Parsed>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Parsed>, A::Error> {
        let mut records = Vec::new();
        while let Some(record) = seq.next_element()? {
            if records.len() == self.context.limits.max_records {
                self.over.set(true);
                return Err(A::Error::custom("too many records"));
            }
            let parsed = (self.make)(record);
            self.context
                .memory
                .take_record(&parsed)
                .map_err(|_| A::Error::custom("too much memory"))?;
            records.push(parsed);
        }
        Ok(records)
    }
}
