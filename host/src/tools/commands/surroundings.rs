//! A command's surroundings: the environment, and the configuration that the sidecar was started with.

use std::{env, path::PathBuf};

use anyhow::Context as _;

use crate::{
    config::Config,
    tools::{admin_client, cli::Admin},
};

/// The sidecar that the command asks: as the options say, else as the sidecar's configuration says.
pub(super) fn admin(options: &Admin) -> anyhow::Result<admin_client::Admin> {
    let file = config_file(options.config.as_ref());
    let listen = Config::listen(file.as_deref(), environment())?;
    let token_file = options.token_file.as_ref().or(listen.admin_token_file.as_ref());
    let token = match token_file {
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read the admin listener's token in {}", file.display()))?;
            Some(text.trim_end().to_owned())
        }
        None => None,
    };
    Ok(admin_client::Admin {
        address: options.admin.unwrap_or(listen.admin),
        token,
    })
}

/// The configuration file that an option or POINTSMAN_CONFIG names.
pub fn config_file(option: Option<&PathBuf>) -> Option<PathBuf> {
    option
        .cloned()
        .or_else(|| env::var_os("POINTSMAN_CONFIG").map(PathBuf::from))
}

/// The environment, without variables that are not valid text: none of them can be one of ours.
pub fn environment() -> Vec<(String, String)> {
    env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
