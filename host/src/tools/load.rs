//! `pointsman load`: sends records to a sidecar and measures what comes back.
//!
//! Each [`connection`] sends requests whose bytes were made beforehand ([`request`]) of made-up records ([`values`]), so
//! that the generator takes little CPU time from the sidecar; [`stream`] does the same over `/stream`, [`grpc`] over gRPC. Without a rate, each connection keeps a
//! fixed number of requests under way and waits for answers (a closed loop: it measures throughput). With a rate, each
//! request has a time when it is due, and its latency counts from that time, not from when it could be sent. So the
//! latency includes the wait that a slow answer causes for later requests (no coordinated omission).

mod connection;
mod grpc;
mod plan;
mod process;
mod report;
mod request;
pub(crate) mod stream;
mod values;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use tokio::{
    net::{TcpStream, UnixStream},
    task::JoinSet,
};

use self::{
    plan::{Plan, Socket},
    report::Observed,
};
pub use self::{
    process::Usage,
    report::Report,
    values::{key, object, tenant, tenant_name},
};
use crate::tools::cli::{Load, LoadFormat, LoadValues};

/// Where the sidecar listens.
#[derive(Debug, Clone)]
enum Target {
    Unix(PathBuf),
    Tcp(String),
}

impl Target {
    fn of(options: &Load) -> anyhow::Result<Self> {
        match (&options.unix, &options.http) {
            (Some(path), None) => Ok(Self::Unix(path.clone())),
            (None, Some(address)) => Ok(Self::Tcp(address.clone())),
            _ => bail!("say where the sidecar listens: --unix PATH or --http HOST:PORT"),
        }
    }

    async fn connect(&self) -> anyhow::Result<Box<dyn Socket>> {
        match self {
            Self::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                Ok(Box::new(
                    stream.with_context(|| format!("cannot connect to {}", path.display()))?,
                ))
            }
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await;
                let stream = stream.with_context(|| format!("cannot connect to {address}"))?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
        }
    }
}

/// Warms up, measures, and reports.
pub fn run(options: &Load) -> anyhow::Result<Report> {
    let threads = if options.connections == 1 { 1 } else { 2 };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()?;
    runtime.block_on(measure(options))
}

async fn measure(options: &Load) -> anyhow::Result<Report> {
    let options = &Load {
        batch: match options.format {
            LoadFormat::Octet | LoadFormat::CloudEvent => 1,
            _ => options.batch,
        },
        values: Some(values_of(options)?),
        ..options.clone()
    };
    let target = Target::of(options)?;
    // Made before anything is measured.
    let made: Vec<Vec<Bytes>> = (0..options.connections)
        .map(|number| match options.format {
            LoadFormat::Stream => request::pieces(options, number),
            LoadFormat::Grpc | LoadFormat::GrpcStream => grpc::messages(options, number),
            _ => request::of(options, number),
        })
        .collect();
    send(options, &target, &made, Duration::from_secs_f64(options.warm_up))
        .await
        .context("while warming up")?;
    let before = options.pid.map(Usage::of).transpose()?;
    let begun = Instant::now();
    let seen = send(options, &target, &made, Duration::from_secs_f64(options.seconds)).await?;
    let took = begun.elapsed();
    let after = options.pid.map(Usage::of).transpose()?;
    let used = before.zip(after).map(|(before, after)| after.since(&before));
    Ok(Report::new(options, seen, took, used))
}

/// Who says how long a value is wants text.
fn values_of(options: &Load) -> anyhow::Result<LoadValues> {
    match (options.values, options.value_bytes) {
        (Some(LoadValues::Objects), Some(_)) => {
            bail!("--value-bytes is for --values text: objects have a length of their own")
        }
        (Some(values), _) => Ok(values),
        (None, Some(_)) => Ok(LoadValues::Text),
        (None, None) => Ok(LoadValues::Objects),
    }
}

async fn send(options: &Load, target: &Target, made: &[Vec<Bytes>], duration: Duration) -> anyhow::Result<Observed> {
    let begin = Instant::now();
    let per_connection = options
        .rate
        .map(|rate| rate / options.connections as f64 / options.batch as f64);
    let plan = Plan {
        begin,
        end: begin + duration,
        interval: per_connection.map(|rate| Duration::from_secs_f64(1.0 / rate)),
        in_flight: options.in_flight,
    };
    let mut connections = JoinSet::new();
    for (number, made) in made.iter().enumerate() {
        let (options, target, made) = (options.clone(), target.clone(), made.clone());
        connections.spawn(async move {
            let socket = target.connect().await?;
            match options.format {
                LoadFormat::Stream => stream::drive(socket, &options, number, made, plan).await,
                LoadFormat::Grpc | LoadFormat::GrpcStream => grpc::drive(socket, &options, made, plan).await,
                _ => connection::drive(socket, &made, options.batch, plan).await,
            }
        });
    }
    let mut all = Observed::new()?;
    while let Some(ended) = connections.join_next().await {
        all.add(&ended??)?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
