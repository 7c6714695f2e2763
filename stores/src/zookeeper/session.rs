//! A session with the ensemble, and its runtime. Every wait is bounded.

use std::{pin::Pin, time::Duration};

use tokio::runtime::{Builder, Runtime};
use zookeeper_client::{Client, Error, StateWatcher};

use super::reading::At;

/// How long an answer, or a new session, may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// How long the ensemble keeps a session that it does not hear of. Nothing depends on a session but its watch.
const SESSION: Duration = Duration::from_secs(10);
/// Requests that are under way at once.
const AT_ONCE: usize = 64;

/// Ends when a node has changed, or when the session has.
pub(super) type Watch = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A session, with the thread that keeps it.
pub(super) struct Session {
    client: Client,
    state: StateWatcher,
    runtime: Runtime,
}

impl Session {
    pub(super) fn open(servers: &str) -> Result<Self, Error> {
        // With a thread of its own: while the caller is busy, with a large table perhaps, the ensemble still hears of the
        // session, and the session of the ensemble.
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("routing-zookeeper")
            .on_thread_start(|| std::mem::forget(tracing::dispatcher::set_default(&tracing::Dispatch::none())))
            .enable_time()
            .build();
        let runtime = runtime.map_err(|error| Error::UnexpectedError(error.to_string()))?;
        // Who calls tries again, so it is told of the first failure.
        let connector = Client::connector().with_session_timeout(SESSION).with_fail_eagerly();
        let client = bounded(&runtime, connector.connect(servers))?;
        Ok(Self {
            state: client.state_watcher(),
            client,
            runtime,
        })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Waits for an answer.
    pub(super) fn run<T, E: From<Error>>(&self, answer: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        bounded(&self.runtime, answer)
    }

    /// Asks for something of each node, many at once.
    pub(super) fn each<T, U, F: Future<Output = Result<U, Error>>>(
        &self,
        of: impl IntoIterator<Item = T>,
        ask: impl Fn(&Client, &T) -> F,
        mut answered: impl FnMut(T, U) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut of = of.into_iter();
        loop {
            // A request is sent when its future is made.
            let asked: Vec<(T, F)> = of
                .by_ref()
                .take(AT_ONCE)
                .map(|one| {
                    let answer = ask(&self.client, &one);
                    (one, answer)
                })
                .collect();
            if asked.is_empty() {
                return Ok(());
            }
            for (one, answer) in asked {
                answered(one, self.run(answer)?)?;
            }
        }
    }

    /// Reads the head, and watches it.
    pub(super) fn head(&self, head: &str) -> Result<(Vec<u8>, At, Watch), Error> {
        let (json, stat, watcher) = self.run(self.client.get_and_watch_data(head))?;
        let watch = async move {
            watcher.changed().await;
        };
        Ok((json, At::of(&stat), Box::pin(watch)))
    }

    /// Waits until the watch rings or the connection changes, at most for `patience`. True: the head has to be looked at.
    pub(super) fn wait(&mut self, watch: &mut Watch, patience: Duration) -> bool {
        let state = &mut self.state;
        quietly(|| {
            self.runtime.block_on(async {
                tokio::select! {
                    () = watch => true,
                    _ = state.changed() => true,
                    () = tokio::time::sleep(patience) => false,
                }
            })
        })
    }
}

fn bounded<T, E: From<Error>>(runtime: &Runtime, answer: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let answered = quietly(|| runtime.block_on(async { tokio::time::timeout(TIMEOUT, answer).await }));
    answered.unwrap_or_else(|_| Err(Error::Timeout.into()))
}

/// The client logs each attempt to connect; what matters of that is told by errors. Its thread is quiet as well.
fn quietly<T>(what: impl FnOnce() -> T) -> T {
    tracing::dispatcher::with_default(&tracing::Dispatch::none(), what)
}
