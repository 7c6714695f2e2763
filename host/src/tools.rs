//! All commands other than `pointsman run`.
//!
//! [`cli`] is the command line. [`plugin_new`] begins a plugin in one of several languages, [`plugin_build`] compiles
//! it to a component, [`plugin_trial`] tries it out: check, test, bench, and [`dev`](plugin_trial::dev) after each
//! save. [`commands`] runs each of them. [`routes`] looks at the routing table of tenants and changes it.
//! [`schema`] checks, encodes and decodes a value by a registry's schema. [`load`] sends records and measures. [`admin_client`] asks the admin listener of a sidecar that runs.

pub mod admin_client;
pub mod cli;
pub mod commands;
pub mod load;
pub mod plugin_build;
pub mod plugin_new;
pub mod plugin_trial;
pub mod routes;
pub mod schema;
