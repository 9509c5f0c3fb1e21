//! gRPC on the HTTP port: the ledger service over sessions, the digest service over the journal (DESIGN section 8).
//!
//! | module | what lives there |
//! |---|---|
//! | `caller` | who calls, and whether that is allowed |
//! | `passwords` | who knows a password of the users file |
//! | `sessions` | open sessions, their limits, and who has them |
//! | `ledger` | the ledger service |
//! | `execute` | one statement: run, then rows as fast as the client takes them |
//! | `parameters` | its parameters |
//! | `admin` | ledgers and tables as messages |
//! | `backup` | a ledger's backup as a stream |
//! | `digest` | the digest service |
//! | `block` | blocks as messages |
//! | `fields` | how many fields a message may have |
//! | `status` | errors as gRPC statuses |

mod admin;
mod backup;
mod block;
mod caller;
mod digest;
mod execute;
mod fields;
mod ledger;
mod parameters;
mod passwords;
mod sessions;
mod status;

use std::sync::Arc;
use std::time::Duration;

use ledgerstone_journal::env::Rng;
use ledgerstone_protocol::v1::digest_service_server::{self, DigestServiceServer};
use ledgerstone_protocol::v1::ledger_service_server::{self, LedgerServiceServer};
use ledgerstone_query::instance::Instance;
use ledgerstone_query::session::Runtime;
use tokio::sync::{Semaphore, watch};

use crate::{config, http};
pub use caller::{Anyone, Caller, Gate, Nobody};
pub use execute::Leave;
pub use ledger::{blocking, name_or_main};
pub use passwords::{Passwords, basic};
pub use sessions::{InUse, Registry};
pub use status::{HINT_KEY, SQLSTATE_KEY, of_query};

/// The largest answer: a receipt of a whole transaction may come near it.
const ANSWER_BYTES_MAX: usize = (256 << 20) + (1 << 16);

/// What asks with few bytes: an auditor, and whoever opens a session or names a ledger.
const SMALL_BYTES_MAX: usize = 64 << 10;

/// The fields of a message beside those that it has many of.
const FIELDS_BESIDE: usize = 64;

/// What the services are given beside the ledgers.
#[derive(Clone)]
pub struct Options {
    pub limits: Limits,
    /// Says who may call.
    pub gate: Arc<dyn Gate>,
    /// Makes session ids.
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
    /// A session in which nothing is asked for this long is closed, its transaction rolled back.
    pub session_idle: Duration,
    /// The same of a session with an open transaction.
    pub transaction_idle: Duration,
    /// Bytes of one request: statement and parameters. Checked before anything is allocated for it.
    pub request_bytes: usize,
    /// Parameters of one statement.
    pub parameters: usize,
    /// Longest time of one statement in milliseconds; 0 is no limit.
    pub statement_ms: u64,
    /// How long a statement waits for the one before it in its session.
    pub busy_wait: Duration,
    /// Streams of blocks at once.
    pub block_streams: usize,
}

impl Limits {
    /// As the server was told.
    pub fn of(limits: &config::Limits) -> Self {
        let size = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        let session_idle = Duration::from_secs(limits.grpc_session_idle_seconds);
        Limits {
            sessions: size(limits.grpc_sessions),
            session_idle,
            transaction_idle: session_idle,
            request_bytes: size(limits.grpc_request_bytes),
            parameters: usize::from(u16::MAX),
            statement_ms: limits.statement_seconds.saturating_mul(1_000),
            busy_wait: Duration::from_secs(10),
            block_streams: size(limits.grpc_block_streams),
        }
    }
}

/// The routes of both services, for the router of the HTTP port. Call it inside the async runtime: it starts the task
/// that closes idle sessions.
pub fn routes(instance: Arc<Instance>, options: Options) -> axum::Router {
    let (request_bytes, parameters) = (options.limits.request_bytes, options.limits.parameters);
    let registry = Registry::new(options.limits, Arc::clone(&options.rng));
    tokio::spawn(crate::sessions::sweep(Arc::downgrade(&registry), options.shutdown.clone()));
    let gate = Arc::clone(&options.gate);
    let admit: Arc<http::Admit> = Arc::new(move |_, metadata| gate.admit(metadata).map(drop));
    let digest = digest::Digest {
        instance: Arc::clone(&instance),
        gate: Arc::clone(&options.gate),
        streams: Arc::new(Semaphore::new(options.limits.block_streams)),
        shutdown: options.shutdown.clone(),
    };
    let ledger = ledger::LedgerDoor { instance, registry, options };
    let ledger = Arc::new(ledger);
    let service = |bytes: usize| {
        LedgerServiceServer::from_arc(Arc::clone(&ledger))
            .max_decoding_message_size(bytes)
            .max_encoding_message_size(ANSWER_BYTES_MAX)
    };
    let of_ledger = |call: &str| format!("/{}/{call}", ledger_service_server::SERVICE_NAME);
    // Those that may be long, because they have many of something.
    let long = |call: &str, many: usize| {
        let limit = axum::middleware::from_fn_with_state(many + FIELDS_BESIDE, fields::limit);
        axum::Router::new().route_service(&of_ledger(call), service(request_bytes)).layer(limit)
    };
    let digest = DigestServiceServer::new(digest)
        .max_decoding_message_size(SMALL_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX);
    axum::Router::new()
        .merge(long("Execute", parameters))
        .merge(long("FindCommit", ledger::DIGESTS_MAX))
        .merge(long("Backup", backup::HELD_MAX))
        .route_service(&of_ledger("{*method}"), service(SMALL_BYTES_MAX))
        .route_service(&format!("/{}/{{*method}}", digest_service_server::SERVICE_NAME), digest)
        .layer(axum::middleware::from_fn_with_state(admit, http::admit_first))
}
