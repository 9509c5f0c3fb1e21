//! The first rows of a sorted scan: every thread keeps its best ones, and only of these more than their keys is computed.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int32Array, UInt32Array};
use arrow::compute::{SortColumn, SortOptions, lexsort_to_indices};

use super::Stop;
use super::compute::{Batch, never_fails};
use super::scan::{Worker, place_of};
use super::vector::Vector;
use crate::bind::plan::{Datum, Ex, SelectPlan, SortExpr, SortKey};
use crate::exec::{Row, Run, bytes_of_row};

/// The most rows that are kept so.
pub(super) const ROWS_MAX: usize = 10_000;

/// The best rows of a thread, the best first.
#[derive(Debug, Default)]
pub(super) struct Best {
    rows: Vec<(Vec<Datum>, u64, Row)>,
}

/// What the rows of a level are sorted by, and how many of them are wanted.
pub(super) struct First<'p> {
    pub select: &'p SelectPlan,
    pub most: usize,
}

impl<'p> First<'p> {
    /// The expressions of the keys.
    fn keys(&self) -> Result<Vec<&'p Ex>, Stop> {
        let of = |key: &'p SortKey| match &key.expr {
            SortExpr::Expr(ex) => Ok(ex),
            SortExpr::Output(at) => self.select.output.get(*at).ok_or(Stop::Fallback("no such output")),
        };
        self.select.order.iter().map(of).collect()
    }

    pub fn take_in(&self, worker: &mut Worker<'_, Best>, piece: usize, batch: &Batch<'_>) -> Result<(), Stop> {
        let evaluator = &worker.evaluator;
        let keys: Result<Vec<Vector>, Stop> = self.keys()?.into_iter().map(|key| evaluator.eval(key, batch)).collect();
        let keys = keys?;
        let chosen = self.best_of(evaluator.run, &keys, batch.rows)?;
        let few = batch.select(&chosen)?;
        let mut outputs = Vec::with_capacity(self.select.output.len());
        for output in &self.select.output {
            // An error is one for every row, those included that are not among the first.
            outputs.push(match never_fails(output) {
                true => evaluator.eval(output, &few)?,
                false => evaluator.eval(output, batch)?.take(&chosen)?,
            });
        }
        for (at, row) in chosen.values().iter().enumerate() {
            let key: Vec<Datum> = keys.iter().map(|key| key.value(*row as usize)).collect();
            let out: Row = outputs.iter().map(|output| output.value(at)).collect();
            worker.state.rows.push((key, place_of(piece, batch, *row as usize), out));
        }
        self.cut(evaluator.run, &mut worker.state);
        Ok(())
    }

    /// The best rows of all threads.
    pub fn finish(&self, run: &Run<'_>, all: Vec<Best>) -> Vec<Row> {
        let mut best = Best { rows: all.into_iter().flat_map(|best| best.rows).collect() };
        self.cut(run, &mut best);
        best.rows.into_iter().map(|(_, _, row)| row).collect()
    }

    fn cut(&self, run: &Run<'_>, best: &mut Best) {
        best.rows.sort_by(|a, b| run.compare_keys(&self.select.order, &a.0, &b.0).then(a.1.cmp(&b.1)));
        best.rows.truncate(self.most);
    }

    /// The best rows of a batch, by number.
    fn best_of(&self, run: &Run<'_>, keys: &[Vector], rows: usize) -> Result<UInt32Array, Stop> {
        if rows <= self.most {
            return Ok(UInt32Array::from_iter_values(0..rows as u32));
        }
        let arrays: Option<Vec<ArrayRef>> = keys.iter().map(|key| sortable(key, rows)).collect();
        let Some(arrays) = arrays else { return Ok(self.best_by_values(run, keys, rows)) };
        let mut columns: Vec<SortColumn> = Vec::with_capacity(arrays.len() + 1);
        for (values, key) in arrays.into_iter().zip(&self.select.order) {
            let options = SortOptions { descending: key.descending, nulls_first: key.nulls_first };
            columns.push(SortColumn { values, options: Some(options) });
        }
        // Equal rows in the order in which they stand.
        let numbers: ArrayRef = Arc::new(UInt32Array::from_iter_values(0..rows as u32));
        columns.push(SortColumn { values: numbers, options: None });
        lexsort_to_indices(&columns, Some(self.most)).map_err(Stop::engine)
    }

    fn best_by_values(&self, run: &Run<'_>, keys: &[Vector], rows: usize) -> UInt32Array {
        let key = |row: &u32| -> Vec<Datum> { keys.iter().map(|key| key.value(*row as usize)).collect() };
        let mut all: Vec<(Vec<Datum>, u32)> = (0..rows as u32).map(|row| (key(&row), row)).collect();
        let order = |a: &(Vec<Datum>, u32), b: &(Vec<Datum>, u32)| -> Ordering {
            run.compare_keys(&self.select.order, &a.0, &b.0).then(a.1.cmp(&b.1))
        };
        all.sort_by(order);
        all.truncate(self.most);
        all.into_iter().map(|(_, row)| row).collect::<Vec<u32>>().into()
    }
}

impl Best {
    pub fn bytes(&self) -> usize {
        self.rows.iter().map(|(key, _, row)| 16 + bytes_of_row(key) + bytes_of_row(row)).sum()
    }
}

/// An array that Arrow sorts as the document executor does.
fn sortable(vector: &Vector, rows: usize) -> Option<ArrayRef> {
    Some(match vector {
        Vector::Same(_, _) => Arc::new(Int32Array::from(vec![0; rows])),
        Vector::Bool(a) => Arc::new(a.clone()),
        Vector::Int(a) | Vector::Decimal(a, _) | Vector::Time(a, _) => Arc::new(a.clone()),
        Vector::Wide(a, _) => Arc::new(a.clone()),
        // The zeros are equal, and so is every NaN.
        Vector::Float(a) => {
            let one = |f: f64| {
                if f == 0.0 {
                    0.0
                } else if f.is_nan() {
                    f64::NAN
                } else {
                    f
                }
            };
            Arc::new(a.iter().map(|f| f.map(one)).collect::<Float64Array>())
        }
        Vector::Text(a) => Arc::new(a.clone()),
        Vector::Words(a) => {
            let words = a.values().as_string::<i32>();
            let mut order: Vec<usize> = (0..words.len()).collect();
            order.sort_by(|x, y| words.value(*x).as_bytes().cmp(words.value(*y).as_bytes()));
            let mut ranks = vec![0; words.len()];
            let mut rank = 0;
            for (n, word) in order.iter().enumerate() {
                let before = n.checked_sub(1).and_then(|n| order.get(n));
                if before.is_some_and(|before| words.value(*before) != words.value(*word)) {
                    rank += 1;
                }
                if let Some(place) = ranks.get_mut(*word) {
                    *place = rank;
                }
            }
            let of = |key: Option<i32>| key.and_then(|key| ranks.get(key as usize).copied());
            Arc::new(a.keys().iter().map(of).collect::<Int32Array>())
        }
        Vector::Bytes(_) | Vector::Values(_) => return None,
    })
}
