//! docs/openapi.yaml says what there is, and no more. `tests/openapi/run` holds a running sidecar against the rest of it.

use std::collections::BTreeSet;

use crate::support::{
    files::files_below,
    http::Http,
    sidecar::{Builder, root},
};

fn document() -> String {
    std::fs::read_to_string(root().join("docs/openapi.yaml")).unwrap()
}

/// The lines that are further in than the line that is `head`.
fn below<'d>(document: &'d str, head: &str) -> Vec<&'d str> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let from = document.lines().skip_while(|line| *line != head).skip(1);
    let part: Vec<&str> = from
        .take_while(|line| line.is_empty() || depth(line) > depth(head))
        .collect();
    assert!(!part.is_empty(), "{head}");
    part
}

/// The items of the list below a schema's name.
fn listed(document: &str, schema: &str) -> BTreeSet<String> {
    let part = below(document, &format!("    {schema}:"));
    part.iter()
        .filter_map(|line| line.trim_start().strip_prefix("- "))
        .map(str::to_owned)
        .collect()
}

/// Method and path of every operation, with the listener that has it.
fn operations(document: &str) -> BTreeSet<(String, String, String)> {
    let mut found = BTreeSet::new();
    let (mut path, mut method) = (String::new(), String::new());
    for line in below(document, "paths:") {
        if let Some(given) = line.strip_prefix("  /") {
            path = format!("/{}", given.trim_end_matches(':'));
        } else if let Some(given) = line
            .strip_prefix("    ")
            .filter(|line| line.ends_with(':') && !line.starts_with(' '))
        {
            method = given.trim_end_matches(':').to_uppercase();
        } else if let Some(tag) = line.trim_start().strip_prefix("tags: [") {
            found.insert((tag.trim_end_matches(']').to_owned(), method.clone(), path.clone()));
        }
    }
    found
}

/// What a listener says that it has: `GET /live, /ready and /config, and POST /drain`.
fn said(listener: &str, http: &mut Http) -> BTreeSet<(String, String, String)> {
    let detail = http.get("/no-such-path").json()["detail"].as_str().unwrap().to_owned();
    // What is in brackets points to the other listener.
    let detail = detail.split(" (").next().unwrap();
    let mut method = String::new();
    let mut found = BTreeSet::new();
    for word in detail.split([' ', ',']) {
        if ["GET", "POST", "PUT", "DELETE"].contains(&word) {
            method = word.to_owned();
        } else if word.starts_with('/') {
            found.insert((listener.to_owned(), method.clone(), word.to_owned()));
        }
    }
    found
}

#[test]
fn every_path_that_is_served_is_documented_and_every_documented_one_is_served() {
    let sidecar = Builder::embedded().start();
    let mut served = said("ingest", &mut sidecar.tcp());
    served.extend(said("admin", &mut Http::tcp(sidecar.admin)));
    let documented = operations(&document());
    assert!(documented.len() > 10, "{documented:?}");
    assert_eq!(documented, served);
    for (listener, method, path) in documented {
        let address = if listener == "admin" {
            sidecar.admin
        } else {
            sidecar.http
        };
        let path = path.replace("{topic}", "orders").replace("{name}", "none");
        let mut http = Http::tcp(address);
        http.send("PATCH", &path, &[], b"");
        let reply = http.reply().unwrap();
        assert_eq!(
            (reply.status, reply.header("allow")),
            (405, Some(method.as_str())),
            "{path}"
        );
    }
}

#[test]
fn every_error_code_of_a_record_is_documented_and_no_other() {
    let codes: BTreeSet<String> = pointsman::base::outcome::Code::ALL
        .iter()
        .map(|code| code.as_str().to_owned())
        .collect();
    assert_eq!(listed(&document(), "RecordErrorCode"), codes);
}

/// The literals that stand with a status in the sources, and those that a refused number has.
fn codes() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in files_below(&root().join("host/src"), ".rs") {
        let text = std::fs::read_to_string(&path).unwrap();
        for rest in text.split("StatusCode::").skip(1) {
            let Some((name, rest)) = rest.split_once(',') else {
                continue;
            };
            let literal = rest
                .trim_start()
                .strip_prefix('"')
                .and_then(|rest| rest.split('"').next());
            let is_name = |text: &str| text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
            if let Some(code) = literal.filter(|code| is_name(name) && !code.is_empty() && is_name(code)) {
                found.insert(code.to_owned());
            }
        }
        if text.contains("enum Refusal") {
            let literals = text.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next());
            found.extend(literals.map(str::to_owned));
        }
    }
    found
}

#[test]
fn every_code_of_a_problem_is_documented_and_no_other() {
    let mut codes = codes();
    for only_grpc in ["invalid_message", "unknown_method"] {
        assert!(codes.remove(only_grpc), "{only_grpc}");
        let page = std::fs::read_to_string(root().join("docs/error-codes.md")).unwrap();
        assert!(page.contains(only_grpc), "{only_grpc}");
    }
    // Codes of records that a whole request may have, too: see `IngestError::Topic`.
    for shared in [
        "invalid_topic",
        "no_route",
        "unknown_topic",
        "topic_unauthorized",
        "too_many_topics",
    ] {
        assert!(
            pointsman::base::outcome::Code::ALL
                .iter()
                .any(|code| code.as_str() == shared),
            "{shared}"
        );
        codes.insert(shared.to_owned());
    }
    let documented = listed(&document(), "ProblemCode");
    assert_eq!(documented, codes);
    // Each also stands with the statuses that have it.
    let document = document();
    let responses = below(&document, "  responses:").join("\n");
    for code in documented {
        let words = responses.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        assert!(words.into_iter().any(|word| word == code), "{code}");
    }
}
