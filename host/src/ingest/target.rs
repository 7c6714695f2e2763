//! What a path and its query ask for.

use hyper::Method;

use super::error::IngestError;
use crate::produce::batch::AckMode;

/// What a request with records asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// The path's topic, not checked. None: each record names its own.
    pub(crate) topic: Option<&'a str>,
    /// Whether outcomes are waited for.
    pub(crate) ack: AckMode,
}

/// Errors: 404 for a path that does not exist, 405 for a method other than POST, 400 for a query that cannot be read.
pub(crate) fn of<'a>(method: &Method, path: &'a str, query: Option<&str>) -> Result<Target<'a>, IngestError> {
    let topic = match path.strip_prefix("/v1/") {
        Some("records") => None,
        Some(rest) => match rest
            .strip_prefix("topics/")
            .and_then(|rest| rest.strip_suffix("/records"))
        {
            Some(topic) => Some(topic),
            None => return Err(not_found()),
        },
        None => return Err(not_found()),
    };
    if method != Method::POST {
        return Err(IngestError::MethodNotAllowed("POST"));
    }
    Ok(Target {
        topic,
        ack: ack_mode(query)?,
    })
}

/// The topic of `/v1/topics/{topic}/stream`.
pub(crate) fn stream_topic(path: &str) -> Option<&str> {
    path.strip_prefix("/v1/topics/")?.strip_suffix("/stream")
}

fn not_found() -> IngestError {
    IngestError::NotFound(
        "this is the ingest listener; it has POST /v1/topics/{topic}/records, POST /v1/records and \
         POST /v1/topics/{topic}/stream \
         (/ready, /metrics and the like are on the admin listener)"
            .to_owned(),
    )
}

fn ack_mode(query: Option<&str>) -> Result<AckMode, IngestError> {
    let mut ack = AckMode::Waited;
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        ack = match pair {
            "ack=all" => AckMode::Waited,
            "ack=none" => AckMode::Unwaited,
            other => {
                let shown: String = other.chars().take(64).collect();
                return Err(IngestError::BadQuery(format!(
                    "the query has \"{shown}\"; it may have ack=all or ack=none"
                )));
            }
        };
    }
    Ok(ack)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic_of(path: &str) -> Option<Option<&str>> {
        of(&Method::POST, path, None).ok().map(|target| target.topic)
    }

    #[test]
    fn a_path_means_one_thing() {
        assert_eq!(topic_of("/v1/topics/orders/records"), Some(Some("orders")));
        assert_eq!(topic_of("/v1/records"), Some(None));
        // This is not a topic, and is refused like a bad one.
        assert_eq!(topic_of("/v1/topics/../../etc/records"), Some(Some("../../etc")));
        for path in [
            "/",
            "/v1",
            "/v1/topics/orders",
            "/v2/records",
            "/v1/topics/orders/records/x",
        ] {
            assert_eq!(topic_of(path), None, "{path}");
        }
    }

    #[test]
    fn a_misspelt_ack_is_not_taken_for_the_default() {
        assert!(ack_mode(Some("ack=none")).is_ok_and(|ack| ack == AckMode::Unwaited));
        assert!(ack_mode(None).is_ok_and(|ack| ack == AckMode::Waited));
        for query in ["ack=1", "acks=none", "ack", "ack=none&x=1"] {
            assert!(ack_mode(Some(query)).is_err(), "{query}");
        }
    }
}
