//! What is read from a ledger piece by piece and sent as it is taken: to the end, or on with the ledger. Streams of blocks by
//! gRPC and of records over HTTP are both this.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinError;

/// How often a stream that follows a ledger looks for more.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(50);
/// Pieces that wait for a slow reader.
const PIECES_WAITING: usize = 2;

/// What a stream is made of.
pub trait Pieces: Send + Sync + 'static {
    type Piece: Send + 'static;
    type Error: Send + 'static;

    /// The piece that begins here, and where the next one begins; `None` if there is none yet. It may wait for the disk.
    fn next(&self, from: u64) -> Result<Option<(Self::Piece, u64)>, Self::Error>;

    /// What became of a read that did not come to an end.
    fn unfinished(error: JoinError) -> Self::Error;

    /// What a reader hears when the server stops; `None`: the stream just ends.
    fn stopping() -> Option<Self::Error>;
}

/// Where a stream begins, and whether it goes on at the end.
pub struct Course {
    pub from: u64,
    pub follow: bool,
    /// Turns true when the server stops.
    pub shutdown: watch::Receiver<bool>,
}

/// Pieces as they are read.
pub struct Following<T, E> {
    pieces: Receiver<Result<T, E>>,
    _permit: Arc<OwnedSemaphorePermit>,
}

/// Begins to read. The permit is given back when both the reader and the work for it have gone.
pub fn follow<P: Pieces>(pieces: P, course: Course, permit: OwnedSemaphorePermit) -> Following<P::Piece, P::Error> {
    let (sender, receiver) = channel(PIECES_WAITING);
    let permit = Arc::new(permit);
    let held = Arc::clone(&permit);
    tokio::spawn(async move {
        if let Err(error) = send(pieces, course, &sender).await {
            // A reader that has gone hears nothing.
            let _ = sender.send(Err(error)).await;
        }
        drop(held);
    });
    Following { pieces: receiver, _permit: permit }
}

/// Sends until the end, or until the reader or the server has gone.
async fn send<P: Pieces>(
    pieces: P,
    course: Course,
    sender: &Sender<Result<P::Piece, P::Error>>,
) -> Result<(), P::Error> {
    let Course { mut from, follow, mut shutdown } = course;
    let pieces = Arc::new(pieces);
    loop {
        let reading = Arc::clone(&pieces);
        let read = tokio::task::spawn_blocking(move || reading.next(from)).await;
        match read.map_err(P::unfinished)?? {
            Some((piece, next)) => {
                from = next;
                if sender.send(Ok(piece)).await.is_err() {
                    return Ok(());
                }
            }
            None if !follow => return Ok(()),
            None => tokio::select! {
                () = tokio::time::sleep(FOLLOW_INTERVAL) => {}
                () = sender.closed() => return Ok(()),
                _ = shutdown.wait_for(|stop| *stop) => return P::stopping().map_or(Ok(()), Err),
            },
        }
    }
}

impl<T, E> futures::Stream for Following<T, E> {
    type Item = Result<T, E>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.pieces.poll_recv(context)
    }
}
