//! The batch export of a plugin: one call decides about many records. The export is optional and is looked up by its name,
//! so it is not part of the world that every plugin must fit. As with all names of the interface, the engine takes the name in an
//! older compatible version for the same.

use wasmtime::{
    Store,
    component::{Component, ComponentExportIndex, ComponentType, Instance, Lift, Linker, TypedFunc},
};

use super::{Decision, answer::bounded, bindings::exports::pointsman::partitioner::partitioner as wit, imports::State};
use crate::base::record::Record;

/// The interface that only a plugin with a batch export imports.
const SELECTION: &str = "pointsman:partitioner/selection@1.1.0";
const INTERFACE: &str = "pointsman:partitioner/batch@1.1.0";
const FUNCTION: &str = "partition-batch";

/// A flag in `ends`: the record has no key.
const NO_KEY: u32 = 0x8000_0000;
/// Values of `choices` that are not a partition: hash the record's own key, any partition, and the next of `others`.
/// Partitions are below [`NO_KEY`].
const OWN_KEY: u32 = 0xffff_ffff;
const ANY: u32 = 0xffff_fffe;
const OTHER: u32 = 0xffff_fffd;

/// The largest batch, records. The fixed cost of a call is spread over enough records by then.
const MOST: usize = 128;
/// The first batch, records: it is not yet known how long a record takes.
const FIRST: usize = 2;
/// A batch that takes less time than this, µs, makes the next one larger. One that takes more than four times as long makes
/// the next one smaller, because other requests need the thread too.
const SHORT_US: u128 = 250;

/// What a plugin decided for one record of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The hash of the record's own key, or any partition if it has no key. The plugin need not copy the key back.
    OwnKey,
    /// Any other decision.
    Decision(Decision),
}

impl Choice {
    /// The decision that a call for this record alone would have given.
    pub fn into_decision(self, record: &Record) -> Decision {
        match self {
            Self::OwnKey => Decision::by_own_key(record.key.as_deref()),
            Self::Decision(decision) => decision,
        }
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Decisions {
    choices: Vec<u32>,
    others: Vec<wit::Decision>,
}

type Parameters<'a> = (&'a [u8], &'a [u32], u32);

/// The batch export of one instance, and the buffers of its calls.
pub(super) struct BatchExport {
    function: TypedFunc<Parameters<'static>, (Decisions,)>,
    /// The keys of the records, one after the other.
    keys: Vec<u8>,
    /// Where each key ends in `keys`, with [`NO_KEY`] if the record has none.
    ends: Vec<u32>,
    /// How many records the next call should have.
    size: usize,
}

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut selection = linker.instance(SELECTION)?;
    selection.func_wrap("select", |mut store, (index,): (u32,)| store.data_mut().select(index))
}

pub(super) fn export(component: &Component) -> Option<ComponentExportIndex> {
    let interface = component.get_export_index(None, INTERFACE)?;
    component.get_export_index(Some(&interface), FUNCTION)
}

impl BatchExport {
    pub(super) fn new(
        instance: &Instance,
        store: &mut Store<State>,
        export: &ComponentExportIndex,
    ) -> wasmtime::Result<Self> {
        Ok(Self {
            function: instance.get_typed_func(store, export)?,
            keys: Vec::new(),
            ends: Vec::new(),
            size: FIRST,
        })
    }

    /// How many records the next call should have.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Sets the size of the next batch from the time that the last call took.
    pub(super) fn took(&mut self, us: u128) {
        self.size = next_size(self.size, us);
    }

    /// Packs the keys, for [`BatchExport::call`].
    pub(super) fn pack(&mut self, records: &[Record]) {
        self.keys.clear();
        self.ends.clear();
        for record in records {
            self.keys.extend_from_slice(record.key.as_deref().unwrap_or_default());
            // All records of a request together are far below 2 GiB.
            let end = self.keys.len() as u32;
            self.ends.push(if record.key.is_some() { end } else { end | NO_KEY });
        }
    }

    /// Calls the plugin about the packed records. The outer error is a trap, the inner one an invalid answer.
    pub(super) fn call(
        &mut self,
        store: &mut Store<State>,
        partitions: u32,
    ) -> wasmtime::Result<Result<Vec<Choice>, String>> {
        let (decisions,) = self.function.call(store, (&self.keys, &self.ends, partitions))?;
        Ok(read(decisions, &self.keys, &self.ends))
    }

    /// Total size of the packed keys, bytes.
    pub(super) fn key_bytes(&self) -> usize {
        self.keys.len()
    }
}

fn next_size(size: usize, took_us: u128) -> usize {
    if took_us < SHORT_US {
        (size * 2).min(MOST)
    } else if took_us > 4 * SHORT_US {
        (size / 2).max(1)
    } else {
        size
    }
}

fn read(decisions: Decisions, keys: &[u8], ends: &[u32]) -> Result<Vec<Choice>, String> {
    let Decisions { choices, others } = decisions;
    if choices.len() != ends.len() {
        return Err(format!("it made {} choices for {} records", choices.len(), ends.len()));
    }
    let mut others = others.into_iter();
    let decisions = choices.into_iter().enumerate().map(|(index, choice)| match choice {
        OWN_KEY => Ok(Choice::OwnKey),
        ANY => Ok(Choice::Decision(Decision::Any)),
        OTHER => match others.next() {
            Some(other) => bounded(other, key(keys, ends, index)).map(Choice::Decision),
            None => Err("it points to more decisions than it has".to_owned()),
        },
        partition if partition < NO_KEY => Ok(Choice::Decision(Decision::Partition(partition))),
        other => Err(format!("{other:#x} is not a choice")),
    });
    decisions.collect()
}

/// The key of one record of the packed batch.
fn key<'k>(keys: &'k [u8], ends: &[u32], index: usize) -> Option<&'k [u8]> {
    let end = *ends.get(index)?;
    let begin = index
        .checked_sub(1)
        .and_then(|before| ends.get(before))
        .copied()
        .unwrap_or_default();
    match end & NO_KEY {
        0 => keys.get((begin & !NO_KEY) as usize..end as usize),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(choices: &[u32], others: Vec<wit::Decision>) -> Result<Vec<Choice>, String> {
        let decisions = Decisions {
            choices: choices.to_vec(),
            others,
        };
        read(decisions, b"ab", &[1, 2])
    }

    #[test]
    fn each_record_is_compared_with_its_own_key() {
        let ends = [2, 2, NO_KEY | 2, 5];
        let keys: Vec<_> = (0..4).map(|index| key(b"abcde", &ends, index)).collect();
        assert_eq!(keys, [Some(&b"ab"[..]), Some(b""), None, Some(b"cde")]);
    }

    #[test]
    fn an_answer_that_does_not_fit_its_records_is_an_error() {
        for (choices, others, why) in [
            (&[1][..], vec![], "1 choices for 2 records"),
            (&[1, 2, 3], vec![], "3 choices"),
            (&[OTHER, OTHER], vec![wit::Decision::Any], "more decisions than it has"),
            (&[1, 0x8000_0000], vec![], "0x80000000 is not a choice"),
        ] {
            let error = of(choices, others).expect_err(why);
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn each_other_decision_goes_to_its_own_record() {
        let others = vec![wit::Decision::Reject("a".to_owned()), wit::Decision::Partition(7)];
        let decisions = of(&[OTHER, OTHER], others).expect("an answer");
        let expected = [Decision::Reject("a".to_owned()), Decision::Partition(7)];
        assert_eq!(decisions, expected.map(Choice::Decision));
    }

    #[test]
    fn batches_of_a_slow_plugin_get_small() {
        let mut size = FIRST;
        let mut took = |us| {
            size = next_size(size, us);
            size
        };
        assert_eq!((0..10).map(|_| took(10)).last(), Some(MOST));
        assert_eq!(took(500), MOST);
        assert_eq!((0..10).map(|_| took(5_000)).last(), Some(1));
    }
}
