//! What a client of Confluent's API is told of a call of which nothing was taken.

use bytes::Bytes;
use hyper::{Response, StatusCode, header::CONTENT_TYPE};
use serde::Serialize;

use super::reply::V2_JSON;
use crate::{base::outcome::Code, ingest::error::IngestError};

#[derive(Serialize)]
struct Document {
    error_code: u16,
    message: String,
}

/// The status and the headers of the sidecar's own API, unless the REST Proxy has others, with Confluent's document.
pub(in crate::ingest) fn of(error: &IngestError) -> Response<Bytes> {
    let problem = error.problem();
    let (status, error_code) = code(error, problem.status());
    let document = Document {
        error_code,
        message: format!("{}: {}", problem.code(), problem.detail()),
    };
    let mut response = problem.document();
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, V2_JSON);
    *response.body_mut() = Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
    response
}

/// The status, and `error_code`: the status again where `Errors` of kafka-rest and `KafkaExceptionMapper` of rest-utils
/// have no code for it.
fn code(error: &IngestError, status: StatusCode) -> (StatusCode, u16) {
    let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
    match error {
        IngestError::EmptyBody(_) | IngestError::InvalidMessage(_) => (unprocessable, unprocessable.as_u16()),
        IngestError::KafkaUnavailable(_) => (status, 50302),
        IngestError::Topic(refused) => match refused.code {
            Code::InvalidTopic => (status, 40002),
            Code::TopicUnauthorized => (status, 40301),
            Code::NoRoute | Code::UnknownTopic => (status, 40401),
            Code::PartitionOutOfRange => (status, 40402),
            _ => (status, status.as_u16()),
        },
        _ => (status, status.as_u16()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::outcome::RecordError;

    #[test]
    fn a_refusal_has_confluents_code_and_the_sidecars_own() {
        let topic = |code| IngestError::Topic(RecordError::new(code, "why"));
        let text = || "why".to_owned();
        for (error, status, error_code, message) in [
            (topic(Code::UnknownTopic), 404, 40401, "unknown_topic: why"),
            (topic(Code::NoRoute), 404, 40401, "no_route: why"),
            (
                topic(Code::PartitionOutOfRange),
                404,
                40402,
                "partition_out_of_range: why",
            ),
            (topic(Code::TopicUnauthorized), 403, 40301, "topic_unauthorized: why"),
            (topic(Code::InvalidTopic), 400, 40002, "invalid_topic: why"),
            (topic(Code::TooManyTopics), 503, 503, "too_many_topics: why"),
            (IngestError::EmptyBody(text()), 422, 422, "empty_body: why"),
            (IngestError::InvalidMessage(text()), 422, 422, "invalid_message: why"),
            (IngestError::BodyTooLarge(text()), 413, 413, "body_too_large: why"),
            (IngestError::BodyTimeout(text()), 408, 408, "body_timeout: why"),
            (
                IngestError::KafkaUnavailable(text()),
                503,
                50302,
                "kafka_unavailable: why; nothing was taken",
            ),
        ] {
            let response = of(&error);
            assert_eq!(response.status().as_u16(), status, "{error:?}");
            assert_eq!(response.headers()[CONTENT_TYPE], "application/vnd.kafka.v2+json");
            let document: serde_json::Value = serde_json::from_slice(response.body()).expect("JSON");
            let expected = serde_json::json!({ "error_code": error_code, "message": message });
            assert_eq!(document, expected);
        }
    }
}
