//! What a path of Dapr's API asks for.

use super::refusal::Refusal;

/// What a path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ingest) enum Asked<'h> {
    /// To publish the body as one event.
    Publish(Target<'h>),
    /// To publish the events of the body.
    Bulk(Target<'h>),
    /// What this sidecar is.
    Metadata,
    /// Whether it is well.
    Health,
    /// Anything else: the path behind the version.
    Else(&'h str),
}

/// What a call of Dapr's service over gRPC asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ingest) enum Called {
    Publish,
    /// By either of its names.
    Bulk,
    Metadata,
    Else,
}

impl Called {
    /// None for a path of another service.
    pub(in crate::ingest) fn of(path: &str) -> Option<Self> {
        Some(match path.strip_prefix("/dapr.proto.runtime.v1.Dapr/")? {
            "PublishEvent" => Self::Publish,
            "BulkPublishEvent" | "BulkPublishEventAlpha1" => Self::Bulk,
            "GetMetadata" => Self::Metadata,
            _ => Self::Else,
        })
    }
}

/// Where events are to go. Both names are as in the path: with its escapes, and perhaps empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ingest) struct Target<'h> {
    pubsub: &'h str,
    topic: &'h str,
}

impl<'h> Asked<'h> {
    /// None for a path that is not below a version of Dapr's API, such as `/v1.0` and `/v1.0-alpha1`.
    pub(in crate::ingest) fn of(path: &'h str) -> Option<Self> {
        let (stage, rest) = path.strip_prefix("/v1.0")?.split_once('/')?;
        if !stage.is_empty() && !stage.starts_with('-') {
            return None;
        }
        let (block, below) = rest.split_once('/').unwrap_or((rest, ""));
        Some(match (stage, block) {
            ("" | "-alpha1", "publish") => match below.strip_prefix("bulk/").filter(|target| target.contains('/')) {
                Some(target) => Self::Bulk(Target::of(target)),
                None if stage.is_empty() => Self::Publish(Target::of(below)),
                None => Self::Else(rest),
            },
            ("", "metadata") if below.is_empty() => Self::Metadata,
            ("", "healthz") if matches!(below, "" | "outbound") => Self::Health,
            _ => Self::Else(rest),
        })
    }
}

impl<'h> Target<'h> {
    fn of(path: &'h str) -> Self {
        let (pubsub, topic) = path.split_once('/').unwrap_or((path, ""));
        Self {
            pubsub,
            topic: topic.strip_suffix('/').unwrap_or(topic),
        }
    }

    /// The names of the component and of the topic, without escapes; as Dapr has it, 404 if one is empty.
    pub(super) fn names(self) -> Result<(String, String), Refusal> {
        let name = |escaped| unescaped(escaped).ok_or_else(Refusal::bad_escape);
        let (pubsub, topic) = (name(self.pubsub)?, name(self.topic)?);
        check_names(&pubsub, &topic)?;
        Ok((pubsub, topic))
    }
}

/// Neither name may be empty.
pub(super) fn check_names(pubsub: &str, topic: &str) -> Result<(), Refusal> {
    match (pubsub, topic) {
        ("", _) => Err(Refusal::no_pubsub()),
        (_, "") => Err(Refusal::no_topic(pubsub)),
        _ => Ok(()),
    }
}

/// A part of a path or query without its escapes, a plus for a blank included. None for an escape that is not one, and
/// for what is not UTF-8.
pub(super) fn unescaped(text: &str) -> Option<String> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        plain.push(match first {
            b'+' => b' ',
            b'%' => {
                let (digits, after) = rest.split_first_chunk::<2>()?;
                rest = after;
                let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                (digit(digits[0])? << 4) | digit(digits[1])?
            }
            &other => other,
        });
    }
    String::from_utf8(plain).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target<'h>(pubsub: &'h str, topic: &'h str) -> Target<'h> {
        Target { pubsub, topic }
    }

    #[test]
    fn a_path_means_what_it_means_to_dapr() {
        for (path, asked) in [
            ("/v1.0/publish/kafka/orders", Asked::Publish(target("kafka", "orders"))),
            ("/v1.0/publish/kafka/orders/", Asked::Publish(target("kafka", "orders"))),
            ("/v1.0/publish/kafka/a/b", Asked::Publish(target("kafka", "a/b"))),
            ("/v1.0/publish/kafka", Asked::Publish(target("kafka", ""))),
            ("/v1.0/publish//orders", Asked::Publish(target("", "orders"))),
            ("/v1.0/publish/bulk/orders", Asked::Publish(target("bulk", "orders"))),
            (
                "/v1.0/publish/bulk/kafka/orders",
                Asked::Bulk(target("kafka", "orders")),
            ),
            (
                "/v1.0-alpha1/publish/bulk/kafka/orders",
                Asked::Bulk(target("kafka", "orders")),
            ),
            ("/v1.0-alpha1/publish/kafka/orders", Asked::Else("publish/kafka/orders")),
            ("/v1.0/metadata", Asked::Metadata),
            ("/v1.0/metadata/key", Asked::Else("metadata/key")),
            ("/v1.0/healthz", Asked::Health),
            ("/v1.0/healthz/outbound", Asked::Health),
            ("/v1.0/state/store/key", Asked::Else("state/store/key")),
            (
                "/v1.0-beta1/workflows/dapr/x/start",
                Asked::Else("workflows/dapr/x/start"),
            ),
            ("/v1.0/", Asked::Else("")),
        ] {
            assert_eq!(Asked::of(path), Some(asked), "{path}");
        }
    }

    #[test]
    fn no_path_of_another_protocol_is_taken_for_dapr_s() {
        for path in [
            "/",
            "/v1.0",
            "/v1/records",
            "/v1.01/publish/a/b",
            "/v1.0x/publish/a/b",
            "/v2.0/publish/a/b",
        ] {
            assert_eq!(Asked::of(path), None, "{path}");
        }
    }

    #[test]
    fn a_name_is_unescaped_and_never_guessed() {
        assert_eq!(unescaped("a%2Fb+c%c3%a4").as_deref(), Some("a/b cä"));
        for broken in ["%", "%4", "%4g", "%+1", "%ff", "a%"] {
            assert_eq!(unescaped(broken), None, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "(/v1\\.0(-alpha1)?/(publish/)?(bulk/)?)?[/a-z%0-9+-]{0,20}") {
            if let Some(Asked::Publish(target) | Asked::Bulk(target)) = Asked::of(&path)
                && let Ok((pubsub, topic)) = target.names() {
                prop_assert!(!pubsub.is_empty() && !topic.is_empty());
            }
        }
    }
}
