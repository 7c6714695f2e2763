//! Schemas of a registry, and the values that they are to describe.

use pointsman_schemas::{Compiled, Invalid, Source, registry::Format};

/// The longest message that is told of a schema or a value, bytes.
const LONGEST_MESSAGE: usize = 2_000;
const MOST_BYTES: usize = 1 << 20;

/// Compiles a schema, and takes the rest as a value: once as JSON to be encoded, once as bytes to be decoded. The first byte says the
/// format: `a`vro, `p`rotobuf, `j`son; a byte 0 ends the schema.
///
/// What is encoded can be read again. Bytes in Avro and Protobuf pass the check if, and only if, they can be shown. A mistake has a short message.
pub fn schema(data: &[u8]) {
    let Some((format, rest)) = data.split_first() else {
        return;
    };
    let format = match format {
        b'a' => Format::Avro,
        b'p' => Format::Protobuf,
        _ => Format::Json,
    };
    let mut parts = rest.splitn(2, |byte| *byte == 0);
    let (text, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let source = Source {
        text: text.to_owned(),
        references: Vec::new(),
    };
    let compiled = match Compiled::compile(format, &source) {
        Ok(compiled) => compiled,
        Err(error) => return assert!(error.to_string().len() <= LONGEST_MESSAGE, "{error}"),
    };
    // Which message of Protobuf's: the first.
    let indexes = if format == Format::Protobuf { &[0][..] } else { &[] };
    let mut encoded = indexes.to_vec();
    match compiled.encode(value, &mut encoded) {
        Ok(()) => {
            let checked = compiled.check(&encoded);
            assert!(checked.is_ok(), "{checked:?}");
        }
        Err(invalid) => {
            short(&invalid);
            assert_eq!(encoded, indexes, "what does not fit leaves nothing behind");
        }
    }
    let checked = compiled.check(value);
    let shown = compiled.json(value, MOST_BYTES);
    let _ = compiled.name(value);
    match (&checked, &shown) {
        (Ok(()), Ok(text)) => {
            let read = serde_json::from_str::<serde_json::Value>(text);
            assert!(read.is_ok(), "{text}");
        }
        (Err(invalid), Err(_)) => short(invalid),
        // What is shown has a bound of its own.
        (Ok(()), Err(invalid)) => short(invalid),
        // JSON is shown as it is, whether or not it follows its schema.
        (Err(invalid), Ok(_)) if format == Format::Json => short(invalid),
        (Err(invalid), Ok(text)) => panic!("{invalid}, but it is shown as {text}"),
    }
}

fn short(invalid: &Invalid) {
    let told = invalid.to_string();
    assert!(told.len() <= LONGEST_MESSAGE, "{told}");
}
