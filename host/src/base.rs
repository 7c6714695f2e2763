//! What all other folders may use, and what uses none of them: plain data and small tools.
//!
//! [`record`] is what passes through all stages, [`outcome`] is what becomes of a record. [`metrics`] counts,
//! [`back_off`] says how long something that fails is left alone, [`text`] bounds and escapes text from outside,
//! [`token`] compares secrets, [`murmur2`] is Kafka's hash of a key.

pub mod back_off;
pub(crate) mod clock;
pub mod metrics;
pub mod outcome;
pub mod record;
pub mod text;
pub(crate) mod token;

pub use pointsman_routing::murmur2;
