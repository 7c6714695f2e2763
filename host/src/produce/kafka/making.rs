//! Makes more clients while the others serve.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use rdkafka::ClientConfig;

use super::{client::Client, config::Options};

/// How long a new client may take to connect and to get its producer id before it replaces the old one.
pub(super) const WARM_UP: Duration = Duration::from_secs(1);

/// See the [module](self).
pub(super) struct Making {
    config: ClientConfig,
    options: Options,
    /// What the clients signal their events to.
    events: Arc<OwnedFd>,
    /// Where a thread puts the clients that it makes; `None` while there is no such thread.
    made: Mutex<Option<mpsc::Receiver<Client>>>,
}

impl Making {
    pub(super) fn new(config: &ClientConfig, options: Options, events: &Arc<OwnedFd>) -> Self {
        Self {
            config: config.clone(),
            options,
            events: Arc::clone(events),
            made: Mutex::default(),
        }
    }

    /// A client that is ready, if there is one. If none is being made, begins to make as many as are `wanted`.
    pub(super) fn next(&self, wanted: usize, topics: impl FnOnce() -> Vec<Arc<str>>) -> Option<Client> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        match &*made {
            None if wanted > 0 => *made = self.begin(wanted, topics()),
            None => {}
            Some(clients) => match clients.try_recv() {
                Ok(client) => return Some(client),
                Err(mpsc::TryRecvError::Empty) => {}
                Err(mpsc::TryRecvError::Disconnected) => *made = None,
            },
        }
        None
    }

    /// Makes clients on another thread, and gives them time to connect.
    fn begin(&self, wanted: usize, topics: Vec<Arc<str>>) -> Option<mpsc::Receiver<Client>> {
        let (config, options, events) = (self.config.clone(), self.options, Arc::clone(&self.events));
        let (made, receiver) = mpsc::channel();
        let thread = thread::Builder::new().name("more-clients".to_owned());
        let started = thread.spawn(move || {
            let clients: Vec<Client> = (0..wanted)
                .map_while(|_| {
                    Client::new(&config, options, &events)
                        .inspect_err(|error| tracing::warn!(%error, "cannot make one more client"))
                        .ok()
                })
                .collect();
            for client in &clients {
                // Without a handle, a topic's first record would wait for the topic's metadata.
                topics.iter().for_each(|topic| drop(client.topic(topic)));
            }
            thread::sleep(WARM_UP);
            clients.into_iter().for_each(|client| drop(made.send(client)));
        });
        started.ok().map(|_| receiver)
    }
}
