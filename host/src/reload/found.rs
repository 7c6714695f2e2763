//! What a look at a plugin's file found, and when it is worth another look.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::plugin::{Code, file::Signature};

/// What a look at a plugin's file found.
#[derive(Clone, Default)]
pub(super) enum Found {
    /// The file has not been looked at.
    #[default]
    Unseen,
    /// No such file.
    Missing,
    /// A file that is not a usable plugin.
    Bad {
        signature: Option<Signature>,
        /// None if the file was not even read.
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

/// What would have to change before a bad file can be good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The file.
    File,
    /// The file, or the pin in the configuration.
    Pin,
    /// Something around the file (memory, processes, a busy machine). The file is tried again at this moment; each wait
    /// is longer than the last.
    Environment { at: Instant, tries: u32 },
}

/// The first wait after something around a file failed. Each further wait is twice as long.
const FIRST_RETRY: Duration = Duration::from_secs(30);

const LONGEST_RETRY: Duration = Duration::from_secs(30 * 60);

impl Cause {
    /// Something around the file failed. The wait grows if the same bytes failed so before.
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

/// What is known before a look.
#[derive(Clone, Default)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) file: Found,
    /// Code that need not be compiled again.
    pub(super) codes: Vec<Arc<Code>>,
    /// The digests that routes pin; if there are none, any digest will do.
    pub(super) pins: Vec<String>,
}
