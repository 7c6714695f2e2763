//! Clients whose bytes come from a seed, and a model that knows which of these bytes are requests.
//!
//! The bodies, and the bytes after the end of a request or of the connection, contain text that looks like a request.
//! Such text must never be answered or written. Every real request is answered as the model says, in order; and the
//! topic has the records that the replies say. `POINTSMAN_FRAMING_SEED` runs one seed again, `POINTSMAN_ABUSE=long`
//! runs many.

mod http1;
mod http2;
mod judge;
mod ledger;
mod replies;
mod requests;
mod script;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::ledger::OrderedStream;
use self::script::Script;
use crate::support::{
    consumer::read,
    sidecar::{Builder, Sidecar, eventually},
};

const PATH: &str = "/v1/topics/t/records";
/// `limits.max_body_bytes`.
const LARGEST_BODY: usize = 100_000;
/// `limits.header_timeout_ms`, `body_timeout_ms` and `idle_timeout_ms`.
const TIMEOUT_MS: u64 = 4_000;
/// A client that takes less time than this is never given up.
const SURELY_IN_TIME: Duration = Duration::from_millis(2_600);
/// After this silence the sidecar has taken the connection back from hyper.
const SILENCE_MS: u64 = 2_200;
/// How long to wait for anything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);
/// How many connections a round has, and how many of them at once.
const CONNECTIONS: usize = 200;
const AT_ONCE: usize = 50;

/// What connections sent, and what was wrong on them.
#[derive(Default)]
struct Said {
    streams: Vec<OrderedStream>,
    wrong: Vec<String>,
}

/// Runs one connection, which is known by its number.
async fn connection(mut rng: Rng, number: usize, http: std::net::SocketAddr, unix: std::path::PathBuf) -> Said {
    let name = format!("c{number}");
    let (is_tcp, is_http2) = (rng.bool(), rng.u8(..3) == 0);
    let mut said = Said::default();
    if is_http2 {
        (said.streams, said.wrong) = match is_tcp {
            true => http2::play(&mut rng, &name, tcp(http).await).await,
            false => http2::play(&mut rng, &name, UnixStream::connect(unix).await.unwrap()).await,
        };
        return said;
    }
    let script = Script::of(&mut rng, &name);
    let played = match is_tcp {
        true => http1::play(&script, tcp(http).await).await,
        false => http1::play(&script, UnixStream::connect(unix).await.unwrap()).await,
    };
    let judged = judge::judge(&name, &script, &played);
    said.streams.push(judged.stream);
    said.wrong = judged.wrong;
    said
}

async fn tcp(address: std::net::SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// Runs the connections of one seed, some at once.
fn round(sidecar: &Sidecar, seed: u64) -> Said {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (mut playing, places) = (JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
        let mut seeds = Rng::with_seed(seed);
        for number in 0..CONNECTIONS {
            let (rng, places) = (seeds.fork(), Arc::clone(&places));
            let (http, unix) = (sidecar.http, sidecar.unix.clone());
            playing.spawn(async move {
                let _place = places.acquire().await.unwrap();
                connection(rng, number, http, unix).await
            });
        }
        let mut all = Said::default();
        while let Some(said) = playing.join_next().await {
            let said = said.unwrap();
            all.streams.extend(said.streams);
            all.wrong.extend(said.wrong);
        }
        all
    })
}

/// Runs a seed against a sidecar of its own, and returns what is wrong.
fn play(seed: u64) -> Vec<String> {
    eprintln!("framing: POINTSMAN_FRAMING_SEED={seed}");
    let mut sidecar = Builder::embedded()
        .config(&format!(
            "[limits]\nmax_body_bytes = {LARGEST_BODY}\nheader_timeout_ms = {TIMEOUT_MS}\n\
             body_timeout_ms = {TIMEOUT_MS}\nidle_timeout_ms = {TIMEOUT_MS}"
        ))
        .start();
    let Said { streams, mut wrong } = round(&sidecar, seed);
    eventually("nothing is left of the connections", || {
        ["connections", "streams", "buffered_bytes", "producer_queue_messages"]
            .iter()
            .all(|gauge| sidecar.metric(&format!("pointsman_{gauge}")) == 0.0)
    });
    let acked = sidecar.metric("pointsman_records_total{outcome=\"acked\",topic=\"t\"}") as usize;
    let topic: Vec<(i32, String)> = read(sidecar.embedded.as_deref().unwrap(), "t", acked)
        .iter()
        .map(|record| (record.partition, record.text().to_owned()))
        .collect();
    let count = |presence| {
        streams
            .iter()
            .flat_map(|stream| &stream.values)
            .filter(|(_, given)| *given == presence)
            .count()
    };
    eprintln!(
        "framing: {} records in the topic; {} must be there, {} may, {} must not",
        topic.len(),
        count(ledger::Presence::Must),
        count(ledger::Presence::May),
        count(ledger::Presence::MustNot)
    );
    wrong.extend(ledger::broken(&topic, &streams));
    if count(ledger::Presence::Must) < CONNECTIONS || count(ledger::Presence::MustNot) < CONNECTIONS / 2 {
        wrong.push("the connections say too little to prove anything".to_owned());
    }
    if !sidecar.is_alive() || sidecar.admin("/live").status != 200 {
        wrong.push("the process does not live".to_owned());
    }
    wrong
}

#[test]
fn nothing_but_a_request_is_ever_taken_for_one() {
    let given = std::env::var("POINTSMAN_FRAMING_SEED").ok();
    let seeds: Vec<u64> = match given {
        Some(seed) => vec![seed.parse().expect("POINTSMAN_FRAMING_SEED is a number")],
        None => (0..if super::is_long() { 40 } else { 1 })
            .map(|_| fastrand::u64(..))
            .collect(),
    };
    for seed in seeds {
        let wrong = play(seed);
        assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}");
    }
}
