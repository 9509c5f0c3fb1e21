//! Bound expressions over vectors. The kernels here are a list proven to mean what the document executor's evaluator
//! means (DESIGN section 7, "known traps"); any other expression, and any other mix of values, is computed by that
//! evaluator itself, row by row, over a document put together again from the columns it reads. An error is never an
//! answer here: the caller leaves the statement to the document executor, which says whether it is one.

mod kernel;

use std::cell::OnceCell;
use std::sync::Arc;

use arrow::array::types::Int32Type;
use arrow::array::{Array, AsArray, BooleanArray, DictionaryArray, Int64Array, StringArray, UInt32Array};
use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::{Struct, Symbol, Value};

use super::Stop;
use super::vector::Vector;
use crate::ast::BinaryOp;
use crate::bind::each_part;
use crate::bind::plan::{Arithmetic, At, Comparison, Datum, DocPart, Ex, Step};
use crate::exec::{Env, Run, Slot, Tuple};
use crate::function::{Scalar, Volatility, like};
use crate::transaction::Doc;

/// What an expression reads of a document, as far as columns hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    Field { name: Arc<str>, any_case: bool },
    Part(DocPart),
}

/// Adds what the expression reads of the document in this slot. `false`: it reads something that no column holds, or does
/// something for each row.
pub(super) fn inputs_of(ex: &Ex, slot: u32, inputs: &mut Vec<Input>) -> bool {
    let mut fits = true;
    let mut add = |input: Input| {
        if !inputs.contains(&input) {
            inputs.push(input);
        }
    };
    let here = |at: &At| at.depth == 0 && at.slot == slot;
    each_part(&mut ex.clone(), &mut |ex| {
        match &*ex {
            Ex::Field { at, name, any_case } if here(at) => {
                add(Input::Field { name: name.clone(), any_case: *any_case });
            }
            Ex::Doc { at, part } if here(at) && is_column(*part) => add(Input::Part(*part)),
            Ex::Path { base, steps } => match (&**base, steps.first()) {
                (Ex::Slot(at) | Ex::Doc { at, part: DocPart::Data }, Some(Step::Field { name, any_case }))
                    if here(at) =>
                {
                    add(Input::Field { name: name.clone(), any_case: *any_case });
                    // What the steps behind it compute with is nobody else's to look at.
                    fits &= steps.iter().all(|s| matches!(s, Step::Field { .. }));
                    return false;
                }
                _ => {}
            },
            Ex::Slot(_) | Ex::Doc { .. } | Ex::Field { .. } | Ex::Subquery(_) | Ex::Aggregate(_) => fits = false,
            // Here rows that are alike are computed once, and others wait for the memory that is used meanwhile.
            Ex::Call { function, .. } if function.volatility != Volatility::Stable => fits = false,
            _ => {}
        }
        true
    });
    fits
}

fn is_column(part: DocPart) -> bool {
    use DocPart::{Block, Deleted, Id, Position, Successor, Supersedes, TableId, TxId, TxTime, Version};
    matches!(part, Id | Version | TxTime | TxId | Block | Position | Supersedes | Successor | Deleted | TableId)
}

/// Whether the kernels compute it without ever failing: then it does not matter for which rows it is computed.
pub(super) fn never_fails(ex: &Ex) -> bool {
    match ex {
        Ex::Const(_) | Ex::Param(_) | Ex::Field { .. } | Ex::Doc { .. } => true,
        Ex::Path { steps, .. } => steps.iter().all(|s| matches!(s, Step::Field { .. })),
        Ex::Compare { left, right, .. } => never_fails(left) && never_fails(right),
        Ex::IsNull { expr, .. } | Ex::IsMissing { expr, .. } => never_fails(expr),
        Ex::In { expr, list, .. } => never_fails(expr) && list.iter().all(never_fails),
        Ex::Coalesce(parts) => parts.iter().all(never_fails),
        Ex::And(parts) | Ex::Or(parts) => parts.iter().all(|p| is_truth(p) && never_fails(p)),
        Ex::Not(e) => is_truth(e) && never_fails(e),
        _ => false,
    }
}

/// Whether it is a boolean or null, whatever the document holds.
fn is_truth(ex: &Ex) -> bool {
    match ex {
        Ex::Compare { .. } | Ex::IsNull { .. } | Ex::IsMissing { .. } | Ex::IsBool { .. } | Ex::In { .. } => true,
        Ex::Distinct { .. } | Ex::Like { .. } => true,
        Ex::And(parts) | Ex::Or(parts) => parts.iter().all(is_truth),
        Ex::Not(e) => is_truth(e),
        _ => false,
    }
}

/// Reads inputs: all rows of the batch, or only some.
pub(super) trait Load {
    fn load(&self, input: usize, rows: Option<&UInt32Array>) -> Result<Vector, Stop>;
}

/// Rows of one table, whose columns are read when they are needed.
pub(super) struct Batch<'b> {
    pub rows: usize,
    inputs: &'b [Input],
    source: &'b dyn Load,
    /// Which of the source's rows these are.
    chosen: Option<UInt32Array>,
    vectors: Vec<OnceCell<Vector>>,
}

impl<'b> Batch<'b> {
    pub fn new(rows: usize, inputs: &'b [Input], source: &'b dyn Load) -> Self {
        Batch { rows, inputs, source, chosen: None, vectors: inputs.iter().map(|_| OnceCell::new()).collect() }
    }

    /// The rows of the source that the batch has; `None`: all.
    pub fn chosen(&self) -> Option<&UInt32Array> {
        self.chosen.as_ref()
    }

    /// Bytes of what has been read of it.
    pub fn bytes(&self) -> usize {
        self.vectors.iter().filter_map(OnceCell::get).map(Vector::bytes).sum()
    }

    /// Only these rows; what has been read of them is kept.
    pub fn select(&self, rows: &UInt32Array) -> Result<Batch<'b>, Stop> {
        let chosen = match &self.chosen {
            None => rows.clone(),
            Some(chosen) => {
                let of = |row: &u32| chosen.values().get(*row as usize).copied().unwrap_or_default();
                rows.values().iter().map(of).collect::<Vec<u32>>().into()
            }
        };
        let mut vectors = Vec::with_capacity(self.vectors.len());
        for vector in &self.vectors {
            vectors.push(match vector.get() {
                Some(vector) => OnceCell::from(vector.take(rows)?),
                None => OnceCell::new(),
            });
        }
        Ok(Batch { rows: rows.len(), inputs: self.inputs, source: self.source, chosen: Some(chosen), vectors })
    }

    /// An input's values.
    pub fn input(&self, input: &Input) -> Result<&Vector, Stop> {
        let at = self.inputs.iter().position(|i| i == input).ok_or(Stop::Fallback("no such input"))?;
        let cell = self.vectors.get(at).ok_or(Stop::Fallback("no such input"))?;
        if let Some(vector) = cell.get() {
            return Ok(vector);
        }
        let vector = self.source.load(at, self.chosen.as_ref())?;
        if vector.len() != self.rows {
            return Err(Stop::Fallback("a column has another number of rows"));
        }
        Ok(cell.get_or_init(|| vector))
    }
}

/// Computes expressions over the documents of one slot.
pub(super) struct Evaluator<'r, 'a> {
    pub run: &'r Run<'a>,
    pub table: Id,
    pub slot: u32,
    /// Slots of the query level.
    pub width: usize,
}

impl Evaluator<'_, '_> {
    /// The rows for which every filter holds, each computed only where those before it hold; `None`: all.
    pub fn passing<'b>(&self, filters: &[&Ex], batch: Batch<'b>) -> Result<Batch<'b>, Stop> {
        let mut batch = batch;
        for filter in filters {
            let holds = self.holding(filter, &batch)?;
            if holds.len() < batch.rows {
                batch = batch.select(&holds)?;
            }
        }
        Ok(batch)
    }

    /// The rows for which a condition holds.
    pub fn holding(&self, filter: &Ex, batch: &Batch<'_>) -> Result<UInt32Array, Stop> {
        // To a filter anything but true is the same.
        Ok(match self.eval(filter, batch)? {
            Vector::Values(values) => {
                let holds = |row: &usize| values.get(*row).is_some_and(Run::is_true);
                (0..batch.rows).filter(holds).map(|row| row as u32).collect::<Vec<u32>>().into()
            }
            vector => match truths(&vector) {
                Some(truth) => kernel::holding(&truth),
                None => Vec::<u32>::new().into(),
            },
        })
    }

    pub fn eval(&self, ex: &Ex, batch: &Batch<'_>) -> Result<Vector, Stop> {
        if let Some(vector) = self.by_words(ex, batch)? {
            return Ok(vector);
        }
        crate::bind::deep(|| match self.kernel(ex, batch)? {
            Some(vector) => Ok(vector),
            None => self.by_row(ex, batch),
        })
    }

    /// `None`: no kernel computes it, at least not for these values.
    fn kernel(&self, ex: &Ex, batch: &Batch<'_>) -> Result<Option<Vector>, Stop> {
        Ok(Some(match ex {
            Ex::Const(d) => Vector::Same(d.clone(), batch.rows),
            Ex::Param(i) => Vector::Same(self.run.params.get(*i as usize).cloned().flatten(), batch.rows),
            Ex::Field { name, any_case, .. } => {
                batch.input(&Input::Field { name: name.clone(), any_case: *any_case })?.clone()
            }
            Ex::Doc { part, .. } => batch.input(&Input::Part(*part))?.clone(),
            Ex::And(parts) => return Ok(self.connected(parts, false, batch)?.map(Vector::Bool)),
            Ex::Or(parts) => return Ok(self.connected(parts, true, batch)?.map(Vector::Bool)),
            Ex::Not(e) => return Ok(truths(&self.eval(e, batch)?).map(|t| Vector::Bool(kernel::not(&t)))),
            Ex::Compare { op, left, right, dynamic } => {
                let (a, b) = (self.eval(left, batch)?, self.eval(right, batch)?);
                Vector::Bool(self.compare(*op, &a, &b, *dynamic))
            }
            Ex::IsNull { expr, negated } | Ex::IsMissing { expr, negated } => {
                let vector = self.eval(expr, batch)?;
                Vector::Bool((0..batch.rows).map(|row| Some(vector.is_null(row) != *negated)).collect())
            }
            Ex::In { expr, list, negated, dynamic } if !list.is_empty() && list.iter().all(never_fails) => {
                let value = self.eval(expr, batch)?;
                let mut found = BooleanArray::from(vec![false; batch.rows]);
                for item in list {
                    let equal = self.compare(Comparison::Eq, &value, &self.eval(item, batch)?, *dynamic);
                    found = kernel::or(&found, &equal);
                }
                Vector::Bool(if *negated { kernel::not(&found) } else { found })
            }
            Ex::Like { expr, pattern, escape: None, any_case, negated } => {
                let (Vector::Text(texts), Vector::Same(Some(Value::String(pattern)), _)) =
                    (self.eval(expr, batch)?, self.eval(pattern, batch)?)
                else {
                    return Ok(None);
                };
                let cancel = &self.run.call.session.cancel;
                let found = |t: Option<&str>| t.map(|t| like(t, &pattern, Some('\\'), *any_case, cancel)).transpose();
                let found: crate::error::Result<BooleanArray> =
                    texts.iter().map(|t| Ok(found(t)?.map(|b| b != *negated))).collect();
                Vector::Bool(found?)
            }
            Ex::Coalesce(parts) => self.coalesce(parts, batch)?,
            Ex::Case { whens, otherwise } => self.case(whens, otherwise.as_deref(), batch)?,
            Ex::Arithmetic { op, kind, left, right } => return self.arithmetic(*op, *kind, left, right, batch),
            Ex::Call { function, arguments } => return self.call(function, arguments, batch),
            _ => return Ok(None),
        }))
    }

    /// AND and OR: a part is computed for the rows that the parts before it have not decided, unless it never fails.
    fn connected(&self, parts: &[Ex], decides: bool, batch: &Batch<'_>) -> Result<Option<BooleanArray>, Stop> {
        let mut all = BooleanArray::from(vec![!decides; batch.rows]);
        for part in parts {
            let open = kernel::undecided(&all, decides);
            if open.is_empty() {
                break;
            }
            let some = open.len() < batch.rows && !never_fails(part);
            let vector = if some { self.eval(part, &batch.select(&open)?)? } else { self.eval(part, batch)? };
            let Some(truth) = truths(&vector) else { return Ok(None) };
            let truth = if some { kernel::spread(&truth, &open, batch.rows, !decides) } else { truth };
            all = if decides { kernel::or(&all, &truth) } else { kernel::and(&all, &truth) };
        }
        Ok(Some(all))
    }

    fn compare(&self, op: Comparison, a: &Vector, b: &Vector, dynamic: bool) -> BooleanArray {
        kernel::compare(op, a, b).unwrap_or_else(|| {
            let compared = |row| match self.run.compare(op, a.value(row).as_ref(), b.value(row).as_ref(), dynamic) {
                Some(Value::Bool(holds)) => Some(holds),
                _ => None,
            };
            (0..a.len()).map(compared).collect()
        })
    }

    fn coalesce(&self, parts: &[Ex], batch: &Batch<'_>) -> Result<Vector, Stop> {
        let mut values: Vec<Datum> = vec![None; batch.rows];
        let mut open: Vec<u32> = (0..batch.rows as u32).collect();
        for part in parts {
            let rows = UInt32Array::from(open);
            let vector = match rows.len() < batch.rows {
                true => self.eval(part, &batch.select(&rows)?)?,
                false => self.eval(part, batch)?,
            };
            if rows.len() == batch.rows && (0..batch.rows).all(|row| !vector.is_null(row)) {
                return Ok(vector);
            }
            open = fill(&mut values, &rows, &vector, |row| vector.is_null(row));
            if open.is_empty() {
                break;
            }
        }
        Ok(Vector::of(values))
    }

    fn case(&self, whens: &[(Ex, Ex)], otherwise: Option<&Ex>, batch: &Batch<'_>) -> Result<Vector, Stop> {
        let mut values: Vec<Datum> = vec![None; batch.rows];
        let mut open = UInt32Array::from_iter_values(0..batch.rows as u32);
        for (when, then) in whens {
            let left = batch.select(&open)?;
            let truth = self.eval(when, &left)?;
            let holds = |row: usize| Run::is_true(&truth.value(row));
            let (yes, no): (Vec<u32>, Vec<u32>) = (0..left.rows as u32).partition(|row| holds(*row as usize));
            let place = |rows: Vec<u32>| -> UInt32Array { rows.iter().map(|r| open.value(*r as usize)).collect() };
            let (at, rest) = (place(yes), place(no));
            if !at.is_empty() {
                let vector = self.eval(then, &batch.select(&at)?)?;
                fill(&mut values, &at, &vector, |_| false);
            }
            open = rest;
            if open.is_empty() {
                return Ok(Vector::of(values));
            }
        }
        if let Some(otherwise) = otherwise {
            let vector = self.eval(otherwise, &batch.select(&open)?)?;
            fill(&mut values, &open, &vector, |_| false);
        }
        Ok(Vector::of(values))
    }

    fn arithmetic(
        &self,
        op: BinaryOp,
        kind: Arithmetic,
        left: &Ex,
        right: &Ex,
        batch: &Batch<'_>,
    ) -> Result<Option<Vector>, Stop> {
        let ty = match kind {
            Arithmetic::Int2 => Some(crate::types::SqlType::Int2),
            Arithmetic::Int4 => Some(crate::types::SqlType::Int4),
            Arithmetic::Int8 | Arithmetic::Dynamic { partiql: false } => Some(crate::types::SqlType::Int8),
            Arithmetic::Numeric => None,
            _ => return Ok(None),
        };
        let (a, b) = (self.eval(left, batch)?, self.eval(right, batch)?);
        Ok(match ty {
            Some(ty) if kernel::are_ints(&a, &b) => kernel::ints(op, &a, &b, &ty),
            Some(_) if kind != (Arithmetic::Dynamic { partiql: false }) => None,
            _ => kernel::numerics(op, &a, &b),
        })
    }

    /// Functions of times with a constant unit.
    fn call(&self, function: &'static Scalar, arguments: &[Ex], batch: &Batch<'_>) -> Result<Option<Vector>, Stop> {
        let ("date_trunc" | "extract", [Ex::Const(Some(Value::String(unit))), time]) = (function.name, arguments)
        else {
            return Ok(None);
        };
        let Vector::Time(times, shape) = self.eval(time, batch)? else { return Ok(None) };
        let Some(first) = times.iter().flatten().next() else { return Ok(Some(Vector::Same(None, batch.rows))) };
        if function.name == "extract" {
            return Ok(kernel::extract(unit, &times, shape));
        }
        // How its answers are written the function itself says.
        let first = super::column::time_of(first, shape).map(Value::Timestamp);
        let answer = (function.call)(&self.run.call, &[Some(Value::String(unit.clone())), first])?;
        let form = answer.as_ref().and_then(super::vector::form_of);
        let Some(super::vector::Form::Time(shape)) = form else { return Ok(None) };
        Ok(kernel::truncate(unit, &times).map(|times| Vector::Time(times, shape)))
    }

    /// An expression over one column of few texts is computed once for each of them.
    fn by_words(&self, ex: &Ex, batch: &Batch<'_>) -> Result<Option<Vector>, Stop> {
        if matches!(ex, Ex::Const(_) | Ex::Param(_) | Ex::Field { .. } | Ex::Doc { .. }) {
            return Ok(None);
        }
        let mut inputs = Vec::new();
        if !inputs_of(ex, self.slot, &mut inputs) {
            return Ok(None);
        }
        let [input @ Input::Field { .. }] = inputs.as_slice() else { return Ok(None) };
        let Vector::Words(words) = batch.input(input)? else { return Ok(None) };
        let dictionary = words.values().as_string::<i32>();
        if dictionary.len() * 2 > batch.rows {
            return Ok(None);
        }
        // One more word for the rows without any.
        let each: StringArray = dictionary.iter().chain([None]).collect();
        let source = Words(each);
        let few = Batch::new(source.0.len(), &inputs, &source);
        let answers = match self.eval(ex, &few) {
            Ok(answers) => answers,
            // It may be one of a word that no row has here: the rows say.
            Err(Stop::Error(_)) => return Ok(None),
            Err(stop) => return Err(stop),
        };
        let none = dictionary.len() as u32;
        let rows: UInt32Array = words.keys().iter().map(|k| k.map_or(none, |k| k as u32)).collect();
        Ok(Some(match answers {
            Vector::Text(texts) => {
                let keys = rows.values().iter().map(|r| texts.is_valid(*r as usize).then_some(*r as i32));
                Vector::Words(DictionaryArray::<Int32Type>::new(keys.collect(), Arc::new(texts)))
            }
            other => other.take(&rows)?,
        }))
    }

    /// The document executor's evaluator, over documents put together from what it reads.
    fn by_row(&self, ex: &Ex, batch: &Batch<'_>) -> Result<Vector, Stop> {
        let mut inputs = Vec::new();
        if !inputs_of(ex, self.slot, &mut inputs) {
            return Err(Stop::Fallback("an expression reads what no column holds"));
        }
        let mut vectors = Vec::with_capacity(inputs.len());
        for input in &inputs {
            vectors.push((input, batch.input(input)?));
        }
        let mut tuple: Tuple = vec![Slot::Empty; self.width];
        let mut values = Vec::with_capacity(batch.rows);
        for row in 0..batch.rows {
            self.run.tick()?;
            if let Some(place) = tuple.get_mut(self.slot as usize) {
                *place = Slot::Doc(Arc::new(document(self.table, &vectors, row)?));
            }
            values.push(self.run.eval(ex, &Env { row: &tuple, outer: None })?);
        }
        Ok(Vector::of(values))
    }
}

/// The words of a dictionary as a column.
struct Words(StringArray);

impl Load for Words {
    fn load(&self, _: usize, rows: Option<&UInt32Array>) -> Result<Vector, Stop> {
        let all = Vector::Text(self.0.clone());
        rows.map_or(Ok(all.clone()), |rows| all.take(rows))
    }
}

/// A document of which nothing is known but these parts.
fn document(table: Id, parts: &[(&Input, &Vector)], row: usize) -> Result<Doc, Stop> {
    let mut doc = Doc {
        table_id: table,
        id: Id([0; 16]),
        position: 0,
        version: 0,
        block: 0,
        tx_time_ms: 0,
        tx_id: Id([0; 16]),
        supersedes: None,
        successor: None,
        data: None,
        salt: None,
        data_hash: None,
    };
    let mut fields: Vec<(Symbol, Value)> = Vec::new();
    let mut deleted = false;
    for (input, vector) in parts {
        let Some(value) = vector.value(row) else { continue };
        let number = || value.as_i64().and_then(|i| u64::try_from(i).ok()).unwrap_or_default();
        let id = || value.as_text().and_then(|t| t.parse().ok()).ok_or(Stop::Fallback("a column of ids without ids"));
        match input {
            Input::Field { name, .. } => fields.push((Symbol::from(name), value)),
            Input::Part(DocPart::Id) => doc.id = id()?,
            Input::Part(DocPart::TxId) => doc.tx_id = id()?,
            Input::Part(DocPart::Version) => doc.version = number(),
            Input::Part(DocPart::Block) => doc.block = number(),
            Input::Part(DocPart::Position) => doc.position = number(),
            Input::Part(DocPart::Supersedes) => doc.supersedes = Some(number()),
            Input::Part(DocPart::Successor) => doc.successor = Some(number()),
            Input::Part(DocPart::Deleted) => deleted = value == Value::Bool(true),
            Input::Part(DocPart::TxTime) => {
                let Value::Timestamp(time) = &value else { return Err(Stop::Fallback("a time that is none")) };
                doc.tx_time_ms = crate::value::datetime::to_micros(time).div_euclid(1000);
            }
            Input::Part(_) => {}
        }
    }
    doc.data = (!deleted).then(|| Arc::new(Value::Struct(Struct { fields })));
    Ok(doc)
}

/// Puts values at their rows; returns the rows that stay open.
fn fill(values: &mut [Datum], rows: &UInt32Array, vector: &Vector, open: impl Fn(usize) -> bool) -> Vec<u32> {
    let mut left = Vec::new();
    for (at, row) in rows.values().iter().enumerate() {
        if open(at) {
            left.push(*row);
        } else if let Some(place) = values.get_mut(*row as usize) {
            *place = vector.value(at);
        }
    }
    left
}

/// A vector as truth values; `None`: there may be something else among them.
pub(super) fn truths(vector: &Vector) -> Option<BooleanArray> {
    match vector {
        Vector::Bool(array) => Some(array.clone()),
        Vector::Same(None, rows) => Some(BooleanArray::new_null(*rows)),
        Vector::Same(Some(Value::Bool(b)), rows) => Some(BooleanArray::from(vec![*b; *rows])),
        _ => None,
    }
}

/// Integers of a vector, one per row.
pub(super) fn numbers(vector: &Vector) -> Option<Int64Array> {
    match vector {
        Vector::Int(array) => Some(array.clone()),
        Vector::Same(None, rows) => Some(Int64Array::new_null(*rows)),
        Vector::Same(Some(value), rows) => Some(Int64Array::from(vec![value.as_i64()?; *rows])),
        _ => None,
    }
}
