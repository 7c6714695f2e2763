//! The rule of `customer-tier`, which the head of `lib.rs` describes.

use std::num::NonZeroU32;

use serde::Deserialize;

/// The reason for refusing a VIP customer's record without a key.
pub const NO_CUSTOMER: &str = "a VIP record needs the customer's id as its key";

/// The rule, with the route's configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// How many partitions are dedicated to VIP customers. Absent: a quarter.
    dedicated: Option<NonZeroU32>,
}

/// Where the rule puts a record.
#[derive(Debug, PartialEq, Eq)]
pub enum Placement {
    /// On this partition.
    Partition(u32),
    /// Nowhere, for this reason.
    Refused(&'static str),
}

impl Rule {
    /// Places a record by its key and its headers. `partitions` is at least 1.
    pub fn place<B: AsRef<[u8]>>(
        &self,
        key: Option<&[u8]>,
        partitions: u32,
        header: impl Fn(&str) -> Option<B>,
    ) -> Placement {
        let dedicated = self.dedicated(partitions);
        if header("tier").is_some_and(|tier| tier.as_ref() == b"vip") {
            return match key {
                Some(customer) => Placement::Partition(fnv1a32(customer) % dedicated),
                None => Placement::Refused(NO_CUSTOMER),
            };
        }
        let shared = partitions - dedicated;
        if shared == 0 {
            return Placement::Partition(0);
        }
        let region = match header("region") {
            Some(region) => fnv1a32(region.as_ref()),
            None => fnv1a32(b"unknown"),
        };
        Placement::Partition(dedicated + region % shared)
    }

    /// How many of the partitions are dedicated: at least one, and not all if there are several.
    fn dedicated(&self, partitions: u32) -> u32 {
        match self.dedicated {
            Some(dedicated) => dedicated.get().min(partitions - 1).max(1),
            None => (partitions / 4).max(1),
        }
    }
}

/// The 32 bit FNV-1a hash: Fowler, Noll and Vo, RFC 9923.
fn fnv1a32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(2_166_136_261, |hash: u32, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(16_777_619)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(dedicated: Option<u32>, partitions: u32, key: Option<&str>, headers: &[(&str, &str)]) -> Placement {
        let rule = Rule {
            dedicated: dedicated.and_then(NonZeroU32::new),
        };
        let header = |name: &str| Some(headers.iter().find(|header| header.0 == name)?.1);
        rule.place(key.map(str::as_bytes), partitions, header)
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a32(b""), 0x811c_9dc5);
        assert_eq!(fnv1a32(b"a"), 0xe40c_292c);
        assert_eq!(fnv1a32(b"foobar"), 0xbf9c_f968);
    }

    #[test]
    fn a_vip_customer_stays_on_one_dedicated_partition() {
        let vip = [("tier", "vip"), ("region", "eu")];
        assert_eq!(place(None, 12, Some("c-17"), &vip), Placement::Partition(2));
        assert_eq!(place(None, 12, None, &vip), Placement::Refused(NO_CUSTOMER));
        assert_eq!(place(None, 3, Some("c-17"), &vip), Placement::Partition(0));
    }

    #[test]
    fn all_others_share_the_rest_by_region() {
        assert_eq!(
            place(None, 12, Some("c-17"), &[("region", "eu")]),
            Placement::Partition(11)
        );
        assert_eq!(place(None, 12, None, &[("tier", "VIP")]), Placement::Partition(7));
        assert_eq!(place(None, 1, None, &[]), Placement::Partition(0));
    }

    #[test]
    fn the_config_decides_how_many_are_dedicated_but_one_stays_shared() {
        let vip = [("tier", "vip")];
        assert_eq!(place(Some(2), 12, Some("c-17"), &vip), Placement::Partition(1));
        assert_eq!(place(Some(99), 4, Some("c-17"), &[]), Placement::Partition(3));
        assert_eq!(place(Some(99), 1, Some("c-17"), &[]), Placement::Partition(0));
    }
}
