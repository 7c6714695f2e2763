//! A real ZooKeeper for a test: one server, as Debian packs it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::server::{Server, need};

const JARS: &str = "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar";

/// A running ZooKeeper; see [`Server`] for what can be done to it.
pub(crate) struct ZooKeeper {
    pub(crate) server: Server,
}

impl ZooKeeper {
    pub(crate) fn start() -> Self {
        need(&["jdk", "zookeeper"]);
        let server = Server::start(
            "zookeeper-",
            &[
                "java",
                "-Xmx128m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-Dzookeeper.admin.enableServer=false",
                "-cp",
                JARS,
                "org.apache.zookeeper.server.quorum.QuorumPeerMain",
                "zoo.cfg",
            ],
            |folder, port| {
                // Sessions end after twenty ticks at the latest.
                let settings = format!(
                    "clientPortAddress=127.0.0.1\nclientPort={port}\ndataDir=data\ntickTime=500\nmaxClientCnxns=0\n\
                     4lw.commands.whitelist=srvr\n"
                );
                fs::write(folder.join("zoo.cfg"), settings).expect("its settings");
            },
            |port, _| is_up(port),
        );
        Self { server }
    }

    /// The URL of a table.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("zookeeper://127.0.0.1:{}/{path}", self.server.port)
    }
}

fn is_up(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"srvr")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.contains("Mode: standalone"))
}
