//! What [`export!`](crate::export!) puts between the generated bindings and a partitioner.

use std::cell::RefCell;
use std::thread::LocalKey;

pub use crate::bindings::exports::pointsman::partitioner::partitioner::{Decision as WitDecision, Guest};
use crate::bindings::pointsman::partitioner::types::TenantKey;
use crate::{Config, Decision, Partitioner, Record};

/// Where a component keeps its one partitioner; `None` until `configure` has succeeded.
pub type Instance<P> = RefCell<Option<P>>;

/// Makes the component's partitioner.
pub fn configure<P: Partitioner>(instance: &'static LocalKey<Instance<P>>, config: &str) -> Result<(), String> {
    #[cfg(target_family = "wasm")]
    log_panics();
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

/// Tells the host what a panic said. The trap that follows carries no text.
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
