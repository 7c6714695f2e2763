//! `pointsman schema`: checks, encodes and decodes a value by a schema of a registry, as the sidecar does.

use std::{
    fs,
    io::{Read as _, Write},
    path::Path,
    sync::Arc,
};

use anyhow::{Context as _, bail};
use pointsman_schemas::{
    Invalid, Writer,
    framing::{self, SchemaId},
    registry::{Registry, Version, Wanted},
};
use serde_json::{Value, json};

use crate::{
    config::{Config, Overrides, SchemaRegistry},
    schemas::registry_of,
    tools::cli::schema::{Asked, ByVersion, Decode, Schema},
};

/// The most bytes of a file, and of what a reader would see.
const MOST_BYTES: usize = 64 << 20;

/// Runs the command. False if the value does not fit.
pub fn run(asked: &Schema, environment: Vec<(String, String)>, out: &mut dyn Write) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match asked {
            Schema::Check(options) => check(options, environment, out).await,
            Schema::Encode(options) => encode(options, environment, out).await,
            Schema::Decode(options) => decode(options, environment, out).await,
        }
    })
}

async fn check(options: &ByVersion, environment: Vec<(String, String)>, out: &mut dyn Write) -> anyhow::Result<bool> {
    let (version, written) = encoded(options, environment).await?;
    match written {
        Ok(_) if options.asked.json => writeln!(out, "{}", json!({"valid": true, "schema": named(&version)}))?,
        Ok(_) => writeln!(
            out,
            "it fits version {} of subject \"{}\", id {}",
            version.version, version.subject, version.id
        )?,
        Err(invalid) => return refused(&version, &invalid, options.asked.json, out),
    }
    Ok(true)
}

async fn encode(options: &ByVersion, environment: Vec<(String, String)>, out: &mut dyn Write) -> anyhow::Result<bool> {
    let (version, written) = encoded(options, environment).await?;
    match written {
        Ok(bytes) if options.asked.json => {
            let encoded = base64_simd::STANDARD.encode_to_string(bytes);
            writeln!(out, "{}", json!({"schema": named(&version), "value_base64": encoded}))?;
        }
        Ok(bytes) => out.write_all(&bytes)?,
        Err(invalid) => {
            // Standard output is for the bytes.
            if !options.asked.json {
                bail!("{}: {invalid}", options.file.display());
            }
            return refused(&version, &invalid, true, out);
        }
    }
    Ok(true)
}

/// The bytes that the sidecar would write, or why it would refuse the value.
async fn encoded(
    options: &ByVersion,
    environment: Vec<(String, String)>,
) -> anyhow::Result<(Arc<Version>, Result<Vec<u8>, Invalid>)> {
    let json = read(&options.file)?;
    let registry = options.asked.registry(environment)?;
    let wanted = options.version.map_or(Wanted::Latest, Wanted::Number);
    let version = registry.version(&options.subject, wanted).await?;
    let writer = Writer::new(Arc::clone(&version.schema), options.record.as_deref())?;
    let mut bytes = Vec::new();
    framing::write_prefix(version.id, &mut bytes);
    bytes.extend_from_slice(writer.index());
    let written = writer.encode(&json, &mut bytes).map(|()| bytes);
    Ok((version, written))
}

async fn decode(options: &Decode, environment: Vec<(String, String)>, out: &mut dyn Write) -> anyhow::Result<bool> {
    let bytes = read(&options.file)?;
    let (id, length) = framing::read_prefix(&bytes).with_context(|| options.file.display().to_string())?;
    let registry = options.asked.registry(environment)?;
    let registered = registry.get(id).await?;
    if let Some(subject) = &options.subject
        && !registry.belongs(id, subject).await?
    {
        bail!("schema {id} is none of subject \"{subject}\"");
    }
    let text = registered
        .compiled()?
        .json(&bytes[length..], MOST_BYTES)
        .with_context(|| options.file.display().to_string())?;
    if !options.asked.json {
        writeln!(out, "{text}")?;
        return Ok(true);
    }
    let value: Value = serde_json::from_str(&text)?;
    let id = shown_id(id);
    writeln!(
        out,
        "{}",
        json!({"id": id, "format": registered.format.to_string(), "value": value})
    )?;
    Ok(true)
}

fn refused(version: &Version, invalid: &Invalid, json: bool, out: &mut dyn Write) -> anyhow::Result<bool> {
    if json {
        let told = json!({
            "valid": false,
            "schema": named(version),
            "path": invalid.path(),
            "reason": invalid.reason(),
        });
        writeln!(out, "{told}")?;
    } else {
        writeln!(
            out,
            "it does not fit version {} of subject \"{}\": {invalid}",
            version.version, version.subject
        )?;
    }
    Ok(false)
}

fn named(version: &Version) -> Value {
    json!({"subject": version.subject, "version": version.version, "id": version.id})
}

fn shown_id(id: SchemaId) -> Value {
    match id {
        SchemaId::Number(number) => json!(number),
        guid => json!(guid.to_string()),
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = MOST_BYTES as u64 + 1;
    let read = match file == Path::new("-") {
        true => std::io::stdin().lock().take(limit).read_to_end(&mut bytes),
        false => fs::File::open(file).and_then(|opened| opened.take(limit).read_to_end(&mut bytes)),
    };
    read.with_context(|| format!("cannot read {}", file.display()))?;
    if bytes.len() > MOST_BYTES {
        bail!("{} has more than {MOST_BYTES} bytes", file.display());
    }
    Ok(bytes)
}

impl Asked {
    fn registry(&self, environment: Vec<(String, String)>) -> anyhow::Result<Registry> {
        let config = match &self.url {
            Some(url) => SchemaRegistry::at(url),
            None => {
                let loaded = Config::load(self.config.as_deref(), environment, &Overrides::default())?;
                let Some(config) = loaded.config.schema_registry else {
                    bail!("no registry: give --registry URL, or --config FILE with a [schema_registry]");
                };
                config
            }
        };
        registry_of(&config)
    }
}
