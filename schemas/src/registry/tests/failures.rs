//! Registries that do not do as they should.

use super::*;

/// The text of a failure, which has to be short.
async fn told(play: Play) -> LookUp {
    let double = Double::start(move |_| play.clone()).await;
    let timeout = Duration::from_secs(1);
    let registry = Registry::new(Settings {
        timeout,
        ..settings(&[&double.url])
    })
    .expect("settings");
    let error = registry.get(ONE).await.expect_err("a failure");
    assert!(
        error.to_string().len() < 300 && !error.to_string().contains(char::is_control),
        "{error}"
    );
    error
}

#[tokio::test]
async fn each_refusal_is_told_as_what_it_is() {
    let refused = |status, code| refused(status, code, "why\n\u{1b}[31m");
    for code in [40401, 40402, 40403] {
        let error = told(refused(404, code)).await;
        assert!(matches!(error, LookUp::Unknown(_)), "{error}");
    }
    for (status, code, is_bad, said) in [
        (404, 404, true, "does its url lack the path of the API?"),
        (409, 409, true, "is not compatible"),
        (422, 42201, true, "as invalid"),
        (418, 0, true, "418"),
        (401, 40101, false, "does not allow"),
        (403, 40301, false, "does not allow"),
        (429, 42901, false, "cannot answer"),
        (500, 50001, false, "cannot answer"),
    ] {
        let error = told(refused(status, code)).await;
        assert_eq!(
            matches!(error, LookUp::Bad(_) | LookUp::Incompatible(_)),
            is_bad,
            "{error}"
        );
        assert_eq!(matches!(error, LookUp::Incompatible(_)), status == 409, "{error}");
        assert!(error.to_string().contains(said), "{error}");
        assert!(error.to_string().contains(r"why\n\u{1b}"), "{error}");
    }
    assert!(matches!(
        told(Play::Answer(500, "x".repeat(50_000))).await,
        LookUp::Unavailable(_)
    ));
}

#[tokio::test]
async fn an_answer_that_is_none_is_a_failure_and_no_more() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"schema\"".to_owned();
    for play in [
        Play::Close,
        Play::Raw(half),
        Play::Raw(String::new()),
        Play::Raw("garbage\r\n\r\n".to_owned()),
        Play::Raw(format!("HTTP/1.1 200 OK\r\n{}", "x: y\r\n".repeat(10_000))),
    ] {
        let error = told(play).await;
        assert!(matches!(error, LookUp::Unavailable(_)), "{error}");
    }
    for body in [
        "",
        "[]",
        "{\"schema\": 1}",
        "<html>",
        "{\"schema\": \"{}\", \"schemaType\": \"THRIFT\"}",
    ] {
        let error = told(Play::Answer(200, body.to_owned())).await;
        assert!(matches!(error, LookUp::Bad(_)), "{error}");
    }
    assert!(
        told(Play::Answer(
            200,
            "{\"schema\": \"{}\", \"schemaType\": \"THRIFT\"}".to_owned()
        ))
        .await
        .to_string()
        .contains("THRIFT")
    );
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_not_read_whether_it_says_so_or_not() {
    let announced = "HTTP/1.1 200 OK\r\ncontent-length: 100001\r\n\r\n".to_owned();
    for play in [Play::Endless, Play::Raw(announced)] {
        let error = told(play).await;
        assert!(
            matches!(&error, LookUp::Bad(told) if told.contains("max_schema_bytes")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_redirect_is_told_and_not_followed() {
    let there = Double::start(|_| answer(&schema())).await;
    let redirect = format!(
        "HTTP/1.1 301 Moved\r\nlocation: {}/there\r\ncontent-length: 0\r\n\r\n",
        there.url
    );
    let error = told(Play::Raw(redirect)).await;
    assert!(error.to_string().contains(&format!("{}/there", there.url)), "{error}");
    assert!(error.to_string().contains("set that as url"), "{error}");
    assert!(there.requests().is_empty());
}

#[tokio::test]
async fn a_schema_that_cannot_be_used_is_named_as_such_and_not_asked_for_again_and_again() {
    let broken = json!({"schema": "{\"type\": \"nothing\"}", "schemaType": "JSON"});
    let double = Double::start(move |_| answer(&broken)).await;
    let registry = registry(&double);
    for _ in 0..10 {
        let schema = registry.get(ONE).await.expect("it is there");
        let error = schema.compiled().expect_err("a bad schema");
        assert!(
            matches!(&error, LookUp::Bad(told) if told.contains("schema 1")),
            "{error}"
        );
    }
    assert_eq!(double.requests().len(), 1);
}

#[tokio::test]
async fn an_id_that_is_unknown_is_not_asked_for_again_and_again() {
    let double = Double::start(|_| refused(404, 40403, "Schema not found")).await;
    let registry = registry(&double);
    for _ in 0..10 {
        assert!(matches!(registry.get(ONE).await, Err(LookUp::Unknown(_))));
    }
    assert_eq!(double.requests().len(), 1);
}

#[tokio::test]
async fn a_dead_registry_is_left_alone_whatever_is_asked_for() {
    let double = Double::start(|_| Play::Close).await;
    let registry = registry(&double);
    for number in 0..1_000 {
        let error = registry.get(SchemaId::Number(number)).await.expect_err("a failure");
        assert!(matches!(error, LookUp::Unavailable(_)), "{error}");
    }
    // Each pause is longer than the last one.
    assert!(double.requests().len() < 20, "{}", double.requests().len());
}

#[tokio::test]
async fn one_schema_that_makes_the_registry_fail_does_not_stop_the_others() {
    let double = Double::start(|path| match path {
        "/schemas/ids/1" => Play::Answer(500, String::new()),
        _ => answer(&schema()),
    })
    .await;
    let registry = registry(&double);
    assert!(matches!(registry.get(ONE).await, Err(LookUp::Unavailable(_))));
    assert!(registry.get(SchemaId::Number(2)).await.is_ok());
}

#[tokio::test]
async fn another_url_is_asked_when_one_does_not_answer_and_stays_the_first() {
    for play in [Play::Close, Play::Raw(String::new()), Play::Answer(503, String::new())] {
        let bad = Double::start(move |_| play.clone()).await;
        let good = Double::start(|_| answer(&schema())).await;
        let timeout = Duration::from_secs(2);
        let settings = Settings {
            timeout,
            ..settings(&[&bad.url, &good.url])
        };
        let registry = Registry::new(settings).expect("settings");
        for number in 0..10 {
            registry.get(SchemaId::Number(number)).await.expect("a schema");
        }
        assert_eq!((bad.requests().len(), good.requests().len()), (1, 10));
    }
}

#[tokio::test]
async fn a_connection_that_the_registry_closed_is_replaced() {
    let double = Double::start(|_| Play::ThenClose(schema().to_string())).await;
    let registry = registry(&double);
    for number in 0..10 {
        registry.get(SchemaId::Number(number)).await.expect("a schema");
    }
    assert_eq!(double.connections(), 10);
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_told() {
    let told = |settings: Settings| Registry::new(settings).expect_err("bad settings").to_string();
    assert!(told(settings(&[])).contains("url"));
    assert!(told(settings(&["registry"])).contains("http://"));
    let ca_pem = Some(b"nothing".to_vec());
    assert!(
        told(Settings {
            ca_pem,
            ..settings(&["https://a"])
        })
        .contains("authorities")
    );
    let identity = Some((b"nothing".to_vec(), PrivateKey(b"nothing".to_vec())));
    assert!(
        told(Settings {
            identity,
            ..settings(&["https://a"])
        })
        .contains("private key")
    );
}
