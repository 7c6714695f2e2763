//! Bodies whose bytes are waited for, replies that wait to be read, and which of them gives way when others need its room.
//!
//! A client that sends or reads a byte now and then would hold its room for as long as it likes. So one moves only where a sixteenth
//! of what it holds has come or gone within a second; the one that has not moved for longest gives way first, and only when
//! somebody waits for room.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// How long one stands still before it may have to give way.
const STILL: Duration = Duration::from_secs(1);
/// This much within that time is a move, however much is held.
const MOVE: usize = 64 << 10;
/// And so is this part of what is held.
const MOVED_PART: usize = 16;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Readers {
    next: AtomicU64,
    readers: Mutex<BTreeMap<u64, Arc<Reader>>>,
}

/// One body or reply, as long as this is there.
#[derive(Debug)]
pub struct Standing {
    readers: Arc<Readers>,
    reader: Arc<Reader>,
}

/// One of them.
#[derive(Debug)]
struct Reader {
    number: u64,
    held: AtomicUsize,
    /// More than 0: it waits for this process, not for its client.
    waits: AtomicUsize,
    progress: Mutex<Progress>,
    bell: Notify,
}

#[derive(Debug)]
struct Progress {
    moved: Instant,
    /// Bytes since then.
    moving: usize,
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
    /// Has those that stand still give way, the longest first, until they will have given back as many bytes.
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

    // A std mutex: it is held for a look at the list, never over an await.
    fn readers(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Reader>>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    /// It begins, and holds so many bytes.
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

    /// It holds so many bytes now.
    pub fn holds(&self, bytes: usize) {
        self.reader.held.store(bytes, Ordering::Relaxed);
    }

    /// So many bytes have come or gone.
    pub fn moves(&self, bytes: usize) {
        let mut progress = self.reader.progress();
        progress.moving += bytes;
        let enough = (self.reader.held.load(Ordering::Relaxed) / MOVED_PART).clamp(1, MOVE);
        if progress.moving >= enough {
            progress.moved = Instant::now();
            progress.moving = 0;
        }
    }

    /// While what this gives is there, it does not stand still by its client's fault.
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
