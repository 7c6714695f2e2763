//! What wit-bindgen makes of the interface. Private: a plugin sees only this crate's own types.

// Generated code crosses the boundary by raw pointers and carries its own comments.
#![allow(unsafe_code, missing_docs, unreachable_pub, clippy::all)]

wit_bindgen::generate!({
    // In a vendored copy of this crate, too, the interface is two folders up.
    path: "../../wit",
    world: "plugin-batch",
    pub_export_macro: true,
    export_macro_name: "__export_component",
    default_bindings_module: "pointsman_plugin::bindings",
});
