//! Where a registry is and how to ask it.

use std::{fmt, time::Duration};

/// How to ask a schema registry.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where its API begins: `http://` or `https://`, a host, a port unless it is 80 or 443, and a path if there is one, such as
    /// `/apis/ccompat/v7` of Apicurio. Of several, which have to be the same registry, the one that answered last is asked first.
    pub urls: Vec<String>,
    /// Who asks.
    pub auth: Auth,
    /// The certificates, PEM, of the authorities that are trusted; `None` for those of the system.
    pub ca_pem: Option<Vec<u8>>,
    /// A certificate with its chain, PEM, and its private key, PEM of PKCS #8, for registries that ask for one.
    pub identity: Option<(Vec<u8>, PrivateKey)>,
    /// How long a request may take, over all urls.
    pub timeout: Duration,
    /// How old the latest version of a subject may be before it is asked for again.
    pub refresh: Duration,
    /// The most bytes of one answer, and of a schema with all that it refers to.
    pub max_schema_bytes: usize,
    /// How many schemas are kept, and how many versions.
    pub max_schemas: usize,
}

/// Who asks a registry.
#[derive(Clone, Default)]
pub enum Auth {
    /// Anybody.
    #[default]
    None,
    /// A user with a password.
    Basic {
        /// The name, without a colon.
        user: String,
        /// The password.
        password: String,
    },
    /// Who has this token.
    Bearer(String),
}

impl fmt::Debug for Auth {
    /// Without what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Basic { user, .. } => f.debug_struct("Basic").field("user", user).finish_non_exhaustive(),
            Self::Bearer(_) => f.write_str("Bearer(..)"),
        }
    }
}

/// A private key, which is not shown.
#[derive(Clone)]
pub struct PrivateKey(pub Vec<u8>);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

/// Settings that cannot be used. The text says which one, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadSettings(pub(super) String);
