//! The clients of one generation, side by side. To everybody else they are one producer.
//!
//! Each has a producer id of its own, so the brokers know them apart. What keeps the order is [`super::turns`]: a
//! partition belongs to one client while any of its records is without an outcome. There is one client at first. More
//! are made when partitions of a far broker wait for each other, and they go when a broker is lost or no broker is far.
//!
//! - A fatal error in one of them ends the generation: the others get their answers as usual, then all are replaced.
//! - A lasting refusal makes librdkafka drain one client only; the other clients' records go on.
//! - Metadata, settings and health are asked of the first client alone.

use std::{
    collections::HashMap,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    thread,
    time::{Duration, Instant},
};

use rdkafka::ClientConfig;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::{
    super::{Health, MetadataError, NoSettings, delivery_error},
    client::Client,
    config::Options,
    more::{Made, More},
    parts::{Answered, Parts, TopicQueues, Waiting},
    slots::Slots,
    turns::{Part, QueueId, Rules, Settled, Turn, Turns},
};
use crate::{
    base::outcome::{Code, Outcome, RecordError},
    topic::{PartitionInfo, TopicSettings},
};

/// How long one client's flush may keep the others from theirs.
const FLUSH_SLICE: Duration = Duration::from_millis(20);
/// The leader of a partition that has none, or none that is known.
const NO_LEADER: i32 = -1;

/// See the [module](self).
pub(super) struct Clients {
    clients: Slots,
    more: More,
    topics: RwLock<HashMap<Arc<str>, Arc<TopicQueues>>>,
    /// The leaders of each topic's partitions, as the metadata said last.
    leaders: Mutex<HashMap<Arc<str>, Vec<i32>>>,
    turns: Mutex<Turns<Waiting>>,
    /// Readable when a client has something to say.
    events: Arc<OwnedFd>,
}

impl Clients {
    /// Makes the first client.
    pub(super) fn new(config: &ClientConfig, options: Options) -> anyhow::Result<Self> {
        let rules = rules(config, options);
        let events = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        let first = Client::new(config, options, &events)?;
        Ok(Self {
            clients: Slots::new(first, rules.most_clients),
            more: More::new(config, options, &events),
            topics: RwLock::default(),
            leaders: Mutex::default(),
            turns: Mutex::new(Turns::new(rules)),
            events,
        })
    }

    fn turns(&self) -> MutexGuard<'_, Turns<Waiting>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many clients there are.
    pub(super) fn count(&self) -> usize {
        self.turns().clients()
    }

    /// The queues of a topic.
    pub(super) fn topic(&self, name: &Arc<str>) -> Arc<TopicQueues> {
        let known = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = known.get(name) {
            return Arc::clone(topic);
        }
        drop(known);
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        let topic = topics.entry(Arc::clone(name)).or_insert_with(|| TopicQueues::new(name));
        Arc::clone(topic)
    }

    fn queue(&self, topic: &TopicQueues, partition: u32) -> QueueId {
        if let Some(id) = topic.get(partition) {
            return id;
        }
        let mut ids = topic.ids.write().unwrap_or_else(PoisonError::into_inner);
        let index = partition as usize;
        if ids.len() <= index {
            ids.resize(index + 1, None);
        }
        *ids[index].get_or_insert_with(|| {
            let leaders = self.leaders.lock().unwrap_or_else(PoisonError::into_inner);
            let leader = leaders.get(&topic.name).and_then(|leaders| leaders.get(index));
            let leader = leader.copied().unwrap_or(NO_LEADER);
            drop(leaders);
            self.turns().add_queue(leader)
        })
    }

    /// Hands over the records, or has them wait for their partitions' turns.
    pub(super) fn hand_over(&self, parts: &mut Parts) {
        let topic = Arc::clone(&parts.topic);
        for (partition, part) in parts.drain() {
            let id = self.queue(&topic, partition);
            let begun = self.turns().begin(id, part, Instant::now());
            let mut turns = Vec::new();
            match begun {
                Ok(turn) => turns.push(turn),
                Err(mut part) => {
                    part.detach();
                    self.turns().wait(id, part, Instant::now(), &mut turns);
                }
            }
            self.take(turns);
        }
    }

    /// Takes turns.
    fn take(&self, mut turns: Vec<Turn<Waiting>>) {
        while let Some(turn) = turns.pop() {
            let refused = self.send(turn.client, turn.parts);
            if let Some(serial) = turn.open {
                self.turns().handed_over(turn.queue, serial);
            }
            if refused > 0 {
                self.turns()
                    .answered(turn.queue, refused, Settled::Unchanged, Instant::now(), &mut turns);
            }
        }
    }

    /// Hands records of one partition to a client. Returns how many it refused; their tickets are complete.
    fn send(&self, client: usize, parts: Vec<Part<Waiting>>) -> usize {
        let mut records = parts.into_iter().flat_map(|part| part.records).peekable();
        let clients = self.clients.now();
        let (Some(first), Some(client)) = (records.peek(), &clients[client]) else {
            return 0;
        };
        let topic = client.topic(&first.record.topic);
        let mut refused = 0;
        for Waiting { record, ticket } in records {
            let taken = match &topic {
                Ok(topic) => client.send(topic, &record, ticket),
                Err(error) => {
                    ticket.complete(delivery_error::of_refusal(*error, &record.topic));
                    false
                }
            };
            refused += usize::from(!taken);
        }
        refused
    }

    /// Notes a client's delivery reports, and takes the turns that begin with that.
    fn note(&self, client: &Client) {
        let mut turns = Vec::new();
        for Answered {
            topic,
            partition,
            records,
            settled,
        } in client.reports()
        {
            let id = self.queue(&self.topic(&topic.name), partition);
            self.turns().answered(id, records, settled, Instant::now(), &mut turns);
        }
        self.take(turns);
    }

    /// Waits up to `timeout` for delivery reports, and handles those that there are, for about as long at most: new ones may
    /// come faster than they are handled, and the caller has other things to look after.
    pub(super) fn poll(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let clients = self.clients.all();
        let all = || clients.iter();
        // What the last call left is not signalled again.
        if !all().any(|client| client.has_events()) {
            self.wait_for_events(timeout);
        }
        while all().any(|client| client.has_events()) {
            for client in all() {
                client.poll_one();
                self.note(client);
            }
            if Instant::now() >= deadline {
                return;
            }
        }
    }

    fn wait_for_events(&self, timeout: Duration) {
        let mut events = [PollFd::new(&self.events, PollFlags::IN)];
        let timeout = Timespec {
            tv_sec: timeout.as_secs().cast_signed(),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        // Whatever comes of it, looking is right.
        let _ = poll(&mut events, Some(&timeout));
        let _ = rustix::io::read(&self.events, &mut [0; 8]);
    }

    /// What must be done now and then: looks after overdue turns, makes more clients where they help, and ends those that
    /// do not help any more.
    pub(super) fn look(&self) {
        let mut turns = Vec::new();
        // Each client must forget its loss.
        let has_lost = self.clients.all().iter().filter(|client| client.lost_broker()).count() > 0;
        if has_lost {
            self.more.lost_broker();
        }
        let (wanted, ended) = {
            let mut all = self.turns();
            all.look(Instant::now(), &mut turns);
            if (has_lost || all.has_idle_clients()) && all.retire_clients() {
                tracing::info!("records are sent through one client again");
            }
            (all.wanted_clients(), all.end_clients())
        };
        self.take(turns);
        ended.into_iter().for_each(|index| self.clients.end(index));
        let first = self.clients.first();
        if let Some(Made { index, client }) = self.more.next(&wanted, first, || self.known_topics()) {
            self.clients.put(index, client);
            let mut turns = self.turns();
            turns.add_client(index);
            let clients = turns.clients();
            drop(turns);
            tracing::info!(
                clients,
                "brokers are far and partitions wait for each other: one more client sends"
            );
        }
    }

    fn known_topics(&self) -> Vec<Arc<str>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.keys().cloned().collect()
    }

    /// The fatal error that a client met, if any did.
    pub(super) fn fatal(&self) -> Option<String> {
        self.clients.all().iter().find_map(|client| client.fatal())
    }

    /// Number of records without an outcome.
    pub(super) fn outstanding(&self) -> usize {
        let waiting = self.turns().waiting();
        waiting
            + self
                .clients
                .all()
                .iter()
                .map(|client| client.outstanding())
                .sum::<usize>()
    }

    pub(super) fn health(&self) -> Health {
        self.clients.first().health()
    }

    pub(super) fn is_worn(&self) -> bool {
        self.clients.all().iter().any(|client| client.is_worn())
    }

    pub(super) fn has_room_for(&self, topic: &str) -> bool {
        self.clients.all().iter().all(|client| client.has_room_for(topic))
    }

    pub(super) fn metadata(&self, topic: &str, timeout: Duration) -> Result<Vec<PartitionInfo>, MetadataError> {
        let found = self.clients.first().metadata(topic, timeout)?;
        let leaders: Vec<i32> = found.iter().map(|leader| leader.unwrap_or(NO_LEADER)).collect();
        self.lead(topic, leaders);
        let info = |leader: &Option<i32>| PartitionInfo {
            has_leader: leader.is_some(),
        };
        Ok(found.iter().map(info).collect())
    }

    /// Notes the leaders of a topic's partitions.
    fn lead(&self, topic: &str, leaders: Vec<i32>) {
        let known = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let queues = known.get(topic).map(Arc::clone);
        drop(known);
        let mut turns = Vec::new();
        if let Some(queues) = queues {
            for (partition, leader) in (0u32..).zip(&leaders) {
                if let Some(id) = queues.get(partition) {
                    self.turns().lead(id, *leader, Instant::now(), &mut turns);
                }
            }
        }
        let mut all = self.leaders.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(Arc::from(topic), leaders);
        drop(all);
        self.take(turns);
    }

    pub(super) fn settings(&self, topics: &[Arc<str>], timeout: Duration) -> Vec<Result<TopicSettings, NoSettings>> {
        self.clients.first().settings(topics, timeout)
    }

    /// Drops what is kept for sending to a topic that is no longer in use.
    pub(super) fn forget(&self, topic: &str) {
        self.clients.all().iter().for_each(|client| client.forget(topic));
        let mut leaders = self.leaders.lock().unwrap_or_else(PoisonError::into_inner);
        leaders.remove(topic);
    }

    pub(super) fn probe(&self, topic: Option<&str>, timeout: Duration) {
        self.clients.first().probe(topic, timeout);
    }

    /// Sends lingering records now, and waits until none is outstanding.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        while self.outstanding() > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let mut waited = false;
            for client in self.clients.all().iter().filter(|client| client.outstanding() > 0) {
                client.flush(left.min(FLUSH_SLICE));
                waited = true;
            }
            if !waited {
                // The thread of delivery reports is about to take the next turns.
                thread::sleep(left.min(Duration::from_millis(1)));
            }
        }
        true
    }

    pub(super) fn purge(&self) {
        self.give_up(&RecordError::new(
            Code::NotQueued,
            "the record was given up before it was its partition's turn; nothing was sent, send it again",
        ));
        for client in self.clients.all() {
            client.purge();
            self.note(&client);
        }
    }

    /// Answers the records that wait for their turn: they are certainly not sent.
    pub(super) fn give_up(&self, error: &RecordError) {
        let waiting = self.turns().give_up();
        for Waiting { ticket, .. } in waiting.into_iter().flat_map(|part| part.records) {
            ticket.complete(Outcome::Failed(error.clone()));
        }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.give_up(&delivery_error::generation_changed());
    }
}

fn rules(config: &ClientConfig, options: Options) -> Rules {
    let number = |key| config.get(key).and_then(|text| text.parse::<f64>().ok());
    let in_flight = number("max.in.flight.requests.per.connection").unwrap_or(1.0) as usize;
    // Who allows several requests in flight needs no more clients; and the broker in this process is near.
    let most_clients = match options.embedded || in_flight > 1 {
        true => 1,
        false => options.most_clients.max(1),
    };
    Rules {
        in_flight: in_flight.max(1),
        most_clients,
        most_bytes: super::config::packing(config).batch_bytes,
        linger: Duration::from_secs_f64(number("linger.ms").unwrap_or(0.0).max(0.0) / 1e3),
    }
}
