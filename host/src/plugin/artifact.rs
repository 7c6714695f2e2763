//! Compiled code becomes callable. The one place outside of librdkafka's boundary that the compiler cannot vouch for.
#![allow(
    unsafe_code,
    reason = "wasmtime trusts compiled code, wherever it comes from; who may make it is shown here"
)]

use std::path::Path;

use wasmtime::{Engine, component::Component};

/// Maps code that a compiler child of this process wrote, or that an earlier process of the same user left in the private
/// cache folder.
///
/// `file` must be one of those: a file that this very process has written, a memory file that only this process and its child had open, or a file below a folder
/// that [`super::cache`] has seen to be this user's own and closed to all others, whose SHA-256 is that of its name.
pub(super) fn load(engine: &Engine, file: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file holds what `Engine::precompile_component` gave, see above, and nobody else can write it while it is
    // mapped. Code of another wasmtime, of other settings or for another processor is refused by wasmtime itself.
    unsafe { Component::deserialize_file(engine, file) }
}
