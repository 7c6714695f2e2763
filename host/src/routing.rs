//! Which topic a record goes to, and who decides for it there.
//!
//! [`topics`] is the directory of the topics that are known; [`route`] has the table of `[[route]]`s and turns a plugin's decision into a
//! partition.

pub mod route;
pub mod topics;
