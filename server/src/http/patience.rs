//! How long the body of a request may take: whoever begins to send one and does not go on keeps a connection, and what has
//! been read of it, for nothing.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures::StreamExt as _;

use crate::flight::DO_PUT;

/// Gives up a request of whose body nothing has come for so long. Rows that are brought may be far apart: a client makes
/// batches as it goes.
pub async fn hurry(State(silence): State<Duration>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() || request.uri().path() == DO_PUT {
        return next.run(request).await;
    }
    next.run(request.map(|body| in_time(body, silence))).await
}

fn in_time(body: Body, silence: Duration) -> Body {
    let pieces = futures::stream::unfold(Some(body.into_data_stream()), move |pieces| async move {
        let mut pieces = pieces?;
        match tokio::time::timeout(silence, pieces.next()).await {
            Ok(piece) => Some((piece?, Some(pieces))),
            Err(_) => Some((Err(axum::Error::new(Silent)), None)),
        }
    });
    Body::from_stream(pieces)
}

#[derive(Debug, thiserror::Error)]
#[error("nothing more of the request's body has come for too long (--limit http_idle_seconds)")]
struct Silent;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_stops_is_an_error_and_one_that_goes_on_is_read() {
        let pieces = |pause: u64| {
            futures::stream::unfold(0_u8, move |n| async move {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                (n < 5).then(|| (Ok::<_, std::io::Error>(vec![n]), n + 1))
            })
        };
        let read = |pause, silence| {
            let body = in_time(Body::from_stream(pieces(pause)), Duration::from_millis(silence));
            axum::body::to_bytes(body, 100)
        };
        assert_eq!(read(5, 10_000).await.unwrap(), &[0, 1, 2, 3, 4][..]);
        let error = read(10_000, 20).await.unwrap_err();
        assert!(
            std::error::Error::source(&error).is_some_and(|source| source.to_string().contains("http_idle_seconds"))
        );
    }
}
