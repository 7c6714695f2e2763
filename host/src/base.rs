//! What every room uses and what uses none of them: plain data, and small tools.
//!
//! [`record`] is what passes through all stages, [`outcome`] what becomes of it. [`metrics`] counts, [`back_off`] says how long what
//! fails is left alone, [`text`] bounds and escapes what others have written, [`token`] compares secrets, [`murmur2`] is Kafka's hash of
//! a key.

pub mod back_off;
pub(crate) mod clock;
pub mod metrics;
pub mod murmur2;
pub mod outcome;
pub mod record;
pub mod text;
pub(crate) mod token;
