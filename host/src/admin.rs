//! The admin listener: on a thread of its own, so that it answers whatever the ingest side is doing.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, oneshot};

use crate::{
    drain::Drain,
    ingest::problem::Problem,
    pipeline::Pipeline,
    produce::Health,
    reload::{CommandError, Reloader},
    token,
};

/// Probes and scrapers are few.
const MAX_CONNECTIONS: usize = 64;
/// A connection's life without a request, and a header's time.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection's whole life, beside a drain that it waits for: clients that ask and never read must not take the probes'
/// places for good.
const CONNECTION_LIFE: Duration = Duration::from_secs(30);

/// What the admin listener shows.
pub struct Admin {
    /// Counters, the producer's health, buffered bytes.
    pub pipeline: Arc<Pipeline>,
    /// Where it listens, and so what needs a token.
    pub loopback: bool,
    /// Its bearer token.
    pub token: Option<String>,
    /// The configuration without its secrets.
    pub config: Value,
    /// The routes and their plugins.
    pub reloader: Arc<Reloader>,
    /// Whether `/ready` waits for Kafka.
    pub ready_requires_kafka: bool,
    /// Set once the ingest listeners are served.
    pub serving: AtomicBool,
    /// Set when the end has begun.
    pub draining: AtomicBool,
    /// Where the end is asked for.
    pub drain: Drain,
    /// How long that may take.
    pub longest_drain: Duration,
}

/// Binds the listener.
pub fn bind(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener =
        TcpListener::bind(address).with_context(|| format!("cannot listen on {address} ([listen] admin)"))?;
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

/// The admin thread; it ends when this is dropped.
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

/// Serves it on a new thread.
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
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let permit = Arc::clone(&connections).acquire_owned().await;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "an admin connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let admin = Arc::clone(&admin);
        let life = CONNECTION_LIFE + admin.longest_drain;
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let admin = Arc::clone(&admin);
                async move { Ok::<_, std::convert::Infallible>(admin.handle(&request).await) }
            });
            let serving = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(life, serving).await;
            drop(permit);
        });
    }
}

impl Admin {
    async fn handle(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        self.answer(request.method(), request.uri().path(), request.headers())
            .await
            .unwrap_or_else(|problem| problem.response())
    }

    async fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<Response<Full<Bytes>>, Problem> {
        if let Some((plugin, order)) = order(path) {
            if method != Method::POST {
                return Err(Problem::method("POST"));
            }
            self.authorize(headers)?;
            return self.obey(plugin, order).await;
        }
        if path == "/drain" {
            if method != Method::POST {
                return Err(Problem::method("POST"));
            }
            self.authorize(headers)?;
            return Ok(self.drain().await);
        }
        let guarded = match path {
            "/live" | "/ready" | "/metrics" => false,
            "/plugins" | "/config" => true,
            _ => {
                return Err(Problem::new(
                    StatusCode::NOT_FOUND,
                    "not_found",
                    "this is the admin listener; it has GET /live, /ready, /metrics, /plugins and /config, and POST \
                     /drain, /plugins/{name}/reload and /plugins/{name}/rollback",
                ));
            }
        };
        if method != Method::GET && method != Method::HEAD {
            return Err(Problem::method("GET"));
        }
        if guarded {
            self.authorize(headers)?;
        }
        Ok(match path {
            "/live" => Self::live(),
            "/ready" => self.ready(),
            "/metrics" => self.metrics(),
            "/plugins" => document(StatusCode::OK, &self.reloader.shown()),
            _ => document(StatusCode::OK, &self.config),
        })
    }

    /// Answers when the drain has ended; the process ends right after that.
    async fn drain(&self) -> Response<Full<Bytes>> {
        match self.drain.ask().await {
            Some(report) if report.finished => document(StatusCode::OK, &json!(report)),
            Some(report) => document(StatusCode::GATEWAY_TIMEOUT, &json!(report)),
            None => document(StatusCode::INTERNAL_SERVER_ERROR, &json!({"finished": false})),
        }
    }

    async fn obey(&self, plugin: &str, order: Order) -> Result<Response<Full<Bytes>>, Problem> {
        let done = match order {
            Order::Reload => self.reloader.reload(plugin).await,
            Order::Rollback => {
                // It runs the plugin's `configure`, and this thread has probes to answer.
                let (reloader, name) = (Arc::clone(&self.reloader), plugin.to_owned());
                let task = tokio::task::spawn_blocking(move || reloader.rollback(&name));
                task.await
                    .unwrap_or_else(|_| Err(CommandError::Late(plugin.to_owned())))
            }
        };
        match done {
            Ok(done) => Ok(document(StatusCode::OK, &json!(done))),
            Err(error) => {
                let (status, code) = match error {
                    CommandError::Unknown(_) => (StatusCode::NOT_FOUND, "unknown_plugin"),
                    CommandError::NothingBefore(_) => (StatusCode::CONFLICT, "nothing_before"),
                    CommandError::Failed { .. } => (StatusCode::CONFLICT, "not_loaded"),
                    CommandError::Late(_) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
                };
                Err(Problem::new(status, code, error.to_string()))
            }
        }
    }

    fn authorize(&self, headers: &HeaderMap) -> Result<(), Problem> {
        match (&self.token, headers.get(AUTHORIZATION)) {
            (None, _) if self.loopback => Ok(()),
            (Some(token), Some(given)) if token::is_bearer(given.as_bytes(), token) => Ok(()),
            (Some(_), _) => Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "the bearer token is missing or wrong; send Authorization: Bearer <the text of listen.admin_token_file>",
            )),
            (None, _) => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                "off loopback this needs a token; set listen.admin_token_file, or ask on loopback",
            )),
        }
    }

    /// Nothing that this process can tell of itself is cured by a restart: a producer that met a fatal error renews itself.
    fn live() -> Response<Full<Bytes>> {
        document(StatusCode::OK, &json!({"live": true}))
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        let serving = self.serving.load(Ordering::Relaxed);
        let draining = self.draining.load(Ordering::Relaxed);
        let (state, detail) = match self.pipeline.producer.health() {
            Health::Starting => ("starting", None),
            Health::Up => ("up", None),
            Health::Down(reason) => ("down", Some(reason)),
            Health::Renewing(reason) => ("renewing", Some(reason)),
        };
        let kafka = state == "up" || !self.ready_requires_kafka;
        let (plugins, problems) = self.reloader.readiness();
        let ready = serving && !draining && kafka && plugins;
        let status = if ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        document(
            status,
            &json!({
                "ready": ready,
                "listeners": serving,
                "draining": draining,
                "plugins": plugins,
                "problems": problems,
                "kafka": {"state": state, "detail": detail, "required": self.ready_requires_kafka},
            }),
        )
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let pipeline = &self.pipeline;
        let metrics = &pipeline.metrics;
        metrics.generation.set(pipeline.producer.generation().into());
        metrics
            .kafka_up
            .set(i64::from(pipeline.producer.health() == Health::Up));
        let admission = &pipeline.admission;
        for (gauge, now) in [
            (&metrics.buffered_bytes, admission.buffered()),
            (&metrics.queue_messages, admission.queued_records()),
            (&metrics.queue_bytes, admission.queued_bytes()),
        ] {
            gauge.set(now.cast_signed() as i64);
        }
        let mut response = Response::new(Full::from(metrics.render()));
        response.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
        );
        response
    }
}

/// What can be asked for about a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Reload,
    Rollback,
}

/// `/plugins/{name}/reload` and `/plugins/{name}/rollback`. A name is looked up among those of the routes and never becomes
/// part of a path.
fn order(path: &str) -> Option<(&str, Order)> {
    let (name, order) = path.strip_prefix("/plugins/")?.rsplit_once('/')?;
    match order {
        "reload" => Some((name, Order::Reload)),
        "rollback" => Some((name, Order::Rollback)),
        _ => None,
    }
}

fn document(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{value:#}\n")));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
