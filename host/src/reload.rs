//! Plugins and routes change while records flow.
//!
//! One thread of low priority looks at the plugins' files and at the configuration file: when the file system reports a
//! change ([`watch`]), every `plugins.poll_ms`, and when an operator asks. The SHA-256 of a file's content says whether
//! the content is new ([`look`]). New content is compiled, each plugin's on a thread of its own ([`compiling`]), then
//! checked, instantiated, configured and tried ([`build`]). When all of that went well, a whole new table of routes
//! takes the place of the old table in one step. If anything fails, nothing changes, and the log, the metrics,
//! `/plugins` and `/ready` say why.
//!
//! [`State`] is what is known of each plugin: the version that decides, the version that decided before, what the file
//! holds, and why the file's version does not decide.

mod build;
mod commands;
mod compiling;
mod config_file;
mod events;
mod found;
mod look;
mod message;
mod reconcile;
mod reconfigure;
mod reloader;
mod show;
mod state;
pub(crate) mod watch;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use self::{commands::Order, compiling::Due, found::Found, message::Message, state::State, watch::Watch};
pub use self::{
    config_file::ConfigFile,
    message::{CommandError, Done},
    reloader::Reloader,
};
use crate::{
    base::metrics::Metrics,
    config::Config,
    plugin::{Cache, Compiler, Limits, NoCache, file::Folder},
    routing::route::Routes,
};

/// Orders and hints that may wait. A hint that finds no room is not needed: other hints are waiting already.
const MAILBOX: usize = 16;
/// After a hint, files are left alone until no hint has come for this long: copying a file is many writes.
const QUIET: Duration = Duration::from_millis(10);
/// The longest time that files are left alone because of hints.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
/// Added to the thread's niceness: traffic goes first.
const NICENESS: i32 = 10;

/// The running thread. The thread is told to end when this value is dropped.
pub struct Running(Arc<Reloader>);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.mailbox.try_send(Message::Stop);
    }
}

/// The messages for the thread.
pub struct Mailbox(mpsc::Receiver<Message>);

impl Reloader {
    /// Loads the plugins of all routes. A file that is not there yet is waited for; any other problem is an error.
    pub fn start(
        config: &Config,
        config_file: ConfigFile,
        compiler: Compiler,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<(Arc<Self>, Mailbox)> {
        let (mailbox, received) = mpsc::sync_channel(MAILBOX);
        let reloader = Arc::new(Self {
            routes: Arc::default(),
            metrics,
            compiler,
            limits: Limits::from(&config.plugins),
            dir: config.plugins.dir.clone(),
            folder: Folder::new(&config.plugins.dir, config.plugins.foreign_links),
            poll: Duration::from_millis(config.plugins.poll_ms),
            state: Mutex::new(State::new(config, config_file.digest())),
            config_file,
            building: Mutex::default(),
            shadow_worker: Arc::default(),
            mailbox,
        });
        reloader.load_all(&config.routes)?;
        Ok((reloader, Mailbox(received)))
    }

    /// The routes, which change while records flow.
    pub fn routes(&self) -> &Arc<Routes> {
        &self.routes
    }

    /// Starts the thread.
    pub fn spawn(self: &Arc<Self>, mailbox: Mailbox) -> anyhow::Result<Running> {
        let reloader = Arc::clone(self);
        thread::Builder::new()
            .name("reload".to_owned())
            .spawn(move || reloader.run(&mailbox.0))
            .context("cannot start the thread that watches plugins")?;
        Ok(Running(Arc::clone(self)))
    }

    fn run(self: &Arc<Self>, mailbox: &mpsc::Receiver<Message>) {
        // The niceness of this thread alone. If this fails, a reload merely competes with traffic.
        let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS);
        let mut watch = Watch::new(&self.dir, self.config_file.path(), self.mailbox.clone());
        let mut due = Due::default();
        // A change between the look at the start and the start of the watch gave no hint.
        self.look(&mut due, None);
        loop {
            self.bring_in(&mut due);
            let message = match mailbox.recv_timeout(self.next_look(&due)) {
                Ok(Message::Hint) => settled(mailbox),
                Ok(message) => Some(message),
                Err(mpsc::RecvTimeoutError::Timeout) => None,
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            };
            // Before the look: the look sees earlier changes, and later changes give a hint.
            watch.renew();
            match message {
                Some(Message::Stop) => return,
                Some(Message::Reload(name, reply)) => {
                    due.orders.push(Order::new(self, &name, reply));
                    self.look(&mut due, Some(&name));
                }
                Some(Message::Compiled(name, found)) => {
                    self.compiled(&mut due, &name, found);
                    self.look(&mut due, None);
                }
                Some(Message::Hint) | None => self.look(&mut due, None),
            }
        }
    }

    /// Looks at all files. The file of the plugin named `ordered` is read whatever is known of it.
    fn look(self: &Arc<Self>, due: &mut Due, ordered: Option<&str>) {
        let has_new_routes = self.look_at_config();
        // Not in the loop's head, where the lock would be held for the whole loop.
        let names = self.state().names();
        for name in names {
            self.look_at_plugin(due, &name, ordered == Some(name.as_str()));
        }
        // Last: a new plugin that began to be compiled in this look may belong to the new routes.
        if has_new_routes {
            due.changed();
        }
    }

    /// Takes note of what a plugin's file holds. True if that is news.
    fn found(&self, name: &str, found: Found, ordered: bool) -> bool {
        let news = self.state().found(name, found, ordered);
        if let Some(news) = &news {
            news.tell(&self.metrics);
        }
        news.is_some()
    }
}

/// Waits until no more hints come. Returns any other message that comes meanwhile.
fn settled(mailbox: &mpsc::Receiver<Message>) -> Option<Message> {
    let begun = Instant::now();
    while begun.elapsed() < LONGEST_WAIT {
        match mailbox.recv_timeout(QUIET) {
            Ok(Message::Hint) => {}
            Ok(message) => return Some(message),
            Err(_) => return None,
        }
    }
    None
}

/// The cache of compiled code: the configured folder, which must be usable, or the user's own, which need not be.
pub fn cache(configured: Option<&std::path::Path>) -> anyhow::Result<Option<Cache>> {
    if let Some(folder) = configured {
        return match Cache::open(folder) {
            Ok(cache) => Ok(Some(cache)),
            Err(NoCache::Folder(problem)) => Err(anyhow::anyhow!("plugins.cache_dir: {problem}")),
            Err(NoCache::Disk(problem)) => {
                tracing::warn!(
                    "plugins.cache_dir: {problem}; compiled plugins are not kept, and compiled anew at the next start"
                );
                Ok(None)
            }
        };
    }
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let Some(folder) = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache"))) else {
        return Ok(None);
    };
    match Cache::open(&folder.join("pointsman")) {
        Ok(cache) => Ok(Some(cache)),
        Err(problem) => {
            tracing::info!("compiled plugins are not kept: {problem}");
            Ok(None)
        }
    }
}
