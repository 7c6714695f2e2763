//! Clients that try to hurt the others, one kind after the other: honest clients must not suffer from them.
//!
//! Each kind attacks a sidecar of its own, which may use no more memory than it promises: `max_buffered_bytes` and 128
//! MiB. Meanwhile an honest client sends single records to the same sidecar, whose outcomes must be true and come in
//! time; and an honest Kafka producer sends batches, of which nothing may be lost or doubled. Another honest client sends
//! to a sidecar that nobody attacks, which shows how fast the machine is.
//! `POINTSMAN_ABUSE=long` runs each kind for longer.

mod cage;
mod clients;
mod events;
mod framing;
mod grpc;
mod honest;
mod honest_kafka;
mod kafka;

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};

use self::cage::Cage;
use self::clients::Target;
use self::honest::{Honest, Quality};
use self::honest_kafka::{AHEAD, HonestKafka, Served, TOPIC};
use crate::support::{
    consumer::read,
    routes_file::{RoutesFile, is_clear},
    sidecar::{Builder, Sidecar, eventually},
};

/// The memory that the sidecar may take on top of what clients send.
const CONSTANT: u64 = 128 << 20;
/// The default of `limits.max_buffered_bytes`.
const BUFFERED: u64 = 64 << 20;
/// The number of partitions of the topic `frozen`, whose brokers take a record and never answer.
const FROZEN: i32 = 2;
/// An honest request may take this many times as long as one to a sidecar that nobody attacks. The goal is a tenth of
/// this, but machines are noisy.
const SLOWER: u32 = 50;
/// A request that takes no longer than this is quick enough, however quick the other sidecar was.
const QUICK: Duration = Duration::from_millis(20);
/// Until then, nothing may be left of clients that have gone.
const SOON: Duration = Duration::from_secs(60);

/// A kind of client.
struct Behaviour {
    name: &'static str,
    play: fn(&Target),
    /// Whether it needs a routing table.
    has_tenants: bool,
    /// Whether it is looked at that nothing is left soon after its clients have gone.
    is_soon_over: bool,
}

/// A kind of client that speaks HTTP.
const fn http(name: &'static str, play: fn(&Target)) -> Behaviour {
    Behaviour {
        has_tenants: true,
        ..lasting(name, play)
    }
}

/// One that sends what brokers never answer, or asks for what takes long: that is left for a while.
const fn lasting(name: &'static str, play: fn(&Target)) -> Behaviour {
    Behaviour {
        is_soon_over: false,
        ..kafka(name, play)
    }
}

/// One that speaks Kafka's protocol, and of which nothing is left.
const fn kafka(name: &'static str, play: fn(&Target)) -> Behaviour {
    Behaviour {
        name,
        play,
        has_tenants: false,
        is_soon_over: true,
    }
}

const BEHAVIOURS: &[Behaviour] = &[
    http(
        "bodies of 8 MiB that stop before their last byte",
        clients::stalled_bodies,
    ),
    http(
        "bodies that are announced and never come, over both protocols",
        clients::announced_bodies,
    ),
    http(
        "bodies of 1 MiB whose records no broker answers",
        clients::bodies_without_outcomes,
    ),
    http("bodies of records of three bytes", clients::tiny_records),
    http("records with a thousand headers", clients::tiny_headers),
    http("replies that nobody reads", clients::unread_replies),
    http(
        "replies that nobody reads over HTTP/2",
        clients::unread_replies_over_http2,
    ),
    http(
        "HTTP/2 connections whose bodies wait for room",
        clients::many_http2_bodies,
    ),
    http(
        "HTTP/2 connections whose requests have large heads and wait",
        clients::many_http2_heads,
    ),
    http("HTTP/2 streams of frames of one byte", clients::frames_of_a_byte),
    http(
        "streams with a line that does not end, a byte now and then",
        clients::endless_lines,
    ),
    http("streams with a long line in small pieces", clients::pieces_of_lines),
    http("streams whose outcomes nobody reads", clients::unread_outcomes),
    http("connections that say nothing", clients::silent_connections),
    http(
        "tenants without end, each with the longest name",
        clients::endless_tenants,
    ),
    http("requests of a tenant that is held for ever", clients::held_tenants),
    lasting(
        "gRPC messages of which the head, half, or nothing more than an announcement of 2 GiB comes",
        grpc::half_messages,
    ),
    lasting("gRPC messages that become a hundred times as large", grpc::bombs),
    lasting("gRPC answers that nobody reads", grpc::unread_answers),
    lasting("gRPC streams whose outcomes nobody reads", grpc::unread_outcomes),
    lasting(
        "gRPC streams by ten thousand that say nothing more",
        grpc::silent_streams,
    ),
    lasting(
        "gRPC requests of records of two bytes, and of headers",
        grpc::tiny_records,
    ),
    lasting("gRPC calls that make no sense", grpc::nonsense),
    lasting(
        "gRPC calls of health and reflection that stay open",
        grpc::endless_calls,
    ),
    lasting("gRPC messages in frames of one byte", grpc::frames_of_a_byte),
    lasting("bulks of events of a few bytes, by three protocols", events::tiny_bulks),
    lasting("Dapr's events that grow when they are wrapped", events::growing_data),
    kafka(
        "Kafka connections that send nothing, half a length, a length or half a request",
        kafka::half_requests,
    ),
    kafka(
        "Kafka answers about thousands of topics that nobody reads",
        kafka::unread_metadata,
    ),
    kafka(
        "Kafka refusals of thousands of batches and records that nobody reads",
        kafka::unread_refusals,
    ),
    lasting(
        "Kafka batches of one record by hundreds of thousands, with and without answers",
        kafka::tiny_batches,
    ),
    lasting(
        "Kafka batches as large as they may be, and compressed ones that become so or larger",
        kafka::bombs,
    ),
    lasting(
        "Kafka batches to brokers that never answer, from clients that wait for ever",
        kafka::patient_batches,
    ),
    lasting(
        "Kafka producers by tens of thousands, whose sequences are in no order",
        kafka::many_producers,
    ),
    lasting("Kafka requests that name topics without end", kafka::many_topics),
];

fn is_long() -> bool {
    std::env::var("POINTSMAN_ABUSE").is_ok_and(|form| form == "long")
}

/// Each topic and partition takes these brokers a moment, so there are only those that are needed.
fn brokers(has_tenants: bool) -> MockCluster<'static, DefaultProducerContext> {
    let brokers = MockCluster::new(2).unwrap();
    let tenants = has_tenants.then_some(("tenants", 1, 4));
    let topics = [("t", 1, 4), ("frozen", FROZEN, 4), (TOPIC, 1, 2), ("busy", 1, 1)];
    for (topic, leader, partitions) in topics.into_iter().chain(tenants) {
        brokers.create_topic(topic, partitions, 1).unwrap();
        for partition in 0..partitions {
            brokers.partition_leader(topic, partition, Some(leader)).unwrap();
        }
    }
    brokers
}

/// A table with a tenant that is held.
fn tenants() -> RoutesFile {
    let tenants = RoutesFile::adopted("tenants", 4);
    tenants.routes("set tenants held --slots 0 --out-of-order");
    tenants.hold("held", 1);
    tenants
}

/// The results of one kind of client.
struct Played {
    name: &'static str,
    resident: u64,
    /// How the honest client was served before the attack.
    quiet: Quality,
    /// How the honest client of the other sidecar was served.
    alone: Quality,
    meanwhile: Quality,
    /// How the honest Kafka client was served.
    kafka: Served,
    /// What the honest Kafka client lost, and what was left of the attack.
    harm: Vec<String>,
}

fn play(behaviour: &Behaviour, control: &Honest) -> Played {
    let brokers = brokers(behaviour.has_tenants);
    let tenants = behaviour.has_tenants.then(tenants);
    let mut builder = Builder::kafka(&brokers.bootstrap_servers())
        .listen("kafka = \"127.0.0.1:0\"")
        .listen("apis = [\"native\", \"grpc\", \"cloudevents\", \"dapr\", \"confluent-v2\"]");
    if let Some(tenants) = &tenants {
        builder = builder
            .route("tenants", "tenant", "config = { tenant = \"header:tenant-id\" }")
            .config(&format!("[routing]\nstore = \"{}\"", tenants.url()));
    }
    let mut sidecar = builder.config("[[route]]\ntopics = [\"*\"]").start();
    if behaviour.has_tenants {
        eventually("the tenant is held", || is_clear(&sidecar, "held"));
    }
    let cage = Cage::around(sidecar.id(), BUFFERED + CONSTANT);
    let honest = Honest::of(&sidecar);
    let mut honest_kafka = HonestKafka::of(&sidecar);
    // All at once: the settings of a topic are waited for, and these brokers do not tell them.
    thread::scope(|scope| {
        for topic in ["t", "frozen", "busy"] {
            let honest = &honest;
            scope.spawn(move || honest.warm_up(topic));
        }
        honest_kafka.round();
    });
    honest.send(Duration::from_millis(200));
    brokers
        .broker_round_trip_time(FROZEN, Duration::from_secs(3_600))
        .unwrap();
    let quiet = honest.send(Duration::from_millis(800));
    let length = Duration::from_secs(match (is_long(), behaviour.has_tenants) {
        (true, _) => 60,
        (false, true) => 4,
        (false, false) => 2,
    });
    let target = Target::of(&sidecar, Instant::now() + length);
    let (alone, kafka, meanwhile) = thread::scope(|scope| {
        scope.spawn(|| (behaviour.play)(&target));
        let alone = scope.spawn(|| control.send_seldom(length));
        let kafka = scope.spawn(|| honest_kafka.send(length));
        let meanwhile = honest.send(length);
        (
            alone.join().expect("no panic"),
            kafka.join().expect("no panic"),
            meanwhile,
        )
    });
    drop(cage);
    let is_alive = sidecar.is_alive();
    let mut harm = Vec::new();
    if is_alive {
        brokers.broker_round_trip_time(FROZEN, Duration::ZERO).unwrap();
        let read = read(&brokers.bootstrap_servers(), TOPIC, kafka.acked);
        harm.extend(honest_kafka::harm(&read, kafka.acked));
        if behaviour.is_soon_over {
            harm.extend(left(&sidecar));
        }
    }
    Played {
        name: behaviour.name,
        resident: if is_alive {
            sidecar.most_resident_bytes()
        } else {
            u64::MAX
        },
        quiet,
        alone,
        meanwhile,
        kafka,
        harm,
    }
}

/// What is still open or held some time after all clients have gone. None: nothing.
fn left(sidecar: &Sidecar) -> Option<String> {
    let lines = ["pointsman_connections", "pointsman_buffered_bytes"];
    let begun = Instant::now();
    loop {
        let values = lines.map(|line| sidecar.metric(line));
        if values == [0.0; 2] {
            return None;
        }
        if begun.elapsed() > SOON {
            return Some(format!("after all clients had gone, {lines:?} were {values:?}"));
        }
        thread::sleep(QUICK);
    }
}

impl Played {
    fn tell(&self) {
        eprintln!(
            "abuse: {}: resident {} MiB; honest p99 {:.1?} before, {:.1?} elsewhere, {:.1?} here over {} requests, {} told to come \
             back; Kafka's {:.1?} over {} records, {} times again",
            self.name,
            self.resident >> 20,
            self.quiet.p99,
            self.alone.p99,
            self.meanwhile.p99,
            self.meanwhile.answered,
            self.meanwhile.refused,
            self.kafka.p99(),
            self.kafka.acked,
            self.kafka.again
        );
    }

    /// The promises that were broken.
    fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        if self.resident > BUFFERED + CONSTANT {
            broken.push(match self.resident {
                u64::MAX => "the kernel killed the sidecar: it took more than it may".to_owned(),
                resident => format!("{} MiB were resident", resident >> 20),
            });
        }
        let slowest = self.alone.p99.max(QUICK) * SLOWER;
        if self.meanwhile.p99 > slowest {
            broken.push(format!("honest p99 {:?}, at most {slowest:?}", self.meanwhile.p99));
        }
        if self.meanwhile.refused > 0 {
            broken.push(format!(
                "{} honest requests were told to come back",
                self.meanwhile.refused
            ));
        }
        // A round has some batches, each of which may take as long as a request.
        let slowest = slowest * AHEAD as u32;
        if self.kafka.p99() > slowest {
            broken.push(format!("honest Kafka p99 {:?}, at most {slowest:?}", self.kafka.p99()));
        }
        broken.extend(self.kafka.wrong.iter().chain(&self.harm).cloned());
        broken.extend(self.meanwhile.wrong.iter().cloned());
        broken
    }
}

#[test]
fn whatever_some_clients_do_the_others_are_served_and_the_memory_is_bounded() {
    let only = std::env::var("POINTSMAN_ABUSE_ONLY").unwrap_or_default();
    let left_alone = Builder::embedded().start();
    let control = Honest::of(&left_alone);
    let mut broken = Vec::new();
    for behaviour in BEHAVIOURS.iter().filter(|behaviour| behaviour.name.contains(&only)) {
        let played = play(behaviour, &control);
        played.tell();
        broken.extend(
            played
                .broken()
                .into_iter()
                .map(|what| format!("{}: {what}", behaviour.name)),
        );
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
