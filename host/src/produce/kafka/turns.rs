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
//!   time that requests take tells which of the two it is. [`row`] has the clients.
//! - When a broker is lost, all clients but the first retire: see [`super::more`].
//!
//! Plain data without a clock or a lock of its own; [`super::clients`] does what it says.

mod broker;
mod queue;
mod row;
mod times;

use std::time::{Duration, Instant};

pub(super) use self::queue::{Part, QueueId, Serial};
use self::{
    broker::Broker,
    queue::{Queue, Running},
    row::{Free, Row},
};

/// A turn that takes longer gives its place away. Its broker may be frozen, or not be the partition's leader any more,
/// and other partitions should not wait for that.
const OVERDUE: Duration = Duration::from_millis(300);
/// So many partitions in line are looked at for one that a free client would take.
const LOOKED_AT: usize = 64;
/// Beside the requests in flight: one request that is ready to go, and one that fills.
const AHEAD: usize = 2;

/// With many brokers, fewer clients are made: all together keep about so many connections, each with a thread.
const CONNECTIONS: usize = 64;

/// Records that a client must be handed now, in this order.
#[derive(Debug)]
pub(super) struct Turn<T> {
    pub(super) queue: QueueId,
    /// The client's index.
    pub(super) client: usize,
    pub(super) parts: Vec<Part<T>>,
    /// Set where more records may join the turn, which they may only when these are handed over: then
    /// [`Turns::handed_over`] must be called with it.
    pub(super) open: Option<Serial>,
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
    /// How long the first client waits for more records.
    pub(super) linger: Duration,
}

/// What a client's outcomes say about the partition's earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// Nothing: they are as settled as before.
    Unchanged,
    /// A record's outcome is unknown. Only this client's next acknowledgement settles what became of the record.
    Opened,
    /// The last one is an acknowledgement.
    Closed,
}

/// See the [module](self). `T` is a record that waits.
#[derive(Debug)]
pub(super) struct Turns<T> {
    rules: Rules,
    row: Row,
    queues: Vec<Queue<T>>,
    brokers: Vec<Broker>,
    /// Records that wait, of all queues.
    waiting: usize,
    /// How many queues are bound to a client.
    bound: usize,
    /// The last turn.
    last: Serial,
}

impl<T> Turns<T> {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            row: Row::new(rules.most_clients, rules.linger),
            rules,
            queues: Vec::new(),
            brokers: Vec::new(),
            waiting: 0,
            bound: 0,
            last: Serial(0),
        }
    }

    /// Adds the queue of a partition.
    pub(super) fn add_queue(&mut self, leader: i32) -> QueueId {
        let broker = self.broker(leader);
        self.queues.push(Queue::new(broker));
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
        if !queue.is_empty() {
            return Err(part);
        }
        if let Some(running) = &mut queue.running {
            // They may join while the client still waits for more, and not before those that were there first.
            if running.is_handing_over || now.duration_since(running.since) >= self.row.linger(running.client) {
                return Err(part);
            }
            running.outstanding += part.records.len();
            running.is_handing_over = true;
            return Ok(Turn {
                queue: id,
                client: running.client,
                parts: vec![part],
                open: Some(running.serial),
            });
        }
        let broker = queue.broker;
        match self.client_for(id, part.records.len(), self.free(broker)) {
            Some(client) if self.brokers[broker].line.is_empty() => Ok(self.start(id, client, vec![part], now, false)),
            _ => Err(part),
        }
    }

    /// Has the part wait for its partition's turn. `turns`: those that begin now.
    pub(super) fn wait(&mut self, id: QueueId, part: Part<T>, now: Instant, turns: &mut Vec<Turn<T>>) {
        self.waiting += part.records.len();
        let queue = &mut self.queues[id.0];
        let stood = queue.stands();
        queue.push(part);
        if queue.stands() && !stood {
            let broker = queue.broker;
            self.brokers[broker].line.push_back((id, now));
            self.call_next(broker, now, turns);
        }
    }

    /// Notes that all records of the turn are handed over.
    pub(super) fn handed_over(&mut self, id: QueueId, turn: Serial) {
        if let Some(running) = &mut self.queues[id.0].running
            && running.serial == turn
        {
            running.is_handing_over = false;
        }
    }

    /// Notes that so many records of a turn have their outcomes. `turns`: those that begin now.
    pub(super) fn answered(
        &mut self,
        id: QueueId,
        records: usize,
        settled: Settled,
        now: Instant,
        turns: &mut Vec<Turn<T>>,
    ) {
        let queue = &mut self.queues[id.0];
        let Some(running) = &mut queue.running else { return };
        self.bound -= usize::from(queue.bound_to.is_some());
        match settled {
            Settled::Unchanged => {}
            Settled::Opened => queue.bound_to = Some(running.client),
            Settled::Closed => queue.bound_to = None,
        }
        self.bound += usize::from(queue.bound_to.is_some());
        running.outstanding = running.outstanding.saturating_sub(records);
        if running.outstanding > 0 {
            return;
        }
        let Some(ended) = queue.running.take() else { return };
        let next = queue.broker;
        if !queue.is_empty() {
            self.brokers[next].line.push_back((id, now));
        }
        let broker = &mut self.brokers[ended.broker];
        if ended.has_place {
            broker.free(id, ended.client);
            // Of a client that lingers, nobody knows how long its request took.
            if self.row.is_quick(ended.client) {
                let time = now.duration_since(ended.since) / (ended.behind + 1);
                broker.times.add(time, now);
                broker.is_far = broker.times.are_far(broker.is_far);
            }
            self.call_next(ended.broker, now, turns);
        }
        if next != ended.broker || !ended.has_place {
            self.call_next(next, now, turns);
        }
    }

    /// Notes a partition's leader.
    pub(super) fn lead(&mut self, id: QueueId, leader: i32, now: Instant, turns: &mut Vec<Turn<T>>) {
        let broker = self.broker(leader);
        let queue = &mut self.queues[id.0];
        let before = std::mem::replace(&mut queue.broker, broker);
        let stands = queue.stands();
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

    /// The clients that would help now, as partitions of a far broker wait for each other: their indexes, and how long each
    /// lingers.
    pub(super) fn wanted_clients(&mut self) -> Vec<(usize, Duration)> {
        // Each broker must forget its counts.
        let wanted = self
            .brokers
            .iter_mut()
            .fold(false, |any, broker| broker.wants_clients() | any);
        // The ids of brokers are not negative; the place for partitions without a leader has another one.
        let leaders = self.brokers.iter().filter(|broker| broker.id >= 0).count();
        match wanted {
            true => self.row.empty((CONNECTIONS / leaders.max(1)).max(2)),
            false => Vec::new(),
        }
    }

    /// Notes that there is a client with this index.
    pub(super) fn add_client(&mut self, client: usize) {
        self.row.add(client);
    }

    /// From now on, clients other than the first have turns only of partitions that are bound to them. Returns whether
    /// that changes anything.
    pub(super) fn retire_clients(&mut self) -> bool {
        self.row.retire_others()
    }

    /// Whether several clients are used although no broker is far.
    pub(super) fn has_idle_clients(&self) -> bool {
        self.row.used() > 1 && self.brokers.iter().all(|broker| !broker.is_far)
    }

    /// Takes out the retired clients that have no turn and no bound partition.
    pub(super) fn end_clients(&mut self) -> Vec<usize> {
        let queues = &self.queues;
        self.row.end(|client| queues.iter().any(|queue| queue.holds(client)))
    }

    /// How many clients there are.
    pub(super) fn clients(&self) -> usize {
        self.row.count()
    }

    /// Takes all records that wait out of their queues.
    pub(super) fn give_up(&mut self) -> Vec<Part<T>> {
        self.waiting = 0;
        for broker in &mut self.brokers {
            broker.line.clear();
        }
        self.queues.iter_mut().flat_map(Queue::give_up).collect()
    }

    /// The index of a broker.
    fn broker(&mut self, id: i32) -> usize {
        if let Some(known) = self.brokers.iter().position(|broker| broker.id == id) {
            return known;
        }
        self.brokers.push(Broker::new(id, self.rules.most_clients));
        self.brokers.len() - 1
    }

    /// Gives free places to the first in line.
    fn call_next(&mut self, broker: usize, now: Instant, turns: &mut Vec<Turn<T>>) {
        loop {
            let free = self.free(broker);
            // A bound partition may go although no other one may, and the other way round.
            let looked_at = match (self.bound, free.is_any()) {
                (0, false) => 0,
                (0, true) => LOOKED_AT,
                _ => usize::MAX,
            };
            let line = self.brokers[broker].line.iter().take(looked_at).enumerate();
            let called = line
                .map(|(at, (id, since))| (at, *id, *since))
                .find_map(|(at, id, since)| {
                    Some((at, id, since, self.client_for(id, self.queues[id.0].records(), free)?))
                });
            let Some((at, id, since, client)) = called else { return };
            self.brokers[broker].line.remove(at);
            let queue = &mut self.queues[id.0];
            let before = queue.records();
            let parts = queue.take(self.rules.most_bytes);
            self.waiting -= before - queue.records();
            turns.push(self.start(id, client, parts, now, since < now));
        }
    }

    fn start(&mut self, id: QueueId, client: usize, parts: Vec<Part<T>>, now: Instant, has_waited: bool) -> Turn<T> {
        let queue = &mut self.queues[id.0];
        let broker = &mut self.brokers[queue.broker];
        self.last.0 += 1;
        queue.running = Some(Running {
            serial: self.last,
            is_handing_over: true,
            broker: queue.broker,
            client,
            outstanding: parts.iter().map(|part| part.records.len()).sum(),
            since: now,
            behind: broker.used[client] as u32,
            has_place: true,
        });
        broker.take(id, client, has_waited || broker.used[client] >= self.rules.in_flight);
        Turn {
            queue: id,
            client,
            parts,
            open: (!self.row.linger(client).is_zero()).then_some(self.last),
        }
    }

    /// The clients that have a free place at a broker.
    fn free(&self, broker: usize) -> Free {
        let broker = &self.brokers[broker];
        if broker.is_far && self.row.used() > 1 {
            return self.row.free(&broker.used, self.rules.in_flight);
        }
        self.row.first(&broker.used, self.rules.in_flight + AHEAD)
    }

    /// The client that would have the queue's next turn of so many records, if it has a free place.
    fn client_for(&self, id: QueueId, records: usize, free: Free) -> Option<usize> {
        let queue = &self.queues[id.0];
        let Some(client) = queue.bound_to else {
            return free.client(records);
        };
        let used = self.brokers[queue.broker].used[client];
        (used < self.rules.in_flight + AHEAD).then_some(client)
    }
}

#[cfg(test)]
mod tests;
