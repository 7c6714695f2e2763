//! What has come of a stream's body, cut into whole lines or messages.

use std::mem;

use bytes::Bytes;

use super::end::{End, Form};
use crate::{
    admission::{Admission, Busy, Reservation, Room},
    config::Limits,
    ingest::messages::frame::{HEAD, Head},
};

/// The smallest allocation, in bytes.
const LEAST: usize = 1 << 10;

/// What has come of a stream's body; see the [module](self).
pub(super) struct Pieces {
    bytes: Vec<u8>,
    /// The memory of `bytes`.
    room: Room,
    /// Length of the beginning of `bytes` that has no end of a line.
    searched: usize,
    form: Form,
    /// `limits.max_body_bytes` bounds a message.
    limits: Limits,
    /// Bytes that have come and have no room yet.
    pending: Bytes,
    /// Whether the body has ended.
    has_ended: bool,
    /// Bytes that have come and were not yet released to the client.
    unreleased: usize,
}

impl Pieces {
    pub(super) fn new(form: Form, limits: &Limits, admission: &Admission) -> Self {
        Self {
            bytes: Vec::new(),
            room: admission.body(),
            searched: 0,
            form,
            limits: limits.clone(),
            pending: Bytes::new(),
            has_ended: false,
            unreleased: 0,
        }
    }

    /// Bytes that are here, with or without room.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() + self.pending.len()
    }

    pub(super) fn room(&mut self) -> &mut Room {
        &mut self.room
    }

    /// Whether there are bytes that must first find room.
    pub(super) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    pub(super) fn end(&mut self) {
        self.has_ended = true;
    }

    /// Adds bytes that have come, if there is room at once. Otherwise they are pending.
    pub(super) fn add(&mut self, data: Bytes) {
        self.unreleased += data.len();
        self.pending = data;
        let capacity = self.wanted();
        if capacity <= self.room.bytes() {
            self.append();
        }
    }

    /// Waits for room for the pending bytes, and adds them.
    pub(super) async fn make_room(&mut self) -> Result<(), Busy> {
        let capacity = self.wanted();
        self.room.grow(capacity).await?;
        self.append();
        Ok(())
    }

    fn wanted(&self) -> usize {
        let size = self.len();
        match size <= self.bytes.capacity() {
            true => 0,
            false => size.max(2 * self.bytes.capacity()).max(LEAST),
        }
    }

    fn append(&mut self) {
        let data = mem::take(&mut self.pending);
        if self.bytes.len() + data.len() > self.bytes.capacity() {
            self.bytes.reserve_exact(self.room.bytes() - self.bytes.len());
        }
        self.bytes.extend_from_slice(&data);
        self.room.arrived(data.len());
    }

    /// All whole lines or messages, and their memory. The error is for a message that cannot be taken.
    pub(super) fn cut(&mut self) -> Result<Option<(Bytes, Reservation)>, End> {
        let end = match self.form {
            Form::Lines => self.whole_lines(),
            Form::Messages => self.whole_messages()?,
        };
        Ok((end > 0).then(|| self.cut_at(end)))
    }

    /// At the end of the body, the last line is whole as well.
    fn whole_lines(&mut self) -> usize {
        if self.has_ended {
            return self.bytes.len();
        }
        let new = &self.bytes[self.searched..];
        let found = new.iter().rposition(|&byte| byte == b'\n');
        let end = found.map_or(0, |at| self.searched + at + 1);
        self.searched = self.bytes.len();
        end
    }

    /// The bytes begin with a message, since each cut ends with one.
    fn whole_messages(&self) -> Result<usize, End> {
        let mut end = 0;
        while let Some(head) = Head::of(&self.bytes[end..], &self.limits)? {
            let next = end + HEAD + head.length;
            if next > self.bytes.len() {
                break;
            }
            end = next;
        }
        if self.has_ended && end == 0 && !self.bytes.is_empty() {
            return Err(End::error(
                "incomplete_body",
                "the stream ended within a message; that message was not taken",
            ));
        }
        Ok(end)
    }

    fn cut_at(&mut self, end: usize) -> (Bytes, Reservation) {
        let rest = self.bytes[end..].to_vec();
        self.searched = rest.len();
        let mut whole = mem::replace(&mut self.bytes, rest);
        whole.truncate(end);
        whole.shrink_to_fit();
        let held = self.room.part(self.room.bytes() - self.bytes.capacity());
        (Bytes::from(whole), held)
    }

    /// Bytes that the client may now send again.
    pub(super) fn released(&mut self) -> usize {
        mem::take(&mut self.unreleased)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::Index};

    use super::*;

    /// The lines that are cut when the text comes in these pieces.
    async fn cut(text: &str, pieces: &[Index]) -> Vec<Bytes> {
        let admission = Admission::new(&Limits::default());
        let mut lines = Pieces::new(Form::Lines, &Limits::default(), &admission);
        let mut cuts: Vec<usize> = pieces.iter().map(|piece| piece.index(text.len() + 1)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let mut whole = Vec::new();
        for piece in cuts.windows(2) {
            lines.add(Bytes::copy_from_slice(&text.as_bytes()[piece[0]..piece[1]]));
            if lines.is_pending() {
                lines.make_room().await.expect("room");
            }
            assert!(admission.buffered() >= lines.bytes.capacity());
            whole.extend(lines.cut().expect("no error").map(|(whole, _)| whole));
        }
        lines.end();
        whole.extend(lines.cut().expect("no error").map(|(whole, _)| whole));
        assert_eq!(lines.len(), 0);
        drop(lines);
        assert_eq!(admission.buffered(), 0, "what was held was given back");
        whole
    }

    proptest! {
        #[test]
        fn however_the_body_is_cut_up_no_line_is_torn_or_lost(
            text in "[ab\n]{0,60}",
            pieces in vec(any::<Index>(), 0..12),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            let whole = runtime.block_on(cut(&text, &pieces));
            prop_assert_eq!(whole.concat(), text.as_bytes());
            let torn = whole.iter().rev().skip(1).find(|lines| !lines.ends_with(b"\n"));
            prop_assert_eq!(torn, None);
        }
    }
}
