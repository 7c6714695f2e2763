//! What producers compress with, and what they write with it.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

/// A way to compress the records of a batch.
pub(super) struct Way {
    /// Who writes so.
    pub(super) name: &'static str,
    /// The batch's attributes.
    pub(super) attributes: i16,
    pub(super) compress: fn(&[u8]) -> Vec<u8>,
}

/// Every way that a batch can be compressed.
pub(super) const WAYS: [Way; 9] = [
    way("none", 0, <[u8]>::to_vec),
    way("gzip", 1, gzip),
    way("snappy-of-librdkafka", 2, snappy),
    way("snappy-of-java", 2, xerial),
    way("lz4", 3, lz4),
    way("lz4-in-linked-blocks", 3, lz4_linked),
    way("lz4-with-all-that-a-frame-may-have", 3, lz4_with_everything),
    way("zstd", 4, zstd),
    way("zstd-without-its-size", 4, zstd_streamed),
];

const fn way(name: &'static str, attributes: i16, compress: fn(&[u8]) -> Vec<u8>) -> Way {
    Way {
        name,
        attributes,
        compress,
    }
}

pub(super) fn gzip(payload: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(payload).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn snappy(payload: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(payload).unwrap()
}

/// As snappy-java's `SnappyOutputStream`, with blocks so small that there are several.
pub(super) fn xerial(payload: &[u8]) -> Vec<u8> {
    let mut framed = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    for block in payload.chunks(100) {
        let block = snappy(block);
        framed.extend((block.len() as u32).to_be_bytes());
        framed.extend(block);
    }
    framed
}

fn lz4_framed(payload: &[u8], info: FrameInfo) -> Vec<u8> {
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(payload).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn lz4(payload: &[u8]) -> Vec<u8> {
    lz4_framed(payload, FrameInfo::new().block_size(BlockSize::Max64KB))
}

fn lz4_linked(payload: &[u8]) -> Vec<u8> {
    let info = FrameInfo::new().block_size(BlockSize::Max64KB);
    lz4_framed(payload, info.block_mode(BlockMode::Linked))
}

fn lz4_with_everything(payload: &[u8]) -> Vec<u8> {
    let info = FrameInfo::new().block_size(BlockSize::Max4MB);
    let info = info.block_checksums(true).content_checksum(true);
    lz4_framed(payload, info.content_size(Some(payload.len() as u64)))
}

pub(super) fn zstd(payload: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(payload, 1).unwrap()
}

/// As Java's producer, which does not know the size before the end.
pub(super) fn zstd_streamed(payload: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(payload, 1).unwrap()
}
