//! What a schema refers to, and what that refers to.

use std::collections::{HashMap, HashSet};

use super::{Api, Reference, Schema, version_path};
use crate::{
    framing::SchemaId,
    registry::{LookUp, client::shown},
};

/// The most schemas that one may refer to, directly or not.
const MOST_REFERENCES: usize = 1_000;

/// A reference whose own references are being fetched.
struct Open {
    name: String,
    /// Subject and version.
    place: (String, i64),
    text: String,
    references: std::vec::IntoIter<Reference>,
}

impl Api {
    /// The names and texts of all references, what others need first. A name stands for what it was first used for, as in Confluent's
    /// clients.
    pub(super) async fn resolved(
        &self,
        id: SchemaId,
        bytes: usize,
        references: &[Reference],
    ) -> Result<Vec<(String, String)>, LookUp> {
        let mut bytes_left = self.max_schema_bytes.saturating_sub(bytes);
        let mut fetched: HashMap<(String, i64), (String, Vec<Reference>)> = HashMap::new();
        let (mut resolved, mut names) = (Vec::new(), HashSet::new());
        let mut path: Vec<Open> = Vec::new();
        let mut top = Vec::from(references).into_iter();
        loop {
            let next = path.last_mut().map_or(&mut top, |open| &mut open.references).next();
            let Some(Reference { name, subject, version }) = next else {
                // All that it needs stands before it.
                let Some(open) = path.pop() else {
                    return Ok(resolved);
                };
                if names.insert(open.name.clone()) {
                    resolved.push((open.name, open.text));
                }
                continue;
            };
            let place = (subject, version);
            if path.iter().any(|open| open.place == place) {
                let subject = shown(&place.0);
                return Err(LookUp::bad(format!(
                    "schema {id} cannot be used: version {version} of subject {subject} refers to itself"
                )));
            }
            if names.contains(&name) {
                continue;
            }
            if !fetched.contains_key(&place) {
                let schema = self.reference(&place).await?;
                fetched.insert(place.clone(), schema);
            }
            let (text, references) = fetched.get(&place).cloned().unwrap_or_default();
            // Counted as often as it is held.
            bytes_left = bytes_left.checked_sub(text.len()).ok_or_else(|| {
                let most = self.max_schema_bytes;
                LookUp::bad(format!(
                    "schema {id} cannot be used: with its references, it has more than {most} bytes (max_schema_bytes)"
                ))
            })?;
            if resolved.len() + path.len() >= MOST_REFERENCES {
                return Err(LookUp::bad(format!(
                    "schema {id} cannot be used: it refers to more than {MOST_REFERENCES} others"
                )));
            }
            path.push(Open {
                name,
                place,
                text,
                references: references.into_iter(),
            });
        }
    }

    async fn reference(&self, (subject, version): &(String, i64)) -> Result<(String, Vec<Reference>), LookUp> {
        let version = match version {
            -1 => "latest".to_owned(),
            version => version.to_string(),
        };
        let what = format!("version {version} of subject {}, which is referred to", shown(subject));
        let schema: Schema = self.get(&version_path(subject, &version), &what).await?;
        Ok((schema.schema, schema.references.unwrap_or_default()))
    }
}
