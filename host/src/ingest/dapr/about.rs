//! What this sidecar says of itself to clients of Dapr.

use bytes::Bytes;
use pointsman_proto::dapr as runtime;
use serde::Serialize;

/// The version that is told.
const VERSION: &str = concat!("pointsman-", env!("CARGO_PKG_VERSION"));
/// The one component. Requests may call it by any name.
const COMPONENT: Component = Component {
    name: "pubsub",
    kind: "pubsub.kafka",
    version: "v1",
    capabilities: ["BULK_PUBLISH"],
};

/// A component as `GET /v1.0/metadata` tells it.
#[derive(Debug, Serialize)]
struct Component {
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    version: &'static str,
    capabilities: [&'static str; 1],
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

/// The same as a message.
pub(super) fn message(app: Option<&str>) -> runtime::GetMetadataResponse {
    let component = runtime::RegisteredComponents {
        name: COMPONENT.name.to_owned(),
        r#type: COMPONENT.kind.to_owned(),
        version: COMPONENT.version.to_owned(),
        capabilities: COMPONENT.capabilities.map(str::to_owned).to_vec(),
    };
    runtime::GetMetadataResponse {
        id: app.unwrap_or_default().to_owned(),
        registered_components: vec![component],
        extended_metadata: [("daprRuntimeVersion".to_owned(), VERSION.to_owned())].into(),
        runtime_version: VERSION.to_owned(),
    }
}
