//! Watches the progress of bodies that clients send and of replies that clients read. When others need room, those without
//! progress give way.
//!
//! A client that sends or reads one byte now and then could otherwise keep its room for as long as it likes. So progress means
//! that a sixteenth of what is held has come or gone. Only when somebody waits for room, those that made no progress for a
//! second give way, the longest without progress first.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// A body or reply may be without progress for this long before it may have to give way.
const STILL: Duration = Duration::from_secs(1);
/// This many bytes are progress, however much is held.
const MOVE: usize = 64 << 10;
/// This part of what is held is progress.
const MOVED_PART: usize = 16;

/// All bodies and replies that are watched.
#[derive(Debug, Default)]
pub(super) struct Readers {
    /// The number of the next one.
    next: AtomicU64,
    readers: Mutex<BTreeMap<u64, Arc<Reader>>>,
}

/// Watches one body or reply until this is dropped.
#[derive(Debug)]
pub struct Standing {
    readers: Arc<Readers>,
    reader: Arc<Reader>,
}

/// The state of one body or reply.
#[derive(Debug)]
struct Reader {
    /// Its key in [`Readers`].
    number: u64,
    /// Bytes that it holds.
    held: AtomicUsize,
    /// Number of [`Waits`]. While there are any, it waits for this process, not for its client.
    waits: AtomicUsize,
    progress: Mutex<Progress>,
    /// Rings when it has to give way.
    bell: Notify,
}

/// The progress of one body or reply.
#[derive(Debug)]
struct Progress {
    /// When it last made progress.
    moved: Instant,
    /// Bytes that have come or gone since then.
    moving: usize,
    /// Whether it was told to give way.
    told: bool,
}

/// See [`Standing::waits`].
pub struct Waits(Arc<Reader>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.progress().moved = Instant::now();
        self.0.waits.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Readers {
    /// Tells those without progress to give way, the longest without progress first, until they will give back this many bytes.
    pub(super) fn make_way(&self, bytes: usize) {
        let now = Instant::now();
        let readers = self.readers();
        let mut coming = 0;
        let mut still = Vec::new();
        for reader in readers.values() {
            let held = reader.held.load(Ordering::Relaxed);
            let progress = reader.progress();
            if progress.told {
                coming += held;
            } else if held > 0
                && reader.waits.load(Ordering::Relaxed) == 0
                && now.saturating_duration_since(progress.moved) >= STILL
            {
                still.push((progress.moved, held, Arc::clone(reader)));
            }
        }
        drop(readers);
        still.sort_unstable_by_key(|(moved, ..)| *moved);
        for (_, held, reader) in still {
            if coming >= bytes {
                return;
            }
            coming += held;
            reader.progress().told = true;
            reader.bell.notify_one();
        }
    }

    // A std mutex: it is held only to go through the list, and never over an await.
    fn readers(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Reader>>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    /// Begins to watch a body or reply that holds this many bytes.
    pub(super) fn new(readers: &Arc<Readers>, held: usize) -> Self {
        let reader = Arc::new(Reader {
            number: readers.next.fetch_add(1, Ordering::Relaxed),
            held: AtomicUsize::new(held),
            waits: AtomicUsize::new(0),
            progress: Mutex::new(Progress {
                moved: Instant::now(),
                moving: 0,
                told: false,
            }),
            bell: Notify::new(),
        });
        readers.readers().insert(reader.number, Arc::clone(&reader));
        Self {
            readers: Arc::clone(readers),
            reader,
        }
    }

    /// Sets how many bytes are held now.
    pub fn holds(&self, bytes: usize) {
        self.reader.held.store(bytes, Ordering::Relaxed);
    }

    /// Notes that this many bytes have come or gone.
    pub fn moves(&self, bytes: usize) {
        let mut progress = self.reader.progress();
        progress.moving += bytes;
        let enough = (self.reader.held.load(Ordering::Relaxed) / MOVED_PART).clamp(1, MOVE);
        if progress.moving >= enough {
            progress.moved = Instant::now();
            progress.moving = 0;
        }
    }

    /// Says that this process, not the client, is the reason for a lack of progress, until the result is dropped.
    pub fn waits(&self) -> Waits {
        self.reader.waits.fetch_add(1, Ordering::Relaxed);
        Waits(Arc::clone(&self.reader))
    }

    /// Waits until it has to give way.
    pub async fn told(&self) {
        self.reader.bell.notified().await;
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.readers.readers().remove(&self.reader.number);
    }
}

impl Reader {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
