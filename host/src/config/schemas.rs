//! `[schema_registry]`, and `key` and `value` of a route: what readers of a topic were promised.

use std::{fs, ops::RangeInclusive, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::findings::Findings;

/// A registry is asked within a request's time.
const TIMEOUT_MS: RangeInclusive<u64> = 10..=60_000;
const REFRESH_MS: RangeInclusive<u64> = 100..=86_400_000;
const MAX_SCHEMA_BYTES: RangeInclusive<usize> = 1_024..=16 << 20;
const MAX_SCHEMAS: RangeInclusive<usize> = 1..=1_000_000;
const MOST_URLS: usize = 16;

/// `[schema_registry]`: where schemas come from. It speaks the API of Confluent's Schema Registry, as Apicurio's and Karapace's do.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SchemaRegistry {
    /// One URL, or several that are tried in turn: `http://` or `https://`, with the path before `/subjects` if there is one. Required.
    pub url: Urls,
    /// The user of basic authentication; its password is in `password_file`. Default: none.
    #[serde(default)]
    pub user: Option<String>,
    /// File that holds the password of `user`. Default: none.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// File that holds a bearer token. Default: none.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// PEM file with the certificates of the authorities that `https://` may rely on. Default: the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// PEM file with the client's certificate, and those between it and its authority. Default: none.
    #[serde(default)]
    pub certificate_file: Option<PathBuf>,
    /// PEM file with the key of `certificate_file`, in PKCS #8. Default: none.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// How long one question may take, over all URLs, ms. Default 3 000.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// How old the knowledge of a subject's latest version may get, ms. Default 60 000.
    #[serde(default = "refresh_ms")]
    pub refresh_ms: u64,
    /// The largest schema with all that it refers to, bytes. Default 1 MiB.
    #[serde(default = "max_schema_bytes")]
    pub max_schema_bytes: usize,
    /// How many schemas are kept; then the one that has rested the longest goes. Default 10 000.
    #[serde(default = "max_schemas")]
    pub max_schemas: usize,
}

fn timeout_ms() -> u64 {
    3_000
}

fn refresh_ms() -> u64 {
    60_000
}

fn max_schema_bytes() -> usize {
    1 << 20
}

fn max_schemas() -> usize {
    10_000
}

/// One URL or several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Urls {
    /// One.
    One(String),
    /// Several, tried in turn.
    Several(Vec<String>),
}

impl Urls {
    /// All of them.
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(url) => std::slice::from_ref(url),
            Self::Several(urls) => urls,
        }
    }
}

/// `key` or `value` of a route: the schema that its records' keys or values follow.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartSchema {
    /// `check`: the application has encoded the bytes, and no record passes without a valid schema. `encode`: the application sends JSON,
    /// which is checked and encoded. `name`: the bytes pass as they are, and a header names what they hold. Required.
    pub mode: SchemaMode,
    /// What `encode` makes of the JSON; `check` takes only schemas of this format, and all without it. Required for `encode`.
    pub format: Option<SchemaFormat>,
    /// Which subject of the registry a schema has to belong to. Default `topic`.
    #[serde(default)]
    pub subject: SubjectName,
    /// The version that `encode` uses: `latest`, or its number. Default `latest`.
    #[serde(default)]
    pub version: SchemaVersion,
    /// The full name of the record in Avro, of the message in Protobuf, or the title in JSON Schema. Required for `encode` with a `subject`
    /// that has it; else it says which message of a Protobuf file `encode` writes. Default: the file's first.
    pub record: Option<String>,
    /// The header in which `name` puts `record`. Default: none.
    pub type_header: Option<String>,
    /// Whether `encode` registers `schema_file` for a subject that does not have it. Default false.
    #[serde(default)]
    pub auto_register: bool,
    /// File with the schema's text, for `auto_register`. Default: none.
    pub schema_file: Option<PathBuf>,
    /// Where the schema's id is. Default `prefix`.
    #[serde(default)]
    pub id: IdPlace,
    /// Whether `check` decodes all of the bytes, and not only finds their schema. Default false.
    #[serde(default)]
    pub validate: bool,
}

/// What is done with a key or a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SchemaMode {
    /// The bytes are encoded already.
    Check,
    /// The JSON is to be encoded.
    Encode,
    /// A header names what the bytes hold, since no registry has their format.
    Name,
}

/// A format of schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum SchemaFormat {
    Json,
    Avro,
    Protobuf,
}

/// Which subject a schema belongs to. The names are those of Confluent's naming strategies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectName {
    /// `<topic>-key` or `<topic>-value`.
    #[default]
    Topic,
    /// The record's full name.
    Record,
    /// `<topic>-<the record's full name>`.
    TopicRecord,
}

/// A version of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum SchemaVersion {
    /// The newest one.
    #[default]
    #[serde(with = "latest")]
    #[schemars(with = "String")]
    Latest,
    /// This one, counted from 1.
    Number(u32),
}

/// The text `latest`.
mod latest {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(de: D) -> Result<(), D::Error> {
        match String::deserialize(de)?.as_str() {
            "latest" => Ok(()),
            other => Err(D::Error::custom(format!(
                "invalid version \"{other}\", expected \"latest\" or a number from 1"
            ))),
        }
    }

    pub(super) fn serialize<S: Serializer>(ser: S) -> Result<S::Ok, S::Error> {
        ser.serialize_str("latest")
    }
}

/// Where the id of a schema is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IdPlace {
    /// Before the bytes: a zero byte, and the id in four bytes.
    #[default]
    Prefix,
    /// In the header `__key_schema_id` or `__value_schema_id`.
    Header,
}

impl SchemaRegistry {
    /// A registry at this URL, with all defaults.
    pub fn at(url: &str) -> Self {
        Self {
            url: Urls::One(url.to_owned()),
            user: None,
            password_file: None,
            token_file: None,
            ca_file: None,
            certificate_file: None,
            key_file: None,
            timeout_ms: timeout_ms(),
            refresh_ms: refresh_ms(),
            max_schema_bytes: max_schema_bytes(),
            max_schemas: max_schemas(),
        }
    }

    /// `timeout_ms`.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// `refresh_ms`.
    pub fn refresh(&self) -> Duration {
        Duration::from_millis(self.refresh_ms)
    }
}

pub(super) fn check(registry: Option<&SchemaRegistry>, found: &mut Findings<'_>) {
    let Some(registry) = registry else { return };
    let mut add = |key: &str, told: String| found.add(&["schema_registry", key], told);
    let urls = registry.url.all();
    if urls.is_empty() || urls.len() > MOST_URLS {
        add("url", format!("there are {}, expected 1 to {MOST_URLS}", urls.len()));
    }
    for url in urls {
        if !url.starts_with("http://") && !url.starts_with("https://") {
            add(
                "url",
                format!("\"{url}\" is no URL of a registry, expected http://… or https://…"),
            );
        } else if url.contains('@') {
            add(
                "url",
                "it holds a user, expected `user` and `password_file` beside it".to_owned(),
            );
        }
    }
    if registry.user.is_some() != registry.password_file.is_some() {
        add("user", "expected `user` and `password_file` together".to_owned());
    }
    if registry.user.is_some() && registry.token_file.is_some() {
        add("token_file", "`user` is given, too: keep one of them".to_owned());
    }
    if registry.certificate_file.is_some() != registry.key_file.is_some() {
        add(
            "certificate_file",
            "expected `certificate_file` and `key_file` together".to_owned(),
        );
    }
    for (key, file) in [
        ("password_file", &registry.password_file),
        ("token_file", &registry.token_file),
        ("ca_file", &registry.ca_file),
        ("certificate_file", &registry.certificate_file),
        ("key_file", &registry.key_file),
    ] {
        if let Some(file) = file
            && let Err(error) = fs::read(file)
        {
            add(key, format!("{} cannot be read: {error}", file.display()));
        }
    }
    let outside = |least: u64, most: u64| format!("expected {least} to {most}");
    if !TIMEOUT_MS.contains(&registry.timeout_ms) {
        add("timeout_ms", outside(*TIMEOUT_MS.start(), *TIMEOUT_MS.end()));
    }
    if !REFRESH_MS.contains(&registry.refresh_ms) {
        add("refresh_ms", outside(*REFRESH_MS.start(), *REFRESH_MS.end()));
    }
    for (key, value, range) in [
        ("max_schema_bytes", registry.max_schema_bytes, MAX_SCHEMA_BYTES),
        ("max_schemas", registry.max_schemas, MAX_SCHEMAS),
    ] {
        if !range.contains(&value) {
            add(key, outside(*range.start() as u64, *range.end() as u64));
        }
    }
}

/// Checks `key` and `value` of a route, each by its name.
pub(super) fn check_parts(
    index: usize,
    parts: [(&str, &Option<PartSchema>); 2],
    registry: &Option<SchemaRegistry>,
    found: &mut Findings<'_>,
) {
    let index = &index.to_string();
    for (part, schema) in parts {
        if let Some(schema) = schema {
            let wants_registry = schema.mode != SchemaMode::Name;
            let told = (wants_registry && registry.is_none())
                .then_some("it needs a registry, expected [schema_registry] with its url");
            if let Some(told) = told.or_else(|| mistake(schema)) {
                found.add(&["route", index, part], told);
            }
            if let Some(file) = &schema.schema_file
                && let Err(error) = fs::read(file)
            {
                let told = format!("schema_file {} cannot be read: {error}", file.display());
                found.add(&["route", index, part], told);
            }
        }
    }
}

/// What of a part's keys does not go together.
fn mistake(schema: &PartSchema) -> Option<&'static str> {
    let encodes = schema.mode == SchemaMode::Encode;
    let names = schema.mode == SchemaMode::Name;
    if names != schema.type_header.is_some() || names && schema.record.is_none() {
        return Some("mode \"name\" needs `record` and `type_header`, and no other mode takes `type_header`");
    }
    if encodes && schema.format.is_none() {
        return Some("mode \"encode\" needs a format, expected \"json\", \"avro\" or \"protobuf\"");
    }
    if encodes && schema.subject != SubjectName::Topic && schema.record.is_none() {
        return Some(
            "a subject with the record's name needs it in mode \"encode\", expected `record` with the full name",
        );
    }
    if encodes && schema.validate {
        return Some("`validate` is for mode \"check\"; \"encode\" always checks the whole value");
    }
    if !encodes && (schema.auto_register || schema.version != SchemaVersion::Latest) {
        return Some("`version` and `auto_register` are for mode \"encode\"; in \"check\" the bytes name their schema");
    }
    if schema.auto_register != schema.schema_file.is_some() {
        return Some("expected `auto_register = true` and `schema_file` together");
    }
    match schema.version {
        SchemaVersion::Number(0) => Some("versions count from 1"),
        SchemaVersion::Number(_) if schema.auto_register => {
            Some("`auto_register` uses the version that the registry gives the file, expected no `version` beside it")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str) -> Result<PartSchema, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_part_says_what_does_not_go_together() {
        for (text, expected) in [
            ("mode = 'encode'", "needs a format"),
            ("mode = 'encode'\nformat = 'avro'\nsubject = 'record'", "needs it"),
            (
                "mode = 'encode'\nformat = 'avro'\nvalidate = true",
                "for mode \"check\"",
            ),
            ("mode = 'check'\nversion = 3", "for mode \"encode\""),
            ("mode = 'encode'\nformat = 'avro'\nauto_register = true", "together"),
            ("mode = 'encode'\nformat = 'avro'\nversion = 0", "from 1"),
            ("mode = 'name'\nrecord = 'shop.Order'", "needs `record` and"),
            ("mode = 'check'\ntype_header = 'type'", "no other mode"),
        ] {
            let told = mistake(&part(text).expect(text)).expect(text);
            assert!(told.contains(expected), "{text}: {told}");
        }
        assert_eq!(mistake(&part("mode = 'check'").expect("a part")), None);
    }

    #[test]
    fn a_version_is_a_number_or_the_latest() {
        let version =
            |text: &str| part(&format!("mode = 'encode'\nformat = 'json'\nversion = {text}")).map(|part| part.version);
        assert_eq!(version("'latest'"), Ok(SchemaVersion::Latest));
        assert_eq!(version("7"), Ok(SchemaVersion::Number(7)));
        assert!(version("'newest'").is_err());
        assert!(version("-1").is_err());
    }
}
