//! `pointsman plugin test`: does it decide as its table of cases says?

use std::{fmt::Write as _, path::Path, sync::Arc};

use serde_json::{Value, json};

use super::{
    cases::{Case, Cases, Expect},
    configure, lands_on, load,
    style::Style,
};
use crate::plugin::{CallError, Decision, Pool};

/// How one case came out.
#[derive(Debug)]
pub struct Outcome {
    /// The case.
    pub name: String,
    /// What was expected of it, in words.
    pub expected: String,
    /// What the plugin decided, in words.
    pub decided: String,
    /// Whether that is the same.
    pub passed: bool,
}

/// Runs all cases of a file. Each starts where the one before has left the plugin, as records do.
pub fn test(file: &Path, cases: &Path) -> anyhow::Result<Vec<Outcome>> {
    let cases = Cases::read(cases)?;
    let (code, limits) = load(file)?;
    let pool = configure(&code, limits, &Value::Object(cases.config))?;
    cases.cases.iter().map(|case| run(&pool, case)).collect()
}

fn run(pool: &Arc<Pool>, case: &Case) -> anyhow::Result<Outcome> {
    let mut lease = pool.lease_blocking()?;
    let (_, answer) = lease.partition(case.record()?, &Arc::new(case.topology()));
    Ok(Outcome {
        name: case.name.clone(),
        expected: expected(&case.expect),
        decided: decided(&answer, case.partitions),
        passed: answer.is_ok_and(|decision| meets(&decision, &case.expect, case.partitions)),
    })
}

fn meets(decision: &Decision, expect: &Expect, partitions: u32) -> bool {
    match (expect, decision) {
        (Expect::Partition(wanted), decision) => lands_on(decision, partitions) == Some(*wanted),
        (Expect::KeyHash(wanted), Decision::KeyHash(bytes)) => wanted.as_bytes() == bytes,
        (Expect::Any, Decision::Any) => true,
        (Expect::Tenant(wanted), Decision::Tenant(tenant)) => wanted == tenant,
        (Expect::Reject(wanted), Decision::Reject(message)) => wanted == message,
        _ => false,
    }
}

fn expected(expect: &Expect) -> String {
    match expect {
        Expect::Partition(partition) => format!("partition {partition}"),
        Expect::KeyHash(text) => format!("key-hash of {text:?}"),
        Expect::Any => "any".to_owned(),
        Expect::Tenant(tenant) => format!("tenant {tenant:?}"),
        Expect::Reject(message) => format!("reject {message:?}"),
    }
}

fn decided(answer: &Result<Decision, CallError>, partitions: u32) -> String {
    let decision = match answer {
        Ok(decision) => decision,
        Err(error) => return error.to_string(),
    };
    let lands = || lands_on(decision, partitions).map_or(String::new(), |lands| format!(" (partition {lands})"));
    match decision {
        Decision::Partition(partition) if *partition >= partitions => {
            format!("partition {partition}, and there are 0 to {}", partitions - 1)
        }
        Decision::Partition(partition) => format!("partition {partition}"),
        Decision::KeyHash(bytes) => format!("key-hash of {:?}{}", String::from_utf8_lossy(bytes), lands()),
        Decision::Any => "any".to_owned(),
        Decision::Tenant(tenant) => format!("tenant {tenant:?}{}", lands()),
        Decision::Reject(message) => format!("reject {message:?}"),
    }
}

/// For scripts: a line a case.
pub fn json_lines(outcomes: &[Outcome]) -> String {
    outcomes.iter().fold(String::new(), |mut lines, outcome| {
        let Outcome {
            name,
            expected,
            decided,
            passed,
        } = outcome;
        let line = json!({"name": name, "passed": passed, "expected": expected, "decided": decided});
        let _ = writeln!(lines, "{line}");
        lines
    })
}

/// For people: what differs, and how many do not.
pub fn text(outcomes: &[Outcome]) -> String {
    render(outcomes, Style::of_stdout())
}

fn render(outcomes: &[Outcome], style: Style) -> String {
    let mut text = String::new();
    let failed = outcomes.iter().filter(|outcome| !outcome.passed);
    for outcome in failed.clone() {
        let _ = writeln!(text, "{} {}", style.bad("✗"), outcome.name);
        let _ = writeln!(text, "    {} {}", style.good("- expected"), outcome.expected);
        let _ = writeln!(text, "    {} {}", style.bad("+ decided "), outcome.decided);
    }
    let (all, failed) = (outcomes.len(), failed.count());
    let _ = match failed {
        0 => writeln!(text, "{} all {all} cases decided as expected", style.good("✓")),
        _ => writeln!(text, "{} {failed} of {all} cases decided otherwise", style.bad("✗")),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_counts_however_the_plugin_said_it() {
        let key_hash = Decision::KeyHash(b"a".to_vec());
        let lands = lands_on(&key_hash, 12).expect("a partition");
        assert!(meets(&key_hash, &Expect::Partition(lands), 12));
        assert!(meets(&Decision::Partition(lands), &Expect::Partition(lands), 12));
        assert!(meets(&key_hash, &Expect::KeyHash("a".to_owned()), 12));
        for (decision, expect) in [
            (key_hash, Expect::Partition((lands + 1) % 12)),
            (Decision::Partition(lands), Expect::KeyHash("a".to_owned())),
            (Decision::Any, Expect::Partition(0)),
            (Decision::Reject("a".to_owned()), Expect::Reject("b".to_owned())),
        ] {
            assert!(!meets(&decision, &expect, 12), "{decision:?} {expect:?}");
        }
    }

    #[test]
    fn a_difference_shows_both_sides() {
        let outcome = |passed| Outcome {
            name: "one".to_owned(),
            expected: "any".to_owned(),
            decided: "partition 3".to_owned(),
            passed,
        };
        let text = render(&[outcome(true), outcome(false)], Style::PLAIN);
        let expected = "✗ one\n    - expected any\n    + decided  partition 3\n✗ 1 of 2 cases decided otherwise\n";
        assert_eq!(text, expected);
        assert_eq!(
            render(&[outcome(true)], Style::PLAIN),
            "✓ all 1 cases decided as expected\n"
        );
    }
}
