//! The orders of an operator: `reload` and `rollback`. Both take the name of a plugin that a route names, never a path.

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;

use super::{
    message::{CommandError, Done, Message},
    reloader::Reloader,
};
use crate::reload::events::PluginRolledBack;

/// How long a request waits for a reload. The reload itself goes on after that.
const WAIT: Duration = Duration::from_secs(20);

impl Reloader {
    /// Takes what the plugin's file holds, even if that was rolled back or has failed before.
    pub async fn reload(&self, name: &str) -> Result<Done, CommandError> {
        self.known_to_a_route(name)?;
        let (reply, answer) = oneshot::channel();
        let late = || CommandError::Late(name.to_owned());
        self.mailbox
            .try_send(Message::Reload(name.to_owned(), reply))
            .map_err(|_| late())?;
        match tokio::time::timeout(WAIT, answer).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) | Err(_) => Err(late()),
        }
    }

    /// Goes back to the previous version. Blocks while another change is being put in place.
    pub fn rollback(&self, name: &str) -> Result<Done, CommandError> {
        self.known_to_a_route(name)?;
        let _building = self.build_lock();
        let (routes, mut codes, to, from) = {
            let state = self.state();
            let plugin = state.plugins.get(name);
            let previous = plugin.and_then(|plugin| plugin.previous.clone());
            let previous = previous.ok_or_else(|| CommandError::NothingBefore(name.to_owned()))?;
            let active = plugin.and_then(|plugin| plugin.active.clone());
            (state.config.current.routes.clone(), state.actives(), previous, active)
        };
        codes.insert(name.to_owned(), Arc::clone(&to));
        self.attempt(&routes, &codes).map_err(|failure| CommandError::Failed {
            plugin: name.to_owned(),
            reason: failure.reason,
        })?;
        let ignored = from.map(|code| code.digest.clone());
        let mut state = self.state();
        if let Some(plugin) = state.plugins.get_mut(name) {
            plugin.previous = None;
            plugin.ignored.clone_from(&ignored);
        }
        let rolled_back = PluginRolledBack {
            plugin: name,
            to: &to,
            ignored: ignored.as_deref(),
        };
        rolled_back.emit(&self.metrics);
        Ok(Done {
            plugin: name.to_owned(),
            result: "rolled_back",
            digest: Some(to.digest.clone()),
            ignored_digest: ignored,
        })
    }

    fn known_to_a_route(&self, name: &str) -> Result<(), CommandError> {
        match self.state().names().contains(name) {
            true => Ok(()),
            false => Err(CommandError::Unknown(name.to_owned())),
        }
    }
}

/// A reload that a client waits for.
pub(super) struct Order {
    name: String,
    /// The digest of the version that decided when the order was given.
    before: Option<String>,
    reply: oneshot::Sender<Result<Done, CommandError>>,
}

impl Order {
    pub(super) fn new(reloader: &Reloader, name: &str, reply: oneshot::Sender<Result<Done, CommandError>>) -> Self {
        Self {
            name: name.to_owned(),
            before: active(reloader, name),
            reply,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Tells the client the result.
    pub(super) fn tell(self, reloader: &Reloader) {
        let Self { name, before, reply } = self;
        let problem = reloader.state().problem(&name);
        let answer = match problem {
            Some(reason) => Err(CommandError::Failed { plugin: name, reason }),
            None => {
                let digest = active(reloader, &name);
                Ok(Done {
                    plugin: name,
                    result: if digest == before { "unchanged" } else { "loaded" },
                    digest,
                    ignored_digest: None,
                })
            }
        };
        // The client may have stopped waiting.
        let _ = reply.send(answer);
    }
}

/// The digest of the version that decides.
fn active(reloader: &Reloader, name: &str) -> Option<String> {
    reloader.state().actives().get(name).map(|code| code.digest.clone())
}
