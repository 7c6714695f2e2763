//! Clients that speak gRPC, frame by frame.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use hyper::Request;
use pointsman_proto::v1;
use prost::Message as _;

use super::clients::{MIB, Target, rest};
use crate::support::{
    grpc::{PRODUCE, STREAM, record, request},
    http2::send,
};

const HEALTH: &str = "/grpc.health.v1.Health/Watch";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
/// What a client allows the sidecar to send before it reads.
const WINDOW: u32 = 65_535;

type Call = (h2::client::ResponseFuture, SendStream<Bytes>);

async fn call(sender: &mut SendRequest<Bytes>, path: &str, more: &[(&'static str, &'static str)]) -> Option<Call> {
    let mut head = Request::post(format!("http://x{path}"));
    if !more.iter().any(|(name, _)| *name == "content-type") {
        head = head.header("content-type", "application/grpc");
    }
    for (name, value) in more {
        head = head.header(*name, *value);
    }
    let mut ready = sender.clone().ready().await.ok()?;
    let sent = ready.send_request(head.body(()).ok()?, false).ok();
    *sender = ready;
    sent
}

/// A message with its head, of which the length may be a lie.
fn framed(flag: u8, length: usize, message: &[u8]) -> Bytes {
    [&[flag][..], &(length as u32).to_be_bytes(), message].concat().into()
}

fn whole(message: &[u8]) -> Bytes {
    framed(0, message.len(), message)
}

/// Reads and ignores what comes.
async fn drained(answer: h2::client::ResponseFuture) -> Option<()> {
    let mut answer: RecvStream = answer.await.ok()?.into_body();
    while let Some(Ok(data)) = answer.data().await {
        answer.flow_control().release_capacity(data.len()).ok()?;
    }
    Some(())
}

pub(super) fn half_messages(target: &Target) {
    target.each(60, |target, number| async move {
        let mut sender = target.http2(WINDOW).await?;
        let mut held = Vec::new();
        for nth in 0..33 {
            let path = if (number + nth) % 2 == 0 { PRODUCE } else { STREAM };
            let (answer, mut sending) = call(&mut sender, path, &[]).await?;
            let begun = match nth % 5 {
                0 => Bytes::from_static(b"\0\0"),
                1 => framed(0, 2 << 30, b"x"),
                2 => framed(0, 8 * MIB, &[b'x'; 60_000]),
                3 => framed(9, 1, b"x"),
                _ => framed(1, 100, b"x"),
            };
            let sent = tokio::spawn(async move {
                send(&mut sending, begun, false).await?;
                rest(sending).await
            });
            held.push((tokio::spawn(answer), sent));
        }
        rest((sender, held)).await
    });
}

pub(super) fn bombs(target: &Target) {
    let zipped = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("into memory");
        encoder.finish().expect("into memory")
    };
    // One becomes far larger than a message may be, one as large as it may be with one value, one with tiny records.
    let tiny = request("t", vec![v1::Record::default(); 1_000_000]).encode_to_vec();
    let large = request("t", vec![record("k", &"0".repeat(7 * MIB))]).encode_to_vec();
    let bombs = [zipped(&vec![0; 200 * MIB]), zipped(&large), zipped(&tiny)].map(|bomb| framed(1, bomb.len(), &bomb));
    target.each(40, move |target, number| {
        let bomb = bombs[number % 3].clone();
        async move {
            let mut sender = target.http2(WINDOW).await?;
            loop {
                let path = if number % 2 == 0 { PRODUCE } else { STREAM };
                let (answer, mut sending) = call(&mut sender, path, &[("grpc-encoding", "gzip")]).await?;
                send(&mut sending, bomb.clone(), true).await?;
                drained(answer).await?;
            }
        }
    });
}

/// Messages whose records all are refused, so that the answer is longer.
fn wrong_records(count: usize) -> Bytes {
    let wrong = v1::Record {
        timestamp: Some(0),
        ..Default::default()
    };
    whole(&request("t", vec![wrong; count]).encode_to_vec())
}

pub(super) fn unread_answers(target: &Target) {
    let message = wrong_records(9_900);
    target.each(4, move |target, _| {
        let message = message.clone();
        async move {
            // The client gives the sidecar no window to send anything.
            let mut sender = target.http2(0).await?;
            let mut held = Vec::new();
            for _ in 0..200 {
                let (answer, mut sending) = call(&mut sender, PRODUCE, &[]).await?;
                send(&mut sending, message.clone(), true).await?;
                held.push(tokio::spawn(answer));
            }
            rest((sender, held)).await
        }
    });
}

pub(super) fn unread_outcomes(target: &Target) {
    let message = wrong_records(700);
    target.each(40, move |target, _| {
        let message = message.clone();
        async move {
            let mut sender = target.http2(0).await?;
            let mut held = Vec::new();
            for _ in 0..20 {
                let (answer, mut sending) = call(&mut sender, STREAM, &[]).await?;
                let message = message.clone();
                let sent =
                    tokio::spawn(async move { while send(&mut sending, message.clone(), false).await.is_some() {} });
                held.push((tokio::spawn(answer), sent));
            }
            rest((sender, held)).await
        }
    });
}

/// Ten thousand streams, each with one record and then silence.
pub(super) fn silent_streams(target: &Target) {
    let message = whole(&request("t", vec![record("k", "v")]).encode_to_vec());
    target.each(50, move |target, _| {
        let message = message.clone();
        async move {
            let mut sender = target.http2(WINDOW).await?;
            let mut held = Vec::new();
            for _ in 0..200 {
                let (answer, mut sending) = call(&mut sender, STREAM, &[]).await?;
                send(&mut sending, message.clone(), false).await?;
                held.push((tokio::spawn(drained(answer)), sending));
            }
            rest((sender, held)).await
        }
    });
}

pub(super) fn tiny_records(target: &Target) {
    // A record of two bytes takes hundreds in memory, and so do its headers.
    let headers = v1::Record {
        headers: vec![v1::Header::default(); 1_000],
        ..Default::default()
    };
    let bodies = [
        whole(&request("frozen", vec![v1::Record::default(); 9_900]).encode_to_vec()),
        whole(&request("frozen", vec![headers; 300]).encode_to_vec()),
    ];
    target.each(200, move |target, number| {
        let body = bodies[number % 2].clone();
        async move {
            let mut sender = target.http2(WINDOW).await?;
            let (answer, mut sending) = call(&mut sender, PRODUCE, &[]).await?;
            send(&mut sending, body, true).await?;
            drained(answer).await
        }
    });
}

pub(super) fn nonsense(target: &Target) {
    target.each(60, |target, number| async move {
        let mut random = fastrand::Rng::with_seed(number as u64);
        let mut sender = target.http2(WINDOW).await?;
        loop {
            let path = if random.bool() { PRODUCE } else { STREAM };
            let kind = [
                "application/grpc+json",
                "application/grpc-web",
                "application/grpc;x",
                "text/plain",
            ][random.usize(..4)];
            let encoding = ["br", "gzip", "identity", ""][random.usize(..4)];
            let timeout = ["1n", "99999999H", "-1S", "x"][random.usize(..4)];
            let more: &[_] = match random.u8(..4) {
                0 => &[("content-type", kind)],
                1 => &[("grpc-encoding", encoding)],
                2 => &[("grpc-timeout", timeout)],
                _ => &[],
            };
            let (answer, mut sending) = call(&mut sender, path, more).await?;
            match random.u8(..4) {
                // Trailers come first, and then nothing.
                0 => sending.send_trailers(hyper::HeaderMap::new()).ok()?,
                // Fields that nobody knows, by thousands.
                1 => {
                    let unknown = [0xFA_u8, 0x3F, 0x00].repeat(20_000);
                    send(&mut sending, whole(&unknown), true).await?;
                }
                2 => {
                    let bytes: Vec<u8> = (0..random.usize(..2_000)).map(|_| random.u8(..)).collect();
                    send(&mut sending, whole(&bytes), true).await?;
                }
                _ => {
                    let bytes: Vec<u8> = (0..random.usize(..200)).map(|_| random.u8(..)).collect();
                    send(&mut sending, bytes.into(), true).await?;
                }
            }
            drained(answer).await;
        }
    });
}

pub(super) fn endless_calls(target: &Target) {
    target.each(60, |target, _| async move {
        let mut sender = target.http2(WINDOW).await?;
        let mut held = Vec::new();
        for nth in 0..100 {
            let path = if nth % 2 == 0 { HEALTH } else { REFLECTION };
            let (answer, mut sending) = call(&mut sender, path, &[]).await?;
            send(&mut sending, framed(0, 16 << 10, &[b'x'; 1_000]), false).await?;
            held.push((tokio::spawn(drained(answer)), sending));
        }
        tokio::time::timeout(Duration::from_secs(1), rest((sender, held)))
            .await
            .ok()?
    });
}

pub(super) fn frames_of_a_byte(target: &Target) {
    let message = whole(&request("t", vec![record("k", "v")]).encode_to_vec());
    target.each(30, move |target, _| {
        let message = message.clone();
        async move {
            let mut sender = target.http2(WINDOW).await?;
            let (answer, mut sending) = call(&mut sender, STREAM, &[]).await?;
            let reading = tokio::spawn(drained(answer));
            while !reading.is_finished() {
                for byte in &message {
                    send(&mut sending, Bytes::copy_from_slice(&[*byte]), false).await?;
                }
            }
            None
        }
    });
}
