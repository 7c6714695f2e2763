//! Records of whole lines.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{
    Stream,
    end::End,
    parts::{halves, parts},
    taken::Taken,
    window::Window,
};
use crate::{
    admission::Reservation,
    base::outcome::{Code, RecordError},
    ingest::parse::{self, Memory, memory::RECORD_BYTES},
    pipeline::Parsed,
};

/// More lines than this take so long to read that they wait for a turn of long work.
const LONG: usize = 64;
/// Bytes that each record may take beside [`RECORD_BYTES`] in the first attempt to read it.
const SLACK: usize = 256;

impl Stream {
    /// Hands over the records of whole lines.
    pub(super) async fn take_lines(
        &self,
        topic: &Arc<str>,
        whole: &Bytes,
        taken: &mpsc::Sender<Taken>,
        window: &Window,
    ) -> Result<(), End> {
        let most = self.pipeline.admission.most_for_request();
        let most_records = self.limits.max_records.min(most / 2 / RECORD_BYTES).max(1);
        for part in parts(whole, most_records) {
            self.take_part((topic, part), most, taken, window).await?;
        }
        Ok(())
    }

    /// Hands over the records of some lines, at most as many as the window has room for.
    async fn take_part(
        &self,
        (topic, part): (&Arc<str>, Bytes),
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
            let Some(records) = self.parse((topic, &part), lines, most, &mut held).await? else {
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
        (topic, part): (&Arc<str>, &Bytes),
        count: usize,
        most: usize,
        held: &mut Reservation,
    ) -> Result<Option<Vec<Parsed>>, End> {
        let mut may = (count * (RECORD_BYTES + SLACK)).min(most);
        loop {
            self.wait_for(held, may).await?;
            let turn = self.pipeline.long_work.permit(count > LONG).await;
            let context = parse::Context {
                topic: Some(Arc::clone(topic)),
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
}

/// The most records that these lines may have.
fn count(lines: &[u8]) -> usize {
    let lines = lines.split(|&byte| byte == b'\n');
    lines.filter(|line| !line.is_empty()).count()
}

fn too_large() -> RecordError {
    RecordError::new(
        Code::RecordTooLarge,
        "the record and its headers take more memory than three quarters of limits.max_buffered_bytes; make it smaller, or raise that",
    )
}
