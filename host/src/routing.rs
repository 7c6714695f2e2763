//! Which topics there are, and who decides about the partition of a record.
//!
//! [`topics`] is the directory of known topics. [`route`] has the table of `[[route]]`s and turns a plugin's decision
//! into a partition.

pub mod route;
pub mod topics;
