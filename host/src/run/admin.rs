//! The admin listener. It has a thread of its own, so that it answers whatever the ingest side is doing.

mod error;
mod places;
mod serve;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use serde_json::{Value, json};

pub use self::serve::{Serving, bind, serve};
use self::{error::AdminError, places::AdminPlace};
use crate::{
    base::token,
    follow::Follower,
    ingest::{grpc::Readiness, origin},
    pipeline::Pipeline,
    produce::Health,
    reload::{CommandError, Done, Reloader},
    run::{drain::Drain, logging::Log},
};

/// Tenants that `/routes` shows, if it is not asked for another number.
const SHOWN_TENANTS: usize = 20;
/// The most tenants that it shows.
const MOST_SHOWN_TENANTS: usize = 1_000;

/// What the admin listener shows.
pub struct Admin {
    /// Counters, the producer's health, buffered bytes.
    pub pipeline: Arc<Pipeline>,
    /// The address of the admin listener, which decides what needs a token.
    pub loopback: bool,
    /// The bearer token of the admin listener.
    pub token: Option<String>,
    /// The configuration without its secrets.
    pub config: Value,
    /// The log, for the number of lines that were dropped or left out.
    pub log: Log,
    /// The routes and their plugins.
    pub reloader: Arc<Reloader>,
    /// The routing table of tenants.
    pub follower: Arc<Follower>,
    /// Whether `/ready` waits for Kafka.
    pub ready_requires_kafka: bool,
    /// Set once the ingest listeners are served.
    pub serving: AtomicBool,
    /// Set when the drain has begun.
    pub draining: AtomicBool,
    /// Where a drain is asked for.
    pub drain: Drain,
    /// The longest time that a drain may take.
    pub longest_drain: Duration,
}

impl Admin {
    async fn handle(&self, request: &Request<Incoming>, place: &AdminPlace) -> Response<Full<Bytes>> {
        self.answer(request, place)
            .await
            .unwrap_or_else(|error| error.problem().response())
    }

    async fn answer(
        &self,
        request: &Request<Incoming>,
        place: &AdminPlace,
    ) -> Result<Response<Full<Bytes>>, AdminError> {
        let (method, path) = (request.method(), request.uri().path());
        if let Some(order) = order(path) {
            if method != Method::POST {
                return Err(AdminError::MethodNotAllowed("POST"));
            }
            self.authorize(request)?;
            let _waiting = place.wait().ok_or(AdminError::TooManyOrders)?;
            return match order {
                Order::Drain => Ok(self.drain().await),
                Order::Reload(plugin) => obeyed(self.reloader.reload(plugin).await),
                Order::Rollback(plugin) => obeyed(self.roll_back(plugin).await),
            };
        }
        let guarded = match path {
            "/live" | "/ready" | "/metrics" => false,
            "/plugins" | "/routes" | "/config" => true,
            _ => {
                return Err(AdminError::NotFound);
            }
        };
        if method != Method::GET && method != Method::HEAD {
            return Err(AdminError::MethodNotAllowed("GET"));
        }
        if guarded {
            self.authorize(request)?;
        }
        Ok(match path {
            "/live" => Self::live(),
            "/ready" => self.ready(),
            "/metrics" => self.metrics(),
            "/plugins" => document(StatusCode::OK, &self.reloader.shown()),
            "/routes" => document(StatusCode::OK, &self.routes(request.uri().query())?),
            _ => document(StatusCode::OK, &self.config),
        })
    }

    /// The routing table, and who loads what.
    fn routes(&self, query: Option<&str>) -> Result<Value, AdminError> {
        let tenants = tenants_asked_for(query)?;
        let mut shown = self.follower.shown();
        let Pipeline { observer, metrics, .. } = &*self.pipeline;
        if let Some(observer) = observer {
            let table = self.pipeline.tenants.table();
            shown["routing"]["load"] = json!(observer.report(tenants, table.as_deref(), metrics.plugin_calls()));
        }
        Ok(shown)
    }

    /// Answers when the drain has ended; the process ends right after that.
    async fn drain(&self) -> Response<Full<Bytes>> {
        match self.drain.ask().await {
            Some(report) if report.finished => document(StatusCode::OK, &json!(report)),
            Some(report) => document(StatusCode::GATEWAY_TIMEOUT, &json!(report)),
            None => document(StatusCode::INTERNAL_SERVER_ERROR, &json!({"finished": false})),
        }
    }

    async fn roll_back(&self, plugin: &str) -> Result<Done, CommandError> {
        // A rollback runs the plugin's `configure`, and this thread has probes to answer.
        let (reloader, name) = (Arc::clone(&self.reloader), plugin.to_owned());
        let task = tokio::task::spawn_blocking(move || reloader.rollback(&name));
        task.await
            .unwrap_or_else(|_| Err(CommandError::Late(plugin.to_owned())))
    }

    /// Checks that the client may see what is guarded, and give orders.
    fn authorize(&self, request: &Request<Incoming>) -> Result<(), AdminError> {
        let headers = request.headers();
        match (&self.token, headers.get(AUTHORIZATION)) {
            (None, _) if self.loopback => Ok(origin::check_strictly(request.method(), request.uri(), headers)?),
            (Some(token), Some(given)) if token::is_bearer(given.as_bytes(), token) => Ok(()),
            (Some(_), _) => Err(AdminError::Unauthorized),
            (None, _) => Err(AdminError::NoToken),
        }
    }

    /// Always 200. A restart cures nothing that this process knows of itself: after a fatal error the producer renews
    /// itself.
    fn live() -> Response<Full<Bytes>> {
        document(StatusCode::OK, &json!({"live": true}))
    }

    /// What `/ready` says, for who only wants to know yes or no.
    pub(super) fn readiness(self: &Arc<Self>) -> Readiness {
        let admin = Arc::clone(self);
        Readiness::by(move || admin.is_ready())
    }

    fn is_ready(&self) -> bool {
        let is_up = matches!(self.pipeline.producer.health(), Health::Up);
        self.is_ready_with(is_up, self.reloader.readiness().0, self.follower.readiness().0)
    }

    /// With Kafka, plugins and a routing table, or without some of them.
    fn is_ready_with(&self, kafka: bool, plugins: bool, routes: bool) -> bool {
        let serving = self.serving.load(Ordering::Relaxed) && !self.draining.load(Ordering::Relaxed);
        serving && (kafka || !self.ready_requires_kafka) && plugins && routes
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
        let (plugins, problems) = self.reloader.readiness();
        let (routes, routing) = self.follower.readiness();
        let ready = self.is_ready_with(state == "up", plugins, routes);
        let status = if ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        let mut told = json!({
                "ready": ready,
                "listeners": serving,
                "draining": draining,
                "plugins": plugins,
                "problems": problems,
                "kafka": {"state": state, "detail": detail, "required": self.ready_requires_kafka},
        });
        if !routing.is_null() {
            told["routing"] = routing;
        }
        if let Some(schemas) = self.pipeline.schemas.shown() {
            told["schemas"] = schemas;
        }
        document(status, &told)
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let pipeline = &self.pipeline;
        let metrics = &pipeline.metrics;
        metrics.generation.set(pipeline.producer.generation().into());
        metrics.clients.set(pipeline.producer.clients() as i64);
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
        self.follower.gauge();
        pipeline.schemas.gauge(&metrics.schemas);
        metrics.log_lines_dropped(self.log.unread(), self.log.repeated());
        let mut response = Response::new(Full::from(metrics.render()));
        response.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
        );
        response
    }
}

/// An order that a client can give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order<'a> {
    Drain,
    Reload(&'a str),
    Rollback(&'a str),
}

/// Parses `/drain`, `/plugins/{name}/reload` and `/plugins/{name}/rollback`. The name is looked up among the plugins of
/// the routes and never becomes part of a path.
fn order(path: &str) -> Option<Order<'_>> {
    if path == "/drain" {
        return Some(Order::Drain);
    }
    let (name, order) = path.strip_prefix("/plugins/")?.rsplit_once('/')?;
    match order {
        "reload" => Some(Order::Reload(name)),
        "rollback" => Some(Order::Rollback(name)),
        _ => None,
    }
}

/// Parses the query of `/routes`.
fn tenants_asked_for(query: Option<&str>) -> Result<usize, AdminError> {
    let Some(query) = query.filter(|query| !query.is_empty()) else {
        return Ok(SHOWN_TENANTS);
    };
    let number = query.strip_prefix("tenants=").and_then(|number| number.parse().ok());
    number
        .filter(|number| *number <= MOST_SHOWN_TENANTS)
        .ok_or(AdminError::BadQuery)
}

fn obeyed(done: Result<Done, CommandError>) -> Result<Response<Full<Bytes>>, AdminError> {
    Ok(document(StatusCode::OK, &json!(done?)))
}

fn document(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{value:#}\n")));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
