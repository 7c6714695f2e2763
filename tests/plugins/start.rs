//! A sidecar starts with its plugins, or says why it does not.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use crate::support::{
    http::Http,
    sidecar::{BINARY, plugin_dir, root, to_its_end},
};

#[test]
fn a_plugin_that_cannot_serve_stops_the_start_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let good = std::fs::read(plugin_dir().join("key-hash.wasm")).unwrap();
    put("text.wasm", b"not wasm at all");
    put("half.wasm", &good[..good.len() / 2]);
    put("module.wasm", b"\0asm\x01\0\0\0");
    put("large.wasm", &vec![0; 3_000_000]);
    put("good.wasm", &good);
    std::fs::copy(plugin_dir().join("hostile.wasm"), folder.path().join("hostile.wasm")).unwrap();
    for (route, says) in [
        ("plugin = \"text\"", "not wasm at all"),
        ("plugin = \"half\"", "not a valid wasm component"),
        ("plugin = \"module\"", "a core wasm module, expected a component"),
        ("plugin = \"large\"", "over 2000000 bytes"),
        ("plugin = \"good\"\nconfig = { surprise = 1 }", "surprise"),
        ("plugin = \"hostile\"\nconfig = { x = 1 }", "not to its taste"),
        (
            &format!("plugin = \"good\"\nsha256 = \"{}\"", "0".repeat(64)),
            "the route pins 0000",
        ),
    ] {
        let config = folder.path().join("pointsman.toml");
        let text = format!(
            "[listen]\nhttp = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[plugins]\ndir = {:?}\ncomponent_bytes = 2000000\n[[route]]\ntopics = [\"*\"]\n{route}",
            folder.path()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(BINARY);
        let output = to_its_end(command.args(["run", "--embedded", "--config"]).arg(&config));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{route}: {said}");
        assert!(said.contains(says), "{route}: {said}");
    }
}

#[test]
fn a_plugin_that_is_no_plugin_is_not_built() {
    let mut command = Command::new(BINARY);
    let output = to_its_end(command.args(["plugin", "build"]).arg(root().join("wit")));
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Cargo.toml"), "{said}");
}

#[test]
fn a_configure_that_never_ends_is_stopped_also_when_nothing_else_moves_the_clock() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("pointsman.toml");
    // Longer than the plugins' clock runs on without a call.
    let text = format!(
        "[listen]\nhttp = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[plugins]\ndir = {:?}\nconfigure_ms = 3000\n\
         [[route]]\ntopics = [\"*\"]\nplugin = \"hostile\"\nconfig = {{ loop = 1 }}",
        plugin_dir()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(BINARY);
    let output = to_its_end(command.args(["run", "--embedded", "--config"]).arg(&config));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("ran over 3000 ms"), "{said}");
}

#[test]
fn a_cache_folder_without_room_stops_no_plugin_and_blames_none() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    std::fs::create_dir(&cache).unwrap();
    let config = folder.path().join("pointsman.toml");
    let unix = folder.path().join("run/ingest.sock");
    let text = format!(
        "[listen]\nunix = {unix:?}\nhttp = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[plugins]\ndir = {:?}\n\
         cache_dir = {:?}\n[[route]]\ntopics = [\"p\"]\nplugin = \"key-hash\"\n[[route]]\ntopics = [\"h\"]\n\
         plugin = \"header\"\nconfig = {{ name = \"h\" }}",
        plugin_dir(),
        cache.join("code"),
    );
    std::fs::write(&config, text).unwrap();
    // File systems that are full before they are used, full while code is written, and read-only. Each ends with its
    // process.
    for (what, prepare) in [
        (
            "no room for a file",
            "mount -t tmpfs -o size=64k,nr_inodes=2 none \"$0\" && mkdir -m 700 \"$0/code\"",
        ),
        (
            "no room for a folder",
            "mount -t tmpfs -o size=64k,nr_inodes=1 none \"$0\"",
        ),
        ("little room", "mount -t tmpfs -o size=32k none \"$0\""),
        (
            "read-only",
            "mount -t tmpfs none \"$0\" && mkdir -m 700 \"$0/code\" && mount -o remount,ro \"$0\"",
        ),
    ] {
        let script = format!("{prepare} || exit 99; exec \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", &script]).arg(&cache);
        command.args([BINARY, "run", "--embedded", "--config"]).arg(&config);
        command
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = Killed(command.spawn().unwrap());
        let mut log = BufReader::new(child.0.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains(" ready\n") && log.read_line(&mut said).unwrap() > 0 {}
        if said.is_empty()
            || child
                .0
                .try_wait()
                .unwrap()
                .is_some_and(|status| status.code() == Some(99))
        {
            eprintln!("{what}: nothing can be mounted here, so it is not tried: {said}");
            continue;
        }
        assert!(said.contains(": ready"), "{what}: {said}");
        let warned = said
            .lines()
            .filter(|line| line.contains(" WARN ") && line.contains("plugins.cache_dir"));
        assert_eq!(warned.count(), 1, "{what}: {said}");
        let reply = Http::unix(&unix).json("/v1/topics/p/records", "{\"key\":\"a\"}");
        assert_eq!(reply.status, 200, "{what}");
    }
}

/// Killed when the test is over, however it ends.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
