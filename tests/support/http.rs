//! A small HTTP/1.1 client that sends what it is told to, also what is wrong.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longer than anything that a test waits for, a producer's `delivery.timeout.ms` included.
const PATIENCE: Duration = Duration::from_secs(150);

/// One connection.
pub(crate) struct Http {
    writer: Box<dyn Write + Send>,
    reader: BufReader<Box<dyn Read + Send>>,
}

/// A reply.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header == name)?;
        Some(&found.1)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The code of a problem document. The reply must be one.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        assert!(!problem["detail"].as_str().unwrap().is_empty(), "{problem}");
        problem["code"].as_str().unwrap().to_owned()
    }

    /// The outcome of each record, such as `acked` or `rejected malformed_record`.
    pub(crate) fn outcomes(&self) -> Vec<String> {
        let reply = self.json();
        let records = reply["records"]
            .as_array()
            .unwrap_or_else(|| panic!("no records: {reply}"));
        records
            .iter()
            .map(|record| {
                let outcome = record["outcome"].as_str().unwrap();
                match record["error"]["code"].as_str() {
                    Some(code) => format!("{outcome} {code}"),
                    None => outcome.to_owned(),
                }
            })
            .collect()
    }

    /// The partition of each record.
    pub(crate) fn partitions(&self) -> Vec<u64> {
        let reply = self.json();
        let records = reply["records"].as_array().unwrap();
        records
            .iter()
            .map(|record| record["partition"].as_u64().unwrap())
            .collect()
    }
}

impl Http {
    pub(crate) fn tcp(address: SocketAddr) -> Self {
        Self::try_tcp(address).expect("connect")
    }

    pub(crate) fn unix(path: &Path) -> Self {
        Self::try_unix(path).expect("connect")
    }

    /// Fails when nobody listens.
    pub(crate) fn try_tcp(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self::over(stream.try_clone()?, stream))
    }

    /// Fails when nobody listens.
    pub(crate) fn try_unix(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self::over(stream.try_clone()?, stream))
    }

    fn over(reader: impl Read + Send + 'static, writer: impl Write + Send + 'static) -> Self {
        Self {
            writer: Box::new(writer),
            reader: BufReader::new(Box::new(reader)),
        }
    }

    /// A POST with a body of known length.
    pub(crate) fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.send("POST", path, headers, body);
        self.reply().expect("a reply")
    }

    /// A POST of JSON.
    pub(crate) fn json(&mut self, path: &str, body: &str) -> Reply {
        self.post(path, &[("content-type", "application/json")], body.as_bytes())
    }

    pub(crate) fn get(&mut self, path: &str) -> Reply {
        self.send("GET", path, &[], b"");
        self.reply().expect("a reply")
    }

    pub(crate) fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
        if method != "GET" {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.raw(head.as_bytes());
        self.raw(body);
    }

    /// Sends bytes as they are. That the server has closed already is not an error here.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        let _ = self.writer.write_all(bytes).and_then(|()| self.writer.flush());
    }

    /// The next reply. None when the server closed instead.
    pub(crate) fn reply(&mut self) -> Option<Reply> {
        let first = self.line()?;
        let status = first.split(' ').nth(1)?.parse().ok()?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let mut reply = Reply {
            status,
            headers,
            body: Vec::new(),
        };
        if status == 100 {
            return self.reply();
        }
        let length = reply
            .header("content-length")
            .and_then(|length| length.parse().ok())
            .unwrap_or(0);
        reply.body = vec![0; length];
        self.reader.read_exact(&mut reply.body).ok()?;
        Some(reply)
    }

    /// Waits until the server closes; panics when it sends something instead.
    pub(crate) fn closed(&mut self) {
        let mut byte = [0];
        match self.reader.read(&mut byte) {
            Ok(0) => {}
            Ok(_) => panic!("the server sent {:?} where it had to close", byte[0] as char),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the server did not close: {error}"),
        }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }
}
