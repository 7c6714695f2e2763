//! More clients than one: when they are made, and when they go.
//!
//! A client hears that a broker is elsewhere when it uses that broker. One that sends little may miss so many changes that
//! it knows no true address any more, and what it was handed would wait for nothing. So as soon as a client loses a broker,
//! all but the first retire: they finish what they have and end. When no broker was lost for a while, new ones are made,
//! and they begin with the addresses that the first client knows by then.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use rdkafka::ClientConfig;

use super::{client::Client, config::Options};

/// How long a new client may take to connect and to get its producer id before it is used.
pub(super) const WARM_UP: Duration = Duration::from_secs(1);
/// How long no broker must have been lost before more clients are made. Brokers that are restarted one after the other are
/// lost more often.
const CALM: Duration = Duration::from_secs(30);
/// The pause after clients that did not connect.
const PAUSE: Duration = Duration::from_secs(60);

/// A client for a place in the row.
pub(super) struct Made {
    pub(super) index: usize,
    pub(super) client: Client,
}

/// See the [module](self).
pub(super) struct More {
    config: ClientConfig,
    options: Options,
    /// What the clients signal their events to.
    events: Arc<OwnedFd>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When a broker was lost.
    lost: Option<Instant>,
    /// Where a thread puts the clients that it makes; `None` while there is no such thread.
    made: Option<mpsc::Receiver<Made>>,
    /// When the next ones may be made.
    not_before: Option<Instant>,
}

impl More {
    pub(super) fn new(config: &ClientConfig, options: Options, events: &Arc<OwnedFd>) -> Self {
        Self {
            config: config.clone(),
            options,
            events: Arc::clone(events),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a client lost a broker. Clients that are being made are not used.
    pub(super) fn lost_broker(&self) {
        let mut state = self.state();
        state.lost = Some(Instant::now());
        state.made = None;
    }

    /// A client that is ready, if there is one. If none is being made and times are calm, begins to make the `wanted` ones.
    /// `topics`: the names of those that are known.
    pub(super) fn next(
        &self,
        wanted: &[(usize, Duration)],
        first: &Arc<Client>,
        topics: impl FnOnce() -> Vec<Arc<str>>,
    ) -> Option<Made> {
        let mut state = self.state();
        let now = Instant::now();
        let is_calm = state.lost.is_none_or(|lost| now.duration_since(lost) > CALM);
        match &state.made {
            None if !wanted.is_empty() && is_calm && state.not_before.is_none_or(|time| now > time) => {
                state.made = self.begin(wanted.to_vec(), Arc::clone(first), topics());
                state.not_before = Some(now + PAUSE);
            }
            None => {}
            Some(made) => match made.try_recv() {
                Ok(made) => {
                    state.not_before = None;
                    return Some(made);
                }
                Err(mpsc::TryRecvError::Empty) => {}
                Err(mpsc::TryRecvError::Disconnected) => state.made = None,
            },
        }
        None
    }

    /// Makes clients on another thread, and gives them time to connect. Those that do not connect are dropped there.
    fn begin(
        &self,
        wanted: Vec<(usize, Duration)>,
        first: Arc<Client>,
        topics: Vec<Arc<str>>,
    ) -> Option<mpsc::Receiver<Made>> {
        let (mut config, options, events) = (self.config.clone(), self.options, Arc::clone(&self.events));
        let (made, receiver) = mpsc::sync_channel(wanted.len());
        let thread = thread::Builder::new().name("more-clients".to_owned());
        let started = thread.spawn(move || {
            let topic = topics.first()?;
            // The brokers may have moved since the sidecar started.
            let brokers = first.addresses(topic, WARM_UP)?;
            drop(first);
            let given = config.get("bootstrap.servers").unwrap_or_default();
            let all = format!("{given},{brokers}");
            config.set("bootstrap.servers", all);
            let mut new = Vec::new();
            for (index, linger) in wanted {
                config.set("linger.ms", (linger.as_secs_f64() * 1e3).to_string());
                let client = Client::new(&config, options, &events)
                    .inspect_err(|error| tracing::warn!(%error, "cannot make one more client"))
                    .ok()?;
                // Without a handle, a topic's first record would wait for the topic's metadata.
                topics.iter().for_each(|topic| drop(client.topic(topic)));
                new.push(Made { index, client });
            }
            thread::sleep(WARM_UP);
            let connected = new.into_iter().filter(|made| made.client.finds_brokers(topic, WARM_UP));
            connected.for_each(|client| drop(made.send(client)));
            Some(())
        });
        started.ok().map(|_| receiver)
    }
}
