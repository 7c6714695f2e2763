//! Writes requests of HTTP/1.1 as bytes, in the many ways that are allowed.

use fastrand::Rng;

use super::ledger::POISON;

/// A body as it goes over the wire, and the header fields that describe it.
pub(super) struct Framed {
    pub(super) fields: Vec<String>,
    pub(super) wire: Vec<u8>,
    /// The position on the wire of each byte of the body.
    pub(super) at: Vec<usize>,
    /// The position on the wire at which the body ends.
    pub(super) end: usize,
}

/// Draws one of these.
pub(super) fn one_of<T: Copy>(rng: &mut Rng, all: &[T]) -> T {
    all[rng.usize(..all.len())]
}

/// A whole request that must never be taken for one.
pub(super) fn poison(origin: &str) -> String {
    let value = format!("{POISON} from {origin}");
    format!(
        "POST /v1/topics/t/records HTTP/1.1\r\nhost: x\r\ncontent-type: application/octet-stream\r\n\
         content-length: {}\r\n\r\n{value}",
        value.len()
    )
}

pub(super) fn head(rng: &mut Rng, method: &str, path: &str, fields: &[String]) -> String {
    const HOSTS: [&str; 6] = ["x", "localhost", "127.0.0.1:8644", "[::1]", "example.org", "a.b:80"];
    let mut lines = vec![format!("Host: {}", one_of(rng, &HOSTS))];
    lines.extend(fields.iter().cloned());
    for number in 0..rng.usize(..4) {
        lines.push(format!("x-{number}: {}", "y".repeat(rng.usize(..60))));
    }
    rng.shuffle(&mut lines);
    let mut head = format!("{method} {path} HTTP/1.1\r\n");
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap_or((&line, ""));
        let name = match rng.u8(..3) {
            0 => name.to_ascii_uppercase(),
            1 => name.to_ascii_lowercase(),
            _ => name.to_owned(),
        };
        head.push_str(&format!("{name}:{}{value}\r\n", one_of(rng, &[" ", "", "  ", "\t"])));
    }
    head + "\r\n"
}

/// Frames a body with a length, or in chunks.
pub(super) fn framed(rng: &mut Rng, body: &str) -> Framed {
    match rng.bool() {
        true => sized(body),
        false => chunked(rng, body),
    }
}

pub(super) fn sized(body: &str) -> Framed {
    Framed {
        fields: vec![format!("Content-Length: {}", body.len())],
        wire: body.as_bytes().to_vec(),
        at: (0..body.len()).collect(),
        end: body.len(),
    }
}

/// Frames a body in chunks of any size, some with extensions, and perhaps trailers at the end.
pub(super) fn chunked(rng: &mut Rng, body: &str) -> Framed {
    const EXTENSIONS: [&str; 5] = ["", "", ";a", ";a=b", ";x=\"POST /v1/topics/t/records HTTP/1.1\""];
    const TRAILERS: [&str; 4] = [
        "",
        "x-check: 12\r\n",
        "Content-Length: 3\r\n",
        "x-a: POST /v1/topics/t/records HTTP/1.1\r\nhost: y\r\n",
    ];
    let largest = one_of(rng, &[1, 7, 100, 5_000]).max(body.len() / 200);
    let (mut wire, mut at, mut rest) = (Vec::new(), Vec::new(), body.as_bytes());
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rng.usize(1..=largest).min(rest.len()));
        let size = match rng.u8(..4) {
            0 => format!("{:X}", chunk.len()),
            1 => format!("00{:x}", chunk.len()),
            _ => format!("{:x}", chunk.len()),
        };
        wire.extend(format!("{size}{}\r\n", one_of(rng, &EXTENSIONS)).bytes());
        at.extend(wire.len()..wire.len() + chunk.len());
        wire.extend_from_slice(chunk);
        wire.extend(b"\r\n");
        rest = after;
    }
    let end = wire.len();
    wire.extend(format!("0{}\r\n{}\r\n", one_of(rng, &EXTENSIONS), one_of(rng, &TRAILERS)).bytes());
    Framed {
        fields: vec!["Transfer-Encoding: chunked".to_owned()],
        wire,
        at,
        end,
    }
}

/// One chunk.
pub(super) fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}
