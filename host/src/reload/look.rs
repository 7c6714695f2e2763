//! A look at a plugin's file: stat first, then its SHA-256, and only new content is compiled.

use std::{
    path::Path,
    sync::Arc,
    time::{Instant, SystemTime},
};

use super::found::{Cause, Found, Known};
use crate::plugin::{
    Code, CompileError, Compiler, Limits,
    file::{Content, FileError, Folder, Signature},
};

/// What a look needs.
pub(super) struct Looker<'a> {
    pub(super) compiler: &'a Compiler,
    pub(super) limits: &'a Limits,
    /// The plugin folder.
    pub(super) folder: &'a Folder,
}

/// The result of a look.
pub(super) enum Look {
    /// The file holds what is known already.
    Same,
    /// The file holds something else, and this is it.
    Found(Found),
    /// The file holds content that must be compiled, which takes time.
    New(Signature, Content),
}

impl Looker<'_> {
    /// What the file holds, as far as that can be known without compiling.
    pub(super) fn look(&self, path: &Path, known: &Known, forced: bool) -> Look {
        // The signature first. Content newer than its signature is read again; a signature newer than its content would
        // hide the change.
        let signature = match Signature::of(path) {
            Ok(signature) => signature,
            Err(error) => {
                return Look::Found(match FileError::from(error) {
                    FileError::Missing => Found::Missing,
                    other => bad(None, None, other.to_string()),
                });
            }
        };
        let worth_another_try = match &known.file {
            Found::Bad { cause, digest, .. } => match cause {
                Cause::File => false,
                Cause::Pin => pin_fits(known, digest.as_deref()),
                Cause::Environment { at, .. } => *at <= Instant::now(),
            },
            _ => false,
        };
        let again = forced || worth_another_try;
        let is_same = known.file.signature() == Some(signature) && signature.is_settled(SystemTime::now());
        if is_same && !again {
            return Look::Same;
        }
        let content = match self.folder.read(path, self.limits.component_bytes) {
            Ok(content) => content,
            Err(FileError::Missing) => return Look::Found(Found::Missing),
            Err(other) => return Look::Found(bad(Some(signature), None, other.to_string())),
        };
        if known.file.digest() == Some(&content.digest) && !again {
            return Look::Found(with_signature(known.file.clone(), signature));
        }
        let reusable = |code: &&Arc<Code>| code.digest == content.digest;
        if let Some(code) = known.codes.iter().find(reusable) {
            let code = Arc::clone(code);
            return Look::Found(Found::Good { signature, code });
        }
        Look::New(signature, content)
    }

    /// Compiles new content. Takes from milliseconds to minutes.
    pub(super) fn compile(&self, known: &Known, signature: Signature, content: &Content) -> Found {
        let digest = || Some(content.digest.clone());
        if !pin_fits(known, Some(&content.digest)) {
            return Found::Bad {
                signature: Some(signature),
                digest: digest(),
                reason: format!(
                    "its SHA-256 is {}, the route pins {}; deploy the pinned file, or correct the pin",
                    content.digest,
                    known.pins.join(" or ")
                ),
                cause: Cause::Pin,
            };
        }
        match Code::compile(self.compiler, &known.name, &content.bytes, &content.digest) {
            Ok(code) => Found::Good {
                signature,
                code: Arc::new(code),
            },
            Err(error) => Found::Bad {
                signature: Some(signature),
                digest: digest(),
                reason: error.to_string(),
                cause: match error {
                    CompileError::Component(_) => Cause::File,
                    CompileError::Environment(_) => Cause::environment(&known.file, &content.digest, Instant::now()),
                },
            },
        }
    }
}

fn pin_fits(known: &Known, digest: Option<&str>) -> bool {
    known.pins.is_empty() || digest.is_some_and(|digest| known.pins.iter().any(|pin| pin == digest))
}

fn bad(signature: Option<Signature>, digest: Option<String>, reason: String) -> Found {
    Found::Bad {
        signature,
        digest,
        reason,
        cause: Cause::File,
    }
}

fn with_signature(found: Found, signature: Signature) -> Found {
    match found {
        Found::Good { code, .. } => Found::Good { signature, code },
        Found::Bad {
            digest, reason, cause, ..
        } => Found::Bad {
            signature: Some(signature),
            digest,
            reason,
            cause,
        },
        other => other,
    }
}
