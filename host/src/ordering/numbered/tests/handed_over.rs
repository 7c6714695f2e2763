//! Requests whose caller goes on when they are handed over, or looks at them before they are taken.

use super::*;
use crate::{
    base::outcome::{Code, RecordError},
    ordering::numbered::HandedOver,
    pipeline::NotTaken,
};

/// A request that takes as many sequences as it has records, as in Kafka's protocol.
fn batch(sequence: u64, count: usize) -> Number {
    Number {
        name: Name::new(Owner::Kafka, "producer 7"),
        span: count as u64,
        ..number(0, sequence)
    }
}

impl Rig {
    /// Hands the request over in its steps. None if a record is refused: then nothing is taken.
    async fn submit_in_steps(&self, permit: SendPermit, records: Vec<Parsed>) -> Result<Option<HandedOver>, NotTaken> {
        let mut routed = self.pipeline.decide(permit.to_send(records), false).await?;
        if routed.refusals().next().is_some() {
            return Ok(None);
        }
        let room = self.pipeline.make_room(&mut routed, &mut None).await?;
        Ok(Some(permit.submit_routed(&self.pipeline, routed, room).await))
    }

    async fn submitted(&self, number: &Number, count: usize) -> HandedOver {
        let permit = self.permit(number, count).await;
        let submitting = self.submit_in_steps(permit, records(number, count));
        submitting.await.expect("taken").expect("nothing refused")
    }
}

#[tokio::test]
async fn a_client_hears_of_no_request_before_those_before_it_have_their_outcomes() {
    let rig = rig(&Limits::default());
    rig.producer.hold();
    let (one, two) = (batch(1, 3), batch(4, 2));
    let first = rig.submitted(&one, 3).await;
    let second = rig.submitted(&two, 2).await;
    assert_eq!(rig.numbered.expected(&one.name, 0), Some(6));
    assert_eq!(rig.producer.log().len(), 5, "both were handed over");
    rig.producer.release();
    let told = second.outcomes().await.settled;
    assert!(told.is_acked() && !rig.numbered.may_acknowledge(&two));
    first.outcomes().await;
    assert!(rig.numbered.may_acknowledge(&two));
    assert_eq!(rig.send(&two, 2).await, Ok(told), "it is remembered");
}

#[tokio::test]
async fn a_request_that_is_lost_after_its_hand_over_is_unknown_and_its_client_not_stuck() {
    let rig = rig(&Limits::default());
    let (one, two) = (batch(1, 3), batch(4, 2));
    let lost = rig.submitted(&one, 3).await;
    let second = rig.permit(&two, 2).await;
    drop(lost);
    second
        .produce(&rig.pipeline, records(&two, 2), None, false)
        .await
        .expect("its turn is its own");
    assert!(!rig.numbered.may_acknowledge(&two), "the first one may be lost");
    let again = rig.send(&one, 3).await.expect("taken");
    assert_eq!(kinds(&again), [(Kind::Acked, true); 3]);
    assert!(rig.numbered.may_acknowledge(&two));
}

#[tokio::test]
async fn nothing_is_taken_of_a_request_whose_caller_finds_a_refused_record() {
    let rig = rig(&Limits::default());
    let one = batch(1, 3);
    let mut bad = records(&one, 3);
    bad[1] = Err(RecordError::new(Code::MalformedRecord, "as planned"));
    let routed = rig.pipeline.decide(bad, false).await.expect("decided");
    let refused: Vec<_> = routed.refusals().map(|(index, error)| (index, error.code)).collect();
    assert_eq!(refused, [(1, Code::MalformedRecord)]);
    drop(routed);
    let permit = rig.permit(&one, 3).await;
    let mut bad = records(&one, 3);
    bad[1] = Err(RecordError::new(Code::MalformedRecord, "as planned"));
    assert!(rig.submit_in_steps(permit, bad).await.expect("looked at").is_none());
    assert_eq!((rig.written().len(), rig.numbered.expected(&one.name, 0)), (0, Some(1)));
    rig.send(&one, 3).await.expect("its sequence was not used");
}

#[tokio::test]
async fn a_repeat_in_steps_sends_only_what_is_missing() {
    let rig = rig(&Limits::default());
    let planned = [PlannedOutcome::Failed, PlannedOutcome::Acked, PlannedOutcome::Failed];
    rig.producer
        .decide(move |sent, _| planned.get(sent).copied().unwrap_or(PlannedOutcome::Acked));
    let one = batch(1, 3);
    rig.submitted(&one, 3).await.outcomes().await;
    let told = rig.submitted(&one, 3).await.outcomes().await.settled;
    assert_eq!(
        kinds(&told),
        [(Kind::Acked, true), (Kind::Acked, false), (Kind::Acked, true)]
    );
    let values: Vec<String> = rig.written().into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["0 1 1", "0 1 0", "0 1 2"]);
}
