//! What a look at a plugin's file found, and when it is worth another look.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::plugin::{Code, file::Signature};

/// What a look at a plugin's file found.
#[derive(Clone, Default)]
pub(super) enum Found {
    /// Nobody has looked.
    #[default]
    Unseen,
    /// No such file.
    Missing,
    /// A file that is no plugin that can be used.
    Bad {
        signature: Option<Signature>,
        /// None where it was not even read.
        digest: Option<String>,
        reason: String,
        cause: Cause,
    },
    /// A plugin.
    Good { signature: Signature, code: Arc<Code> },
}

impl Found {
    pub(super) fn digest(&self) -> Option<&str> {
        match self {
            Self::Good { code, .. } => Some(&code.digest),
            Self::Bad { digest, .. } => digest.as_deref(),
            Self::Unseen | Self::Missing => None,
        }
    }

    pub(super) fn signature(&self) -> Option<Signature> {
        match self {
            Self::Good { signature, .. } => Some(*signature),
            Self::Bad { signature, .. } => *signature,
            Self::Unseen | Self::Missing => None,
        }
    }
}

/// What would have to change for a bad file to be a good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The file.
    File,
    /// The file, or the pin in the configuration.
    Pin,
    /// Something around it (memory, processes, a busy machine): worth another try at this moment; each takes longer to come.
    Environment { at: Instant, tries: u32 },
}

/// When something around a file failed, it is tried again after the first, and after twice as long each time.
const FIRST_RETRY: Duration = Duration::from_secs(30);

const LONGEST_RETRY: Duration = Duration::from_secs(30 * 60);

impl Cause {
    /// Something around the file failed, once more if it did so with the same bytes before.
    pub(super) fn environment(known: &Found, digest: &str, now: Instant) -> Self {
        let tries = match known {
            Found::Bad {
                digest: Some(before),
                cause: Self::Environment { tries, .. },
                ..
            } if before == digest => tries + 1,
            _ => 0,
        };
        let wait = FIRST_RETRY.saturating_mul(1 << tries.min(10)).min(LONGEST_RETRY);
        Self::Environment { at: now + wait, tries }
    }
}

/// What a looker needs to know.
#[derive(Clone, Default)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) file: Found,
    /// Code that need not be compiled again.
    pub(super) codes: Vec<Arc<Code>>,
    /// Digests that routes pin; none: any will do.
    pub(super) pins: Vec<String>,
}
