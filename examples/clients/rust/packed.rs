//! Packed records, the fastest way in, and the outcomes that come back in the same way:
//! `application/vnd.pointsman.records`. This module only makes and reads bytes; docs/packed-records.md of the project
//! has the layout.
#![allow(
    unreachable_pub,
    dead_code,
    reason = "a library by itself, here compiled into programs"
)]

/// `Content-Type` of a batch, and what `Accept` must name for packed outcomes.
pub const CONTENT_TYPE: &str = "application/vnd.pointsman.records";

const HAS_PARTITION: u16 = 1;
const HAS_TIMESTAMP: u16 = 2;
const HAS_TOPIC: u16 = 4;
const IS_LATE: u8 = 1;
const HAS_ERROR: u8 = 2;
const HAS_PLUGIN: u8 = 4;

/// A record to be packed.
#[derive(Debug, Clone, Default)]
pub struct Record<'a> {
    /// Needed with `/v1/records` only.
    pub topic: Option<&'a str>,
    /// None: no key, which is different from an empty one.
    pub key: Option<&'a [u8]>,
    /// None: a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers, in order; names may repeat.
    pub headers: Vec<(&'a str, Option<&'a [u8]>)>,
    /// The partition, which wins over the partitioner.
    pub partition: Option<u32>,
    /// Milliseconds since 1970. None: the time of the sidecar's clock.
    pub timestamp: Option<u64>,
}

/// A batch that records are packed into, one after the other.
pub struct Batch {
    bytes: Vec<u8>,
    count: u32,
}

impl Default for Batch {
    fn default() -> Self {
        let bytes = b"PMR\x01\0\0\0\0".to_vec();
        Self { bytes, count: 0 }
    }
}

impl Batch {
    /// Adds a record.
    pub fn push(&mut self, record: &Record<'_>) {
        let flag = |is: bool, flag: u16| if is { flag } else { 0 };
        let flags = flag(record.partition.is_some(), HAS_PARTITION)
            | flag(record.timestamp.is_some(), HAS_TIMESTAMP)
            | flag(record.topic.is_some(), HAS_TOPIC);
        let start = self.bytes.len();
        // Room for the size.
        self.put(&[0; 4]);
        self.put(&flags.to_le_bytes());
        self.put(&(record.headers.len() as u16).to_le_bytes());
        self.put_length(record.key);
        self.put_length(record.value);
        if let Some(partition) = record.partition {
            self.put(&partition.to_le_bytes());
        }
        if let Some(timestamp) = record.timestamp {
            self.put(&timestamp.to_le_bytes());
        }
        if let Some(topic) = record.topic {
            self.put_length(Some(topic.as_bytes()));
            self.put(topic.as_bytes());
        }
        for (name, value) in &record.headers {
            self.put_length(Some(name.as_bytes()));
            self.put_length(*value);
            self.put(name.as_bytes());
            self.put(value.unwrap_or_default());
        }
        self.put(record.key.unwrap_or_default());
        self.put(record.value.unwrap_or_default());
        let size = (self.bytes.len() - start - 4) as u32;
        self.bytes[start..start + 4].copy_from_slice(&size.to_le_bytes());
        self.count += 1;
    }

    /// The body of a request.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes[4..8].copy_from_slice(&self.count.to_le_bytes());
        self.bytes
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn put_length(&mut self, bytes: Option<&[u8]>) {
        let length = bytes.map_or(-1, |bytes| bytes.len() as i32);
        self.put(&length.to_le_bytes());
    }
}

/// All records in one batch.
pub fn pack<'a>(records: impl IntoIterator<Item = Record<'a>>) -> Vec<u8> {
    let mut batch = Batch::default();
    records.into_iter().for_each(|record| batch.push(&record));
    batch.finish()
}

/// The reply to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The producer's generation.
    pub generation: u32,
    /// With `ack=none`, how many records were taken; 0 otherwise.
    pub accepted: u32,
    /// The outcomes, in the order of the request; with `ack=none` only those of refused records.
    pub outcomes: Vec<Outcome>,
}

/// The outcome of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its place in the request.
    pub index: u32,
    /// `acked`, `rejected`, `failed` or `unknown`.
    pub outcome: &'static str,
    /// Whether a repeat of a numbered request handed the record over.
    pub late: bool,
    /// Of one that is `acked`.
    pub partition: Option<u32>,
    /// Of an `acked` record, unless the broker said only that it had the record already.
    pub offset: Option<i64>,
    /// Of an `acked` record, milliseconds since 1970.
    pub timestamp: Option<i64>,
    /// Code and message of a record that is not `acked`.
    pub error: Option<(String, String)>,
    /// Name and digest of the plugin that was asked, with `Pointsman-Trace: 1`.
    pub plugin: Option<(String, String)>,
}

/// Reads a packed reply. None where the bytes are not one.
pub fn unpack(body: &[u8]) -> Option<Reply> {
    let mut rest = Rest(body);
    (rest.array()? == *b"PMO\x01").then_some(())?;
    let (generation, accepted, count) = (rest.u32()?, rest.u32()?, rest.u32()?);
    let mut outcomes = Vec::new();
    for _ in 0..count {
        outcomes.push(rest.outcome()?);
    }
    rest.0.is_empty().then_some(Reply {
        generation,
        accepted,
        outcomes,
    })
}

struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// A number of 64 bits; −1 stands for none.
    fn number(&mut self) -> Option<Option<i64>> {
        let number = self.array().map(i64::from_le_bytes)?;
        Some((number != -1).then_some(number))
    }

    fn text(&mut self) -> Option<String> {
        let length = self.u32()? as usize;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }

    fn outcome(&mut self) -> Option<Outcome> {
        let index = self.u32()?;
        let [outcome, flags, _, _] = self.array()?;
        let partition = u32::try_from(self.array().map(i32::from_le_bytes)?).ok();
        let (offset, timestamp) = (self.number()?, self.number()?);
        let mut texts = |flag: u8| match flags & flag {
            0 => Some(None),
            _ => Some(Some((self.text()?, self.text()?))),
        };
        Some(Outcome {
            index,
            outcome: ["acked", "rejected", "failed", "unknown"].get(usize::from(outcome))?,
            late: flags & IS_LATE != 0,
            partition,
            offset,
            timestamp,
            error: texts(HAS_ERROR)?,
            plugin: texts(HAS_PLUGIN)?,
        })
    }
}
