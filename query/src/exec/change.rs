//! A document after an UPDATE's changes: fields and elements set, inserted and removed at their paths.

use std::collections::HashSet;
use std::sync::Arc;

use ledgerstone_digest::ion::{Struct, Symbol, Value};

use super::eval::{field, storable};
use super::run::{Env, Run};
use crate::bind::plan::{ChangePlan, Datum, Step};
use crate::catalogue::Table;
use crate::error::{QueryError, Result, SqlState};
use crate::transaction::Doc;

/// What became of a document.
pub(super) enum Changed {
    Document(Struct),
    Deleted,
}

/// Whether the elements behind the one that is changed move.
pub(super) fn removes_an_element(change: &ChangePlan) -> bool {
    matches!(change, ChangePlan::Remove { path } if path.iter().any(|step| matches!(step, Step::Index(_))))
}

/// The document after an UPDATE's changes. All values are computed over the row before. `removed`: what is gone already, when
/// the document is met again.
pub(super) fn changed(
    run: &Run<'_>,
    table: &Table,
    changes: &[ChangePlan],
    doc: &Doc,
    env: &Env<'_>,
    removed: &mut HashSet<Vec<Place>>,
) -> Result<Changed> {
    let mut value = match doc.data.as_deref() {
        Some(data) => data.clone(),
        None => Value::Struct(Struct::default()),
    };
    let mut ready = Vec::with_capacity(changes.len());
    for change in changes {
        ready.push(match change {
            ChangePlan::Set { path, value, column } => {
                let new = run.eval(value, env)?;
                let new = match column.and_then(|c| table.columns.get(c)) {
                    Some(column) => new.map(|v| storable(v, &column.ty)),
                    None => new,
                };
                Ready::Set(run.judged_places(table, path, env)?, new)
            }
            ChangePlan::InsertInto { path, value, at } => {
                let new = run.eval(value, env)?;
                let at = at.as_ref().map(|a| run.eval(a, env)).transpose()?.flatten();
                Ready::Insert(run.judged_places(table, path, env)?, new, at)
            }
            ChangePlan::Remove { path } => Ready::Remove(run.judged_places(table, path, env)?),
            ChangePlan::Delete => return Ok(Changed::Deleted),
        });
    }
    for change in ready {
        match change {
            Ready::Set(path, new) => set_at(&mut value, &path, new)?,
            Ready::Insert(path, Some(new), at) => insert_at(&mut value, &path, new, at)?,
            Ready::Insert(_, None, _) => {}
            Ready::Remove(path) => {
                if removed.insert(path.clone()) {
                    set_at(&mut value, &path, None)?;
                }
            }
        }
    }
    match value {
        Value::Struct(mut document) => {
            if table.is_declared() {
                order_fields(table, &mut document);
            }
            Ok(Changed::Document(document))
        }
        _ => Err(QueryError::new(SqlState::DATATYPE_MISMATCH, "a document must stay a struct")),
    }
}

/// Fields of declared columns in the columns' order.
pub(super) fn order_fields(table: &Table, document: &mut Struct) {
    let place = |name: &Symbol| table.columns.iter().position(|c| Some(&*c.name) == name.text()).unwrap_or(usize::MAX);
    if !document.fields.is_sorted_by_key(|(name, _)| place(name)) {
        document.fields.sort_by_key(|(name, _)| place(name));
    }
}

enum Ready {
    Set(Vec<Place>, Datum),
    Insert(Vec<Place>, Datum, Datum),
    Remove(Vec<Place>),
}

/// A step of a target path with its index computed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Field(Arc<str>, bool),
    At(i64),
}

impl Run<'_> {
    /// A target's places. A column that is GENERATED ALWAYS was looked for in the path when it was bound, so that only a name
    /// that is computed is left to be judged.
    fn judged_places(&self, table: &Table, path: &[Step], env: &Env<'_>) -> Result<Vec<Place>> {
        let places = self.places(path, env)?;
        if !matches!(path.first(), Some(Step::Field { .. }))
            && let Some(Place::Field(name, _)) = places.first()
            && let Some(column) = table.column(name).filter(|column| column.is_always_identity())
        {
            return Err(column.only_default());
        }
        Ok(places)
    }

    fn places(&self, path: &[Step], env: &Env<'_>) -> Result<Vec<Place>> {
        path.iter()
            .map(|step| match step {
                Step::Field { name, any_case } => Ok(Place::Field(name.clone(), *any_case)),
                Step::Index(ex) | Step::Json(ex) => match self.eval(ex, env)? {
                    Some(Value::String(name)) => Ok(Place::Field(name.into(), false)),
                    Some(v) if v.as_i64().is_some() => Ok(Place::At(v.as_i64().unwrap_or_default())),
                    _ => Err(QueryError::new(
                        SqlState::ARRAY_SUBSCRIPT_ERROR,
                        "a place in a list is named by an integer, a field by a string",
                    )),
                },
                Step::AllElements | Step::AllFields => Err(QueryError::unsupported("changing all elements at once")
                    .hint("Range over the list: FROM t AS a, a.list AS b SET b.field = …")),
            })
            .collect()
    }
}

/// Sets (or, without a value, removes) what a path names. Missing structs on the way are made.
fn set_at(value: &mut Value, path: &[Place], new: Datum) -> Result<()> {
    let Some((place, rest)) = path.split_first() else {
        if let Some(new) = new {
            *value = new;
        }
        return Ok(());
    };
    if let Value::Annotated(inner) = value {
        return set_at(&mut inner.value, path, new);
    }
    match (place, value) {
        (Place::Field(name, any_case), Value::Struct(s)) => {
            let at = place_of(s, name, *any_case);
            match (at, rest.is_empty(), new) {
                (Some(at), true, None) => {
                    s.fields.remove(at);
                }
                (Some(at), _, new) => {
                    if let Some((_, inner)) = s.fields.get_mut(at) {
                        set_at(inner, rest, new)?;
                    }
                }
                (None, _, None) => {}
                (None, _, Some(new)) => {
                    let mut inner = Value::Struct(Struct::default());
                    set_at(&mut inner, rest, Some(new))?;
                    s.fields.push((Symbol::from(name), inner));
                }
            }
            Ok(())
        }
        (Place::At(i), Value::List(items) | Value::Sexp(items)) => {
            let length = items.len();
            let at = usize::try_from(if *i < 0 { i + length as i64 } else { *i }).unwrap_or(usize::MAX);
            match (at.cmp(&length), rest.is_empty(), new) {
                (std::cmp::Ordering::Less, true, None) => {
                    items.remove(at);
                    Ok(())
                }
                (std::cmp::Ordering::Less, _, new) => items.get_mut(at).map_or(Ok(()), |item| set_at(item, rest, new)),
                (_, _, None) => Ok(()),
                (std::cmp::Ordering::Equal, true, Some(new)) => {
                    items.push(new);
                    Ok(())
                }
                _ => Err(QueryError::new(
                    SqlState::ARRAY_SUBSCRIPT_ERROR,
                    format!("the list has {length} elements, there is no place {i}"),
                )),
            }
        }
        (_, _) if new.is_none() => Ok(()),
        // A null on the way becomes what the path needs.
        (Place::Field(..), value @ Value::Null(_)) => {
            *value = Value::Struct(Struct::default());
            set_at(value, path, new)
        }
        (Place::Field(name, _), other) => Err(QueryError::new(
            SqlState::DATATYPE_MISMATCH,
            format!("cannot set field \"{name}\" of {}", crate::value::ion_type_name(other)),
        )),
        (Place::At(i), other) => Err(QueryError::new(
            SqlState::DATATYPE_MISMATCH,
            format!("cannot set element {i} of {}", crate::value::ion_type_name(other)),
        )),
    }
}

fn place_of(s: &Struct, name: &str, any_case: bool) -> Option<usize> {
    s.fields.iter().position(|(n, _)| n.text() == Some(name)).or_else(|| {
        let same = |n: &Symbol| n.text().is_some_and(|t| t.eq_ignore_ascii_case(name));
        any_case.then(|| s.fields.iter().position(|(n, _)| same(n))).flatten()
    })
}

/// PartiQL's `INSERT INTO path VALUE v [AT k]`: into a list (at the end, or at k), or a field of a struct.
fn insert_at(value: &mut Value, path: &[Place], new: Value, at: Datum) -> Result<()> {
    if let Some((place, rest)) = path.split_first() {
        let inner = match (place, value) {
            (Place::Field(name, any_case), Value::Struct(s)) => match place_of(s, name, *any_case) {
                Some(at) => s.fields.get_mut(at).map(|(_, v)| v),
                None if rest.is_empty() => {
                    // INSERT INTO t.list VALUE v where there is no list yet begins one.
                    s.fields.push((Symbol::from(name), Value::List(Vec::new())));
                    s.fields.last_mut().map(|(_, v)| v)
                }
                None => None,
            },
            (Place::At(i), Value::List(items)) => usize::try_from(*i).ok().and_then(|i| items.get_mut(i)),
            _ => None,
        };
        return match inner {
            Some(inner) => insert_at(inner, rest, new, at),
            None => Err(QueryError::new(SqlState::DATATYPE_MISMATCH, "there is nothing at this path to insert into")),
        };
    }
    match (value, at) {
        (Value::List(items) | Value::Sexp(items), None) => items.push(new),
        (Value::List(items) | Value::Sexp(items), Some(at)) => {
            let length = items.len();
            let place = at.as_i64().and_then(|i| usize::try_from(i).ok()).filter(|i| *i <= length);
            match place {
                Some(place) => items.insert(place, new),
                None => {
                    return Err(QueryError::new(
                        SqlState::ARRAY_SUBSCRIPT_ERROR,
                        format!("the list has {length} elements; AT must name a place from 0 to {length}"),
                    ));
                }
            }
        }
        (Value::Struct(s), Some(name)) => {
            let Some(name) = name.as_text() else {
                return Err(QueryError::new(SqlState::DATATYPE_MISMATCH, "AT must name a field of the struct"));
            };
            if field(&Value::Struct(s.clone()), name, false).is_some() {
                return Err(QueryError::new(SqlState::UNIQUE_VIOLATION, format!("field \"{name}\" is there already")));
            }
            s.fields.push((Symbol::new(name), new));
        }
        (value @ Value::Null(_), None) => *value = Value::List(vec![new]),
        (other, _) => {
            return Err(QueryError::new(
                SqlState::DATATYPE_MISMATCH,
                format!("cannot insert into {}", crate::value::ion_type_name(other)),
            ));
        }
    }
    Ok(())
}
