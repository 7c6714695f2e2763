//! The records that are sent: made up from their number, so that whoever asks for the same number gets the same record.

/// What an object's note is made of.
const WORDS: [&str; 16] = [
    "deliver", "before", "noon", "to", "the", "back", "door", "ring", "twice", "second", "floor", "gift", "wrapped",
    "call", "customer", "first",
];
const CURRENCIES: [&str; 8] = ["EUR", "USD", "GBP", "CHF", "SEK", "PLN", "JPY", "INR"];

/// The key of a connection's record.
#[must_use]
pub fn key(connection: usize, index: usize) -> String {
    format!("key-{connection}-{index}")
}

/// The value of a connection's record: a JSON object of six fields, 130 to 210 bytes.
#[must_use]
pub fn object(connection: usize, index: usize) -> String {
    let mut dice = fastrand::Rng::with_seed(((connection as u64) << 32) | index as u64);
    let id = dice.u32(100_000_000..);
    let customer = dice.u32(100_000..1_000_000);
    let (whole, cents) = (dice.u32(1..10_000), dice.u32(..100));
    let currency = CURRENCIES[dice.usize(..CURRENCIES.len())];
    let [day, hour, minute] = [dice.u32(1..29), dice.u32(..24), dice.u32(..60)];
    let words = dice.usize(5..11);
    let note: Vec<_> = (0..words).map(|_| WORDS[dice.usize(..WORDS.len())]).collect();
    format!(
        "{{\"id\":{id},\"customer\":\"c-{customer}\",\"amount\":{whole}.{cents:02},\"currency\":\"{currency}\",\
         \"created-at\":\"2026-11-{day:02}T{hour:02}:{minute:02}:00Z\",\"note\":\"{}\"}}",
        note.join(" ")
    )
}

/// The tenant of a connection's record, one of so many: the n-th has 1/n of the records of the first (Zipf's law).
#[must_use]
pub fn tenant(connection: usize, index: usize, tenants: usize) -> String {
    let mut dice = fastrand::Rng::with_seed(!(((connection as u64) << 32) | index as u64));
    // The sum of 1/n up to a number is nearly its logarithm.
    let number = (tenants as f64 + 1.0).powf(dice.f64()) as usize;
    tenant_name(number.clamp(1, tenants))
}

/// The name of the tenant with this number, from 1 on.
#[must_use]
pub fn tenant_name(number: usize) -> String {
    format!("tenant-{number:06}")
}
