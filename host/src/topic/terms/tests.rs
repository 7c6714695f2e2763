use std::sync::Arc;

use bytes::Bytes;

use super::{
    lessons::{EPISODE, LESSON},
    *,
};

const NOW_MS: i64 = 1_800_000_000_000;

fn destination(bytes: u32, keyed: bool, ahead_ms: Option<i64>) -> Destination {
    Destination {
        topic: 0,
        partition: 0,
        bytes,
        held: bytes,
        keyed,
        timestamp: ahead_ms.map(|ms| NOW_MS + ms),
    }
}

fn record(key: bool, value: usize, ahead_ms: Option<i64>) -> Record {
    Record {
        topic: Arc::from("t"),
        key: key.then(|| Bytes::from_static(b"k")),
        value: Some(Bytes::from(vec![0; value])),
        headers: Vec::new(),
        partition: None,
        timestamp: ahead_ms.map(|ms| now_ms() + ms),
        schema: None,
    }
}

fn refused(terms: &Terms, record: &Record) -> Option<Code> {
    Some(terms.refuse("t", record, record.wire_size())?.code)
}

fn minutes(count: i64) -> Option<i64> {
    Some(count * 60_000)
}

#[test]
fn a_time_that_the_brokers_clock_might_find_out_of_bounds_is_refused_and_an_ordinary_one_is_not() {
    let terms = Terms::new(Rules::default());
    let code = |ahead| refused(&terms, &record(true, 1, ahead));
    // No settings are known, so the bound is the limit's hour less a minute.
    assert_eq!(
        (code(minutes(58)), code(minutes(60))),
        (None, Some(Code::TimestampOutOfRange))
    );
    assert_eq!(code(minutes(-1_000_000)), None, "most topics take any time in the past");
    assert_eq!(code(None), None);
    terms.configure(TopicSettings {
        ahead_ms: minutes(10),
        behind_ms: minutes(60),
        ..TopicSettings::default()
    });
    assert_eq!(
        (code(minutes(8)), code(minutes(10))),
        (None, Some(Code::TimestampOutOfRange))
    );
    // The record may be on its way for two minutes.
    assert_eq!(
        (code(minutes(-56)), code(minutes(-58))),
        (None, Some(Code::TimestampOutOfRange))
    );
    terms.configure(TopicSettings::default());
    assert_eq!(code(minutes(1_000_000)), None, "a topic that takes any time");
    let extreme = Record {
        timestamp: Some(i64::MAX),
        ..record(true, 1, None)
    };
    assert_eq!(refused(&terms, &extreme), None);
}

#[test]
fn a_record_that_fits_to_the_byte_is_taken_and_with_compression_the_broker_decides() {
    let settings = TopicSettings {
        max_batch_bytes: Some(record(true, 500, None).batch_size()),
        needs_key: true,
        ..TopicSettings::default()
    };
    let mut rules = Rules::default();
    let terms = Terms::new(rules);
    assert!(
        terms.configure(settings) && !terms.configure(settings),
        "a change is reported once"
    );
    assert_eq!(refused(&terms, &record(true, 500, None)), None);
    assert_eq!(refused(&terms, &record(true, 501, None)), Some(Code::RecordTooLarge));
    assert_eq!(refused(&terms, &record(false, 1, None)), Some(Code::KeyRequired));
    rules.packing.compresses = true;
    let terms = Terms::new(rules);
    terms.configure(settings);
    assert_eq!(refused(&terms, &record(true, 5_000, None)), None);
}

#[test]
fn a_refusal_closes_the_topic_for_records_like_it_only_and_not_for_ever() {
    let (terms, start) = (Terms::new(Rules::default()), Instant::now());
    assert_eq!(
        terms.learn(Code::InvalidRecord, destination(100, false, None), start, NOW_MS),
        Learned::New
    );
    assert_eq!(
        terms.learn(Code::InvalidRecord, destination(100, false, None), start, NOW_MS),
        Learned::Known
    );
    assert_eq!(
        terms.learn(Code::RecordTooLarge, destination(8_000, true, None), start, NOW_MS),
        Learned::New
    );
    assert_eq!(
        terms.learn(
            Code::TimestampOutOfRange,
            destination(100, true, minutes(30)),
            start,
            NOW_MS
        ),
        Learned::New
    );
    assert_eq!(refused(&terms, &record(false, 1, None)), Some(Code::KeyRequired));
    assert_eq!(refused(&terms, &record(true, 7_900, None)), Some(Code::RecordTooLarge));
    assert_eq!(
        refused(&terms, &record(true, 1, minutes(30))),
        Some(Code::TimestampOutOfRange)
    );
    for honest in [
        record(true, 100, None),
        record(true, 1, minutes(20)),
        record(true, 1, minutes(-20)),
    ] {
        assert_eq!(refused(&terms, &honest), None, "{honest:?}");
    }
    let mut known = terms.known();
    known.forget_old(start + LESSON);
    terms.publish(&known);
    drop(known);
    for again in [
        record(false, 1, None),
        record(true, 8_000, None),
        record(true, 1, minutes(30)),
    ] {
        assert_eq!(refused(&terms, &again), None, "{again:?}");
    }
}

#[test]
fn a_client_that_stays_just_within_the_bound_cannot_cause_many_refusals() {
    let (terms, now) = (Terms::new(Rules::default()), Instant::now());
    let mut tries = 0;
    // Each record is just within the bound.
    while terms.ahead_ms.load(Relaxed) > EARLY_MS {
        let ahead = terms.ahead_ms.load(Relaxed);
        terms.learn(
            Code::TimestampOutOfRange,
            destination(100, true, Some(ahead)),
            now,
            NOW_MS,
        );
        tries += 1;
    }
    assert!(tries <= 7, "{tries} batches spoiled");
    let mut tries = 0;
    while terms.refused_bytes.load(Relaxed) > 2 * SMALL {
        let bytes = terms.refused_bytes.load(Relaxed).min(1_000_000) - 1;
        terms.learn(Code::RecordTooLarge, destination(bytes as u32, true, None), now, NOW_MS);
        tries += 1;
    }
    assert!(tries <= 24, "{tries} batches spoiled");
}

#[test]
fn what_was_written_before_is_never_the_reason_for_a_refusal() {
    let (terms, now) = (Terms::new(Rules::default()), Instant::now());
    terms.took(destination(5_000, false, None));
    assert_eq!(
        terms.learn(Code::InvalidRecord, destination(100, false, None), now, NOW_MS),
        Learned::Nothing
    );
    assert!(
        terms
            .blame(Code::InvalidRecord, &[destination(100, false, None)], NOW_MS)
            .is_empty()
    );
    assert!(
        terms
            .blame(Code::RecordTooLarge, &[destination(5_000, true, None); 3], NOW_MS)
            .is_empty()
    );
    // The batch has too many small records, so batches get smaller, step by step.
    assert_eq!(terms.quota_bytes(), usize::MAX);
    assert_eq!(
        terms.learn(Code::BatchTooLarge, destination(100, true, None), now, NOW_MS),
        Learned::New
    );
    assert_eq!(
        terms.learn(Code::BatchTooLarge, destination(100, true, None), now, NOW_MS),
        Learned::Known
    );
    assert_eq!(terms.quota_bytes(), 500_000 - BATCH_HEADER);
    let mut later = now;
    let mut last = Learned::New;
    while last == Learned::New {
        later += EPISODE;
        last = terms.learn(Code::BatchTooLarge, destination(100, true, None), later, NOW_MS);
    }
    assert_eq!((last, terms.quota_bytes()), (Learned::Nothing, 5_000));
    assert_eq!(
        refused(&terms, &record(true, 900_000, None)),
        None,
        "no record is refused for the size of batches"
    );
}

#[test]
fn the_record_that_differs_is_to_blame_for_a_refused_batch() {
    let terms = Terms::new(Rules::default());
    let honest = [
        destination(100, true, None),
        destination(200, true, minutes(-1_000)),
        destination(100, true, Some(-5)),
    ];
    let blamed = |code, guilty: Destination| {
        let destinations: Vec<_> = honest.into_iter().chain([guilty]).collect();
        terms.blame(code, &destinations, NOW_MS)
    };
    assert_eq!(
        blamed(Code::TimestampOutOfRange, destination(100, true, minutes(30))),
        [3]
    );
    assert_eq!(
        blamed(Code::TimestampOutOfRange, destination(100, true, minutes(-2_000))),
        [3]
    );
    assert_eq!(blamed(Code::InvalidRecord, destination(100, false, None)), [3]);
    assert_eq!(blamed(Code::RecordTooLarge, destination(9_000, true, None)), [3]);
    assert_eq!(
        blamed(Code::InvalidRecord, destination(100, true, None)),
        [0; 0],
        "no record differs"
    );
    assert_eq!(
        blamed(Code::RecordTooLarge, destination(900, true, None)),
        [0; 0],
        "too small to be the reason"
    );
    let many = [destination(1_500, true, None); 10];
    assert_eq!(
        terms.blame(Code::RecordTooLarge, &many, NOW_MS),
        [0; 0],
        "there are too many of them"
    );
    let known = Terms::new(Rules::default());
    known.configure(TopicSettings {
        max_batch_bytes: Some(10_000),
        ..TopicSettings::default()
    });
    let two = [destination(9_900, true, None), destination(200, true, None)];
    assert_eq!(
        known.blame(Code::RecordTooLarge, &two, NOW_MS),
        [0; 0],
        "it would fit alone"
    );
    let ordinary = [destination(100, true, None), destination(100, true, Some(-5))];
    let clocks = terms.blame(Code::TimestampOutOfRange, &ordinary, NOW_MS);
    assert_eq!(clocks, [0; 0], "the clocks differ, so the topic is closed");
}

#[test]
fn no_partition_holds_more_than_a_batch_where_the_topic_takes_less_than_the_producer_packs() {
    let terms = Terms::new(Rules::default());
    let configured = |bytes| {
        terms.configure(TopicSettings {
            max_batch_bytes: Some(bytes),
            ..TopicSettings::default()
        });
        terms.quota_bytes()
    };
    assert_eq!(configured(1_048_588), usize::MAX);
    assert_eq!(configured(100_000), 100_000 - BATCH_HEADER);
    assert_eq!(configured(10), 0);
}
