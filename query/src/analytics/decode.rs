//! Documents decoded into columns, row by row, by the document executor's own evaluator: filters, keys and arguments mean
//! here what they mean there. [`ColumnSource`] is where a projector of column segments takes the place of row decoding.

use std::cell::Cell;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use ledgerstone_digest::ion::Value;

use super::Stop;
use super::column::{Column, ColumnBuilder, Reader};
use super::shape::{LeafSource, Shape, What};
use crate::bind::plan::{Datum, SelectPlan};
use crate::error::Result as QueryResult;
use crate::exec::{Env, Flow, Run, Slot, Tuple};
use crate::work::pack;

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;
/// Bytes of text and binary of a batch: an array's offsets are 32 bit.
const BATCH_BYTES: usize = 64 << 20;

/// Where the columns of a leaf come from.
pub(super) trait ColumnSource {
    /// The leaf's columns, all of them or none.
    fn batches(&self, leaf: usize) -> Result<Batches, Stop>;
}

/// The columns of a leaf, and its row number as the last one.
#[derive(Debug)]
pub(super) struct Batches {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
    pub rows: usize,
    /// Per column of the shape that this leaf has.
    pub readers: Vec<(usize, Reader)>,
    /// Columns that hold nulls only: their type may be any.
    pub nulls: Vec<usize>,
}

impl Batches {
    /// The type of a column of this leaf.
    pub fn data_type(&self, column: usize) -> Option<&DataType> {
        self.schema.field_with_name(&column_name(column)).ok().map(Field::data_type)
    }

    /// Gives a column of nulls only another type.
    pub fn retype(&mut self, column: usize, ty: &DataType) -> Result<(), Stop> {
        let at = self.schema.index_of(&column_name(column)).map_err(Stop::engine)?;
        let fields = self.schema.fields().iter().enumerate();
        let field = |(i, f): (usize, &Arc<Field>)| match i == at {
            true => Field::new(f.name(), ty.clone(), true),
            false => f.as_ref().clone(),
        };
        let schema = Arc::new(Schema::new(fields.map(field).collect::<Vec<_>>()));
        for batch in &mut self.batches {
            let mut arrays = batch.columns().to_vec();
            if let Some(array) = arrays.get_mut(at) {
                *array = new_null_array(ty, batch.num_rows());
            }
            *batch = RecordBatch::try_new(schema.clone(), arrays).map_err(Stop::engine)?;
        }
        self.schema = schema;
        Ok(())
    }
}

/// The name of a column of the shape, unique over all leaves.
pub(super) fn column_name(column: usize) -> String {
    format!("c{column}")
}

/// The name of the column of a leaf's row numbers.
pub(super) fn row_name(leaf: usize) -> String {
    format!("r{leaf}")
}

/// Decodes documents (and anything else FROM may name) through the transaction.
pub(super) struct Rows<'r, 'a> {
    pub run: &'r Run<'a>,
    pub select: &'r SelectPlan,
    pub shape: &'r Shape<'r>,
}

impl ColumnSource for Rows<'_, '_> {
    fn batches(&self, leaf: usize) -> Result<Batches, Stop> {
        let plan = self.shape.leaves.get(leaf).ok_or(Stop::Fallback("no such source"))?;
        let mut decoder = Decoder::new(self, leaf);
        if plan.nullable {
            decoder.check_nulls(self.select.width)?;
        }
        let misfit = Cell::new(None);
        let mut sink = |tuple: &mut Tuple| -> QueryResult<Flow> {
            match decoder.row(tuple) {
                Ok(()) => Ok(Flow::More),
                Err(Stop::Error(error)) => Err(error),
                Err(Stop::Fallback(why)) => {
                    misfit.set(Some(why));
                    Ok(Flow::Stop)
                }
            }
        };
        match plan.from {
            LeafSource::Level => self.run.filtered(self.select, None, &mut sink)?,
            LeafSource::Node(node) => {
                self.run.node(node, self.select.width, None, &mut sink)?;
            }
        }
        match misfit.get() {
            Some(why) => Err(Stop::Fallback(why)),
            None => decoder.finish(leaf),
        }
    }
}

struct Decoder<'r, 'a> {
    run: &'r Run<'a>,
    columns: Vec<(usize, &'r What<'r>, ColumnBuilder)>,
    /// Values of the `Rows` column of the row at hand, by output.
    outputs: Vec<(usize, Datum)>,
    open: usize,
    lengths: Vec<usize>,
}

impl<'r, 'a> Decoder<'r, 'a> {
    fn new(source: &Rows<'r, 'a>, leaf: usize) -> Self {
        let mut columns: Vec<_> = source
            .shape
            .columns
            .iter()
            .enumerate()
            .filter(|(_, want)| want.leaf == leaf)
            .map(|(i, want)| (i, &want.what, ColumnBuilder::new(want.role)))
            .collect();
        // Outputs are computed before anything refers to them.
        columns.sort_by_key(|(_, what, _)| !matches!(what, What::Rows(_)));
        Decoder { run: source.run, columns, outputs: Vec::new(), open: 0, lengths: Vec::new() }
    }

    /// Where an outer join finds no partner the engine puts nulls; every column must mean the same there.
    fn check_nulls(&mut self, width: usize) -> Result<(), Stop> {
        let tuple: Tuple = vec![Slot::Empty; width];
        let env = Env { row: &tuple, outer: None };
        for (_, what, _) in &self.columns {
            let null = match what {
                What::Ex(e) => self.run.eval(e, &env)?.is_none(),
                What::Filtered { ex: Some(e), filter } => {
                    self.run.eval(e, &env)?.is_none() || !Run::is_true(&self.run.eval(filter, &env)?)
                }
                What::Filtered { ex: None, filter } => !Run::is_true(&self.run.eval(filter, &env)?),
                What::Rows(outputs) => {
                    let mut null = true;
                    for (_, e) in outputs {
                        null &= self.run.eval(e, &env)?.is_none();
                    }
                    null
                }
                What::Output(_) => true,
            };
            if !null {
                return Err(Stop::Fallback("an expression is not null for rows without a partner"));
            }
        }
        Ok(())
    }

    fn row(&mut self, tuple: &Tuple) -> Result<(), Stop> {
        let env = Env { row: tuple, outer: None };
        let run = self.run;
        for (_, what, column) in &mut self.columns {
            let fits = match what {
                What::Ex(e) => match run.peek(e, &env) {
                    Some(value) => column.push(value),
                    None => column.push(run.eval(e, &env)?.as_ref()),
                },
                What::Filtered { ex, filter } => {
                    let holds = run.eval(filter, &env)?;
                    match (Run::is_true(&holds), ex) {
                        (false, _) => column.push(None),
                        (true, None) => column.push(holds.as_ref()),
                        (true, Some(e)) => column.push(run.eval(e, &env)?.as_ref()),
                    }
                }
                What::Rows(outputs) => {
                    self.outputs.clear();
                    for (i, e) in outputs {
                        self.outputs.push((*i, run.eval(e, &env)?));
                    }
                    let outputs = self.outputs.iter().map(|(_, datum)| datum.clone()).collect();
                    column.push(Some(&Value::blob(pack(outputs))))
                }
                What::Output(i) => {
                    column.push(self.outputs.iter().find(|(at, _)| at == i).and_then(|(_, d)| d.as_ref()))
                }
            };
            if !fits {
                return Err(Stop::Fallback("a value does not fit its column"));
            }
        }
        self.open += 1;
        let bytes: usize = self.columns.iter().map(|(_, _, c)| c.open_bytes()).sum();
        if self.open >= BATCH_ROWS || bytes >= BATCH_BYTES { self.seal() } else { Ok(()) }
    }

    fn seal(&mut self) -> Result<(), Stop> {
        let size: usize = self.columns.iter_mut().map(|(_, _, c)| c.seal()).sum();
        self.run.charge(size + 8 * self.open)?;
        self.lengths.push(std::mem::take(&mut self.open));
        Ok(())
    }

    fn finish(mut self, leaf: usize) -> Result<Batches, Stop> {
        if self.open > 0 || self.lengths.is_empty() {
            self.seal()?;
        }
        let mut fields = Vec::new();
        let mut columns: Vec<std::vec::IntoIter<ArrayRef>> = Vec::new();
        let mut readers = Vec::new();
        let mut nulls = Vec::new();
        for (i, _, builder) in self.columns {
            let Column { data_type, arrays, reader, empty } = builder.finish();
            fields.push(Field::new(column_name(i), data_type, true));
            if empty {
                nulls.push(i);
            }
            columns.push(arrays.into_iter());
            readers.push((i, reader));
        }
        fields.push(Field::new(row_name(leaf), DataType::Int64, true));
        let schema = Arc::new(Schema::new(fields));
        let mut batches = Vec::with_capacity(self.lengths.len());
        let mut rows: usize = 0;
        for length in self.lengths {
            let mut arrays: Vec<ArrayRef> = columns.iter_mut().filter_map(Iterator::next).collect();
            arrays.push(Arc::new(Int64Array::from_iter_values((rows..rows + length).map(|r| r as i64))));
            rows += length;
            batches.push(RecordBatch::try_new(schema.clone(), arrays).map_err(Stop::engine)?);
        }
        Ok(Batches { schema, batches, rows, readers, nulls })
    }
}
