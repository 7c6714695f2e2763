//! Why a component could not be compiled.

use crate::base::text::said_on_one_line;

/// Why a component could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The component is at fault: the same bytes will fail again.
    #[error("{0}")]
    Component(String),
    /// The environment is at fault: the next try may succeed.
    #[error("{0}")]
    Environment(String),
}

/// Why the child left no code in its file.
pub(super) enum NoCode {
    /// The child did not compile the component.
    None(CompileError),
    /// The child compiled it, but could not write the code to the file.
    NotTaken(String),
}

impl From<CompileError> for NoCode {
    fn from(error: CompileError) -> Self {
        Self::None(error)
    }
}

/// The error for bytes that are not a component.
pub(super) fn malformed(error: &dyn std::fmt::Display) -> CompileError {
    let error = said_on_one_line(&error.to_string());
    CompileError::Component(format!("it is not a valid wasm component: {error}"))
}
