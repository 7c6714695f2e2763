//! A schema registry, asked by Confluent's API (version 1), and what it said.
//!
//! An id means the same schema for ever, so [`Registry::known`] answers without asking. The rest of [`Registry`] asks once for all who wait,
//! and for a while remembers failures as well, so that neither a dead registry nor values with made-up ids make it ask again and again.
//! Only the latest version of a subject changes: it is served as it was known and asked for again in the background.

mod answers;
mod asked;
mod client;
mod kept;
mod settings;

use std::{
    fmt,
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;

use self::{answers::Api, asked::Asked, kept::Kept};
pub use self::{
    answers::{Compatible, Found, Reference},
    settings::{Auth, BadSettings, PrivateKey, Settings},
};
use crate::{BadSchema, Compiled, Source, framing::SchemaId, invalid::shortened};

/// How a schema, and the values that follow it, are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Apache Avro, in its binary encoding.
    Avro,
    /// Protocol Buffers.
    Protobuf,
    /// JSON Schema; values are JSON.
    Json,
}

impl fmt::Display for Format {
    /// As the registry's `schemaType`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avro => "AVRO",
            Self::Protobuf => "PROTOBUF",
            Self::Json => "JSON",
        })
    }
}

/// A schema that the registry knows.
#[derive(Debug)]
pub struct Registered {
    /// What it was asked for by.
    pub id: SchemaId,
    /// Its GUID, of registries that have them.
    pub guid: Option<SchemaId>,
    /// What the schema is written in.
    pub format: Format,
    /// Its text, and the texts of all that it refers to.
    pub source: Source,
    /// What it refers to directly, as it was registered.
    pub references: Vec<Reference>,
    /// What checks and encodes values, or why that cannot be: a schema in a form that is not understood here may still be named.
    pub compiled: Result<Compiled, BadSchema>,
}

impl Registered {
    /// What checks and encodes values.
    pub fn compiled(&self) -> Result<&Compiled, LookUp> {
        let cannot = |error| LookUp::bad(format!("schema {} cannot be used: {error}", self.id));
        self.compiled.as_ref().map_err(cannot)
    }
}

/// A version of a subject.
#[derive(Debug)]
pub struct Version {
    /// The subject.
    pub subject: String,
    /// Counted from 1 within the subject.
    pub version: u32,
    /// The number of its schema.
    pub id: u32,
    /// Its schema.
    pub schema: Arc<Registered>,
}

/// Which version of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// The one that was registered last, as it was known within [`Settings::refresh`], or longer when the registry is away.
    Latest,
    /// This one.
    Number(u32),
}

/// Why there is no answer. The texts are short, whatever the registry said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookUp {
    /// The registry does not know it.
    #[error("{0}")]
    Unknown(String),
    /// The registry cannot be asked, or cannot answer now.
    #[error("{0}")]
    Unavailable(String),
    /// The registry refuses what was asked for, or its answer or schema cannot be used.
    #[error("{0}")]
    Bad(String),
    /// The subject's rules do not allow the schema as its next version.
    #[error("{0}")]
    Incompatible(String),
}

impl LookUp {
    fn unknown(text: impl Into<String>) -> Self {
        Self::Unknown(shortened(text.into()))
    }

    fn unavailable(text: impl Into<String>) -> Self {
        Self::Unavailable(shortened(text.into()))
    }

    fn bad(text: impl Into<String>) -> Self {
        Self::Bad(shortened(text.into()))
    }
}

/// What happened since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Schemas and versions that were known.
    pub hits: AtomicU64,
    /// Schemas and versions that were not.
    pub misses: AtomicU64,
    /// Requests that were not answered as they should be.
    pub errors: AtomicU64,
    /// When the registry last answered as it should, in milliseconds since 1970; 0 for never.
    pub last_success_ms: AtomicU64,
}

impl Counts {
    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn succeeded(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.last_success_ms.store(now, Ordering::Relaxed);
    }
}

/// A schema registry. Clones share what they know. All but [`Registry::known`] needs a Tokio runtime.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    api: Api,
    refresh: Duration,
    schemas: Kept<SchemaId, Arc<Registered>>,
    numbered: Kept<(String, u32), Arc<Version>>,
    /// The latest versions, and when they were.
    latest: Kept<String, (Arc<Version>, Instant)>,
    belonging: Kept<(SchemaId, String), ()>,
    asked_schemas: Arc<Asked<SchemaId, Arc<Registered>>>,
    asked_versions: Arc<Asked<(String, Wanted), Arc<Version>>>,
    asked_belonging: Arc<Asked<(SchemaId, String), ()>>,
    counts: Arc<Counts>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("counts", &self.0.counts)
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// Takes settings. Nothing is asked yet.
    pub fn new(settings: Settings) -> Result<Self, BadSettings> {
        let (most, refresh) = (settings.max_schemas, settings.refresh);
        let counts = Arc::new(Counts::default());
        let api = Api::new(&settings, Arc::clone(&counts))?;
        Ok(Self(Arc::new(Inner {
            api,
            refresh,
            schemas: Kept::new(most),
            numbered: Kept::new(most),
            latest: Kept::new(most),
            belonging: Kept::new(most),
            asked_schemas: Arc::default(),
            asked_versions: Arc::default(),
            asked_belonging: Arc::default(),
            counts,
        })))
    }

    /// What happened since the start.
    pub fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// How many schemas are kept.
    pub fn schemas(&self) -> usize {
        self.0.schemas.len()
    }

    /// Why the registry did not answer, if it has not since.
    pub fn problem(&self) -> Option<LookUp> {
        self.0.api.problem()
    }

    /// A schema that was asked for before. Never waits.
    pub fn known(&self, id: &SchemaId) -> Option<Arc<Registered>> {
        self.counted(self.0.schemas.get(id))
    }

    /// A schema.
    pub async fn get(&self, id: SchemaId) -> Result<Arc<Registered>, LookUp> {
        match self.known(&id) {
            Some(known) => Ok(known),
            None => self.fetched(id).await,
        }
    }

    /// The latest version of a subject, if one was asked for before. Never waits, and asks for a newer one when it is old.
    pub fn latest_known(&self, subject: &str) -> Option<Arc<Version>> {
        let latest = self.0.latest.get(subject);
        let (version, at) = self.counted(latest)?;
        if at.elapsed() > self.0.refresh
            && self.0.api.is_away().is_none()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
            && self.0.asked_versions.may_ask(&(subject.to_owned(), Wanted::Latest))
        {
            let (registry, subject) = (self.clone(), subject.to_owned());
            runtime.spawn(async move {
                // It is remembered; a failure is counted.
                let _ = registry.asked_version(subject, Wanted::Latest).await;
            });
        }
        Some(version)
    }

    /// A version of a subject.
    pub async fn version(&self, subject: &str, wanted: Wanted) -> Result<Arc<Version>, LookUp> {
        let known = match wanted {
            Wanted::Latest => self.latest_known(subject),
            Wanted::Number(number) => self.counted(self.0.numbered.get(&(subject.to_owned(), number))),
        };
        match known {
            Some(known) => Ok(known),
            None => self.asked_version(subject.to_owned(), wanted).await,
        }
    }

    /// Whether a schema is a version of a subject. That it is stays so, and is remembered; that it is not, only for seconds.
    pub async fn belongs(&self, id: SchemaId, subject: &str) -> Result<bool, LookUp> {
        let key = (id, subject.to_owned());
        if self.0.belonging.get(&key).is_some() {
            return Ok(true);
        }
        let (registry, asked_for) = (self.clone(), key.clone());
        let ask = || async move {
            let subject = &asked_for.1;
            match id {
                SchemaId::Number(number) => registry.0.api.belongs(number, subject).await?,
                SchemaId::Guid(_) => {
                    let schema = registry.get(id).await?;
                    let (text, references) = (&schema.source.text, &schema.references);
                    registry.0.api.find(subject, schema.format, text, references).await?;
                }
            }
            registry.0.belonging.put(asked_for, ());
            Ok(())
        };
        match self.asked(&self.0.asked_belonging, key, ask).await {
            Ok(()) => Ok(true),
            Err(LookUp::Unknown(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Finds a schema among the versions of a subject, by its text. [`LookUp::Unknown`] when it is none of them. Not remembered.
    pub async fn find(
        &self,
        subject: &str,
        format: Format,
        text: &str,
        references: &[Reference],
    ) -> Result<Found, LookUp> {
        self.0.api.find(subject, format, text, references).await
    }

    /// Registers a schema with a subject, and returns its id, which is an old one if the subject has it already. Not remembered.
    pub async fn register(
        &self,
        subject: &str,
        format: Format,
        text: &str,
        references: &[Reference],
    ) -> Result<u32, LookUp> {
        self.0.api.register(subject, format, text, references).await
    }

    /// Whether a schema may follow the latest version of a subject, by the subject's rules. Not remembered.
    pub async fn compatible(
        &self,
        subject: &str,
        format: Format,
        text: &str,
        references: &[Reference],
    ) -> Result<Compatible, LookUp> {
        self.0.api.compatible(subject, format, text, references).await
    }

    fn counted<T>(&self, known: Option<T>) -> Option<T> {
        let counts = &self.0.counts;
        Counts::count(if known.is_some() { &counts.hits } else { &counts.misses });
        known
    }

    /// Asks, unless it is known already that nobody answers: that is no failure of what is asked for.
    async fn asked<K, V, F>(&self, asked: &Arc<Asked<K, V>>, key: K, ask: impl FnOnce() -> F) -> Result<V, LookUp>
    where
        K: Hash + Eq + Clone + Send + 'static,
        V: Clone + Send + Sync + 'static,
        F: Future<Output = Result<V, LookUp>> + Send + 'static,
    {
        match self.0.api.is_away() {
            Some(why) => Err(why),
            None => asked.ask(key, ask).await,
        }
    }

    async fn fetched(&self, id: SchemaId) -> Result<Arc<Registered>, LookUp> {
        let registry = self.clone();
        let fetch = || async move {
            // Another caller may have fetched it, after this one looked.
            if let Some(known) = registry.0.schemas.get(&id) {
                return Ok(known);
            }
            let schema = registry.0.api.schema(id).await?;
            let compiling = tokio::task::spawn_blocking(move || {
                let compiled = Compiled::compile(schema.format, &schema.source);
                (schema, compiled)
            });
            // Compiling does not panic; if it does, the schema is to blame.
            let (schema, compiled) = compiling
                .await
                .map_err(|_| LookUp::bad(format!("schema {id} cannot be used: compiling it failed")))?;
            let registered = Arc::new(Registered {
                id,
                guid: schema.guid,
                format: schema.format,
                source: schema.source,
                references: schema.references,
                compiled,
            });
            registry.0.schemas.put(id, Arc::clone(&registered));
            Ok(registered)
        };
        self.asked(&self.0.asked_schemas, id, fetch).await
    }

    async fn asked_version(&self, subject: String, wanted: Wanted) -> Result<Arc<Version>, LookUp> {
        let registry = self.clone();
        let key = (subject.clone(), wanted);
        let fetch = || async move {
            let found = match registry.0.api.version(&subject, wanted).await {
                Ok(found) => found,
                Err(error) => {
                    // The registry has said that there is none any more.
                    if wanted == Wanted::Latest && matches!(error, LookUp::Unknown(_)) {
                        registry.0.latest.forget(&subject);
                    }
                    return Err(error);
                }
            };
            let schema = match registry.0.schemas.get(&SchemaId::Number(found.id)) {
                Some(known) => known,
                None => registry.fetched(SchemaId::Number(found.id)).await?,
            };
            let version = Arc::new(Version {
                subject: subject.clone(),
                version: found.version,
                id: found.id,
                schema,
            });
            let kept = Arc::clone(&version);
            match wanted {
                Wanted::Latest => registry.0.latest.put(subject, (kept, Instant::now())),
                Wanted::Number(number) => registry.0.numbered.put((subject, number), kept),
            }
            Ok(version)
        };
        self.asked(&self.0.asked_versions, key, fetch).await
    }
}

#[cfg(test)]
mod tests;
