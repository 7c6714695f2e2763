//! Serves the admin listener on a thread of its own.
//!
//! Every connection is accepted: a probe that waits behind others is a probe that fails. When all
//! [`MAX_CONNECTIONS`](super::places) places are taken, the connection that has asked nothing for longest is closed.
//! So connections that send nothing, send slowly, or never read their reply give way, while a probe sends its request
//! at once. A connection that waits for an order to be carried out keeps its place; at most
//! [`MAX_ORDERS`](super::places) connections do.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context as _;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, sync::oneshot};

use super::{
    Admin,
    places::{AdminPlace, AdminPlaces},
};

/// How long a connection may send no request, and how long the header of a request may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest life of a connection, without the time of an order that it waits for.
const CONNECTION_LIFE: Duration = Duration::from_secs(30);
/// How long to wait after a failed accept (out of file descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Binds the listener.
pub fn bind(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener =
        TcpListener::bind(address).with_context(|| format!("cannot listen on {address} ([listen] admin)"))?;
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

/// The admin thread. The thread ends when this value is dropped.
pub struct Serving {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Serves the admin listener on a new thread.
pub fn serve(admin: Arc<Admin>, listener: TcpListener) -> anyhow::Result<Serving> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let thread = thread::Builder::new().name("admin".to_owned()).spawn(move || {
        runtime.block_on(async move {
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => tokio::select! {
                    () = accept(admin, listener) => {}
                    _ = stopped => {}
                },
                Err(error) => tracing::error!(%error, "the admin listener cannot be served"),
            }
        });
    })?;
    Ok(Serving {
        stop: Some(stop),
        thread: Some(thread),
    })
}

async fn accept(admin: Arc<Admin>, listener: tokio::net::TcpListener) {
    let places = Arc::new(AdminPlaces::default());
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let place = places.take();
                tokio::spawn(connection(Arc::clone(&admin), stream, place));
                // The new connection must read what has arrived before the next connection may want its place.
                tokio::task::yield_now().await;
            }
            Err(error) => {
                tracing::warn!(%error, "an admin connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(admin: Arc<Admin>, stream: TcpStream, place: AdminPlace) {
    let longest_order = admin.longest_drain;
    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        let (admin, place) = (Arc::clone(&admin), place.clone());
        place.asked();
        async move { Ok::<_, std::convert::Infallible>(admin.handle(&request, &place).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let life = async {
        tokio::time::sleep(CONNECTION_LIFE).await;
        if place.is_waiting() {
            tokio::time::sleep(longest_order).await;
        }
    };
    // Dropping `serving` closes the connection.
    tokio::select! {
        _ = serving => {}
        () = place.wanted() => {}
        () = life => {}
    }
    place.leave();
}
