//! Simulates the ordering logic with seeds: the real pipeline, numbered requests, streams and drain run over simulated
//! brokers.
//!
//! Everything runs on one thread, with a clock that only moves when no task has anything to do, and every random draw
//! comes from the seed: so one seed always gives the same run. In each run clients send in all ways at once, while the
//! [`brokers`] answer late, lose answers, refuse, time out, stall and meet fatal errors. In the end the process drains,
//! in time or not. Then the [`checker`] compares what the clients were told with what was written.
//!
//! `POINTSMAN_SEED=n` runs the seed n, `POINTSMAN_SEEDS=n` runs n seeds.

mod brokers;
mod checker;
mod clients;
mod moves;

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use fastrand::Rng;
use tokio::{sync::watch, task::JoinHandle};

use self::{
    brokers::{Brokers, Bug},
    checker::{Figures, Told},
    moves::Mover,
};
use crate::{
    admission::Admission,
    base::metrics::Metrics,
    config::{self, Limits},
    ordering::numbered::Numbered,
    pipeline::{self, Pipeline},
    produce::Producer,
    routing::{
        route::{Decider, Route, Routes, Table},
        topics::{TopicLimits, Topics},
    },
    tenants::Tenants,
    topic::Rules,
};

const TOPIC: &str = "t";
const PARTITIONS: u32 = 3;
const SEEDS: u64 = 2_000;
/// A run that takes more steps than this hangs.
const STEPS: usize = 100_000;

/// The simulated sidecar that the clients send to.
#[derive(Clone)]
struct Sidecar {
    brokers: Arc<Brokers>,
    pipeline: Arc<Pipeline>,
    numbered: Arc<Numbered>,
    limits: Limits,
    /// Set once the process is about to end: nothing new is begun.
    drain: watch::Receiver<bool>,
}

impl Sidecar {
    fn new(rng: &mut Rng, bug: Option<Bug>, drain: watch::Receiver<bool>) -> Self {
        let limits = Limits {
            // So small that room runs short, and with a short wait for room.
            max_buffered_bytes: rng.usize(30_000..120_000),
            max_wait_ms: 40,
            // However small this limit is, it must not change what clients are told of records that were taken.
            max_records: drawn(rng, 10_000),
            ..Limits::default()
        };
        let brokers = Arc::new(Brokers::new(rng.fork(), bug));
        let producer: Arc<dyn Producer> = Arc::<Brokers>::clone(&brokers);
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let mut route = Route::new(&config::Route::everything(), Decider::KeyHash, None).expect("a route");
        // In half of the runs, a record's key is its tenant.
        route.key_is_tenant = rng.bool();
        let tenants = match route.key_is_tenant {
            true => Tenants::on(),
            false => Tenants::off(),
        };
        let tenants = match bug {
            Some(Bug::PartByOlderTable) => tenants.resolving_in_parts(),
            _ => tenants,
        };
        let routes = Arc::new(Routes::new(Table::new(0, vec![Arc::new(route)])));
        let pipeline = Arc::new(Pipeline {
            topics: Topics::new(
                Arc::clone(&producer),
                routes,
                Arc::clone(&metrics),
                TopicLimits {
                    max_topics: 10,
                    timeout: Duration::from_secs(1),
                    rules: Rules::default(),
                },
            ),
            producer,
            tenants: Arc::new(tenants),
            observer: None,
            schemas: Default::default(),
            stamps: false,
            admission: Arc::new(Admission::new(&limits)),
            metrics: Arc::clone(&metrics),
            max_record_bytes: 1_000,
            max_plugin_ms: 1_000,
            open: 0.into(),
            large: pipeline::large_hand_overs(),
            long_work: Default::default(),
        });
        Self {
            brokers,
            numbered: Numbered::new((&limits).into(), limits.max_wait(), metrics),
            pipeline,
            limits,
            drain,
        }
    }

    fn is_draining(&self) -> bool {
        *self.drain.borrow()
    }
}

/// A limit from 1 up to its usual value, small ones as often as large ones.
fn drawn(rng: &mut Rng, usual: usize) -> usize {
    let most = usual
        .checked_shr(rng.u32(0..usize::BITS - usual.leading_zeros()))
        .unwrap_or(1);
    rng.usize(1..=most.max(1))
}

/// One run. The error says which promise was broken.
fn run(seed: u64, bug: Option<Bug>) -> Result<Figures, String> {
    // The host draws sticky partitions itself, on this thread.
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let ran = catch_unwind(AssertUnwindSafe(|| runtime.block_on(live(seed, bug))));
    ran.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("a panic: {}", said.unwrap_or("of no text")))
    })
}

async fn live(seed: u64, bug: Option<Bug>) -> Result<Figures, String> {
    let mut rng = Rng::with_seed(seed);
    let (end, drain) = watch::channel(false);
    let sidecar = Sidecar::new(&mut rng, bug, drain);
    // The look-up of a topic is the only thing that runs on another thread.
    let topic = sidecar.pipeline.topics.get(&Arc::from(TOPIC)).await;
    topic.map_err(|error| format!("no topic: {error:?}"))?;
    let mut mover = match sidecar.pipeline.tenants.is_on() {
        true => Some(Mover::new(&sidecar, rng.fork(), bug)),
        false => None,
    };
    let clients = clients::start(&sidecar, &mut rng);
    let drain_at = if rng.bool() { usize::MAX } else { rng.usize(0..400) };
    let patience = rng.usize(0..300);
    let mut drained_for = 0;
    for step in 0..STEPS {
        for _ in 0..rng.usize(0..4) {
            tokio::task::yield_now().await;
        }
        if rng.u8(..) < 16 {
            tokio::time::sleep(Duration::from_millis(rng.u64(1..60))).await;
        }
        sidecar.brokers.step();
        if let Some(mover) = &mut mover {
            mover.step();
        }
        if step == drain_at {
            end.send_replace(true);
        }
        drained_for += usize::from(sidecar.is_draining());
        if drained_for > patience && !sidecar.pipeline.is_empty() {
            sidecar.pipeline.producer.purge();
        }
        if clients.iter().all(JoinHandle::is_finished) && sidecar.pipeline.is_empty() {
            let mut told = Vec::new();
            for client in clients {
                let of_client: Vec<Told> = client.await.map_err(|error| format!("a client: {error}"))?;
                told.extend(of_client);
            }
            let mut figures = checker::check(&sidecar, &told)?;
            if let Some(mover) = &mover {
                mover.check(&sidecar.brokers.log())?;
                figures.moved(mover.switched, mover.given_up);
            }
            return Ok(figures);
        }
    }
    Err(format!("not over after {STEPS} steps"))
}

fn number(name: &str) -> Option<u64> {
    let given = env::var(name).ok()?;
    Some(
        given
            .parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {given}")),
    )
}

#[test]
fn whatever_brokers_and_clients_do_order_holds_and_nobody_is_told_a_lie() {
    let seeds = match number("POINTSMAN_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("POINTSMAN_SEEDS").unwrap_or(SEEDS),
    };
    let mut all = Figures::default();
    for seed in seeds.clone() {
        match run(seed, None) {
            Ok(figures) => all.add(&figures),
            Err(violated) => {
                panic!("{violated}\nagain: POINTSMAN_SEED={seed} cargo test -p pointsman --lib -- simulation::whatever")
            }
        }
    }
    println!("simulation: {} seeds: {all:?}", seeds.end - seeds.start);
    if seeds.end - seeds.start >= SEEDS {
        all.assert_that_everything_happened();
    }
}

#[test]
fn one_seed_is_one_run() {
    for seed in 0..20 {
        assert_eq!(run(seed, None), run(seed, None), "seed {seed}");
    }
}

/// Prints how many seeds it takes until the checker sees the bug.
fn seen(bug: Bug, as_what: &str) {
    for seed in 0..SEEDS {
        if let Err(violated) = run(seed, Some(bug)) {
            assert!(violated.contains(as_what), "{violated}");
            println!("simulation: {bug:?} is seen with seed {seed}: {violated}");
            return;
        }
    }
    panic!("{bug:?} is not seen");
}

#[test]
fn a_retry_out_of_turn_is_seen() {
    seen(Bug::RetryOutOfTurn, "stands before");
}

#[test]
fn an_acknowledgement_before_delivery_is_seen() {
    seen(Bug::AckBeforeDelivery, "acked");
}

#[test]
fn a_double_outcome_is_seen() {
    seen(Bug::DoubleOutcome, "second outcome");
}

#[test]
fn a_mixed_up_generation_is_seen() {
    seen(Bug::GenerationMixed, "generation");
}

#[test]
fn a_request_that_an_older_table_resolved_is_seen() {
    seen(Bug::NoFence, "its tenant had left");
}

#[test]
fn a_hold_that_is_clear_before_the_outcomes_is_seen() {
    seen(Bug::ClearBeforeOutcomes, "its tenant had left");
}

#[test]
fn an_unknown_outcome_that_is_taken_for_definite_is_seen() {
    seen(Bug::UnknownIsDefinite, "its tenant had left");
}

#[test]
fn a_part_of_a_request_that_another_table_resolved_is_seen() {
    seen(Bug::PartByOlderTable, "its tenant had left");
}

#[test]
fn partitions_that_are_forgotten_with_their_topic_are_seen() {
    seen(Bug::LanesForgotten, "its tenant had left");
}
