//! The running aggregates of all groups, column-wise.

use std::cmp::Ordering;
use std::collections::HashSet;

use arrow::array::{Array, AsArray, Int64Array};
use ledgerstone_digest::ion::{Decimal, Int, Value};
use num_bigint::BigInt;

use super::super::Stop;
use super::super::compute::truths;
use super::super::shape::Function;
use super::super::vector::{Form, Vector};
use super::intern::Interner;
use super::is_ambiguous;
use crate::bind::plan::Datum;
use crate::function::aggregate::{Accumulator, AggregateKind};
use crate::value::{compare, numeric};

/// One aggregate of every group.
#[derive(Debug)]
pub(in super::super) enum Cells {
    Count(Vec<u64>),
    Distinct {
        values: Box<Interner>,
        seen: HashSet<(u32, u32)>,
        counts: Vec<u64>,
    },
    /// One lane for each way numbers are written: how a sum is written depends on all of them.
    Sum {
        lanes: Vec<Lane>,
        groups: usize,
    },
    Best {
        least: bool,
        form: Option<Form>,
        best: Vec<Best>,
    },
    Truth {
        all: bool,
        found: Vec<Option<bool>>,
    },
}

/// Sums of numbers of one scale, integers or decimals.
#[derive(Debug)]
pub(in super::super) struct Lane {
    int: bool,
    scale: u8,
    sums: Vec<i128>,
    counts: Vec<u64>,
}

/// The least or greatest value so far.
#[derive(Debug, Clone)]
pub(in super::super) enum Best {
    None,
    /// What orders it is one number; the form says which value it is.
    Number(i64),
    Value(Value),
}

impl Cells {
    pub fn new(function: Function) -> Cells {
        match function {
            Function::Count => Cells::Count(Vec::new()),
            Function::CountDistinct => {
                Cells::Distinct { values: Box::default(), seen: HashSet::new(), counts: Vec::new() }
            }
            Function::Sum | Function::Average => Cells::Sum { lanes: Vec::new(), groups: 0 },
            Function::Min => Cells::Best { least: true, form: None, best: Vec::new() },
            Function::Max => Cells::Best { least: false, form: None, best: Vec::new() },
            Function::And => Cells::Truth { all: true, found: Vec::new() },
            Function::Or => Cells::Truth { all: false, found: Vec::new() },
        }
    }

    pub fn grow(&mut self, groups: usize) {
        match self {
            Cells::Count(counts) | Cells::Distinct { counts, .. } => counts.resize(groups, 0),
            Cells::Sum { lanes, groups: known } => {
                *known = groups;
                lanes.iter_mut().for_each(|lane| lane.grow(groups));
            }
            Cells::Best { best, .. } => best.resize(groups, Best::None),
            Cells::Truth { found, .. } => found.resize(groups, None),
        }
    }

    pub fn bytes(&self) -> usize {
        match self {
            Cells::Count(counts) => 8 * counts.len(),
            Cells::Distinct { values, seen, counts } => values.bytes() + 32 * seen.len() + 8 * counts.len(),
            Cells::Sum { lanes, groups } => 24 * lanes.len() * groups,
            Cells::Best { best, .. } => 96 * best.len(),
            Cells::Truth { found, .. } => found.len(),
        }
    }

    /// Takes in the values of rows whose groups are these; no values: the rows themselves count.
    pub fn add(&mut self, groups: &[u32], values: Option<&Vector>) -> Result<(), Stop> {
        match (self, values) {
            (Cells::Count(counts), values) => {
                for (row, group) in groups.iter().enumerate() {
                    if values.is_none_or(|v| !v.is_null(row))
                        && let Some(count) = counts.get_mut(*group as usize)
                    {
                        *count += 1;
                    }
                }
                Ok(())
            }
            (_, None) => Err(Stop::Fallback("an aggregate without its argument")),
            (_, Some(Vector::Same(None, _))) => Ok(()),
            (Cells::Distinct { values: known, seen, counts }, Some(vector)) => {
                let codes = known.codes(vector)?;
                for (row, (group, code)) in groups.iter().zip(codes).enumerate() {
                    if !vector.is_null(row)
                        && seen.insert((*group, code))
                        && let Some(count) = counts.get_mut(*group as usize)
                    {
                        *count += 1;
                    }
                }
                Ok(())
            }
            (Cells::Sum { lanes, groups: known }, Some(vector)) => sum(lanes, *known, groups, vector),
            (Cells::Best { least, form, best }, Some(vector)) => {
                if let Some(now) = vector.form()
                    && *form.get_or_insert(now) != now
                {
                    return Err(Stop::Fallback("values to compare are not all written alike"));
                }
                take_best(*least, best, groups, vector)
            }
            (Cells::Truth { all, found }, Some(vector)) => {
                let truth = truths(vector).ok_or(Stop::Fallback("what is to be combined is no boolean"))?;
                for (group, now) in groups.iter().zip(&truth) {
                    if let (Some(now), Some(found)) = (now, found.get_mut(*group as usize)) {
                        *found = Some(found.map_or(now, |before| if *all { before && now } else { before || now }));
                    }
                }
                Ok(())
            }
        }
    }

    /// Takes over the cells of another thread, whose groups have these numbers here (`u32::MAX`: none).
    pub fn absorb(&mut self, other: Cells, numbers: &[u32]) -> Result<(), Stop> {
        match (self, other) {
            (Cells::Count(mine), Cells::Count(theirs)) => add_counts(mine, &theirs, numbers),
            (
                Cells::Distinct { values, seen, counts },
                Cells::Distinct { values: their_values, seen: their_seen, .. },
            ) => {
                for (group, code) in their_seen {
                    let Some(group) = numbers.get(group as usize).copied() else { continue };
                    if seen.insert((group, values.code(&their_values.value(code))?))
                        && let Some(count) = counts.get_mut(group as usize)
                    {
                        *count += 1;
                    }
                }
            }
            (Cells::Sum { lanes, groups }, Cells::Sum { lanes: theirs, .. }) => {
                for lane in theirs {
                    let mine = lane_of(lanes, *groups, lane.int, lane.scale);
                    add_counts(&mut mine.counts, &lane.counts, numbers);
                    for (sum, group) in lane.sums.iter().zip(numbers) {
                        if let Some(total) = mine.sums.get_mut(*group as usize) {
                            *total = total.checked_add(*sum).ok_or(Stop::Fallback("a sum of more than 38 digits"))?;
                        }
                    }
                }
            }
            (Cells::Best { least, form, best }, Cells::Best { form: their_form, best: theirs, .. }) => {
                if let Some(now) = their_form
                    && *form.get_or_insert(now) != now
                {
                    return Err(Stop::Fallback("values to compare are not all written alike"));
                }
                for (theirs, group) in theirs.into_iter().zip(numbers) {
                    if let Some(mine) = best.get_mut(*group as usize)
                        && better(*least, &theirs, mine)
                    {
                        *mine = theirs;
                    }
                }
            }
            (Cells::Truth { all, found }, Cells::Truth { found: theirs, .. }) => {
                for (theirs, group) in theirs.into_iter().zip(numbers) {
                    if let (Some(now), Some(found)) = (theirs, found.get_mut(*group as usize)) {
                        *found = Some(found.map_or(now, |before| if *all { before && now } else { before || now }));
                    }
                }
            }
            _ => return Err(Stop::Fallback("aggregates of different kinds")),
        }
        Ok(())
    }

    /// The aggregate of a group, finished by the rules of its type.
    pub fn finish(&self, group: usize, kind: &AggregateKind) -> Result<Datum, Stop> {
        let none = || Accumulator::new(kind, false);
        Ok(match self {
            Cells::Count(counts) | Cells::Distinct { counts, .. } => {
                let count = counts.get(group).copied().unwrap_or_default();
                Accumulator::resumed(kind, count, std::iter::empty())?
            }
            Cells::Sum { lanes, .. } => {
                let count = lanes.iter().filter_map(|lane| lane.counts.get(group)).sum();
                let values = lanes.iter().filter_map(|lane| lane.value(group));
                Accumulator::resumed(kind, count, values)?
            }
            Cells::Best { form, best, .. } => {
                let value = best.get(group).and_then(|best| best.value(*form));
                Accumulator::resumed(kind, 1, value)?
            }
            Cells::Truth { found, .. } => match found.get(group).copied().flatten() {
                Some(truth) => Accumulator::resumed(kind, 1, std::iter::once(Value::Bool(truth)))?,
                None => none(),
            },
        }
        .finish()?)
    }
}

impl Lane {
    fn grow(&mut self, groups: usize) {
        self.sums.resize(groups, 0);
        self.counts.resize(groups, 0);
    }

    fn value(&self, group: usize) -> Option<Value> {
        let sum = *self.sums.get(group).filter(|_| self.counts.get(group).is_some_and(|n| *n > 0))?;
        let sum = numeric::big_to_int(BigInt::from(sum));
        Some(match self.int {
            true => Value::Int(sum),
            false => Value::Decimal(Decimal::new(sum, -i32::from(self.scale))),
        })
    }
}

impl Best {
    fn value(&self, form: Option<Form>) -> Option<Value> {
        match self {
            Best::None => None,
            Best::Value(value) => Some(value.clone()),
            Best::Number(number) => {
                let array = Int64Array::from(vec![*number]);
                match form? {
                    Form::Int => Vector::Int(array),
                    Form::Decimal(scale) => Vector::Decimal(array, scale),
                    Form::Time(shape) => Vector::Time(array, shape),
                    _ => return None,
                }
                .value(0)
            }
        }
    }
}

fn add_counts(mine: &mut [u64], theirs: &[u64], numbers: &[u32]) {
    for (count, group) in theirs.iter().zip(numbers) {
        if let Some(total) = mine.get_mut(*group as usize) {
            *total += count;
        }
    }
}

fn lane_of(lanes: &mut Vec<Lane>, groups: usize, int: bool, scale: u8) -> &mut Lane {
    let at = lanes.iter().position(|lane| lane.int == int && lane.scale == scale).unwrap_or_else(|| {
        lanes.push(Lane { int, scale, sums: vec![0; groups], counts: vec![0; groups] });
        lanes.len() - 1
    });
    &mut lanes[at]
}

fn sum(lanes: &mut Vec<Lane>, known: usize, groups: &[u32], vector: &Vector) -> Result<(), Stop> {
    match vector {
        Vector::Int(a) => add_numbers(lane_of(lanes, known, true, 0), groups, a),
        Vector::Decimal(a, scale) => add_numbers(lane_of(lanes, known, false, *scale), groups, a),
        Vector::Wide(a, scale) => {
            let lane = lane_of(lanes, known, false, *scale);
            for (row, group) in groups.iter().enumerate().filter(|(row, _)| a.is_valid(*row)) {
                let places = lane.sums.get_mut(*group as usize).zip(lane.counts.get_mut(*group as usize));
                let Some((sum, count)) = places else { continue };
                *sum = sum.checked_add(a.value(row)).ok_or(Stop::Fallback("a sum of more than 38 digits"))?;
                *count += 1;
            }
        }
        // Numbers of several scales, or too large for a column: one by one.
        Vector::Same(..) | Vector::Values(_) => {
            for (row, group) in groups.iter().enumerate() {
                match vector.value(row) {
                    None => {}
                    Some(value @ (Value::Int(Int::Small(_)) | Value::Decimal(_))) => {
                        match Vector::of(vec![Some(value)]) {
                            one @ (Vector::Int(_) | Vector::Decimal(..) | Vector::Wide(..)) => {
                                sum(lanes, known, std::slice::from_ref(group), &one)?;
                            }
                            _ => return Err(Stop::Fallback("a number of no exact form")),
                        }
                    }
                    Some(_) => return Err(Stop::Fallback("what is to be summed is no exact number")),
                }
            }
        }
        _ => return Err(Stop::Fallback("what is to be summed is no exact number")),
    }
    Ok(())
}

fn add_numbers(lane: &mut Lane, groups: &[u32], numbers: &Int64Array) {
    let (sums, counts) = (&mut lane.sums, &mut lane.counts);
    if let ([sum], [count], 0) = (sums.as_mut_slice(), counts.as_mut_slice(), numbers.null_count()) {
        *sum += numbers.values().iter().map(|n| i128::from(*n)).sum::<i128>();
        *count += numbers.len() as u64;
        return;
    }
    let mut add = |group: u32, number: i64| {
        if let (Some(sum), Some(count)) = (sums.get_mut(group as usize), counts.get_mut(group as usize)) {
            *sum += i128::from(number);
            *count += 1;
        }
    };
    if numbers.null_count() == 0 {
        groups.iter().zip(numbers.values()).for_each(|(group, number)| add(*group, *number));
        return;
    }
    for (group, number) in groups.iter().zip(numbers) {
        if let Some(number) = number {
            add(*group, number);
        }
    }
}

fn take_best(least: bool, best: &mut [Best], groups: &[u32], vector: &Vector) -> Result<(), Stop> {
    match vector {
        Vector::Int(a) | Vector::Decimal(a, _) | Vector::Time(a, _) => {
            for (group, now) in groups.iter().zip(a) {
                let (Some(now), Some(place)) = (now, best.get_mut(*group as usize)) else { continue };
                match place {
                    Best::Number(before) if (*before <= now) == least || *before == now => {}
                    _ => *place = Best::Number(now),
                }
            }
        }
        Vector::Text(a) => best_texts(least, best, groups, |row| a.is_valid(row).then(|| a.value(row))),
        Vector::Words(a) => {
            let words = a.values().as_string::<i32>();
            best_texts(least, best, groups, |row| a.is_valid(row).then(|| words.value(a.keys().value(row) as usize)));
        }
        Vector::Float(_) | Vector::Bytes(_) => {
            for (row, group) in groups.iter().enumerate() {
                let (Some(now), Some(place)) = (vector.value(row), best.get_mut(*group as usize)) else { continue };
                if matches!(now, Value::Float(f) if is_ambiguous(f)) {
                    return Err(Stop::Fallback("a negative zero to compare"));
                }
                let now = Best::Value(now);
                if better(least, &now, place) {
                    *place = now;
                }
            }
        }
        Vector::Same(Some(value), rows) => match Vector::of(vec![Some(value.clone()); *rows]) {
            Vector::Same(..) | Vector::Values(_) => return Err(Stop::Fallback("a value to compare of no exact form")),
            typed => take_best(least, best, groups, &typed)?,
        },
        Vector::Same(None, _) => {}
        Vector::Bool(_) | Vector::Wide(..) | Vector::Values(_) => {
            return Err(Stop::Fallback("values to compare of no exact form"));
        }
    }
    Ok(())
}

fn best_texts<'t>(least: bool, best: &mut [Best], groups: &[u32], text: impl Fn(usize) -> Option<&'t str>) {
    for (row, group) in groups.iter().enumerate() {
        let (Some(now), Some(place)) = (text(row), best.get_mut(*group as usize)) else { continue };
        let is_better = match &*place {
            Best::Value(Value::String(before)) => {
                let ordering = now.as_bytes().cmp(before.as_bytes());
                if least { ordering.is_lt() } else { ordering.is_gt() }
            }
            _ => true,
        };
        if is_better {
            *place = Best::Value(Value::string(now));
        }
    }
}

/// Whether the first is to take the place of the second.
fn better(least: bool, now: &Best, before: &Best) -> bool {
    let ordering = match (now, before) {
        (Best::None, _) => return false,
        (_, Best::None) => return true,
        (Best::Number(now), Best::Number(before)) => now.cmp(before),
        (Best::Value(now), Best::Value(before)) => compare::compare(now, before),
        _ => Ordering::Equal,
    };
    if least { ordering.is_lt() } else { ordering.is_gt() }
}
