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
    Stream,
    end::{End, Form},
    framing::Framing,
    pieces::Pieces,
    taken::{Taken, TakenRecords, tell},
    window::Window,
};
use crate::{
    admission::Reservation,
    ingest::incoming::Source,
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
/// Bytes that are read ahead while records wait for their hand-over.
const AHEAD: usize = 64 << 10;

impl Stream {
    pub(super) async fn read<B: Source>(mut self, mut body: B, taken: mpsc::Sender<Taken>, window: Arc<Window>) -> End {
        let end = self.read_on(&mut body, taken, &window).await;
        let linger = match &end {
            End::Complete => Duration::ZERO,
            End::Drain => LINGER_AT_DRAIN,
            End::Error(_) | End::ClientNotReading => LINGER,
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
        let mut lines = Pieces::new(Form::of(&self.framing), &self.limits, &self.pipeline.admission);
        loop {
            let whole = match lines.cut() {
                Ok(whole) => whole,
                Err(end) => return end,
            };
            if let Some((whole, held)) = whole {
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
            if lines.len() > longest_line && Form::of(&self.framing) == Form::Lines {
                let message = format!("a line is over {longest_line} bytes, which no record of message.max.bytes is");
                return End::error("body_too_large", message);
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
                    return End::error("busy", message);
                }
            };
            match come {
                Ok(Some(Ok(data))) => lines.add(data),
                Ok(Some(Err(error))) => return End::error("incomplete_body", format!("the body broke off: {error}")),
                Ok(None) => lines.end(),
                Err(_) => {
                    let idle = self.limits.idle_timeout_ms;
                    return End::error(
                        "stream_idle",
                        format!("nothing came for {idle} ms (limits.idle_timeout_ms)"),
                    );
                }
            }
        }
    }

    /// Hands over the records of whole lines or messages, and reads ahead meanwhile: bytes that have come must not stay in
    /// the connection.
    async fn take_all<B: Source>(
        &mut self,
        whole: &Bytes,
        taken: &mpsc::Sender<Taken>,
        window: &Window,
        body: &mut B,
        lines: &mut Pieces,
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
                        return Err(End::error("incomplete_body", format!("the body broke off: {error}")));
                    }
                    None => lines.end(),
                },
            }
        }
    }

    /// Takes whole lines or messages.
    async fn take(&mut self, whole: &Bytes, taken: &mpsc::Sender<Taken>, window: &Window) -> Result<(), End> {
        match &self.framing {
            Framing::Lines(topic) => self.take_lines(topic, whole, taken, window).await,
            Framing::Messages(_) => self.take_messages(whole, taken, window).await,
        }
    }

    pub(super) async fn window_room(
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

    pub(super) async fn hand_over(
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
        let records = TakenRecords::Batch(submitted);
        tell(taken, Taken { records, room }).await
    }

    /// Waits for room without a limit, since a stream has flow control where a request would be told to retry. But if
    /// many wait for one partition, their bodies must not take up the memory; then the wait is limited.
    pub(super) async fn make_room(
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
                        return Err(End::error("busy", busy.to_string()));
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

    pub(super) async fn wait_for(&self, held: &mut Reservation, bytes: usize) -> Result<(), End> {
        while held.grow(bytes).await.is_err() {
            if *self.drain.borrow() {
                return Err(End::Drain);
            }
        }
        Ok(())
    }

    /// Waits for room for the pending bytes, without a limit. But if half a line is held meanwhile, the wait is
    /// limited: many such streams could wait for one another.
    async fn hold<B: Source>(&self, lines: &mut Pieces, body: &mut B) -> Result<(), End> {
        loop {
            let made = tokio::select! {
                biased;
                made = lines.make_room() => made,
                made = take_on(body) => made,
            };
            match made {
                Ok(()) => return Ok(()),
                Err(_) if *self.drain.borrow() => return Err(End::Drain),
                Err(busy) if lines.room().bytes() > 0 => return Err(End::error("busy", busy.to_string())),
                Err(_) => {}
            }
        }
    }
}

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

/// Takes what comes and keeps it for later, for as long as this is awaited. Never returns.
async fn take_on<B: Source, T>(body: &mut B) -> T {
    poll_fn(|context| {
        body.take(context);
        Poll::Pending
    })
    .await
}
