use std::time::Instant;

use super::*;

fn admission(limits: &Limits) -> Arc<Admission> {
    Arc::new(Admission::new(limits))
}

/// An admission with this many bytes and a short wait.
fn small(buffered: usize) -> Arc<Admission> {
    admission(&Limits {
        max_buffered_bytes: buffered,
        max_wait_ms: 20,
        ..Limits::default()
    })
}

fn load(quota: &Arc<PartitionQuota>, records: usize, bytes: usize) -> PartitionLoad {
    PartitionLoad {
        quota: Arc::clone(quota),
        records,
        bytes,
        wire_bytes: 0,
    }
}

impl Admission {
    async fn one(&self, quota: &Arc<PartitionQuota>, records: usize, bytes: usize) -> Result<Queued, Busy> {
        self.queue_without_tenants(vec![load(quota, records, bytes)], &mut None)
            .await
    }
}

impl Admission {
    /// A body of so many bytes that is being read.
    async fn reading(&self, bytes: usize) -> Result<Room, Busy> {
        let mut room = self.body();
        room.grow(bytes).await?;
        Ok(room)
    }
}

#[tokio::test]
async fn bodies_being_read_never_take_the_room_of_complete_ones() {
    let admission = small(8 << 20);
    let slow = admission.reading(4 << 20).await.expect("half is free");
    assert!(admission.reading(SMALL + 1).await.is_err(), "over half is being read");
    let mut whole = slow.whole();
    whole.grow(5 << 20).await.expect("a complete request may grow");
    let other = admission.reading(2 << 20).await.expect("the first one is complete");
    assert!(
        admission.reading(SMALL + 1).await.is_err(),
        "the rest is left for complete requests"
    );
    whole
        .grow((5 << 20) + (1 << 18))
        .await
        .expect("a complete request gets it");
    assert!(
        whole.grow(6 << 20).await.is_err(),
        "the last part is left for those who want little"
    );
    let mut little = admission.reservation();
    little.grow(SMALL).await.expect("room for little");
    drop(little);
    drop((whole, other));
    assert_eq!(admission.buffered(), 0);
}

#[tokio::test]
async fn large_bodies_never_take_the_room_of_small_ones() {
    let admission = small(8 << 20);
    let _large = admission.reading(4 << 20).await.expect("half is free");
    let mut rooms = Vec::new();
    while let Ok(room) = admission.reading(SMALL).await {
        rooms.push(room);
    }
    assert_eq!(rooms.len(), (1 << 20) / SMALL, "an eighth");
    rooms.pop();
    let mut begins = admission.body();
    begins.announce(SMALL + 1);
    assert!(begins.grow(1).await.is_err(), "nor do large ones that only begin");
    admission.reading(1).await.expect("there was room for a small one");
    drop(begins);
    drop(rooms);
    assert_eq!(admission.buffered(), 4 << 20);
}

#[tokio::test(start_paused = true)]
async fn a_body_without_progress_gives_way_to_those_who_wait_and_one_with_progress_does_not() {
    let admission = admission(&Limits {
        max_buffered_bytes: 8 << 20,
        ..Limits::default()
    });
    let part = 1 << 20;
    // The first makes progress, the second gets one byte now and then, the third waits for this process.
    let mut rooms = Vec::new();
    for _ in 0..3 {
        rooms.push(admission.reading(part).await.expect("room"));
    }
    let is_told = |room: &mut Room| is_ready_now(room.gives_way());
    assert!(rooms.iter_mut().all(|room| !is_told(room)), "nobody needs it");
    let _waits = rooms[2].waits();
    for _ in 0..30 {
        tokio::time::advance(Duration::from_millis(100)).await;
        rooms[0].arrived(part / 16);
        rooms[1].arrived(1);
    }
    assert!(rooms.iter_mut().all(|room| !is_told(room)), "nobody needs it");
    let waiting = tokio::spawn({
        let admission = Arc::clone(&admission);
        async move { admission.reading(2 << 20).await.map(drop) }
    });
    for _ in 0..100 {
        tokio::time::advance(Duration::from_millis(1)).await;
        tokio::task::yield_now().await;
    }
    let told: Vec<bool> = rooms.iter_mut().map(is_told).collect();
    assert_eq!(told, [false, true, false]);
    rooms.remove(1);
    waiting.await.expect("no panic").expect("room");
}

/// Whether the future is ready now.
fn is_ready_now(future: impl Future<Output = ()>) -> bool {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    future.as_mut().poll(&mut context).is_ready()
}

#[tokio::test]
async fn partitions_whose_brokers_do_not_answer_leave_room_for_the_others() {
    let admission = small(64 << 20);
    let mut held = Vec::new();
    // One partition after the other is filled until it gets no more room.
    for stuck in 1..=5 {
        let quota = Arc::default();
        let mut has = 0;
        while let Ok(queued) = admission.one(&quota, 200, 200).await {
            held.push(queued);
            has += 200;
        }
        let free = 2 * QUEUE_RECORDS - admission.queued_records();
        assert!(has >= free, "it got as much as it left: {has}, {free}");
        assert!(free >= 2 * QUEUE_RECORDS / 64, "after {stuck}: {free}");
    }
    let healthy = Arc::default();
    admission
        .one(&healthy, 500, 500)
        .await
        .expect("there is room for others");
    drop(held);
    assert_eq!((admission.queued_records(), admission.buffered()), (0, 0));
}

#[tokio::test]
async fn large_records_for_one_partition_leave_bytes_for_the_others() {
    let admission = small(8 << 20);
    let (stuck, healthy) = (Arc::default(), Arc::default());
    let mut held = Vec::new();
    while let Ok(queued) = admission.one(&stuck, 1, 1 << 20).await {
        held.push(queued);
    }
    assert_eq!(held.len(), 4, "half of it");
    admission.one(&healthy, 1, 1 << 20).await.expect("room for others");
}

#[tokio::test]
async fn a_request_that_waits_for_a_full_partition_delays_no_other_partition_and_is_let_in_before_later_ones() {
    let admission = admission(&Limits {
        max_wait_ms: 60_000,
        ..Limits::default()
    });
    let (full, other) = (Arc::default(), Arc::default());
    let first = admission.one(&full, 20_000, 1).await.expect("room");
    let spawn = |records: usize| {
        let (admission, quota) = (Arc::clone(&admission), Arc::clone(&full));
        tokio::spawn(async move { (admission.one(&quota, records, 1).await, Instant::now()) })
    };
    let large = spawn(19_000);
    while admission.gate.waiting() < 1 {
        tokio::task::yield_now().await;
    }
    let small = spawn(101);
    while admission.gate.waiting() < 2 {
        tokio::task::yield_now().await;
    }
    admission.one(&other, 500, 1).await.expect("not delayed");
    // Alone, the small request would have had room.
    assert!(full.fits(&load(&full, 101, 0), 1_000_000, 1_000_000));
    drop(first);
    let (large, small) = (large.await.expect("no panic"), small.await.expect("no panic"));
    large.0.expect("its turn");
    small.0.expect("its turn");
}

#[tokio::test]
async fn a_request_that_gives_up_waiting_takes_nothing_and_delays_nobody() {
    let admission = small(64 << 20);
    let quota = Arc::default();
    let first = admission.one(&quota, 40_000, 1).await.expect("all of it");
    let mut body = Some(admission.reading(1_000).await.expect("bytes").whole());
    let busy = admission
        .queue_without_tenants(vec![load(&quota, 1, 100)], &mut body)
        .await
        .expect_err("full");
    assert!(busy.to_string().contains("the producer's queue is full"), "{busy}");
    assert_eq!(body.map(|body| body.bytes()), Some(1_000), "still held");
    // A request whose task is aborted while it waits.
    let waiting = tokio::spawn({
        let (admission, quota) = (Arc::clone(&admission), Arc::clone(&quota));
        async move { admission.one(&quota, 1, 1).await.map(drop) }
    });
    while admission.gate.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    waiting.abort();
    let _ = waiting.await;
    drop(first);
    assert_eq!(
        (
            admission.queued_records(),
            admission.buffered(),
            admission.gate.waiting()
        ),
        (0, 0, 0)
    );
    admission.one(&quota, 40_000, 1).await.expect("all of it again");
}

#[tokio::test]
async fn requests_that_wait_for_a_partition_cannot_fill_the_memory_with_their_bodies() {
    let admission = admission(&Limits {
        max_buffered_bytes: 8 << 20,
        max_wait_ms: 60_000,
        ..Limits::default()
    });
    let quota = Arc::default();
    let _stuck = admission.one(&quota, 20_000, 0).await.expect("room");
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let body = admission.reading(1 << 20).await.expect("bytes").whole();
        let (admission, quota) = (Arc::clone(&admission), Arc::clone(&quota));
        waiting.push(tokio::spawn(async move {
            admission
                .queue_without_tenants(vec![load(&quota, 10_000, 1)], &mut Some(body))
                .await
                .map(drop)
        }));
    }
    while admission.gate.waiting() < 2 {
        tokio::task::yield_now().await;
    }
    let mut third = Some(admission.reading(1 << 20).await.expect("bytes").whole());
    let busy = admission
        .queue_without_tenants(vec![load(&quota, 10_000, 1)], &mut third)
        .await
        .expect_err("a quarter is taken");
    assert_eq!(busy.waited, Duration::ZERO);
    assert!(busy.quota.is_some_and(|full| Arc::ptr_eq(&full, &quota)));
    for task in waiting {
        task.abort();
    }
}

#[tokio::test]
async fn the_largest_request_that_is_allowed_finds_room_also_for_one_partition_and_beside_a_full_one() {
    let limits = Limits {
        max_records: 50_000,
        max_wait_ms: 20,
        ..Limits::default()
    };
    let (admission, full, other) = (admission(&limits), Arc::default(), Arc::default());
    let mut held = vec![admission.one(&full, limits.max_records, 1).await.expect("room")];
    assert!(admission.one(&full, limits.max_records, 1).await.is_err());
    held.push(
        admission
            .one(&other, limits.max_records, 1)
            .await
            .expect("room beside it"),
    );
    assert_eq!(
        admission.queued_records(),
        Admission::queue_records(&limits) - SPARE_RECORDS
    );
}

#[tokio::test]
async fn requests_of_many_records_never_take_the_room_of_those_of_few() {
    let admission = admission(&Limits {
        max_wait_ms: 60_000,
        ..Limits::default()
    });
    let quotas: Vec<Arc<PartitionQuota>> = (0..4).map(|_| Arc::default()).collect();
    let mut held = Vec::new();
    for quota in &quotas {
        held.push(admission.one(quota, 9_900, 1).await.expect("room"));
    }
    // A request of many records waits for room.
    let waiting = tokio::spawn({
        let (admission, quota) = (Arc::clone(&admission), Arc::default());
        async move { admission.one(&quota, 9_900, 1).await.map(drop) }
    });
    while admission.gate.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    let healthy = Arc::default();
    let few = |quota| {
        let (admission, quota) = (Arc::clone(&admission), quota);
        async move {
            let one = tokio::time::timeout(Duration::from_secs(10), admission.one(&quota, 1, 1));
            one.await.expect("at once").expect("room")
        }
    };
    let _held = few(Arc::clone(&healthy)).await;
    waiting.abort();
    // Requests of few records do not wait behind one of many records for the same partition either.
    let waiting = tokio::spawn({
        let (admission, quota) = (Arc::clone(&admission), Arc::clone(&healthy));
        async move { admission.one(&quota, 9_900, 1).await.map(drop) }
    });
    while admission.gate.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    few(healthy).await;
    waiting.abort();
}
