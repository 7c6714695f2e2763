//! `customer-tier` keeps VIP customers' records apart from all others:
//!
//! - The first quarter of the partitions (rounded down, at least one) is dedicated to VIP customers, the rest is shared.
//! - A record whose header `tier` is `vip` goes to a dedicated partition, by the customer's id, which is its key.
//!   Without a key it is rejected.
//! - Any other record goes to a shared partition, by its header `region`; without the header, its region is `unknown`.
//! - "By" means: FNV-1a of the bytes, modulo the number of such partitions. A topic with one partition has no choice.
//!
//! Configuration: `config = { dedicated = 2 }` dedicates two partitions instead of a quarter, but leaves one to share.
//!
//! The rule itself is in `rule.rs` and knows nothing of Pointsman; this file connects the two.

mod rule;

use pointsman_plugin::{Config, Decision, Partitioner, Record, export};
use rule::{Placement, Rule};

struct Plugin {
    rule: Rule,
}

impl Partitioner for Plugin {
    fn configure(config: &Config) -> Result<Self, String> {
        config.parse().map(|rule| Self { rule })
    }

    fn partition(&mut self, record: &Record<'_>, partitions: u32) -> Decision {
        // Each header is fetched from the host when the rule asks for it, and not before.
        let placement = self.rule.place(record.key(), partitions, |name| record.header(name));
        match placement {
            Placement::Partition(partition) => Decision::Partition(partition),
            Placement::Refused(reason) => Decision::reject(reason),
        }
    }
}

export!(Plugin);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_and_the_key_of_a_record_reach_the_rule() {
        let mut partitioner = Plugin::configure(&Config::empty()).unwrap();
        let vip = Record::builder("orders").key("c-17").header("tier", "vip").build();
        assert_eq!(partitioner.partition(&vip, 12), Decision::Partition(2));
        let other = Record::builder("orders").key("c-17").header("region", "eu").build();
        assert_eq!(partitioner.partition(&other, 12), Decision::Partition(11));
        let nameless = Record::builder("orders").header("tier", "vip").build();
        assert_eq!(
            partitioner.partition(&nameless, 12),
            Decision::reject(rule::NO_CUSTOMER)
        );
    }

    #[test]
    fn a_config_with_a_mistake_is_refused_by_the_name_of_the_key() {
        let configure = |text| Plugin::configure(&Config::from_json(text).unwrap()).map(|_| ());
        assert_eq!(configure(r#"{"dedicated": 2}"#), Ok(()));
        assert!(
            configure(r#"{"dedicate": 2}"#)
                .unwrap_err()
                .contains("unknown field `dedicate`")
        );
        assert!(configure(r#"{"dedicated": 0}"#).unwrap_err().contains("nonzero"));
    }
}
