//! What every store must do. Each store's tests run all of it, against the real server.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use pointsman_routing::{Change, Hashing, Refused, Row, Status, Table};

use crate::{Settings, Store, StoreError};

/// Makes another client of the same store.
pub type Client = Box<dyn Fn() -> Box<dyn Store> + Send + Sync>;
/// Makes a store without a table, and a way to its clients.
pub type Open<'a> = &'a dyn Fn() -> Client;

const TOPIC: &str = "orders";
const PARTITIONS: u32 = 12;
/// Longer than anything takes, also on a busy machine.
const DEADLINE: Duration = Duration::from_secs(180);

/// Settings under which only a store that tells of its changes passes: it is never polled.
pub fn settings() -> Settings {
    Settings {
        poll: Duration::from_secs(3_600),
        hashing: Hashing::with_seed(1),
    }
}

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Writers at once.
    pub writers: u32,
    /// Changes of each of them.
    pub changes: u32,
    /// Changes that follow each other.
    pub series: u32,
    /// Rows of a large table.
    pub rows: u32,
}

impl Load {
    /// For stores that make hundreds of changes a second.
    pub const FULL: Self = Self {
        writers: 8,
        changes: 10,
        series: 60,
        rows: 100_000,
    };
    /// For stores whose changes take a moment each.
    pub const LIGHT: Self = Self {
        writers: 3,
        changes: 2,
        series: 9,
        rows: 5_000,
    };
}

/// All of it.
pub fn all(open: Open<'_>, load: Load) {
    a_table_is_made_once(&open());
    a_change_for_another_version_is_refused_and_changes_nothing(&open());
    of_many_writers_none_loses_a_change(&open(), load);
    a_claim_fences_who_wrote_before(&open());
    a_reader_never_sees_half_a_change(&open(), load);
    a_change_is_told_without_a_poll(&open(), load);
    a_reader_that_slept_sees_the_newest_table(&open(), load);
    a_large_table_is_read_whole(&open(), load);
}

fn row(tenant: &str, partition: u32) -> Row {
    Row::shared(TOPIC, tenant, partition)
}

fn adopt(client: &Client) -> Table {
    let mut store = client();
    let table = store.init("first").expect("init");
    let tail = Row::tail(TOPIC, PARTITIONS).expect("a tail");
    apply(&mut *store, &table, vec![Change::Put(tail)]).expect("adopt")
}

fn apply(store: &mut dyn Store, seen: &Table, changes: Vec<Change>) -> Result<Table, StoreError> {
    store.apply((seen.epoch(), seen.version()), changes)
}

/// Makes a change, again and again if others come first.
fn apply_in_the_end(store: &mut dyn Store, changes: &[Change]) -> Table {
    let until = Instant::now() + DEADLINE;
    loop {
        let seen = store.load().expect("load");
        match apply(store, &seen, changes.to_vec()) {
            Ok(table) => return table,
            Err(StoreError::Refused(Refused::Outdated { .. })) if Instant::now() < until => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn same(store: &mut dyn Store, expected: &Table) {
    let loaded = store.load().expect("load").document();
    assert_eq!(loaded, expected.document());
}

fn a_table_is_made_once(client: &Client) {
    let mut store = client();
    assert!(matches!(store.load(), Err(StoreError::NoTable)));
    assert!(matches!(store.apply((1, 1), Vec::new()), Err(StoreError::NoTable)));
    assert!(matches!(store.claim(), Err(StoreError::NoTable)));
    let made = store.init("first").expect("init");
    assert_eq!((made.epoch(), made.version(), made.len()), (1, 1, 0));
    assert_eq!(
        client().init("second").map(|_| ()),
        Err(StoreError::HasTable { version: 1 })
    );
    same(&mut *client(), &made);
}

fn a_change_for_another_version_is_refused_and_changes_nothing(client: &Client) {
    let before = adopt(client);
    let mut store = client();
    let after = apply(&mut *store, &before, vec![Change::Put(row("a", 1))]).expect("applied");
    let told = apply(&mut *store, &before, vec![Change::Put(row("a", 2))]);
    let expected = Refused::Outdated {
        expected: (before.epoch(), before.version()),
        now: (after.epoch(), after.version()),
    };
    assert_eq!(told.map(|_| ()), Err(StoreError::Refused(expected)));
    let mut wrong = row("b", 1);
    wrong.status = Status::Dedicated;
    let told = apply(&mut *store, &after, vec![Change::Put(row("c", 1)), Change::Put(wrong)]);
    assert!(matches!(told, Err(StoreError::Refused(Refused::Broken(_)))), "{told:?}");
    same(&mut *client(), &after);
}

fn of_many_writers_none_loses_a_change(client: &Client, load: Load) {
    let Load { writers, changes, .. } = load;
    let before = adopt(client);
    thread::scope(|scope| {
        for writer in 0..writers {
            scope.spawn(move || {
                let mut store = client();
                for number in 0..changes {
                    let change = Change::Put(row(&format!("{writer}-{number}"), number));
                    apply_in_the_end(&mut *store, &[change]);
                }
            });
        }
    });
    let after = client().load().expect("load");
    assert_eq!(after.version(), before.version() + u64::from(writers * changes));
    let versions: BTreeSet<u64> = after.rows().map(|row| row.version).collect();
    assert_eq!(versions.len(), after.len(), "each change has a version of its own");
    assert_eq!(after.len(), (writers * changes) as usize + 1);
}

fn a_claim_fences_who_wrote_before(client: &Client) {
    let before = adopt(client);
    let (mut old, mut new) = (client(), client());
    assert_eq!(old.load().expect("load").epoch(), before.epoch());
    let claimed = new.claim().expect("claim");
    assert_eq!(
        (claimed.epoch(), claimed.version()),
        (before.epoch() + 1, before.version())
    );
    let told = apply(&mut *old, &before, vec![Change::Put(row("a", 1))]);
    assert!(
        matches!(told, Err(StoreError::Refused(Refused::Outdated { .. }))),
        "{told:?}"
    );
    let after = apply(&mut *new, &claimed, vec![Change::Put(row("a", 2))]).expect("applied");
    assert_eq!(after.epoch(), claimed.epoch());
    same(&mut *old, &after);
}

fn a_reader_never_sees_half_a_change(client: &Client, load: Load) {
    let changes = load.series;
    adopt(client);
    apply_in_the_end(&mut *client(), &[Change::Put(row("a", 0)), Change::Put(row("b", 0))]);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut store = client();
                let mut seen = store.load().expect("load");
                let until = Instant::now() + DEADLINE;
                loop {
                    let slot = |tenant: &str| seen.row(TOPIC, tenant).expect("a row").slots[0];
                    assert_eq!(slot("a"), slot("b"), "version {}", seen.version());
                    if slot("a") == changes {
                        break;
                    }
                    assert!(Instant::now() < until, "stays at version {}", seen.version());
                    if let Some(next) = store.changed(Duration::from_secs(1)).expect("changed") {
                        assert!(
                            next.version() > seen.version(),
                            "{} after {}",
                            next.version(),
                            seen.version()
                        );
                        seen = next;
                    }
                }
            });
        }
        let mut store = client();
        for number in 1..=changes {
            apply_in_the_end(
                &mut *store,
                &[Change::Put(row("a", number)), Change::Put(row("b", number))],
            );
        }
    });
}

fn a_change_is_told_without_a_poll(client: &Client, load: Load) {
    let mut seen = adopt(client);
    let (mut reader, mut writer) = (client(), client());
    reader.load().expect("load");
    assert_eq!(
        reader
            .changed(Duration::from_millis(20))
            .expect("changed")
            .map(|table| table.version()),
        None
    );
    for number in 0..load.series.min(10) {
        let before = Instant::now();
        let next = apply(&mut *writer, &seen, vec![Change::Put(row("a", number))]).expect("applied");
        let told = reader.changed(DEADLINE).expect("changed").expect("a change");
        assert_eq!(told.document(), next.document(), "after {:?}", before.elapsed());
        seen = next;
    }
}

fn a_reader_that_slept_sees_the_newest_table(client: &Client, load: Load) {
    let mut seen = adopt(client);
    let (mut reader, mut writer) = (client(), client());
    reader.load().expect("load");
    for number in 0..load.series {
        let changes = match number % 3 {
            2 => vec![Change::Remove {
                topic: TOPIC.to_owned(),
                tenant: format!("t{}", number - 1),
            }],
            _ => vec![Change::Put(row(&format!("t{number}"), number % PARTITIONS))],
        };
        seen = apply(&mut *writer, &seen, changes).expect("applied");
    }
    let until = Instant::now() + DEADLINE;
    loop {
        let told = reader.changed(Duration::from_secs(1)).expect("changed");
        if told.is_some_and(|told| told.version() == seen.version()) {
            break;
        }
        assert!(Instant::now() < until, "never sees version {}", seen.version());
    }
    same(&mut *reader, &seen);
}

fn a_large_table_is_read_whole(client: &Client, load: Load) {
    let many = load.rows;
    let before = adopt(client);
    let rows = (0..many).map(|number| Change::Put(row(&format!("tenant-{number}"), number % PARTITIONS)));
    let begun = Instant::now();
    let large = apply(&mut *client(), &before, rows.collect()).expect("applied");
    let applied = begun.elapsed();
    let begun = Instant::now();
    let mut reader = client();
    let loaded = reader.load().expect("load");
    tracing::info!(?applied, loaded = ?begun.elapsed(), "{many} rows");
    assert_eq!(loaded.len(), many as usize + 1);
    let after = apply(&mut *client(), &large, vec![Change::Put(row("tenant-7", 11))]).expect("applied");
    let until = Instant::now() + DEADLINE;
    loop {
        assert!(Instant::now() < until, "never sees version {}", after.version());
        if let Some(told) = reader.changed(Duration::from_secs(1)).expect("changed") {
            assert_eq!(told.len(), after.len());
            assert_eq!(told.row(TOPIC, "tenant-7").map(|row| row.slots), Some(vec![11]));
            break;
        }
    }
}
