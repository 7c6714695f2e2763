//! A Kafka client that sends any bytes: requests and batches by hand, right ones and wrong ones.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long to wait for an answer on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);
pub(crate) const PRODUCE: (i16, i16) = (0, 8);
pub(crate) const METADATA: (i16, i16) = (3, 4);
pub(crate) const INIT_PRODUCER_ID: (i16, i16) = (22, 1);

/// Kafka's codes.
pub(crate) const NONE: i16 = 0;
pub(crate) const CORRUPT_MESSAGE: i16 = 2;
pub(crate) const UNKNOWN_TOPIC: i16 = 3;
pub(crate) const TOO_LARGE: i16 = 10;
pub(crate) const OUT_OF_ORDER: i16 = 45;
pub(crate) const INVALID_RECORD: i16 = 87;

/// One connection.
pub(crate) struct Wire {
    stream: TcpStream,
    correlation: i32,
}

/// What is answered about one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) error: i16,
    pub(crate) base_offset: i64,
    /// Records by index, each with its reason.
    pub(crate) records: Vec<(i32, String)>,
    pub(crate) message: Option<String>,
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("an option");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time limit");
        stream.set_write_timeout(Some(DEADLINE)).expect("a time limit");
        Self { stream, correlation: 0 }
    }

    /// Sends bytes as they are. False: the other side has closed.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends a request of this kind and version.
    pub(crate) fn send(&mut self, kind: (i16, i16), body: &[u8]) {
        self.correlation += 1;
        let request = request(kind, self.correlation, body);
        assert!(self.bytes(&request), "the connection is closed");
    }

    /// The next answer without its correlation id; None if the connection is closed.
    pub(crate) fn answer(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).ok()?;
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut answer).ok()?;
        Some(answer.split_off(4))
    }

    /// Whether the other side closes the connection without another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.stream.read(&mut [0]) {
            Ok(read) => read == 0,
            Err(error) => !matches!(
                error.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            ),
        }
    }

    /// Sends one batch, without waiting for its answer.
    pub(crate) fn send_batch(&mut self, topic: &str, partition: i32, acks: i16, batch: &[u8]) {
        self.send(PRODUCE, &produce(acks, 30_000, &[(topic, partition, batch)]));
    }

    /// The same for partition 0 and acks=all. False: the other side has closed.
    pub(crate) fn try_send_batch(&mut self, topic: &str, batch: &[u8]) -> bool {
        self.correlation += 1;
        self.bytes(&request(
            PRODUCE,
            self.correlation,
            &produce(-1, 30_000, &[(topic, 0, batch)]),
        ))
    }

    /// The answer to the oldest batch that has none yet.
    pub(crate) fn told(&mut self) -> Told {
        let answer = self.answer().expect("an answer");
        told(&answer).remove(0)
    }

    /// Sends one batch and returns what is told of it.
    pub(crate) fn produce(&mut self, topic: &str, batch: &[u8]) -> Told {
        self.send_batch(topic, 0, -1, batch);
        self.told()
    }

    /// A new producer id.
    pub(crate) fn producer(&mut self) -> Producer {
        self.send(
            INIT_PRODUCER_ID,
            &[&[0xff, 0xff][..], &60_000_i32.to_be_bytes()].concat(),
        );
        let answer = self.answer().expect("an answer");
        let mut rest = Rest(&answer[4..]);
        assert_eq!(rest.i16(), NONE);
        Producer {
            id: rest.i64(),
            epoch: rest.i16(),
            next: 0,
        }
    }

    /// The topics with their errors and numbers of partitions; `None` asks for all.
    pub(crate) fn metadata(&mut self, topics: Option<&[&str]>) -> Vec<(String, i16, i32)> {
        self.send(METADATA, &metadata(topics));
        let answer = self.answer().expect("an answer");
        let mut rest = Rest(&answer);
        rest.i32();
        for _ in 0..rest.i32() {
            rest.i32();
            rest.text();
            rest.i32();
            rest.text();
        }
        rest.text();
        rest.i32();
        let topics = rest.i32();
        let topic = |rest: &mut Rest<'_>| {
            let error = rest.i16();
            let name = rest.text().expect("a name");
            rest.take(1);
            let partitions = rest.i32();
            for _ in 0..partitions {
                rest.i16();
                rest.take(8);
                for _ in 0..2 {
                    let nodes = rest.i32();
                    rest.take(4 * nodes as usize);
                }
            }
            (name, error, partitions)
        };
        (0..topics).map(|_| topic(&mut rest)).collect()
    }
}

/// A producer with an id.
#[derive(Debug, Clone)]
pub(crate) struct Producer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
    /// The sequence of the next batch.
    pub(crate) next: i32,
}

impl Producer {
    /// The next batch with these records.
    pub(crate) fn batch(&mut self, records: &[Record<'_>]) -> Vec<u8> {
        let batch = Batch {
            producer: Some((self.id, self.epoch, self.next)),
            ..Batch::of(records)
        };
        self.next = self.next.wrapping_add(records.len() as i32) & i32::MAX;
        batch.bytes()
    }
}

/// A record of a batch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Vec<(&'a str, Option<&'a [u8]>)>,
    /// Added to the batch's, ms.
    pub(crate) timestamp_delta: i64,
}

/// A record with this key and value.
pub(crate) fn record<'a>(key: &'a str, value: &'a str) -> Record<'a> {
    Record {
        key: Some(key.as_bytes()),
        value: Some(value.as_bytes()),
        ..Record::default()
    }
}

/// A batch, whose every part may be wrong.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) magic: u8,
    pub(crate) attributes: i16,
    pub(crate) base_timestamp: i64,
    /// Id, epoch, base sequence.
    pub(crate) producer: Option<(i64, i16, i32)>,
    /// What it announces.
    pub(crate) count: i32,
    /// The records, perhaps compressed.
    pub(crate) body: Vec<u8>,
}

/// A time that every topic takes.
pub(crate) const TIME: i64 = 1_700_000_000_000;

impl Batch {
    pub(crate) fn of(records: &[Record<'_>]) -> Self {
        let mut body = Vec::new();
        for (delta, record) in records.iter().enumerate() {
            let inside = encoded(record, delta as i64);
            varint(&mut body, inside.len() as i64);
            body.extend(inside);
        }
        Self {
            magic: 2,
            attributes: 0,
            base_timestamp: TIME,
            producer: None,
            count: records.len() as i32,
            body,
        }
    }

    /// As it is sent, with the right checksum.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let (id, epoch, sequence) = self.producer.unwrap_or((-1, -1, -1));
        let mut checked = Vec::new();
        checked.extend(self.attributes.to_be_bytes());
        checked.extend(self.count.wrapping_sub(1).to_be_bytes());
        checked.extend(self.base_timestamp.to_be_bytes());
        checked.extend((self.base_timestamp + i64::from(self.count)).to_be_bytes());
        checked.extend(id.to_be_bytes());
        checked.extend(epoch.to_be_bytes());
        checked.extend(sequence.to_be_bytes());
        checked.extend(self.count.to_be_bytes());
        checked.extend(&self.body);
        let mut batch = Vec::new();
        batch.extend(0_i64.to_be_bytes());
        batch.extend((checked.len() as i32 + 9).to_be_bytes());
        batch.extend((-1_i32).to_be_bytes());
        batch.push(self.magic);
        batch.extend(crc32c::crc32c(&checked).to_be_bytes());
        batch.extend(checked);
        batch
    }
}

fn encoded(record: &Record<'_>, offset_delta: i64) -> Vec<u8> {
    let mut inside = vec![0];
    varint(&mut inside, record.timestamp_delta);
    varint(&mut inside, offset_delta);
    let part = |inside: &mut Vec<u8>, bytes: Option<&[u8]>| match bytes {
        None => varint(inside, -1),
        Some(bytes) => {
            varint(inside, bytes.len() as i64);
            inside.extend(bytes);
        }
    };
    part(&mut inside, record.key);
    part(&mut inside, record.value);
    varint(&mut inside, record.headers.len() as i64);
    for (name, value) in &record.headers {
        part(&mut inside, Some(name.as_bytes()));
        part(&mut inside, *value);
    }
    inside
}

/// A zigzag varint.
pub(crate) fn varint(to: &mut Vec<u8>, value: i64) {
    let mut left = ((value << 1) ^ (value >> 63)) as u64;
    while left >= 0x80 {
        to.push(left as u8 | 0x80);
        left >>= 7;
    }
    to.push(left as u8);
}

/// The body of a Metadata request.
pub(crate) fn metadata(topics: Option<&[&str]>) -> Vec<u8> {
    let mut body = Vec::new();
    match topics {
        None => body.extend((-1_i32).to_be_bytes()),
        Some(topics) => {
            body.extend((topics.len() as i32).to_be_bytes());
            body.extend(topics.iter().flat_map(|topic| text(topic)));
        }
    }
    body.push(1);
    body
}

/// The body of a Produce request.
pub(crate) fn produce(acks: i16, timeout_ms: i32, batches: &[(&str, i32, &[u8])]) -> Vec<u8> {
    let mut body = vec![0xff, 0xff];
    body.extend(acks.to_be_bytes());
    body.extend(timeout_ms.to_be_bytes());
    body.extend((batches.len() as i32).to_be_bytes());
    for (topic, partition, batch) in batches {
        body.extend(text(topic));
        body.extend(1_i32.to_be_bytes());
        body.extend(partition.to_be_bytes());
        body.extend((batch.len() as i32).to_be_bytes());
        body.extend(*batch);
    }
    body
}

/// What an answer to Produce tells of each batch.
pub(crate) fn told(answer: &[u8]) -> Vec<Told> {
    let mut rest = Rest(answer);
    let mut all = Vec::new();
    for _ in 0..rest.i32() {
        rest.text();
        for _ in 0..rest.i32() {
            rest.i32();
            let error = rest.i16();
            let base_offset = rest.i64();
            rest.take(16);
            let records = rest.i32();
            let record = |rest: &mut Rest<'_>| (rest.i32(), rest.text().unwrap_or_default());
            all.push(Told {
                error,
                base_offset,
                records: (0..records).map(|_| record(&mut rest)).collect(),
                message: rest.text(),
            });
        }
    }
    all
}

/// A whole request of this kind and version.
pub(crate) fn request((key, version): (i16, i16), correlation: i32, body: &[u8]) -> Vec<u8> {
    let mut request = Vec::new();
    request.extend(key.to_be_bytes());
    request.extend(version.to_be_bytes());
    request.extend(correlation.to_be_bytes());
    request.extend(text("tests"));
    request.extend(body);
    framed(&request)
}

/// The length before these bytes.
pub(crate) fn framed(request: &[u8]) -> Vec<u8> {
    let mut frame = (request.len() as i32).to_be_bytes().to_vec();
    frame.extend(request);
    frame
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as i16).to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

/// What is left of an answer.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take(2).try_into().expect("two"))
    }

    fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.take(4).try_into().expect("four"))
    }

    fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.take(8).try_into().expect("eight"))
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.i16()).ok()?;
        Some(String::from_utf8_lossy(self.take(length)).into_owned())
    }
}
