//! What a body holds while it is being read.

use super::{
    gate::Busy,
    readers::{Standing, Waits},
    reservation::Reservation,
    wants::{SMALL, Wants},
};

/// What a body being read holds, or the lines of a stream that have come. It counts among what is being read until it is whole.
#[derive(Debug)]
pub struct Room {
    held: Reservation,
    /// Once it has been waited for.
    standing: Option<Standing>,
}

impl Room {
    pub(super) fn new(held: Reservation) -> Self {
        Self { held, standing: None }
    }

    /// How much is held.
    pub fn bytes(&self) -> usize {
        self.held.bytes()
    }

    /// Sees to it that `bytes` in all are held, and waits for them.
    pub async fn grow(&mut self, bytes: usize) -> Result<(), Busy> {
        let more = bytes.saturating_sub(self.held.bytes());
        if more == 0 {
            return Ok(());
        }
        let wants = Wants::body(more, bytes <= SMALL);
        // Who waits for room does not stand still by its own fault.
        let _waits = self.waits();
        self.held.gate().take(wants, self.held.max_wait()).await?;
        self.held.add(more);
        if let Some(standing) = &self.standing {
            standing.holds(bytes);
        }
        Ok(())
    }

    /// Some of the body has come.
    pub fn arrived(&self, bytes: usize) {
        if let Some(standing) = &self.standing {
            standing.moves(bytes);
        }
    }

    /// Waits until this has to give way: others need its room, and it has been standing still. For who waits for more of the body;
    /// until then nobody minds it.
    pub async fn gives_way(&mut self) {
        let (gate, bytes) = (self.held.gate(), self.held.bytes());
        let standing = self
            .standing
            .get_or_insert_with(|| Standing::new(gate.readers(), bytes));
        standing.told().await;
    }

    /// While what this gives is there, it does not give way: it is its host that keeps it waiting.
    pub fn waits(&self) -> Option<Waits> {
        self.standing.as_ref().map(Standing::waits)
    }

    /// The body is whole: it no longer counts among those being read.
    pub fn whole(mut self) -> Reservation {
        self.part(self.held.bytes())
    }

    /// So much of it is whole.
    pub fn part(&mut self, bytes: usize) -> Reservation {
        let part = self.held.split(bytes);
        self.held.gate().read(part.bytes());
        if let Some(standing) = &self.standing {
            standing.holds(self.held.bytes());
        }
        part
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.held.gate().read(self.held.bytes());
    }
}
