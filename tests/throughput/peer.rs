//! Another sidecar that takes records over HTTP and produces them to Kafka: Dapr, with its own kind of requests.
//!
//! It is set up for the least work that gives the same records: values as they are (`rawPayload`, no CloudEvent around
//! them), keys, no headers, no metrics, no tracing. It always waits for all in-sync replicas; its producer cannot be
//! idempotent.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use hdrhistogram::Histogram;
use pointsman::tools::load::{Usage, key};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream},
    net::TcpStream,
    task::JoinSet,
};

use super::{Values, given::Given};
use crate::support::{http::Http, kafka::Kafka, sidecar::root};

mod request;

pub(crate) const TOPIC: &str = "peer";
/// The name of its component for Kafka.
const COMPONENT: &str = "kafka";
/// How long the start may take on a busy machine. It usually takes a second.
const START_DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);
/// The warm-up, as long as that of `pointsman load`.
const WARM_UP: Duration = Duration::from_secs(1);
/// How much longer than planned a turn may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Latencies are kept from 1 µs to a minute, to three figures.
const LONGEST_US: u64 = 60_000_000;

/// A running peer. Dropping it ends the process and removes its folder; if it is not dropped, `tests/peer/run.sh` does
/// that.
pub(crate) struct Peer {
    http: SocketAddr,
    process: u32,
    script: Child,
    /// The script ends the peer when this is closed.
    lifeline: Option<ChildStdin>,
    folder: PathBuf,
}

impl Peer {
    /// Starts the peer, waits until it is ready, and checks in Kafka that its records are right. None when it is not
    /// installed.
    pub(crate) fn start(kafka: &Kafka) -> Option<Self> {
        let program = root().join("target/peer/daprd");
        if !program.exists() {
            println!("\nwithout a peer beside it: Dapr is not in target/peer, where `.ci/need peer` puts it");
            return None;
        }
        let peer = Self::spawn(&program, &kafka.bootstrap()).expect("the peer");
        if let Err(error) = peer.wait_until_ready().and_then(|()| peer.prove(kafka)) {
            panic!("the peer: {error:#}; its log:\n{}", peer.log());
        }
        Some(peer)
    }

    fn spawn(program: &Path, bootstrap: &str) -> Result<Self> {
        let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
        fs::create_dir_all(parent)?;
        let folder = tempfile::Builder::new().prefix("peer-").tempdir_in(parent)?;
        let [http, grpc, internal] = free_ports()?;
        let mut script = Command::new("sh")
            .arg(root().join("tests/peer/run.sh"))
            .arg(folder.path())
            .arg(program)
            .args(["--app-id", "peer", "--log-level", "warn", "--enable-metrics=false"])
            .args(["--dapr-listen-addresses", "127.0.0.1"])
            .args(["--dapr-internal-grpc-listen-address", "127.0.0.1"])
            .args(["--dapr-http-port", &http.to_string()])
            .args(["--dapr-grpc-port", &grpc.to_string()])
            .args(["--dapr-internal-grpc-port", &internal.to_string()])
            .arg("--resources-path")
            .arg(resources(folder.path(), bootstrap)?)
            .arg("--config")
            .arg(config(folder.path())?)
            // Else it would ask the network for the machine's address.
            .env("DAPR_HOST_IP", "127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C in a terminal goes to the benchmark alone; the script does the rest.
            .process_group(0)
            .spawn()
            .context("sh run.sh")?;
        let mut said = String::new();
        BufReader::new(script.stdout.take().context("its output")?).read_line(&mut said)?;
        Ok(Self {
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, http)),
            process: said.trim().parse().context("the peer's process id")?,
            lifeline: script.stdin.take(),
            script,
            // The script removes the folder.
            folder: folder.keep(),
        })
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        while !self.is_ready() {
            // This fails for a process that has ended.
            ensure!(Usage::of(self.process).is_ok(), "it ended while starting");
            ensure!(Instant::now() < deadline, "it was not ready in time");
            thread::sleep(POLL);
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        let Ok(mut http) = Http::try_tcp(self.http) else {
            return false;
        };
        http.send("GET", "/v1.0/healthz/outbound", &[], b"");
        http.reply().is_some_and(|reply| reply.status == 204)
    }

    /// Checks that the records of a successful answer are in Kafka, and are the ones that were sent.
    fn prove(&self, kafka: &Kafka) -> Result<()> {
        let encoded = |text: &str| base64_simd::STANDARD.encode_to_string(text);
        let mut sent = Vec::new();
        for values in [Values::Text, Values::Objects] {
            for (first, batch) in [(0, 1), (1, 3)] {
                let mut http = Http::try_tcp(self.http)?;
                http.raw(&request::one(values, 0, first, batch));
                let reply = http.reply().context("no answer")?;
                ensure!(reply.status == 204, "{} {}", reply.status, reply.text());
                sent.extend((first..first + batch).map(|index| {
                    let (key, value) = (key(0, index), request::value(values, 0, index));
                    (encoded(&key), encoded(&value))
                }));
            }
        }
        let mut seen = Vec::new();
        for record in kafka.read(TOPIC)? {
            let record: Value = serde_json::from_str(&record)?;
            ensure!(record["headers"] == json!([]), "with headers: {record}");
            let of = |field: &str| record[field].as_str().unwrap_or_default().to_owned();
            seen.push((of("key"), of("value")));
        }
        sent.sort();
        seen.sort();
        ensure!(seen == sent, "records {seen:?} instead of {sent:?}");
        Ok(())
    }

    /// Runs a turn: each connection sends its next request as soon as the one before is answered.
    pub(crate) fn run(&self, values: Values, connections: usize, batch: usize, seconds: f64) -> Given {
        let requests: Vec<_> = (0..connections)
            .map(|number| Arc::new(request::of(values, connections, batch, number)))
            .collect();
        let turn = || -> Result<Given> {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()?;
            runtime.block_on(send(self.http, &requests, WARM_UP))?;
            let (before, begun) = (Usage::of(self.process)?, Instant::now());
            let latencies = runtime.block_on(send(self.http, &requests, Duration::from_secs_f64(seconds)))?;
            let (used, took) = (Usage::of(self.process)?.since(&before), begun.elapsed());
            let records = (latencies.len() * batch as u64) as f64;
            let at = |share: f64| Some(latencies.value_at_quantile(share) as f64 / 1e3);
            Ok(Given {
                records_per_second: records / took.as_secs_f64(),
                cpu_seconds_per_million: used.cpu_seconds * 1e6 / records,
                p50_ms: at(0.5),
                p99_ms: at(0.99),
                peak_bytes: Some(used.peak_resident_bytes),
            })
        };
        turn().unwrap_or_else(|error| panic!("the peer: {error:#}; its log:\n{}", self.log()))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // With this wait, a dropped peer is gone. If it fails, there is nobody to tell.
        let _ = self.script.wait();
    }
}

/// Ports that nobody listens on. All stay bound until the last one is found, so that no two are the same.
fn free_ports() -> Result<[u16; 3]> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port");
    let held = [bind()?, bind()?, bind()?];
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// Writes a folder with the component for Kafka.
fn resources(folder: &Path, bootstrap: &str) -> Result<PathBuf> {
    let resources = folder.join("resources");
    fs::create_dir(&resources)?;
    let text = json!({
        "apiVersion": "dapr.io/v1alpha1",
        "kind": "Component",
        "metadata": {"name": COMPONENT},
        "spec": {
            "type": "pubsub.kafka",
            "version": "v1",
            "metadata": [
                {"name": "brokers", "value": bootstrap},
                {"name": "authType", "value": "none"},
                // The peer makes headers of a request's parameters, except those that this matches: all of them.
                {"name": "excludeHeaderMetaRegex", "value": "^"},
            ],
        },
    });
    // JSON is valid YAML.
    fs::write(resources.join("kafka.yaml"), text.to_string())?;
    Ok(resources)
}

fn config(folder: &Path) -> Result<PathBuf> {
    let file = folder.join("config.yaml");
    let text = json!({
        "apiVersion": "dapr.io/v1alpha1",
        "kind": "Configuration",
        "metadata": {"name": "peer"},
        "spec": {
            "tracing": {"samplingRate": "0"},
            // The default announces the process to the network (mDNS). This one does nothing until it is asked.
            "nameResolution": {"component": "kubernetes"},
        },
    });
    fs::write(&file, text.to_string())?;
    Ok(file)
}

/// The latencies of all answers, µs. An answer that is not a success is an error, and so is a missing answer.
async fn send(to: SocketAddr, requests: &[Arc<Vec<Vec<u8>>>], duration: Duration) -> Result<Histogram<u64>> {
    let end = Instant::now() + duration;
    let mut connections = JoinSet::new();
    for requests in requests {
        connections.spawn(drive(to, Arc::clone(requests), end));
    }
    let mut all = Histogram::new_with_bounds(1, LONGEST_US, 3)?;
    let ended = async {
        while let Some(ended) = connections.join_next().await {
            all.add(ended??)?;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(duration + PATIENCE, ended)
        .await
        .context("it stopped answering")??;
    Ok(all)
}

/// One keep-alive connection.
async fn drive(to: SocketAddr, requests: Arc<Vec<Vec<u8>>>, end: Instant) -> Result<Histogram<u64>> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    // Without a buffer for writing, a request is sent at once.
    let mut stream = BufStream::with_capacity(64 << 10, 0, stream);
    let (mut latencies, mut line) = (Histogram::new_with_bounds(1, LONGEST_US, 3)?, String::new());
    for request in requests.iter().cycle() {
        let sent = Instant::now();
        if sent >= end {
            break;
        }
        stream.write_all(request).await?;
        answer(&mut stream, &mut line).await?;
        latencies.saturating_record(sent.elapsed().as_micros() as u64);
    }
    Ok(latencies)
}

/// Reads an answer. It must be the answer for written records, which has no body.
async fn answer(stream: &mut BufStream<TcpStream>, line: &mut String) -> Result<()> {
    line.clear();
    let length = stream.read_line(line).await?;
    ensure!(length > 0, "it closed the connection instead of answering");
    if !line.starts_with("HTTP/1.1 204 ") {
        let mut rest = vec![0; 1 << 10];
        let length = stream.read(&mut rest).await?;
        bail!("it answered {line}{}", String::from_utf8_lossy(&rest[..length]));
    }
    while !line.trim_end().is_empty() {
        line.clear();
        let length = stream.read_line(line).await?;
        ensure!(length > 0, "it closed the connection within an answer");
    }
    Ok(())
}
