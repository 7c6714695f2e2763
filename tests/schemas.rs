//! What enters Kafka is what its readers were promised: routes with schemas, against a real registry, read back by others.

mod away;
mod doubled;
mod other_ways;
mod tools;

use std::fs;

use serde_json::{Value, json};

use crate::support::{
    consumer::read,
    http::Reply,
    kafka::Kafka,
    registry::Registry,
    sidecar::{Builder, Sidecar, eventually, root},
};

const PARTITIONS: u32 = 6;

/// An order that all three schemas in tests/schemas allow.
fn order(number: usize) -> Value {
    json!({
        "order_id": format!("o-{number}"),
        "customer": {"id": format!("c-{}", number % 7), "tier": "gold"},
        "amount_cents": number,
        "items": [{"sku": "a", "qty": 2}],
        "express": true
    })
}

fn schema(file: &str) -> String {
    fs::read_to_string(root().join("tests/schemas").join(file)).expect(file)
}

/// A route with these schemas; its `subject`'s latest version is seen soon.
fn sidecar(bootstrap: &str, registry: &str, route: &str) -> Sidecar {
    builder(bootstrap, registry, route).start()
}

fn builder(bootstrap: &str, registry: &str, route: &str) -> Builder {
    // A registry that has just started takes seconds to answer on a busy machine.
    within(30_000, bootstrap, registry, route)
}

/// The registry has to answer within so many ms.
fn within(ms: u32, bootstrap: &str, registry: &str, route: &str) -> Builder {
    Builder::kafka(bootstrap).config(&format!(
        "[schema_registry]\nurl = \"{registry}\"\nrefresh_ms = 100\ntimeout_ms = {ms}\n[[route]]\ntopics = [\"*\"]\n{route}"
    ))
}

fn send(sidecar: &Sidecar, topic: &str, records: &[Value]) -> Reply {
    let body = json!({"records": records}).to_string();
    let headers = [("content-type", "application/json"), ("pointsman-trace", "1")];
    sidecar
        .tcp()
        .post(&format!("/v1/topics/{topic}/records"), &headers, body.as_bytes())
}

/// A value of bytes, as an application that serializes by itself sends it.
fn bytes(value: &[u8]) -> Value {
    json!({"value_base64": base64_simd::STANDARD.encode_to_string(value)})
}

fn encode(format: &str) -> String {
    format!("value = {{ mode = \"encode\", format = \"{format}\" }}")
}

const CHECK: &str = "value = { mode = \"check\", validate = true }";

#[test]
fn what_an_application_sends_as_json_is_read_by_the_deserializers_of_others() {
    let registry = Registry::shared();
    let kafka = Kafka::single();
    for (format, kind, file) in [
        ("avro", "AVRO", "order.avsc"),
        ("protobuf", "PROTOBUF", "order.proto"),
        ("json", "JSON", "order.json"),
    ] {
        let topic = format!("orders-{format}");
        kafka.create_topic(&topic, PARTITIONS, &[]).unwrap();
        let id = registry.register(&format!("{topic}-value"), kind, &schema(file), &[]);
        let sidecar = sidecar(&kafka.bootstrap(), &registry.url(), &encode(format));
        let records: Vec<Value> = (0..20)
            .map(|number| json!({"key": format!("k{number}"), "value": order(number)}))
            .chain([json!({"key": "gone"})])
            .collect();
        let reply = send(&sidecar, &topic, &records);
        assert_eq!(reply.outcomes(), vec!["acked"; 21], "{reply:?}");
        let traced = &reply.json()["records"][0]["schema"];
        assert_eq!(
            *traced,
            json!({"subject": format!("{topic}-value"), "version": 1, "id": id})
        );
        let mut readers = vec!["python"];
        if format == "avro" {
            readers.push("java");
        }
        for reader in readers {
            let read = registry.read(reader, &kafka.bootstrap(), &topic, 21, &[&format!("format={format}")]);
            let mut found: Vec<(String, Value)> = read
                .iter()
                .map(|line| (line["key"].as_str().unwrap().to_owned(), line["value"].clone()))
                .collect();
            let mut expected: Vec<(String, Value)> = (0..20).map(|n| (format!("k{n}"), order(n))).collect();
            if format == "protobuf" {
                // Protobuf's own JSON has 64-bit numbers as strings.
                for (_, value) in &mut expected {
                    value["amount_cents"] = value["amount_cents"].to_string().into();
                }
            }
            expected.push(("gone".to_owned(), Value::Null));
            found.sort_by(|a, b| a.0.cmp(&b.0));
            expected.sort_by(|a, b| a.0.cmp(&b.0));
            assert_eq!(found, expected, "{reader} {format}");
        }
    }
}

#[test]
fn a_value_that_breaks_the_promise_is_refused_with_its_place_and_no_other_suffers() {
    let registry = Registry::shared();
    for (format, kind, file) in [
        ("avro", "AVRO", "order.avsc"),
        ("protobuf", "PROTOBUF", "order.proto"),
        ("json", "JSON", "order.json"),
    ] {
        let topic = format!("broken-{format}");
        registry.register(&format!("{topic}-value"), kind, &schema(file), &[]);
        let sidecar = sidecar("embedded", &registry.url(), &encode(format));
        let mut wrong = order(1);
        wrong["customer"]["id"] = json!([1]);
        let mut unknown = order(2);
        unknown["colour"] = "red".into();
        let reply = send(
            &sidecar,
            &topic,
            &[
                json!({"value": order(0)}),
                json!({"value": wrong}),
                json!({"value": unknown}),
                json!({"value_base64": "/w=="}),
                json!({"value": order(3)}),
            ],
        );
        assert_eq!(
            reply.outcomes(),
            [
                "acked",
                "rejected schema_invalid",
                "rejected schema_invalid",
                "rejected schema_invalid",
                "acked"
            ],
            "{format}: {reply:?}"
        );
        let told = |index: usize| reply.json()["records"][index]["error"]["message"].to_string();
        assert!(told(1).contains("/customer/id: "), "{format}: {}", told(1));
        assert!(told(2).contains("colour"), "{format}: {}", told(2));
    }
}

#[test]
fn no_record_without_a_schema_of_its_subject_passes_the_guard() {
    let registry = Registry::shared();
    let id = registry.register("guarded-value", "AVRO", &schema("order.avsc"), &[]);
    let other = registry.register("guarded-others-value", "AVRO", "\"string\"", &[]);
    let writer = sidecar("embedded", &registry.url(), &encode("avro"));
    assert_eq!(
        send(&writer, "guarded", &[json!({"value": order(1)})]).outcomes(),
        ["acked"]
    );
    let encoded = read_back(&writer, "guarded", 1).remove(0);
    let guard = sidecar("embedded", &registry.url(), CHECK);
    let with_id = |id: u32| [&[0][..], &id.to_be_bytes(), &encoded[5..]].concat();
    assert_eq!(encoded, with_id(id));
    let cases: [(&[u8], &str); 8] = [
        (&encoded, "acked"),
        (b"", "rejected schema_invalid"),
        (b"{\"order_id\":1}", "rejected schema_invalid"),
        (&encoded[..4], "rejected schema_invalid"),
        (&encoded[..encoded.len() - 1], "rejected schema_invalid"),
        (&[&encoded[..], &[0]].concat(), "rejected schema_invalid"),
        (&with_id(other), "rejected schema_unknown"),
        (&with_id(4_000_000), "rejected schema_unknown"),
    ];
    let records: Vec<Value> = cases.iter().map(|(value, _)| bytes(value)).collect();
    let reply = send(&guard, "guarded", &records);
    assert_eq!(
        reply.outcomes(),
        cases.map(|(_, expected)| expected.to_owned()),
        "{reply:?}"
    );
    assert_eq!(reply.json()["records"][0]["schema"]["id"], id);
    assert_eq!(
        read_back(&guard, "guarded", 1),
        [encoded],
        "the bytes go on as they came"
    );
}

#[test]
fn a_guard_that_does_not_look_inside_needs_no_schema_that_it_understands() {
    let registry = Registry::shared();
    // What some serializers register: a descriptor in base64. The registry takes it for the schema's text.
    let descriptor = "CgdhLnByb3RvIgMKAUFiBnByb3RvMw==";
    let id = registry.register("foreign-value", "PROTOBUF", descriptor, &[]);
    let value = [&[0][..], &id.to_be_bytes(), &[0]].concat();
    for (route, expected) in [
        ("value = { mode = \"check\" }", "acked"),
        (CHECK, "rejected schema_unknown"),
    ] {
        let sidecar = sidecar("embedded", &registry.url(), route);
        let reply = send(&sidecar, "foreign", &[bytes(&value)]);
        assert_eq!(reply.outcomes(), [expected], "{reply:?}");
    }
}

fn embedded(sidecar: &Sidecar) -> &str {
    sidecar.embedded.as_deref().expect("embedded")
}

/// The values of an embedded broker's topic.
fn read_back(sidecar: &Sidecar, topic: &str, count: usize) -> Vec<Vec<u8>> {
    let read = read(embedded(sidecar), topic, count);
    read.into_iter()
        .map(|record| record.value.unwrap_or_default())
        .collect()
}

#[test]
fn a_new_version_is_written_soon_and_no_record_is_lost_to_the_change() {
    let registry = Registry::shared();
    let old = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"long"}]}"#;
    let new = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"long"},{"name":"b","type":"string","default":""}]}"#;
    registry.register("evolving-value", "AVRO", old, &[]);
    let sidecar = sidecar("embedded", &registry.url(), &encode("avro"));
    let before = [json!({"value": {"a": 1}})];
    assert_eq!(send(&sidecar, "evolving", &before).outcomes(), ["acked"]);
    let after = [json!({"value": {"a": 1, "b": "x"}})];
    assert_eq!(
        send(&sidecar, "evolving", &after).outcomes(),
        ["rejected schema_invalid"]
    );
    registry.register("evolving-value", "AVRO", new, &[]);
    eventually("the new version is used", || {
        // Records of the old form go on all the time: the field that they do not have takes its default.
        assert_eq!(send(&sidecar, "evolving", &before).outcomes(), ["acked"]);
        send(&sidecar, "evolving", &after).outcomes() == ["acked"]
    });
}

#[test]
fn a_schema_that_refers_to_others_is_put_together_from_the_registry() {
    let registry = Registry::shared();
    registry.register(
        "customer",
        "AVRO",
        r#"{"type":"record","name":"Customer","namespace":"shop","fields":[{"name":"id","type":"string"}]}"#,
        &[],
    );
    registry.register(
        "sales-value",
        "AVRO",
        r#"{"type":"record","name":"Sale","fields":[{"name":"customer","type":"shop.Customer"}]}"#,
        &[("shop.Customer", "customer", 1)],
    );
    registry.register(
        "money.proto",
        "PROTOBUF",
        "syntax = \"proto3\"; package shop; message Money { int64 cents = 1; }",
        &[],
    );
    registry.register(
        "bills-value",
        "PROTOBUF",
        "syntax = \"proto3\"; import \"money.proto\"; message Bill { shop.Money sum = 1; }",
        &[("money.proto", "money.proto", 1)],
    );
    for (format, topic, value) in [
        ("avro", "sales", json!({"customer": {"id": "c"}})),
        ("protobuf", "bills", json!({"sum": {"cents": 5}})),
    ] {
        let sidecar = sidecar("embedded", &registry.url(), &encode(format));
        let reply = send(&sidecar, topic, &[json!({"value": value}), json!({"value": {"no": 1}})]);
        assert_eq!(
            reply.outcomes(),
            ["acked", "rejected schema_invalid"],
            "{format}: {reply:?}"
        );
    }
}

#[test]
fn a_key_that_is_plain_text_fits_a_schema_of_strings_and_a_field_inside_decides() {
    let registry = Registry::shared();
    registry.register("keyed-key", "AVRO", "\"string\"", &[]);
    registry.register("keyed-value", "AVRO", &schema("order.avsc"), &[]);
    let route = "key = { mode = \"encode\", format = \"avro\" }\nvalue = { mode = \"encode\", format = \"avro\" }";
    let sidecar = sidecar("embedded", &registry.url(), route);
    let keys = ["o-1", "123", "true", "ä", "{\"a\":1}"];
    let records: Vec<Value> = keys.iter().map(|key| json!({"key": key, "value": order(1)})).collect();
    let reply = send(&sidecar, "keyed", &records);
    assert_eq!(reply.outcomes(), vec!["acked"; keys.len()], "{reply:?}");
    let mut read: Vec<String> = read(embedded(&sidecar), "keyed", keys.len())
        .into_iter()
        // The id, and a length that fits one byte.
        .map(|record| String::from_utf8(record.key.unwrap()[6..].to_vec()).unwrap())
        .collect();
    read.sort();
    let mut keys = keys.map(str::to_owned);
    keys.sort();
    assert_eq!(read, keys);
}

#[test]
fn the_same_rule_finds_a_field_in_json_avro_and_protobuf() {
    let registry = Registry::shared();
    let rule = "plugin = \"json-field\"\nconfig = { pointer = \"/customer/id\", missing = \"reject\" }\n";
    let mut seen: Vec<Vec<u64>> = Vec::new();
    for (format, kind, file) in [
        ("json", "JSON", "order.json"),
        ("avro", "AVRO", "order.avsc"),
        ("protobuf", "PROTOBUF", "order.proto"),
    ] {
        let topic = format!("ruled-{format}");
        let subject = format!("{topic}-value");
        registry.register(&subject, kind, &schema(file), &[]);
        let writer = sidecar("embedded", &registry.url(), &format!("{rule}{}", encode(format)));
        let records: Vec<Value> = (0..20).map(|number| json!({"value": order(number)})).collect();
        let reply = send(&writer, &topic, &records);
        assert_eq!(reply.outcomes(), vec!["acked"; 20], "{format}: {reply:?}");
        seen.push(reply.partitions());
        // The same records, encoded already.
        let encoded: Vec<Value> = (0..20)
            .map(|number| {
                let one = send(&writer, &format!("single-{number}"), &[json!({"value": order(number)})]);
                assert_eq!(
                    one.outcomes(),
                    ["rejected schema_unknown"],
                    "another topic has another subject"
                );
                bytes(&tools::encoded(&registry.url(), &subject, &order(number)))
            })
            .collect();
        let guard = sidecar("embedded", &registry.url(), &format!("{rule}{CHECK}"));
        let reply = send(&guard, &topic, &encoded);
        assert_eq!(reply.outcomes(), vec!["acked"; 20], "{format}: {reply:?}");
        seen.push(reply.partitions());
    }
    assert!(seen.iter().all(|partitions| *partitions == seen[0]), "{seen:?}");
}
