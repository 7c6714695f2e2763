//! Settings of the Java producer that need more than another name: time-outs, ages, compression levels, and settings
//! that the host itself acts on.

use super::draft::{Draft, Given, PropertyError, shown};

/// librdkafka's own defaults, needed where one value must not exceed another.
const RECONNECT_BACKOFF_MS: i64 = 100;
const RECONNECT_BACKOFF_MAX_MS: i64 = 10_000;
/// One step below the maximum of `queue.buffering.max.kbytes`, which the host must be able to set above
/// `buffer.memory`.
const BUFFER_MEMORY_MAX: u64 = 2_147_483_646 * 1024;

type Subject = fn(&Given<'_>, &mut Draft) -> Result<(), PropertyError>;

/// Each subject is checked by itself, so that each gets an error of its own.
const SUBJECTS: [Subject; 6] = [
    request_timeout,
    metadata_age,
    reconnect_backoff,
    compression_level,
    buffer_memory,
    max_block,
];

pub(super) fn translate(given: &Given<'_>, draft: &mut Draft) -> Vec<PropertyError> {
    let refused = SUBJECTS.iter().filter_map(|subject| subject(given, draft).err());
    refused.collect()
}

/// In Java, `request.timeout.ms` is both how long the broker may wait for its replicas and how long the client waits
/// for the broker. The old `timeout.ms` is only the broker's wait. librdkafka's name for the client's wait is
/// `socket.timeout.ms`.
fn request_timeout(given: &Given<'_>, draft: &mut Draft) -> Result<(), PropertyError> {
    if let Some(value) = given.get("timeout.ms") {
        draft.note(
            "`timeout.ms` is an old name: taken as the broker's wait, `request.timeout.ms` of librdkafka".to_owned(),
        );
        draft.set("request.timeout.ms", "timeout.ms", value)?;
    }
    let Some(value) = given.get("request.timeout.ms") else {
        return Ok(());
    };
    if !given.contains_key("timeout.ms") {
        draft.set("request.timeout.ms", "request.timeout.ms", value)?;
    }
    // A team that writes both names means librdkafka's meaning of each.
    if !given.contains_key("socket.timeout.ms") {
        draft.set("socket.timeout.ms", "request.timeout.ms", value)?;
    }
    Ok(())
}

/// Java refreshes metadata that is older than `metadata.max.age.ms`. In librdkafka that is the refresh interval. Its
/// property with Java's name says how long a topic is remembered without a refresh: by default, three intervals.
fn metadata_age(given: &Given<'_>, draft: &mut Draft) -> Result<(), PropertyError> {
    const AGE: &str = "metadata.max.age.ms";
    const INTERVAL: &str = "topic.metadata.refresh.interval.ms";
    let Some(value) = given.get(AGE) else {
        // Set here, because librdkafka's own product of three intervals is not bounded.
        if let Some(interval) = draft.number(INTERVAL).filter(|interval| *interval > 0) {
            draft.put(AGE, INTERVAL, (3 * interval).to_string())?;
        }
        return Ok(());
    };
    if given.contains_key(INTERVAL) {
        return draft.set(AGE, AGE, value);
    }
    draft.set(INTERVAL, AGE, value)?;
    match draft.number(INTERVAL) {
        Some(interval) if interval > 0 => draft.put(AGE, AGE, (3 * interval).to_string()),
        // Java's 0 asks for a refresh before every send, which no cluster survives.
        _ => Err(PropertyError::new(
            AGE,
            format!("is \"{value}\"; expected a whole number from 1"),
        )),
    }
}

/// librdkafka refuses a longest wait that is shorter than the first wait; Java then uses the first wait.
fn reconnect_backoff(given: &Given<'_>, draft: &mut Draft) -> Result<(), PropertyError> {
    const FIRST: &str = "reconnect.backoff.ms";
    const LONGEST: &str = "reconnect.backoff.max.ms";
    for name in [FIRST, LONGEST] {
        if let Some(value) = given.get(name) {
            draft.set(name, name, value)?;
        }
    }
    let (first, longest) = (draft.number(FIRST), draft.number(LONGEST));
    if first.unwrap_or(RECONNECT_BACKOFF_MS) <= longest.unwrap_or(RECONNECT_BACKOFF_MAX_MS) {
        return Ok(());
    }
    match (first, longest) {
        // Only a small longest wait is given, so the first wait is lowered to it.
        (None, Some(longest)) => {
            draft.note(format!(
                "`{LONGEST}` is below librdkafka's first wait: `{FIRST}` is set to {longest} too"
            ));
            draft.put(FIRST, LONGEST, longest.to_string())
        }
        (Some(first), _) => {
            draft.note(format!(
                "`{LONGEST}` is raised to {first}, so that it is not below `{FIRST}`"
            ));
            draft.out.properties.remove(LONGEST);
            draft.put(LONGEST, FIRST, first.to_string())
        }
        (None, None) => Ok(()),
    }
}

/// Java has a level for each codec; librdkafka has one level, for the codec in use.
fn compression_level(given: &Given<'_>, draft: &mut Draft) -> Result<(), PropertyError> {
    // (codec, smallest and largest level in Java, smallest and largest level with the same meaning in librdkafka)
    const CODECS: [(&str, [i64; 2], [i64; 2]); 3] = [
        ("gzip", [-1, 9], [-1, 9]),
        ("lz4", [1, 17], [1, 12]),
        // Java's negative levels of zstd are the fastest. In librdkafka -1 is the default level, and 1 is nearest to
        // them.
        ("zstd", [-131_072, 22], [1, 12]),
    ];
    for (codec, [java_min, java_max], [min, max]) in CODECS {
        let key = format!("compression.{codec}.level");
        let Some(value) = given.get(key.as_str()) else {
            continue;
        };
        let level = value
            .parse::<i64>()
            .ok()
            .filter(|level| (java_min..=java_max).contains(level));
        let Some(level) = level else {
            let value = shown(value);
            let message = format!("is \"{value}\"; expected a whole number from {java_min} to {java_max}");
            return Err(PropertyError::new(&key, message));
        };
        if draft.get("compression.type") != Some(codec) {
            draft.note(format!("`{key}` is ignored: `compression.type` is not {codec}"));
            continue;
        }
        // 0 is the codec's default level in both.
        let used = if level == 0 { 0 } else { level.clamp(min, max) };
        if used != level {
            draft.note(format!(
                "`{key}`: {used} is used, the nearest level that librdkafka has"
            ));
        }
        draft.put("compression.level", &key, used.to_string())?;
    }
    Ok(())
}

fn buffer_memory(given: &Given<'_>, draft: &mut Draft) -> Result<(), PropertyError> {
    const KEY: &str = "buffer.memory";
    const QUEUE: &str = "queue.buffering.max.kbytes";
    let Some(value) = given.get(KEY) else {
        return Ok(());
    };
    let bytes = whole_number(KEY, value, 1, BUFFER_MEMORY_MAX)?;
    let queue = draft.number(QUEUE).and_then(|kbytes| u64::try_from(kbytes).ok());
    if queue.is_some_and(|kbytes| kbytes * 1024 <= bytes) {
        return Err(PropertyError::new(
            KEY,
            format!(
                "must be less than `{QUEUE}` × 1024, or a request may find the queue full half-way; raise `{QUEUE}` or remove it"
            ),
        ));
    }
    draft.out.buffer_memory = Some(bytes);
    Ok(())
}

fn max_block(given: &Given<'_>, draft: &mut Draft) -> Result<(), PropertyError> {
    const OLD: &str = "metadata.fetch.timeout.ms";
    for key in ["max.block.ms", OLD] {
        let Some(value) = given.get(key) else {
            continue;
        };
        let wait = whole_number(key, value, 0, i64::MAX.unsigned_abs())?;
        if key == OLD {
            draft.note(format!("`{OLD}` is an old name: taken as `max.block.ms`"));
        }
        if draft.out.max_block_ms.is_some_and(|other| other != wait) {
            return Err(PropertyError::new(
                key,
                "is the same setting as `max.block.ms`, which has a different value; keep one of the two",
            ));
        }
        draft.out.max_block_ms = Some(wait);
    }
    Ok(())
}

fn whole_number(key: &str, value: &str, min: u64, max: u64) -> Result<u64, PropertyError> {
    let number = value.parse::<u64>().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| {
        PropertyError::new(
            key,
            format!("is \"{}\"; expected a whole number from {min} to {max}", shown(value)),
        )
    })
}
