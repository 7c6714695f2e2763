use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    row::{Move, Phase, TAIL},
    table::tests::row,
};

fn moving(tenant: &str, slots: &[u32], moving: &[u32]) -> Row {
    let mut row = row(tenant, slots);
    row.moving = Some(Move {
        id: "1".to_owned(),
        phase: Phase::Pause,
        slots: moving.to_vec(),
        to: vec![99; moving.len()],
        barrier: BTreeMap::new(),
    });
    row
}

fn in_place(version: u64, rows: &[Row]) -> Event {
    Event::Table {
        version,
        moving: rows.to_vec(),
    }
}

fn drained(partition: u32, fence: u64) -> Event {
    Event::Drained {
        topic: Arc::from("orders"),
        partition,
        fence,
    }
}

fn settled(partition: u32, fence: u64) -> Event {
    Event::Settled {
        topic: Arc::from("orders"),
        partition,
        fence,
    }
}

fn stages(holds: &Holds) -> Vec<Stage> {
    holds.iter().map(|(_, hold)| hold.stage()).collect()
}

#[test]
fn a_hold_is_clear_only_after_its_fence_and_when_all_its_old_partitions_are_settled() {
    let mut holds = Holds::default();
    let row = moving("acme", &[4, 5, 6], &[0, 2]);
    assert_eq!(
        holds.step(&in_place(7, std::slice::from_ref(&row))),
        [Effect::Fence { version: 7 }]
    );
    assert_eq!(holds.step(&settled(4, 1)), [], "from before the fence");
    assert_eq!(
        holds.step(&Event::Fenced { version: 6, number: 1 }),
        [],
        "too early a fence"
    );
    assert_eq!(stages(&holds), [Stage::Fence]);
    let watch = |partition| Effect::Watch {
        topic: Arc::from("orders"),
        partition,
        fence: 2,
    };
    let watched = holds.step(&Event::Fenced { version: 7, number: 2 });
    assert_eq!(watched, [watch(4), watch(6)], "not the slot that stays");
    assert_eq!(holds.step(&drained(4, 2)), []);
    assert_eq!(holds.step(&settled(4, 1)), [], "of an older fence");
    assert_eq!(holds.step(&settled(4, 2)), []);
    assert_eq!(stages(&holds), [Stage::Outcomes]);
    holds.step(&drained(6, 2));
    assert_eq!(stages(&holds), [Stage::Unknown]);
    let clear = holds.step(&settled(6, 2));
    assert!(matches!(&clear[..], [Effect::Clear { version: 1, .. }]), "{clear:?}");
    assert_eq!(stages(&holds), [Stage::Clear]);
    let released = holds.step(&in_place(8, &[]));
    assert!(
        matches!(&released[..], [Effect::Released { .. }, Effect::Fence { version: 8 }]),
        "{released:?}"
    );
    assert!(holds.is_empty());
}

#[test]
fn a_hold_goes_on_through_its_phases_and_begins_anew_with_other_slots() {
    let mut holds = Holds::default();
    let mut row = moving("acme", &[4, 5], &[0]);
    holds.step(&in_place(7, std::slice::from_ref(&row)));
    holds.step(&Event::Fenced { version: 7, number: 1 });
    holds.step(&settled(4, 1));
    row.version = 2;
    row.moving.as_mut().expect("a move").phase = Phase::Drain;
    assert_eq!(
        holds.step(&in_place(8, std::slice::from_ref(&row))),
        [],
        "nothing new is held"
    );
    assert_eq!(stages(&holds), [Stage::Clear]);
    let other = moving("acme", &[4, 5], &[1]);
    assert_eq!(holds.step(&in_place(9, &[other])), [Effect::Fence { version: 9 }]);
    assert_eq!(stages(&holds), [Stage::Fence]);
}

proptest! {
    /// Whatever comes in whatever order: clear is told for a hold only if, since its fence, each of its old partitions was
    /// told to be settled.
    #[test]
    fn clear_is_never_told_before_every_old_partition_is_settled_since_the_fence(
        steps in prop::collection::vec((0..4_u8, 0..3_u32, 1..6_u64, 0..8_u8), 1..60),
    ) {
        let rows = [moving("a", &[0, 1], &[0]), moving("b", &[1, 2], &[0, 1]), moving(TAIL, &[0, 1, 2], &[2])];
        let mut holds = Holds::default();
        let (mut version, mut number) = (0, 0);
        // By hold: the version it began with, its fence, what was settled since.
        let mut model: BTreeMap<Arc<str>, (u64, Option<u64>, Vec<u32>)> = BTreeMap::new();
        for (kind, partition, back, which) in steps {
            let (event, fence) = match kind {
                0 => {
                    version += 1;
                    let held: Vec<Row> = (0..3).filter(|bit| which >> bit & 1 == 1).map(|bit| rows[bit].clone()).collect();
                    model.retain(|name, _| held.iter().any(|row| row.tenant == **name));
                    for row in &held {
                        model.entry(Arc::from(row.tenant.as_str())).or_insert((version, None, Vec::new()));
                    }
                    (in_place(version, &held), 0)
                }
                1 => {
                    number += 1;
                    let up_to = (version + 1).saturating_sub(back / 3);
                    for (begun, fence, _) in model.values_mut() {
                        if fence.is_none() && *begun <= up_to {
                            *fence = Some(number);
                        }
                    }
                    (Event::Fenced { version: up_to, number }, 0)
                }
                2 => (drained(partition, number), 0),
                _ => {
                    let fence = (number + 1).saturating_sub(back);
                    for (_, own, settled) in model.values_mut() {
                        if own.is_some_and(|own| own <= fence) {
                            settled.push(partition);
                        }
                    }
                    (settled(partition, fence), fence)
                }
            };
            for effect in holds.step(&event) {
                if let Effect::Clear { row, .. } = effect {
                    let (_, own, settled) = &model[&row.tenant];
                    let old: &[u32] = match &*row.tenant {
                        "a" => &[0],
                        "b" => &[1, 2],
                        _ => &[2],
                    };
                    prop_assert!(own.is_some_and(|own| own <= fence));
                    prop_assert!(old.iter().all(|partition| settled.contains(partition)), "{row} {settled:?}");
                }
            }
            prop_assert_eq!(holds.iter().count(), model.len());
        }
    }
}
