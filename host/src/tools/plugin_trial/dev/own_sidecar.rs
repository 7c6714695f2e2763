//! `--run`: a sidecar of one's own to try the plugin out with, which ends with `plugin dev`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use hyper::Method;

use super::ending::{Ending, Running};
use crate::{
    base::text,
    tools::admin_client::{self, Admin},
};

/// How long the sidecar may take to start.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long to wait for an answer.
const ANSWER: Duration = Duration::from_secs(2);
/// How often the sidecar is asked whether it is there.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// A sidecar that `plugin dev` has started.
#[derive(Debug)]
pub(super) struct OwnSidecar {
    /// The file with its log.
    pub(super) log: PathBuf,
    _running: Running,
}

impl OwnSidecar {
    /// Starts a sidecar with this configuration, in the plugin's folder, and waits until it answers.
    pub(super) fn start(dir: &Path, config: &Path, admin: &Admin, ending: &Arc<Ending>) -> anyhow::Result<Self> {
        let answers = || admin_client::ask(admin, Method::GET, "/live", ANSWER).is_ok();
        ensure!(
            !answers(),
            "something already answers at {}, perhaps a sidecar that still runs; leave out --run to use it, stop it, or name another \
             address in {}",
            admin.address,
            config.display()
        );
        // The sidecar runs in another folder.
        let absolute =
            |path: &Path| std::path::absolute(path).with_context(|| format!("cannot tell where {} is", path.display()));
        let made = absolute(dir)?.join("dist");
        fs::create_dir_all(&made).with_context(|| format!("cannot make the folder {}", made.display()))?;
        let log = made.join("sidecar.log");
        let written = fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let program = env::current_exe().context("cannot tell where this program is")?;
        let mut command = Command::new(program);
        command.arg("run").arg("--config").arg(absolute(config)?);
        command
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(written);
        let mut running = ending.start(&mut command).context("cannot start the sidecar")?;
        let deadline = Instant::now() + DEADLINE;
        while !answers() {
            let why = match running.has_ended() {
                true => Some("has ended"),
                false if Instant::now() > deadline => Some("does not answer"),
                false => None,
            };
            if let Some(why) = why {
                let said = fs::read_to_string(&log).unwrap_or_default();
                let last = text::said(said.lines().last().unwrap_or_default());
                anyhow::bail!("the sidecar {why}; its log, {}, ends with: {last}", log.display());
            }
            thread::sleep(ASK_AGAIN);
        }
        Ok(Self { log, _running: running })
    }
}
