/// Where a record goes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// This partition, counted from 0. A number that is not below the number of partitions gets the record rejected.
    Partition(u32),

    /// Where Java's default partitioner sends this record: the hash of its key decides, and a record without a key may
    /// go anywhere. The cheapest way to say [`Decision::KeyHash`] of the record's own key, since nothing is copied.
    Key,

    /// The partition that Java's default partitioner gives a key of these bytes. No bytes are a key like any other.
    /// [`Decision::key_hash`] makes one from text, too.
    KeyHash(Vec<u8>),

    /// Anywhere. The host stays on one partition for a while, so that batches fill, and prefers partitions with few
    /// bytes waiting. Records that get this answer keep no order among themselves.
    Any,

    /// The routing table decides where this tenant's records go; without an entry there, the hash of the tenant's name
    /// decides. [`Decision::tenant`] makes one without a shard key.
    ///
    /// While the tenant moves, its records wait, so that their order stays. No other decision is covered by that, also
    /// not a [`Decision::Partition`] that was found with [`Routes::lookup`](crate::Routes::lookup).
    Tenant {
        /// The tenant's name, as in the routing table.
        tenant: String,
        /// Decides among the partitions of a tenant that is spread over several: records with equal bytes stay
        /// together. `None`: the record has no such key.
        shard_key: Option<Vec<u8>>,
    },

    /// The record must not be produced. The application is told the text: say what is wrong with the record.
    Reject(String),
}

impl Decision {
    /// [`Decision::KeyHash`] of bytes or text.
    pub fn key_hash(bytes: impl Into<Vec<u8>>) -> Self {
        Self::KeyHash(bytes.into())
    }

    /// [`Decision::Tenant`] without a shard key.
    pub fn tenant(tenant: impl Into<String>) -> Self {
        Self::Tenant {
            tenant: tenant.into(),
            shard_key: None,
        }
    }

    /// [`Decision::Tenant`] with a shard key.
    pub fn tenant_shard(tenant: impl Into<String>, shard_key: impl Into<Vec<u8>>) -> Self {
        Self::Tenant {
            tenant: tenant.into(),
            shard_key: Some(shard_key.into()),
        }
    }

    /// [`Decision::Reject`] with a reason.
    pub fn reject(reason: impl Into<String>) -> Self {
        Self::Reject(reason.into())
    }
}
