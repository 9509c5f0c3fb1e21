//! Messages from a PostgreSQL client: frames out of a byte buffer, and their fields (PostgreSQL 15 documentation,
//! "Message Formats").
//!
//! Own code rather than pgwire's decoders, which panic on bodies that end early and replace invalid UTF-8: here every
//! length is compared with its limit before a byte is kept for it, and a field that is not there is an error. A text that
//! is not UTF-8 leaves the frames as they are, so it is one message's error and not the connection's end.

use std::ops::Range;

use bytes::{Buf, BytesMut};

use crate::config::Limits;

/// A startup packet is never longer (PostgreSQL's own limit).
pub const STARTUP_BYTES_MAX: usize = 10_000;
/// Messages that carry neither text nor data.
const SMALL_BYTES_MAX: usize = 64 << 10;
/// Bytes of one UTF-8 character.
const UTF8_BYTES_MAX: usize = 4;

/// What went wrong with the bytes themselves. The connection cannot go on after it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("message type {kind:?} announces {length} bytes, and at most {max} are accepted")]
    TooLong { kind: char, length: u64, max: usize },
    #[error("message type {kind:?} has the length {length}, less than its own length word")]
    TooShort { kind: char, length: i64 },
    #[error("unknown message type 0x{0:02x}")]
    UnknownType(u8),
    #[error("message type {kind:?}: {what}")]
    Body { kind: char, what: &'static str },
    #[error("message type {kind:?}: a text is not valid UTF-8")]
    Utf8 { kind: char, bytes: Vec<u8> },
    #[error("startup packet: {0}")]
    Startup(&'static str),
}

/// One message of a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Frontend {
    Query(String),
    Parse {
        name: String,
        text: String,
        types: Vec<u32>,
    },
    Bind(Bind),
    Describe {
        portal: bool,
        name: String,
    },
    Execute {
        portal: String,
        max_rows: u32,
    },
    Close {
        portal: bool,
        name: String,
    },
    Sync,
    Flush,
    Terminate,
    CopyData(BytesMut),
    CopyDone,
    CopyFail(String),
    /// Password, SASLInitialResponse and SASLResponse; which one depends on what was asked.
    Password(BytesMut),
    FunctionCall,
    /// A message of this type with a text that is not UTF-8; the bytes from the first wrong one, some of them.
    NotUtf8 {
        kind: u8,
        bytes: Vec<u8>,
    },
}

/// A Bind message; parameters are slices of its body.
#[derive(Debug, PartialEq, Eq, Default)]
pub struct Bind {
    pub portal: String,
    pub statement: String,
    pub parameter_formats: Vec<i16>,
    /// Where each parameter stands in the body; `None` is NULL.
    pub parameter_places: Vec<Option<Range<usize>>>,
    pub result_formats: Vec<i16>,
    body: BytesMut,
}

impl Bind {
    /// The parameters' bytes.
    pub fn parameters(&self) -> impl Iterator<Item = Option<&[u8]>> {
        let bytes = |place: &Range<usize>| self.body.get(place.clone()).unwrap_or_default();
        self.parameter_places.iter().map(move |place| place.as_ref().map(bytes))
    }
}

/// The first packet of a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Startup {
    Tls,
    Gss,
    Cancel { process_id: i32, secret: [u8; 4] },
    Start { minor: u16, parameters: Vec<(String, String)> },
}

/// Bytes that must have arrived before the next frame is whole, or the frame itself.
#[derive(Debug)]
pub enum Next<T> {
    Frame(T),
    /// At least this many more bytes are needed.
    More(usize),
}

/// Takes the next message off the buffer.
pub fn next(buffer: &mut BytesMut, limits: &Limits) -> Result<Next<Frontend>, FrameError> {
    let Some(length) = length_word(buffer, 1) else { return Ok(Next::More(5_usize.saturating_sub(buffer.len()))) };
    let kind = buffer[0];
    let max = length_max(kind, limits)?;
    let shown = char::from(kind);
    if length < 4 {
        return Err(FrameError::TooShort { kind: shown, length: i64::from(length) });
    }
    let body = length as usize - 4;
    if body > max {
        return Err(FrameError::TooLong { kind: shown, length: body as u64, max });
    }
    if buffer.len() < body + 5 {
        return Ok(Next::More(body + 5 - buffer.len()));
    }
    let decoded = match kind {
        b'B' | b'd' | b'p' => {
            buffer.advance(5);
            let body = buffer.split_to(body);
            match kind {
                b'B' => bind(body).map(Frontend::Bind),
                b'd' => Ok(Frontend::CopyData(body)),
                _ => Ok(Frontend::Password(body)),
            }
        }
        _ => {
            let decoded = decode(kind, buffer.get(5..body + 5).unwrap_or_default());
            buffer.advance(body + 5);
            decoded
        }
    };
    match decoded {
        Err(FrameError::Utf8 { bytes, .. }) => Ok(Next::Frame(Frontend::NotUtf8 { kind, bytes })),
        decoded => decoded.map(Next::Frame),
    }
}

/// Whether a whole Sync message stands at the front of the buffer.
pub fn sync_is_next(buffer: &BytesMut) -> bool {
    buffer.starts_with(&[b'S', 0, 0, 0, 4])
}

/// Takes the first packet off the buffer.
pub fn next_startup(buffer: &mut BytesMut) -> Result<Next<Startup>, FrameError> {
    let Some(length) = length_word(buffer, 0) else { return Ok(Next::More(4_usize.saturating_sub(buffer.len()))) };
    if !(8..=STARTUP_BYTES_MAX as i64).contains(&i64::from(length)) {
        return Err(FrameError::Startup("its length is not between 8 and 10,000 bytes"));
    }
    let length = length as usize;
    if buffer.len() < length {
        return Ok(Next::More(length - buffer.len()));
    }
    let packet = buffer.split_to(length);
    let mut fields = Fields { kind: '0', body: packet.get(4..).unwrap_or_default() };
    let code = fields.i32()?;
    match code {
        80_877_103 => Ok(Next::Frame(Startup::Tls)),
        80_877_104 => Ok(Next::Frame(Startup::Gss)),
        80_877_102 => {
            let process_id = fields.i32()?;
            let secret = fields.i32()?.to_be_bytes();
            fields.end()?;
            Ok(Next::Frame(Startup::Cancel { process_id, secret }))
        }
        version if version >> 16 == 3 => {
            let mut parameters = Vec::new();
            loop {
                let name = fields.text()?;
                if name.is_empty() {
                    break;
                }
                parameters.push((name, fields.text()?));
            }
            fields.end()?;
            Ok(Next::Frame(Startup::Start { minor: (version & 0xffff) as u16, parameters }))
        }
        _ => Err(FrameError::Startup("its protocol version is not 3")),
    }
}

fn length_word(buffer: &BytesMut, offset: usize) -> Option<i32> {
    let bytes: [u8; 4] = buffer.get(offset..offset + 4)?.try_into().ok()?;
    Some(i32::from_be_bytes(bytes))
}

fn length_max(kind: u8, limits: &Limits) -> Result<usize, FrameError> {
    let max = match kind {
        b'Q' => limits.statement_bytes + 1,
        // A name and parameter types beside the text.
        b'P' => limits.statement_bytes + SMALL_BYTES_MAX as u64,
        b'B' => limits.parameters_bytes,
        b'd' => limits.copy_message_bytes,
        b'D' | b'E' | b'C' | b'S' | b'H' | b'X' | b'c' | b'f' | b'p' | b'F' => SMALL_BYTES_MAX as u64,
        other => return Err(FrameError::UnknownType(other)),
    };
    Ok(usize::try_from(max).unwrap_or(usize::MAX))
}

fn decode(kind: u8, body: &[u8]) -> Result<Frontend, FrameError> {
    let mut fields = Fields { kind: char::from(kind), body };
    let message = match kind {
        b'Q' => Frontend::Query(fields.text()?),
        b'P' => {
            let name = fields.text()?;
            let text = fields.text()?;
            let count = fields.count(4)?;
            let types = (0..count).map(|_| fields.i32().map(|oid| oid as u32)).collect::<Result<_, _>>()?;
            Frontend::Parse { name, text, types }
        }
        b'D' => {
            let portal = fields.target()?;
            Frontend::Describe { portal, name: fields.text()? }
        }
        b'C' => {
            let portal = fields.target()?;
            Frontend::Close { portal, name: fields.text()? }
        }
        b'E' => {
            let portal = fields.text()?;
            // Negative counts mean "all", as zero does.
            let max_rows = u32::try_from(fields.i32()?).unwrap_or(0);
            Frontend::Execute { portal, max_rows }
        }
        b'S' => Frontend::Sync,
        b'H' => Frontend::Flush,
        b'X' => Frontend::Terminate,
        b'c' => Frontend::CopyDone,
        b'f' => Frontend::CopyFail(fields.text()?),
        b'F' => return Ok(Frontend::FunctionCall),
        other => return Err(FrameError::UnknownType(other)),
    };
    fields.end()?;
    Ok(message)
}

fn bind(body: BytesMut) -> Result<Bind, FrameError> {
    let mut fields = Fields { kind: 'B', body: &body };
    let portal = fields.text()?;
    let statement = fields.text()?;
    let count = fields.count(2)?;
    let parameter_formats = (0..count).map(|_| fields.i16()).collect::<Result<_, _>>()?;
    let count = fields.count(4)?;
    let mut parameter_places = Vec::with_capacity(count);
    for _ in 0..count {
        let length = fields.i32()?;
        parameter_places.push(match usize::try_from(length) {
            Ok(length) => {
                let start = body.len() - fields.body.len();
                Some(start..start + fields.take(length)?.len())
            }
            Err(_) if length == -1 => None,
            Err(_) => return Err(fields.broken("a parameter has a negative length")),
        });
    }
    let count = fields.count(2)?;
    let result_formats = (0..count).map(|_| fields.i16()).collect::<Result<_, _>>()?;
    fields.end()?;
    Ok(Bind { portal, statement, parameter_formats, parameter_places, result_formats, body })
}

/// The rest of a message body.
struct Fields<'b> {
    kind: char,
    body: &'b [u8],
}

impl<'b> Fields<'b> {
    fn broken(&self, what: &'static str) -> FrameError {
        FrameError::Body { kind: self.kind, what }
    }

    fn i16(&mut self) -> Result<i16, FrameError> {
        let Some((number, rest)) = self.body.split_first_chunk() else {
            return Err(self.broken("it ends inside a number"));
        };
        self.body = rest;
        Ok(i16::from_be_bytes(*number))
    }

    fn i32(&mut self) -> Result<i32, FrameError> {
        let Some((number, rest)) = self.body.split_first_chunk() else {
            return Err(self.broken("it ends inside a number"));
        };
        self.body = rest;
        Ok(i32::from_be_bytes(*number))
    }

    /// An element count, refused when the elements could not fit in what is left.
    fn count(&mut self, element_bytes: usize) -> Result<usize, FrameError> {
        let count = usize::from(self.i16()? as u16);
        if count * element_bytes > self.body.len() {
            return Err(self.broken("it announces more elements than it has bytes for"));
        }
        Ok(count)
    }

    fn take(&mut self, length: usize) -> Result<&'b [u8], FrameError> {
        let Some((taken, rest)) = self.body.split_at_checked(length) else {
            return Err(self.broken("a parameter is longer than the message"));
        };
        self.body = rest;
        Ok(taken)
    }

    /// A zero-terminated string.
    fn text(&mut self) -> Result<String, FrameError> {
        let Some(end) = self.body.iter().position(|byte| *byte == 0) else {
            return Err(self.broken("a string has no end"));
        };
        let bytes = self.take(end)?;
        self.take(1)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => {
                let from = bytes.get(error.valid_up_to()..).unwrap_or_default();
                Err(FrameError::Utf8 { kind: self.kind, bytes: from.iter().take(UTF8_BYTES_MAX).copied().collect() })
            }
        }
    }

    /// `S` for a statement, `P` for a portal.
    fn target(&mut self) -> Result<bool, FrameError> {
        let Some((target, rest)) = self.body.split_first() else { return Err(self.broken("it is empty")) };
        self.body = rest;
        match target {
            b'S' => Ok(false),
            b'P' => Ok(true),
            _ => Err(self.broken("it names neither a statement nor a portal")),
        }
    }

    fn end(&self) -> Result<(), FrameError> {
        if self.body.is_empty() { Ok(()) } else { Err(self.broken("bytes are left over")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, body: &[u8]) -> BytesMut {
        let mut bytes = BytesMut::from(&[kind][..]);
        bytes.extend_from_slice(&(body.len() as i32 + 4).to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    fn decoded(kind: u8, body: &[u8]) -> Result<Frontend, FrameError> {
        match next(&mut frame(kind, body), &Limits::default())? {
            Next::Frame(message) => Ok(message),
            Next::More(bytes) => panic!("{bytes} more bytes wanted of a whole frame"),
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_its_bytes_arrive() {
        let mut buffer = BytesMut::from(&b"Q\x7f\xff\xff\xff"[..]);
        assert!(matches!(next(&mut buffer, &Limits::default()), Err(FrameError::TooLong { kind: 'Q', .. })));
        let mut buffer = BytesMut::from(&b"Q\xff\xff\xff\xff"[..]);
        assert!(matches!(next(&mut buffer, &Limits::default()), Err(FrameError::TooShort { .. })));
        let mut buffer = BytesMut::from(&b"S\x00\x10\x00\x00"[..]);
        assert!(matches!(next(&mut buffer, &Limits::default()), Err(FrameError::TooLong { kind: 'S', .. })));
        let mut buffer = BytesMut::from(&b"\x7f\xff\xff\xff\x00\x03\x00\x00"[..]);
        assert!(matches!(next_startup(&mut buffer), Err(FrameError::Startup(_))));
    }

    #[test]
    fn every_prefix_and_every_flipped_byte_of_a_bind_is_an_error_or_a_message() {
        let mut body = b"portal\0statement\0".to_vec();
        body.extend_from_slice(&[0, 1, 0, 1, 0, 2, 0, 0, 0, 4, 1, 2, 3, 4, 255, 255, 255, 255, 0, 1, 0, 1]);
        let whole = decoded(b'B', &body).unwrap();
        let Frontend::Bind(bind) = whole else { panic!("{whole:?}") };
        assert_eq!(bind.parameters().collect::<Vec<_>>(), [Some(&[1, 2, 3, 4][..]), None]);
        for end in 0..body.len() {
            assert!(decoded(b'B', &body[..end]).is_err(), "cut at {end}");
        }
        for at in 0..body.len() {
            for bit in 0..8 {
                let mut damaged = body.clone();
                damaged[at] ^= 1 << bit;
                let _ = decoded(b'B', &damaged);
            }
        }
    }

    #[test]
    fn text_that_is_not_utf8_is_the_error_of_one_message() {
        let not_utf8 = |kind, bytes: &[u8]| Ok(Frontend::NotUtf8 { kind, bytes: bytes.to_vec() });
        assert_eq!(decoded(b'Q', b"SELECT '\xff'\0"), not_utf8(b'Q', b"\xff'"));
        assert_eq!(decoded(b'P', b"\0SELECT '\xe4bc'\0\0\0"), not_utf8(b'P', b"\xe4bc'"));
        assert_eq!(decoded(b'D', b"S\xff\0"), not_utf8(b'D', b"\xff"));
        assert!(next_startup(&mut BytesMut::from(&b"\0\0\0\x0f\0\x03\0\0us\xffr\0\0\0"[..])).is_err());
    }

    #[test]
    fn left_over_bytes_and_unknown_types_are_errors() {
        assert!(decoded(b'Q', b"SELECT 1\0x").is_err());
        assert!(decoded(b'S', b"x").is_err());
        assert_eq!(decoded(b'!', b""), Err(FrameError::UnknownType(b'!')));
    }

    #[test]
    fn half_a_frame_asks_for_the_rest() {
        let mut buffer = frame(b'Q', b"SELECT 1\0");
        let tail = buffer.split_off(7);
        assert!(matches!(next(&mut buffer, &Limits::default()), Ok(Next::More(7))));
        buffer.unsplit(tail);
        assert!(
            matches!(next(&mut buffer, &Limits::default()), Ok(Next::Frame(Frontend::Query(text))) if text == "SELECT 1")
        );
        assert!(buffer.is_empty());
    }
}
