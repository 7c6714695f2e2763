//! The kinds of requests of HTTP/1.1, valid and invalid ones.

use fastrand::Rng;

use super::script::{After, For, Request};
use super::wire::{Framed, chunk, chunked, framed, head, one_of, poison, sized};
use super::{LARGEST_BODY, PATH};

const OCTETS: &str = "Content-Type: application/octet-stream";
const NDJSON: &str = "Content-Type: application/x-ndjson";
const JSON: &str = "Content-Type: application/json";

/// A request of any kind. The values of its records begin with `tag`.
pub(super) fn any(rng: &mut Rng, tag: &str) -> Request {
    match rng.u8(..40) {
        0..8 => octets(rng, tag),
        8..13 => documents(rng, tag),
        13..17 => stream(rng, tag),
        17..22 => refused(rng, tag),
        22..24 => without_body(rng),
        24..26 => last(rng, tag),
        26..28 => too_large(rng, tag),
        28..30 => expecting(rng, tag),
        30 => expecting_refused(rng, tag),
        31 => unsent(rng, tag),
        32..34 => ambiguous(rng, tag),
        34..36 => malformed(rng, tag),
        36..38 => broken_chunks(rng, tag),
        38 => unfinished_head(rng, tag),
        _ => idle_stream(rng, tag),
    }
}

fn fields(framed: &Framed, more: &[&str]) -> Vec<String> {
    let more = more.iter().map(|field| (*field).to_owned());
    framed.fields.iter().cloned().chain(more).collect()
}

fn whole(rng: &mut Rng, what: &'static str, method: &str, path: &str, framed: &Framed, more: &[&str]) -> Request {
    let head = head(rng, method, path, &fields(framed, more));
    Request::new(what, [head.as_bytes(), &framed.wire].concat())
}

/// A value that contains text like the end of a body, followed by a request.
fn value(rng: &mut Rng, tag: &str) -> String {
    let size = one_of(rng, &[0, 0, 10, 300, 30_000]);
    let filler = "z".repeat(rng.usize(..=size));
    match rng.bool() {
        true => format!("{tag} {filler}"),
        false => format!("{tag} {filler}\r\n0\r\n\r\n{}", poison(tag)),
    }
}

fn key(rng: &mut Rng) -> String {
    format!("Pointsman-Key: {}", rng.u8(..12))
}

fn octets(rng: &mut Rng, tag: &str) -> Request {
    let (value, key) = (value(rng, tag), key(rng));
    let framed = framed(rng, &value);
    let (path, statuses): (_, &'static [u16]) = match rng.u8(..4) {
        0 => (format!("{PATH}?ack=none"), &[202]),
        _ => (PATH.to_owned(), &[200]),
    };
    let request = whole(rng, "octets", "POST", &path, &framed, &[OCTETS, &key]);
    request.refused(statuses, After::Open).record(value)
}

/// A record as JSON, and its value as it will be in the topic.
fn document(rng: &mut Rng, tag: &str) -> (String, String) {
    let value = serde_json::to_string(&value(rng, tag)).expect("text is JSON");
    (format!("{{\"key\":\"{}\",\"value\":{value}}}", rng.u8(..12)), value)
}

fn documents(rng: &mut Rng, tag: &str) -> Request {
    let (documents, values): (Vec<_>, Vec<_>) = (0..rng.usize(1..4))
        .map(|number| document(rng, &format!("{tag}.{number}")))
        .unzip();
    let (kind, body) = match rng.bool() {
        true => (NDJSON, documents.join("\n")),
        false => (JSON, format!("{{\"records\":[{}]}}", documents.join(","))),
    };
    let framed = framed(rng, &body);
    let request = whole(rng, "documents", "POST", PATH, &framed, &[kind]);
    values.into_iter().fold(request, Request::record)
}

/// The lines of a stream, and the value of each line with the byte of the body at which the line ends.
fn lines(rng: &mut Rng, tag: &str) -> (String, Vec<(String, usize)>) {
    let (mut body, mut values) = (String::new(), Vec::new());
    for number in 0..rng.usize(1..12) {
        let (line, value) = document(rng, &format!("{tag}.{number}"));
        body.push_str(&line);
        body.push('\n');
        values.push((value, body.len() - 1));
    }
    (body, values)
}

/// A stream, and the position on the wire at which its body ends.
fn streamed(rng: &mut Rng, tag: &str, what: &'static str) -> (Request, usize) {
    let (body, values) = lines(rng, tag);
    let framed = chunked(rng, &body);
    let mut request = whole(rng, what, "POST", "/v1/topics/t/stream", &framed, &[NDJSON]);
    let head = request.length - framed.wire.len();
    let records = values
        .into_iter()
        .map(|(value, end)| (value, head + framed.at[end] + 1));
    request.records = records.collect();
    request.is_stream = true;
    (request, head + framed.end)
}

fn stream(rng: &mut Rng, tag: &str) -> Request {
    streamed(rng, tag, "a stream").0
}

/// A stream that the sidecar ends while its client still has something to send.
fn idle_stream(rng: &mut Rng, tag: &str) -> Request {
    let (mut request, end) = streamed(rng, tag, "a stream that ends early");
    request.ends_early = true;
    request.waits.push((end, For::Answer));
    if rng.u8(..4) > 0 {
        request.waits.push((end, For::Silence));
    }
    let raw = poison(tag);
    let more = match rng.u8(..4) {
        // The client sends the end all the same, and may go on.
        0 => {
            request.after = After::Perhaps;
            return request;
        }
        1 => raw,
        2 => chunk(&raw),
        _ => chunk(&raw) + &chunk(&format!("{{\"value\":\"poison {tag}\"}}\n")),
    };
    request.bytes.truncate(end);
    request.length = end;
    request.after = After::Closed;
    request.followed_by(&more)
}

/// A request that is refused, and whose body is read and dropped.
fn refused(rng: &mut Rng, tag: &str) -> Request {
    let framed = framed(rng, &poison(tag));
    let cases: &[(&str, &str, &str, &'static [u16])] = &[
        ("POST", "/v1/topics/t/nothing", OCTETS, &[404]),
        ("POST", "/", OCTETS, &[404]),
        ("PUT", PATH, OCTETS, &[405]),
        ("DELETE", "/v1/topics/t/stream", NDJSON, &[405]),
        ("POST", PATH, "x-none: 1", &[415]),
        ("POST", PATH, "Content-Type: text/plain", &[415]),
        ("POST", "/v1/topics/t/stream", JSON, &[415]),
        ("POST", PATH, JSON, &[400]),
        ("POST", "/v1/topics/t/records?ack=2", OCTETS, &[400]),
        ("POST", "/v1/topics/a%20b/records", OCTETS, &[400]),
        ("POST", "/v1/records", OCTETS, &[400]),
    ];
    let (method, path, kind, statuses) = one_of(rng, cases);
    let request = whole(rng, "refused", method, path, &framed, &[kind]).refused(statuses, After::Open);
    // The rest of the body is read for only a second.
    Request {
        at_once: true,
        ..request
    }
}

fn without_body(rng: &mut Rng) -> Request {
    let method = one_of(rng, &["GET", "HEAD", "OPTIONS", "DELETE"]);
    let path = one_of(rng, &[PATH, "/v1/topics/t/stream"]);
    let request = Request::new("without a body", head(rng, method, path, &[]).into_bytes());
    Request {
        is_head: method == "HEAD",
        ..request.refused(&[405], After::Open)
    }
}

/// A request that says that it is the last one.
fn last(rng: &mut Rng, tag: &str) -> Request {
    let value = value(rng, tag);
    let framed = sized(&value);
    let mut request = whole(rng, "the last", "POST", PATH, &framed, &[OCTETS, "Connection: close"]);
    if rng.bool() {
        let head = format!(
            "POST {PATH} HTTP/1.0\r\n{OCTETS}\r\ncontent-length: {}\r\n\r\n",
            value.len()
        );
        request = Request::new("HTTP/1.0", [head.as_bytes(), &framed.wire].concat());
    }
    request.after = After::Closed;
    request.record(value).followed_by(&poison(tag))
}

fn too_large(rng: &mut Rng, tag: &str) -> Request {
    let poison = poison(tag);
    let length = LARGEST_BODY + 1 + rng.usize(..100_000);
    let request = match rng.bool() {
        true => {
            let field = format!("Content-Length: {length}");
            let head = head(rng, "POST", PATH, &[field, OCTETS.to_owned()]);
            // Only part of the body is sent.
            let sent = one_of(rng, &[0, 10, length - 2 * poison.len()]);
            Request::new("announced too large", head.into_bytes()).followed_by(&"x".repeat(sent))
        }
        false => {
            let body = "x".repeat(length) + &poison;
            let framed = chunked(rng, &body);
            whole(rng, "chunks that are too many", "POST", PATH, &framed, &[OCTETS])
        }
    };
    let mut request = request.refused(&[413], After::Closed).followed_by(&poison);
    // The sidecar closes with unread bytes, so the answer may be lost.
    request.may_be_unanswered = true;
    request
}

/// A request with `Expect: 100-continue`. It is taken whether or not the client waits.
fn expecting(rng: &mut Rng, tag: &str) -> Request {
    let value = value(rng, tag);
    let framed = framed(rng, &value);
    let mut request = whole(
        rng,
        "expecting",
        "POST",
        PATH,
        &framed,
        &[OCTETS, "Expect: 100-continue"],
    );
    if rng.bool() {
        request.waits.push((request.length - framed.wire.len(), For::Continue));
    }
    request.record(value)
}

/// A request with `Expect: 100-continue` that is refused. Its body comes all the same, and may be read or not.
fn expecting_refused(rng: &mut Rng, tag: &str) -> Request {
    let framed = framed(rng, &poison(tag));
    let path = "/v1/topics/t/nothing";
    let mut request = whole(
        rng,
        "expecting, refused",
        "POST",
        path,
        &framed,
        &[OCTETS, "Expect: 100-continue"],
    );
    let head = request.length - framed.wire.len();
    let waits = [(head, For::Answer), (head, For::Silence)];
    request.waits.extend(&waits[..rng.usize(..3)]);
    request.refused(&[404], After::Perhaps)
}

/// A request whose body never comes whole, which the sidecar reports in the end.
fn unsent(rng: &mut Rng, tag: &str) -> Request {
    let poison = poison(tag);
    let field = format!("Content-Length: {}", 2 * poison.len() + 10);
    let head = head(rng, "POST", PATH, &[field, OCTETS.to_owned()]);
    let mut request = Request::new("never whole", head.into_bytes()).followed_by(&poison);
    request.length = request.bytes.len();
    request.waits.push((request.length, For::Answer));
    request.refused(&[408], After::Closed).followed_by(&poison)
}

/// A request with a length and with chunks. It may be refused; if it is taken, then by its chunks.
fn ambiguous(rng: &mut Rng, tag: &str) -> Request {
    let value = value(rng, tag);
    let framed = chunked(rng, &value);
    let length = rng.usize(..40);
    let mut head = head(
        rng,
        "POST",
        PATH,
        &fields(&framed, &[OCTETS, &format!("Content-Length: {length}")]),
    );
    if rng.u8(..4) == 0 {
        // The same length, given twice.
        let framed = sized(&value);
        let lengths = framed.fields[0].clone();
        head = format!("POST {PATH} HTTP/1.1\r\nhost: x\r\n{OCTETS}\r\n{lengths}\r\n{lengths}\r\n\r\n");
        let request = Request::new("a length twice", [head.as_bytes(), &framed.wire].concat());
        return request.refused(&[200, 400], After::Perhaps).record(value);
    }
    let request = Request::new("a length and chunks", [head.as_bytes(), &framed.wire].concat());
    request.refused(&[200, 400], After::Perhaps).record(value)
}

/// Bytes that are not a request, followed by text that looks like one.
fn malformed(rng: &mut Rng, tag: &str) -> Request {
    let wrong = one_of(
        rng,
        &[
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: +5",
            "Content-Length: 5, 6",
            "Content-Length: -1",
            "Content-Length: 0x5",
            "Content-Length: 99999999999999999999999",
            "Transfer-Encoding: chunked, gzip",
            "Transfer-Encoding: gzip",
            "Transfer-Encoding : chunked",
            " folded: 1",
            "no colon",
            "x-\u{0}: 1",
        ],
    );
    let first = match rng.u8(..6) {
        0 => "PRI * HTTP/2.0".to_owned(),
        1 => format!("POST {PATH} HTTP/3.1"),
        2 => format!("POST {PATH}"),
        _ => format!("POST {PATH} HTTP/1.1"),
    };
    let head = format!("{first}\r\nHost: x\r\n{OCTETS}\r\n{wrong}\r\n\r\n");
    let request = Request::new("malformed", head.into_bytes()).refused(&[400, 505], After::Closed);
    // The sidecar closes with unread bytes, so the answer may be lost.
    Request {
        may_be_unanswered: true,
        ..request.followed_by(&poison(tag))
    }
}

/// A body that cannot be read to its end.
fn broken_chunks(rng: &mut Rng, tag: &str) -> Request {
    let poison = poison(tag);
    let body = one_of(
        rng,
        &[
            "5\r\nhello", // and no end of the chunk
            "0x5\r\nhello\r\n",
            "-1\r\n",
            "fffffffffffffffff\r\n",
            "5\nhello\n",
            "5\r\nhello\r\n\r\n",
            "5;a\nb\r\nhello\r\n",
            "g\r\n",
            "",
        ],
    );
    let (path, kind) = one_of(rng, &[(PATH, OCTETS), ("/v1/topics/t/stream", NDJSON)]);
    let head = head(
        rng,
        "POST",
        path,
        &["Transfer-Encoding: chunked".to_owned(), kind.to_owned()],
    );
    let request = Request::new("broken chunks", (head + body).into_bytes()).followed_by(&poison);
    let mut request = request.refused(&[200, 400], After::Closed);
    request.is_stream = path != PATH;
    if !request.is_stream {
        request.statuses = &[400];
    }
    request.may_be_unanswered = true;
    request
}

/// A head that never ends: the sidecar closes in the middle of it.
fn unfinished_head(rng: &mut Rng, tag: &str) -> Request {
    let head = format!("POST {PATH} HTTP/1.1\r\nhost: x\r\n{OCTETS}\r\nx-rest: ");
    let mut request = Request::new("a head that does not end", head[..rng.usize(1..head.len())].into());
    request.waits.push((request.length, For::Answer));
    request.may_be_unanswered = true;
    request.refused(&[408], After::Closed).followed_by(&poison(tag))
}
