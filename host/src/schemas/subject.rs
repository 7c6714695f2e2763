//! The names of subjects and formats at the registry. Those of subjects are as Confluent's naming strategies make them (`TopicNameStrategy` and its two siblings).

use pointsman_schemas::registry::Format;

use super::parts::Side;
use crate::config::{SchemaFormat, SubjectName};

/// The subject of a topic's keys or values. `record` is the full name of what they are; none where that is not known.
pub(super) fn name(how: SubjectName, topic: &str, side: Side, record: Option<&str>) -> Result<String, NoName> {
    match (how, record) {
        (SubjectName::Topic, _) => Ok(format!("{topic}-{}", side.name())),
        (SubjectName::Record, Some(record)) => Ok(record.to_owned()),
        (SubjectName::TopicRecord, Some(record)) => Ok(format!("{topic}-{record}")),
        (SubjectName::Record | SubjectName::TopicRecord, None) => Err(NoName),
    }
}

/// The registry's name of a format.
pub(super) fn format_of(format: Option<SchemaFormat>) -> Format {
    match format {
        Some(SchemaFormat::Json) => Format::Json,
        Some(SchemaFormat::Protobuf) => Format::Protobuf,
        Some(SchemaFormat::Avro) | None => Format::Avro,
    }
}

/// The subject has the record's name, and the schema gives none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoName;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_has_the_name_that_other_serializers_give_it() {
        let of = |how, record| name(how, "orders", Side::Value, record);
        assert_eq!(of(SubjectName::Topic, None).as_deref(), Ok("orders-value"));
        assert_eq!(of(SubjectName::Record, Some("shop.Order")).as_deref(), Ok("shop.Order"));
        assert_eq!(
            of(SubjectName::TopicRecord, Some("shop.Order")).as_deref(),
            Ok("orders-shop.Order")
        );
        assert_eq!(of(SubjectName::Record, None), Err(NoName));
        assert_eq!(
            name(SubjectName::Topic, "orders", Side::Key, None).as_deref(),
            Ok("orders-key")
        );
    }
}
