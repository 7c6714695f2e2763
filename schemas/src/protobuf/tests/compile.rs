//! What may be a schema, and how its messages are numbered.

use proptest::prelude::*;

use super::{ALL, compiled};
use crate::{BadSchema, Source, protobuf::ProtobufSchema};

fn with(text: &str, references: &[(&str, &str)]) -> Result<ProtobufSchema, BadSchema> {
    ProtobufSchema::compile(&Source {
        text: text.to_owned(),
        references: references
            .iter()
            .map(|&(name, text)| (name.to_owned(), text.to_owned()))
            .collect(),
    })
}

fn refused(text: &str) -> String {
    with(text, &[]).expect_err("no schema").to_string()
}

const NESTED: &str = r#"
    syntax = "proto3";
    package shop;
    message Order {
      map<string, Item> items = 1;
      message Item {
        message Price {}
      }
      message Note {}
    }
    message Customer {}
"#;

#[test]
fn a_message_is_found_by_the_bytes_that_confluents_clients_for_java_write() {
    let schema = compiled(NESTED);
    // As its `MessageIndexes` writes them. The entry of the map, which is before `Item` in descriptors, does not count.
    let expected: [(&str, &[u8]); 5] = [
        ("shop.Order", &[0]),
        ("shop.Order.Item", &[4, 0, 0]),
        ("shop.Order.Item.Price", &[6, 0, 0, 0]),
        ("shop.Order.Note", &[4, 0, 2]),
        ("shop.Customer", &[2, 2]),
    ];
    for (name, bytes) in expected {
        let message = schema.message(Some(name)).expect("a message");
        assert_eq!((message.index(), message.full_name()), (bytes, name));
        let followed = [bytes, &[1, 2, 3]].concat();
        let (read, len) = schema.message_at(&followed).expect("a message");
        assert_eq!((read.full_name(), len), (name, bytes.len()));
    }
    assert_eq!(schema.message(None).expect("a message").full_name(), "shop.Order");
    // The way to the first message, written at length.
    let (read, len) = schema.message_at(&[2, 0, 9]).expect("a message");
    assert_eq!((read.full_name(), len), ("shop.Order", 2));
}

#[test]
fn a_map_in_the_form_that_confluents_clients_make_from_descriptors_is_a_map() {
    let schema = compiled(
        r#"syntax = "proto3"; message A { repeated .A.TagsEntry tags = 1;
           message TagsEntry { option map_entry = true; string key = 1; int32 value = 2; }
           message B {} }"#,
    );
    let mut out = Vec::new();
    schema.encode(br#"{"tags": {"a": 1}}"#, &mut out).expect("a message");
    assert_eq!(out, [0, 10, 5, 10, 1, b'a', 16, 1]);
    assert_eq!(schema.json(&out, 100).expect("JSON"), r#"{"tags":{"a":1}}"#);
    // Where it is in the text, it counts.
    assert_eq!(schema.message(Some("A.B")).expect("a message").index(), [4, 0, 2]);
}

#[test]
fn groups_are_not_counted_among_messages() {
    let schema = compiled("message A { optional group G = 1 { message Deep {} } message B {} }");
    assert_eq!(schema.message(Some("A.B")).expect("a message").index(), [4, 0, 0]);
    let error = schema.message(Some("A.G")).expect_err("a group").to_string();
    assert_eq!(error, "the schema has no message `A.G`; it has A, A.B");
}

#[test]
fn an_index_that_leads_nowhere_is_refused() {
    let schema = compiled(NESTED);
    let wrong: [&[u8]; 7] = [&[], &[4, 0], &[2, 4], &[2, 1], &[1], &[0x80], &[0x82, 2]];
    for bytes in wrong {
        assert!(schema.message_at(bytes).is_err(), "{bytes:?}");
    }
    let error = schema.message_at(&[2, 4]).expect_err("no message").to_string();
    assert_eq!(
        error,
        "the message's index has 2 as step 0, where the schema has 2 messages"
    );
    assert!(compiled("").message_at(&[0]).is_err());
    assert!(compiled("").message(None).is_err());
}

#[test]
fn a_message_that_is_not_there_is_told_with_those_that_are() {
    let error = compiled(NESTED)
        .message(Some("Order"))
        .expect_err("no message")
        .to_string();
    assert!(
        error.starts_with("the schema has no message `Order`; it has shop.Order, shop.Order.Item,"),
        "{error}"
    );
    let many: String = (0..100).map(|index| format!("message M{index} {{}} ")).collect();
    let error = compiled(&many).message(Some("x")).expect_err("no message").to_string();
    assert!(error.ends_with("M7 and 92 more"), "{error}");
}

#[test]
fn imports_come_from_references_and_from_protobuf_itself() {
    let text = r#"import "a/b.proto"; import "google/protobuf/timestamp.proto";
        message M { optional a.B b = 1; optional google.protobuf.Timestamp at = 2; }"#;
    let reference = ("a/b.proto", "package a; message B { optional int32 c = 1; }");
    let schema = with(text, &[reference]).expect("a schema");
    let mut out = Vec::new();
    schema.encode(br#"{"b": {"c": 1}}"#, &mut out).expect("a message");
    assert_eq!(out, [0, 0x0a, 2, 8, 1]);
    // What is imported is no message of the schema.
    assert!(schema.message(Some("a.B")).is_err());

    let error = with(text, &[]).expect_err("no schema").to_string();
    assert!(
        error.contains("\"a/b.proto\", which is not among the schema's references"),
        "{error}"
    );
    // A reference cannot change the types that the library knows.
    let shadow = ("google/protobuf/timestamp.proto", "nonsense");
    assert!(with(text, &[reference, shadow]).is_ok());
}

#[test]
fn what_confluents_converters_import_needs_no_reference() {
    let text = r#"
        import "confluent/meta.proto";
        import "confluent/type/decimal.proto";
        import "google/type/date.proto";
        import "google/type/timeofday.proto";
        message M {
          optional confluent.type.Decimal price = 1 [(confluent.field_meta) = { doc: "b" }];
          optional google.type.Date day = 2;
          optional google.type.TimeOfDay time = 3;
        }
    "#;
    with(text, &[]).expect("a schema");
    // Whoever gives one is taken at their word.
    assert!(with(text, &[("google/type/date.proto", "message Other {}")]).is_err());
}

#[test]
fn what_an_import_passes_on_is_seen_however_many_ways_lead_there() {
    let mut references = vec![
        ("a0".to_owned(), "message Deep {}".to_owned()),
        ("b0".to_owned(), String::new()),
    ];
    for index in 1..100 {
        // Who follows both at each of them is not back before the sun has gone out.
        let both = format!("import public \"a{0}\"; import public \"b{0}\";", index - 1);
        references.push((format!("a{index}"), both.clone()));
        references.push((format!("b{index}"), both));
    }
    let text = "import \"a99\"; message M { optional Deep deep = 1; }".to_owned();
    ProtobufSchema::compile(&Source { text, references }).expect("a schema");
}

#[test]
fn files_that_import_each_other_are_refused() {
    let error = with("import \"a\";", &[("a", "import \"b\";"), ("b", "import \"a\";")]);
    let error = error.expect_err("a circle").to_string();
    assert!(error.contains("cannot go in a circle"), "{error}");
    assert!(with("import \"a\";", &[("a", "import \"a\";")]).is_err());
    assert!(with("import \"schema\";", &[("schema", "message A {}")]).is_ok());
}

#[test]
fn too_many_imports_are_refused_without_a_stack_that_overflows() {
    let references = (0..10_000)
        .map(|index| (format!("{index}"), format!("import \"{}\";", index + 1)))
        .collect();
    let text = "import \"0\";".to_owned();
    let error = ProtobufSchema::compile(&Source { text, references });
    assert!(error.expect_err("no schema").to_string().contains("256 files"));
}

#[test]
fn a_text_that_nests_without_end_is_refused() {
    for piece in [
        "message A{",
        "message A{optional group B=1{",
        "{",
        "(",
        "[",
        "/*",
        "option a={",
        "option (a)=<",
    ] {
        refused(&piece.repeat(20_000));
    }
    let braces = format!(
        "option (a) = {{ {}a: 1{} }}; message A {{}}",
        "a {".repeat(50_000),
        "}".repeat(50_000)
    );
    with(&braces, &[]).expect("options are not looked at");
}

#[test]
fn ten_thousand_types_are_compiled_and_a_million_refused() {
    let fields: String = (0..10_000)
        .map(|index| format!("message M{index} {{ optional M{} next = 1; }}\n", (index + 1) % 10_000))
        .collect();
    let schema = compiled(&format!("message Around {{ {fields} }}"));
    assert_eq!(
        schema.message(Some("Around.M9999")).expect("a message").full_name(),
        "Around.M9999"
    );
    refused(&"message A{}".repeat(100_000));
}

#[test]
fn a_short_text_cannot_declare_names_of_gigabytes() {
    let scope = "a.".repeat(200);
    let name = "n".repeat(400);
    let messages: String = (0..10_000).map(|index| format!("message M{index}{{}}")).collect();
    let mut text = format!("package {scope}b;");
    for depth in 0..30 {
        text += &format!("message {}{depth}{{", &name);
    }
    text += &messages;
    text += &"}".repeat(30);
    assert!(refused(&text).contains("full names"));
}

#[test]
fn what_only_a_compiler_may_say_is_refused() {
    for fields in [
        "",
        "optional bytes key = 1; optional int32 value = 2;",
        "repeated int32 key = 1; optional int32 value = 2;",
    ] {
        let text = format!("message A {{ option map_entry = true; {fields} }} message B {{ repeated A a = 1; }}");
        assert!(refused(&text).contains("map_entry"));
    }
    assert!(refused("message A { option message_set_wire_format = true; }").contains("message_set"));
    assert!(refused("package google.protobuf; message FileOptions {}").contains("Protobuf's own"));
    assert!(refused("message google { message protobuf { message Any {} } }").contains("Protobuf's own"));
}

#[test]
fn a_mistake_is_told_with_its_line() {
    assert!(refused("syntax = \"proto3\";\nmessage A {\n  int32 a 1;\n}").starts_with("schema:3:11: expected"));
    assert!(refused("message A { optional B b = 1; }").contains("name 'B' is not defined"));
    assert!(refused("edition = \"2023\"; message A {}").contains("editions cannot be used yet"));
    assert!(refused("message A { optional int32 a = 1; optional int32 b = 1; }").starts_with("schema: "));
}

#[test]
fn options_that_are_nobodys_are_passed_over() {
    let text = r#"
        syntax = "proto3";
        import "google/protobuf/descriptor.proto";
        extend google.protobuf.FieldOptions { string note = 50000; }
        option java_package = "x";
        message A { reserved 5 to 7; int32 a = 1 [(note) = "b", (unknown).c = { d: [1, 2] # e
        }, deprecated = true]; }
        service S { rpc Call (A) returns (Unknown); }
    "#;
    let mut out = Vec::new();
    compiled(text).encode(br#"{"a": 5}"#, &mut out).expect("a message");
    assert_eq!(out, [0, 8, 5]);
}

proptest! {
    #[test]
    fn no_text_makes_the_compiler_panic(text: String) {
        let _ = with(&text, &[]);
    }

    #[test]
    fn no_words_of_protobuf_make_the_compiler_panic(words in prop::collection::vec(prop::sample::select(WORDS), 0..60)) {
        let _ = with(&words.join(" "), &[("a", "syntax = \"proto3\"; message C {}")]);
    }

    #[test]
    fn no_damage_to_a_schema_makes_the_compiler_panic(at in 0..ALL.len(), len in 0..40usize, with_ in "[ -~]{0,8}") {
        let end = (at + len).min(ALL.len());
        let text = format!("{}{with_}{}", &ALL[..at], &ALL[end..]);
        let _ = with(&text, &[]);
    }
}

const WORDS: &[&str] = &[
    "syntax = \"proto3\";",
    "message A {",
    "message B {",
    "enum E {",
    "oneof o {",
    "}",
    "{",
    ";",
    "=",
    "1",
    "2",
    "0",
    "-1",
    "int32",
    "string",
    "bytes",
    "A",
    "B",
    "E",
    "A.B",
    ".A",
    "a",
    "b",
    "optional",
    "repeated",
    "required",
    "group G",
    "map<string, A>",
    "map<int32, bytes>",
    "a = 1;",
    "b = 2;",
    "X = 0;",
    "Y = 1;",
    "reserved 1 to 5;",
    "reserved \"a\";",
    "extensions 10 to max;",
    "extend A {",
    "option allow_alias = true;",
    "[packed = true]",
    "[default = 5]",
    "[json_name = \"a\"]",
    "[default = \"\\xe9\\777\"]",
    "import \"a\";",
    "import public \"a\";",
    "package a.b;",
    "option (x) = {",
    "service S {",
    "rpc M(A) returns (stream B);",
    "\"",
    "'",
    "//",
    "/*",
    "*/",
    "\n",
    ".",
    ",",
    "1e9",
    "0x",
    "inf",
    "nan",
    "C",
];
