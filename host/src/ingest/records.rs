//! From a whole body to records, within the memory that there is.

use hyper::HeaderMap;

use super::{
    body::Whole,
    error::IngestError,
    parse::{self, Context, Format, Memory},
};
use crate::{
    admission::Reservation,
    pipeline::{Parsed, Pipeline},
};

/// Reading a larger body takes so long that it has to wait for its turn.
const LARGE_BODY: usize = 16 << 10;
/// The least memory that is waited for where a body needs more than there is at once: so many times what it has, up to a bound.
const MUCH: usize = 200;
const LEAST_MEMORY: usize = 1 << 20;

/// Makes records of a body, and holds room for what they take, up to their slots and what is told of them. Reading is tried with
/// what is free now; where that is not enough, more is waited for. `context` says what reading must know; its memory is set here.
pub(super) async fn of(
    whole: Whole,
    format: Format,
    headers: &HeaderMap,
    mut context: Context<'_>,
    pipeline: &Pipeline,
) -> Result<(Vec<Parsed>, Reservation), IngestError> {
    let Whole { bytes, mut room } = whole;
    let held = room.bytes();
    let most = pipeline.admission.most_for_request().saturating_sub(held);
    let mut reserved = 0;
    loop {
        let turn = pipeline.long_work.permit(bytes.len() > LARGE_BODY).await;
        // What is free now: it may have changed while the turn was waited for.
        let may = pipeline.admission.free().min(most).max(reserved);
        context.memory = Memory::of(may);
        let parsed = format.parse(&bytes, headers, &context);
        let used = context.memory.used();
        if context.memory.is_over() {
            if may >= most {
                return Err(parsed.err().unwrap_or_else(parse::no_memory));
            }
        } else {
            let records = parsed?;
            if room.settle(held + used) {
                turn.end().await;
                return Ok((records, room));
            }
            drop(records);
        }
        drop(turn);
        let least = (bytes.len() * MUCH).min(LEAST_MEMORY).max(used);
        reserved = may.saturating_mul(4).max(least).min(most);
        room.grow(held + reserved).await?;
    }
}
