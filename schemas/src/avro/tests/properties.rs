use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};

use super::{
    shapes::{Form, Sent, any_shape},
    *,
};

impl Sent {
    /// As JSON text.
    fn text(&self) -> String {
        let entries = |entries: &[(String, Self)]| {
            let entries = entries
                .iter()
                .map(|(name, value)| format!("{}:{}", json!(name), value.text()));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        };
        match &self.form {
            Form::Scalar(value) => value.to_string(),
            Form::Array(items) => format!("[{}]", items.iter().map(Self::text).collect::<Vec<_>>().join(",")),
            Form::Record(fields) => entries(fields),
            Form::Object(values) => entries(values),
        }
    }

    /// Each text with one thing broken in it, and the path to that.
    fn broken(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        all.extend(self.wrong.map(|wrong| (wrong.to_owned(), String::new())));
        match &self.form {
            Form::Scalar(_) => {}
            Form::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    for (text, path) in item.broken() {
                        let mut texts: Vec<String> = items.iter().map(Self::text).collect();
                        texts[index] = text;
                        all.push((format!("[{}]", texts.join(",")), format!("/{index}{path}")));
                    }
                }
            }
            Form::Record(entries) | Form::Object(entries) => {
                let mut texts: Vec<String> = entries
                    .iter()
                    .map(|(name, value)| format!("{}:{}", json!(name), value.text()))
                    .collect();
                for (at, (name, value)) in entries.iter().enumerate() {
                    let step = name.replace('~', "~0").replace('/', "~1");
                    for (text, path) in value.broken() {
                        let whole = std::mem::replace(&mut texts[at], format!("{}:{text}", json!(name)));
                        all.push((format!("{{{}}}", texts.join(",")), format!("/{step}{path}")));
                        texts[at] = whole;
                    }
                    // A branch that has another beside it names none.
                    if self.wrong.is_some() {
                        let twice = format!("{{{},{}}}", texts.join(","), texts[at]);
                        all.push((twice, format!("/{step}")));
                    }
                }
                if matches!(self.form, Form::Record(_)) {
                    texts.insert(texts.len() / 2, "\"other\":1".to_owned());
                    all.push((format!("{{{}}}", texts.join(",")), "/other".to_owned()));
                }
            }
        }
        all
    }
}

fn any_case() -> impl Strategy<Value = (AvroSchema, String, Sent, Value)> {
    any_shape().prop_flat_map(|shape| {
        let text = shape.schema().to_string();
        shape
            .values()
            .prop_map(move |(sent, read)| (schema(&text), text.clone(), sent, read))
    })
}

/// JSON of the words that schemas are made of.
fn any_schema_like() -> impl Strategy<Value = Value> {
    const WORDS: &[&str] = &[
        "record",
        "enum",
        "fixed",
        "array",
        "map",
        "null",
        "int",
        "long",
        "bytes",
        "string",
        "A",
        "B",
        "n.A",
        "date",
        "decimal",
        "uuid",
        "timestamp-millis",
        "",
        "é",
    ];
    const NAMES: &[&str] = &[
        "type",
        "name",
        "namespace",
        "fields",
        "items",
        "values",
        "symbols",
        "size",
        "default",
        "logicalType",
        "precision",
        "scale",
    ];
    let scalar = prop_oneof![
        4 => prop::sample::select(WORDS).prop_map(Value::from),
        1 => (-2_i64..20).prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    scalar.prop_recursive(6, 80, 8, move |inner| {
        let part = |kind: &'static str, name: &'static str| {
            (inner.clone(), prop::sample::select(vec!["A", "B", "C"]))
                .prop_map(move |(part, called)| json!({"type": kind, "name": called, name: part}))
        };
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(prop::sample::select(NAMES), inner.clone(), 0..8).prop_map(|entries| {
                entries
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect()
            }),
            prop_oneof![
                part("record", "fields"),
                part("array", "items"),
                part("map", "values"),
                part("enum", "symbols")
            ],
            prop::collection::vec((inner.clone(), prop::option::of(inner)), 0..4).prop_map(|fields| {
                let fields = fields
                    .into_iter()
                    .zip(["a", "b", "c", "d"])
                    .map(|((of, default), name)| match default {
                        Some(default) => json!({"name": name, "type": of, "default": default}),
                        None => json!({"name": name, "type": of}),
                    });
                json!({"type": "record", "name": "A", "fields": fields.collect::<Vec<_>>()})
            }),
        ]
    })
}

proptest! {
    #[test]
    fn a_value_is_read_as_it_was_written((schema, text, sent, read) in any_case()) {
        let json = there_and_back(&schema, &sent.text());
        let back: Value = serde_json::from_str(&json).expect("JSON");
        prop_assert_eq!(back, read, "{}", text);
    }

    #[test]
    fn a_value_that_names_no_branch_is_read_as_it_was_written_or_refused((schema, text, _, read) in any_case()) {
        if let Ok(payload) = encoded(&schema, &read.to_string()) {
            prop_assert_eq!(schema.check(&payload), Ok(()));
            let json = schema.json(&payload, 1 << 20).expect("what was encoded");
            let back: Value = serde_json::from_str(&json).expect("JSON");
            prop_assert_eq!(back, read, "{}", text);
        }
    }

    #[test]
    fn a_value_with_one_thing_broken_is_refused_with_the_path_to_it((schema, text, sent, _) in any_case(), which: Index) {
        let broken = sent.broken();
        if !broken.is_empty() {
            let (json, path) = which.get(&broken);
            let wrong = schema.encode(json.as_bytes(), &mut Vec::new()).expect_err(json);
            prop_assert_eq!(&wrong.path(), path, "{}: {} ({})", text, json, wrong);
        }
    }

    #[test]
    fn bytes_with_some_changed_are_read_or_refused_and_nothing_else_happens(
        (schema, _, sent, _) in any_case(),
        changes: Vec<(Index, u8)>,
        cut: Index,
    ) {
        let mut payload = encoded(&schema, &sent.text()).expect("valid");
        for (at, byte) in changes {
            if !payload.is_empty() {
                *at.get_mut(&mut payload) = byte;
            }
        }
        for payload in [&payload[..], &payload[..cut.index(payload.len() + 1)]] {
            if let Ok(json) = read(&schema, payload) {
                serde_json::from_str::<Value>(&json).expect("JSON");
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_nothing_else_happens(shape in any_shape(), payload: Vec<u8>) {
        let schema = schema(&shape.schema().to_string());
        if let Ok(json) = read(&schema, &payload) {
            serde_json::from_str::<Value>(&json).expect("JSON");
        }
    }

    #[test]
    fn any_json_as_a_schema_is_compiled_or_refused_and_nothing_else_happens(
        text in any_schema_like(),
        json in any_schema_like(),
        payload: Vec<u8>,
    ) {
        if let Ok(schema) = refers_to(&text.to_string(), &[]) {
            let _ = read(&schema, &payload);
            if let Ok(payload) = encoded(&schema, &json.to_string()) {
                prop_assert!(read(&schema, &payload).is_ok());
            }
        }
    }

    #[test]
    fn a_schema_with_some_letters_changed_is_compiled_or_refused_and_nothing_else_happens(
        shape in any_shape(),
        changes in prop::collection::vec((any::<Index>(), any::<char>()), 1..4),
    ) {
        let mut text: Vec<char> = shape.schema().to_string().chars().collect();
        for (at, letter) in changes {
            *at.get_mut(&mut text) = letter;
        }
        let _ = refers_to(&text.iter().collect::<String>(), &[]);
    }
}
