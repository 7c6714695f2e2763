//! Why a call into a plugin came to no decision.

/// Why a plugin could not decide.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It panicked, ran out of memory or stack, or broke the interface.
    #[error(
        "plugin \"{plugin}\" trapped on the record: {reason}; correct the plugin, or set on_error = \"key-hash\" for its route"
    )]
    Trapped {
        /// Its name.
        plugin: String,
        /// The trap, in one line.
        reason: String,
        /// The functions that it came from by their names, the innermost first; for the plugin's author.
        trace: Vec<String>,
    },
    /// It ran longer than one call may.
    #[error(
        "plugin \"{plugin}\" ran over its time ({limit}) and was stopped; make it faster, or raise plugins.call_cpu_ms"
    )]
    OverTime {
        /// Its name.
        plugin: String,
        /// Which limit.
        limit: String,
    },
    /// There is no instance to ask.
    #[error("no instance of plugin \"{plugin}\" could be made: {reason}")]
    Unavailable {
        /// Its name.
        plugin: String,
        /// Why.
        reason: String,
    },
    /// It failed too often and is left alone for a while.
    #[error(
        "plugin \"{plugin}\" is suspended for {pause_ms} ms because it kept failing; correct the plugin, or set on_error = \
         \"key-hash\" for its route"
    )]
    Suspended {
        /// Its name.
        plugin: String,
        /// Until it is tried again.
        pause_ms: u64,
    },
}

impl CallError {
    /// The functions that a trap came from, on one line; none where that is not known.
    pub fn trace(&self) -> Option<String> {
        match self {
            Self::Trapped { trace, .. } if !trace.is_empty() => Some(trace.join(" < ")),
            _ => None,
        }
    }
}
