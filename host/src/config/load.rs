//! Makes a configuration from a file, an environment and a command line.

use std::path::Path;

use super::{Config, ConfigError, Listen, Loaded, Overrides, Source, all_mistakes, check, env};

impl Overrides {
    pub(super) fn lay_over(&self, config: &mut Config) {
        if self.embedded {
            config.kafka.bootstrap_servers = Some("embedded".to_owned());
        }
    }
}

impl Config {
    /// Reads, overlays and checks. `file` is `--config` or `POINTSMAN_CONFIG`. Without a file, only the environment
    /// counts.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        overrides: &Overrides,
    ) -> Result<Loaded, ConfigError> {
        let source = Source::read(file)?;
        let config = source.parse()?;
        let mut config = env::overlay(&source, config, environment)?;
        overrides.lay_over(&mut config);
        check::finish(&source, config)
    }

    /// All mistakes of a file and an environment. [`Config::load`] returns only the first.
    pub fn mistakes(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        overrides: &Overrides,
    ) -> Vec<ConfigError> {
        all_mistakes::of(file, env::keys_of(environment), overrides)
    }

    /// Only the addresses of a sidecar with this file and environment, for a command that asks a running sidecar and
    /// does not need the rest to be right.
    pub fn listen(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Listen, ConfigError> {
        let source = Source::read(file)?;
        let config = source.parse()?;
        Ok(env::overlay(&source, config, environment)?.listen)
    }
}
