//! Reads a topic back from its brokers: every partition from its beginning to its end.
//!
//! ```text
//! read-back [--json] [--sent FILE] [--keys-are NAME] BOOTSTRAP_SERVERS TOPIC
//! ```
//!
//! Prints how many records and which keys each partition holds, and says whether any key is in two of them. `--sent
//! FILE`, the NDJSON that was sent, also checks that the last records of each key are those of the file, byte for byte
//! and in its order. `--json` prints the records instead, one object a line, in the form that Pointsman takes.
//!
//! The exit code is 0 when what was checked holds, else 1.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is a program for a terminal"
)]

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    env, fs,
    io::{IsTerminal as _, Write as _, stdout},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::{Headers as _, OwnedMessage},
};
use serde_json::{Value, json, value::RawValue};

/// How long to wait for each answer of the brokers, and for a record to arrive.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The width where the terminal does not tell it.
const DEFAULT_COLUMNS: usize = 100;
const USAGE: &str = "usage: read-back [--json] [--sent FILE] [--keys-are NAME] BOOTSTRAP_SERVERS TOPIC";

/// The options of the command line.
struct Options {
    json: bool,
    sent: Option<String>,
    /// The name that the table gives the keys.
    keys_are: String,
    servers: String,
    topic: String,
}

/// The records of each partition, in the order of their offsets.
type Partitions = BTreeMap<i32, Vec<OwnedMessage>>;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("read-back: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether all checks hold.
fn run() -> anyhow::Result<bool> {
    let options = Options::read(env::args().skip(1))?;
    let partitions = read(&options.servers, &options.topic)?;
    if options.json {
        print_json(&partitions)?;
        return Ok(true);
    }
    print_table(&partitions, &options.keys_are);
    let checks = [
        Some(no_key_in_two_partitions(&partitions)),
        options
            .sent
            .map(|file| in_the_order_sent(&partitions, &file))
            .transpose()?,
    ];
    let mut holds = true;
    for (held, line) in checks.into_iter().flatten() {
        println!(
            "{} {line}",
            paint(if held { "32" } else { "31" }, if held { "✓" } else { "✗" })
        );
        holds &= held;
    }
    Ok(holds)
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let (mut json, mut sent, mut keys_are, mut places) = (false, None, "keys".to_owned(), Vec::new());
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--json" => json = true,
                "--sent" => sent = Some(arguments.next().context(USAGE)?),
                "--keys-are" => keys_are = arguments.next().context(USAGE)?,
                option if option.starts_with('-') => bail!("{option} is not an option\n{USAGE}"),
                _ => places.push(argument),
            }
        }
        let [servers, topic] = <[String; 2]>::try_from(places).ok().context(USAGE)?;
        Ok(Self {
            json,
            sent,
            keys_are,
            servers,
            topic,
        })
    }
}

/// All records between the first offset and the high watermark of each partition, as they are now.
fn read(servers: &str, topic: &str) -> anyhow::Result<Partitions> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        // A consumer must have one; no group is joined, and no offset is committed.
        .set("group.id", "read-back")
        .set("enable.auto.commit", "false")
        .create()?;
    let metadata = consumer
        .fetch_metadata(Some(topic), TIMEOUT)
        .with_context(|| format!("no answer from {servers}"))?;
    let found = metadata
        .topics()
        .first()
        .context("the brokers say nothing of the topic")?;
    if let Some(error) = found.error() {
        bail!("topic {topic}: {}", rdkafka::types::RDKafkaErrorCode::from(error));
    }
    let mut partitions = Partitions::new();
    let mut ends = HashMap::new();
    let mut assignment = TopicPartitionList::new();
    for partition in found.partitions() {
        let (first, end) = consumer.fetch_watermarks(topic, partition.id(), TIMEOUT)?;
        partitions.insert(partition.id(), Vec::new());
        if first < end {
            ends.insert(partition.id(), end);
            assignment.add_partition_offset(topic, partition.id(), Offset::Offset(first))?;
        }
    }
    consumer.assign(&assignment)?;
    let mut heard = Instant::now();
    while !ends.is_empty() {
        match consumer.poll(Duration::from_millis(100)) {
            Some(message) => {
                let message = message?.detach();
                heard = Instant::now();
                let (partition, offset) = (message.partition(), message.offset());
                if ends.get(&partition).is_some_and(|end| offset + 1 >= *end) {
                    ends.remove(&partition);
                }
                partitions.entry(partition).or_default().push(message);
            }
            None if heard.elapsed() > TIMEOUT => bail!("no record for {} s, and not at the end", TIMEOUT.as_secs()),
            None => {}
        }
    }
    Ok(partitions)
}

/// Prints one line for each record, in the form of `application/x-ndjson`, with its partition and offset.
fn print_json(partitions: &Partitions) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    for message in partitions.values().flatten() {
        let mut line = json!({
            "partition": message.partition(),
            "offset": message.offset(),
            "timestamp": message.timestamp().to_millis(),
        });
        match message.key().map(str::from_utf8) {
            Some(Ok(key)) => line["key"] = key.into(),
            Some(Err(_)) => line["key_base64"] = base64(message.key()),
            None => {}
        }
        if let Some(headers) = message.headers() {
            line["headers"] = headers
                .iter()
                .map(|header| (header.key.to_owned(), text(header.value)))
                .collect::<serde_json::Map<_, _>>()
                .into();
        }
        // A value that is JSON is printed as it is, not read and written again.
        let json_value = message
            .payload()
            .and_then(|value| serde_json::from_slice::<&RawValue>(value).ok());
        match (json_value, message.payload()) {
            (Some(raw), _) => {
                let line = line.to_string();
                let open = line.strip_suffix('}').unwrap_or_default();
                writeln!(out, "{open},\"value\":{}}}", raw.get())?;
                continue;
            }
            (None, Some(value)) => line["value_base64"] = base64(Some(value)),
            (None, None) => line["value"] = Value::Null,
        }
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// A header's value: text where it is text, else null or bytes.
fn text(value: Option<&[u8]>) -> Value {
    match value.map(str::from_utf8) {
        Some(Ok(text)) => text.into(),
        Some(Err(_)) => json!({"base64": base64(value)}),
        None => Value::Null,
    }
}

fn base64(bytes: Option<&[u8]>) -> Value {
    bytes.map(|bytes| base64_simd::STANDARD.encode_to_string(bytes)).into()
}

fn print_table(partitions: &Partitions, keys_are: &str) {
    let columns = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    // The columns left of the keys take 36 characters.
    let room = columns.unwrap_or(DEFAULT_COLUMNS).saturating_sub(36).max(16);
    println!(
        "{}",
        paint("1", &format!("{:>9}  {:>9}  {:>12}", "partition", "records", keys_are))
    );
    let mut all_keys = HashSet::new();
    for (partition, messages) in partitions {
        let counts = by_count(messages);
        all_keys.extend(messages.iter().map(|message| message.key()));
        let line = format!("{partition:>9}  {:>9}  {:>12}  ", messages.len(), counts.len());
        println!("{}", format!("{line}{}", paint("2", &listed(&counts, room))).trim_end());
    }
    let records: usize = partitions.values().map(Vec::len).sum();
    let line = format!("{:>9}  {records:>9}  {:>12}", "all", all_keys.len());
    println!("{}\n", paint("1", &line));
}

/// The keys and how often each occurs, the most frequent first.
fn by_count(messages: &[OwnedMessage]) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for message in messages {
        *counts.entry(shown(message)).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

/// A key for a person.
fn shown(message: &OwnedMessage) -> String {
    match message.key() {
        Some(key) => String::from_utf8_lossy(key).escape_debug().to_string(),
        None => "(no key)".to_owned(),
    }
}

/// As many keys as fit on the line.
fn listed(counts: &[(String, usize)], room: usize) -> String {
    let mut line = String::new();
    for (key, count) in counts {
        let next = format!("{key} {count}  ");
        if line.chars().count() + next.chars().count() > room {
            line.push('…');
            break;
        }
        line.push_str(&next);
    }
    line.trim_end().to_owned()
}

fn no_key_in_two_partitions(partitions: &Partitions) -> (bool, String) {
    let mut seen: HashMap<&[u8], i32> = HashMap::new();
    for (partition, messages) in partitions {
        for message in messages {
            let Some(key) = message.key() else { continue };
            let other = *seen.entry(key).or_insert(*partition);
            if other != *partition {
                let key = shown(message);
                return (false, format!("{key} stands in partition {other} and in {partition}"));
            }
        }
    }
    (
        true,
        format!("each of the {} keys stands in one partition only", seen.len()),
    )
}

/// Whether the last records of each key are those of the file. There may be more records before them, from earlier
/// requests.
fn in_the_order_sent(partitions: &Partitions, file: &str) -> anyhow::Result<(bool, String)> {
    #[derive(serde::Deserialize)]
    struct Sent<'a> {
        key: String,
        #[serde(borrow)]
        value: &'a RawValue,
    }
    let sent = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    let mut wanted: BTreeMap<Vec<u8>, Vec<&[u8]>> = BTreeMap::new();
    let mut count = 0;
    for line in sent.lines() {
        let record: Sent<'_> = serde_json::from_str(line)?;
        let values = wanted.entry(record.key.into_bytes()).or_default();
        values.push(record.value.get().as_bytes());
        count += 1;
    }
    let mut found: HashMap<&[u8], Vec<&[u8]>> = HashMap::new();
    for message in partitions.values().flatten() {
        let values = found.entry(message.key().unwrap_or_default()).or_default();
        values.push(message.payload().unwrap_or_default());
    }
    for (key, values) in &wanted {
        if !found.get(&**key).is_some_and(|found| found.ends_with(values)) {
            let key = String::from_utf8_lossy(key);
            return Ok((
                false,
                format!("the last records of {key} are not the ones sent, or not in the order sent"),
            ));
        }
    }
    Ok((
        true,
        format!("the records of each key are in the order sent, byte for byte ({count} compared)"),
    ))
}

/// Coloured text on a terminal.
fn paint(code: &str, text: &str) -> String {
    if stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}
