//! The LZ4 frame format (github.com/lz4/lz4, doc/lz4_Frame_format.md).
//!
//! The frame is read here, and only its blocks by the library, whose own reader of frames takes one that is cut off between
//! two blocks for a whole one, and holds up to 12 MiB for the blocks that a frame announces. Its checksums are not looked
//! at: the batch's own covers every byte of it.

use lz4_flex::block::{DecompressError, decompress_into_with_dict};

use super::{
    output::Output,
    refusal::{cut_off, nothing_after, unreadable},
};
use crate::ingest::kafka::batch::error::BatchError;

/// The first bytes of a frame.
const MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();

// Bits of the frame's flags.
const VERSION: u8 = 0b1100_0000;
const VERSION_1: u8 = 0b0100_0000;
const HAS_BLOCK_CHECKSUMS: u8 = 1 << 4;
const HAS_CONTENT_SIZE: u8 = 1 << 3;
const HAS_CONTENT_CHECKSUM: u8 = 1 << 2;
const HAS_DICTIONARY: u8 = 1;

/// Bit of a block's size that says that it is not compressed.
const IS_STORED: u32 = 1 << 31;
// Sizes of parts that are not read, bytes.
const CHECKSUM: usize = 4;
const CONTENT_SIZE: usize = 8;
const HEAD_CHECKSUM: usize = 1;
/// How far back a block can point.
const WINDOW: usize = 64 << 10;
/// One byte becomes at most so many: it makes a match that much longer.
const MOST_RATIO: usize = 255;

/// Decompresses one frame: no client writes a second one.
pub(super) fn decompress(input: &[u8], output: &mut Output<'_>) -> Result<(), BatchError> {
    let mut rest = Rest(input);
    if rest.array()? != MAGIC {
        return Err(unreadable("lz4", "it does not begin with a frame"));
    }
    let [flags, sizes] = rest.array()?;
    if flags & VERSION != VERSION_1 || flags & HAS_DICTIONARY != 0 {
        return Err(unreadable(
            "lz4",
            format_args!("its frame has the flags {flags:#04x}, expected version 1 without a dictionary"),
        ));
    }
    let largest = match sizes >> 4 & 0b111 {
        4 => 64 << 10,
        5 => 256 << 10,
        6 => 1 << 20,
        7 => 4 << 20,
        other => {
            return Err(unreadable(
                "lz4",
                format_args!("its size of blocks is {other}, expected 4 to 7"),
            ));
        }
    };
    let has = |flag: u8, bytes: usize| if flags & flag == 0 { 0 } else { bytes };
    rest.take(has(HAS_CONTENT_SIZE, CONTENT_SIZE) + HEAD_CHECKSUM)?;
    loop {
        let size = u32::from_le_bytes(rest.array()?);
        if size == 0 {
            break;
        }
        let inside = rest.take((size & !IS_STORED) as usize)?;
        rest.take(has(HAS_BLOCK_CHECKSUMS, CHECKSUM))?;
        if inside.len() > largest {
            return Err(too_large_block());
        }
        match size & IS_STORED {
            0 => compressed(inside, largest, output)?,
            _ => stored(inside, output)?,
        }
    }
    rest.take(has(HAS_CONTENT_CHECKSUM, CHECKSUM))?;
    nothing_after("lz4", rest.0)
}

/// Decompresses a block.
fn compressed(inside: &[u8], largest: usize, output: &mut Output<'_>) -> Result<(), BatchError> {
    let wanted = largest.min(inside.len().saturating_mul(MOST_RATIO));
    let (before, room) = output.split(wanted)?;
    let is_all = room.len() == wanted;
    // Kafka's brokers want blocks that do not point into earlier ones. To read the others, too, costs nothing.
    let window = &before[before.len().saturating_sub(WINDOW)..];
    let written = match decompress_into_with_dict(inside, room, window) {
        Ok(written) => written,
        Err(DecompressError::OutputTooSmall { .. }) if !is_all => return Err(output.too_large()),
        Err(DecompressError::OutputTooSmall { .. }) => return Err(too_large_block()),
        Err(error) => return Err(unreadable("lz4", error)),
    };
    output.advance(written);
    Ok(())
}

/// Copies a block that is not compressed.
fn stored(inside: &[u8], output: &mut Output<'_>) -> Result<(), BatchError> {
    let room = output.room(inside.len())?;
    if room.len() < inside.len() {
        return Err(output.too_large());
    }
    room.copy_from_slice(inside);
    output.advance(inside.len());
    Ok(())
}

/// A block, or what it becomes, is larger than the frame says that blocks are.
#[cold]
fn too_large_block() -> BatchError {
    unreadable("lz4", "a block is larger than its frame announces")
}

/// The bytes that have not been read yet.
struct Rest<'i>(&'i [u8]);

impl<'i> Rest<'i> {
    /// The next bytes.
    fn take(&mut self, length: usize) -> Result<&'i [u8], BatchError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(|| cut_off("lz4"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// The next bytes, of a number of them that is known here.
    fn array<const N: usize>(&mut self) -> Result<[u8; N], BatchError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or_else(|| cut_off("lz4"))?;
        self.0 = rest;
        Ok(*taken)
    }
}
