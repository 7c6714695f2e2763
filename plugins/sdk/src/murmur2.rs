/// The 32-bit murmur2 hash of `bytes`, with the seed that Apache Kafka's Java client uses for keys.
///
/// The algorithm is Austin Appleby's MurmurHash2; the seed and the reading of bytes in little-endian order are those of
/// `org.apache.kafka.common.utils.Utils.murmur2`. Java's `int` holds the same bits with a sign.
#[must_use]
pub fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const MULTIPLIER: u32 = 0x5bd1_e995;
    const SHIFT: u32 = 24;

    // Kafka's lengths have 32 bits, as in Java; a key that does not fit is larger than any record may be.
    let mut hash = SEED ^ bytes.len() as u32;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        k ^= k >> SHIFT;
        hash = hash.wrapping_mul(MULTIPLIER) ^ k.wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, &byte| tail << 8 | u32::from(byte));
        hash = (hash ^ tail).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

/// The partition that Java's default partitioner gives a key of these bytes: [`murmur2`] without its sign bit, modulo
/// `partitions`. What the host does for [`Decision::KeyHash`](crate::Decision::KeyHash).
///
/// # Panics
///
/// When `partitions` is 0.
#[must_use]
pub fn key_hash_partition(bytes: &[u8], partitions: u32) -> u32 {
    (murmur2(bytes) & 0x7fff_ffff) % partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    // The expected values are those that Kafka's own test of the function (UtilsTest) states.
    #[test]
    fn hashes_are_those_of_the_java_client() {
        for (bytes, expected) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(bytes.as_bytes()) as i32, expected, "{bytes}");
        }
    }

    #[test]
    fn the_sign_bit_is_cleared_not_negated() {
        // -790332482 has the bits 0xd0e47bbe; without the first one 1357151166, which is 6 modulo 8.
        assert_eq!(key_hash_partition(b"foobar", 8), 6);
        assert_eq!(key_hash_partition(b"", 1), 0);
    }
}
