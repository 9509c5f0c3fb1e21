//! Function calls, their special forms (EXTRACT, SUBSTRING, TRIM …), aggregates and windows.

use std::sync::Arc;

use sqlparser::ast as sql;

use super::expr::{function, span_over};
use super::{Converter, name, refuse, table_name, tokens};
use crate::ast::{Expr, ExprKind, Frame, FrameBound, FrameUnit, FunctionCall, OrderBy, Span, WindowRef, WindowSpec};
use crate::error::{QueryError, Result, SqlState};
use crate::function::aggregate;

impl Converter {
    pub(super) fn call(&mut self, call: sql::Function) -> Result<Expr> {
        let sql::Function { name, uses_odbc_syntax, parameters, args, filter, null_treatment, over, within_group } =
            call;
        let name = table_name(name)?;
        let start = name.schema.as_ref().map_or(name.name.span, |s| s.span).to(name.name.span);
        refuse(uses_odbc_syntax, "the {fn …} syntax", start)?;
        refuse(parameters != sql::FunctionArguments::None, "a function with two lists of arguments", start)?;
        refuse(null_treatment.is_some(), "IGNORE NULLS and RESPECT NULLS", start)?;
        let ordered = aggregate::ORDERED_SET.contains(&&*name.name.text.to_ascii_lowercase());
        if ordered && within_group.is_empty() {
            let message = format!("WITHIN GROUP is required for ordered-set aggregate {}", name.name.text);
            return Err(QueryError::new(SqlState::WRONG_OBJECT_TYPE, message).at(start));
        }
        refuse(!ordered && !within_group.is_empty(), "WITHIN GROUP with this function", start)?;
        let list = match args {
            sql::FunctionArguments::None => return Ok(self.without_arguments(name, start)),
            sql::FunctionArguments::Subquery(query) => {
                let query = self.query(*query)?;
                let span = start.to(query.span);
                if name.schema.is_none() && &*name.name.text == "array" {
                    return Ok(Expr { kind: ExprKind::ArraySubquery(Box::new(query)), span });
                }
                let argument = Expr { span: query.span, kind: ExprKind::Subquery(Box::new(query)) };
                let call = FunctionCall::new(name, vec![argument]);
                return Ok(Expr { kind: ExprKind::Function(Box::new(call)), span });
            }
            sql::FunctionArguments::List(list) => list,
        };
        self.notes_setval(&name);
        let mut call = FunctionCall::new(name, Vec::new());
        self.arguments(list, &mut call, start)?;
        if ordered {
            call.order_by = self.order_items(within_group)?;
            let [order] = call.order_by.as_slice() else {
                return Err(QueryError::unsupported("WITHIN GROUP of several expressions").at(start));
            };
            // What is ordered is the first argument, a fraction the second.
            call.arguments.insert(0, order.expr.clone());
        }
        call.filter = filter.map(|e| self.expr(*e)).transpose()?;
        call.over = over.map(|w| self.window_ref(w)).transpose()?;
        let span = start.to(span_over(&call.arguments));
        Ok(Expr { kind: ExprKind::Function(Box::new(call)), span })
    }

    /// A call that moves a sequence on: its statement does not only read.
    pub(super) fn notes_setval(&mut self, name: &crate::ast::TableName) {
        self.setvals += usize::from(name.name.text.eq_ignore_ascii_case("setval"));
    }

    /// `current_date` and its kin, written without parentheses.
    fn without_arguments(&self, name: crate::ast::TableName, span: Span) -> Expr {
        Expr { kind: ExprKind::Function(Box::new(FunctionCall::new(name, Vec::new()))), span }
    }

    fn arguments(&mut self, list: sql::FunctionArgumentList, call: &mut FunctionCall, start: Span) -> Result<()> {
        let sql::FunctionArgumentList { duplicate_treatment, args, clauses } = list;
        call.distinct = duplicate_treatment == Some(sql::DuplicateTreatment::Distinct);
        for clause in clauses {
            match clause {
                sql::FunctionArgumentClause::OrderBy(items) => call.order_by = self.order_items(items)?,
                other => return Err(QueryError::unsupported(format!("{other} in a function call")).at(start)),
            }
        }
        let alone = args.len() == 1;
        let mut places = Places::of(call, start);
        for argument in args {
            match argument {
                sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Expr(e)) => call.arguments.push(self.expr(e)?),
                sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Wildcard) if alone => call.star = true,
                sql::FunctionArg::Named { name, arg: sql::FunctionArgExpr::Expr(e), .. }
                | sql::FunctionArg::ExprNamed {
                    name: sql::Expr::Identifier(name),
                    arg: sql::FunctionArgExpr::Expr(e),
                    ..
                } if places.known() => {
                    let value = self.expr(e)?;
                    places.put(&name.value, tokens::span(name.span), value, call)?;
                }
                sql::FunctionArg::Named { name, .. } => {
                    return Err(QueryError::unsupported("a named argument")
                        .at(tokens::span(name.span))
                        .hint("give the arguments in order"));
                }
                other => return Err(QueryError::unsupported(format!("the argument {other}")).at(start)),
            }
        }
        Ok(())
    }

    pub(super) fn order_items(&mut self, items: Vec<sql::OrderByExpr>) -> Result<Vec<OrderBy>> {
        items.into_iter().map(|item| self.order_item(item)).collect()
    }

    fn order_item(&mut self, item: sql::OrderByExpr) -> Result<OrderBy> {
        let sql::OrderByExpr { expr, options: sql::OrderByOptions { asc, nulls_first }, with_fill } = item;
        let expr = self.expr(expr)?;
        refuse(with_fill.is_some(), "WITH FILL", expr.span)?;
        Ok(OrderBy { expr, descending: asc == Some(false), nulls_first })
    }

    // ---- windows --------------------------------------------------------------------------------------------------

    fn window_ref(&mut self, window: sql::WindowType) -> Result<WindowRef> {
        Ok(match window {
            sql::WindowType::NamedWindow(ident) => WindowRef::Name(name(ident)),
            sql::WindowType::WindowSpec(spec) => WindowRef::Spec(Box::new(self.window_spec(spec)?)),
        })
    }

    pub(super) fn window_spec(&mut self, spec: sql::WindowSpec) -> Result<WindowSpec> {
        let sql::WindowSpec { window_name, partition_by, order_by, window_frame } = spec;
        Ok(WindowSpec {
            base: window_name.map(name),
            partition_by: self.exprs(partition_by)?,
            order_by: self.order_items(order_by)?,
            frame: window_frame.map(|f| self.frame(f)).transpose()?,
        })
    }

    fn frame(&mut self, frame: sql::WindowFrame) -> Result<Frame> {
        let sql::WindowFrame { units, start_bound, end_bound } = frame;
        let unit = match units {
            sql::WindowFrameUnits::Rows => FrameUnit::Rows,
            sql::WindowFrameUnits::Range => FrameUnit::Range,
            sql::WindowFrameUnits::Groups => FrameUnit::Groups,
        };
        let start = self.frame_bound(start_bound)?;
        let end = end_bound.map(|b| self.frame_bound(b)).transpose()?.unwrap_or(FrameBound::CurrentRow);
        Ok(Frame { unit, start, end })
    }

    fn frame_bound(&mut self, bound: sql::WindowFrameBound) -> Result<FrameBound> {
        Ok(match bound {
            sql::WindowFrameBound::CurrentRow => FrameBound::CurrentRow,
            sql::WindowFrameBound::Preceding(None) => FrameBound::UnboundedPreceding,
            sql::WindowFrameBound::Following(None) => FrameBound::UnboundedFollowing,
            sql::WindowFrameBound::Preceding(Some(e)) => FrameBound::Preceding(self.expr(*e)?),
            sql::WindowFrameBound::Following(Some(e)) => FrameBound::Following(self.expr(*e)?),
        })
    }

    // ---- calls with words between their arguments -------------------------------------------------------------------

    pub(super) fn special_call(&mut self, expr: sql::Expr) -> Result<Expr> {
        match expr {
            sql::Expr::Extract { field, syntax: _, expr } => {
                let from = self.boxed(*expr)?;
                let span = from.span;
                let field: Arc<str> = field.to_string().trim_matches('\'').to_ascii_lowercase().into();
                Ok(Expr { kind: ExprKind::Extract { field, from }, span })
            }
            sql::Expr::Ceil { expr, field } => self.rounded("ceil", *expr, field),
            sql::Expr::Floor { expr, field } => self.rounded("floor", *expr, field),
            sql::Expr::Position { expr, r#in } => {
                let part = self.expr(*expr)?;
                let text = self.expr(*r#in)?;
                Ok(with_span("strpos", vec![text, part]))
            }
            sql::Expr::Substring { expr, substring_from, substring_for, special: _, shorthand: _ } => {
                let text = self.expr(*expr)?;
                let from = substring_from.map(|e| self.expr(*e)).transpose()?;
                let length = substring_for.map(|e| self.expr(*e)).transpose()?;
                let span = text.span;
                let one = || Expr { kind: ExprKind::Literal(ledgerstone_digest::ion::Value::int(1)), span };
                let arguments = match (from, length) {
                    (Some(from), Some(length)) => vec![text, from, length],
                    (Some(from), None) => vec![text, from],
                    (None, Some(length)) => vec![text, one(), length],
                    (None, None) => vec![text],
                };
                Ok(with_span("substring", arguments))
            }
            sql::Expr::Trim { trim_where, trim_what, expr, trim_characters } => {
                let name = match trim_where {
                    None | Some(sql::TrimWhereField::Both) => "btrim",
                    Some(sql::TrimWhereField::Leading) => "ltrim",
                    Some(sql::TrimWhereField::Trailing) => "rtrim",
                };
                let mut arguments = vec![self.expr(*expr)?];
                if let Some(what) = trim_what {
                    arguments.push(self.expr(*what)?);
                }
                arguments.extend(self.exprs(trim_characters.unwrap_or_default())?);
                Ok(with_span(name, arguments))
            }
            sql::Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let mut arguments = vec![self.expr(*expr)?, self.expr(*overlay_what)?, self.expr(*overlay_from)?];
                if let Some(length) = overlay_for {
                    arguments.push(self.expr(*length)?);
                }
                Ok(with_span("overlay", arguments))
            }
            other => Err(QueryError::internal(format!("no special form: {other}"))),
        }
    }

    fn rounded(&mut self, name: &str, expr: sql::Expr, field: sql::CeilFloorKind) -> Result<Expr> {
        let argument = self.expr(expr)?;
        let plain = field == sql::CeilFloorKind::DateTimeField(sql::DateTimeField::NoDateTime);
        refuse(!plain, "a second argument of ceil and floor", argument.span)?;
        Ok(with_span(name, vec![argument]))
    }
}

/// What the arguments of `make_interval` are called, in their order; the one function whose arguments may be named.
const INTERVAL_PARTS: [&str; 7] = ["years", "months", "weeks", "days", "hours", "mins", "secs"];

/// Named arguments, each put into its place.
struct Places {
    names: &'static [&'static str],
    given: Vec<usize>,
    span: Span,
}

impl Places {
    fn of(call: &FunctionCall, span: Span) -> Places {
        let names: &[&str] = if &*call.name.name.text == "make_interval" { &INTERVAL_PARTS } else { &[] };
        Places { names, given: Vec::new(), span }
    }

    fn known(&self) -> bool {
        !self.names.is_empty()
    }

    /// Arguments that are left out are 0.
    fn put(&mut self, name: &str, span: Span, value: Expr, call: &mut FunctionCall) -> Result<()> {
        let place = self.names.iter().position(|known| known.eq_ignore_ascii_case(name));
        let positional = if self.given.is_empty() { call.arguments.len() } else { 0 };
        let Some(place) = place.filter(|place| *place >= positional && !self.given.contains(place)) else {
            let message = format!("function make_interval({name} => …) does not exist, or has it twice");
            return Err(QueryError::new(SqlState::UNDEFINED_FUNCTION, message)
                .at(span)
                .hint("Its arguments are years, months, weeks, days, hours, mins and secs."));
        };
        if self.given.is_empty() {
            self.given.extend(0..positional);
        }
        while call.arguments.len() <= place {
            let zero = ledgerstone_digest::ion::Value::int(0);
            call.arguments.push(Expr { kind: ExprKind::Literal(zero), span: self.span });
        }
        if let Some(at) = call.arguments.get_mut(place) {
            *at = value;
        }
        self.given.push(place);
        Ok(())
    }
}

fn with_span(name: &str, arguments: Vec<Expr>) -> Expr {
    let span = span_over(&arguments);
    function(name, arguments, span)
}
