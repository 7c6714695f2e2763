//! Requests that wait and are not taken, or whose task is lost.

use super::*;
use crate::admission::PartitionLoad;

#[tokio::test]
async fn what_was_not_taken_for_lack_of_room_is_still_expected() {
    let limits = Limits {
        max_wait_ms: 20,
        max_records: 20_000,
        ..Limits::default()
    };
    let rig = rig(&limits);
    rig.knows_topic().await;
    rig.send(&number(0, 1), 1).await.expect("taken");
    let all = PartitionLoad {
        quota: Arc::default(),
        records: 40_000,
        bytes: 0,
        wire_bytes: 0,
    };
    let full = rig
        .pipeline
        .admission
        .queue_without_tenants(vec![all], &mut None)
        .await
        .expect("all of it");
    let refused = rig.send(&number(0, 2), 200).await.expect_err("no room");
    assert!(refused.contains("no room"), "{refused}");
    drop(full);
    let refused = rig.send(&number(0, 3), 1).await.expect_err("a gap");
    assert!(refused.contains("send 2 first"), "{refused}");
    rig.send(&number(0, 2), 1).await.expect("its sequence was not used");
}

#[tokio::test]
async fn a_turn_that_does_not_come_is_waited_for_in_bounds_and_its_sequence_stays_expected() {
    let rig = rig(&Limits {
        max_wait_ms: 20,
        ..Limits::default()
    });
    rig.knows_topic().await;
    let slow = rig.permit(&number(0, 1), 1).await;
    let refused = rig.send(&number(0, 2), 1).await.expect_err("its turn has not come");
    assert!(refused.contains("limits.max_wait_ms"), "{refused}");
    slow.produce(&rig.pipeline, records(&number(0, 1), 1), None, false)
        .await
        .expect("taken");
    rig.send(&number(0, 2), 1).await.expect("still expected");
}

#[tokio::test]
async fn a_client_that_gives_up_its_wait_holds_up_nobody() {
    let rig = rig(&Limits::default());
    let slow = rig.permit(&number(0, 1), 1).await;
    let waiting = tokio::spawn({
        let rig = rig.clone();
        async move { rig.begin(&number(0, 2), 1).await.is_ok() }
    });
    // The third request may wait only once the second one does.
    let last = number(0, 3);
    let third = loop {
        let mut third = Box::pin(rig.begin(&last, 1));
        tokio::select! {
            biased;
            refused = &mut third => assert!(refused.is_err()),
            () = tokio::task::yield_now() => break third,
        }
        tokio::task::yield_now().await;
    };
    waiting.abort();
    assert!(waiting.await.is_err(), "it was given up");
    match third.await {
        Err(NotBegun::Refused(Refusal::Gap { expected: 2, .. })) => {}
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("taken before the second one"),
    }
    drop(slow);
}

#[tokio::test]
async fn a_task_that_is_lost_leaves_its_records_unknown_and_its_client_not_stuck() {
    let rig = rig(&Limits::default());
    let mut lost = rig.permit(&number(0, 1), 2).await;
    lost.take();
    let Ok(Begun::UnderWay(repeat)) = rig.begin(&number(0, 1), 2).await else {
        panic!("it is under way");
    };
    drop(lost);
    let told = repeat.outcomes().await.expect("outcomes");
    assert_eq!(kinds(&told), [(Kind::Unknown, false); 2]);
    let again = rig.send(&number(0, 1), 2).await.expect("taken");
    assert_eq!(kinds(&again), [(Kind::Acked, true); 2]);
    rig.send(&number(0, 2), 1).await.expect("taken");
}

#[tokio::test]
async fn a_task_that_is_lost_after_its_hand_over_does_not_take_the_turn_from_the_next_request() {
    let rig = rig(&Limits::default());
    let mut lost = rig.permit(&number(0, 1), 1).await;
    lost.take();
    lost.hand_over_ended();
    let next = rig.permit(&number(0, 2), 1).await;
    drop(lost);
    let produced = next.produce(&rig.pipeline, records(&number(0, 2), 1), None, false);
    let told = produced.await.expect("it has the turn").settled;
    assert_eq!(rig.send(&number(0, 2), 1).await, Ok(told), "its sequence is used");
    assert_eq!(rig.written().len(), 1);
}
