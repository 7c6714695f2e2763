use pointsman_routing::{Change, Hashing, Head, Row};
use pointsman_stores::{Settings, memory::MemoryStore};

use super::*;
use crate::base::metrics::Metrics;

fn table(hashing: &Hashing) -> Table {
    let tail = Row::tail("orders", 3).expect("a tail");
    let table = Table::empty("first", hashing.clone());
    table.apply(vec![Change::Put(tail)]).expect("applied").0
}

fn with(table: &Table, change: impl FnOnce(&mut Head)) -> Table {
    let mut head = table.head();
    change(&mut head);
    table.with(&head, &[]).expect("a table")
}

#[test]
fn only_a_newer_table_of_the_same_store_replaces_another() {
    let before = table(&Hashing::with_seed(1));
    assert_eq!(replaces(&before, &before), Ok(false));
    assert_eq!(replaces(&before, &with(&before, |head| head.version += 1)), Ok(true));
    assert_eq!(replaces(&before, &with(&before, |head| head.epoch += 1)), Ok(true));
    let older = with(&before, |head| head.version -= 1);
    assert!(matches!(replaces(&with(&before, |_| {}), &older), Err(NotUsed::Older { .. })) || older.version() == 1);
    let newer = with(&before, |head| head.version += 5);
    assert!(matches!(replaces(&newer, &before), Err(NotUsed::Older { .. })));
    let claimed = with(&before, |head| head.epoch += 1);
    assert!(matches!(replaces(&claimed, &newer), Err(NotUsed::Older { .. })));
    let other = with(&newer, |head| head.incarnation = "second".to_owned());
    assert!(matches!(
        replaces(&before, &other),
        Err(NotUsed::OtherIncarnation { .. })
    ));
    let mut row = Row::tail("orders", 3).expect("a tail");
    row.slots[0] = 2;
    row.version = before.version();
    let same = before.with(&before.head(), &[Change::Put(row)]).expect("a table");
    assert!(matches!(replaces(&before, &same), Err(NotUsed::SameVersion { .. })));
}

/// A reading over a store in memory.
struct Bench {
    store: MemoryStore,
    follower: Arc<Follower>,
    tables: std::sync::mpsc::Receiver<Arc<Table>>,
}

const DEADLINE: Duration = Duration::from_secs(30);

impl Bench {
    fn start() -> Self {
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let follower = Follower::on("memory:".to_owned(), &metrics);
        let store = MemoryStore::new(Settings {
            poll: Duration::from_secs(1),
            hashing: follower.tenants.hashing().clone(),
        });
        let (sender, tables) = std::sync::mpsc::sync_channel(1);
        let reading = Reading::new(Box::new(store.clone()), None, Arc::clone(&follower), sender);
        thread::spawn(move || reading.run());
        Self {
            store,
            follower,
            tables,
        }
    }

    /// Waits until `/ready` says so.
    fn until(&self, what: impl Fn(&serde_json::Value) -> bool) {
        let until = Instant::now() + DEADLINE;
        loop {
            let (_, detail) = self.follower.readiness();
            if what(&detail) {
                return;
            }
            assert!(Instant::now() < until, "{detail}");
            thread::yield_now();
        }
    }
}

#[test]
fn a_store_that_is_away_or_lies_changes_nothing_and_is_told_and_comes_back() {
    let bench = Bench::start();
    bench.until(|detail| {
        detail["problem"]
            .as_str()
            .is_some_and(|problem| problem.contains("no routing table yet"))
    });
    let good = table(bench.follower.tenants.hashing());
    bench.store.put(Some(good.clone()));
    let first = bench.tables.recv_timeout(DEADLINE).expect("a table");
    assert_eq!(first.version(), good.version());
    bench.until(|detail| detail["store_up"] == true);
    bench.store.be_away(Some("it burns"));
    bench.until(|detail| {
        detail["problem"]
            .as_str()
            .is_some_and(|problem| problem.contains("it burns"))
    });
    bench.store.be_away(None);
    bench.until(|detail| detail["problem"].is_null());
    bench
        .store
        .put(Some(with(&good, |head| head.incarnation = "second".to_owned())));
    bench.until(|detail| {
        detail["problem"]
            .as_str()
            .is_some_and(|problem| problem.contains("another incarnation"))
    });
    bench.store.put(Some(with(&good, |head| head.version += 1)));
    let second = bench.tables.recv_timeout(DEADLINE).expect("a table");
    assert_eq!(second.version(), good.version() + 1);
    bench.until(|detail| detail["problem"].is_null());
    bench.store.put(Some(good));
    bench.until(|detail| {
        detail["problem"]
            .as_str()
            .is_some_and(|problem| problem.contains("gone back"))
    });
    assert!(bench.tables.try_recv().is_err(), "nothing older is used");
}
