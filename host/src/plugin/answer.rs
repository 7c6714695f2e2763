//! Checks the length of what a plugin answers. A text is shortened. Bytes that decide about a partition must not be
//! shortened, so too many of them are an error of the plugin.

use super::{
    Decision,
    bindings::exports::pointsman::partitioner::partitioner as wit,
    limits::{HASH_BYTES, TENANT_BYTES, TEXT_BYTES},
};
use crate::{base::text::shortened, tenants::TenantKey};

/// Checks a decision. `key` is the record's own key: a key hash may be as long as that.
pub(super) fn bounded(decision: wit::Decision, key: Option<&[u8]>) -> Result<Decision, String> {
    let too_long = |what: &str, bytes: usize, most: usize| {
        Err(format!(
            "it gave {bytes} bytes as {what}, a call may give {most}; make it shorter"
        ))
    };
    Ok(match decision {
        wit::Decision::Partition(partition) => Decision::Partition(partition),
        wit::Decision::KeyHash(bytes) if bytes.len() > HASH_BYTES && Some(&*bytes) != key => {
            return too_long("the key of a hash", bytes.len(), HASH_BYTES);
        }
        wit::Decision::KeyHash(bytes) => Decision::KeyHash(bytes),
        wit::Decision::Any => Decision::Any,
        wit::Decision::Tenant(wanted) if wanted.tenant.len() > TENANT_BYTES => {
            return too_long("a tenant's name", wanted.tenant.len(), TENANT_BYTES);
        }
        wit::Decision::Tenant(wanted) => match wanted.shard_key {
            Some(shard_key) if shard_key.len() > HASH_BYTES && Some(&*shard_key) != key => {
                return too_long("a shard key", shard_key.len(), HASH_BYTES);
            }
            shard_key => Decision::Tenant(TenantKey::new(wanted.tenant, shard_key.as_deref())),
        },
        wit::Decision::Reject(message) => Decision::Reject(shortened(message, TEXT_BYTES)),
    })
}

#[cfg(test)]
mod tests {
    use super::{super::bindings::pointsman::partitioner::types::TenantKey as WitTenantKey, *};

    fn tenant(tenant: usize, shard_key: usize) -> wit::Decision {
        wit::Decision::Tenant(WitTenantKey {
            tenant: "t".repeat(tenant),
            shard_key: Some(vec![0; shard_key]),
        })
    }

    #[test]
    fn bytes_that_decide_are_never_cut_and_texts_are_never_long() {
        for (decision, says) in [
            (wit::Decision::KeyHash(vec![0; HASH_BYTES + 1]), "the key of a hash"),
            (tenant(TENANT_BYTES + 1, 0), "a tenant's name"),
            (tenant(1, HASH_BYTES + 1), "a shard key"),
        ] {
            let wrong = bounded(decision, None).expect_err(says);
            assert!(wrong.contains(says), "{wrong}");
        }
        assert!(bounded(wit::Decision::KeyHash(vec![0; HASH_BYTES]), None).is_ok());
        assert!(bounded(tenant(TENANT_BYTES, HASH_BYTES), None).is_ok());
        let Ok(Decision::Reject(message)) = bounded(wit::Decision::Reject("x".repeat(1 << 20)), None) else {
            unreachable!("a refusal stays one")
        };
        assert!(message.len() < 2 * TEXT_BYTES && message.contains("(1048576 bytes)"));
    }

    #[test]
    fn a_key_hash_may_be_as_long_as_the_record_s_own_key() {
        let key = vec![1; 3 * HASH_BYTES];
        assert!(bounded(wit::Decision::KeyHash(key.clone()), Some(&key)).is_ok());
        assert!(bounded(wit::Decision::KeyHash(key.clone()), Some(b"another")).is_err());
    }
}
