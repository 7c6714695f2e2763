//! Marks and colours in output for people: colours only on a terminal, and only without `NO_COLOR`.

use std::io::{IsTerminal as _, stdout};

use crate::base::text::{is_dangerous, shorten, write_escaped};

/// How to mark lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    colour: bool,
}

impl Style {
    /// The style for standard output.
    pub(super) fn of_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colour: stdout().is_terminal() && !refused,
        }
    }

    /// Without colours.
    pub(super) const PLAIN: Self = Self { colour: false };

    pub(super) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(super) fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Another program's text, made safe for a terminal: on one line, without control characters, and not much longer than
/// `bytes`.
pub(super) fn foreign(text: &str, bytes: usize) -> String {
    let mut shown = String::new();
    // Writing to a string never fails.
    let _ = write_escaped(&mut shown, &shorten(text, bytes), is_dangerous);
    shown
}
