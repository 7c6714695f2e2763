//! Clients made up by a seed, byte by byte, and a model that knows which of their bytes are requests.
//!
//! Their bodies, and what they say after the end of a request or of the connection, hold what looks like a request of its own. None of
//! that may ever be answered or be written; what is a request is answered as the model says, in its turn; and the topic has what the
//! replies say. `POINTSMAN_FRAMING_SEED` plays one seed again, `POINTSMAN_ABUSE=long` plays many.

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

use self::ledger::Lane;
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
/// Who takes less than this is never given up.
const SURELY_IN_TIME: Duration = Duration::from_millis(2_600);
/// After this a connection on which nothing happens is no longer hyper's.
const SILENCE_MS: u64 = 2_200;
/// How long anything is waited for on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);
/// Connections of a round, and so many of them at once.
const CONNECTIONS: usize = 200;
const AT_ONCE: usize = 50;

/// What connections said, and what was wrong on them.
#[derive(Default)]
struct Said {
    lanes: Vec<Lane>,
    wrong: Vec<String>,
}

/// One connection, known by its number.
async fn connection(mut rng: Rng, number: usize, http: std::net::SocketAddr, unix: std::path::PathBuf) -> Said {
    let name = format!("c{number}");
    let (is_tcp, is_http2) = (rng.bool(), rng.u8(..3) == 0);
    let mut said = Said::default();
    if is_http2 {
        (said.lanes, said.wrong) = match is_tcp {
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
    said.lanes.push(judged.lane);
    said.wrong = judged.wrong;
    said
}

async fn tcp(address: std::net::SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// Connections of one seed, some at once.
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
            all.lanes.extend(said.lanes);
            all.wrong.extend(said.wrong);
        }
        all
    })
}

/// Plays a seed against a sidecar of its own; what is wrong.
fn play(seed: u64) -> Vec<String> {
    eprintln!("framing: POINTSMAN_FRAMING_SEED={seed}");
    let mut sidecar = Builder::embedded()
        .config(&format!(
            "[limits]\nmax_body_bytes = {LARGEST_BODY}\nheader_timeout_ms = {TIMEOUT_MS}\n\
             body_timeout_ms = {TIMEOUT_MS}\nidle_timeout_ms = {TIMEOUT_MS}"
        ))
        .start();
    let Said { lanes, mut wrong } = round(&sidecar, seed);
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
    let fates = |fate| {
        lanes
            .iter()
            .flat_map(|lane| &lane.values)
            .filter(|(_, given)| *given == fate)
            .count()
    };
    eprintln!(
        "framing: {} records in the topic; {} must be there, {} may, {} must not",
        topic.len(),
        fates(ledger::Fate::Must),
        fates(ledger::Fate::May),
        fates(ledger::Fate::MustNot)
    );
    wrong.extend(ledger::broken(&topic, &lanes));
    if fates(ledger::Fate::Must) < CONNECTIONS || fates(ledger::Fate::MustNot) < CONNECTIONS / 2 {
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
