//! Any message, both ways, against the library.

use proptest::{collection::vec, option, prelude::*, sample::select};
use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions, prost::Message as _};
use serde_json::{Map, Value, json};

use super::{all, old};
use crate::protobuf::Message;

fn descriptor(message: &Message) -> MessageDescriptor {
    let pool = &message.schema.plans.pool;
    pool.get_message_by_name(message.full_name()).expect("a message")
}

/// What the library shows, by way of its text: floats are other numbers as a `Value`.
fn as_json(message: &DynamicMessage) -> Value {
    let mut text = Vec::new();
    let options = SerializeOptions::new().use_proto_field_name(true);
    let mut serializer = serde_json::Serializer::new(&mut text);
    message.serialize_with_options(&mut serializer, &options).expect("JSON");
    serde_json::from_slice(&text).expect("JSON")
}

/// A whole number in one of the spellings that JSON of Protobuf has.
fn whole<T: Into<i128> + Copy + std::fmt::Debug + Arbitrary + 'static>() -> BoxedStrategy<Value> {
    (any::<T>(), 0..3u8)
        .prop_map(|(value, spelling)| {
            let value: i128 = value.into();
            match (spelling, u64::try_from(value), i64::try_from(value)) {
                (0, _, Ok(value)) => json!(value),
                (0, Ok(value), _) => json!(value),
                (1, ..) if value.abs() < 1 << 53 => json!(value as f64),
                _ => json!(value.to_string()),
            }
        })
        .boxed()
}

fn double() -> BoxedStrategy<Value> {
    prop_oneof![
        any::<f64>().prop_filter_map("a number", |value| value.is_finite().then(|| json!(value))),
        any::<i32>().prop_map(|value| json!(value)),
        select(vec!["Infinity", "-Infinity", "1e3", "0.5"]).prop_map(|text| json!(text)),
    ]
    .boxed()
}

fn float() -> BoxedStrategy<Value> {
    any::<f32>()
        .prop_filter_map("a number", |value| value.is_finite().then(|| json!(value)))
        .boxed()
}

fn bytes() -> BoxedStrategy<Value> {
    vec(any::<u8>(), 0..40)
        .prop_map(|bytes| {
            let mut out = Vec::new();
            crate::protobuf::base64::put(&bytes, &mut out);
            json!(String::from_utf8_lossy(&out).replace('+', "-").replace('/', "_"))
        })
        .boxed()
}

/// What a `google.protobuf.Value` holds. Its whole numbers would come back as floats.
fn any_json() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i32>().prop_map(|value| json!(f64::from(value) + 0.5)),
        any::<String>().prop_map(|value| json!(value)),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            vec((any::<String>(), inner), 0..4).prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
    .boxed()
}

fn object(entries: impl Strategy<Value = Vec<(String, Value)>> + 'static) -> BoxedStrategy<Value> {
    entries
        .prop_map(|entries| Value::Object(entries.into_iter().collect()))
        .boxed()
}

fn scalars() -> Vec<(&'static str, BoxedStrategy<Value>)> {
    vec![
        ("aDouble", double()),
        ("a_float", float()),
        ("anInt32", whole::<i32>()),
        ("anInt64", whole::<i64>()),
        ("aUint32", whole::<u32>()),
        ("a_uint64", whole::<u64>()),
        ("aSint32", whole::<i32>()),
        ("aSint64", whole::<i64>()),
        ("aFixed32", whole::<u32>()),
        ("aFixed64", whole::<u64>()),
        ("aSfixed32", whole::<i32>()),
        ("aSfixed64", whole::<i64>()),
        ("aBool", any::<bool>().prop_map(|it| json!(it)).boxed()),
        ("aString", any::<String>().prop_map(|it| json!(it)).boxed()),
        ("someBytes", bytes()),
        ("aColour", colour()),
        ("maybe", whole::<i32>()),
        ("renamed", whole::<i32>()),
    ]
}

fn colour() -> BoxedStrategy<Value> {
    let named = select(vec!["NONE", "RED", "GREEN", "BLUE"]).prop_map(|it| json!(it));
    prop_oneof![named, any::<i32>().prop_map(|it| json!(it))].boxed()
}

fn many() -> Vec<(&'static str, BoxedStrategy<Value>)> {
    vec![
        ("packed", vec(whole::<i32>(), 0..40).prop_map(Value::Array).boxed()),
        ("unpacked", vec(whole::<i64>(), 0..4).prop_map(Value::Array).boxed()),
        (
            "strings",
            vec(any::<String>().prop_map(|it| json!(it)), 0..4)
                .prop_map(Value::Array)
                .boxed(),
        ),
        ("doubles", vec(double(), 0..4).prop_map(Value::Array).boxed()),
        ("colours", vec(colour(), 0..4).prop_map(Value::Array).boxed()),
        ("byName", object(vec((any::<String>(), whole::<i64>()), 0..4))),
        (
            "byBool",
            object(vec((any::<bool>().prop_map(|it| it.to_string()), bytes()), 0..2)),
        ),
    ]
}

fn well_known() -> Vec<(&'static str, BoxedStrategy<Value>)> {
    let time = (-62_135_596_800i64..253_402_300_800, 0..1_000_000_000u32);
    vec![
        (
            "at",
            time.prop_map(|(seconds, nanos)| {
                let nanos = i32::try_from(nanos).expect("below a thousand million");
                json!(prost_reflect::prost_types::Timestamp { seconds, nanos }.to_string())
            })
            .boxed(),
        ),
        (
            "lasts",
            (0..315_576_000_000i64)
                .prop_map(|it| json!(format!("-{it}.5s")))
                .boxed(),
        ),
        (
            "mask",
            vec("[a-z]{1,5}(\\.[a-z]{1,3}[A-Z][a-z])?", 0..4)
                .prop_map(|paths| json!(paths.join(",")))
                .boxed(),
        ),
        ("structure", object(vec((any::<String>(), any_json()), 0..4))),
        ("value", any_json()),
        ("list", vec(any_json(), 0..4).prop_map(Value::Array).boxed()),
        (
            "any",
            whole::<i32>()
                .prop_map(|it| json!({"@type": "x/test.All", "anInt32": it}))
                .boxed(),
        ),
        ("empty", Just(json!({})).boxed()),
        ("wrapped", whole::<i64>()),
        ("wrappedText", any::<String>().prop_map(|it| json!(it)).boxed()),
        ("wrappedBytes", bytes()),
        // The library shows those that are not finite as `null`.
        (
            "wrapped_double",
            any::<i32>().prop_map(|it| json!(f64::from(it) / 4.0)).boxed(),
        ),
        ("nothing", Just(Value::Null).boxed()),
    ]
}

/// Some of the fields, each with a value or `null`, in any order.
fn message(nested: Option<BoxedStrategy<Value>>) -> BoxedStrategy<Value> {
    let mut fields = scalars();
    fields.extend(many());
    fields.extend(well_known());
    if let Some(nested) = nested {
        fields.extend([
            ("child", nested.clone()),
            ("children", vec(nested.clone(), 0..3).prop_map(Value::Array).boxed()),
            (
                "byNumber",
                object(vec((any::<i32>().prop_map(|it| it.to_string()), nested.clone()), 0..3)),
            ),
            ("message", nested),
        ]);
    } else {
        fields.push(("text", any::<String>().prop_map(|it| json!(it)).boxed()));
    }
    let count = fields.len();
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| {
            let value = prop_oneof![9 => value, 1 => Just(Value::Null)];
            value.prop_map(move |value| (name.to_owned(), value)).boxed()
        })
        .collect();
    prop::sample::subsequence(fields, 0..count / 3)
        .prop_flat_map(|fields| fields)
        .prop_shuffle()
        .prop_map(|entries| Value::Object(Map::from_iter(entries)))
        .boxed()
}

fn any_message() -> BoxedStrategy<Value> {
    message(Some(message(Some(message(None)))))
}

fn encoded(message: &Message, json: &Value) -> Result<Vec<u8>, TestCaseError> {
    let mut out = Vec::new();
    match message.encode(json.to_string().as_bytes(), &mut out) {
        Ok(()) => Ok(out),
        Err(wrong) => Err(TestCaseError::fail(format!("{wrong} in {json}"))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_is_encoded_is_what_the_library_reads_from_the_same_json(json in any_message()) {
        let message = all();
        let bytes = encoded(&message, &json)?;
        message.check(&bytes).map_err(|wrong| TestCaseError::fail(wrong.to_string()))?;
        let ours = DynamicMessage::decode(descriptor(&message), bytes.as_slice()).expect("a message");
        let text = json.to_string();
        let mut read = serde_json::Deserializer::from_str(&text);
        let theirs = DynamicMessage::deserialize(descriptor(&message), &mut read).expect("JSON");
        // Fields with a default value are there or not, which means the same: by their bytes, they are not.
        let theirs = DynamicMessage::decode(descriptor(&message), theirs.encode_to_vec().as_slice()).expect("a message");
        prop_assert_eq!(as_json(&ours), as_json(&theirs));

        let shown = message.json(&bytes, 1 << 20).expect("JSON");
        let shown: Value = serde_json::from_str(&shown).expect("JSON");
        prop_assert_eq!(&shown, &as_json(&theirs));
        // And what is shown means the same again.
        prop_assert_eq!(message.json(&encoded(&message, &shown)?, 1 << 20).expect("JSON"), message.json(&bytes, 1 << 20).expect("JSON"));
    }

    #[test]
    fn a_name_or_value_that_is_broken_is_refused_with_the_way_to_it(json in any_message(), at: prop::sample::Index) {
        let message = all();
        let mut unknown = json.clone();
        unknown["unknown"] = Value::Null;
        prop_assert!(encoded(&message, &unknown).is_err());

        // Only these take the object that is put there.
        let takes = ["byName", "structure", "value"];
        let names = json.as_object().expect("an object").keys();
        let names: Vec<_> = names.filter(|name| !takes.contains(&name.as_str())).collect();
        if names.is_empty() {
            return Ok(());
        }
        let name = at.get(&names);
        let mut broken = json.clone();
        broken[name.as_str()] = json!({"x": 1});
        let mut out = vec![7];
        let wrong = message.encode(broken.to_string().as_bytes(), &mut out).expect_err("broken");
        prop_assert!(wrong.path().starts_with(&format!("/{name}")), "{}", wrong);
        prop_assert_eq!(out, vec![7]);
    }

    #[test]
    fn no_damage_to_a_message_makes_reading_panic(
        json in any_message(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in option::of(any::<prop::sample::Index>()),
    ) {
        let message = all();
        let mut bytes = encoded(&message, &json)?;
        for (at, byte) in damage {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        let checked = message.check(&bytes);
        let shown = message.json(&bytes, 1 << 20);
        let read = DynamicMessage::decode(descriptor(&message), bytes.as_slice());
        // The other way round, the library reads entries of maps whatever their wire type.
        prop_assert!(checked.is_err() || read.is_ok(), "{:?}", read.err());
        prop_assert!(checked.is_ok() || shown.is_err());
        let _ = old().json(&bytes, 1 << 20);
    }

    #[test]
    fn no_text_makes_a_time_a_duration_or_a_mask_panic(text in "[-+0-9]{0,12}[T.:, ]?[-0-9:.TZs+]{0,30}", other: String) {
        for text in [text, other] {
            for name in ["at", "lasts", "mask"] {
                let mut out = Vec::new();
                let json = json!({name: text}).to_string();
                if all().encode(json.as_bytes(), &mut out).is_ok() {
                    let _ = all().json(&out, 1_000);
                }
            }
        }
    }

    #[test]
    fn no_numbers_make_a_time_or_a_duration_panic(seconds: i64, nanos: i32) {
        let time = prost_reflect::prost_types::Timestamp { seconds, nanos }.encode_to_vec();
        for tag in [[0xfa, 1], [0x82, 2]] {
            let bytes = [&tag[..], &[time.len() as u8], &time].concat();
            all().check(&bytes).expect("a message");
            let _ = all().json(&bytes, 1_000);
        }
    }
}
