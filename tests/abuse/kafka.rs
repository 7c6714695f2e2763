//! What each kind of client does to the listener of Kafka's protocol, over and over until its time is up.

use std::io::Write as _;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::clients::{MIB, Target, until_closed};
use crate::support::kafka_wire::{
    Batch, INIT_PRODUCER_ID, METADATA, PRODUCE, Producer, Record, framed, metadata, produce, record, request,
};

/// The longest time that a client can give a request, ms.
const FOR_EVER: i32 = i32::MAX;
/// The most records of a batch.
const MOST_RECORDS: usize = 10_000;
/// As many topics and partitions as a request may name, and its topic.
const MOST_PARTITIONS: i32 = 9_999;

async fn connect(target: &Target) -> Option<TcpStream> {
    TcpStream::connect(target.kafka?).await.ok()
}

/// Sends the same requests for ever and reads no answer.
async fn send_and_never_read(target: &Target, requests: &[u8]) -> Option<()> {
    let mut socket = connect(target).await?;
    loop {
        socket.write_all(requests).await.ok()?;
    }
}

/// Sends the same requests for ever and forgets the answers.
async fn send_and_read(target: &Target, requests: &[u8]) -> Option<()> {
    let (mut reading, mut writing) = connect(target).await?.into_split();
    let sending = async { while writing.write_all(requests).await.is_ok() {} };
    let mut answers = vec![0; 64 << 10];
    let reading = async { while matches!(reading.read(&mut answers).await, Ok(1..)) {} };
    tokio::join!(sending, reading);
    None
}

/// Sends these bytes, and then nothing until the other side closes.
async fn send_and_stop(target: &Target, bytes: &[u8]) -> Option<()> {
    let mut socket = connect(target).await?;
    socket.write_all(bytes).await.ok()?;
    until_closed(&mut socket).await
}

fn to_topic(topic: &str, timeout_ms: i32, batch: &[u8]) -> Vec<u8> {
    request(PRODUCE, 1, &produce(-1, timeout_ms, &[(topic, 0, batch)]))
}

fn one_record() -> Vec<u8> {
    Batch::of(&[record("k", "v")]).bytes()
}

pub(super) fn half_requests(target: &Target) {
    let whole = framed(&vec![0; MIB]);
    target.each(1_000, move |target, number| {
        let part = match number % 4 {
            0 => Vec::new(),
            1 => ((8 * MIB) as i32).to_be_bytes().to_vec(),
            2 => whole[..3].to_vec(),
            _ => whole[..MIB / 2].to_vec(),
        };
        async move { send_and_stop(&target, &part).await }
    });
}

pub(super) fn unread_metadata(target: &Target) {
    // No topic can have such a name, so nothing has to be looked up.
    let names: Vec<String> = (0..MOST_RECORDS / 4).map(|number| format!("/{number:0>248}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let request = Bytes::from(request(METADATA, 1, &metadata(Some(&names))));
    target.each(100, move |target, _| {
        let request = request.clone();
        async move { send_and_never_read(&target, &request).await }
    });
}

/// A request with as many batches as there may be, none of which is one.
fn many_refused() -> Vec<u8> {
    let mut body = produce(-1, 30_000, &[("t", 0, b"")]);
    let one = body.split_off(body.len() - 12);
    body.extend(MOST_PARTITIONS.to_be_bytes());
    (0..MOST_PARTITIONS).for_each(|_| body.extend(&one[4..]));
    request(PRODUCE, 1, &body)
}

/// A batch of records that the topic refuses one by one, since their time has not come yet.
fn early_records() -> Vec<u8> {
    let batch = Batch {
        base_timestamp: 1 << 50,
        ..Batch::of(&vec![record("k", "v"); MOST_RECORDS])
    };
    to_topic("t", 30_000, &batch.bytes())
}

pub(super) fn unread_refusals(target: &Target) {
    let requests = [Bytes::from(many_refused()), Bytes::from(early_records())];
    target.each(100, move |target, number| {
        // The records of the second take a debug build much time.
        let request = requests[usize::from(number % 8 == 0)].clone();
        async move { send_and_never_read(&target, &request).await }
    });
}

pub(super) fn tiny_batches(target: &Target) {
    let many = |topic: &str, acks: i16| {
        let body = produce(acks, 30_000, &[(topic, 0, &one_record())]);
        Bytes::from(request(PRODUCE, 1, &body).repeat(500))
    };
    let requests = [many("busy", -1), many("frozen", -1), many("busy", 0), many("frozen", 0)];
    target.each(60, move |target, number| {
        let requests = requests[number % 4].clone();
        async move {
            match number % 8 {
                0..4 => send_and_never_read(&target, &requests).await,
                _ => send_and_read(&target, &requests).await,
            }
        }
    });
}

/// The same bytes in each compression, with its number.
fn compressed(body: &[u8]) -> Vec<(i16, Vec<u8>)> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    gzip.write_all(body).expect("compressed");
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(body).expect("compressed");
    vec![
        (1, gzip.finish().expect("compressed")),
        (2, snap::raw::Encoder::new().compress_vec(body).expect("compressed")),
        (3, lz4.finish().expect("compressed")),
        (4, zstd::bulk::compress(body, 3).expect("compressed")),
    ]
}

pub(super) fn bombs(target: &Target) {
    let text = "x".repeat(8 * MIB / MOST_RECORDS - 32);
    let full = Batch::of(&vec![record("k", &text); MOST_RECORDS]);
    let empty = Batch::of(&vec![Record::default(); MOST_RECORDS]);
    let bodies = [vec![0; 64 * MIB], full.body, empty.body];
    let part = "x".repeat(800 << 10);
    let largest = to_topic("frozen", 30_000, &Batch::of(&vec![record("k", &part); 10]).bytes());
    let mut requests: Vec<Bytes> = (bodies.iter().flat_map(|body| compressed(body)))
        .map(|(attributes, body)| {
            let count = MOST_RECORDS as i32;
            let batch = Batch {
                attributes,
                count,
                body,
                ..Batch::of(&[])
            };
            to_topic("frozen", 30_000, &batch.bytes()).into()
        })
        .collect();
    requests.push(largest.into());
    target.each(120, move |target, number| {
        let request = requests[number % requests.len()].clone();
        async move { send_and_read(&target, &request).await }
    });
}

pub(super) fn patient_batches(target: &Target) {
    let text = "x".repeat(100 << 10);
    let batch = Batch::of(&vec![record("k", &text); 10]).bytes();
    let request = Bytes::from(to_topic("frozen", FOR_EVER, &batch));
    target.each(200, move |target, _| {
        let request = request.clone();
        async move { send_and_read(&target, &request).await }
    });
}

pub(super) fn many_producers(target: &Target) {
    target.each(60, |target, number| async move {
        let init = request(
            INIT_PRODUCER_ID,
            1,
            &[&[0xff, 0xff][..], &60_000_i32.to_be_bytes()].concat(),
        );
        let mut random = fastrand::Rng::with_seed(number as u64);
        let mut requests = Vec::new();
        for _ in 0..1_000 {
            let mut producer = Producer {
                // Some share their ids with one another, over many connections at once.
                id: if number % 3 == 0 {
                    random.i64(0..4)
                } else {
                    random.i64(0..i64::MAX)
                },
                epoch: random.i16(0..3),
                next: if number % 3 == 1 { 0 } else { random.i32(0..5) },
            };
            let topic = if number % 5 == 0 { "frozen" } else { "busy" };
            requests.extend(to_topic(topic, 30_000, &producer.batch(&[record("k", "v")])));
            requests.extend(&init);
        }
        send_and_read(&target, &requests).await
    });
}

pub(super) fn many_topics(target: &Target) {
    target.each(60, |target, number| async move {
        let names: Vec<String> = (0..MOST_RECORDS / 2 - 1)
            .map(|topic| format!("topic-{number}-{topic}"))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let batch = one_record();
        let batches: Vec<_> = names.iter().map(|name| (*name, 0, &batch[..])).collect();
        let mut requests = request(METADATA, 1, &metadata(Some(&names)));
        requests.extend(request(PRODUCE, 1, &produce(-1, 1_000, &batches)));
        requests.extend(request(METADATA, 1, &metadata(None)));
        send_and_read(&target, &requests).await
    });
}
