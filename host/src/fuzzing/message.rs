//! Messages of gRPC.

use std::sync::Arc;

use bytes::Bytes;
use pointsman_proto::v1;

use super::parsed::{TOPIC, is_slice, limits};
use crate::{
    config::Limits,
    ingest::{
        messages::{frame, record},
        parse::Memory,
    },
};

/// Checks that a message never takes more than it was weighed to take, that keys and values are its own bytes, and that both
/// kinds of requests are read alike.
pub fn message(data: &[u8]) {
    let (body, limits) = (Bytes::copy_from_slice(data), limits(data));
    if let Ok((head, message)) = frame::only(&body, &limits) {
        assert_eq!(head.length, message.len());
        check(&message, &limits);
    }
    check(&body, &limits);
}

fn check(message: &Bytes, limits: &Limits) {
    let Ok(weight) = record::weigh(message, limits) else {
        return;
    };
    let produced = record::decode::<v1::ProduceRequest>(message.clone()).map(|request| request.records);
    let streamed = record::decode::<v1::StreamRequest>(message.clone()).map(|request| request.records);
    for records in [produced, streamed].into_iter().flatten() {
        assert_eq!(records.len(), weight.items, "another number of records was weighed");
        assert!(decoded(&records) <= weight.bytes, "it takes more than was weighed");
        let memory = Memory::unbounded();
        let topic = Arc::from(TOPIC);
        let parsed = record::records(records, Some(&topic), &memory);
        let errors = parsed.iter().filter_map(|record| record.as_ref().err());
        let said: usize = errors.map(|error| 3 * error.message.len()).sum();
        assert!(
            memory.used() <= weight.bytes + said,
            "records take more than was weighed"
        );
        for record in parsed.iter().flatten() {
            let headers = record.headers.iter().map(|header| &header.value);
            for bytes in [&record.key, &record.value].into_iter().chain(headers).flatten() {
                assert!(is_slice(bytes, message), "a copy");
            }
        }
    }
}

/// What decoded records take beside their message, at least.
fn decoded(records: &Vec<v1::Record>) -> usize {
    let inside = records.iter().map(|record| {
        let names = record.headers.iter().map(|header| header.name.capacity());
        record.topic.capacity() + record.headers.capacity() * size_of::<v1::Header>() + names.sum::<usize>()
    });
    records.capacity() * size_of::<v1::Record>() + inside.sum::<usize>()
}
