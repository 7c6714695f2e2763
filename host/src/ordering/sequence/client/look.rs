//! What a request of a client is, by what is known of the client.

use std::sync::Arc;

use super::{
    super::{Content, Number, Refusal, Settled},
    Client, Request, State,
};

/// What a request is, by what is known now.
#[derive(Debug)]
pub(crate) enum Verdict<H> {
    /// It comes next, and may be taken once there is room to remember it.
    New,
    /// It is a repeat, and may send again the records that are not `acked` in these outcomes.
    Repeat(Arc<Settled>),
    /// Another request of the client has to end first.
    Wait,
    /// It was taken and has no outcomes yet.
    UnderWay(H),
    /// It is a repeat with nothing to send: all its records are `acked`.
    Settled(Arc<Settled>),
}

impl<H: Clone> Client<H> {
    /// What this request is. Changes nothing.
    pub(crate) fn look(&self, number: &Number, content: Content) -> Result<Verdict<H>, Refusal> {
        let Number { epoch, sequence, .. } = *number;
        if let Some(standing) = self.standing
            && epoch < standing.epoch
        {
            return Err(Refusal::StaleEpoch {
                given: epoch,
                epoch: standing.epoch,
                expected: self.next(standing.epoch),
            });
        }
        let current = self.standing.filter(|standing| standing.epoch == epoch);
        if let Some(request) = self.requests.get(&(epoch, sequence)) {
            return self.look_at_repeat(request, number, content);
        }
        let expected = self.next(epoch);
        if let Some(standing) = current
            && sequence < standing.expected
        {
            return Err(if self.is_inside(epoch, sequence) {
                Refusal::Mismatch {
                    sequence,
                    expected,
                    epoch,
                }
            } else if sequence < standing.first {
                // Whether it was ever taken is not known here, so nobody may believe that it was.
                Refusal::Gap {
                    sequence,
                    expected,
                    epoch,
                }
            } else {
                Refusal::Forgotten {
                    sequence,
                    expected,
                    epoch,
                }
            });
        }
        if let Some(verdict) = self.behind_blocked(number) {
            return verdict;
        }
        let resumes = number.resume && current.is_none();
        if sequence > expected && !resumes {
            return Err(match self.standing {
                None if self.turn.is_none() => Refusal::Resync { sequence },
                _ => Refusal::Gap {
                    sequence,
                    expected,
                    epoch,
                },
            });
        }
        let first = current.map_or(1, |standing| standing.expected);
        if self.turn.is_some() || (sequence != first && !resumes) {
            return Ok(Verdict::Wait);
        }
        Ok(Verdict::New)
    }

    fn look_at_repeat(&self, request: &Request<H>, number: &Number, content: Content) -> Result<Verdict<H>, Refusal> {
        if request.content != content || request.next != number.next_sequence() {
            return Err(Refusal::Mismatch {
                sequence: number.sequence,
                expected: self.next(number.epoch),
                epoch: number.epoch,
            });
        }
        match &request.state {
            State::UnderWay(handle) => Ok(Verdict::UnderWay(handle.clone())),
            State::Settled(settled) if settled.is_acked() => Ok(Verdict::Settled(Arc::clone(settled))),
            State::Settled(settled) => match self.behind_blocked(number) {
                Some(verdict) => verdict,
                None if self.turn.is_some() => Ok(Verdict::Wait),
                None => Ok(Verdict::Repeat(Arc::clone(settled))),
            },
        }
    }

    /// The verdict for a request that comes after one with a record that is `failed` or `unknown`; none where there is none.
    fn behind_blocked(&self, number: &Number) -> Option<Result<Verdict<H>, Refusal>> {
        let Number { epoch, sequence, .. } = *number;
        self.standing.filter(|standing| standing.epoch == epoch)?;
        let expected = *self.blocked.first().filter(|&&blocked| blocked < sequence)?;
        let claimed = self
            .turn
            .is_some_and(|claim| (claim.epoch, claim.sequence) == (epoch, expected));
        let again = matches!(
            self.requests.get(&(epoch, expected)),
            Some(Request {
                state: State::UnderWay(_),
                ..
            })
        );
        // The blocking request is being sent again, and its outcome will decide.
        if claimed || again {
            return Some(Ok(Verdict::Wait));
        }
        Some(Err(Refusal::Blocked {
            sequence,
            expected,
            epoch,
        }))
    }

    /// The next new sequence of this epoch, see [`Client::next`]. None if nothing of the epoch is known.
    pub(crate) fn expected(&self, epoch: u64) -> Option<u64> {
        let next = self.next(epoch);
        match self.standing {
            Some(standing) if epoch < standing.epoch => None,
            Some(standing) if epoch == standing.epoch => Some(next),
            // Every request ends behind sequence 1.
            _ => (next > 1).then_some(next),
        }
    }

    /// Whether everything that was taken in this epoch before this sequence has its outcomes, and none of them is `failed`
    /// or `unknown`. Of an epoch that is over, nothing is kept, and this is true.
    pub(crate) fn may_acknowledge(&self, epoch: u64, sequence: u64) -> bool {
        if self.standing.is_none_or(|standing| standing.epoch != epoch) {
            return true;
        }
        let blocked = self.blocked.first().is_some_and(|&blocked| blocked < sequence);
        let mut before = self.under_way.range((epoch, 0)..(epoch, sequence));
        !blocked && before.next().is_none()
    }

    /// Whether the sequence belongs to a remembered request that begins before it.
    fn is_inside(&self, epoch: u64, sequence: u64) -> bool {
        let before = self.requests.range((epoch, 0)..(epoch, sequence)).next_back();
        before.is_some_and(|(_, request)| sequence < request.next)
    }

    /// The first sequence that is not on its way yet: it comes after those that were taken, that have the turn, and
    /// that wait for it.
    fn next(&self, epoch: u64) -> u64 {
        let mut next = match self.standing {
            Some(standing) if standing.epoch == epoch => standing.expected,
            _ => 1,
        };
        if let Some(claim) = self.turn
            && claim.epoch == epoch
            && !claim.repeat
        {
            next = next.max(claim.next);
        }
        // Looks no further than the window: a longer walk would be repeated each time that a waiting request asks.
        for _ in 0..self.window {
            // Where several wait with one sequence, only one of them can be taken. It may be the longest.
            let mut here = self.waiting.range((epoch, next, 0)..=(epoch, next, u64::MAX));
            let Some((&(.., longest), _)) = here.next_back() else {
                break;
            };
            next = longest;
        }
        next
    }
}
