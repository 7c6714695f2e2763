//! Write a partitioner for Pointsman: code that decides, record by record, which partition of a Kafka topic a record
//! goes to. It runs inside Pointsman as a sandboxed WebAssembly component and can be replaced while records flow.
//!
//! This is a whole partitioner. It keeps the records of a region together; a record without a region goes by its key:
//!
//! ```
//! use pointsman_plugin::{Config, Decision, Partitioner, Record, export};
//!
//! struct ByRegion;
//!
//! impl Partitioner for ByRegion {
//!     fn configure(config: &Config) -> Result<Self, String> {
//!         config.expect_empty().map(|()| ByRegion)
//!     }
//!     fn partition(&mut self, record: &Record<'_>, _partitions: u32) -> Decision {
//!         record.header("region").map_or(Decision::Key, Decision::key_hash)
//!     }
//! }
//!
//! export!(ByRegion);
//!
//! // And this is a test of it. It needs no host: the record is given what it shall hold.
//! let mut partitioner = ByRegion::configure(&Config::empty()).unwrap();
//! let record = Record::builder("orders").key("o-17").header("region", "eu").build();
//! assert_eq!(partitioner.partition(&record, 12), Decision::key_hash("eu"));
//! ```
//!
//! # From nothing to a running one
//!
//! ```sh
//! pointsman plugin new by-region --lang rust      # a folder with a whole plugin in it
//! cargo test                                      # its tests, without a host
//! pointsman plugin build                          # dist/by-region.wasm
//! pointsman plugin test dist/by-region.wasm cases.toml
//! pointsman plugin check dist/by-region.wasm      # would a sidecar take it?
//! pointsman plugin bench dist/by-region.wasm      # what it costs, how it spreads
//! ```
//!
//! A crate with `crate-type = ["cdylib"]`, built for the target `wasm32-unknown-unknown`; `pointsman plugin build` does
//! that and turns the module into a component. Put into the plugin folder (`plugins.dir` of the
//! sidecar's configuration) and named in a route, it decides from the next record on, without a restart:
//!
//! ```toml
//! [[route]]
//! topics = ["orders"]
//! plugin = "by-region"
//! config = { header = "region" }     # what `configure` gets
//! on_error = "key-hash"              # what a record gets when the plugin traps; "reject" by default
//! ```
//!
//! # What a decision means
//!
//! | [`Decision`] | Where the record goes |
//! |---|---|
//! | [`Partition`](Decision::Partition) | there, if the topic has it; else the record is rejected |
//! | [`Key`](Decision::Key), [`KeyHash`](Decision::KeyHash) | where Java's default partitioner puts that key |
//! | [`Any`](Decision::Any) | wherever the host likes: one partition for a while, then another |
//! | [`Tenant`](Decision::Tenant) | where the routing table says; without one, by the hash of the tenant's name |
//! | [`Reject`](Decision::Reject) | nowhere; the application is told the reason |
//!
//! Records that must keep their order must get the same partition. The hashes see to that; [`Any`](Decision::Any) does not,
//! and neither does a [`Partition`](Decision::Partition) that is computed from their number, once partitions are added. A
//! tenant's order is kept while the routing table moves it, if the answer is [`Tenant`](Decision::Tenant): a partition that
//! was looked up in [`Routes`] and then answered is not covered by moves.
//!
//! # What it can see
//!
//! The [`Record`] and nothing else: its key, value, headers, timestamp and topic; what is inside a value that was encoded by a
//! schema ([`Record::field`]); what the host knows of the topic's partitions ([`Topology`]); the routing table ([`Routes`]). There is no clock, file, socket or environment: the parts
//! of the standard library that need one fail or panic when they run, as `Instant::now` and `SystemTime::now` do. There
//! is no randomness, either: the seed of a `HashMap` is the same in every instance, and crates that draw numbers
//! (`getrandom`, `rand`) do not compile or need a seed of yours. Threads cannot be started. Lines for the operator go
//! to [`log`], also those of the crate `log` with the feature of that name; `println!` writes nowhere.
//!
//! The key comes with the call. All else is fetched from the host when it is first asked for, and copied: a header or a
//! short value costs a tenth of a microsecond, all headers or a long value more. So look at the key first, at a header
//! next, and at the value only when you must. [`Record::field`] copies one field instead of the value; with a schema, the host
//! decodes the whole value for it, and that time counts.
//!
//! # What it must keep to
//!
//! - [`Partitioner::partition`] is called for each record, one at a time; the host may ask for many in one go, and
//!   [`export!`] then calls it for each in turn. It has 5 ms of CPU time; the plain case takes well
//!   under a microsecond. [`Partitioner::configure`] has a second.
//! - An instance takes at most 32 MiB: its memory, its tables, and what the host's engine holds for it. Its stack has
//!   half a MiB. (The host's `[plugins]` may change this.)
//! - One call hands at most 1 MiB to the host, with the fields that it asks for. Of that, the bytes of a hash or a shard key are at most 64 KiB (the
//!   record's own key may be longer), and a tenant's name at most 255 bytes. The host treats more as a panic. Of a
//!   reason or a log line over 1 KiB, the middle is left out.
//! - The host has one instance for each of its threads and may throw one away at any time. State is for things that
//!   only improve decisions (a counter, a cache), never for what makes a decision correct, and it must not grow without
//!   limit.
//! - A panic loses the instance, and its record gets what the route's `on_error` says. The panic's message goes to the
//!   host's log; `pointsman plugin test`, `check` and `bench` show it with the record. A plugin that keeps panicking is left alone for a while. To refuse one record, answer [`Decision::Reject`].
//! - It must decide for any record that an application may send: without a key, without a value, with headers that are
//!   not UTF-8, with one partition. The host asks about two such records before it lets a version decide.
//!
//! # To test one
//!
//! [`Record::builder`] makes records that hold what the test gives them, topology and routing table included, so that
//! `cargo test` needs no host. [`key_hash_partition`] says where a hash ends up, [`log::captured`] what was logged. The
//! other half is a table of cases, which `pointsman plugin test` runs against the component itself.

mod config;
mod decision;
pub mod log;
mod murmur2;
mod record;

// For the code that `export!` writes into a plugin, not for use by hand.
#[doc(hidden)]
pub mod bindings;
#[doc(hidden)]
pub mod glue;

pub use config::Config;
pub use decision::Decision;
pub use murmur2::{key_hash_partition, murmur2};
pub use record::{Assignment, Header, Record, RecordBuilder, Routes, SchemaId, Status, Topology};

/// Decides where records go. [`export!`] makes a type that implements this the component's partitioner.
pub trait Partitioner: Sized {
    /// Makes an instance from the configuration of the route. Called once for each instance, before its first record;
    /// it has a second.
    ///
    /// # Errors
    ///
    /// The text is told to the operator: say which key is wrong, and what is expected. The partitioner does not come
    /// into service then; a version that was serving before goes on serving.
    fn configure(config: &Config) -> Result<Self, String>;

    /// Decides where `record` goes. `partitions` is how many partitions its topic has: at least 1, and it may rise from
    /// one call to the next.
    fn partition(&mut self, record: &Record<'_>, partitions: u32) -> Decision;
}

/// Makes a type that implements [`Partitioner`] the partitioner of this component. Use it once in a crate, at its top
/// level.
///
/// It does nothing when the crate is built for another target than WebAssembly, as its tests are.
#[macro_export]
macro_rules! export {
    ($partitioner:ty) => {
        const _: () = {
            const fn implements_partitioner<P: $crate::Partitioner>() {}
            implements_partitioner::<$partitioner>();

            // The names are long so that they cannot clash with the plugin's own, which the module sees.
            #[cfg(target_family = "wasm")]
            mod pointsman_component {
                use super::*;

                ::std::thread_local! {
                    static POINTSMAN_INSTANCE: $crate::glue::Instance<$partitioner> =
                        const { $crate::glue::Instance::new(::std::option::Option::None) };
                }

                struct PointsmanComponent;

                impl $crate::glue::Guest for PointsmanComponent {
                    fn configure(config: ::std::string::String) -> ::std::result::Result<(), ::std::string::String> {
                        $crate::glue::configure(&POINTSMAN_INSTANCE, &config)
                    }

                    fn partition(
                        key: ::std::option::Option<::std::vec::Vec<u8>>,
                        partitions: u32,
                    ) -> $crate::glue::WitDecision {
                        $crate::glue::partition(&POINTSMAN_INSTANCE, key, partitions)
                    }
                }

                impl $crate::glue::GuestBatch for PointsmanComponent {
                    fn partition_batch(
                        keys: ::std::vec::Vec<u8>,
                        ends: ::std::vec::Vec<u32>,
                        partitions: u32,
                    ) -> $crate::glue::Decisions {
                        $crate::glue::partition_batch(&POINTSMAN_INSTANCE, &keys, &ends, partitions)
                    }
                }

        $crate::bindings::__export_component!(PointsmanComponent with_types_in $crate::bindings);
            }
        };
    };
}
