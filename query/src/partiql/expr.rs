//! Expressions of PartiQL: precedence climbing over the operators, then prefixes, primaries and paths.

use std::mem;
use std::sync::Arc;

use ledgerstone_digest::ion::Value;

use super::lexer::Kind;
use super::{Parser, near};
use crate::ast::{
    BinaryOp, Expr, ExprKind, Frame, FrameBound, FrameUnit, FunctionCall, Name, PathStep, Span, TableName, TypeName,
    UnaryOp, WindowRef, WindowSpec,
};
use crate::error::{QueryError, Result};
use crate::literal;

// Binding powers, weakest first (PartiQL's grammar: or, and, not, predicates, ||, sums, products, signs).
const OR: u8 = 1;
const AND: u8 = 2;
const NOT: u8 = 3;
const PREDICATE: u8 = 4;
const CONCAT: u8 = 5;
const SUM: u8 = 6;
const PRODUCT: u8 = 7;

/// Date parts of DATE_ADD, DATE_DIFF and EXTRACT.
const DATE_PARTS: [&str; 8] = ["year", "month", "day", "hour", "minute", "second", "timezone_hour", "timezone_minute"];

/// A predicate after its left side.
enum Predicate {
    Compare(BinaryOp),
    Is,
    In,
    Like,
    Between,
}

impl Parser<'_> {
    pub(super) fn expr(&mut self) -> Result<Expr> {
        self.deeper(|p| p.binary(OR))
    }

    /// An expression without predicates: what BETWEEN's bounds, LIKE's pattern and `AS OF` take.
    pub(super) fn operand(&mut self) -> Result<Expr> {
        self.deeper(|p| p.binary(CONCAT))
    }

    /// Operators that bind at least as tightly as `least`.
    fn binary(&mut self, least: u8) -> Result<Expr> {
        let outer = mem::replace(&mut self.deepest, self.depth);
        let mut left = if self.is_word("NOT") { self.not()? } else { self.signed()? };
        loop {
            if let Some((power, op)) = self.peek_operator() {
                if power < least {
                    break;
                }
                left = if matches!(op, BinaryOp::And | BinaryOp::Or) {
                    self.chain(left, op, power)?
                } else {
                    self.advance();
                    self.wrapped(1)?;
                    let right = self.deeper(|p| p.binary(power + 1))?;
                    join(left, op, right)
                };
            } else if let Some((predicate, negated)) = self.peek_predicate() {
                if PREDICATE < least {
                    break;
                }
                self.wrapped(1)?;
                left = self.predicate(left, predicate, negated)?;
            } else {
                break;
            }
        }
        self.deepest = self.deepest.max(outer);
        Ok(left)
    }

    fn peek_operator(&self) -> Option<(u8, BinaryOp)> {
        Some(match self.kind(0) {
            Kind::Sign("+") => (SUM, BinaryOp::Add),
            Kind::Sign("-") => (SUM, BinaryOp::Subtract),
            Kind::Sign("*") => (PRODUCT, BinaryOp::Multiply),
            Kind::Sign("/") => (PRODUCT, BinaryOp::Divide),
            Kind::Sign("%") => (PRODUCT, BinaryOp::Modulo),
            Kind::Sign("||") => (CONCAT, BinaryOp::Concat),
            Kind::Word if self.is_word("AND") => (AND, BinaryOp::And),
            Kind::Word if self.is_word("OR") => (OR, BinaryOp::Or),
            _ => return None,
        })
    }

    /// `a AND b AND c …`, as a balanced tree: both operators are associative, and a long list of conditions must not
    /// make a deep tree.
    fn chain(&mut self, first: Expr, op: BinaryOp, power: u8) -> Result<Expr> {
        let word = if op == BinaryOp::And { "AND" } else { "OR" };
        let mut operands = vec![first];
        while self.word(word) {
            operands.push(self.deeper(|p| p.binary(power + 1))?);
        }
        self.wrapped(operands.len().next_power_of_two().trailing_zeros() as usize)?;
        balanced(operands, op).ok_or_else(|| QueryError::internal("an empty chain"))
    }

    fn not(&mut self) -> Result<Expr> {
        let start = self.here();
        self.advance();
        let expr = self.deeper(|p| p.binary(NOT))?;
        Ok(self.expr_to(start, ExprKind::Unary { op: UnaryOp::Not, expr: Box::new(expr) }))
    }

    fn signed(&mut self) -> Result<Expr> {
        let op = match self.kind(0) {
            Kind::Sign("-") => UnaryOp::Minus,
            Kind::Sign("+") => UnaryOp::Plus,
            _ => return self.postfix(),
        };
        let start = self.here();
        self.advance();
        let expr = self.deeper(Self::signed)?;
        Ok(self.expr_to(start, ExprKind::Unary { op, expr: Box::new(expr) }))
    }

    // ---- predicates -------------------------------------------------------------------------------------------

    fn peek_predicate(&self) -> Option<(Predicate, bool)> {
        if let Kind::Sign(sign) = self.kind(0) {
            let op = match *sign {
                "=" => BinaryOp::Eq,
                "<>" | "!=" => BinaryOp::NotEq,
                "<" => BinaryOp::Lt,
                "<=" => BinaryOp::LtEq,
                ">" => BinaryOp::Gt,
                ">=" => BinaryOp::GtEq,
                _ => return None,
            };
            return Some((Predicate::Compare(op), false));
        }
        let negated = self.is_word("NOT");
        let word = self.word_ahead(usize::from(negated))?;
        let is = |w: &str| word.eq_ignore_ascii_case(w);
        if is("IS") && !negated {
            Some((Predicate::Is, false))
        } else if is("IN") {
            Some((Predicate::In, negated))
        } else if is("LIKE") {
            Some((Predicate::Like, negated))
        } else if is("BETWEEN") {
            Some((Predicate::Between, negated))
        } else {
            None
        }
    }

    fn predicate(&mut self, left: Expr, predicate: Predicate, negated: bool) -> Result<Expr> {
        self.at += 1 + usize::from(negated);
        let start = left.span;
        let expr = Box::new(left);
        let kind = match predicate {
            Predicate::Compare(op) => {
                let right = self.operand()?;
                ExprKind::Binary { op, left: expr, right: Box::new(right) }
            }
            Predicate::Is => self.is(expr)?,
            Predicate::In => self.membership(expr, negated)?,
            Predicate::Like => {
                let pattern = Box::new(self.operand()?);
                let escape = if self.word("ESCAPE") { Some(Box::new(self.operand()?)) } else { None };
                ExprKind::Like { expr, pattern, escape, case_insensitive: false, negated }
            }
            Predicate::Between => {
                let low = Box::new(self.operand()?);
                self.expect_word("AND")?;
                let high = Box::new(self.operand()?);
                ExprKind::Between { expr, low, high, negated }
            }
        };
        Ok(self.expr_to(start, kind))
    }

    fn is(&mut self, expr: Box<Expr>) -> Result<ExprKind> {
        let negated = self.word("NOT");
        Ok(if self.word("NULL") {
            ExprKind::IsNull { expr, negated }
        } else if self.word("MISSING") {
            ExprKind::IsMissing { expr, negated }
        } else if self.word("TRUE") {
            ExprKind::IsBool { expr, value: Some(true), negated }
        } else if self.word("FALSE") {
            ExprKind::IsBool { expr, value: Some(false), negated }
        } else if self.word("UNKNOWN") {
            ExprKind::IsBool { expr, value: None, negated }
        } else if self.words(&["DISTINCT", "FROM"]) {
            let right = Box::new(self.operand()?);
            ExprKind::IsDistinctFrom { left: expr, right, negated }
        } else {
            let ty = self.type_name("NULL, MISSING or a type")?;
            ExprKind::IsType { expr, ty, negated }
        })
    }

    /// `IN (a, b)` is a list; `IN (SELECT …)` and `IN collection` range over what is there.
    fn membership(&mut self, expr: Box<Expr>, negated: bool) -> Result<ExprKind> {
        if self.is_sign("(") && !self.is_query_ahead(1) {
            let start = self.here();
            self.advance();
            let mut list = self.comma_separated(Self::expr)?;
            self.expect_sign(")")?;
            // `IN (x) || y` is a collection in parentheses; `IN (x)` alone is a list of one.
            if self.is_sign(".") || self.is_sign("[") {
                let base = list.pop().filter(|_| list.is_empty()).ok_or_else(|| self.expected("an operator"))?;
                let base = Expr { span: start.to(self.before()), ..base };
                let collection = Box::new(self.path_of(base)?);
                return Ok(ExprKind::InExpr { expr, collection, negated });
            }
            return Ok(ExprKind::InList { expr, list, negated });
        }
        let collection = Box::new(self.operand()?);
        Ok(ExprKind::InExpr { expr, collection, negated })
    }

    // ---- primaries and paths ------------------------------------------------------------------------------------

    fn postfix(&mut self) -> Result<Expr> {
        let base = self.primary()?;
        if self.is_sign(".") || self.is_sign("[") { self.path_of(base) } else { Ok(base) }
    }

    /// The steps after `base`; `base` itself if there are none.
    pub(super) fn path_of(&mut self, base: Expr) -> Result<Expr> {
        let start = base.span;
        let mut steps = Vec::new();
        loop {
            if self.sign(".") {
                steps.push(if self.sign("*") { PathStep::AllFields } else { PathStep::Field(self.field_name()?) });
            } else if self.sign("[") {
                steps.push(if self.sign("*") { PathStep::AllElements } else { PathStep::Index(self.expr()?) });
                self.expect_sign("]")?;
            } else {
                break;
            }
        }
        if steps.is_empty() {
            return Ok(base);
        }
        Ok(self.expr_to(start, ExprKind::Path { base: Box::new(base), steps }))
    }

    fn primary(&mut self) -> Result<Expr> {
        let start = self.here();
        let kind = match self.kind(0) {
            Kind::Text(text) => {
                let text = text.clone();
                self.advance();
                ExprKind::Literal(Value::string(text))
            }
            Kind::Number => {
                self.advance();
                ExprKind::Literal(literal::number(start.slice(self.text), start)?)
            }
            Kind::Parameter => {
                self.advance();
                self.parameters += 1;
                ExprKind::Parameter(self.parameters - 1)
            }
            Kind::Ion(inner) => {
                let inner = *inner;
                self.advance();
                ExprKind::Literal(ion_literal(inner.slice(self.text), start, inner)?)
            }
            Kind::Sign(sign) => match *sign {
                "(" => return self.parentheses(),
                "[" => self.list()?,
                "<<" => self.bag()?,
                "{" => self.structure()?,
                "@" => {
                    self.advance();
                    ExprKind::LocalName(self.name("the name of a variable after @")?)
                }
                _ => return Err(self.expected("an expression")),
            },
            Kind::Quoted(_) => return self.name_or_call(),
            Kind::Word => return self.word_primary(),
            Kind::End => return Err(self.expected("an expression")),
        };
        Ok(self.expr_to(start, kind))
    }

    /// `(query)`, `(e)` or `(a, b)`, which is a list in PartiQL.
    fn parentheses(&mut self) -> Result<Expr> {
        let start = self.here();
        if self.is_query_ahead(1) {
            self.advance();
            let query = self.query()?;
            self.expect_sign(")")?;
            return Ok(self.expr_to(start, ExprKind::Subquery(Box::new(query))));
        }
        self.advance();
        let first = self.expr()?;
        if self.is_sign(",") {
            let mut items = vec![first];
            while self.sign(",") {
                items.push(self.expr()?);
            }
            self.expect_sign(")")?;
            return Ok(self.expr_to(start, ExprKind::List(items)));
        }
        self.expect_sign(")")?;
        Ok(Expr { kind: first.kind, span: start.to(self.before()) })
    }

    fn items_until(&mut self, close: &str) -> Result<Vec<Expr>> {
        self.advance();
        if self.sign(close) {
            return Ok(Vec::new());
        }
        let items = self.comma_separated(Self::expr)?;
        if self.sign(close) { Ok(items) } else { Err(self.expected(&format!("\",\" or \"{close}\""))) }
    }

    fn list(&mut self) -> Result<ExprKind> {
        Ok(ExprKind::List(self.items_until("]")?))
    }

    fn bag(&mut self) -> Result<ExprKind> {
        Ok(ExprKind::Bag(self.items_until(">>")?))
    }

    fn structure(&mut self) -> Result<ExprKind> {
        self.advance();
        if self.sign("}") {
            return Ok(ExprKind::Struct(Vec::new()));
        }
        let fields = self.comma_separated(|p| {
            let name = p.expr()?;
            if !p.sign(":") {
                return Err(p.expected("\":\" and the field's value"));
            }
            Ok((name, p.expr()?))
        })?;
        if self.sign("}") { Ok(ExprKind::Struct(fields)) } else { Err(self.expected("\",\" or \"}\"")) }
    }

    /// A word that begins an expression: a constant, a special form, a call or a name.
    fn word_primary(&mut self) -> Result<Expr> {
        let start = self.here();
        let word = start.slice(self.text).to_ascii_uppercase();
        let constant = match word.as_str() {
            "NULL" => Some(ExprKind::Literal(Value::NULL)),
            "TRUE" => Some(ExprKind::Literal(Value::Bool(true))),
            "FALSE" => Some(ExprKind::Literal(Value::Bool(false))),
            "MISSING" => Some(ExprKind::Missing),
            _ => None,
        };
        if let Some(kind) = constant {
            self.advance();
            return Ok(Expr { kind, span: start });
        }
        if word == "CASE" {
            return self.case();
        }
        if matches!(word.as_str(), "DATE" | "TIMESTAMP") && matches!(self.kind(1), Kind::Text(_)) {
            let ty = self.type_name("a type")?;
            let text = self.primary()?;
            return Ok(self.expr_to(start, ExprKind::Cast { expr: Box::new(text), ty }));
        }
        if self.is_sign_ahead(1, "(") {
            match word.as_str() {
                "CAST" => return self.cast(),
                "EXISTS" => return self.exists(),
                "EXTRACT" => return self.extract(),
                "TRIM" => return self.trim(),
                "SUBSTRING" => return self.substring(),
                "DATE_ADD" | "DATE_DIFF" => return self.date_function(),
                _ => {}
            }
        }
        if matches!(word.as_str(), "SELECT" | "PIVOT") {
            return Err(near(start.slice(self.text), start).hint("a query inside an expression needs parentheses"));
        }
        self.name_or_call()
    }

    fn name_or_call(&mut self) -> Result<Expr> {
        let start = self.here();
        let name = self.name("an expression")?;
        if !self.is_sign("(") {
            return Ok(Expr { kind: ExprKind::Name(name), span: start });
        }
        self.call(start, TableName::plain(name))
    }

    // ---- special forms ----------------------------------------------------------------------------------------

    fn case(&mut self) -> Result<Expr> {
        let start = self.here();
        self.advance();
        let operand = if self.is_word("WHEN") { None } else { Some(Box::new(self.expr()?)) };
        let mut whens = Vec::new();
        while self.word("WHEN") {
            let when = self.expr()?;
            self.expect_word("THEN")?;
            whens.push((when, self.expr()?));
        }
        if whens.is_empty() {
            return Err(self.expected("WHEN"));
        }
        let otherwise = if self.word("ELSE") { Some(Box::new(self.expr()?)) } else { None };
        self.expect_word("END")?;
        Ok(self.expr_to(start, ExprKind::Case { operand, whens, otherwise }))
    }

    fn cast(&mut self) -> Result<Expr> {
        let start = self.here();
        self.at += 2;
        let expr = Box::new(self.expr()?);
        self.expect_word("AS")?;
        let ty = self.type_name("a type")?;
        self.expect_sign(")")?;
        Ok(self.expr_to(start, ExprKind::Cast { expr, ty }))
    }

    fn exists(&mut self) -> Result<Expr> {
        let start = self.here();
        if !self.is_query_ahead(2) {
            // PartiQL's EXISTS over a collection: true if it has an element.
            self.advance();
            return self.call(start, TableName::plain(Name::exact("exists", false, start)));
        }
        self.at += 2;
        let query = self.query()?;
        self.expect_sign(")")?;
        Ok(self.expr_to(start, ExprKind::Exists(Box::new(query))))
    }

    fn extract(&mut self) -> Result<Expr> {
        let start = self.here();
        self.at += 2;
        let field = self.date_part()?;
        self.expect_word("FROM")?;
        let from = Box::new(self.expr()?);
        self.expect_sign(")")?;
        Ok(self.expr_to(start, ExprKind::Extract { field, from }))
    }

    fn date_part(&mut self) -> Result<Arc<str>> {
        let span = self.here();
        let written = match self.kind(0) {
            Kind::Word => span.slice(self.text),
            Kind::Text(text) => text,
            _ => return Err(self.expected("a date part")),
        };
        let Some(part) = DATE_PARTS.iter().find(|p| p.eq_ignore_ascii_case(written)) else {
            let mut error = QueryError::syntax(format!("\"{}\" is not a date part", literal::shorten(written)), span);
            let near = literal::suggestion(written, DATE_PARTS);
            error = error.hint(match near {
                Some(near) => format!("did you mean {near}?"),
                None => format!("one of {}", DATE_PARTS.join(", ")),
            });
            return Err(error);
        };
        self.advance();
        Ok(Arc::from(*part))
    }

    /// `DATE_ADD(part, n, t)` and `DATE_DIFF(part, t, t)`: the part arrives as a string in lower case.
    fn date_function(&mut self) -> Result<Expr> {
        let start = self.here();
        self.at += 2;
        let span = self.here();
        let part = self.date_part()?;
        self.expect_sign(",")?;
        let mut arguments = vec![Expr { kind: ExprKind::Literal(Value::string(part)), span }];
        arguments.extend(self.comma_separated(Self::expr)?);
        self.expect_sign(")")?;
        Ok(self.function(start, start.slice(self.text), arguments))
    }

    /// `TRIM([[LEADING | TRAILING | BOTH] [what] FROM] text)` becomes ltrim, rtrim or btrim.
    fn trim(&mut self) -> Result<Expr> {
        let start = self.here();
        self.at += 2;
        let mut name = "btrim";
        let mut side = false;
        for (word, function) in [("LEADING", "ltrim"), ("TRAILING", "rtrim"), ("BOTH", "btrim")] {
            if !side && !matches!(self.kind(1), Kind::Sign(")" | ".")) && self.word(word) {
                (name, side) = (function, true);
            }
        }
        let mut arguments = Vec::new();
        if self.word("FROM") {
            arguments.push(self.expr()?);
        } else {
            let first = self.expr()?;
            if self.word("FROM") {
                arguments.push(self.expr()?);
                arguments.push(first);
            } else if side {
                return Err(self.expected("FROM"));
            } else {
                arguments.push(first);
            }
        }
        self.expect_sign(")")?;
        Ok(self.function(start, name, arguments))
    }

    /// `SUBSTRING(text FROM start [FOR length])` and `SUBSTRING(text, start [, length])`.
    fn substring(&mut self) -> Result<Expr> {
        let start = self.here();
        self.at += 2;
        let mut arguments = vec![self.expr()?];
        if self.word("FROM") {
            arguments.push(self.expr()?);
            if self.word("FOR") {
                arguments.push(self.expr()?);
            }
        } else {
            while self.sign(",") {
                arguments.push(self.expr()?);
            }
        }
        if !self.sign(")") {
            return Err(self.expected("FROM, FOR, \",\" or \")\""));
        }
        Ok(self.function(start, "substring", arguments))
    }

    fn function(&self, start: Span, name: &str, arguments: Vec<Expr>) -> Expr {
        let call = FunctionCall::new(TableName::plain(Name::folded(name, start)), arguments);
        self.expr_to(start, ExprKind::Function(Box::new(call)))
    }

    // ---- calls and windows --------------------------------------------------------------------------------------

    /// The arguments and what follows them; function names do not depend on case.
    fn call(&mut self, start: Span, name: TableName) -> Result<Expr> {
        self.expect_sign("(")?;
        let name = TableName {
            schema: name.schema,
            name: if name.name.quoted { name.name } else { Name::folded(name.name.written, name.name.span) },
        };
        let mut call = FunctionCall::new(name, Vec::new());
        if self.is_sign("*") && self.is_sign_ahead(1, ")") {
            self.at += 2;
            call.star = true;
        } else if !self.sign(")") {
            call.distinct = self.word("DISTINCT");
            if !call.distinct {
                self.word("ALL");
            }
            call.arguments = if self.is_query_ahead(0) {
                let inner = self.here();
                let query = self.query()?;
                vec![self.expr_to(inner, ExprKind::Subquery(Box::new(query)))]
            } else {
                self.comma_separated(Self::expr)?
            };
            if self.words(&["ORDER", "BY"]) {
                call.order_by = self.comma_separated(Self::order_item)?;
            }
            if !self.sign(")") {
                return Err(self.expected("\",\" or \")\""));
            }
        }
        if self.is_word("FILTER") && self.is_sign_ahead(1, "(") {
            self.at += 2;
            self.expect_word("WHERE")?;
            call.filter = Some(self.expr()?);
            self.expect_sign(")")?;
        }
        if self.word("OVER") {
            call.over = Some(if self.is_sign("(") {
                WindowRef::Spec(Box::new(self.window_spec()?))
            } else {
                WindowRef::Name(self.name("a window name or \"(\"")?)
            });
        }
        Ok(self.expr_to(start, ExprKind::Function(Box::new(call))))
    }

    pub(super) fn window_spec(&mut self) -> Result<WindowSpec> {
        self.expect_sign("(")?;
        let mut spec = WindowSpec::default();
        let frame = |p: &Self| p.is_word("ROWS") || p.is_word("RANGE") || p.is_word("GROUPS");
        if !self.is_word("PARTITION") && !frame(self) {
            spec.base = self.maybe_name();
        }
        if self.words(&["PARTITION", "BY"]) {
            spec.partition_by = self.comma_separated(Self::expr)?;
        }
        if self.words(&["ORDER", "BY"]) {
            spec.order_by = self.comma_separated(Self::order_item)?;
        }
        if frame(self) {
            spec.frame = Some(self.frame()?);
        }
        if self.sign(")") {
            Ok(spec)
        } else {
            Err(self.expected("PARTITION BY, ORDER BY, ROWS, RANGE, GROUPS or \")\""))
        }
    }

    fn frame(&mut self) -> Result<Frame> {
        let unit = if self.word("ROWS") {
            FrameUnit::Rows
        } else if self.word("RANGE") {
            FrameUnit::Range
        } else {
            self.expect_word("GROUPS")?;
            FrameUnit::Groups
        };
        if self.word("BETWEEN") {
            let start = self.frame_bound()?;
            self.expect_word("AND")?;
            return Ok(Frame { unit, start, end: self.frame_bound()? });
        }
        Ok(Frame { unit, start: self.frame_bound()?, end: FrameBound::CurrentRow })
    }

    fn frame_bound(&mut self) -> Result<FrameBound> {
        if self.words(&["CURRENT", "ROW"]) {
            return Ok(FrameBound::CurrentRow);
        }
        if self.words(&["UNBOUNDED", "PRECEDING"]) {
            return Ok(FrameBound::UnboundedPreceding);
        }
        if self.words(&["UNBOUNDED", "FOLLOWING"]) {
            return Ok(FrameBound::UnboundedFollowing);
        }
        let distance = self.operand()?;
        if self.word("PRECEDING") {
            Ok(FrameBound::Preceding(distance))
        } else if self.word("FOLLOWING") {
            Ok(FrameBound::Following(distance))
        } else {
            Err(self.expected("PRECEDING or FOLLOWING"))
        }
    }

    // ---- types ------------------------------------------------------------------------------------------------

    /// A type's name in lower case, with the words of the standard's longer names and perhaps arguments.
    fn type_name(&mut self, what: &str) -> Result<TypeName> {
        let start = self.here();
        let word = match self.kind(0) {
            Kind::Word => start.slice(self.text).to_ascii_lowercase(),
            Kind::Quoted(text) => text.to_string(),
            _ => return Err(self.expected(what)),
        };
        if super::is_reserved(&word) && !matches!(word.as_str(), "null" | "missing") {
            return Err(self.expected(what));
        }
        self.advance();
        let mut name = word;
        if name == "double" && self.word("PRECISION") {
            name = "double precision".into();
        } else if name == "character" && self.word("VARYING") {
            name = "varchar".into();
        }
        let mut arguments = Vec::new();
        if self.sign("(") {
            arguments = self.comma_separated(Self::type_argument)?;
            self.expect_sign(")")?;
        }
        if self.words(&["WITH", "TIME", "ZONE"]) {
            name.push_str(" with time zone");
        } else if self.words(&["WITHOUT", "TIME", "ZONE"]) {
            name.push_str(" without time zone");
        }
        Ok(TypeName { name: name.into(), arguments, array_depth: 0, span: start.to(self.before()) })
    }

    fn type_argument(&mut self) -> Result<i64> {
        let span = self.here();
        let number = match self.kind(0) {
            Kind::Number => span.slice(self.text).parse().ok(),
            _ => None,
        };
        let number = number.ok_or_else(|| self.expected("a whole number"))?;
        self.advance();
        Ok(number)
    }
}

/// `left op right`, with the span over both.
fn join(left: Expr, op: BinaryOp, right: Expr) -> Expr {
    let span = left.span.to(right.span);
    Expr { kind: ExprKind::Binary { op, left: Box::new(left), right: Box::new(right) }, span }
}

/// The operands in order, as a tree of the least height; nothing for no operands.
pub(crate) fn balanced(mut operands: Vec<Expr>, op: BinaryOp) -> Option<Expr> {
    while operands.len() > 1 {
        let mut next = Vec::with_capacity(operands.len().div_ceil(2));
        let mut rest = operands.into_iter();
        while let Some(left) = rest.next() {
            next.push(match rest.next() {
                Some(right) => join(left, op, right),
                None => left,
            });
        }
        operands = next;
    }
    operands.pop()
}

/// The one value of an Ion literal.
fn ion_literal(text: &str, span: Span, inner: Span) -> Result<Value> {
    literal::ion(text).map_err(|error| {
        let refused = match QueryError::ion_text_limit(&error.problem) {
            Some(code) => QueryError::new(code, format!("the Ion literal is too large: {}", error.problem)).at(span),
            None => QueryError::syntax("the text between the backticks is not one Ion value", span),
        };
        refused.detail(format!("{error} (counted from byte {})", inner.start))
    })
}
