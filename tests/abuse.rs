//! Clients that try to hurt the others, one kind after the other: honest clients must not suffer from them.
//!
//! Each kind attacks a sidecar of its own, which may use no more memory than it promises: `max_buffered_bytes` and 128
//! MiB. Meanwhile an honest client sends single records to the same sidecar, whose outcomes must be true and come in
//! time. Another honest client sends to a sidecar that nobody attacks, which shows how fast the machine is.
//! `POINTSMAN_ABUSE=long` runs each kind for longer.

mod cage;
mod clients;
mod framing;
mod honest;

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};

use self::cage::Cage;
use self::clients::Target;
use self::honest::{Honest, Quality};
use crate::support::{
    routes_file::{RoutesFile, is_clear},
    sidecar::{Builder, eventually},
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

/// A kind of client.
struct Behaviour {
    name: &'static str,
    play: fn(&Target),
    /// How many of a hundred honest requests may be refused with 503.
    refused: u32,
}

const BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        name: "bodies of 8 MiB that stop before their last byte",
        play: clients::stalled_bodies,
        refused: 0,
    },
    Behaviour {
        name: "bodies that are announced and never come, over both protocols",
        play: clients::announced_bodies,
        refused: 0,
    },
    Behaviour {
        name: "bodies of 1 MiB whose records no broker answers",
        play: clients::bodies_without_outcomes,
        refused: 0,
    },
    Behaviour {
        name: "bodies of records of three bytes",
        play: clients::tiny_records,
        refused: 0,
    },
    Behaviour {
        name: "records with a thousand headers",
        play: clients::tiny_headers,
        refused: 0,
    },
    Behaviour {
        name: "replies that nobody reads",
        play: clients::unread_replies,
        refused: 0,
    },
    Behaviour {
        name: "replies that nobody reads over HTTP/2",
        play: clients::unread_replies_over_http2,
        refused: 0,
    },
    Behaviour {
        name: "HTTP/2 connections whose bodies wait for room",
        play: clients::many_http2_bodies,
        refused: 0,
    },
    Behaviour {
        name: "HTTP/2 connections whose requests have large heads and wait",
        play: clients::many_http2_heads,
        refused: 0,
    },
    Behaviour {
        name: "HTTP/2 streams of frames of one byte",
        play: clients::frames_of_a_byte,
        refused: 0,
    },
    Behaviour {
        name: "streams with a line that does not end, a byte now and then",
        play: clients::endless_lines,
        refused: 0,
    },
    Behaviour {
        name: "streams with a long line in small pieces",
        play: clients::pieces_of_lines,
        refused: 0,
    },
    Behaviour {
        name: "streams whose outcomes nobody reads",
        play: clients::unread_outcomes,
        refused: 0,
    },
    Behaviour {
        name: "connections that say nothing",
        play: clients::silent_connections,
        refused: 0,
    },
    Behaviour {
        name: "tenants without end, each with the longest name",
        play: clients::endless_tenants,
        refused: 0,
    },
    Behaviour {
        name: "requests of a tenant that is held for ever",
        play: clients::held_tenants,
        refused: 0,
    },
];

fn is_long() -> bool {
    std::env::var("POINTSMAN_ABUSE").is_ok_and(|form| form == "long")
}

fn brokers() -> MockCluster<'static, DefaultProducerContext> {
    let brokers = MockCluster::new(2).unwrap();
    for (topic, leader) in [("t", 1), ("tenants", 1), ("frozen", FROZEN)] {
        brokers.create_topic(topic, 4, 1).unwrap();
        for partition in 0..4 {
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
    refused: u32,
}

fn play(behaviour: &Behaviour, control: &Honest) -> Played {
    let (brokers, tenants) = (brokers(), tenants());
    let mut sidecar = Builder::kafka(&brokers.bootstrap_servers())
        .route("tenants", "tenant", "config = { tenant = \"header:tenant-id\" }")
        .config("[[route]]\ntopics = [\"*\"]")
        .config(&format!("[routing]\nstore = \"{}\"", tenants.url()))
        .start();
    eventually("the tenant is held", || is_clear(&sidecar, "held"));
    let cage = Cage::around(sidecar.id(), BUFFERED + CONSTANT);
    let honest = Honest::of(&sidecar);
    honest.send(Duration::from_millis(200));
    honest.warm_up("frozen");
    brokers
        .broker_round_trip_time(FROZEN, Duration::from_secs(3_600))
        .unwrap();
    let quiet = honest.send(Duration::from_millis(800));
    let length = Duration::from_secs(if is_long() { 60 } else { 4 });
    let target = Target::of(&sidecar, Instant::now() + length);
    let (alone, meanwhile) = thread::scope(|scope| {
        scope.spawn(|| (behaviour.play)(&target));
        let alone = scope.spawn(|| control.send_seldom(length));
        let meanwhile = honest.send(length);
        (alone.join().expect("no panic"), meanwhile)
    });
    drop(cage);
    let resident = match sidecar.is_alive() {
        true => sidecar.most_resident_bytes(),
        false => u64::MAX,
    };
    Played {
        name: behaviour.name,
        resident,
        quiet,
        alone,
        meanwhile,
        refused: behaviour.refused,
    }
}

impl Played {
    fn tell(&self) {
        eprintln!(
            "abuse: {}: resident {} MiB; honest p99 {:.1?} before, {:.1?} elsewhere, {:.1?} here over {} requests, {} told to come back",
            self.name,
            self.resident >> 20,
            self.quiet.p99,
            self.alone.p99,
            self.meanwhile.p99,
            self.meanwhile.answered,
            self.meanwhile.refused
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
        if u64::from(self.refused) * self.meanwhile.answered < 100 * self.meanwhile.refused {
            broken.push(format!(
                "{} honest requests were told to come back",
                self.meanwhile.refused
            ));
        }
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
