//! `pointsman schema`: checks, encodes and decodes a value by a schema of a registry.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `pointsman schema`.
#[derive(Debug, Subcommand)]
pub enum Schema {
    /// Say whether JSON fits a schema, and if not, where.
    Check(ByVersion),
    /// Write what the sidecar would make of JSON: the schema's id, and the encoded bytes.
    Encode(ByVersion),
    /// Show what a reader would see in encoded bytes, by the id that they begin with.
    Decode(Decode),
}

impl Schema {
    /// Where its registry is.
    pub fn asked_mut(&mut self) -> &mut Asked {
        match self {
            Self::Check(options) | Self::Encode(options) => &mut options.asked,
            Self::Decode(options) => &mut options.asked,
        }
    }
}

/// Where the registry is.
#[derive(Debug, Args)]
pub struct Asked {
    /// The registry's URL.
    #[arg(
        long = "registry",
        value_name = "URL",
        help = "The registry's URL; else [schema_registry] in the configuration says all of it"
    )]
    pub url: Option<String>,
    /// The configuration.
    #[arg(
        long,
        value_name = "FILE",
        help = "The sidecar's configuration file; else POINTSMAN_CONFIG names it"
    )]
    pub config: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `pointsman schema check` and `encode`.
#[derive(Debug, Args)]
pub struct ByVersion {
    /// The file with the JSON; - for standard input.
    pub file: PathBuf,
    /// The subject, such as orders-value.
    #[arg(long)]
    pub subject: String,
    /// Its version, a number; else the latest.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub version: Option<u32>,
    /// The full name of the Protobuf message; else the file's first.
    #[arg(long)]
    pub record: Option<String>,
    /// Where the registry is.
    #[command(flatten)]
    pub asked: Asked,
}

/// `pointsman schema decode`.
#[derive(Debug, Args)]
pub struct Decode {
    /// The file with the bytes; - for standard input.
    pub file: PathBuf,
    /// The subject that the schema has to belong to; else any.
    #[arg(long)]
    pub subject: Option<String>,
    /// Where the registry is.
    #[command(flatten)]
    pub asked: Asked,
}
