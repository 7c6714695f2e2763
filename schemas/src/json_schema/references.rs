//! What a schema refers to.

use std::collections::HashMap;

use jsonschema::{Retrieve, Uri, uri};
use serde_json::Value;

use super::parsed;
use crate::BadSchema;

/// What a `$ref` is resolved against when nothing has an `$id`.
const NO_BASE: &str = "json-schema:///";

/// The texts that a schema may refer to. Everything else is refused: a schema must not make the process ask another host or read a file.
#[derive(Debug)]
pub(super) struct References {
    /// By full address: the name resolved against the `$id` of the schema and against none, and the text's own `$id`.
    by_address: HashMap<String, usize>,
    names: Vec<String>,
    pub(super) schemas: Vec<Value>,
}

impl References {
    pub(super) fn new(schema: &Value, references: &[(String, String)]) -> Result<Self, BadSchema> {
        let base = address(NO_BASE, id_of(schema).unwrap_or_default()).unwrap_or_else(|| NO_BASE.to_owned());
        let mut known = Self {
            by_address: HashMap::new(),
            names: Vec::new(),
            schemas: Vec::new(),
        };
        for (index, (name, text)) in references.iter().enumerate() {
            let referred = parsed(&format!("the reference {name:?}"), text)?;
            let own = id_of(&referred).and_then(|id| address(&base, id));
            let named = [address(&base, name), address(NO_BASE, name)];
            // A name is what Confluent's readers go by, so it wins over an `$id`.
            for address in named.into_iter().flatten() {
                known.by_address.insert(address, index);
            }
            if let Some(own) = own {
                known.by_address.entry(own).or_insert(index);
            }
            known.names.push(name.clone());
            known.schemas.push(referred);
        }
        Ok(known)
    }

    /// Which text an address, relative or not and without a fragment, stands for.
    pub(super) fn find(&self, address: &str) -> Option<usize> {
        let whole = self.by_address.get(address).copied();
        // A reference may be named relative to the `$id` of another reference.
        let by_name = || {
            let ends_with = |name: &String| {
                let end = address.strip_suffix(name.as_str());
                end.is_some_and(|before| before.is_empty() || before.ends_with('/'))
            };
            self.names.iter().position(ends_with)
        };
        whole.or_else(by_name)
    }
}

impl Retrieve for References {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let address = uri.as_str();
        let address = address.split_once('#').map_or(address, |(before, _)| before);
        let found = self.find(address).map(|index| self.schemas[index].clone());
        found.ok_or_else(|| not_followed(address).into())
    }
}

/// Why a `$ref` leads to nothing.
pub(super) fn not_followed(address: &str) -> String {
    let shown = address.strip_prefix(NO_BASE).unwrap_or(address);
    format!("$ref to {shown:?}: it is not among the references of the schema, and an address is never followed")
}

/// The address of the schema itself.
pub(super) fn id_of(schema: &Value) -> Option<&str> {
    let id = schema.get("$id").or_else(|| schema.get("id"))?.as_str()?;
    // In older drafts, that is an anchor.
    (!id.starts_with('#')).then_some(id)
}

fn address(base: &str, name: &str) -> Option<String> {
    let base = uri::from_str(base).ok()?;
    let address = uri::resolve_against(&base.borrow(), name).ok()?;
    Some(address.as_str().split('#').next().unwrap_or_default().to_owned())
}
