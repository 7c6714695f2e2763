//! What a client may rely on, by what it was told before.

use std::collections::HashMap;

use super::super::{Answer, Name, Number, Owner, Refusal, Sequences, Settled};
use crate::base::outcome::Kind;

/// What a client was told and has seen, as long as it is remembered.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The epoch of the last request that was taken.
    pub(super) epoch: u64,
    /// The first sequence of the epoch. None until something was taken, or the client may only begin with one.
    pub(super) first: Option<u64>,
    /// The next new sequence of the epoch. None as `first` is.
    pub(super) expected: Option<u64>,
    /// The requests of the epoch, by sequence.
    pub(super) requests: HashMap<u64, Sent>,
}

/// A request that was taken.
#[derive(Debug)]
pub(super) struct Sent {
    /// How many sequences it took.
    pub(super) span: u64,
    /// The kinds of its outcomes. None while it is under way.
    pub(super) kinds: Option<Vec<Kind>>,
}

impl Told {
    /// Whether the answer to this request agrees with all that the client was told before. Panics where it does not.
    pub(super) fn check<H>(&self, number: &Number, answer: &Result<Answer<H>, Refusal>) {
        let here = self.expected.is_some() && self.epoch == number.epoch;
        let known = self.requests.get(&number.sequence).filter(|_| here);
        let blocked = self.first_blocking(number.name.owner).filter(|_| here);
        let is_inside = here && self.is_inside(number.sequence);
        match answer {
            Ok(Answer::Send(None)) => {
                assert!(known.is_none() && !is_inside, "taken twice: {number:?}");
                assert_eq!(blocked, None, "{number:?} overtakes");
                let begins = number.sequence == 1 || number.resume;
                assert!(if here {
                    self.expected == Some(number.sequence)
                } else {
                    begins
                });
            }
            Ok(Answer::Send(Some(before))) => {
                let known = known.expect("known");
                let kinds = known.kinds.as_ref().expect("settled");
                assert_eq!((&kinds_of(before), number.span), (kinds, known.span));
                assert!(kinds.iter().any(|kind| *kind != Kind::Acked));
                assert!(blocked.is_none_or(|blocked| blocked >= number.sequence));
            }
            Ok(Answer::Settled(settled)) => {
                assert!(settled.is_acked());
                let known = known.expect("known");
                assert_eq!(known.kinds.as_ref(), Some(&kinds_of(settled)));
                assert_eq!(known.span, number.span);
            }
            Err(Refusal::Gap { expected, .. }) => {
                assert!(number.sequence > *expected || here && Some(number.sequence) < self.first);
            }
            Err(Refusal::Forgotten { .. }) => {
                assert!(here && Some(number.sequence) < self.expected && Some(number.sequence) >= self.first);
            }
            Err(Refusal::Blocked { expected, .. }) => {
                assert_eq!(blocked, Some(*expected));
                assert!(*expected < number.sequence);
            }
            Err(Refusal::Resync { .. }) => assert!(self.expected.is_none()),
            Err(Refusal::StaleEpoch { .. }) => assert!(number.epoch < self.epoch),
            Err(Refusal::Mismatch { .. }) => assert!(known.is_some() || is_inside),
            Ok(Answer::Wait | Answer::UnderWay(_)) | Err(_) => {}
        }
    }

    /// The first sequence that keeps the later ones of this owner's client out.
    pub(super) fn first_blocking(&self, owner: Owner) -> Option<u64> {
        self.requests
            .iter()
            .filter(|(_, sent)| sent.kinds.as_deref().is_some_and(|kinds| is_blocking(kinds, owner)))
            .map(|(sequence, _)| *sequence)
            .min()
    }

    /// Whether the sequence belongs to a request that begins before it.
    fn is_inside(&self, sequence: u64) -> bool {
        let mut requests = self.requests.iter();
        requests.any(|(begin, sent)| (begin + 1..begin + sent.span).contains(&sequence))
    }

    /// The sequence of the request that is so many `ahead` of the next one. `span_of` says which span belongs to a sequence.
    pub(super) fn sequence(&self, epoch: u64, ahead: i64, span_of: impl Fn(u64) -> u64) -> u64 {
        let here = self.epoch == epoch;
        let expected = self.expected.filter(|_| here).unwrap_or(1);
        if ahead >= 0 {
            return (0..ahead).fold(expected, |sequence, _| sequence + span_of(sequence));
        }
        let mut sent: Vec<u64> = self.requests.keys().copied().filter(|_| here).collect();
        sent.sort_unstable_by(|one, other| other.cmp(one));
        let known = sent.get(ahead.unsigned_abs() as usize - 1).copied();
        known.unwrap_or_else(|| expected.saturating_add_signed(ahead).max(1))
    }

    /// Whether the sequences say of this client what comes next, and what its client may hear of. Panics where they do not.
    /// `turn` has the turn; `waits` says whether any other request may come before the next one.
    pub(super) fn check_standing<H: Clone>(
        &self,
        sequences: &Sequences<H>,
        name: &Name,
        turn: Option<&Number>,
        waits: bool,
    ) {
        let Some(mut next) = self.expected else {
            return;
        };
        if let Some(turn) = turn.filter(|turn| turn.epoch == self.epoch) {
            next = next.max(turn.next_sequence());
        }
        let expected = sequences.expected(name, self.epoch);
        assert!(if waits {
            expected >= Some(next)
        } else {
            expected == Some(next)
        });
        let may_acknowledge = |epoch, sequence| {
            sequences.may_acknowledge(&Number {
                name: name.clone(),
                epoch,
                sequence,
                span: 1,
                resume: false,
            })
        };
        let open = self
            .requests
            .iter()
            .filter(|(_, sent)| sent.kinds.as_deref().is_none_or(|kinds| is_blocking(kinds, name.owner)));
        match open.map(|(sequence, _)| *sequence).min() {
            Some(open) => {
                assert!(may_acknowledge(self.epoch, open));
                assert!(!may_acknowledge(self.epoch, open + 1));
            }
            None => assert!(may_acknowledge(self.epoch, next)),
        }
        if let Some(earlier) = self.epoch.checked_sub(1) {
            assert_eq!(sequences.expected(name, earlier), None);
            assert!(may_acknowledge(earlier, u64::MAX));
        }
    }
}

/// Whether a request with these outcomes keeps the later ones of its client out. A batch of Kafka's protocol does with any record that
/// is not `acked`, since its producer is told of whole batches.
fn is_blocking(kinds: &[Kind], owner: Owner) -> bool {
    kinds.iter().any(|kind| match kind {
        Kind::Acked => false,
        Kind::Rejected => owner == Owner::Kafka,
        Kind::Failed | Kind::Unknown => true,
    })
}

pub(super) fn kinds_of(settled: &Settled) -> Vec<Kind> {
    settled.records().iter().map(|stored| stored.outcome.kind()).collect()
}
