//! Expressions over rows. SQL's three-valued logic, and PartiQL's with MISSING beside NULL.

use std::rc::Rc;
use std::sync::Arc;

use ledgerstone_digest::ion::{Struct, Symbol, Value};
use ledgerstone_digest::qldb::block_address;

use super::arithmetic;
use super::known::Kept;
use super::run::{Env, Row, Run, Slot, bytes_of_row};
use crate::bind::plan::{At, Comparison, Datum, DocPart, Ex, QueryPlan, Step, Subquery, SubqueryKind};
use crate::error::{QueryError, Result, SqlState};
use crate::function::{self, like, size};
use crate::index::Key;
use crate::transaction::Doc;
use crate::types::SqlType;
use crate::value::{cast, compare, datetime, ion_type_name, json};

impl Run<'_> {
    pub fn eval(&self, ex: &Ex, env: &Env<'_>) -> Result<Datum> {
        if let Some(value) = self.peek(ex, env) {
            return Ok(value.cloned());
        }
        crate::bind::deep(|| self.compute(ex, env))
    }

    fn compute(&self, ex: &Ex, env: &Env<'_>) -> Result<Datum> {
        match ex {
            Ex::Const(d) => Ok(d.clone()),
            Ex::Param(i) => Ok(self.params.get(*i as usize).cloned().flatten()),
            Ex::Slot(at) => Ok(whole(slot(at, env))),
            Ex::Doc { at, part } => self.doc_part(slot(at, env), *part),
            Ex::Field { .. } => Ok(None),
            Ex::Path { base, steps } => {
                let base = self.eval(base, env)?;
                self.walk(base, steps, env)
            }
            Ex::And(parts) => self.and(parts, env),
            Ex::Or(parts) => self.or(parts, env),
            Ex::Not(e) => Ok(match self.eval(e, env)? {
                Some(Value::Bool(b)) => Some(Value::Bool(!b)),
                d if self.is_absent(&d) => self.null(),
                d => return self.not_boolean(d, "NOT"),
            }),
            Ex::Compare { op, left, right, dynamic } => self.compare_ex(*op, left, right, *dynamic, env),
            Ex::Arithmetic { op, kind, left, right } => {
                let (a, b) = (self.eval(left, env)?, self.eval(right, env)?);
                arithmetic::apply(*op, *kind, a, b)
            }
            Ex::IsNull { expr, negated } => {
                let d = self.eval(expr, env)?;
                Ok(Some(Value::Bool(self.is_absent(&d) != *negated)))
            }
            Ex::IsMissing { expr, negated } => Ok(Some(Value::Bool(self.eval(expr, env)?.is_none() != *negated))),
            Ex::IsBool { expr, value, negated } => {
                let d = self.eval(expr, env)?;
                let holds = match (&d, value) {
                    (Some(Value::Bool(b)), Some(v)) => b == v,
                    (Some(Value::Bool(_)), None) => false,
                    (_, None) => self.is_absent(&d),
                    _ => false,
                };
                Ok(Some(Value::Bool(holds != *negated)))
            }
            Ex::IsType { expr, ty, negated } => {
                let d = self.eval(expr, env)?;
                Ok(Some(Value::Bool(is_type(&d, ty) != *negated)))
            }
            Ex::Distinct { left, right, negated } => {
                let (a, b) = (self.eval(left, env)?, self.eval(right, env)?);
                let same = match (self.is_absent(&a), self.is_absent(&b)) {
                    (true, true) => true,
                    (false, false) => compare::compare_data(a.as_ref(), b.as_ref()).is_eq(),
                    _ => false,
                };
                Ok(Some(Value::Bool(same == *negated)))
            }
            Ex::In { expr, list, negated, dynamic } => self.in_list(expr, list, *negated, *dynamic, env),
            Ex::Like { expr, pattern, escape, any_case, negated } => {
                let (text, pattern) = (self.eval(expr, env)?, self.eval(pattern, env)?);
                let escape = match escape {
                    Some(e) => escape_char(self.eval(e, env)?)?,
                    None => (!self.partiql).then_some('\\'),
                };
                if self.is_absent(&text) || self.is_absent(&pattern) {
                    return Ok(self.null());
                }
                match (text.as_ref().and_then(Value::as_text), pattern.as_ref().and_then(Value::as_text)) {
                    (Some(t), Some(p)) => {
                        let found = like(t, p, escape, *any_case, &self.call.session.cancel)?;
                        Ok(Some(Value::Bool(found != *negated)))
                    }
                    _ if self.partiql => Ok(None),
                    _ => Err(QueryError::new(SqlState::DATATYPE_MISMATCH, "LIKE needs text on both sides")),
                }
            }
            Ex::Case { whens, otherwise } => {
                for (when, then) in whens {
                    if Self::is_true(&self.eval(when, env)?) {
                        return self.eval(then, env);
                    }
                }
                otherwise.as_ref().map_or(Ok(self.null()), |e| self.eval(e, env))
            }
            Ex::Coalesce(parts) => {
                for part in parts {
                    let d = self.eval(part, env)?;
                    if !self.is_absent(&d) {
                        return Ok(d);
                    }
                }
                Ok(self.null())
            }
            // What is cast is measured too: as text it is larger than as a list of texts that are shared.
            Ex::Cast { expr, from, to, explicit } => {
                let d = size::checked_parts(self.eval(expr, env)?)?;
                size::checked(cast::cast(d, from.as_ref(), to, *explicit, self.call.now_micros())?)
            }
            Ex::IonCast { expr, ty } => size::checked(cast::ion_cast(size::checked_parts(self.eval(expr, env)?)?, ty)?),
            Ex::Call { function, arguments } => size::checked(self.call_function(function, arguments, env)?),
            Ex::Subquery(sub) => self.subquery(sub, env),
            Ex::Quantified { op, all, left, array, dynamic } => {
                let left = self.eval(left, env)?;
                match self.eval(array, env)? {
                    Some(Value::List(items) | Value::Sexp(items)) => {
                        let items = items.into_iter().map(|v| (!v.is_null() || self.partiql).then_some(v));
                        self.quantify(*op, *all, &left, items, *dynamic)
                    }
                    d if self.is_absent(&d) => Ok(self.null()),
                    // PartiQL: `x IN 5` finds nothing in what is no collection.
                    _ => Ok(None),
                }
            }
            Ex::List(items) => {
                let mut out = Vec::with_capacity(items.len());
                for item in items {
                    match self.eval(item, env)? {
                        Some(v) => out.push(v),
                        // An SQL array keeps its NULLs; a PartiQL list leaves MISSING out.
                        None if !self.partiql => out.push(Value::NULL),
                        None => {}
                    }
                }
                size::checked(Some(Value::List(out)))
            }
            Ex::Row(items) => {
                let items: Result<Vec<Value>> =
                    items.iter().map(|i| Ok(self.eval(i, env)?.unwrap_or(Value::NULL))).collect();
                size::checked(Some(Value::List(items?)))
            }
            Ex::Struct(fields) => size::checked(self.build_struct(fields, env)?),
            Ex::Merge(parts) => size::checked(self.merge(parts, env)?),
            Ex::Aggregate(_) => Err(QueryError::internal("an aggregate was left unplaced")),
        }
    }

    /// A value that can be looked at without copying it: slots, fields, fixed paths, constants, parameters.
    /// The outer `None` says it has to be computed.
    pub fn peek<'v>(&'v self, ex: &'v Ex, env: &Env<'v>) -> Option<Option<&'v Value>> {
        match ex {
            Ex::Const(d) => Some(d.as_ref()),
            Ex::Param(i) => Some(self.params.get(*i as usize).and_then(|d| d.as_ref())),
            Ex::Slot(at) => match slot(at, env) {
                Slot::Value(v) => Some(Some(v)),
                Slot::Empty => Some(None),
                Slot::Doc(_) => None,
            },
            Ex::Field { at, name, any_case } => {
                let data = match slot(at, env) {
                    Slot::Doc(doc) => doc.data.as_deref(),
                    Slot::Value(v) => Some(v.unannotated()),
                    Slot::Empty => None,
                };
                Some(self.sql_null(data.and_then(|d| field(d, name, *any_case))))
            }
            Ex::Path { base, steps } if steps.iter().all(|s| matches!(s, Step::Field { .. })) => {
                let mut value = match &**base {
                    Ex::Slot(at) => match slot(at, env) {
                        Slot::Doc(doc) => doc.data.as_deref(),
                        Slot::Value(v) => Some(v),
                        Slot::Empty => None,
                    },
                    Ex::Doc { at, part: DocPart::Data } => match slot(at, env) {
                        Slot::Doc(doc) => doc.data.as_deref(),
                        _ => None,
                    },
                    base => self.peek(base, env)?,
                };
                for step in steps {
                    let Step::Field { name, any_case } = step else { return None };
                    value = value.and_then(|v| field(v.unannotated(), name, *any_case));
                }
                Some(self.sql_null(value))
            }
            _ => None,
        }
    }

    /// In SQL a null in a document is NULL.
    fn sql_null<'v>(&self, value: Option<&'v Value>) -> Option<&'v Value> {
        value.filter(|v| self.partiql || !v.is_null())
    }

    /// Whether every condition holds.
    pub fn passes(&self, filters: &[Ex], env: &Env<'_>) -> Result<bool> {
        for filter in filters {
            if !Self::is_true(&self.eval(filter, env)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn and(&self, parts: &[Ex], env: &Env<'_>) -> Result<Datum> {
        let mut unknown = false;
        for part in parts {
            match self.eval(part, env)? {
                Some(Value::Bool(false)) => return Ok(Some(Value::Bool(false))),
                Some(Value::Bool(true)) => {}
                d if self.is_absent(&d) => unknown = true,
                d => return self.not_boolean(d, "AND"),
            }
        }
        Ok(if unknown { self.null() } else { Some(Value::Bool(true)) })
    }

    fn or(&self, parts: &[Ex], env: &Env<'_>) -> Result<Datum> {
        let mut unknown = false;
        for part in parts {
            match self.eval(part, env)? {
                Some(Value::Bool(true)) => return Ok(Some(Value::Bool(true))),
                Some(Value::Bool(false)) => {}
                d if self.is_absent(&d) => unknown = true,
                d => return self.not_boolean(d, "OR"),
            }
        }
        Ok(if unknown { self.null() } else { Some(Value::Bool(false)) })
    }

    fn not_boolean(&self, d: Datum, operator: &str) -> Result<Datum> {
        if self.partiql {
            return Ok(None);
        }
        let shown = d.as_ref().map_or("null", ion_type_name);
        Err(QueryError::new(
            SqlState::DATATYPE_MISMATCH,
            format!("argument of {operator} must be type boolean, not {shown}"),
        ))
    }

    fn compare_ex(&self, op: Comparison, left: &Ex, right: &Ex, dynamic: bool, env: &Env<'_>) -> Result<Datum> {
        if let (Some(a), Some(b)) = (self.peek(left, env), self.peek(right, env)) {
            return Ok(self.compare(op, a, b, dynamic));
        }
        let (a, b) = (self.eval(left, env)?, self.eval(right, env)?);
        Ok(self.compare(op, a.as_ref(), b.as_ref(), dynamic))
    }

    /// A comparison; `dynamic` where only the values know their types.
    pub fn compare(&self, op: Comparison, a: Option<&Value>, b: Option<&Value>, dynamic: bool) -> Datum {
        let (Some(a), Some(b)) = (a, b) else { return None };
        if !dynamic {
            return Some(Value::Bool(op.holds(compare::compare(a, b))));
        }
        let (a, b) = (a.unannotated(), b.unannotated());
        if a.is_null() || b.is_null() {
            return self.null();
        }
        if !compare::comparable(a, b) {
            return match op {
                Comparison::Eq => Some(Value::Bool(false)),
                Comparison::NotEq => Some(Value::Bool(true)),
                _ => None,
            };
        }
        Some(Value::Bool(op.holds(compare::compare(a, b))))
    }

    fn in_list(&self, expr: &Ex, list: &[Ex], negated: bool, dynamic: bool, env: &Env<'_>) -> Result<Datum> {
        let value = self.eval(expr, env)?;
        if self.is_absent(&value) {
            return Ok(if list.is_empty() { Some(Value::Bool(negated)) } else { self.null() });
        }
        let mut unknown = false;
        for item in list {
            let item = self.eval(item, env)?;
            match self.compare(Comparison::Eq, value.as_ref(), item.as_ref(), dynamic) {
                Some(Value::Bool(true)) => return Ok(Some(Value::Bool(!negated))),
                Some(Value::Bool(false)) => {}
                _ => unknown = true,
            }
        }
        Ok(if unknown { self.null() } else { Some(Value::Bool(negated)) })
    }

    /// `left op ANY|ALL (items)`.
    fn quantify(
        &self,
        op: Comparison,
        all: bool,
        left: &Datum,
        items: impl Iterator<Item = Datum>,
        dynamic: bool,
    ) -> Result<Datum> {
        let mut unknown = false;
        for item in items {
            match self.compare(op, left.as_ref(), item.as_ref(), dynamic) {
                Some(Value::Bool(holds)) if holds != all => return Ok(Some(Value::Bool(holds))),
                Some(Value::Bool(_)) => {}
                _ => unknown = true,
            }
        }
        Ok(if unknown { self.null() } else { Some(Value::Bool(all)) })
    }

    fn call_function(&self, function: &'static function::Scalar, arguments: &[Ex], env: &Env<'_>) -> Result<Datum> {
        let mut values = Vec::with_capacity(arguments.len());
        for (i, argument) in arguments.iter().enumerate() {
            let mut d = self.eval(argument, env)?;
            if self.partiql {
                if self.is_absent(&d) {
                    if function.strict {
                        return Ok(self.null());
                    }
                    d = None;
                } else if let (Some(parameter), Some(value)) = (function::parameter(function, i), d.take()) {
                    // PartiQL is permissive: an argument of another type makes the call MISSING.
                    match function::permissive(parameter, value) {
                        Some(value) => d = Some(value),
                        None => return Ok(None),
                    }
                }
            } else if d.is_none() && function.strict {
                return Ok(None);
            }
            values.push(d);
        }
        (function.call)(&self.call, &values)
    }

    fn build_struct(&self, fields: &[(Ex, Ex)], env: &Env<'_>) -> Result<Datum> {
        let mut out = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            let name = match self.peek(name, env) {
                Some(name) => name.cloned(),
                None => self.eval(name, env)?,
            };
            let Some(name) = name.as_ref().and_then(Value::as_text) else { continue };
            match self.eval(value, env)? {
                Some(v) => out.push((Symbol::new(name), v)),
                None if !self.partiql => out.push((Symbol::new(name), Value::NULL)),
                None => {}
            }
        }
        Ok(Some(Value::Struct(Struct { fields: out })))
    }

    /// PartiQL's `SELECT *`: duplicates are kept.
    fn merge(&self, parts: &[(Arc<str>, Ex)], env: &Env<'_>) -> Result<Datum> {
        let mut out = Vec::new();
        for (name, part) in parts {
            match self.eval(part, env)? {
                Some(Value::Struct(s)) => out.extend(s.fields),
                Some(v) => out.push((Symbol::from(name), v)),
                None => {}
            }
        }
        Ok(Some(Value::Struct(Struct { fields: out })))
    }

    /// The rest of a path whose steps have to be computed.
    fn walk(&self, base: Datum, steps: &[Step], env: &Env<'_>) -> Result<Datum> {
        let mut value = base;
        for (i, step) in steps.iter().enumerate() {
            let Some(now) = value else { return Ok(None) };
            let now = match now {
                Value::Annotated(inner) => inner.value,
                other => other,
            };
            value = match step {
                Step::Field { name, any_case } => field(&now, name, *any_case).cloned(),
                Step::Index(e) | Step::Json(e) => {
                    let at = self.eval(e, env)?;
                    element(now, at.as_ref())
                }
                Step::AllElements | Step::AllFields => {
                    let items = match (step, now) {
                        (Step::AllElements, Value::List(items) | Value::Sexp(items)) => items,
                        (Step::AllFields, Value::Struct(s)) => s.fields.into_iter().map(|(_, v)| v).collect(),
                        (_, other) => vec![other],
                    };
                    let rest = steps.get(i + 1..).unwrap_or_default();
                    let mut out = Vec::new();
                    for item in items {
                        out.extend(self.walk(Some(item), rest, env)?);
                    }
                    return Ok(Some(Value::List(out)));
                }
            };
        }
        let keep_null = self.partiql || steps.iter().any(|s| matches!(s, Step::Json(_)));
        Ok(value.filter(|v| keep_null || !v.is_null()))
    }

    fn doc_part(&self, slot: &Slot, part: DocPart) -> Result<Datum> {
        let Slot::Doc(doc) = slot else {
            return Ok(match (slot, part) {
                (Slot::Value(v), DocPart::Data) => Some(v.clone()),
                _ => None,
            });
        };
        doc_part(doc, part, self.tx)
    }

    // Subqueries

    fn subquery(&self, sub: &Subquery, env: &Env<'_>) -> Result<Datum> {
        let query = &*sub.query;
        match &sub.kind {
            SubqueryKind::Exists => Ok(Some(Value::Bool(!self.some_rows(sub, query, env, 1)?.rows.is_empty()))),
            SubqueryKind::Scalar => {
                let kept = self.some_rows(sub, query, env, 2)?;
                match kept.rows.as_slice() {
                    [] => Ok(self.null()),
                    [row] => Ok(row.first().cloned().flatten()),
                    _ => Err(QueryError::new(
                        SqlState::CARDINALITY_VIOLATION,
                        "more than one row returned by a subquery used as an expression",
                    )),
                }
            }
            SubqueryKind::List => {
                let kept = self.some_rows(sub, query, env, usize::MAX)?;
                let null = (!self.partiql).then_some(Value::NULL);
                let first = |r: &Row| r.first().cloned().flatten().or_else(|| null.clone());
                Ok(Some(Value::List(kept.rows.iter().filter_map(first).collect())))
            }
            SubqueryKind::Quantified { op, all, left, dynamic } => {
                self.quantified_subquery(sub, (*op, *all, *dynamic), left, env)
            }
        }
    }

    fn quantified_subquery(
        &self,
        sub: &Subquery,
        (op, all, dynamic): (Comparison, bool, bool),
        left: &[Ex],
        env: &Env<'_>,
    ) -> Result<Datum> {
        let [left] = left else {
            let row: Result<Vec<Datum>> = left.iter().map(|e| self.eval(e, env)).collect();
            let kept = self.some_rows(sub, &sub.query, env, usize::MAX)?;
            return Ok(self.row_in(op, all, &row?, &kept.rows, dynamic));
        };
        let left = self.eval(left, env)?;
        let kept = self.some_rows(sub, &sub.query, env, usize::MAX)?;
        // `= ANY` and `<> ALL` over kept rows look into a set.
        if let (Some((set, has_null)), Some(value)) = (&kept.set, &left)
            && matches!((op, all), (Comparison::Eq, false) | (Comparison::NotEq, true))
            && !self.is_absent(&left)
        {
            let found = set.contains(&Key::one(value));
            return Ok(if found {
                Some(Value::Bool(!all))
            } else if *has_null {
                self.null()
            } else {
                Some(Value::Bool(all))
            });
        }
        let items = kept.rows.iter().map(|r| r.first().cloned().flatten());
        self.quantify(op, all, &left, items, dynamic)
    }

    fn row_in(&self, op: Comparison, all: bool, left: &[Datum], rows: &[Row], dynamic: bool) -> Datum {
        let mut unknown = false;
        for row in rows {
            let mut equal = Some(true);
            for (a, b) in left.iter().zip(row) {
                match self.compare(Comparison::Eq, a.as_ref(), b.as_ref(), dynamic) {
                    Some(Value::Bool(true)) => {}
                    Some(Value::Bool(false)) => {
                        equal = Some(false);
                        break;
                    }
                    _ => equal = None,
                }
            }
            match equal.map(|e| e == (op == Comparison::Eq)) {
                Some(holds) if holds != all => return Some(Value::Bool(holds)),
                Some(_) => {}
                None => unknown = true,
            }
        }
        if unknown { self.null() } else { Some(Value::Bool(all)) }
    }

    /// Up to `most` rows; those of an uncorrelated subquery are remembered.
    fn some_rows(&self, sub: &Subquery, query: &QueryPlan, env: &Env<'_>, most: usize) -> Result<Rc<Kept>> {
        if !query.is_correlated()
            && let Some(kept) = self.known.kept.get(sub.id)
        {
            return Ok(kept);
        }
        let mut rows = Vec::new();
        self.query(query, Some(env), Some(most), &mut |row| {
            if !query.is_correlated() {
                self.charge_row(&row)?;
            }
            rows.push(row);
            Ok(super::run::Flow::More)
        })?;
        let is_set = matches!(sub.kind, SubqueryKind::Quantified { .. }) && query.arity == 1 && !query.is_correlated();
        let set = is_set.then(|| {
            let has_null = rows.iter().any(|r| self.is_absent(&r.first().cloned().flatten()));
            (rows.iter().filter_map(|r| r.first()?.as_ref()).map(Key::one).collect(), has_null)
        });
        let outlives = self.known.outlives_runs && !query.is_correlated();
        let held = outlives.then(|| self.memory.hold(rows.iter().map(|row| bytes_of_row(row)).sum())).flatten();
        let kept = Rc::new(Kept { rows, set, _held: held });
        if !query.is_correlated() {
            self.known.kept.set(sub.id, kept.clone());
        }
        Ok(kept)
    }
}

fn slot<'v>(at: &At, env: &Env<'v>) -> &'v Slot {
    env.level(at.depth).get(at.slot as usize).unwrap_or(&Slot::Empty)
}

fn whole(slot: &Slot) -> Datum {
    match slot {
        Slot::Empty => None,
        Slot::Value(v) => Some(v.clone()),
        Slot::Doc(doc) => doc.data.as_deref().cloned(),
    }
}

/// A field of a struct: exactly this name, or else, where the name was written without quotes in SQL, one that differs
/// only in case.
pub(crate) fn field<'v>(value: &'v Value, name: &str, any_case: bool) -> Option<&'v Value> {
    let Value::Struct(s) = value else { return None };
    s.get(name).or_else(|| {
        let same = |n: &Symbol| n.text().is_some_and(|t| t.eq_ignore_ascii_case(name));
        any_case.then(|| s.fields.iter().find(|(n, _)| same(n)).map(|(_, v)| v)).flatten()
    })
}

/// `list[i]` (negative from the end, as jsonb does) or `struct['name']`.
pub(crate) fn element(value: Value, at: Option<&Value>) -> Datum {
    match (value, at?) {
        (Value::List(mut items) | Value::Sexp(mut items), index) => {
            let at = match index.as_text() {
                Some(text) => text.parse().ok()?,
                None => index.as_i64()?,
            };
            let at = if at < 0 { at + items.len() as i64 } else { at };
            let at = usize::try_from(at).ok().filter(|i| *i < items.len())?;
            Some(items.swap_remove(at))
        }
        (Value::Struct(s), name) => s.get(name.as_text()?).cloned(),
        _ => None,
    }
}

/// Parts of a document row that are not its fields.
pub(crate) fn doc_part(doc: &Doc, part: DocPart, tx: &crate::transaction::Transaction) -> Result<Datum> {
    let position = |p: u64| Value::int(i64::try_from(p).unwrap_or(i64::MAX));
    let committed = !doc.is_uncommitted();
    let time = || datetime::from_millis(doc.tx_time_ms).map(Value::Timestamp);
    Ok(match part {
        DocPart::Data => doc.data.as_deref().cloned(),
        DocPart::Id => Some(Value::string(doc.id.to_string())),
        DocPart::Version => Some(position(doc.version)),
        DocPart::TxTime => committed.then(time).transpose()?,
        DocPart::TxId => Some(Value::string(doc.tx_id.to_string())),
        DocPart::Block => committed.then(|| position(doc.block)),
        DocPart::Position => committed.then(|| position(doc.position)),
        DocPart::Supersedes => doc.supersedes.map(position),
        DocPart::Successor => doc.successor.map(position),
        DocPart::Deleted => Some(Value::Bool(doc.is_deletion())),
        DocPart::TableId => Some(Value::string(doc.table_id.to_string())),
        DocPart::DataHash => doc.data_hash.map(|h| Value::blob(h.0.to_vec())),
        DocPart::Hash => committed.then(|| Value::blob(revision_hash(doc).to_vec())),
        DocPart::Metadata => Some(Value::Struct(Struct::from_fields([
            ("id", Value::string(doc.id.to_string())),
            ("version", position(doc.version)),
            ("txTime", time()?),
            ("txId", Value::string(doc.tx_id.to_string())),
        ]))),
        DocPart::BlockAddress => {
            committed.then(|| block_address(&tx.database().ledger().strand().to_string(), doc.block))
        }
        DocPart::Committed => {
            let mut fields: Vec<(Symbol, Value)> = Vec::with_capacity(4);
            let mut push = |name: &str, d: Datum| fields.extend(d.map(|v| (Symbol::from(name), v)));
            push("blockAddress", doc_part(doc, DocPart::BlockAddress, tx)?);
            push("hash", doc_part(doc, DocPart::Hash, tx)?);
            push("data", doc.committed_data().as_deref().cloned());
            push("dataHash", doc_part(doc, DocPart::DataHash, tx)?);
            push("metadata", doc_part(doc, DocPart::Metadata, tx)?);
            Some(Value::Struct(Struct { fields }))
        }
    })
}

/// QLDB's revision hash of a committed revision.
fn revision_hash(doc: &Doc) -> [u8; 32] {
    let data = match doc.data_hash {
        Some(hash) => Some(hash),
        None => doc.committed_data().map(|d| ledgerstone_digest::ion::ion_hash(&d)),
    };
    let metadata = ledgerstone_digest::ion::ion_hash(&doc.metadata().to_value());
    ledgerstone_digest::qldb::dot(Some(metadata), data).map_or([0; 32], |h| h.0)
}

fn escape_char(d: Datum) -> Result<Option<char>> {
    let text = d.as_ref().and_then(Value::as_text).unwrap_or_default();
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (c, None) => Ok(c),
        _ => Err(QueryError::new(SqlState::INVALID_ESCAPE, "invalid escape string")
            .hint("Escape string must be empty or one character.")),
    }
}

/// PartiQL's `IS type`.
fn is_type(d: &Datum, ty: &str) -> bool {
    let Some(value) = d else { return ty == "missing" };
    let name = ion_type_name(value);
    match ty {
        "null" => value.is_null(),
        "missing" => false,
        _ if value.is_null() => false,
        "boolean" => name == "bool",
        "integer" | "bigint" | "smallint" => name == "int",
        "numeric" | "number" => name == "decimal",
        "double precision" | "double" | "real" => name == "float",
        "varchar" | "char" | "text" => name == "string",
        "tuple" => name == "struct",
        "bag" => name == "list",
        "date" | "timestamptz" => name == "timestamp",
        ty => name == ty,
    }
}

/// A value as a document may hold it: intervals as their texts, jsonb null as it is.
pub(crate) fn storable(value: Value, ty: &SqlType) -> Value {
    match (ty, &value) {
        (SqlType::Interval, v) => match datetime::Interval::from_value(v) {
            Some(i) => Value::string(datetime::format_interval(i)),
            None => value,
        },
        (SqlType::Jsonb, _) => json::canonical(value),
        _ => value,
    }
}
