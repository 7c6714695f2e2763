//! Accepts connections. The workers serve them.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
    sync::{Semaphore, watch},
    time::timeout,
};

use super::{
    api::Api,
    kafka::KafkaApi,
    life::{Http, Socket},
    listen::Listener,
    places::{ListenerKind, Places},
    workers::Share,
};
use crate::{
    base::metrics::GaugeGuard,
    config::{Limits, Listen},
    ordering::sequence::Owner,
};

/// Pause after a failed accept, which mostly means that there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The reply to a connection over `limits.max_connections`.
const FULL: &str = "{\"title\":\"Service Unavailable\",\"status\":503,\"code\":\"busy\",\
\"detail\":\"limits.max_connections are open, and all are in use; nothing was taken\"}\n";
/// Connections over the limit of which the rest is read at once, each for so long: closing a socket with unread bytes
/// would take the reply back.
const HEARD_OUT: usize = 64;
const HEAR_OUT: Duration = Duration::from_secs(1);

/// Serves every ingest listener. Built once.
pub struct Server {
    pub(super) http: Arc<Http>,
    kafka: Arc<KafkaApi>,
    workers: Share,
    /// User ids that may use the Unix socket.
    allow_uids: Option<Vec<u32>>,
    places: Arc<Places>,
    /// The whole reply to a connection over the limit, head included.
    full: Box<[u8]>,
    heard_out: Semaphore,
}

impl Server {
    /// A server for this handler.
    pub fn new(api: Arc<Api>, workers: Share, limits: Limits, listen: &Listen) -> Self {
        let instance = api.instance().to_str().unwrap_or_default();
        Self {
            full: full(instance).into_bytes().into(),
            workers,
            places: Places::new(limits.max_connections),
            kafka: Arc::new(KafkaApi::beside(&api, listen.kafka_partitions)),
            http: Arc::new(Http::new(api, limits)),
            allow_uids: listen.allow_uids.clone(),
            heard_out: Semaphore::new(HEARD_OUT),
        }
    }

    /// Accepts until `drain` is true or its sender is gone.
    pub async fn accept(self: Arc<Self>, listener: Listener, mut drain: watch::Receiver<bool>) {
        let connections_drain = drain.clone();
        self.places.listens(match listener {
            Listener::Tcp(_) => ListenerKind::Tcp,
            Listener::Kafka(_) => ListenerKind::Kafka,
            Listener::Unix(..) => ListenerKind::Unix,
        });
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
        self.places.all_ended().await;
    }

    async fn accept_one(self: &Arc<Self>, listener: &Listener, drain: &watch::Receiver<bool>) -> io::Result<()> {
        match listener {
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let stream = stream.into_std()?;
                self.start(move || TcpStream::from_std(stream), Owner::Tcp, drain);
            }
            Listener::Kafka(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                self.start_kafka(stream.into_std()?, drain);
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

    /// Starts to serve a connection. `stream` runs on the worker's runtime, so that the socket belongs to that runtime.
    fn start<S: Socket>(
        self: &Arc<Self>,
        stream: impl FnOnce() -> io::Result<S> + Send + 'static,
        owner: Owner,
        drain: &watch::Receiver<bool>,
    ) {
        let phase = self.http.phase();
        let place = self.places.take(owner.into(), &phase);
        let (server, drain) = (Arc::clone(self), drain.clone());
        self.workers.serve(async move {
            let stream = match stream() {
                Ok(stream) => stream,
                Err(error) => return tracing::warn!(%error, "a connection could not be watched; it is closed"),
            };
            let Some(_place) = place else {
                // In a box, so that the tasks of other connections do not carry room for it.
                return Box::pin(server.refuse(stream)).await;
            };
            let _open = GaugeGuard::begin(&server.http.api.pipeline().metrics.connections);
            server.http.connection(stream, owner, phase, drain).await;
        });
    }

    /// Starts to serve a connection of the Kafka listener. One without a place is closed: its protocol has no word for that.
    fn start_kafka(self: &Arc<Self>, stream: std::net::TcpStream, drain: &watch::Receiver<bool>) {
        let phase = self.http.phase();
        let Some(place) = self.places.take(ListenerKind::Kafka, &phase) else {
            return tracing::warn!(
                "a connection of the Kafka listener is closed: limits.max_connections are open, and all are in use"
            );
        };
        let (server, drain) = (Arc::clone(self), drain.clone());
        self.workers.serve(async move {
            let _place = place;
            let stream = match TcpStream::from_std(stream) {
                Ok(stream) => stream,
                Err(error) => return tracing::warn!(%error, "a connection could not be watched; it is closed"),
            };
            let _open = GaugeGuard::begin(&server.http.api.pipeline().metrics.connections);
            Arc::clone(&server.kafka).connection(stream, phase, drain).await;
        });
    }

    /// Says that there is no place, and reads the rest of what the client sends, within bounds.
    async fn refuse(&self, mut stream: impl Socket) {
        let Ok(_place) = self.heard_out.try_acquire() else {
            return;
        };
        let telling = async {
            stream.write_all(&self.full).await?;
            stream.shutdown().await?;
            let mut unread = [0; 1 << 10];
            while stream.read(&mut unread).await? > 0 {}
            io::Result::Ok(())
        };
        // If the client does not read this, that is its own loss.
        let _ = timeout(HEAR_OUT, telling).await;
    }
}

/// The user at the other end. Nobody has the last user id, so it stands for those that the kernel does not name.
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
