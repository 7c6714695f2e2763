use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn text(pointer: &str, document: &str) -> Result<String, Absent> {
    let text = Pointer::parse(pointer).unwrap().text_in(document.as_bytes())?;
    Ok(String::from_utf8(text).unwrap())
}

fn found(text: &str) -> Result<String, Absent> {
    Ok(text.to_owned())
}

// The document of RFC 6901, section 5, and those of its pointers that end at a scalar.
#[test]
fn the_examples_of_the_rfc_are_found() {
    let document = r#"{"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6,
                       " ": 7, "m~n": 8}"#;
    for (pointer, expected) in [
        ("/foo/0", "bar"),
        ("/", "0"),
        ("/a~1b", "1"),
        ("/c%d", "2"),
        ("/e^f", "3"),
        ("/g|h", "4"),
        ("/i\\j", "5"),
        ("/k\"l", "6"),
        ("/ ", "7"),
        ("/m~0n", "8"),
    ] {
        assert_eq!(text(pointer, document), found(expected), "{pointer}");
    }
    assert_eq!(text("", document), Err(Absent::NotScalar));
    assert_eq!(text("/foo", document), Err(Absent::NotScalar));
}

#[test]
fn scalars_decide_by_the_text_that_was_sent() {
    for (json, expected) in [
        (r#""a\n\u00e9""#, "a\né"),
        (r#""""#, ""),
        ("1", "1"),
        ("1.0", "1.0"),
        ("1e999", "1e999"),
        ("-0", "-0"),
        ("true", "true"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
    ] {
        assert_eq!(text("", &format!(" {json}\n")), found(expected), "{json}");
        assert_eq!(
            text("/a/1", &format!(r#"{{"a": [0, {json}]}}"#)),
            found(expected),
            "{json}"
        );
    }
}

#[test]
fn an_array_has_only_places_that_the_rfc_allows() {
    for pointer in ["/2", "/01", "/-", "/+1", "/", "/a", "/99999999999999999999999"] {
        assert_eq!(text(pointer, r#"["x", "y"]"#), Err(Absent::NoField), "{pointer}");
    }
}

#[test]
fn a_way_that_ends_early_finds_nothing() {
    for scalar in [r#""s""#, "1", "-1", "1.5", "true", "null", "[]", "{}"] {
        assert_eq!(
            text("/a/b", &format!(r#"{{"a": {scalar}}}"#)),
            Err(Absent::NoField),
            "{scalar}"
        );
    }
    assert_eq!(text("/a", r#"{"a": null}"#), Err(Absent::Null));
}

#[test]
fn the_last_of_repeated_names_counts() {
    assert_eq!(text("/a", r#"{"a": 1, "a": 2}"#), found("2"));
    assert_eq!(text("/a/b", r#"{"a": {"b": 1}, "a": 2}"#), Err(Absent::NoField));
}

#[test]
fn a_document_that_is_not_json_to_its_end_is_refused() {
    for document in [
        "",
        "plain",
        r#"{"a": 1"#,
        r#"{"a": 1,}"#,
        r#"{"a": 1} x"#,
        r#"{"a": 1, "b": nul}"#,
        "\u{feff}1",
    ] {
        assert_eq!(text("/a", document), Err(Absent::NotJson), "{document}");
    }
    let not_utf8 = b"{\"a\": 1, \"b\": \"\xff\"}";
    assert_eq!(Pointer::parse("/a").unwrap().text_in(not_utf8), Err(Absent::NotJson));
    assert_eq!(text("/a", r#"{"a": "\ud800"}"#), Err(Absent::NotJson));
}

#[test]
fn depth_does_not_exhaust_the_stack() {
    let depth = 1_000_000;
    let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(
        text("/b", &format!(r#"{{"a": {deep}, "b": 1, "c": {deep}}}"#)),
        found("1")
    );
    assert_eq!(text("/a", &format!(r#"{{"a": {deep}}}"#)), Err(Absent::NotScalar));
    assert_eq!(text("/a", &"[".repeat(depth)), Err(Absent::NotJson));

    let pointer = "/0".repeat(MAX_STEPS);
    assert_eq!(text(&pointer, &deep), Err(Absent::NotScalar));
    assert!(Pointer::parse(&format!("{pointer}/0")).is_err_and(|message| message.contains("65 steps")));
}

#[test]
fn a_pointer_that_is_none_is_refused_with_the_cure() {
    let refused = |pointer| Pointer::parse(pointer).err().unwrap();
    assert!(refused("a/b").contains("write `/a/b`"));
    for pointer in ["/a~", "/~2", "/~~"] {
        assert!(refused(pointer).contains("write `~0`"), "{pointer}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[01a/~\"é]{0,2}", inner, 0..4)
                .prop_map(|object| Value::Object(object.into_iter().collect())),
        ]
    })
}

proptest! {
    // serde_json has a pointer of its own, which needs the whole document as a tree.
    #[test]
    fn the_walk_finds_what_a_search_of_the_whole_tree_finds(
        document in any_json(),
        steps in prop::collection::vec("[01a/~\"é]{0,2}", 0..4),
    ) {
        let escape = |step: &String| format!("/{}", step.replace('~', "~0").replace('/', "~1"));
        let pointer: String = steps.iter().map(escape).collect();
        let expected = match document.pointer(&pointer) {
            None => Err(Absent::NoField),
            Some(Value::Null) => Err(Absent::Null),
            Some(Value::Array(_) | Value::Object(_)) => Err(Absent::NotScalar),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(scalar) => Ok(scalar.to_string()),
        };
        prop_assert_eq!(text(&pointer, &document.to_string()), expected);
    }

    #[test]
    fn no_bytes_make_it_panic(document in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Pointer::parse("/a/0").unwrap().text_in(&document);
    }
}
