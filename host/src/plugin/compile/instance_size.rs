//! Checks that an instance of a component can fit into its memory limit.

use super::error::{CompileError, malformed};
use crate::plugin::{
    core_module,
    survey::{Survey, survey},
};

/// Counts what an instance would take. The bytes are untrusted: nothing else has read them yet.
pub(super) fn surveyed(bytes: &[u8], instance_bytes: u64) -> Result<Survey, CompileError> {
    if bytes.starts_with(core_module::BEGINNING) {
        return Err(CompileError::Component(core_module::advice(bytes)));
    }
    within(survey(bytes).map_err(|error| malformed(&error))?, instance_bytes)
}

/// Checks that an instance fits into its memory limit before it has any memory of its own.
pub(super) fn within(survey: Survey, instance_bytes: u64) -> Result<Survey, CompileError> {
    if survey.engine_bytes <= instance_bytes {
        return Ok(survey);
    }
    let Survey {
        engine_bytes,
        core_instances,
        entries,
    } = survey;
    let of = match entries {
        0 => String::new(),
        _ => format!(" ({core_instances} core instances with {entries} globals, functions and the like)"),
    };
    Err(CompileError::Component(format!(
        "an instance of it takes {engine_bytes} bytes in the engine{of} before it has any memory, over plugins.memory_bytes \
         ({instance_bytes}); make it smaller, or raise that"
    )))
}
