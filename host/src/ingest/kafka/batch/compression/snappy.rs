//! Snappy: one block, as librdkafka and Go clients write it, or the blocks of snappy-java's `SnappyOutputStream`, as Java's
//! producer does. Brokers and clients read both.

use snap::raw::{Decoder, decompress_len};

use super::{
    output::Output,
    refusal::{cut_off, unreadable},
};
use crate::ingest::kafka::batch::error::BatchError;

/// The first bytes of snappy-java's framing ("xerial"). After them stand its version and the oldest one that can read it,
/// of 4 bytes each; Kafka does not look at them either.
const FRAMING: [u8; 8] = *b"\x82SNAPPY\0";
const VERSIONS: usize = 8;
/// One byte becomes at most so many: a copy of 64 bytes takes 3.
const MOST_RATIO: usize = 22;

/// Decompresses one block, or all blocks of the framing.
pub(super) fn decompress(input: &[u8], output: &mut Output<'_>) -> Result<(), BatchError> {
    let Some(framed) = input.strip_prefix(&FRAMING) else {
        return block(input, output);
    };
    let mut rest = framed.get(VERSIONS..).ok_or_else(|| cut_off("snappy"))?;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk().ok_or_else(|| cut_off("snappy"))?;
        let length = u32::from_be_bytes(*length) as usize;
        let (inside, after) = after.split_at_checked(length).ok_or_else(|| cut_off("snappy"))?;
        block(inside, output)?;
        rest = after;
    }
    Ok(())
}

/// Decompresses one block.
fn block(input: &[u8], output: &mut Output<'_>) -> Result<(), BatchError> {
    let announced = decompress_len(input).map_err(|error| unreadable("snappy", error))?;
    if announced > input.len().saturating_mul(MOST_RATIO) {
        let here = input.len();
        return Err(unreadable(
            "snappy",
            format_args!("{here} bytes cannot become the {announced} that are announced"),
        ));
    }
    let room = output.room(announced)?;
    if room.len() < announced {
        return Err(output.too_large());
    }
    let written = Decoder::new()
        .decompress(input, room)
        .map_err(|error| unreadable("snappy", error))?;
    output.advance(written);
    Ok(())
}
