//! What a connection of HTTP/1.1 says, made up by a seed: which of its bytes are requests, and what has to come of each.

use fastrand::Rng;

use super::requests;

/// What holds of the connection after a request has been answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// The next request is answered.
    Open,
    /// It may be.
    Perhaps,
    /// Nothing is answered any more.
    Closed,
}

/// What is waited for before more is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// The word to go on.
    Continue,
    /// This request's answer, to its end.
    Answer,
    /// So long that an idle connection is no longer hyper's.
    Silence,
}

/// One request, and what comes with it that is none.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) what: &'static str,
    pub(super) bytes: Vec<u8>,
    /// So many of `bytes` are the request. What comes after them looks like one, and must never be taken for one.
    pub(super) length: usize,
    /// Its records' values, each with the bytes of the request that there must be at least before it may be taken.
    pub(super) records: Vec<(String, usize)>,
    /// Before which bytes something is waited for.
    pub(super) waits: Vec<(usize, For)>,
    /// The answers that it may get, once it has been sent as it is here.
    pub(super) statuses: &'static [u16],
    /// Whether there may be no answer, although the connection is open.
    pub(super) may_be_unanswered: bool,
    pub(super) after: After,
    pub(super) is_stream: bool,
    /// By the sidecar's doing, and not because all has been said.
    pub(super) ends_early: bool,
    pub(super) is_head: bool,
    /// No other pause is made in it: the answer depends on how quick it is sent.
    pub(super) at_once: bool,
}

impl Request {
    /// All of these bytes are a request that is answered 200, after which the connection stays open.
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

    /// It has this record, which may be taken once the request is there as a whole.
    pub(super) fn record(mut self, value: String) -> Self {
        self.records.push((value, self.length));
        self
    }

    /// It is refused.
    pub(super) fn refused(self, statuses: &'static [u16], after: After) -> Self {
        Self {
            statuses,
            after,
            ..self
        }
    }

    /// More bytes, which are no request.
    pub(super) fn followed_by(mut self, bytes: &str) -> Self {
        self.bytes.extend_from_slice(bytes.as_bytes());
        self
    }
}

/// How a connection ends that has said all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// No more is sent; what comes is still read.
    Half,
    /// It is gone.
    Close,
}

#[derive(Debug)]
pub(super) struct Script {
    pub(super) requests: Vec<Request>,
    /// Whether the answers to all requests before it are waited for.
    pub(super) alone: Vec<bool>,
    pub(super) end: End,
    /// How the bytes are cut into pieces, and when there are pauses.
    pub(super) pace: Rng,
}

impl Script {
    /// Of one connection; its values begin with its name.
    pub(super) fn of(rng: &mut Rng, name: &str) -> Self {
        let count = rng.usize(1..9);
        let mut requests: Vec<Request> = (0..count)
            .map(|number| requests::any(rng, &format!("{name}.{number}")))
            .collect();
        // Of two that end a connection only the first is seen, and a request after it must not be.
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
