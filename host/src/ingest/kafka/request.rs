//! The requests that are understood, and their fields.

use bytes::Bytes;

use super::{
    api::Api,
    wire::{Malformed, Reader, Text},
};

/// Which answer a client waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AnswerTo {
    pub(super) api: Api,
    pub(super) version: i16,
    pub(super) correlation: i32,
}

/// Why a request has no answer, so that its connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    /// Nobody knows what it asks for.
    #[error("it asks for api key {key} in version {version}, which is not listed in ApiVersions")]
    NotListed { key: i16, version: i16 },
    /// Its fields do not follow the protocol.
    #[error("it cannot be read: {0}")]
    Malformed(#[from] Malformed),
}

/// What a request asks for.
#[derive(Debug)]
pub(super) enum Request {
    Produce(Produce),
    Fetch(Fetch),
    Metadata(Metadata),
    /// Whether it is that of a transaction; else it is a consumer group's.
    FindCoordinator {
        transactional: bool,
    },
    /// The name of a mechanism.
    SaslHandshake(Text),
    ApiVersions(Option<Software>),
    /// Asks for versions of this request that do not exist yet, and learns which do.
    NewerApiVersions,
    /// Whether the producer has transactions.
    InitProducerId {
        transactional: bool,
    },
    SaslAuthenticate(Bytes),
}

/// What a client calls itself.
#[derive(Debug, Clone)]
pub(super) struct Software {
    pub(super) name: Text,
    pub(super) version: Text,
}

#[derive(Debug)]
pub(super) struct Produce {
    pub(super) transactional: bool,
    pub(super) acks: i16,
    pub(super) timeout_ms: i32,
    pub(super) topics: Vec<ProduceTopic>,
}

#[derive(Debug)]
pub(super) struct ProduceTopic {
    pub(super) name: Text,
    /// Each partition with its batch.
    pub(super) partitions: Vec<(i32, Bytes)>,
}

#[derive(Debug)]
pub(super) struct Fetch {
    /// How long the client would wait for records.
    pub(super) max_wait_ms: i32,
    /// Each topic with its partitions.
    pub(super) topics: Vec<(Text, Vec<i32>)>,
}

#[derive(Debug)]
pub(super) struct Metadata {
    /// The topics that are asked for; None for all.
    pub(super) topics: Option<Vec<Text>>,
}

impl Request {
    /// The topics and partitions that it names.
    pub(super) fn parts(&self) -> usize {
        match self {
            Self::Produce(produce) => produce.topics.iter().map(|topic| 1 + topic.partitions.len()).sum(),
            Self::Fetch(fetch) => fetch.topics.iter().map(|(_, partitions)| 1 + partitions.len()).sum(),
            Self::Metadata(metadata) => metadata.topics.as_ref().map_or(0, Vec::len),
            _ => 0,
        }
    }
}

/// Reads a whole request.
pub(super) fn read(request: Bytes) -> Result<(AnswerTo, Request), Unreadable> {
    let mut reader = Reader::new(request);
    let (key, version, correlation) = (reader.i16()?, reader.i16()?, reader.i32()?);
    let listed = Api::ALL.into_iter().find(|api| api.key() == key);
    let Some(api) = listed else {
        return Err(Unreadable::NotListed { key, version });
    };
    let answer = AnswerTo {
        api,
        version,
        correlation,
    };
    let (first, last) = api.versions();
    if version < first || version > last {
        return match api {
            // The rest cannot be read, and need not.
            Api::ApiVersions => Ok((answer, Request::NewerApiVersions)),
            _ => Err(Unreadable::NotListed { key, version }),
        };
    }
    // The client's id is never in the flexible form.
    let _client_id = reader.nullable_text()?;
    reader.flexible(version >= api.flexible());
    reader.end()?;
    let request = match api {
        Api::Produce => Request::Produce(produce(&mut reader)?),
        Api::Fetch => Request::Fetch(fetch(&mut reader, version)?),
        Api::Metadata => Request::Metadata(metadata(&mut reader, version)?),
        Api::FindCoordinator => {
            let _key = reader.text()?;
            Request::FindCoordinator {
                transactional: version >= 1 && reader.i8()? == TRANSACTION,
            }
        }
        Api::SaslHandshake => Request::SaslHandshake(reader.text()?),
        Api::ApiVersions => Request::ApiVersions(software(&mut reader, version)?),
        Api::InitProducerId => Request::InitProducerId {
            transactional: reader.nullable_text()?.is_some(),
        },
        Api::SaslAuthenticate => Request::SaslAuthenticate(reader.bytes()?.unwrap_or_default()),
    };
    Ok((answer, request))
}

fn software(reader: &mut Reader, version: i16) -> Result<Option<Software>, Malformed> {
    if version < 3 {
        return Ok(None);
    }
    Ok(Some(Software {
        name: reader.text()?,
        version: reader.text()?,
    }))
}

/// The most topics and partitions that a request may name: what is read of them takes much more memory than their bytes.
pub(super) const MOST_PARTS: usize = 10_000;

fn check_parts(reader: &Reader, parts: usize) -> Result<(), Malformed> {
    match parts <= MOST_PARTS {
        true => Ok(()),
        false => {
            Err(reader
                .malformed("the request names more than 10,000 topics and partitions, which is more than are read"))
        }
    }
}

fn produce(reader: &mut Reader) -> Result<Produce, Malformed> {
    let transactional = reader.nullable_text()?.is_some();
    let (acks, timeout_ms) = (reader.i16()?, reader.i32()?);
    let (mut topics, mut parts) = (Vec::new(), 0);
    for _ in 0..reader.list()? {
        let name = reader.text()?;
        let mut partitions = Vec::new();
        let count = reader.list()?;
        parts += 1 + count;
        check_parts(reader, parts)?;
        for _ in 0..count {
            let partition = reader.i32()?;
            partitions.push((partition, reader.bytes()?.unwrap_or_default()));
            reader.end()?;
        }
        reader.end()?;
        topics.push(ProduceTopic { name, partitions });
    }
    reader.end()?;
    Ok(Produce {
        transactional,
        acks,
        timeout_ms,
        topics,
    })
}

/// The kind of a coordinator that is asked for; 0 is a consumer group's.
const TRANSACTION: i8 = 1;

/// Reads what is needed to refuse each partition.
fn fetch(reader: &mut Reader, version: i16) -> Result<Fetch, Malformed> {
    let _replica_id = reader.i32()?;
    let max_wait_ms = reader.i32()?;
    // The bytes to wait for, the most bytes, the isolation level; then the session.
    reader.skip(4 + 4 + 1)?;
    if version >= 7 {
        reader.skip(8)?;
    }
    // The offset and the most bytes; then the leader's epoch and where the log begins.
    let rest = 8 + 4 + if version >= 9 { 4 } else { 0 } + if version >= 5 { 8 } else { 0 };
    let (mut topics, mut parts) = (Vec::new(), 0);
    for _ in 0..reader.list()? {
        let name = reader.text()?;
        let count = reader.list()?;
        parts += 1 + count;
        check_parts(reader, parts)?;
        let mut partitions = Vec::new();
        for _ in 0..count {
            partitions.push(reader.i32()?);
            reader.skip(rest)?;
        }
        topics.push((name, partitions));
    }
    Ok(Fetch { max_wait_ms, topics })
}

/// The first version in which a topic may be asked for by its id, and the bytes of an id.
const WITH_IDS: i16 = 10;
const ID_BYTES: usize = 16;

fn metadata(reader: &mut Reader, version: i16) -> Result<Metadata, Malformed> {
    let Some(count) = reader.nullable_list()? else {
        return Ok(Metadata { topics: None });
    };
    // Before null meant all topics, none did.
    if version == 0 && count == 0 {
        return Ok(Metadata { topics: None });
    }
    check_parts(reader, count)?;
    let mut topics = Vec::new();
    for _ in 0..count {
        if version >= WITH_IDS {
            reader.skip(ID_BYTES)?;
        }
        // No answer tells an id, so nobody asks by one.
        if let Some(name) = reader.nullable_text()? {
            topics.push(name);
        }
        reader.end()?;
    }
    Ok(Metadata { topics: Some(topics) })
}

#[cfg(test)]
mod tests;
