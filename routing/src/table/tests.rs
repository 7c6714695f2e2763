use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    murmur2,
    row::{Move, OrderClass, Phase, Status},
};

fn hashing() -> Hashing {
    Hashing::with_seed(7)
}

pub(crate) fn row(tenant: &str, slots: &[u32]) -> Row {
    Row {
        topic: "orders".to_owned(),
        tenant: tenant.to_owned(),
        version: 1,
        status: match (tenant, slots.len()) {
            (TAIL, _) | (_, 1) => Status::Shared,
            _ => Status::Sharded,
        },
        ordering: match (tenant, slots.len()) {
            (TAIL, _) | (_, 1) => OrderClass::Tenant,
            _ => OrderClass::Key,
        },
        slots: slots.to_vec(),
        pinned: false,
        moving: None,
        lineage: Vec::new(),
    }
}

pub(crate) fn table(rows: Vec<Row>) -> Result<Table, TableError> {
    Document {
        rows,
        ..Document::empty("i".to_owned())
    }
    .table(hashing())
}

fn partition(table: &Table, tenant: &str, shard_key: Option<&[u8]>) -> Option<Target<'static>> {
    let found = table.topic("orders")?.find(tenant, table.hashing().of(tenant));
    match found.resolve(tenant, shard_key.map(murmur2::positive)).target {
        Target::Partition(partition) => Some(Target::Partition(partition)),
        Target::AnyOf(_) => None,
    }
}

#[test]
fn a_tenant_without_a_row_stays_where_its_name_s_key_hash_put_it_after_adopting() {
    for partitions in [1, 3, 12, 100, 1_000, 4_096, 5_000, 40_000] {
        let tail = Row::tail("orders", partitions).expect("a tail");
        assert!(tail.slots.len() >= 4_096 && tail.slots.len() <= crate::row::MOST_SLOTS);
        let table = table(vec![tail]).expect("a table");
        // A million names, spread over the numbers of partitions.
        for number in 0..125_000 {
            let name = format!("tenant-{number}");
            let expected = murmur2::partition_for_key(name.as_bytes(), partitions);
            assert_eq!(partition(&table, &name, Some(b"x")), Some(Target::Partition(expected)));
        }
    }
    assert_eq!(Row::tail("orders", 65_537), None);
    assert_eq!(Row::tail("orders", 0), None);
}

#[test]
fn a_sharded_tenant_goes_by_shard_key_and_without_one_by_its_name_or_anywhere() {
    let mut free = row("free", &[4, 5]);
    free.ordering = OrderClass::None;
    let tail = Row::tail("orders", 3).expect("a tail");
    let table = table(vec![tail, row("acme", &[7, 8, 9]), free]).expect("a table");
    for key in [&b"a"[..], b"b", b"c", b"d"] {
        let slot = murmur2::positive(key) % 3;
        assert_eq!(partition(&table, "acme", Some(key)), Some(Target::Partition(7 + slot)));
    }
    let by_name = murmur2::positive(b"acme") % 3;
    assert_eq!(partition(&table, "acme", None), Some(Target::Partition(7 + by_name)));
    let topic = table.topic("orders").expect("the topic");
    let found = topic.find("free", table.hashing().of("free"));
    assert_eq!(found.resolve("free", None).target, Target::AnyOf(&[4, 5]));
    assert_eq!(found.partitions("free"), [4, 5]);
}

#[test]
fn only_the_moving_slots_of_a_row_are_held() {
    let mut moving = row("acme", &[7, 8]);
    moving.moving = Some(Move {
        id: "1".to_owned(),
        phase: Phase::Pause,
        slots: vec![1],
        to: vec![9],
        barrier: BTreeMap::new(),
    });
    let tail = Row::tail("orders", 3).expect("a tail");
    let table = table(vec![tail, moving]).expect("a table");
    let topic = table.topic("orders").expect("the topic");
    let found = topic.find("acme", table.hashing().of("acme"));
    assert!(!found.resolve("acme", Some(2)).held);
    assert!(found.resolve("acme", Some(3)).held);
    assert!(
        !topic
            .find("other", table.hashing().of("other"))
            .resolve("other", None)
            .held
    );
    assert_eq!(topic.moving(table.hashing()).len(), 1);
}

#[test]
fn a_table_that_breaks_a_rule_is_refused_with_the_row_s_name() {
    let tail = || Row::tail("orders", 3).expect("a tail");
    let with = |change: &dyn Fn(&mut Row)| {
        let mut row = row("acme", &[1]);
        change(&mut row);
        table(vec![tail(), row]).map(|_| ()).unwrap_err().to_string()
    };
    let dedicated = |row: &mut Row, slots: &[u32]| {
        row.status = Status::Dedicated;
        row.ordering = OrderClass::Key;
        row.slots = slots.to_vec();
    };
    let cases: [(String, &str); 12] = [
        (
            with(&|row| row.slots.clear()),
            "tenant \"acme\" of topic \"orders\": it has no slots",
        ),
        (with(&|row| row.slots = vec![1; 65_537]), "65537 slots"),
        (with(&|row| dedicated(row, &[5, 5])), "its partition 5 is there twice"),
        (with(&|row| dedicated(row, &[1])), "is also in the row of tenant \"*\""),
        (
            with(&|row| row.slots = vec![u32::MAX]),
            "cannot be the number of a partition",
        ),
        (
            with(&|row| {
                row.status = Status::Sharded;
                row.slots = vec![1, 2];
            }),
            "its ordering is \"tenant\"",
        ),
        (with(&|row| row.status = Status::Sharded), "has only one slot"),
        (with(&|row| row.tenant = "x".repeat(10 << 20)), "(10485760 bytes)"),
        (with(&|row| row.tenant = "a\u{1b}[2Jb".to_owned()), "\"a\\u{1b}[2Jb\""),
        (with(&|row| row.topic = "other".to_owned()), "no row for tenant \"*\""),
        (
            with(&|row| row.version = 2),
            "has version 2, and the table has version 1",
        ),
        (
            with(&|row| {
                row.moving = Some(Move {
                    id: "1".to_owned(),
                    phase: Phase::Pause,
                    slots: Vec::new(),
                    to: Vec::new(),
                    barrier: BTreeMap::new(),
                });
            }),
            "its move has no slots",
        ),
    ];
    for (told, expected) in cases {
        assert!(told.contains(expected), "{expected}: {told}");
        assert!(told.len() < 400, "{} bytes", told.len());
    }
    for twice in ["acme", TAIL] {
        let told = table(vec![tail(), row("acme", &[1]), row(twice, &[1])])
            .map(|_| ())
            .unwrap_err();
        assert!(told.to_string().contains("twice"), "{told}");
    }
}

/// The table as anybody would write it first.
type Model = BTreeMap<(String, String), Row>;

fn any_row() -> impl Strategy<Value = Row> {
    let tenant = prop_oneof![1 => Just(TAIL.to_owned()), 8 => "[ab]{1,3}"];
    let topic = prop_oneof![3 => Just("orders".to_owned()), 1 => Just("billing".to_owned())];
    let slots = prop::collection::vec(0_u32..6, 1..4);
    (topic, tenant, slots, 0..3_u8).prop_map(|(topic, tenant, slots, status)| {
        let mut row = row(&tenant, &slots);
        if tenant != TAIL {
            match status {
                0 => {
                    row.status = Status::Dedicated;
                    row.ordering = OrderClass::Key;
                }
                1 => row.slots.truncate(1),
                _ => {}
            }
            if row.slots.len() == 1 && row.status == Status::Sharded {
                row.status = Status::Shared;
            }
        }
        row.topic = topic;
        row
    })
}

fn any_change() -> impl Strategy<Value = Change> {
    any_row().prop_flat_map(|row| {
        let remove = Change::Remove {
            topic: row.topic.clone(),
            tenant: row.tenant.clone(),
        };
        prop_oneof![3 => Just(Change::Put(row)), 1 => Just(remove)]
    })
}

/// The model after these changes, if it keeps the rules.
fn change_model(model: &Model, changes: &[Change], version: u64) -> Option<Model> {
    let mut next = model.clone();
    let mut seen = Vec::new();
    for change in changes {
        let key = (change.topic().to_owned(), change.tenant().to_owned());
        if seen.contains(&key) {
            return None;
        }
        seen.push(key.clone());
        match change {
            Change::Put(row) => {
                let mut row = row.clone();
                row.version = version;
                rules::row(&row).ok()?;
                next.insert(key, row);
            }
            Change::Remove { .. } => {
                next.remove(&key)?;
            }
        }
    }
    for ((topic, tenant), row) in &next {
        next.get(&(topic.clone(), TAIL.to_owned()))?;
        for ((other_topic, other_tenant), other) in &next {
            let is_other = topic == other_topic && tenant != other_tenant;
            let shares = row.slots.iter().any(|slot| other.slots.contains(slot));
            if row.status == Status::Dedicated && is_other && shares {
                return None;
            }
        }
    }
    Some(next)
}

proptest! {
    #[test]
    fn the_table_is_what_a_plain_map_of_rows_would_be_after_any_changes(
        steps in prop::collection::vec(prop::collection::vec(any_change(), 1..4), 1..12),
    ) {
        let mut table = Table::empty("i", hashing());
        let mut model = Model::new();
        for changes in steps {
            let expected = change_model(&model, &changes, table.version() + 1);
            let before = table.document();
            match table.apply(changes.clone()) {
                Ok((next, made)) => {
                    prop_assert_eq!(made.len(), changes.len());
                    prop_assert_eq!(table.document(), before, "the old table stays as it was");
                    table = next;
                    let Some(expected) = expected else {
                        return Err(TestCaseError::fail(format!("taken against the rules: {changes:?}")));
                    };
                    model = expected;
                }
                Err(refused) => prop_assert!(expected.is_none(), "{} of {:?}", refused, changes),
            }
            let rows: Model = table.rows().map(|row| ((row.topic.clone(), row.tenant.clone()), row)).collect();
            prop_assert_eq!(&rows, &model);
            prop_assert_eq!(table.len(), model.len());
            let again = Document::read(table.document().write().as_bytes()).expect("JSON").table(hashing());
            prop_assert_eq!(again.expect("a table").document(), table.document());
            look_ups_agree(&table, &model);
        }
    }
}

fn look_ups_agree(table: &Table, model: &Model) {
    for tenant in ["a", "b", "ab", "bba", "none"] {
        for shard_key in [None, Some(&b"x"[..]), Some(b"y")] {
            let found = partition(table, tenant, shard_key);
            let Some(tail) = model.get(&("orders".to_owned(), TAIL.to_owned())) else {
                assert_eq!(found, None);
                continue;
            };
            let own = model.get(&("orders".to_owned(), tenant.to_owned()));
            let (slots, hashed) = match own {
                Some(row) => (&row.slots, shard_key.unwrap_or(tenant.as_bytes())),
                None => (&tail.slots, tenant.as_bytes()),
            };
            let slot = murmur2::partition_for_key(hashed, slots.len() as u32);
            assert_eq!(
                found,
                Some(Target::Partition(slots[slot as usize])),
                "{tenant} {shard_key:?}"
            );
        }
    }
}
