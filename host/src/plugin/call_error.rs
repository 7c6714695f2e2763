//! Why a call into a plugin gave no decision.

/// Why a plugin could not decide.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The plugin panicked, ran out of memory or stack, or violated the interface.
    #[error(
        "plugin \"{plugin}\" trapped on the record: {reason}; correct the plugin, or set on_error = \"key-hash\" for its route"
    )]
    Trapped {
        /// The plugin's name.
        plugin: String,
        /// The trap, in one line.
        reason: String,
        /// The names of the functions on the stack, the innermost first; for the plugin's author.
        trace: Vec<String>,
    },
    /// The call took longer than it may.
    #[error(
        "plugin \"{plugin}\" ran over its time ({limit}) and was stopped; make it faster, or raise plugins.call_cpu_ms"
    )]
    OverTime {
        /// The plugin's name.
        plugin: String,
        /// The limit that was exceeded.
        limit: String,
    },
    /// There is no instance to call.
    #[error("no instance of plugin \"{plugin}\" could be made: {reason}")]
    Unavailable {
        /// The plugin's name.
        plugin: String,
        /// Why there is none.
        reason: String,
    },
    /// The plugin failed too often and is not called for a while.
    #[error(
        "plugin \"{plugin}\" is suspended for {pause_ms} ms because it kept failing; correct the plugin, or set on_error = \
         \"key-hash\" for its route"
    )]
    Suspended {
        /// The plugin's name.
        plugin: String,
        /// Milliseconds until it is called again.
        pause_ms: u64,
    },
}

impl CallError {
    /// The functions on the stack at the trap, on one line; `None` if they are not known.
    pub fn trace(&self) -> Option<String> {
        match self {
            Self::Trapped { trace, .. } if !trace.is_empty() => Some(trace.join(" < ")),
            _ => None,
        }
    }
}
