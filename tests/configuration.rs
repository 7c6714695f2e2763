//! Configuration: a mistake stops the start with one line that says where it is, and secrets stay secret.

use std::process::{Command, Output};

use crate::support::sidecar::{BINARY, Builder, plugin_dir, root, to_its_end};

/// Starts with this file and environment, which must fail.
fn fails(text: &str, environment: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pointsman.toml");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["run", "--config"]).arg(&file).args(arguments);
    let Output { status, stderr, .. } = to_its_end(command.envs(environment.iter().copied()));
    let said = String::from_utf8(stderr).unwrap();
    let said = said.replace(folder.path().to_str().unwrap(), "");
    (status.code(), said)
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn every_mistake_is_one_line_with_file_line_key_and_expectation() {
    let kafka = "[kafka]\nbootstrap_servers = \"localhost:1\"\n";
    for (text, starts, says) in [
        (
            "",
            "pointsman: /pointsman.toml: kafka.bootstrap_servers: missing",
            "\"embedded\"",
        ),
        (
            "[kafka]\nboostrap_servers = \"x\"",
            "pointsman: /pointsman.toml:2: kafka",
            "unknown field `boostrap_servers`, expected one of `bootstrap_servers`",
        ),
        (
            "[limit]\nmax_records = 1",
            "pointsman: /pointsman.toml:1: limit",
            "expected one of",
        ),
        (
            "# a comment\n[limits]\n\nmax_records = \"many\"",
            "pointsman: /pointsman.toml:4: limits.max_records",
            "invalid type: string \"many\", expected usize",
        ),
        (
            "[limits]\nmax_records = 0",
            "pointsman: /pointsman.toml:2: limits.max_records",
            "expected at least 1",
        ),
        (
            "[limits]\nclient_window = 0",
            "pointsman: /pointsman.toml:2: limits.client_window",
            "expected at least 1",
        ),
        (
            "[limits]\nclient_memory_bytes = 1000",
            "pointsman: /pointsman.toml:2: limits.client_memory_bytes",
            "expected at least 262144",
        ),
        ("[listen\nhttp = 1", "pointsman: /pointsman.toml:1", ""),
        (
            "[listen]\nhttp = \"localhost\"",
            "pointsman: /pointsman.toml:2: listen.http",
            "expected ip:port",
        ),
        (
            "[listen]\nhttp = \"0.0.0.0:8644\"",
            "pointsman: /pointsman.toml:2: listen.http",
            "token_file",
        ),
        (
            "[listen]\nhttp = \"\"",
            "pointsman: /pointsman.toml:1: listen",
            "nothing to listen on",
        ),
        (
            "[log]\nlevel = \"loud\"",
            "pointsman: /pointsman.toml:2: log.level",
            "expected error, warn",
        ),
        (
            "[[route]]\ntopics = []",
            "pointsman: /pointsman.toml:2: route.0.topics",
            "at least one topic",
        ),
        (
            "[[route]]\ntopics = [\"a\"]\n[[route]]\ntopics = [\"[\"]",
            "pointsman: /pointsman.toml:4: route.1.topics",
            "no glob",
        ),
        (
            "[[route]]\ntopics = [\"a\"]\nplugin = \"../evil\"",
            "pointsman: /pointsman.toml:3: route.0.plugin",
            "letters, digits",
        ),
        (
            "[[route]]\ntopics = [\"a\"]\nshadow = { plugin = \"x\", share = 1.5 }",
            "pointsman: /pointsman.toml:3: route.0.shadow",
            "above 0 and at most 1",
        ),
        (
            "[[route]]\ntopics = [\"a\"]\nshadow = { plugin = \"x/y\", share = 0.5 }",
            "pointsman: /pointsman.toml:3: route.0.shadow",
            "letters, digits",
        ),
        (
            "[plugins]\ndir = \"plugins/dist\"\ncache_dir = \"plugins/dist/cache\"",
            "pointsman: /pointsman.toml:3: plugins.cache_dir",
            "plugins.dir",
        ),
        (
            "[listen]\nunix = \"/run/app/ingest.sock\"\n[plugins]\ncache_dir = \"/run/app/cache\"",
            "pointsman: /pointsman.toml:4: plugins.cache_dir",
            "the folder of listen.unix",
        ),
        (
            "[plugins]\nmax_traps = 0",
            "pointsman: /pointsman.toml:2: plugins.max_traps",
            "expected at least 1",
        ),
        (
            "[kafka.properties]\nacks = \"1\"",
            "pointsman: /pointsman.toml:2: kafka.properties.acks",
            "ordering = \"none\"",
        ),
        (
            "[kafka.properties]\nacks.x = 1",
            "pointsman: /pointsman.toml:2: kafka.properties.acks",
            "",
        ),
        (
            "[kafka.properties]\n\"ssl.truststore.location\" = \"/etc/trust.jks\"",
            "pointsman: /pointsman.toml:2: kafka.properties.ssl.truststore.location",
            "keytool",
        ),
    ] {
        // A text with a `[kafka]` table is used as it is.
        let whole = if text.contains("[kafka]") || text.is_empty() {
            text.to_owned()
        } else {
            format!("{text}\n{kafka}")
        };
        let (code, said) = fails(&whole, &[], &[]);
        assert_eq!(code, Some(64), "{text}: {said}");
        assert_eq!(said.lines().count(), 1, "{text}: {said}");
        assert!(said.starts_with(starts) && said.contains(says), "{text}:\n{said}");
    }
    let missing = to_its_end(Command::new(BINARY).args(["run", "--config", "/nowhere/x.toml"]));
    assert_eq!(missing.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nowhere/x.toml: cannot read"));
}

#[test]
fn without_brokers_nothing_is_acknowledged_into_memory() {
    let output = to_its_end(Command::new(BINARY).arg("run"));
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("kafka.bootstrap_servers") && said.contains("--embedded"),
        "{said}"
    );
    let usage = to_its_end(Command::new(BINARY).args(["run", "--embeded"]));
    assert_eq!(usage.status.code(), Some(2));
}

#[test]
fn the_environment_wins_and_only_a_double_underscore_makes_a_key() {
    let sidecar = Builder::embedded()
        .config("[limits]\nmax_records = 5")
        .environment("POINTSMAN_LIMITS__MAX_RECORDS", "7")
        .environment("POINTSMAN_KAFKA__PROPERTIES", r#"{"client.id":"123","linger.ms":1}"#)
        .environment("POINTSMAN_PLUGINS__DIR", "42")
        // Kubernetes sets this variable for a Service with the name `pointsman`.
        .environment("POINTSMAN_PORT", "tcp://10.0.0.1:80")
        .environment("POINTSMAN_SERVICE_HOST", "10.0.0.1")
        .start();
    let config = sidecar.admin("/config").json();
    assert_eq!(config["limits"]["max_records"], 7);
    assert_eq!(config["plugins"]["dir"], "42");
    assert_eq!(config["kafka"]["effective_properties"]["client.id"], "123");
    assert_eq!(config["kafka"]["effective_properties"]["linger.ms"], "1");

    for (name, value, says) in [
        (
            "POINTSMAN_LIMITS__MAX_RECORDS",
            "many",
            "limits.max_records: invalid type: string \"many\"",
        ),
        ("POINTSMAN_LIMITS__MAX_RECORD", "1", "unknown field `max_record`"),
        ("POINTSMAN_LIMIT__X", "1", "unknown field `limit`"),
        ("POINTSMAN_ROUTE__0", "x", "routes come from the file only"),
    ] {
        let (code, said) = fails("", &[(name, value)], &["--embedded"]);
        assert_eq!(code, Some(64), "{said}");
        assert!(
            said.contains(&format!("environment variable {name}")) && said.contains(says),
            "{said}"
        );
    }
}

#[test]
fn a_secret_from_a_file_is_used_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "hunter2-in-a-file\n").unwrap();
    let sidecar = Builder::kafka("127.0.0.1:1")
        .kafka_lines(&format!(
            "[kafka.properties]\nsecurity.protocol = \"SASL_PLAINTEXT\"\nsasl.mechanism = \"PLAIN\"\n\
             sasl.username = \"u\"\n\"sasl.password_file\" = {file:?}"
        ))
        .start();
    let config = sidecar.admin("/config").json();
    assert_eq!(config["kafka"]["effective_properties"]["sasl.password"], "[redacted]");
    assert!(!config.to_string().contains("hunter2") && !sidecar.log_text().contains("hunter2"));

    for text in [
        "[kafka]\nbootstrap_servers = \"x:1\"\n[kafka.properties]\nsasl.password = \"hunter2-here\"\nsasl.mechanism = \"GSSAPI\"",
        "[kafka]\nbootstrap_servers = \"x:1\"\nproperties = '''\nsasl.jaas.config=a.b.C required password=\"hunter2-here\"\n'''",
        "[kafka]\nbootstrap_servers = \"x:1\"\n[kafka.properties]\nsasl.pasword = \"hunter2-here\"",
        "[kafka]\nbootstrap_servers = \"x:1\"\n[kafka.properties]\nsasl.password = [\"hunter2-here\"]",
    ] {
        let (code, said) = fails(text, &[], &[]);
        assert_eq!(code, Some(64), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn the_manual_lists_every_property_as_it_is_translated() {
    let page = std::fs::read_to_string(root().join("docs/kafka-properties.md")).unwrap();
    assert!(
        page.contains(&pointsman::config::kafka_properties::markdown_table()),
        "the table in docs/kafka-properties.md differs from the code's; it has to be:\n{}",
        pointsman::config::kafka_properties::markdown_table()
    );
}

#[test]
fn the_manual_lists_every_error_code_that_a_record_can_have() {
    let page = std::fs::read_to_string(root().join("docs/error-codes.md")).unwrap();
    for code in pointsman::base::outcome::Code::ALL {
        assert!(page.contains(&format!("| `{}` |", code.as_str())), "{code:?}");
    }
}

#[test]
fn no_private_key_is_shown_whatever_property_or_config_it_stands_in() {
    let key = "-----BEGIN PRIVATE KEY-----\\nzQ7xV\\n-----END PRIVATE KEY-----\\n";
    let bundle = format!("-----BEGIN CERTIFICATE-----\\nQUJD\\n-----END CERTIFICATE-----\\n{key}");
    let sidecar = Builder::embedded()
        .kafka_lines(&format!(
            "[kafka.properties]\n\"ssl.ca.pem\" = \"{bundle}\"\n\"ssl.certificate.pem\" = \"{bundle}\"\n\"ssl.key.pem\" = \"{key}\""
        ))
        .route("h*", "header", &format!("config = {{ name = \"{key}\" }}"))
        .start();
    for path in ["/config", "/plugins"] {
        let shown = sidecar.admin(path).text();
        assert!(
            shown.contains("[redacted]") && !shown.contains("zQ7xV"),
            "{path}: {shown}"
        );
    }
    let refusing = format!(
        "[listen]\nhttp = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[kafka]\nbootstrap_servers = \"embedded\"\n\
         [plugins]\ndir = {:?}\n[[route]]\ntopics = [\"t\"]\nplugin = \"hostile\"\nconfig = {{ salt = \"zQ7xV\" }}",
        plugin_dir()
    );
    let (code, said) = fails(&refusing, &[], &[]);
    assert!(code == Some(1) && said.contains("it refused its config"), "{said}");
    assert!(!said.contains("zQ7xV"), "{said}");
    let no_table = "[kafka]\nbootstrap_servers = \"embedded\"\n[[route]]\ntopics = [\"t\"]\nconfig = \"zQ7xV\"";
    let (code, said) = fails(no_table, &[], &[]);
    assert!(code == Some(64) && said.contains("expected a map"), "{said}");
    assert!(!said.contains("zQ7xV"), "{said}");
}

#[test]
fn the_smallest_limits_are_enough_for_a_record() {
    for limits in [
        "max_records = 1",
        "max_connections = 1",
        "max_requests = 1",
        "max_topics = 1",
        "max_clients = 1",
        "client_window = 1",
        "json_depth = 1",
        "max_wait_ms = 1",
        "max_plugin_ms = 1",
    ] {
        let sidecar = Builder::embedded().config(&format!("[limits]\n{limits}")).start();
        let headers = [
            ("content-type", "application/json"),
            ("pointsman-client", "shop"),
            ("pointsman-sequence", "1"),
        ];
        let mut http = sidecar.unix();
        let reply = http.post("/v1/topics/t/records", &headers, b"{\"value\":[1]}");
        assert_eq!(reply.status, 200, "{limits}: {}", reply.text());
        let reply = http.json("/v1/topics/t/records", "{\"records\":[{\"key\":\"a\"}]}");
        assert_eq!(reply.status, 200, "{limits}: {}", reply.text());
        if limits == "max_records = 1" {
            let reply = http.json("/v1/topics/t/records", "{\"records\":[{\"key\":\"a\"},{}]}");
            assert_eq!((reply.status, reply.problem().as_str()), (413, "too_many_records"));
        }
    }
}
