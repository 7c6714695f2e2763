//! From the first connection to the end of the drain.

use std::{
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use super::{
    admin, brokers,
    drain::{self, Report},
    sidecar::Sidecar,
    signals::Signals,
};
use crate::{
    ingest::{
        listen::{self, Listener},
        serve::Server,
        workers::Workers,
    },
    reload::Mailbox,
};

/// How long to wait, after a drain that was asked for, for the signal that usually follows.
const AFTER_HOOK: Duration = Duration::from_secs(10);

/// The listeners and the admin thread, until they are told to stop.
struct Serving {
    server: Arc<Server>,
    accepting: JoinSet<()>,
    /// True tells listeners and connections to end.
    closing: watch::Sender<bool>,
    brokers: JoinHandle<()>,
}

impl Sidecar {
    pub(super) async fn serve(&self, mailbox: Mailbox, workers: &Workers) -> anyhow::Result<ExitCode> {
        // Signals first: a signal that comes while the listeners are being bound must not kill the process.
        let mut signals = Signals::new()?;
        let (admin_listener, admin_address) = admin::bind(self.config.listen.admin)?;
        let _admin = admin::serve(Arc::clone(&self.admin), admin_listener)?;
        tracing::info!(address = %admin_address, "admin listens");
        let serving = self.accept(self.bind().await?, workers);
        self.admin.serving.store(true, Ordering::Relaxed);
        let _reloading = self.reloader.spawn(mailbox)?;
        match (self.reloader.readiness(), self.admin.follower.readiness()) {
            ((true, _), (true, _)) => tracing::info!("ready"),
            ((true, _), (false, _)) => tracing::warn!("serving, but not ready yet: there is no routing table"),
            ((false, problems), _) => tracing::warn!(?problems, "serving, but not ready yet"),
        }
        let by_signal = tokio::select! {
            () = signals.next() => true,
            () = self.admin.drain.asked() => false,
        };
        let finished = self.stop(serving, &mut signals).await;
        if !by_signal {
            // The hook that asked for the drain is a process of this container too. If this process ended first, the
            // hook would look as if it had failed.
            let _ = tokio::time::timeout(AFTER_HOOK, signals.next()).await;
        }
        Ok(if finished { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn bind(&self) -> anyhow::Result<Vec<Listener>> {
        let mut listeners = Vec::new();
        if let Some(path) = &self.config.listen.unix {
            listeners.push(listen::unix(path)?);
            tracing::info!(path = %path.display(), "ingest listens");
        }
        if let Some(address) = self.config.listen.http {
            let (listener, bound) = listen::tcp(address).await?;
            listeners.push(listener);
            tracing::info!(address = %bound, "ingest listens");
        }
        if let Some(address) = self.config.listen.kafka {
            let (listener, bound) = listen::kafka(address).await?;
            listeners.push(listener);
            tracing::info!(address = %bound, "ingest listens for Kafka clients");
        }
        Ok(listeners)
    }

    fn accept(&self, listeners: Vec<Listener>, workers: &Workers) -> Serving {
        let server = Arc::new(Server::new(
            Arc::clone(&self.api),
            workers.share(),
            self.config.limits.clone(),
            &self.config.listen,
        ));
        let (closing, draining) = watch::channel(false);
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn(Arc::clone(&server).accept(listener, draining.clone()));
        }
        let refresh = Duration::from_millis(self.config.kafka.metadata_refresh_ms.max(100));
        Serving {
            server,
            accepting,
            closing,
            brokers: tokio::spawn(brokers::watch(Arc::clone(&self.pipeline), refresh)),
        }
    }

    /// Drains, and reports what was lost. True if nothing was lost.
    async fn stop(&self, serving: Serving, signals: &mut Signals) -> bool {
        let shutdown = &self.config.shutdown;
        let grace = Duration::from_millis(shutdown.accept_grace_ms);
        let deadline = Instant::now() + grace + Duration::from_millis(shutdown.drain_ms);
        self.admin.draining.store(true, Ordering::Relaxed);
        if !grace.is_zero() {
            tracing::info!(
                accept_grace_ms = shutdown.accept_grace_ms,
                "stopping soon: still accepting"
            );
            tokio::select! {
                () = tokio::time::sleep(grace) => {}
                () = signals.next() => tracing::info!("second signal: no longer accepting"),
            }
        }
        tracing::info!(
            drain_ms = shutdown.drain_ms,
            "stopping: no new connections, finishing what is open"
        );
        let _ = serving.closing.send(true);
        serving.brokers.abort();
        serving.accepting.join_all().await;
        let finished = tokio::select! {
            finished = drain::finish(&self.pipeline, &serving.server, deadline) => finished,
            () = signals.next() => {
                tracing::warn!("another signal: not waiting any longer");
                false
            }
        };
        let report = match finished {
            true => Report::clean(),
            false => drain::give_up(&self.pipeline, &serving.server).await,
        };
        report.log();
        self.admin.drain.ended(report).await;
        finished
    }
}
