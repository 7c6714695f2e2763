//! The proof: brokers and sidecars are killed, frozen, stopped and flooded under load, and everything is read back by the
//! Java client, which shares no code with what wrote it. Each record says who sent it and as which one, so that what the
//! clients were told can be held against what is there.
//!
//! [`clients`] send and remember what they were told, [`checker`] compares, [`cluster`] is what they all send to; each of the
//! other modules is one kind of fault. A trial prints its figures, and how long it took until everybody went on.
//!
//! `make test` runs short forms; `make chaos` the long ones, by `POINTSMAN_TRIALS=full`.

mod brokers;
mod checker;
mod clients;
mod cluster;
mod killed_sidecar;
mod overload;
mod proxied;
mod stopped_sidecar;
mod topics;

/// The one for `make test`, or the one for `make chaos`.
fn form<T>(short: T, full: T) -> T {
    if std::env::var_os("POINTSMAN_TRIALS").is_some_and(|form| form == "full") {
        full
    } else {
        short
    }
}
