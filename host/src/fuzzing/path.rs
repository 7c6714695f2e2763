//! Path, query and the name of a topic.

use hyper::Method;

use super::parsed::check_problem;
use crate::{base::record::valid_topic, ingest::target, produce::batch::AckMode};

/// Checks `METHOD path?query`: one path means one thing, and a valid topic is a name that leads to no other path.
pub fn path(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (method, rest) = text.split_once(' ').unwrap_or(("POST", &text));
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let Ok(method) = Method::from_bytes(method.as_bytes()) else {
        return;
    };
    if let Some(topic) = target::stream_topic(path) {
        assert_eq!(path, format!("/v1/topics/{topic}/stream"));
        check_topic(topic);
    }
    let target = match target::of(&method, path, query) {
        Ok(target) => target,
        Err(problem) => return check_problem(&problem),
    };
    assert_eq!(method, Method::POST);
    match target.topic {
        Some(topic) => {
            assert_eq!(path, format!("/v1/topics/{topic}/records"));
            check_topic(topic);
        }
        None => assert_eq!(path, "/v1/records"),
    }
    let mut expected = AckMode::Waited;
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        assert!(matches!(pair, "ack=all" | "ack=none"), "{pair}");
        expected = if pair == "ack=all" {
            AckMode::Waited
        } else {
            AckMode::Unwaited
        };
    }
    assert_eq!(target.ack, expected);
}

fn check_topic(topic: &str) {
    match valid_topic(topic) {
        Ok(()) => {
            assert!((1..=249).contains(&topic.len()) && topic != "." && topic != "..");
            assert!(!topic.contains(['/', '\\', '%', '\0']) && topic.is_ascii());
        }
        Err(message) => assert!(message.len() <= super::parsed::LONGEST_MESSAGE),
    }
}
