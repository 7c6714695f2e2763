//! From decoded messages to records. Keys, values and headers' values are slices of the message.

use std::sync::Arc;

use bytes::Bytes;
use pointsman_proto::v1;
use prost::Message;

use super::weight::{Field, Shape, Weight, invalid};
use crate::{
    admission::Reservation,
    base::{
        outcome::{Code, RecordError},
        record::{Header, Record, valid_topic},
    },
    config::Limits,
    ingest::{
        error::IngestError,
        parse::{MAX_HEADERS, Memory, malformed, memory::RECORD_BYTES, timestamp, too_many},
    },
    pipeline::Parsed,
};

/// What a header takes, decoded in a list that grows, and then as a record's.
const HEADER: usize = 2 * size_of::<v1::Header>() + size_of::<Header>() + 64;
/// What a record takes, decoded in a list that grows, and then as a record.
const RECORD: usize = 2 * size_of::<v1::Record>() + RECORD_BYTES;

const TEXT: Shape = Shape(&[(1, Field::Copied)]);

/// What `ProduceRequest` and `StreamRequest` take. Both have a topic as field 1, records as 2 and a number as 3 or 4.
const REQUEST: Shape = Shape(&[
    (1, Field::Copied),
    (
        2,
        Field::Counted(
            RECORD,
            &Shape(&[(1, Field::Copied), (4, Field::Repeated(HEADER, &TEXT))]),
        ),
    ),
    (3, Field::Repeated(0, &TEXT)),
    (4, Field::Repeated(0, &TEXT)),
]);

/// Weighs a request. 413 where it has more records than it may.
pub(crate) fn weigh(message: &[u8], limits: &Limits) -> Result<Weight, IngestError> {
    let weight = Weight::of(message, &REQUEST)?;
    match weight.items > limits.max_records {
        true => Err(too_many(limits)),
        false => Ok(weight),
    }
}

/// Decodes a message for which there is room.
pub(crate) fn decode<M: Message + Default>(message: Bytes) -> Result<M, IngestError> {
    M::decode(message).map_err(|error| invalid(&error))
}

/// Makes records, and counts what they take in `memory`.
pub(crate) fn records(given: Vec<v1::Record>, topic: Option<&Arc<str>>, memory: &Memory) -> Vec<Parsed> {
    let mut topics = Topics {
        default: topic,
        last: None,
    };
    let records = given.into_iter().map(|record| {
        let parsed = of(record, &mut topics);
        // The weight has room for all of it; only errors may take more, and they are counted here.
        let _ = memory.take_record(&parsed);
        parsed
    });
    records.collect()
}

/// Holds exactly what the records take beside `message` bytes, or says that there is no room.
pub(in crate::ingest) fn settle(held: &mut Reservation, message: usize, memory: &Memory) -> Result<(), IngestError> {
    match held.settle(message + memory.used()) {
        true => Ok(()),
        false => Err(IngestError::Busy(
            "there is no room for what is to be said of the request's records (limits.max_buffered_bytes); retry later"
                .to_owned(),
        )),
    }
}

fn of(given: v1::Record, topics: &mut Topics<'_>) -> Parsed {
    if given.headers.len() > MAX_HEADERS {
        return Err(malformed(format!(
            "a record has at most {MAX_HEADERS} headers, not {}",
            given.headers.len()
        )));
    }
    let headers = given.headers.into_iter().map(|header| {
        if header.name.contains('\0') {
            // librdkafka takes names as C strings.
            return Err(malformed("a header's name has a zero byte"));
        }
        Ok(Header {
            name: header.name.into(),
            value: header.value,
        })
    });
    let timestamp = match given.timestamp {
        None => None,
        Some(given) => match u64::try_from(given) {
            Ok(given) => Some(timestamp(given)?),
            Err(_) => {
                return Err(malformed(format!(
                    "timestamp is {given}; it is in milliseconds since 1970, and left out for now"
                )));
            }
        },
    };
    Ok(Record {
        headers: headers.collect::<Result<_, _>>()?,
        topic: topics.of(&given.topic)?,
        key: given.key,
        value: given.value,
        partition: given.partition,
        timestamp,
        schema: None,
    })
}

/// The topics of a request. Mostly a record has the topic of the one before.
struct Topics<'t> {
    /// The request's.
    default: Option<&'t Arc<str>>,
    last: Option<Arc<str>>,
}

impl Topics<'_> {
    fn of(&mut self, given: &str) -> Result<Arc<str>, RecordError> {
        match (self.default, &self.last) {
            (Some(default), _) if given.is_empty() || *given == **default => Ok(Arc::clone(default)),
            (Some(default), _) => Err(RecordError::new(
                Code::TopicMismatch,
                format!("the record names another topic than its request (\"{default}\"); leave out one of the two"),
            )),
            (None, Some(last)) if *given == **last => Ok(Arc::clone(last)),
            (None, _) if given.is_empty() => Err(malformed(
                "neither the record nor its request names a topic; set topic of one of them",
            )),
            (None, _) => match valid_topic(given) {
                Ok(()) => Ok(Arc::clone(self.last.insert(Arc::from(given)))),
                Err(problem) => Err(RecordError::new(Code::InvalidTopic, problem)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;
    use crate::fuzzing;

    fn bytes() -> impl Strategy<Value = Bytes> {
        vec(any::<u8>(), 0..12).prop_map(Bytes::from)
    }

    fn header() -> impl Strategy<Value = v1::Header> {
        ("[a-z\\x00é]{0,20}", option::of(bytes())).prop_map(|(name, value)| v1::Header { name, value })
    }

    fn record() -> impl Strategy<Value = v1::Record> {
        let parts = (
            "[a-z]{0,3}",
            option::of(bytes()),
            option::of(bytes()),
            vec(header(), 0..5),
        );
        (parts, option::of(0..9_u32), option::of(-2..9_i64)).prop_map(
            |((topic, key, value, headers), partition, timestamp)| v1::Record {
                topic,
                key,
                value,
                headers,
                partition,
                timestamp,
            },
        )
    }

    proptest! {
        #[test]
        fn a_record_has_what_its_message_has(records in vec(record(), 0..20)) {
            let memory = Memory::unbounded();
            let parsed = super::records(records.clone(), None, &memory);
            prop_assert_eq!(parsed.len(), records.len());
            for (given, parsed) in records.iter().zip(parsed) {
                let is_good = given.timestamp.is_none_or(|time| time > 0)
                    && !given.topic.is_empty()
                    && !given.headers.iter().any(|header| header.name.contains('\0'));
                prop_assert_eq!(parsed.is_ok(), is_good);
                let Ok(parsed) = parsed else { continue };
                prop_assert_eq!(&*parsed.topic, given.topic.as_str());
                prop_assert_eq!((&parsed.key, &parsed.value), (&given.key, &given.value));
                prop_assert_eq!((parsed.partition, parsed.timestamp), (given.partition, given.timestamp));
                let headers = parsed.headers.iter().map(|header| (&*header.name, &header.value));
                prop_assert!(headers.eq(given.headers.iter().map(|header| (&*header.name, &header.value))));
            }
        }

        #[test]
        fn whatever_a_message_has_it_takes_no_more_than_it_was_weighed_to_take(
            records in vec(record(), 0..20),
            changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let request = v1::ProduceRequest { topic: "t".to_owned(), records, ..Default::default() };
            let mut bytes = request.encode_to_vec();
            fuzzing::message(&bytes);
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
                fuzzing::message(&bytes);
            }
        }

        #[test]
        fn bytes_that_are_no_message_harm_nobody(bytes in vec(any::<u8>(), 0..300)) {
            fuzzing::message(&bytes);
        }
    }
}
