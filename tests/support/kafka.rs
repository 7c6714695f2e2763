//! Real Apache Kafka for the tests, without containers: a shared single node and a shared cluster of three.
//!
//! Both are started at their first use and serve all tests of the process, so a test makes topics of its own with names
//! that no other test uses. They end with the process, however it ends; `tests/kafka/node.sh` sees to that. `.ci/need`
//! installs what they need; if that fails, so does the test.
//!
//! | | [`Kafka::single`] | [`Kafka::three`] |
//! |---|---|---|
//! | replication, `min.insync.replicas` | 1, 1 | 3, 2 |
//! | `auto.create.topics.enable` | false | true, with 6 partitions |
//!
//! Every broker has two listeners on 127.0.0.1: one plain, one with TLS and SASL (PLAIN and SCRAM-SHA-512, the same
//! user); and a third one for use behind a proxy.

#![allow(
    dead_code,
    reason = "what it offers is one piece; which parts the tests use changes with them"
)]

// Both files are beside the programs that they run.
#[path = "../kafka/helper.rs"]
mod helper;
#[path = "../kafka/node.rs"]
mod node;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::kafka_proxy::KafkaProxy;
use helper::{Helper, Reply};
use node::Node;

const USER: &str = "pointsman";
/// The user's password, and that of the brokers' key store.
const PASSWORD: &str = "pointsman-secret";

/// Set by benchmarks: the brokers should then be as fast as in production, rather than start quickly.
pub(crate) static LONG_LIVED: AtomicBool = AtomicBool::new(false);

/// How long the start may take on a busy machine. One node takes 5 to 10 s, three on two cores take 20 s.
const START_DEADLINE: Duration = Duration::from_secs(90);

static SINGLE: OnceLock<Result<Kafka, String>> = OnceLock::new();
static THREE: OnceLock<Result<Kafka, String>> = OnceLock::new();

/// A running cluster. Dropping it ends its processes and removes its data.
pub(crate) struct Kafka {
    /// Comes before the nodes, since fields are dropped in order: the helper would complain when they go away.
    helper: Mutex<Helper>,
    nodes: Vec<Node>,
    ca_pem: PathBuf,
    proxy: Option<KafkaProxy>,
}

impl Kafka {
    /// The shared single node.
    ///
    /// Panics with the reason if it cannot be started: a test without its broker must not pass.
    pub(crate) fn single() -> &'static Self {
        Self::shared(&SINGLE, 1)
    }

    /// The shared cluster of three nodes, each of them broker and controller.
    ///
    /// Panics as [`Kafka::single`] does.
    pub(crate) fn three() -> &'static Self {
        Self::shared(&THREE, 3)
    }

    fn shared(slot: &'static OnceLock<Result<Self, String>>, nodes: usize) -> &'static Self {
        // A failure is kept, too: the next test would only wait for the same failure again.
        let started = slot.get_or_init(|| Self::start(nodes).map_err(|error| format!("{error:#}")));
        match started {
            Ok(kafka) => kafka,
            Err(error) => panic!("no Kafka for the tests: {error}"),
        }
    }

    /// A separate cluster, for a test that harms it. The error says what is missing on this machine, or shows the log
    /// of the node that did not start.
    pub(crate) fn start(nodes: usize) -> Result<Self> {
        Self::start_with(nodes, None)
    }

    /// As [`Kafka::start`], with each node behind a way of the proxy, on a listener of its own: see
    /// [`Kafka::proxied_bootstrap`].
    pub(crate) fn start_behind(proxy: KafkaProxy) -> Result<Self> {
        let kafka = Self::start_advertising(&proxy.ports(), |node, port| proxy.lead(node, port))?;
        Ok(Self {
            proxy: Some(proxy),
            ..kafka
        })
    }

    /// As [`Kafka::start`], with a node for each of these ports of a proxy. The node advertises the proxy's port on a
    /// listener of its own; `lead` is told to which port the proxy has to lead.
    pub(crate) fn start_advertising(ports: &[u16], lead: impl Fn(usize, u16)) -> Result<Self> {
        let kafka = Self::start_with(ports.len(), Some(ports))?;
        for (index, node) in kafka.nodes.iter().enumerate() {
            lead(index, node.ports.behind);
        }
        Ok(kafka)
    }

    fn start_with(nodes: usize, advertised: Option<&[u16]>) -> Result<Self> {
        let installed = Installed::get()?;
        match Self::try_start(installed, nodes, advertised) {
            // A port that was free may be taken before the broker binds it. That is rare, but a test run is long.
            Err(error) if format!("{error:#}").contains("Address already in use") => {
                Self::try_start(installed, nodes, advertised)
            }
            started => started,
        }
    }

    fn try_start(installed: &Installed, nodes: usize, advertised: Option<&[u16]>) -> Result<Self> {
        let ports = node::free_ports(nodes)?;
        let nodes = (0..nodes)
            .map(|index| {
                let advertised = advertised.map_or(ports[index].behind, |ports| ports[index]);
                Node::spawn(installed, &ports, index, advertised)
            })
            .collect::<Result<Vec<_>>>()?;
        // The helper is compiled while the brokers start.
        let bootstrap = addresses(ports.iter().map(|ports| ports.plain));
        let helper = Helper::spawn(installed, &bootstrap)?;
        let deadline = Instant::now() + START_DEADLINE;
        for node in &nodes {
            node.wait_until_started(deadline)?;
        }
        let kafka = Self {
            helper: Mutex::new(helper),
            nodes,
            ca_pem: installed.tls.join("ca.pem"),
            proxy: None,
        };
        kafka.ask(&["ready", &kafka.nodes.len().to_string()])?;
        Ok(kafka)
    }

    /// The plain listeners, for `bootstrap.servers`.
    pub(crate) fn bootstrap(&self) -> String {
        addresses(self.nodes.iter().map(|node| node.ports.plain))
    }

    /// The listeners that speak TLS and want a SASL login.
    pub(crate) fn sasl_ssl_bootstrap(&self) -> String {
        addresses(self.nodes.iter().map(|node| node.ports.sasl_ssl))
    }

    /// The certificate authority behind the TLS listeners, for `ssl.ca.location`.
    pub(crate) fn ca_pem(&self) -> PathBuf {
        self.ca_pem.clone()
    }

    /// The lines of a `producer.properties` that log in at [`Kafka::sasl_ssl_bootstrap`] with PLAIN or SCRAM-SHA-512.
    pub(crate) fn sasl_ssl_properties(&self, mechanism: &str) -> String {
        let login = match mechanism {
            "PLAIN" => "plain.PlainLoginModule",
            _ => "scram.ScramLoginModule",
        };
        format!(
            "security.protocol=SASL_SSL\nsasl.mechanism={mechanism}\n\
             sasl.jaas.config=org.apache.kafka.common.security.{login} required username=\"{USER}\" password=\"{PASSWORD}\";\n\
             ssl.truststore.type=PEM\nssl.truststore.location={}\n",
            self.ca_pem.display()
        )
    }

    /// The user that SASL knows, in PLAIN and in SCRAM-SHA-512.
    pub(crate) fn user(&self) -> &'static str {
        USER
    }

    /// The user's password.
    pub(crate) fn password(&self) -> &'static str {
        PASSWORD
    }

    /// Stops a node's process where it stands: it answers nothing, and its connections stay open.
    pub(crate) fn freeze(&self, node: usize) {
        self.nodes[node].signal("-STOP").expect("a node that runs");
    }

    /// Lets a frozen node go on.
    pub(crate) fn thaw(&self, node: usize) {
        self.nodes[node].signal("-CONT").expect("a node that runs");
    }

    /// Ends a node's process at once.
    pub(crate) fn kill(&self, node: usize) {
        self.end(node, "-KILL");
    }

    /// Ends a node's process as an operator does: it hands its partitions over and then goes.
    pub(crate) fn shut_down(&self, node: usize) {
        self.end(node, "-TERM");
    }

    fn end(&self, node: usize, signal: &str) {
        let node = &self.nodes[node];
        node.signal(signal).expect("a node that runs");
        node.wait_until_ended(Instant::now() + START_DEADLINE).expect("its end");
    }

    /// Starts a node that was ended, on its ports and data, and waits until it is up.
    pub(crate) fn start_again(&self, node: usize) {
        self.start_changed(node, &[]);
    }

    /// As [`Kafka::start_again`], behind another port of the proxy.
    pub(crate) fn start_at_another_address(&self, node: usize) {
        let port = self.proxy().move_way(node);
        let listeners = self.nodes[node].ports.for_clients(port);
        self.start_changed(node, &[("advertised.listeners", listeners)]);
    }

    /// Undoes all harm to the nodes: frozen nodes go on, ended nodes are started.
    pub(crate) fn repair(&self) -> Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        let mut started = Vec::new();
        for node in &self.nodes {
            if node.signal("-CONT").is_err() {
                node.start_again(&[])?;
                started.push(node);
            }
        }
        started
            .into_iter()
            .try_for_each(|node| node.wait_until_started(deadline))
    }

    fn start_changed(&self, node: usize, changed: &[(&str, String)]) {
        let node = &self.nodes[node];
        node.start_again(changed).expect("a node that has ended");
        node.wait_until_started(Instant::now() + START_DEADLINE)
            .expect("a node that starts");
    }

    /// The proxy that the nodes are behind.
    pub(crate) fn proxy(&self) -> &KafkaProxy {
        self.proxy.as_ref().expect("a cluster that was started behind a proxy")
    }

    /// The proxy's addresses for the nodes, for `bootstrap.servers`. The nodes advertise only these addresses.
    pub(crate) fn proxied_bootstrap(&self) -> String {
        addresses(self.proxy().ports())
    }

    // The methods below fail with the message of the broker or the Java client, or because it took more than a minute.

    /// Makes a topic, replicated to all brokers, and waits until each of them knows it.
    pub(crate) fn create_topic(&self, name: &str, partitions: u32, configs: &[(&str, &str)]) -> Result<()> {
        self.create_topic_at(name, partitions, "all", configs)
    }

    /// As [`Kafka::create_topic`], with each partition on one broker only.
    pub(crate) fn create_topic_at_one(&self, name: &str, partitions: u32, configs: &[(&str, &str)]) -> Result<()> {
        let configs = [configs, &[("min.insync.replicas", "1")]].concat();
        self.create_topic_at(name, partitions, "one", &configs)
    }

    fn create_topic_at(&self, name: &str, partitions: u32, at: &str, configs: &[(&str, &str)]) -> Result<()> {
        let partitions = partitions.to_string();
        let configs: Vec<String> = configs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut command = vec!["create", name, &partitions, at];
        command.extend(configs.iter().map(String::as_str));
        self.ask(&command).map(drop)
    }

    /// Removes a topic and waits until no broker has it.
    pub(crate) fn delete_topic(&self, name: &str) -> Result<()> {
        self.ask(&["delete", name]).map(drop)
    }

    /// Grows a topic to `total` partitions and waits until each broker has them.
    pub(crate) fn add_partitions(&self, name: &str, total: u32) -> Result<()> {
        self.ask(&["add-partitions", name, &total.to_string()]).map(drop)
    }

    /// Takes the SASL user's right to write to a topic away. Brokers hear of it a moment later.
    pub(crate) fn deny_write(&self, topic: &str) -> Result<()> {
        self.ask(&["deny-write", topic, USER]).map(drop)
    }

    /// Gives the SASL user the right to write to a topic again.
    pub(crate) fn allow_write(&self, topic: &str) -> Result<()> {
        self.ask(&["allow-write", topic, USER]).map(drop)
    }

    /// Changes a setting of a topic. Brokers hear of it a moment later.
    pub(crate) fn set_config(&self, topic: &str, name: &str, value: &str) -> Result<()> {
        self.ask(&["set-config", topic, name, value]).map(drop)
    }

    /// Lets the SASL user write to a topic, and not see how it is configured. Brokers hear of it a moment later.
    pub(crate) fn hide_configs(&self, topic: &str) -> Result<()> {
        self.ask(&["hide-configs", topic, USER]).map(drop)
    }

    /// A topic's partitions as JSON:
    /// `{"ok":true,"partitions":[{"partition":0,"leader":1,"replicas":[1],"isr":[1]}…]}`, the leader null if it has none.
    pub(crate) fn describe(&self, topic: &str) -> Result<String> {
        Ok(self.ask(&["describe", topic])?.answer)
    }

    /// Lets the next replica of each partition lead it, all at once, and returns how many leaders are others than before.
    pub(crate) fn move_leaders(&self, topic: &str) -> Result<u64> {
        let answer: serde_json::Value = serde_json::from_str(&self.ask(&["move-leaders", topic])?.answer)?;
        answer["changed"].as_u64().context("no number of changes")
    }

    /// Writes one record with the Java client, to the partition that its default partitioner picks. Key and value are
    /// base64; the answer is JSON: `{"ok":true,"partition":0,"offset":0}`.
    pub(crate) fn produce(&self, topic: &str, key: Option<&str>, value: Option<&str>) -> Result<String> {
        Ok(self
            .ask(&["produce", topic, key.unwrap_or("-"), value.unwrap_or("-")])?
            .answer)
    }

    /// All records that a topic has now, read with the Java consumer, as JSON; those of one partition are in the order
    /// of their offsets. Keys, values and headers' values are base64 or null:
    /// `{"partition":0,"offset":0,"timestamp":1,"key":"…","value":null,"headers":[["a","…"]]}`.
    pub(crate) fn read(&self, topic: &str) -> Result<Vec<String>> {
        Ok(self.ask(&["read", topic])?.records)
    }

    fn ask(&self, command: &[&str]) -> Result<Reply> {
        // A test that panicked with the lock is no concern here: each command is either complete or has failed.
        self.helper.lock().unwrap_or_else(PoisonError::into_inner).ask(command)
    }
}

/// Ports of this machine, for `bootstrap.servers`.
pub(crate) fn addresses(ports: impl IntoIterator<Item = u16>) -> String {
    ports
        .into_iter()
        .map(|port| format!("127.0.0.1:{port}"))
        .collect::<Vec<_>>()
        .join(",")
}

/// What all clusters of this process share, found or made once.
struct Installed {
    /// `tests/kafka` of this repository.
    scripts: PathBuf,
    /// Java's class path: all jars in the folder.
    jars: String,
    /// Kept between runs, since making keys takes longer than half a broker's start.
    tls: PathBuf,
}

impl Installed {
    fn get() -> Result<&'static Self> {
        static INSTALLED: OnceLock<Result<Installed, String>> = OnceLock::new();
        let installed = INSTALLED.get_or_init(|| Self::install().map_err(|error| format!("{error:#}")));
        installed.as_ref().map_err(|error| anyhow::Error::msg(error.clone()))
    }

    fn install() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("the package is not in a workspace")?;
        let scripts = root.join("tests/kafka");
        let kafka = root.join("target/kafka");
        let tls = kafka.join("tls");
        run(Command::new(root.join(".ci/need")).args(["jdk", "kafka"]))?;
        if !tls.exists() {
            run(Command::new("sh").arg(scripts.join("tls.sh")).arg(&tls).arg(PASSWORD))?;
        }
        Ok(Self {
            scripts,
            jars: format!("{}/libs/*", kafka.display()),
            tls,
        })
    }

    /// The options of all JVMs. In tests, starting is most of their work: without the second compiler it costs a third
    /// less CPU time, which matters with three nodes on two cores.
    fn java_options(&self, heap: &'static str) -> [&str; 5] {
        let compilers = match LONG_LIVED.load(Ordering::Relaxed) {
            true => "-XX:+TieredCompilation",
            false => "-XX:TieredStopAtLevel=1",
        };
        [heap, "-XX:+UseSerialGC", compilers, "-cp", &self.jars]
    }
}

/// Runs a command to its end. Its standard error becomes the error.
fn run(command: &mut Command) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{command:?}"))?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    Ok(())
}
