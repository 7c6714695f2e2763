//! Numbered requests: each client's requests are taken in the order of their numbers, whatever connections they come
//! over, and a repeat is told the remembered outcomes.
//!
//! [`sequence`] decides which request may be taken, which waits and which is a repeat: it is plain data and never
//! waits. [`numbered`] uses it, waits, and hands over.

pub mod numbered;
pub mod sequence;
