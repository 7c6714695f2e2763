//! Looks whether bytes that are encoded already name a schema that their subject has, and follow it.

use std::{collections::HashMap, sync::Arc};

use pointsman_schemas::{
    ValueSchema,
    framing::{self, SchemaId},
    registry::{LookUp, Registered, Registry},
};
use tokio::task::JoinSet;

use super::{
    error,
    parts::{Side, WrittenBy},
    subject::{self, format_of},
};
use crate::{
    base::{
        outcome::{Code, RecordError},
        record::Record,
    },
    config::{IdPlace, PartSchema, SubjectName},
};

/// How many schemas the records of one request may name, and how many messages of each. A client that makes them up makes a question to
/// the registry of each.
const MOST_IDS: usize = 64;

/// Checks the keys or values of a topic.
pub(super) struct Check {
    side: Side,
    topic: Arc<str>,
    config: PartSchema,
    /// The schemas that the request's records name.
    found: HashMap<SchemaId, Result<Found, RecordError>>,
    /// One of them: most requests have no other.
    first: Option<(SchemaId, Found)>,
}

/// A schema that records name.
#[derive(Debug, Clone)]
struct Found {
    registered: Arc<Registered>,
    /// For plugins that look inside. In a header, another message of a Protobuf schema has another one.
    value: Arc<ValueSchema>,
    /// For each full name of what records hold.
    belongs: Vec<Belongs>,
}

/// Whether the subject of what has this full name has a schema.
#[derive(Debug, Clone)]
struct Belongs {
    /// None unless subjects are named by records.
    name: Option<Box<str>>,
    written: Result<Arc<WrittenBy>, RecordError>,
}

impl Check {
    pub(super) async fn new(
        registry: Result<&Registry, LookUp>,
        topic: &str,
        side: Side,
        config: &PartSchema,
        records: &[&Record],
    ) -> Self {
        let mut check = Self {
            side,
            topic: Arc::from(topic),
            config: config.clone(),
            found: HashMap::new(),
            first: None,
        };
        // The schema of each, and those that are written by it.
        let mut named: HashMap<SchemaId, Vec<&Record>> = HashMap::new();
        let by_record = config.subject != SubjectName::Topic;
        let mut last = None;
        for &record in records {
            let Some(Ok((id, _))) = check.id(record) else {
                continue;
            };
            // Only names of messages need more than one record to be looked at.
            if !by_record && last.replace(id) == Some(id) || named.len() >= MOST_IDS && !named.contains_key(&id) {
                continue;
            }
            let holders = named.entry(id).or_default();
            if holders.is_empty() || by_record {
                holders.push(record);
            }
        }
        match registry {
            Ok(registry) => check.look_up(registry, named).await,
            Err(error) => {
                let error = error::of_look_up(error, topic, side);
                check.found = named.into_keys().map(|id| (id, Err(error.clone()))).collect();
            }
        }
        let usable = |(id, found): (&SchemaId, &Result<Found, RecordError>)| Some((*id, found.as_ref().ok()?.clone()));
        check.first = check.found.iter().find_map(usable);
        check
    }

    /// Asks for all schemas at once.
    async fn look_up(&mut self, registry: &Registry, named: HashMap<SchemaId, Vec<&Record>>) {
        let mut asked = JoinSet::new();
        for id in named.keys().copied() {
            if let Some(registered) = registry.known(&id) {
                self.found.insert(id, Ok(Found::new(registered, self.config.id)));
            } else {
                let registry = registry.clone();
                asked.spawn(async move { (id, registry.get(id).await) });
            }
        }
        while let Some(answer) = asked.join_next().await {
            if let Ok((id, answer)) = answer {
                let found = answer.map(|registered| Found::new(registered, self.config.id));
                self.found.insert(
                    id,
                    found.map_err(|error| error::of_look_up(error, &self.topic, self.side)),
                );
            }
        }
        for (id, records) in named {
            let names = self.names(&id, &records);
            for name in names {
                let written = self.belongs(registry, id, name.as_deref()).await;
                if let Some(Ok(found)) = self.found.get_mut(&id) {
                    found.belongs.push(Belongs { name, written });
                }
            }
        }
    }

    /// The names of what these records hold, each once.
    fn names(&self, id: &SchemaId, records: &[&Record]) -> Vec<Option<Box<str>>> {
        let Some(Ok(found)) = self.found.get(id) else {
            return Vec::new();
        };
        let mut names: Vec<Option<Box<str>>> = Vec::new();
        for record in records {
            let name = self.name(found, record);
            if names.len() < MOST_IDS && !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// The full name of what a record holds, if subjects are named by it.
    fn name(&self, found: &Found, record: &Record) -> Option<Box<str>> {
        if self.config.subject == SubjectName::Topic {
            return None;
        }
        let Some(Ok((_, head))) = self.id(record) else {
            return None;
        };
        let compiled = found.registered.compiled().ok()?;
        compiled.name(head).map(|name| name.into_owned().into_boxed_str())
    }

    /// Whether the subject has this schema.
    async fn belongs(
        &self,
        registry: &Registry,
        id: SchemaId,
        name: Option<&str>,
    ) -> Result<Arc<WrittenBy>, RecordError> {
        let told = |error| error::of_look_up(error, &self.topic, self.side);
        let subject = subject::name(self.config.subject, &self.topic, self.side, name)
            .map_err(|subject::NoName| told(LookUp::Bad(format!("schema {id} has no name, which its subject has"))))?;
        match registry.belongs(id, &subject).await {
            Ok(true) => Ok(Arc::new(WrittenBy {
                subject: Arc::from(subject),
                version: None,
                id,
            })),
            Ok(false) => Err(told(LookUp::Unknown(format!(
                "schema {id} is none of subject \"{subject}\"; register it there, or write by one that is"
            )))),
            Err(error) => Err(told(error)),
        }
    }

    /// The id of the schema that a record names, and what comes behind the id; `None` where there is nothing to be checked.
    fn id<'r>(&self, record: &'r Record) -> Option<Result<(SchemaId, &'r [u8]), RecordError>> {
        let bytes = self.side.of(record)?;
        let read = match self.config.id {
            IdPlace::Prefix => framing::read_prefix(bytes).map(|(id, length)| (id, &bytes[length..])),
            IdPlace::Header => {
                let name = self.side.header();
                let header = record.headers.iter().rfind(|header| &*header.name == name);
                match header.and_then(|header| header.value.as_ref()) {
                    Some(value) => framing::read_header(value).map(|(id, length)| (id, &value[length..])),
                    None => Err(pointsman_schemas::Invalid::new(format!(
                        "the record has no header {name} with the id of a schema"
                    ))),
                }
            }
        };
        Some(read.map_err(|invalid| error::of_invalid(&invalid, self.side)))
    }

    pub(super) fn apply(&self, record: &mut Record) -> Result<Option<Arc<WrittenBy>>, RecordError> {
        let Some(named) = self.id(record) else {
            return Ok(None);
        };
        let (id, head) = named?;
        let found = match &self.first {
            Some((first, found)) if *first == id => found,
            _ => match self.found.get(&id) {
                Some(found) => found.as_ref().map_err(RecordError::clone)?,
                None => return Err(self.too_many()),
            },
        };
        if self.config.format.is_some() && format_of(self.config.format) != found.registered.format {
            return Err(RecordError::new(
                Code::SchemaInvalid,
                format!(
                    "schema {id} is one in {}, topic \"{}\" takes {} only",
                    found.registered.format,
                    self.topic,
                    format_of(self.config.format)
                ),
            ));
        }
        let name = match found.belongs.as_slice() {
            [Belongs { name: None, .. }] => None,
            _ => self.name(found, record),
        };
        let belongs = found.belongs.iter().find(|belongs| belongs.name == name);
        let written = match belongs {
            Some(belongs) => Arc::clone(belongs.written.as_ref().map_err(RecordError::clone)?),
            None => return Err(self.too_many()),
        };
        if self.config.validate {
            let compiled = found.registered.compiled();
            let compiled = compiled.map_err(|error| error::of_look_up(error, &self.topic, self.side))?;
            let checked = match (self.config.id, self.side.of(record)) {
                // The message's index is in the header.
                (IdPlace::Header, Some(bytes)) => compiled.check_apart(head, bytes),
                _ => compiled.check(head),
            };
            checked.map_err(|invalid| error::of_invalid(&invalid, self.side))?;
        }
        if self.side == Side::Value {
            record.schema = Some(found.describes(head, self.config.id));
        }
        Ok(Some(written))
    }

    fn too_many(&self) -> RecordError {
        let told = format!(
            "the request names more than {MOST_IDS} schemas, or messages of one; send fewer records in a request"
        );
        error::of_look_up(LookUp::Unavailable(told), &self.topic, self.side)
    }
}

impl Found {
    fn new(registered: Arc<Registered>, place: IdPlace) -> Self {
        let schema = Arc::clone(&registered);
        let value = match place {
            IdPlace::Prefix => ValueSchema::behind(schema, framing::header_value(registered.id).len()),
            IdPlace::Header => ValueSchema::apart(schema, &[]),
        };
        Self {
            registered,
            value: Arc::new(value),
            belongs: Vec::new(),
        }
    }

    /// What describes a value that has `head` behind its schema's id.
    fn describes(&self, head: &[u8], place: IdPlace) -> Arc<ValueSchema> {
        match place {
            IdPlace::Header if !self.value.is_apart_with(head) => {
                Arc::new(ValueSchema::apart(Arc::clone(&self.registered), head))
            }
            _ => Arc::clone(&self.value),
        }
    }
}
