//! Loads machine code into this process. This is the only unsafe code besides that at librdkafka's boundary.
#![allow(
    unsafe_code,
    reason = "wasmtime runs whatever machine code it is given; `OwnCode` admits only code that our own compiler wrote"
)]

use std::{
    fs::File,
    io,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::fs::MemfdFlags;
use wasmtime::{Engine, component::Component};

use super::cache::CachedCode;

/// A file of machine code that only our own compiler can have written. Each variant says why that is certain.
pub(super) enum OwnCode<'f> {
    /// Only [`Cache`](super::Cache) makes a `CachedCode`: the file is in a folder that no other user can write to, and its name
    /// has the SHA-256 of its content.
    Cached(&'f CachedCode),
    /// Only this process and the child that compiles have had the memory file open.
    InMemory(&'f CodeMemory),
    /// Only in the child that compiles: its standard output, to which it has just written the code itself.
    OwnOutput,
}

impl OwnCode<'_> {
    /// Maps the code.
    pub(super) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: the file holds what `Engine::precompile_component` gave, and nobody else can write to it while it is mapped,
        // for the reason that the variant states. wasmtime itself refuses code of another version, with other settings, or for
        // another processor.
        unsafe { Component::deserialize_file(engine, self.path()) }
    }

    /// The file's path.
    pub(super) fn path(&self) -> PathBuf {
        let open_file = |number: i32| Path::new("/proc/self/fd").join(number.to_string());
        match self {
            Self::Cached(code) => code.file().to_owned(),
            Self::InMemory(CodeMemory(file)) => open_file(file.as_raw_fd()),
            Self::OwnOutput => open_file(io::stdout().as_raw_fd()),
        }
    }
}

/// A file in memory for compiled code. Only a child process can write to it.
pub(super) struct CodeMemory(File);

impl CodeMemory {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(File::from(rustix::fs::memfd_create(
            "pointsman-code",
            MemfdFlags::CLOEXEC,
        )?)))
    }

    /// The file as the standard output of the child that compiles.
    pub(super) fn output(&self) -> io::Result<Stdio> {
        self.0.try_clone().map(Stdio::from)
    }
}
