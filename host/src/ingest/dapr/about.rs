//! What this sidecar says of itself to clients of Dapr.

use bytes::Bytes;
use serde::Serialize;

/// The version that is told.
pub(super) const VERSION: &str = concat!("pointsman-", env!("CARGO_PKG_VERSION"));
/// The one component. Requests may call it by any name.
pub(super) const COMPONENT: Component = Component {
    name: "pubsub",
    kind: "pubsub.kafka",
    version: "v1",
    capabilities: ["BULK_PUBLISH"],
};

/// A component as `GET /v1.0/metadata` tells it.
#[derive(Debug, Serialize)]
pub(super) struct Component {
    pub(super) name: &'static str,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) version: &'static str,
    pub(super) capabilities: [&'static str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct About<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    runtime_version: &'static str,
    components: [Component; 1],
    extended: Extended,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Extended {
    dapr_runtime_version: &'static str,
}

/// The answer to `GET /v1.0/metadata` of this application.
pub(super) fn document(app: Option<&str>) -> Bytes {
    let about = About {
        id: app,
        runtime_version: VERSION,
        components: [COMPONENT],
        extended: Extended {
            dapr_runtime_version: VERSION,
        },
    };
    serde_json::to_vec(&about).unwrap_or_default().into()
}
