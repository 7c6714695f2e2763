//! Load from many connections at a sidecar: a base line for later work.
//!
//! `cargo run --release --example load` starts the sidecar with its embedded broker and measures the usual cases, one after
//! another. With `--unix` or `--http` it sends to one that is running, whatever its brokers are:
//!
//! `cargo run --release --example load -- --unix target/run/ingest.sock --topic load --connections 8 --batch 500`
//!
//! Prints a table, and with `--json` one JSON line a case: records and requests a second, latency of a request, and the CPU
//! that the sidecar used for a million records when its process id is known (with the embedded broker, the broker's
//! included). Closed loop: each connection waits for its answer, so the latency is that of this load and no other.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::Parser;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::{TcpStream, UnixStream},
    task::JoinSet,
};

/// Sends records and measures.
#[derive(Debug, Clone, Parser)]
struct Options {
    /// The sidecar's Unix socket.
    #[arg(long)]
    unix: Option<PathBuf>,
    /// The sidecar's TCP address.
    #[arg(long)]
    http: Option<String>,
    /// The topic.
    #[arg(long, default_value = "load")]
    topic: String,
    /// Connections at once.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Records in a request.
    #[arg(long, default_value_t = 500)]
    batch: usize,
    /// Bytes of a record's value.
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
    /// How long.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// The sidecar's process, for its CPU time.
    #[arg(long)]
    pid: Option<u32>,
    /// Print one JSON line as well.
    #[arg(long)]
    json: bool,
}

/// What one connection saw.
#[derive(Default)]
struct Seen {
    latencies: Vec<Duration>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if options.unix.is_some() || options.http.is_some() {
        return measure("", &options).await;
    }
    let sidecar = Started::new()?;
    for (topic, partitioner) in [("plugin", "key-hash plugin"), ("host", "host's key-hash")] {
        for (connections, batch, unix) in [(8, 500, true), (8, 500, false), (64, 1, true), (64, 1, false)] {
            let case = Options {
                unix: unix.then(|| sidecar.unix.clone()),
                http: (!unix).then(|| sidecar.http.clone()),
                topic: topic.to_owned(),
                connections,
                batch,
                pid: Some(sidecar.child.id()),
                ..options.clone()
            };
            let socket = if unix { "unix" } else { "tcp" };
            let title = format!("{partitioner}, {socket}, {connections} connections, {batch} a request");
            measure(&title, &case).await?;
        }
    }
    Ok(())
}

/// A sidecar with its embedded broker; killed when dropped.
struct Started {
    child: Child,
    unix: PathBuf,
    http: String,
    _folder: tempfile::TempDir,
}

impl Started {
    /// Starts the binary that stands beside this program's folder.
    fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let unix = folder.path().join("ingest.sock");
        let file = folder.path().join("pointsman.toml");
        let config = format!(
            "[listen]\nunix = {unix:?}\nhttp = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
             [[route]]\ntopics = [\"plugin\"]\nplugin = \"key-hash\"\n[[route]]\ntopics = [\"*\"]\n"
        );
        std::fs::write(&file, config)?;
        let me = std::env::current_exe()?;
        let binary = me
            .parent()
            .and_then(Path::parent)
            .context("a folder above")?
            .join("pointsman");
        let mut child = Command::new(&binary)
            .args(["run", "--embedded", "--config"])
            .arg(&file)
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}; build it first", binary.display()))?;
        let log = child.stderr.take().context("its log")?;
        let mut started = Self {
            child,
            unix,
            http: String::new(),
            _folder: folder,
        };
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(log));
        for line in lines.by_ref() {
            let line = line?;
            if let Some((_, address)) = line.split_once("ingest listens address=") {
                started.http = address.trim().to_owned();
            }
            if line.contains("not ready yet") {
                break;
            }
            if line.ends_with(" ready") {
                // Nobody reads on, but a full pipe would block it.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(started);
            }
        }
        bail!("the sidecar did not start; are the plugins built (make plugins)?")
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs one case and prints what it gave.
async fn measure(title: &str, options: &Options) -> anyhow::Result<()> {
    run(options, Duration::from_secs(1)).await.context("warming up")?;
    let cpu = options.pid.map(cpu_seconds).transpose()?;
    let begun = Instant::now();
    let mut latencies = run(options, Duration::from_secs(options.seconds)).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = match (cpu, options.pid) {
        (Some(before), Some(pid)) => Some(cpu_seconds(pid)? - before),
        _ => None,
    };
    latencies.sort_unstable();
    report(title, options, &latencies, seconds, cpu);
    Ok(())
}

async fn run(options: &Options, duration: Duration) -> anyhow::Result<Vec<Duration>> {
    let until = Instant::now() + duration;
    let mut connections = JoinSet::new();
    for number in 0..options.connections {
        let options = options.clone();
        connections.spawn(async move {
            match &options.unix {
                Some(path) => connection(UnixStream::connect(path).await?, &options, number, until).await,
                None => {
                    let address = options.http.as_deref().context("--unix or --http")?;
                    let stream = TcpStream::connect(address).await?;
                    stream.set_nodelay(true)?;
                    connection(stream, &options, number, until).await
                }
            }
        });
    }
    let mut latencies = Vec::new();
    while let Some(ended) = connections.join_next().await {
        latencies.extend(ended??.latencies);
    }
    Ok(latencies)
}

async fn connection<S>(stream: S, options: &Options, number: usize, until: Instant) -> anyhow::Result<Seen>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = request(options, number);
    let mut stream = BufReader::new(stream);
    let mut seen = Seen::default();
    while Instant::now() < until {
        let begun = Instant::now();
        stream.write_all(&request).await?;
        answer(&mut stream).await?;
        seen.latencies.push(begun.elapsed());
    }
    Ok(seen)
}

/// The same bytes each time, so that the client costs little beside what it measures.
fn request(options: &Options, number: usize) -> Vec<u8> {
    let value = "x".repeat(options.value_bytes.saturating_sub(2));
    let records: Vec<String> = (0..options.batch)
        .map(|index| format!(r#"{{"key":"key-{number}-{index}","value":"{value}"}}"#))
        .collect();
    let body = format!(r#"{{"records":[{}]}}"#, records.join(","));
    format!(
        "POST /v1/topics/{}/records HTTP/1.1\r\nhost: load\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        options.topic,
        body.len()
    )
    .into_bytes()
}

async fn answer<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> anyhow::Result<()> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let status = line.trim_end().to_owned();
    let mut length = 0;
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let header = line.trim_end();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length: ") {
            length = value.parse()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    if !status.contains(" 200 ") {
        bail!("{status}: {}", String::from_utf8_lossy(&body[..length.min(500)]));
    }
    Ok(())
}

/// User and system time of a process, from `/proc/<pid>/stat`, in clock ticks of 1/100 s.
fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit_once(") ").context("the process's name")?.1;
    let ticks: Vec<f64> = after_name
        .split(' ')
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

#[allow(clippy::print_stdout, reason = "its result")]
fn report(title: &str, options: &Options, latencies: &[Duration], seconds: f64, cpu: Option<f64>) {
    let requests = latencies.len();
    let records = requests * options.batch;
    let at = |share: f64| {
        let index = ((requests as f64 * share) as usize).min(requests.saturating_sub(1));
        latencies.get(index).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    };
    let rate = |count: usize| count as f64 / seconds;
    let per_million = cpu.map(|cpu| cpu / (records.max(1) as f64 / 1e6));
    println!(
        "{title:<58} {:>9} records/s {:>8} requests/s  p50 {:.2} ms  p99 {:.2} ms  {}",
        rate(records) as u64,
        rate(requests) as u64,
        at(0.5),
        at(0.99),
        per_million.map_or(String::new(), |cpu| format!("{cpu:.2} CPU s a million records"))
    );
    if options.json {
        println!(
            "{}",
            serde_json::json!({
                "case": title,
                "connections": options.connections,
                "batch": options.batch,
                "value_bytes": options.value_bytes,
                "socket": if options.unix.is_some() { "unix" } else { "tcp" },
                "seconds": seconds,
                "records_per_second": rate(records),
                "requests_per_second": rate(requests),
                "p50_ms": at(0.5),
                "p99_ms": at(0.99),
                "cpu_seconds_per_million_records": per_million,
            })
        );
    }
}
