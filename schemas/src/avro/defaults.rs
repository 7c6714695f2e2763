//! Encodes the defaults of fields, once, when a schema is compiled.

use std::collections::HashMap;

use super::{
    scalars::{expected, put_boolean, put_bytes_of, put_double, put_fixed, put_float, put_size, put_string, put_whole},
    seen::Seen,
    types::{DefaultBytes, Id, Kind, Logical, MOST_DEEP, Record, Types, Union},
};
use crate::{
    document::{Array, Json, Object},
    invalid::Invalid,
};

/// The most bytes of all defaults of a schema, encoded.
const MOST_BYTES: usize = 1 << 20;
/// The steps that encoding them may take, by any schema and by each byte of its text. A default may fit a union's later branches only,
/// and lie in another such default: trying all ways would take steps without end.
const STEPS: usize = 100_000;
const STEPS_EACH: usize = 16;

/// A default as it stands in the text.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'d> {
    pub(super) record: Id,
    /// The number of the field in it.
    pub(super) field: usize,
    pub(super) json: Json<'d>,
}

/// Encodes all of these defaults, of a schema whose text has so many bytes.
pub(super) fn settle(types: &mut Types, wanted: &[Wanted<'_>], bytes: usize) -> Result<(), Invalid> {
    let places = wanted.iter().map(|wanted| (wanted.record, wanted.field)).zip(0..);
    let mut defaults = Defaults {
        types,
        wanted,
        places: places.collect(),
        states: vec![State::Open; wanted.len()],
        bytes: Vec::new(),
        steps: STEPS.saturating_add(bytes.saturating_mul(STEPS_EACH)),
    };
    for number in 0..wanted.len() {
        defaults.settled(number, 0)?;
    }
    let Defaults { states, bytes, .. } = defaults;
    types.defaults = bytes;
    for (wanted, state) in wanted.iter().zip(states) {
        if let (Kind::Record(record), State::Done(default)) = (&mut types.list[wanted.record].kind, state) {
            record.fields[wanted.field].default = Some(default);
        }
    }
    Ok(())
}

struct Defaults<'s, 'd> {
    types: &'s Types,
    wanted: &'s [Wanted<'d>],
    /// The numbers of the defaults, by record and field.
    places: HashMap<(Id, usize), usize>,
    states: Vec<State>,
    /// The defaults that are done.
    bytes: Vec<u8>,
    /// What is left of the steps.
    steps: usize,
}

#[derive(Clone, Copy)]
enum State {
    Open,
    /// Being encoded: if it needs itself, it would never end.
    Busy,
    Done(DefaultBytes),
}

/// What was written.
#[derive(Clone, Copy, Default)]
struct Made {
    /// As in [`DefaultBytes`].
    height: usize,
    free: usize,
}

impl Made {
    fn and(self, part: Self) -> Self {
        Self {
            height: self.height.max(part.height + 1),
            free: self.free.saturating_add(part.free),
        }
    }
}

impl<'s, 'd> Defaults<'s, 'd> {
    /// The default of this number, encoded now if it was not before: another default needs it, in records whose fields are missing there.
    fn settled(&mut self, number: usize, depth: usize) -> Result<DefaultBytes, Invalid> {
        match self.states[number] {
            State::Done(default) => return Ok(default),
            State::Busy => return Err(Invalid::new("it holds itself, and so has no end")),
            State::Open => self.states[number] = State::Busy,
        }
        let Wanted { record, field, json } = self.wanted[number];
        let Kind::Record(record) = &self.types.list[record].kind else {
            unreachable!("only records have fields");
        };
        let mut out = Vec::new();
        let made = self.part(record.fields[field].of, json, depth, &mut out);
        // If it failed, it may still do where it is not within another.
        self.states[number] = State::Open;
        let made = made.map_err(|wrong| {
            let (field, record) = (record.names.get(field), &record.name);
            let (path, reason) = (wrong.path(), wrong.reason());
            let at = if path.is_empty() {
                String::new()
            } else {
                format!(" at {path}")
            };
            Invalid::new(format!(
                "the default of the field {field:?} of {record:?} does not fit its type{at}: {reason}"
            ))
        })?;
        self.room(&self.bytes, out.len())?;
        let start = self.bytes.len();
        self.bytes.append(&mut out);
        let default = DefaultBytes {
            start,
            end: self.bytes.len(),
            height: made.height,
            free: made.free,
        };
        self.states[number] = State::Done(default);
        Ok(default)
    }

    fn room(&self, out: &[u8], more: usize) -> Result<(), Invalid> {
        if out.len() + more > MOST_BYTES {
            let reason = format!("the defaults of the schema's fields take more than {MOST_BYTES} bytes");
            return Err(Invalid::new(reason));
        }
        Ok(())
    }

    fn step(&mut self, steps: usize) -> Result<(), Invalid> {
        let left = self.steps.checked_sub(steps);
        self.steps = left.unwrap_or_default();
        if left.is_none() {
            return Err(Invalid::new("the schema's defaults hold each other in too many ways"));
        }
        Ok(())
    }

    /// A field's value or an item.
    fn part(&mut self, id: Id, json: Json<'d>, depth: usize, out: &mut Vec<u8>) -> Result<Made, Invalid> {
        let mut made = self.value(id, json, depth, out)?;
        made.free += usize::from(self.types.list[id].empty);
        Ok(made)
    }

    /// `depth` counts the records, arrays and maps around the value.
    fn value(&mut self, id: Id, json: Json<'d>, depth: usize, out: &mut Vec<u8>) -> Result<Made, Invalid> {
        self.step(match json {
            Json::Text(text) => 1 + text.len() / 8,
            _ => 1,
        })?;
        if depth > MOST_DEEP {
            return Err(Invalid::new(format!("nested more than {MOST_DEEP} deep")));
        }
        let types = self.types;
        // What a value means does not change the form of its default.
        let plain = Logical::None;
        match (&types.list[id].kind, json) {
            (Kind::Null, Json::Null) => Ok(()),
            (Kind::Boolean, json) => put_boolean(json, out),
            (Kind::Int, json) => put_whole(json, true, plain, out),
            (Kind::Long, json) => put_whole(json, false, plain, out),
            (Kind::Float, json) => put_float(json, out),
            (Kind::Double, json) => put_double(json, out),
            (Kind::Bytes, json) => put_bytes_of(json, plain, out),
            (Kind::String, json) => put_string(json, plain, out),
            (Kind::Fixed(fixed), json) => put_fixed(json, fixed, plain, out),
            (Kind::Enum(of), Json::Text(symbol)) => match of.symbols.find(symbol, 0) {
                Some(number) => {
                    put_size(number, out);
                    Ok(())
                }
                None => Err(expected(&format!("a symbol of {}", of.name), json)),
            },
            (Kind::Record(record), Json::Object(entries)) => return self.record(id, record, entries, depth + 1, out),
            (Kind::Array(item), Json::Array(items)) => return self.array(*item, items, depth + 1, out),
            (Kind::Map(value), Json::Object(entries)) => return self.map(*value, entries, depth + 1, out),
            (Kind::Union(union), json) => return self.union(union, json, depth, out),
            (kind, json) => Err(expected(kind.name(), json)),
        }?;
        Ok(Made::default())
    }

    /// Fields that are missing take their own defaults. Others than the record's are left out, as Java's library does.
    fn record(
        &mut self,
        id: Id,
        record: &'s Record,
        entries: Object<'d>,
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<Made, Invalid> {
        self.step(record.fields.len())?;
        let mut given = HashMap::new();
        for (name, json) in entries {
            if let Some(field) = record.names.find(name, given.len())
                && given.insert(field, json).is_some()
            {
                return Err(Invalid::new("the field is there twice").in_field(name));
            }
        }
        let mut made = Made { height: 1, free: 0 };
        for (number, field) in record.fields.iter().enumerate() {
            let wrong = |wrong: Invalid| wrong.in_field(record.names.get(number));
            if let Some(json) = given.get(&number) {
                made = made.and(self.part(field.of, *json, depth, out).map_err(wrong)?);
                continue;
            }
            let Some(&number) = self.places.get(&(id, number)) else {
                return Err(wrong(Invalid::new("missing, and it has no default of its own")));
            };
            let default = self.settled(number, depth).map_err(wrong)?;
            self.room(out, default.end - default.start)?;
            out.extend_from_slice(&self.bytes[default.start..default.end]);
            made = made.and(Made {
                height: default.height,
                free: default.free,
            });
        }
        Ok(made)
    }

    fn array(&mut self, item: Id, items: Array<'d>, depth: usize, out: &mut Vec<u8>) -> Result<Made, Invalid> {
        let mut made = Made { height: 1, free: 0 };
        if items.len() > 0 {
            put_size(items.len(), out);
            for (index, json) in items.enumerate() {
                let part = self.part(item, json, depth, out);
                made = made.and(part.map_err(|wrong| wrong.in_item(index))?);
            }
        }
        out.push(0);
        Ok(made)
    }

    fn map(&mut self, value: Id, entries: Object<'d>, depth: usize, out: &mut Vec<u8>) -> Result<Made, Invalid> {
        let mut made = Made { height: 1, free: 0 };
        if entries.len() > 0 {
            put_size(entries.len(), out);
            let mut seen = Seen::default();
            for (key, json) in entries {
                if !seen.insert(key) {
                    return Err(Invalid::new("the key is there twice").in_field(key));
                }
                put_size(key.len(), out);
                out.extend_from_slice(key.as_bytes());
                let part = self.value(value, json, depth, out);
                made = made.and(part.map_err(|wrong| wrong.in_field(key))?);
            }
        }
        out.push(0);
        Ok(made)
    }

    /// The first branch that takes the value. Branches are never named in a default.
    fn union(&mut self, union: &Union, json: Json<'d>, depth: usize, out: &mut Vec<u8>) -> Result<Made, Invalid> {
        let start = out.len();
        for (number, branch) in union.branches.iter().enumerate() {
            put_size(number, out);
            match self.value(*branch, json, depth, out) {
                Ok(made) => return Ok(made),
                Err(_) if self.steps > 0 => out.truncate(start),
                Err(wrong) => return Err(wrong),
            }
        }
        Err(expected(
            &format!("a value of one of the union's branches ({})", union.names.listed()),
            json,
        ))
    }
}
