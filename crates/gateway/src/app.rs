//! What is served under which path.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, Method, Uri, header},
    middleware,
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use model::{Error, Result, error::codes};
use tokio::sync::Semaphore;

use crate::{
    door::GatewayParts,
    error::Failure,
    guard,
    metrics::{self, Counters},
    registry, sql,
    status::{self, Watcher},
};

/// What all handlers share.
pub(crate) struct App {
    pub(crate) parts: GatewayParts,
    /// Names this node answers to.
    pub(crate) hosts: Vec<String>,
    pub(crate) queries: Arc<Semaphore>,
    pub(crate) counters: Counters,
    pub(crate) watcher: Watcher,
    /// When this door opened, on the monotonic clock.
    pub(crate) opened: Duration,
}

pub(crate) type Shared = Arc<App>;

impl App {
    pub(crate) fn new(mut parts: GatewayParts, addr: SocketAddr) -> Shared {
        parts.doors.push(("http", addr.to_string()));
        let mut hosts = parts.settings.hosts.clone();
        if !addr.ip().is_unspecified() {
            hosts.push(addr.ip().to_string());
        }
        Arc::new(Self {
            hosts,
            queries: Arc::new(Semaphore::new(parts.settings.queries_max)),
            counters: Counters::default(),
            watcher: Watcher::default(),
            opened: parts.world.clock.monotonic(),
            parts,
        })
    }
}

pub(crate) fn router(app: Shared) -> Router {
    Router::new()
        .route("/", get(front))
        .route("/sql", post(sql::answer))
        .route("/api/status", get(status::answer))
        .route("/metrics", get(metrics::answer))
        .route("/healthz", get(health))
        .route("/openapi.json", get(openapi))
        .merge(registry::routes())
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(app.clone(), guard::guard))
        .layer(middleware::from_fn_with_state(app.clone(), metrics::count))
        .with_state(app)
}

/// Browsers get the status page; registry clients, who ask the root whether anyone is there, get `{}`.
async fn front(State(app): State<Shared>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !accept.contains("text/html") {
        return registry::json(&serde_json::json!({}));
    }
    let nonce = format!("{:016x}{:016x}", app.parts.world.random.u64(), app.parts.world.random.u64());
    let page = include_str!("../../../ui/status.html")
        .replace("{{style}}", include_str!("../../../ui/status.css"))
        .replace("{{script}}", include_str!("../../../ui/status.js"))
        .replace("{{nonce}}", &nonce)
        .replace("{{version}}", env!("CARGO_PKG_VERSION"));
    let policy = format!(
        "default-src 'none'; connect-src 'self'; img-src data:; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let mut response = Html(page).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_str(&policy).expect("hex digits fit a header"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// Answering at all is being healthy; while stopping, load balancers should look elsewhere.
async fn health(State(app): State<Shared>) -> Result<Json<serde_json::Value>, Failure> {
    if app.parts.world.tasks.is_stopping() {
        return Err(Error::new(codes::SHUTTING_DOWN, "the node is stopping").into());
    }
    Ok(Json(serde_json::json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")})))
}

async fn openapi() -> Response {
    let document = include_str!("openapi.json").replace("{{version}}", env!("CARGO_PKG_VERSION"));
    ([(header::CONTENT_TYPE, "application/json")], document).into_response()
}

async fn not_found(uri: Uri) -> Response {
    let error = Error::new(codes::HTTP_NOT_FOUND, format!("nothing is served at `{}`", uri.path().escape_debug()));
    registry::refusal(&uri, error.hint("GET /openapi.json lists what is"))
}

async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    let path = uri.path().escape_debug();
    let error = Error::new(codes::HTTP_METHOD_NOT_ALLOWED, format!("`{path}` does not take {method}"));
    registry::refusal(&uri, error)
}

/// The whole body of a request, within the door's limits of size and time.
pub(crate) async fn read_body(app: &App, body: Body) -> Result<Bytes> {
    let settings = &app.parts.settings;
    let read = axum::body::to_bytes(body, settings.body_bytes_max);
    match tokio::time::timeout(settings.body_timeout, read).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_too_large(&error) => {
            Err(Error::new(codes::HTTP_BODY_TOO_LARGE, "the request's body is too large")
                .detail(format!("at most {} bytes are taken", settings.body_bytes_max)))
        }
        Ok(Err(error)) => {
            Err(Error::new(codes::HTTP_BODY_INVALID, "could not read the request's body").detail(error.to_string()))
        }
        Err(_) => Err(Error::new(codes::HTTP_BODY_TIMEOUT, "the request's body did not arrive in time")),
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains("length limit exceeded") {
            return true;
        }
        cause = error.source();
    }
    false
}
