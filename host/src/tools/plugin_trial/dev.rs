//! `pointsman plugin dev`: from a save to a sidecar that decides with it.
//!
//! The plugin's folder is watched ([`source`]). Each change is one round ([`round`]): build, test the cases, put the
//! component into the running sidecar's plugin folder in one step, wait until the sidecar decides with it
//! ([`sidecar`]), and say what changed in decisions ([`changes`]). A version that does not build or fails a case is
//! reported and not brought in: the current version stays.

mod changes;
mod ending;
mod event;
mod own_sidecar;
mod round;
mod sidecar;
mod source;

use std::{
    path::Path,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;

use self::{ending::Ending, event::Event, own_sidecar::OwnSidecar, round::Rounds, source::Source};
use super::style::Style;
use crate::{
    reload::watch::Watch,
    tools::{admin_client::Admin, cli::Dev},
};

/// How many hints may wait. A hint that finds no room can be dropped, since others wait already.
const MAILBOX: usize = 16;
/// How long no further hint may come before a round begins: an editor's save is several events.
const QUIET: Duration = Duration::from_millis(20);
/// The longest wait for such a quiet moment.
const LONGEST_WAIT: Duration = Duration::from_millis(200);
/// How often the folder is looked at without a hint: not every file system reports changes.
const POLL: Duration = Duration::from_secs(1);

/// A new plugin's file with the configuration of a sidecar to try it out with.
pub const CONFIG: &str = "pointsman.toml";

/// Wakes the loop of rounds.
enum Message {
    /// A file that may be source changed, at this moment.
    Hint(Instant),
    /// The user wants to end.
    End,
}

/// Runs round after round until a signal; with `once`, a single round. Returns whether all went well; `tell` gets the
/// lines to show.
///
/// # Errors
///
/// When the rounds cannot begin: there is no such folder, or the records cannot be read. What goes wrong in a round
/// goes to `tell`.
pub fn dev(options: &Dev, admin: &Admin, tell: &mut dyn FnMut(&str)) -> anyhow::Result<bool> {
    let (mailbox, messages) = mpsc::sync_channel(MAILBOX);
    let ending = Arc::new(Ending::default());
    let for_the_end = mailbox.clone();
    ending.begin_on_signals(move || {
        // If the mailbox is full, the loop wakes anyway, and then sees the flag.
        let _ = for_the_end.try_send(Message::End);
    })?;
    let style = Style::of_stdout();
    let mut tell = |event: &Event<'_>| match options.json {
        true => tell(&format!("{}\n", event.json())),
        false => tell(&event.text(style)),
    };

    let mut source = Source::of(&options.dir)?;
    let mut rounds = Rounds::new(options, admin, &ending)?;
    if options.once {
        return Ok(rounds.round(Instant::now(), &mut tell));
    }
    let mut watch = Watch::of(source.folders.clone(), move |paths| {
        if paths.is_empty() || paths.iter().any(|path| source::is_source(path)) {
            let _ = mailbox.try_send(Message::Hint(Instant::now()));
        }
    });
    let _own = match options.run {
        true => Some(own_sidecar(options, admin, &ending, &mut tell)?),
        false => None,
    };
    tell(&Event::Watching {
        dir: &options.dir,
        files: source.files.len(),
    });
    let mut changed = Instant::now();
    while !ending.has_begun() {
        rounds.round(changed, &mut tell);
        match next_change(&options.dir, &mut source, &mut watch, &messages, &ending) {
            Some(at) => changed = at,
            None => break,
        }
    }
    Ok(true)
}

fn own_sidecar(
    options: &Dev,
    admin: &Admin,
    ending: &Arc<Ending>,
    tell: &mut dyn FnMut(&Event<'_>),
) -> anyhow::Result<OwnSidecar> {
    let config = options.admin.config.as_deref().with_context(|| {
        format!(
            "--run needs the configuration of a sidecar, {} or --config; `pointsman plugin new` writes one",
            options.dir.join(CONFIG).display()
        )
    })?;
    let sidecar = OwnSidecar::start(&options.dir, config, admin, ending)?;
    tell(&Event::Started {
        address: &admin.address.to_string(),
        log: &sidecar.log,
    });
    Ok(sidecar)
}

/// Waits until the source has changed, and returns when the change was first noticed. None: the user wants to end.
fn next_change(
    dir: &Path,
    source: &mut Source,
    watch: &mut Watch,
    messages: &Receiver<Message>,
    ending: &Ending,
) -> Option<Instant> {
    while !ending.has_begun() {
        let heard = match messages.recv_timeout(POLL) {
            Ok(Message::Hint(at)) => at,
            Err(RecvTimeoutError::Timeout) => Instant::now(),
            Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => return None,
        };
        let begun = Instant::now();
        while begun.elapsed() < LONGEST_WAIT {
            match messages.recv_timeout(QUIET) {
                Ok(Message::Hint(_)) => {}
                Err(RecvTimeoutError::Timeout) => break,
                Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        // A folder may be gone for a moment, as in a checkout of another branch.
        let Ok(found) = Source::of(dir) else { continue };
        watch.watch(found.folders.clone());
        if found.files != source.files {
            *source = found;
            return Some(heard);
        }
    }
    None
}
