//! The first bytes and the messages of PostgreSQL clients.
//!
//! The server is a binary, which nobody can link: its parser is compiled here once more, from the same files.

use bytes::BytesMut;

use crate::config;

#[allow(dead_code, reason = "what the server does with messages is not here")]
#[path = "../../../server/src/pg/frame.rs"]
mod frame;

use frame::{Frontend, Next};

/// Messages behind each other: whatever comes, in whichever pieces, is read the same and ends.
pub fn postgres_messages(bytes: &[u8]) {
    let limits = config::Limits::default();
    let mut whole = BytesMut::from(bytes);
    let read = messages(&mut whole, &limits);
    let mut pieces = BytesMut::new();
    let mut in_pieces = Vec::new();
    for piece in bytes.chunks(3) {
        pieces.extend_from_slice(piece);
        let (more, broken) = messages(&mut pieces, &limits);
        in_pieces.extend(more);
        if broken {
            assert!(read.1, "refused in pieces only");
            break;
        }
    }
    assert_eq!(read.0, in_pieces, "the same messages in pieces");
}

fn messages(buffer: &mut BytesMut, limits: &config::Limits) -> (Vec<Frontend>, bool) {
    let mut read = Vec::new();
    loop {
        let before = buffer.len();
        match frame::next(buffer, limits) {
            Ok(Next::Frame(message)) => {
                assert!(buffer.len() < before, "a message takes bytes");
                read.push(message);
            }
            Ok(Next::More(wanted)) => {
                assert!(wanted > 0 && buffer.len() == before);
                return (read, false);
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                return (read, true);
            }
        }
    }
}

/// The first packet.
pub fn postgres_startup(bytes: &[u8]) {
    let mut buffer = BytesMut::from(bytes);
    match frame::next_startup(&mut buffer) {
        Ok(Next::Frame(_)) => assert!(buffer.len() < bytes.len()),
        Ok(Next::More(wanted)) => assert!(wanted > 0 && wanted <= frame::STARTUP_BYTES_MAX),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
