//! The half of a stream that takes records.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::timeout,
};

use super::{
    End, Stream, Taken,
    lines::Lines,
    parts::{halves, parts},
    window::Window,
};
use crate::{
    admission::Reservation,
    base::outcome::{Code, RecordError},
    ingest::{
        incoming::Source,
        parse::{self, Memory, memory::RECORD_BYTES},
    },
    pipeline::{NotTaken, Parsed, Pipeline, RequestRoom, RoutedRequest},
    produce::batch::AckMode,
};

/// After a stream's end: how long bytes that still come are read and dropped.
const LINGER: Duration = Duration::from_secs(30);
const LINGER_AT_DRAIN: Duration = Duration::from_secs(1);
/// The JSON of a record takes at most this many times its bytes (base64, escapes), and [`LINE_OVERHEAD`] for names and
/// marks.
const LINE_FACTOR: usize = 6;
const LINE_OVERHEAD: usize = 64 << 10;
/// Pause between two attempts to get room while many wait for one partition.
const CROWDED_PAUSE: Duration = Duration::from_millis(50);
/// More lines than this take so long to read that they wait for a turn of long work.
const LONG: usize = 64;
/// Bytes that are read ahead while records wait for their hand-over.
const AHEAD: usize = 64 << 10;

impl Stream {
    pub(super) async fn read<B: Source>(mut self, mut body: B, taken: mpsc::Sender<Taken>, window: Arc<Window>) -> End {
        let end = self.read_on(&mut body, taken, &window).await;
        let linger = match &end {
            End::Complete => Duration::ZERO,
            End::Drain => LINGER_AT_DRAIN,
            End::Error(..) | End::ClientNotReading => LINGER,
        };
        // Closing with unread bytes would reset the connection, and the client might never see the last line.
        tokio::spawn(timeout(linger, async move {
            while let Some(Ok(data)) = data(&mut body).await {
                body.release(data.len());
            }
        }));
        end
    }

    async fn read_on<B: Source>(&mut self, body: &mut B, taken: mpsc::Sender<Taken>, window: &Window) -> End {
        let longest_line = self.pipeline.max_record_bytes * LINE_FACTOR + LINE_OVERHEAD;
        let mut lines = Lines::new(&self.pipeline.admission);
        loop {
            if let Some((whole, held)) = lines.cut() {
                let took = self.take_all(&whole, &taken, window, body, &mut lines).await;
                drop(held);
                if let Err(end) = took {
                    return end;
                }
            }
            if lines.is_pending() {
                if let Err(end) = self.hold(&mut lines, body).await {
                    return end;
                }
                continue;
            }
            if lines.has_ended() {
                return End::Complete;
            }
            if lines.len() > longest_line {
                let message = format!("a line is over {longest_line} bytes, which no record of message.max.bytes is");
                return End::Error("body_too_large", message);
            }
            body.release(lines.released());
            let come = tokio::select! {
                biased;
                // The writer is gone, and nobody is left to send a reply to.
                () = taken.closed() => return End::ClientNotReading,
                _ = self.drain.wait_for(|drain| *drain) => return End::Drain,
                come = timeout(self.limits.idle_timeout(), data(body)) => come,
                () = lines.room().gives_way() => {
                    let message = "a line stood still while others needed its room (limits.max_buffered_bytes)";
                    return End::Error("busy", message.to_owned());
                }
            };
            match come {
                Ok(Some(Ok(data))) => lines.add(data),
                Ok(Some(Err(error))) => return End::Error("incomplete_body", format!("the body broke off: {error}")),
                Ok(None) => lines.end(),
                Err(_) => {
                    let idle = self.limits.idle_timeout_ms;
                    return End::Error(
                        "stream_idle",
                        format!("nothing came for {idle} ms (limits.idle_timeout_ms)"),
                    );
                }
            }
        }
    }

    /// Hands over the records of whole lines, and reads ahead meanwhile: bytes that have come must not stay in the
    /// connection.
    async fn take_all<B: Source>(
        &self,
        whole: &Bytes,
        taken: &mpsc::Sender<Taken>,
        window: &Window,
        body: &mut B,
        lines: &mut Lines,
    ) -> Result<(), End> {
        // Bytes that are read ahead wait for this process, so their client must not be blamed for standing still.
        let _waits = lines.room().waits();
        let mut taking = pin!(self.take(whole, taken, window));
        loop {
            let reads = !lines.is_pending() && !lines.has_ended() && lines.len() < AHEAD;
            tokio::select! {
                biased;
                took = &mut taking => return took,
                come = async { if reads { data(body).await } else { take_on(body).await } } => match come {
                    Some(Ok(data)) => lines.add(data),
                    Some(Err(error)) => {
                        taking.await?;
                        return Err(End::Error("incomplete_body", format!("the body broke off: {error}")));
                    }
                    None => lines.end(),
                },
            }
        }
    }

    async fn take(&self, whole: &Bytes, taken: &mpsc::Sender<Taken>, window: &Window) -> Result<(), End> {
        let most = self.pipeline.admission.most_for_request();
        let most_records = self.limits.max_records.min(most / 2 / RECORD_BYTES).max(1);
        for part in parts(whole, most_records) {
            self.take_part(part, most, taken, window).await?;
        }
        Ok(())
    }

    /// Hands over the records of some lines, at most as many as the window has room for.
    async fn take_part(
        &self,
        part: Bytes,
        most: usize,
        taken: &mpsc::Sender<Taken>,
        window: &Window,
    ) -> Result<(), End> {
        // Room in the window comes first: a stream that waits for a client that does not read must hold no memory.
        let lines = count(&part);
        let mut room = self.window_room(lines, taken, window).await?;
        let mut rest = vec![(part, lines)];
        while let Some((part, lines)) = rest.pop() {
            let mut held = self.pipeline.admission.reservation();
            let Some(records) = self.parse(&part, lines, most, &mut held).await? else {
                // The records take more memory than may be held, so fewer are read at a time.
                let (first, second) = halves(&part);
                rest.extend([second, first].map(|half| {
                    let lines = count(&half);
                    (half, lines)
                }));
                continue;
            };
            // A line may have been blank, so there is enough room for all records.
            let Some(room) = room.split(records.len()).filter(|_| !records.is_empty()) else {
                continue;
            };
            self.hand_over(records, held, room, taken).await?;
        }
        Ok(())
    }

    /// The records of these lines. None if there are several lines and together they take more memory than may be held.
    async fn parse(
        &self,
        part: &Bytes,
        count: usize,
        most: usize,
        held: &mut Reservation,
    ) -> Result<Option<Vec<Parsed>>, End> {
        let mut may = (count * (RECORD_BYTES + SLACK)).min(most);
        loop {
            self.wait_for(held, may).await?;
            let turn = self.pipeline.long_work.permit(count > LONG).await;
            let context = parse::Context {
                topic: Some(Arc::clone(&self.topic)),
                limits: &self.limits,
                memory: Memory::of(may),
            };
            let parsed = parse::lines(part, &context);
            let used = context.memory.used();
            drop(context);
            turn.end().await;
            if let Some(records) = parsed {
                held.set(used);
                return Ok(Some(records));
            }
            if may < most {
                may = may.saturating_mul(4).min(most);
                continue;
            }
            return Ok((count <= 1).then(|| vec![Err(too_large())]));
        }
    }

    async fn window_room(
        &self,
        records: usize,
        taken: &mpsc::Sender<Taken>,
        window: &Window,
    ) -> Result<OwnedSemaphorePermit, End> {
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        let room = Arc::clone(&window.room).acquire_many_owned(records);
        tokio::select! {
            biased;
            () = taken.closed() => Err(End::ClientNotReading),
            // The semaphore is never closed, and a part has no more records than the window.
            room = window.waiting(room) => room.map_err(|_| End::ClientNotReading),
        }
    }

    async fn hand_over(
        &self,
        records: Vec<Parsed>,
        held: Reservation,
        room: OwnedSemaphorePermit,
        taken: &mpsc::Sender<Taken>,
    ) -> Result<(), End> {
        let pipeline = &self.pipeline;
        let mut decided = match pipeline.decide(records, self.trace).await {
            Ok(decided) => decided,
            Err(not_taken) => return Err(End::not_taken(&not_taken)),
        };
        let place = self.make_room(pipeline, &mut decided, &mut Some(held)).await?;
        let submitted = pipeline.hand_over(decided, place, AckMode::Streamed).await;
        match taken.send(Taken { submitted, room }).await {
            Ok(()) => Ok(()),
            Err(_) => Err(End::ClientNotReading),
        }
    }

    /// Waits for room without a limit, since a stream has flow control where a request would be told to retry. But if
    /// many wait for one partition, their bodies must not take up the memory; then the wait is limited.
    async fn make_room(
        &self,
        pipeline: &Pipeline,
        decided: &mut RoutedRequest<'_>,
        body: &mut Option<Reservation>,
    ) -> Result<RequestRoom, End> {
        let begun = Instant::now();
        loop {
            match pipeline.make_room(decided, body).await {
                Ok(room) => return Ok(room),
                Err(_) if *self.drain.borrow() => return Err(End::Drain),
                Err(NotTaken::Busy(busy)) if busy.waited.is_zero() => {
                    if begun.elapsed() >= self.limits.max_wait() {
                        return Err(End::Error("busy", busy.to_string()));
                    }
                    tokio::time::sleep(CROWDED_PAUSE).await;
                }
                Err(NotTaken::TenantMoving { waited, .. }) if waited.is_zero() => {
                    tokio::time::sleep(CROWDED_PAUSE).await;
                }
                Err(NotTaken::Busy(_) | NotTaken::TenantMoving { .. }) => {}
                Err(not_taken) => return Err(End::not_taken(&not_taken)),
            }
        }
    }

    async fn wait_for(&self, held: &mut Reservation, bytes: usize) -> Result<(), End> {
        while held.grow(bytes).await.is_err() {
            if *self.drain.borrow() {
                return Err(End::Drain);
            }
        }
        Ok(())
    }

    /// Waits for room for the pending bytes, without a limit. But if half a line is held meanwhile, the wait is
    /// limited: many such streams could wait for one another.
    async fn hold<B: Source>(&self, lines: &mut Lines, body: &mut B) -> Result<(), End> {
        loop {
            let made = tokio::select! {
                biased;
                made = lines.make_room() => made,
                made = take_on(body) => made,
            };
            match made {
                Ok(()) => return Ok(()),
                Err(_) if *self.drain.borrow() => return Err(End::Drain),
                Err(busy) if lines.room().bytes() > 0 => return Err(End::Error("busy", busy.to_string())),
                Err(_) => {}
            }
        }
    }
}

/// Bytes that each record may take beside [`RECORD_BYTES`] in the first attempt to read it.
const SLACK: usize = 256;

impl Window {
    /// Waits for room, and marks the window as full meanwhile.
    async fn waiting<T>(&self, room: impl Future<Output = T>) -> T {
        self.is_full.store(true, Ordering::Relaxed);
        let room = room.await;
        self.is_full.store(false, Ordering::Relaxed);
        room
    }
}

async fn data<B: Source>(body: &mut B) -> Option<Result<Bytes, String>> {
    poll_fn(|context| body.poll_data(context)).await
}

/// The most records that these lines may have.
fn count(lines: &[u8]) -> usize {
    let lines = lines.split(|&byte| byte == b'\n');
    lines.filter(|line| !line.is_empty()).count()
}

/// Takes what comes and keeps it for later, for as long as this is awaited. Never returns.
async fn take_on<B: Source, T>(body: &mut B) -> T {
    poll_fn(|context| {
        body.take(context);
        Poll::Pending
    })
    .await
}

fn too_large() -> RecordError {
    RecordError::new(
        Code::RecordTooLarge,
        "the record and its headers take more memory than three quarters of limits.max_buffered_bytes; make it smaller, or raise that",
    )
}
