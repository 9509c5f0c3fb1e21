//! The files of columns of a ledger that nobody has open: made again, and held against the journal, row by row: whether they are what was written says their checksums, and
//! whether what was written is what the journal says only the journal does.
//!
//! Both sides of a segment become a hash over its rows, of which the journal's grows while the journal is read once from
//! its beginning to its end, whichever tables its revisions are of. So one segment is in memory at a time, and some bytes
//! for each of the others. Where the hashes differ the segment's rows are looked at one by one: the first one that is
//! wrong is named, or all that differs has been redacted since the files were written.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, FixedSizeBinaryArray, Float64Array, Int64Array, UInt64Array};
use arrow::datatypes::{Int64Type, UInt64Type};
use ledgerstone_digest::hash::Hash;
use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::{self, Text, Value};
use ledgerstone_journal::{ClosedJournal, Env, ReadError, StoredRevision};

use super::cache::ColumnCache;
use super::field::{FieldColumn, Form, time_shape};
use super::files::open_chunk;
use super::manifest::{MANIFEST, Manifest};
use super::origin::{has_columns, record_of};
use super::piece::Piece;
use super::segment::{SegmentNote, file_path};
use super::store::ColumnStore;
use super::successors::SuccessorsNote;
use super::tail::{Chunk, NONE};
use super::{COLUMNS_DIR, ColumnError, ColumnOptions, Meta, Presence};
use crate::catalogue::SALT_FIELD;

/// Revisions between two reports of progress.
const TELL_EVERY: u64 = 4096;
/// Positions between two when columns are made again.
const REBUILD_STEP: u64 = 1 << 20;

/// What the files of columns come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnReport {
    /// They hold everything before this position.
    pub position: u64,
    pub segments: u64,
    pub rows: u64,
}

/// Reads every file of the columns in the directory of a ledger that nobody has open, and compares all of their rows with
/// the journal. `None`: there are none. `progress` is told how much is done, and how much there is to do.
pub fn check_columns(
    env: &Env,
    ledger_dir: &Path,
    ledger: Id,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Option<ColumnReport>, ColumnError> {
    let dir = ledger_dir.join(COLUMNS_DIR);
    let Some(manifest) = Manifest::read(&*env.storage, &dir)? else { return Ok(None) };
    let wrong = |what: &str| ColumnError::damaged(&dir.join(MANIFEST), 0, what);
    if manifest.ledger != ledger {
        return Err(wrong("it is of another ledger"));
    }
    let journal = ClosedJournal::open(env, ledger_dir)?;
    if manifest.position > journal.end() || manifest.position == 0 {
        return Err(wrong("it knows more of the journal than there is"));
    }
    if journal.leaf_hash(manifest.position - 1)? != manifest.leaf {
        return Err(wrong("the leaf before its position is another one: the journal has another history"));
    }
    let mut comparison = Comparison::new(env, dir, journal, manifest)?;
    comparison.read_columns(progress)?;
    comparison.read_journal(progress)?;
    comparison.judge()?;
    Ok(Some(comparison.report()))
}

/// Makes the columns of a ledger that nobody has open again from its journal, unless it is so small that it has none in
/// files. `progress` is told the positions that are done, and how many there are.
pub fn rebuild_columns(
    env: &Env,
    ledger_dir: &Path,
    options: ColumnOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Option<ColumnReport>, ColumnError> {
    let journal = ClosedJournal::open(env, ledger_dir)?;
    journal.must_be_settled().map_err(ReadError::from)?;
    let end = journal.end();
    let store = ColumnStore::of(env, ledger_dir, Arc::new(journal), options);
    store.remove_files();
    if end < options.project_above_positions {
        return Ok(None);
    }
    loop {
        let more = store.with_room(|| store.step(REBUILD_STEP))?;
        progress(store.position(), end);
        if !more {
            break;
        }
    }
    store.flush()?;
    let Some(manifest) = Manifest::read(&*env.storage, &ledger_dir.join(COLUMNS_DIR))? else { return Ok(None) };
    let rows = manifest.segments.iter().map(|(note, _)| note.rows).sum();
    Ok(Some(ColumnReport { position: manifest.position, segments: manifest.segments.len() as u64, rows }))
}

/// One segment with its successors, and what both sides say of it.
struct Book {
    note: SegmentNote,
    successors: SuccessorsNote,
    /// By name, where a field stands among the fields.
    places: HashMap<Text, usize>,
    columns: Print,
    journal: Print,
}

/// What the rows of a segment and their successors come to, on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Print {
    rows: u64,
    /// Over all rows in order.
    hash: Hash,
    /// The sum of the hashes of each row that has a successor with that: the journal tells them in another order.
    successors: [u64; 4],
}

impl Print {
    const NOTHING: Print = Print { rows: 0, hash: Hash([0; 32]), successors: [0; 4] };

    fn row(&mut self, bytes: &[u8]) {
        self.rows += 1;
        self.hash = Hash::sha256(&[&self.hash.0, bytes]);
    }

    /// `key` is not known to who wrote the files, so that no other pairs have the same sum.
    fn successor(&mut self, key: &[u8; 16], position: u64, successor: u64) {
        let hash = Hash::sha256(&[key, &position.to_be_bytes(), &successor.to_be_bytes()]);
        for (sum, word) in self.successors.iter_mut().zip(hash.0.as_chunks::<8>().0) {
            *sum = sum.wrapping_add(u64::from_be_bytes(*word));
        }
    }
}

struct Comparison<'e> {
    env: &'e Env,
    dir: PathBuf,
    journal: ClosedJournal,
    position: u64,
    key: [u8; 16],
    books: Vec<Book>,
    /// By table, its books in the order of positions.
    tables: BTreeMap<Id, Vec<usize>>,
    /// The newest record of each redaction: where it stands.
    redactions: HashMap<(Id, Id, u64), u64>,
    cache: Arc<ColumnCache>,
}

impl<'e> Comparison<'e> {
    fn new(env: &'e Env, dir: PathBuf, journal: ClosedJournal, manifest: Manifest) -> Result<Self, ColumnError> {
        let mut key = [0; 16];
        env.rng.fill(&mut key);
        let mut comparison = Comparison {
            env,
            dir,
            journal,
            position: manifest.position,
            key,
            books: Vec::with_capacity(manifest.segments.len()),
            tables: BTreeMap::new(),
            redactions: HashMap::new(),
            cache: Arc::new(ColumnCache::new(0)),
        };
        for (note, successors) in manifest.segments {
            let places = note.fields.iter().enumerate().map(|(n, field)| (field.name.clone(), n)).collect();
            let (columns, journal) = (Print::NOTHING, Print::NOTHING);
            let own = comparison.tables.entry(note.table).or_default();
            let (first, last) = note.positions;
            let behind = own.last().and_then(|at| comparison.books.get(*at)).is_none_or(|b| b.note.positions.1 < first);
            if first > last || last >= comparison.position || successors.complete_to > comparison.position || !behind {
                return Err(comparison.of_manifest("its segments contradict each other"));
            }
            own.push(comparison.books.len());
            comparison.books.push(Book { note, successors, places, columns, journal });
        }
        Ok(comparison)
    }

    fn report(&self) -> ColumnReport {
        let rows = self.books.iter().map(|book| book.note.rows).sum();
        ColumnReport { position: self.position, segments: self.books.len() as u64, rows }
    }

    fn total(&self) -> u64 {
        self.report().rows + self.journal.end()
    }

    fn of_manifest(&self, what: &str) -> ColumnError {
        ColumnError::damaged(&self.dir.join(MANIFEST), 0, what)
    }

    fn load(&self, book: &Book) -> Result<(Arc<Piece>, Arc<Vec<u64>>), ColumnError> {
        let chunk = open_chunk(self.env, &self.dir, book.note.clone(), book.successors.clone(), &self.cache)?;
        if let Chunk::File { segment, .. } = &chunk {
            // What no column needs is to be what was written as well.
            segment.check()?;
        }
        chunk.load()
    }

    /// What the files say.
    fn read_columns(&mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<(), ColumnError> {
        let (mut done, total) = (0, self.total());
        for at in 0..self.books.len() {
            let Some(book) = self.books.get(at) else { continue };
            let (piece, successors) = self.load(book)?;
            let path = file_path(&self.dir, book.note.file.number);
            check_note(&book.note, &piece).map_err(|what| ColumnError::damaged(&path, 0, &what))?;
            let rows = Rows::of(&piece)?;
            let mut print = Print::NOTHING;
            for (row, successor) in successors.iter().enumerate() {
                print.row(&rows.bytes(row)?);
                if *successor != NONE {
                    print.successor(&self.key, rows.position(row), *successor);
                }
            }
            done += book.note.rows;
            progress(done, total);
            if let Some(book) = self.books.get_mut(at) {
                book.columns = print;
            }
        }
        Ok(())
    }

    /// What the journal says.
    fn read_journal(&mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<(), ColumnError> {
        let (before, total) = (self.report().rows, self.total());
        let Comparison { journal, books, tables, redactions, key, position, dir, .. } = self;
        let of_manifest = |what: &str| ColumnError::damaged(&dir.join(MANIFEST), 0, what);
        journal.revisions_between(1, journal.end(), &mut |revision| {
            if revision.position.is_multiple_of(TELL_EVERY) {
                progress(before + revision.position, total);
            }
            if let Some(record) = record_of(&revision) {
                redactions.insert((record.table_id, record.document_id, record.version), revision.position);
            }
            if !has_columns(&revision) || revision.position >= *position {
                return Ok(());
            }
            let own = tables.get(&revision.table_id).map(Vec::as_slice).unwrap_or_default();
            let at = find(books, own, revision.position);
            let Some(book) = at.and_then(|at| books.get_mut(at)) else {
                let (table, position) = (revision.table_id, revision.position);
                return Err(of_manifest(&format!(
                    "the revision of table {table} at position {position} is in no segment"
                )));
            };
            let (bytes, rest) = expected(book, &revision);
            if rest && !book.note.left_out {
                let what = format!("the revision at position {} has a field that no column is of", revision.position);
                return Err(of_manifest(&what));
            }
            book.journal.row(&bytes);
            if let Some(before) = revision.supersedes
                && let Some(book) = find(books, own, before).and_then(|at| books.get_mut(at))
                && revision.position < book.successors.complete_to
            {
                book.journal.successor(key, before, revision.position);
            }
            Ok(())
        })
    }

    fn judge(&self) -> Result<(), ColumnError> {
        self.books.iter().filter(|book| book.columns != book.journal).try_for_each(|book| self.look_at(book))
    }

    /// The first row that is not what the journal says, if one is.
    fn look_at(&self, book: &Book) -> Result<(), ColumnError> {
        let (piece, successors) = self.load(book)?;
        let rows = Rows::of(&piece)?;
        let path = file_path(&self.dir, book.note.file.number);
        let wrong = |at: u64, what: &str| ColumnError::damaged(&path, 0, &format!("position {at}: {what}"));
        let (first, last) = book.note.positions;
        let mut row = 0;
        self.journal.revisions_between(first, last + 1, &mut |revision| {
            if revision.table_id != book.note.table || revision.is_opaque() {
                return Ok(());
            }
            let at = revision.position;
            if row >= piece.rows || rows.position(row) != at {
                return Err(wrong(at, "the journal has a revision there, the file has none"));
            }
            let found = rows.bytes(row)?;
            row += 1;
            match found == expected(book, &revision).0 || self.redacted_since(&rows, row - 1, &revision) {
                true => Ok(()),
                false => Err(wrong(at, &difference(book, &piece, row - 1, &revision)?)),
            }
        })?;
        if row < piece.rows {
            return Err(wrong(rows.position(row), "the journal has no such revision of its table"));
        }
        let path = file_path(&self.dir, book.successors.file.number);
        let mut said = vec![NONE; piece.rows];
        self.journal.revisions_between(first, book.successors.complete_to.max(first), &mut |revision| {
            let before = revision.supersedes.filter(|_| revision.table_id == book.note.table);
            let row = before.and_then(|before| piece.positions.values().binary_search(&before).ok());
            if let Some(slot) = row.and_then(|row| said.get_mut(row)) {
                *slot = revision.position;
            }
            Ok::<(), ColumnError>(())
        })?;
        match said.iter().zip(&*successors).position(|(said, found)| said != found) {
            Some(row) => {
                let what = format!("position {}: its successor is another one in the journal", rows.position(row));
                Err(ColumnError::damaged(&path, 0, &what))
            }
            None => Ok(()),
        }
    }

    /// A row differs only in that its data is redacted on one side: the next start takes it out of the other.
    fn redacted_since(&self, rows: &Rows<'_>, row: usize, revision: &StoredRevision) -> bool {
        let key = (revision.table_id, revision.document_id, revision.version);
        let Some(record) = self.redactions.get(&key) else { return false };
        let presence = rows.presence(row);
        let late = revision.redacted && presence == Presence::Data as u8 && *record >= self.position;
        let early = revision.data.is_some() && presence == Presence::Redacted as u8;
        (late || early) && rows.metadata(row, Presence::Data as u8) == metadata(revision, Presence::Data as u8)
    }
}

/// The book in which a position of its table belongs.
fn find(books: &[Book], own: &[usize], position: u64) -> Option<usize> {
    let first = |at: &usize| books.get(*at).is_some_and(|book| book.note.positions.0 <= position);
    let at = *own.get(own.partition_point(first).checked_sub(1)?)?;
    books.get(at).filter(|book| position <= book.note.positions.1).map(|_| at)
}

/// What a row must be for the journal, and whether its document has fields that no column here is of.
fn expected(book: &Book, revision: &StoredRevision) -> (Vec<u8>, bool) {
    let presence = match (&revision.data, revision.deleted) {
        (Some(_), _) => Presence::Data,
        (None, true) => Presence::Deleted,
        (None, false) => Presence::Redacted,
    };
    let mut bytes = metadata(revision, presence as u8);
    let mut values: Vec<Option<&Value>> = vec![None; book.note.fields.len()];
    let data = revision.data.as_deref().and_then(Value::as_struct);
    let mut rest = false;
    for (name, value) in data.map(|data| &data.fields[..]).unwrap_or_default() {
        let Some(name) = name.text() else { continue };
        match book.places.get(name).and_then(|place| values.get_mut(*place)) {
            // The first one of a name counts.
            Some(slot) => *slot = slot.or(Some(value)),
            None => rest |= name != SALT_FIELD,
        }
    }
    values.into_iter().for_each(|value| put_value(value, &mut bytes));
    (bytes, rest)
}

fn metadata(revision: &StoredRevision, presence: u8) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    put_number(Some(revision.position), &mut bytes);
    bytes.extend_from_slice(&revision.document_id.0);
    put_number(Some(revision.version), &mut bytes);
    bytes.extend_from_slice(&revision.tx_id.0);
    put_number(Some(revision.tx_time_ms() as u64), &mut bytes);
    put_number(Some(revision.block), &mut bytes);
    put_number(revision.supersedes, &mut bytes);
    bytes.push(presence);
    bytes
}

fn put_number(number: Option<u64>, out: &mut Vec<u8>) {
    out.push(u8::from(number.is_some()));
    out.extend_from_slice(&number.unwrap_or_default().to_be_bytes());
}

fn put_value(value: Option<&Value>, out: &mut Vec<u8>) {
    let bytes = value.map(ion::encode);
    put_number(bytes.as_ref().map(|bytes| bytes.len() as u64), out);
    out.extend_from_slice(&bytes.unwrap_or_default());
}

/// What of a row is not what the journal says.
fn difference(book: &Book, piece: &Piece, row: usize, revision: &StoredRevision) -> Result<String, ColumnError> {
    let rows = Rows::of(piece)?;
    if !expected(book, revision).0.starts_with(&rows.metadata(row, rows.presence(row))) {
        return Ok("its metadata is not what the journal says".to_owned());
    }
    let data = revision.data.as_deref().and_then(Value::as_struct);
    for (name, column, _) in piece.fields() {
        let journal = data.and_then(|data| data.get(name)).map(ion::encode);
        if column.value(row)?.map(|value| ion::encode(&value)) != journal {
            return Ok(format!("its field {name:?} is not what the journal says"));
        }
    }
    Ok("it is not what the journal says".to_owned())
}

/// Whether a file is what its note says, as far as readers go by the note.
fn check_note(note: &SegmentNote, piece: &Piece) -> Result<(), String> {
    let positions = piece.positions.values();
    if !positions.windows(2).all(|pair| pair[0] < pair[1]) || piece.range() != note.positions {
        return Err("its positions are not those that the manifest says".to_owned());
    }
    let times = piece.meta(Meta::TxTime).as_primitive_opt::<Int64Type>().map(Int64Array::values);
    let between = times.and_then(|times| Some((*times.iter().min()?, *times.iter().max()?)));
    if between != Some(note.times_ms) {
        return Err("its times are not those that the manifest says".to_owned());
    }
    match piece.fields().iter().find(|(_, column, _)| !is_of_form(column)) {
        Some((name, ..)) => Err(format!("its field {name:?} has values of another form than the manifest says")),
        None => Ok(()),
    }
}

/// Whether everything that a form promises of its values is so.
fn is_of_form(column: &FieldColumn) -> bool {
    match column.form {
        Form::Float { plain: true } => {
            let plain = |value: f64| value.is_finite() && (value != 0.0 || value.is_sign_positive());
            let array = column.array.as_any().downcast_ref::<Float64Array>();
            array.is_some_and(|array| array.iter().flatten().all(plain))
        }
        Form::Time(shapes) => {
            let array = &*column.array;
            let told = |shape: u8, row: usize| Form::Time(shape).value(array, row).ok().flatten();
            time_shape::ALL.into_iter().filter(|shape| shapes & shape != 0).all(|shape| {
                (0..array.len()).filter(|row| array.is_valid(*row)).all(|row| {
                    let value = told(shape, row).map(|value| ion::encode(&value));
                    value.is_some() && value == told(shapes, row).map(|value| ion::encode(&value))
                })
            })
        }
        _ => true,
    }
}

/// The rows of a piece.
struct Rows<'p> {
    piece: &'p Piece,
    ids: [&'p FixedSizeBinaryArray; 2],
    numbers: [&'p UInt64Array; 3],
    times: &'p Int64Array,
}

impl<'p> Rows<'p> {
    fn of(piece: &'p Piece) -> Result<Rows<'p>, ColumnError> {
        let other = || ColumnError::Internal("metadata of another type".to_owned());
        let ids = |meta| piece.meta(meta).as_fixed_size_binary_opt().ok_or_else(other);
        let numbers = |meta| piece.meta(meta).as_primitive_opt::<UInt64Type>().ok_or_else(other);
        Ok(Rows {
            piece,
            ids: [ids(Meta::DocumentId)?, ids(Meta::TxId)?],
            numbers: [numbers(Meta::Version)?, numbers(Meta::Block)?, numbers(Meta::Supersedes)?],
            times: piece.meta(Meta::TxTime).as_primitive_opt::<Int64Type>().ok_or_else(other)?,
        })
    }

    fn position(&self, row: usize) -> u64 {
        self.piece.positions.value(row)
    }

    fn presence(&self, row: usize) -> u8 {
        self.piece.presence.value(row)
    }

    fn metadata(&self, row: usize, presence: u8) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256);
        let [document, transaction] = self.ids.map(|ids| ids.value(row));
        let [version, block, supersedes] =
            self.numbers.map(|numbers| numbers.is_valid(row).then(|| numbers.value(row)));
        put_number(Some(self.position(row)), &mut bytes);
        bytes.extend_from_slice(document);
        put_number(version, &mut bytes);
        bytes.extend_from_slice(transaction);
        put_number(Some(self.times.value(row) as u64), &mut bytes);
        put_number(block, &mut bytes);
        put_number(supersedes, &mut bytes);
        bytes.push(presence);
        bytes
    }

    fn bytes(&self, row: usize) -> Result<Vec<u8>, ColumnError> {
        let mut bytes = self.metadata(row, self.presence(row));
        for (_, column, _) in self.piece.fields() {
            put_value(column.value(row)?.as_ref(), &mut bytes);
        }
        Ok(bytes)
    }
}
