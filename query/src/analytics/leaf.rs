//! The second [`ColumnSource`]: a leaf of a join that scans one table, computed by columns. What its columns take, they
//! take only as the first source does: one form for all values of a column, or the document executor.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, Int64Array, PrimitiveArray, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::{DataType, Decimal128Type, Field, Schema};
use arrow::record_batch::RecordBatch;

use super::column::{DIGITS, Reader, Role, SUMMAND_MAX};
use super::decode::{Batches, ColumnSource, column_name, row_name};
use super::shape::{LeafSource, Shape, Want, What};
use super::vector::{Form, Vector};
use super::{Stop, scan};
use crate::bind::plan::{Datum, Ex, SelectPlan};
use crate::exec::{Flow, Run};
use crate::work::pack;

/// Leaves that are scans of tables with columns.
pub(super) struct Scans<'r, 'a> {
    pub run: &'r Run<'a>,
    pub select: &'r SelectPlan,
    pub shape: &'r Shape<'r>,
}

/// A column in the making: its arrays so far, and what all of them have in common.
struct Taken<'p> {
    number: usize,
    role: Role,
    what: &'p What<'p>,
    form: Option<Form>,
    arrays: Vec<Option<ArrayRef>>,
}

impl ColumnSource for Scans<'_, '_> {
    fn batches(&self, leaf: usize) -> Result<Batches, Stop> {
        let plan = self.shape.leaves.get(leaf).ok_or(Stop::Fallback("no such source"))?;
        let level = match plan.from {
            LeafSource::Level => scan::Level::of(self.select),
            LeafSource::Node(node) => scan::Level::of_node(node, self.select.width, Vec::new()),
        };
        let level = level.ok_or(Stop::Fallback("the source is no scan of a table"))?;
        let wants: Vec<(usize, &Want<'_>)> =
            self.shape.columns.iter().enumerate().filter(|(_, want)| want.leaf == leaf).collect();
        let mut outputs: Vec<&Ex> = Vec::new();
        for (_, want) in &wants {
            outputs.extend(expressions(&want.what));
        }
        let inputs = level.inputs(outputs.iter().copied()).ok_or(Stop::Fallback("it reads what no column holds"))?;
        let mut columns: Vec<Taken<'_>> = Vec::new();
        for (number, want) in &wants {
            if plan.nullable && !is_null_without_partner(&want.what) {
                return Err(Stop::Fallback("an expression may not be null for rows without a partner"));
            }
            columns.push(Taken { number: *number, role: want.role, what: &want.what, form: None, arrays: Vec::new() });
        }
        let mut lengths = Vec::new();
        let pieces = super::pieces(self.run, &level, &inputs)?;
        scan::stream(self.run, &level, &outputs, &*pieces, &inputs, &mut |made| {
            self.run.check_cancelled()?;
            let mut vectors = made.vectors.as_slice();
            for column in &mut columns {
                let (mine, rest) = vectors.split_at(expressions(column.what).len().min(vectors.len()));
                vectors = rest;
                let size = column.take_in(mine, &wants, &made.vectors, made.rows)?;
                self.run.charge(size)?;
            }
            self.run.charge(8 * made.rows)?;
            lengths.push(made.rows);
            Ok(Flow::More)
        })?;
        finished(leaf, columns, lengths)
    }
}

/// What is computed for a column; an output of the level is computed with the column that carries it.
fn expressions<'p>(what: &What<'p>) -> Vec<&'p Ex> {
    match what {
        What::Ex(ex) => vec![ex],
        What::Filtered { ex, filter } => ex.iter().copied().chain([*filter]).collect(),
        What::Rows(outputs) => outputs.iter().map(|(_, ex)| *ex).collect(),
        What::Output(_) => Vec::new(),
    }
}

/// A column of the table is null where there is no row; of anything else that would have to be computed.
fn is_null_without_partner(what: &What<'_>) -> bool {
    expressions(what).into_iter().all(|ex| matches!(ex, Ex::Field { .. } | Ex::Doc { .. }))
}

impl Taken<'_> {
    /// Returns the bytes of the array.
    fn take_in(
        &mut self,
        mine: &[Vector],
        wants: &[(usize, &Want<'_>)],
        all: &[Vector],
        rows: usize,
    ) -> Result<usize, Stop> {
        let missing = || Stop::Fallback("a vector is missing");
        let array = match (self.what, mine) {
            (What::Ex(_), [vector]) => self.array(vector, rows)?,
            (What::Filtered { ex: None, .. }, [filter]) => self.array(&filtered(filter, filter, rows), rows)?,
            (What::Filtered { ex: Some(_), .. }, [vector, filter]) => {
                self.array(&filtered(vector, filter, rows), rows)?
            }
            (What::Rows(_), vectors) => {
                let row = |row: usize| pack(vectors.iter().map(|v| v.value(row)).collect::<Vec<Datum>>());
                let packed: Vec<Vec<u8>> = (0..rows).map(row).collect();
                Some(Arc::new(BinaryArray::from_iter_values(packed)) as ArrayRef)
            }
            (What::Output(output), _) => {
                let mut at = 0;
                let mut found = None;
                for (_, want) in wants {
                    if let What::Rows(outputs) = &want.what {
                        found = found.or(outputs.iter().position(|(o, _)| o == output).map(|n| at + n));
                    }
                    at += expressions(&want.what).len();
                }
                let vector = found.and_then(|at| all.get(at)).ok_or_else(missing)?;
                self.array(vector, rows)?
            }
            _ => return Err(missing()),
        };
        let bytes = array.as_ref().map_or(0, |array| array.get_array_memory_size());
        self.arrays.push(array);
        Ok(bytes)
    }

    /// The vector as the engine's array; none if it holds nothing but nulls.
    fn array(&mut self, vector: &Vector, rows: usize) -> Result<Option<ArrayRef>, Stop> {
        const MISFIT: Stop = Stop::Fallback("a value does not fit its column");
        if self.role == Role::Present {
            let there = (0..rows).map(|row| (!vector.is_null(row)).then_some(true));
            return Ok(Some(Arc::new(there.collect::<BooleanArray>())));
        }
        let vector = match vector {
            Vector::Same(None, _) => return Ok(None),
            Vector::Same(value, rows) => Vector::of(vec![value.clone(); *rows]),
            other => other.clone(),
        };
        let form = vector.form().ok_or(MISFIT)?;
        if *self.form.get_or_insert(form) != form {
            return Err(MISFIT);
        }
        let decimals = |a: &Int64Array, scale: u8| -> Result<ArrayRef, Stop> {
            let wide: Decimal128Array = a.unary::<_, Decimal128Type>(i128::from);
            Ok(Arc::new(wide.with_precision_and_scale(DIGITS, scale as i8).map_err(Stop::engine)?))
        };
        let array: ArrayRef = match (self.role, vector) {
            (Role::Key | Role::Truth, Vector::Bool(a)) => Arc::new(a),
            (Role::Key, Vector::Int(a)) => Arc::new(a),
            (Role::Sum, Vector::Int(a)) => decimals(&a, 0)?,
            (Role::Key | Role::Sum, Vector::Decimal(a, scale)) => decimals(&a, scale)?,
            (Role::Key | Role::Sum, Vector::Wide(a, scale)) => {
                let most = if self.role == Role::Sum { SUMMAND_MAX } else { u128::MAX };
                if a.iter().flatten().any(|c| c.unsigned_abs() > most) {
                    return Err(MISFIT);
                }
                Arc::new(a.with_precision_and_scale(DIGITS, scale as i8).map_err(Stop::engine)?)
            }
            (Role::Key, Vector::Float(a)) => {
                if a.iter().flatten().any(|f| !f.is_finite() || f == 0.0 && f.is_sign_negative()) {
                    return Err(MISFIT);
                }
                Arc::new(a)
            }
            (Role::Key, Vector::Text(a)) => Arc::new(a),
            (Role::Key, Vector::Words(a)) => {
                let words = a.values().as_string::<i32>();
                let texts = a.keys().iter().map(|key| key.map(|key| words.value(key as usize)));
                Arc::new(texts.collect::<StringArray>())
            }
            (Role::Key, Vector::Time(a, _)) => {
                let times: TimestampMicrosecondArray = PrimitiveArray::new(a.values().clone(), a.nulls().cloned());
                Arc::new(times)
            }
            (Role::Key, Vector::Bytes(a)) => Arc::new(a),
            _ => return Err(MISFIT),
        };
        Ok(Some(array))
    }

    fn data_type(&self) -> DataType {
        let first = self.arrays.iter().flatten().next().map(|array| array.data_type().clone());
        first.unwrap_or(match self.role {
            Role::Key => DataType::Int64,
            Role::Sum => DataType::Decimal128(DIGITS, 0),
            Role::Truth | Role::Present => DataType::Boolean,
            Role::Carried => DataType::Binary,
        })
    }
}

/// Null where the filter does not hold.
fn filtered(vector: &Vector, filter: &Vector, rows: usize) -> Vector {
    let holds = |row: &usize| Run::is_true(&filter.value(*row));
    Vector::of((0..rows).map(|row| Some(row).filter(holds).and_then(|row| vector.value(row))).collect())
}

fn finished(leaf: usize, columns: Vec<Taken<'_>>, lengths: Vec<usize>) -> Result<Batches, Stop> {
    let mut fields = Vec::new();
    let (mut readers, mut nulls) = (Vec::new(), Vec::new());
    for column in &columns {
        fields.push(Field::new(column_name(column.number), column.data_type(), true));
        if column.arrays.iter().all(Option::is_none) {
            nulls.push(column.number);
        }
        let shape = if let Some(Form::Time(shape)) = column.form { shape } else { super::column::shape::DAY };
        let ints = !matches!(column.form, Some(Form::Decimal(_)));
        readers.push((column.number, Reader::new(ints, shape)));
    }
    fields.push(Field::new(row_name(leaf), DataType::Int64, true));
    let schema = Arc::new(Schema::new(fields));
    let lengths = if lengths.is_empty() { vec![0] } else { lengths };
    let mut batches = Vec::with_capacity(lengths.len());
    let mut rows: usize = 0;
    for (n, length) in lengths.into_iter().enumerate() {
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len() + 1);
        for column in &columns {
            let array = column.arrays.get(n).cloned().flatten();
            arrays.push(array.unwrap_or_else(|| new_null_array(&column.data_type(), length)));
        }
        arrays.push(Arc::new(Int64Array::from_iter_values((rows..rows + length).map(|row| row as i64))));
        rows += length;
        batches.push(RecordBatch::try_new(schema.clone(), arrays).map_err(Stop::engine)?);
    }
    Ok(Batches { schema, batches, rows, readers, nulls })
}
