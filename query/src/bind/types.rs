//! Types of expressions: common types, coercions and casts by PostgreSQL's rules (chapter 10). A type of `None` is that
//! of an untyped literal or parameter, which takes whatever its surroundings need.

use ledgerstone_digest::ion::Value;

use super::Binder;
use super::plan::Ex;
use crate::ast::Span;
use crate::error::{QueryError, Result, SqlState};
use crate::function::{implicit_cost, same_kind};
use crate::types::SqlType;
use crate::value::cast;

/// A bound expression and its type.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    pub ex: Ex,
    pub ty: Option<SqlType>,
    /// What a row consists of.
    pub row: Vec<(Typed, Span)>,
}

impl Typed {
    pub fn new(ex: Ex, ty: SqlType) -> Self {
        Typed { ex, ty: Some(ty), row: Vec::new() }
    }

    pub fn untyped(ex: Ex) -> Self {
        Typed { ex, ty: None, row: Vec::new() }
    }

    pub fn bool(ex: Ex) -> Self {
        Typed::new(ex, SqlType::Bool)
    }

    pub fn is_ion(&self) -> bool {
        self.ty == Some(SqlType::Ion)
    }
}

/// Where a conversion happens: the further down, the more is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CastContext {
    Implicit,
    Assignment,
    Explicit,
}

/// Whether PostgreSQL would convert in this context.
pub(crate) fn can_cast(from: &SqlType, to: &SqlType, context: CastContext) -> bool {
    use SqlType::*;
    if implicit_cost(from, to).is_some() {
        return true;
    }
    let assignment = match (from, to) {
        (a, b) if a.is_number() && b.is_number() => true,
        (Timestamp | TimestampTz | Interval, Time) => true,
        (Timestamp | TimestampTz, Date) | (TimestampTz, Timestamp) => true,
        (_, t) if t.is_text() => true,
        (Array(a), Array(b)) => can_cast(a, b, CastContext::Assignment),
        (Json, Jsonb) | (Jsonb, Json) => true,
        _ => false,
    };
    if assignment && context >= CastContext::Assignment {
        return true;
    }
    let explicit = match (from, to) {
        (f, _) if f.is_text() => true,
        (Bool, Int4) | (Int4, Bool) => true,
        (Jsonb | Json, t) if t.is_number() || *t == Bool => true,
        (Array(a), Array(b)) => can_cast(a, b, CastContext::Explicit),
        (_, Jsonb | Json) => matches!(from, Array(_)),
        _ => false,
    };
    explicit && context == CastContext::Explicit
}

/// The type both sides of a number operator are brought to.
pub(crate) fn common_number(a: &SqlType, b: &SqlType) -> SqlType {
    let rank = |t: &SqlType| match t {
        SqlType::Int2 => 1,
        SqlType::Int4 => 2,
        SqlType::Int8 | SqlType::Oid | SqlType::Reg(_) => 3,
        SqlType::Numeric { .. } => 4,
        SqlType::Float4 => 5,
        _ => 6,
    };
    let wider = if rank(a) >= rank(b) { a } else { b };
    match wider {
        SqlType::Numeric { .. } => SqlType::NUMERIC,
        // real with anything that is not real becomes double precision.
        SqlType::Float4 if a != b => SqlType::Float8,
        SqlType::Oid | SqlType::Reg(_) => SqlType::Int8,
        other => other.clone(),
    }
}

/// The one type of two numbers that stand beside each other: a real stays one beside what casts to it implicitly. Only its
/// operators are those of double precision.
pub(crate) fn unify_numbers(a: &SqlType, b: &SqlType) -> SqlType {
    let (real, double) = (SqlType::Float4, SqlType::Float8);
    if (*a == real || *b == real) && *a != double && *b != double { real } else { common_number(a, b) }
}

/// The one type of CASE branches, VALUES columns, UNION columns and the like (PostgreSQL, 10.5).
pub(crate) fn unify(types: &[Option<SqlType>]) -> Option<SqlType> {
    let mut result: Option<SqlType> = None;
    for ty in types.iter().flatten() {
        result = Some(match result {
            None => ty.clone(),
            Some(so_far) if so_far == *ty => so_far,
            Some(SqlType::Ion) => SqlType::Ion,
            Some(so_far) if same_kind(&so_far, ty) => unsized_type(&so_far),
            Some(SqlType::Oid | SqlType::Reg(_)) if matches!(ty, SqlType::Oid | SqlType::Reg(_)) => SqlType::Oid,
            Some(so_far) if so_far.is_number() && ty.is_number() => unify_numbers(&so_far, ty),
            Some(so_far) if so_far.is_text() && ty.is_text() => SqlType::Text,
            Some(so_far) if implicit_cost(&so_far, ty).is_some() => ty.clone(),
            Some(so_far) if implicit_cost(ty, &so_far).is_some() => so_far,
            Some(_) => return None,
        });
    }
    Some(result.unwrap_or(SqlType::Text))
}

/// Without length, precision and scale.
pub(crate) fn unsized_type(ty: &SqlType) -> SqlType {
    match ty {
        SqlType::Numeric { .. } => SqlType::NUMERIC,
        SqlType::Varchar(_) => SqlType::Varchar(None),
        SqlType::Char(_) => SqlType::Text,
        other => other.clone(),
    }
}

impl Binder<'_> {
    /// The expression as a value of this type.
    pub fn coerce(&mut self, e: Typed, to: &SqlType, context: CastContext, span: Span) -> Result<Ex> {
        if self.partiql {
            return Ok(e.ex);
        }
        let e = match (&e.ty, to) {
            (Some(SqlType::Reg(a)), SqlType::Reg(b)) if a == b => return Ok(e.ex),
            (_, SqlType::Reg(reg)) => return Ok(self.reg_cast(e, *reg, span)?.ex),
            (Some(SqlType::Reg(reg)), to) if to.is_text() => self.reg_name(e.ex, *reg, span)?,
            // Everything else takes the number.
            (Some(SqlType::Reg(_)), _) => Typed::new(e.ex, SqlType::Oid),
            _ => e,
        };
        let explicit = context == CastContext::Explicit;
        let Some(from) = e.ty else { return self.coerce_untyped(e.ex, to, explicit, span) };
        if from == *to || *to == SqlType::Ion {
            return Ok(e.ex);
        }
        if same_kind(&from, to) && is_unsized(to) {
            return Ok(e.ex);
        }
        if !can_cast(&from, to, context) {
            let error = if context == CastContext::Explicit {
                QueryError::new(SqlState::CANNOT_COERCE, format!("cannot cast type {from} to {to}"))
            } else {
                QueryError::new(SqlState::DATATYPE_MISMATCH, format!("a value of type {to} is needed, not {from}"))
                    .hint("You will need to rewrite or cast the expression.")
            };
            return Err(error.at(span));
        }
        self.fold(Ex::Cast { expr: Box::new(e.ex), from: Some(from), to: to.clone(), explicit }, span)
    }

    fn coerce_untyped(&mut self, ex: Ex, to: &SqlType, explicit: bool, span: Span) -> Result<Ex> {
        match ex {
            Ex::Param(i) => {
                let base = match to {
                    SqlType::Char(_) => SqlType::Text,
                    other => unsized_type(other),
                };
                let known = self.set_parameter(i, base);
                if known == *to || same_kind(&known, to) && is_unsized(to) {
                    return Ok(Ex::Param(i));
                }
                Ok(Ex::Cast { expr: Box::new(Ex::Param(i)), from: Some(known), to: to.clone(), explicit })
            }
            Ex::Const(None) => Ok(Ex::NULL),
            ex if *to == SqlType::Ion => Ok(ex),
            ex => self.fold(Ex::Cast { expr: Box::new(ex), from: None, to: to.clone(), explicit }, span),
        }
    }

    /// A cast of a constant is done at once, so that its error has a place.
    pub fn fold(&self, ex: Ex, span: Span) -> Result<Ex> {
        if let Ex::Cast { expr, from, to, explicit } = &ex
            && let Ex::Const(value) = &**expr
            // 'now' must be asked again at every run.
            && !(to.is_date_or_time() && matches!(value, Some(Value::String(s)) if s.starts_with(|c: char| c.is_ascii_alphabetic())))
        {
            let now = self.session.transaction_time_ms.saturating_mul(1000);
            return Ok(Ex::Const(
                cast::cast(value.clone(), from.as_ref(), to, *explicit, now).map_err(|e| e.at(span))?,
            ));
        }
        Ok(ex)
    }

    /// What an expression's type is when nothing else decides: an untyped literal is text.
    pub fn settle(&mut self, e: Typed, span: Span) -> Result<(Ex, SqlType)> {
        match e.ty {
            Some(ty) => Ok((e.ex, ty)),
            None if self.partiql => Ok((e.ex, SqlType::Ion)),
            None => Ok((self.coerce_untyped(e.ex, &SqlType::Text, false, span)?, SqlType::Text)),
        }
    }

    /// As a condition.
    pub fn condition(&mut self, e: Typed, clause: &str, span: Span) -> Result<Ex> {
        match &e.ty {
            Some(SqlType::Bool | SqlType::Ion) => Ok(e.ex),
            None => self.coerce_untyped(e.ex, &SqlType::Bool, false, span),
            Some(other) => Err(QueryError::new(
                SqlState::DATATYPE_MISMATCH,
                format!("argument of {clause} must be type boolean, not type {other}"),
            )
            .at(span)),
        }
    }
}

fn is_unsized(ty: &SqlType) -> bool {
    match ty {
        SqlType::Numeric { precision, .. } => precision.is_none(),
        SqlType::Varchar(n) => n.is_none(),
        SqlType::Char(_) => false,
        SqlType::Array(of) => is_unsized(of),
        _ => true,
    }
}
