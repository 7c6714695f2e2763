//! The clients of the producer, one after the other, each with its generation's number.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use rdkafka::ClientConfig;

use super::{clients::Clients, config::Options, more::WARM_UP, slots::ENDING};
use crate::produce::delivery_error;

/// How long one poll for delivery reports may wait. The thread notices a stop this late.
pub(super) const POLL: Duration = Duration::from_millis(100);
/// How long an old client may wait for answers to outstanding records before they are given up.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// How many references there are to a generation that no sender uses: one of the thread, and one in `current`.
const IDLE: usize = 2;
/// The pause between two tries to make a new client.
const RENEW_PAUSE: Duration = Duration::from_secs(1);

/// One client and its generation's number.
pub(super) struct Generation {
    number: u32,
    /// `None` only during the drop.
    clients: Option<Clients>,
}

impl Generation {
    fn new(number: u32, clients: Clients) -> Arc<Self> {
        Arc::new(Self {
            number,
            clients: Some(clients),
        })
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn clients(&self) -> &Clients {
        match &self.clients {
            Some(clients) => clients,
            None => unreachable!("a generation has its clients until it ends"),
        }
    }

    /// Ends the client on this thread, which must be one that may block, unless somebody else still holds the generation.
    fn end(self: Arc<Self>) {
        if let Some(mut last) = Arc::into_inner(self) {
            drop(last.clients.take());
        }
    }
}

impl Drop for Generation {
    /// Ends the client on a thread of its own. Ending blocks while brokers do not answer, and the last holder may be a worker,
    /// which must never block.
    fn drop(&mut self) {
        if let Some(clients) = self.clients.take() {
            let thread = thread::Builder::new().name(ENDING.to_owned());
            // If no thread can be started, this drops the closure, which ends the client here.
            drop(thread.spawn(move || drop(clients)));
        }
    }
}

/// What the producer shares with its thread: the current generation, and what makes the next one.
pub(super) struct Generations {
    /// The settings of every client.
    config: ClientConfig,
    options: Options,
    /// The current generation; `None` while a new client is being made after a fatal error.
    current: ArcSwapOption<Generation>,
    /// The number of the current generation, or of the last one.
    number: AtomicU32,
    /// The last fatal error: why there is no client.
    renewing: Mutex<String>,
    /// Set to end the thread.
    stop: AtomicBool,
}

impl Generations {
    /// Makes the first client.
    pub(super) fn new(config: &ClientConfig, options: Options) -> anyhow::Result<Self> {
        let first = Generation::new(1, Clients::new(config, options)?);
        Ok(Self {
            config: config.clone(),
            options,
            current: ArcSwapOption::new(Some(first)),
            number: AtomicU32::new(1),
            renewing: Mutex::default(),
            stop: AtomicBool::new(false),
        })
    }

    pub(super) fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// The current generation; `None` while a new client is being made.
    pub(super) fn current(&self) -> Option<Arc<Generation>> {
        self.current.load_full()
    }

    /// The number of the current generation, or of the last one.
    pub(super) fn number(&self) -> u32 {
        self.number.load(Ordering::Acquire)
    }

    /// The fatal error because of which a new client is being made.
    pub(super) fn renewing(&self) -> String {
        self.renewing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has [`Generations::run`] return soon.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Ends the last client, after [`Generations::run`] has returned. Blocks.
    pub(super) fn end(&self) {
        if let Some(last) = self.current.swap(None) {
            last.end();
        }
    }

    /// Handles delivery reports, and renews the client when that is needed, until [`Generations::stop`].
    pub(super) fn run(&self) {
        let Some(mut generation) = self.current() else { return };
        let mut spare: Option<Spare> = None;
        let mut looked = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            generation.clients().poll(POLL);
            if looked.elapsed() >= POLL {
                looked = Instant::now();
                generation.clients().look();
            }
            if let Some(reason) = generation.clients().fatal() {
                match self.renew(generation, &reason) {
                    Some(next) => generation = next,
                    None => return,
                }
            } else if generation.clients().is_worn() {
                match &spare {
                    None => spare = self.spare(),
                    Some(made) if made.since.elapsed() < WARM_UP => {}
                    // No record is outstanding and no sender is in use, so no record can overtake another one.
                    Some(_) if generation.clients().outstanding() == 0 && Arc::strong_count(&generation) == IDLE => {
                        if let Some(made) = spare.take() {
                            generation = self.replace(generation, made.clients);
                        }
                    }
                    Some(_) => {}
                }
            }
        }
    }

    /// Makes a client that connects while the old one still serves.
    fn spare(&self) -> Option<Spare> {
        let made = Clients::new(&self.config, self.options);
        let made =
            made.inspect_err(|error| tracing::warn!(%error, "cannot make the producer that is to replace the old one"));
        let since = Instant::now();
        Some(Spare {
            clients: made.ok()?,
            since,
        })
    }

    /// Puts a new client into service. A sender that has just taken the old client still hands over to that one, and gets its
    /// answers.
    fn replace(&self, old: Arc<Generation>, clients: Clients) -> Arc<Generation> {
        let next = self.serve(old.number + 1, clients);
        let deadline = Instant::now() + LAST_ANSWERS;
        let is_used = |old: &Arc<Generation>| Arc::strong_count(old) > 1 || old.clients().outstanding() > 0;
        while is_used(&old) && Instant::now() < deadline && !self.stop.load(Ordering::Relaxed) {
            old.clients().poll(Duration::from_millis(1));
            next.clients().poll(Duration::ZERO);
        }
        tracing::info!(
            generation = next.number,
            "a new producer is in service: the old one had sent to twice as many topics as are known at once"
        );
        end(old);
        next
    }

    /// Puts a client into service.
    fn serve(&self, number: u32, clients: Clients) -> Arc<Generation> {
        let next = Generation::new(number, clients);
        self.number.store(number, Ordering::Release);
        self.current.store(Some(Arc::clone(&next)));
        next
    }

    /// Makes a new client after a fatal error. `None` if the process ends meanwhile.
    fn renew(&self, old: Arc<Generation>, reason: &str) -> Option<Arc<Generation>> {
        *self.renewing.lock().unwrap_or_else(PoisonError::into_inner) = reason.to_owned();
        // From here on only a sender that has already taken the old client hands over to it, and the client refuses that.
        self.current.store(None);
        let outstanding = old.clients().outstanding();
        tracing::error!(
            generation = old.number,
            reason,
            outstanding,
            "the producer met a fatal error: what is outstanding is answered, then a new producer is made"
        );
        old.clients().give_up(&delivery_error::generation_changed());
        let deadline = Instant::now() + LAST_ANSWERS;
        while old.clients().outstanding() > 0 && Instant::now() < deadline && !self.stop.load(Ordering::Relaxed) {
            old.clients().poll(Duration::from_millis(10));
        }
        old.clients().purge();
        let number = old.number + 1;
        end(old);
        let next = self.serve(number, self.make()?);
        tracing::warn!(generation = number, "a new producer is in service");
        Some(next)
    }

    /// Makes a new client, and tries again until that succeeds. `None` if the process ends meanwhile.
    fn make(&self) -> Option<Clients> {
        while !self.stop.load(Ordering::Relaxed) {
            match Clients::new(&self.config, self.options) {
                Ok(clients) => return Some(clients),
                Err(error) => {
                    tracing::error!(%error, "cannot make a new producer; trying again");
                    thread::sleep(RENEW_PAUSE);
                }
            }
        }
        None
    }
}

/// Ends a client on another thread, because that may block while brokers do not answer.
fn end(old: Arc<Generation>) {
    let thread = thread::Builder::new().name(ENDING.to_owned());
    drop(thread.spawn(move || old.end()));
}

/// A client that is not in service yet.
struct Spare {
    clients: Clients,
    /// When it was made.
    since: Instant,
}
