//! Runs a script over a connection of HTTP/1.1, and reports what was sent and what came back.

use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};

use super::replies::{Replies, State};
use super::script::{End, For, Request, Script};
use super::{PATIENCE, SILENCE_MS, SURELY_IN_TIME};

/// What was sent, and what came back.
pub(super) struct Played {
    pub(super) state: State,
    /// How many bytes of each request were sent, or may have been.
    pub(super) sent: Vec<usize>,
    /// The first request that took so long, or came so late, that the sidecar may have given up.
    pub(super) slow: usize,
    /// What was waited for and did not come in time.
    pub(super) missed: Option<String>,
}

pub(super) async fn play<S: AsyncRead + AsyncWrite>(script: &Script, socket: S) -> Played {
    let replies = Replies::default();
    let is_head: Vec<bool> = script.requests.iter().map(|request| request.is_head).collect();
    let (reading, socket) = tokio::io::split(socket);
    let mut writer = Writer {
        socket,
        replies: &replies,
        pace: Pace::of(&script.pace),
        sent: Vec::new(),
        slow: usize::MAX,
        last: Instant::now(),
    };
    let writing = async {
        let all = writer.all(script).await;
        match all {
            Err(Stop::Missed(what)) => Some(what),
            _ if script.end == End::Close => None,
            _ => {
                let _ = writer.socket.shutdown().await;
                let closed = timeout(PATIENCE, replies.wait(|_| false)).await;
                closed.is_err().then(|| "the end of the connection".to_owned())
            }
        }
    };
    let missed = tokio::select! {
        missed = writing => missed,
        missed = async { replies.read(reading, &is_head).await; std::future::pending().await } => missed,
    };
    let (mut sent, slow) = (writer.sent, writer.slow);
    sent.resize(script.requests.len(), 0);
    let state = std::mem::take(&mut *replies.state());
    Played {
        state,
        sent,
        slow,
        missed,
    }
}

/// Why no more is sent.
enum Stop {
    /// The sidecar has closed the connection.
    Closed,
    Missed(String),
}

struct Writer<'r, W> {
    socket: W,
    replies: &'r Replies,
    pace: Pace,
    sent: Vec<usize>,
    slow: usize,
    /// When the last bytes were sent.
    last: Instant,
}

impl<W: AsyncWrite + Unpin> Writer<'_, W> {
    async fn all(&mut self, script: &Script) -> Result<(), Stop> {
        for (number, request) in script.requests.iter().enumerate() {
            if script.alone[number] {
                let what = format!("the answers before request {number}");
                self.wait(what, |state| state.replies.len() >= number).await?;
            }
            let came = self.replies.state().last;
            let idle_since = came.map_or(self.last, |came| came.max(self.last));
            self.pace.pause().await;
            if idle_since.elapsed() > SURELY_IN_TIME {
                self.slow = self.slow.min(number);
            }
            self.request(number, request).await?;
        }
        Ok(())
    }

    async fn request(&mut self, number: usize, request: &Request) -> Result<(), Stop> {
        self.sent.push(0);
        let mut begun = Instant::now();
        let ends = request.waits.iter().map(|(at, _)| *at).chain([request.bytes.len()]);
        let (mut from, mut waits) = (0, request.waits.iter());
        for end in ends {
            while from < end {
                let most = if request.at_once { usize::MAX } else { self.pace.piece() };
                let to = from.saturating_add(most).min(end);
                self.sent[number] = to;
                self.last = Instant::now();
                let written = timeout(PATIENCE, self.socket.write_all(&request.bytes[from..to])).await;
                match written {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Err(Stop::Closed),
                    Err(_) => return Err(Stop::Missed(format!("room for request {number}"))),
                }
                from = to;
                if from < end {
                    self.pace.pause().await;
                }
            }
            if begun.elapsed() > SURELY_IN_TIME {
                self.slow = self.slow.min(number);
            }
            match waits.next() {
                None => {}
                Some((_, For::Continue)) => {
                    let what = format!("the word to go on with request {number}");
                    let is = |state: &State| state.continued.contains(&number) || state.replies.len() > number;
                    self.wait(what, is).await?;
                    begun = Instant::now();
                }
                Some((_, For::Answer)) => {
                    let what = format!("the answer to request {number}");
                    self.wait(what, |state| state.replies.len() > number).await?;
                    // The sidecar ended the request itself.
                    begun = Instant::now();
                }
                Some((_, For::Silence)) => sleep(Duration::from_millis(SILENCE_MS)).await,
            }
        }
        Ok(())
    }

    async fn wait(&self, what: String, is: impl Fn(&State) -> bool) -> Result<(), Stop> {
        match timeout(PATIENCE, self.replies.wait(is)).await {
            // Bytes are sent even when the sidecar has closed: that is part of the test.
            Ok(()) => Ok(()),
            Err(_) => Err(Stop::Missed(what)),
        }
    }
}

/// How bytes are cut into pieces, and when there are pauses.
struct Pace {
    rng: Rng,
    largest: usize,
    /// How many pauses are so long that hyper loses the idle connection.
    long: usize,
}

impl Pace {
    fn of(rng: &Rng) -> Self {
        let mut rng = rng.clone();
        let sizes = [16, 200, 3_000, usize::MAX];
        Self {
            largest: sizes[rng.usize(..sizes.len())],
            long: rng.usize(..3),
            rng,
        }
    }

    fn piece(&mut self) -> usize {
        // The pieces grow, so that a large body has not too many.
        let grown = self.largest;
        self.largest = self.largest.saturating_add(self.largest / 8);
        1 + self.rng.usize(..grown)
    }

    async fn pause(&mut self) {
        match self.rng.u8(..100) {
            0..4 if self.long > 0 => {
                self.long -= 1;
                sleep(Duration::from_millis(self.rng.u64(1_020..SILENCE_MS))).await;
            }
            0..20 => sleep(Duration::from_millis(self.rng.u64(..10))).await,
            20..50 => tokio::task::yield_now().await,
            _ => {}
        }
    }
}
