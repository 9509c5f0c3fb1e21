//! Operators with two operands: which arithmetic or function the operand types mean.

use super::Binder;
use super::plan::{Arithmetic, Comparison, Ex, Step};
use super::scope::path_of;
use super::types::{CastContext, Typed, common_number, unify_numbers, unsized_type};
use crate::ast::{BinaryOp, Expr, Span};
use crate::error::{QueryError, Result, SqlState};
use crate::exec::symbol;
use crate::function;
use crate::types::SqlType;

impl Binder<'_> {
    pub(super) fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr, span: Span) -> Result<Typed> {
        if let BinaryOp::And | BinaryOp::Or = op {
            // Chains are flattened: `a AND b AND c` is one list.
            let mut parts = Vec::new();
            for e in [left, right] {
                let bound = self.expr(e)?;
                let bound = self.condition(bound, symbol(op), e.span)?;
                match (op, bound) {
                    (BinaryOp::And, Ex::And(more)) | (BinaryOp::Or, Ex::Or(more)) => parts.extend(more),
                    (_, one) => parts.push(one),
                }
            }
            return Ok(Typed::bool(if op == BinaryOp::And { Ex::And(parts) } else { Ex::Or(parts) }));
        }
        let (a, b) = (self.expr(left)?, self.expr(right)?);
        if let Some(comparison) = Comparison::from_op(op) {
            return Ok(Typed::bool(self.compare(comparison, a, b, (left.span, right.span))?));
        }
        self.operator(op, a, b, (left.span, right.span)).map_err(|e| e.at(span))
    }

    pub(super) fn operator(&mut self, op: BinaryOp, a: Typed, b: Typed, spans: (Span, Span)) -> Result<Typed> {
        use BinaryOp::*;
        match op {
            Add | Subtract | Multiply | Divide | Modulo | Power | BitAnd | BitOr | BitXor | ShiftLeft | ShiftRight => {
                // Numbers may have a hundred thousand digits.
                self.costs.call(op != Power);
                self.arithmetic(op, a, b, spans)
            }
            Concat => self.concat(a, b, spans),
            JsonGet | JsonGetText | JsonPath | JsonPathText => self.json_get(op, a, b, spans),
            Contains => self.contains(a, b, spans),
            ContainedBy => self.contains(b, a, (spans.1, spans.0)),
            JsonExists => self.named_call("jsonb_exists", vec![(a, spans.0), (b, spans.1)], spans.0),
            RegexMatch => self.regex(a, b, spans, false, false),
            RegexMatchInsensitive => self.regex(a, b, spans, true, false),
            RegexNotMatch => self.regex(a, b, spans, false, true),
            RegexNotMatchInsensitive => self.regex(a, b, spans, true, true),
            And | Or | Eq | NotEq | Lt | LtEq | Gt | GtEq => Err(QueryError::internal("not an operator of values")),
        }
    }

    fn arithmetic(&mut self, op: BinaryOp, a: Typed, b: Typed, spans: (Span, Span)) -> Result<Typed> {
        let make = |kind, a: Ex, b: Ex, ty| {
            Ok(Typed::new(Ex::Arithmetic { op, kind, left: Box::new(a), right: Box::new(b) }, ty))
        };
        if self.partiql {
            return make(Arithmetic::Dynamic { partiql: true }, a.ex, b.ex, SqlType::Ion);
        }
        // An untyped side takes the other's type; `date + '1 day'` reads the literal as an interval.
        let (ta, tb) = match (a.ty.clone(), b.ty.clone()) {
            (None, None) => return Err(self.no_operator(op, &a, &b, spans)),
            (Some(x), None) => {
                let other = match &x {
                    t if t.is_date_or_time() && op == BinaryOp::Subtract => t.clone(),
                    t if t.is_date_or_time() || *t == SqlType::Time && op == BinaryOp::Add => SqlType::Interval,
                    SqlType::Jsonb => SqlType::Text,
                    t => unsized_type(t),
                };
                (x, other)
            }
            (None, Some(y)) => {
                let other = if y == SqlType::Interval { SqlType::Interval } else { unsized_type(&y) };
                (other, y)
            }
            (Some(x), Some(y)) => (x, y),
        };
        let implicit = CastContext::Implicit;
        let a_ex = if a.ty.is_none() { self.coerce(a.clone(), &ta, implicit, spans.0)? } else { a.ex.clone() };
        let b_ex = if b.ty.is_none() { self.coerce(b.clone(), &tb, implicit, spans.1)? } else { b.ex.clone() };
        if ta == SqlType::Ion || tb == SqlType::Ion {
            return make(Arithmetic::Dynamic { partiql: false }, a_ex, b_ex, SqlType::Ion);
        }
        let (a1, b1) = (Typed::new(a_ex, ta.clone()), Typed::new(b_ex, tb.clone()));
        if ta.is_number() && tb.is_number() {
            return self.number_operator(op, a1, b1, spans);
        }
        let (x, y) = (a1.ex.clone(), b1.ex.clone());
        use SqlType::{Date, Interval, Jsonb, Time, Timestamp, TimestampTz};
        match (op, &ta, &tb) {
            (BinaryOp::Add | BinaryOp::Subtract, Date, t) if t.is_integer() => {
                make(Arithmetic::DatePlusDays, x, y, Date)
            }
            (BinaryOp::Add, t, Date) if t.is_integer() => make(Arithmetic::DatePlusDays, y, x, Date),
            (BinaryOp::Subtract, Date, Date) => make(Arithmetic::DateMinusDate, x, y, SqlType::Int4),
            (BinaryOp::Subtract, t, u) if t.is_date_or_time() && u.is_date_or_time() => {
                make(Arithmetic::TimestampMinusTimestamp, x, y, Interval)
            }
            (BinaryOp::Add | BinaryOp::Subtract, Date | Timestamp, Interval) => {
                make(Arithmetic::TimestampInterval { zoned: false }, x, y, Timestamp)
            }
            (BinaryOp::Add | BinaryOp::Subtract, TimestampTz, Interval) => {
                make(Arithmetic::TimestampInterval { zoned: true }, x, y, TimestampTz)
            }
            (BinaryOp::Add, Interval, Date | Timestamp) => {
                make(Arithmetic::TimestampInterval { zoned: false }, y, x, Timestamp)
            }
            (BinaryOp::Add, Interval, TimestampTz) => {
                make(Arithmetic::TimestampInterval { zoned: true }, y, x, TimestampTz)
            }
            (BinaryOp::Add, Time, Interval) | (BinaryOp::Add, Date, Time) => {
                self.named_call("ledgerstone_time_plus", vec![(a1, spans.0), (b1, spans.1)], spans.0)
            }
            (BinaryOp::Add, Interval, Time) | (BinaryOp::Add, Time, Date) => {
                self.named_call("ledgerstone_time_plus", vec![(b1, spans.1), (a1, spans.0)], spans.0)
            }
            (BinaryOp::Subtract, Time, Interval | Time) => {
                self.named_call("ledgerstone_time_minus", vec![(a1, spans.0), (b1, spans.1)], spans.0)
            }
            (BinaryOp::Add | BinaryOp::Subtract, Interval, Interval) => make(Arithmetic::Interval, x, y, Interval),
            (BinaryOp::Multiply | BinaryOp::Divide, Interval, t) if t.is_number() => {
                make(Arithmetic::IntervalScale, x, y, Interval)
            }
            (BinaryOp::Multiply, t, Interval) if t.is_number() => make(Arithmetic::IntervalScale, y, x, Interval),
            (BinaryOp::Subtract, Jsonb, t) if t.is_text() || t.is_integer() || matches!(t, SqlType::Array(_)) => {
                self.named_call("ledgerstone_jsonb_delete", vec![(a1, spans.0), (b1, spans.1)], spans.0)
            }
            _ => Err(self.no_operator(op, &a1, &b1, spans)),
        }
    }

    fn number_operator(&mut self, op: BinaryOp, a: Typed, b: Typed, spans: (Span, Span)) -> Result<Typed> {
        let (Some(ta), Some(tb)) = (a.ty.clone(), b.ty.clone()) else {
            return Err(self.no_operator(op, &a, &b, spans));
        };
        let mut ty = common_number(&ta, &tb);
        match op {
            // Whole numbers are raised as double precision.
            BinaryOp::Power if !matches!(ty, SqlType::Numeric { .. }) => ty = SqlType::Float8,
            BinaryOp::Modulo if matches!(ty, SqlType::Float4 | SqlType::Float8) => {
                return Err(self.no_operator(op, &a, &b, spans));
            }
            BinaryOp::BitAnd | BinaryOp::BitOr | BinaryOp::BitXor if !ty.is_integer() => {
                return Err(self.no_operator(op, &a, &b, spans));
            }
            BinaryOp::ShiftLeft | BinaryOp::ShiftRight => {
                if !ta.is_integer() || !matches!(tb, SqlType::Int2 | SqlType::Int4) {
                    return Err(self.no_operator(op, &a, &b, spans));
                }
                ty = ta.clone();
            }
            _ => {}
        }
        let kind = match ty {
            SqlType::Int2 => Arithmetic::Int2,
            SqlType::Int4 => Arithmetic::Int4,
            SqlType::Int8 | SqlType::Oid | SqlType::Reg(_) => Arithmetic::Int8,
            SqlType::Numeric { .. } => Arithmetic::Numeric,
            SqlType::Float4 => Arithmetic::Float4,
            _ => Arithmetic::Float8,
        };
        // The operators take any number as operand, so nothing is cast beforehand but what loses digits on the way.
        let (mut x, mut y) = (a.ex.clone(), b.ex.clone());
        if matches!(kind, Arithmetic::Float8 | Arithmetic::Float4) {
            x = self.coerce(a, &ty, CastContext::Implicit, spans.0)?;
            y = self.coerce(b, &ty, CastContext::Implicit, spans.1)?;
        }
        Ok(Typed::new(Ex::Arithmetic { op, kind, left: Box::new(x), right: Box::new(y) }, ty))
    }

    fn concat(&mut self, a: Typed, b: Typed, spans: (Span, Span)) -> Result<Typed> {
        use SqlType::{Array, Bytea, Json, Jsonb};
        let pair = |a: Typed, b: Typed| vec![(a, spans.0), (b, spans.1)];
        if self.partiql {
            return self.named_call("ledgerstone_concat", pair(a, b), spans.0);
        }
        let (ta, tb) = (a.ty.clone(), b.ty.clone());
        match (&ta, &tb) {
            (Some(Jsonb), Some(Jsonb) | None) | (None, Some(Jsonb)) => {
                self.named_call("ledgerstone_jsonb_concat", pair(a, b), spans.0)
            }
            (Some(Bytea), Some(Bytea) | None) | (None, Some(Bytea)) => {
                let a = Typed::new(self.coerce(a, &Bytea, CastContext::Implicit, spans.0)?, Bytea);
                let b = Typed::new(self.coerce(b, &Bytea, CastContext::Implicit, spans.1)?, Bytea);
                self.named_call("ledgerstone_bytea_concat", pair(a, b), spans.0)
            }
            (Some(Array(_)), Some(Array(_))) => self.named_call("array_cat", pair(a, b), spans.0),
            (Some(array @ Array(_)), None) => {
                let array = array.clone();
                let b = Typed::new(self.coerce(b, &array, CastContext::Implicit, spans.1)?, array);
                self.named_call("array_cat", pair(a, b), spans.0)
            }
            (Some(Array(of)), Some(t)) => {
                let of = self.element_type(of, t);
                let array = Array(Box::new(of.clone()));
                let a = Typed::new(self.coerce(a, &array, CastContext::Implicit, spans.0)?, array);
                let b = Typed::new(self.coerce(b, &of, CastContext::Implicit, spans.1)?, of);
                self.named_call("array_append", pair(a, b), spans.0)
            }
            (Some(t), Some(Array(of))) => {
                let of = self.element_type(of, t);
                let array = Array(Box::new(of.clone()));
                let b = Typed::new(self.coerce(b, &array, CastContext::Implicit, spans.1)?, array);
                let a = Typed::new(self.coerce(a, &of, CastContext::Implicit, spans.0)?, of);
                self.named_call("array_prepend", pair(a, b), spans.0)
            }
            (x, y) => {
                // Text with anything: the other side as its text.
                let texty = |t: &Option<SqlType>| t.as_ref().is_none_or(|t| t.is_text() || *t == SqlType::Ion);
                if !texty(x) && !texty(y) || matches!((x, y), (Some(Json), _) | (_, Some(Json))) {
                    return Err(self.no_operator(BinaryOp::Concat, &a, &b, spans));
                }
                let a = self.coerce(a, &SqlType::Text, CastContext::Explicit, spans.0).map(|ex| text_of(ex, x))?;
                let b = self.coerce(b, &SqlType::Text, CastContext::Explicit, spans.1).map(|ex| text_of(ex, y))?;
                self.named_call("ledgerstone_text_concat", pair(a, b), spans.0)
            }
        }
    }

    /// What the elements of an array become beside a value: the common type of numbers, otherwise their own.
    fn element_type(&self, of: &SqlType, beside: &SqlType) -> SqlType {
        if of.is_number() && beside.is_number() { unify_numbers(of, beside) } else { of.clone() }
    }

    fn json_get(&mut self, op: BinaryOp, a: Typed, b: Typed, spans: (Span, Span)) -> Result<Typed> {
        let as_text = matches!(op, BinaryOp::JsonGetText | BinaryOp::JsonPathText);
        let a = match &a.ty {
            Some(SqlType::Json) => {
                Typed::new(self.coerce(a, &SqlType::Jsonb, CastContext::Explicit, spans.0)?, SqlType::Jsonb)
            }
            None => Typed::new(self.coerce(a, &SqlType::Jsonb, CastContext::Implicit, spans.0)?, SqlType::Jsonb),
            Some(SqlType::Jsonb | SqlType::Ion) => a,
            Some(_) => return Err(self.no_operator(op, &a, &b, spans)),
        };
        let value = match op {
            BinaryOp::JsonGet | BinaryOp::JsonGetText => {
                let (key, ty) = self.settle(b, spans.1)?;
                if !ty.is_text() && !ty.is_integer() && ty != SqlType::Ion {
                    return Err(QueryError::new(
                        SqlState::UNDEFINED_FUNCTION,
                        format!("operator does not exist: jsonb {} {ty}", symbol(op)),
                    )
                    .at(spans.0.to(spans.1)));
                }
                // A text key never counts from a list's start, an integer never names a field.
                let step = Step::Json(Box::new(key));
                let guard = if ty.is_text() { "ledgerstone_object" } else { "ledgerstone_list" };
                let base = self.named_call(guard, vec![(Typed::new(a.ex, SqlType::Jsonb), spans.0)], spans.0)?;
                path_of(base.ex, vec![step])
            }
            _ => {
                let array = SqlType::Array(Box::new(SqlType::Text));
                let path = self.coerce(b, &array, CastContext::Implicit, spans.1)?;
                let arguments = vec![(Typed::new(a.ex, SqlType::Jsonb), spans.0), (Typed::new(path, array), spans.1)];
                self.named_call("ledgerstone_jsonb_path", arguments, spans.0)?.ex
            }
        };
        let value = Typed::new(value, SqlType::Jsonb);
        if as_text { self.named_call("ledgerstone_json_text", vec![(value, spans.0)], spans.0) } else { Ok(value) }
    }

    fn contains(&mut self, a: Typed, b: Typed, spans: (Span, Span)) -> Result<Typed> {
        // Documents and arrays contain what is of their kind; a literal takes the other side's type.
        let document = |ty: &Option<SqlType>| matches!(ty, None | Some(SqlType::Jsonb | SqlType::Ion));
        let array = |ty: &Option<SqlType>| matches!(ty, None | Some(SqlType::Array(_)));
        let fits = document(&a.ty) && document(&b.ty) || array(&a.ty) && array(&b.ty);
        if !self.partiql && !fits {
            return Err(self.no_operator(BinaryOp::Contains, &a, &b, spans));
        }
        let target = match (&a.ty, &b.ty) {
            (Some(SqlType::Array(_)), _) | (_, Some(SqlType::Array(_))) => {
                let ty = [&a.ty, &b.ty].into_iter().flatten().find(|t| matches!(t, SqlType::Array(_))).cloned();
                ty.unwrap_or(SqlType::Jsonb)
            }
            _ => SqlType::Jsonb,
        };
        let name = if target == SqlType::Jsonb { "ledgerstone_jsonb_contains" } else { "ledgerstone_array_contains" };
        let a = Typed::new(self.coerce(a, &target, CastContext::Implicit, spans.0)?, target.clone());
        let b = Typed::new(self.coerce(b, &target, CastContext::Implicit, spans.1)?, target);
        self.named_call(name, vec![(a, spans.0), (b, spans.1)], spans.0)
    }

    fn regex(&mut self, a: Typed, b: Typed, spans: (Span, Span), any_case: bool, negated: bool) -> Result<Typed> {
        let name = if any_case { "ledgerstone_regex_i" } else { "regexp_like" };
        let found = self.named_call(name, vec![(a, spans.0), (b, spans.1)], spans.0)?;
        Ok(if negated { Typed::bool(Ex::Not(Box::new(found.ex))) } else { found })
    }

    pub(super) fn no_operator(&self, op: BinaryOp, a: &Typed, b: &Typed, spans: (Span, Span)) -> QueryError {
        let show = |t: &Typed| t.ty.as_ref().map_or_else(|| "unknown".to_owned(), |t| t.to_string());
        QueryError::new(
            SqlState::UNDEFINED_FUNCTION,
            format!("operator does not exist: {} {} {}", show(a), symbol(op), show(b)),
        )
        .at(spans.0.to(spans.1))
        .hint("No operator matches the given name and argument types. You might need to add explicit type casts.")
    }

    /// A call of one of our functions by name.
    pub(super) fn named_call(&mut self, name: &str, arguments: Vec<(Typed, Span)>, span: Span) -> Result<Typed> {
        let types: Vec<Option<SqlType>> = arguments.iter().map(|(a, _)| a.ty.clone()).collect();
        match function::resolve(name, &types, self.partiql) {
            Some(function) => self.call(function, arguments),
            None => Err(self.no_function(name, &types, span)),
        }
    }

    pub(super) fn no_function(&self, name: &str, types: &[Option<SqlType>], span: Span) -> QueryError {
        let shown: Vec<String> =
            types.iter().map(|t| t.as_ref().map_or_else(|| "unknown".to_owned(), |t| t.to_string())).collect();
        let error = QueryError::new(
            SqlState::UNDEFINED_FUNCTION,
            format!("function {name}({}) does not exist", shown.join(", ")),
        )
        .at(span);
        let known = function::names().any(|n| n == name);
        match super::scope::closest(name, function::names().filter(|n| !n.starts_with("ledgerstone_"))) {
            _ if known => error.hint(
                "No function matches the given name and argument types. You might need to add explicit type casts.",
            ),
            Some(near) => error.hint(format!("Perhaps you meant {near}().")),
            None => error,
        }
    }
}

/// What was coerced to text already: dynamic values and constants stay as they are.
fn text_of(ex: Ex, from: &Option<SqlType>) -> Typed {
    match from {
        Some(SqlType::Ion) => Typed::new(
            Ex::Cast { expr: Box::new(ex), from: Some(SqlType::Ion), to: SqlType::Text, explicit: true },
            SqlType::Text,
        ),
        _ => Typed::new(ex, SqlType::Text),
    }
}
