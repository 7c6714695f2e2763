//! Which of a few numbered things have been there.

use std::collections::HashSet;

/// Takes no memory for the first 64 of them, and else only for those that have been there.
#[derive(Default)]
pub(super) struct Marks {
    first: u64,
    more: Option<HashSet<u32>>,
}

impl Marks {
    /// Says whether it is new.
    pub(super) fn mark(&mut self, index: u32) -> bool {
        if index >= u64::BITS {
            return self.more.get_or_insert_default().insert(index);
        }
        let bit = 1 << index;
        let new = self.first & bit == 0;
        self.first |= bit;
        new
    }

    /// Whether it has been there.
    pub(super) fn has(&self, index: u32) -> bool {
        match index >= u64::BITS {
            true => self.more.as_ref().is_some_and(|more| more.contains(&index)),
            false => self.first & (1 << index) != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_new_once() {
        let mut marks = Marks::default();
        for index in [0, 63, 64, 1_000_000] {
            assert!(!marks.has(index));
            assert!(marks.mark(index));
            assert!(!marks.mark(index));
            assert!(marks.has(index));
        }
        assert!(!marks.has(1) && !marks.has(65));
    }
}
