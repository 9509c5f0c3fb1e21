//! The file `backup`, Ion text for people to read: whose backup this is, of which size, how far each segment goes.

use std::io;
use std::path::Path;

use ledgerstone_digest::ion::{self, Int, Limits, Struct, Value};
use ledgerstone_digest::{Hash, Id};

use super::{BACKUP_FILE, BackupError, Head, Held};
use crate::env::{OpenMode, Storage, read_file, write_all_at};
use crate::error::FileError;

/// What is understood.
const FORMAT: u64 = 1;
/// About 70 bytes for each segment of 64 MiB.
const BYTES_MAX: u64 = 64 << 20;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub head: Head,
    pub held: Vec<Held>,
}

impl Record {
    /// The record in a directory; `None` where there is none.
    pub fn read(storage: &dyn Storage, dir: &Path) -> Result<Option<Record>, BackupError> {
        let path = dir.join(BACKUP_FILE);
        let bytes = match read_file(storage, &path, BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(FileError { path, action: "read it", source }.into()),
        };
        let text = std::str::from_utf8(&bytes).ok();
        let value = text.and_then(|text| ion::parse(text, &Limits::DOCUMENT).ok());
        match value.as_ref().and_then(Value::as_struct).and_then(Record::from_struct) {
            Some(record) => Ok(Some(record)),
            None => {
                let what = "this is not the record of a backup; remove it to have everything copied again".to_owned();
                Err(BackupError::Directory { path, what })
            }
        }
    }

    /// Writes the record under a name, synced; the caller renames it and syncs the directory.
    pub fn write(&self, storage: &dyn Storage, path: &Path) -> Result<(), BackupError> {
        let write = || {
            let file = storage.open(path, OpenMode::Create)?;
            file.set_len(0)?;
            write_all_at(&*file, self.text().as_bytes(), 0)?;
            file.sync_data()
        };
        write().map_err(|source| FileError { path: path.to_owned(), action: "write it", source }.into())
    }

    fn text(&self) -> String {
        let held = |held: &Held| {
            ion::to_text(&Value::Struct(Struct::from_fields(vec![
                ("number", Value::Int(Int::from(held.number))),
                ("usedBytes", Value::Int(Int::from(held.used_bytes))),
                ("headerHash", Value::blob(held.header_hash.0.to_vec())),
            ])))
        };
        let string = |text: &str| ion::to_text(&Value::string(text));
        let Head { ledger, origin, vkey, size, note, .. } = &self.head;
        let segments: Vec<String> = self.held.iter().map(held).collect();
        format!(
            "{{\n  format: {FORMAT},\n  ledger: {},\n  origin: {},\n  key: {},\n  size: {size},\n  checkpoint: {},\n  \
             segments: [\n    {}\n  ]\n}}\n",
            string(&ledger.to_string()),
            string(origin),
            string(vkey),
            string(note),
            segments.join(",\n    ")
        )
    }

    fn from_struct(fields: &Struct) -> Option<Record> {
        let number = |fields: &Struct, name: &str| fields.get(name)?.as_i64()?.try_into().ok();
        let text = |name: &str| fields.get(name).and_then(Value::as_text).map(str::to_owned);
        if number(fields, "format") != Some(FORMAT) {
            return None;
        }
        let Some(Value::List(segments)) = fields.get("segments") else { return None };
        let held: Option<Vec<Held>> = segments
            .iter()
            .map(|segment| {
                let segment = segment.as_struct()?;
                let Some(Value::Blob(header_hash)) = segment.get("headerHash") else { return None };
                Some(Held {
                    number: number(segment, "number")?,
                    used_bytes: number(segment, "usedBytes")?,
                    header_hash: Hash::from_slice(header_hash)?,
                })
            })
            .collect();
        let held = held?;
        let head = Head {
            ledger: text("ledger")?.parse::<Id>().ok()?,
            origin: text("origin")?,
            vkey: text("key")?,
            size: number(fields, "size")?,
            note: text("checkpoint")?,
            segments: held.len() as u64,
            // They stand beside the checkpoint, as files.
            rotations: Vec::new(),
        };
        Some(Record { head, held })
    }
}
