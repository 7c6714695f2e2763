//! The types of Protobuf's own whose JSON is not an object of their fields.

use prost_reflect::{DynamicMessage, prost::Message as _};
use serde::de::{IntoDeserializer as _, value::Error};

use super::{Encoder, unknown};
use crate::{
    Invalid,
    document::{Array, Json, Object},
    protobuf::{
        number,
        plan::{Plan, Special},
        wire,
    },
};

/// The tags of `Any`, and of the messages that hold any JSON: `Struct`, its entries, `ListValue`.
const FIRST: u8 = 1 << 3 | wire::BYTES;
const SECOND: u8 = 2 << 3 | wire::BYTES;
/// The tags of `google.protobuf.Value`.
const NULL: u8 = 1 << 3 | wire::VARINT;
const NUMBER: u8 = 2 << 3 | wire::FIXED64;
const TEXT: u8 = 3 << 3 | wire::BYTES;
const BOOL: u8 = 4 << 3 | wire::VARINT;
const OBJECT: u8 = 5 << 3 | wire::BYTES;
const ARRAY: u8 = 6 << 3 | wire::BYTES;

impl<'p, 'd> Encoder<'p, 'd, '_> {
    /// Writes a message whose JSON is special; `None` if it is not.
    pub(super) fn well_known(&mut self, plan: &'p Plan, json: Json<'d>, depth: u32) -> Option<Result<(), Invalid>> {
        Some(match (plan.special, json) {
            (Special::None, _) => return None,
            (Special::Any, Json::Object(object)) => self.any(object, depth),
            (Special::Struct, Json::Object(object)) => self.structure(object, depth),
            (Special::Any | Special::Struct, _) => Err(number::expected("an object", json)),
            (Special::List, Json::Array(items)) => self.list(items, depth),
            (Special::List, _) => Err(number::expected("an array", json)),
            (Special::Value, _) => self.value(json, depth),
            (Special::Wrapper, _) => match plan.fields.first() {
                Some(field) => self.single(field, json, false, depth),
                None => Err(Invalid::new("a wrapper without a value")),
            },
            (Special::Text, _) => self.by_library(plan, json),
        })
    }

    /// A time, a duration or a mask, which the library reads.
    fn by_library(&mut self, plan: &Plan, json: Json<'_>) -> Result<(), Invalid> {
        let Json::Text(text) = json else {
            return Err(number::expected(&format!("the text of a `{}`", plan.full_name), json));
        };
        let refused = |why: String| Invalid::new(format!("{} is no `{}`: {why}", json.shown(), plan.full_name));
        let message = self
            .plans
            .pool
            .get_message_by_name(&plan.full_name)
            .ok_or_else(|| refused("the type is not known".to_owned()))?;
        let read: Result<_, Error> = DynamicMessage::deserialize(message, text.into_deserializer());
        let read = read.map_err(|error| refused(error.to_string()))?;
        self.out.extend_from_slice(&read.encode_to_vec());
        Ok(())
    }

    /// An object that names the type of the message that it is.
    fn any(&mut self, object: Object<'d>, depth: u32) -> Result<(), Invalid> {
        let mut types = object.filter(|(name, _)| *name == "@type");
        let url = match (types.next(), types.next()) {
            (None, _) if object.len() == 0 => return Ok(()),
            (None, _) => return Err(Invalid::new("`@type` is missing, which says the type of what is here")),
            (Some((_, Json::Text(url))), None) => url,
            (Some((_, json)), None) => return Err(number::expected("a URL", json).in_field("@type")),
            (Some(_), Some(_)) => return Err(Invalid::new("the field is there twice").in_field("@type")),
        };
        let name = url.rsplit_once('/').map(|(_, name)| name);
        let index = name.and_then(|name| self.plans.named(name)).ok_or_else(|| {
            number::expected("a URL that ends in `/` and a message of the schema", Json::Text(url)).in_field("@type")
        })?;
        self.out.push(FIRST);
        self.text(url);
        self.out.push(SECOND);
        let length = self.open();
        let plan = self.plans.message(index);
        match plan.special {
            Special::None => self.object(plan, object, Some("@type"), depth + 1)?,
            _ => {
                let mut values = object.filter(|(name, _)| *name != "@type");
                match (values.next(), values.next()) {
                    (Some(("value", json)), None) => self
                        .message(index, json, depth + 1)
                        .map_err(|wrong| wrong.in_field("value"))?,
                    (None, _) => return Err(Invalid::new("`value` is missing beside `@type`")),
                    (Some(("value", _)), Some((name, _))) | (Some((name, _)), _) => return Err(unknown(plan, name)),
                }
            }
        }
        self.close(&length);
        Ok(())
    }

    fn structure(&mut self, object: Object<'d>, depth: u32) -> Result<(), Invalid> {
        if object.len() > 1 {
            let mut names: Vec<&str> = object.map(|(name, _)| name).collect();
            names.sort_unstable();
            if let Some(twice) = names.windows(2).find(|two| two[0] == two[1]) {
                return Err(Invalid::new("the name is there twice").in_field(twice[0]));
            }
        }
        for (name, json) in object {
            self.out.push(FIRST);
            let entry = self.open();
            self.out.push(FIRST);
            self.text(name);
            self.out.push(SECOND);
            let length = self.open();
            self.value(json, depth + 2).map_err(|wrong| wrong.in_field(name))?;
            self.close(&length);
            self.close(&entry);
        }
        Ok(())
    }

    fn list(&mut self, items: Array<'d>, depth: u32) -> Result<(), Invalid> {
        for (index, json) in items.enumerate() {
            self.out.push(FIRST);
            let length = self.open();
            self.value(json, depth + 1).map_err(|wrong| wrong.in_item(index))?;
            self.close(&length);
        }
        Ok(())
    }

    /// Any JSON, as the fields of a `google.protobuf.Value`.
    fn value(&mut self, json: Json<'d>, depth: u32) -> Result<(), Invalid> {
        // What is inside of it nests one deeper.
        if depth >= super::MOST_DEPTH {
            return Err(super::too_deep());
        }
        match json {
            Json::Null => self.out.extend_from_slice(&[NULL, 0]),
            Json::Bool(value) => self.out.extend_from_slice(&[BOOL, value.into()]),
            Json::Signed(_) | Json::Unsigned(_) | Json::Float(_) => {
                self.out.push(NUMBER);
                self.fixed(number::double(json)?.to_bits().to_le_bytes());
            }
            Json::Text(text) => {
                self.out.push(TEXT);
                self.text(text);
            }
            Json::Array(items) => {
                self.out.push(ARRAY);
                let length = self.open();
                self.list(items, depth + 1)?;
                self.close(&length);
            }
            Json::Object(object) => {
                self.out.push(OBJECT);
                let length = self.open();
                self.structure(object, depth + 1)?;
                self.close(&length);
            }
        }
        Ok(())
    }
}
