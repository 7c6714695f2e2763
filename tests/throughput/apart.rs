//! Producers without a sidecar, each in a process of its own: what they use is theirs alone, and Java's compiler has done
//! its work before the first turn counts.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use pointsman::tools::load::{key, object};

use super::{
    given::{Given, Turn},
    raw,
};
use crate::support::sidecar::root;

/// As many different records as `pointsman load` makes for 8 connections with 500 each.
pub(crate) const RECORDS: usize = 80_000;

/// The keys and values that all contenders send: those of `pointsman load`.
pub(crate) fn records() -> impl Iterator<Item = (String, String)> {
    (0..RECORDS).map(|number| (key(number % 8, number / 8), object(number % 8, number / 8)))
}

/// Writes the records to a file, for [`Settings`].
pub(crate) fn write_records(folder: &Path) -> PathBuf {
    let path = folder.join("records.tsv");
    let lines: String = records().map(|(key, value)| format!("{key}\t{value}\n")).collect();
    fs::write(&path, lines).expect("the records' file");
    path
}

/// What such a producer is told at its start.
pub(crate) struct Settings<'a> {
    pub(crate) bootstrap: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) partitions: u32,
    pub(crate) in_flight: usize,
    /// A file with a record a line: its key, a tab, its value.
    pub(crate) records: &'a Path,
}

/// A running producer. Dropping it ends its process.
pub(crate) struct Apart {
    process: Child,
    /// The process ends when this is closed.
    turns: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Apart {
    /// librdkafka, in this program started again: see [`raw::serve`].
    pub(crate) fn librdkafka(settings: &Settings<'_>) -> Self {
        let mut command = Command::new(env::current_exe().expect("this program"));
        command.arg(raw::COMMAND);
        Self::start(command, settings)
    }

    /// Java's producer: see `Load.java`.
    pub(crate) fn java(settings: &Settings<'_>) -> Self {
        let mut command = Command::new("java");
        command.args(["-Xmx512m", "-cp"]);
        command.arg(root().join("target/kafka/libs/*"));
        command.arg(root().join("tests/throughput/Load.java"));
        Self::start(command, settings)
    }

    fn start(mut command: Command, settings: &Settings<'_>) -> Self {
        command.args([settings.bootstrap, settings.topic, &settings.partitions.to_string()]);
        command.arg(settings.in_flight.to_string()).arg(settings.records);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("a producer");
        Self {
            turns: process.stdin.take(),
            answers: BufReader::new(process.stdout.take().expect("its answers")),
            process,
        }
    }

    pub(crate) fn run(&mut self, turn: Turn) -> Given {
        let Turn {
            callers,
            batch,
            warm_up,
            seconds,
        } = turn;
        let turns = self.turns.as_mut().expect("a process that runs");
        writeln!(turns, "{callers} {batch} {warm_up} {seconds}").expect("a process that reads");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("an answer");
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        drop(self.turns.take());
        // With this wait, a dropped process is gone. If it fails, there is nobody to tell.
        let _ = self.process.wait();
    }
}
