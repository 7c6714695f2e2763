//! From a file, an environment and a command line to a configuration.

use std::path::Path;

use super::{Config, ConfigError, Listen, Loaded, Overrides, Source, all_mistakes, check, env};

impl Config {
    /// Reads, overlays and checks. `file` is `--config` or `POINTSMAN_CONFIG`; none is an empty file.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        overrides: &Overrides,
    ) -> Result<Loaded, ConfigError> {
        let source = Source::read(file)?;
        let config = source.parse()?;
        let mut config = env::overlay(&source, config, environment)?;
        if overrides.embedded {
            config.kafka.bootstrap_servers = Some("embedded".to_owned());
        }
        check::finish(&source, config)
    }

    /// Everything that is wrong with a file and an environment; [`Config::load`] says the first that it meets.
    pub fn mistakes(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        overrides: &Overrides,
    ) -> Vec<ConfigError> {
        all_mistakes::of(file, env::keys_of(environment), overrides)
    }

    /// Only where a sidecar with this file and environment listens: for those who ask it something, and have no use for the
    /// rest.
    pub fn listen(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Listen, ConfigError> {
        let source = Source::read(file)?;
        let config = source.parse()?;
        Ok(env::overlay(&source, config, environment)?.listen)
    }
}
