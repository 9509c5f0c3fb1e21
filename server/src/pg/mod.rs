//! The PostgreSQL port: protocol 3.0 over TCP and TLS, one task per connection (PostgreSQL 15's documentation,
//! "Frontend/Backend Protocol").
//!
//! pgwire lends its SCRAM exchange; frames, buffers and the flow of messages are our own, because one write per batch,
//! limits before allocation and strict decoding decide how this port behaves under load and under attack.

mod auth;
mod backoff;
mod cancel;
mod connection;
mod copy_binary;
mod crowd;
mod encode;
mod extended;
mod frame;
mod message;
mod presence;
mod rows;
mod runtime;
mod startup;
mod tls;
mod turns;
mod types;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledgerstone_journal::env::help_for;
use ledgerstone_query::instance::Instance;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::config::ServeConfig;
use crate::metrics::Metrics;
use crate::socket;

pub use auth::{Users, UsersError, users_line};
pub use runtime::tokio as runtime;
pub use tls::{TlsError, acceptor};
pub use turns::before_sleep;

/// While connections cannot be accepted, the log says so this often.
const ACCEPT_WARNINGS_APART: Duration = Duration::from_secs(10);

/// What every connection shares.
pub struct Server {
    pub config: ServeConfig,
    pub instance: Arc<Instance>,
    pub metrics: Arc<Metrics>,
    pub users: Option<Arc<Users>>,
    pub tls: Option<TlsAcceptor>,
    pub registry: Arc<cancel::Registry>,
    /// Everybody who sends messages; nobody is counted where there is but one processor.
    crowd: Option<Arc<crowd::Crowd>>,
}

impl Server {
    pub fn new(
        config: ServeConfig,
        instance: Arc<Instance>,
        metrics: Arc<Metrics>,
        users: Option<Arc<Users>>,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let crowd = (processors > 1).then(|| Arc::new(crowd::Crowd::on_workers(processors)));
        Server { config, instance, metrics, users, tls, registry: Arc::default(), crowd }
    }

    /// Off loopback, passwords and data never travel in the clear.
    fn requires_tls(&self) -> bool {
        !self.config.postgres.ip().is_loopback()
    }

    /// Four unguessable bytes.
    fn random(&self) -> [u8; 4] {
        let mut bytes = [0; 4];
        ledgerstone_journal::Env::production().rng.fill(&mut bytes);
        bytes
    }
}

/// Accepts connections until told to stop, then waits for those that are open.
pub async fn serve(server: Arc<Server>, listener: TcpListener, shutdown: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let mut receiver = shutdown.clone();
    let stopping = async { drop(receiver.wait_for(|stop| *stop).await) };
    tokio::pin!(stopping);
    let mut warned = None;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(one(Arc::clone(&server), stream, peer, shutdown.clone()));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: those in use will be given back.
                    if warned.is_none_or(|at: Instant| at.elapsed() >= ACCEPT_WARNINGS_APART) {
                        let help = help_for(&error).trim_start_matches("; ");
                        tracing::warn!(%error, help, "cannot accept connections");
                        warned = Some(Instant::now());
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = &mut stopping => break,
        }
    }
    drop(listener);
    let patience = Duration::from_secs(server.config.limits.shutdown_seconds);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(patience, all).await.is_err() {
        server.registry.cancel_all();
        let all = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_secs(2), all).await;
    }
}

/// One connection, from the first byte to the last.
async fn one(server: Arc<Server>, stream: TcpStream, peer: SocketAddr, shutdown: watch::Receiver<bool>) {
    server.metrics.connections_opened.one();
    let open = server.metrics.connections_open.add(1);
    let _leave = Leave(&server.metrics);
    socket::prepare(&stream, Some(peer));
    if open as u64 > server.config.limits.connections {
        server.metrics.connections_refused.one();
        let mut wire = wire::Wire::new(Box::new(stream));
        wire.out.fatal("53300", "sorry, too many clients already", Some("The limit is --limit connections=NUMBER."));
        wire.close_after_error().await;
        return;
    }
    let start = startup::start(&server, Box::new(stream));
    let mut started = match tokio::time::timeout(server.config.startup_timeout(), start).await {
        Ok(Ok(Some(started))) => started,
        Ok(Ok(None)) | Err(_) => return,
        Ok(Err(ended)) => {
            tracing::debug!(%peer, %ended, "connection ended before it started");
            return;
        }
    };
    started.wire.joins(server.crowd.as_ref());
    let user = started.session.info().user.clone();
    let ledger = started.session.info().ledger.clone();
    tracing::debug!(%peer, %user, %ledger, "connected");
    let ended = connection::Connection::new(&server, started, shutdown).run().await;
    tracing::debug!(%peer, %ended, "disconnected");
}

struct Leave<'a>(&'a Metrics);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.connections_open.add(-1);
    }
}
