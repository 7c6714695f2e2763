//! What the path of a call asks for.

use hyper::Method;

use crate::ingest::error::IngestError;

/// Where the records of a call go.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// The path's topic, not checked.
    pub(super) topic: &'a str,
    /// The partition of records that name none.
    pub(super) partition: Option<u32>,
}

/// Whether the path is one of Confluent's, or would be.
pub(in crate::ingest) fn is_below_topics(path: &str) -> bool {
    path.strip_prefix("/topics")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Errors: 404 for a path that is not there, 405 for a method other than POST.
pub(super) fn of<'a>(method: &Method, path: &'a str) -> Result<Target<'a>, IngestError> {
    let below = path.strip_prefix("/topics/").unwrap_or_default();
    let target = match below.split_once('/') {
        None if !below.is_empty() => Some(Target {
            topic: below,
            partition: None,
        }),
        None => None,
        Some((topic, rest)) => rest
            .strip_prefix("partitions/")
            .and_then(number)
            .map(|partition| Target {
                topic,
                partition: Some(partition),
            }),
    };
    match target {
        None => Err(IngestError::NotFound(
            "of Confluent's API, the sidecar has POST /topics/{topic} and POST /topics/{topic}/partitions/{partition}"
                .to_owned(),
        )),
        Some(_) if method != Method::POST => Err(IngestError::MethodNotAllowed("POST")),
        Some(target) => Ok(target),
    }
}

/// Rust's own parser would also take a sign.
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| !text.starts_with('+'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_means_one_thing() {
        let target = |path| of(&Method::POST, path).ok().map(|found| (found.topic, found.partition));
        assert_eq!(target("/topics/orders"), Some(("orders", None)));
        assert_eq!(target("/topics/orders/partitions/3"), Some(("orders", Some(3))));
        for path in [
            "/topics",
            "/topics/",
            "/topics/orders/",
            "/topics/orders/partitions",
            "/topics/orders/partitions/",
            "/topics/orders/partitions/+3",
            "/topics/orders/partitions/-1",
            "/topics/orders/partitions/4294967296",
            "/topics/orders/partitions/3/offsets",
        ] {
            assert!(is_below_topics(path), "{path}");
            assert_eq!(target(path), None, "{path}");
        }
        for other in ["/", "/v1/topics/orders/records", "/topicsx", "/topic"] {
            assert!(!is_below_topics(other), "{other}");
        }
    }

    #[test]
    fn only_a_path_that_is_there_is_refused_for_its_method() {
        let refusal = |path| of(&Method::GET, path).expect_err("a refusal");
        assert!(matches!(
            refusal("/topics/orders"),
            IngestError::MethodNotAllowed("POST")
        ));
        assert!(matches!(refusal("/topics"), IngestError::NotFound(_)));
    }
}
