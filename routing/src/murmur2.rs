//! The hash of Kafka's Java client, so that a key lands where every Java producer puts it.

/// Partition of a key among `partitions`, as `BuiltInPartitioner.partitionForKey` of Apache Kafka picks it: murmur2,
/// the sign bit cleared, modulo.
pub fn partition_for_key(key: &[u8], partitions: u32) -> u32 {
    positive(key) % partitions
}

/// The hash of a key as Kafka's Java client uses it: with the sign bit cleared.
pub fn positive(key: &[u8]) -> u32 {
    murmur2(key) & 0x7fff_ffff
}

/// Austin Appleby's MurmurHash2 (32 bit) with the seed of Kafka's `Utils.murmur2`.
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    // Java's lengths have 32 bits, and the hash starts from the length.
    let mut hash = SEED ^ data.len() as u32;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        let last = tail.iter().rev().fold(0, |sum, &byte| (sum << 8) | u32::from(byte));
        hash = (hash ^ last).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Partitions that the Java client itself computed. The first line names the program.
    const FIXTURE: &str = include_str!("../../tests/fixtures/murmur2.tsv");
    /// The partition counts of the fixture's last four columns.
    const COUNTS: [u32; 4] = [3, 12, 100, 1000];

    #[test]
    fn a_key_lands_on_the_partition_that_the_java_client_picks() {
        let mut keys = 0;
        for line in FIXTURE.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split('\t').collect();
            let key = base64_simd::STANDARD.decode_to_vec(fields[0]).expect("base64");
            let hash: i32 = fields[1].parse().expect("a hash");
            assert_eq!(murmur2(&key).cast_signed(), hash, "{line}");
            let expected: Vec<u32> = fields[2..].iter().map(|p| p.parse().expect("a partition")).collect();
            assert_eq!(
                COUNTS.map(|count| partition_for_key(&key, count)).as_slice(),
                expected,
                "{line}"
            );
            keys += 1;
        }
        assert!(keys >= 10_000, "only {keys} keys");
    }
}
