//! Write a partitioner for Pointsman: code that decides, record by record, which partition of a Kafka topic a record
//! goes to. It runs inside Pointsman as a sandboxed WebAssembly component and can be replaced while records flow.
//!
//! This is a whole one. It keeps the records of a region together, and those without a region by their key:
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
//! # To build one
//!
//! A crate with `crate-type = ["cdylib"]`, built for the target `wasm32-unknown-unknown`; `pointsman plugin build` does
//! that and turns the module into a component. The component asks the host for nothing but the record, the topology, the
//! routing table and the log: there is no clock, file, socket, environment or random number. What of the standard
//! library needs one of them fails or panics when it runs.
//!
//! # What to know
//!
//! - [`Partitioner::partition`] is called for each record, one at a time. It has a few milliseconds; the plain case
//!   takes well under a microsecond. The key is there already, all else of the record is fetched from the host when it
//!   is first asked for.
//! - The host has one instance for each of its workers and may throw one away at any time. State is for guesses that
//!   make things better (a counter, a cache), never for what a decision must be right about.
//! - Records that must keep their order must get the same partition. [`Decision::Key`] and [`Decision::KeyHash`] see to
//!   that; [`Decision::Any`] does not.
//! - A panic loses the instance, and its record gets what the route's `on_error` says. The panic's message goes to the
//!   host's log. To refuse one record, answer [`Decision::Reject`].

mod config;
mod decision;
pub mod log;
mod murmur2;
mod record;

// Reached by the code that `export!` writes into a plugin; not for use by hand.
#[doc(hidden)]
pub mod bindings;
#[doc(hidden)]
pub mod glue;

pub use config::Config;
pub use decision::Decision;
pub use murmur2::{key_hash_partition, murmur2};
pub use record::{Assignment, Header, Record, RecordBuilder, Routes, Status, Topology};

/// Decides where records go. Make a type of yours one with [`export!`].
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

/// Makes a type that implements [`Partitioner`] the partitioner of this component. Once in a crate, at its top level.
///
/// It does nothing when the crate is built for another target than WebAssembly, as its tests are.
#[macro_export]
macro_rules! export {
    ($partitioner:ty) => {
        const _: () = {
            const fn implements_partitioner<P: $crate::Partitioner>() {}
            implements_partitioner::<$partitioner>();

            // The long names cannot be those of something in the plugin, which the module sees all of.
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

        $crate::bindings::__export_component!(PointsmanComponent with_types_in $crate::bindings);
            }
        };
    };
}
