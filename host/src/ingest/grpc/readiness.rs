//! Whether the process is ready, as `/ready` of the admin listener has it.

use std::{fmt, sync::Arc};

/// Asks whether the process is ready.
#[derive(Clone)]
pub struct Readiness(Arc<dyn Fn() -> bool + Send + Sync>);

impl Readiness {
    /// By this function, which must not wait.
    pub fn by(is_ready: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_ready))
    }

    /// The answer now.
    pub(super) fn is_ready(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Readiness").field(&self.is_ready()).finish()
    }
}
