//! Function calls: scalar functions, aggregates, window functions, and the forms that only look like functions.

use std::sync::Arc;

use ledgerstone_digest::ion::Value;

use super::expr::in_order;
use super::group::{holds_subquery, nearest_read};
use super::plan::{
    AggregateCall, BoundPlan, Comparison, Ex, FramePlan, SortExpr, SortKey, TableCall, WindowCall, WindowPlan,
};
use super::types::{CastContext, Typed};
use super::walk::own_slots;
use super::{Binder, quick};
use crate::ast::{
    BinaryOp, Expr, ExprKind, Frame, FrameBound, FrameUnit, FunctionCall, OrderBy, Span, WindowRef, WindowSpec,
};
use crate::error::{QueryError, Result, SqlState};
use crate::exec::default_frame;
use crate::function::aggregate::{self, AggregateKind};
use crate::function::window::{self, WindowKind};
use crate::function::{self, Arg, Returns, Scalar, table};
use crate::types::{Reg, SqlType};

impl Binder<'_> {
    pub(super) fn function(&mut self, call: &FunctionCall, span: Span) -> Result<Typed> {
        let name = self.function_name(call)?;
        if &*name == "grouping" && call.name.schema.is_none() && !call.name.name.quoted && !self.partiql {
            return self.grouping_call(call, span);
        }
        if call.over.is_some() {
            return self.window_call(&name, call, span);
        }
        if aggregate::NAMES.contains(&&*name) || call.star {
            return self.aggregate_call(&name, call, span);
        }
        if window::is_window_only(&name) {
            return Err(QueryError::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("window function {name} requires an OVER clause"),
            )
            .at(span));
        }
        if call.distinct || call.filter.is_some() || !call.order_by.is_empty() {
            return Err(QueryError::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("DISTINCT, FILTER and ORDER BY are for aggregates, and {name} is none"),
            )
            .at(span));
        }
        if table::is_table_function(&name) && !self.partiql {
            return self.series_call(&name, &call.arguments, span);
        }
        if let Some(special) = self.special(&name, &call.arguments, span)? {
            return Ok(special);
        }
        if &*name == "nextval" && self.defines.is_some() {
            self.sequence_exists(&call.arguments)?;
        }
        let arguments = self.arguments(&call.arguments)?;
        self.named_call(&name, arguments, span)
    }

    /// A default cannot name a sequence that is not there. One that has gone since is missed by who asks it for a number, not by
    /// every statement that would change the table.
    fn sequence_exists(&self, arguments: &[Expr]) -> Result<()> {
        let written = match arguments {
            [Expr { kind: ExprKind::Cast { expr, ty }, .. }] if &*ty.name == "regclass" && ty.array_depth == 0 => expr,
            [argument] => argument,
            _ => return Ok(()),
        };
        match &written.kind {
            ExprKind::Literal(value)
                if let Some(name) = value.as_text()
                    && name.trim().parse::<u32>().is_err() =>
            {
                let found = function::relation_in(&self.tx.catalogue(), name);
                found.map(drop).map_err(|error| error.at(written.span))
            }
            _ => Ok(()),
        }
    }

    fn function_name(&self, call: &FunctionCall) -> Result<Arc<str>> {
        if let Some(schema) = &call.name.schema
            && !matches!(&*schema.text.to_ascii_lowercase(), "pg_catalog" | "public" | "information_schema")
        {
            return Err(QueryError::new(
                SqlState::INVALID_SCHEMA_NAME,
                format!("schema \"{}\" does not exist", schema.text),
            )
            .at(schema.span));
        }
        Ok(Arc::from(call.name.name.text.to_ascii_lowercase()))
    }

    fn arguments(&mut self, arguments: &[Expr]) -> Result<Vec<(Typed, Span)>> {
        arguments.iter().map(|a| Ok((self.expr(a)?, a.span))).collect()
    }

    /// A call with its arguments converted and its result type.
    pub(super) fn call(&mut self, function: &'static Scalar, arguments: Vec<(Typed, Span)>) -> Result<Typed> {
        self.costs.call(quick::is_cheap(function));
        if function::acts_for_its_caller(function) {
            self.not_kept(|| format!("function {}", function.name))?;
        }
        let types: Vec<Option<SqlType>> = arguments.iter().map(|(a, _)| a.ty.clone()).collect();
        let array = types.iter().flatten().find(|ty| matches!(ty, SqlType::Array(_))).cloned();
        let mut bound = Vec::with_capacity(arguments.len());
        for (i, (argument, span)) in arguments.into_iter().enumerate() {
            bound.push(match function::parameter(function, i) {
                Some(Arg::Type(ty)) if !self.partiql => match &argument.ty {
                    // A document's value is converted when it is there.
                    Some(SqlType::Ion) if *ty != SqlType::Jsonb => Ex::Cast {
                        expr: Box::new(argument.ex),
                        from: Some(SqlType::Ion),
                        to: ty.clone(),
                        explicit: false,
                    },
                    _ => self.coerce(argument, ty, CastContext::Implicit, span)?,
                },
                // PostgreSQL's preferred number type takes an untyped literal.
                Some(Arg::Number) if argument.ty.is_none() && !self.partiql => {
                    self.coerce(argument, &SqlType::Float8, CastContext::Implicit, span)?
                }
                // Roots, powers and roundings of integers are double precision.
                Some(Arg::Number)
                    if matches!(function.returns, Returns::Rounded(_))
                        && argument.ty.as_ref().is_some_and(SqlType::is_integer) =>
                {
                    self.coerce(argument, &SqlType::Float8, CastContext::Implicit, span)?
                }
                // The literals beside an array are of its type, or of its elements'.
                Some(Arg::AnyArray) if argument.ty.is_none() && !self.partiql => {
                    let ty = array.clone().unwrap_or_else(|| SqlType::Array(Box::new(SqlType::Text)));
                    self.coerce(argument, &ty, CastContext::Implicit, span)?
                }
                Some(Arg::Any)
                    if argument.ty.is_none()
                        && !self.partiql
                        && takes_elements(function)
                        && let Some(SqlType::Array(element)) = &array =>
                {
                    self.coerce(argument, element, CastContext::Implicit, span)?
                }
                // A value alone does not tell a `real` from a double, or an array from json.
                Some(Arg::Shown)
                    if !self.partiql && matches!(argument.ty, Some(SqlType::Float4 | SqlType::Array(_))) =>
                {
                    self.coerce(argument, &SqlType::Text, CastContext::Explicit, span)?
                }
                Some(Arg::Any | Arg::Shown) if let Some(SqlType::Reg(reg)) = argument.ty => {
                    self.reg_name(argument.ex, reg, span)?.ex
                }
                _ => self.settle(argument, span)?.0,
            });
        }
        let ty = if self.partiql { SqlType::Ion } else { result_type(function, &types) };
        let call = Ex::Call { function, arguments: bound };
        if matches!(function.returns, Returns::Within(_)) && matches!(ty, SqlType::Int2 | SqlType::Int4 | SqlType::Int8)
        {
            // The cast refuses what is outside of the type, such as the opposite of the least integer.
            let cast = Ex::Cast { expr: Box::new(call), from: Some(SqlType::Int8), to: ty.clone(), explicit: false };
            return Ok(Typed::new(cast, ty));
        }
        Ok(Typed::new(call, ty))
    }

    /// COALESCE and its kin, whose arguments are computed only as needed or decide the type together.
    fn special(&mut self, name: &str, arguments: &[Expr], span: Span) -> Result<Option<Typed>> {
        Ok(Some(match (name, arguments) {
            ("coalesce", [_, ..]) => {
                let parts = self.arguments(arguments)?;
                let (parts, ty) = self.unified(parts, "COALESCE")?;
                Typed::new(Ex::Coalesce(parts), ty)
            }
            ("nullif", [a, b]) => {
                let (x, y) = (self.expr(a)?, self.expr(b)?);
                let equal = self.compare(Comparison::Eq, x.clone(), y, (a.span, b.span))?;
                let (value, ty) = self.settle(x, a.span)?;
                let null = if self.partiql { Ex::Const(Some(Value::NULL)) } else { Ex::NULL };
                Typed::new(Ex::Case { whens: vec![(equal, null)], otherwise: Some(Box::new(value)) }, ty)
            }
            ("greatest" | "least", [_, ..]) if !self.partiql => {
                let parts = self.arguments(arguments)?;
                let (parts, ty) = self.unified(parts, name)?;
                let function = function::named(name).next().ok_or_else(|| QueryError::internal("no greatest"))?;
                Typed::new(Ex::Call { function, arguments: parts }, ty)
            }
            // A field without a type may hold a fraction.
            ("mod", [x, y]) if !self.partiql => {
                let (a, b) = (self.expr(x)?, self.expr(y)?);
                let arguments = vec![(a.clone(), x.span), (b.clone(), y.span)];
                match [&a.ty, &b.ty].contains(&&Some(SqlType::Ion)) {
                    true => self.operator(BinaryOp::Modulo, a, b, (x.span, y.span))?,
                    false => self.named_call("mod", arguments, span)?,
                }
            }
            ("pg_typeof", [e]) => {
                self.expr(e)?;
                let bound = self.expr(e)?;
                let shown = bound.ty.map_or_else(|| "unknown".to_owned(), |t| type_name(&t));
                Typed::new(Ex::text(shown), SqlType::Text)
            }
            ("exists", [e]) if self.partiql => {
                // EXISTS over a collection: whether it has elements.
                let e = self.any(e)?;
                let function = function::named("ledgerstone_exists").next();
                let function = function.ok_or_else(|| QueryError::internal("no exists"))?;
                Typed::new(Ex::Call { function, arguments: vec![e] }, SqlType::Ion)
            }
            ("row", items) => self.row(items)?,
            _ => {
                let _ = span;
                return Ok(None);
            }
        }))
    }

    pub(super) fn extract(&mut self, field: &str, from: &Expr, span: Span) -> Result<Typed> {
        let name = if self.partiql { "ledgerstone_extract" } else { "extract" };
        let field = Typed::new(Ex::text(field.to_ascii_lowercase()), SqlType::Text);
        let mut value = self.expr(from)?;
        if value.ty.is_none() {
            value = Typed::new(
                self.coerce(value, &SqlType::TimestampTz, CastContext::Implicit, from.span)?,
                SqlType::TimestampTz,
            );
        }
        self.named_call(name, vec![(field, span), (value, from.span)], span)
    }

    /// A set-returning function in a select list.
    fn series_call(&mut self, name: &str, arguments: &[Expr], span: Span) -> Result<Typed> {
        let level = self.level();
        // Windows are set aside while a call of one is bound.
        let within = if level.in_aggregate { Some("aggregate") } else { level.windows.is_none().then_some("window") };
        let refused = |why| Err(QueryError::new(SqlState::FEATURE_NOT_SUPPORTED, why).at(span).hint("Put it in FROM."));
        if !level.series_allowed {
            return refused(format!("set-returning function {name} is not allowed here"));
        }
        if let Some(kind) = within {
            return refused(format!("{kind} function calls cannot contain set-returning function calls"));
        }
        let (mut call, mut columns) = self.table_call(name, arguments, span)?;
        if let table::TableFunction::ExpandArray { whole } = &mut call.function {
            *whole = true;
            call.arity = 1;
            columns = vec![("_pg_expandarray", SqlType::Ion)];
        }
        let [(_, ty)] = columns.as_slice() else {
            return Err(QueryError::unsupported(format!("{name} in a select list")).at(span).hint("Put it in FROM."));
        };
        let slot = self.level().slot();
        self.level().series.push((call, slot));
        Ok(Typed::new(Ex::slot(slot), ty.clone()))
    }

    /// A table function with its arguments converted, and its columns.
    pub(super) fn table_call(
        &mut self,
        name: &str,
        arguments: &[Expr],
        span: Span,
    ) -> Result<(TableCall, Vec<(&'static str, SqlType)>)> {
        let mut bound = self.arguments(arguments)?;
        let known = bound.iter().find_map(|(b, _)| b.ty.clone().filter(SqlType::is_number));
        let time = bound.iter().find_map(|(b, _)| b.ty.clone().filter(SqlType::is_date_or_time));
        for (i, (argument, span)) in bound.iter_mut().enumerate() {
            if argument.ty.is_none() && !self.partiql {
                // generate_series($1, 10): the parameter is what the other bound is.
                let ty = match (&time, i) {
                    (Some(_), 2) => Some(SqlType::Interval),
                    (Some(time), _) => Some(time.clone()),
                    _ => known.clone(),
                };
                let ty = ty.unwrap_or(match name {
                    "generate_series" => SqlType::Int4,
                    n if n.starts_with("json") => SqlType::Jsonb,
                    _ => SqlType::Text,
                });
                let ex = self.coerce(argument.clone(), &ty, CastContext::Implicit, *span)?;
                *argument = Typed::new(ex, ty);
            }
        }
        let types: Vec<Option<SqlType>> = bound.iter().map(|(a, _)| a.ty.clone()).collect();
        let resolved = table::resolve(name, &types).ok_or_else(|| self.no_function(name, &types, span))?;
        let mut exprs = Vec::with_capacity(bound.len());
        for ((argument, span), to) in bound.into_iter().zip(resolved.casts) {
            exprs.push(match to {
                Some(ty) => self.coerce(argument, &ty, CastContext::Implicit, span)?,
                None => argument.ex,
            });
        }
        let call = TableCall { function: resolved.function, arguments: exprs, arity: resolved.columns.len() };
        Ok((call, resolved.columns))
    }

    // Aggregates

    fn aggregate_call(&mut self, name: &str, call: &FunctionCall, span: Span) -> Result<Typed> {
        let read: Vec<usize> = self.levels.iter().map(|level| level.outer.len()).collect();
        let (aggregate, ty) = self.aggregate_here(name, call, span)?;
        let depth = if self.partiql { 0 } else { nearest_read(&aggregate).unwrap_or(0) };
        if depth == 0 {
            let (at, _) = self.own_aggregate(aggregate, span)?;
            return Ok(Typed::new(Ex::Aggregate(at), ty));
        }
        // It reads only columns further out, so it is a group of that query's rows: nothing here has read them.
        for (level, read) in self.levels.iter_mut().zip(read) {
            level.outer.truncate(read);
        }
        let inner = self.levels.split_off(self.levels.len().saturating_sub(usize::from(depth)));
        let slot = self.outer_aggregate(name, call, span);
        self.levels.extend(inner);
        Ok(Typed::new(self.place(Ex::slot(slot?), usize::from(depth)), ty))
    }

    /// An aggregate of the query of this level, called in a query inside it: the slot of its result.
    fn outer_aggregate(&mut self, name: &str, call: &FunctionCall, span: Span) -> Result<u32> {
        let (aggregate, _) = self.aggregate_here(name, call, span)?;
        if holds_subquery(&aggregate) {
            return Err(QueryError::unsupported("a subquery in an aggregate of an outer query")
                .at(span)
                .hint("Compute the aggregate in the outer query's FROM, and name its column here."));
        }
        Ok(self.own_aggregate(aggregate, span)?.1)
    }

    /// An aggregate of this level: its number and the slot of its result.
    fn own_aggregate(&mut self, aggregate: AggregateCall, span: Span) -> Result<(usize, u32)> {
        let level = self.level();
        let Some(all) = &level.aggregates else {
            let message = format!("aggregate functions are not allowed in {}", level.clause);
            return Err(QueryError::new(SqlState::GROUPING_ERROR, message).at(span));
        };
        if let Some((at, (_, slot))) = all.iter().enumerate().find(|(_, (a, _))| *a == aggregate) {
            return Ok((at, *slot));
        }
        let (at, slot) = (all.len(), level.slot());
        level.aggregates.get_or_insert_default().push((aggregate, slot));
        Ok((at, slot))
    }

    fn aggregate_here(&mut self, name: &str, call: &FunctionCall, span: Span) -> Result<(AggregateCall, SqlType)> {
        if self.level().in_aggregate {
            return Err(QueryError::new(SqlState::GROUPING_ERROR, "aggregate function calls cannot be nested").at(span));
        }
        self.level().in_aggregate = true;
        let bound = self.aggregate_parts(name, call, span);
        self.level().in_aggregate = false;
        bound
    }

    fn aggregate_parts(&mut self, name: &str, call: &FunctionCall, span: Span) -> Result<(AggregateCall, SqlType)> {
        let filter = match &call.filter {
            Some(filter) => {
                let bound = self.expr(filter)?;
                Some(self.condition(bound, "FILTER", filter.span)?)
            }
            None => None,
        };
        if call.star {
            if name != "count" {
                return Err(self.no_function(name, &[], span));
            }
            let kind = AggregateKind::CountStar;
            let ty = if self.partiql { SqlType::Ion } else { SqlType::Int8 };
            return Ok((AggregateCall { kind, arguments: vec![], distinct: false, order: vec![], filter }, ty));
        }
        let (kind, arguments, ty) = self.aggregate_arguments(name, &call.arguments, span)?;
        let order = self.order_in_call(&call.order_by)?;
        Ok((AggregateCall { kind, arguments, distinct: call.distinct, order, filter }, ty))
    }

    fn aggregate_arguments(
        &mut self,
        name: &str,
        arguments: &[Expr],
        span: Span,
    ) -> Result<(AggregateKind, Vec<Ex>, SqlType)> {
        let bound = self.arguments(arguments)?;
        let types: Vec<Option<SqlType>> = bound.iter().map(|(a, _)| a.ty.clone()).collect();
        let (kind, casts, ty) = aggregate::resolve(name, &types).ok_or_else(|| self.no_function(name, &types, span))?;
        let mut exprs = Vec::with_capacity(bound.len());
        for ((argument, span), to) in bound.into_iter().zip(casts) {
            exprs.push(match to {
                Some(ty) if argument.is_ion() && ty != SqlType::Ion && !self.partiql => {
                    Ex::Cast { expr: Box::new(argument.ex), from: Some(SqlType::Ion), to: ty, explicit: false }
                }
                // Names of fields may be of any type.
                Some(ty) if kind == AggregateKind::JsonObjectAgg => {
                    self.coerce(argument, &ty, CastContext::Explicit, span)?
                }
                Some(ty) => self.coerce(argument, &ty, CastContext::Implicit, span)?,
                None => self.settle(argument, span)?.0,
            });
        }
        Ok((kind, exprs, if self.partiql { SqlType::Ion } else { ty }))
    }

    /// ORDER BY inside a call or a window: plain expressions, no ordinals.
    fn order_in_call(&mut self, order: &[OrderBy]) -> Result<Vec<SortKey>> {
        order
            .iter()
            .map(|o| {
                let bound = self.expr(&o.expr)?;
                let (e, ty) = self.settle(bound, o.expr.span)?;
                let e = if self.partiql { e } else { in_order(e, &ty) };
                Ok(sort_key(SortExpr::Expr(e), o))
            })
            .collect()
    }

    // Windows

    fn window_call(&mut self, name: &str, call: &FunctionCall, span: Span) -> Result<Typed> {
        let clause = self.level().clause;
        if self.level().windows.is_none() || self.level().in_aggregate {
            return Err(QueryError::new(
                SqlState::WINDOWING_ERROR,
                format!("window functions are not allowed in {clause}"),
            )
            .at(span));
        }
        let missing = match call {
            _ if call.distinct => Some("DISTINCT is not implemented for window functions"),
            _ if !call.order_by.is_empty() => Some("aggregate ORDER BY is not implemented for window functions"),
            _ if call.filter.is_some() && window::is_window_only(name) => {
                Some("FILTER is not implemented for non-aggregate window functions")
            }
            _ => None,
        };
        if let Some(missing) = missing {
            return Err(QueryError::new(SqlState::FEATURE_NOT_SUPPORTED, missing).at(span));
        }
        let spec = match &call.over {
            Some(WindowRef::Spec(spec)) => (**spec).clone(),
            Some(WindowRef::Name(name)) => WindowSpec { base: Some(name.clone()), ..WindowSpec::default() },
            None => WindowSpec::default(),
        };
        let spec = self.window_spec(spec)?;
        // A call inside a window call would have to be computed before it.
        let windows = self.level().windows.take();
        let bound = self.window_parts(name, call, &spec, span);
        self.level().windows = windows;
        let (plan, function, ty) = bound?;
        let slot = self.level().slot();
        let windows = self.level().windows.get_or_insert_default();
        match windows
            .iter_mut()
            .find(|w| w.partition == plan.partition && w.order == plan.order && w.frame == plan.frame)
        {
            Some(window) => window.calls.push((function, slot)),
            None => windows.push(WindowPlan { calls: vec![(function, slot)], ..plan }),
        }
        Ok(Typed::new(Ex::slot(slot), ty))
    }

    /// A window with what the one it is based on gives it.
    fn window_spec(&mut self, spec: WindowSpec) -> Result<WindowSpec> {
        let mut spec = spec;
        let mut steps = 0;
        while let Some(name) = spec.base.take() {
            let found = self.level().named_windows.iter().find(|(n, _)| *n == name.text).map(|(_, s)| s.clone());
            let base = found.ok_or_else(|| {
                QueryError::new(SqlState::UNDEFINED_OBJECT, format!("window \"{}\" does not exist", name.text))
                    .at(name.span)
            })?;
            steps += 1;
            if steps > 32 {
                return Err(QueryError::new(SqlState::WINDOWING_ERROR, "windows are based on each other").at(name.span));
            }
            if spec.partition_by.is_empty() {
                spec.partition_by = base.partition_by;
            }
            if spec.order_by.is_empty() {
                spec.order_by = base.order_by;
            }
            spec.frame = spec.frame.or(base.frame);
            spec.base = base.base;
        }
        Ok(spec)
    }

    fn window_parts(
        &mut self,
        name: &str,
        call: &FunctionCall,
        spec: &WindowSpec,
        span: Span,
    ) -> Result<(WindowPlan, WindowCall, SqlType)> {
        let partition: Result<Vec<Ex>> = spec.partition_by.iter().map(|e| self.any(e)).collect();
        let partition = partition?;
        let order = self.order_in_call(&spec.order_by)?;
        let frame = match &spec.frame {
            Some(frame) => self.frame(frame, &spec.order_by, span)?,
            None => default_frame(),
        };
        let filter = match &call.filter {
            Some(filter) => {
                let bound = self.expr(filter)?;
                Some(self.condition(bound, "FILTER", filter.span)?)
            }
            None => None,
        };
        let (kind, arguments, ty) = if call.star {
            (WindowKind::Aggregate(AggregateKind::CountStar), vec![], SqlType::Int8)
        } else if aggregate::NAMES.contains(&name) {
            let (kind, arguments, ty) = self.aggregate_arguments(name, &call.arguments, span)?;
            (WindowKind::Aggregate(kind), arguments, ty)
        } else {
            let bound = self.arguments(&call.arguments)?;
            let types: Vec<Option<SqlType>> = bound.iter().map(|(a, _)| a.ty.clone()).collect();
            let (kind, casts, ty) =
                window::resolve(name, &types).ok_or_else(|| self.no_function(name, &types, span))?;
            let mut arguments = Vec::with_capacity(bound.len());
            for ((argument, span), to) in bound.into_iter().zip(casts) {
                arguments.push(match to {
                    Some(ty) => self.coerce(argument, &ty, CastContext::Implicit, span)?,
                    None => argument.ex,
                });
            }
            (kind, arguments, ty)
        };
        let ty = if self.partiql { SqlType::Ion } else { ty };
        Ok((WindowPlan { partition, order, frame, calls: vec![] }, WindowCall { kind, arguments, filter }, ty))
    }

    fn frame(&mut self, frame: &Frame, order: &[OrderBy], span: Span) -> Result<FramePlan> {
        let offset = |b: &FrameBound| matches!(b, FrameBound::Preceding(_) | FrameBound::Following(_));
        let wrong = |why: &str| Err(QueryError::new(SqlState::WINDOWING_ERROR, why).at(span));
        if frame.unit == FrameUnit::Range && (offset(&frame.start) || offset(&frame.end)) && order.len() != 1 {
            return wrong("RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column");
        }
        if frame.unit == FrameUnit::Groups && order.is_empty() {
            return wrong("GROUPS mode requires an ORDER BY clause");
        }
        if matches!(frame.start, FrameBound::UnboundedFollowing) {
            return wrong("frame start cannot be UNBOUNDED FOLLOWING");
        }
        if matches!(frame.end, FrameBound::UnboundedPreceding) {
            return wrong("frame end cannot be UNBOUNDED PRECEDING");
        }
        let key = match order {
            [only] if frame.unit == FrameUnit::Range && (offset(&frame.start) || offset(&frame.end)) => {
                self.expr(&only.expr)?.ty
            }
            _ => None,
        };
        let has_distances =
            |t: &SqlType| t.is_number() || t.is_date_or_time() || matches!(t, SqlType::Interval | SqlType::Ion);
        if let Some(ty) = key.as_ref().filter(|ty| !has_distances(ty)) {
            let message = format!("RANGE with offset PRECEDING/FOLLOWING is not supported for column type {ty}");
            return Err(QueryError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(span));
        }
        Ok(FramePlan {
            unit: frame.unit,
            start: self.frame_bound(&frame.start, frame.unit, key.as_ref())?,
            end: self.frame_bound(&frame.end, frame.unit, key.as_ref())?,
        })
    }

    fn frame_bound(&mut self, bound: &FrameBound, unit: FrameUnit, key: Option<&SqlType>) -> Result<BoundPlan> {
        let mut distance = |e: &Expr| -> Result<Ex> {
            let bound = self.expr(e)?;
            let ex = match (unit, &bound.ty) {
                // Beside a number an untyped distance is one too, beside dates it is an interval.
                (FrameUnit::Range, None) => {
                    let ty = key.filter(|ty| ty.is_number()).unwrap_or(&SqlType::Interval);
                    self.coerce(bound, ty, CastContext::Implicit, e.span)?
                }
                (FrameUnit::Range, Some(_)) => bound.ex,
                _ => self.coerce(bound, &SqlType::Int8, CastContext::Implicit, e.span)?,
            };
            if own_slots(&ex).is_empty() {
                return Ok(ex);
            }
            let unit = match unit {
                FrameUnit::Rows => "ROWS",
                FrameUnit::Range => "RANGE",
                FrameUnit::Groups => "GROUPS",
            };
            let message = format!("argument of {unit} must not contain variables");
            Err(QueryError::new(SqlState::INVALID_COLUMN_REFERENCE, message).at(e.span))
        };
        Ok(match bound {
            FrameBound::UnboundedPreceding => BoundPlan::UnboundedPreceding,
            FrameBound::Preceding(e) => BoundPlan::Preceding(distance(e)?),
            FrameBound::CurrentRow => BoundPlan::CurrentRow,
            FrameBound::Following(e) => BoundPlan::Following(distance(e)?),
            FrameBound::UnboundedFollowing => BoundPlan::UnboundedFollowing,
        })
    }

    /// `'name'::regclass` and the like become oids through functions; of a number they are the number.
    pub(super) fn reg_cast(&mut self, value: Typed, reg: Reg, span: Span) -> Result<Typed> {
        let value = match &value.ty {
            Some(t) if t.is_integer() => return Ok(Typed::new(value.ex, SqlType::Reg(reg))),
            None => Typed::new(self.coerce(value, &SqlType::Text, CastContext::Implicit, span)?, SqlType::Text),
            _ => value,
        };
        if matches!(reg, Reg::Procedure | Reg::Operator) {
            return Err(QueryError::unsupported(format!("{} of a name", reg.name())).at(span));
        }
        let oid = self.named_call(&format!("ledgerstone_{}", reg.name()), vec![(value, span)], span)?;
        Ok(Typed::new(oid.ex, SqlType::Reg(reg)))
    }

    /// The name that `regclass` and its kin show an oid as.
    pub(super) fn reg_name(&mut self, oid: Ex, reg: Reg, span: Span) -> Result<Typed> {
        let kind = Typed::new(Ex::text(reg.name()), SqlType::Text);
        let oid = Typed::new(oid, SqlType::Oid);
        self.named_call("ledgerstone_reg_name", vec![(kind, span), (oid, span)], span)
    }
}

/// PostgreSQL puts nulls last ascending and first descending.
pub(super) fn sort_key(expr: SortExpr, order: &OrderBy) -> SortKey {
    SortKey { expr, descending: order.descending, nulls_first: order.nulls_first.unwrap_or(order.descending) }
}

/// Beside an array it is about elements of one: not of the array that it makes.
fn takes_elements(function: &Scalar) -> bool {
    function.arguments.contains(&Arg::AnyArray) && !matches!(function.returns, Returns::ArrayOf(_))
}

fn result_type(function: &Scalar, types: &[Option<SqlType>]) -> SqlType {
    let of = |i: &usize| types.get(*i).cloned().flatten().unwrap_or(SqlType::Text);
    match &function.returns {
        Returns::Type(ty) => ty.clone(),
        Returns::Same(i) | Returns::Within(i) => match of(i) {
            // abs('-1') and the like: an untyped literal is double precision.
            SqlType::Text if function.arguments.get(*i) == Some(&Arg::Number) => SqlType::Float8,
            ty => super::types::unsized_type(&ty),
        },
        Returns::Rounded(i) => match of(i) {
            SqlType::Numeric { .. } => SqlType::NUMERIC,
            SqlType::Ion => SqlType::Ion,
            _ => SqlType::Float8,
        },
        Returns::Element(i) => match of(i) {
            SqlType::Array(of) => *of,
            _ => SqlType::Ion,
        },
        Returns::ArrayOf(i) => match of(i) {
            array @ (SqlType::Array(_) | SqlType::Ion) => array,
            other => SqlType::Array(Box::new(other)),
        },
        Returns::TextArray => SqlType::Array(Box::new(SqlType::Text)),
        Returns::IntArray => SqlType::Array(Box::new(SqlType::Int4)),
    }
}

fn type_name(ty: &SqlType) -> String {
    super::types::unsized_type(ty).to_string()
}
