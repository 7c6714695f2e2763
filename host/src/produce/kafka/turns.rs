//! Fair turns: which partition may hand records to which client, and when.
//!
//! librdkafka puts one partition into a produce request. With one request in flight for each broker, partitions queue
//! behind each other's round trips, and librdkafka's own choice among them is not fair: a few partitions may wait for
//! hundreds of round trips. So records wait here instead, in a queue for each partition, and partitions take turns:
//!
//! - A turn hands everything that waits for a partition to one client. It ends when each of those records has its
//!   outcome. So a partition belongs to one client at a time, and has at most one request under way.
//! - A client has a few places at each broker, and a turn takes one. When no place is free, partitions stand in line;
//!   the first in line gets the next free place. What comes meanwhile makes the next batch larger.
//! - Beside a broker, one client does best: it has a request on its way, one that is ready, and one that fills. Far
//!   from a broker, several clients have one request each, so that as many requests are on their way at once. The
//!   time that requests take tells which of the two it is.
//!
//! Plain data without a clock or a lock of its own; [`super::clients`] does what it says.

mod times;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use self::times::Times;

/// A turn that takes longer gives its place away. Its broker may be frozen, or not be the partition's leader any more,
/// and other partitions should not wait for that.
const OVERDUE: Duration = Duration::from_millis(300);
/// Beside the requests in flight: one request that is ready to go, and one that fills.
const AHEAD: usize = 2;
/// So many turns are looked at to see whether more clients would help.
const SAMPLE: usize = 32;

/// Names a partition's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct QueueId(usize);

/// Records of one request for one partition.
#[derive(Debug)]
pub(super) struct Part<T> {
    pub(super) records: Vec<T>,
    /// Their size, bytes.
    pub(super) bytes: usize,
}

/// Records that a client must be handed now, in this order.
#[derive(Debug)]
pub(super) struct Turn<T> {
    pub(super) queue: QueueId,
    /// The client's index.
    pub(super) client: usize,
    pub(super) parts: Vec<Part<T>>,
}

/// What does not change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// How many requests a client has in flight at a broker.
    pub(super) in_flight: usize,
    /// The most clients.
    pub(super) most_clients: usize,
    /// A turn hands over no more bytes than these, but for one part alone.
    pub(super) most_bytes: usize,
    /// So long after a turn's begin, records may still join it: the client library waits for them.
    pub(super) linger: Duration,
}

/// See the [module](self). `T` is a record that waits.
#[derive(Debug)]
pub(super) struct Turns<T> {
    rules: Rules,
    /// How many clients there are.
    clients: usize,
    /// How many of them, from the first, may have turns. A partition that is bound to another one keeps it.
    in_use: usize,
    queues: Vec<Queue<T>>,
    brokers: Vec<Broker>,
    /// Records that wait, of all queues.
    waiting: usize,
    /// Whether any queue is bound to a client. If not, lines move on from the front.
    any_bound: bool,
}

#[derive(Debug)]
struct Queue<T> {
    /// Index of the partition's leader, as far as is known.
    broker: usize,
    waiting: VecDeque<Part<T>>,
    running: Option<Running>,
    /// The only client that may have its turns. Set once a record's outcome is unknown: only that client's next
    /// acknowledgement settles what became of the record.
    bound_to: Option<usize>,
}

/// A turn that has not ended.
#[derive(Debug)]
struct Running {
    /// Where its place is; the leader may have changed since.
    broker: usize,
    client: usize,
    /// Records without an outcome.
    outstanding: usize,
    since: Instant,
    /// How many turns the client had at this broker when this one began.
    behind: u32,
    /// Whether it still holds its place.
    has_place: bool,
}

#[derive(Debug)]
struct Broker {
    id: i32,
    /// Places in use, for each client.
    used: Vec<usize>,
    /// Queues that hold a place.
    running: Vec<QueueId>,
    /// Queues that wait for one, and since when.
    line: VecDeque<(QueueId, Instant)>,
    times: Times,
    is_far: bool,
    /// Turns since the last look, and how many of them had to wait: in line, or for another turn of their client.
    turns: usize,
    waited: usize,
}

impl<T> Turns<T> {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            clients: 1,
            in_use: 1,
            queues: Vec::new(),
            brokers: Vec::new(),
            waiting: 0,
            any_bound: false,
        }
    }

    /// Adds the queue of a partition.
    pub(super) fn add_queue(&mut self, leader: i32) -> QueueId {
        let broker = self.broker(leader);
        self.queues.push(Queue {
            broker,
            waiting: VecDeque::new(),
            running: None,
            bound_to: None,
        });
        QueueId(self.queues.len() - 1)
    }

    /// How many records wait for a turn.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Gives the part's partition a turn at once, or has the part join the turn that has just begun. The part comes
    /// back if it has to wait.
    pub(super) fn begin(&mut self, id: QueueId, part: Part<T>, now: Instant) -> Result<Turn<T>, Part<T>> {
        let queue = &mut self.queues[id.0];
        if !queue.waiting.is_empty() {
            return Err(part);
        }
        if let Some(running) = &mut queue.running {
            if now.duration_since(running.since) >= self.rules.linger {
                return Err(part);
            }
            running.outstanding += part.records.len();
            return Ok(Turn {
                queue: id,
                client: running.client,
                parts: vec![part],
            });
        }
        match self.free_client(id) {
            Some(client) if self.brokers[self.queues[id.0].broker].line.is_empty() => {
                Ok(self.start(id, client, vec![part], now))
            }
            _ => Err(part),
        }
    }

    /// Has the part wait for its partition's turn. `turns`: those that begin now.
    pub(super) fn wait(&mut self, id: QueueId, part: Part<T>, now: Instant, turns: &mut Vec<Turn<T>>) {
        self.waiting += part.records.len();
        let queue = &mut self.queues[id.0];
        queue.waiting.push_back(part);
        if queue.running.is_none() && queue.waiting.len() == 1 {
            let broker = queue.broker;
            self.brokers[broker].line.push_back((id, now));
            self.call_next(broker, now, turns);
        }
    }

    /// Notes that so many records of a turn have their outcomes. `turns`: those that begin now.
    pub(super) fn answered(&mut self, id: QueueId, records: usize, now: Instant, turns: &mut Vec<Turn<T>>) {
        let queue = &mut self.queues[id.0];
        let Some(running) = &mut queue.running else { return };
        running.outstanding = running.outstanding.saturating_sub(records);
        if running.outstanding > 0 {
            return;
        }
        let Some(ended) = queue.running.take() else { return };
        let next = queue.broker;
        if !queue.waiting.is_empty() {
            self.brokers[next].line.push_back((id, now));
        }
        let broker = &mut self.brokers[ended.broker];
        if ended.has_place {
            broker.free(id, ended.client);
            broker
                .times
                .add(now.duration_since(ended.since) / (ended.behind + 1), now);
            broker.is_far = broker.times.are_far(broker.is_far);
            self.call_next(ended.broker, now, turns);
        }
        if next != ended.broker || !ended.has_place {
            self.call_next(next, now, turns);
        }
    }

    /// Notes that a record's outcome is unknown: from now on its partition stays with this client.
    pub(super) fn bind(&mut self, id: QueueId) {
        let queue = &mut self.queues[id.0];
        queue.bound_to = queue.bound_to.or(queue.running.as_ref().map(|running| running.client));
        self.any_bound |= queue.bound_to.is_some();
    }

    /// Notes a partition's leader.
    pub(super) fn lead(&mut self, id: QueueId, leader: i32, now: Instant, turns: &mut Vec<Turn<T>>) {
        let broker = self.broker(leader);
        let queue = &mut self.queues[id.0];
        let before = std::mem::replace(&mut queue.broker, broker);
        let stands = queue.running.is_none() && !queue.waiting.is_empty();
        if before != broker && stands {
            self.brokers[before].line.retain(|(other, _)| *other != id);
            self.brokers[broker].line.push_back((id, now));
            self.call_next(broker, now, turns);
        }
    }

    /// Takes the places of turns that are overdue. Must be called now and then.
    pub(super) fn look(&mut self, now: Instant, turns: &mut Vec<Turn<T>>) {
        for index in 0..self.brokers.len() {
            let broker = &mut self.brokers[index];
            let mut overdue = Vec::new();
            for id in &broker.running {
                if let Some(running) = &mut self.queues[id.0].running
                    && now.duration_since(running.since) > OVERDUE
                {
                    running.has_place = false;
                    overdue.push((*id, running.client));
                }
            }
            for (id, client) in overdue {
                broker.free(id, client);
            }
            self.call_next(index, now, turns);
        }
    }

    /// How many more clients would help now: partitions of a far broker wait for each other.
    pub(super) fn wanted_clients(&mut self) -> usize {
        let mut wanted = false;
        for broker in &mut self.brokers {
            if broker.turns >= SAMPLE {
                wanted |= broker.is_far && 4 * broker.waited >= broker.turns;
                (broker.turns, broker.waited) = (0, 0);
            }
        }
        match wanted && self.in_use == self.clients {
            true => self.clients.min(self.rules.most_clients - self.clients),
            false => 0,
        }
    }

    /// Notes that there is one more client.
    pub(super) fn add_client(&mut self) {
        self.clients += 1;
        self.in_use += 1;
    }

    /// From now on only so many clients, from the first, may have turns.
    pub(super) fn use_clients(&mut self, count: usize) {
        self.in_use = count.clamp(1, self.clients);
    }

    pub(super) fn in_use(&self) -> usize {
        self.in_use
    }

    /// How many clients there are.
    pub(super) fn clients(&self) -> usize {
        self.clients
    }

    /// Takes all records that wait out of their queues.
    pub(super) fn give_up(&mut self) -> Vec<Part<T>> {
        self.waiting = 0;
        for broker in &mut self.brokers {
            broker.line.clear();
        }
        self.queues
            .iter_mut()
            .flat_map(|queue| queue.waiting.drain(..))
            .collect()
    }

    /// The index of a broker.
    fn broker(&mut self, id: i32) -> usize {
        if let Some(known) = self.brokers.iter().position(|broker| broker.id == id) {
            return known;
        }
        self.brokers.push(Broker {
            id,
            used: vec![0; self.rules.most_clients],
            running: Vec::new(),
            line: VecDeque::new(),
            times: Times::default(),
            is_far: false,
            turns: 0,
            waited: 0,
        });
        self.brokers.len() - 1
    }

    /// Gives free places to the first in line.
    fn call_next(&mut self, broker: usize, now: Instant, turns: &mut Vec<Turn<T>>) {
        loop {
            let line = &self.brokers[broker].line;
            let called = line
                .iter()
                .take(if self.any_bound { usize::MAX } else { 1 })
                .enumerate()
                .find_map(|(at, (id, since))| Some((at, *id, *since, self.free_client(*id)?)));
            let Some((at, id, since, client)) = called else { return };
            let broker = &mut self.brokers[broker];
            broker.line.remove(at);
            if since < now && broker.used[client] < self.rules.in_flight {
                broker.waited += 1;
            }
            let (mut parts, mut bytes) = (Vec::new(), 0);
            let queue = &mut self.queues[id.0];
            while let Some(part) = queue.waiting.pop_front() {
                if bytes > 0 && bytes + part.bytes > self.rules.most_bytes {
                    queue.waiting.push_front(part);
                    break;
                }
                bytes += part.bytes;
                self.waiting -= part.records.len();
                parts.push(part);
            }
            turns.push(self.start(id, client, parts, now));
        }
    }

    fn start(&mut self, id: QueueId, client: usize, parts: Vec<Part<T>>, now: Instant) -> Turn<T> {
        let queue = &mut self.queues[id.0];
        let broker = &mut self.brokers[queue.broker];
        queue.running = Some(Running {
            broker: queue.broker,
            client,
            outstanding: parts.iter().map(|part| part.records.len()).sum(),
            since: now,
            behind: broker.used[client] as u32,
            has_place: true,
        });
        broker.turns += 1;
        broker.waited += usize::from(broker.used[client] >= self.rules.in_flight);
        broker.used[client] += 1;
        broker.running.push(id);
        Turn {
            queue: id,
            client,
            parts,
        }
    }

    /// The client that would have the queue's next turn, if one has a free place: the one with the most.
    fn free_client(&self, id: QueueId) -> Option<usize> {
        let queue = &self.queues[id.0];
        let broker = &self.brokers[queue.broker];
        let width = if broker.is_far { self.in_use } else { 1 };
        let places = self.rules.in_flight + if width == 1 { AHEAD } else { 0 };
        let client = match queue.bound_to {
            Some(client) => client,
            None => (0..width).min_by_key(|client| broker.used[*client])?,
        };
        (broker.used[client] < places).then_some(client)
    }
}

impl Broker {
    fn free(&mut self, id: QueueId, client: usize) {
        self.used[client] -= 1;
        self.running.retain(|other| *other != id);
    }
}

#[cfg(test)]
mod tests;
