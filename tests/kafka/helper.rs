//! `Admin.java` at work: one JVM for all commands of the tests, since starting one takes a second or two.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::Installed;

const HEAP: &str = "-Xmx256m";

/// The helper's process, and its standard input and output.
pub(super) struct Helper {
    process: Child,
    /// The helper ends when this is closed.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// The result of a command.
pub(super) struct Reply {
    /// The lines before the answer: only `read` has any.
    pub(super) records: Vec<String>,
    /// The line that begins with `{"ok"`.
    pub(super) answer: String,
}

impl Helper {
    pub(super) fn spawn(installed: &Installed, bootstrap: &str) -> Result<Self> {
        let mut process = Command::new("java")
            .args(installed.java_options(HEAP))
            .arg(installed.scripts.join("Admin.java"))
            .arg(bootstrap)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("java Admin.java")?;
        let commands = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().context("the helper has no standard output")?);
        Ok(Self {
            process,
            commands,
            answers,
        })
    }

    pub(super) fn ask(&mut self, command: &[&str]) -> Result<Reply> {
        ensure!(
            command.iter().all(|field| !field.contains(['\t', '\n'])),
            "a tab or a line end would split this command: {command:?}"
        );
        let commands = self.commands.as_mut().context("the helper is closed")?;
        writeln!(commands, "{}", command.join("\t")).context("Admin.java has ended")?;
        let mut records = Vec::new();
        loop {
            // The helper answers or gives up within a minute by itself, so no time limit is needed here.
            let mut line = String::new();
            self.answers.read_line(&mut line).context("Admin.java")?;
            let line = line.trim_end().to_owned();
            ensure!(!line.is_empty(), "Admin.java ended during {command:?}");
            ensure!(!line.starts_with("{\"error\""), "{}: {line}", command.join(" "));
            if line.starts_with("{\"ok\"") {
                return Ok(Reply { records, answer: line });
            }
            records.push(line);
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.commands.take());
        let _ = self.process.wait();
    }
}
