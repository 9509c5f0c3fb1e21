//! QLDB's APIs on the HTTP port, as its unchanged drivers and SDKs speak them (docs/compatibility.md, "QLDB").
//!
//! | module | what lives there |
//! |---|---|
//! | `session` | the session API: statements in transactions |
//! | `control` | the control API: ledgers, tags, digests, proofs, journal exports, and the journal as a stream |
//! | `exporter` | journal exports that are being made |
//! | `access` | who calls: AWS Signature Version 4 with keys of this server's own |
//! | `failure` | errors as drivers and SDKs tell them apart |
//! | `uri` | paths and queries, decoded and as they are signed |

mod access;
mod control;
mod exporter;
mod failure;
mod session;
mod uri;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::middleware::Next;
use axum::routing::{any, post};
use ledgerstone_journal::env::Rng;
use ledgerstone_query::instance::Instance;
use ledgerstone_query::session::Runtime;
use tokio::sync::{Semaphore, watch};

use crate::aws::Endpoint;
use crate::config;
use crate::kinesis::Streams;
use crate::metrics::Metrics;
pub use access::{AccessKeyError, AccessKeys, Door};
use exporter::Exporter;
use failure::Failure;
use session::Registry;

const JSON: &str = "application/x-amz-json-1.0";

/// What the door is given beside the ledgers.
#[derive(Clone)]
pub struct Options {
    pub limits: Limits,
    pub door: Arc<Door>,
    /// QLDB's own limits hold.
    pub strict: bool,
    /// Journal streams to Kinesis.
    pub streams: Arc<Streams>,
    /// Where journal exports go, if anywhere.
    pub s3: Option<Endpoint>,
    pub metrics: Arc<Metrics>,
    /// Makes tokens.
    pub rng: Arc<dyn Rng>,
    /// Lent to sessions.
    pub runtime: Arc<dyn Runtime>,
    /// Turns true when the server stops.
    pub shutdown: watch::Receiver<bool>,
}

/// What callers may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sessions that are open at once.
    pub sessions: usize,
    /// A session without a transaction in which nothing is asked for this long is closed.
    pub session_idle: Duration,
    /// A session is closed after this long, whatever it does.
    pub session_life: Duration,
    /// From the start of a transaction until it is rolled back.
    pub transaction: Duration,
    /// Journal streams over HTTP that are open at once.
    pub http_streams: usize,
    /// Journal exports that are being made at once.
    pub exports: usize,
    /// Bytes of one request.
    pub request_bytes: usize,
    /// Longest time of one statement in milliseconds; 0 is no limit.
    pub statement_ms: u64,
}

impl Limits {
    /// As the server was told.
    pub fn of(limits: &config::Limits) -> Self {
        let size = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        Limits {
            sessions: size(limits.qldb_sessions),
            session_idle: Duration::from_secs(limits.qldb_session_idle_seconds),
            session_life: Duration::from_secs(limits.qldb_session_seconds),
            transaction: Duration::from_secs(limits.qldb_transaction_seconds),
            http_streams: size(limits.qldb_http_streams),
            exports: size(limits.qldb_exports),
            request_bytes: size(limits.qldb_request_bytes),
            statement_ms: limits.statement_seconds.saturating_mul(1_000),
        }
    }
}

impl Limits {
    /// No statement goes on after its transaction's time.
    fn longest_statement_ms(&self) -> u64 {
        let transaction_ms = u64::try_from(self.transaction.as_millis()).unwrap_or(u64::MAX);
        match self.statement_ms {
            0 => transaction_ms,
            statement_ms => statement_ms.min(transaction_ms),
        }
    }
}

/// What requests share.
struct Shared {
    instance: Arc<Instance>,
    options: Options,
    sessions: Arc<Registry>,
    exporter: Exporter,
    /// One permit for each stream over HTTP.
    http_streams: Arc<Semaphore>,
}

/// The routes of the APIs, for the router of the HTTP port. Call it inside the async runtime: it starts the task that ends
/// what has lived too long, and goes on with journal exports.
pub fn routes(instance: Arc<Instance>, options: Options) -> Router {
    let sessions = Registry::new(options.limits, Arc::clone(&options.rng));
    tokio::spawn(crate::sessions::sweep(Arc::downgrade(&sessions), options.shutdown.clone()));
    let request_bytes = options.limits.request_bytes;
    let http_streams = Arc::new(Semaphore::new(options.limits.http_streams));
    let exporter = Exporter::start(Arc::clone(&instance), &options);
    let shared = Arc::new(Shared { instance, options, sessions, exporter, http_streams });
    Router::new()
        .route("/", post(send_command))
        .route("/ledgers", any(control))
        .route("/ledgers/{*rest}", any(control))
        .route("/journal-s3-exports", any(control))
        .route("/tags/{*rest}", any(control))
        .layer(DefaultBodyLimit::max(request_bytes))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&shared), knock))
        .with_state(shared)
}

/// Nothing of a body is read whose sender is refused anyway.
async fn knock(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response<Body> {
    match shared.options.door.knock(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.response(&request_id(&shared.options.rng)),
    }
}

async fn send_command(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let request_id = request_id(&shared.options.rng);
    // A task of its own: a client that goes away must not leave a session between two states.
    let answering = tokio::spawn(async move { session::answer(&shared, &headers, &body).await.map(Answer::Whole) });
    finish(answering.await, &request_id)
}

async fn control(State(shared): State<Arc<Shared>>, parts: Parts, body: Bytes) -> Response<Body> {
    let request_id = request_id(&shared.options.rng);
    // Ledgers are made, opened and dropped, and blocks read: it may take long.
    let answering = tokio::task::spawn_blocking(move || control::answer(&shared, &parts, &body));
    finish(answering.await, &request_id)
}

/// What was asked for.
enum Answer {
    Whole(String),
    Stream(Response<Body>),
}

fn finish(answer: Result<Result<Answer, Failure>, tokio::task::JoinError>, request_id: &str) -> Response<Body> {
    match answer {
        Ok(Ok(Answer::Whole(body))) => respond(StatusCode::OK, None, request_id, body),
        Ok(Ok(Answer::Stream(response))) => response,
        Ok(Err(failure)) => failure.response(request_id),
        Err(error) => Failure::internal(format!("the work was not finished: {error}")).response(request_id),
    }
}

/// All of an answer at once: the Go driver has lost the body of answers that came in two pieces.
fn respond(status: StatusCode, error: Option<&'static str>, request_id: &str, body: String) -> Response<Body> {
    let mut response =
        Response::builder().status(status).header(header::CONTENT_TYPE, JSON).header("x-amzn-requestid", request_id);
    if let Some(error) = error {
        response = response.header("x-amzn-errortype", error);
    }
    // Every part is made of characters that a header may have.
    response.body(Body::from(body)).unwrap_or_default()
}

/// As AWS writes them: a random UUID.
fn request_id(rng: &Arc<dyn Rng>) -> String {
    let mut bytes = rng.bytes16();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
