//! A connection to Redis whose every step has a time-out.

use std::{
    fs,
    io::{self, Write},
    net::{TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use native_tls::{Certificate, HandshakeError, TlsConnector, TlsStream};
use redis::{Cmd, ConnectionLike, ErrorKind, Parser, RedisError, RedisResult, Value, cmd};

use crate::url::{Password, RedisUrl};

/// How long one step may take: connecting to an address, a part of the handshake, a write, a read.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// A connection, logged in, at the URL's database.
pub(super) struct Connection {
    stream: Stream,
    parser: Parser,
    database: i64,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    pub(super) fn open(url: &RedisUrl) -> RedisResult<Self> {
        let tcp = connect(url)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(TIMEOUT))?;
        tcp.set_write_timeout(Some(TIMEOUT))?;
        let stream = match url.tls {
            false => Stream::Plain(tcp),
            true => Stream::Tls(Box::new(encrypted(url, tcp)?)),
        };
        let mut connection = Self {
            stream,
            parser: Parser::new(),
            database: i64::from(url.database),
        };
        connection.log_in(url)?;
        Ok(connection)
    }

    fn log_in(&mut self, url: &RedisUrl) -> RedisResult<()> {
        let password = url.password.as_ref().map_or("", Password::get);
        match &url.user {
            Some(user) => self.order(cmd("AUTH").arg(user).arg(password))?,
            None if url.password.is_some() => self.order(cmd("AUTH").arg(password))?,
            None => {}
        }
        if url.database != 0 {
            self.order(cmd("SELECT").arg(url.database))?;
        }
        // Shown by CLIENT LIST. Not every user may set it.
        let named = cmd("CLIENT")
            .arg("SETNAME")
            .arg("pointsman-routes")
            .query::<Value>(self);
        match named {
            Err(error) if error.is_io_error() => Err(error),
            _ => Ok(()),
        }
    }

    fn order(&mut self, command: &Cmd) -> RedisResult<()> {
        command.query(self)
    }

    fn answer(&mut self) -> RedisResult<Value> {
        match &mut self.stream {
            Stream::Plain(tcp) => self.parser.parse_value(tcp),
            Stream::Tls(tls) => self.parser.parse_value(tls),
        }
    }
}

/// Tries all addresses of the host.
fn connect(url: &RedisUrl) -> RedisResult<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (url.host.name.as_str(), url.host.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(tcp) => return Ok(tcp),
            Err(error) => failed = error,
        }
    }
    Err(failed.into())
}

fn encrypted(url: &RedisUrl, tcp: TcpStream) -> RedisResult<TlsStream<TcpStream>> {
    let failed = |told: String| RedisError::from((ErrorKind::Io, "the TLS handshake failed", told));
    let mut builder = TlsConnector::builder();
    if let Some(file) = &url.ca_file {
        let wrong = |told: String| {
            let file = file.display().to_string();
            RedisError::from((
                ErrorKind::InvalidClientConfig,
                "ca_file cannot be used",
                format!("{file}: {told}"),
            ))
        };
        let pem = fs::read(file).map_err(|error| wrong(error.to_string()))?;
        let certificates = Certificate::stack_from_pem(&pem).map_err(|error| wrong(error.to_string()))?;
        if certificates.is_empty() {
            return Err(wrong("it has no certificate".to_owned()));
        }
        // Who names an authority trusts that one.
        builder.disable_built_in_roots(true);
        for certificate in certificates {
            builder.add_root_certificate(certificate);
        }
    }
    let connector = builder.build().map_err(|error| failed(error.to_string()))?;
    connector.connect(&url.host.name, tcp).map_err(|error| match error {
        HandshakeError::Failure(error) => failed(error.to_string()),
        HandshakeError::WouldBlock(_) => io::Error::from(io::ErrorKind::TimedOut).into(),
    })
}

impl ConnectionLike for Connection {
    fn req_packed_command(&mut self, command: &[u8]) -> RedisResult<Value> {
        self.stream.write_all(command)?;
        self.answer()?.extract_error()
    }

    fn req_packed_commands(&mut self, commands: &[u8], offset: usize, count: usize) -> RedisResult<Vec<Value>> {
        self.stream.write_all(commands)?;
        for _ in 0..offset {
            self.answer()?.extract_error()?;
        }
        (0..count).map(|_| self.answer()).collect()
    }

    fn get_db(&self) -> i64 {
        self.database
    }

    fn check_connection(&mut self) -> bool {
        self.is_open()
    }

    fn is_open(&self) -> bool {
        true
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
