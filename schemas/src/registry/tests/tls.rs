//! A registry that speaks TLS, and wants to know who asks: the program openssl, which serves the files of a folder.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use super::*;

/// The server. It goes when it is dropped.
struct Server {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/servers/tls.sh");
        let made = Command::new("sh").arg(script).arg(folder.path()).output().expect("sh");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let schemas = folder.path().join("schemas/ids");
        fs::create_dir_all(&schemas).expect("a folder");
        fs::write(schemas.join("1"), schema().to_string()).expect("a schema");
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let child = Command::new("openssl")
            .args(["s_server", "-quiet", "-WWW", "-accept", &format!("127.0.0.1:{port}")])
            // Without a certificate of this authority, a client is sent away.
            .args([
                "-cert",
                "server.pem",
                "-key",
                "server.key",
                "-Verify",
                "1",
                "-verify_return_error",
            ])
            .args(["-CAfile", "ca.pem"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl");
        let server = Self { child, port, folder };
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "it does not listen");
            std::thread::yield_now();
        }
        server
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.file(name)).expect(name)
    }

    /// A registry at this server; `trusted` and `known`: with its authority, and with a certificate of the client's own.
    fn registry(&self, trusted: bool, known: bool) -> Registry {
        let mut settings = settings(&[&format!("https://localhost:{}", self.port)]);
        settings.ca_pem = trusted.then(|| self.read("ca.pem"));
        settings.identity = known.then(|| (self.read("server.pem"), PrivateKey(self.read("server.key"))));
        Registry::new(settings).expect("settings")
    }
}

#[tokio::test]
async fn a_registry_is_believed_only_with_a_certificate_of_the_named_authority_and_knows_who_asks() {
    let server = Server::start();
    let schema = server.registry(true, true).get(ONE).await.expect("a schema");
    assert_eq!(schema.format, Format::Json);
    for (trusted, known, said) in [(false, true, "TLS"), (true, false, "")] {
        let told = server.registry(trusted, known).get(ONE).await.expect_err("no schema");
        assert!(
            matches!(&told, LookUp::Unavailable(told) if told.contains(said)),
            "{told}"
        );
    }
}
