//! Arrow Flight SQL on the HTTP port (Flight.proto and FlightSql.proto of Arrow's format; docs/flight-sql.md).
//!
//! A statement runs when its FlightInfo is asked for: what is wrong with it is said there, a definition has happened when
//! the call returns, and rows belong to the snapshot of that moment. The ticket hands them out, once, as fast as the client
//! takes them.
//!
//! | module | what lives there |
//! |---|---|
//! | `service` | the calls of Flight, and which command goes where |
//! | `who` | who calls, in which session, to which ledger |
//! | `keeper` | what lives longer than a call, and to whom it belongs |
//! | `run` | one statement: where it runs, and what it answers |
//! | `put` | updates, and parameters that are bound |
//! | `received` | batches as clients send them, checked before they are decoded |
//! | `actions` | transactions, savepoints, prepared statements, sessions |
//! | `metadata`, `facts` | catalogs, tables and keys; what the server and its types are |
//! | `types`, `columns`, `parameters` | SQL's types and values as Arrow's, and back |
//! | `placeholders` | question marks as parameters |
//! | `rows` | rows as a stream of batches |
//! | `status` | errors |
//! | `messages` | messages that arrow-flight has not |

mod actions;
mod columns;
mod facts;
mod keeper;
mod messages;
mod metadata;
mod parameters;
mod placeholders;
mod put;
mod received;
mod rows;
mod run;
mod service;
mod status;
mod types;
mod who;

pub use parameters::value as read_value;

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use ledgerstone_query::instance::Instance;

use crate::{config, grpc, http};
use keeper::Keeper;
use service::Flight;

/// Of Flight.proto.
const SERVICE_NAME: &str = "arrow.flight.protocol.FlightService";

/// The path of the call that brings rows.
pub const DO_PUT: &str = "/arrow.flight.protocol.FlightService/DoPut";

/// A message of who has not said yet who it is: a name and a password.
const HANDSHAKE_BYTES: usize = 64 << 10;

/// A message without rows: a statement, which has half of that at most, or handles. One may take ten times as much decoded.
const COMMAND_BYTES: usize = 8 << 20;

/// What callers may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of sessions and transactions, as of gRPC's.
    sessions: grpc::Limits,
    /// Prepared statements at once.
    statements: usize,
    /// Results that are being fetched or wait for it, at once.
    results: usize,
    /// How long a result waits to be fetched.
    result_wait: Duration,
}

impl Limits {
    /// As the server was told.
    pub fn of(limits: &config::Limits) -> Self {
        let size = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        let sessions = grpc::Limits {
            sessions: size(limits.flight_sessions),
            session_idle: Duration::from_secs(limits.flight_session_idle_seconds),
            transaction_idle: Duration::from_secs(limits.flight_transaction_idle_seconds),
            ..grpc::Limits::of(limits)
        };
        Limits {
            sessions,
            statements: size(limits.flight_statements),
            results: size(limits.flight_results),
            result_wait: Duration::from_secs(limits.flight_result_seconds),
        }
    }
}

/// The routes of the service, for the router of the HTTP port. Call it inside the async runtime: it starts the tasks that
/// drop what is not used.
pub fn routes(instance: Arc<Instance>, options: grpc::Options, limits: Limits) -> axum::Router {
    let keeper = Keeper::new(limits, Arc::clone(&options.rng));
    let shutdown = &options.shutdown;
    tokio::spawn(crate::sessions::sweep(Arc::downgrade(&keeper.sessions), shutdown.clone()));
    tokio::spawn(crate::sessions::sweep(Arc::downgrade(&keeper.transactions), shutdown.clone()));
    tokio::spawn(crate::sessions::sweep(Arc::downgrade(&keeper), shutdown.clone()));
    let request_bytes = limits.sessions.request_bytes;
    let flight = Flight { instance, keeper, options: grpc::Options { limits: limits.sessions, ..options } };
    let admit: Arc<http::Admit> = Arc::new(flight.doorkeeper());
    let flight = Arc::new(flight);
    let service = |bytes: usize| {
        let service = FlightServiceServer::from_arc(Arc::clone(&flight));
        service.max_decoding_message_size(bytes).max_encoding_message_size(usize::MAX)
    };
    let (handshake, data) = (service(HANDSHAKE_BYTES), service(request_bytes));
    let service = service(request_bytes.min(COMMAND_BYTES));
    axum::Router::new()
        .route_service(&format!("/{SERVICE_NAME}/Handshake"), handshake)
        .route_service(DO_PUT, data)
        .route_service(&format!("/{SERVICE_NAME}/{{*method}}"), service)
        .layer(axum::middleware::from_fn_with_state(admit, http::admit_first))
}
