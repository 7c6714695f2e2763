//! The memory of a body while it is being read.

use super::{
    gate::Busy,
    readers::{Standing, Waits},
    reservation::Reservation,
    wants::{SMALL, Wants},
};

/// The reservation of a body that is being read, or of the lines of a stream that have arrived. It counts against the limit for
/// such bodies until the body is complete.
#[derive(Debug)]
pub struct Room {
    reservation: Reservation,
    /// Whether the whole body is known to be large: then it takes nothing of the share of small bodies, not even at its beginning.
    is_large: bool,
    /// Watches the progress; `None` until somebody waits for more of the body.
    standing: Option<Standing>,
}

impl Room {
    pub(super) fn new(reservation: Reservation) -> Self {
        Self {
            reservation,
            is_large: false,
            standing: None,
        }
    }

    /// Notes that the whole body will have this many bytes. Nothing is taken for them yet.
    pub fn announce(&mut self, bytes: usize) {
        self.is_large = bytes > SMALL;
    }

    /// How many bytes are reserved.
    pub fn bytes(&self) -> usize {
        self.reservation.bytes()
    }

    /// Makes sure that at least this many bytes are reserved, and waits for them if needed.
    pub async fn grow(&mut self, bytes: usize) -> Result<(), Busy> {
        let more = bytes.saturating_sub(self.reservation.bytes());
        if more == 0 {
            return Ok(());
        }
        let wants = Wants::body(more, bytes <= SMALL && !self.is_large);
        // While it waits for room, a lack of progress is not the client's fault.
        let _waits = self.waits();
        self.reservation
            .gate()
            .take_bytes(wants, self.reservation.max_wait())
            .await?;
        self.reservation.add(more);
        if let Some(standing) = &self.standing {
            standing.holds(bytes);
        }
        Ok(())
    }

    /// Notes that some bytes of the body have arrived.
    pub fn arrived(&self, bytes: usize) {
        if let Some(standing) = &self.standing {
            standing.moves(bytes);
        }
    }

    /// Waits until the body has to give way, because others need its room and it makes no progress. The caller waits for more of
    /// the body at the same time; progress is watched from the first call on.
    pub async fn gives_way(&mut self) {
        let (gate, bytes) = (self.reservation.gate(), self.reservation.bytes());
        let standing = self
            .standing
            .get_or_insert_with(|| Standing::new(gate.readers(), bytes));
        standing.told().await;
    }

    /// The body does not give way until the result is dropped, because this process keeps it waiting.
    pub fn waits(&self) -> Option<Waits> {
        self.standing.as_ref().map(Standing::waits)
    }

    /// The body is complete, so it no longer counts as being read.
    pub fn whole(mut self) -> Reservation {
        self.part(self.reservation.bytes())
    }

    /// Splits off a complete part of this many bytes, which no longer counts as being read.
    pub fn part(&mut self, bytes: usize) -> Reservation {
        let part = self.reservation.split(bytes);
        self.reservation.gate().read(part.bytes());
        if let Some(standing) = &self.standing {
            standing.holds(self.reservation.bytes());
        }
        part
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.reservation.gate().read(self.reservation.bytes());
    }
}
