//! What is set on every connection that is accepted, at either port.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Result;
use rustix::net::sockopt::{
    set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl, set_tcp_nodelay,
};
use tokio::net::TcpStream;

/// A client that says nothing for this long is asked whether it is still there: one that has lost its power, or its entry in
/// a router's table, would otherwise keep its session, its locks and its place for ever.
const SILENCE: Duration = Duration::from_secs(300);
/// It is asked so often, so far apart.
const QUESTIONS: u32 = 5;
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(15);

/// Sends small answers at once, and notices peers that are gone.
pub fn prepare(stream: &TcpStream, peer: Option<SocketAddr>) {
    if let Err(error) = set(stream) {
        tracing::debug!(?peer, %error, "cannot set the options of a connection");
    }
}

fn set(stream: &TcpStream) -> Result<()> {
    set_tcp_nodelay(stream, true)?;
    set_tcp_keepidle(stream, SILENCE)?;
    set_tcp_keepintvl(stream, BETWEEN_QUESTIONS)?;
    set_tcp_keepcnt(stream, QUESTIONS)?;
    set_socket_keepalive(stream, true)
}

#[cfg(test)]
mod tests {
    use rustix::net::sockopt::{socket_keepalive, tcp_nodelay};

    use super::*;

    #[tokio::test]
    async fn a_connection_is_asked_whether_it_is_still_there() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        prepare(&client, None);
        assert!(socket_keepalive(&client).unwrap() && tcp_nodelay(&client).unwrap());
    }
}
