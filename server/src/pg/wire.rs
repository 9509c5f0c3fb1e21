//! Bytes between a socket and a connection: one read buffer, one write buffer, one write per batch of answers.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::server::TlsStream;

use super::crowd::Crowd;
use super::message::Outbound;
use super::presence::Presence;

/// What may be sent without waiting for the end of an answer.
pub const HIGH_WATER_BYTES: usize = 64 << 10;
/// Read at once while a connection idles.
const IDLE_READ_BYTES: usize = 4 << 10;
/// Grown by at most this much ahead of bytes that have arrived.
const READ_AHEAD_BYTES: usize = 256 << 10;
/// A client that sends on after a fatal error is listened to this long, so that it can read the error.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 << 20;

/// A TCP stream, or TLS over one.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {
    /// Whether it can say what is there already.
    fn can_listen(&self) -> bool {
        false
    }

    /// Bytes that are there already, without waiting; none if there are none.
    fn receive(&self, _into: &mut [u8]) -> usize {
        0
    }
}

impl Stream for TcpStream {
    fn can_listen(&self) -> bool {
        true
    }

    /// Asks the socket itself. The runtime, which is told of what comes as well, finds it read then and waits for more; an
    /// end or an error is found by its next read.
    fn receive(&self, into: &mut [u8]) -> usize {
        rustix::net::recv(self, into, RecvFlags::DONTWAIT).map_or(0, |(count, _)| count)
    }
}

impl Stream for TlsStream<Box<dyn Stream>> {}

#[cfg(test)]
impl Stream for tokio::io::DuplexStream {}

/// Both directions of a connection.
pub struct Wire {
    stream: Box<dyn Stream>,
    pub inbound: BytesMut,
    pub out: Outbound,
    pub received: u64,
    pub sent: u64,
    presence: Presence,
    /// All connections of the port; none if there is but one processor.
    crowd: Option<Arc<Crowd>>,
    /// Something was sent since the client last was heard: it may say something to that at once.
    answered: bool,
}

/// How waiting for the client ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    Bytes,
    /// The client closed its side.
    End,
    /// It said nothing for too long.
    Silence,
    /// The server is shutting down.
    Shutdown,
}

impl Wire {
    pub fn new(stream: Box<dyn Stream>) -> Self {
        let (inbound, out, presence) = (BytesMut::new(), Outbound::default(), Presence::default());
        Wire { stream, inbound, out, received: 0, sent: 0, presence, crowd: None, answered: false }
    }

    /// From here on this client is one of the crowd, and, without TLS, listened to for a moment before the thread sleeps while
    /// nobody else is there.
    pub fn joins(&mut self, crowd: Option<&Arc<Crowd>>) {
        self.crowd = crowd.cloned();
    }

    /// Takes the stream back, for TLS to be put between; whatever was read ahead must be empty.
    pub fn into_stream(self) -> Box<dyn Stream> {
        self.stream
    }

    /// Whether other clients are served beside this one.
    pub fn is_in_crowd(&self) -> bool {
        self.crowd.is_some() && !self.presence.is_alone()
    }

    /// Whether this client is one of many, who do nothing but read.
    pub fn is_in_reading_crowd(&self) -> bool {
        self.crowd.as_deref().is_some_and(|crowd| crowd.only_reads() && self.presence.is_one_of_many(crowd))
    }

    /// Somebody has committed: not all that the crowd does is read.
    pub fn committed(&self) {
        if let Some(crowd) = &self.crowd {
            crowd.committed();
        }
    }

    /// Sends everything written so far.
    pub async fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        self.stream.write_all(self.out.as_slice()).await?;
        self.stream.flush().await?;
        self.sent += self.out.len() as u64;
        self.out.clear();
        self.answered = true;
        Ok(())
    }

    /// Sends when there is much to send, so that an answer of any size needs little memory; then others have their turn, so
    /// that it keeps no short one from leaving.
    pub async fn relieve(&mut self) -> io::Result<()> {
        if self.out.len() >= HIGH_WATER_BYTES {
            self.flush().await?;
            if self.is_in_crowd() {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Waits for more bytes; `wanted` is how many are missing at least. Memory grows with what arrives, not with what
    /// is announced.
    pub async fn fill(
        &mut self,
        wanted: usize,
        patience: Option<Duration>,
        shutdown: Option<&mut watch::Receiver<bool>>,
    ) -> io::Result<Arrival> {
        if self.inbound.is_empty() {
            self.out.release();
            if self.inbound.capacity() > READ_AHEAD_BYTES {
                self.inbound = BytesMut::new();
            }
        }
        self.inbound.reserve(wanted.clamp(IDLE_READ_BYTES, READ_AHEAD_BYTES));
        let stops = || shutdown.as_ref().is_some_and(|receiver| *receiver.borrow());
        if std::mem::take(&mut self.answered) && self.inbound.is_empty() && self.listened(&stops) {
            return Ok(Arrival::Bytes);
        }
        let read = self.stream.read_buf(&mut self.inbound);
        let stopping = async {
            match shutdown {
                Some(receiver) => {
                    // An error means that the sender is gone, which is a shutdown as well.
                    let _ = receiver.wait_for(|stop| *stop).await;
                }
                None => std::future::pending().await,
            }
        };
        let silence = async {
            match patience {
                Some(patience) => tokio::time::sleep(patience).await,
                None => std::future::pending().await,
            }
        };
        let count = tokio::select! {
            biased;
            count = read => count?,
            () = stopping => return Ok(Arrival::Shutdown),
            () = silence => return Ok(Arrival::Silence),
        };
        self.took(count);
        Ok(if count == 0 { Arrival::End } else { Arrival::Bytes })
    }

    fn took(&mut self, count: usize) {
        self.received += count as u64;
        if let Some(crowd) = &self.crowd {
            self.presence.arrived(crowd);
        }
    }

    /// Awaits bytes for a moment without sleeping, if this is the only client and nothing `stops`. True if some came.
    fn listened(&mut self, stops: &dyn Fn() -> bool) -> bool {
        let Some(crowd) = self.crowd.as_ref().filter(|_| self.stream.can_listen()) else { return false };
        let Some(moment) = self.presence.moment(crowd).filter(|_| !stops()) else { return false };
        let mut bytes = [0; IDLE_READ_BYTES];
        let until = Instant::now() + moment;
        let mut count = 0;
        while count == 0 && Instant::now() < until {
            std::hint::spin_loop();
            count = self.stream.receive(&mut bytes);
        }
        self.presence.awaited(count > 0);
        if count > 0 {
            self.inbound.extend_from_slice(bytes.get(..count).unwrap_or_default());
            self.took(count);
        }
        count > 0
    }

    /// Sends a last error and closes in a way that lets the client read it although it may still be sending.
    pub async fn close_after_error(mut self) {
        let farewell = async {
            self.flush().await?;
            self.stream.shutdown().await?;
            let mut scrap = [0_u8; 8 << 10];
            let mut total = 0;
            while total < LINGER_BYTES {
                match self.stream.read(&mut scrap).await? {
                    0 => break,
                    count => total += count,
                }
            }
            io::Result::Ok(())
        };
        let _ = tokio::time::timeout(LINGER, farewell).await;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Context, Poll};

    use tokio::io::ReadBuf;

    use super::*;

    /// A client that has always sent a byte already, and counts how it was taken.
    #[derive(Default)]
    struct Quick {
        received: Arc<AtomicU32>,
        read: Arc<AtomicU32>,
    }

    impl AsyncRead for Quick {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            self.read.fetch_add(1, Ordering::Relaxed);
            into.put_slice(b"r");
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Quick {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Stream for Quick {
        fn can_listen(&self) -> bool {
            true
        }

        fn receive(&self, into: &mut [u8]) -> usize {
            self.received.fetch_add(1, Ordering::Relaxed);
            into[0] = b'l';
            1
        }
    }

    #[tokio::test]
    async fn a_lone_client_is_listened_to_and_each_of_two_is_awaited_asleep() {
        let crowd = Arc::new(Crowd::on_workers(2));
        let quick = Quick::default();
        let (received, read) = (Arc::clone(&quick.received), Arc::clone(&quick.read));
        let counts = || (received.load(Ordering::Relaxed), read.load(Ordering::Relaxed));
        let mut lone = Wire::new(Box::new(quick));
        lone.joins(Some(&crowd));
        for _ in 0..100 {
            answered(&mut lone).await;
        }
        let (listened, slept) = counts();
        assert_eq!((listened + slept, lone.received), (100, 100));
        assert!(listened > 20, "{listened}");
        // What comes unasked, as the rows of a COPY do, is read as much at a time as there is.
        for _ in 0..100 {
            lone.inbound.clear();
            lone.fill(1, None, None).await.unwrap();
        }
        assert_eq!(counts(), (listened, slept + 100));
        let mut other = Wire::new(Box::new(Quick::default()));
        other.joins(Some(&crowd));
        for _ in 0..100 {
            answered(&mut other).await;
            answered(&mut lone).await;
        }
        assert_eq!(counts(), (listened, slept + 200));
    }

    #[tokio::test]
    async fn who_cannot_be_listened_to_is_one_of_the_crowd_all_the_same() {
        let crowd = Arc::new(Crowd::on_workers(2));
        let mut lone = Wire::new(Box::new(Quick::default()));
        lone.joins(Some(&crowd));
        for _ in 0..100 {
            answered(&mut lone).await;
        }
        assert!(!lone.is_in_crowd());
        let (stream, mut client) = tokio::io::duplex(16);
        let mut other = Wire::new(Box::new(stream));
        other.joins(Some(&crowd));
        client.write_all(b"?").await.unwrap();
        assert_eq!(other.fill(1, None, None).await.unwrap(), Arrival::Bytes);
        answered(&mut lone).await;
        assert!(lone.is_in_crowd() && other.is_in_crowd());
        assert!(!other.listened(&|| false));
    }

    /// Sends an answer and takes what the client says to it.
    async fn answered(wire: &mut Wire) {
        wire.inbound.clear();
        wire.out.byte(b'!');
        wire.flush().await.unwrap();
        assert_eq!(wire.fill(1, None, None).await.unwrap(), Arrival::Bytes);
        assert_eq!(wire.inbound.len(), 1);
    }

    #[tokio::test]
    async fn a_socket_that_was_listened_to_wakes_who_sleeps_and_gives_everything_in_order() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut wire = Wire::new(Box::new(listener.accept().await.unwrap().0));
        wire.joins(Some(&Arc::new(Crowd::on_workers(2))));
        let (mut answers, mut questions) = client.into_split();
        let client = tokio::spawn(async move {
            let mut answer = [0];
            for n in 0..500_u32 {
                // Some come while it is listened, some when it sleeps already.
                if n % 5 == 4 {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                questions.write_all(&n.to_be_bytes()).await.unwrap();
                answers.read_exact(&mut answer).await.unwrap();
            }
        });
        let served = async {
            for n in 0..500_u32 {
                while wire.inbound.len() < 4 {
                    assert_eq!(wire.fill(4, None, None).await.unwrap(), Arrival::Bytes);
                }
                assert_eq!(wire.inbound, n.to_be_bytes().as_slice());
                wire.inbound.clear();
                wire.out.byte(b'!');
                wire.flush().await.unwrap();
            }
            while wire.fill(1, None, None).await.unwrap() != Arrival::End {}
        };
        tokio::time::timeout(Duration::from_secs(60), served).await.expect("a question was never heard");
        client.await.unwrap();
    }
}
