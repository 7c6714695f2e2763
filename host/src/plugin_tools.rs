//! Tools for those who write plugins: [`check`] a component as the sidecar would, [`mod@test`] its decisions against a table of
//! cases, [`mod@bench`] what it costs. They use the very code that serves, with the limits that `[plugins]` has by default.

pub mod bench;
pub mod cases;
pub mod check;
pub mod dev;
mod style;
pub mod test;

use std::{path::Path, sync::Arc};

use anyhow::Context as _;

use crate::{
    config,
    metrics::Metrics,
    plugin::{Code, CompileLimits, Compiler, Decision, Engine, Limits, Pool},
    reload,
    route::partition_for_key,
};

/// Loads a component within the usual limits; it is not suspended for failing, since failing is what is looked for.
fn load(file: &Path) -> anyhow::Result<(Arc<Code>, Limits)> {
    let defaults = config::Plugins::default();
    let mut limits = Limits::from(&defaults);
    limits.suspend.failures = usize::MAX;
    let mut compiling = CompileLimits::from(&defaults);
    if cfg!(debug_assertions) {
        // It compiles several times slower than the sidecars that the plugin is for.
        compiling.cpu *= 4;
    }
    let compiler = Compiler::new(Engine::new()?, compiling, reload::cache(None)?);
    let code = Code::load(&compiler, file, &limits)?;
    Ok((Arc::new(code), limits))
}

/// Configures it and makes the smoke calls that a sidecar makes.
fn configure(code: &Arc<Code>, limits: Limits, config: &serde_json::Value) -> anyhow::Result<Arc<Pool>> {
    let metrics = Metrics::new()?;
    let pool = Pool::new(Arc::clone(code), config.to_string(), limits, &metrics)?;
    Ok(Arc::new(pool))
}

/// The text of `--config`: the route's config as JSON.
fn parse_config(text: Option<&str>) -> anyhow::Result<serde_json::Value> {
    let Some(text) = text else {
        return Ok(serde_json::json!({}));
    };
    let config: serde_json::Value = serde_json::from_str(text)
        .with_context(|| format!("--config {text}: expected a JSON object such as {{\"name\":\"tenant-id\"}}"))?;
    anyhow::ensure!(
        config.is_object(),
        "--config {text}: expected a JSON object such as {{\"name\":\"tenant-id\"}}"
    );
    Ok(config)
}

/// Where a decision puts a record; none: wherever the host likes, or nowhere.
fn lands_on(decision: &Decision, partitions: u32) -> Option<u32> {
    match decision {
        Decision::Partition(partition) => Some(*partition),
        Decision::KeyHash(bytes) => Some(partition_for_key(bytes, partitions)),
        // As long as there is no routing table.
        Decision::Tenant(tenant) => Some(partition_for_key(tenant.as_bytes(), partitions)),
        Decision::Any | Decision::Reject(_) => None,
    }
}
