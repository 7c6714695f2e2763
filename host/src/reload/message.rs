//! What the thread is told, and what it answers.

use serde::Serialize;
use tokio::sync::oneshot;

use super::found::Found;

/// A message to the thread.
pub(super) enum Message {
    /// Something in a watched folder changed.
    Hint,
    /// Look at this plugin's file, whatever is known of it, and say what came of it.
    Reload(String, oneshot::Sender<Result<Done, CommandError>>),
    /// The content of this plugin's file has been compiled, or cannot be.
    Compiled(String, Found),
    /// End the thread.
    Stop,
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Done {
    /// The plugin.
    pub plugin: String,
    /// `loaded`, `unchanged` or `rolled_back`.
    pub result: &'static str,
    /// The digest of the version that decides now.
    pub digest: Option<String>,
    /// After a rollback: the digest of the version that is ignored until the file changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignored_digest: Option<String>,
}

/// Why a command did nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No route names the plugin.
    #[error("no route names a plugin \"{0}\"; GET /plugins lists them")]
    Unknown(String),
    /// There is no previous version to go back to.
    #[error("plugin \"{0}\" has no version before the one that decides; deploy the file that is wanted")]
    NothingBefore(String),
    /// The change was tried and failed.
    #[error("plugin \"{plugin}\": {reason}; what decided before goes on")]
    Failed {
        /// The plugin.
        plugin: String,
        /// Why.
        reason: String,
    },
    /// The command takes long, or many others wait.
    #[error("plugin \"{0}\" is still being looked at; GET /plugins shows what comes of it")]
    Late(String),
}
