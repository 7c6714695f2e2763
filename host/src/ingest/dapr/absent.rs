//! Dapr's other APIs, which are not here: the answers are those of a Dapr for which no component of that kind is configured.

use hyper::StatusCode;

use super::refusal::{DaprCode, Refusal};
use crate::base::text::said;

/// Dapr's code over gRPC for what has none.
const GENERIC: &str = "ERROR";
const ONLY: &str = "of Dapr's APIs, this sidecar has only publish";

/// The answer to a path behind its version, such as `state/store/key`.
pub(super) fn refusal(path: &str) -> Refusal {
    let mut parts = path.split('/');
    let (block, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let name = said(name);
    let (status, code, message) = match block {
        "state" => (
            500,
            "ERR_STATE_STORE_NOT_CONFIGURED",
            format!("state store {name} is not configured"),
        ),
        "secrets" => (
            500,
            "ERR_SECRET_STORES_NOT_CONFIGURED",
            "secret store is not configured".to_owned(),
        ),
        "configuration" => (
            500,
            "ERR_CONFIGURATION_STORE_NOT_CONFIGURED",
            "configuration stores not configured".to_owned(),
        ),
        "lock" | "unlock" => (
            500,
            "ERR_LOCK_STORE_NOT_CONFIGURED",
            "lock store is not configured".to_owned(),
        ),
        "crypto" | "subtlecrypto" => (
            500,
            "ERR_CRYPTO_PROVIDERS_NOT_CONFIGURED",
            "crypto providers not configured".to_owned(),
        ),
        "bindings" => (
            500,
            "ERR_INVOKE_OUTPUT_BINDING",
            format!("error invoking output binding {name}: couldn't find output binding {name}"),
        ),
        "invoke" => (500, "ERR_DIRECT_INVOKE", "invoke API is not ready".to_owned()),
        "actors" => (
            400,
            "ERR_ACTOR_NO_PLACEMENT",
            "placement service is not configured".to_owned(),
        ),
        _ => (
            501,
            "ERR_API_UNIMPLEMENTED",
            "this API is currently not implemented".to_owned(),
        ),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::NOT_IMPLEMENTED);
    Refusal::new(status, DaprCode(code, GENERIC), format!("{message}; {ONLY}"))
}

/// The answer to a call of a method that is not here.
pub(super) fn method() -> Refusal {
    let code = DaprCode("ERR_API_UNIMPLEMENTED", GENERIC);
    Refusal::new(
        StatusCode::NOT_IMPLEMENTED,
        code,
        format!("this method is not here; {ONLY}"),
    )
}
