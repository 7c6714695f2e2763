//! The threads that do the work of requests: as many as processors, each with its own runtime.
//!
//! A connection stays with the worker that it was given to. So nothing that a request waits for wakes more than one
//! thread, and no thread looks for work to steal. For requests of one record on few connections, that saves a quarter
//! of their cost.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// Threads of one worker that may wait for metadata or make a plugin instance.
const BLOCKING_THREADS: usize = 8;

/// All workers; see the [module](self).
pub struct Workers {
    workers: Arc<[Worker]>,
    /// The threads end when these are dropped.
    stop: Vec<oneshot::Sender<()>>,
    /// Disconnects when the last thread has ended.
    ended: mpsc::Receiver<()>,
}

struct Worker {
    runtime: Handle,
    /// Connections that are open now.
    connections: Arc<AtomicUsize>,
}

impl Workers {
    /// Starts the threads.
    pub fn start() -> io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let (running, ended) = mpsc::sync_channel(0);
        let started: Vec<_> = (0..count).map(|_| start(running.clone())).collect::<Result<_, _>>()?;
        let (workers, stop): (Vec<_>, _) = started.into_iter().unzip();
        Ok(Self {
            workers: workers.into(),
            stop,
            ended,
        })
    }

    /// For a caller that has connections to serve.
    pub fn share(&self) -> Share {
        Share(Arc::clone(&self.workers))
    }

    /// Ends the threads, finished or not, and waits at most this long for their end.
    pub fn stop(self, timeout: Duration) {
        drop(self.stop);
        // Nothing is ever sent on this channel.
        let _ = self.ended.recv_timeout(timeout);
    }
}

fn start(running: mpsc::SyncSender<()>) -> io::Result<(Worker, oneshot::Sender<()>)> {
    let runtime = Builder::new_current_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()?;
    let worker = Worker {
        runtime: runtime.handle().clone(),
        connections: Arc::default(),
    };
    let (stop, stopped) = oneshot::channel();
    thread::Builder::new().name("worker".to_owned()).spawn(move || {
        let _ = runtime.block_on(stopped);
        // This does not wait for threads that block.
        runtime.shutdown_background();
        drop(running);
    })?;
    Ok((worker, stop))
}

/// Gives connections to the workers, as long as the workers run.
pub struct Share(Arc<[Worker]>);

impl Share {
    /// Makes the worker with the fewest connections serve one more.
    pub(super) fn serve<F: Future<Output = ()> + Send + 'static>(&self, connection: F) {
        let fewest = self
            .0
            .iter()
            .min_by_key(|worker| worker.connections.load(Ordering::Relaxed));
        // There is at least one worker.
        if let Some(worker) = fewest {
            let open = OpenConnection::begin(&worker.connections);
            worker.runtime.spawn(async move {
                connection.await;
                drop(open);
            });
        }
    }
}

/// One open connection of a worker, until this is dropped.
struct OpenConnection(Arc<AtomicUsize>);

impl OpenConnection {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_spread_over_all_workers_and_one_that_ends_makes_room_on_its_own() {
        let workers = Workers::start().expect("threads");
        let share = workers.share();
        let count = workers.workers.len();
        let mut open: Vec<_> = (0..3 * count)
            .map(|_| {
                let (end, ended) = oneshot::channel::<()>();
                let (told, tell) = mpsc::sync_channel(1);
                share.serve(async move {
                    let _ = told.send(thread::current().id());
                    let _ = ended.await;
                });
                (tell.recv().expect("it runs"), end)
            })
            .collect();
        let of = |open: &[(thread::ThreadId, _)], id| open.iter().filter(|(on, _)| *on == id).count();
        assert!(open.iter().all(|(id, _)| of(&open, *id) == 3), "three for each");
        let (left, end) = open.swap_remove(1);
        drop(end);
        // The next connection may come only after the end of this one has been seen.
        let begun = std::time::Instant::now();
        let is_counted = || {
            share
                .0
                .iter()
                .any(|worker| worker.connections.load(Ordering::Relaxed) == 2)
        };
        while !is_counted() && begun.elapsed() < Duration::from_secs(10) {
            thread::yield_now();
        }
        let (told, tell) = mpsc::sync_channel(1);
        share.serve(async move {
            let _ = told.send(thread::current().id());
        });
        assert_eq!(tell.recv().expect("it runs"), left);
    }

    #[test]
    fn what_workers_have_not_finished_ends_with_them() {
        let workers = Workers::start().expect("threads");
        let (held, released) = mpsc::sync_channel::<()>(0);
        workers.share().serve(async move {
            let _held = held;
            std::future::pending().await
        });
        workers.stop(Duration::from_secs(10));
        // Nothing was sent, and the sender is gone.
        assert_eq!(released.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    }
}
