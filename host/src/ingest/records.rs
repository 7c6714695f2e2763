//! From a whole body to records, within the memory that is free.

use bytes::Bytes;

use super::{
    body::Whole,
    error::IngestError,
    parse::{self, Context, Memory},
};
use crate::{admission::Reservation, pipeline::Pipeline};

/// A body, or a message, larger than this takes so long to read that it waits for a turn of long work.
pub(super) const LARGE_BODY: usize = 16 << 10;
/// A body that needs more memory than is free waits for at least this many times its length, up to [`LEAST_MEMORY`].
const MUCH: usize = 200;
const LEAST_MEMORY: usize = 1 << 20;

/// Makes records, or what `parse` makes, of a body, and holds room for them, for their slots and for their part of the reply.
/// The first attempt uses the memory that is free now; if that is not enough, it waits for more, and `parse` is called
/// again. Sets the memory of `context`.
pub(super) async fn of<T, E: From<IngestError>>(
    whole: Whole,
    mut context: Context<'_>,
    pipeline: &Pipeline,
    parse: impl Fn(&Bytes, &Context<'_>) -> Result<T, E>,
) -> Result<(T, Reservation), E> {
    let Whole { bytes, mut room } = whole;
    let held = room.bytes();
    let most = pipeline.admission.most_for_request().saturating_sub(held);
    let mut reserved = 0;
    loop {
        let turn = pipeline.long_work.permit(bytes.len() > LARGE_BODY).await;
        // This is read again after the wait for the turn, since it may have changed.
        let may = pipeline.admission.free().min(most).max(reserved);
        context.memory = Memory::of(may);
        let parsed = parse(&bytes, &context);
        let used = context.memory.used();
        if context.memory.is_over() {
            if may >= most {
                return Err(parsed.err().unwrap_or_else(|| parse::no_memory().into()));
            }
        } else {
            let parsed = parsed?;
            if room.settle(held + used) {
                turn.end().await;
                return Ok((parsed, room));
            }
            drop(parsed);
        }
        drop(turn);
        let least = (bytes.len() * MUCH).min(LEAST_MEMORY).max(used);
        reserved = may.saturating_mul(4).max(least).min(most);
        room.grow(held + reserved).await.map_err(IngestError::from)?;
    }
}
