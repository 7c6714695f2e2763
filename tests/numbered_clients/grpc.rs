//! The clients that send numbered requests over a gRPC stream, in Go and in Java.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};

use super::{BATCH, Program, Stream, acked, check_order, found, survives};
use crate::support::{
    kafka_client::{installed, need},
    sidecar::{Builder, eventually, root},
};

/// The program in Go, where Go is.
fn go() -> Option<Command> {
    match installed(&["go", "grpc-clients-go"]) {
        Ok(()) => Some(Command::new(root().join("target/grpc-clients/go/numbered-client"))),
        Err(said) => {
            eprintln!("WITHOUT the client in Go: {said}");
            None
        }
    }
}

fn java() -> Command {
    need(&["jdk", "grpc-clients-java"]);
    let folder = root().join("target/grpc-clients/java");
    let mut java = Command::new("java");
    java.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
    java.arg(format!("{0}/numbered-client.jar:{0}/libs/*", folder.display()))
        .arg("Main");
    java
}

/// Both, as far as they are there.
fn programs() -> impl Iterator<Item = fn() -> Option<Command>> {
    [go as fn() -> Option<Command>, || Some(java())].into_iter()
}

fn to<'c>(command: &'c mut Command, socket: &Path) -> &'c mut Command {
    command.arg("--target").arg(format!("unix:{}", socket.display()));
    command.args(["--topic", "t", "--client", "shop", "--batch", &BATCH.to_string()])
}

#[test]
fn the_go_client_keeps_its_order_over_cut_connections_and_a_restart() {
    if let Some(mut go) = go() {
        survives(|socket| Box::new(Program::start(to(&mut go, socket))));
    }
}

#[test]
fn the_java_client_keeps_its_order_over_cut_connections_and_a_restart() {
    survives(|socket| Box::new(Program::start(to(&mut java(), socket))));
}

#[test]
fn records_that_the_brokers_lost_are_sent_again_in_order_over_grpc() {
    for mut program in programs().filter_map(|program| program()) {
        let brokers: MockCluster<'_, DefaultProducerContext> = MockCluster::new(1).unwrap();
        brokers.create_topic("t", 3, 1).unwrap();
        let servers = brokers.bootstrap_servers();
        let sidecar = Builder::kafka(&servers)
            .kafka_lines("[kafka.properties]\nrequest.timeout.ms = 1000\ndelivery.timeout.ms = 2000\nreconnect.backoff.max.ms = 100")
            .start();
        let mut stream = Box::new(Program::start(to(&mut program, &sidecar.unix)));
        stream.push(0..100);
        eventually("they are acked", || acked(&sidecar) >= 100.0);
        brokers.broker_down(1).unwrap();
        stream.push(100..200);
        let lost =
            |outcome: &str| sidecar.metric(&format!("pointsman_records_total{{outcome=\"{outcome}\",topic=\"t\"}}"));
        eventually("some are lost", || lost("unknown") + lost("failed") >= 1.0);
        brokers.broker_up(1).unwrap();
        stream.push(200..300);
        stream.finish();
        let (partitions, _) = found(&servers, 300);
        check_order(&partitions);
    }
}

#[test]
fn a_client_over_grpc_that_cannot_go_on_stops_with_an_error() {
    for program in programs() {
        let (Some(mut first), Some(mut second), Some(mut refused)) = (program(), program(), program()) else {
            continue;
        };
        let sidecar = Builder::embedded().config("[[route]]\ntopics = [\"t\"]").start();
        let mut replaced = Program::start(to(first.stderr(Stdio::piped()), &sidecar.unix));
        replaced.push(0..100);
        eventually("they are acked", || acked(&sidecar) >= 100.0);
        let mut next = Box::new(Program::start(to(&mut second, &sidecar.unix)));
        next.push(100..200);
        eventually("they are acked, too", || acked(&sidecar) >= 200.0);
        replaced.push(200..300);
        let said = ended(&mut replaced);
        assert_eq!(said.status.code(), Some(1), "{said:?}");
        let why = String::from_utf8_lossy(&said.stderr);
        assert!(why.contains("stopped: stale_epoch"), "{why}");
        next.finish();
        assert_eq!(acked(&sidecar), 200.0);

        let target = format!("unix:{}", sidecar.unix.display());
        refused.args(["--client", "other", "--topic", "no/where", "--target", &target]);
        let mut nowhere = Program::start(refused.stderr(Stdio::piped()));
        nowhere.push(0..1);
        let said = ended(&mut nowhere);
        assert_eq!(said.status.code(), Some(1), "{said:?}");
        let why = String::from_utf8_lossy(&said.stderr);
        assert!(why.contains("refused: invalid_topic"), "{why}");
    }
}

/// Ends its input, and waits for its end. It says little.
fn ended(program: &mut Program) -> Output {
    drop(program.child.stdin.take());
    let mut said = Output {
        status: program.child.wait().expect("its end"),
        stdout: Vec::new(),
        stderr: Vec::new(),
    };
    let stderr = program.child.stderr.as_mut().expect("it is piped");
    stderr.read_to_end(&mut said.stderr).expect("its output");
    said
}
