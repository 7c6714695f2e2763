//! What [`export!`](crate::export!) puts between the generated bindings and a partitioner.

use std::cell::RefCell;
use std::thread::LocalKey;

pub use crate::bindings::exports::pointsman::partitioner::batch::{Decisions, Guest as GuestBatch};
pub use crate::bindings::exports::pointsman::partitioner::partitioner::{Decision as WitDecision, Guest};
use crate::bindings::pointsman::partitioner::types::TenantKey;
use crate::{Config, Decision, Partitioner, Record};

/// Where a component keeps its one partitioner; `None` until `configure` has succeeded.
pub type Instance<P> = RefCell<Option<P>>;

/// Makes the component's partitioner.
pub fn configure<P: Partitioner>(instance: &'static LocalKey<Instance<P>>, config: &str) -> Result<(), String> {
    #[cfg(target_family = "wasm")]
    log_panics();
    #[cfg(feature = "log")]
    crate::log::facade::install();
    let partitioner = P::configure(&Config::from_json(config)?)?;
    instance.set(Some(partitioner));
    Ok(())
}

/// Asks the component's partitioner about one record.
pub fn partition<P: Partitioner>(
    instance: &'static LocalKey<Instance<P>>,
    key: Option<Vec<u8>>,
    partitions: u32,
) -> WitDecision {
    instance.with_borrow_mut(|instance| {
        let partitioner = instance
            .as_mut()
            .expect("`configure` succeeds before the first `partition`");
        let decision = partitioner.partition(&Record::from_host(key.as_deref()), partitions);
        to_wit(decision, key)
    })
}

/// A bit in `ends`: the record has no key.
const NO_KEY: u32 = 0x8000_0000;
/// Numbers in `choices`: the record's own key, any partition, the next of `others`. Partitions are below [`NO_KEY`].
const OWN_KEY: u32 = 0xffff_ffff;
const ANY: u32 = 0xffff_fffe;
const OTHER: u32 = 0xffff_fffd;

/// Asks the component's partitioner about the records of a batch, one after the other.
pub fn partition_batch<P: Partitioner>(
    instance: &'static LocalKey<Instance<P>>,
    keys: &[u8],
    ends: &[u32],
    partitions: u32,
) -> Decisions {
    instance.with_borrow_mut(|instance| {
        let partitioner = instance
            .as_mut()
            .expect("`configure` succeeds before the first `partition_batch`");
        let mut decisions = Decisions {
            choices: Vec::with_capacity(ends.len()),
            others: Vec::new(),
        };
        let mut begin = 0;
        for (place, &end) in (0..).zip(ends) {
            let to = (end & !NO_KEY) as usize;
            let key = (end & NO_KEY == 0).then(|| &keys[begin..to]);
            begin = to;
            let decision = partitioner.partition(&Record::of_batch(key, place), partitions);
            decisions.choices.push(choice(decision, &mut decisions.others));
        }
        decisions
    })
}

fn choice(decision: Decision, others: &mut Vec<WitDecision>) -> u32 {
    match decision {
        Decision::Partition(partition) if partition < NO_KEY => partition,
        Decision::Key => OWN_KEY,
        Decision::Any => ANY,
        other => {
            // Only `Decision::Key` needs the key.
            others.push(to_wit(other, None));
            OTHER
        }
    }
}

fn to_wit(decision: Decision, key: Option<Vec<u8>>) -> WitDecision {
    match decision {
        Decision::Partition(partition) => WitDecision::Partition(partition),
        Decision::Key => key.map_or(WitDecision::Any, WitDecision::KeyHash),
        Decision::KeyHash(bytes) => WitDecision::KeyHash(bytes),
        Decision::Any => WitDecision::Any,
        Decision::Tenant { tenant, shard_key } => WitDecision::Tenant(TenantKey { tenant, shard_key }),
        Decision::Reject(reason) => WitDecision::Reject(reason),
    }
}

/// Logs a panic's message to the host, since the trap that follows carries no text.
#[cfg(target_family = "wasm")]
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("(the panic carries no text)");
        match panic.location() {
            Some(place) => crate::log::error(format_args!("panicked at {place}: {message}")),
            None => crate::log::error(format_args!("panicked: {message}")),
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(Decision);

    impl Partitioner for Fixed {
        fn configure(config: &Config) -> Result<Self, String> {
            config.expect_empty().map(|()| Fixed(Decision::Key))
        }

        fn partition(&mut self, _record: &Record<'_>, _partitions: u32) -> Decision {
            self.0.clone()
        }
    }

    std::thread_local! {
        static INSTANCE: Instance<Fixed> = const { Instance::new(None) };
    }

    #[test]
    fn the_key_decision_is_any_without_a_key_and_hashes_an_empty_one() {
        configure(&INSTANCE, "{}").unwrap();
        assert!(matches!(partition(&INSTANCE, None, 3), WitDecision::Any));
        for key in ["", "k"] {
            let decision = partition(&INSTANCE, Some(key.into()), 3);
            assert!(matches!(decision, WitDecision::KeyHash(bytes) if bytes == key.as_bytes()));
        }
    }

    #[test]
    fn a_batch_cuts_the_keys_where_they_end_and_tells_none_from_empty() {
        struct Seen;

        impl Partitioner for Seen {
            fn configure(_: &Config) -> Result<Self, String> {
                Ok(Seen)
            }

            fn partition(&mut self, record: &Record<'_>, partitions: u32) -> Decision {
                match record.key() {
                    Some(b"key") => Decision::Key,
                    Some(b"any") => Decision::Any,
                    Some(b"") => Decision::Partition(partitions - 1),
                    Some(b"beyond") => Decision::Partition(u32::MAX),
                    Some(key) => Decision::key_hash(key),
                    None => Decision::reject("no key"),
                }
            }
        }

        std::thread_local! {
            static SEEN: Instance<Seen> = const { Instance::new(None) };
        }
        configure(&SEEN, "{}").unwrap();
        let ends = [3, 3, 6, NO_KEY | 6, 12, 14];
        let Decisions { choices, others } = partition_batch(&SEEN, b"keyanybeyondab", &ends, 7);
        assert_eq!(choices, [OWN_KEY, 6, ANY, OTHER, OTHER, OTHER]);
        assert!(matches!(&others[0], WitDecision::Reject(reason) if reason == "no key"));
        assert!(matches!(&others[1], WitDecision::Partition(u32::MAX)));
        assert!(matches!(&others[2], WitDecision::KeyHash(bytes) if bytes == b"ab"));
    }

    #[test]
    fn a_refused_config_leaves_no_instance() {
        assert!(configure(&INSTANCE, r#"{"a": 1}"#).is_err());
        INSTANCE.with_borrow(|instance| assert!(instance.is_none()));
    }

    #[test]
    fn every_decision_reaches_the_host_with_all_that_it_holds() {
        let wit = |decision| to_wit(decision, Some(b"key".to_vec()));
        assert!(matches!(wit(Decision::Partition(7)), WitDecision::Partition(7)));
        assert!(matches!(wit(Decision::key_hash("a")), WitDecision::KeyHash(bytes) if bytes == b"a"));
        assert!(matches!(wit(Decision::Any), WitDecision::Any));
        assert!(matches!(wit(Decision::reject("no")), WitDecision::Reject(reason) if reason == "no"));
        assert!(matches!(
            wit(Decision::tenant("acme")),
            WitDecision::Tenant(TenantKey { tenant, shard_key: None }) if tenant == "acme"
        ));
        assert!(matches!(
            wit(Decision::tenant_shard("acme", "s")),
            WitDecision::Tenant(TenantKey { tenant, shard_key: Some(key) }) if tenant == "acme" && key == b"s"
        ));
    }
}
