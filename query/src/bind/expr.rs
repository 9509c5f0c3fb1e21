//! Expressions: names resolved, operators and functions chosen by type, subqueries planned.

use std::sync::Arc;

use ledgerstone_digest::ion::{Int, Value};

use super::plan::{Comparison, Ex, Step, Subquery, SubqueryKind};
use super::scope::path_of;
use super::types::{CastContext, Typed, can_cast, unify};
use super::{Binder, field_step};
use crate::ast::{BinaryOp, Expr, ExprKind, Name, PathStep, Query, Span, TypeName, UnaryOp};
use crate::error::{QueryError, Result, SqlState};
use crate::function::{Arg, Scalar};
use crate::types::SqlType;
use crate::value::{cast, numeric};

impl Binder<'_> {
    pub fn expr(&mut self, e: &Expr) -> Result<Typed> {
        super::deep(|| self.expr_kind(e)).map_err(|error| error.at(e.span))
    }

    fn expr_kind(&mut self, e: &Expr) -> Result<Typed> {
        match &e.kind {
            ExprKind::Literal(value) => Ok(self.literal(value)),
            ExprKind::Missing => Ok(Typed::new(Ex::NULL, SqlType::Ion)),
            ExprKind::Default => {
                Err(QueryError::unsupported("DEFAULT as a value").at(e.span).hint("Leave the column out of the list."))
            }
            ExprKind::Parameter(i) => self.parameter(*i),
            ExprKind::Name(name) | ExprKind::LocalName(name) => self.resolve_name(name),
            ExprKind::Path { base, steps } => self.path(base, steps),
            ExprKind::Unary { op, expr } => self.unary(*op, expr),
            ExprKind::Binary { op, left, right } => self.binary(*op, left, right, e.span),
            ExprKind::IsNull { expr, negated } => {
                let bound = self.expr(expr)?;
                Ok(Typed::bool(self.is_null(bound, *negated, expr.span)?))
            }
            ExprKind::IsMissing { expr, negated } => {
                let expr = self.any(expr)?;
                Ok(Typed::bool(Ex::IsMissing { expr: Box::new(expr), negated: *negated }))
            }
            ExprKind::IsBool { expr, value, negated } => {
                let bound = self.expr(expr)?;
                let expr = self.condition(bound, "IS", expr.span)?;
                Ok(Typed::bool(Ex::IsBool { expr: Box::new(expr), value: *value, negated: *negated }))
            }
            ExprKind::IsType { expr, ty, negated } => {
                let expr = self.any(expr)?;
                Ok(Typed::bool(Ex::IsType { expr: Box::new(expr), ty: lower(&ty.name), negated: *negated }))
            }
            ExprKind::IsDistinctFrom { left, right, negated } => {
                let (a, b) = (self.expr(left)?, self.expr(right)?);
                Ok(Typed::bool(self.distinct_from(a, b, *negated, (left.span, right.span))?))
            }
            ExprKind::Between { expr, low, high, negated } => {
                let low_end = self.comparison(Comparison::GtEq, expr, low)?;
                let high_end = self.comparison(Comparison::LtEq, expr, high)?;
                let both = Ex::And(vec![low_end, high_end]);
                Ok(Typed::bool(if *negated { Ex::Not(Box::new(both)) } else { both }))
            }
            ExprKind::InList { expr, list, negated } => self.in_list(expr, list, *negated),
            ExprKind::InExpr { expr, collection, negated } => self.in_expr(expr, collection, *negated),
            ExprKind::Like { expr, pattern, escape, case_insensitive, negated } => {
                self.costs.call(false);
                let expr = self.as_text(expr)?;
                let pattern = self.as_text(pattern)?;
                let escape = escape.as_ref().map(|e| self.as_text(e)).transpose()?.map(Box::new);
                Ok(Typed::bool(Ex::Like {
                    expr: Box::new(expr),
                    pattern: Box::new(pattern),
                    escape,
                    any_case: *case_insensitive,
                    negated: *negated,
                }))
            }
            ExprKind::Case { operand, whens, otherwise } => self.case(operand.as_deref(), whens, otherwise.as_deref()),
            ExprKind::Cast { expr, ty } => {
                self.costs.call(true);
                self.cast(expr, ty)
            }
            ExprKind::Function(call) => self.function(call, e.span),
            ExprKind::Subquery(query) => self.scalar_subquery(query, e.span),
            ExprKind::Exists(query) => {
                let (plan, _) = self.subquery(query)?;
                Ok(Typed::bool(self.subquery_ex(plan, SubqueryKind::Exists)))
            }
            ExprKind::ArraySubquery(query) => {
                let (plan, columns) = self.subquery(query)?;
                let of = one_column(&columns, e.span)?;
                let ty = if self.partiql { SqlType::Ion } else { SqlType::Array(Box::new(of)) };
                Ok(Typed::new(self.subquery_ex(plan, SubqueryKind::List), ty))
            }
            ExprKind::Quantified { op, all, left, right } => self.quantified(*op, *all, left, right, e.span),
            ExprKind::List(items) => self.list(items, e.span),
            ExprKind::Bag(items) => self.list(items, e.span),
            ExprKind::Struct(fields) => {
                let mut bound = Vec::with_capacity(fields.len());
                for (name, value) in fields {
                    bound.push((self.any(name)?, self.any(value)?));
                }
                Ok(Typed::new(Ex::Struct(bound), SqlType::Ion))
            }
            ExprKind::Row(items) => self.row(items),
            ExprKind::Extract { field, from } => self.extract(field, from, e.span),
        }
    }

    /// Any type; an untyped literal becomes text.
    pub fn any(&mut self, e: &Expr) -> Result<Ex> {
        let bound = self.expr(e)?;
        Ok(self.settle(bound, e.span)?.0)
    }

    pub fn as_text(&mut self, e: &Expr) -> Result<Ex> {
        let bound = self.expr(e)?;
        match &bound.ty {
            Some(SqlType::Ion) => Ok(bound.ex),
            Some(ty) if !ty.is_text() && !self.partiql => Err(QueryError::new(
                SqlState::UNDEFINED_FUNCTION,
                format!("operator does not exist: {ty} ~~ text"),
            )
            .at(e.span)
            .hint("No operator matches the given name and argument types. You might need to add explicit type casts.")),
            _ => self.coerce(bound, &SqlType::Text, CastContext::Implicit, e.span),
        }
    }

    fn literal(&self, value: &Value) -> Typed {
        let constant = Ex::Const(Some(value.clone()));
        if self.partiql {
            return Typed::new(constant, SqlType::Ion);
        }
        match value {
            Value::Null(_) => Typed::untyped(Ex::NULL),
            Value::Bool(_) => Typed::bool(constant),
            Value::Int(Int::Small(i)) if i32::try_from(*i).is_ok() => Typed::new(constant, SqlType::Int4),
            Value::Int(Int::Small(_)) => Typed::new(constant, SqlType::Int8),
            Value::Int(big) => {
                let decimal = numeric::Num::new(numeric::int_to_big(big), 0).to_value();
                Typed::new(Ex::Const(Some(decimal)), SqlType::NUMERIC)
            }
            Value::Decimal(d) if d.exponent() > 0 => match numeric::Num::from_decimal(d) {
                Ok(n) => Typed::new(Ex::Const(Some(n.to_value())), SqlType::NUMERIC),
                Err(_) => Typed::new(constant, SqlType::NUMERIC),
            },
            Value::Decimal(_) => Typed::new(constant, SqlType::NUMERIC),
            Value::Float(_) => Typed::new(constant, SqlType::Float8),
            Value::String(_) => Typed::untyped(constant),
            Value::Blob(_) => Typed::new(constant, SqlType::Bytea),
            _ => Typed::new(constant, SqlType::Ion),
        }
    }

    pub fn parameter(&mut self, i: u32) -> Result<Typed> {
        if i >= u32::from(u16::MAX) {
            return Err(QueryError::new(SqlState::TOO_MANY_ARGUMENTS, "there may be 65535 parameters at most"));
        }
        let at = i as usize;
        if self.params.len() <= at {
            self.params.resize(at + 1, None);
        }
        if self.partiql {
            self.set_parameter(i, SqlType::Ion);
            return Ok(Typed::new(Ex::Param(i), SqlType::Ion));
        }
        let known = self.params.get(at).cloned().flatten();
        Ok(Typed { ty: known, ..Typed::untyped(Ex::Param(i)) })
    }

    /// A parameter's type is what the first place that needs one says; answers the type it has.
    pub fn set_parameter(&mut self, i: u32, ty: SqlType) -> SqlType {
        match self.params.get_mut(i as usize) {
            Some(place) => place.get_or_insert(ty).clone(),
            None => ty,
        }
    }

    // Paths

    fn path(&mut self, base: &Expr, steps: &[PathStep]) -> Result<Typed> {
        let (mut bound, rest) = self.path_base(base, steps)?;
        if rest.is_empty() {
            return Ok(bound);
        }
        let array_of = match &bound.ty {
            Some(SqlType::Array(of)) => Some((**of).clone()),
            _ => None,
        };
        if let Some(of) = &array_of
            && rest.len() > 1
            && rest.iter().all(|step| matches!(step, PathStep::Index(_)))
        {
            return self.array_element(bound, of.clone(), rest, base.span);
        }
        if let Some(of) = array_of
            && let [PathStep::Index(index)] = rest
        {
            // PostgreSQL's arrays count from 1.
            let index =
                self.expr(index).and_then(|i| self.coerce(i, &SqlType::Int4, CastContext::Assignment, base.span))?;
            let index = Ex::Arithmetic {
                op: BinaryOp::Subtract,
                kind: super::plan::Arithmetic::Dynamic { partiql: false },
                left: Box::new(index),
                right: Box::new(Ex::Const(Some(Value::int(1)))),
            };
            // Below 1 there is nothing; a step counts negative places from the end.
            let at = Ex::Case {
                whens: vec![(
                    Ex::Compare {
                        op: Comparison::GtEq,
                        left: Box::new(index.clone()),
                        right: Box::new(Ex::Const(Some(Value::int(0)))),
                        dynamic: false,
                    },
                    index,
                )],
                otherwise: None,
            };
            return Ok(Typed::new(path_of(bound.ex, vec![Step::Index(Box::new(at))]), of));
        }
        if let Some(ty) = &bound.ty
            && !matches!(ty, SqlType::Ion | SqlType::Jsonb | SqlType::Json)
        {
            return Err(QueryError::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("there are no fields in a value of type {ty}"),
            ));
        }
        let steps = self.steps(rest)?;
        bound.ty = Some(SqlType::Ion);
        bound.ex = path_of(bound.ex, steps);
        Ok(bound)
    }

    /// `a[2][1]`: a place in each dimension of an array.
    fn array_element(&mut self, array: Typed, of: SqlType, places: &[PathStep], span: Span) -> Result<Typed> {
        let mut arguments = vec![array.ex];
        for place in places {
            if let PathStep::Index(place) = place {
                let place = self.expr(place)?;
                arguments.push(self.coerce(place, &SqlType::Int4, CastContext::Assignment, span)?);
            }
        }
        let function = crate::function::named("ledgerstone_array_element").next();
        let function = function.ok_or_else(|| QueryError::internal("no elements of arrays"))?;
        Ok(Typed::new(Ex::Call { function, arguments }, of))
    }

    /// The longest beginning of a path that is a source or column, and the steps left.
    fn path_base<'s>(&mut self, base: &'s Expr, steps: &'s [PathStep]) -> Result<(Typed, &'s [PathStep])> {
        let ExprKind::Name(name) = &base.kind else {
            return Ok((self.expr(base)?, steps));
        };
        let (name, steps) = self.without_schema(name, steps);
        if let Some((depth, item)) = self.resolve_alias(name)
            && let Some((PathStep::Field(field), rest)) = steps.split_first()
            && !(self.partiql && item.columns.is_empty() && item.whole.is_some())
        {
            // `t.owner`: a column of a source. PartiQL's plain variables are walked into by path.
            return Ok((self.resolve_qualified(depth, &item, field)?, rest));
        }
        match self.resolve_name(name) {
            Ok(bound) => Ok((bound, steps)),
            Err(error) if error.code == SqlState::UNDEFINED_COLUMN => Err(self.missing_from(name, error)),
            Err(error) => Err(error),
        }
    }

    /// `public.t.column` is `t.column`, unless something is called `public` itself.
    pub(super) fn without_schema<'s>(&self, name: &'s Name, steps: &'s [PathStep]) -> (&'s Name, &'s [PathStep]) {
        let is_schema = ["public", "pg_catalog", "information_schema"].contains(&&*name.text);
        match steps.split_first() {
            Some((PathStep::Field(table), rest))
                if is_schema
                    && !self.partiql
                    && self.resolve_alias(name).is_none()
                    && self.resolve_alias(table).is_some() =>
            {
                (table, rest)
            }
            _ => (name, steps),
        }
    }

    fn missing_from(&self, name: &Name, error: QueryError) -> QueryError {
        if self.partiql {
            return error;
        }
        QueryError::new(SqlState::UNDEFINED_TABLE, format!("missing FROM-clause entry for table \"{}\"", name.text))
            .at(name.span)
    }

    pub fn steps(&mut self, steps: &[PathStep]) -> Result<Vec<Step>> {
        steps
            .iter()
            .map(|step| {
                Ok(match step {
                    PathStep::Field(name) => field_step(name, self.partiql),
                    PathStep::Index(e) => Step::Index(Box::new(self.any(e)?)),
                    PathStep::AllElements => Step::AllElements,
                    PathStep::AllFields => Step::AllFields,
                })
            })
            .collect()
    }

    // Conditions

    /// `left op right` as a condition.
    fn comparison(&mut self, op: Comparison, left: &Expr, right: &Expr) -> Result<Ex> {
        let (a, b) = (self.expr(left)?, self.expr(right)?);
        self.compare(op, a, b, (left.span, right.span))
    }

    pub fn compare(&mut self, op: Comparison, a: Typed, b: Typed, spans: (Span, Span)) -> Result<Ex> {
        if let Some(rows) = self.compare_rows(op, &a, &b, spans)? {
            return Ok(rows);
        }
        let ordered = !self.partiql && !matches!(op, Comparison::Eq | Comparison::NotEq) && {
            let is = |side: &Typed| side.ty == Some(SqlType::Jsonb);
            is(&a) && (is(&b) || b.ty.is_none()) || a.ty.is_none() && is(&b)
        };
        let (mut a, mut b, dynamic) = self.comparable(a, b, op.symbol(), spans)?;
        if ordered && !dynamic {
            (a, b) = (in_order(a, &SqlType::Jsonb), in_order(b, &SqlType::Jsonb));
        }
        Ok(Ex::Compare { op, left: Box::new(a), right: Box::new(b), dynamic })
    }

    pub fn distinct_from(&mut self, a: Typed, b: Typed, negated: bool, spans: (Span, Span)) -> Result<Ex> {
        if let Some(rows) = self.distinct_rows(&a, &b, negated, spans)? {
            return Ok(rows);
        }
        let (a, b, _) = self.comparable(a, b, "IS DISTINCT FROM", spans)?;
        Ok(Ex::Distinct { left: Box::new(a), right: Box::new(b), negated })
    }

    /// Both sides made comparable; whether their types are only known at run time.
    pub fn comparable(&mut self, a: Typed, b: Typed, operator: &str, spans: (Span, Span)) -> Result<(Ex, Ex, bool)> {
        if self.partiql || a.is_ion() || b.is_ion() {
            let (a, _) = self.settle(a, spans.0)?;
            let (b, _) = self.settle(b, spans.1)?;
            return Ok((a, b, true));
        }
        let implicit = CastContext::Implicit;
        Ok(match (a.ty.clone(), b.ty.clone()) {
            (None, None) => (self.settle(a, spans.0)?.0, self.settle(b, spans.1)?.0, false),
            (Some(SqlType::Char(n)), None) => {
                let other = self.coerce(b, &SqlType::Text, implicit, spans.1)?;
                (a.ex, padded(other, n), false)
            }
            (None, Some(SqlType::Char(n))) => {
                let other = self.coerce(a, &SqlType::Text, implicit, spans.0)?;
                (padded(other, n), b.ex, false)
            }
            (Some(x), None) => (a.ex, self.coerce(b, &bare(&x), implicit, spans.1)?, false),
            (None, Some(y)) => (self.coerce(a, &bare(&y), implicit, spans.0)?, b.ex, false),
            (Some(x), Some(y)) if x == y => (a.ex, b.ex, false),
            (Some(x), Some(y)) => match (&x, &y) {
                (SqlType::Char(_), t) | (t, SqlType::Char(_)) if t.is_text() => {
                    let a = self.coerce(a, &SqlType::Text, implicit, spans.0)?;
                    (a, self.coerce(b, &SqlType::Text, implicit, spans.1)?, false)
                }
                // Values of these compare as they are, whatever their widths.
                (x, y) if x.is_number() && y.is_number() => {
                    let float = |t: &SqlType| matches!(t, SqlType::Float4 | SqlType::Float8);
                    if float(x) != float(y)
                        && matches!((x, y), (SqlType::Numeric { .. }, _) | (_, SqlType::Numeric { .. }))
                    {
                        let a = self.coerce(a, &SqlType::Float8, implicit, spans.0)?;
                        (a, self.coerce(b, &SqlType::Float8, implicit, spans.1)?, false)
                    } else {
                        (a.ex, b.ex, false)
                    }
                }
                (x, y) if x.is_text() && y.is_text() || x.is_date_or_time() && y.is_date_or_time() => {
                    (a.ex, b.ex, false)
                }
                (SqlType::Array(x), SqlType::Array(y)) if can_cast(x, y, implicit) || can_cast(y, x, implicit) => {
                    (a.ex, b.ex, false)
                }
                _ => {
                    return Err(QueryError::new(
                        SqlState::UNDEFINED_FUNCTION,
                        format!("operator does not exist: {x} {operator} {y}"),
                    )
                    .at(spans.0.to(spans.1))
                    .hint("No operator matches the given name and argument types. You might need to add explicit type casts."));
                }
            },
        })
    }

    fn in_list(&mut self, expr: &Expr, list: &[Expr], negated: bool) -> Result<Typed> {
        let left = self.expr(expr)?;
        let mut bound = Vec::with_capacity(list.len());
        for item in list {
            bound.push((self.expr(item)?, item.span));
        }
        // An untyped left side takes the type of the list.
        let left = match (&left.ty, unify(&bound.iter().map(|(b, _)| b.ty.clone()).collect::<Vec<_>>())) {
            (None, Some(ty)) if !self.partiql && bound.iter().any(|(b, _)| b.ty.is_some()) => {
                Typed::new(self.coerce(left, &ty, CastContext::Implicit, expr.span)?, ty)
            }
            _ => left,
        };
        if matches!(left.ex, Ex::Row(_)) || bound.iter().any(|(item, _)| matches!(item.ex, Ex::Row(_))) {
            let mut parts = Vec::new();
            for (item, span) in bound {
                parts.push(self.compare(Comparison::Eq, left.clone(), item, (expr.span, span))?);
            }
            let any = Ex::Or(parts);
            return Ok(Typed::bool(if negated { Ex::Not(Box::new(any)) } else { any }));
        }
        let mut pairs = Vec::with_capacity(bound.len());
        for (item, span) in bound {
            pairs.push(self.comparable(left.clone(), item, "=", (expr.span, span))?);
        }
        let Some((side, _, _)) = pairs.first().cloned() else {
            let (side, _) = self.settle(left, expr.span)?;
            return Ok(Typed::bool(Ex::In { expr: Box::new(side), list: vec![], negated, dynamic: false }));
        };
        if pairs.iter().any(|(a, _, _)| *a != side) {
            // The left side is not the same beside every item: a char(n) is its text beside one.
            let equal =
                |(a, b, dynamic)| Ex::Compare { op: Comparison::Eq, left: Box::new(a), right: Box::new(b), dynamic };
            let any = Ex::Or(pairs.into_iter().map(equal).collect());
            return Ok(Typed::bool(if negated { Ex::Not(Box::new(any)) } else { any }));
        }
        let dynamic = pairs.iter().any(|(_, _, dynamic)| *dynamic);
        let list = pairs.into_iter().map(|(_, item, _)| item).collect();
        Ok(Typed::bool(Ex::In { expr: Box::new(side), list, negated, dynamic }))
    }

    fn in_expr(&mut self, expr: &Expr, collection: &Expr, negated: bool) -> Result<Typed> {
        let (op, all) = if negated { (Comparison::NotEq, true) } else { (Comparison::Eq, false) };
        match &collection.kind {
            ExprKind::Subquery(query) => self.quantified_subquery(op, all, expr, query, collection.span),
            _ => {
                let (left, right) = (self.expr(expr)?, self.expr(collection)?);
                self.quantified_array(op, all, left, right, (expr.span, collection.span))
            }
        }
    }

    fn quantified(&mut self, op: BinaryOp, all: bool, left: &Expr, right: &Expr, span: Span) -> Result<Typed> {
        let Some(op) = Comparison::from_op(op) else {
            return Err(QueryError::unsupported("ANY and ALL with an operator that does not compare").at(span));
        };
        match &right.kind {
            ExprKind::Subquery(query) => self.quantified_subquery(op, all, left, query, right.span),
            _ => {
                let (a, b) = (self.expr(left)?, self.expr(right)?);
                self.quantified_array(op, all, a, b, (left.span, right.span))
            }
        }
    }

    fn quantified_array(
        &mut self,
        op: Comparison,
        all: bool,
        left: Typed,
        right: Typed,
        spans: (Span, Span),
    ) -> Result<Typed> {
        let dynamic = self.partiql || left.is_ion() || right.is_ion();
        let (left, array) = match right.ty.clone() {
            _ if dynamic => (self.settle(left, spans.0)?.0, self.settle(right, spans.1)?.0),
            Some(SqlType::Array(of)) => {
                let element = Typed::new(Ex::NULL, (*of).clone());
                let (left, _, _) = self.comparable(left, element, op.symbol(), spans)?;
                (left, right.ex)
            }
            None => {
                let (left, ty) = self.settle(left, spans.0)?;
                let array = SqlType::Array(Box::new(bare(&ty)));
                (left, self.coerce(right, &array, CastContext::Implicit, spans.1)?)
            }
            Some(other) => {
                return Err(QueryError::new(
                    SqlState::WRONG_OBJECT_TYPE,
                    format!("op ANY/ALL (array) requires array on right side, not {other}"),
                )
                .at(spans.1));
            }
        };
        Ok(Typed::bool(Ex::Quantified { op, all, left: Box::new(left), array: Box::new(array), dynamic }))
    }

    fn quantified_subquery(
        &mut self,
        op: Comparison,
        all: bool,
        left: &Expr,
        query: &Query,
        span: Span,
    ) -> Result<Typed> {
        let lefts: Vec<&Expr> = match &left.kind {
            ExprKind::Row(items) => items.iter().collect(),
            _ => vec![left],
        };
        let (mut plan, columns) = self.subquery(query)?;
        if self.partiql {
            plan = self.first_field(plan, query);
        }
        if lefts.len() != columns.len() {
            let what = if lefts.len() > columns.len() { "too few" } else { "too many" };
            return Err(QueryError::syntax(format!("subquery has {what} columns"), span));
        }
        let mut bound = Vec::with_capacity(lefts.len());
        let mut dynamic = false;
        for (e, (_, ty)) in lefts.iter().zip(&columns) {
            let value = self.expr(e)?;
            let (value, _, d) =
                self.comparable(value, Typed::new(Ex::NULL, ty.clone()), op.symbol(), (e.span, span))?;
            dynamic |= d;
            bound.push(value);
        }
        let kind = SubqueryKind::Quantified { op, all, left: bound, dynamic };
        Ok(Typed::bool(self.subquery_ex(plan, kind)))
    }

    fn scalar_subquery(&mut self, query: &Query, span: Span) -> Result<Typed> {
        let (plan, columns) = self.subquery(query)?;
        if self.partiql {
            // SELECT VALUE is a collection; SQL's SELECT of one column is that column's value.
            if super::query::is_value_query(query) {
                return Ok(Typed::new(self.subquery_ex(plan, SubqueryKind::List), SqlType::Ion));
            }
            let plan = self.first_field(plan, query);
            return Ok(Typed::new(self.subquery_ex(plan, SubqueryKind::Scalar), SqlType::Ion));
        }
        let ty = one_column(&columns, span)?;
        Ok(Typed::new(self.subquery_ex(plan, SubqueryKind::Scalar), ty))
    }

    pub fn subquery_ex(&mut self, plan: super::plan::QueryPlan, kind: SubqueryKind) -> Ex {
        self.costs.call(false);
        let id = self.next_id();
        Ex::Subquery(Box::new(Subquery { id, query: Arc::new(plan), kind }))
    }

    // Values

    fn case(&mut self, operand: Option<&Expr>, whens: &[(Expr, Expr)], otherwise: Option<&Expr>) -> Result<Typed> {
        let mut conditions = Vec::with_capacity(whens.len());
        for (when, _) in whens {
            conditions.push(match operand {
                Some(operand) => self.comparison(Comparison::Eq, operand, when)?,
                None => {
                    let bound = self.expr(when)?;
                    self.condition(bound, "CASE/WHEN", when.span)?
                }
            });
        }
        let mut results = Vec::with_capacity(whens.len() + 1);
        for e in whens.iter().map(|(_, then)| then).chain(otherwise) {
            results.push((self.expr(e)?, e.span));
        }
        let (mut results, ty) = self.unified(results, "CASE")?;
        let otherwise = if otherwise.is_some() { results.pop().map(Box::new) } else { None };
        let whens = conditions.into_iter().zip(results).collect();
        Ok(Typed::new(Ex::Case { whens, otherwise }, ty))
    }

    /// All brought to one type.
    pub fn unified(&mut self, parts: Vec<(Typed, Span)>, what: &str) -> Result<(Vec<Ex>, SqlType)> {
        if self.partiql {
            return Ok((parts.into_iter().map(|(p, _)| p.ex).collect(), SqlType::Ion));
        }
        let types: Vec<Option<SqlType>> = parts.iter().map(|(p, _)| p.ty.clone()).collect();
        let Some(ty) = unify(&types) else {
            let shown: Vec<String> = types.iter().flatten().map(|t| t.to_string()).collect();
            let span = parts.last().map(|(_, s)| *s).unwrap_or_default();
            return Err(QueryError::new(
                SqlState::DATATYPE_MISMATCH,
                format!("{what} types {} cannot be matched", shown.join(" and ")),
            )
            .at(span));
        };
        let mut out = Vec::with_capacity(parts.len());
        for (part, span) in parts {
            out.push(self.coerce(part, &ty, CastContext::Implicit, span)?);
        }
        Ok((out, ty))
    }

    fn cast(&mut self, expr: &Expr, ty: &TypeName) -> Result<Typed> {
        // An empty array has no type but the one it is cast to.
        if !self.partiql && ty.array_depth > 0 && matches!(&expr.kind, ExprKind::List(items) if items.is_empty()) {
            return Ok(Typed::new(Ex::Const(Some(Value::List(vec![]))), SqlType::parse(ty)?));
        }
        let bound = self.expr(expr)?;
        if self.partiql {
            let ty = lower(&ty.name);
            // The name is checked now, not at the first row.
            if !matches!(&*ty, "null" | "missing") {
                cast::ion_cast(Some(Value::int(0)), &ty).map(|_| ()).or_else(|e| match e.code {
                    SqlState::UNDEFINED_OBJECT => Err(e),
                    _ => Ok(()),
                })?;
            }
            return Ok(Typed::new(Ex::IonCast { expr: Box::new(bound.ex), ty }, SqlType::Ion));
        }
        let to = SqlType::parse(ty)?;
        if let SqlType::Reg(reg) = to {
            return self.reg_cast(bound, reg, expr.span);
        }
        if bound.ty.is_none()
            && let Ex::Param(i) = bound.ex
        {
            // `$1::type` says what the parameter is.
            let known = self.set_parameter(i, super::types::unsized_type(&to));
            let ex = self.coerce(Typed::new(Ex::Param(i), known), &to, CastContext::Explicit, expr.span)?;
            return Ok(rounded(Typed::new(ex, to), ty));
        }
        let ex = self.coerce(bound, &to, CastContext::Explicit, expr.span)?;
        Ok(rounded(Typed::new(ex, to), ty))
    }

    fn list(&mut self, items: &[Expr], span: Span) -> Result<Typed> {
        let mut parts = Vec::with_capacity(items.len());
        for item in items {
            parts.push((self.expr(item)?, item.span));
        }
        if self.partiql {
            return Ok(Typed::new(Ex::List(parts.into_iter().map(|(p, _)| p.ex).collect()), SqlType::Ion));
        }
        if parts.is_empty() {
            return Err(QueryError::new(SqlState::INDETERMINATE_DATATYPE, "cannot determine type of empty array")
                .at(span)
                .hint("Explicitly cast to the desired type, for example ARRAY[]::integer[]."));
        }
        let (items, of) = self.unified(parts, "ARRAY")?;
        let ty = match of {
            SqlType::Ion => SqlType::Ion,
            SqlType::Array(inner) => SqlType::Array(inner),
            of => SqlType::Array(Box::new(of)),
        };
        Ok(Typed::new(Ex::List(items), ty))
    }

    fn unary(&mut self, op: UnaryOp, expr: &Expr) -> Result<Typed> {
        let bound = self.expr(expr)?;
        match op {
            UnaryOp::Not => {
                let e = self.condition(bound, "NOT", expr.span)?;
                Ok(Typed::bool(Ex::Not(Box::new(e))))
            }
            UnaryOp::Plus => match &bound.ty {
                Some(ty) if !self.partiql && !ty.is_number() && !matches!(ty, SqlType::Ion) => {
                    let message = format!("operator does not exist: + {ty}");
                    Err(QueryError::new(SqlState::UNDEFINED_FUNCTION, message).at(expr.span))
                }
                _ => Ok(bound),
            },
            UnaryOp::Minus => {
                // A negative literal is one value, so that the least integer has its type.
                if let (Ex::Const(Some(value)), Some(ty)) = (&bound.ex, &bound.ty)
                    && let Some(negative) = negated(value)
                {
                    let ty = match (&negative, ty) {
                        (Value::Int(Int::Small(i)), SqlType::Int8) if i32::try_from(*i).is_ok() => SqlType::Int4,
                        (Value::Decimal(d), SqlType::Numeric { .. }) if d.exponent() == 0 => {
                            match numeric::Num::from_decimal(d).ok().and_then(|n| i64::try_from(&n.coefficient).ok()) {
                                Some(i) if i == i64::MIN => {
                                    return Ok(Typed::new(Ex::Const(Some(Value::int(i))), SqlType::Int8));
                                }
                                _ => ty.clone(),
                            }
                        }
                        _ => ty.clone(),
                    };
                    return Ok(Typed::new(Ex::Const(Some(negative)), ty));
                }
                let zero = match &bound.ty {
                    // It may be an interval, from which no number can be taken away.
                    Some(SqlType::Ion) if !self.partiql => {
                        let minus = Typed::new(Ex::Const(Some(Value::int(-1))), SqlType::Int4);
                        return self.operator(BinaryOp::Multiply, minus, bound, (expr.span, expr.span));
                    }
                    Some(SqlType::Interval) => {
                        let zero = crate::value::datetime::Interval::default().to_value();
                        Typed::new(Ex::Const(Some(zero)), SqlType::Interval)
                    }
                    Some(SqlType::Float4 | SqlType::Float8) => {
                        Typed::new(Ex::Const(Some(Value::Float(-0.0))), SqlType::Float4)
                    }
                    Some(SqlType::Int2) => Typed::new(Ex::Const(Some(Value::int(0))), SqlType::Int2),
                    _ => Typed::new(
                        Ex::Const(Some(Value::int(0))),
                        if self.partiql { SqlType::Ion } else { SqlType::Int4 },
                    ),
                };
                self.operator(BinaryOp::Subtract, zero, bound, (expr.span, expr.span))
            }
        }
    }
}

/// What stands for a value where its order counts: that of `jsonb` is another one than that of Ion's values.
pub(super) fn in_order(ex: Ex, ty: &SqlType) -> Ex {
    if *ty != SqlType::Jsonb {
        return ex;
    }
    match crate::function::named("ledgerstone_jsonb_order").next() {
        Some(function) => Ex::Call { function, arguments: vec![ex] },
        None => ex,
    }
}

/// The value that [`in_order`] stands for.
pub(super) fn not_in_order(ex: &Ex) -> &Ex {
    match ex {
        Ex::Call { function, arguments } if function.name == "ledgerstone_jsonb_order" => {
            arguments.first().unwrap_or(ex)
        }
        _ => ex,
    }
}

/// What is cast to `timestamp(3)` and its kin.
fn rounded(value: Typed, to: &TypeName) -> Typed {
    let Some(digits) = SqlType::precision_of(to) else { return value };
    let wanted = value.ty.as_ref();
    let takes = |f: &&'static Scalar| matches!(f.arguments.first(), Some(Arg::Type(ty)) if Some(ty) == wanted);
    match crate::function::named("ledgerstone_round_time").find(takes) {
        Some(function) => {
            let arguments = vec![value.ex, Ex::Const(Some(Value::int(i64::from(digits))))];
            Typed { ex: Ex::Call { function, arguments }, ..value }
        }
        None => value,
    }
}

/// `char(n)` values are stored padded: the other side is padded to compare with them.
fn padded(ex: Ex, n: u32) -> Ex {
    if let Ex::Const(Some(Value::String(s))) = &ex {
        return Ex::text(crate::value::text::pad(s.trim_end_matches(' '), n));
    }
    match crate::function::named("ledgerstone_pad").next() {
        Some(function) => Ex::Call { function, arguments: vec![ex, Ex::Const(Some(Value::int(i64::from(n))))] },
        None => ex,
    }
}

/// The type an untyped literal takes beside a value of this type: no length or precision of its own.
fn bare(ty: &SqlType) -> SqlType {
    match ty {
        SqlType::Char(_) | SqlType::Varchar(_) | SqlType::Name => SqlType::Text,
        other => super::types::unsized_type(other),
    }
}

fn negated(value: &Value) -> Option<Value> {
    match value {
        Value::Int(Int::Small(i)) => i.checked_neg().map(Value::int),
        Value::Int(i) => Some(Value::Int(numeric::big_to_int(-numeric::int_to_big(i)))),
        Value::Decimal(d) => numeric::Num::from_decimal(d).ok().map(|n| n.neg().to_value()),
        Value::Float(f) => Some(Value::Float(-f)),
        _ => None,
    }
}

pub(super) fn lower(name: &str) -> Arc<str> {
    Arc::from(name.to_ascii_lowercase())
}

fn one_column(columns: &[(Arc<str>, SqlType)], span: Span) -> Result<SqlType> {
    match columns {
        [(_, ty)] => Ok(ty.clone()),
        _ => Err(QueryError::syntax("subquery must return only one column", span)),
    }
}
