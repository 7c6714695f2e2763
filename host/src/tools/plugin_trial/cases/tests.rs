use super::*;

fn read(name: &str, text: &str) -> Result<Cases, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(name);
    fs::write(&file, text).expect("written");
    Cases::read(&file).map_err(|error| format!("{error:#}"))
}

#[test]
fn both_forms_say_the_same() {
    let toml = "config = { a = 1 }\n[[case]]\nname = \"x\"\npartitions = 3\nkey = \"k\"\nexpect = \"any\"\n";
    let json = "{\"config\":{\"a\":1}}\n\n{\"name\":\"x\",\"partitions\":3,\"key\":\"k\",\"expect\":\"any\"}\n";
    for (name, text) in [("c.toml", toml), ("c.ndjson", json)] {
        let cases = read(name, text).expect("cases");
        assert_eq!((cases.config["a"].as_i64(), cases.cases.len()), (Some(1), 1));
        assert_eq!(cases.cases[0].expect, Expect::Any);
        assert_eq!(
            cases.cases[0].record().expect("a record").key.as_deref(),
            Some(&b"k"[..])
        );
    }
}

#[test]
fn every_decision_can_be_expected_by_the_names_of_the_interface_and_old_tables_stay_good() {
    let expects = |expect: &str| {
        let text = format!("[[case]]\nname = \"x\"\npartitions = 3\nexpect = {expect}\n");
        read("c.toml", &text).map(|cases| cases.cases[0].expect.clone())
    };
    let tenant = |partition| Expect::Tenant {
        name: "a".to_owned(),
        partition,
    };
    for (expect, is) in [
        ("\"any\"", Expect::Any),
        ("{ partition = 2 }", Expect::Partition(2)),
        ("{ key-hash = \"a\" }", Expect::KeyHash(b"a".to_vec())),
        ("{ key_hash = \"a\" }", Expect::KeyHash(b"a".to_vec())),
        ("{ tenant = \"a\" }", tenant(None)),
        ("{ tenant = \"a\", partition = 2 }", tenant(Some(2))),
        ("{ partition = 2, tenant = \"a\" }", tenant(Some(2))),
        ("{ reject = \"a\" }", Expect::Reject("a".to_owned())),
    ] {
        assert_eq!(expects(expect), Ok(is), "{expect}");
    }
    for (expect, says) in [
        ("{ tenant = \"a\", key-hash = \"a\" }", "only `tenant` and `partition`"),
        ("{ partition = 2, reject = \"a\" }", "only `tenant` and `partition`"),
        ("{ any = true }", "write it as \"any\""),
        ("{}", "it is empty"),
        ("\"tenant\"", "`tenant` needs its value"),
        ("3", "expected \"any\", or a table"),
    ] {
        let refusal = expects(expect).expect_err(says);
        assert!(
            refusal.contains(says) && refusal.contains("line 4"),
            "{expect}: {refusal}"
        );
    }
    let refusal = expects("{ keyhash = \"a\" }").expect_err("no such decision");
    assert!(refusal.contains("expected one of `partition`, `key-hash`"), "{refusal}");
}

#[test]
fn a_mistake_is_told_with_its_own_case_and_line() {
    let good = "[[case]]\nname = \"good\"\npartitions = 3\nexpect = \"any\"\n\n";
    for (bad, says) in [
        (
            "name = \"bad\"\npartitions = 3\n",
            "case 2, \"bad\", line 6: missing field `expect`",
        ),
        (
            "name = \"bad\"\nexpect = \"any\"\npartitions = \"3\"\n",
            "case 2, \"bad\", line 9: invalid type: string \"3\", expected u32",
        ),
        (
            "name = \"bad\"\npartitions = 3\nexpct = \"any\"\n",
            "case 2, \"bad\", line 9: unknown field `expct`",
        ),
        (
            "partitions = 3\nexpect = \"any\"\n",
            "case 2, without a name, line 6: missing field `name`",
        ),
        (
            "name = \"bad\"\npartitions = 0\nexpect = \"any\"\n",
            "case 2, \"bad\", line 6: partitions is 0, expected 1 to",
        ),
        (
            "name = \"bad\"\npartitions = 3\nexpect = \"nay\"\n",
            "case 2, \"bad\", line 9: unknown variant `nay`, expected one of `partition`, `key-hash`",
        ),
    ] {
        let refusal = read("c.toml", &format!("{good}[[case]]\n{bad}")).expect_err(says);
        assert!(
            refusal.contains(&format!("c.toml is not a table of cases: {says}")),
            "{refusal}"
        );
    }
    for (text, says) in [
        (
            "confg = {}\n",
            "line 1: unknown key `confg`, expected `config` or tables [[case]]",
        ),
        ("\n[case]\nname = \"x\"\n", "line 2: write each case as [[case]]"),
        ("\n\n[[case]\n", "line 3: "),
        ("config = 3\n", "line 1: config: invalid type"),
    ] {
        let refusal = read("c.toml", text).expect_err(says);
        assert!(refusal.contains(says), "{refusal}");
    }
    let good = "{\"name\":\"good\",\"partitions\":3,\"expect\":\"any\"}\n\n";
    for (bad, says) in [
        (
            "{\"name\":\"bad\",\"partitions\":3}",
            "case 2, \"bad\", line 3: missing field `expect` at column",
        ),
        ("{\"name\"", "case 2, without a name, line 3: EOF"),
        (
            "{\"config\":{}}",
            "case 2, without a name, line 3: unknown field `config`",
        ),
    ] {
        let refusal = read("c.ndjson", &format!("{good}{bad}\n")).expect_err(says);
        assert!(refusal.contains(says), "{refusal}");
    }
}

#[test]
fn every_table_of_cases_that_is_shown_somewhere_can_be_read() {
    let example = HELP
        .split_once("as TOML:\n")
        .and_then(|(_, rest)| rest.split_once("  expect = { partition"));
    let help = example.expect("an example").0.replace("\n  ", "\n");
    let cases = read("c.toml", &help).unwrap_or_else(|refusal| panic!("{refusal}"));
    assert_eq!((cases.cases.len(), cases.cases[0].line), (1, 4));
    let page = include_str!("../../../../../examples/write-a-plugin/CASES.md");
    let mut shown = 0;
    for (fence, name) in [("```toml\n", "c.toml"), ("```json\n", "c.ndjson")] {
        for block in page.split(fence).skip(1).filter_map(|rest| rest.split("```").next()) {
            read(name, block).unwrap_or_else(|refusal| panic!("{block}\n{refusal}"));
            shown += 1;
        }
    }
    assert!(shown >= 3, "{shown}");
}

#[test]
fn a_case_that_would_test_nothing_or_something_else_is_refused() {
    let case = |lines: &str| read("c.toml", &format!("[[case]]\nname = \"x\"\nexpect = \"any\"\n{lines}"));
    for (lines, says) in [
        ("partitions = 0", "expected 1 to"),
        ("partitions = 3\nkye = \"k\"", "kye"),
        ("partitions = 3\nkey = \"k\"\nkey_base64 = \"aw==\"", "keep one"),
        ("partitions = 3\nkey_base64 = \"!\"", "not valid base64"),
    ] {
        let refusal = case(lines).expect_err(lines);
        assert!(refusal.contains(says), "{refusal}");
    }
    assert!(read("c.toml", "").expect_err("no case").contains("no case"));
    assert!(
        read("c.ndjson", "{\"name\":1}")
            .expect_err("no name")
            .contains("line 1")
    );
    assert!(read("c.txt", "").expect_err("a form").contains(".ndjson"));
}
