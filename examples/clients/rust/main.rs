//! Sends each line of standard input as the value of a record, in numbered requests:
//!
//! `seq 1000 | cargo run -q -p pointsman --example numbered -- --unix target/run/ingest.sock --topic numbers --client demo`

mod client;
mod packed;

use std::{io::BufRead as _, path::PathBuf};

use anyhow::bail;
use clap::Parser;
use client::{Client, Options, Target};
use serde_json::{Value, json};

/// Sends lines.
#[derive(Debug, Parser)]
struct Arguments {
    /// The sidecar's Unix socket.
    #[arg(long)]
    unix: Option<PathBuf>,
    /// The sidecar's TCP address, host:port.
    #[arg(long)]
    http: Option<String>,
    /// The topic.
    #[arg(long)]
    topic: String,
    /// `Pointsman-Client`.
    #[arg(long)]
    client: String,
    /// Records in a request.
    #[arg(long, default_value_t = 100)]
    batch: usize,
    /// Send packed records instead of JSON.
    #[arg(long)]
    packed: bool,
}

#[tokio::main]
#[allow(clippy::print_stdout, reason = "it is a program")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let target = match (arguments.unix, arguments.http) {
        (Some(path), None) => Target::Unix(path),
        (None, Some(address)) => Target::Tcp(address),
        _ => bail!("one of --unix and --http is needed"),
    };
    let client = Client::new(Options::new(target, &arguments.client));
    let lines: Vec<String> = std::io::stdin().lock().lines().collect::<Result<_, _>>()?;
    let mut sent = Vec::new();
    for lines in lines.chunks(arguments.batch.max(1)) {
        let sending = if arguments.packed {
            let values: Vec<String> = lines.iter().map(|line| json!(line).to_string()).collect();
            let records = values.iter().map(|value| packed::Record {
                value: Some(value.as_bytes()),
                ..packed::Record::default()
            });
            client.send_packed(&arguments.topic, records).await
        } else {
            let records: Vec<Value> = lines.iter().map(|line| json!({ "value": line })).collect();
            client.send(&arguments.topic, &records).await
        };
        sent.push(sending?);
    }
    client.drain().await;
    let mut acked = 0;
    for sent in sent {
        let reply = sent.answer().await?;
        let records = reply["records"].as_array().map(Vec::as_slice).unwrap_or_default();
        acked += records.iter().filter(|record| record["outcome"] == "acked").count();
    }
    println!("{acked} of {} records acked", lines.len());
    Ok(())
}
