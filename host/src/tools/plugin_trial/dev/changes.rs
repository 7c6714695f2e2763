//! What two versions of a plugin decide differently: plain data, and its text.

use std::{collections::BTreeMap, fmt, fmt::Write as _, path::Path, sync::Arc};

use serde_json::{Value, json};

use crate::{
    base::record::Record,
    plugin::{CallError, Decision, Placement},
    tools::plugin_trial::{configure, load, test::Outcome},
    topic::Partitions,
};

/// How many changed records are shown one by one.
const SHOWN: usize = 5;
/// How many changed cases are shown one by one.
const SHOWN_CASES: usize = 20;
/// How much of a key is shown, characters.
const MAX_KEY: usize = 40;

/// A case that is decided differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CaseChange {
    pub(super) name: String,
    pub(super) before: String,
    pub(super) after: String,
}

/// The cases that are decided differently. Both results must be of the same table.
pub(super) fn cases(before: &[Outcome], after: &[Outcome]) -> Vec<CaseChange> {
    let changed = before
        .iter()
        .zip(after)
        .filter(|(before, after)| before.decided != after.decided);
    changed
        .map(|(before, after)| CaseChange {
            name: after.name.clone(),
            before: before.decided.clone(),
            after: after.decided.clone(),
        })
        .collect()
}

/// Where a record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum WhereTo {
    /// The plugin chose this partition.
    On(u32),
    /// The host may choose.
    Anywhere,
    /// The plugin refused the record.
    Rejected,
    /// The call failed: `on_error` says where it goes.
    Failed,
}

impl WhereTo {
    fn of(answer: &Result<Decision, CallError>, partitions: u32) -> Self {
        match answer {
            Ok(decision) => match decision.placement(partitions) {
                Placement::Partition(partition) | Placement::OutOfRange(partition) => Self::On(partition),
                Placement::Anywhere | Placement::AnyOf(_) => Self::Anywhere,
                Placement::Rejected(_) => Self::Rejected,
            },
            Err(_) => Self::Failed,
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::On(_) => "partition",
            Self::Anywhere => "any",
            Self::Rejected => "rejected",
            Self::Failed => "error",
        }
    }
}

impl fmt::Display for WhereTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On(partition) => write!(f, "partition {partition}"),
            other => f.write_str(other.kind()),
        }
    }
}

/// Where a plugin puts these records, asked about one after the other.
pub(super) fn places(file: &Path, config: &Value, records: &[Record], partitions: u32) -> anyhow::Result<Vec<WhereTo>> {
    let (code, limits) = load(file)?;
    let (pool, _) = configure(&code, limits, config)?;
    let topology = Arc::new(Partitions::of(partitions as usize));
    let place = |record: &Record| {
        let (_, answer) = pool.lease_blocking()?.partition(record.clone(), &topology);
        Ok(WhereTo::of(&answer, partitions))
    };
    records.iter().map(place).collect()
}

/// Records that go elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moves {
    /// How many records were compared.
    pub(super) all: usize,
    /// How many of them go elsewhere.
    pub(super) moved: usize,
    /// How many records changed, by kind before and after: `partition`, `any`, `rejected`, `error`.
    pub(super) kinds: BTreeMap<(&'static str, &'static str), usize>,
    /// The first of these records.
    pub(super) first: Vec<Move>,
}

/// A record that goes elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Move {
    /// The record's number, counted from 1.
    pub(super) record: usize,
    pub(super) key: Option<String>,
    pub(super) before: WhereTo,
    pub(super) after: WhereTo,
}

/// Records that go elsewhere.
pub(super) fn moves(records: &[Record], before: &[WhereTo], after: &[WhereTo]) -> Moves {
    let mut moves = Moves {
        all: records.len(),
        moved: 0,
        kinds: BTreeMap::new(),
        first: Vec::new(),
    };
    for (index, (record, (&before, &after))) in records.iter().zip(before.iter().zip(after)).enumerate() {
        if before == after {
            continue;
        }
        moves.moved += 1;
        *moves.kinds.entry((before.kind(), after.kind())).or_default() += 1;
        if moves.first.len() < SHOWN {
            moves.first.push(Move {
                record: index + 1,
                key: record.key.as_ref().map(|key| shown_key(key)),
                before,
                after,
            });
        }
    }
    moves
}

fn shown_key(key: &[u8]) -> String {
    let text = String::from_utf8_lossy(key);
    let mut shown: String = text.chars().take(MAX_KEY).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// All that changed from one version to the next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Changes {
    /// Whether both versions are the same component, byte for byte.
    pub(super) same_component: bool,
    /// The cases that are decided differently.
    pub(super) cases: Vec<CaseChange>,
    /// The records that go elsewhere. None where there are no records to compare.
    pub(super) records: Option<Moves>,
}

impl Changes {
    pub(super) fn json(&self) -> Value {
        let case = |case: &CaseChange| json!({"case": case.name, "before": case.before, "after": case.after});
        let records = self.records.as_ref().map(|moves| {
            let kinds = moves.kinds.iter();
            let kind = |((before, after), count): (&(&str, &str), &usize)| json!({"before": before, "after": after, "count": count});
            let first = |one: &Move| {
                json!({
                    "record": one.record,
                    "key": one.key,
                    "before": one.before.to_string(),
                    "after": one.after.to_string(),
                })
            };
            json!({
                "all": moves.all,
                "moved": moves.moved,
                "kinds": kinds.map(kind).collect::<Vec<_>>(),
                "first": moves.first.iter().map(first).collect::<Vec<_>>(),
            })
        });
        json!({
            "event": "changes",
            "same_component": self.same_component,
            "cases": self.cases.iter().map(case).collect::<Vec<_>>(),
            "records": records,
        })
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if self.same_component {
            text.push_str("  the component is the same as before\n");
            return text;
        }
        for CaseChange { name, before, after } in self.cases.iter().take(SHOWN_CASES) {
            let _ = writeln!(text, "  case {name:?}: {before} -> {after}");
        }
        if let Some(more) = self.cases.len().checked_sub(SHOWN_CASES + 1) {
            let _ = writeln!(text, "  and {} cases more", more + 1);
        }
        if self.cases.is_empty() {
            text.push_str("  no case is decided otherwise than before\n");
        }
        if let Some(moves) = &self.records {
            moves.render(&mut text);
        }
        text
    }
}

impl Moves {
    fn render(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "  {} of {} records go elsewhere than before",
            self.moved, self.all
        );
        for ((before, after), count) in &self.kinds {
            let after = match (*before, *after) {
                ("partition", "partition") => "another partition",
                (_, after) => after,
            };
            let _ = writeln!(text, "  {count:>9}  {before} -> {after}");
        }
        for Move {
            record,
            key,
            before,
            after,
        } in &self.first
        {
            let key = key.as_ref().map_or("no key".to_owned(), |key| format!("key {key:?}"));
            let _ = writeln!(text, "    record {record} ({key}): {before} -> {after}");
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn outcome(name: &str, decided: &str) -> Outcome {
        Outcome::bare(name, "any", decided, true)
    }

    fn record(key: Option<&'static str>) -> Record {
        Record {
            topic: Arc::from("t"),
            key: key.map(|key| Bytes::from_static(key.as_bytes())),
            value: None,
            headers: Vec::new(),
            partition: None,
            timestamp: None,
            schema: None,
        }
    }

    #[test]
    fn a_case_that_is_decided_otherwise_is_told_with_both_decisions_and_no_other() {
        let before = [outcome("a", "partition 3"), outcome("b", "any")];
        let after = [outcome("a", "partition 5"), outcome("b", "any")];
        let changes = Changes {
            cases: cases(&before, &after),
            ..Changes::default()
        };
        assert_eq!(changes.text(), "  case \"a\": partition 3 -> partition 5\n");
        assert_eq!(changes.json()["cases"][0]["after"], "partition 5");
        let none = Changes {
            cases: cases(&after, &after),
            ..Changes::default()
        };
        assert_eq!(none.text(), "  no case is decided otherwise than before\n");
    }

    #[test]
    fn every_record_that_goes_elsewhere_is_counted_by_its_kind_and_the_first_are_named() {
        let records: Vec<Record> = [Some("a"), Some("b"), None, Some("d"), Some("\u{1b}[31m")]
            .into_iter()
            .map(record)
            .collect();
        let before = [
            WhereTo::On(1),
            WhereTo::On(2),
            WhereTo::Anywhere,
            WhereTo::On(4),
            WhereTo::On(5),
        ];
        let after = [
            WhereTo::On(3),
            WhereTo::On(2),
            WhereTo::Rejected,
            WhereTo::On(9),
            WhereTo::Failed,
        ];
        let moves = moves(&records, &before, &after);
        assert_eq!((moves.all, moves.moved), (5, 4));
        let changes = Changes {
            records: Some(moves),
            ..Changes::default()
        };
        let text = changes.text();
        for line in [
            "  4 of 5 records go elsewhere than before\n",
            "          2  partition -> another partition\n",
            "          1  any -> rejected\n",
            "          1  partition -> error\n",
            "    record 1 (key \"a\"): partition 1 -> partition 3\n",
            "    record 3 (no key): any -> rejected\n",
            "    record 5 (key \"\\u{1b}[31m\"): partition 5 -> error\n",
        ] {
            assert!(text.contains(line), "no {line:?} in\n{text}");
        }
        assert_eq!(changes.json()["records"]["moved"], 4);
    }

    #[test]
    fn many_changes_are_counted_and_do_not_fill_the_screen() {
        let before: Vec<Outcome> = (0..100).map(|number| outcome(&number.to_string(), "any")).collect();
        let after: Vec<Outcome> = (0..100)
            .map(|number| outcome(&number.to_string(), "partition 1"))
            .collect();
        let changes = Changes {
            cases: cases(&before, &after),
            ..Changes::default()
        };
        let text = changes.text();
        assert_eq!(text.lines().count(), SHOWN_CASES + 1);
        assert!(text.ends_with("  and 80 cases more\n"), "{text}");
    }
}
