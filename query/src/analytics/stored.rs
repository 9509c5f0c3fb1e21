//! The column store's partitions as pieces of a scan: its arrays as vectors, the rows that the view sees, and the whole
//! documents of rows that need them. What the store does not keep is the document executor's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{
    Array, AsArray, Decimal128Array, FixedSizeBinaryArray, Int64Array, PrimitiveArray, StringArray, UInt8Array,
    UInt32Array, UInt64Array,
};
use arrow::datatypes::{Decimal128Type, Int64Type, TimestampMicrosecondType, UInt8Type, UInt64Type};
use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::Value;

use super::Stop;
use super::column::shape;
use super::compute::{Input, Load, never_fails};
use super::scan::{self, Pieces};
use super::vector::Vector;
use crate::bind::plan::{Comparison, Datum, DocPart, Ex, Step};
use crate::columns::{
    Batch, ColumnView, Field, FieldColumn, Form, Meta, Partition, Presence, Scan, ScanRequest, time_shape,
};
use crate::exec::Run;
use crate::session::Cancel;
use crate::transaction::{Doc, Transaction, View};
use crate::value::compare::compare;
use crate::value::datetime;

/// A scan of a table in the column store.
pub(super) struct Stored<'t> {
    scan: Scan,
    tx: &'t Transaction,
    /// Of the statement.
    cancel: &'t Cancel,
    table: Id,
    view: ColumnView,
    /// Where each input is found.
    places: Vec<Place>,
    /// Between which times rows may pass the filters, in milliseconds.
    times_ms: (i64, i64),
    /// What else rows have to be to pass them.
    conditions: Vec<Condition>,
}

/// Where an input is found in a batch.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// A field, and how its times are written everywhere.
    Field(usize, u8),
    Meta(usize, DocPart),
    Successor,
    Table,
}

impl<'t> Stored<'t> {
    /// Everything that the transaction sees of a table in a view, with these inputs.
    pub fn open(
        run: &Run<'t>,
        level: &scan::Level<'_>,
        view: ColumnView,
        inputs: &[Input],
    ) -> Result<Stored<'t>, Stop> {
        let table = level.table.table.id;
        let mut request = ScanRequest { table, snapshot: run.tx.snapshot(), view, fields: vec![], meta: vec![] };
        let mut places = Vec::with_capacity(inputs.len());
        for input in inputs {
            places.push(match input {
                Input::Field { name, .. } => {
                    request.fields.push(name.to_string());
                    Place::Field(request.fields.len() - 1, time_shape::ALL.iter().fold(0, |all, s| all | s))
                }
                Input::Part(DocPart::Successor) => Place::Successor,
                Input::Part(DocPart::TableId) => Place::Table,
                Input::Part(part) => {
                    request.meta.push(meta_of(*part).ok_or(Stop::Fallback("the store has no such metadata"))?);
                    Place::Meta(request.meta.len() - 1, *part)
                }
            });
        }
        let cancel = &run.call.session.cancel;
        let scan = run.tx.database().columns().scan(request, &|| cancel.reason().is_some()).map_err(Stop::engine)?;
        for (place, input) in places.iter_mut().zip(inputs) {
            let (Place::Field(_, shapes), Input::Field { name, any_case }) = (place, input) else { continue };
            for partition in &scan.partitions {
                if partition.not_kept(name) {
                    return Err(Stop::Fallback("the store does not keep a field"));
                }
                // A document may have the field under a name that differs in case only.
                if *any_case && partition.has_other_case(name) {
                    return Err(Stop::Fallback("a field is written in several ways"));
                }
                // One way of writing times that all partitions have in common, if there is one.
                if let Some(Form::Time(here)) = partition.form(name) {
                    *shapes &= here;
                }
            }
        }
        let times_ms = times_between(run, &level.filters);
        let conditions = conditions(run, &level.filters, level.table.slot);
        Ok(Stored { scan, tx: run.tx, cancel, table, view, places, times_ms, conditions })
    }
}

impl Pieces for Stored<'_> {
    fn count(&self) -> usize {
        self.scan.partitions.len()
    }

    fn open<'s>(
        &'s self,
        piece: usize,
        _: &'s [Input],
        stop: &AtomicBool,
    ) -> Result<Option<Box<dyn scan::Piece + 's>>, Stop> {
        let Some(partition) = self.scan.partitions.get(piece) else { return Ok(None) };
        let end = match self.view {
            ColumnView::Current => u64::MAX,
            ColumnView::AsOf(at) => at,
            ColumnView::History { to, .. } => to,
        };
        if partition.positions().0 >= end {
            return Ok(None);
        }
        let (first, last) = partition.times_ms();
        if last < self.times_ms.0 || first > self.times_ms.1 {
            return Ok(None);
        }
        if self.conditions.iter().any(|condition| condition.excludes(partition)) {
            return Ok(None);
        }
        match partition.selected() {
            // All of it is superseded.
            Some(0) => return Ok(None),
            // Where nothing of a row is looked at only their number counts.
            Some(rows) if self.places.is_empty() => return Ok(Some(Box::new(Counted(rows)))),
            _ => {}
        }
        let stopped = || stop.load(Ordering::Acquire) || self.cancel.reason().is_some();
        let batch = partition.read(&stopped).map_err(Stop::engine)?;
        if batch.selected == 0 {
            return Ok(None);
        }
        let visible = (batch.selected < batch.rows).then(|| {
            let rows = batch.selection.values().set_indices().map(|row| row as u32);
            rows.collect::<Vec<u32>>().into()
        });
        Ok(Some(Box::new(Opened { stored: self, batch, visible })))
    }

    fn bytes(&self, piece: usize) -> u64 {
        self.scan.partitions.get(piece).map_or(0, Partition::file_bytes)
    }

    fn document(&self, _: usize, _: usize, parts: &[Datum]) -> Result<Doc, Stop> {
        let number = |at: usize| {
            let value = parts.get(at).and_then(Option::as_ref);
            value.and_then(Value::as_i64).and_then(|n| u64::try_from(n).ok())
        };
        let position = number(0).ok_or(Stop::Fallback("a row without its position"))?;
        Ok(Doc { successor: number(1), ..(*self.tx.database().read(position)?).clone() })
    }

    fn check(&self) -> Result<(), Stop> {
        match self.view {
            ColumnView::Current => Ok(self.tx.check_readable(View::Current)?),
            _ => Ok(()),
        }
    }
}

/// Rows of which only the number is known.
struct Counted(usize);

impl Load for Counted {
    fn load(&self, _: usize, _: Option<&UInt32Array>) -> Result<Vector, Stop> {
        Err(Stop::Fallback("rows that were only counted"))
    }
}

impl scan::Piece for Counted {
    fn rows(&self) -> usize {
        self.0
    }

    fn as_load(&self) -> &dyn Load {
        self
    }
}

/// A partition that is being scanned.
struct Opened<'s> {
    stored: &'s Stored<'s>,
    batch: Batch,
    visible: Option<UInt32Array>,
}

impl Load for Opened<'_> {
    fn load(&self, input: usize, rows: Option<&UInt32Array>) -> Result<Vector, Stop> {
        const NONE: Stop = Stop::Fallback("no such input");
        let all = self.batch.rows;
        let vector = match *self.stored.places.get(input).ok_or(NONE)? {
            Place::Field(at, shapes) => match self.batch.fields.get(at).ok_or(NONE)? {
                Field::Absent => Vector::Same(None, all),
                Field::NotKept => return Err(Stop::Fallback("the store does not keep a field")),
                Field::Column(column) => return field(column, shapes, rows),
            },
            Place::Meta(at, part) => meta(self.batch.meta.get(at).ok_or(NONE)?, part)?,
            Place::Successor if !matches!(self.stored.view, ColumnView::History { .. }) => Vector::Same(None, all),
            Place::Successor => Vector::Int(ints(&self.batch.successors().map_err(Stop::engine)?)),
            Place::Table => Vector::Same(Some(Value::string(self.stored.table.to_string())), all),
        };
        match rows {
            Some(rows) => vector.take(rows),
            None => Ok(vector),
        }
    }
}

impl scan::Piece for Opened<'_> {
    fn rows(&self) -> usize {
        self.batch.rows
    }

    fn as_load(&self) -> &dyn Load {
        self
    }

    fn visible(&self) -> Option<&UInt32Array> {
        self.visible.as_ref()
    }
}

/// Between which times rows pass those filters that come before any that may fail.
fn times_between(run: &Run<'_>, filters: &[&Ex]) -> (i64, i64) {
    let (mut low, mut high) = (i64::MIN, i64::MAX);
    let all = filters.iter().flat_map(|filter| match filter {
        Ex::And(parts) => parts.iter().collect::<Vec<&Ex>>(),
        one => vec![*one],
    });
    for filter in all.take_while(|filter| never_fails(filter)) {
        let Some((op, Ex::Doc { part: DocPart::TxTime, .. }, value)) = comparison(run, filter) else { continue };
        let Value::Timestamp(time) = value else { continue };
        let ms = datetime::to_micros(time).div_euclid(1000);
        match op {
            Comparison::Eq => (low, high) = (low.max(ms), high.min(ms)),
            Comparison::Gt | Comparison::GtEq => low = low.max(ms),
            // A part of a millisecond more is behind it still.
            Comparison::Lt | Comparison::LtEq => high = high.min(ms),
            Comparison::NotEq => {}
        }
    }
    (low, high)
}

/// A comparison with a value that is known: what is compared, how, and with what.
fn comparison<'e>(run: &'e Run<'_>, filter: &'e Ex) -> Option<(Comparison, &'e Ex, &'e Value)> {
    let Ex::Compare { op, left, right, .. } = filter else { return None };
    let known = |ex: &'e Ex| match ex {
        Ex::Const(value) => value.as_ref(),
        Ex::Param(at) => run.params.get(*at as usize).and_then(Option::as_ref),
        _ => None,
    };
    match (known(left), known(right)) {
        (None, Some(value)) => Some((*op, &**left, value)),
        (Some(value), None) => Some((op.flipped(), &**right, value)),
        _ => None,
    }
}

/// A field is compared with a value, and where that does not hold the filters do not pass.
struct Condition {
    field: Arc<str>,
    op: Comparison,
    value: Value,
}

/// What of the filters a partition can be left out by, up to the first one that may fail.
fn conditions(run: &Run<'_>, filters: &[&Ex], slot: u32) -> Vec<Condition> {
    let all = filters.iter().flat_map(|filter| match filter {
        Ex::And(parts) => parts.iter().collect::<Vec<&Ex>>(),
        one => vec![*one],
    });
    let all = all.take_while(|filter| never_fails(filter)).filter_map(|filter| comparison(run, filter));
    let all = all.filter_map(|(op, ex, value)| {
        let field = match ex {
            Ex::Field { at, name, .. } if at.depth == 0 && at.slot == slot => name,
            Ex::Path { base, steps } => match (&**base, &steps[..]) {
                (Ex::Slot(at) | Ex::Doc { at, part: DocPart::Data }, [Step::Field { name, .. }])
                    if at.depth == 0 && at.slot == slot =>
                {
                    name
                }
                _ => return None,
            },
            _ => return None,
        };
        Some(Condition { field: field.clone(), op, value: value.clone() })
    });
    all.collect()
}

impl Condition {
    /// By what is known of a partition, it holds for none of its rows. Values of other types than the condition's compare
    /// by other rules, so only those of its own are looked at.
    fn excludes(&self, partition: &Partition) -> bool {
        let same = match (partition.form(&self.field), &self.value) {
            (Some(Form::Int | Form::Decimal(_)), Value::Int(_) | Value::Decimal(_)) => true,
            (Some(Form::Float { .. }), Value::Float(value)) => !value.is_nan(),
            (Some(Form::Text), Value::String(_)) => true,
            (Some(Form::Time(_)), Value::Timestamp(_)) => true,
            _ => false,
        };
        let Some((least, greatest)) = same.then(|| partition.bounds(&self.field)).flatten() else { return false };
        let (least, greatest) = (compare(&least, &self.value), compare(&greatest, &self.value));
        match self.op {
            Comparison::Eq => least.is_gt() || greatest.is_lt(),
            Comparison::Lt => least.is_ge(),
            Comparison::LtEq => least.is_gt(),
            Comparison::Gt => greatest.is_le(),
            Comparison::GtEq => greatest.is_lt(),
            Comparison::NotEq => false,
        }
    }
}

/// A field's array as a vector, of these rows.
fn field(column: &FieldColumn, shapes: u8, rows: Option<&UInt32Array>) -> Result<Vector, Stop> {
    let array = match rows {
        Some(rows) => arrow::compute::take(&*column.array, rows, None).map_err(Stop::engine)?,
        None => column.array.clone(),
    };
    const OTHER: Stop = Stop::Fallback("an array has another type than its form");
    if array.null_count() == array.len() {
        return Ok(Vector::Same(None, array.len()));
    }
    Ok(match column.form {
        Form::Bool => Vector::Bool(array.as_boolean_opt().ok_or(OTHER)?.clone()),
        Form::Int => Vector::Int(array.as_primitive_opt::<Int64Type>().ok_or(OTHER)?.clone()),
        Form::Decimal(scale) => {
            let scale = u8::try_from(scale).map_err(|_| OTHER)?;
            decimals(array.as_primitive_opt::<Decimal128Type>().ok_or(OTHER)?, scale)
        }
        Form::Float { .. } => Vector::Float(array.as_primitive_opt().ok_or(OTHER)?.clone()),
        Form::Text => match array.as_dictionary_opt() {
            Some(words) => Vector::Words(words.clone()),
            None => Vector::Text(array.as_string_opt().ok_or(OTHER)?.clone()),
        },
        Form::Time(here) => {
            let both = if shapes & here == 0 { here } else { shapes & here };
            let times = array.as_primitive_opt::<TimestampMicrosecondType>().ok_or(OTHER)?;
            let shape = shape::ALL.into_iter().find(|shape| both & shape != 0).ok_or(OTHER)?;
            Vector::Time(PrimitiveArray::new(times.values().clone(), times.nulls().cloned()), shape)
        }
        Form::Bytes => Vector::Bytes(array.as_binary_opt().ok_or(OTHER)?.clone()),
        Form::Ion => {
            let mut values: Vec<Datum> = Vec::with_capacity(array.len());
            for row in 0..array.len() {
                let value = column.form.value(&*array, row).map_err(Stop::engine)?;
                // In SQL a null in a document is NULL.
                values.push(value.filter(|value| !value.is_null()));
            }
            Vector::of(values)
        }
    })
}

/// Decimals as 64 bit numbers, if all of them are.
fn decimals(array: &Decimal128Array, scale: u8) -> Vector {
    let mut fits = true;
    let narrow = |c: &i128| {
        let small = *c as i64;
        fits &= i128::from(small) == *c;
        small
    };
    // What stands in a null's place does not matter, and does not count if it is nothing.
    let values: Vec<i64> = array.values().iter().map(narrow).collect();
    match fits {
        true => Vector::Decimal(Int64Array::new(values.into(), array.nulls().cloned()), scale),
        false => Vector::Wide(array.clone(), scale),
    }
}

fn meta_of(part: DocPart) -> Option<Meta> {
    Some(match part {
        DocPart::Id => Meta::DocumentId,
        DocPart::Version => Meta::Version,
        DocPart::TxTime => Meta::TxTime,
        DocPart::TxId => Meta::TxId,
        DocPart::Block => Meta::Block,
        DocPart::Position => Meta::Position,
        DocPart::Supersedes => Meta::Supersedes,
        DocPart::Deleted => Meta::Presence,
        _ => return None,
    })
}

fn meta(array: &dyn Array, part: DocPart) -> Result<Vector, Stop> {
    const OTHER: Stop = Stop::Fallback("metadata has another type");
    Ok(match part {
        DocPart::Id | DocPart::TxId => {
            let ids: &FixedSizeBinaryArray = array.as_fixed_size_binary_opt().ok_or(OTHER)?;
            let text = |bytes: Option<&[u8]>| -> Option<String> { Some(Id(bytes?.try_into().ok()?).to_string()) };
            Vector::Text(ids.iter().map(text).collect::<StringArray>())
        }
        DocPart::TxTime => {
            let times = array.as_primitive_opt::<Int64Type>().ok_or(OTHER)?;
            Vector::Time(times.unary(|ms: i64| ms.saturating_mul(1000)), shape::MILLIS)
        }
        DocPart::Deleted => {
            let presence: &UInt8Array = array.as_primitive_opt::<UInt8Type>().ok_or(OTHER)?;
            let deleted = presence.values().iter().map(|p| Some(*p == Presence::Deleted as u8));
            Vector::Bool(deleted.collect())
        }
        _ => Vector::Int(ints(array.as_primitive_opt::<UInt64Type>().ok_or(OTHER)?)),
    })
}

fn ints(array: &UInt64Array) -> Int64Array {
    array.unary(|n| i64::try_from(n).unwrap_or(i64::MAX))
}
