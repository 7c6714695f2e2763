//! What one HTTP/2 client may make the library hold.

use h2::server::Builder;

/// Most requests at once on one connection.
pub(super) const STREAMS: u32 = 200;

/// Memory for the small frames of one turn until they are taken: 256 bytes less their own for each.
pub(super) const FRAMES: usize = 128 << 10;

/// Memory for small frames at which the library ends the connection. It is several turns, since something may wake the
/// connection before its requests several times in a row, but not for long.
const MOST_FRAMES: usize = 8 * FRAMES;

/// The window of a connection that announces none (RFC 9113, 6.9.2). It cannot be made smaller.
const DEFAULT_WINDOW: u32 = 65_535;

/// Bytes that are read before others have their turn, so that small frames do not pile up.
pub(in crate::ingest) const TURN: usize = 5 << 10;

/// The smallest frame with data: its bytes on the wire, and the bytes that it counts for until it is read.
pub(super) const SMALLEST_FRAME: (usize, usize) = (10, 255);

const _: () = assert!((TURN / SMALLEST_FRAME.0 + 1) * SMALLEST_FRAME.1 <= FRAMES);

/// Bytes of a reply that the library may hold before they are written.
pub(super) const SEND_BUFFER: usize = 64 << 10;

/// What one client may make the library hold: a small part of all memory for requests.
#[derive(Debug, Clone, Copy)]
pub(in crate::ingest) struct Bounds {
    /// Bytes that the client of one request may send unread. The window of a connection allows this for each of its
    /// requests: a request that stands still must not stop the others.
    pub(super) window: u32,
    /// What counts as held for small frames that are not taken yet.
    pub(super) frames: usize,
}

impl Bounds {
    /// The bounds for this `limits.max_buffered_bytes`.
    pub(in crate::ingest) fn of(max_buffered_bytes: usize) -> Self {
        let window = (max_buffered_bytes / 64).clamp(1 << 10, 32 << 10);
        Self {
            window: window as u32,
            frames: (max_buffered_bytes / 16).clamp(4 << 10, FRAMES),
        }
    }

    /// The settings of HTTP/2 with these bounds. `header_bytes` is the largest header.
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
