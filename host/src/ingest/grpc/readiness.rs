//! Whether the process is ready, as `/ready` of the admin listener has it.

use std::sync::Arc;

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
