//! Numbered requests: each client's requests are taken in the order of their numbers, over any connections, and a repeat is told
//! the outcomes that are remembered.
//!
//! [`sequence`] says what may be taken, what waits and what is a repeat: plain data, without a wait. [`numbered`] waits and hands over
//! around it.

pub mod numbered;
pub mod sequence;
