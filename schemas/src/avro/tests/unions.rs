use super::*;

/// The number of the branch that was taken.
fn branch(schema: &AvroSchema, json: &str) -> Result<u8, String> {
    encoded(schema, json).map(|payload| payload[0] / 2)
}

#[test]
fn a_value_goes_to_the_branch_that_its_kind_means() {
    let all = schema(
        r#"["null", "boolean", "int", "long", "float", "double", "string", {"type": "array", "items": "int"},
        {"type": "map", "values": "int"}]"#,
    );
    let cases = [
        ("null", 0),
        ("true", 1),
        ("5", 2),
        ("3000000000", 3),
        ("9223372036854775808", 5),
        ("0.1", 5),
        ("5.0", 5),
        ("\"x\"", 6),
        ("\"NaN\"", 6),
        ("[]", 7),
        ("{}", 8),
        (r#"{"k": 1}"#, 8),
        (r#"{"map": {"map": 1}}"#, 8),
        (r#"{"float": 5}"#, 4),
        (r#"{"long": 5}"#, 3),
        (r#"{"null": null}"#, 0),
    ];
    for (json, number) in cases {
        assert_eq!(branch(&all, json), Ok(number), "{json}");
    }
}

#[test]
fn a_whole_number_is_not_rounded_where_the_union_has_whole_numbers() {
    let union = schema(r#"["int", "float"]"#);
    assert_eq!(branch(&union, "3000000000"), Ok(1));
    assert!(branch(&union, "3000000001").is_err());
    assert_eq!(branch(&union, "0.1"), Ok(1));
    assert_eq!(
        branch(&schema(r#"["string", "float", "boolean"]"#), "3000000001"),
        Ok(1)
    );
}

#[test]
fn a_string_goes_to_the_only_branch_that_takes_it_and_else_has_to_be_named() {
    let union = schema(
        r#"["null", "string", {"type": "enum", "name": "a.E", "symbols": ["RED"]},
        {"type": "fixed", "name": "F", "size": 2}, {"type": "long", "logicalType": "timestamp-millis"}]"#,
    );
    assert_eq!(branch(&union, "\"blue\""), Ok(1));
    assert_eq!(branch(&union, "\"2025-03-30T10:20:30Z\""), Ok(1));
    assert_eq!(branch(&union, "{\"long\": \"2025-03-30T10:20:30Z\"}"), Ok(4));
    assert_eq!(branch(&union, "{\"a.E\": \"RED\"}"), Ok(2));
    let wrong = branch(&union, "\"RED\"").expect_err("two");
    assert_eq!(
        wrong,
        "\"RED\" could be string or a.E: name the branch that is meant, as in {\"string\": …}"
    );
    assert!(branch(&union, "\"ab\"").is_err());
    let union = schema(
        r#"[{"type": "enum", "name": "E", "symbols": ["RED"]}, "double", "float",
        {"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}, {"type": "int", "logicalType": "date"}]"#,
    );
    for (json, number) in [
        ("\"RED\"", 0),
        ("\"NaN\"", 1),
        ("\"f81d4fae-7dec-11d0-a765-00a0c91e6bf6\"", 3),
        ("\"0123456789abcdef\"", 3),
        ("\"2025-03-30\"", 4),
    ] {
        assert_eq!(branch(&union, json), Ok(number), "{json}");
    }
    let wrong = branch(&union, "\"BLUE\"").expect_err("none");
    assert!(
        wrong.starts_with("expected a value of one of the union's branches (E, double, float, U, int), got"),
        "{wrong}"
    );
}

#[test]
fn an_object_names_its_branch_or_is_of_the_only_one_that_it_can_be() {
    let record =
        |name: &str| format!(r#"{{"type": "record", "name": "{name}", "fields": [{{"name": "x", "type": "int"}}]}}"#);
    let one = schema(&format!(r#"["null", "int", {}]"#, record("n.A")));
    assert_eq!(branch(&one, r#"{"x": 1}"#), Ok(2));
    assert_eq!(branch(&one, r#"{"n.A": {"x": 1}}"#), Ok(2));
    assert_eq!(
        encoded(&one, r#"{"n.A": {"x": "a"}}"#).expect_err("wrong"),
        "/n.A/x: expected int, got \"a\""
    );
    assert_eq!(
        encoded(&one, r#"{"x": "a"}"#).expect_err("wrong"),
        "/x: expected int, got \"a\""
    );
    let two = schema(&format!("[{}, {}]", record("A"), record("B")));
    assert_eq!(branch(&two, r#"{"B": {"x": 1}}"#), Ok(1));
    let wrong = branch(&two, r#"{"x": 1}"#).expect_err("two");
    assert_eq!(
        wrong,
        "an object could be A or B: name the branch that is meant, as in {\"A\": …}"
    );
    assert_eq!(there_and_back(&two, r#"{"B": {"x": 1}}"#), r#"{"x":1}"#);
}

#[test]
fn a_decimal_in_a_union_may_be_a_number_if_no_other_branch_is_one() {
    let decimal = r#"{"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}"#;
    let union = schema(&format!(r#"["null", "string", {decimal}]"#));
    assert_eq!(branch(&union, "1.5"), Ok(2));
    assert!(branch(&union, "1.555").is_err());
    let union = schema(&format!(r#"["double", "string", {decimal}]"#));
    assert_eq!(branch(&union, "1.5"), Ok(0));
}

#[test]
fn a_union_of_many_branches_is_not_tried_branch_by_branch_for_each_value() {
    let symbols = |number: usize| format!(r#"{{"type": "enum", "name": "E{number}", "symbols": ["S{number}"]}}"#);
    let branches: Vec<String> = (0..5_000).map(symbols).collect();
    let schema = schema(&format!(r#"{{"type": "array", "items": [{}]}}"#, branches.join(",")));
    assert!(encoded(&schema, r#"["S7"]"#).is_err());
    let items: Vec<String> = (0..5_000)
        .map(|number| format!(r#"{{"E{number}": "S{number}"}}"#))
        .collect();
    assert!(encoded(&schema, &format!("[{}]", items.join(","))).is_ok());
}
