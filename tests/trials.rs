//! The proof: brokers and sidecars are killed, frozen, stopped and flooded under load, and everything is read back by
//! the Java client, which shares no code with what wrote it. Each record says which client sent it and its number, so
//! that what the clients were told can be compared with the topic.
//!
//! [`clients`] send and remember what they were told, [`checker`] compares, [`cluster`] is the cluster that they all
//! send to; each of the other modules is one kind of fault. A trial prints its figures, and how long it took until all
//! clients went on. [`raw`] is librdkafka without a sidecar, to compare with.
//!
//! `make test` runs short forms; `make chaos` runs the long ones, with `POINTSMAN_TRIALS=full`, and those that only
//! report.

mod brokers;
mod checker;
mod clients;
mod cluster;
mod held_tenants;
mod kafka_clients;
mod killed_sidecar;
mod moved_leaders;
mod overload;
mod proxied;
mod raw;
mod stopped_sidecar;
mod topics;

/// The value for `make test`, or the one for `make chaos`.
fn form<T>(short: T, full: T) -> T {
    if std::env::var_os("POINTSMAN_TRIALS").is_some_and(|form| form == "full") {
        full
    } else {
        short
    }
}
