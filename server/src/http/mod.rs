//! The HTTP port: health, metrics, gRPC, Flight SQL and QLDB's APIs.

mod connections;
mod doorway;
mod patience;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use ledgerstone_query::instance::Instance;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::metrics::{LedgerMetrics, Metrics};
use crate::qldb;
use crate::{flight, grpc};
pub use connections::Limits;
pub use doorway::{Admit, admit_first};

/// What somebody sees who looks at the port with a browser or curl. Anybody may: nothing in it is this server's own.
const PAGE: &str = concat!(
    "Ledgerstone ",
    env!("CARGO_PKG_VERSION"),
    "\n\nThis is its HTTP port. Programs find here:\n\n  \
     /healthz    whether every ledger answers\n  \
     /metrics    for Prometheus\n  \
     POST /      the endpoint of QLDB's drivers and SDKs\n  \
     HTTP/2      gRPC and Arrow Flight SQL\n\n\
     PostgreSQL clients use another port, 7432 unless the server was told otherwise.\n\
     Documentation: ",
    env!("CARGO_PKG_REPOSITORY"),
    "\n"
);

/// What handlers share.
#[derive(Clone)]
pub struct HttpState {
    pub instance: Arc<Instance>,
    pub metrics: Arc<Metrics>,
    pub grpc: grpc::Options,
    pub flight: flight::Limits,
    pub qldb: qldb::Options,
    /// How long nothing of a request's body may come.
    pub silence: Duration,
    /// Callers prove nothing at any door.
    pub anyone: bool,
}

/// The routes of the port.
pub fn router(state: HttpState) -> Router {
    let grpc = grpc::routes(Arc::clone(&state.instance), state.grpc.clone());
    let flight = flight::routes(Arc::clone(&state.instance), state.grpc.clone(), state.flight);
    let qldb = qldb::routes(Arc::clone(&state.instance), state.qldb.clone());
    let refuse_pages = axum::middleware::from_fn_with_state(state.anyone, doorway::refuse_pages);
    let hurry = axum::middleware::from_fn_with_state(state.silence, patience::hurry);
    let own = Router::new()
        .route("/", get(PAGE))
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics))
        .with_state(state);
    own.merge(grpc).merge(flight).merge(qldb).layer(hurry).layer(refuse_pages)
}

/// Serves until told to stop.
pub async fn serve(
    state: HttpState,
    listener: TcpListener,
    limits: Limits,
    shutdown: watch::Receiver<bool>,
) -> std::io::Result<()> {
    connections::serve(router(state), listener, limits, shutdown).await
}

/// 200 when every ledger answers, 503 otherwise.
async fn healthz(State(state): State<HttpState>) -> impl IntoResponse {
    for ledger in state.instance.ledgers() {
        if let Err(error) = state.instance.ledger(&ledger.name) {
            return (StatusCode::SERVICE_UNAVAILABLE, format!("ledger {}: {error}\n", ledger.name));
        }
    }
    (StatusCode::OK, "ok\n".to_owned())
}

async fn metrics(State(state): State<HttpState>) -> impl IntoResponse {
    let ledgers: Vec<LedgerMetrics> = state
        .instance
        .ledgers()
        .into_iter()
        .filter_map(|ledger| {
            let database = state.instance.ledger(&ledger.name).ok()?;
            let (size, takes_writes) = (database.snapshot(), database.ledger().stopped().is_none());
            let columns = database.columns().stats();
            Some(LedgerMetrics { name: ledger.name, size, takes_writes, columns })
        })
        .collect();
    let streams = state.qldb.streams.counts();
    let page = state.metrics.render(&ledgers, state.instance.pool(), &streams);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], page)
}
