//! The format of a line. What clients, plugins and brokers have said is in the fields of a line. Each field is cut at
//! [`FIELD_BYTES`], and nothing in it can begin another line or control a terminal.

use std::fmt::{self, Debug, Write};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
    registry::LookupSpan,
};

use crate::base::text::{is_dangerous, write_escaped};

/// The most that is written of one field, bytes. A line has a few fields.
const FIELD_BYTES: usize = 2_048;

/// The formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// `time LEVEL target: message name=value …`
    Text,
    /// The same as `Text`, with colours for terminals.
    Coloured,
    /// `{"timestamp":…,"level":…,<fields>,"target":…}`
    Json,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut fields = Fields {
            line: *self,
            text: String::new(),
        };
        event.record(&mut fields);
        let (level, target, fields) = (event.metadata().level(), event.metadata().target(), fields.text);
        match self {
            Self::Json => writeln!(
                writer,
                "{{\"timestamp\":\"{time}\",\"level\":\"{level}\"{fields},\"target\":{}}}",
                json(target)
            ),
            Self::Text => writeln!(writer, "{time} {level:>5} {target}:{fields}"),
            Self::Coloured => {
                let colour = colour(*level);
                writeln!(
                    writer,
                    "\x1b[2m{time}\x1b[0m \x1b[{colour}m{level:>5}\x1b[0m \x1b[2m{target}:\x1b[0m{fields}"
                )
            }
        }
    }
}

/// The usual colours of levels on terminals.
fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    }
}

/// The fields of an event, as a line shows them.
struct Fields {
    line: Line,
    text: String,
}

impl Fields {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>, is_number: bool) {
        let name = field.name();
        if self.line == Line::Json {
            let _ = write!(self.text, ",{}:", json(name));
            let mut text = String::new();
            let _ = write!(Cut::new(&mut text, FIELD_BYTES), "{value}");
            self.text.push_str(&if is_number { text } else { json(&text) });
            return;
        }
        self.text.push(' ');
        if name != "message" {
            let _ = write!(self.text, "{name}=");
        }
        let _ = write!(Bounded::new(&mut self.text, FIELD_BYTES), "{value}");
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match self.line {
            Line::Json => self.add(field, format_args!("{value}"), false),
            Line::Text | Line::Coloured if field.name() == "message" => {
                self.add(field, format_args!("{value}"), false);
            }
            Line::Text | Line::Coloured => self.add(field, format_args!("{value:?}"), false),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, format_args!("{value}"), true);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, format_args!("{value}"), true);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, format_args!("{value}"), true);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinity.
        self.add(field, format_args!("{value}"), value.is_finite());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format_args!("{value:?}"), false);
    }
}

/// Writes a JSON string without what a terminal would obey. The characters below a blank are escaped by JSON itself.
fn json(text: &str) -> String {
    let plain = serde_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned());
    if !plain.chars().any(is_dangerous) {
        return plain;
    }
    let mut escaped = String::with_capacity(plain.len() + 16);
    for char in plain.chars() {
        match char {
            char if is_dangerous(char) => {
                let _ = write!(escaped, "\\u{:04x}", char as u32);
            }
            char => escaped.push(char),
        }
    }
    escaped
}

/// Passes on the first bytes, up to a limit, and then an ellipsis.
struct Cut<'a, W> {
    out: &'a mut W,
    left: usize,
    is_full: bool,
}

impl<'a, W: Write> Cut<'a, W> {
    fn new(out: &'a mut W, bytes: usize) -> Self {
        Self {
            out,
            left: bytes,
            is_full: false,
        }
    }
}

impl<W: Write> Write for Cut<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.is_full {
            // The error stops the formatter: the rest of its text is not wanted.
            return Err(fmt::Error);
        }
        if text.len() <= self.left {
            self.left -= text.len();
            return self.out.write_str(text);
        }
        self.is_full = true;
        self.out.write_str(&text[..text.floor_char_boundary(self.left)])?;
        self.out.write_char('…')
    }
}

/// Cuts the text and escapes the dangerous characters.
pub(super) struct Bounded<'a, W>(Cut<'a, W>);

impl<'a, W: Write> Bounded<'a, W> {
    pub(super) fn new(out: &'a mut W, bytes: usize) -> Self {
        Self(Cut::new(out, bytes))
    }
}

impl<W: Write> Write for Bounded<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write_escaped(&mut self.0, text, is_dangerous)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;
    use tracing_subscriber::{fmt::MakeWriter, layer::SubscriberExt as _};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Written {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    fn written(line: Line, log: impl FnOnce()) -> String {
        let out = Written::default();
        let layer = tracing_subscriber::fmt::layer()
            .event_format(line)
            .with_writer(out.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let text = out.0.lock().expect("no panic").clone();
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn a_line_has_its_level_its_place_its_message_and_its_fields() {
        let log =
            || tracing::warn!(target: "some", number = 7, name = "a \"b\"", open = true, error = %"out", "it {}", "is");
        let text = written(Line::Text, log);
        assert!(
            text.ends_with("  WARN some: it is number=7 name=\"a \\\"b\\\"\" open=true error=out\n"),
            "{text}"
        );
        let json: serde_json::Value = serde_json::from_str(&written(Line::Json, log)).expect("JSON");
        assert!(
            json["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')),
            "{json}"
        );
        let expected = serde_json::json!({"timestamp": json["timestamp"], "level": "WARN", "message": "it is", "number": 7,
            "name": "a \"b\"", "open": true, "error": "out", "target": "some"});
        assert_eq!(json, expected);
        assert!(written(Line::Coloured, log).contains("\x1b[33m WARN\x1b[0m"));
    }

    #[test]
    fn no_text_of_others_begins_a_line_or_speaks_to_a_terminal() {
        let evil = "a\nERROR b\r\x1b[2J\u{9b}31m\u{7f}\u{202e}\u{2028}\tä";
        for line in [Line::Text, Line::Json] {
            let log = || tracing::info!(text = evil, shown = %evil, debug = ?evil, "{evil}");
            let text = written(line, log);
            assert_eq!(text.lines().count(), 1, "{text:?}");
            let whole = text.strip_suffix('\n').expect("an end");
            assert!(!whole.chars().any(is_dangerous), "{whole:?}");
            assert!(whole.contains('ä'));
        }
        let log = || tracing::info!(shown = %evil, "said");
        let json: serde_json::Value = serde_json::from_str(&written(Line::Json, log)).expect("JSON");
        assert_eq!(json["shown"], evil, "collectors get it as it was");
    }

    #[test]
    fn no_text_of_others_makes_a_line_long() {
        for (line, text) in [(Line::Text, "ä\n"), (Line::Json, "ä\n"), (Line::Json, "\u{9b}")] {
            let evil = text.repeat(1_000_000);
            let said = written(
                line,
                || tracing::info!(text = evil, shown = %evil, debug = ?evil, "{evil}"),
            );
            assert!(said.len() < 4 * (4 * FIELD_BYTES), "{}", said.len());
            assert!(said.contains('…'));
            if line == Line::Json {
                let read: Result<serde_json::Value, _> = serde_json::from_str(&said);
                assert!(read.is_ok());
            }
        }
    }

    proptest! {
        #[test]
        fn every_line_of_json_can_be_read(text in any::<String>(), number in any::<f64>()) {
            let said = written(Line::Json, || tracing::info!(text, number, shown = %text, "{text}"));
            let json: serde_json::Value = serde_json::from_str(&said).expect("JSON");
            prop_assert!(!said.trim_end_matches('\n').chars().any(is_dangerous));
            prop_assert_eq!(json["text"].as_str(), Some(&*text));
        }
    }
}
