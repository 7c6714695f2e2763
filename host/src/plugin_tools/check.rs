//! `pointsman plugin check`: would a sidecar take this file?

use std::{path::Path, time::Instant};

use serde_json::json;

use super::{configure, load, parse_config, style::Style};

/// What was found of a component that a sidecar would take.
#[derive(Debug)]
pub struct Checked {
    /// SHA-256, fit for a route's `sha256`.
    pub digest: String,
    /// Its size.
    pub bytes: usize,
    /// Interfaces that it imports.
    pub imports: Vec<String>,
    /// From the file to compiled code, ms; next to nothing when the code was in the cache.
    pub load_ms: f64,
    /// Instance, `configure` and smoke calls, ms.
    pub configure_ms: f64,
    /// Memory of the instance after that.
    pub memory_bytes: usize,
}

/// Does what a sidecar does before it lets a plugin decide. The error says what is wrong and what to change.
pub fn check(file: &Path, config: Option<&str>) -> anyhow::Result<Checked> {
    let config = parse_config(config)?;
    let begun = Instant::now();
    let (code, limits) = load(file)?;
    let load_ms = ms(begun);
    let begun = Instant::now();
    let pool = configure(&code, limits, &config).map_err(|error| explain(&error, &config))?;
    let configure_ms = ms(begun);
    let memory_bytes = pool.lease_blocking()?.footprint().total();
    Ok(Checked {
        digest: code.digest.clone(),
        bytes: code.bytes,
        imports: code.imports.clone(),
        load_ms,
        configure_ms,
        memory_bytes,
    })
}

fn explain(error: &anyhow::Error, config: &serde_json::Value) -> anyhow::Error {
    let is_bare = config.as_object().is_some_and(serde_json::Map::is_empty);
    let says = error.to_string();
    if is_bare && says.contains("refused its config") {
        return anyhow::anyhow!("{says}; if it needs a config, give one: --config '{{\"key\":\"value\"}}'");
    }
    anyhow::anyhow!(says)
}

impl Checked {
    /// For scripts.
    pub fn json(&self) -> serde_json::Value {
        json!({
            "ok": true,
            "sha256": self.digest,
            "bytes": self.bytes,
            "imports": self.imports,
            "load_ms": self.load_ms,
            "configure_ms": self.configure_ms,
            "memory_bytes": self.memory_bytes,
        })
    }

    /// For people.
    pub fn text(&self, file: &Path) -> String {
        let style = Style::of_stdout();
        let names: Vec<&str> = self.imports.iter().filter_map(|name| name.rsplit('/').next()).collect();
        let imports = if names.is_empty() {
            "nothing".to_owned()
        } else {
            names.join(", ")
        };
        let rows = [
            ("component", format!("{} ({} bytes)", file.display(), self.bytes)),
            ("sha256", self.digest.clone()),
            ("exports", "pointsman:partitioner/partitioner@1.0.0".to_owned()),
            ("imports", format!("{imports}, and no WASI")),
            ("loaded", format!("in {:.1} ms", self.load_ms)),
            (
                "configured",
                format!("and asked about two records, in {:.1} ms", self.configure_ms),
            ),
            ("memory", format!("{} KiB an instance", self.memory_bytes >> 10)),
        ];
        let mark = style.good("✓");
        rows.iter()
            .map(|(what, found)| format!("{mark} {what:<11}{found}\n"))
            .collect()
    }
}

fn ms(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}
