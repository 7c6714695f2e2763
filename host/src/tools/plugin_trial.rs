//! Tools for those who write plugins: [`check`] a component as the sidecar would, [`mod@test`] its decisions against a
//! table of cases, [`mod@bench`] what it costs. They use the same code as the sidecar, with the default limits of
//! `[plugins]`.

pub mod bench;
mod by_table;
pub mod cases;
pub mod check;
pub mod dev;
mod failed;
mod said;
mod shown;
mod style;
pub mod test;

pub use failed::{Failed, refusal};

use std::{path::Path, sync::Arc};

use anyhow::Context as _;

use crate::{
    base::{metrics::Metrics, record::Record},
    config,
    plugin::{
        CallError, Code, CompileLimits, Compiler, Decision, Engine, Lease, Limits, Pool, SMOKE_PARTITIONS, StatedValue,
        smoke_records,
    },
    reload,
    tenants::Tenants,
    topic::Partitions,
};

use self::said::Said;

/// Loads a component within the usual limits, without a routing table.
fn load(file: &Path) -> anyhow::Result<(Arc<Code>, Limits)> {
    load_with(file, &Arc::new(Tenants::off()))
}

/// Loads a component that looks tenants up there. It is never suspended, since these tools look for failures.
fn load_with(file: &Path, tenants: &Arc<Tenants>) -> anyhow::Result<(Arc<Code>, Limits)> {
    let defaults = config::Plugins::default();
    let mut limits = Limits::from(&defaults);
    limits.suspend.failures = usize::MAX;
    let mut compiling = CompileLimits::from(&defaults);
    if cfg!(debug_assertions) {
        // A debug build compiles components and calls them several times slower than the sidecars that the plugin is
        // for.
        compiling.cpu *= 4;
        limits.call_cpu *= 4;
    }
    let compiler = Compiler::new(Engine::new()?, compiling, reload::cache(None)?).with_tenants(tenants);
    let code = Code::load(&compiler, file, &limits)?;
    Ok((Arc::new(code), limits))
}

/// Configures the plugin and makes the smoke calls of a sidecar, each by itself, so that the one that fails is known.
/// Also returns what the plugin logs meanwhile.
fn configure(code: &Arc<Code>, limits: Limits, config: &serde_json::Value) -> anyhow::Result<(Arc<Pool>, Said)> {
    let metrics = Metrics::new()?;
    code.watch_log();
    let pool = Arc::new(Pool::untried(Arc::clone(code), config.to_string(), limits, &metrics));
    let (lease, mut said) = Said::during(|| pool.lease_blocking());
    let mut lease = match lease {
        Ok(lease) => lease,
        Err(error) => anyhow::bail!(Failed::new(error, "configure", said)),
    };
    let partitions = Arc::new(Partitions::of(SMOKE_PARTITIONS));
    for (place, record) in ["first", "second"].into_iter().zip(smoke_records()) {
        let (answer, more) = ask(&mut lease, &record, None, &partitions);
        said.and(more);
        if let Err(error) = answer {
            let call = format!("the {place} of the two records that a sidecar asks about before it takes a plugin");
            anyhow::bail!(Failed::new(error, call, said).on(&record, partitions.count()));
        }
    }
    drop(lease);
    Ok((pool, said))
}

/// Asks about one record, with what is stated about its value. Also returns what the plugin logs meanwhile.
fn ask(
    lease: &mut Lease,
    record: &Record,
    stated: Option<StatedValue>,
    partitions: &Arc<Partitions>,
) -> (Result<Decision, CallError>, Said) {
    lease.pool().code().watch_log();
    Said::during(|| lease.partition_stated(record.clone(), stated, partitions).1)
}

/// Parses the text of `--config`: the route's config as JSON.
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
