//! Pastes the shell blocks of a page into a shell, beside a sidecar of the page's own.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use super::expected::{same_json, same_text};
use super::pages::{Block, Page};
use crate::support::sidecar::{BINARY, Builder, Sidecar, plugin_dir, root};

/// How long a page may take on a busy machine: the first build of a plugin compiles the SDK.
const DEADLINE: Duration = Duration::from_secs(600);

/// The names on the pages, which are those of `make run`.
const HTTP: &str = "127.0.0.1:8644";
const ADMIN: &str = "127.0.0.1:8645";
/// The addresses of a sidecar that a page starts itself.
const OWN: [&str; 2] = ["127.0.0.1:8654", "127.0.0.1:8655"];
const SOCKET: &str = "target/run/ingest.sock";
const CONFIG: &str = "examples/quickstart/pointsman.toml";
const QUICKSTART: &str = "examples/quickstart/run";

/// Separates the output of two blocks.
const BETWEEN: char = '\u{1e}';

/// Runs the blocks of a page that are to be run, and compares their output. Panics with all differences.
pub(crate) fn run(page: &Page) {
    let shells: Vec<usize> = (0..page.blocks.len())
        .filter(|&at| page.blocks[at].info == "sh")
        .collect();
    if shells.is_empty() {
        return;
    }
    let checkout = Checkout::new();
    let script = checkout.folder.path().join("script");
    fs::write(&script, script_of(&page.blocks)).expect("written");
    let Ran { stdout, stderr, well } = checkout.bash(&script);
    let outputs: Vec<&str> = stdout.split(BETWEEN).skip(1).collect();
    if !well {
        let block = &page.blocks[shells[outputs.len().saturating_sub(1)]];
        panic!("{}:{}: it failed:\n{stdout}\n{stderr}", page.name, block.line);
    }
    let mut differences = String::new();
    for (&at, printed) in shells.iter().zip(outputs) {
        let Some(shown) = page.blocks.get(at + 1).filter(|next| next.follows) else {
            continue;
        };
        let printed = checkout.as_on_the_page(printed);
        let same = match shown.info.as_str() {
            "json" => same_json(&shown.text, &printed),
            "text" => same_text(&shown.text, &printed),
            _ => continue,
        };
        if !same {
            differences += &format!(
                "{}:{} shows\n{}but it is\n{printed}\n",
                page.name, shown.line, shown.text
            );
        }
    }
    assert!(differences.is_empty(), "{differences}{stderr}");
}

/// One script of all blocks, so that variables that one block sets exist in the next. It also writes the page's files.
fn script_of(blocks: &[Block]) -> String {
    // What a page has started ends with it.
    let mut script = "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n".to_owned();
    for block in blocks {
        if let Some(file) = &block.file {
            script += &format!("cat >{file} <<'END OF FILE'\n{}END OF FILE\n", block.text);
        } else if block.info == "sh" {
            script += &format!("printf '\\036'\n{}", block.text);
        }
    }
    script
}

/// A folder laid out like a checkout in which `make run` runs.
struct Checkout {
    folder: TempDir,
    sidecar: Sidecar,
    own: [String; 2],
}

struct Ran {
    stdout: String,
    stderr: String,
    well: bool,
}

impl Checkout {
    fn new() -> Self {
        let built = plugin_dir();
        // Within the real checkout, so that its toolchain file applies.
        let parent = root().join("target/test-pages");
        fs::create_dir_all(&parent).expect("a folder");
        let folder = tempfile::tempdir_in(parent).expect("a folder");
        let path = folder.path();
        for below in ["plugins/dist", "target/debug", ".cargo"] {
            fs::create_dir_all(path.join(below)).expect("a folder");
        }
        let plugins = path.join("plugins/dist");
        for plugin in ["key-hash", "round-robin", "header", "json-field", "tenant"] {
            let file = format!("{plugin}.wasm");
            fs::copy(built.join(&file), plugins.join(&file)).expect("a plugin");
        }
        let quickstart = fs::read_to_string(root().join(CONFIG)).expect("the configuration of `make run`");
        let (_, routes) = quickstart.split_once("[[route]]").expect("routes");
        let sidecar = Builder::embedded()
            .config(&format!("[plugins]\ndir = {plugins:?}\n[[route]]{routes}"))
            .start();
        // The plugins' dependencies are already built there.
        let cargo = format!("[build]\ntarget-dir = {:?}\n", root().join("plugins/target"));
        fs::write(path.join(".cargo/config.toml"), cargo).expect("written");
        symlink(BINARY, path.join("target/debug/pointsman")).expect("a link");
        let own = OWN.map(|_| {
            let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
            free.expect("a free port").to_string()
        });
        Self { folder, sidecar, own }
    }

    /// The names on the pages, and the names in this folder.
    fn names(&self) -> [(&'static str, String); 7] {
        let path = |path: &Path| path.to_str().expect("a path of a test").to_owned();
        [
            (OWN[0], self.own[0].clone()),
            (OWN[1], self.own[1].clone()),
            (HTTP, self.sidecar.http.to_string()),
            (ADMIN, self.sidecar.admin.to_string()),
            (CONFIG, path(&self.sidecar.config)),
            (QUICKSTART, path(&root().join(QUICKSTART))),
            (SOCKET, path(&self.sidecar.unix)),
        ]
    }

    fn bash(&self, script: &Path) -> Ran {
        let mut text = fs::read_to_string(script).expect("a script");
        for (page, here) in self.names() {
            text = text.replace(page, &here);
        }
        fs::write(script, text).expect("written");
        let mut command = Command::new("bash");
        command.arg(script).current_dir(self.folder.path());
        // `examples/quickstart/run` reads this variable.
        command.env("SOCKET", &self.sidecar.unix);
        command.env("ADMIN", self.sidecar.admin.to_string());
        command.env("XDG_CACHE_HOME", root().join("target/test-cache"));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // A process group of its own, which can be ended as a whole.
        let child = command.process_group(0).spawn().expect("bash");
        ran(child)
    }

    /// The output, with the names of the pages in it.
    fn as_on_the_page(&self, printed: &str) -> String {
        let mut text = printed.to_owned();
        for (page, here) in self.names() {
            text = text.replace(&here, page);
        }
        text
    }
}

/// Waits until the shell ends, at most until the deadline.
fn ran(child: Child) -> Ran {
    let group = Pid::from_raw(child.id().cast_signed()).expect("an id");
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || sender.send(child.wait_with_output()));
    let output = receiver.recv_timeout(DEADLINE);
    if output.is_err() {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let output = output.expect("a shell that ends in time").expect("its output");
    Ran {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        well: output.status.success(),
    }
}
