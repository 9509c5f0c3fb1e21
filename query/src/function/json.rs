//! JSON functions and what the operators `->`, `->>`, `#>`, `@>`, `?`, `||` and `-` call (PostgreSQL's documentation,
//! 9.16). A JSON null inside a document is Ion's null; SQL's NULL is no value at all.

use std::collections::HashSet;

use ledgerstone_digest::ion::{Struct, Symbol, Value};

use super::size::TextBuilder;
use super::ty::{ANY, ARRAY, BOOL, INT4, JSONB, R_BOOL, R_INT4, R_JSONB, R_TEXT, TEXT, of};
use super::{
    Call, Scalar, Steps, bool_at, int_at, lenient, list_at, some_bool, some_int, some_text, strict, text_at, value_at,
    variadic, wrong,
};
use crate::bind::plan::Datum;
use crate::error::{QueryError, Result, SqlState};
use crate::types::SqlType;
use crate::value::compare::compare;
use crate::value::text::format_untyped;
use crate::value::{json, json_order};

pub(super) static FUNCTIONS: &[Scalar] = &[
    variadic("jsonb_build_object", &[ANY], R_JSONB, build_object),
    variadic("json_build_object", &[ANY], R_JSONB, build_object),
    lenient("jsonb_build_object", &[], R_JSONB, |_, _| Ok(Some(Value::Struct(Struct::default())))),
    variadic("jsonb_build_array", &[ANY], R_JSONB, build_array),
    variadic("json_build_array", &[ANY], R_JSONB, build_array),
    lenient("jsonb_build_array", &[], R_JSONB, |_, _| Ok(Some(Value::List(Vec::new())))),
    strict("to_jsonb", &[ANY], R_JSONB, |_, a| json::made(value_at(a, 0)?.clone()).map(Some)),
    strict("to_json", &[ANY], R_JSONB, |_, a| json::made(value_at(a, 0)?.clone()).map(Some)),
    strict("ledgerstone_jsonb_order", &[JSONB], of(SqlType::Bytea), |_, a| {
        Ok(Some(Value::blob(json_order::bytes(value_at(a, 0)?))))
    }),
    strict("jsonb_typeof", &[JSONB], R_TEXT, kind),
    strict("json_typeof", &[JSONB], R_TEXT, kind),
    strict("jsonb_array_length", &[JSONB], R_INT4, length),
    strict("json_array_length", &[JSONB], R_INT4, length),
    strict("jsonb_set", &[JSONB, ARRAY, JSONB], R_JSONB, |_, a| set(a, true)),
    strict("jsonb_set", &[JSONB, ARRAY, JSONB, BOOL], R_JSONB, |_, a| set(a, bool_at(a, 3)?)),
    strict("jsonb_insert", &[JSONB, ARRAY, JSONB], R_JSONB, |_, a| insert(a, false)),
    strict("jsonb_insert", &[JSONB, ARRAY, JSONB, BOOL], R_JSONB, |_, a| insert(a, bool_at(a, 3)?)),
    strict("jsonb_strip_nulls", &[JSONB], R_JSONB, |_, a| Ok(Some(strip_nulls(value_at(a, 0)?)))),
    strict("jsonb_pretty", &[JSONB], R_TEXT, |_, a| {
        let mut out = TextBuilder::default();
        pretty(value_at(a, 0)?, 0, &mut out)?;
        out.finish()
    }),
    variadic("jsonb_extract_path", &[JSONB, TEXT], R_JSONB, |_, a| Ok(extract_path(a))),
    variadic("jsonb_extract_path_text", &[JSONB, TEXT], R_TEXT, |_, a| Ok(extract_path(a).and_then(as_text))),
    strict("jsonb_exists", &[JSONB, TEXT], R_BOOL, |_, a| some_bool(has(value_at(a, 0)?, text_at(a, 1)?))),
    strict("jsonb_exists_any", &[JSONB, ARRAY], R_BOOL, |c, a| some_bool(are_there(c, a)?.contains(&true))),
    strict("jsonb_exists_all", &[JSONB, ARRAY], R_BOOL, |c, a| some_bool(!are_there(c, a)?.contains(&false))),
    strict("jsonb_delete_path", &[JSONB, ARRAY], R_JSONB, |_, a| {
        let target = value_at(a, 0)?;
        if !matches!(target.unannotated(), Value::Struct(_) | Value::List(_)) {
            return Err(scalar("delete path in"));
        }
        Ok(Some(without_path(target, &path_of(a)?)))
    }),
    strict("jsonb_object", &[ARRAY], R_JSONB, |_, a| {
        let items = list_at(a, 0)?;
        let pairs: Vec<Value> = match items.first() {
            Some(Value::List(_)) => items.iter().flat_map(|pair| pair_of(pair).to_vec()).collect(),
            _ => items.to_vec(),
        };
        if !pairs.len().is_multiple_of(2) {
            return Err(QueryError::new(SqlState::ARRAY_SUBSCRIPT_ERROR, "array must have even number of elements"));
        }
        let (keys, values): (Vec<_>, Vec<_>) = pairs.chunks_exact(2).map(|p| (p[0].clone(), p[1].clone())).unzip();
        object_of(&keys, &values)
    }),
    strict("jsonb_object", &[ARRAY, ARRAY], R_JSONB, |_, a| object_of(list_at(a, 0)?, list_at(a, 1)?)),
    strict("row_to_json", &[ANY], R_JSONB, |_, a| json::made(value_at(a, 0)?.clone()).map(Some)),
    lenient("jsonb_set_lax", &[JSONB, ARRAY, JSONB], R_JSONB, |_, a| set_lax(a)),
    strict("jsonb_concat", &[JSONB, JSONB], R_JSONB, concat),
    strict("ledgerstone_jsonb_concat", &[JSONB, JSONB], R_JSONB, concat),
    strict("ledgerstone_jsonb_delete", &[JSONB, TEXT], R_JSONB, |_, a| {
        let name = text_at(a, 1)?;
        Ok(Some(match value_at(a, 0)?.unannotated() {
            Value::Struct(s) => without(s, |field| field == name),
            Value::List(items) => Value::List(items.iter().filter(|v| v.as_text() != Some(name)).cloned().collect()),
            _ => return Err(scalar("delete from")),
        }))
    }),
    strict("ledgerstone_jsonb_delete", &[JSONB, INT4], R_JSONB, |_, a| match value_at(a, 0)?.unannotated() {
        Value::List(items) => {
            let mut items = items.clone();
            if let Some(at) = index(items.len(), int_at(a, 1)?) {
                items.remove(at);
            }
            Ok(Some(Value::List(items)))
        }
        Value::Struct(_) => {
            Err(QueryError::new(SqlState::INVALID_PARAMETER_VALUE, "cannot delete from object using integer index"))
        }
        _ => Err(scalar("delete from")),
    }),
    strict("ledgerstone_jsonb_delete", &[JSONB, ARRAY], R_JSONB, |_, a| match value_at(a, 0)?.unannotated() {
        Value::Struct(s) => {
            let names: HashSet<&str> = list_at(a, 1)?.iter().filter_map(Value::as_text).collect();
            Ok(Some(without(s, |name| names.contains(name))))
        }
        v => Ok(Some(v.clone())),
    }),
    strict("ledgerstone_jsonb_contains", &[JSONB, JSONB], R_BOOL, |c, a| {
        some_bool(contains(value_at(a, 0)?, value_at(a, 1)?, true, &c.steps())?)
    }),
    strict("jsonb_contains", &[JSONB, JSONB], R_BOOL, |c, a| {
        some_bool(contains(value_at(a, 0)?, value_at(a, 1)?, true, &c.steps())?)
    }),
    strict("ledgerstone_jsonb_path", &[JSONB, ARRAY], R_JSONB, |_, a| {
        let path = list_at(a, 1)?;
        Ok(path.iter().try_fold(value_at(a, 0)?, |value, step| child(value, step.as_text()?)).cloned())
    }),
    strict("ledgerstone_json_text", &[JSONB], R_TEXT, |_, a| Ok(as_text(value_at(a, 0)?.clone()))),
    strict("ledgerstone_object", &[JSONB], R_JSONB, |_, a| {
        let value = value_at(a, 0)?;
        Ok(matches!(value.unannotated(), Value::Struct(_)).then(|| value.clone()))
    }),
    strict("ledgerstone_list", &[JSONB], R_JSONB, |_, a| {
        let value = value_at(a, 0)?;
        Ok(matches!(value.unannotated(), Value::List(_) | Value::Sexp(_)).then(|| value.clone()))
    }),
];

/// Whether a name is a field, an element, or the value itself.
fn has(value: &Value, name: &str) -> bool {
    match value.unannotated() {
        Value::Struct(s) => s.get(name).is_some(),
        Value::List(items) | Value::Sexp(items) => items.iter().any(|v| v.as_text() == Some(name)),
        v => v.as_text() == Some(name),
    }
}

/// Of each name of an array, whether it is there.
fn are_there(call: &Call<'_>, a: &[Datum]) -> Result<Vec<bool>> {
    let (value, steps) = (value_at(a, 0)?, call.steps());
    let size = match value.unannotated() {
        Value::Struct(s) => s.fields.len(),
        Value::List(items) | Value::Sexp(items) => items.len(),
        _ => 1,
    };
    let names = list_at(a, 1)?.iter().filter_map(Value::as_text);
    names.map(|name| steps.take(size).map(|()| has(value, name))).collect()
}

/// The elements of a pair, or none if it is no list.
fn pair_of(pair: &Value) -> &[Value] {
    match pair {
        Value::List(items) => items,
        _ => &[],
    }
}

fn object_of(keys: &[Value], values: &[Value]) -> Result<Datum> {
    if keys.len() != values.len() {
        return Err(QueryError::new(SqlState::ARRAY_SUBSCRIPT_ERROR, "mismatched array dimensions"));
    }
    let mut fields = Vec::with_capacity(keys.len());
    for (key, value) in keys.iter().zip(values) {
        let Some(name) = key.as_text() else {
            return Err(QueryError::new(SqlState::NULL_VALUE_NOT_ALLOWED, "null value not allowed for object key"));
        };
        let value = if value.is_null() { Value::NULL } else { Value::string(format_untyped(value)) };
        fields.push((Symbol::new(name), value));
    }
    json::made(Value::Struct(Struct { fields })).map(Some)
}

/// `jsonb_set` in which NULL is JSON's null.
fn set_lax(a: &[Datum]) -> Result<Datum> {
    let (Some(Some(target)), Some(Some(path)), new) = (a.first(), a.get(1), a.get(2)) else { return Ok(None) };
    let new = new.cloned().flatten().unwrap_or(Value::NULL);
    set(&[Some(target.clone()), Some(path.clone()), Some(new)], true)
}

/// The value without what stands at the path; the depth is the path's, which is an array of the statement.
fn without_path(value: &Value, path: &[&str]) -> Value {
    let Some((step, rest)) = path.split_first() else { return value.clone() };
    match value.unannotated() {
        Value::Struct(s) if rest.is_empty() => without(s, |field| field == *step),
        Value::Struct(s) => {
            let inner = |(name, field): &(Symbol, Value)| {
                let here = name.text() == Some(*step);
                (name.clone(), if here { without_path(field, rest) } else { field.clone() })
            };
            Value::Struct(Struct { fields: s.fields.iter().map(inner).collect() })
        }
        Value::List(items) => {
            let mut items = items.clone();
            if let Some(at) = step.parse().ok().and_then(|at| index(items.len(), at)) {
                if rest.is_empty() {
                    items.remove(at);
                } else if let Some(item) = items.get_mut(at) {
                    *item = without_path(item, rest);
                }
            }
            Value::List(items)
        }
        _ => value.clone(),
    }
}

fn build_object(_: &Call<'_>, a: &[Datum]) -> Result<Datum> {
    if !a.len().is_multiple_of(2) {
        return Err(QueryError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "argument list must have even number of elements",
        )
        .hint("The arguments of jsonb_build_object() must consist of alternating keys and values."));
    }
    let mut fields = Vec::with_capacity(a.len() / 2);
    for (number, pair) in a.chunks_exact(2).enumerate() {
        let Some(key) = &pair[0] else {
            let text = format!("argument {}: key must not be null", number * 2 + 1);
            return Err(QueryError::new(SqlState::INVALID_PARAMETER_VALUE, text));
        };
        let name = key.as_text().map_or_else(|| Symbol::new(format_untyped(key)), Symbol::new);
        fields.push((name, pair[1].clone().unwrap_or(Value::NULL)));
    }
    json::made(Value::Struct(Struct { fields })).map(Some)
}

fn build_array(_: &Call<'_>, a: &[Datum]) -> Result<Datum> {
    json::made(Value::List(a.iter().map(|v| v.clone().unwrap_or(Value::NULL)).collect())).map(Some)
}

fn kind(_: &Call<'_>, a: &[Datum]) -> Result<Datum> {
    some_text(match value_at(a, 0)?.unannotated() {
        Value::Null(_) => "null",
        Value::Bool(_) => "boolean",
        Value::Int(_) | Value::Decimal(_) | Value::Float(_) => "number",
        Value::List(_) | Value::Sexp(_) => "array",
        Value::Struct(_) => "object",
        _ => "string",
    })
}

fn length(_: &Call<'_>, a: &[Datum]) -> Result<Datum> {
    match value_at(a, 0)?.unannotated() {
        Value::List(items) | Value::Sexp(items) => some_int(items.len() as i64),
        Value::Struct(_) => {
            Err(QueryError::new(SqlState::INVALID_PARAMETER_VALUE, "cannot get array length of a non-array"))
        }
        _ => Err(QueryError::new(SqlState::INVALID_PARAMETER_VALUE, "cannot get array length of a scalar")),
    }
}

fn scalar(what: &str) -> QueryError {
    QueryError::new(SqlState::INVALID_PARAMETER_VALUE, format!("cannot {what} scalar"))
}

/// An index from the start, or from the end if negative.
fn index(length: usize, at: i64) -> Option<usize> {
    let at = if at < 0 { i64::try_from(length).ok()?.checked_add(at)? } else { at };
    usize::try_from(at).ok().filter(|at| *at < length)
}

fn child<'a>(value: &'a Value, step: &str) -> Option<&'a Value> {
    match value.unannotated() {
        Value::Struct(s) => s.get(step),
        Value::List(items) | Value::Sexp(items) => items.get(index(items.len(), step.parse().ok()?)?),
        _ => None,
    }
}

fn extract_path(a: &[Datum]) -> Datum {
    let (first, steps) = a.split_first()?;
    steps.iter().try_fold(first.as_ref()?, |value, step| child(value, step.as_ref()?.as_text()?)).cloned()
}

/// JSON null is SQL's NULL as text, a string is itself, everything else its JSON.
fn as_text(value: Value) -> Datum {
    match value.unannotated() {
        Value::Null(_) => None,
        Value::String(s) => Some(Value::String(s.clone())),
        Value::Symbol(s) => s.text().map(Value::string),
        other => Some(match json::print(other) {
            text if text.starts_with('"') => Value::string(&text[1..text.len() - 1]),
            text => Value::string(text),
        }),
    }
}

fn path_of(a: &[Datum]) -> Result<Vec<&str>> {
    let steps = list_at(a, 1)?;
    // Nothing is so deep.
    if steps.len() > json::DEPTH_MAX {
        return Err(json::too_deep());
    }
    steps.iter().map(|v| v.as_text().ok_or_else(|| wrong(1, "an array of text without nulls"))).collect()
}

fn set(a: &[Datum], create: bool) -> Result<Datum> {
    let (target, new) = (value_at(a, 0)?, value_at(a, 2)?);
    if !matches!(target.unannotated(), Value::Struct(_) | Value::List(_)) {
        return Err(scalar("set path in"));
    }
    let changed = changed(target, &path_of(a)?, &|old| match old {
        Some(_) => Change::To(new.clone()),
        None if create => Change::To(new.clone()),
        None => Change::Nothing,
    });
    json::made(changed).map(Some)
}

fn insert(a: &[Datum], after: bool) -> Result<Datum> {
    let (target, new, path) = (value_at(a, 0)?, value_at(a, 2)?, path_of(a)?);
    if let Some((last, parents)) = path.split_last() {
        let parent = parents.iter().try_fold(target, |value, step| child(value, step));
        match parent.map(Value::unannotated) {
            Some(Value::Struct(s)) if s.get(last).is_some() => {
                return Err(QueryError::new(SqlState::INVALID_PARAMETER_VALUE, "cannot replace existing key")
                    .hint("Try using the function jsonb_set to replace key value."));
            }
            Some(Value::List(items)) => {
                let at: i64 = last.parse().map_err(|_| wrong(1, "a path whose step into an array is an integer"))?;
                let length = items.len() as i64;
                let from_start = if at < 0 { (length + at).max(0) } else { at.min(length) };
                let place = (from_start + i64::from(after && from_start < length)) as usize;
                let mut items = items.clone();
                items.insert(place.min(items.len()), new.clone());
                let changed = changed(target, parents, &|_| Change::To(Value::List(items.clone())));
                return json::made(changed).map(Some);
            }
            _ => {}
        }
    }
    let changed = changed(target, &path, &|old| match old {
        Some(_) => Change::Nothing,
        None => Change::To(new.clone()),
    });
    json::made(changed).map(Some)
}

enum Change {
    To(Value),
    Nothing,
}

/// The value with the one at a path changed; the depth is the path's, which has a bound.
fn changed(value: &Value, path: &[&str], change: &dyn Fn(Option<&Value>) -> Change) -> Value {
    let Some((step, rest)) = path.split_first() else {
        return match change(Some(value)) {
            Change::To(new) => new,
            Change::Nothing => value.clone(),
        };
    };
    let missing = || match change(None) {
        Change::To(new) if rest.is_empty() => Some(new),
        _ => None,
    };
    match value.unannotated() {
        Value::Struct(s) => {
            let mut s = s.clone();
            match s.fields.iter_mut().find(|(n, _)| n.text() == Some(step)) {
                Some((_, old)) => *old = changed(old, rest, change),
                None => s.fields.extend(missing().map(|new| (Symbol::new(*step), new))),
            }
            Value::Struct(s)
        }
        Value::List(items) => {
            let mut items = items.clone();
            match step.parse::<i64>() {
                Ok(at) => match index(items.len(), at) {
                    Some(place) => items[place] = changed(&items[place], rest, change),
                    None if at < 0 => drop(missing().map(|new| items.insert(0, new))),
                    None => items.extend(missing()),
                },
                Err(_) => return value.clone(),
            }
            Value::List(items)
        }
        _ => value.clone(),
    }
}

fn strip_nulls(value: &Value) -> Value {
    match value.unannotated() {
        Value::Struct(s) => Value::Struct(Struct {
            fields: s.fields.iter().filter(|(_, v)| !v.is_null()).map(|(n, v)| (n.clone(), strip_nulls(v))).collect(),
        }),
        Value::List(items) => Value::List(items.iter().map(strip_nulls).collect()),
        other => other.clone(),
    }
}

fn pretty(value: &Value, depth: usize, out: &mut TextBuilder) -> Result<()> {
    let begin = |out: &mut TextBuilder, number: usize| {
        out.push_str(if number > 0 { "," } else { "" })?;
        out.push('\n')?;
        out.push_str(&" ".repeat((depth + 1) * 4))
    };
    let end = |out: &mut TextBuilder, bracket: char| {
        out.push('\n')?;
        out.push_str(&" ".repeat(depth * 4))?;
        out.push(bracket)
    };
    match value.unannotated() {
        Value::Struct(s) if !s.is_empty() => {
            out.push('{')?;
            for (i, (name, field)) in s.fields.iter().enumerate() {
                begin(out, i)?;
                let mut written = String::new();
                json::write_string(name.text().unwrap_or("$0"), &mut written);
                out.push_str(&written)?;
                out.push_str(": ")?;
                pretty(field, depth + 1, out)?;
            }
            end(out, '}')
        }
        Value::List(items) if !items.is_empty() => {
            out.push('[')?;
            for (i, item) in items.iter().enumerate() {
                begin(out, i)?;
                pretty(item, depth + 1, out)?;
            }
            end(out, ']')
        }
        other => out.push_str(&json::print(other)),
    }
}

fn concat(_: &Call<'_>, a: &[Datum]) -> Result<Datum> {
    let (x, y) = (value_at(a, 0)?.unannotated(), value_at(a, 1)?.unannotated());
    if let (Value::Struct(x), Value::Struct(y)) = (x, y) {
        let fields = x.fields.iter().chain(&y.fields).cloned().collect();
        return json::made(Value::Struct(Struct { fields })).map(Some);
    }
    let list = |v: &Value| match v {
        Value::List(items) => items.clone(),
        other => vec![other.clone()],
    };
    let mut items = list(x);
    items.extend(list(y));
    Ok(Some(Value::List(items)))
}

fn without(s: &Struct, goes: impl Fn(&str) -> bool) -> Value {
    let keep = |n: &Symbol| n.text().is_none_or(|n| !goes(n));
    Value::Struct(Struct { fields: s.fields.iter().filter(|(n, _)| keep(n)).cloned().collect() })
}

/// `@>`: structs by their fields, arrays by their elements in any order; at the top an array contains a bare scalar.
fn contains(all: &Value, some: &Value, top: bool, steps: &Steps<'_>) -> Result<bool> {
    steps.take(1)?;
    match (all.unannotated(), some.unannotated()) {
        (Value::Struct(all), Value::Struct(some)) => {
            for (name, value) in &some.fields {
                steps.take(all.fields.len())?;
                let found = name.text().and_then(|n| all.get(n));
                if !found.map_or(Ok(false), |found| contains(found, value, false, steps))? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Value::List(all), Value::List(some)) => {
            for wanted in some {
                if !contains_element(all, wanted, steps)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Value::List(all), scalar) if top && !matches!(scalar, Value::Struct(_)) => {
            contains_element(all, scalar, steps)
        }
        (Value::Struct(_) | Value::List(_), _) | (_, Value::Struct(_) | Value::List(_)) => Ok(false),
        (a, b) => Ok(a.is_null() == b.is_null() && (a.is_null() || compare(a, b).is_eq())),
    }
}

fn contains_element(all: &[Value], wanted: &Value, steps: &Steps<'_>) -> Result<bool> {
    for value in all {
        if contains(value, wanted, false, steps)? {
            return Ok(true);
        }
    }
    Ok(false)
}
