//! `columns/manifest`: which files there are, up to which position they know the journal, and which journal that is
//! (docs/format.md, "Column files"). Written under another name, synced and renamed, so there is always one whole.

use std::path::Path;

use ledgerstone_digest::hash::Hash;
use ledgerstone_digest::id::Id;
use ledgerstone_journal::env::{Storage, read_file, write_whole};

use super::ColumnError;
use super::field::Form;
use super::segment::{FieldNote, FileNote, SegmentNote};
use super::successors::SuccessorsNote;

/// The manifest's name in the directory of the columns.
pub const MANIFEST: &str = "manifest";
pub const TEMPORARY: &str = "manifest.tmp";

const MAGIC: [u8; 8] = *b"LSCOLS\0\x01";
const BYTES_MAX: u64 = 1 << 30;
const HASH_BYTES: usize = 32;

/// What a manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub ledger: Id,
    /// The files hold every revision before this position, and nothing else.
    pub position: u64,
    /// H of the leaf entry just before the position.
    pub leaf: Hash,
    /// Numbers from here on have not been used.
    pub next_number: u64,
    /// By table, then by position.
    pub segments: Vec<(SegmentNote, SuccessorsNote)>,
}

impl Manifest {
    /// Reads the manifest; `None` if there is none.
    pub fn read(storage: &dyn Storage, dir: &Path) -> Result<Option<Manifest>, ColumnError> {
        let path = dir.join(MANIFEST);
        let bytes = match read_file(storage, &path, BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ColumnError::file(&path, "read it", &error)),
        };
        let damage = |what| ColumnError::damaged(&path, 0, what);
        let (body, sum) = bytes.split_last_chunk::<HASH_BYTES>().ok_or_else(|| damage("the file is too short"))?;
        if Hash::sha256(&[body]).0 != *sum {
            return Err(damage("the file is not what was written"));
        }
        let body = body.strip_prefix(&MAGIC).ok_or_else(|| damage("it is of another format"))?;
        decode(body).map(Some).ok_or_else(|| damage("the file contradicts itself"))
    }

    /// Writes the manifest in the place of the one before. The names of its files must be durable.
    pub fn store(&self, storage: &dyn Storage, dir: &Path) -> Result<(), ColumnError> {
        let (path, temporary) = (dir.join(MANIFEST), dir.join(TEMPORARY));
        let mut bytes = MAGIC.to_vec();
        self.encode(&mut bytes);
        let sum = Hash::sha256(&[&bytes]);
        bytes.extend_from_slice(&sum.0);
        write_whole(storage, &temporary, &bytes).map_err(|error| ColumnError::file(&temporary, "write it", &error))?;
        storage.rename(&temporary, &path).map_err(|error| ColumnError::file(&path, "rename it", &error))?;
        storage.sync_dir(dir).map_err(|error| ColumnError::file(dir, "sync it", &error))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.ledger.0);
        put(self.position, out);
        out.extend_from_slice(&self.leaf.0);
        put(self.next_number, out);
        put(self.segments.len() as u64, out);
        for (segment, successors) in &self.segments {
            let SegmentNote { table, file, rows, positions, times_ms, left_out, fields } = segment;
            out.extend_from_slice(&table.0);
            put_file(file, out);
            for number in [*rows, positions.0, positions.1, times_ms.0 as u64, times_ms.1 as u64] {
                put(number, out);
            }
            out.push(u8::from(*left_out));
            put(fields.len() as u64, out);
            for FieldNote { name, form, present, nulls } in fields {
                put(name.len() as u64, out);
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(&form_code(*form));
                put(*present, out);
                out.push(u8::from(*nulls));
            }
            put_file(&successors.file, out);
            put(successors.complete_to, out);
        }
    }
}

fn put(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&number.to_be_bytes());
}

fn put_file(file: &FileNote, out: &mut Vec<u8>) {
    put(file.number, out);
    put(file.length, out);
    put(file.sums.len() as u64, out);
    file.sums.iter().for_each(|sum| put(*sum, out));
}

fn form_code(form: Form) -> [u8; 2] {
    match form {
        Form::Bool => [0, 0],
        Form::Int => [1, 0],
        Form::Decimal(scale) => [2, scale as u8],
        Form::Float { plain } => [3, u8::from(plain)],
        Form::Text => [4, 0],
        Form::Time(shapes) => [5, shapes],
        Form::Bytes => [6, 0],
        Form::Ion => [7, 0],
    }
}

fn form_of(code: [u8; 2]) -> Option<Form> {
    Some(match code {
        [0, 0] => Form::Bool,
        [1, 0] => Form::Int,
        [2, scale @ 0..=38] => Form::Decimal(scale as i8),
        [3, plain @ 0..=1] => Form::Float { plain: plain == 1 },
        [4, 0] => Form::Text,
        [5, shapes @ 1..=15] => Form::Time(shapes),
        [6, 0] => Form::Bytes,
        [7, 0] => Form::Ion,
        _ => return None,
    })
}

fn decode(bytes: &[u8]) -> Option<Manifest> {
    let mut reader = Reader(bytes);
    let ledger = Id(reader.array()?);
    let position = reader.number()?;
    let leaf = Hash(reader.array()?);
    let next_number = reader.number()?;
    let segments = reader.list(100, |r| {
        let table = Id(r.array()?);
        let file = r.file()?;
        let rows = r.number()?;
        let positions = (r.number()?, r.number()?);
        let times_ms = (r.number()? as i64, r.number()? as i64);
        let left_out = r.flag()?;
        let fields = r.list(19, |r| {
            let length = usize::try_from(r.number()?).ok()?;
            let name = std::str::from_utf8(r.bytes(length)?).ok()?.into();
            Some(FieldNote { name, form: form_of(r.array()?)?, present: r.number()?, nulls: r.flag()? })
        })?;
        let note = SegmentNote { table, file, rows, positions, times_ms, left_out, fields };
        Some((note, SuccessorsNote { file: r.file()?, complete_to: r.number()? }))
    })?;
    reader.0.is_empty().then_some(Manifest { ledger, position, leaf, next_number, segments })
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.array()? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    fn file(&mut self) -> Option<FileNote> {
        Some(FileNote { number: self.number()?, length: self.number()?, sums: self.list(8, Reader::number)? })
    }

    /// Items of at least `least` bytes each, so that no number makes us take more memory than the file is long.
    fn list<T>(&mut self, least: usize, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.number()?).ok()?;
        if count > self.0.len() / least {
            return None;
        }
        (0..count).map(|_| item(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else_is() {
        let file = |number| FileNote { number, length: 100, sums: vec![1, 2] };
        let forms = [
            Form::Bool,
            Form::Int,
            Form::Decimal(38),
            Form::Float { plain: true },
            Form::Text,
            Form::Time(9),
            Form::Bytes,
            Form::Ion,
        ];
        let fields = forms.iter().map(|form| FieldNote { name: "é".into(), form: *form, present: 7, nulls: true });
        let note = SegmentNote {
            table: Id([1; 16]),
            file: file(1),
            rows: 9,
            positions: (3, 20),
            times_ms: (-5, 5),
            left_out: true,
            fields: fields.collect(),
        };
        let successors = SuccessorsNote { file: file(2), complete_to: 21 };
        let manifest = Manifest {
            ledger: Id([2; 16]),
            position: 21,
            leaf: Hash([3; 32]),
            next_number: 3,
            segments: vec![(note, successors)],
        };
        let mut bytes = Vec::new();
        manifest.encode(&mut bytes);
        assert_eq!(decode(&bytes), Some(manifest));
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]), None, "{length}");
        }
        assert_eq!(decode(&[&bytes[..], &[0]].concat()), None);
    }
}
