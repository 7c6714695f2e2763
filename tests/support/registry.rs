//! A real schema registry for a test: Apicurio Registry, which speaks Confluent's API; and readers of what was written with its schemas.

#![allow(
    dead_code,
    reason = "what it offers is one piece; which parts the tests use changes with them"
)]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::{Value, json};

use super::http::{Http, Reply};
use super::server::{Server, need};
use super::sidecar::root;

/// Where Confluent's API begins.
const API: &str = "/apis/ccompat/v7";

/// A running registry; see [`Server`] for what can be done to it. What it has answered with success, it keeps when it is killed.
///
/// By itself it takes any schema for a new version of a subject: see [`Registry::set_compatibility`].
pub(crate) struct Registry {
    pub(crate) server: Server,
}

impl Registry {
    /// One without schemas. It takes 7 s on an idle machine, and 250 MB: tests that do it no harm should share one.
    pub(crate) fn start() -> Self {
        need_once(&["registry"]);
        let installed = root().join("target/registry");
        let java = installed.join("java");
        let jar = installed.join("app/quarkus-run.jar");
        let server = Server::start(
            "registry-",
            &[
                java.to_str().expect("a path of text"),
                "-Xmx256m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                // It unpacks libraries, which then go with its folder.
                "-Djava.io.tmpdir=.",
                "-jar",
                jar.to_str().expect("a path of text"),
            ],
            |folder, port| {
                let settings = folder.join("config");
                fs::create_dir(&settings).expect("a folder");
                fs::write(settings.join("application.properties"), properties(port)).expect("its settings");
            },
            |port, _| is_up(port),
        );
        Self { server }
    }

    /// One for all tests that do it no harm; each uses subjects of its own. It ends with the process of the tests.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Registry> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// The URL of Confluent's API, to which paths such as `/subjects` are added.
    pub(crate) fn url(&self) -> String {
        format!("http://{}{API}", address(self.server.port))
    }

    /// Registers a schema of type `AVRO`, `PROTOBUF` or `JSON`, and returns its id. Each reference has the name that the schema uses,
    /// the subject and the version.
    pub(crate) fn register(&self, subject: &str, kind: &str, schema: &str, references: &[(&str, &str, u32)]) -> u32 {
        let reply = self.try_register(subject, kind, schema, references);
        assert_eq!(reply.status, 200, "{subject}: {}", reply.text());
        let id = reply.json()["id"].as_u64().and_then(|id| id.try_into().ok());
        id.unwrap_or_else(|| panic!("{subject}: no id: {}", reply.text()))
    }

    /// As [`Registry::register`]; returns the answer as it is. An incompatible schema has status 409, a wrong one 422.
    pub(crate) fn try_register(
        &self,
        subject: &str,
        kind: &str,
        schema: &str,
        references: &[(&str, &str, u32)],
    ) -> Reply {
        let references: Vec<Value> = references
            .iter()
            .map(|(name, subject, version)| json!({"name": name, "subject": subject, "version": version}))
            .collect();
        let body = json!({"schemaType": kind, "schema": schema, "references": references});
        self.ask("POST", &format!("/subjects/{subject}/versions"), Some(&body))
    }

    /// Says what a new version of a subject must be to earlier ones, such as `BACKWARD`; `NONE` at first. The subject may have none yet.
    pub(crate) fn set_compatibility(&self, subject: &str, level: &str) {
        let reply = self.ask(
            "PUT",
            &format!("/config/{subject}"),
            Some(&json!({"compatibility": level})),
        );
        assert_eq!(reply.status, 200, "{subject}: {}", reply.text());
    }

    /// Asks it anything, by a path of Confluent's API. The answer must be a small one: the registry sends others in chunks, which
    /// [`Http`] does not read.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut http = Http::tcp(address(self.server.port));
        let headers = [("content-type", "application/vnd.schemaregistry.v1+json")];
        http.send(method, &format!("{API}{path}"), &headers, body.as_bytes());
        let reply = http.reply().expect("a reply");
        assert!(reply.header("content-length").is_some(), "{path}: {reply:?}");
        reply
    }

    /// Reads the first records of a topic with a reader that asks this registry for the schemas. tests/schemas/README.md has the readers,
    /// their further arguments, and what each line says. Panics if a record cannot be read, or if there are too few for a minute.
    pub(crate) fn read(
        &self,
        reader: &str,
        bootstrap: &str,
        topic: &str,
        count: usize,
        arguments: &[&str],
    ) -> Vec<Value> {
        match reader {
            "java" => need_once(&["jdk", "kafka", "registry"]),
            _ => need_once(&["registry-readers"]),
        }
        let output = Command::new(root().join("tests/schemas/run"))
            .arg(reader)
            .arg(format!("bootstrap={bootstrap}"))
            .arg(format!("topic={topic}"))
            .arg(format!("count={count}"))
            .arg(format!("registry={}", self.url()))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("tests/schemas/run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{reader}: {said}");
        let lines = String::from_utf8(output.stdout).expect("text");
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{reader}: {error}: {line}")))
            .collect()
    }
}

/// What it is told that differs from its defaults, which keep schemas in memory and listen on all addresses.
fn properties(port: u16) -> String {
    format!(
        "quarkus.http.host=127.0.0.1\n\
         quarkus.http.port={port}\n\
         # Health and metrics, on any port that is free.\n\
         quarkus.management.host=127.0.0.1\n\
         quarkus.management.port=0\n\
         # A kill leaves no lock behind, and what was answered is in the file.\n\
         apicurio.datasource.url=jdbc:h2:file:./data;FILE_LOCK=FS;WRITE_DELAY=0\n\
         apicurio.datasource.jdbc.initial-size=2\n\
         apicurio.datasource.jdbc.min-size=2\n"
    )
}

fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// It takes connections before it has opened what it keeps.
fn is_up(port: u16) -> bool {
    let Ok(mut http) = Http::try_tcp(address(port)) else {
        return false;
    };
    http.send("GET", &format!("{API}/subjects"), &[], b"");
    http.reply().is_some_and(|reply| reply.status == 200)
}

/// Tests that begin together would fetch the same things together, and put them in one place.
fn need_once(tools: &[&str]) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    need(tools);
}
