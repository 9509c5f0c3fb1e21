//! Numbers and byte strings as the frames write them (docs/format.md, "Frames"): variable-length integers of seven
//! bits a byte, least significant first, in the fewest bytes; fixed integers big-endian; lengths before contents.

use ledgerstone_digest::{Hash, Id};

/// Why bytes are not what a frame must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WireError(pub String);

/// Reads a payload from front to back; everything is checked against what is left.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    pub fn bytes(&mut self, n: usize, what: &str) -> Result<&'a [u8], WireError> {
        if n > self.rest.len() {
            return Err(WireError(format!("{what} needs {n} bytes, {} are left", self.rest.len())));
        }
        let (taken, rest) = self.rest.split_at(n);
        self.rest = rest;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], WireError> {
        let bytes = self.bytes(N, what)?;
        <[u8; N]>::try_from(bytes).map_err(|_| WireError(format!("{what} has the wrong length")))
    }

    pub fn u8(&mut self, what: &str) -> Result<u8, WireError> {
        Ok(self.array::<1>(what)?[0])
    }

    pub fn u32(&mut self, what: &str) -> Result<u32, WireError> {
        Ok(u32::from_be_bytes(self.array(what)?))
    }

    pub fn u64(&mut self, what: &str) -> Result<u64, WireError> {
        Ok(u64::from_be_bytes(self.array(what)?))
    }

    pub fn i64(&mut self, what: &str) -> Result<i64, WireError> {
        Ok(i64::from_be_bytes(self.array(what)?))
    }

    pub fn id(&mut self, what: &str) -> Result<Id, WireError> {
        Ok(Id(self.array(what)?))
    }

    pub fn hash(&mut self, what: &str) -> Result<Hash, WireError> {
        Ok(Hash(self.array(what)?))
    }

    pub fn varint(&mut self, what: &str) -> Result<u64, WireError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(what)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(WireError(format!("{what} does not fit 64 bits")));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(WireError(format!("{what} is not written in the fewest bytes")));
                }
                return Ok(value);
            }
        }
        Err(WireError(format!("{what} does not fit 64 bits")))
    }

    pub fn varint32(&mut self, what: &str) -> Result<u32, WireError> {
        let value = self.varint(what)?;
        u32::try_from(value).map_err(|_| WireError(format!("{what} is {value}, more than 32 bits")))
    }

    /// A count of things that take at least `bytes_each` bytes each: never more than the rest can hold.
    pub fn count(&mut self, bytes_each: usize, what: &str) -> Result<usize, WireError> {
        let value = self.varint(what)?;
        let most = self.rest.len() / bytes_each.max(1);
        match usize::try_from(value) {
            Ok(n) if n <= most => Ok(n),
            _ => Err(WireError(format!("{what} is {value}, but only {} bytes are left", self.rest.len()))),
        }
    }

    /// Bytes after their length.
    pub fn counted(&mut self, what: &str) -> Result<&'a [u8], WireError> {
        let n = self.count(1, what)?;
        self.bytes(n, what)
    }

    pub fn text(&mut self, what: &str) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.counted(what)?).map_err(|_| WireError(format!("{what} is not UTF-8")))
    }

    pub fn end(&self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(WireError(format!("{} bytes too many", self.rest.len()))) }
    }
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_counted(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Signed numbers near zero as small unsigned ones.
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_go_both_ways_and_have_one_form() {
        for value in [0, 1, 127, 128, 300, 16_383, 16_384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.varint("n").unwrap(), value);
            reader.end().unwrap();
        }
        for wrong in
            [&[0x80, 0x00][..], &[0xff; 10], &[0x80], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]]
        {
            assert!(Reader::new(wrong).varint("n").is_err(), "{wrong:?}");
        }
        for value in [0, -1, 1, i64::MIN, i64::MAX, -500] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
    }

    #[test]
    fn counts_are_limited_by_what_is_left() {
        let mut out = Vec::new();
        put_varint(&mut out, u64::MAX);
        assert!(Reader::new(&out).count(1, "n").is_err());
        assert!(Reader::new(&[3, 1, 2]).counted("n").is_err());
        assert_eq!(Reader::new(&[2, 1, 2]).counted("n").unwrap(), [1, 2]);
    }
}
