//! Which sidecar a command asks.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

/// Which sidecar is asked.
#[derive(Debug, Args)]
pub struct Admin {
    /// Its admin listener.
    #[arg(
        long,
        value_name = "IP:PORT",
        help = "Its admin listener; else as --config, POINTSMAN_CONFIG or POINTSMAN_LISTEN__ADMIN say; else 127.0.0.1:8645"
    )]
    pub admin: Option<SocketAddr>,
    /// The file that holds the admin listener's bearer token.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Its configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}
