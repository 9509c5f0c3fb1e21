//! Array functions (PostgreSQL's documentation, 9.19). Arrays have one dimension here and count from 1.

use std::collections::HashSet;

use ledgerstone_digest::ion::Value;

use super::size::Size;
use super::text::joined;
use super::ty::{ANY, ARRAY, INT4, R_BOOL, R_INT4, R_TEXT, TEXT};
use super::{
    Call, Returns, Scalar, int_at, lenient, list_at, some_bool, some_int, some_text, strict, text_at, value_at,
    variadic,
};
use crate::bind::plan::Datum;
use crate::error::{QueryError, Result, SqlState};
use crate::index::Key;
use crate::value::compare::compare;

pub(super) static FUNCTIONS: &[Scalar] = &[
    strict("array_length", &[ARRAY, INT4], R_INT4, |_, a| match (list_at(a, 0)?.len(), int_at(a, 1)?) {
        (0, _) => Ok(None),
        (n, 1) => some_int(n as i64),
        _ => Ok(None),
    }),
    strict("array_upper", &[ARRAY, INT4], R_INT4, |_, a| match (list_at(a, 0)?.len(), int_at(a, 1)?) {
        (0, _) => Ok(None),
        (n, 1) => some_int(n as i64),
        _ => Ok(None),
    }),
    strict("array_lower", &[ARRAY, INT4], R_INT4, |_, a| {
        if list_at(a, 0)?.is_empty() || int_at(a, 1)? != 1 { Ok(None) } else { some_int(1) }
    }),
    strict("array_ndims", &[ARRAY], R_INT4, |_, a| match dimensions(list_at(a, 0)?).len() {
        0 => Ok(None),
        n => some_int(n as i64),
    }),
    strict("array_dims", &[ARRAY], R_TEXT, |_, a| match dimensions(list_at(a, 0)?) {
        none if none.is_empty() => Ok(None),
        all => some_text(all.iter().map(|n| format!("[1:{n}]")).collect::<String>()),
    }),
    strict("cardinality", &[ARRAY], R_INT4, |_, a| some_int(list_at(a, 0)?.len() as i64)),
    lenient("array_append", &[ARRAY, ANY], Returns::Same(0), |_, a| {
        let mut items = items(a, 0)?;
        items.push(element(a, 1));
        Ok(Some(Value::List(items)))
    }),
    lenient("array_prepend", &[ANY, ARRAY], Returns::Same(1), |_, a| {
        let mut items = items(a, 1)?;
        items.insert(0, element(a, 0));
        Ok(Some(Value::List(items)))
    }),
    lenient("array_cat", &[ARRAY, ARRAY], Returns::Same(0), |_, a| {
        if a.iter().all(Option::is_none) {
            return Ok(None);
        }
        let mut both = items(a, 0)?;
        both.extend(items(a, 1)?);
        Ok(Some(Value::List(both)))
    }),
    lenient("array_position", &[ARRAY, ANY], R_INT4, |_, a| {
        if a.first().is_none_or(Option::is_none) {
            return Ok(None);
        }
        let wanted = element(a, 1);
        match list_at(a, 0)?.iter().position(|v| same(v, &wanted)) {
            Some(at) => some_int(at as i64 + 1),
            None => Ok(None),
        }
    }),
    lenient("array_remove", &[ARRAY, ANY], Returns::Same(0), |_, a| {
        if a.first().is_none_or(Option::is_none) {
            return Ok(None);
        }
        let gone = element(a, 1);
        Ok(Some(Value::List(list_at(a, 0)?.iter().filter(|v| !same(v, &gone)).cloned().collect())))
    }),
    lenient("array_to_string", &[ARRAY, TEXT], R_TEXT, |_, a| join(a)),
    lenient("array_to_string", &[ARRAY, TEXT, TEXT], R_TEXT, |_, a| join(a)),
    lenient("array_positions", &[ARRAY, ANY], Returns::IntArray, positions),
    lenient("array_replace", &[ARRAY, ANY, ANY], Returns::Same(0), |_, a| {
        if a.first().is_none_or(Option::is_none) {
            return Ok(None);
        }
        let (old, new) = (element(a, 1), element(a, 2));
        let count = list_at(a, 0)?.iter().filter(|v| same(v, &old)).count();
        Size::of(&new)?.times(count)?;
        let replaced = |v: &Value| if same(v, &old) { new.clone() } else { v.clone() };
        Ok(Some(Value::List(list_at(a, 0)?.iter().map(replaced).collect())))
    }),
    lenient("array_fill", &[ANY, ARRAY], Returns::ArrayOf(0), |_, a| {
        let [length] = list_at(a, 1)? else {
            return Err(QueryError::unsupported("array_fill() with any but one dimension"));
        };
        let length = length.as_i64().and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= FILLED_MAX);
        let Some(length) = length else {
            let message = format!("an array may have 0 to {FILLED_MAX} elements here");
            return Err(QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        };
        let item = element(a, 0);
        Size::of(&item)?.times(length)?;
        Ok(Some(Value::List(vec![item; length])))
    }),
    strict("trim_array", &[ARRAY, INT4], Returns::Same(0), |_, a| {
        let (items, gone) = (list_at(a, 0)?, int_at(a, 1)?);
        let left = usize::try_from(gone).ok().and_then(|gone| items.len().checked_sub(gone));
        let Some(left) = left else {
            let message = format!("number of elements to trim must be between 0 and {}", items.len());
            return Err(QueryError::new(SqlState::ARRAY_SUBSCRIPT_ERROR, message));
        };
        Ok(Some(Value::List(items.iter().take(left).cloned().collect())))
    }),
    variadic("ledgerstone_array_slice", &[ARRAY, INT4], Returns::Same(0), |_, a| {
        if a.iter().any(Option::is_none) {
            return Ok(None);
        }
        let bounds: Vec<i64> = (1..a.len()).map(|i| int_at(a, i)).collect::<Result<_>>()?;
        Ok(Some(Value::List(slice(list_at(a, 0)?, &bounds))))
    }),
    variadic("ledgerstone_array_element", &[ARRAY, INT4], Returns::Element(0), |_, a| {
        if a.iter().any(Option::is_none) {
            return Ok(None);
        }
        let mut found = value_at(a, 0)?;
        for i in 1..a.len() {
            let place = usize::try_from(int_at(a, i)? - 1).ok();
            match (found, place) {
                (Value::List(items), Some(place)) if let Some(item) = items.get(place) => found = item,
                _ => return Ok(None),
            }
        }
        // Fewer places than dimensions say no element.
        Ok(Some(found.clone()).filter(|v| !v.is_null() && !matches!(v, Value::List(_))))
    }),
    strict("ledgerstone_array_overlap", &[ARRAY, ARRAY], R_BOOL, |_, a| {
        let all = Elements::of(list_at(a, 0)?, list_at(a, 1)?.len());
        some_bool(list_at(a, 1)?.iter().any(|v| all.has(v)))
    }),
    strict("ledgerstone_array_contains", &[ARRAY, ARRAY], R_BOOL, |_, a| {
        let all = Elements::of(list_at(a, 0)?, list_at(a, 1)?.len());
        some_bool(list_at(a, 1)?.iter().all(|v| all.has(v)))
    }),
];

/// Elements that `array_fill` makes, at most.
const FILLED_MAX: usize = 1 << 20;

/// So many comparisons cost less than a set.
const COMPARISONS_FEW: usize = 1 << 10;

/// The elements of an array, to look others up in.
enum Elements<'v> {
    Few(&'v [Value]),
    Many(HashSet<Key>),
}

impl<'v> Elements<'v> {
    /// For so many to be looked up.
    fn of(items: &'v [Value], wanted: usize) -> Elements<'v> {
        if items.len().saturating_mul(wanted) <= COMPARISONS_FEW {
            return Elements::Few(items);
        }
        Elements::Many(items.iter().filter(|v| !v.is_null()).map(Key::one).collect())
    }

    /// NULL is in no array, as the set operators have it.
    fn has(&self, wanted: &Value) -> bool {
        !wanted.is_null()
            && match self {
                Elements::Few(items) => items.iter().any(|v| same(v, wanted)),
                Elements::Many(keys) => keys.contains(&Key::one(wanted)),
            }
    }
}

/// The lengths of an array's dimensions.
fn dimensions(items: &[Value]) -> Vec<usize> {
    let mut lengths = Vec::new();
    let mut level = items;
    while !level.is_empty() && lengths.len() < usize::from(crate::types::ARRAY_DEPTH_MAX) {
        lengths.push(level.len());
        match level.first() {
            Some(Value::List(inner)) => level = inner,
            _ => break,
        }
    }
    lengths
}

/// The elements between two bounds in each dimension; all of those dimensions for which there are none. A slice that goes
/// beyond the array in one of them has no elements, in no dimension.
fn slice(items: &[Value], bounds: &[i64]) -> Vec<Value> {
    let [low, high, rest @ ..] = bounds else { return items.to_vec() };
    let skip = usize::try_from(low.saturating_sub(1).max(0)).unwrap_or(usize::MAX);
    let end = usize::try_from((*high).max(0)).unwrap_or(usize::MAX).min(items.len());
    let kept = items.get(skip..end).unwrap_or_default();
    if rest.is_empty() {
        return kept.to_vec();
    }
    let mut all = Vec::with_capacity(kept.len());
    for item in kept {
        let inner = match item {
            Value::List(inner) => slice(inner, rest),
            // More bounds than dimensions.
            _ => Vec::new(),
        };
        if inner.is_empty() {
            return Vec::new();
        }
        all.push(Value::List(inner));
    }
    all
}

fn positions(_: &Call<'_>, a: &[Datum]) -> Result<Datum> {
    if a.first().is_none_or(Option::is_none) {
        return Ok(None);
    }
    let wanted = element(a, 1);
    let found = list_at(a, 0)?.iter().zip(1..).filter(|(v, _)| same(v, &wanted)).map(|(_, at)| Value::int(at));
    Ok(Some(Value::List(found.collect())))
}

fn items(a: &[Datum], i: usize) -> Result<Vec<Value>> {
    match a.get(i) {
        Some(Some(_)) => Ok(list_at(a, i)?.to_vec()),
        _ => Ok(Vec::new()),
    }
}

fn element(a: &[Datum], i: usize) -> Value {
    value_at(a, i).cloned().unwrap_or(Value::NULL)
}

/// NULLs count as the same here, as `array_position` and `array_remove` have it.
fn same(a: &Value, b: &Value) -> bool {
    match (a.is_null(), b.is_null()) {
        (false, false) => compare(a, b).is_eq(),
        (x, y) => x && y,
    }
}

fn join(a: &[Datum]) -> Result<Datum> {
    if a.iter().take(2).any(Option::is_none) {
        return Ok(None);
    }
    let null = match a.get(2) {
        Some(Some(null)) => Some(null),
        _ => None,
    };
    joined(list_at(a, 0)?.iter().filter_map(|v| if v.is_null() { null } else { Some(v) }), text_at(a, 1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_large_arrays_are_looked_up_in_a_set_that_finds_what_comparisons_find() {
        let items: Vec<Value> = (0..2_000).map(Value::int).chain([Value::NULL, Value::string("x")]).collect();
        let (few, many) = (Elements::of(&items, 0), Elements::of(&items, items.len()));
        assert!(matches!((&few, &many), (Elements::Few(_), Elements::Many(_))));
        let list = Value::List(vec![Value::int(1)]);
        let decimal = Value::Decimal(ledgerstone_digest::ion::Decimal::new(70i64, -1));
        for (wanted, found) in
            [(Value::int(7), true), (decimal, true), (Value::int(2_000), false), (Value::NULL, false), (list, false)]
        {
            assert_eq!((few.has(&wanted), many.has(&wanted)), (found, found), "{wanted:?}");
        }
    }

    #[test]
    fn slices_keep_what_is_between_their_bounds_in_each_dimension() {
        let list = |items: &[i64]| Value::List(items.iter().map(|i| Value::int(*i)).collect());
        let flat: Vec<Value> = (1..=4).map(Value::int).collect();
        for (bounds, expected) in [
            ([2, 3], &[2, 3][..]),
            ([i64::from(i32::MIN), 2], &[1, 2]),
            ([3, i64::from(i32::MAX)], &[3, 4]),
            ([-5, 1], &[1]),
            ([3, 2], &[]),
            ([9, 12], &[]),
        ] {
            assert_eq!(Value::List(slice(&flat, &bounds)), list(expected), "{bounds:?}");
        }
        let table = [list(&[1, 2, 3]), list(&[4, 5, 6])];
        assert_eq!(slice(&table, &[2, 2, 2, 3]), [list(&[5, 6])]);
        assert_eq!(slice(&table, &[1, 1]), [list(&[1, 2, 3])]);
        // Beyond the array in one dimension, or in one that it does not have, there is nothing.
        assert!(slice(&table, &[1, 2, 7, 9]).is_empty() && slice(&flat, &[1, 2, 1, 1]).is_empty());
    }
}
