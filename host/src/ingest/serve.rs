//! Accepting connections and keeping their time.

use std::{convert::Infallible, sync::Arc, time::Instant};

use hyper::{Request, Version, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::UnixStream,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};

use super::{
    api::{Api, Connection},
    listen::Listener,
    timed::{Phase, Timed},
};
use crate::config::Limits;

/// hyper takes no smaller buffer.
const HYPER_MIN_BUFFER: usize = 8 << 10;
/// Requests at once on one HTTP/2 connection.
const H2_STREAMS: u32 = 200;
/// How long to wait after a failed accept (out of file descriptors, mostly).
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);
/// What a connection over `limits.max_connections` is told.
const FULL: &str = "{\"title\":\"Service Unavailable\",\"status\":503,\"code\":\"busy\",\
\"detail\":\"limits.max_connections are open; nothing was taken\"}\n";

/// Serves every ingest listener. Built once.
pub struct Server {
    api: Arc<Api>,
    http: auto::Builder<TokioExecutor>,
    limits: Limits,
    /// User ids that may use the Unix socket.
    allow_uids: Option<Vec<u32>>,
    /// One permit for each connection.
    connections: Arc<Semaphore>,
    /// The whole answer to one connection too many.
    full: Arc<[u8]>,
}

impl Server {
    /// A server for this handler.
    pub fn new(api: Arc<Api>, limits: Limits, allow_uids: Option<Vec<u32>>) -> Self {
        let mut http = auto::Builder::new(TokioExecutor::new());
        // Twice the limit, so that a header somewhat over it is told so in full; far over it, hyper's bare 431 has to do.
        let header_bytes = limits.max_header_bytes * 2;
        http.http1()
            .max_buf_size(header_bytes.max(HYPER_MIN_BUFFER))
            .header_read_timeout(None);
        http.http2()
            .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
            .max_concurrent_streams(H2_STREAMS);
        let instance = api.instance().to_str().unwrap_or_default();
        Self {
            full: full(instance).into_bytes().into(),
            api,
            http,
            connections: Arc::new(Semaphore::new(limits.max_connections)),
            limits,
            allow_uids,
        }
    }

    /// Accepts until `drain` says true, or its sender is gone.
    pub async fn accept(self: Arc<Self>, listener: Listener, mut drain: watch::Receiver<bool>) {
        let connections_drain = drain.clone();
        loop {
            let accepted = tokio::select! {
                accepted = self.accept_one(&listener, &connections_drain) => accepted,
                _ = drain.wait_for(|drain| *drain) => return,
            };
            if let Err(error) = accepted {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    /// Waits until every connection has ended.
    pub async fn closed(&self) {
        let all = u32::try_from(self.limits.max_connections).unwrap_or(u32::MAX);
        let _ = self.connections.acquire_many(all).await;
    }

    async fn accept_one(self: &Arc<Self>, listener: &Listener, drain: &watch::Receiver<bool>) -> std::io::Result<()> {
        match listener {
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                self.start(stream, true, drain);
            }
            Listener::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                if self.is_allowed(&stream) {
                    self.start(stream, false, drain);
                }
            }
        }
        Ok(())
    }

    fn is_allowed(&self, stream: &UnixStream) -> bool {
        let Some(allowed) = &self.allow_uids else {
            return true;
        };
        match stream.peer_cred() {
            Ok(peer) if allowed.contains(&peer.uid()) => true,
            Ok(peer) => {
                tracing::warn!(
                    uid = peer.uid(),
                    "a connection was refused: its user is not in listen.allow_uids"
                );
                false
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was refused: its user could not be read");
                false
            }
        }
    }

    fn start<S>(self: &Arc<Self>, mut stream: S, is_tcp: bool, drain: &watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match Arc::clone(&self.connections).try_acquire_owned() {
            Ok(permit) => {
                tokio::spawn(Arc::clone(self).connection(stream, is_tcp, permit, drain.clone()));
            }
            Err(_) => {
                let full = Arc::clone(&self.full);
                // One small write into an empty socket buffer does not block.
                tokio::spawn(async move {
                    let _ = stream.write_all(&full).await;
                });
            }
        }
    }

    async fn connection<S>(
        self: Arc<Self>,
        stream: S,
        is_tcp: bool,
        _permit: OwnedSemaphorePermit,
        mut drain: watch::Receiver<bool>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let metrics = &self.api.pipeline().metrics;
        metrics.connections.inc();
        let phase = Phase::new(self.limits.header_timeout(), self.limits.idle_timeout());
        let service = service_fn({
            let (api, phase, drain) = (Arc::clone(&self.api), phase.clone(), drain.clone());
            move |request: Request<Incoming>| {
                let (api, phase, drain) = (Arc::clone(&api), phase.clone(), drain.clone());
                async move {
                    let from = Connection {
                        is_tcp,
                        in_request: phase.request(request.version() == Version::HTTP_2),
                        drain,
                    };
                    Ok::<_, Infallible>(api.handle(request, from).await)
                }
            }
        });
        let stream = TokioIo::new(Timed::new(stream, phase.clone()));
        let mut connection = std::pin::pin!(self.http.serve_connection(stream, service));
        let mut draining = false;
        loop {
            let now = Instant::now();
            let deadline = phase.deadline();
            if deadline.is_some_and(|deadline| deadline <= now) {
                // Dropping the connection closes it.
                break;
            }
            // A header may begin at any time, so look again after its time-out at the latest.
            let look_again = now + self.limits.header_timeout();
            let wake = deadline.map_or(look_again, |deadline| deadline.min(look_again));
            tokio::select! {
                // An error is the client's: it went away, or spoke something else.
                _ = connection.as_mut() => break,
                () = tokio::time::sleep_until(wake.into()) => {}
                _ = drain.wait_for(|drain| *drain), if !draining => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
        metrics.connections.dec();
    }
}

fn full(instance: &str) -> String {
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\npointsman-instance: {instance}\r\n\
         content-type: application/problem+json\r\ncontent-length: {}\r\n\r\n{FULL}",
        FULL.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_one_connection_too_many_can_be_read() {
        let text = full("some");
        let (head, body) = text.split_once("\r\n\r\n").expect("a header and a body");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        let problem: serde_json::Value = serde_json::from_str(body).expect("a problem");
        assert_eq!((&problem["status"], &problem["code"]), (&503.into(), &"busy".into()));
    }
}
