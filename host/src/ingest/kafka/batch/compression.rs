//! What a compressed batch becomes, in bounded memory and bounded work.
//!
//! No announced size is believed before it has been compared with the bytes that are there and with the bound. Compressed
//! records must be whole, and nothing may come after them. Where they are not, the batch is
//! [`BatchError::Invalid`]: its checksum was right, so the client made it so, and would only send the same again.

mod lz4;
mod output;
mod refusal;
mod snappy;

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};
use zstd::zstd_safe::{self, DCtx, zstd_sys::ZSTD_ErrorCode};

use self::{
    output::Output,
    refusal::{cut_off, nothing_after, unreadable},
};
use super::error::BatchError;
use crate::ingest::parse::Memory;

/// What zlib allocates beside the output: its state, and a window of 32 KiB.
const GZIP_STATE: usize = 64 << 10;
/// The base-2 logarithm of gzip's window, bytes.
const GZIP_WINDOW: u8 = 15;
/// How much larger gzip's output is assumed to be than its input. Growing later costs a copy.
const GZIP_RATIO: usize = 4;
/// What zstd allocates beside the output.
const ZSTD_STATE: usize = 192 << 10;
/// The first bytes of a zstd frame. The library would also read the formats before zstd 1.0, which no Kafka client writes.
const ZSTD_MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
/// How much larger zstd's output is assumed to be than its input, where that is not announced. A wrong guess means that
/// all is decompressed again.
const ZSTD_RATIO: usize = 8;
/// Zstd's error for an output that is too small.
const ZSTD_OUTPUT_TOO_SMALL: usize = (ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall as usize).wrapping_neg();
/// The smallest piece of output that is asked for where its size is not known.
const PIECE: usize = 16 << 10;

/// How a batch is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ingest) enum Codec {
    /// The gzip file format.
    Gzip,
    /// One block, or blocks in the framing of snappy-java.
    Snappy,
    /// The LZ4 frame format.
    Lz4,
    /// The zstd frame format.
    Zstd,
}

impl Codec {
    /// Decompresses the records of a batch to at most this many bytes.
    pub(in crate::ingest) fn decompress(self, input: &[u8], most: usize, memory: &Memory) -> Result<Bytes, BatchError> {
        let mut output = Output::new(most, memory);
        memory.take(self.state())?;
        match self {
            Self::Gzip => gzip(input, &mut output)?,
            Self::Snappy => snappy::decompress(input, &mut output)?,
            Self::Lz4 => lz4::decompress(input, &mut output)?,
            Self::Zstd => zstd(input, &mut output)?,
        }
        memory.give_back(self.state());
        output.finish()
    }

    /// Bytes that the codec allocates for itself until it is done, whatever its input says.
    fn state(self) -> usize {
        match self {
            Self::Gzip => GZIP_STATE,
            Self::Snappy | Self::Lz4 => 0,
            Self::Zstd => ZSTD_STATE,
        }
    }
}

/// One gzip member: no client writes a second one.
fn gzip(input: &[u8], output: &mut Output<'_>) -> Result<(), BatchError> {
    let mut inflate = Decompress::new_gzip(GZIP_WINDOW);
    let mut rest = input;
    loop {
        let (read, written) = (inflate.total_in(), inflate.total_out());
        let room = output.room(PIECE.max(GZIP_RATIO * rest.len()))?;
        let status = inflate
            .decompress(rest, room, FlushDecompress::None)
            .map_err(|error| unreadable("gzip", error.message().unwrap_or("it is damaged")))?;
        let read = (inflate.total_in() - read) as usize;
        let written = (inflate.total_out() - written) as usize;
        rest = &rest[read..];
        output.advance(written);
        match status {
            Status::StreamEnd => return nothing_after("gzip", rest),
            Status::Ok | Status::BufError if read == 0 && written == 0 => return Err(cut_off("gzip")),
            Status::Ok | Status::BufError => {}
        }
    }
}

/// One zstd frame: no client writes a second one.
///
/// It is decompressed in one call. So its window is the output itself, and a large window that it announces takes nothing;
/// but an output that turns out too small means to begin again, with twice as much.
fn zstd(input: &[u8], output: &mut Output<'_>) -> Result<(), BatchError> {
    let named = |code| unreadable("zstd", zstd_safe::get_error_name(code));
    if !input.starts_with(&ZSTD_MAGIC) {
        return Err(unreadable("zstd", "it does not begin with a frame"));
    }
    let size = zstd_safe::find_frame_compressed_size(input).map_err(named)?;
    nothing_after("zstd", input.get(size..).unwrap_or_default())?;
    let announced = zstd_safe::get_frame_content_size(input)
        .map_err(|_| unreadable("zstd", "the head of its frame is damaged"))?
        .map(|size| usize::try_from(size).unwrap_or(usize::MAX));
    let mut wanted = announced.unwrap_or(PIECE.max(ZSTD_RATIO * input.len()));
    let mut context = DCtx::try_create().ok_or(BatchError::NoMemory)?;
    loop {
        let room = output.room(wanted)?;
        let is_all = room.len() == wanted;
        match context.decompress(room, input) {
            Ok(written) => {
                output.advance(written);
                return Ok(());
            }
            Err(code) if code != ZSTD_OUTPUT_TOO_SMALL => return Err(named(code)),
            Err(_) if !is_all => return Err(output.too_large()),
            Err(code) if announced.is_some() => return Err(named(code)),
            Err(_) => wanted = wanted.saturating_mul(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zstd_allocates_no_more_than_is_counted_for_it() {
        let compressed = zstd::bulk::compress(&[7; 100_000], 19).unwrap();
        let mut context = DCtx::create();
        context.decompress(&mut vec![0; 100_000][..], &compressed).unwrap();
        assert!(context.sizeof() <= ZSTD_STATE, "{} bytes", context.sizeof());
    }

    #[test]
    fn what_was_allocated_for_a_while_is_counted_only_for_a_while() {
        let payload = vec![7; 100_000];
        let compressed = zstd::bulk::compress(&payload, 1).unwrap();
        let memory = Memory::unbounded();
        let decompressed = Codec::Zstd.decompress(&compressed, 1 << 20, &memory).unwrap();
        assert_eq!(decompressed, payload);
        assert_eq!(memory.used(), payload.len());
    }
}
