//! Simulates clients of all kinds: what they send, and what they are told.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use fastrand::Rng;
use serde_json::Value;
use tokio::{
    sync::{Semaphore, mpsc},
    task::{JoinHandle, JoinSet, yield_now},
    time::{sleep, timeout},
};

use super::{
    PARTITIONS, Sidecar, TOPIC,
    checker::{Told, ToldOutcome},
};
use crate::{
    base::{outcome::Outcome, record::Record},
    ingest::{
        incoming::Source,
        parse::memory::RECORD_BYTES,
        stream::{Framing, Stream},
    },
    ordering::{
        numbered::{Begun, NotBegun},
        sequence::{Name, Number, Owner, Refusal, Settled},
    },
    pipeline::{Mode, Parsed},
    produce::batch::AckMode,
    tools::load::stream::Body,
};

const PAUSE: Duration = Duration::from_millis(3);
/// How many numbered requests a client has under way at once.
const WINDOW: usize = 3;

/// Starts some clients of each kind, all at once.
pub(super) fn start(sidecar: &Sidecar, rng: &mut Rng) -> Vec<JoinHandle<Vec<Told>>> {
    let mut clients = Vec::new();
    for client in 0..rng.u64(2..6) {
        let (sidecar, rng) = (sidecar.clone(), rng.fork());
        clients.push(match client % 3 {
            0 => tokio::spawn(connection(sidecar, client, rng)),
            1 => tokio::spawn(numbered(sidecar, client, rng)),
            _ => tokio::spawn(stream(sidecar, client, rng)),
        });
    }
    clients
}

/// All that is drawn about one record.
#[derive(Clone, Copy)]
struct Plan {
    client: u64,
    number: u64,
    /// The record's key is one of six, so that records share keys.
    key: Option<u8>,
    /// Whether the record names a partition that does not exist.
    wrong: bool,
}

impl Plan {
    fn draw(client: u64, number: u64, rng: &mut Rng) -> Self {
        Self {
            client,
            number,
            key: (rng.u8(..) > 40).then(|| rng.u8(0..6)),
            wrong: rng.u8(..) < 8,
        }
    }

    /// The record's value: a JSON text, as a stream needs it.
    fn value(self) -> String {
        format!("\"{} {}\"", self.client, self.number)
    }

    fn parsed(self) -> Parsed {
        Ok(Record {
            topic: Arc::from(TOPIC),
            key: self.key.map(|key| Bytes::from(format!("key {key}"))),
            value: Some(Bytes::from(self.value())),
            headers: Vec::new(),
            partition: self.wrong.then_some(PARTITIONS),
            timestamp: None,
            schema: None,
        })
    }

    fn line(self) -> String {
        let key = self
            .key
            .map_or_else(String::new, |key| format!("\"key\":\"key {key}\","));
        let partition = if self.wrong { "\"partition\":3," } else { "" };
        format!("{{{key}{partition}\"value\":{}}}\n", self.value())
    }

    fn told(self, generation: u32, outcome: ToldOutcome) -> Told {
        Told {
            client: self.client,
            number: self.number,
            outcome,
            generation,
            whole: true,
            late: false,
            was_unknown: false,
        }
    }
}

fn plans(client: u64, first: u64, rng: &mut Rng) -> Vec<Plan> {
    (first..first + rng.u64(1..14))
        .map(|number| Plan::draw(client, number, rng))
        .collect()
}

fn parsed(plans: &[Plan]) -> Vec<Parsed> {
    plans.iter().map(|plan| plan.parsed()).collect()
}

async fn idle(rng: &mut Rng) {
    match rng.u8(0..10) {
        0 => sleep(Duration::from_millis(rng.u64(1..30))).await,
        some => {
            for _ in 0..some {
                yield_now().await;
            }
        }
    }
}

/// Sends one request after another. Now and then the client does not wait for the answer, or not for long.
async fn connection(sidecar: Sidecar, client: u64, mut rng: Rng) -> Vec<Told> {
    let (mut told, mut next) = (Vec::new(), 0);
    for _ in 0..rng.usize(1..12) {
        idle(&mut rng).await;
        let plans = plans(client, next, &mut rng);
        let ack = if rng.u8(..) < 40 {
            AckMode::Unwaited
        } else {
            AckMode::Waited
        };
        let patience = Duration::from_millis(if rng.u8(..) < 20 { 5 } else { 60_000 });
        let submitted = loop {
            if sidecar.is_draining() {
                return told;
            }
            let mut body = sidecar.pipeline.admission.body();
            if body.grow(plans.len() * (60 + RECORD_BYTES)).await.is_err() {
                continue;
            }
            let mode = Mode { ack, trace: false };
            match sidecar.pipeline.submit(parsed(&plans), Some(body.whole()), mode).await {
                Ok(submitted) => break submitted,
                Err(_) => sleep(PAUSE).await,
            }
        };
        let batch = &submitted.batch;
        if ack == AckMode::Waited {
            let _ = timeout(patience, batch.done()).await;
        }
        for (index, plan) in plans.iter().enumerate() {
            let outcome = match (ack, batch.outcome(index)) {
                (AckMode::Waited, Some(outcome)) => ToldOutcome::of(outcome),
                _ => ToldOutcome::NotTold,
            };
            told.push(plan.told(batch.generation(), outcome));
        }
        next += plans.len() as u64;
    }
    told
}

/// Sends several numbered requests at once. Replies get lost, and each request is sent until all its records are
/// written.
async fn numbered(sidecar: Sidecar, client: u64, mut rng: Rng) -> Vec<Told> {
    let window = Arc::new(Semaphore::new(WINDOW));
    let (mut requests, mut next) = (JoinSet::new(), 0);
    for sequence in 1..=rng.u64(1..12) {
        idle(&mut rng).await;
        let plans = plans(client, next, &mut rng);
        next += plans.len() as u64;
        // The semaphore is never closed.
        let place = Arc::clone(&window).acquire_owned().await;
        let (sidecar, rng) = (sidecar.clone(), rng.fork());
        requests.spawn(async move {
            let told = until_acked(&sidecar, sequence, &plans, rng).await;
            drop(place);
            told
        });
    }
    requests.join_all().await.into_iter().flatten().collect()
}

async fn until_acked(sidecar: &Sidecar, sequence: u64, plans: &[Plan], mut rng: Rng) -> Vec<Told> {
    let unknown = Unknown::default();
    let mut last: Option<Arc<Settled>> = None;
    // A record that is sent again may be written behind its successors.
    while !sidecar.is_draining() && last.as_ref().is_none_or(|settled| !is_final(settled)) {
        idle(&mut rng).await;
        match send(sidecar, sequence, plans, &unknown, &mut rng).await {
            Sent::Told(settled) => last = Some(settled),
            Sent::Lost => last = None,
            Sent::Refused => {}
        }
    }
    let Some(settled) = last else {
        let not_told = |plan: &Plan| Told {
            was_unknown: true,
            whole: false,
            ..plan.told(0, ToldOutcome::NotTold)
        };
        return plans.iter().map(not_told).collect();
    };
    let unknown = unknown.lock().expect("no panic");
    let records = settled.records().iter().zip(plans).enumerate();
    records
        .map(|(index, (stored, plan))| Told {
            late: stored.late,
            was_unknown: unknown.contains(&index),
            // After a repeat, some records are of an earlier generation.
            whole: !settled.records().iter().any(|stored| stored.late),
            ..plan.told(settled.generation, ToldOutcome::of(&stored.outcome))
        })
        .collect()
}

fn is_final(settled: &Settled) -> bool {
    let is_final = |outcome: &Outcome| matches!(outcome, Outcome::Acked(_) | Outcome::Rejected(_));
    settled.records().iter().all(|stored| is_final(&stored.outcome))
}

/// The records of a request that were `unknown` once, whether or not the client was told.
type Unknown = Arc<Mutex<HashSet<usize>>>;

/// How one try ended.
enum Sent {
    Told(Arc<Settled>),
    /// Nothing of the request was taken.
    Refused,
    /// The client has not heard the reply.
    Lost,
}

impl From<Option<Arc<Settled>>> for Sent {
    fn from(settled: Option<Arc<Settled>>) -> Self {
        settled.map_or(Self::Refused, Self::Told)
    }
}

async fn send(sidecar: &Sidecar, sequence: u64, plans: &[Plan], unknown: &Unknown, rng: &mut Rng) -> Sent {
    let number = Number {
        name: Name::new(Owner::Tcp, format!("client {}", plans[0].client)),
        epoch: 0,
        sequence,
        span: 1,
        resume: false,
    };
    let content = sidecar.numbered.content(&parsed(plans));
    match sidecar.numbered.begin(number, content).await {
        Ok(Begun::Settled(settled)) => Sent::Told(settled),
        Ok(Begun::UnderWay(under_way)) => under_way.outcomes().await.into(),
        Ok(Begun::Send(permit)) => {
            let (pipeline, records) = (Arc::clone(&sidecar.pipeline), parsed(plans));
            // Runs in a task of its own, as in the API: a client that goes away cancels nothing.
            let unknown = Arc::clone(unknown);
            let produced = tokio::spawn(async move {
                let settled = permit.produce(&pipeline, records, None, false).await.ok()?.settled;
                let is_unknown = |&index: &usize| matches!(settled.records()[index].outcome, Outcome::Unknown(_));
                let found = (0..settled.records().len()).filter(is_unknown);
                unknown.lock().expect("no panic").extend(found);
                Some(settled)
            });
            if rng.u8(..) < 40 {
                return Sent::Lost;
            }
            produced.await.expect("no panic").into()
        }
        Err(NotBegun::Refused(refusal @ Refusal::Forgotten { .. })) => panic!("{refusal}"),
        Err(_) => {
            sleep(PAUSE).await;
            Sent::Refused
        }
    }
}

impl Source for Body {
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        self.0.poll_recv(context).map(|piece| piece.map(Ok))
    }
}

/// Sends lines, cut at any byte, over a stream, and reads the outcomes.
async fn stream(sidecar: Sidecar, client: u64, mut rng: Rng) -> Vec<Told> {
    let plans: Vec<Plan> = (0..rng.u64(1..120))
        .map(|number| Plan::draw(client, number, &mut rng))
        .collect();
    let stream = Stream {
        pipeline: Arc::clone(&sidecar.pipeline),
        limits: sidecar.limits.clone(),
        trace: false,
        drain: sidecar.drain.clone(),
        framing: Framing::Lines(Arc::from(TOPIC)),
    };
    let (body, parts) = mpsc::channel::<Bytes>(2);
    let mut answer = stream.run(Body(parts));
    let text: String = plans.iter().map(|plan| plan.line()).collect();
    tokio::spawn(async move {
        let mut rest = Bytes::from(text);
        while !rest.is_empty() {
            idle(&mut rng).await;
            let part = rest.split_to(rng.usize(1..=rest.len().min(400)));
            if body.send(part).await.is_err() {
                return;
            }
        }
    });
    let mut said = Vec::new();
    while let Some(piece) = answer.recv().await {
        said.extend_from_slice(&piece);
    }
    read(&plans, &String::from_utf8(said).expect("text"))
}

fn read(plans: &[Plan], said: &str) -> Vec<Told> {
    let lines: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let (end, outcomes) = lines.split_last().expect("a last line");
    assert_eq!(end["count"], outcomes.len(), "{end}");
    assert!(outcomes.len() == plans.len() || end["end"] != "complete", "{end}");
    let mut told = Vec::new();
    for (index, (line, plan)) in outcomes.iter().zip(plans).enumerate() {
        assert_eq!(line["index"], index, "in the order sent, and each once");
        let generation = line["generation"].as_u64().expect("a generation") as u32;
        told.push(Told {
            // A stream may span generations.
            whole: false,
            ..plan.told(generation, ToldOutcome::told(line))
        });
    }
    // The records after these were not taken.
    told.extend(
        plans[outcomes.len()..]
            .iter()
            .map(|plan| plan.told(0, ToldOutcome::NotWritten)),
    );
    told
}
