//! Connections of the HTTP port: so many at once, and each has so long to say what it wants, and to answer for itself.

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

/// How a connection of HTTP/2 begins (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// While only a part of that has come, it is looked for more after such a time, and then each time after twice as long, so
/// that many who send no more cost nothing.
const PREFACE_PAUSE: Duration = Duration::from_millis(2);
const PREFACE_PAUSE_MAX: Duration = Duration::from_secs(1);
/// A peer that is asked whether it is still there has so long to answer, or less if it has less time for a request.
const PONG_PATIENCE: Duration = Duration::from_secs(20);

/// What connections may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// At once; one more is closed.
    pub connections: usize,
    /// From one answer, or from being accepted, to the end of the next request's headers (HTTP/1), or to the end of the
    /// preface (HTTP/2); after as much silence a peer that speaks HTTP/2 is asked whether it is still there.
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
    if !matches!(tokio::time::timeout(headers, has_begun(&stream)).await, Ok(Ok(true))) {
        return;
    }
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(headers);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(headers)
        .keep_alive_timeout(PONG_PATIENCE.min(headers));
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

/// Waits until the first bytes show which HTTP it is: nobody else's clock runs as long as they may be the preface of HTTP/2.
/// False if there will be none.
async fn has_begun(stream: &TcpStream) -> std::io::Result<bool> {
    let (mut first, mut pause) = ([0; PREFACE.len()], PREFACE_PAUSE);
    loop {
        let come = stream.peek(&mut first).await?;
        let first = first.get(..come).unwrap_or_default();
        if come == 0 || come == PREFACE.len() || !PREFACE.starts_with(first) {
            return Ok(come > 0);
        }
        // Those that have come would be there at once, however long the others take.
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PREFACE_PAUSE_MAX);
    }
}

async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}
