//! Writes JSON as Avro, field by field as the schema says.

use super::{
    scalars::{
        expected, put_boolean, put_bytes_of, put_double, put_fixed, put_float, put_raw, put_size, put_string, put_whole,
    },
    seen::Seen,
    types::{Id, Kind, MOST_DEEP, MOST_FREE, Record, Types, Union},
};
use crate::{
    document::{Array, Json, Object},
    invalid::Invalid,
};

/// What the defaults of fields that are not there may add to any value, in bytes.
const DEFAULTS: usize = 1 << 20;
/// And for each byte of the JSON: `{}` may stand for a long record, which is no reason to write gigabytes for a list of them.
const DEFAULTS_EACH: usize = 16;

/// Writes a JSON text of so many bytes, as a whole.
pub(super) fn encode(types: &Types, json: Json<'_>, bytes: usize, out: &mut Vec<u8>) -> Result<(), Invalid> {
    let root = &types.list[types.root];
    if matches!(root.kind, Kind::Bytes) {
        return put_raw(json, root.logical, out);
    }
    let mut encoder = Encoder {
        types,
        out,
        later: Vec::new(),
        defaults: DEFAULTS.saturating_add(bytes.saturating_mul(DEFAULTS_EACH)),
        free: MOST_FREE,
    };
    encoder.value(types.root, json, 0)
}

struct Encoder<'s, 'd, 'o> {
    types: &'s Types,
    out: &'o mut Vec<u8>,
    /// Fields, by number, whose turn has not come: those of the innermost record last.
    later: Vec<(usize, Json<'d>)>,
    /// What defaults may still add.
    defaults: usize,
    /// How many values of no bytes may still come.
    free: usize,
}

impl<'s, 'd> Encoder<'s, 'd, '_> {
    /// Recurses as deep as the JSON, which is bounded. `depth` counts the records, arrays and maps around the value.
    fn value(&mut self, id: Id, json: Json<'d>, depth: usize) -> Result<(), Invalid> {
        let of = &self.types.list[id];
        let out = &mut *self.out;
        match &of.kind {
            Kind::Null => match json {
                Json::Null => Ok(()),
                other => Err(expected("null", other)),
            },
            Kind::Boolean => put_boolean(json, out),
            Kind::Int => put_whole(json, true, of.logical, out),
            Kind::Long => put_whole(json, false, of.logical, out),
            Kind::Float => put_float(json, out),
            Kind::Double => put_double(json, out),
            Kind::Bytes => put_bytes_of(json, of.logical, out),
            Kind::String => put_string(json, of.logical, out),
            Kind::Fixed(fixed) => put_fixed(json, fixed, of.logical, out),
            Kind::Enum(of) => match json {
                Json::Text(symbol) => {
                    let Some(number) = of.symbols.find(symbol, 0) else {
                        let form = format!("a symbol of {} ({})", of.name, of.symbols.listed());
                        return Err(expected(&form, json));
                    };
                    put_size(number, out);
                    Ok(())
                }
                other => Err(expected(&format!("{} (a string)", of.name), other)),
            },
            Kind::Record(record) => match json {
                Json::Object(entries) => self.record(record, entries, depth + 1),
                other => Err(expected(&format!("{} (an object)", record.name), other)),
            },
            Kind::Array(item) => match json {
                Json::Array(items) => self.array(*item, items, depth + 1),
                other => Err(expected("an array", other)),
            },
            Kind::Map(value) => match json {
                Json::Object(entries) => self.map(*value, entries, depth + 1),
                other => Err(expected("a map (an object)", other)),
            },
            Kind::Union(union) => self.union(union, json, depth),
        }
    }

    /// A field or an item.
    fn part(&mut self, id: Id, json: Json<'d>, depth: usize) -> Result<(), Invalid> {
        if self.types.list[id].empty {
            self.free = spend(self.free, 1)?;
        }
        self.value(id, json, depth)
    }

    fn array(&mut self, item: Id, items: Array<'d>, depth: usize) -> Result<(), Invalid> {
        if items.len() > 0 {
            put_size(items.len(), self.out);
            for (index, json) in items.enumerate() {
                self.part(item, json, depth).map_err(|wrong| wrong.in_item(index))?;
            }
        }
        self.out.push(0);
        Ok(())
    }

    fn map(&mut self, value: Id, entries: Object<'d>, depth: usize) -> Result<(), Invalid> {
        if entries.len() > 0 {
            put_size(entries.len(), self.out);
            let mut seen = Seen::default();
            for (key, json) in entries {
                if !seen.insert(key) {
                    return Err(Invalid::new("the key is there twice").in_field(key));
                }
                put_size(key.len(), self.out);
                self.out.extend_from_slice(key.as_bytes());
                self.value(value, json, depth).map_err(|wrong| wrong.in_field(key))?;
            }
        }
        self.out.push(0);
        Ok(())
    }

    /// Fields that come in the schema's order are written as they come.
    fn record(&mut self, record: &'s Record, mut entries: Object<'d>, depth: usize) -> Result<(), Invalid> {
        let mut at = 0;
        while at < record.fields.len() {
            let mut rest = entries;
            match rest.next() {
                Some((name, json)) if name == record.names.get(at) => {
                    entries = rest;
                    self.field(record, at, json, depth)?;
                    at += 1;
                }
                _ => break,
            }
        }
        if at == record.fields.len() && entries.len() == 0 {
            return Ok(());
        }
        self.rest(record, at, entries, depth)
    }

    fn field(&mut self, record: &'s Record, field: usize, json: Json<'d>, depth: usize) -> Result<(), Invalid> {
        self.part(record.fields[field].of, json, depth)
            .map_err(|wrong| wrong.in_field(record.names.get(field)))
    }

    /// Fields from `at` on: the entries are put into their order, and the defaults between them.
    fn rest(&mut self, record: &'s Record, at: usize, entries: Object<'d>, depth: usize) -> Result<(), Invalid> {
        let base = self.later.len();
        let (mut next, mut sorted) = (at, true);
        for (name, json) in entries {
            let Some(field) = record.names.find(name, next) else {
                let reason = format!("{} has no such field (it has {})", record.name, record.names.listed());
                return Err(Invalid::new(reason).in_field(name));
            };
            if field < at {
                return Err(twice(name));
            }
            sorted &= field >= next;
            next = field + 1;
            self.later.push((field, json));
        }
        if !sorted {
            self.later[base..].sort_unstable_by_key(|(field, _)| *field);
            let mut pairs = self.later[base..].windows(2);
            if let Some(pair) = pairs.find(|pair| pair[0].0 == pair[1].0) {
                return Err(twice(record.names.get(pair[0].0)));
            }
        }
        let mut next = base;
        let end = self.later.len();
        for field in at..record.fields.len() {
            match self.later[next..end].first() {
                Some(&(number, json)) if number == field => {
                    next += 1;
                    self.field(record, field, json, depth)?;
                }
                _ => self
                    .default(record, field, depth)
                    .map_err(|wrong| wrong.in_field(record.names.get(field)))?,
            }
        }
        self.later.truncate(base);
        Ok(())
    }

    fn default(&mut self, record: &Record, field: usize, depth: usize) -> Result<(), Invalid> {
        let field = &record.fields[field];
        let Some(default) = field.default else {
            return Err(Invalid::new(match &self.types.list[field.of].kind {
                Kind::Union(union) if union.null.is_some() => {
                    "missing, and its schema has no default: write null, or give the schema the default null"
                }
                _ => "missing, and its schema has no default",
            }));
        };
        self.free = spend(self.free, default.free)?;
        if depth + default.height > MOST_DEEP {
            return Err(Invalid::new(format!(
                "nested more than {MOST_DEEP} deep with its defaults"
            )));
        }
        let bytes = self.types.default(default);
        self.defaults = self.defaults.checked_sub(bytes.len() + 1).ok_or_else(|| {
            Invalid::new("too many fields are left to their defaults, which are far longer than the value itself")
        })?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn union(&mut self, union: &'s Union, json: Json<'d>, depth: usize) -> Result<(), Invalid> {
        if let Some((name, branch, json)) = union.named(json) {
            put_size(branch, self.out);
            return self
                .value(union.branches[branch], json, depth)
                .map_err(|wrong| wrong.in_field(name));
        }
        let branch = union.branch(self.types, json)?;
        put_size(branch, self.out);
        self.value(union.branches[branch], json, depth)
    }
}

fn twice(name: &str) -> Invalid {
    Invalid::new("the field is there twice").in_field(name)
}

/// Counts values of no bytes.
pub(super) fn spend(free: usize, values: usize) -> Result<usize, Invalid> {
    free.checked_sub(values).ok_or_else(|| {
        Invalid::new(format!(
            "the value holds more than {MOST_FREE} values that take no bytes, such as nulls in an array"
        ))
    })
}
