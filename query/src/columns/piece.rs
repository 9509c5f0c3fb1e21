//! A run of revisions of one table in position order, as columns: what the tail is made of, and what a segment holds.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, FixedSizeBinaryBuilder, Int64Array, UInt8Array, UInt64Array, UInt64Builder};
use arrow::compute::concat;
use ledgerstone_digest::ion::{Text, Value};
use ledgerstone_journal::StoredRevision;

use super::field::{FieldBuilder, FieldColumn};
use super::{ColumnError, Meta, Presence};
use crate::catalogue::SALT_FIELD;

/// Fields of a piece that get a column; documents with more leave the rest to the journal.
pub const FIELDS_MAX: usize = 256;
/// Fields that get a column however rare they are.
const FIELDS_FREE: usize = 64;
/// Beyond those a field has to be in one of so many documents.
const RARE_ROWS: usize = 256;

/// The metadata of a row in memory.
const ROW_BYTES: usize = 96;
/// A field of a row, present or not, beside what a text or bytes take: as much as the widest type.
const CELL_BYTES: usize = 16;

/// Revisions of one table in position order.
#[derive(Debug, Clone)]
pub struct Piece {
    pub rows: usize,
    pub positions: UInt64Array,
    /// [`Presence`] as a number.
    pub presence: UInt8Array,
    /// By [`Meta`].
    meta: [ArrayRef; Meta::ALL.len()],
    fields: Vec<(Text, FieldColumn, usize)>,
    places: HashMap<Text, usize>,
    /// Documents have fields that are not in `fields`.
    pub left_out: bool,
    /// Smallest and greatest txTime, in milliseconds.
    pub times_ms: (i64, i64),
    /// What it takes in memory.
    pub bytes: usize,
}

impl Piece {
    pub fn field(&self, name: &str) -> Option<&FieldColumn> {
        Some(&self.fields.get(*self.places.get(name)?)?.1)
    }

    pub fn meta(&self, meta: Meta) -> &ArrayRef {
        &self.meta[meta as usize]
    }

    /// Name, column, and how many documents have the field.
    pub fn fields(&self) -> &[(Text, FieldColumn, usize)] {
        &self.fields
    }

    /// First and last position.
    pub fn range(&self) -> (u64, u64) {
        let positions = self.positions.values();
        (positions.first().copied().unwrap_or_default(), positions.last().copied().unwrap_or_default())
    }

    /// One behind the other.
    pub fn concat(parts: &[Arc<Piece>]) -> Result<Piece, ColumnError> {
        let rows = parts.iter().map(|part| part.rows).sum();
        let mut meta = Vec::with_capacity(Meta::ALL.len());
        for which in Meta::ALL {
            let arrays: Vec<&dyn Array> = parts.iter().map(|part| &**part.meta(which)).collect();
            meta.push(concat(&arrays)?);
        }
        let mut names: Vec<&Text> = Vec::new();
        let mut present: HashMap<&Text, usize> = HashMap::new();
        for (name, _, count) in parts.iter().flat_map(|part| &part.fields) {
            let all = present.entry(name).or_insert_with(|| {
                names.push(name);
                0
            });
            *all += count;
        }
        let mut left_out = parts.iter().any(|part| part.left_out);
        let mut kept: Vec<&Text> = names;
        let before = kept.len();
        // What a part has left out it cannot tell any more.
        kept.retain(|name| parts.iter().all(|part| part.places.contains_key(*name) || !part.left_out));
        drop_rare(&mut kept, |name| present.get(*name).copied().unwrap_or_default(), rows);
        left_out |= kept.len() < before;
        let mut fields = Vec::with_capacity(kept.len());
        for name in kept {
            let columns: Vec<FieldColumn> = parts
                .iter()
                .map(|part| part.field(name).cloned().unwrap_or_else(|| FieldColumn::missing(part.rows)))
                .collect();
            let count = present.get(name).copied().unwrap_or_default();
            fields.push((name.clone(), FieldColumn::concat(&columns)?, count));
        }
        let low = parts.iter().map(|part| part.times_ms.0).min().unwrap_or_default();
        let high = parts.iter().map(|part| part.times_ms.1).max().unwrap_or_default();
        Piece::of(rows, meta, fields, left_out, (low, high))
    }

    /// The same without the documents in some rows, which have been redacted.
    pub fn redacted(&self, rows: &[u32]) -> Result<Piece, ColumnError> {
        let presence = self
            .presence
            .values()
            .iter()
            .enumerate()
            .map(|(row, presence)| if rows.contains(&(row as u32)) { Presence::Redacted as u8 } else { *presence });
        let mut meta = self.meta.to_vec();
        meta[Meta::Presence as usize] = Arc::new(UInt8Array::from_iter_values(presence));
        let mut fields = Vec::with_capacity(self.fields.len());
        for (name, column, count) in &self.fields {
            fields.push((name.clone(), column.without(rows)?, *count));
        }
        Piece::of(self.rows, meta, fields, self.left_out, self.times_ms)
    }

    pub fn of(
        rows: usize,
        meta: Vec<ArrayRef>,
        fields: Vec<(Text, FieldColumn, usize)>,
        left_out: bool,
        times_ms: (i64, i64),
    ) -> Result<Piece, ColumnError> {
        let arrays = meta.iter().chain(fields.iter().map(|(_, column, _)| &column.array));
        let bytes = arrays.map(|array| array.get_array_memory_size()).sum::<usize>() + 256 * fields.len();
        let places = fields.iter().enumerate().map(|(at, (name, ..))| (name.clone(), at)).collect();
        let other = || ColumnError::Internal("the metadata of a piece is of another type".to_owned());
        let meta: [ArrayRef; Meta::ALL.len()] = meta.try_into().map_err(|_| other())?;
        let [positions, .., presence] = &meta;
        let positions = positions.as_any().downcast_ref::<UInt64Array>().ok_or_else(other)?.clone();
        let presence = presence.as_any().downcast_ref::<UInt8Array>().ok_or_else(other)?.clone();
        Ok(Piece { rows, positions, presence, meta, fields, places, left_out, times_ms, bytes })
    }
}

/// Takes revisions and makes a piece of them.
#[derive(Debug)]
pub struct PieceBuilder {
    positions: Vec<u64>,
    ids: FixedSizeBinaryBuilder,
    versions: Vec<u64>,
    tx_ids: FixedSizeBinaryBuilder,
    times_ms: Vec<i64>,
    blocks: Vec<u64>,
    supersedes: UInt64Builder,
    presence: Vec<u8>,
    names: Vec<Text>,
    fields: Vec<Option<FieldBuilder>>,
    places: HashMap<Text, usize>,
    /// What the fields take, about.
    field_bytes: usize,
    left_out: bool,
}

impl PieceBuilder {
    pub fn new() -> PieceBuilder {
        PieceBuilder {
            positions: Vec::new(),
            ids: FixedSizeBinaryBuilder::new(16),
            versions: Vec::new(),
            tx_ids: FixedSizeBinaryBuilder::new(16),
            times_ms: Vec::new(),
            blocks: Vec::new(),
            supersedes: UInt64Builder::new(),
            presence: Vec::new(),
            names: Vec::new(),
            fields: Vec::new(),
            places: HashMap::new(),
            field_bytes: 0,
            left_out: false,
        }
    }

    pub fn rows(&self) -> usize {
        self.positions.len()
    }

    pub fn positions(&self) -> &[u64] {
        &self.positions
    }

    /// About what it takes in memory.
    pub fn bytes(&self) -> usize {
        self.rows() * (ROW_BYTES + self.fields.len() * CELL_BYTES) + self.fields.len() * 256 + self.field_bytes
    }

    /// Whether it has so many rows or bytes.
    pub fn is_full(&self, rows_max: usize, bytes_max: usize) -> bool {
        self.rows() >= rows_max || self.bytes() >= bytes_max
    }

    /// `redacted`: its data is not to be kept, whether the journal still has it or not.
    pub fn push(&mut self, revision: &StoredRevision, redacted: bool) -> Result<(), ColumnError> {
        let row = self.positions.len();
        let data = revision.data.as_deref().filter(|_| !redacted);
        let presence = match (data, revision.deleted) {
            (Some(_), _) => Presence::Data,
            (None, true) => Presence::Deleted,
            (None, false) => Presence::Redacted,
        };
        self.positions.push(revision.position);
        self.ids.append_value(revision.document_id.0)?;
        self.versions.push(revision.version);
        self.tx_ids.append_value(revision.tx_id.0)?;
        self.times_ms.push(revision.tx_time_ms());
        self.blocks.push(revision.block);
        self.supersedes.append_option(revision.supersedes);
        self.presence.push(presence as u8);
        let fields = data.and_then(Value::as_struct).map(|s| &s.fields[..]).unwrap_or_default();
        for (n, (name, value)) in fields.iter().enumerate() {
            let Some(name) = name.kept() else { continue };
            // Documents of one kind have their fields in one order.
            let place = match self.names.get(n) {
                Some(here) if here == name => Some(n),
                _ => self.places.get(name).copied(),
            };
            let place = match place {
                Some(place) => place,
                None if &**name == SALT_FIELD => continue,
                None if self.names.len() == FIELDS_MAX => {
                    self.left_out = true;
                    continue;
                }
                None => {
                    self.places.insert(name.clone(), self.names.len());
                    self.names.push(name.clone());
                    self.fields.push(Some(FieldBuilder::new()));
                    self.names.len() - 1
                }
            };
            if let Some(slot) = self.fields.get_mut(place)
                && let Some(field) = slot
            {
                let before = field.bytes;
                if field.push(row, value) {
                    self.field_bytes += field.bytes - before;
                } else {
                    self.field_bytes -= before;
                    (*slot, self.left_out) = (None, true);
                }
            }
        }
        Ok(())
    }

    pub fn finish(mut self) -> Result<Piece, ColumnError> {
        let rows = self.positions.len();
        let mut fields: Vec<(Text, FieldBuilder)> =
            self.names.into_iter().zip(self.fields).filter_map(|(name, field)| Some((name, field?))).collect();
        let before = fields.len();
        drop_rare(&mut fields, |(_, field)| field.present, rows);
        let left_out = self.left_out || fields.len() < before;
        let times_ms = (
            self.times_ms.iter().copied().min().unwrap_or_default(),
            self.times_ms.iter().copied().max().unwrap_or_default(),
        );
        let meta: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from(self.positions)),
            Arc::new(self.ids.finish()),
            Arc::new(UInt64Array::from(self.versions)),
            Arc::new(self.tx_ids.finish()),
            Arc::new(Int64Array::from(self.times_ms)),
            Arc::new(UInt64Array::from(self.blocks)),
            Arc::new(self.supersedes.finish()),
            Arc::new(UInt8Array::from(self.presence)),
        ];
        let fields = fields.into_iter().map(|(name, field)| {
            let present = field.present;
            (name, field.finish(rows), present)
        });
        Piece::of(rows, meta, fields.collect(), left_out, times_ms)
    }
}

/// The rule that keeps thousands of distinct keys out of columns: the first [`FIELDS_FREE`] fields that were seen stay, and
/// of the others those that are in at least one of [`RARE_ROWS`] documents, up to [`FIELDS_MAX`] in all.
fn drop_rare<T>(fields: &mut Vec<T>, present: impl Fn(&T) -> usize, rows: usize) {
    let mut free = FIELDS_FREE;
    fields.retain(|field| {
        let keeps = free > 0 || present(field) >= rows.div_ceil(RARE_ROWS);
        free = free.saturating_sub(1);
        keeps
    });
    fields.truncate(FIELDS_MAX);
}
