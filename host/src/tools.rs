//! The commands beside `pointsman run`.
//!
//! [`cli`] is the command line. [`plugin_new`] begins a plugin in one of several languages, [`plugin_build`] makes a component of
//! it, [`plugin_trial`] tries one out: check, test, bench, and [`dev`](plugin_trial::dev) with each save. [`load`] sends records and
//! measures. [`commands`] does what it asks for. [`admin_client`] asks the admin listener of a sidecar that runs.

pub mod admin_client;
pub mod cli;
pub mod commands;
pub mod load;
pub mod plugin_build;
pub mod plugin_new;
pub mod plugin_trial;
