//! Values as small numbers: each distinct value of a key gets the next one.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array, StringArray};
use ledgerstone_digest::ion::Value;

use super::super::Stop;
use super::super::vector::{Form, Vector};
use super::{float, is_ambiguous, one_nan};
use crate::bind::plan::Datum;

/// The number of null.
const NULL: u32 = 0;
/// Places of a table of pairs; with more it is a map.
const DENSE_MAX: usize = 1 << 22;

/// Numbers of the values of one column. All of them are written in one form: where equal values could be written in two
/// ways, which of them a group shows depends on the order of rows.
#[derive(Debug)]
pub(in super::super) struct Interner {
    form: Option<Form>,
    /// By what makes a value the same: integers, coefficients, microseconds, the bits of floats.
    ints: HashMap<i64, u32>,
    wide: HashMap<i128, u32>,
    bytes: HashMap<Arc<[u8]>, u32>,
    values: Vec<Datum>,
    held: usize,
    /// The dictionary met last, and the numbers of its words.
    dictionary: Option<(ArrayRef, Vec<u32>)>,
}

impl Default for Interner {
    fn default() -> Self {
        Interner {
            form: None,
            ints: HashMap::new(),
            wide: HashMap::new(),
            bytes: HashMap::new(),
            values: vec![None],
            held: 0,
            dictionary: None,
        }
    }
}

impl Interner {
    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn bytes(&self) -> usize {
        self.values.len() * 96 + self.held
    }

    pub fn value(&self, code: u32) -> Datum {
        self.values.get(code as usize).cloned().flatten()
    }

    /// The number of one value.
    pub fn code(&mut self, value: &Datum) -> Result<u32, Stop> {
        match value {
            None => Ok(NULL),
            Some(value) => self.codes(&Vector::Same(Some(value.clone()), 1))?.pop().ok_or(Stop::Fallback("no value")),
        }
    }

    /// The numbers of a vector's values.
    pub fn codes(&mut self, vector: &Vector) -> Result<Vec<u32>, Stop> {
        if let Some(form) = vector.form()
            && *self.form.get_or_insert(form) != form
        {
            return Err(Stop::Fallback("the values of a key are not all written alike"));
        }
        match vector {
            Vector::Same(None, rows) => Ok(vec![NULL; *rows]),
            Vector::Same(Some(value), rows) => {
                let one = Vector::of(vec![Some(value.clone())]);
                let codes = match one {
                    Vector::Values(_) | Vector::Same(..) => return Err(Stop::Fallback("a key of no exact form")),
                    typed => self.codes(&typed)?,
                };
                Ok(vec![codes.first().copied().unwrap_or(NULL); *rows])
            }
            Vector::Values(_) => Err(Stop::Fallback("the values of a key have no exact form")),
            Vector::Bool(a) => Ok(a.iter().map(|b| b.map_or(NULL, |b| self.small(i64::from(b), vector))).collect()),
            Vector::Int(a) | Vector::Decimal(a, _) | Vector::Time(a, _) => Ok(self.of_ints(a, vector)),
            Vector::Wide(a, _) => Ok((0..a.len())
                .map(|row| if a.is_null(row) { NULL } else { self.large(a.value(row), vector, row) })
                .collect()),
            Vector::Float(a) => {
                let mut codes = Vec::with_capacity(a.len());
                for value in a {
                    codes.push(match value {
                        None => NULL,
                        Some(f) if is_ambiguous(f) => return Err(Stop::Fallback("a negative zero as a key")),
                        Some(f) => {
                            let f = one_nan(f);
                            number(&mut self.ints, &mut self.values, f.to_bits().cast_signed(), || float(f))
                        }
                    });
                }
                Ok(codes)
            }
            Vector::Text(a) => Ok(self.of_texts(a)),
            Vector::Bytes(a) => Ok(self.of_bytes(a)),
            Vector::Words(a) => {
                let words = a.values();
                let same = self.dictionary.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, words));
                if !same {
                    let codes = self.of_texts(words.as_string::<i32>());
                    self.dictionary = Some((Arc::clone(words), codes));
                }
                let codes = self.dictionary.as_ref().map_or(&[][..], |(_, codes)| codes);
                let of = |key: i32| codes.get(key as usize).copied().unwrap_or(NULL);
                Ok(match a.keys().null_count() {
                    0 => a.keys().values().iter().map(|key| of(*key)).collect(),
                    _ => a.keys().iter().map(|key| key.map_or(NULL, of)).collect(),
                })
            }
        }
    }

    fn of_ints(&mut self, a: &Int64Array, vector: &Vector) -> Vec<u32> {
        let mut last: Option<(i64, u32)> = None;
        let mut codes = Vec::with_capacity(a.len());
        for (row, value) in a.iter().enumerate() {
            let code = match (value, last) {
                (None, _) => NULL,
                (Some(value), Some((before, code))) if before == value => code,
                (Some(value), _) => {
                    let code = number(&mut self.ints, &mut self.values, value, || vector.value(row));
                    last = Some((value, code));
                    code
                }
            };
            codes.push(code);
        }
        codes
    }

    fn of_texts(&mut self, a: &StringArray) -> Vec<u32> {
        a.iter()
            .map(|text| match text {
                None => NULL,
                Some(text) => self.bytes_number(text.as_bytes(), || Value::string(text)),
            })
            .collect()
    }

    fn of_bytes(&mut self, a: &BinaryArray) -> Vec<u32> {
        a.iter()
            .map(|bytes| match bytes {
                None => NULL,
                Some(bytes) => self.bytes_number(bytes, || Value::blob(bytes)),
            })
            .collect()
    }

    fn bytes_number(&mut self, bytes: &[u8], value: impl FnOnce() -> Value) -> u32 {
        if let Some(code) = self.bytes.get(bytes) {
            return *code;
        }
        let code = self.values.len() as u32;
        self.values.push(Some(value()));
        self.held += 2 * bytes.len();
        self.bytes.insert(bytes.into(), code);
        code
    }

    fn small(&mut self, value: i64, vector: &Vector) -> u32 {
        let datum = || if matches!(vector, Vector::Bool(_)) { Some(Value::Bool(value != 0)) } else { None };
        number(&mut self.ints, &mut self.values, value, datum)
    }

    /// A coefficient may come from a vector of small ones as well.
    fn large(&mut self, value: i128, vector: &Vector, row: usize) -> u32 {
        match i64::try_from(value) {
            Ok(small) => number(&mut self.ints, &mut self.values, small, || vector.value(row)),
            Err(_) => number(&mut self.wide, &mut self.values, value, || vector.value(row)),
        }
    }
}

fn number<K: std::hash::Hash + Eq>(
    known: &mut HashMap<K, u32>,
    values: &mut Vec<Datum>,
    key: K,
    value: impl FnOnce() -> Datum,
) -> u32 {
    *known.entry(key).or_insert_with(|| {
        values.push(value());
        values.len() as u32 - 1
    })
}

/// Numbers of pairs of numbers.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    list: Vec<(u32, u32)>,
    /// By left and right number, each place one more than the pair's number; empty if there are too many.
    dense: Vec<u32>,
    lefts: usize,
    rights: usize,
    sparse: HashMap<(u32, u32), u32>,
}

impl Pairs {
    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn bytes(&self) -> usize {
        8 * self.list.len() + 4 * self.dense.len() + 32 * self.sparse.len()
    }

    pub fn parts(&self, pair: u32) -> (u32, u32) {
        self.list.get(pair as usize).copied().unwrap_or_default()
    }

    /// Replaces each left number by that of its pair.
    pub fn join(&mut self, lefts: &mut [u32], rights: &[u32]) {
        for (left, right) in lefts.iter_mut().zip(rights) {
            *left = self.number(*left, *right);
        }
    }

    pub fn number(&mut self, left: u32, right: u32) -> u32 {
        let (l, r) = (left as usize, right as usize);
        if l < self.lefts && r < self.rights {
            match self.dense.get(l * self.rights + r) {
                Some(0) | None => {}
                Some(pair) => return pair - 1,
            }
        } else if self.sparse.is_empty() && !self.widen(l, r) {
            self.sparse = self.list.iter().enumerate().map(|(n, pair)| (*pair, n as u32)).collect();
            (self.dense, self.lefts, self.rights) = (Vec::new(), 0, 0);
        }
        if self.lefts == 0
            && let Some(pair) = self.sparse.get(&(left, right))
        {
            return *pair;
        }
        let pair = self.list.len() as u32;
        self.list.push((left, right));
        match self.dense.get_mut(l * self.rights + r) {
            Some(place) if self.lefts > 0 => *place = pair + 1,
            _ => {
                self.sparse.insert((left, right), pair);
            }
        }
        pair
    }

    /// Makes the table large enough for a pair; `false`: it would be too large.
    fn widen(&mut self, left: usize, right: usize) -> bool {
        let lefts = self.lefts.max((left + 1).next_power_of_two()).max(16);
        let rights = self.rights.max((right + 1).next_power_of_two()).max(16);
        match lefts.checked_mul(rights) {
            Some(places) if places <= DENSE_MAX => {
                self.dense = vec![0; places];
                (self.lefts, self.rights) = (lefts, rights);
                for (n, (l, r)) in self.list.iter().enumerate() {
                    if let Some(place) = self.dense.get_mut(*l as usize * rights + *r as usize) {
                        *place = n as u32 + 1;
                    }
                }
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_one_number_in_a_table_and_in_a_map() {
        let mut pairs = Pairs::default();
        let mut known: HashMap<(u32, u32), u32> = HashMap::new();
        let mut seed = 7_u32;
        for round in 0..20_000_u32 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let most = 1 + round / 4;
            let pair = ((seed >> 8) % most, (seed >> 16) % 97 * (1 + round / 500));
            let number = pairs.number(pair.0, pair.1);
            assert_eq!(*known.entry(pair).or_insert(number), number);
            assert_eq!(pairs.parts(number), pair);
        }
        assert_eq!(known.len(), pairs.len());
        assert!(!pairs.sparse.is_empty(), "the map was never tried");
    }
}
