//! What one client of HTTP/2 may make the library hold.

use h2::server::Builder;

/// Requests at once on one connection.
pub(super) const STREAMS: u32 = 200;

/// What small frames of a turn may take until somebody has taken them: 256 bytes less their own for each.
pub(super) const FRAMES: usize = 128 << 10;

/// What the library may spend on them before it ends the connection. Turns follow each other where something wakes the connection
/// before its requests, but not for long.
const MOST_FRAMES: usize = 8 * FRAMES;

/// What a connection's window is without a word about it (RFC 9113, 6.9.2); it cannot be made smaller.
const DEFAULT_WINDOW: u32 = 65_535;

/// Bytes that are read before others have their turn, so that small frames do not pile up.
pub(in crate::ingest) const TURN: usize = 5 << 10;

/// The least that a frame with data takes on the wire, and what it is taken for until it is read.
pub(super) const SMALLEST_FRAME: (usize, usize) = (10, 255);

const _: () = assert!((TURN / SMALLEST_FRAME.0 + 1) * SMALLEST_FRAME.1 <= FRAMES);

/// Of a reply, what the library may have that is not written.
pub(super) const SEND_BUFFER: usize = 64 << 10;

/// What one client may make the library hold; a small part of all there is.
#[derive(Debug, Clone, Copy)]
pub(in crate::ingest) struct Bounds {
    /// What a request's client may send that has not been looked at. All requests of a connection together may have as much each:
    /// one that stands still must not stop the others.
    pub(super) window: u32,
    /// What counts for small frames that nobody has taken yet.
    pub(super) frames: usize,
}

impl Bounds {
    /// `max_buffered_bytes` is what there is.
    pub(in crate::ingest) fn of(max_buffered_bytes: usize) -> Self {
        let window = (max_buffered_bytes / 64).clamp(1 << 10, 32 << 10);
        Self {
            window: window as u32,
            frames: (max_buffered_bytes / 16).clamp(4 << 10, FRAMES),
        }
    }

    /// How HTTP/2 is spoken here. `header_bytes` is the most that a header may have.
    pub(in crate::ingest) fn builder(self, header_bytes: usize) -> Builder {
        let mut builder = Builder::new();
        builder
            .initial_window_size(self.window)
            .initial_connection_window_size((STREAMS * self.window).max(DEFAULT_WINDOW))
            .data_frame_budget(MOST_FRAMES)
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
            .max_send_buffer_size(SEND_BUFFER);
        builder
    }
}
