//! What a connection of HTTP/1.1 sends, drawn from a seed: which of its bytes are requests, and how each must be
//! answered.

use fastrand::Rng;

use super::requests;

/// The state of the connection after a request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// The next request is answered.
    Open,
    /// The next request may be answered or not.
    Perhaps,
    /// Nothing is answered any more.
    Closed,
}

/// What the client waits for before it sends more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// `100 Continue`.
    Continue,
    /// This request's answer, to its end.
    Answer,
    /// A silence so long that the sidecar has taken the connection back from hyper.
    Silence,
}

/// One request, and the bytes after it that are not a request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) what: &'static str,
    pub(super) bytes: Vec<u8>,
    /// How many of `bytes` are the request. The bytes after them look like a request, and must never be taken for one.
    pub(super) length: usize,
    /// The values of its records, each with how many bytes of the request must have come before the record may be
    /// taken.
    pub(super) records: Vec<(String, usize)>,
    /// At which bytes the client waits, and for what.
    pub(super) waits: Vec<(usize, For)>,
    /// The statuses that it may get when it is sent as planned.
    pub(super) statuses: &'static [u16],
    /// Whether there may be no answer, although the connection is open.
    pub(super) may_be_unanswered: bool,
    pub(super) after: After,
    pub(super) is_stream: bool,
    /// Whether the sidecar ends it before the client has sent all.
    pub(super) ends_early: bool,
    pub(super) is_head: bool,
    /// Whether it must be sent without further pauses, because the answer depends on the time.
    pub(super) at_once: bool,
}

impl Request {
    /// A request of all these bytes, which is answered 200 and leaves the connection open.
    pub(super) fn new(what: &'static str, bytes: Vec<u8>) -> Self {
        Self {
            what,
            length: bytes.len(),
            bytes,
            records: Vec::new(),
            waits: Vec::new(),
            statuses: &[200],
            may_be_unanswered: false,
            after: After::Open,
            is_stream: false,
            ends_early: false,
            is_head: false,
            at_once: false,
        }
    }

    /// Adds a record, which may be taken once the whole request has come.
    pub(super) fn record(mut self, value: String) -> Self {
        self.records.push((value, self.length));
        self
    }

    /// Expects a refusal instead.
    pub(super) fn refused(self, statuses: &'static [u16], after: After) -> Self {
        Self {
            statuses,
            after,
            ..self
        }
    }

    /// Adds bytes that are not a request.
    pub(super) fn followed_by(mut self, bytes: &str) -> Self {
        self.bytes.extend_from_slice(bytes.as_bytes());
        self
    }
}

/// How a connection ends once it has sent all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The client stops sending and still reads.
    Half,
    /// The client closes.
    Close,
}

#[derive(Debug)]
pub(super) struct Script {
    pub(super) requests: Vec<Request>,
    /// For each request, whether the client first waits for all answers before it.
    pub(super) alone: Vec<bool>,
    pub(super) end: End,
    /// How the bytes are cut into pieces, and when there are pauses.
    pub(super) pace: Rng,
}

impl Script {
    /// The script of one connection. Its values begin with its name.
    pub(super) fn of(rng: &mut Rng, name: &str) -> Self {
        let count = rng.usize(1..9);
        let mut requests: Vec<Request> = (0..count)
            .map(|number| requests::any(rng, &format!("{name}.{number}")))
            .collect();
        // Of two requests that end a connection, the sidecar must see only the first.
        if let Some(first) = requests.iter().position(|request| request.after == After::Closed) {
            requests.truncate(first + 1 + rng.usize(..3));
        }
        let end = if rng.u8(..4) == 0 { End::Close } else { End::Half };
        if rng.u8(..3) == 0
            && let Some(last) = requests.last_mut()
        {
            let cut = rng.usize(..last.bytes.len());
            last.bytes.truncate(cut);
            last.waits.retain(|(at, _)| *at <= cut);
        }
        let pipelined = rng.u8(..4);
        Self {
            alone: requests.iter().map(|_| rng.u8(..3) >= pipelined).collect(),
            requests,
            end,
            pace: rng.fork(),
        }
    }
}
