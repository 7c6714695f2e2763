//! A look at a plugin's file: stat first, then its SHA-256, and only new content is compiled.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::state::{Found, Known};
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
        let is_due = matches!(&known.file, Found::Bad { retry: Some(at), .. } if *at <= Instant::now());
        let is_same = known.file.signature() == Some(signature) && signature.is_settled(SystemTime::now());
        // A pin that was corrected makes the same file another case.
        let is_judged = !matches!(&known.file, Found::Bad { reason, .. } if reason.contains(PINS) && pin_fits(known, known.file.digest()));
        if is_same && !is_due && !forced && is_judged {
            return None;
        }
        let content = match file::read(path, self.limits.component_bytes) {
            Ok(content) => content,
            Err(FileError::Missing) => return Some(Found::Missing),
            Err(other) => return Some(bad(Some(signature), None, other.to_string())),
        };
        let is_known = known.file.digest() == Some(&content.digest) && !is_due && !forced && is_judged;
        if is_known {
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
            let reason = format!(
                "its SHA-256 is {}, {PINS} {}; deploy the pinned file, or correct the pin",
                content.digest,
                known.pins.join(" or ")
            );
            return bad(Some(signature), digest(), reason);
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
                retry: matches!(error, CompileError::Environment(_)).then(|| Instant::now() + RETRY),
            },
        }
    }
}

/// How the reason begins that another pin would change.
const PINS: &str = "the route pins";

fn pin_fits(known: &Known, digest: Option<&str>) -> bool {
    known.pins.is_empty() || digest.is_some_and(|digest| known.pins.iter().any(|pin| pin == digest))
}

fn bad(signature: Option<Signature>, digest: Option<String>, reason: String) -> Found {
    Found::Bad {
        signature,
        digest,
        reason,
        retry: None,
    }
}

fn with_signature(found: Found, signature: Signature) -> Found {
    match found {
        Found::Good { code, .. } => Found::Good { signature, code },
        Found::Bad {
            digest, reason, retry, ..
        } => Found::Bad {
            signature: Some(signature),
            digest,
            reason,
            retry,
        },
        other => other,
    }
}
