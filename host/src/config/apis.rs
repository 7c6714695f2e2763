//! `listen.apis`: the protocols that the HTTP listeners speak.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A protocol by which records come in over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ListenApi {
    /// The sidecar's own: `/v1/records`, `/v1/topics/{topic}/records` and `/v1/topics/{topic}/stream`.
    Native,
    /// gRPC: `pointsman.v1.IngestService`, health and reflection.
    Grpc,
    /// CloudEvents to `/v1/topics/{topic}/records`.
    #[serde(rename = "cloudevents")]
    CloudEvents,
    /// Dapr's publish API, over HTTP and gRPC.
    Dapr,
    /// The produce calls of Confluent's REST API, version 2.
    #[serde(rename = "confluent-v2")]
    ConfluentV2,
}

impl ListenApi {
    /// Those that are spoken unless the configuration says otherwise.
    pub const DEFAULT: [Self; 3] = [Self::Native, Self::Grpc, Self::CloudEvents];

    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Grpc => "grpc",
            Self::CloudEvents => "cloudevents",
            Self::Dapr => "dapr",
            Self::ConfluentV2 => "confluent-v2",
        }
    }
}

/// Which protocols are spoken.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Apis(Vec<ListenApi>);

impl Apis {
    /// Whether this one is spoken.
    pub fn have(&self, api: ListenApi) -> bool {
        self.0.contains(&api)
    }

    /// Whether none is spoken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Default for Apis {
    fn default() -> Self {
        Self(ListenApi::DEFAULT.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_has_one_name_wherever_it_is_told() {
        for api in [
            ListenApi::Native,
            ListenApi::Grpc,
            ListenApi::CloudEvents,
            ListenApi::Dapr,
            ListenApi::ConfluentV2,
        ] {
            assert_eq!(serde_json::to_value(api).expect("a text"), api.name());
        }
    }
}
