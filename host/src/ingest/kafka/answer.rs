//! Writes answers. Each function makes one whole frame.

use anyhow::Context as _;
use bytes::{BufMut as _, Bytes, BytesMut};
use kafka_protocol::{
    ResponseError as Kafka,
    messages::{
        ApiVersionsResponse, BrokerId, FetchResponse, FindCoordinatorResponse, InitProducerIdResponse,
        MetadataResponse, ProduceResponse, ProducerId, ResponseHeader, SaslAuthenticateResponse, SaslHandshakeResponse,
        TopicName,
        api_versions_response::ApiVersion,
        fetch_response::{FetchableTopicResponse, PartitionData},
        metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic},
        produce_response::{BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse},
    },
    protocol::{Encodable, HeaderVersion, StrBytes},
};

use super::{
    api::Api,
    request::{AnswerTo, Fetch},
    told::Told,
};

/// This process in the answers: the only broker.
const NODE: BrokerId = BrokerId(0);
/// The mechanism of authentication.
pub(super) const PLAIN: &str = "PLAIN";
/// The lengths of a frame and its place.
const LENGTH: usize = 4;

/// A topic in an answer to Metadata.
pub(super) struct FoundTopic {
    pub(super) name: String,
    /// Why records cannot be sent there.
    pub(super) error: Option<Kafka>,
}

/// A topic in an answer to Produce: its partitions, each with what is told of its batch.
pub(super) struct ToldTopic {
    pub(super) name: String,
    pub(super) partitions: Vec<(i32, Told)>,
}

fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}

fn code(error: Option<Kafka>) -> i16 {
    error.map_or(0, |error| error.code())
}

/// A frame with this answer.
fn frame<A: Encodable + HeaderVersion>(to: AnswerTo, answer: &A) -> anyhow::Result<Bytes> {
    frame_in(to, to.version, answer)
}

fn frame_in<A: Encodable + HeaderVersion>(to: AnswerTo, version: i16, answer: &A) -> anyhow::Result<Bytes> {
    framed(to, A::header_version(version), |frame| answer.encode(frame, version))
}

/// A frame with what `body` puts there after the answer's head.
fn framed(
    to: AnswerTo,
    header_version: i16,
    body: impl FnOnce(&mut BytesMut) -> anyhow::Result<()>,
) -> anyhow::Result<Bytes> {
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    ResponseHeader::default()
        .with_correlation_id(to.correlation)
        .encode(&mut frame, header_version)
        .and_then(|()| body(&mut frame))
        .with_context(|| format!("the answer to {} cannot be written", to.api.as_str()))?;
    let length = i32::try_from(frame.len() - LENGTH).context("the answer is over 2 GiB")?;
    frame[..LENGTH].copy_from_slice(&length.to_be_bytes());
    Ok(frame.freeze())
}

/// Lists these requests. `newer`: the client asked by a version of the question that does not exist here.
pub(super) fn api_versions(to: AnswerTo, apis: impl Iterator<Item = Api>, newer: bool) -> anyhow::Result<Bytes> {
    let keys = apis.map(|api| {
        let (first, last) = api.listed();
        ApiVersion::default()
            .with_api_key(api.key())
            .with_min_version(first)
            .with_max_version(last)
    });
    let answer = ApiVersionsResponse::default()
        .with_api_keys(keys.collect())
        .with_error_code(code(newer.then_some(Kafka::UnsupportedVersion)));
    frame_in(to, if newer { 0 } else { to.version }, &answer)
}

/// This process leads `partitions` partitions of each topic that has no error, at this address. The topics are encoded one after the
/// other, since the fields of all partitions together take several times the bytes of the answer.
pub(super) fn metadata(
    to: AnswerTo,
    (host, port): (String, u16),
    topics: &[FoundTopic],
    partitions: i32,
) -> anyhow::Result<Bytes> {
    let answer = told_by(host, port);
    framed(to, MetadataResponse::header_version(to.version), |frame| {
        let begins = frame.len();
        answer.encode(frame, to.version)?;
        // The list of topics is empty so far, and stands before these fields.
        let (count, after) = match to.version {
            ..=7 => (4, 0),
            8 => (4, 4),
            9..=10 => (1, 5),
            11.. => (1, 1),
        };
        let after = frame.split_off((frame.len() - after).max(begins));
        frame.truncate((frame.len() - count).max(begins));
        put_count(frame, topics.len(), to.version)?;
        for topic in topics {
            found(topic, partitions).encode(frame, to.version)?;
        }
        frame.extend_from_slice(&after);
        Ok(())
    })
}

/// An answer without topics.
fn told_by(host: String, port: u16) -> MetadataResponse {
    let broker = MetadataResponseBroker::default()
        .with_node_id(NODE)
        .with_host(text(host))
        .with_port(port.into());
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_cluster_id(Some(text("pointsman")))
        .with_controller_id(NODE)
}

/// The length of a list of Metadata's, whose flexible form begins with version 9.
fn put_count(frame: &mut BytesMut, count: usize, version: i16) -> anyhow::Result<()> {
    if version < 9 {
        frame.put_i32(i32::try_from(count)?);
        return Ok(());
    }
    let mut left = u32::try_from(count + 1)?;
    while left >= 0x80 {
        frame.put_u8(left as u8 | 0x80);
        left >>= 7;
    }
    frame.put_u8(left as u8);
    Ok(())
}

fn found(topic: &FoundTopic, partitions: i32) -> MetadataResponseTopic {
    let count = if topic.error.is_some() { 0 } else { partitions };
    let partitions = (0..count).map(|partition| {
        MetadataResponsePartition::default()
            .with_partition_index(partition)
            .with_leader_id(NODE)
            .with_replica_nodes(vec![NODE])
            .with_isr_nodes(vec![NODE])
    });
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(text(topic.name.as_str()))))
        .with_error_code(code(topic.error))
        .with_partitions(partitions.collect())
}

/// `no_offset`: what stands where an offset would be.
pub(super) fn produce(to: AnswerTo, topics: Vec<ToldTopic>, no_offset: i64) -> anyhow::Result<Bytes> {
    let responses = topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|(partition, told)| {
            let records = told.records.into_iter().map(|(index, message)| {
                BatchIndexAndErrorMessage::default()
                    .with_batch_index(i32::try_from(index).unwrap_or(i32::MAX))
                    .with_batch_index_error_message(Some(text(message)))
            });
            PartitionProduceResponse::default()
                .with_index(partition)
                .with_error_code(code(told.error))
                .with_base_offset(no_offset)
                // As of a log from whose beginning nothing was removed.
                .with_log_start_offset(0)
                .with_record_errors(records.collect())
                .with_error_message(told.error.map(|_| text(told.message)))
        });
        TopicProduceResponse::default()
            .with_name(TopicName(text(topic.name)))
            .with_partition_responses(partitions.collect())
    });
    frame(to, &ProduceResponse::default().with_responses(responses.collect()))
}

/// A new producer id; or why there is none.
pub(super) fn init_producer_id(to: AnswerTo, id: Result<i64, Kafka>) -> anyhow::Result<Bytes> {
    let answer = match id {
        Ok(id) => InitProducerIdResponse::default()
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(0),
        Err(error) => InitProducerIdResponse::default()
            .with_error_code(error.code())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1),
    };
    frame(to, &answer)
}

/// Nothing can be read here. Each partition is refused by itself: librdkafka does not look at an error for all.
pub(super) fn fetch(to: AnswerTo, request: &Fetch) -> anyhow::Result<Bytes> {
    let topics = request.topics.iter().map(|(name, partitions)| {
        let partitions = partitions.iter().map(|partition| {
            PartitionData::default()
                .with_partition_index(*partition)
                .with_error_code(Kafka::TopicAuthorizationFailed.code())
                .with_high_watermark(-1)
        });
        FetchableTopicResponse::default()
            .with_topic(TopicName(text(name.as_str())))
            .with_partitions(partitions.collect())
    });
    frame(to, &FetchResponse::default().with_responses(topics.collect()))
}

/// There is no coordinator.
pub(super) fn no_coordinator(to: AnswerTo, error: Kafka, message: &str) -> anyhow::Result<Bytes> {
    let answer = FindCoordinatorResponse::default()
        .with_error_code(error.code())
        .with_error_message(Some(text(message)))
        .with_node_id(BrokerId(-1));
    frame(to, &answer)
}

pub(super) fn sasl_handshake(to: AnswerTo, error: Option<Kafka>) -> anyhow::Result<Bytes> {
    let answer = SaslHandshakeResponse::default()
        .with_error_code(code(error))
        .with_mechanisms(vec![text(PLAIN)]);
    frame(to, &answer)
}

/// The error has a message for people.
pub(super) fn sasl_authenticate(to: AnswerTo, error: Option<(Kafka, &str)>) -> anyhow::Result<Bytes> {
    let answer = SaslAuthenticateResponse::default()
        .with_error_code(code(error.map(|(error, _)| error)))
        .with_error_message(error.map(|(_, message)| text(message)));
    frame(to, &answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_that_are_encoded_one_by_one_stand_where_every_version_of_metadata_has_them() {
        let (first, last) = Api::Metadata.versions();
        for version in first..=last {
            let to = AnswerTo {
                api: Api::Metadata,
                version,
                correlation: 7,
            };
            for count in [0, 1, 2, 126, 127, 128, 300] {
                let topic = |n| FoundTopic {
                    name: format!("topic-{n}"),
                    error: (n == 1).then_some(Kafka::UnknownTopicOrPartition),
                };
                let topics: Vec<_> = (0..count).map(topic).collect();
                let whole = told_by("127.0.0.1".to_owned(), 9092)
                    .with_topics(topics.iter().map(|topic| found(topic, 3)).collect());
                let one_by_one = metadata(to, ("127.0.0.1".to_owned(), 9092), &topics, 3).expect("an answer");
                assert_eq!(
                    one_by_one,
                    frame(to, &whole).expect("an answer"),
                    "version {version}, {count} topics"
                );
            }
        }
    }
}
