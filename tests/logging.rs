//! The log never blocks the process, and no client or plugin can flood it.

use std::{
    fs::OpenOptions,
    io::{PipeWriter, Read as _, Write as _},
    os::{fd::AsRawFd as _, unix::fs::OpenOptionsExt as _},
    process::{Command, Stdio},
    thread,
};

use crate::support::{
    http::Http,
    sidecar::{BINARY, Builder, eventually, root},
};

/// The value in `fcntl.h` of Linux.
const O_NONBLOCK: i32 = 0o4000;

#[test]
fn a_log_that_nobody_reads_stops_neither_records_nor_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (unix, config) = (
        folder.path().join("run/ingest.sock"),
        folder.path().join("pointsman.toml"),
    );
    let text = format!(
        "[listen]\nunix = {unix:?}\nhttp = \"\"\nadmin = \"127.0.0.1:0\"\n[kafka]\nbootstrap_servers = \"embedded\"\n\
         [kafka.properties]\ndebug = \"all\"\n[log]\nlevel = \"debug\"\n"
    );
    std::fs::write(&config, text).unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    fill(&writer);
    let mut child = Child(
        Command::new(BINARY)
            .args(["run", "--config"])
            .arg(&config)
            .env("XDG_CACHE_HOME", root().join("target/test-cache"))
            .stdin(Stdio::null())
            .stderr(writer)
            .spawn()
            .unwrap(),
    );
    eventually("it listens", || Http::try_unix(&unix).is_ok());
    let mut http = Http::unix(&unix);
    for number in 0..2_000 {
        let reply = http.json("/v1/topics/t/records", &format!("{{\"value\":{number}}}"));
        assert_eq!(reply.status, 200, "{number}: {}", reply.text());
    }
    drop(http);
    let terminated = Command::new("kill").arg(child.0.id().to_string()).status().unwrap();
    assert!(terminated.success());
    let mut ended = None;
    eventually("it ends", || {
        ended = child.0.try_wait().unwrap();
        ended.is_some()
    });
    assert_eq!(ended.and_then(|status| status.code()), Some(0));
    let mut unread = Vec::new();
    reader.read_to_end(&mut unread).unwrap();
    assert!(unread.iter().all(|byte| *byte == b'x'), "it was full all the time");
}

#[test]
fn a_mistake_at_the_start_ends_the_process_also_where_nobody_reads_of_it() {
    let (_reader, writer) = std::io::pipe().unwrap();
    fill(&writer);
    let started = Command::new(BINARY)
        .args(["run", "--config", "/nowhere/x.toml"])
        .stdin(Stdio::null())
        .stderr(writer)
        .spawn();
    let mut child = Child(started.unwrap());
    let mut ended = None;
    eventually("it ends", || {
        ended = child.0.try_wait().unwrap();
        ended.is_some()
    });
    assert_eq!(ended.and_then(|status| status.code()), Some(64));
}

#[test]
fn connections_that_are_refused_cannot_fill_the_log() {
    let sidecar = Builder::embedded().listen("allow_uids = [4242]").start();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let mut refused = Http::unix(&sidecar.unix);
                    refused.closed();
                }
            });
        }
    });
    let refused = || {
        let is = |line: &&serde_json::Value| line["message"].as_str().is_some_and(|text| text.contains("allow_uids"));
        sidecar.log().iter().filter(is).count()
    };
    eventually("all were seen", || {
        sidecar.metric("pointsman_log_lines_dropped_total{reason=\"repeated\"}") + refused() as f64 >= 2_000.0
    });
    assert!((1..=120).contains(&refused()), "{} lines of 2000", refused());
    assert_eq!(
        sidecar.metric("pointsman_log_lines_dropped_total{reason=\"unread\"}"),
        0.0
    );
    let mut sidecar = sidecar;
    sidecar.terminate();
    assert!(sidecar.ended().success());
    let told = sidecar.wait_for_log("log lines were left out");
    assert!(told["lines"].as_u64().unwrap() >= 1_000, "{told}");
    assert!(told["like"].as_str().unwrap().contains("allow_uids"), "{told}");
    sidecar.wait_for_log("stopped: every record has its outcome");
}

/// Fills the pipe: a writer blocks from now on.
fn fill(pipe: &PipeWriter) {
    // Opens the pipe anew, since O_NONBLOCK must not apply to the process's own end.
    let mut filling = OpenOptions::new()
        .write(true)
        .custom_flags(O_NONBLOCK)
        .open(format!("/proc/self/fd/{}", pipe.as_raw_fd()))
        .unwrap();
    while filling.write(&[b'x'; 4096]).is_ok_and(|written| written > 0) {}
}

/// Killed when the test is over, however it ends.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
