//! What a plugin decides, and what that means for a record. It is defined only here, for all code that acts on a decision,
//! compares it or shows it.

use pointsman_routing::Table;

use crate::{
    base::murmur2::partition_for_key,
    tenants::{self, Place, TenantKey},
};

/// What a plugin decided for one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// This partition, counted from 0; not yet checked against the topic.
    Partition(u32),
    /// The partition that Java's murmur2 of these bytes gives.
    KeyHash(Vec<u8>),
    /// The host picks a partition.
    Any,
    /// The routing table decides for this tenant.
    Tenant(TenantKey),
    /// The record is refused with this message, cut to a bounded length.
    Reject(String),
}

/// Where a decision sends a record of a topic with a known number of partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement<'d> {
    /// To this partition, which exists.
    Partition(u32),
    /// To a partition that the topic does not have.
    OutOfRange(u32),
    /// To any partition; the host picks one.
    Anywhere,
    /// To any of these partitions, of which the topic may lack some; the host picks one.
    AnyOf(&'d [u32]),
    /// Nowhere: the plugin rejected the record, for this reason.
    Rejected(&'d str),
}

impl Decision {
    /// What Kafka's own partitioner would decide for a record with this key.
    pub fn by_own_key(key: Option<&[u8]>) -> Self {
        match key {
            Some(key) => Self::KeyHash(key.to_vec()),
            None => Self::Any,
        }
    }

    /// Where this decision sends a record of a topic with so many partitions (at least one), without a routing table.
    pub fn placement(&self, partitions: u32) -> Placement<'_> {
        self.placement_by(None, "", partitions)
    }

    /// Where this decision sends a record of this topic, which has so many partitions (at least one), by a routing table.
    pub fn placement_by<'d>(&'d self, table: Option<&'d Table>, topic: &str, partitions: u32) -> Placement<'d> {
        match self {
            Self::Partition(partition) if *partition < partitions => Placement::Partition(*partition),
            Self::Partition(partition) => Placement::OutOfRange(*partition),
            Self::KeyHash(bytes) => Placement::Partition(partition_for_key(bytes, partitions)),
            Self::Tenant(tenant) => match tenants::place(table, topic, tenant, partitions) {
                Place::Partition(partition) if partition < partitions => Placement::Partition(partition),
                Place::Partition(partition) => Placement::OutOfRange(partition),
                Place::AnyOf(partitions) => Placement::AnyOf(partitions),
            },
            Self::Any => Placement::Anywhere,
            Self::Reject(reason) => Placement::Rejected(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_that_put_a_record_on_the_same_partition_mean_the_same() {
        let hashed = Decision::KeyHash(b"a".to_vec());
        let Placement::Partition(partition) = hashed.placement(12) else {
            unreachable!("a hash is always a partition")
        };
        assert_eq!(Decision::Partition(partition).placement(12), hashed.placement(12));
        assert_eq!(
            Decision::Tenant(TenantKey::new("a".to_owned(), None)).placement(12),
            hashed.placement(12)
        );
        assert_eq!(Decision::by_own_key(Some(b"a")).placement(12), hashed.placement(12));
        assert_eq!(Decision::by_own_key(None).placement(12), Placement::Anywhere);
        assert_eq!(Decision::Partition(12).placement(12), Placement::OutOfRange(12));
    }
}
