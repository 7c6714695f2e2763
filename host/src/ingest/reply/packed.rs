//! Outcomes in the form of packed records: `application/vnd.pointsman.records`. docs/packed-records.md has the layout.

use super::told::Told;
use crate::base::outcome::{Ack, Outcome};

/// The first bytes of a reply; the last of them is the version of the layout.
const MAGIC: [u8; 4] = *b"PMO\x01";
/// Bytes of a reply before its first outcome.
const HEAD: usize = 16;
/// Bytes of an outcome; an outcome `acked` has no more.
const OUTCOME: usize = 28;
/// Bytes that an error adds, about.
const ERROR: usize = 128;

const IS_LATE: u8 = 1;
const HAS_ERROR: u8 = 2;
const HAS_PLUGIN: u8 = 4;

/// A whole reply. `accepted` is the number of records that were taken and have no outcome in this reply.
pub(super) fn body<'o>(generation: u32, accepted: usize, outcomes: impl Iterator<Item = Told<'o>>) -> Vec<u8> {
    let mut body = Vec::with_capacity(HEAD + outcomes.size_hint().0 * OUTCOME);
    body.extend_from_slice(&MAGIC);
    write_u32(&mut body, generation as usize);
    write_u32(&mut body, accepted);
    // Reserved for the count, which is written at the end.
    write_u32(&mut body, 0);
    let mut count = 0_u32;
    for told in outcomes {
        write(&mut body, &told);
        count += 1;
    }
    body[HEAD - 4..HEAD].copy_from_slice(&count.to_le_bytes());
    body
}

fn write(body: &mut Vec<u8>, told: &Told<'_>) {
    let error = told.outcome.error();
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    let flags =
        flag(told.late, IS_LATE) | flag(error.is_some(), HAS_ERROR) | flag(told.traced.plugin.is_some(), HAS_PLUGIN);
    let ack = match told.outcome {
        Outcome::Acked(ack) => Some(*ack),
        Outcome::Rejected(_) | Outcome::Failed(_) | Outcome::Unknown(_) => None,
    };
    let number = |of: fn(Ack) -> Option<i64>| ack.and_then(of).unwrap_or(-1).to_le_bytes();
    write_u32(body, told.index);
    body.extend_from_slice(&[told.outcome.kind() as u8, flags, 0, 0]);
    // Kafka's partitions are numbers of 31 bits.
    body.extend_from_slice(&ack.map_or(-1, |ack| ack.partition as i32).to_le_bytes());
    body.extend_from_slice(&number(|ack| ack.offset));
    body.extend_from_slice(&number(|ack| ack.timestamp));
    if let Some(error) = error {
        body.reserve(ERROR);
        write_text(body, error.code.as_str());
        write_text(body, &error.message);
    }
    if let Some(plugin) = told.traced.plugin {
        write_text(body, plugin.name());
        write_text(body, plugin.digest());
    }
}

fn write_text(body: &mut Vec<u8>, text: &str) {
    write_u32(body, text.len());
    body.extend_from_slice(text.as_bytes());
}

fn write_u32(body: &mut Vec<u8>, number: usize) {
    // The number of records and the lengths of messages are bounded far below.
    body.extend_from_slice(&(number as u32).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*, sample::select};
    use serde_json::{Value, json};

    use super::{super::json_body, *};
    use crate::{
        base::outcome::{Code, RecordError},
        fuzzing::reference,
        pipeline::Traced,
    };

    fn outcome() -> impl Strategy<Value = Outcome> {
        let ack = (
            0..=i32::MAX.unsigned_abs(),
            option::of(0..=i64::MAX),
            option::of(0..=i64::MAX),
        );
        let error = || (select(Code::ALL), "\\PC{0,60}").prop_map(|(code, message)| RecordError::new(code, message));
        prop_oneof![
            3 => ack.prop_map(|(partition, offset, timestamp)| Outcome::Acked(Ack { partition, offset, timestamp })),
            1 => error().prop_map(Outcome::Rejected),
            1 => error().prop_map(Outcome::Failed),
            1 => error().prop_map(Outcome::Unknown),
        ]
    }

    fn told(outcomes: &[(Outcome, bool)]) -> impl Iterator<Item = Told<'_>> {
        let told = outcomes.iter().enumerate();
        told.map(|(index, (outcome, late))| Told {
            index,
            outcome,
            late: *late,
            traced: Traced::default(),
        })
    }

    /// What a client has read, in the form of the JSON reply.
    fn as_json(reply: &reference::Reply) -> Value {
        let records = reply.outcomes.iter().map(|told| {
            let mut record = match &told.error {
                Some((code, message)) => json!({ "error": { "code": code, "message": message } }),
                None => json!({ "partition": told.partition, "offset": told.offset, "timestamp": told.timestamp }),
            };
            record["outcome"] = told.outcome.into();
            if told.late {
                record["late"] = true.into();
            }
            record
        });
        json!({ "generation": reply.generation, "records": records.collect::<Vec<_>>() })
    }

    proptest! {
        #[test]
        fn packed_outcomes_say_what_json_says(
            generation in any::<u32>(),
            outcomes in vec((outcome(), any::<bool>()), 0..20),
        ) {
            let reply = reference::unpack(&body(generation, 0, told(&outcomes))).expect("a reply");
            let json: Value = serde_json::from_slice(&json_body(generation, told(&outcomes))).expect("JSON");
            prop_assert_eq!(as_json(&reply), json);
            let places = reply.outcomes.iter().map(|told| told.index as usize);
            prop_assert!(places.eq(0..outcomes.len()));
        }
    }

    #[test]
    fn an_acked_record_takes_the_bytes_that_the_readme_says() {
        let acked = Outcome::Acked(Ack {
            partition: 3,
            offset: Some(0x0102),
            timestamp: None,
        });
        let outcomes = [(acked.clone(), true), (acked, false)];
        let body = body(7, 0, told(&outcomes));
        assert_eq!(body.len(), HEAD + 2 * OUTCOME);
        assert_eq!(&body[..HEAD], b"PMO\x01\x07\0\0\0\0\0\0\0\x02\0\0\0");
        let first = b"\0\0\0\0\0\x01\0\0\x03\0\0\0\x02\x01\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff";
        assert_eq!(&body[HEAD..HEAD + OUTCOME], first);
    }
}
