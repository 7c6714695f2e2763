//! Which types have values at all, and which have values of no bytes.

use super::types::{Id, Kind, Type};
use crate::invalid::Invalid;

/// Marks the types whose values take no bytes. Refuses a record whose values would have to hold another of its kind without end.
///
/// A type has values if the types do that it is made of: for a record each of its fields, for a union one branch; arrays and maps can be
/// empty. So it begins with those that need no other, and each that is found may settle those that wait for it.
pub(super) fn settle(types: &mut [Type]) -> Result<(), Invalid> {
    let mut missing: Vec<usize> = types.iter().map(|of| parts(of).count().min(needed(of))).collect();
    let mut waiting: Vec<Vec<Id>> = vec![Vec::new(); types.len()];
    for (id, of) in types.iter().enumerate() {
        for part in parts(of) {
            waiting[part].push(id);
        }
    }
    let mut settled: Vec<Id> = (0..types.len()).filter(|id| missing[*id] == 0).collect();
    while let Some(id) = settled.pop() {
        types[id].empty = match &types[id].kind {
            Kind::Null => true,
            Kind::Fixed(fixed) => fixed.size == 0,
            Kind::Record(record) => record.fields.iter().all(|field| types[field.of].empty),
            _ => false,
        };
        for &id in &waiting[id] {
            if missing[id] > 0 {
                missing[id] -= 1;
                if missing[id] == 0 {
                    settled.push(id);
                }
            }
        }
    }
    match endless(types, &missing) {
        None => Ok(()),
        Some(id) => Err(Invalid::new(format!(
            "no value of {:?} can end, since each holds another: put a union with null, an array or a map between",
            types[id].kind.name()
        ))),
    }
}

/// What each value of a type holds, or one of it.
fn parts(of: &Type) -> impl Iterator<Item = Id> {
    let (fields, branches) = match &of.kind {
        Kind::Record(record) => (&record.fields[..], &[][..]),
        Kind::Union(union) => (&[][..], &union.branches[..]),
        _ => (&[][..], &[][..]),
    };
    let fields = fields.iter().map(|field| field.of);
    fields.chain(branches.iter().copied())
}

/// How many of its parts a type needs.
fn needed(of: &Type) -> usize {
    match of.kind {
        Kind::Union(_) => 1,
        _ => usize::MAX,
    }
}

/// A record that holds itself. Others that miss a part only hold such a one, but going from part to part leads to it.
fn endless(types: &[Type], missing: &[usize]) -> Option<Id> {
    let mut id = missing.iter().position(|missing| *missing > 0)?;
    let mut seen = vec![false; types.len()];
    while !seen[id] {
        seen[id] = true;
        id = parts(&types[id]).find(|part| missing[*part] > 0)?;
    }
    // A union is none that a reader would look for; a record lies on each way around.
    while !matches!(types[id].kind, Kind::Record(_)) {
        id = parts(&types[id]).find(|part| missing[*part] > 0)?;
    }
    Some(id)
}
