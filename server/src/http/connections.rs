//! Connections of the HTTP port: so many at once, and each has so long to say what it wants.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::socket;

/// After a failure to accept, such as too many open files, the next attempt waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What connections may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// At once; one more is closed.
    pub connections: usize,
    /// From one answer, or from being accepted, to the end of the next request's headers (HTTP/1), or to the first byte.
    pub headers: Duration,
}

/// Serves until told to stop; requests that are being answered are answered.
pub async fn serve(
    router: Router,
    listener: TcpListener,
    limits: Limits,
    mut shutdown: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let room = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Those that have ended are forgotten.
            Some(_) = open.join_next(), if !open.is_empty() => continue,
            () = stopped(&mut shutdown) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection on the HTTP port");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            tracing::warn!(%peer, "a connection to the HTTP port was closed: --limit http_connections");
            continue;
        };
        socket::prepare(&stream, Some(peer));
        let connection = converse(router.clone(), stream, limits.headers, shutdown.clone());
        open.spawn(async move {
            connection.await;
            drop(place);
        });
    }
    while open.join_next().await.is_some() {}
    Ok(())
}

async fn converse(router: Router, stream: TcpStream, headers: Duration, mut shutdown: watch::Receiver<bool>) {
    // Which HTTP it is shows in the first bytes, for which nobody else's clock runs.
    if !matches!(tokio::time::timeout(headers, stream.peek(&mut [0])).await, Ok(Ok(1..))) {
        return;
    }
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(headers);
    builder.http2().timer(TokioTimer::new());
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stopped(&mut shutdown) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the HTTP port ended");
    }
}

async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}
