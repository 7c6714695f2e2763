//! Reads what comes back on a connection of HTTP/1.1, to its end.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::sync::Notify;

/// One answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Whether it says that the connection ends with it.
    pub(super) closes: bool,
    pub(super) body: Vec<u8>,
    /// Whether its end has come.
    pub(super) is_whole: bool,
}

/// All that has come back so far.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) replies: Vec<Reply>,
    /// The requests that got `100 Continue`.
    pub(super) continued: HashSet<usize>,
    /// Whether the sidecar has closed the connection.
    pub(super) closed: bool,
    /// When the last bytes came.
    pub(super) last: Option<Instant>,
}

/// The answers of one connection, shared by its reader and its sender.
#[derive(Debug, Default)]
pub(super) struct Replies {
    state: Mutex<State>,
    changed: Notify,
}

impl Replies {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `is` holds, or the sidecar has closed.
    pub(super) async fn wait(&self, is: impl Fn(&State) -> bool) {
        loop {
            let changed = self.changed.notified();
            {
                let state = self.state();
                if state.closed || is(&state) {
                    return;
                }
            }
            changed.await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        state.last = Some(Instant::now());
        change(&mut state);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Reads until the sidecar closes. `is_head` says for each request whether its answer has no body.
    pub(super) async fn read(&self, socket: impl AsyncRead + Unpin, is_head: &[bool]) {
        let mut socket = BufReader::new(socket);
        loop {
            let number = self.state().replies.len();
            let mut reply = Reply::default();
            let is_head = is_head.get(number).copied().unwrap_or_default();
            let read = one(&mut socket, &mut reply, is_head).await;
            if read.is_some() && reply.status == 100 {
                self.change(|state| {
                    state.continued.insert(number);
                });
                continue;
            }
            reply.is_whole = read.is_some();
            self.change(|state| {
                if reply.status != 0 {
                    state.replies.push(reply);
                }
                state.closed = read.is_none();
            });
            if read.is_none() {
                return;
            }
        }
    }
}

type Socket<R> = BufReader<R>;

/// Reads one answer into `reply`. None where the connection ends first; `reply` then has what came.
async fn one(socket: &mut Socket<impl AsyncRead + Unpin>, reply: &mut Reply, is_head: bool) -> Option<()> {
    let status = line(socket).await?.split(' ').nth(1)?.parse().ok()?;
    let (mut length, mut is_chunked) = (0, false);
    loop {
        let line = line(socket).await?.to_lowercase();
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        match (name, value.trim()) {
            ("content-length", value) => length = value.parse().ok()?,
            ("transfer-encoding", value) => is_chunked = value == "chunked",
            ("connection", value) => reply.closes = value == "close",
            _ => {}
        }
    }
    reply.status = status;
    match (is_head || status == 100, is_chunked) {
        (true, _) => Some(()),
        (false, false) => some(socket, length, &mut reply.body).await,
        (false, true) => loop {
            let size = usize::from_str_radix(&line(socket).await?, 16).ok()?;
            some(socket, size, &mut reply.body).await?;
            if !line(socket).await?.is_empty() {
                return None;
            }
            if size == 0 {
                return Some(());
            }
        },
    }
}

async fn some(socket: &mut Socket<impl AsyncRead + Unpin>, size: usize, into: &mut Vec<u8>) -> Option<()> {
    let before = into.len();
    let read = socket.take(size as u64).read_to_end(into).await;
    (read.is_ok() && into.len() - before == size).then_some(())
}

/// A line without its line break.
async fn line(socket: &mut Socket<impl AsyncRead + Unpin>) -> Option<String> {
    let mut line = String::new();
    socket.read_line(&mut line).await.ok()?;
    Some(line.strip_suffix("\r\n")?.to_owned())
}
