//! Records from clients that speak Kafka's own protocol.
//!
//! [`batch`] reads the record batches of a producer.

pub mod batch;
