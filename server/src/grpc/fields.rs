//! How many fields a message has, counted while it comes: one takes two bytes there, and tens of bytes once it is decoded,
//! so that a message within its size could take the memory of a server (protocol buffers, "Encoding").

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures::StreamExt as _;
use tonic::Status;

/// Refuses requests whose messages have more fields than so many, those inside of others not counted.
pub async fn limit(State(most): State<usize>, request: Request, next: Next) -> Response {
    next.run(request.map(|body| counted(body, most))).await
}

fn counted(body: Body, most: usize) -> Body {
    let mut counter = Counter { most, count: 0, left: 0, at: At::Prefix(0, 0) };
    Body::from_stream(body.into_data_stream().map(move |piece| {
        let piece = piece?;
        counter.take(&piece).map_err(axum::Error::new)?;
        Ok::<_, axum::Error>(piece)
    }))
}

/// Reads messages in the frames of gRPC, a piece at a time.
struct Counter {
    most: usize,
    count: usize,
    /// Bytes of the message that have not come.
    left: u64,
    at: At,
}

/// What comes next.
#[derive(Debug, Clone, Copy)]
enum At {
    /// The bytes before a message: so many have come, which mean this so far.
    Prefix(u8, u64),
    /// A field's number and type.
    Key(Varint),
    Value,
    Length(Varint),
    /// Bytes that mean nothing here.
    Skip(u64),
    /// This is no message, and whoever decodes it will say so.
    Lost,
}

#[derive(Debug, Clone, Copy, Default)]
struct Varint {
    value: u64,
    shift: u32,
}

impl Varint {
    /// The number, once it has ended.
    fn take(&mut self, byte: u8) -> Option<u64> {
        self.value |= u64::from(byte & 127).checked_shl(self.shift).unwrap_or(0);
        self.shift = self.shift.saturating_add(7);
        (byte < 128).then_some(self.value)
    }
}

impl Counter {
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), Status> {
        while let Some((first, rest)) = bytes.split_first() {
            if let At::Prefix(come, length) = self.at {
                bytes = rest;
                // A flag, and the length in four bytes.
                let length = if come == 0 { 0 } else { length << 8 | u64::from(*first) };
                (self.left, self.at) = match come {
                    4 if length > 0 => (length, At::Key(Varint::default())),
                    4 => (0, At::Prefix(0, 0)),
                    _ => (0, At::Prefix(come + 1, length)),
                };
                continue;
            }
            let used = match self.at {
                At::Skip(skipped) => {
                    let used = skipped.min(bytes.len() as u64);
                    self.at = if used < skipped { At::Skip(skipped - used) } else { At::Key(Varint::default()) };
                    used
                }
                At::Lost => return Ok(()),
                _ => {
                    self.byte(*first)?;
                    1
                }
            };
            bytes = bytes.get(usize::try_from(used).unwrap_or(usize::MAX)..).unwrap_or_default();
            self.left = self.left.saturating_sub(used);
            match self.at {
                At::Skip(more) if more > self.left => self.at = At::Lost,
                _ if self.left == 0 => self.at = At::Prefix(0, 0),
                _ => {}
            }
        }
        Ok(())
    }

    /// A byte of a number.
    fn byte(&mut self, byte: u8) -> Result<(), Status> {
        self.at = match self.at {
            At::Key(mut key) => match key.take(byte) {
                None => At::Key(key),
                Some(key) => {
                    self.count += 1;
                    if self.count > self.most {
                        return Err(Status::resource_exhausted(format!(
                            "a message of this call has at most {} fields",
                            self.most
                        )));
                    }
                    match key & 7 {
                        0 => At::Value,
                        1 => At::Skip(8),
                        2 => At::Length(Varint::default()),
                        5 => At::Skip(4),
                        // Groups: what is in them is counted as if it stood outside.
                        _ => At::Key(Varint::default()),
                    }
                }
            },
            At::Value if byte < 128 => At::Key(Varint::default()),
            At::Length(mut length) => match length.take(byte) {
                None => At::Length(length),
                Some(0) => At::Key(Varint::default()),
                Some(length) => At::Skip(length),
            },
            at => at,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ledgerstone_protocol::v1;
    use prost::Message as _;

    use super::*;

    /// How many fields are counted in messages that come in pieces of this size.
    fn count(messages: &[Vec<u8>], piece: usize, most: usize) -> Result<usize, Status> {
        let frame = |message: &Vec<u8>| [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat();
        let bytes: Vec<u8> = messages.iter().flat_map(frame).collect();
        let mut counter = Counter { most, count: 0, left: 0, at: At::Prefix(0, 0) };
        bytes.chunks(piece).try_for_each(|piece| counter.take(piece))?;
        assert!(matches!(counter.at, At::Prefix(0, 0)), "{:?}", counter.at);
        Ok(counter.count)
    }

    fn execute(parameters: usize) -> Vec<u8> {
        let parameters = (0..parameters).map(|n| vec![7; n % 300]).collect();
        let request = v1::ExecuteRequest {
            session: "s".into(),
            statement: "SELECT 1".repeat(50),
            parameters,
            rows_per_chunk_max: 1_000_000,
            ..Default::default()
        };
        request.encode_to_vec()
    }

    #[test]
    fn fields_are_counted_however_their_bytes_come() {
        for piece in [1, 2, 3, 7, 1_000, usize::MAX] {
            assert_eq!(count(&[execute(500)], piece, 503).unwrap(), 503, "{piece}");
            assert_eq!(count(&[execute(10), Vec::new(), execute(0)], piece, 99).unwrap(), 16, "{piece}");
            let refused = count(&[execute(500)], piece, 502).unwrap_err();
            assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        }
        // A varint, eight bytes, bytes, four bytes.
        let all = [&[0x08, 0xff, 0x01, 0x11][..], &[9; 8], &[0x1a, 2, 9, 9, 0x25], &[9; 4]].concat();
        for piece in 1..all.len() + 5 {
            assert_eq!(count(std::slice::from_ref(&all), piece, 9).unwrap(), 4);
        }
    }

    #[test]
    fn what_is_no_message_is_left_to_who_decodes_it() {
        let mut counter = Counter { most: 2, count: 0, left: 0, at: At::Prefix(0, 0) };
        // A length beyond the message.
        counter.take(&[0, 0, 0, 0, 3, 0x0a, 0xff, 0x7f, 0x0a, 0x0a, 0x0a, 0x0a]).unwrap();
        assert!(matches!(counter.at, At::Lost));
        let mut counter = Counter { most: 2, count: 0, left: 0, at: At::Prefix(0, 0) };
        counter.take(&[0, 0, 0, 0, 200]).unwrap();
        counter.take(&[0xff; 200]).unwrap();
    }
}
