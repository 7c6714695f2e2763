//! The host's side of `wit/`, generated.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "plugin",
    // An import that is called where it has no meaning traps.
    imports: { default: trappable },
});
