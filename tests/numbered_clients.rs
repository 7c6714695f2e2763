//! The reference clients keep their order, and lose and repeat nothing, although connections are cut and the sidecar is
//! restarted.

mod grpc;

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};
use serde_json::{Value, json};

use crate::support::{
    consumer::read,
    proxy::Proxy,
    sidecar::{Builder, Sidecar, eventually, root},
};

#[path = "../examples/clients/rust/client.rs"]
pub(crate) mod client;
// The client includes this module from its own folder.
use crate::packed::reference as packed;

use client::{Client, Error, Options, Sent, Target};

const BATCH: usize = 5;
pub(crate) const PYTHON: &str = "examples/clients/python/pointsman_client.py";

/// A client that sends the numbers that it is given.
trait Stream {
    fn push(&mut self, numbers: Range<u64>);
    /// Waits until everything is acked.
    fn finish(self: Box<Self>);
}

struct Rust {
    numbers: SyncSender<Range<u64>>,
    thread: JoinHandle<()>,
}

impl Rust {
    fn new(socket: &Path, packed: bool) -> Self {
        let (numbers, received) = sync_channel::<Range<u64>>(8);
        let socket = socket.to_owned();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let client = Client::new(Options::new(Target::Unix(socket), "rust"));
                let mut sent = Vec::new();
                while let Ok(numbers) = tokio::task::block_in_place(|| received.recv()) {
                    let values: Vec<String> = numbers.map(|number| format!("\"{number}\"")).collect();
                    for values in values.chunks(BATCH) {
                        sent.push(send(&client, values, packed).await);
                    }
                }
                client.drain().await;
                for sent in sent {
                    let reply = sent.answer().await.unwrap();
                    let records = reply["records"].as_array().unwrap();
                    assert!(records.iter().all(|record| record["outcome"] == "acked"), "{reply}");
                }
            });
        });
        Self { numbers, thread }
    }
}

async fn send(client: &Client, values: &[String], packed: bool) -> Sent {
    let sending = if packed {
        let records = values.iter().map(|value| packed::Record {
            value: Some(value.as_bytes()),
            ..packed::Record::default()
        });
        client.send_packed("t", records).await
    } else {
        let value = |value: &String| serde_json::from_str::<Value>(value).unwrap();
        let records: Vec<_> = values.iter().map(|text| json!({ "value": value(text) })).collect();
        client.send("t", &records).await
    };
    sending.unwrap()
}

impl Stream for Rust {
    fn push(&mut self, numbers: Range<u64>) {
        self.numbers.send(numbers).expect("the client lives");
    }

    fn finish(self: Box<Self>) {
        drop(self.numbers);
        self.thread.join().expect("everything is acked");
    }
}

/// A program that sends the lines of its standard input.
struct Program {
    child: Child,
    pushed: usize,
}

impl Drop for Program {
    /// Else the client would try for ever to send its records.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The Python that `.ci/need` installed or named.
pub(crate) fn python() -> Command {
    let need = Command::new(root().join(".ci/need"))
        .arg("python")
        .status()
        .expect("run .ci/need");
    assert!(need.success(), "there is no Python");
    let mut python = Command::new("python3");
    // `-B`: no bytecode is written beside the module.
    python.arg("-B").stdin(Stdio::piped()).stdout(Stdio::piped());
    python
}

impl Program {
    fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        Self {
            child: child.expect("a client"),
            pushed: 0,
        }
    }

    fn python(socket: &Path, packed: bool) -> Self {
        let mut python = python();
        python.arg(root().join(PYTHON)).arg("--socket").arg(socket);
        python.args(["--topic", "t", "--client", "python", "--batch", &BATCH.to_string()]);
        Self::start(python.args(packed.then_some("--packed")))
    }
}

impl Stream for Program {
    fn push(&mut self, numbers: Range<u64>) {
        self.pushed += numbers.clone().count();
        let lines: String = numbers.map(|number| format!("{number}\n")).collect();
        let stdin = self.child.stdin.as_mut().expect("its input");
        stdin.write_all(lines.as_bytes()).expect("the client lives");
        stdin.flush().expect("the client lives");
    }

    fn finish(mut self: Box<Self>) {
        drop(self.child.stdin.take());
        let mut said = String::new();
        let mut stdout = self.child.stdout.take().expect("its output");
        stdout.read_to_string(&mut said).expect("text");
        assert_eq!(said.trim(), format!("{} records acked", self.pushed));
    }
}

/// The topic's content: the numbers of each partition in the order of their first record, and how many records there
/// are.
fn found(brokers: &str, expected: usize) -> (Vec<Vec<u64>>, usize) {
    let mut least = expected;
    // With duplicates, more records have to be read to see all numbers.
    loop {
        let records = read(brokers, "t", least);
        let mut places: HashMap<u64, usize> = HashMap::new();
        let mut partitions = vec![Vec::new(); 3];
        for record in &records {
            let number: u64 = record.text().trim_matches('"').parse().expect("a number");
            let times = places.entry(number).or_default();
            *times += 1;
            if *times == 1 {
                partitions[record.partition as usize].push(number);
            }
        }
        if places.len() == expected {
            return (partitions, records.len());
        }
        least = records.len() + 1;
    }
}

fn acked(sidecar: &Sidecar) -> f64 {
    sidecar.metric("pointsman_records_total{outcome=\"acked\",topic=\"t\"}")
}

fn survives(start: impl FnOnce(&Path) -> Box<dyn Stream>) {
    let brokers: MockCluster<'_, DefaultProducerContext> = MockCluster::new(1).unwrap();
    brokers.create_topic("t", 3, 1).unwrap();
    let servers = brokers.bootstrap_servers();
    let sidecar = || Builder::kafka(&servers).start();
    let mut first = sidecar();
    let proxy = Proxy::to(&first.unix);
    let mut stream = start(&proxy.path());
    stream.push(0..2_000);
    for cut in 1..=8 {
        eventually("more are acked", || acked(&first) >= f64::from(cut * 200));
        proxy.cut();
    }
    eventually("all are acked", || acked(&first) >= 2_000.0);
    let (partitions, count) = found(&servers, 2_000);
    assert_eq!(count, 2_000, "cut connections repeat nothing");
    check_order(&partitions);

    stream.push(2_000..3_000);
    eventually("some are acked", || acked(&first) >= 2_200.0);
    first.terminate();
    assert_eq!(first.ended().code(), Some(0), "{}", first.log_text());
    let second = sidecar();
    proxy.lead_to(&second.unix);
    stream.push(3_000..4_000);
    stream.finish();
    let (partitions, _) = found(&servers, 4_000);
    check_order(&partitions);
    assert!(second.metric("pointsman_sequence_conflicts_total{code=\"resync\"}") >= 1.0);
}

fn check_order(partitions: &[Vec<u64>]) {
    for (partition, numbers) in partitions.iter().enumerate() {
        assert!(numbers.is_sorted(), "partition {partition}: {numbers:?}");
    }
}

#[test]
fn the_rust_client_keeps_its_order_over_cut_connections_and_a_restart() {
    survives(|socket| Box::new(Rust::new(socket, false)));
}

#[test]
fn the_rust_client_keeps_its_order_with_packed_records() {
    survives(|socket| Box::new(Rust::new(socket, true)));
}

#[test]
fn the_python_client_keeps_its_order_over_cut_connections_and_a_restart() {
    survives(|socket| Box::new(Program::python(socket, false)));
}

#[test]
fn the_python_client_keeps_its_order_with_packed_records() {
    survives(|socket| Box::new(Program::python(socket, true)));
}

#[tokio::test]
async fn a_refused_request_of_the_rust_client_does_not_hold_up_the_others() {
    let sidecar = Builder::embedded().config("[[route]]\ntopics = [\"t\"]").start();
    let client = Client::new(Options::new(Target::Tcp(sidecar.http.to_string()), "rust"));
    let mut sent = Vec::new();
    for number in 0..20 {
        let topic = if number % 7 == 3 { "nowhere" } else { "t" };
        sent.push((topic, client.send(topic, &[json!({ "value": number })]).await.unwrap()));
    }
    client.drain().await;
    for (topic, sent) in sent {
        match sent.answer().await {
            Ok(reply) => assert_eq!((topic, &reply["records"][0]["outcome"]), ("t", &"acked".into())),
            Err(Error::Refused(why)) => assert!(topic == "nowhere" && why.contains("no_route"), "{why}"),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(acked(&sidecar), 17.0);
}

#[test]
fn a_refused_request_of_the_python_client_does_not_hold_up_the_others() {
    let sidecar = Builder::embedded().config("[[route]]\ntopics = [\"t\"]").start();
    let script = r#"
import sys
from pointsman_client import Client, Refused
with Client(sys.argv[1], "python") as client:
    sent = [client.send("nowhere" if n % 7 == 3 else "t", [{"value": n}]) for n in range(20)]
    client.drain()
refused = 0
for n, request in enumerate(sent):
    try:
        assert request.wait(0)["records"][0]["outcome"] == "acked" and n % 7 != 3, n
    except Refused as error:
        assert "no_route" in str(error) and n % 7 == 3, error
        refused += 1
print(refused)
"#;
    let folder = root().join(PYTHON);
    let output = python()
        .args(["-c", script])
        .arg(&sidecar.unix)
        .env("PYTHONPATH", folder.parent().unwrap())
        .output()
        .expect("run Python");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "3", "{output:?}");
    assert_eq!(acked(&sidecar), 17.0);
}
