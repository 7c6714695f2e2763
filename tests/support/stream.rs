//! A client of `POST …/stream` over HTTP/1.1 that can read while it writes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longer than a producer's `delivery.timeout.ms`.
const PATIENCE: Duration = Duration::from_secs(150);

pub(crate) struct Stream {
    writer: Writer,
    answer: BufReader<TcpStream>,
    /// The rest of a chunk, beyond the lines that were asked for.
    rest: Vec<u8>,
}

/// The sending half.
pub(crate) struct Writer(TcpStream);

impl Writer {
    /// Sends these bytes as a piece of the body. False when nothing could be written for `patience`.
    fn try_send(&mut self, bytes: &str, patience: Duration) -> bool {
        self.0.set_write_timeout(Some(patience)).unwrap();
        let chunk = format!("{:x}\r\n{bytes}\r\n", bytes.len());
        self.0.write_all(chunk.as_bytes()).is_ok()
    }

    pub(crate) fn send(&mut self, bytes: &str) {
        assert!(self.try_send(bytes, PATIENCE), "it could not be sent");
    }

    /// Ends the body. An error is ignored: the sidecar may have ended the stream itself.
    pub(crate) fn finish(&mut self) {
        let _ = self.0.write_all(b"0\r\n\r\n");
    }
}

impl Stream {
    /// Sends the request's header, and waits for the answer's header, which comes before any record.
    pub(crate) fn open(address: SocketAddr, topic: &str) -> Self {
        Self::try_open(address, topic).expect("a stream")
    }

    /// With a trace of each record.
    pub(crate) fn open_traced(address: SocketAddr, topic: &str) -> Self {
        Self::open_with(address, topic, "pointsman-trace: 1\r\n").expect("a stream")
    }

    /// None when the sidecar cannot be reached, or refuses the stream.
    pub(crate) fn try_open(address: SocketAddr, topic: &str) -> Option<Self> {
        Self::open_with(address, topic, "")
    }

    fn open_with(address: SocketAddr, topic: &str, headers: &str) -> Option<Self> {
        let mut socket = TcpStream::connect(address).ok()?;
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "POST /v1/topics/{topic}/stream HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\n\
             transfer-encoding: chunked\r\n{headers}\r\n"
        );
        socket.write_all(head.as_bytes()).ok()?;
        let mut answer = BufReader::new(socket.try_clone().unwrap());
        let mut line = String::new();
        answer.read_line(&mut line).ok()?;
        if !line.contains(" 200 ") {
            return None;
        }
        while line != "\r\n" {
            line.clear();
            answer.read_line(&mut line).ok()?;
        }
        Some(Self {
            writer: Writer(socket),
            answer,
            rest: Vec::new(),
        })
    }

    /// See [`Writer::try_send`].
    pub(crate) fn try_send(&mut self, bytes: &str, patience: Duration) -> bool {
        self.writer.try_send(bytes, patience)
    }

    pub(crate) fn send(&mut self, bytes: &str) {
        self.writer.send(bytes);
    }

    pub(crate) fn finish(&mut self) {
        self.writer.finish();
    }

    /// The sending half, for another thread.
    pub(crate) fn writer(&self) -> Writer {
        Writer(self.writer.0.try_clone().unwrap())
    }

    /// The next line of the answer.
    pub(crate) fn line(&mut self) -> Value {
        loop {
            if let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return serde_json::from_slice(&line).expect("JSON");
            }
            let mut size = String::new();
            self.answer.read_line(&mut size).expect("a chunk");
            let size = usize::from_str_radix(size.trim(), 16).expect("a size");
            assert!(size > 0, "the answer ended without a last line");
            let mut chunk = vec![0; size + 2];
            self.answer.read_exact(&mut chunk).expect("a whole chunk");
            self.rest.extend_from_slice(&chunk[..size]);
        }
    }

    /// All lines that are left, and the last one by itself.
    pub(crate) fn rest(&mut self) -> (Vec<Value>, Value) {
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            if line["end"].is_string() {
                return (lines, line);
            }
            lines.push(line);
        }
    }
}
