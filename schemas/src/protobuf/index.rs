//! Which message of a schema a value is, in Confluent's wire format: after the schema's id, the way to the message, as varints in
//! zigzag: how many steps, then for each the place of the message among those that are declared beside it. The way to the first
//! message is written as a single 0 (`MessageIndexes` in Confluent's schema-registry).

use std::collections::HashMap;

use super::{
    compile::Declared,
    plan::Plans,
    wire::{self, Reader},
};
use crate::{BadSchema, Invalid};

/// The most steps that are read.
const MOST_STEPS: i64 = 128;
/// The most names that a message lists.
const MOST_NAMES: usize = 8;

/// The messages that a schema's text declares.
pub(super) struct Index {
    entries: Vec<Entry>,
    /// Those that are in no other, as places in `entries`.
    top: Vec<usize>,
    by_name: HashMap<String, usize>,
}

struct Entry {
    /// The message's place in the plans.
    plan: u32,
    full_name: String,
    bytes: Box<[u8]>,
    /// Those inside of it, as places in `entries`.
    nested: Vec<usize>,
}

impl Index {
    pub(super) fn new(package: &str, declared: &[Declared], plans: &Plans) -> Result<Self, BadSchema> {
        let mut index = Self {
            entries: Vec::new(),
            top: Vec::new(),
            by_name: HashMap::new(),
        };
        index.top = index.add(package, declared, &mut Vec::new(), plans)?;
        Ok(index)
    }

    /// Adds the messages of a scope. The parser has refused what nests deeper than 31.
    fn add(
        &mut self,
        scope: &str,
        declared: &[Declared],
        way: &mut Vec<usize>,
        plans: &Plans,
    ) -> Result<Vec<usize>, BadSchema> {
        let mut places = Vec::with_capacity(declared.len());
        for (step, message) in declared.iter().enumerate() {
            let full_name = match scope {
                "" => message.name.clone(),
                _ => format!("{scope}.{}", message.name),
            };
            let plan = plans
                .named(&full_name)
                .ok_or_else(|| BadSchema::new(format!("the message `{full_name}` is not among those compiled")))?;
            way.push(step);
            let at = self.entries.len();
            places.push(at);
            self.by_name.insert(full_name.clone(), at);
            self.entries.push(Entry {
                plan,
                full_name: full_name.clone(),
                bytes: bytes(way),
                nested: Vec::new(),
            });
            let nested = self.add(&full_name, &message.nested, way, plans)?;
            self.entries[at].nested = nested;
            way.pop();
        }
        Ok(places)
    }

    pub(super) fn find(&self, full_name: Option<&str>) -> Result<usize, BadSchema> {
        let Some(full_name) = full_name else {
            let first = self.top.first().copied();
            return first.ok_or_else(|| BadSchema::new("the schema has no message"));
        };
        self.by_name.get(full_name).copied().ok_or_else(|| {
            let shown = self.entries.iter().take(MOST_NAMES);
            let names: Vec<&str> = shown.map(|entry| entry.full_name.as_str()).collect();
            let more = match self.entries.len().saturating_sub(MOST_NAMES) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            BadSchema::new(format!(
                "the schema has no message `{}`; it has {}{more}",
                crate::invalid::shortened(full_name.to_owned()),
                names.join(", ")
            ))
        })
    }

    /// The message that bytes begin with the way to, and the length of that.
    pub(super) fn read(&self, bytes: &[u8]) -> Result<(usize, usize), Invalid> {
        let mut reader = Reader { rest: bytes };
        let mut next = || {
            let varint = reader.varint();
            let varint = varint.map_err(|wrong| Invalid::new(format!("the message's index: {}", wrong.reason())))?;
            let value = (varint >> 1) as i64 ^ -((varint & 1) as i64);
            Ok((value, reader.rest.len()))
        };
        let (steps, mut left) = next()?;
        if !(0..=MOST_STEPS).contains(&steps) {
            return Err(Invalid::new(format!(
                "the message's index has {steps} steps; it may have 0 to {MOST_STEPS}"
            )));
        }
        let mut beside = &self.top;
        let mut found = None;
        if steps == 0 {
            found = self.top.first().copied();
        }
        for step in 0..steps {
            let (place, rest) = next()?;
            left = rest;
            let at = usize::try_from(place).ok().and_then(|place| beside.get(place));
            let at = *at.ok_or_else(|| {
                let there = beside.len();
                Invalid::new(format!(
                    "the message's index has {place} as step {step}, where the schema has {there} messages"
                ))
            })?;
            beside = &self.entries[at].nested;
            found = Some(at);
        }
        match found {
            Some(at) => Ok((at, bytes.len() - left)),
            None => Err(Invalid::new("the schema has no message")),
        }
    }

    pub(super) fn bytes(&self, at: usize) -> &[u8] {
        &self.entries[at].bytes
    }

    pub(super) fn plan(&self, at: usize) -> u32 {
        self.entries[at].plan
    }
}

/// The bytes of a way.
fn bytes(way: &[usize]) -> Box<[u8]> {
    let mut out = Vec::with_capacity(1 + way.len());
    match way {
        [0] => out.push(0),
        _ => {
            wire::put_varint(&mut out, wire::zigzag(way.len() as i64));
            for &step in way {
                wire::put_varint(&mut out, wire::zigzag(step as i64));
            }
        }
    }
    out.into()
}
