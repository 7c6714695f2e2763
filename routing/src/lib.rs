//! The routing table: which partitions a tenant's records go to.
//!
//! | | |
//! |---|---|
//! | [`row`] | a row: a tenant of a topic, its slots, and a move that it is in |
//! | [`document`] | the table as JSON: how a file has it, and what stores keep |
//! | [`table`] | the table in memory: immutable, fast to look up; a change copies only the part that it touches |
//! | [`rules`] | what each row, and all rows together, must keep |
//! | [`change`] | changes: what they do to the table, and whether they leave every record where it is |
//! | [`hold`] | a sidecar's half of a move: when nothing by the old assignment is under way any more |
//! | [`murmur2`] | the hash that decides about slots, which is that of Kafka's Java client |
//!
//! A tenant's row has slots, each with a partition. One slot means that all records of the tenant go there. With more,
//! the hash of a record's shard key picks one. The row of tenant `*`, the tail, places all tenants without a row of
//! their own, by the hash of their names.
//!
//! All of it is plain data: no clock, no thread, no I/O.

pub mod change;
pub mod document;
pub mod hold;
pub mod murmur2;
pub mod row;
pub mod rules;
pub mod table;

pub use self::{
    change::{Change, Refused},
    document::{Document, Head, TableError},
    row::{Move, OrderClass, Past, Phase, Row, Status, TAIL},
    table::{Found, Hashing, Resolved, Table, Target, TopicTable},
};
