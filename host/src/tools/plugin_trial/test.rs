//! `pointsman plugin test`: does it decide as its table of cases says?

use std::{fmt::Write as _, path::Path, sync::Arc};

use pointsman_routing::Table;
use serde_json::{Value, json};

use super::{
    Failed, ask,
    by_table::{self, ByTable},
    cases::{Case, Cases, Expect},
    configure,
    failed::{frames, trace},
    load_with,
    said::Said,
    shown,
    style::{Style, foreign},
};
use crate::{
    plugin::{CallError, Decision, Placement, Pool},
    tools::routes::partitions,
};

/// The longest line about a decision, bytes. A plugin's text in it has been cut before, but escapes may make it longer.
const LINE_BYTES: usize = 8_192;

/// The result of one case.
#[derive(Debug)]
pub struct Outcome {
    /// The case's name.
    pub name: String,
    /// What was expected of the plugin, in words.
    pub expected: String,
    /// What the plugin decided, in words.
    pub decided: String,
    /// Whether the plugin decided as expected.
    pub passed: bool,
    /// The case's line in its table, counted from 1.
    pub line: usize,
    /// The record, in words and for scripts.
    record: (String, Value),
    /// What the plugin logged before the case: while it was configured, and during the smoke calls.
    before: Said,
    /// What the plugin logged while it decided.
    said: Said,
    /// Why there is no decision, if there is none.
    error: Option<CallError>,
}

#[cfg(test)]
impl Outcome {
    /// The result of a case without a real record.
    pub(super) fn bare(name: &str, expected: &str, decided: &str, passed: bool) -> Self {
        Self {
            name: name.to_owned(),
            expected: expected.to_owned(),
            decided: decided.to_owned(),
            passed,
            line: 1,
            record: (String::new(), Value::Null),
            before: Said::default(),
            said: Said::default(),
            error: None,
        }
    }
}

/// Runs all cases of a file, one after the other, on the same plugin: as with records, each case meets the state that
/// the one before has left. `routes` is the file of a routing table.
pub fn test(file: &Path, cases: &Path, routes: Option<&Path>) -> anyhow::Result<Vec<Outcome>> {
    let cases = Cases::read(cases)?;
    let tenants = by_table::read(routes)?;
    let table = tenants.table();
    let (code, limits) = load_with(file, &tenants)?;
    let (pool, mut before) = configure(&code, limits, &Value::Object(cases.config))?;
    let run = |case: &Case| {
        let mut outcome = run(&pool, case, table.as_deref())?;
        outcome.before = std::mem::take(&mut before);
        Ok(outcome)
    };
    cases.cases.iter().map(run).collect()
}

fn run(pool: &Arc<Pool>, case: &Case, table: Option<&Table>) -> anyhow::Result<Outcome> {
    // After a trap this is another instance, whose `configure` logs the same as the first one's.
    let (lease, said) = Said::during(|| pool.lease_blocking());
    let mut lease =
        lease.map_err(|error| Failed::new(error, format!("configure, before case {:?}", case.name), said))?;
    let record = case.record()?;
    let (answer, said) = ask(&mut lease, &record, case.stated(), &Arc::new(case.topology()));
    let by_table = ByTable {
        table,
        topic: &record.topic,
        partitions: case.partitions,
    };
    Ok(Outcome {
        name: case.name.clone(),
        line: case.line,
        expected: expected(&case.expect),
        decided: decided(&answer, by_table),
        record: (
            shown::text(&record, case.partitions),
            shown::json(&record, case.partitions),
        ),
        before: Said::default(),
        said,
        passed: answer
            .as_ref()
            .is_ok_and(|decision| meets(decision, &case.expect, by_table)),
        error: answer.err(),
    })
}

fn meets(decision: &Decision, expect: &Expect, by_table: ByTable<'_>) -> bool {
    let lands_on = |wanted| match by_table.placement(decision) {
        Placement::Partition(partition) | Placement::OutOfRange(partition) => partition == wanted,
        Placement::Anywhere | Placement::AnyOf(_) | Placement::Rejected(_) => false,
    };
    match (expect, decision) {
        (Expect::Partition(wanted), _) => lands_on(*wanted),
        (Expect::Tenant { name, partition }, Decision::Tenant(tenant)) => {
            tenant.name == *name && partition.is_none_or(lands_on)
        }
        (Expect::KeyHash(wanted), Decision::KeyHash(bytes)) => bytes == wanted,
        (Expect::Any, Decision::Any) => true,
        (Expect::Reject(wanted), Decision::Reject(message)) => message == wanted,
        (Expect::KeyHash(_) | Expect::Any | Expect::Tenant { .. } | Expect::Reject(_), _) => false,
    }
}

fn expected(expect: &Expect) -> String {
    match expect {
        Expect::Partition(partition) => format!("partition {partition}"),
        Expect::KeyHash(bytes) => format!("key-hash of {:?}", String::from_utf8_lossy(bytes)),
        Expect::Any => "any".to_owned(),
        Expect::Tenant { name, partition } => match partition {
            Some(partition) => format!("tenant {name:?} (partition {partition})"),
            None => format!("tenant {name:?}"),
        },
        Expect::Reject(message) => format!("reject {message:?}"),
    }
}

fn decided(answer: &Result<Decision, CallError>, by_table: ByTable<'_>) -> String {
    let count = by_table.partitions;
    let decision = match answer {
        Ok(decision) => decision,
        Err(error) => return error.to_string(),
    };
    let lands = || match by_table.placement(decision) {
        Placement::Partition(partition) => format!(" (partition {partition})"),
        Placement::OutOfRange(partition) => {
            format!(" (partition {partition}, and there are 0 to {})", count - 1)
        }
        Placement::AnyOf(among) => format!(" (any of partitions {})", partitions(among)),
        Placement::Anywhere | Placement::Rejected(_) => String::new(),
    };
    match decision {
        Decision::Partition(partition) if *partition >= count => {
            format!("partition {partition}, and there are 0 to {}", count - 1)
        }
        Decision::Partition(partition) => format!("partition {partition}"),
        Decision::KeyHash(bytes) => format!("key-hash of {:?}{}", String::from_utf8_lossy(bytes), lands()),
        Decision::Any => "any".to_owned(),
        Decision::Tenant(tenant) => format!("tenant {:?}{}", tenant.name, lands()),
        Decision::Reject(message) => format!("reject {message:?}"),
    }
}

/// For scripts: one line for each case.
pub fn json_lines(outcomes: &[Outcome]) -> String {
    outcomes.iter().fold(String::new(), |mut lines, outcome| {
        let Outcome {
            name,
            expected,
            decided,
            passed,
            line: at,
            record: (_, record),
            before,
            said,
            error,
        } = outcome;
        let mut line = json!({
            "name": name,
            "line": at,
            "passed": passed,
            "expected": expected,
            "decided": decided,
            "record": record,
            "log": said.json(),
        });
        if !before.is_empty() {
            line["log_before"] = before.json();
        }
        if let Some(trace) = error.as_ref().and_then(frames) {
            line["trace"] = json!(trace);
        }
        let _ = writeln!(lines, "{line}");
        lines
    })
}

/// For people: the cases that were decided differently, what was logged, and how many cases passed.
pub fn text(outcomes: &[Outcome]) -> String {
    render(outcomes, Style::of_stdout())
}

fn render(outcomes: &[Outcome], style: Style) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        if !outcome.before.is_empty() {
            let _ = write!(text, "before the first case\n{}", outcome.before.text(style));
        }
        let name = foreign(&outcome.name, LINE_BYTES);
        if !outcome.passed {
            let _ = writeln!(text, "{} {name}", style.bad("✗"));
            for (mark, line) in [
                (style.good("- expected"), &outcome.expected),
                (style.bad("+ decided "), &outcome.decided),
            ] {
                let _ = writeln!(text, "    {mark} {}", foreign(line, LINE_BYTES));
            }
            if !outcome.record.0.is_empty() {
                let _ = writeln!(text, "      record   {}", outcome.record.0);
            }
        } else if !outcome.said.is_empty() {
            let _ = writeln!(text, "{} {name}", style.good("✓"));
        }
        text.push_str(&outcome.said.text(style));
        text.push_str(&outcome.error.as_ref().map(trace).unwrap_or_default());
    }
    let all = outcomes.len();
    let _ = match outcomes.iter().filter(|outcome| !outcome.passed).count() {
        0 => writeln!(text, "{} all {all} cases decided as expected", style.good("✓")),
        failed => writeln!(text, "{} {failed} of {all} cases decided differently", style.bad("✗")),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenants::TenantKey;

    #[test]
    fn a_partition_counts_however_the_plugin_said_it() {
        let key_hash = Decision::KeyHash(b"a".to_vec());
        let Placement::Partition(lands) = key_hash.placement(12) else {
            panic!("a key hash lands nowhere");
        };
        let by_hash = ByTable {
            table: None,
            topic: "t",
            partitions: 12,
        };
        let tenant = |partition| Expect::Tenant {
            name: "a".to_owned(),
            partition,
        };
        let decided = Decision::Tenant(TenantKey::new("a".to_owned(), None));
        assert!(meets(&key_hash, &Expect::Partition(lands), by_hash));
        assert!(meets(&Decision::Partition(lands), &Expect::Partition(lands), by_hash));
        assert!(meets(&key_hash, &Expect::KeyHash(b"a".to_vec()), by_hash));
        assert!(meets(&decided, &tenant(None), by_hash));
        assert!(meets(&decided, &tenant(Some(lands)), by_hash));
        for (decision, expect) in [
            (key_hash, Expect::Partition((lands + 1) % 12)),
            (Decision::Partition(lands), Expect::KeyHash(b"a".to_vec())),
            (Decision::Any, Expect::Partition(0)),
            (Decision::Reject("a".to_owned()), Expect::Reject("b".to_owned())),
            (decided, tenant(Some((lands + 1) % 12))),
            (Decision::Partition(lands), tenant(Some(lands))),
        ] {
            assert!(!meets(&decision, &expect, by_hash), "{decision:?} {expect:?}");
        }
    }

    fn outcome(passed: bool, said: Said) -> Outcome {
        Outcome {
            record: ("no key".to_owned(), json!({})),
            said,
            ..Outcome::bare("one", "any", "partition 3", passed)
        }
    }

    #[test]
    fn a_difference_shows_both_sides_and_the_record() {
        let text = render(
            &[outcome(true, Said::default()), outcome(false, Said::default())],
            Style::PLAIN,
        );
        let expected = "✗ one\n    - expected any\n    + decided  partition 3\n      record   no key\n\
                        ✗ 1 of 2 cases decided differently\n";
        assert_eq!(text, expected);
        assert_eq!(
            render(&[outcome(true, Said::default())], Style::PLAIN),
            "✓ all 1 cases decided as expected\n"
        );
    }

    #[test]
    fn what_a_plugin_logs_is_shown_for_a_case_that_passes_too() {
        let ((), said) = Said::during(|| tracing::info!(target: "plugin", "here"));
        let mut first = outcome(true, said.clone());
        first.before = said;
        assert_eq!(
            render(&[first], Style::PLAIN),
            "before the first case\n      log      INFO  here\n✓ one\n      log      INFO  here\n\
             ✓ all 1 cases decided as expected\n"
        );
    }
}
