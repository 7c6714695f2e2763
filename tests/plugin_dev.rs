//! `pointsman plugin dev` for the author of a plugin: a saved change decides, and a mistake does not.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::{
    http::Http,
    plugin_folder::{PluginFolder, deciding},
    sidecar::{BINARY, Sidecar, root, to_its_end},
};

/// How long anything may take: the first build compiles the SDK.
const DEADLINE: Duration = Duration::from_secs(300);

/// A plugin in Rust that puts every record on one partition. It always lies at the same path and shares the plugins'
/// target folder, so that compiled code is used again.
fn project(name: &str) -> PathBuf {
    let dir = root().join("plugins/target/plugin-dev").join(name);
    if dir.exists() {
        fs::remove_dir_all(&dir).unwrap();
    }
    let mut new = Command::new(BINARY);
    let new = new.args(["plugin", "new", name, "--lang", "rust", "--dir"]).arg(&dir);
    assert!(to_its_end(new).status.success());
    fs::create_dir(dir.join(".cargo")).unwrap();
    fs::write(dir.join(".cargo/config.toml"), "[build]\ntarget-dir = \"../..\"\n").unwrap();
    fs::remove_file(dir.join("src/rule.rs")).unwrap();
    write(&dir, "src/lib.rs", &rule("3"));
    write(&dir, "cases.toml", &case(3));
    dir
}

fn rule(partition: &str) -> String {
    format!(
        "use pointsman_plugin::{{Config, Decision, Partitioner, Record, export}};\n\
         struct Plugin;\n\
         impl Partitioner for Plugin {{\n\
             fn configure(config: &Config) -> Result<Self, String> {{ config.expect_empty().map(|()| Plugin) }}\n\
             fn partition(&mut self, _: &Record<'_>, _: u32) -> Decision {{ Decision::Partition({partition}) }}\n\
         }}\n\
         export!(Plugin);\n"
    )
}

fn case(partition: u32) -> String {
    format!("[[case]]\nname = \"all go there\"\npartitions = 12\nkey = \"a\"\nexpect = {{ partition = {partition} }}\n")
}

/// Saves as an editor does: a new file replaces the old one.
fn write(dir: &Path, file: &str, text: &str) {
    let draft = dir.join(".draft");
    fs::write(&draft, text).unwrap();
    fs::rename(&draft, dir.join(file)).unwrap();
}

/// A running `pointsman plugin dev --json`. Dropping this kills it.
struct Dev {
    child: Child,
    events: Receiver<Value>,
}

impl Dev {
    fn start(dir: &Path, sidecar: &Sidecar, more: &[&str]) -> Self {
        let admin = sidecar.admin.to_string();
        let mut command = Command::new(BINARY);
        command.args(["plugin", "dev", "--json", "--admin", &admin]);
        Self::of(command.args(more).arg(dir))
    }

    fn of(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.env("XDG_CACHE_HOME", root().join("target/test-cache"));
        let mut child = command.spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let (sender, events) = mpsc::sync_channel(1_000);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Self { child, events }
    }

    /// The next event. It must be of this kind.
    fn next(&self, wanted: &str) -> Value {
        let event = self.events.recv_timeout(DEADLINE).expect("an event");
        assert_eq!(event["event"], wanted, "{event}");
        event
    }

    fn end(mut self) {
        let id = rustix::process::Pid::from_raw(self.child.id().cast_signed()).expect("an id");
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it runs");
        assert!(self.child.wait().expect("its end").success());
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_save_decides_and_says_which_records_move_and_a_mistake_changes_nothing() {
    let dir = project("dev-saves");
    let folder = PluginFolder::new();
    let records = folder.beside("records.ndjson");
    fs::write(&records, "{\"key\":\"a\"}\n{\"key\":\"b\"}\n").unwrap();
    let sidecar = folder.sidecar().route("orders", "dev-saves", "").start();
    let dev = Dev::start(&dir, &sidecar, &["--records", records.to_str().unwrap()]);

    dev.next("watching");
    dev.next("built");
    assert_eq!(dev.next("tested")["passed"], 1);
    let live = dev.next("live");
    assert_eq!(live["topics"][0], "orders");
    let first = deciding(&sidecar, "orders");
    assert_eq!(live["sha256"], *first);

    // Changes the rule, and not the case yet.
    write(&dir, "src/lib.rs", &rule("5"));
    dev.next("built");
    assert_eq!(dev.next("tested")["failed"][0]["decided"], "partition 5");
    dev.next("kept");
    assert_eq!(deciding(&sidecar, "orders"), first);

    write(&dir, "cases.toml", &case(5));
    dev.next("built");
    dev.next("tested");
    let live = dev.next("live");
    let second = deciding(&sidecar, "orders");
    assert_eq!(live["sha256"], *second);
    assert_ne!(first, second);
    let changes = dev.next("changes");
    let case = &changes["cases"][0];
    assert_eq!(
        (&case["before"], &case["after"]),
        (&"partition 3".into(), &"partition 5".into())
    );
    assert_eq!(
        (&changes["records"]["moved"], &changes["records"]["all"]),
        (&2.into(), &2.into())
    );

    write(&dir, "src/lib.rs", &rule("\"five\""));
    let said = dev.next("not_built")["said"].clone();
    assert!(said.as_str().unwrap().contains("mismatched types"), "{said}");
    assert_eq!(deciding(&sidecar, "orders"), second);

    // Its last event is its end, and it leaves no process running.
    dev.end();
}

#[test]
fn a_sidecar_to_try_it_out_with_starts_with_it_and_ends_with_it() {
    let dir = project("dev-runs");
    let folder = PluginFolder::new();
    let dist = dir.join("dist");
    // Keeps the port from others until the sidecar takes it.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = taken.local_addr().unwrap();
    let config = folder.beside("pointsman.toml");
    let text = format!(
        "[listen]\nhttp = \"\"\nunix = {:?}\nadmin = \"{admin}\"\n[kafka]\nbootstrap_servers = \"embedded\"\n[plugins]\n\
         dir = \"dist\"\n[[route]]\ntopics = [\"*\"]\nplugin = \"dev-runs\"\n",
        folder.beside("run/ingest.sock")
    );
    fs::write(&config, text).unwrap();
    let run = || {
        let mut command = Command::new(BINARY);
        command
            .args(["plugin", "dev", "--run", "--json", "--config"])
            .arg(&config)
            .arg(&dir);
        command
    };
    let output = to_its_end(&mut run());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("sidecar has ended") && said.contains("sidecar.log"),
        "{said}"
    );
    assert!(!dist.join("dev-runs.wasm").exists());

    drop(taken);
    let dev = Dev::of(&mut run());
    dev.next("started");
    dev.next("watching");
    dev.next("built");
    dev.next("tested");
    dev.next("live");
    assert!(dist.join("dev-runs.wasm").exists());
    assert_eq!(Http::tcp(admin).get("/ready").status, 200);
    dev.end();
    assert!(TcpStream::connect(admin).is_err(), "the sidecar still runs");
}

#[test]
fn one_round_without_a_sidecar_builds_and_tests_and_its_exit_code_says_whether_all_went_well() {
    let dir = project("dev-once");
    let once = |more: &[&str]| {
        let mut command = Command::new(BINARY);
        // Nobody listens on port 1.
        command.args(["plugin", "dev", "--once", "--admin", "127.0.0.1:1"]);
        // The first build compiles the SDK, so this has no short deadline.
        let output = command.args(more).arg(&dir).output().expect("it starts");
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let component = dir.join("dist/dev-once.wasm");
    let (code, said) = once(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("no sidecar answers at 127.0.0.1:1"), "{said}");
    assert!(!said.contains('\u{1b}'), "colours where there is no terminal");
    let good = fs::read(&component).unwrap();

    write(&dir, "routes.json", "{}");
    let (code, said) = once(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("routes.json cannot be used as a routing table"), "{said}");
    fs::remove_file(dir.join("routes.json")).unwrap();

    write(&dir, "src/lib.rs", &rule("5"));
    let (code, said) = once(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("+ decided  partition 5") && said.contains("the current version stays"),
        "{said}"
    );
    assert_eq!(fs::read(&component).unwrap(), good);

    let (code, said) = once(&["--force"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("case \"all go there\": partition 3 -> partition 5"),
        "{said}"
    );
    assert_ne!(fs::read(&component).unwrap(), good);
}
