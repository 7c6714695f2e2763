//! Numbered requests: bytes as a series of events.

use std::time::Duration;

use crate::{
    base::outcome::Kind,
    ordering::sequence::{
        Bounds, Number,
        model::{CLIENTS, Call, Event, call_all, name, run},
        most_bytes,
    },
};

/// More events would make each input slow and find nothing new.
const EVENTS: usize = 400;
/// The longest span of a request.
const LONGEST: u64 = 5;

/// Checks a series of events against the model, or calls the functions in any order.
pub fn sequence(data: &[u8]) {
    let mut bytes = Bytes(data);
    let mode = bytes.next();
    let bounds = Bounds {
        clients: 1 + bytes.below(3),
        window: 1 + bytes.below(4),
        bytes: match mode % 4 {
            // So much that only the window makes anything be forgotten.
            0 => 1 << 30,
            _ => (4 + bytes.below(26)) * most_bytes(2),
        },
        idle: Duration::from_millis(100),
    };
    // Over HTTP each request takes one sequence.
    let longest = if mode / 4 % 2 == 0 { 1 } else { LONGEST };
    if mode % 4 == 3 {
        call_all(bounds, &bytes.series(|bytes| bytes.call(longest)));
    } else {
        run(bounds, longest, &bytes.series(|bytes| bytes.event(longest)));
    }
}

/// The input bytes that are left. After the end come zeroes.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or_default()
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.next()) % bound
    }

    fn series<T>(&mut self, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut all = Vec::new();
        while !self.0.is_empty() && all.len() < EVENTS {
            all.push(one(self));
        }
        all
    }

    fn event(&mut self, longest: u64) -> Event {
        match self.below(18) {
            0..6 => Event::Send {
                client: self.below(CLIENTS.len()),
                epoch: (self.next() / 96).into(),
                // Mostly the sequence that comes next.
                ahead: match self.below(8) {
                    0..2 => 0,
                    other => other as i64 - 4,
                },
                inside: self.seldom_below(longest).unwrap_or_default(),
                span: self.seldom_below(longest).map(|span| 1 + span),
                resume: self.below(8) == 7,
                records: 1 + self.below(3),
                digest: (self.below(8) == 7).into(),
            },
            6..14 => Event::Step {
                request: self.below(256),
                taken: self.below(8) != 7,
                kinds: [self.kind(), self.kind(), self.kind()],
            },
            14..17 => Event::Again {
                waiter: self.below(256),
                leaves: self.below(8) == 7,
            },
            _ => Event::Pass(self.below(50) as u64),
        }
    }

    fn kind(&mut self) -> Kind {
        Kind::ALL[self.below(8) % 7 % 4]
    }

    /// Mostly none. Without spans of several sequences, always none.
    fn seldom_below(&mut self, longest: u64) -> Option<u64> {
        (longest > 1 && self.below(8) == 7).then(|| u64::from(self.next()) % longest)
    }

    fn call(&mut self, longest: u64) -> Call {
        Call {
            which: self.next(),
            number: Number {
                name: name(self.below(CLIENTS.len())),
                epoch: self.number(),
                sequence: self.number(),
                span: if longest > 1 { self.number() } else { 1 },
                resume: self.below(2) == 1,
            },
            records: self.below(5),
        }
    }

    /// A very small or a very large number.
    fn number(&mut self) -> u64 {
        match self.next() {
            byte @ 0..240 => u64::from(byte % 6),
            byte => u64::MAX - u64::from(byte % 4),
        }
    }
}
