//! The answer to a submitted transaction: a future, for those who wait in a runtime and those who wait in a thread.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use futures_channel::oneshot;

use crate::error::CommitError;
use crate::transaction::Committed;

/// Resolves when the transaction is durable and published, or refused. Dropping it does not take the transaction
/// back.
#[derive(Debug)]
pub struct CommitFuture {
    answer: oneshot::Receiver<Result<Committed, CommitError>>,
}

/// The side that answers.
pub(crate) type Answer = oneshot::Sender<Result<Committed, CommitError>>;

impl CommitFuture {
    pub(crate) fn new() -> (Answer, CommitFuture) {
        let (sender, answer) = oneshot::channel();
        (sender, CommitFuture { answer })
    }

    /// Blocks this thread until the answer is there.
    pub fn wait(self) -> Result<Committed, CommitError> {
        block_on(self)
    }
}

impl Future for CommitFuture {
    type Output = Result<Committed, CommitError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(context).map(|answer| {
            answer.unwrap_or_else(|_| {
                Err(CommitError::OutcomeUnknown { cause: "the journal's thread ended before it answered".to_owned() })
            })
        })
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
