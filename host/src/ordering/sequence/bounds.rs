//! How much may be remembered of numbered requests.

use std::time::Duration;

use crate::config::Limits;

/// How much may be remembered.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// `limits.max_clients`.
    pub clients: usize,
    /// `limits.client_window`: requests of one client.
    pub window: usize,
    /// `limits.client_memory_bytes`: of all clients together.
    pub bytes: usize,
    /// `limits.client_idle_ms`.
    pub idle: Duration,
}

impl From<&Limits> for Bounds {
    fn from(limits: &Limits) -> Self {
        Self {
            clients: limits.max_clients,
            window: limits.client_window,
            bytes: limits.client_memory_bytes,
            idle: Duration::from_millis(limits.client_idle_ms),
        }
    }
}
