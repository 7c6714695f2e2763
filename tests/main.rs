//! The integration tests: the built binary, driven over its sockets, against the embedded broker and real Kafka.
//!
//! All tests are one binary, so that it links once. [`support`] builds the system under test; each module below tests
//! one promise.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that panics has said what it has to say, and shows the sidecar's log"
)]

mod abuse;
mod admin;
mod apis;
mod bad_input;
mod batches;
mod cloud_events;
mod command_line;
mod configuration;
mod configuration_tools;
mod confluent_v2;
mod dapr;
mod documentation;
mod drain;
mod foreign_records;
mod grpc;
mod hostile;
mod kafka_listener;
mod limits;
mod logging;
mod numbered;
mod numbered_clients;
mod openapi;
mod packed;
mod plugin_dev;
mod plugin_tools;
mod plugins;
mod real_kafka;
mod reload;
mod round_trip;
mod schemas;
mod shadow;
mod slow_broker;
mod stores;
mod storm;
mod stream;
mod structure;
mod tenants;
mod trials;

mod support {
    pub(crate) mod client_proxy;
    pub(crate) mod components;
    pub(crate) mod consumer;
    pub(crate) mod files;
    pub(crate) mod grpc;
    pub(crate) mod http;
    pub(crate) mod http2;
    pub(crate) mod kafka;
    pub(crate) mod kafka_client;
    pub(crate) mod kafka_proxy;
    pub(crate) mod kafka_wire;
    pub(crate) mod known_records;
    pub(crate) mod numbered;
    pub(crate) mod plugin_folder;
    pub(crate) mod proxy;
    pub(crate) mod records;
    pub(crate) mod redis;
    pub(crate) mod registry;
    pub(crate) mod routes_file;
    pub(crate) mod server;
    pub(crate) mod sidecar;
    pub(crate) mod stream;
    pub(crate) mod way;
    pub(crate) mod zookeeper;
}
