use super::*;
use crate::{
    row::Status,
    table::tests::{row, table},
};

fn tail() -> Row {
    Row::tail("orders", 3).expect("a tail")
}

fn put(tenant: &str, slots: &[u32]) -> Change {
    Change::Put(row(tenant, slots))
}

#[test]
fn what_leaves_every_record_where_it_is_is_free_and_everything_else_is_told_in_words() {
    let there = crate::murmur2::partition_for_key(b"acme", 3);
    let elsewhere = (there + 1) % 3;
    let before = table(vec![tail(), row("big", &[0, 1]), row("small", &[2])]).expect("a table");
    let remove = |tenant: &str| Change::Remove {
        topic: "orders".to_owned(),
        tenant: tenant.to_owned(),
    };
    let mut multiplied = tail();
    multiplied.slots.extend_from_within(..);
    let free = [
        put("acme", &[there]),
        put("acme", &[there, there]),
        put("big", &[0, 1, 0, 1]),
        put("small", &[2]),
        Change::Put(multiplied),
    ];
    for change in free {
        assert_eq!(before.moves(&change, Some(3)), None, "{change:?}");
    }
    let mut other_tail = tail();
    other_tail.slots[5] = (other_tail.slots[5] + 1) % 3;
    let moves = [
        (
            put("acme", &[elsewhere]),
            format!("from partition {there} to {elsewhere}"),
        ),
        (put("big", &[1, 0]), "in slot 0".to_owned()),
        (put("big", &[0, 1, 0]), "in slot".to_owned()),
        (put("big", &[0]), "in slot".to_owned()),
        (remove("big"), "in slot".to_owned()),
        (Change::Put(other_tail), "without a row, in slot 5".to_owned()),
    ];
    for (change, expected) in moves {
        let told = before.moves(&change, Some(3)).unwrap_or_default();
        assert!(told.contains(&expected), "{change:?}: {told:?}");
    }
    let removed = before.moves(&remove("small"), Some(3));
    let stays = crate::murmur2::partition_for_key(b"small", 3) == 2;
    assert_eq!(removed.is_none(), stays, "{removed:?}");
}

#[test]
fn adopting_a_topic_moves_nothing_and_another_number_of_partitions_does() {
    let before = table(Vec::new()).expect("a table");
    assert_eq!(before.moves(&Change::Put(tail()), Some(3)), None);
    let told = before.moves(&Change::Put(tail()), Some(4)).unwrap_or_default();
    assert!(told.contains("without a row"), "{told}");
    let told = before.moves(&Change::Put(tail()), None).unwrap_or_default();
    assert!(told.contains("not known"), "{told}");
}

#[test]
fn a_tenant_whose_order_nobody_needs_moves_freely_once_its_row_says_so() {
    let mut none = row("big", &[0, 1]);
    none.ordering = OrderClass::None;
    let before = table(vec![tail(), none.clone(), row("small", &[2])]).expect("a table");
    assert_eq!(before.moves(&put("big", &[2]), Some(3)), None);
    none.tenant = "small".to_owned();
    assert!(
        before.moves(&Change::Put(none), Some(3)).is_some(),
        "its row promises order"
    );
}

#[test]
fn a_change_raises_the_version_of_the_table_and_of_its_rows_only() {
    let before = table(vec![tail(), row("a", &[0]), row("b", &[1])]).expect("a table");
    let mut dedicated = row("a", &[7]);
    dedicated.status = Status::Dedicated;
    let (after, made) = before.apply(vec![Change::Put(dedicated)]).expect("applied");
    assert_eq!((after.version(), made[0].row().map(|row| row.version)), (2, Some(2)));
    assert_eq!(after.row("orders", "b").map(|row| row.version), Some(1));
    assert_eq!(after.row("orders", "a").map(|row| row.version), Some(2));
    let mut both = before.changes_to(&after);
    assert_eq!(both.len(), 1);
    assert_eq!(both.remove(0).row(), after.row("orders", "a").as_ref());
    let gone = Change::Remove {
        topic: "orders".to_owned(),
        tenant: "nobody".to_owned(),
    };
    assert!(matches!(before.apply(vec![gone]), Err(Refused::NoRow { .. })));
    let not_alone = before.apply(vec![put("c", &[1]), {
        let mut row = row("d", &[1]);
        row.status = Status::Dedicated;
        Change::Put(row)
    }]);
    let Err(told) = not_alone else {
        panic!("two rows share a dedicated partition")
    };
    assert!(told.to_string().contains("dedicated"), "{told}");
}
