//! What is reported of a round: a line or more for people, or a JSON object for scripts.

use std::path::Path;

use serde_json::{Value, json};

use super::changes::Changes;
use crate::{
    base::text::{for_terminal, shorten},
    tools::plugin_trial::{
        style::Style,
        test::{self, Outcome},
    },
};

/// How much of another program's text is shown, bytes.
const MAX_FOREIGN: usize = 2_000;
/// How much of a digest people are shown, characters.
const SHORT: usize = 12;

/// Something that is reported.
pub(super) enum Event<'a> {
    /// The plugin's folder is being watched.
    Watching { dir: &'a Path, files: usize },
    /// A sidecar of one's own was started (`--run`).
    Started { address: &'a str, log: &'a Path },
    /// The component was built.
    Built {
        name: &'a str,
        bytes: u64,
        digest: &'a str,
        seconds: f64,
    },
    /// The build failed. `said` has the tools' messages, unless they went to the terminal already.
    NotBuilt { said: Option<&'a str> },
    /// There is no table of cases.
    NoCases,
    /// A table of cases was tested.
    Tested { cases: &'a str, outcomes: &'a [Outcome] },
    /// A table of cases could not be tested.
    NotTested { cases: Option<&'a str>, error: &'a str },
    /// The component is not brought in.
    Kept,
    /// No sidecar answers.
    NoSidecar { address: &'a str, file: &'a Path },
    /// The sidecar decides with the component.
    Live {
        address: &'a str,
        digest: &'a str,
        topics: &'a [String],
        seconds: f64,
        since: &'static str,
    },
    /// The component is in the folder, but no route names it.
    NoRoute {
        address: &'a str,
        name: &'a str,
        file: &'a Path,
    },
    /// The sidecar does not take the component.
    Refused { address: &'a str, problem: &'a str },
    /// Somebody rolled back this very component.
    RolledBack { address: &'a str, name: &'a str },
    /// The sidecar has not looked at the component.
    Overlooked { address: &'a str, file: &'a Path },
    /// What the new version decides differently.
    Changed(&'a Changes),
    /// The round could not go on.
    Failed { error: &'a str },
}

impl Event<'_> {
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Watching { dir, files } => json!({"event": "watching", "dir": dir, "files": files}),
            Self::Started { address, log } => json!({"event": "started", "admin": address, "log": log}),
            Self::Built {
                name,
                bytes,
                digest,
                seconds,
            } => json!({"event": "built", "name": name, "bytes": bytes, "sha256": digest, "seconds": seconds}),
            Self::NotBuilt { said } => json!({"event": "not_built", "said": said}),
            Self::NoCases => json!({"event": "no_cases"}),
            Self::Tested { cases, outcomes } => {
                let passed = outcomes.iter().filter(|outcome| outcome.passed).count();
                let failed: Vec<Value> = failed(outcomes)
                    .map(|one| json!({"case": one.name, "expected": one.expected, "decided": one.decided}))
                    .collect();
                json!({"event": "tested", "cases": cases, "passed": passed, "failed": failed})
            }
            Self::NotTested { cases, error } => json!({"event": "not_tested", "cases": cases, "error": error}),
            Self::Kept => json!({"event": "kept"}),
            Self::NoSidecar { address, file } => json!({"event": "no_sidecar", "admin": address, "file": file}),
            Self::Live {
                address,
                digest,
                topics,
                seconds,
                ..
            } => json!({"event": "live", "admin": address, "sha256": digest, "topics": topics, "seconds": seconds}),
            Self::NoRoute { address, name, file } => {
                json!({"event": "no_route", "admin": address, "name": name, "file": file})
            }
            Self::Refused { address, problem } => json!({"event": "refused", "admin": address, "problem": problem}),
            Self::RolledBack { address, name } => json!({"event": "rolled_back", "admin": address, "name": name}),
            Self::Overlooked { address, file } => json!({"event": "overlooked", "admin": address, "file": file}),
            Self::Changed(changes) => changes.json(),
            Self::Failed { error } => json!({"event": "failed", "error": error}),
        }
    }

    pub(super) fn text(&self, style: Style) -> String {
        let good = |text: String| format!("{} {text}\n", style.good("✓"));
        let bad = |text: String| format!("{} {text}\n", style.bad("✗"));
        match self {
            Self::Watching { dir, files } => format!("watching {} ({files} files); Ctrl-C ends it\n", dir.display()),
            Self::Started { address, log } => good(format!(
                "a sidecar runs, admin listener {address}, log {}",
                log.display()
            )),
            Self::Built {
                name, bytes, seconds, ..
            } => good(format!("{name} built in {seconds:.1} s ({bytes} bytes)")),
            Self::NotBuilt { said: None } => bad("not built".to_owned()),
            Self::NotBuilt { said: Some(said) } => bad(format!("not built: {said}")),
            Self::NoCases => "  there is no cases.toml, so nothing is tested\n".to_owned(),
            Self::Tested { cases, outcomes } => match failed(outcomes).next() {
                None => good(format!("{cases}: all {} cases decided as expected", outcomes.len())),
                Some(_) => format!("{cases}:\n{}", test::text(outcomes)),
            },
            Self::NotTested { cases, error } => {
                let cases = cases.map_or(String::new(), |cases| format!("{cases}: "));
                bad(format!("{cases}{}", foreign(error)))
            }
            Self::Kept => "  the current version stays; --force brings the new one in all the same\n".to_owned(),
            Self::NoSidecar { address, file } => format!(
                "  no sidecar answers at {address}, so it is built and tested only: {}\n",
                file.display()
            ),
            Self::Live { .. } | Self::NoRoute { .. } => good(self.brought_in()),
            Self::Refused { address, problem } => bad(format!(
                "the sidecar at {address} does not take it, and the current version stays: {}",
                foreign(problem)
            )),
            Self::RolledBack { address, name } => bad(format!(
                "this very component was rolled back, so the sidecar ignores it; to take it all the same: curl -X POST \
                 http://{address}/plugins/{name}/reload"
            )),
            Self::Overlooked { address, file } => bad(format!(
                "the sidecar at {address} has not looked at {}; is that the folder that it watches?",
                file.display()
            )),
            Self::Changed(changes) => changes.text(),
            Self::Failed { error } => bad(foreign(error)),
        }
    }

    fn brought_in(&self) -> String {
        match self {
            Self::Live {
                address,
                digest,
                topics,
                seconds,
                since,
            } => {
                let digest = digest.get(..SHORT).unwrap_or(digest);
                let topics = foreign(&topics.join(", "));
                format!(
                    "live {seconds:.1} s after the {since}: the sidecar at {address} decides {topics} with {digest}"
                )
            }
            Self::NoRoute { address, name, file } => format!(
                "put into {}, but no route of the sidecar at {address} names it; add to its configuration: [[route]] topics = \
                 [\"…\"] plugin = \"{name}\"",
                file.display()
            ),
            _ => String::new(),
        }
    }
}

fn failed(outcomes: &[Outcome]) -> impl Iterator<Item = &Outcome> {
    outcomes.iter().filter(|outcome| !outcome.passed)
}

/// Another program's text, fit for a terminal.
fn foreign(text: &str) -> String {
    for_terminal(&shorten(text, MAX_FOREIGN)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_knows_what_decides_and_what_to_do() {
        let digest = "7520fed636c77d9d4c41f797f3ba6cfa3afafb524b63f7d24a96c71b61f6346d";
        let topics = ["orders".to_owned()];
        let live = Event::Live {
            address: "127.0.0.1:8645",
            digest,
            topics: &topics,
            seconds: 1.94,
            since: "save",
        };
        assert_eq!(
            live.text(Style::PLAIN),
            "✓ live 1.9 s after the save: the sidecar at 127.0.0.1:8645 decides orders with 7520fed636c7\n"
        );
        assert_eq!(live.json()["sha256"], digest);
        let refused = Event::Refused {
            address: "a",
            problem: "no\u{1b}[2J",
        };
        let text = refused.text(Style::PLAIN);
        assert!(text.contains("the current version stays: no\\u{1b}[2J"), "{text}");
        let file = Path::new("/plugins/p.wasm");
        let no_route = Event::NoRoute {
            address: "a",
            name: "p",
            file,
        };
        assert!(no_route.text(Style::PLAIN).contains("plugin = \"p\""));
    }

    #[test]
    fn a_failing_case_is_shown_with_both_sides_and_a_good_table_takes_one_line() {
        let outcome = |passed| Outcome::bare("one", "any", "partition 3", passed);
        let tested = |outcomes: &[Outcome]| {
            let event = Event::Tested {
                cases: "cases.toml",
                outcomes,
            };
            (event.text(Style::PLAIN), event.json())
        };
        let (text, json) = tested(&[outcome(true)]);
        assert_eq!(text, "✓ cases.toml: all 1 cases decided as expected\n");
        assert_eq!(json["passed"], 1);
        let (text, json) = tested(&[outcome(true), outcome(false)]);
        assert!(
            text.contains("✗ one") && text.contains("+ decided  partition 3"),
            "{text}"
        );
        assert_eq!(json["failed"][0]["decided"], "partition 3");
    }
}
