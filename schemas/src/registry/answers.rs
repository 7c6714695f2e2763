//! The calls of Confluent's API, and what their answers mean.

mod resolve;

use std::sync::Arc;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    BadSettings, Counts, Format, LookUp, Settings, Wanted,
    client::{Answer, Client, shown},
};
use crate::{Source, framing::SchemaId, invalid::shortened};

/// The most messages about an incompatible schema. Each is as short as in an error.
const MOST_MESSAGES: usize = 16;

/// What a schema refers to, as it is registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// What the schema's text calls it.
    pub name: String,
    /// The subject that it is in.
    pub subject: String,
    /// Its version there; -1 for the latest.
    pub version: i64,
}

/// A schema among the versions of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Found {
    /// The number of the schema.
    pub id: u32,
    /// The version within the subject.
    pub version: u32,
}

/// Whether a schema may follow another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compatible {
    /// Whether it may.
    pub is_compatible: bool,
    /// Why not, in the registry's words: a few short texts on one line each.
    pub messages: Vec<String>,
}

/// A schema with all that it refers to.
pub(super) struct Fetched {
    pub(super) guid: Option<SchemaId>,
    pub(super) format: Format,
    pub(super) source: Source,
    pub(super) references: Vec<Reference>,
}

/// A schema as the registry answers it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Schema {
    schema: String,
    /// Absent for Avro, which came first.
    schema_type: Option<String>,
    references: Option<Vec<Reference>>,
    guid: Option<String>,
}

/// What is asked about, or registered.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asking<'a> {
    schema: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_type: Option<String>,
    references: &'a [Reference],
}

#[derive(Deserialize)]
struct Comparing {
    is_compatible: bool,
    messages: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Registering {
    id: u32,
}

#[derive(Deserialize)]
struct SubjectOf {
    subject: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Refusal {
    error_code: u32,
    message: String,
}

/// What can be asked.
pub(super) struct Api {
    client: Client,
    max_schema_bytes: usize,
    counts: Arc<Counts>,
}

impl Api {
    pub(super) fn new(settings: &Settings, counts: Arc<Counts>) -> Result<Self, BadSettings> {
        Ok(Self {
            client: Client::new(settings)?,
            max_schema_bytes: settings.max_schema_bytes,
            counts,
        })
    }

    /// Why nobody is asked, for a while.
    pub(super) fn is_away(&self) -> Option<LookUp> {
        self.client.is_away()
    }

    /// Why no server answered, if none has since.
    pub(super) fn problem(&self) -> Option<LookUp> {
        self.client.problem()
    }

    /// A schema by its id, with all that it refers to.
    pub(super) async fn schema(&self, id: SchemaId) -> Result<Fetched, LookUp> {
        let path = match id {
            SchemaId::Number(number) => format!("/schemas/ids/{number}"),
            SchemaId::Guid(_) => format!("/schemas/guids/{id}"),
        };
        let answer: Schema = self.get(&path, &format!("schema {id}")).await?;
        let format = match answer.schema_type.as_deref() {
            None | Some("AVRO") => Format::Avro,
            Some("PROTOBUF") => Format::Protobuf,
            Some("JSON") => Format::Json,
            Some(other) => {
                let other = shown(other);
                return Err(LookUp::bad(format!(
                    "schema {id} is of the type {other}, which is not supported"
                )));
            }
        };
        let references = answer.references.unwrap_or_default();
        let resolved = self.resolved(id, answer.schema.len(), &references).await?;
        Ok(Fetched {
            guid: answer.guid.as_deref().and_then(SchemaId::guid_of_text),
            format,
            source: Source {
                text: answer.schema,
                references: resolved,
            },
            references,
        })
    }

    /// Which schema a version of a subject is.
    pub(super) async fn version(&self, subject: &str, wanted: Wanted) -> Result<Found, LookUp> {
        let version = match wanted {
            Wanted::Latest => "latest".to_owned(),
            Wanted::Number(number) => number.to_string(),
        };
        let what = format!("version {version} of subject {}", shown(subject));
        self.get(&version_path(subject, &version), &what).await
    }

    /// Whether a schema is a version of a subject; if it is not, it is unknown.
    pub(super) async fn belongs(&self, id: u32, subject: &str) -> Result<(), LookUp> {
        let what = format!("schema {id}");
        let versions: Vec<SubjectOf> = self.get(&format!("/schemas/ids/{id}/versions"), &what).await?;
        match versions.iter().any(|version| version.subject == subject) {
            true => Ok(()),
            false => Err(LookUp::unknown(format!(
                "{what} is no version of subject {}",
                shown(subject)
            ))),
        }
    }

    pub(super) async fn find(
        &self,
        subject: &str,
        format: Format,
        text: &str,
        references: &[Reference],
    ) -> Result<Found, LookUp> {
        let path = format!("/subjects/{}", encoded(subject));
        let what = format!("this schema in subject {}", shown(subject));
        self.post(&path, &what, format, text, references).await
    }

    pub(super) async fn register(
        &self,
        subject: &str,
        format: Format,
        text: &str,
        references: &[Reference],
    ) -> Result<u32, LookUp> {
        let path = format!("/subjects/{}/versions", encoded(subject));
        let what = format!("a new version of subject {}", shown(subject));
        let Registering { id } = self.post(&path, &what, format, text, references).await?;
        Ok(id)
    }

    pub(super) async fn compatible(
        &self,
        subject: &str,
        format: Format,
        text: &str,
        references: &[Reference],
    ) -> Result<Compatible, LookUp> {
        let path = format!(
            "/compatibility/subjects/{}/versions/latest?verbose=true",
            encoded(subject)
        );
        let what = format!("subject {}", shown(subject));
        let Comparing {
            is_compatible,
            messages,
        } = self.post(&path, &what, format, text, references).await?;
        let messages = messages.unwrap_or_default();
        Ok(Compatible {
            is_compatible,
            messages: messages
                .iter()
                .take(MOST_MESSAGES)
                .map(|message| shown(message))
                .collect(),
        })
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        what: &str,
        format: Format,
        text: &str,
        references: &[Reference],
    ) -> Result<T, LookUp> {
        let asking = Asking {
            schema: text,
            // Registries that know only Avro do not know the field.
            schema_type: (format != Format::Avro).then(|| format.to_string()),
            references,
        };
        let body = serde_json::to_vec(&asking).map_err(|error| LookUp::bad(error.to_string()))?;
        self.ask(&Method::POST, path, what, &body.into()).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, what: &str) -> Result<T, LookUp> {
        self.ask(&Method::GET, path, what, &Bytes::new()).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        what: &str,
        body: &Bytes,
    ) -> Result<T, LookUp> {
        let answer = self.client.call(method, path, body).await;
        let answer = answer.and_then(|answer| match answer.status {
            StatusCode::OK => serde_json::from_slice(&answer.body).map_err(|error| {
                let (server, error) = (&answer.server, shown(&error.to_string()));
                LookUp::bad(format!(
                    "the answer of {server} about {what} is not as the API says: {error}"
                ))
            }),
            _ => Err(refusal(&answer, what)),
        });
        match &answer {
            // The registry is fine.
            Ok(_) | Err(LookUp::Unknown(_)) => self.counts.succeeded(),
            Err(_) => Counts::count(&self.counts.errors),
        }
        answer
    }
}

/// What an answer that is not 200 means. The codes are those of Confluent's API reference.
fn refusal(answer: &Answer, what: &str) -> LookUp {
    let (server, status) = (&answer.server, answer.status);
    let refusal: Refusal = serde_json::from_slice(&answer.body).unwrap_or_default();
    let told = match refusal.message.as_str() {
        "" => String::new(),
        message => format!(": {}", shown(message)),
    };
    match (status.as_u16(), refusal.error_code) {
        (404, 40401) => LookUp::unknown(format!("the schema registry does not know {what}: no such subject")),
        (404, 40402) => LookUp::unknown(format!("the schema registry does not know {what}: no such version")),
        (404, 40403) => LookUp::unknown(format!("the schema registry does not know {what}")),
        (404 | 405, _) => LookUp::bad(format!(
            "{server} does not know how to answer about {what} ({status}); does its url lack the path of the API?{told}"
        )),
        (401 | 403, _) => LookUp::unavailable(format!("{server} does not allow to ask for {what} ({status}){told}")),
        (409, _) => LookUp::Incompatible(shortened(format!("{what} is not compatible with the last one{told}"))),
        (422, _) => LookUp::bad(format!("{server} refuses {what} as invalid{told}")),
        (429 | 500..=599, _) => {
            LookUp::unavailable(format!("{server} cannot answer about {what} now ({status}){told}"))
        }
        _ => LookUp::bad(format!("{server} answers {status} about {what}{told}")),
    }
}

fn version_path(subject: &str, version: &str) -> String {
    format!("/subjects/{}/versions/{version}", encoded(subject))
}

/// A part of a path (RFC 3986): all but unreserved letters in percent.
fn encoded(part: &str) -> String {
    let mut text = String::with_capacity(part.len());
    for &byte in part.as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(byte.into()),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}
