//! One request for all who ask the same, and a pause after one that failed.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hash, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::LookUp;

/// The first pause. Each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long something is taken as unknown. Short, since it may be registered at any time.
const UNKNOWN_FOR: Duration = Duration::from_secs(5);

/// How long what cannot be used is not asked for again: it may have taken some work to find out.
const BAD_FOR: Duration = Duration::from_secs(30);

/// The most failures that are remembered. Ids come from values, which anyone may make up.
const MOST_FAILURES: usize = 10_000;

/// The most requests under way.
const MOST_UNDER_WAY: usize = 1_000;

/// A pause that grows with each failure in a row.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pause(Option<Duration>);

impl Pause {
    /// When to try again after one more failure. With jitter, since others began to fail at the same time.
    pub(super) fn until(&mut self) -> Instant {
        let pause = self.0.map_or(FIRST_PAUSE, |last| (last * 2).min(LONGEST_PAUSE));
        self.0 = Some(pause);
        // A new state hashes by new random keys.
        let percent = u32::try_from(RandomState::new().hash_one(0) % 51).unwrap_or(0);
        Instant::now() + pause * (75 + percent) / 100
    }
}

/// Requests by what they ask for.
pub(super) struct Asked<K, V> {
    entries: Mutex<Entries<K, V>>,
}

struct Entries<K, V> {
    under_way: HashMap<K, watch::Receiver<Option<Result<V, LookUp>>>>,
    failed: HashMap<K, Failed>,
}

struct Failed {
    error: LookUp,
    until: Instant,
    pause: Pause,
}

impl<K, V> Default for Asked<K, V> {
    fn default() -> Self {
        let entries = Entries {
            under_way: HashMap::new(),
            failed: HashMap::new(),
        };
        Self {
            entries: Mutex::new(entries),
        }
    }
}

impl<K, V> Asked<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Waits for what is asked already, or asks. The request goes on when all who wait have gone.
    pub(super) async fn ask<F>(self: &Arc<Self>, key: K, ask: impl FnOnce() -> F) -> Result<V, LookUp>
    where
        F: Future<Output = Result<V, LookUp>> + Send + 'static,
    {
        let mut answer = {
            let mut entries = self.entries();
            if let Some(failed) = entries.failed.get(&key)
                && Instant::now() < failed.until
            {
                return Err(failed.error.clone());
            }
            match entries.under_way.get(&key) {
                // One that ended without an answer has panicked.
                Some(answer) if answer.has_changed().is_ok() => answer.clone(),
                _ if entries.under_way.len() >= MOST_UNDER_WAY => {
                    return Err(LookUp::unavailable(format!(
                        "{MOST_UNDER_WAY} requests to the schema registry are under way; no more are made"
                    )));
                }
                _ => self.started(&mut entries, key, ask()),
            }
        };
        match answer.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(answer)) => answer.clone(),
            _ => Err(LookUp::unavailable(
                "the request to the schema registry ended without an answer",
            )),
        }
    }

    /// Whether nobody is asking, and no failure is remembered.
    pub(super) fn may_ask(&self, key: &K) -> bool {
        let entries = self.entries();
        let failed = entries
            .failed
            .get(key)
            .is_some_and(|failed| Instant::now() < failed.until);
        !failed && !entries.under_way.contains_key(key)
    }

    fn started<F>(
        self: &Arc<Self>,
        entries: &mut Entries<K, V>,
        key: K,
        ask: F,
    ) -> watch::Receiver<Option<Result<V, LookUp>>>
    where
        F: Future<Output = Result<V, LookUp>> + Send + 'static,
    {
        let (answered, answer) = watch::channel(None);
        entries.under_way.insert(key.clone(), answer.clone());
        let asked = Arc::clone(self);
        tokio::spawn(async move {
            let result = ask.await;
            asked.ended(&key, result.as_ref().err());
            // Those who waited may have gone.
            let _ = answered.send(Some(result));
        });
        answer
    }

    fn ended(&self, key: &K, error: Option<&LookUp>) {
        let mut entries = self.entries();
        entries.under_way.remove(key);
        let before = entries.failed.remove(key);
        let Some(error) = error else { return };
        let mut pause = before.map_or_else(Pause::default, |failed| failed.pause);
        let now = Instant::now();
        let until = match error {
            LookUp::Unknown(_) => now + UNKNOWN_FOR,
            LookUp::Bad(_) | LookUp::Incompatible(_) => now + BAD_FOR,
            LookUp::Unavailable(_) => pause.until(),
        };
        if entries.failed.len() >= MOST_FAILURES {
            entries.failed.retain(|_, failed| now < failed.until);
        }
        // Which one is forgotten does not matter: it is asked for once more.
        if entries.failed.len() >= MOST_FAILURES
            && let Some(any) = entries.failed.keys().next().cloned()
        {
            entries.failed.remove(&any);
        }
        let error = error.clone();
        entries.failed.insert(key.clone(), Failed { error, until, pause });
    }

    fn entries(&self) -> MutexGuard<'_, Entries<K, V>> {
        // No code that may panic holds the lock.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn failing(calls: &Arc<AtomicUsize>, error: LookUp) -> impl Future<Output = Result<(), LookUp>> + use<> {
        calls.fetch_add(1, Ordering::Relaxed);
        async move { Err(error) }
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_asked_for_again_only_after_longer_and_longer_pauses() {
        let (asked, calls) = (Arc::new(Asked::default()), Arc::new(AtomicUsize::new(0)));
        let away = LookUp::unavailable("away");
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(60) {
            let answer = asked.ask(1, || failing(&calls, away.clone())).await;
            assert_eq!(answer, Err(away.clone()));
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        let calls = calls.load(Ordering::Relaxed);
        assert!((6..=10).contains(&calls), "{calls} calls");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_unknown_is_asked_for_again_soon_and_made_up_keys_take_no_more_room() {
        let (asked, calls) = (Arc::new(Asked::default()), Arc::new(AtomicUsize::new(0)));
        for key in 0..MOST_FAILURES + 100 {
            let answer = asked.ask(key, || failing(&calls, LookUp::unknown("none"))).await;
            assert_eq!(answer, Err(LookUp::unknown("none")));
        }
        assert_eq!(asked.entries().failed.len(), MOST_FAILURES);
        tokio::time::advance(UNKNOWN_FOR).await;
        assert_eq!(asked.ask(MOST_FAILURES, || async { Ok(()) }).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_shared_and_goes_on_when_its_caller_has_gone() {
        let (asked, calls) = (Arc::new(Asked::default()), Arc::new(AtomicUsize::new(0)));
        let slow = || {
            calls.fetch_add(1, Ordering::Relaxed);
            async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok("answer")
            }
        };
        let gone = tokio::time::timeout(Duration::from_millis(1), asked.ask(1, slow)).await;
        assert!(gone.is_err());
        let (one, two) = tokio::join!(asked.ask(1, slow), asked.ask(1, slow));
        assert_eq!(
            (one, two, calls.load(Ordering::Relaxed)),
            (Ok("answer"), Ok("answer"), 1)
        );
    }

    #[tokio::test]
    async fn a_request_that_panics_is_not_waited_for_for_ever() {
        let asked: Arc<Asked<u8, ()>> = Arc::default();
        let answer = asked.ask(1, || async { panic!("a mistake of ours") }).await;
        assert!(matches!(answer, Err(LookUp::Unavailable(_))));
        assert_eq!(asked.ask(1, || async { Ok(()) }).await, Ok(()));
    }
}
