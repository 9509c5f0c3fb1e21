//! Groups of the rows that one thread has seen, and one such set of groups merged into another: the two phases of an
//! aggregate. Sums are exact, in 128 bits; what could differ from the document executor by the order of rows, or by how
//! equal values are written, is refused.

mod accumulate;
mod intern;

use ledgerstone_digest::ion::Value;

use super::vector::Vector;
use super::{Group, Stop};
use crate::bind::plan::Datum;
use crate::function::aggregate::AggregateKind;
pub(super) use accumulate::Cells;
use intern::{Interner, Pairs};

/// No row of the group has been seen.
const UNSEEN: u64 = u64::MAX;

/// The groups so far.
#[derive(Debug)]
pub(super) struct Partial {
    keys: Vec<Interner>,
    /// The numbers of the first two keys together, of these and the third, and so on.
    pairs: Vec<Pairs>,
    /// Where the first row of each group stands.
    first: Vec<u64>,
    cells: Vec<Cells>,
}

impl Partial {
    pub fn new(keys: usize, cells: Vec<Cells>) -> Partial {
        let mut partial = Partial {
            keys: (0..keys).map(|_| Interner::default()).collect(),
            pairs: (1..keys).map(|_| Pairs::default()).collect(),
            first: Vec::new(),
            cells,
        };
        if keys == 0 {
            // Without keys there is one group, even of no rows.
            partial.first.push(0);
            partial.cells.iter_mut().for_each(|cells| cells.grow(1));
        }
        partial
    }

    /// The groups of rows with these keys; `place` says where a row stands among all rows.
    pub fn groups_of(&mut self, keys: &[Vector], rows: usize, place: impl Fn(usize) -> u64) -> Result<Vec<u32>, Stop> {
        let Some((first, rest)) = keys.split_first() else { return Ok(vec![0; rows]) };
        let interner = self.keys.first_mut().ok_or(Stop::Fallback("no such key"))?;
        let mut groups = interner.codes(first)?;
        for ((vector, interner), pairs) in rest.iter().zip(self.keys.iter_mut().skip(1)).zip(&mut self.pairs) {
            pairs.join(&mut groups, &interner.codes(vector)?);
        }
        let count = self.pairs.last().map_or_else(|| self.keys.first().map_or(0, Interner::len), Pairs::len);
        self.grow(count);
        for (row, group) in groups.iter().enumerate() {
            if let Some(first) = self.first.get_mut(*group as usize)
                && *first == UNSEEN
            {
                *first = place(row);
            }
        }
        Ok(groups)
    }

    /// What an aggregate takes in of rows whose groups are known.
    pub fn add(&mut self, aggregate: usize, groups: &[u32], values: Option<&Vector>) -> Result<(), Stop> {
        self.cells.get_mut(aggregate).ok_or(Stop::Fallback("no such aggregate"))?.add(groups, values)
    }

    /// Takes over what another thread has seen.
    pub fn absorb(&mut self, other: Partial) -> Result<(), Stop> {
        let mut groups = Vec::with_capacity(other.first.len());
        for (group, first) in other.first.iter().enumerate() {
            if *first == UNSEEN {
                groups.push(u32::MAX);
                continue;
            }
            let group = self.group_of(&other.key_values(group as u32))?;
            if let Some(mine) = self.first.get_mut(group as usize) {
                *mine = (*mine).min(*first);
            }
            groups.push(group);
        }
        for (mine, theirs) in self.cells.iter_mut().zip(other.cells) {
            mine.absorb(theirs, &groups)?;
        }
        Ok(())
    }

    /// The groups with their aggregates finished, in the order of their first rows.
    pub fn finish(self, kinds: &[&AggregateKind]) -> Result<Vec<Group>, Stop> {
        let mut seen: Vec<(u64, u32)> = Vec::new();
        seen.extend(self.first.iter().enumerate().filter(|(_, f)| **f != UNSEEN).map(|(g, f)| (*f, g as u32)));
        seen.sort_unstable();
        let mut out = Vec::with_capacity(seen.len());
        for (_, group) in seen {
            let mut finished = Vec::with_capacity(kinds.len());
            for (cells, kind) in self.cells.iter().zip(kinds) {
                finished.push(cells.finish(group as usize, kind)?);
            }
            out.push((self.key_values(group), finished));
        }
        Ok(out)
    }

    /// Bytes that it takes, roughly.
    pub fn bytes(&self) -> usize {
        let keys: usize = self.keys.iter().map(Interner::bytes).sum();
        let pairs: usize = self.pairs.iter().map(Pairs::bytes).sum();
        keys + pairs + 8 * self.first.len() + self.cells.iter().map(Cells::bytes).sum::<usize>()
    }

    fn grow(&mut self, groups: usize) {
        if groups > self.first.len() {
            self.first.resize(groups, UNSEEN);
            self.cells.iter_mut().for_each(|cells| cells.grow(groups));
        }
    }

    fn key_values(&self, group: u32) -> Vec<Datum> {
        let mut group = group;
        let mut codes = Vec::with_capacity(self.keys.len());
        for pairs in self.pairs.iter().rev() {
            let (left, right) = pairs.parts(group);
            codes.push(right);
            group = left;
        }
        if !self.keys.is_empty() {
            codes.push(group);
        }
        self.keys.iter().zip(codes.into_iter().rev()).map(|(key, code)| key.value(code)).collect()
    }

    fn group_of(&mut self, values: &[Datum]) -> Result<u32, Stop> {
        let mut group = 0;
        for (n, (key, value)) in self.keys.iter_mut().zip(values).enumerate() {
            let code = key.code(value)?;
            group = match n.checked_sub(1).and_then(|n| self.pairs.get_mut(n)) {
                Some(pairs) => pairs.number(group, code),
                None => code,
            };
        }
        let count = self.pairs.last().map_or_else(|| self.keys.first().map_or(1, Interner::len), Pairs::len);
        self.grow(count);
        Ok(group)
    }
}

/// A value that equals another one and is written otherwise, so that it matters which one came first.
fn is_ambiguous(value: f64) -> bool {
    value == 0.0 && value.is_sign_negative()
}

/// The one way a NaN is written.
fn one_nan(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value }
}

fn float(value: f64) -> Datum {
    Some(Value::Float(value))
}
