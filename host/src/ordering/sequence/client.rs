//! What is known of one client: where it stands, which of its requests has the turn, what is remembered.

mod look;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

pub(super) use self::look::Verdict;
use super::{Content, Number, Owner, Settled};

/// One client with numbered requests.
#[derive(Debug)]
pub(super) struct Client<H> {
    /// The current epoch and the next sequence. None until the first request is taken.
    standing: Option<Standing>,
    /// The remembered requests by (epoch, sequence): the last ones of this epoch without a gap, and of earlier epochs
    /// those that are still under way.
    requests: BTreeMap<(u64, u64), Request<H>>,
    /// The sequences of this epoch that have a record that is `failed` or `unknown`, also while they are being sent
    /// again.
    blocked: BTreeSet<u64>,
    /// The request that has the turn: the only one that may hand over.
    turn: Option<Claim>,
    /// How many requests wait, by (epoch, sequence, next sequence).
    waiting: BTreeMap<(u64, u64, u64), usize>,
    /// Those of `requests` that are under way, by (epoch, sequence).
    under_way: BTreeSet<(u64, u64)>,
    /// What `requests` and the turn are counted for, bytes.
    pub(super) bytes: usize,
    /// `limits.client_window`.
    window: usize,
    /// When the client last asked or got an outcome.
    pub(super) used: Instant,
    /// The client's key among its owner's clients that may be forgotten. None while the client is busy.
    pub(super) idle: Option<u64>,
}

/// Where a client stands.
#[derive(Debug, Clone, Copy)]
struct Standing {
    epoch: u64,
    /// The first sequence of the epoch here. Nothing is known of those before it.
    first: u64,
    /// The next new sequence.
    expected: u64,
}

/// The request that has the turn.
#[derive(Debug, Clone, Copy)]
struct Claim {
    epoch: u64,
    sequence: u64,
    /// The sequence of the request after it.
    next: u64,
    content: Content,
    /// Whether it is a repeat, whose sequence is used already.
    repeat: bool,
    /// Whether the hand-over has begun. Until then the request may still be refused.
    taken: bool,
    /// What the request is counted for until it is taken, bytes. 0 for a repeat, which is counted already.
    bytes: usize,
}

/// A request that was taken.
#[derive(Debug)]
struct Request<H> {
    /// The sequence of the request after it.
    next: u64,
    content: Content,
    state: State<H>,
    /// What it is counted for, bytes.
    bytes: usize,
}

/// Whether a request that was taken has its outcomes.
#[derive(Debug)]
enum State<H> {
    UnderWay(H),
    Settled(Arc<Settled>),
}

impl<H: Clone> Client<H> {
    pub(super) fn new(window: usize, now: Instant) -> Self {
        Self {
            standing: None,
            requests: BTreeMap::new(),
            blocked: BTreeSet::new(),
            turn: None,
            waiting: BTreeMap::new(),
            under_way: BTreeSet::new(),
            bytes: 0,
            window,
            used: now,
            idle: None,
        }
    }

    /// Lets the client begin with this request, and with no other, even if the request is refused at first.
    pub(super) fn begin_with(&mut self, number: &Number) {
        self.standing = Some(Standing {
            epoch: number.epoch,
            first: number.sequence,
            expected: number.sequence,
        });
    }

    /// Whether the client must not be forgotten.
    pub(super) fn is_busy(&self) -> bool {
        self.turn.is_some() || self.is_under_way() || !self.waiting.is_empty()
    }

    /// Whether there is anything to remember.
    pub(super) fn is_blank(&self) -> bool {
        self.standing.is_none()
    }

    pub(super) fn is_under_way(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// Whether one more request would exceed the window.
    pub(super) fn is_full(&self) -> bool {
        self.requests.len() >= self.window
    }

    pub(super) fn remembered(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn wait(&mut self, number: &Number) {
        *self.waiting.entry(waiting_key(number)).or_default() += 1;
    }

    pub(super) fn leave(&mut self, number: &Number) {
        let key = waiting_key(number);
        match self.waiting.get_mut(&key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                self.waiting.remove(&key);
            }
        }
    }

    /// Forgets the oldest request, if it may be forgotten, and returns the bytes that this frees. Never one in the
    /// middle, so that the remembered requests are always "the last ones"; and never one that blocks, unless to make
    /// room for an epoch that begins.
    pub(super) fn forget_oldest(&mut self, for_epoch: u64) -> Option<usize> {
        let (&(epoch, sequence), request) = self.requests.first_key_value()?;
        let blocks = epoch == for_epoch && self.blocked.contains(&sequence);
        if blocks || matches!(request.state, State::UnderWay(_)) {
            return None;
        }
        let (_, request) = self.requests.pop_first()?;
        self.bytes -= request.bytes;
        Some(request.bytes)
    }

    /// Gives the turn to a request that [`Client::look`] has found to be new, or to be a repeat (`bytes` 0).
    pub(super) fn claim(&mut self, number: &Number, content: Content, repeat: bool, bytes: usize) {
        self.bytes += bytes;
        self.turn = Some(Claim {
            epoch: number.epoch,
            sequence: number.sequence,
            next: number.next_sequence(),
            content,
            repeat,
            taken: false,
            bytes,
        });
    }

    /// The request that has the turn is about to be handed over: its sequence is used. Returns the bytes that this
    /// frees.
    pub(super) fn take(&mut self, handle: H) -> usize {
        let Some(claim) = self.turn.as_mut().filter(|claim| !claim.taken) else {
            return 0;
        };
        claim.taken = true;
        let claim = *claim;
        let key = (claim.epoch, claim.sequence);
        let mut freed = 0;
        if claim.repeat {
            if let Some(request) = self.requests.get_mut(&key) {
                request.state = State::UnderWay(handle);
                self.under_way.insert(key);
            }
            return freed;
        }
        let current = self.standing.filter(|standing| standing.epoch == claim.epoch);
        if current.is_none() {
            freed = self.forget_epoch();
        }
        self.standing = Some(Standing {
            epoch: claim.epoch,
            first: current.map_or(claim.sequence, |standing| standing.first),
            expected: claim.next,
        });
        let request = Request {
            next: claim.next,
            content: claim.content,
            state: State::UnderWay(handle),
            bytes: claim.bytes,
        };
        self.requests.insert(key, request);
        self.under_way.insert(key);
        freed
    }

    /// Forgets all requests but those that are under way, which are forgotten when they are settled.
    fn forget_epoch(&mut self) -> usize {
        let before = self.bytes;
        self.blocked.clear();
        let bytes = &mut self.bytes;
        self.requests.retain(|_, request| {
            let stays = matches!(request.state, State::UnderWay(_));
            if !stays {
                *bytes -= request.bytes;
            }
            stays
        });
        before - self.bytes
    }

    /// The turn is over: the hand-over has ended, or nothing was taken. Returns the bytes that this frees.
    pub(super) fn end_turn(&mut self) -> usize {
        match self.turn.take() {
            Some(claim) if !claim.taken => {
                self.bytes -= claim.bytes;
                claim.bytes
            }
            _ => 0,
        }
    }

    /// A request has its outcomes now. Returns the bytes that this frees.
    pub(super) fn settle(&mut self, number: &Number, settled: Arc<Settled>) -> usize {
        let key = (number.epoch, number.sequence);
        let Some(request) = self.requests.get_mut(&key) else {
            return 0;
        };
        if !matches!(request.state, State::UnderWay(_)) {
            return 0;
        }
        self.under_way.remove(&key);
        let before = request.bytes;
        if self.standing.is_none_or(|standing| standing.epoch != number.epoch) {
            self.requests.remove(&key);
            self.bytes -= before;
            return before;
        }
        // Kafka's producers are told of whole batches: one with a rejected record has no success either.
        if settled.is_blocking() || (number.name.owner == Owner::Kafka && !settled.is_acked()) {
            self.blocked.insert(number.sequence);
        } else {
            self.blocked.remove(&number.sequence);
        }
        // A request that may be sent again stays counted as if it were under way, so that the repeat finds its room.
        if settled.is_acked() {
            request.bytes = before.min(settled.bytes());
        }
        let freed = before - request.bytes;
        self.bytes -= freed;
        request.state = State::Settled(settled);
        freed
    }
}

fn waiting_key(number: &Number) -> (u64, u64, u64) {
    (number.epoch, number.sequence, number.next_sequence())
}
