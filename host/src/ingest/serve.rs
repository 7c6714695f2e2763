//! Accepting connections, which the workers serve.

use std::{io, sync::Arc};

use hyper::server::conn::http1;
use hyper_util::{rt::TokioExecutor, server::conn::auto};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpStream, UnixStream},
    sync::{Semaphore, watch},
};

use super::{api::Api, connection::Socket, listen::Listener, workers::Share};
use crate::{config::Limits, sequence::Owner};

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
    pub(super) api: Arc<Api>,
    workers: Share,
    /// For what begins as HTTP/2 does.
    pub(super) http: auto::Builder<TokioExecutor>,
    pub(super) http1: http1::Builder,
    pub(super) limits: Limits,
    /// User ids that may use the Unix socket.
    allow_uids: Option<Vec<u32>>,
    /// One permit for each connection.
    connections: Arc<Semaphore>,
    /// The whole answer to one connection too many.
    full: Box<[u8]>,
}

impl Server {
    /// A server for this handler.
    pub fn new(api: Arc<Api>, workers: Share, limits: Limits, allow_uids: Option<Vec<u32>>) -> Self {
        // Twice the limit, so that a header somewhat over it is told so in full; far over it, hyper's bare 431 has to do.
        let header_bytes = limits.max_header_bytes * 2;
        let buffer = header_bytes.max(HYPER_MIN_BUFFER);
        let mut http1 = http1::Builder::new();
        http1.max_buf_size(buffer).header_read_timeout(None);
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1().max_buf_size(buffer).header_read_timeout(None);
        http.http2()
            .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
            .max_concurrent_streams(H2_STREAMS);
        let instance = api.instance().to_str().unwrap_or_default();
        Self {
            full: full(instance).into_bytes().into(),
            api,
            workers,
            http,
            http1,
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

    async fn accept_one(self: &Arc<Self>, listener: &Listener, drain: &watch::Receiver<bool>) -> io::Result<()> {
        match listener {
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let stream = stream.into_std()?;
                self.start(move || TcpStream::from_std(stream), Owner::Tcp, drain);
            }
            Listener::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                if self.is_allowed(&stream) {
                    let owner = owner(&stream);
                    let stream = stream.into_std()?;
                    self.start(move || UnixStream::from_std(stream), owner, drain);
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

    /// `stream` makes it the worker's whose runtime it is called in.
    fn start<S: Socket>(
        self: &Arc<Self>,
        stream: impl FnOnce() -> io::Result<S> + Send + 'static,
        owner: Owner,
        drain: &watch::Receiver<bool>,
    ) {
        let permit = Arc::clone(&self.connections).try_acquire_owned();
        let (server, drain) = (Arc::clone(self), drain.clone());
        self.workers.serve(async move {
            let mut stream = match stream() {
                Ok(stream) => stream,
                Err(error) => return tracing::warn!(%error, "a connection could not be watched; it is closed"),
            };
            if permit.is_err() {
                // One small write into an empty socket buffer does not block.
                let _ = stream.write_all(&server.full).await;
                return;
            }
            let metrics = &server.api.pipeline().metrics;
            metrics.connections.inc();
            server.connection(stream, owner, drain).await;
            metrics.connections.dec();
        });
    }
}

/// The user at the other end; nobody has the last number, which stands for those that the kernel does not tell.
fn owner(stream: &UnixStream) -> Owner {
    Owner::User(stream.peer_cred().map_or(u32::MAX, |peer| peer.uid()))
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
