//! Sends through several clients only in calm times.
//!
//! A client hears that a broker is elsewhere when it uses that broker. One that sends little may miss so many changes that it
//! knows no true address any more, and what it was handed would wait for nothing. So as soon as a client loses a broker, only
//! the first one gets turns. The others finish what they have, and are asked when nothing was lost for a while: those that
//! find the brokers are used again.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::client::Client;

/// How long no broker must have been lost. Brokers that are restarted one after the other are lost more often.
const CALM: Duration = Duration::from_secs(30);
/// How long a client may take to find the brokers.
const TIMEOUT: Duration = Duration::from_secs(5);

/// See the [module](self).
#[derive(Default)]
pub(super) struct Calm {
    times: Mutex<Times>,
    asking: Arc<Asking>,
}

#[derive(Default)]
struct Times {
    /// When a broker was lost, and when the clients were asked.
    lost: Option<Instant>,
    asked: Option<Instant>,
}

/// The round of questions that is under way.
#[derive(Default)]
struct Asking {
    is_under_way: AtomicBool,
    /// How many clients, from the first, have found the brokers; 0: nobody has looked at it since.
    found: AtomicUsize,
}

impl Calm {
    /// Must be called now and then. Returns how many clients, from the first, may be used, if that changes. `in_use`: how many
    /// are used now. `topic`: one that is known.
    pub(super) fn look(
        &self,
        clients: &Arc<[OnceLock<Client>]>,
        in_use: usize,
        topic: impl FnOnce() -> Option<Arc<str>>,
    ) -> Option<usize> {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let used = clients.iter().take(in_use).flat_map(OnceLock::get);
        // Not `any`: each must forget its loss.
        if used.filter(|client| client.lost_broker()).count() > 0 {
            times.lost = Some(now);
            self.asking.found.store(0, Ordering::Relaxed);
            return (in_use > 1).then_some(1);
        }
        let all = clients.iter().flat_map(OnceLock::get).count();
        let is_calm = |time: Option<Instant>| time.is_none_or(|time| now.duration_since(time) > CALM);
        if in_use == all || !is_calm(times.lost) {
            return None;
        }
        let found = self.asking.found.swap(0, Ordering::Relaxed);
        if found > in_use {
            return Some(found);
        }
        if is_calm(times.asked) && !self.asking.is_under_way.swap(true, Ordering::Relaxed) {
            times.asked = Some(now);
            self.ask(Arc::clone(clients), topic());
        }
        None
    }

    /// Whether no broker was lost for a while.
    pub(super) fn is_calm(&self) -> bool {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.lost.is_none_or(|lost| lost.elapsed() > CALM)
    }

    /// Asks the clients, on another thread, which of them find the brokers.
    fn ask(&self, clients: Arc<[OnceLock<Client>]>, topic: Option<Arc<str>>) {
        let asking = Arc::clone(&self.asking);
        let thread = thread::Builder::new().name("ask-clients".to_owned());
        let started = thread.spawn(move || {
            let finds = |client: &&Client| topic.as_ref().is_some_and(|topic| client.find_brokers(topic, TIMEOUT));
            let found = clients.iter().flat_map(OnceLock::get).take_while(finds).count();
            drop(clients);
            asking.found.store(found, Ordering::Relaxed);
            asking.is_under_way.store(false, Ordering::Relaxed);
        });
        if started.is_err() {
            self.asking.is_under_way.store(false, Ordering::Relaxed);
        }
    }
}
