//! The messages by which records come in over gRPC, made of the `.proto` files of this folder when it is built.
//!
//! Clients in other languages make their own code of the same files.

/// The files of Pointsman's own API, with what they import: a `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.binpb"));

/// Pointsman's own API: `pointsman/v1/ingest.proto`.
pub mod v1 {
    #![allow(
        missing_docs,
        reason = "the .proto file documents every message; what only serves Rust needs no words"
    )]
    include!(concat!(env!("OUT_DIR"), "/pointsman.v1.rs"));
}

/// Dapr's publish API, as far as it is here: `dapr/proto/runtime/v1/dapr.proto`.
pub mod dapr {
    #![allow(
        missing_docs,
        reason = "the .proto file documents every message; what only serves Rust needs no words"
    )]
    include!(concat!(env!("OUT_DIR"), "/dapr.proto.runtime.v1.rs"));
}
