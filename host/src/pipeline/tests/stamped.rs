//! What a record and its trace say of the routing table that the record went by.

use pointsman_routing::{Document, Row};

use super::*;
use crate::base::record::Header;

/// A pipeline that stamps, and whose records' keys are their tenants.
fn stamping(producer: &Arc<MemoryProducer>, limits: &Limits) -> Pipeline {
    let mut route = Route::new(&config::Route::everything(), Decider::KeyHash, None).expect("a route");
    route.key_is_tenant = true;
    let mut pipeline = Arc::into_inner(pipeline(producer, limits)).expect("nobody else has it");
    pipeline.topics.routes().replace(Table::new(1, vec![Arc::new(route)]));
    pipeline.tenants = Arc::new(Tenants::on());
    pipeline.stamps = true;
    pipeline
}

/// Puts a table of this version in place, which sends all tenants to partition 2.
fn put(pipeline: &Pipeline, version: u64) {
    put_at(pipeline, version, 2);
}

fn put_at(pipeline: &Pipeline, version: u64, partition: u32) {
    let document = Document {
        version,
        rows: vec![Row {
            version: 1,
            ..Row::shared("t", "*", partition)
        }],
        ..Document::empty("x".to_owned())
    };
    let table = document.table(pipeline.tenants.hashing().clone()).expect("a table");
    pipeline.tenants.put(Arc::new(table));
    pipeline.admission.fence(version);
}

fn of_tenant(value: usize) -> Record {
    parsed(&Plan::Key(b'a'), 0, value).expect("a record")
}

/// The values of the header of each written record, in the order of its headers.
fn stamps(producer: &MemoryProducer) -> Vec<Vec<String>> {
    let of = |record: &Record| {
        let headers = record.headers.iter().filter(|header| *header.name == *STAMP);
        let text = |header: &Header| String::from_utf8_lossy(header.value.as_deref().unwrap_or_default()).into_owned();
        headers.map(text).collect()
    };
    producer.log().iter().map(|(_, record)| of(record)).collect()
}

#[tokio::test]
async fn only_records_that_go_by_their_tenant_are_stamped_and_a_header_of_the_client_stays_in_front() {
    let producer = Arc::new(MemoryProducer::default());
    producer.create_topic("t", PARTITIONS);
    let pipeline = stamping(&producer, &Limits::default());
    put(&pipeline, 412);
    let mut own = of_tenant(1);
    own.headers.push(Header {
        name: STAMP.into(),
        value: Some(Bytes::from_static(b"mine")),
    });
    let records = vec![
        Ok(of_tenant(0)),
        Ok(own),
        parsed(&Plan::NoKey, 0, 2),
        parsed(&Plan::Explicit(2), 0, 3),
        Ok(of_tenant(4)),
    ];
    let submitted = pipeline.submit(records, None, WAITED).await.expect("taken");
    submitted.batch.done().await;
    let none: &[&str] = &[];
    let mut found: Vec<(String, Vec<String>)> = producer
        .log()
        .iter()
        .map(|(_, record)| String::from_utf8_lossy(record.value.as_deref().expect("a value")).into_owned())
        .zip(stamps(&producer))
        .collect();
    found.sort();
    let found: Vec<Vec<String>> = found.into_iter().map(|(_, stamps)| stamps).collect();
    assert_eq!(found, [&["412"], &["mine", "412"][..], none, none, &["412"]]);
    let nothing_held = pipeline.admission.queued_records() == 0 && pipeline.is_empty();
    assert!(nothing_held, "what was taken for the stamps is given back");
}

#[tokio::test]
async fn a_record_that_is_resolved_again_has_the_newer_tables_version_only() {
    let producer = Arc::new(MemoryProducer::default());
    producer.create_topic("t", PARTITIONS);
    let pipeline = stamping(&producer, &Limits::default());
    put(&pipeline, 9);
    let mut routed = pipeline.decide(vec![Ok(of_tenant(0))], false).await.expect("decided");
    routed.resolve(&pipeline.tenants).expect("a table");
    put(&pipeline, 10);
    let room = pipeline.make_room(&mut routed, &mut None).await.expect("room");
    let submitted = pipeline.hand_over(routed, room, AckMode::Waited).await;
    submitted.batch.done().await;
    assert_eq!(stamps(&producer), [["10"]]);
}

#[tokio::test]
async fn a_trace_names_the_table_that_was_acted_on_even_if_another_came_meanwhile() {
    let producer = Arc::new(MemoryProducer::default());
    producer.create_topic("t", PARTITIONS);
    let pipeline = stamping(&producer, &Limits::default());
    // The topic lacks that partition, so the first table refuses the record; it stays refused.
    for (first, acted_on) in [(2, 10), (PARTITIONS, 9)] {
        put_at(&pipeline, 9, first);
        let mut routed = pipeline.decide(vec![Ok(of_tenant(0))], true).await.expect("decided");
        routed.resolve(&pipeline.tenants).expect("a table");
        put(&pipeline, 10);
        let room = pipeline.make_room(&mut routed, &mut None).await.expect("room");
        let submitted = pipeline.hand_over(routed, room, AckMode::Waited).await;
        submitted.batch.done().await;
        let tenant = submitted.trace.as_ref().and_then(|trace| trace.of(0).tenant);
        let row = tenant.and_then(|tenant| tenant.row).expect("a row");
        assert_eq!((row.version, row.status), (acted_on, "tail"));
    }
}

#[tokio::test]
async fn a_stamp_is_counted_before_room_is_taken_and_never_makes_a_record_too_large_for_the_producer() {
    let producer = Arc::new(MemoryProducer::default());
    producer.create_topic("t", PARTITIONS);
    let mut pipeline = stamping(&producer, &Limits::default());
    put(&pipeline, 7);
    let record = of_tenant(0);
    let mut taken = [0; 2];
    for (stamps, taken) in [false, true].into_iter().zip(&mut taken) {
        pipeline.stamps = stamps;
        let routed = pipeline.decide(vec![Ok(record.clone())], false).await.expect("decided");
        *taken = routed.loads().iter().map(|load| load.bytes).sum::<usize>();
    }
    assert!(taken[1] >= taken[0] + STAMP.len() + 20, "{taken:?}");
    // A record that just fits by itself.
    let mut large = record;
    large.value = Some(Bytes::from(vec![0; 1]));
    let rest = MAX_RECORD_BYTES - large.wire_size();
    large.value = Some(Bytes::from(vec![0; 1 + rest]));
    for (stamps, kind) in [(false, Kind::Acked), (true, Kind::Rejected)] {
        pipeline.stamps = stamps;
        let submitted = pipeline
            .submit(vec![Ok(large.clone())], None, WAITED)
            .await
            .expect("taken");
        submitted.batch.done().await;
        let outcome = submitted.batch.outcome(0).expect("an outcome");
        assert_eq!(outcome.kind(), kind);
        if let Some(error) = outcome.error() {
            assert_eq!(error.code, Code::RecordTooLarge);
            assert!(
                error.message.contains("with its header pointsman-route"),
                "{}",
                error.message
            );
        }
    }
}
