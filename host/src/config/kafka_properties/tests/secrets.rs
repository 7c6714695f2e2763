use super::super::{Ordering, is_secret, translate};
use super::{block, strict};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Keys whose values must never be shown, including misspelt keys.
const SECRETS: [&str; 16] = [
    "sasl.password",
    "sasl.jaas.config",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.assertion.private.key.pem",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.key",
    "ssl.keystore.password",
    "ssl.truststore.password",
    " SSL.Keystore.Password ",
    "sasl.pasword",
    "my.secret",
    "spring.sasl.jaas.config.password",
];

/// Other keys that lead the secrets through every path of the code.
const NEIGHBOURS: [(&str, &str); 14] = [
    ("security.protocol", "SASL_SSL"),
    ("security.protocol", "nonsense"),
    ("sasl.mechanism", "PLAIN"),
    ("sasl.mechanism", "SCRAM-SHA-256"),
    ("sasl.mechanism", "OAUTHBEARER"),
    ("sasl.username", "me"),
    ("ssl.keystore.type", "PEM"),
    ("ssl.keystore.type", "PKCS12"),
    ("ssl.keystore.type", "JKS"),
    ("ssl.keystore.location", "/k"),
    (
        "ssl.keystore.certificate.chain",
        "-----BEGIN CERTIFICATE-----QUJD-----END CERTIFICATE-----",
    ),
    ("ssl.certificate.location", "/c"),
    ("ssl.truststore.location", "/t.pem"),
    ("acks", "1"),
];

/// A text that no message holds by chance, between characters that a parser of quotes and options may stumble over.
fn secret() -> impl Strategy<Value = String> {
    let around = || {
        prop_oneof![
            Just(String::new()),
            Just("PlainLoginModule required username=\"me\" password=\"".to_owned()),
            Just("a.ScramLoginModule required password='".to_owned()),
            Just("\";".to_owned()),
            Just("-----BEGIN PRIVATE KEY-----".to_owned()),
            Just("-----END PRIVATE KEY-----".to_owned()),
            Just(" required ".to_owned()),
            "[ -~\n]{0,12}",
        ]
    };
    (around(), around()).prop_map(|(before, after)| format!("{before}zQ7xV{after}"))
}

proptest! {
    #[test]
    fn no_secret_is_ever_seen_in_a_note_or_an_error(
        secrets in prop::collection::btree_map(prop::sample::select(&SECRETS[..]), secret(), 1..4),
        neighbours in prop::collection::vec(prop::sample::select(&NEIGHBOURS[..]), 0..6),
        loose in any::<bool>(),
    ) {
        let mut given: BTreeMap<String, String> = block(&neighbours);
        given.extend(secrets.into_iter().map(|(key, value)| (key.to_owned(), value)));
        let ordering = if loose { Ordering::None } else { Ordering::Strict };
        let said = match translate(&given, ordering) {
            Ok(translated) => format!("{} {translated:?}", translated.notes.join(" ")),
            Err(error) => format!("{error} {error:?}"),
        };
        prop_assert!(!said.contains("zQ7xV"), "{}", said);
    }

    #[test]
    fn no_text_whatever_makes_the_translation_panic_or_write_two_lines(
        given in prop::collection::btree_map("\\PC{0,40}|[a-z._]{0,20}|linger\\.ms|sasl\\.jaas\\.config", ".{0,60}", 0..4),
    ) {
        if let Err(error) = translate(&given, Ordering::Strict) {
            prop_assert!(!error.to_string().contains('\n'), "{}", error);
        }
    }
}

#[test]
fn every_key_that_holds_a_secret_is_known_as_one() {
    for key in SECRETS {
        assert!(is_secret(key), "{key}");
    }
    for key in [
        "ssl.key.location",
        "sasl.username",
        "client.id",
        "sasl.password_file",
        "ssl.ca.pem",
        "acks",
    ] {
        assert!(!is_secret(key), "{key}");
    }
}

#[test]
fn a_password_is_not_printed_with_the_rest_of_the_properties() {
    let given = [("sasl.username", "me"), ("sasl.password", "zQ7xV")];
    let printed = format!("{:?}", strict(&given).expect("passes"));
    assert!(
        printed.contains("\"me\"") && printed.contains("(hidden)") && !printed.contains("zQ7xV"),
        "{printed}"
    );
}
