//! Expressions: from sqlparser's tree to ours.

use std::mem;

use ledgerstone_digest::ion::Value;
use sqlparser::ast as sql;

use super::{Converter, grouping, name, name_expr, names, tokens};
use crate::ast::{BinaryOp, Expr, ExprKind, FunctionCall, Name, PathStep, Span, TableName, TypeName, UnaryOp};
use crate::error::{QueryError, Result, SqlState};
use crate::literal;
use crate::partiql::balanced;

/// The highest parameter the protocol can carry.
const PARAMETERS_MAX: u32 = 65_535;

/// The function that slices are calls of.
pub(crate) const ARRAY_SLICE: &str = "ledgerstone_array_slice";

/// Names that are calls without parentheses.
const BARE_CALLS: [&str; 6] = ["current_schema", "localtime", "current_role", "current_user", "session_user", "user"];

impl Converter {
    pub(super) fn expr(&mut self, expr: sql::Expr) -> Result<Expr> {
        self.deeper(|c| {
            let outer = mem::replace(&mut c.deepest, c.depth);
            let converted = c.node(expr)?;
            c.deepest = c.deepest.max(outer);
            Ok(converted)
        })
    }

    pub(super) fn exprs(&mut self, exprs: Vec<sql::Expr>) -> Result<Vec<Expr>> {
        // Not collected: that would keep the memory of what they are made from, which is several times as large.
        let mut converted = Vec::with_capacity(exprs.len());
        for e in exprs {
            converted.push(self.expr(e)?);
        }
        Ok(converted)
    }

    pub(super) fn boxed(&mut self, expr: sql::Expr) -> Result<Box<Expr>> {
        Ok(Box::new(self.expr(expr)?))
    }

    pub(super) fn optional(&mut self, expr: Option<sql::Expr>) -> Result<Option<Expr>> {
        expr.map(|e| self.expr(e)).transpose()
    }

    fn node(&mut self, expr: sql::Expr) -> Result<Expr> {
        match expr {
            sql::Expr::Identifier(ident) => Ok(identifier(ident)),
            sql::Expr::CompoundIdentifier(idents) => path_of_names(idents.into_iter().map(name).collect()),
            sql::Expr::CompoundFieldAccess { root, access_chain } => self.field_access(*root, access_chain),
            sql::Expr::Value(value) => self.value(value),
            sql::Expr::Nested(inner) => self.node(*inner),
            binary @ sql::Expr::BinaryOp { .. } => self.spine(binary),
            sql::Expr::UnaryOp { op, expr } => self.unary(op, *expr),
            sql::Expr::Function(function) => self.call(function),
            sql::Expr::Cast { .. }
            | sql::Expr::TypedString(_)
            | sql::Expr::Interval(_)
            | sql::Expr::Collate { .. }
            | sql::Expr::AtTimeZone { .. } => self.typed(expr),
            sql::Expr::Case { .. }
            | sql::Expr::Subquery(_)
            | sql::Expr::Exists { .. }
            | sql::Expr::Array(_)
            | sql::Expr::Tuple(_) => self.composite(expr),
            sql::Expr::Extract { .. }
            | sql::Expr::Ceil { .. }
            | sql::Expr::Floor { .. }
            | sql::Expr::Position { .. }
            | sql::Expr::Substring { .. }
            | sql::Expr::Trim { .. }
            | sql::Expr::Overlay { .. } => self.special_call(expr),
            other => self.predicate(other),
        }
    }

    // ---- names and literals ---------------------------------------------------------------------------------------

    fn value(&mut self, value: sql::ValueWithSpan) -> Result<Expr> {
        let span = tokens::span(value.span);
        let kind = match value.value {
            sql::Value::Number(text, false) => ExprKind::Literal(literal::number(&text.replace('_', ""), span)?),
            sql::Value::SingleQuotedString(text)
            | sql::Value::EscapedStringLiteral(text)
            | sql::Value::UnicodeStringLiteral(text) => ExprKind::Literal(Value::string(text)),
            sql::Value::DollarQuotedString(text) => ExprKind::Literal(Value::string(text.value)),
            sql::Value::Boolean(value) => ExprKind::Literal(Value::Bool(value)),
            sql::Value::Null => ExprKind::Literal(Value::NULL),
            sql::Value::Placeholder(text) => ExprKind::Parameter(self.parameter(&text, span)?),
            sql::Value::HexStringLiteral(_) => {
                return Err(QueryError::unsupported("a bit string").at(span).hint("bytes are written '\\x…'::bytea"));
            }
            other => return Err(QueryError::unsupported(format!("the literal {other}")).at(span)),
        };
        Ok(Expr { kind, span })
    }

    /// `$n`, counted from 1 in the text and from 0 in the tree.
    fn parameter(&mut self, text: &str, span: Span) -> Result<u32> {
        let number = text.strip_prefix('$').and_then(|n| n.parse::<u32>().ok());
        match number {
            Some(n) if (1..=PARAMETERS_MAX).contains(&n) => {
                self.parameters = self.parameters.max(n);
                Ok(n - 1)
            }
            _ => Err(QueryError::new(SqlState::UNDEFINED_PARAMETER, format!("there is no parameter {text}"))
                .at(span)
                .hint("parameters are written $1, $2, …")),
        }
    }

    fn field_access(&mut self, root: sql::Expr, chain: Vec<sql::AccessExpr>) -> Result<Expr> {
        let mut base = self.expr(root)?;
        let mut span = base.span;
        let mut steps = Vec::with_capacity(chain.len());
        let mut chain = chain.into_iter().peekable();
        while let Some(access) = chain.next() {
            let subscript = match access {
                sql::AccessExpr::Dot(sql::Expr::Identifier(ident)) => {
                    let name = name(ident);
                    span = span.to(name.span);
                    steps.push(PathStep::Field(name));
                    continue;
                }
                sql::AccessExpr::Dot(other) => {
                    let inner = self.expr(other)?;
                    return Err(QueryError::syntax("expected a field name after the point", inner.span));
                }
                sql::AccessExpr::Subscript(subscript) => subscript,
            };
            let mut subscripts = vec![subscript];
            while let Some(sql::AccessExpr::Subscript(next)) =
                chain.next_if(|next| matches!(next, sql::AccessExpr::Subscript(_)))
            {
                subscripts.push(next);
            }
            if subscripts.iter().any(|s| matches!(s, sql::Subscript::Slice { .. })) {
                base = self.slice(extend(base, std::mem::take(&mut steps), span), subscripts)?;
                span = base.span;
                continue;
            }
            for subscript in subscripts {
                if let sql::Subscript::Index { index } = subscript {
                    let index = self.expr(index)?;
                    span = span.to(index.span);
                    steps.push(PathStep::Index(index));
                }
            }
        }
        Ok(extend(base, steps, span))
    }

    /// `a[2:3][:2]`: a call with the bounds of each dimension. A bound that is left out is beyond every array, and a
    /// place without a colon beside slices is one that begins at 1, as in PostgreSQL.
    fn slice(&mut self, base: Expr, subscripts: Vec<sql::Subscript>) -> Result<Expr> {
        let mut span = base.span;
        let bound = |n: i32| Expr { kind: ExprKind::Literal(Value::int(i64::from(n))), span: base.span };
        let (least, first, most) = (bound(i32::MIN), bound(1), bound(i32::MAX));
        let mut arguments = vec![base];
        for subscript in subscripts {
            let (low, high) = match subscript {
                sql::Subscript::Index { index } => (first.clone(), self.expr(index)?),
                sql::Subscript::Slice { stride: Some(_), .. } => {
                    return Err(QueryError::syntax("a slice has two bounds", span).hint("Write a[2:3]."));
                }
                sql::Subscript::Slice { lower_bound, upper_bound, stride: None } => (
                    self.optional(lower_bound)?.unwrap_or_else(|| least.clone()),
                    self.optional(upper_bound)?.unwrap_or_else(|| most.clone()),
                ),
            };
            span = span.to(low.span).to(high.span);
            arguments.extend([low, high]);
        }
        Ok(function(ARRAY_SLICE, arguments, span))
    }

    // ---- operators ------------------------------------------------------------------------------------------------

    /// A row of operators, whose left operands nest: taken apart in a loop, so that its length costs no stack. Rows of
    /// AND or of OR become balanced trees.
    fn spine(&mut self, expr: sql::Expr) -> Result<Expr> {
        let mut rest = Vec::new();
        let mut first = expr;
        loop {
            match first {
                sql::Expr::BinaryOp { left, op, right } => {
                    rest.push((op, *right));
                    first = *left;
                }
                other => {
                    first = other;
                    break;
                }
            }
        }
        let mut left = self.expr(first)?;
        let mut rest = rest.into_iter().rev().peekable();
        while let Some((op, right)) = rest.next() {
            let logical = match op {
                sql::BinaryOperator::And => Some(BinaryOp::And),
                sql::BinaryOperator::Or => Some(BinaryOp::Or),
                _ => None,
            };
            let Some(logical) = logical else {
                self.wrapped(1)?;
                let right = self.expr(right)?;
                left = binary(op, left, right)?;
                continue;
            };
            let mut operands = vec![left, self.expr(right)?];
            while let Some((_, right)) = rest.next_if(|(next, _)| *next == op) {
                operands.push(self.expr(right)?);
            }
            self.wrapped(operands.len().next_power_of_two().trailing_zeros() as usize)?;
            left = balanced(operands, logical).ok_or_else(|| QueryError::internal("an empty chain"))?;
        }
        Ok(left)
    }

    fn unary(&mut self, op: sql::UnaryOperator, operand: sql::Expr) -> Result<Expr> {
        let op = match op {
            sql::UnaryOperator::Not => UnaryOp::Not,
            sql::UnaryOperator::Plus => UnaryOp::Plus,
            sql::UnaryOperator::Minus => UnaryOp::Minus,
            sql::UnaryOperator::PGAbs => return self.prefix("abs", operand, false),
            sql::UnaryOperator::PGSquareRoot => return self.prefix("sqrt", operand, true),
            sql::UnaryOperator::PGCubeRoot => return self.prefix("cbrt", operand, true),
            sql::UnaryOperator::BitwiseNot => return self.prefix("ledgerstone_bit_not", operand, false),
            other => return Err(QueryError::unsupported(format!("the prefix operator {other}"))),
        };
        if op == UnaryOp::Not {
            return self.not(operand);
        }
        // A sign binds more tightly than `^` in PostgreSQL; sqlparser has read -(a ^ b).
        if let sql::Expr::BinaryOp { left, op: sql::BinaryOperator::PGExp, right } = operand {
            let sign = if op == UnaryOp::Minus { sql::UnaryOperator::Minus } else { sql::UnaryOperator::Plus };
            let left = self.unary(sign, *left)?;
            let right = self.expr(*right)?;
            return binary(sql::BinaryOperator::PGExp, left, right);
        }
        let expr = self.boxed(operand)?;
        let span = Span { start: expr.span.start.saturating_sub(1), end: expr.span.end };
        Ok(Expr { kind: ExprKind::Unary { op, expr }, span })
    }

    /// A prefix operator that is a function; some are of double precision only.
    fn prefix(&mut self, name: &str, operand: sql::Expr, float: bool) -> Result<Expr> {
        let mut operand = self.expr(operand)?;
        let span = operand.span;
        if float {
            let ty = TypeName { name: "float8".into(), arguments: Vec::new(), array_depth: 0, span };
            operand = Expr { kind: ExprKind::Cast { expr: Box::new(operand), ty }, span };
        }
        Ok(operator_function(name, vec![operand], span))
    }

    fn not(&mut self, operand: sql::Expr) -> Result<Expr> {
        let expr = self.boxed(operand)?;
        let span = expr.span;
        Ok(Expr { kind: ExprKind::Unary { op: UnaryOp::Not, expr }, span })
    }

    // ---- predicates -----------------------------------------------------------------------------------------------

    fn predicate(&mut self, expr: sql::Expr) -> Result<Expr> {
        let kind = match expr {
            sql::Expr::IsNull(e) => ExprKind::IsNull { expr: self.boxed(*e)?, negated: false },
            sql::Expr::IsNotNull(e) => ExprKind::IsNull { expr: self.boxed(*e)?, negated: true },
            sql::Expr::IsTrue(e) => self.is_bool(*e, Some(true), false)?,
            sql::Expr::IsNotTrue(e) => self.is_bool(*e, Some(true), true)?,
            sql::Expr::IsFalse(e) => self.is_bool(*e, Some(false), false)?,
            sql::Expr::IsNotFalse(e) => self.is_bool(*e, Some(false), true)?,
            sql::Expr::IsUnknown(e) => self.is_bool(*e, None, false)?,
            sql::Expr::IsNotUnknown(e) => self.is_bool(*e, None, true)?,
            sql::Expr::IsDistinctFrom(left, right) => self.distinct_from(*left, *right, false)?,
            sql::Expr::IsNotDistinctFrom(left, right) => self.distinct_from(*left, *right, true)?,
            sql::Expr::InList { expr, list, negated } => {
                ExprKind::InList { expr: self.boxed(*expr)?, list: self.exprs(list)?, negated }
            }
            sql::Expr::InSubquery { expr, subquery, negated } => {
                let expr = self.boxed(*expr)?;
                let query = self.query(*subquery)?;
                let span = query.span;
                let collection = Box::new(Expr { kind: ExprKind::Subquery(Box::new(query)), span });
                ExprKind::InExpr { expr, collection, negated }
            }
            sql::Expr::Between { expr, negated, low, high } if tokens::is_symmetric(&low) => {
                return self.between_symmetric(*expr, *low, *high, negated);
            }
            sql::Expr::Between { expr, negated, low, high } => ExprKind::Between {
                expr: self.boxed(*expr)?,
                low: self.boxed(*low)?,
                high: self.boxed(*high)?,
                negated,
            },
            sql::Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like(*expr, *pattern, escape_char, false, negated)?
            }
            sql::Expr::ILike { negated, any: false, expr, pattern, escape_char } => {
                self.like(*expr, *pattern, escape_char, true, negated)?
            }
            sql::Expr::AnyOp { left, compare_op, right, is_some: _ } => {
                self.quantified(*left, compare_op, *right, false)?
            }
            sql::Expr::AllOp { left, compare_op, right } => self.quantified(*left, compare_op, *right, true)?,
            sql::Expr::SimilarTo { negated, expr, pattern, escape_char } => {
                let mut arguments = vec![self.expr(*expr)?, self.expr(*pattern)?];
                let span = span_over(&arguments);
                if let Some(escape) = escape_char {
                    arguments.push(self.expr(sql::Expr::Value(escape))?);
                }
                let similar = operator_function("ledgerstone_similar", arguments, span);
                if !negated {
                    return Ok(similar);
                }
                return Ok(Expr { kind: ExprKind::Unary { op: UnaryOp::Not, expr: Box::new(similar) }, span });
            }
            // Outside of GROUP BY these two are names like any others.
            sql::Expr::Cube(list) => return self.plain_call("cube", list),
            sql::Expr::Rollup(list) => return self.plain_call("rollup", list),
            sql::Expr::Wildcard(token) => {
                return Err(QueryError::syntax("* has no place here", tokens::span(token.0.span)));
            }
            other => return Err(grouping::misplaced(&other).unwrap_or_else(|| unsupported_expr(&other))),
        };
        let span = operand_span(&kind);
        Ok(Expr { kind, span })
    }

    fn plain_call(&mut self, name: &str, arguments: Vec<Vec<sql::Expr>>) -> Result<Expr> {
        let arguments = self.exprs(arguments.into_iter().flatten().collect())?;
        let span = span_over(&arguments);
        Ok(function(name, arguments, span))
    }

    /// `x BETWEEN SYMMETRIC a AND b`: between the two in one order or in the other.
    fn between_symmetric(&mut self, expr: sql::Expr, low: sql::Expr, high: sql::Expr, negated: bool) -> Result<Expr> {
        self.wrapped(2)?;
        let (expr, high) = (self.boxed(expr)?, self.boxed(high)?);
        // The marker around the first bound is a call of it alone.
        let low = match self.expr(low)?.kind {
            ExprKind::Function(mut call) if call.arguments.len() == 1 => call.arguments.pop(),
            _ => None,
        };
        let low = Box::new(low.ok_or_else(|| QueryError::internal("BETWEEN SYMMETRIC without a bound"))?);
        let span = expr.span.to(high.span);
        let between = |low: &Expr, high: &Expr| {
            let (low, high) = (Box::new(low.clone()), Box::new(high.clone()));
            Box::new(Expr { kind: ExprKind::Between { expr: expr.clone(), low, high, negated }, span })
        };
        let (left, right) = (between(&low, &high), between(&high, &low));
        let op = if negated { BinaryOp::And } else { BinaryOp::Or };
        Ok(Expr { kind: ExprKind::Binary { op, left, right }, span })
    }

    fn is_bool(&mut self, expr: sql::Expr, value: Option<bool>, negated: bool) -> Result<ExprKind> {
        Ok(ExprKind::IsBool { expr: self.boxed(expr)?, value, negated })
    }

    fn distinct_from(&mut self, left: sql::Expr, right: sql::Expr, negated: bool) -> Result<ExprKind> {
        Ok(ExprKind::IsDistinctFrom { left: self.boxed(left)?, right: self.boxed(right)?, negated })
    }

    fn like(
        &mut self,
        expr: sql::Expr,
        pattern: sql::Expr,
        escape: Option<sql::ValueWithSpan>,
        case_insensitive: bool,
        negated: bool,
    ) -> Result<ExprKind> {
        let expr = self.boxed(expr)?;
        let pattern = self.boxed(pattern)?;
        let escape = escape.map(|e| self.value(e).map(Box::new)).transpose()?;
        Ok(ExprKind::Like { expr, pattern, escape, case_insensitive, negated })
    }

    fn quantified(
        &mut self,
        left: sql::Expr,
        op: sql::BinaryOperator,
        right: sql::Expr,
        all: bool,
    ) -> Result<ExprKind> {
        let left = self.boxed(left)?;
        let op = operator(&op, left.span)?;
        Ok(ExprKind::Quantified { op, all, left, right: self.boxed(right)? })
    }

    // ---- casts and what stands for them -----------------------------------------------------------------------------

    fn typed(&mut self, expr: sql::Expr) -> Result<Expr> {
        match expr {
            sql::Expr::Cast {
                kind: sql::CastKind::Cast | sql::CastKind::DoubleColon,
                expr,
                data_type,
                array: false,
                format: None,
            } => {
                let expr = self.boxed(*expr)?;
                let span = expr.span;
                let ty = self.type_name(data_type, span)?;
                Ok(Expr { kind: ExprKind::Cast { expr, ty }, span })
            }
            sql::Expr::TypedString(sql::TypedString { data_type, value, uses_odbc_syntax: false }) => {
                let expr = Box::new(self.value(value)?);
                let span = expr.span;
                let ty = self.type_name(data_type, span)?;
                Ok(Expr { kind: ExprKind::Cast { expr, ty }, span })
            }
            sql::Expr::Interval(interval) => self.interval(interval),
            sql::Expr::Collate { expr, collation } => {
                let expr = self.expr(*expr)?;
                check_collation(collation, expr.span)?;
                Ok(expr)
            }
            sql::Expr::AtTimeZone { timestamp, time_zone } => {
                let time = self.expr(*timestamp)?;
                let zone = self.expr(*time_zone)?;
                let span = time.span.to(zone.span);
                Ok(function("timezone", vec![zone, time], span))
            }
            other => Err(unsupported_expr(&other)),
        }
    }

    /// `INTERVAL '1 day'` is a cast; `INTERVAL '1' DAY` is one of the text with its unit.
    fn interval(&mut self, interval: sql::Interval) -> Result<Expr> {
        let sql::Interval { value, leading_field, leading_precision, last_field, fractional_seconds_precision } =
            interval;
        let mut value = self.expr(*value)?;
        let span = value.span;
        if leading_precision.is_some() || last_field.is_some() || fractional_seconds_precision.is_some() {
            return Err(QueryError::unsupported("an interval with a range of fields or a precision")
                .at(span)
                .hint("write the fields in the text: INTERVAL '1 day 2 hours'"));
        }
        if let Some(field) = leading_field {
            let ExprKind::Literal(Value::String(text)) = &value.kind else {
                return Err(QueryError::unsupported("an interval of an expression").at(span));
            };
            value.kind = ExprKind::Literal(Value::string(format!("{text} {}", field.to_string().to_ascii_lowercase())));
        }
        let ty = TypeName { name: "interval".into(), arguments: Vec::new(), array_depth: 0, span };
        Ok(Expr { kind: ExprKind::Cast { expr: Box::new(value), ty }, span })
    }

    // ---- composites -----------------------------------------------------------------------------------------------

    fn composite(&mut self, expr: sql::Expr) -> Result<Expr> {
        match expr {
            sql::Expr::Case { case_token, end_token, operand, conditions, else_result } => {
                let span = tokens::span(case_token.0.span).to(tokens::span(end_token.0.span));
                let operand = operand.map(|e| self.boxed(*e)).transpose()?;
                let whens = conditions
                    .into_iter()
                    .map(|when| Ok((self.expr(when.condition)?, self.expr(when.result)?)))
                    .collect::<Result<_>>()?;
                let otherwise = else_result.map(|e| self.boxed(*e)).transpose()?;
                Ok(Expr { kind: ExprKind::Case { operand, whens, otherwise }, span })
            }
            sql::Expr::Subquery(query) => {
                let query = self.query(*query)?;
                let span = query.span;
                Ok(Expr { kind: ExprKind::Subquery(Box::new(query)), span })
            }
            sql::Expr::Exists { subquery, negated } => {
                let query = self.query(*subquery)?;
                let span = query.span;
                let exists = Expr { kind: ExprKind::Exists(Box::new(query)), span };
                if !negated {
                    return Ok(exists);
                }
                Ok(Expr { kind: ExprKind::Unary { op: UnaryOp::Not, expr: Box::new(exists) }, span })
            }
            sql::Expr::Array(sql::Array { elem, named: _ }) => {
                let items = self.exprs(elem)?;
                let span = span_over(&items);
                Ok(Expr { kind: ExprKind::List(items), span })
            }
            sql::Expr::Tuple(items) => {
                let items = self.exprs(items)?;
                let span = span_over(&items);
                Ok(Expr { kind: ExprKind::Row(items), span })
            }
            other => Err(unsupported_expr(&other)),
        }
    }
}

/// A name, `DEFAULT`, or a call that is written without parentheses.
fn identifier(ident: sql::Ident) -> Expr {
    let name = name(ident);
    if !name.quoted && BARE_CALLS.contains(&&*name.text) {
        let span = name.span;
        return function_named(name, Vec::new(), span);
    }
    if !name.quoted && &*name.text == "default" {
        return Expr { kind: ExprKind::Default, span: name.span };
    }
    name_expr(name)
}

/// `a.b.c`: the first name and the fields after it.
pub(super) fn path_of_names(names: Vec<Name>) -> Result<Expr> {
    let mut names = names.into_iter();
    let first = names.next().ok_or_else(|| QueryError::internal("a path without names"))?;
    let mut span = first.span;
    let steps: Vec<PathStep> = names
        .map(|name| {
            span = span.to(name.span);
            PathStep::Field(name)
        })
        .collect();
    Ok(extend(name_expr(first), steps, span))
}

/// The path of a dotted name.
pub(super) fn path_of_object(object: sql::ObjectName) -> Result<Expr> {
    path_of_names(names(object)?)
}

/// `base` with more steps; a path grows rather than nests.
fn extend(base: Expr, steps: Vec<PathStep>, span: Span) -> Expr {
    if steps.is_empty() {
        return base;
    }
    match base.kind {
        ExprKind::Path { base, steps: mut all } => {
            all.extend(steps);
            Expr { kind: ExprKind::Path { base, steps: all }, span }
        }
        _ => Expr { kind: ExprKind::Path { base: Box::new(base), steps }, span },
    }
}

/// A call of a function that our own rewriting names.
pub(super) fn function(text: &str, arguments: Vec<Expr>, span: Span) -> Expr {
    function_named(Name::folded(text, span), arguments, span)
}

/// The function that does what an operator asks for.
fn operator_function(text: &str, arguments: Vec<Expr>, span: Span) -> Expr {
    let call = FunctionCall::new(TableName::plain(Name::folded(text, span)), arguments);
    Expr { kind: ExprKind::Function(Box::new(FunctionCall { is_operator: true, ..call })), span }
}

fn function_named(name: Name, arguments: Vec<Expr>, span: Span) -> Expr {
    let call = FunctionCall::new(TableName::plain(name), arguments);
    Expr { kind: ExprKind::Function(Box::new(call)), span }
}

/// Every collation of Ledgerstone is C, which is also what these names mean here.
pub(super) fn check_collation(collation: sql::ObjectName, span: Span) -> Result<()> {
    let parts = names(collation)?;
    let known = match parts.as_slice() {
        [name] => is_c(name),
        [schema, name] => &*schema.text == "pg_catalog" && is_c(name),
        _ => false,
    };
    if known {
        return Ok(());
    }
    let written = parts.iter().map(|p| p.written.to_string()).collect::<Vec<_>>().join(".");
    Err(QueryError::unsupported(format!("the collation \"{written}\""))
        .at(span)
        .hint("text is compared byte by byte, as with COLLATE \"C\""))
}

fn is_c(name: &Name) -> bool {
    ["default", "C", "POSIX", "ucs_basic", "C.utf8", "C.UTF-8"].contains(&&*name.text)
}

fn binary(op: sql::BinaryOperator, left: Expr, right: Expr) -> Result<Expr> {
    let span = left.span.to(right.span);
    let negated = matches!(op, sql::BinaryOperator::PGNotLikeMatch | sql::BinaryOperator::PGNotILikeMatch);
    let case_insensitive = matches!(op, sql::BinaryOperator::PGILikeMatch | sql::BinaryOperator::PGNotILikeMatch);
    let (left, right) = (Box::new(left), Box::new(right));
    if negated || case_insensitive || op == sql::BinaryOperator::PGLikeMatch {
        let kind = ExprKind::Like { expr: left, pattern: right, escape: None, case_insensitive, negated };
        return Ok(Expr { kind, span });
    }
    if op == sql::BinaryOperator::Overlaps {
        return overlaps(*left, *right, span);
    }
    let named = match op {
        sql::BinaryOperator::PGOverlap => "ledgerstone_array_overlap",
        sql::BinaryOperator::QuestionPipe => "jsonb_exists_any",
        sql::BinaryOperator::QuestionAnd => "jsonb_exists_all",
        sql::BinaryOperator::HashMinus => "jsonb_delete_path",
        sql::BinaryOperator::PGStartsWith => "starts_with",
        _ => "",
    };
    if !named.is_empty() {
        return Ok(operator_function(named, vec![*left, *right], span));
    }
    let op = operator(&op, span)?;
    Ok(Expr { kind: ExprKind::Binary { op, left, right }, span })
}

/// `(start, end) OVERLAPS (start, end)`
fn overlaps(left: Expr, right: Expr, span: Span) -> Result<Expr> {
    match (left.kind, right.kind) {
        (ExprKind::Row(one), ExprKind::Row(other)) if one.len() == 2 && other.len() == 2 => {
            Ok(function("overlaps", one.into_iter().chain(other).collect(), span))
        }
        _ => Err(QueryError::syntax("wrong number of parameters on a side of OVERLAPS", span)
            .hint("Write (start, end) OVERLAPS (start, end).")),
    }
}

fn operator(op: &sql::BinaryOperator, span: Span) -> Result<BinaryOp> {
    use sql::BinaryOperator as Sql;
    Ok(match op {
        Sql::Plus => BinaryOp::Add,
        Sql::Minus => BinaryOp::Subtract,
        Sql::Multiply => BinaryOp::Multiply,
        Sql::Divide => BinaryOp::Divide,
        Sql::Modulo => BinaryOp::Modulo,
        Sql::PGExp => BinaryOp::Power,
        Sql::StringConcat => BinaryOp::Concat,
        Sql::Eq => BinaryOp::Eq,
        Sql::NotEq => BinaryOp::NotEq,
        Sql::Lt => BinaryOp::Lt,
        Sql::LtEq => BinaryOp::LtEq,
        Sql::Gt => BinaryOp::Gt,
        Sql::GtEq => BinaryOp::GtEq,
        Sql::And => BinaryOp::And,
        Sql::Or => BinaryOp::Or,
        Sql::Arrow => BinaryOp::JsonGet,
        Sql::LongArrow => BinaryOp::JsonGetText,
        Sql::HashArrow => BinaryOp::JsonPath,
        Sql::HashLongArrow => BinaryOp::JsonPathText,
        Sql::AtArrow => BinaryOp::Contains,
        Sql::ArrowAt => BinaryOp::ContainedBy,
        Sql::Question => BinaryOp::JsonExists,
        Sql::PGRegexMatch => BinaryOp::RegexMatch,
        Sql::PGRegexIMatch => BinaryOp::RegexMatchInsensitive,
        Sql::PGRegexNotMatch => BinaryOp::RegexNotMatch,
        Sql::PGRegexNotIMatch => BinaryOp::RegexNotMatchInsensitive,
        Sql::BitwiseAnd => BinaryOp::BitAnd,
        Sql::BitwiseOr => BinaryOp::BitOr,
        Sql::PGBitwiseXor => BinaryOp::BitXor,
        Sql::PGBitwiseShiftLeft => BinaryOp::ShiftLeft,
        Sql::PGBitwiseShiftRight => BinaryOp::ShiftRight,
        Sql::PGCustomBinaryOperator(parts) => return named_operator(parts, span),
        other => return Err(QueryError::unsupported(format!("the operator {other}")).at(span)),
    })
}

/// `OPERATOR(pg_catalog.~)`, as psql writes to be safe from search paths.
fn named_operator(parts: &[String], span: Span) -> Result<BinaryOp> {
    let (sign, known_schema) = match parts {
        [sign] => (sign.as_str(), true),
        [schema, sign] => (sign.as_str(), schema.eq_ignore_ascii_case("pg_catalog")),
        _ => ("", false),
    };
    let op = match sign {
        "+" => BinaryOp::Add,
        "-" => BinaryOp::Subtract,
        "*" => BinaryOp::Multiply,
        "/" => BinaryOp::Divide,
        "%" => BinaryOp::Modulo,
        "||" => BinaryOp::Concat,
        "=" => BinaryOp::Eq,
        "<>" | "!=" => BinaryOp::NotEq,
        "<" => BinaryOp::Lt,
        "<=" => BinaryOp::LtEq,
        ">" => BinaryOp::Gt,
        ">=" => BinaryOp::GtEq,
        "~" => BinaryOp::RegexMatch,
        "~*" => BinaryOp::RegexMatchInsensitive,
        "!~" => BinaryOp::RegexNotMatch,
        "!~*" => BinaryOp::RegexNotMatchInsensitive,
        "->" => BinaryOp::JsonGet,
        "->>" => BinaryOp::JsonGetText,
        "@>" => BinaryOp::Contains,
        "<@" => BinaryOp::ContainedBy,
        _ => return Err(unknown_operator(parts, span)),
    };
    if known_schema { Ok(op) } else { Err(unknown_operator(parts, span)) }
}

fn unknown_operator(parts: &[String], span: Span) -> QueryError {
    QueryError::new(SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: {}", parts.join("."))).at(span)
}

/// From the first to the last of these.
pub(super) fn span_over(exprs: &[Expr]) -> Span {
    exprs.iter().fold(Span::default(), |span, e| span.to(e.span))
}

/// The span over the operands of a predicate.
fn operand_span(kind: &ExprKind) -> Span {
    match kind {
        ExprKind::InList { expr, list, .. } => expr.span.to(span_over(list)),
        ExprKind::InExpr { expr, collection, .. } => expr.span.to(collection.span),
        ExprKind::Between { expr, high, .. } => expr.span.to(high.span),
        ExprKind::Like { expr, pattern, .. } => expr.span.to(pattern.span),
        ExprKind::IsDistinctFrom { left, right, .. } | ExprKind::Quantified { left, right, .. } => {
            left.span.to(right.span)
        }
        ExprKind::IsNull { expr, .. } | ExprKind::IsBool { expr, .. } => expr.span,
        _ => Span::default(),
    }
}

/// What is left after everything supported: named by what was written, cut short.
fn unsupported_expr(expr: &sql::Expr) -> QueryError {
    use sqlparser::ast::Spanned;
    QueryError::unsupported(format!("the expression {}", literal::shorten(&expr.to_string())))
        .at(tokens::span(expr.span()))
}
