//! A connection to a server.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use native_tls::{Certificate, Identity};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
};

use super::Server;
use crate::registry::settings::{BadSettings, Settings};

/// The most bytes of the head of an answer.
const MOST_HEAD: usize = 64 << 10;

/// A connection, which is closed when it is dropped.
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Otherwise it would wait for the rest of an answer that nobody reads.
        self.driver.abort();
    }
}

impl Connection {
    /// Connects, and encrypts if there is something to do so.
    pub(super) async fn open(server: &Server, tls: Option<&tokio_native_tls::TlsConnector>) -> Result<Self, String> {
        let tcp = TcpStream::connect((server.host.as_str(), server.port)).await;
        let tcp = tcp.map_err(|error| format!("cannot connect: {error}"))?;
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        let Some(tls) = tls else {
            return Self::over(tcp).await;
        };
        let encrypted = tls.connect(&server.host, tcp).await;
        Self::over(encrypted.map_err(|error| format!("the TLS handshake failed: {error}"))?).await
    }

    async fn over<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(stream: S) -> Result<Self, String> {
        let handshake = http1::Builder::new()
            .max_buf_size(MOST_HEAD)
            .handshake(TokioIo::new(stream));
        let (sender, driver) = handshake.await.map_err(|error| error.to_string())?;
        let driver = tokio::spawn(async move {
            // Whoever waits for an answer is told.
            let _ = driver.await;
        });
        Ok(Self { sender, driver })
    }

    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }
}

/// What encrypts connections.
pub(super) fn tls(settings: &Settings) -> Result<tokio_native_tls::TlsConnector, BadSettings> {
    let mut builder = native_tls::TlsConnector::builder();
    if let Some(pem) = &settings.ca_pem {
        let wrong = |told: &str| BadSettings(format!("the certificates of the schema registry's authorities: {told}"));
        let certificates = Certificate::stack_from_pem(pem).map_err(|error| wrong(&error.to_string()))?;
        if certificates.is_empty() {
            return Err(wrong("there is none"));
        }
        // Who names an authority trusts that one.
        builder.disable_built_in_roots(true);
        for certificate in certificates {
            builder.add_root_certificate(certificate);
        }
    }
    if let Some((certificate, key)) = &settings.identity {
        let identity = Identity::from_pkcs8(certificate, &key.0);
        builder.identity(identity.map_err(|error| {
            BadSettings(format!(
                "the certificate and private key for the schema registry: {error}"
            ))
        })?);
    }
    let connector = builder.build();
    let connector = connector.map_err(|error| BadSettings(format!("TLS for the schema registry: {error}")))?;
    Ok(connector.into())
}
