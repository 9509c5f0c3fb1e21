//! Bytes between a socket and a connection: one read buffer, one write buffer, one write per batch of answers.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;

use super::message::Outbound;

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
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Both directions of a connection.
pub struct Wire {
    stream: Box<dyn Stream>,
    pub inbound: BytesMut,
    pub out: Outbound,
    pub received: u64,
    pub sent: u64,
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
        Wire { stream, inbound: BytesMut::new(), out: Outbound::default(), received: 0, sent: 0 }
    }

    /// Takes the stream back, for TLS to be put between; whatever was read ahead must be empty.
    pub fn into_stream(self) -> Box<dyn Stream> {
        self.stream
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
        Ok(())
    }

    /// Sends when there is much to send, so that an answer of any size needs little memory.
    pub async fn relieve(&mut self) -> io::Result<()> {
        if self.out.len() >= HIGH_WATER_BYTES { self.flush().await } else { Ok(()) }
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
        self.received += count as u64;
        Ok(if count == 0 { Arrival::End } else { Arrival::Bytes })
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
