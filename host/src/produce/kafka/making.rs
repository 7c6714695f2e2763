//! Makes more clients while the others serve.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, Mutex, OnceLock, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use rdkafka::ClientConfig;

use super::{client::Client, config::Options};

/// How long a new client may take to connect and to get its producer id before it replaces the old one.
pub(super) const WARM_UP: Duration = Duration::from_secs(1);

/// The pause after clients that did not connect.
const PAUSE: Duration = Duration::from_secs(60);

/// See the [module](self).
pub(super) struct Making {
    config: ClientConfig,
    options: Options,
    /// What the clients signal their events to.
    events: Arc<OwnedFd>,
    making: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where a thread puts the clients that it makes; `None` while there is no such thread.
    made: Option<mpsc::Receiver<Client>>,
    /// When the next ones may be made.
    not_before: Option<Instant>,
}

impl Making {
    pub(super) fn new(config: &ClientConfig, options: Options, events: &Arc<OwnedFd>) -> Self {
        Self {
            config: config.clone(),
            options,
            events: Arc::clone(events),
            making: Mutex::default(),
        }
    }

    /// A client that is ready, if there is one. If none is being made, begins to make as many as are `wanted`.
    pub(super) fn next(
        &self,
        wanted: usize,
        clients: &Arc<[OnceLock<Client>]>,
        topics: impl FnOnce() -> Vec<Arc<str>>,
    ) -> Option<Client> {
        let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        match &making.made {
            None if wanted > 0 && making.not_before.is_none_or(|time| Instant::now() > time) => {
                making.made = self.begin(wanted, Arc::clone(clients), topics());
                making.not_before = Some(Instant::now() + PAUSE);
            }
            None => {}
            Some(made) => match made.try_recv() {
                Ok(client) => {
                    making.not_before = None;
                    return Some(client);
                }
                Err(mpsc::TryRecvError::Empty) => {}
                Err(mpsc::TryRecvError::Disconnected) => making.made = None,
            },
        }
        None
    }

    /// Makes clients on another thread, and gives them time to connect. Those that do not connect are dropped there.
    fn begin(
        &self,
        wanted: usize,
        clients: Arc<[OnceLock<Client>]>,
        topics: Vec<Arc<str>>,
    ) -> Option<mpsc::Receiver<Client>> {
        let (mut config, options, events) = (self.config.clone(), self.options, Arc::clone(&self.events));
        let (made, receiver) = mpsc::sync_channel(wanted);
        let thread = thread::Builder::new().name("more-clients".to_owned());
        let started = thread.spawn(move || {
            let topic = topics.first()?;
            // The brokers may have moved since the sidecar started.
            let brokers = clients[0].get()?.addresses(topic, WARM_UP)?;
            drop(clients);
            let given = config.get("bootstrap.servers").unwrap_or_default();
            let all = format!("{given},{brokers}");
            config.set("bootstrap.servers", all);
            let new: Vec<Client> = (0..wanted)
                .map_while(|_| {
                    Client::new(&config, options, &events)
                        .inspect_err(|error| tracing::warn!(%error, "cannot make one more client"))
                        .ok()
                })
                .collect();
            for client in &new {
                // Without a handle, a topic's first record would wait for the topic's metadata.
                topics.iter().for_each(|topic| drop(client.topic(topic)));
            }
            thread::sleep(WARM_UP);
            let connected = new.into_iter().filter(|client| client.find_brokers(topic, WARM_UP));
            connected.for_each(|client| drop(made.send(client)));
            Some(())
        });
        started.ok().map(|_| receiver)
    }
}
