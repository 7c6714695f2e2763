//! What a plugin logs while a tool runs it. In a sidecar these lines go to the log; here they are the first help for
//! the plugin's author.

use std::{
    collections::VecDeque,
    fmt::{Debug, Write as _},
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Value, json};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use super::style::{Style, foreign};

/// How many lines are kept: the last ones, which say why something failed.
const LINES: usize = 20;
/// How much of a line is shown, bytes. The host has cut a plugin's line to less, but escapes may make it longer.
const LINE_BYTES: usize = 4_096;

/// The lines that a plugin logged in one call or several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Said {
    lines: VecDeque<Line>,
    /// How many earlier lines were dropped.
    more: u64,
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    level: Level,
    message: String,
}

impl Said {
    /// Runs `work`, and collects what plugins log meanwhile on this thread: all levels, also those that a sidecar
    /// leaves out by default.
    pub(super) fn during<T>(work: impl FnOnce() -> T) -> (T, Self) {
        let said = Arc::<Mutex<Self>>::default();
        let done = tracing::subscriber::with_default(Ear(Arc::clone(&said)), work);
        let said = std::mem::take(&mut *said.lock().unwrap_or_else(PoisonError::into_inner));
        (done, said)
    }

    /// Whether nothing was logged.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Appends lines that were logged later.
    pub(super) fn and(&mut self, later: Self) {
        self.more += later.more;
        later.lines.into_iter().for_each(|line| self.add(line));
    }

    fn add(&mut self, line: Line) {
        if self.lines.len() == LINES {
            self.lines.pop_front();
            self.more += 1;
        }
        self.lines.push_back(line);
    }

    /// For scripts.
    pub(super) fn json(&self) -> Value {
        let line = |line: &Line| json!({"level": line.level.as_str().to_lowercase(), "message": line.message});
        self.lines.iter().map(line).collect()
    }

    /// For people: one line for each line of the log.
    pub(super) fn text(&self, style: Style) -> String {
        let mut text = String::new();
        if self.more > 0 {
            let _ = writeln!(text, "      log      … after {} more lines", self.more);
        }
        for Line { level, message } in &self.lines {
            let name = format!("{:<5}", level.as_str());
            let name = match *level {
                Level::ERROR => style.bad(&name),
                _ => style.faint(&name),
            };
            let _ = writeln!(text, "      log      {name} {}", foreign(message, LINE_BYTES));
        }
        text
    }
}

/// Collects what plugins log, and nothing else.
struct Ear(Arc<Mutex<Said>>);

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == "plugin"
    }

    fn event(&self, event: &Event<'_>) {
        let mut message = Message::default();
        event.record(&mut message);
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.more += message.dropped;
        said.add(Line {
            level: *event.metadata().level(),
            message: message.text,
        });
    }

    // Plugins log outside of spans.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Message {
    text: String,
    /// How many lines the host left out before this one.
    dropped: u64,
}

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.text = format!("{value:?}");
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "dropped" {
            self.dropped = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(number: u64) {
        tracing::debug!(target: "plugin", plugin = "x", dropped = 0_u64, "line {number}");
    }

    #[test]
    fn the_last_lines_of_a_plugin_are_heard_at_every_level_and_nobody_else_is() {
        let (done, said) = Said::during(|| {
            tracing::error!("the host itself");
            (0..25).for_each(say);
            tracing::error!(target: "plugin", plugin = "x", dropped = 3_u64, "the end\u{1b}[2J\nERROR forged");
            7
        });
        assert_eq!(done, 7);
        let text = said.text(Style::PLAIN);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1 + LINES, "{text}");
        assert_eq!(lines[0], "      log      … after 9 more lines");
        assert_eq!(lines[1], "      log      DEBUG line 6");
        assert_eq!(lines[LINES], r"      log      ERROR the end\u{1b}[2J\nERROR forged");
        assert_eq!(
            said.json()[LINES - 1],
            json!({"level": "error", "message": "the end\u{1b}[2J\nERROR forged"})
        );
        say(0);
        assert!(Said::during(|| ()).1.is_empty());
    }
}
