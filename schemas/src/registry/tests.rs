mod double;
mod failures;
mod tls;

use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use self::double::{Double, Play};
use super::*;

const ONE: SchemaId = SchemaId::Number(1);

fn settings(urls: &[&str]) -> Settings {
    Settings {
        urls: urls.iter().map(|&url| url.to_owned()).collect(),
        auth: Auth::None,
        ca_pem: None,
        identity: None,
        timeout: Duration::from_secs(20),
        refresh: Duration::from_secs(3_600),
        max_schema_bytes: 100_000,
        max_schemas: 100,
    }
}

fn registry(double: &Double) -> Registry {
    Registry::new(settings(&[&double.url])).expect("settings")
}

fn answer(body: &Value) -> Play {
    Play::Answer(200, body.to_string())
}

/// A JSON schema as `/schemas/ids/` answers it.
fn schema() -> Value {
    json!({"schema": "{\"type\": \"integer\"}", "schemaType": "JSON"})
}

fn refused(status: u16, code: u32, message: &str) -> Play {
    Play::Answer(status, json!({"error_code": code, "message": message}).to_string())
}

#[tokio::test]
async fn a_schema_is_asked_for_once_and_known_when_the_registry_has_gone() {
    let double = Double::start(|_| answer(&schema())).await;
    let registry = registry(&double);
    assert!(registry.known(&ONE).is_none());
    let schema = registry.get(ONE).await.expect("a schema");
    assert_eq!((schema.format, schema.id), (Format::Json, ONE));
    let compiled = schema.compiled().expect("compiled");
    assert!(compiled.check(b"1").is_ok() && compiled.check(b"\"x\"").is_err());
    drop(double);
    assert!(Arc::ptr_eq(&schema, &registry.get(ONE).await.expect("a schema")));
    assert!(Arc::ptr_eq(&schema, &registry.known(&ONE).expect("a schema")));
    let gone = registry.get(SchemaId::Number(2)).await;
    assert!(matches!(gone, Err(LookUp::Unavailable(_))), "{gone:?}");
    let counts = registry.counts();
    assert_eq!(
        (
            counts.hits.load(Ordering::Relaxed),
            counts.misses.load(Ordering::Relaxed)
        ),
        (2, 3)
    );
    assert_eq!(counts.errors.load(Ordering::Relaxed), 1);
    assert!(counts.last_success_ms.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn callers_of_one_schema_share_a_request_and_one_who_goes_does_not_end_it() {
    let gate = Arc::new(Semaphore::new(0));
    let gated = Arc::clone(&gate);
    let double = Double::start(move |_| Play::Gated(Arc::clone(&gated), schema().to_string())).await;
    let registry = registry(&double);
    let asking = |registry: &Registry| {
        let registry = registry.clone();
        tokio::spawn(async move { registry.get(ONE).await })
    };
    let first = asking(&registry);
    double.has_seen(1).await;
    first.abort();
    let others: Vec<_> = (0..20).map(|_| asking(&registry)).collect();
    assert!(first.await.is_err());
    gate.add_permits(100);
    for other in others {
        assert!(other.await.expect("no panic").is_ok());
    }
    assert_eq!(double.requests(), ["GET /schemas/ids/1"]);
}

#[tokio::test]
async fn only_as_many_schemas_are_kept_as_was_said() {
    let double = Double::start(|_| answer(&schema())).await;
    let max_schemas = 2;
    let settings = Settings {
        max_schemas,
        ..settings(&[&double.url])
    };
    let registry = Registry::new(settings).expect("settings");
    for number in 1..=3 {
        registry.get(SchemaId::Number(number)).await.expect("a schema");
    }
    assert!(registry.known(&ONE).is_none());
    assert!(registry.known(&SchemaId::Number(2)).is_some() && registry.known(&SchemaId::Number(3)).is_some());
    assert_eq!(double.connections(), 1, "a connection is used again");
}

#[tokio::test]
async fn a_guid_is_asked_for_as_text_and_belongs_to_a_subject_that_has_its_text() {
    let guid = SchemaId::guid_of_text("00112233-4455-6677-8899-aabbccddeeff").expect("a GUID");
    let double = Double::start(|path| match path {
        "/subjects/other" => refused(404, 40403, "Schema not found"),
        "/subjects/mine" => answer(&json!({"subject": "mine", "id": 7, "version": 3, "schema": "{}"})),
        _ => answer(&schema()),
    })
    .await;
    let registry = registry(&double);
    registry.get(guid).await.expect("a schema");
    assert_eq!(
        double.requests(),
        ["GET /schemas/guids/00112233-4455-6677-8899-aabbccddeeff"]
    );
    assert_eq!(registry.belongs(guid, "mine").await, Ok(true));
    assert_eq!(registry.belongs(guid, "other").await, Ok(false));
    assert_eq!(
        double.last().1,
        r#"{"schema":"{\"type\": \"integer\"}","schemaType":"JSON","references":[]}"#
    );
}

#[tokio::test]
async fn whether_a_schema_belongs_to_a_subject_is_asked_once() {
    let double = Double::start(|path| match path {
        "/schemas/ids/1/versions" => answer(&json!([{"subject": "a", "version": 1}, {"subject": "b", "version": 9}])),
        _ => refused(404, 40403, "Schema not found"),
    })
    .await;
    let registry = registry(&double);
    for _ in 0..3 {
        assert_eq!(registry.belongs(ONE, "b").await, Ok(true));
        assert_eq!(registry.belongs(ONE, "c").await, Ok(false));
        assert_eq!(registry.belongs(SchemaId::Number(2), "c").await, Ok(false));
    }
    assert_eq!(double.requests().len(), 3);
}

#[tokio::test]
async fn the_latest_version_is_served_old_while_a_newer_one_is_asked_for() {
    let version = |number: u32| {
        move |path: &str| match path {
            "/subjects/s/versions/latest" => {
                answer(&json!({"subject": "s", "id": number, "version": number, "schema": ""}))
            }
            _ => answer(&schema()),
        }
    };
    let double = Double::start(version(1)).await;
    let refresh = Duration::ZERO;
    let registry = Registry::new(Settings {
        refresh,
        ..settings(&[&double.url])
    })
    .expect("settings");
    assert!(registry.latest_known("s").is_none());
    let first = registry.version("s", Wanted::Latest).await.expect("a version");
    assert_eq!((first.version, first.id, first.subject.as_str()), (1, 1, "s"));
    double.now(version(2));
    let before = double.requests().len();
    assert_eq!(registry.latest_known("s").expect("a version").version, 1);
    double.has_seen(before + 1).await;
    // The same request, or one more.
    let second = registry
        .asked_version("s".to_owned(), Wanted::Latest)
        .await
        .expect("a version");
    assert_eq!(second.version, 2);
    assert_eq!(
        registry.version("s", Wanted::Latest).await.expect("a version").version,
        2
    );
    // Whether it is away or dies.
    double.now(|_| Play::Answer(500, String::new()));
    assert!(registry.asked_version("s".to_owned(), Wanted::Latest).await.is_err());
    assert_eq!(
        registry.version("s", Wanted::Latest).await.expect("a version").version,
        2
    );
    drop(double);
    for _ in 0..3 {
        assert_eq!(
            registry.version("s", Wanted::Latest).await.expect("a version").version,
            2
        );
    }
}

#[tokio::test]
async fn a_subject_that_was_deleted_has_no_latest_version_any_more() {
    let double = Double::start(|path| match path {
        "/subjects/s/versions/latest" => answer(&json!({"id": 1, "version": 1})),
        _ => answer(&schema()),
    })
    .await;
    let registry = registry(&double);
    registry.version("s", Wanted::Latest).await.expect("a version");
    double.now(|_| refused(404, 40401, "Subject 's' not found."));
    let gone = registry.asked_version("s".to_owned(), Wanted::Latest).await;
    assert!(matches!(gone, Err(LookUp::Unknown(_))), "{gone:?}");
    assert!(registry.latest_known("s").is_none());
}

#[tokio::test]
async fn a_version_by_its_number_never_changes() {
    let double = Double::start(|path| match path {
        "/subjects/a%2Fb%20%C3%A9/versions/3" => answer(&json!({"id": 1, "version": 3})),
        _ => answer(&schema()),
    })
    .await;
    let registry = registry(&double);
    for _ in 0..3 {
        let version = registry.version("a/b é", Wanted::Number(3)).await.expect("a version");
        assert_eq!((version.version, version.schema.id), (3, ONE));
    }
    assert_eq!(double.requests().len(), 2);
}

#[tokio::test]
async fn a_schema_is_registered_below_the_path_of_the_url_by_who_asks() {
    let double = Double::start(|_| answer(&json!({"id": 42}))).await;
    let url = format!("{}/apis/ccompat/v7/", double.url);
    let auth = Auth::Bearer("secret".to_owned());
    let registry = Registry::new(Settings {
        auth,
        ..settings(&[&url])
    })
    .expect("settings");
    let references = [Reference {
        name: "n".to_owned(),
        subject: "s".to_owned(),
        version: 1,
    }];
    let id = registry.register("s", Format::Avro, "\"int\"", &references).await;
    assert_eq!(id, Ok(42));
    let (head, body) = double.last();
    assert!(
        head.starts_with("POST /apis/ccompat/v7/subjects/s/versions HTTP"),
        "{head}"
    );
    assert!(head.contains("authorization: Bearer secret"), "{head}");
    assert!(
        head.contains("content-type: application/vnd.schemaregistry.v1+json"),
        "{head}"
    );
    assert_eq!(
        body,
        r#"{"schema":"\"int\"","references":[{"name":"n","subject":"s","version":1}]}"#
    );
}

#[tokio::test]
async fn why_a_schema_is_not_compatible_is_told_shortly() {
    let long = "long\n".repeat(100);
    let messages = vec![long; 100];
    let double = Double::start(move |_| answer(&json!({"is_compatible": false, "messages": messages}))).await;
    let compatible = registry(&double)
        .compatible("s", Format::Json, "{}", &[])
        .await
        .expect("an answer");
    assert!(!compatible.is_compatible);
    assert!(compatible.messages.iter().map(String::len).sum::<usize>() < 10_000);
    assert!(
        compatible.messages[0].starts_with("\"long\\nlong"),
        "{}",
        compatible.messages[0]
    );
    assert_eq!(
        double.requests(),
        ["POST /compatibility/subjects/s/versions/latest?verbose=true"]
    );
}

/// Answers for schema 1, with references, and for subjects that refer to others.
fn referring(root: &[&str], subjects: &'static [(&str, &[&str])]) -> impl Fn(&str) -> Play + use<> {
    let references = |names: &[&str]| -> Value {
        let reference = |name: &&str| json!({"name": format!("{name}.json"), "subject": name, "version": 1});
        names.iter().map(reference).collect()
    };
    let root = references(root);
    move |path| {
        if path.starts_with("/schemas") {
            let text = "{\"$ref\": \"a.json\"}";
            return answer(&json!({"schema": text, "schemaType": "JSON", "references": root}));
        }
        let subject = path.split('/').nth(2).expect("a subject");
        let (_, names) = subjects
            .iter()
            .find(|(name, _)| *name == subject)
            .expect("a subject that is there");
        answer(&json!({"id": 9, "version": 1, "schema": "{\"type\": \"integer\"}", "references": references(names)}))
    }
}

#[tokio::test]
async fn references_are_fetched_once_and_come_before_what_needs_them() {
    let double = Double::start(referring(&["a", "b"], &[("a", &["c", "b"]), ("b", &["c"]), ("c", &[])])).await;
    let schema = registry(&double).get(ONE).await.expect("a schema");
    let names: Vec<&str> = schema.source.references.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["c.json", "b.json", "a.json"]);
    assert_eq!(double.requests().len(), 4);
    let compiled = schema.compiled().expect("compiled");
    assert!(compiled.check(b"1").is_ok() && compiled.check(b"\"x\"").is_err());
}

#[tokio::test]
async fn references_that_lead_back_are_refused() {
    let double = Double::start(referring(&["a"], &[("a", &["b"]), ("b", &["a"])])).await;
    let told = registry(&double).get(ONE).await.expect_err("a circle");
    assert!(
        matches!(&told, LookUp::Bad(told) if told.contains("refers to itself")),
        "{told}"
    );
}

#[tokio::test]
async fn references_without_an_end_are_refused() {
    // Each subject refers to one more.
    let endless = |path: &str| {
        let number: u32 = path
            .split('/')
            .nth(2)
            .and_then(|subject| subject.parse().ok())
            .unwrap_or(0);
        let next = (number + 1).to_string();
        let schema = format!("{{\"description\": \"{}\"}}", "x".repeat(1_000));
        let references = json!([{"name": next, "subject": next, "version": -1}]);
        answer(&json!({"schema": schema, "schemaType": "JSON", "references": references, "id": 1, "version": 1}))
    };
    let double = Double::start(endless).await;
    let told = registry(&double).get(ONE).await.expect_err("too much");
    assert!(told.to_string().contains("max_schema_bytes"), "{told}");
    assert!(
        double
            .requests()
            .iter()
            .skip(1)
            .all(|path| path.ends_with("/versions/latest"))
    );
    let max_schema_bytes = 100 << 20;
    let registry = Registry::new(Settings {
        max_schema_bytes,
        ..settings(&[&double.url])
    })
    .expect("settings");
    let told = registry.get(ONE).await.expect_err("too many");
    assert!(told.to_string().contains("more than 1000 others"), "{told}");
}
