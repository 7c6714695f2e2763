//! Compares what came back on a connection with its script, and says what must be true of its records.

use std::collections::HashSet;

use serde_json::Value;

use super::http1::Played;
use super::ledger::{OrderedStream, Presence};
use super::replies::Reply;
use super::script::{After, End, Request, Script};

/// One connection's records, and what was wrong on it.
pub(super) struct Judged {
    pub(super) stream: OrderedStream,
    pub(super) wrong: Vec<String>,
}

pub(super) fn judge(name: &str, script: &Script, played: &Played) -> Judged {
    let mut judged = Judged {
        stream: OrderedStream {
            name: name.to_owned(),
            values: Vec::new(),
        },
        wrong: Vec::new(),
    };
    let replies = &played.state.replies;
    // What is known of the connection when the request comes.
    let mut state = After::Open;
    for (number, request) in script.requests.iter().enumerate() {
        let seen = Seen {
            request,
            reply: replies.get(number),
            sent: played.sent[number],
            is_slow: number >= played.slow,
            state,
        };
        let mut wrong = seen.wrong();
        if seen.must_be_answered() && script.end == End::Half && !seen.reply.is_some_and(|reply| reply.is_whole) {
            wrong.push("is not answered".to_owned());
        }
        let values = seen.presences();
        judged.stream.values.extend(values);
        let place = format!("{name}: request {number} ({})", request.what);
        let wrong = wrong.into_iter().map(|wrong| format!("{place} {wrong}"));
        judged.wrong.extend(wrong);
        state = seen.after();
    }
    if let Some(more) = replies.get(script.requests.len()) {
        judged
            .wrong
            .push(format!("{name}: bytes that are not a request were answered: {more:?}"));
    }
    if let Some(missed) = &played.missed {
        judged.wrong.push(format!("{name}: never came: {missed}"));
    }
    judged
}

/// One request, and what came back for it.
struct Seen<'a> {
    request: &'a Request,
    reply: Option<&'a Reply>,
    /// How many of its bytes were sent, or may have been.
    sent: usize,
    is_slow: bool,
    /// The state of the connection after the requests before it.
    state: After,
}

impl Seen<'_> {
    fn is_whole(&self) -> bool {
        self.sent >= self.request.length
    }

    fn must_be_answered(&self) -> bool {
        self.state == After::Open && self.is_whole() && !self.is_slow && !self.request.may_be_unanswered
    }

    fn wrong(&self) -> Vec<String> {
        let Some(reply) = self.reply else { return Vec::new() };
        let mut wrong = Vec::new();
        if self.state == After::Closed {
            wrong.push(format!(
                "was answered {}, although the connection was over",
                reply.status
            ));
        }
        let given_up = reply.status >= 400 && (self.is_slow || !self.is_whole());
        let begun = self.request.is_stream && reply.status == 200;
        let expected = match self.is_whole() {
            true => self.request.statuses.contains(&reply.status),
            false => begun,
        };
        if !expected && !given_up {
            wrong.push(format!(
                "was answered {} after {} of its {} bytes: {}",
                reply.status,
                self.sent,
                self.request.length,
                String::from_utf8_lossy(&reply.body)
            ));
        }
        if reply.closes && self.request.after == After::Open && self.must_be_answered() {
            wrong.push("was answered with the connection's end".to_owned());
        }
        if begun && self.must_be_answered() && !self.request.ends_early && self.request.after == After::Open {
            wrong.extend(self.wrong_end(reply));
        }
        wrong
    }

    /// What is wrong with the last line of a stream that was sent whole.
    fn wrong_end(&self, reply: &Reply) -> Option<String> {
        let text = String::from_utf8_lossy(&reply.body);
        let last: Value = serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap_or_default();
        let fine = last["end"] == "complete" && last["count"] == self.request.records.len();
        (!fine && reply.is_whole).then(|| format!("ended with {last}"))
    }

    /// What must be true of the request's records.
    fn presences(&self) -> impl Iterator<Item = (String, Presence)> {
        let acked = self.acked();
        let records = self.request.records.iter().enumerate();
        records.map(move |(number, (value, needs))| {
            let presence = match (self.reply, self.state) {
                _ if acked.contains(&number) => Presence::Must,
                (_, After::Closed) => Presence::MustNot,
                (Some(reply), _) if reply.status >= 300 => Presence::MustNot,
                _ if self.sent >= *needs => Presence::May,
                _ => Presence::MustNot,
            };
            (value.clone(), presence)
        })
    }

    /// The records that the client knows to be written.
    fn acked(&self) -> HashSet<usize> {
        let Some(reply) = self.reply.filter(|reply| reply.status < 300) else {
            return HashSet::new();
        };
        match self.request.is_stream {
            true => acked(&reply.body),
            false => (0..self.request.records.len()).collect(),
        }
    }

    fn after(&self) -> After {
        let closes = self.reply.is_some_and(|reply| reply.closes);
        match (self.state, self.request.after) {
            (After::Closed, _) | (_, After::Closed) => After::Closed,
            _ if closes || !self.is_whole() => After::Closed,
            (After::Perhaps, _) | (_, After::Perhaps) => After::Perhaps,
            _ if self.is_slow => After::Perhaps,
            (After::Open, After::Open) => After::Open,
        }
    }
}

/// The records that a stream's lines call acked.
pub(super) fn acked(lines: &[u8]) -> HashSet<usize> {
    let lines = lines
        .split_inclusive(|&byte| byte == b'\n')
        .filter(|line| line.ends_with(b"\n"));
    lines
        .filter_map(|line| {
            let line: Value = serde_json::from_slice(line).ok()?;
            (line["outcome"] == "acked").then(|| usize::try_from(line["index"].as_u64()?).ok())?
        })
        .collect()
}
