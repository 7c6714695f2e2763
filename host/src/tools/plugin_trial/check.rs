//! `pointsman plugin check`: says whether a sidecar would take a file.

use std::{path::Path, time::Instant};

use serde_json::json;

use super::{
    Failed, configure, load, parse_config,
    said::Said,
    style::{Style, foreign},
};
use crate::plugin::{Footprint, PACKAGE};

/// The longest name that is shown, bytes. The host has cut names before, but escapes may make them longer.
const NAME_BYTES: usize = 256;

/// What is known of a component that a sidecar would take.
#[derive(Debug)]
pub struct Checked {
    /// SHA-256 of the component, fit for a route's `sha256`.
    pub digest: String,
    /// The component's size.
    pub bytes: usize,
    /// The interfaces that the component imports.
    pub imports: Vec<String>,
    /// The interfaces that the component exports; only some of them where there are many.
    pub exports: Vec<String>,
    /// How long it took from the file to compiled code, ms. Next to nothing when the code was in the cache.
    pub load_ms: f64,
    /// How long the instance, `configure` and the smoke calls took, ms.
    pub configure_ms: f64,
    /// The instance's memory after that.
    pub instance: Footprint,
    /// What the plugin logged meanwhile.
    said: Said,
}

/// Makes all checks that a sidecar makes before it lets a plugin decide. The error says what is wrong and what to
/// change.
pub fn check(file: &Path, config: Option<&str>) -> anyhow::Result<Checked> {
    let config = parse_config(config)?;
    let begun = Instant::now();
    let (code, limits) = load(file)?;
    let load_ms = ms(begun);
    let begun = Instant::now();
    let (pool, said) = configure(&code, limits, &config).map_err(|error| explain(error, &config))?;
    let configure_ms = ms(begun);
    let instance = pool.lease_blocking()?.footprint();
    Ok(Checked {
        digest: code.digest.clone(),
        bytes: code.bytes,
        imports: code.imports.clone(),
        exports: code.exports.clone(),
        load_ms,
        configure_ms,
        instance,
        said,
    })
}

fn explain(error: anyhow::Error, config: &serde_json::Value) -> anyhow::Error {
    let is_bare = config.as_object().is_some_and(serde_json::Map::is_empty);
    match error.downcast::<Failed>() {
        Ok(mut failed) => {
            if is_bare && failed.is_refusal() {
                failed.hint = Some("if it needs a config, give one: --config '{\"key\":\"value\"}'");
            }
            failed.into()
        }
        Err(error) => error,
    }
}

impl Checked {
    /// For scripts.
    pub fn json(&self) -> serde_json::Value {
        json!({
            "ok": true,
            "sha256": self.digest,
            "bytes": self.bytes,
            "imports": self.imports,
            "exports": self.exports,
            "load_ms": self.load_ms,
            "configure_ms": self.configure_ms,
            "memory_bytes": self.instance.total(),
            "instance": self.instance,
            "log": self.said.json(),
        })
    }

    /// For people.
    pub fn text(&self, file: &Path) -> String {
        let style = Style::of_stdout();
        let names = |full: &[String]| {
            let short: Vec<String> = full
                .iter()
                .map(|name| foreign(name.strip_prefix(PACKAGE).unwrap_or(name), NAME_BYTES))
                .collect();
            match short.is_empty() {
                true => "nothing".to_owned(),
                false => short.join(", "),
            }
        };
        let Footprint {
            memory_bytes,
            table_bytes,
            engine_bytes,
        } = self.instance;
        let rows = [
            ("component", format!("{} ({} bytes)", file.display(), self.bytes)),
            ("sha256", self.digest.clone()),
            ("exports", names(&self.exports)),
            ("imports", format!("{}, and no WASI", names(&self.imports))),
            ("loaded", format!("in {:.1} ms", self.load_ms)),
            (
                "configured",
                format!("and asked about two records, in {:.1} ms", self.configure_ms),
            ),
            (
                "memory",
                format!(
                    "{} KiB an instance: memories {}, tables {}, in the engine {}",
                    kib(self.instance.total()),
                    kib(memory_bytes),
                    kib(table_bytes),
                    kib(engine_bytes)
                ),
            ),
        ];
        let mark = style.good("✓");
        let rows = rows.iter().map(|(what, found)| format!("{mark} {what:<11}{found}\n"));
        rows.chain([self.said.text(style)]).collect()
    }
}

/// Rounded up, so that a small part is not shown as 0.
fn kib(bytes: usize) -> usize {
    bytes.div_ceil(1 << 10)
}

fn ms(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}
