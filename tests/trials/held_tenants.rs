//! Tenants are held and moved under load, while leaders change or are killed, and answers are late or cut.
//!
//! From the moment that a hold is clear until the tenant may go to its old partition again, no record of the tenant may be
//! written there: whoever moves tenants reads the end of the old partition then, and waits until its readers are there.

use std::{collections::HashMap, thread, time::Duration};

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};

use super::{
    checker::{There, check},
    clients::{Load, Ordered, ToldOutcome},
    cluster::Cluster,
    form,
};
use crate::support::{
    routes_file::{RoutesFile, is_clear, version},
    sidecar::{Builder, Sidecar, eventually},
};

const TOPIC: &str = "held-tenants";
const PARTITIONS: u64 = 9;
const CLIENTS: u64 = 8;
/// Long enough for an election to fall between two requests of one partition.
const LATE: Duration = Duration::from_millis(20);
/// Which of the brokers' answers are cut: each n-th.
const CUT: u64 = 40;

/// A part of a partition in which a tenant has no record.
struct Window {
    tenant: u64,
    partition: u64,
    begin: u64,
    end: Option<u64>,
}

struct Mover<'a> {
    cluster: &'a Cluster,
    sidecar: &'a Sidecar,
    store: &'a RoutesFile,
    ends: BaseConsumer,
    random: fastrand::Rng,
    windows: Vec<Window>,
    /// For each tenant, where it was sent, in the order of time.
    ways: HashMap<u64, Vec<u64>>,
}

#[test]
fn no_record_of_a_held_tenant_is_written_to_its_old_partition_after_that_was_told_to_be_clear() {
    let cluster = Cluster::take();
    cluster.create_topic(TOPIC, PARTITIONS as u32, &[]).unwrap();
    let store = RoutesFile::adopted(TOPIC, PARTITIONS as u32);
    for tenant in 0..CLIENTS {
        store.routes(&format!("set {TOPIC} {tenant} --slots {tenant} --out-of-order"));
    }
    // The keys of the clients begin with their numbers.
    let sidecar = Builder::kafka(&cluster.proxied_bootstrap())
        .kafka_lines("[kafka.properties]\nrequest.timeout.ms = 4000\ndelivery.timeout.ms = 60000")
        .route(TOPIC, "tenant", "config = { tenant = \"key-prefix:-\" }")
        .config(&format!("[routing]\nstore = \"{}\"\n", store.url()))
        .start();
    eventually("the table is there", || version(&sidecar) == 2 + CLIENTS);
    let load = Load::new(&sidecar, TOPIC, CLIENTS).paced(10, Duration::from_millis(30));
    let mut mover = Mover::new(&cluster, &sidecar, &store);
    let cuts = cluster.proxy().cuts();
    let sent = load.run(|| {
        load.goes_on("at first");
        cluster.proxy().delay(LATE);
        cluster.proxy().cut_each(CUT);
        let holds = form(24, 100);
        for hold in 0..holds {
            mover.trouble(hold);
            mover.hold();
            if hold % 8 == 7 {
                load.goes_on("while tenants move");
            }
        }
        cluster.proxy().be_kind();
        cluster.repair().unwrap();
        load.goes_on("after the last hold");
    });
    let cuts = cluster.proxy().cuts() - cuts;
    let figures = check(&cluster, TOPIC, &sent, 0);
    assert_eq!(figures.doubled, 0);
    let there = There::read(&cluster, TOPIC);
    let wrong: Vec<_> = there.places().filter(|place| mover.is_wrong(*place)).collect();
    let windows = mover.windows.len();
    eprintln!(
        "trial on {TOPIC}: {windows} holds, {cuts} answers cut, {} records after clear",
        wrong.len()
    );
    assert_eq!(
        wrong,
        [],
        "client, partition and offset of records that were written after clear"
    );
    assert!(cuts > 0 && windows as u64 >= form(24, 100));
    mover.check_order(&sent);
}

impl<'a> Mover<'a> {
    fn new(cluster: &'a Cluster, sidecar: &'a Sidecar, store: &'a RoutesFile) -> Self {
        let seed = fastrand::u64(..);
        eprintln!("trial on {TOPIC}: holds by seed {seed}");
        Self {
            cluster,
            sidecar,
            store,
            ends: ClientConfig::new()
                .set("bootstrap.servers", cluster.bootstrap())
                .create()
                .expect("a client"),
            random: fastrand::Rng::with_seed(seed),
            windows: Vec::new(),
            ways: (0..CLIENTS).map(|tenant| (tenant, vec![tenant])).collect(),
        }
    }

    /// Before some holds, leaders move; in the long form some are killed.
    fn trouble(&mut self, hold: u32) {
        if hold % 4 == 1 {
            self.cluster.move_leaders(TOPIC).expect("leaders that move");
        }
        if hold % 10 == 5 && form(false, true) {
            self.cluster.kill_for_a_while(TOPIC);
        }
    }

    /// Holds a tenant until it is clear, and then lets it go on, mostly to another partition.
    fn hold(&mut self) {
        let tenant = self.random.u64(..CLIENTS);
        let from = *self.ways[&tenant].last().expect("where it is");
        let to = (from + self.random.u64(1..PARTITIONS)) % PARTITIONS;
        self.store.hold(&tenant.to_string(), to);
        eventually("the hold is clear", || is_clear(self.sidecar, &tenant.to_string()));
        let begin = self.end_of(from);
        // A clock, not a condition: for so long, nothing may come.
        thread::sleep(Duration::from_millis(self.random.u64(..150)));
        let to = if self.random.u8(..4) == 0 { from } else { to };
        // What comes from now on to where it goes is right.
        let end = self.end_of(to);
        for window in &mut self.windows {
            if (window.tenant, window.partition) == (tenant, to) {
                window.end.get_or_insert(end);
            }
        }
        self.windows.push(Window {
            tenant,
            partition: from,
            begin,
            end: (to == from).then_some(end),
        });
        self.ways.get_mut(&tenant).expect("its way").push(to);
        self.store.switch(&tenant.to_string(), to);
        let held = || self.sidecar.admin("/routes").json()["routing"]["held"].clone();
        eventually("the hold is over", || held().as_array().is_some_and(Vec::is_empty));
    }

    fn end_of(&self, partition: u64) -> u64 {
        let mut end = 0;
        eventually("the partition's end is told", || {
            let asked = self
                .ends
                .fetch_watermarks(TOPIC, partition as i32, Duration::from_secs(3));
            asked.is_ok_and(|(_, high)| {
                end = high as u64;
                true
            })
        });
        end
    }

    /// Whether a record of this client is where it must not be.
    fn is_wrong(&self, (client, partition, offset): (u64, u64, u64)) -> bool {
        self.windows.iter().any(|window| {
            (window.tenant, window.partition) == (client, partition)
                && offset >= window.begin
                && window.end.is_none_or(|end| offset < end)
        })
    }

    /// A stream's records went the tenant's way, in their order.
    fn check_order(&self, sent: &[Ordered]) {
        for stream in sent {
            let mut way = self.ways[&stream.client].iter();
            let mut now = way.next();
            for record in &stream.records {
                if let ToldOutcome::Acked { partition, .. } = &record.outcome {
                    while now.is_some_and(|now| now != partition) {
                        now = way.next();
                    }
                    assert!(now.is_some(), "{record:?} of client {} went back", stream.client);
                }
            }
        }
    }
}
