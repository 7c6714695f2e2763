//! What is compared of an answer: where the record would go.

use std::collections::BTreeSet;

use pointsman_routing::Table;

use crate::{
    plugin::{CallError, Decision, Placement},
    tenants::TenantKey,
};

/// So many partitions of a set are told.
const FEW: usize = 8;

/// The part of an answer that is compared. That a record is refused counts; the reason does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Compared {
    Partition(u32),
    /// Any of these, each once.
    AnyOf(BTreeSet<u32>),
    Any,
    Refused,
    Error,
}

impl Compared {
    /// `table` is where tenants go, in the topic of this name.
    pub(super) fn of(
        answer: &Result<Decision, CallError>,
        table: Option<&Table>,
        topic: &str,
        partitions: u32,
    ) -> Self {
        match answer {
            Ok(decision) => match decision.placement_by(table, topic, partitions) {
                Placement::Partition(partition) => Self::Partition(partition),
                Placement::Anywhere => Self::Any,
                Placement::AnyOf(among) => Self::any_of(among.iter().copied().collect(), partitions),
                Placement::OutOfRange(_) | Placement::Rejected(_) => Self::Refused,
            },
            Err(_) => Self::Error,
        }
    }

    fn any_of(among: BTreeSet<u32>, partitions: u32) -> Self {
        match among.first() {
            Some(&only) if among.len() == 1 && only < partitions => Self::Partition(only),
            _ if among.iter().copied().eq(0..partitions) => Self::Any,
            _ => Self::AnyOf(among),
        }
    }

    pub(super) fn words(&self) -> String {
        match self {
            Self::Partition(partition) => format!("partition {partition}"),
            Self::AnyOf(partitions) => format!("any of {} partitions: {}", partitions.len(), few(partitions)),
            Self::Any => "any".to_owned(),
            Self::Refused => "refused".to_owned(),
            Self::Error => "an error".to_owned(),
        }
    }
}

/// The first partitions of a set.
fn few(partitions: &BTreeSet<u32>) -> String {
    let first = partitions.iter().take(FEW).map(u32::to_string);
    let more = if partitions.len() > FEW { ", …" } else { "" };
    format!("{}{more}", first.collect::<Vec<_>>().join(", "))
}

/// What the route's own plugin decided.
pub(super) enum Real {
    /// For this tenant. Where that goes is looked up when the candidate has decided too, so that one table is the measure
    /// of both.
    Tenant(TenantKey),
    /// Whatever any table says.
    Other(Compared),
}

impl Real {
    pub(super) fn of(answer: &Result<Decision, CallError>, topic: &str, partitions: u32) -> Self {
        match answer {
            Ok(Decision::Tenant(tenant)) => Self::Tenant(tenant.clone()),
            other => Self::Other(Compared::of(other, None, topic, partitions)),
        }
    }

    /// Its size beside itself, bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Tenant(tenant) => tenant.name.len(),
            Self::Other(_) => 0,
        }
    }

    pub(super) fn compared(self, table: Option<&Table>, topic: &str, partitions: u32) -> Compared {
        match self {
            Self::Tenant(tenant) => Compared::of(&Ok(Decision::Tenant(tenant)), table, topic, partitions),
            Self::Other(compared) => compared,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pointsman_routing::{Change, Hashing, OrderClass, Row, Status};

    use super::*;

    const PARTITIONS: u32 = 12;

    fn tenant(name: &str) -> Decision {
        Decision::Tenant(TenantKey::new(name.to_owned(), None))
    }

    /// A table in which these slots are acme's, in topic `t`.
    fn table(slots: &[u32]) -> Arc<Table> {
        let many = slots.len() > 1;
        let row = Row {
            slots: slots.to_vec(),
            status: if many { Status::Sharded } else { Status::Shared },
            ordering: if many { OrderClass::None } else { OrderClass::Tenant },
            ..Row::shared("t", "acme", 0)
        };
        let tail = Row::tail("t", PARTITIONS).expect("a tail");
        let empty = Table::empty("test", Hashing::with_seed(1));
        let rows = vec![Change::Put(tail), Change::Put(row)];
        Arc::new(empty.apply(rows).expect("a table").0)
    }

    /// Whether a candidate that decides so does what the route's own plugin does.
    fn agree(table: Option<&Table>, own: Decision, candidate: Decision) -> bool {
        let own = Real::of(&Ok(own), "t", PARTITIONS).compared(table, "t", PARTITIONS);
        own == Compared::of(&Ok(candidate), table, "t", PARTITIONS)
    }

    #[test]
    fn a_tenant_agrees_with_the_partition_where_the_table_has_it_and_with_no_other() {
        let (there, moved) = (table(&[5]), table(&[6]));
        for (own, candidate) in [
            (Decision::Partition(5), tenant("acme")),
            (tenant("acme"), Decision::Partition(5)),
        ] {
            assert!(agree(Some(&there), own.clone(), candidate.clone()));
            assert!(!agree(Some(&moved), own.clone(), candidate.clone()));
            assert!(!agree(None, own, candidate), "the key hash of acme is not 5");
        }
        for table in [Some(&*there), Some(&*moved), None] {
            assert!(agree(table, tenant("acme"), tenant("acme")));
        }
    }

    #[test]
    fn any_of_several_partitions_is_compared_as_a_set() {
        let several = table(&[5, 7, 5]);
        assert!(agree(Some(&several), tenant("acme"), tenant("acme")));
        for other in [Decision::Partition(5), Decision::Any, tenant("other")] {
            assert!(!agree(Some(&several), tenant("acme"), other.clone()), "{other:?}");
            assert!(!agree(Some(&several), other.clone(), tenant("acme")), "{other:?}");
        }
        let all: Vec<u32> = (0..PARTITIONS).collect();
        assert!(agree(Some(&table(&all)), tenant("acme"), Decision::Any));
        assert!(agree(Some(&table(&[4, 4])), tenant("acme"), Decision::Partition(4)));
        let words = Compared::of(&Ok(tenant("acme")), Some(&several), "t", PARTITIONS).words();
        assert_eq!(words, "any of 2 partitions: 5, 7");
    }

    #[test]
    fn two_ways_to_say_the_same_partition_are_not_a_difference() {
        let compared = |decision| Compared::of(&Ok(decision), None, "t", 12);
        let hashed = compared(Decision::KeyHash(b"a".to_vec()));
        let Compared::Partition(partition) = hashed else {
            unreachable!("a hash is a partition")
        };
        assert_eq!(compared(Decision::Partition(partition)), hashed);
        assert_eq!(compared(Decision::Tenant(TenantKey::new("a".to_owned(), None))), hashed);
        assert_eq!(
            compared(Decision::Partition(12)),
            compared(Decision::Reject("no".to_owned()))
        );
        assert_ne!(compared(Decision::Any), hashed);
    }
}
