//! A failed call into a plugin, shown so that the plugin's author can find the mistake.

use std::fmt;

use serde_json::{Map, Value, json};

use super::{
    said::Said,
    shown,
    style::{Style, foreign},
};
use crate::{
    base::record::Record,
    plugin::{CallError, PACKAGE},
};

/// A failed call, with all that is known of it.
#[derive(Debug, thiserror::Error)]
pub struct Failed {
    /// What happened.
    pub error: CallError,
    /// Which call it was, in words.
    pub call: String,
    /// The record that the call was about, in words and for scripts. None for `configure`.
    record: Option<(String, Value)>,
    /// What the plugin logged before the call failed.
    said: Said,
    /// Advice beyond what the error says.
    pub hint: Option<&'static str>,
}

impl Failed {
    pub(super) fn new(error: CallError, call: impl Into<String>, said: Said) -> Self {
        Self {
            error,
            call: call.into(),
            record: None,
            said,
            hint: None,
        }
    }

    pub(super) fn on(mut self, record: &Record, partitions: u32) -> Self {
        self.record = Some((shown::text(record, partitions), shown::json(record, partitions)));
        self
    }

    /// Whether the plugin refused its config: then it is clear which call failed.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(&self.error, CallError::Unavailable { reason, .. } if reason.starts_with("it refused its config"))
    }

    /// For scripts.
    pub fn json(&self) -> Map<String, Value> {
        let mut fields = Map::from_iter([
            ("error".to_owned(), json!(self.error.to_string())),
            ("call".to_owned(), json!(self.call)),
            ("log".to_owned(), self.said.json()),
        ]);
        if let Some((_, record)) = &self.record {
            fields.insert("record".to_owned(), record.clone());
        }
        if let Some(trace) = frames(&self.error) {
            fields.insert("trace".to_owned(), json!(trace));
        }
        fields
    }
}

/// The call stack of a trap, where it is known.
pub(super) fn frames(error: &CallError) -> Option<&[String]> {
    match error {
        CallError::Trapped { trace, .. } if !trace.is_empty() => Some(trace),
        CallError::Trapped { .. }
        | CallError::OverTime { .. }
        | CallError::Unavailable { .. }
        | CallError::Suspended { .. } => None,
    }
}

/// The same for people: one line for each function, the innermost first. Functions without a name are omitted, since a
/// number helps nobody, and so is the host's name for the first one.
pub(super) fn trace(error: &CallError) -> String {
    let is_told = |name: &&String| !name.starts_with("function ") && !name.starts_with(PACKAGE);
    let frames = frames(error).unwrap_or_default().iter().filter(is_told);
    frames
        .map(|name| format!("      trace    {}\n", foreign(name, FRAME_BYTES)))
        .collect()
}

/// How much of a function's name is shown, bytes.
const FRAME_BYTES: usize = 512;
/// How much of an error is shown, bytes. A plugin's text in it has been cut before, but escapes may make it longer.
const ERROR_BYTES: usize = 8_192;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&foreign(&self.error.to_string(), ERROR_BYTES))?;
        if let Some(hint) = self.hint {
            write!(f, "; {hint}")?;
        }
        if !self.is_refusal() {
            write!(f, "\n      call     {}", self.call)?;
        }
        if let Some((record, _)) = &self.record {
            write!(f, "\n      record   {record}")?;
        }
        let more = self.said.text(Style::PLAIN) + &trace(&self.error);
        match more.trim_end() {
            "" => Ok(()),
            more => write!(f, "\n{more}"),
        }
    }
}

/// For scripts: why a tool has no result.
pub fn refusal(error: &anyhow::Error) -> Value {
    let mut fields = match error.downcast_ref::<Failed>() {
        Some(failed) => failed.json(),
        None => Map::from_iter([("error".to_owned(), json!(format!("{error:#}")))]),
    };
    fields.insert("ok".to_owned(), json!(false));
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_has_the_functions_that_have_names_and_json_has_all() {
        let names = [
            "function 7",
            "rule::place\u{1b}",
            "pointsman:partitioner/partitioner@1.1.0#partition",
        ];
        let error = CallError::Trapped {
            plugin: "x".to_owned(),
            reason: "trap".to_owned(),
            trace: names.map(str::to_owned).to_vec(),
        };
        let failed = Failed::new(error, "configure", Said::default());
        assert!(
            failed
                .to_string()
                .ends_with("\n      call     configure\n      trace    rule::place\\u{1b}"),
            "{failed}"
        );
        assert_eq!(failed.json()["trace"], json!(names));
    }
}
