//! A broker as [`super::Turns`] sees it: who has a place there, and who stands in line.

use std::{collections::VecDeque, time::Instant};

use super::{queue::QueueId, times::Times};

/// So many turns are looked at to see whether more clients would help.
pub(super) const SAMPLE: usize = 32;

#[derive(Debug)]
pub(super) struct Broker {
    pub(super) id: i32,
    /// Places in use, for each client.
    pub(super) used: Vec<usize>,
    /// Queues that hold a place.
    pub(super) running: Vec<QueueId>,
    /// Queues that wait for one, and since when.
    pub(super) line: VecDeque<(QueueId, Instant)>,
    pub(super) times: Times,
    pub(super) is_far: bool,
    /// Turns since the last look, and how many of them had to wait: in line, or for another turn of their client.
    turns: usize,
    waited: usize,
}

impl Broker {
    pub(super) fn new(id: i32, most_clients: usize) -> Self {
        Self {
            id,
            used: vec![0; most_clients],
            running: Vec::new(),
            line: VecDeque::new(),
            times: Times::default(),
            is_far: false,
            turns: 0,
            waited: 0,
        }
    }

    /// Takes a place.
    pub(super) fn take(&mut self, id: QueueId, client: usize, has_waited: bool) {
        self.used[client] += 1;
        self.running.push(id);
        self.turns += 1;
        self.waited += usize::from(has_waited);
    }

    /// Gives a place back.
    pub(super) fn free(&mut self, id: QueueId, client: usize) {
        self.used[client] -= 1;
        self.running.retain(|other| *other != id);
    }

    /// Whether more clients would help: the broker is far, and its partitions wait for each other.
    pub(super) fn wants_clients(&mut self) -> bool {
        if self.turns < SAMPLE {
            return false;
        }
        let wants = self.is_far && 4 * self.waited >= self.turns;
        (self.turns, self.waited) = (0, 0);
        wants
    }

    /// Makes the next [`Broker::wants_clients`] say so.
    #[cfg(test)]
    pub(super) fn want_clients(&mut self) {
        (self.is_far, self.turns, self.waited) = (true, SAMPLE, SAMPLE);
    }
}
