//! A look at a plugin's file: stat first, then its SHA-256, and only new content is compiled.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::state::{Cause, Found, Known};
use crate::plugin::{
    Code, CompileError, Compiler, Limits,
    file::{self, FileError, Signature},
};

/// When something around a file failed (memory, processes, a busy machine), it is tried again after this.
const RETRY: Duration = Duration::from_secs(30);

/// What a look needs.
pub(super) struct Looker<'a> {
    pub(super) compiler: &'a Compiler,
    pub(super) limits: &'a Limits,
}

impl Looker<'_> {
    /// What the file holds; none when that is what is known already.
    pub(super) fn look(&self, path: &Path, known: &Known, forced: bool) -> Option<Found> {
        // The signature first: content that is newer than its signature is read again, the other way round it would not be.
        let signature = match Signature::of(path) {
            Ok(signature) => signature,
            Err(error) => {
                return match FileError::from(error) {
                    FileError::Missing => Some(Found::Missing),
                    other => Some(bad(None, None, other.to_string())),
                };
            }
        };
        let worth_another_try = match &known.file {
            Found::Bad { cause, digest, .. } => match cause {
                Cause::File => false,
                Cause::Pin => pin_fits(known, digest.as_deref()),
                Cause::Environment(at) => *at <= Instant::now(),
            },
            _ => false,
        };
        let again = forced || worth_another_try;
        let is_same = known.file.signature() == Some(signature) && signature.is_settled(SystemTime::now());
        if is_same && !again {
            return None;
        }
        let content = match file::read(path, self.limits.component_bytes) {
            Ok(content) => content,
            Err(FileError::Missing) => return Some(Found::Missing),
            Err(other) => return Some(bad(Some(signature), None, other.to_string())),
        };
        if known.file.digest() == Some(&content.digest) && !again {
            return Some(with_signature(known.file.clone(), signature));
        }
        let reusable = |code: &&Arc<Code>| code.digest == content.digest;
        if let Some(code) = known.codes.iter().find(reusable) {
            let code = Arc::clone(code);
            return Some(Found::Good { signature, code });
        }
        Some(self.compile(known, signature, &content))
    }

    fn compile(&self, known: &Known, signature: Signature, content: &file::Content) -> Found {
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
                    CompileError::Environment(_) => Cause::Environment(Instant::now() + RETRY),
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
