use super::{Block, assert_table, properties, refusal, strict};

const JAAS: &str = r#"org.apache.kafka.common.security.plain.PlainLoginModule required username="me" password="pw";"#;
const SCRAM: &str = r#"org.apache.kafka.common.security.scram.ScramLoginModule required username="me" password="pw";"#;
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nREVG\n-----END PRIVATE KEY-----\n";

#[test]
fn a_jaas_line_logs_in_as_it_does_in_java() {
    let login = [
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.password", "pw"),
        ("sasl.username", "me"),
    ];
    assert_table(&[
        (
            &[("sasl.jaas.config", SCRAM), ("sasl.mechanism", "SCRAM-SHA-512")],
            &login,
        ),
        (
            &[
                ("sasl.jaas.config", SCRAM),
                ("sasl.mechanisms", "scram-sha-512"),
                ("sasl.username", "me"),
            ],
            &login,
        ),
    ]);
    let plain = strict(&[("sasl.jaas.config", JAAS), ("security.protocol", "SASL_SSL")]).expect("passes");
    assert_eq!(plain.properties["sasl.mechanism"], "PLAIN");
    assert_eq!(plain.notes.len(), 1, "{:?}", plain.notes);
}

#[test]
fn a_login_that_cannot_work_is_refused_at_start() {
    let krb = "com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true;";
    let oauth = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;";
    let table: &[(Block<'_>, &str)] = &[
        (
            &[("sasl.jaas.config", JAAS), ("sasl.mechanism", "SCRAM-SHA-256")],
            "make them agree",
        ),
        (
            &[("sasl.jaas.config", SCRAM), ("sasl.mechanism", "PLAIN")],
            "make them agree",
        ),
        (&[("sasl.jaas.config", SCRAM)], "set `sasl.mechanism` too"),
        (
            &[("sasl.jaas.config", JAAS), ("sasl.username", "you")],
            "keep one of the two",
        ),
        (&[("sasl.jaas.config", krb)], "Kerberos"),
        (&[("sasl.jaas.config", oauth)], "OAuth"),
        (&[("sasl.mechanism", "GSSAPI")], "Kerberos"),
        (&[("security.protocol", "SASL_SSL")], "set `sasl.mechanism` too"),
        (
            &[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "OAUTHBEARER")],
            "cannot fetch",
        ),
        (
            &[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "PLAIN")],
            "`sasl.username`",
        ),
        (
            &[
                ("security.protocol", "SASL_SSL"),
                ("sasl.mechanism", "PLAIN"),
                ("sasl.username", "me"),
            ],
            "`sasl.password`",
        ),
    ];
    for (given, expected) in table {
        let error = refusal(given);
        assert!(error.contains(expected), "{given:?}: {error}");
    }
}

#[test]
fn a_password_that_is_never_used_is_told() {
    let translated = strict(&[("sasl.jaas.config", JAAS), ("security.protocol", "SSL")]).expect("passes");
    assert!(
        translated.notes.iter().any(|note| note.contains("not used")),
        "{:?}",
        translated.notes
    );
}

#[test]
fn stores_that_openssl_reads_are_handed_to_it() {
    assert_table(&[
        (
            &[("ssl.truststore.location", "/t"), ("ssl.truststore.type", "pem")],
            &[("ssl.ca.location", "/t")],
        ),
        (
            &[("ssl.truststore.location", "/ca.PEM"), ("ssl.truststore.password", "x")],
            &[("ssl.ca.location", "/ca.PEM")],
        ),
        (
            &[
                ("ssl.truststore.certificates", CERTIFICATE),
                ("ssl.truststore.type", "PEM"),
            ],
            &[("ssl.ca.pem", CERTIFICATE)],
        ),
        (
            &[
                ("ssl.keystore.location", "/k"),
                ("ssl.keystore.type", "PEM"),
                ("ssl.key.password", "pw"),
            ],
            &[
                ("ssl.certificate.location", "/k"),
                ("ssl.key.location", "/k"),
                ("ssl.key.password", "pw"),
            ],
        ),
        (
            &[
                ("ssl.keystore.certificate.chain", CERTIFICATE),
                ("ssl.keystore.key", KEY),
            ],
            &[("ssl.certificate.pem", CERTIFICATE), ("ssl.key.pem", KEY)],
        ),
        (
            &[
                ("ssl.keystore.location", "/k.p12"),
                ("ssl.keystore.password", "pw"),
                ("ssl.key.password", "pw"),
            ],
            &[("ssl.keystore.location", "/k.p12"), ("ssl.keystore.password", "pw")],
        ),
        (
            &[
                ("ssl.certificate.location", "/c"),
                ("ssl.key.location", "/k"),
                ("ssl.key.password", "pw"),
            ],
            &[
                ("ssl.certificate.location", "/c"),
                ("ssl.key.location", "/k"),
                ("ssl.key.password", "pw"),
            ],
        ),
        (
            &[("ssl.endpoint.identification.algorithm", "HTTPS")],
            &[("ssl.endpoint.identification.algorithm", "https")],
        ),
        (&[("ssl.keystore.location", ""), ("ssl.truststore.location", "")], &[]),
    ]);
}

#[test]
fn a_store_that_only_java_reads_is_refused_with_the_command_that_converts_it() {
    let keytool_trust = "keytool -list -rfc -keystore /s > truststore.pem";
    let keytool_key = "keytool -importkeystore -srckeystore /s -destkeystore keystore.p12 -deststoretype PKCS12";
    let table: &[(Block<'_>, &str)] = &[
        (&[("ssl.truststore.location", "/s")], keytool_trust),
        (
            &[("ssl.truststore.location", "/s"), ("ssl.truststore.type", "JKS")],
            keytool_trust,
        ),
        (
            &[("ssl.truststore.location", "/s"), ("ssl.truststore.type", "PKCS12")],
            keytool_trust,
        ),
        (
            &[("ssl.truststore.location", "/it's.jks")],
            r"-keystore '/it'\''s.jks' >",
        ),
        (&[("ssl.keystore.location", "/s")], keytool_key),
        (
            &[("ssl.keystore.location", "/s"), ("ssl.keystore.type", "jks")],
            keytool_key,
        ),
        (&[("ssl.keystore.location", "/s.jks")], "/s.jks"),
        (
            &[("ssl.keystore.location", "/s"), ("ssl.keystore.type", "BCFKS")],
            "say PEM",
        ),
    ];
    for (given, expected) in table {
        let error = refusal(given);
        assert!(error.contains(expected), "{given:?}: {error}");
    }
}

#[test]
fn half_a_key_store_is_not_taken_for_a_whole_one() {
    let table: &[(Block<'_>, &str)] = &[
        (&[("ssl.keystore.key", KEY)], "ssl.keystore.certificate.chain"),
        (&[("ssl.keystore.certificate.chain", CERTIFICATE)], "ssl.keystore.key"),
        (
            &[
                ("ssl.keystore.certificate.chain", CERTIFICATE),
                ("ssl.keystore.key", "REVG"),
            ],
            "PEM block",
        ),
        (
            &[
                ("ssl.keystore.certificate.chain", CERTIFICATE),
                ("ssl.keystore.key", KEY),
                ("ssl.keystore.location", "/k.pem"),
            ],
            "keep one",
        ),
        (
            &[
                ("ssl.truststore.certificates", CERTIFICATE),
                ("ssl.truststore.location", "/t.pem"),
            ],
            "keep one",
        ),
        (
            &[
                ("ssl.truststore.certificates", CERTIFICATE),
                ("ssl.truststore.type", "JKS"),
            ],
            "to PEM",
        ),
        (&[("ssl.keystore.location", "/k.pfx")], "ssl.keystore.password"),
        (
            &[("ssl.keystore.location", "/k.pem"), ("ssl.keystore.password", "pw")],
            "ssl.key.password",
        ),
        (
            &[("ssl.ca.location", "/a"), ("ssl.truststore.location", "/b.pem")],
            "keep one of the two",
        ),
    ];
    for (given, expected) in table {
        let error = refusal(given);
        assert!(error.contains(expected), "{given:?}: {error}");
    }
}

#[test]
fn brokers_that_are_not_checked_are_never_a_secret() {
    for given in [
        ("ssl.endpoint.identification.algorithm", ""),
        ("enable.ssl.certificate.verification", "false"),
    ] {
        let translated = strict(&[given]).expect("passes");
        assert!(
            translated.notes.iter().any(|note| note.contains("not checked")),
            "{given:?}: {:?}",
            translated.notes
        );
    }
    assert_eq!(
        properties(&[("ssl.endpoint.identification.algorithm", "")]),
        [("ssl.endpoint.identification.algorithm".to_owned(), "none".to_owned())]
    );
}
