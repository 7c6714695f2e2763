//! Asks a running sidecar's admin listener, for `pointsman drain` and `pointsman probe`: an image without a shell has
//! no curl, either.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Method, Request, StatusCode,
    header::{AUTHORIZATION, HOST},
};
use hyper_util::rt::TokioIo;

/// The longest answer that is read, bytes.
const MAX_ANSWER: usize = 16 << 20;

/// The admin listener to ask, and how to authorize.
#[derive(Debug, Clone)]
pub struct Admin {
    /// The admin listener's address. An address that stands for all addresses is asked on loopback.
    pub address: SocketAddr,
    /// The admin listener's bearer token.
    pub token: Option<String>,
}

/// Asks, and returns status and body.
pub fn ask(admin: &Admin, method: Method, path: &str, timeout: Duration) -> anyhow::Result<(StatusCode, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asking = async { tokio::time::timeout(timeout, exchange(admin, method, path)).await };
    let address = reachable(admin.address);
    runtime
        .block_on(asking)
        .with_context(|| format!("no answer from {address} within {} s", timeout.as_secs()))?
        .with_context(|| format!("cannot ask the admin listener at {address}; name it with --admin or --config"))
}

async fn exchange(admin: &Admin, method: Method, path: &str) -> anyhow::Result<(StatusCode, String)> {
    let address = reachable(admin.address);
    let stream = tokio::net::TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, address.to_string());
    if let Some(token) = &admin.token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    connection.abort();
    let body = body.map_err(|error| anyhow::anyhow!("the answer cannot be read: {error}"))?;
    Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
}

fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}
