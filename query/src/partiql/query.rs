//! Queries of PartiQL: SELECT and PIVOT, the FROM clause, set operations.

use std::mem;

use super::lexer::Kind;
use super::{Parser, is_reserved};
use crate::ast::{
    Alias, AsOf, CommonRows, CommonTable, Distinct, Expr, ExprKind, From, GroupingElement, JoinKind, JoinOn, Name,
    OrderBy, PathStep, Projection, Query, Select, SelectItem, SetExpr, SetOp, TableName,
};
use crate::error::Result;

impl Parser<'_> {
    /// Whether a query begins `ahead` tokens from here, parentheses around it included.
    pub(super) fn is_query_ahead(&self, mut ahead: usize) -> bool {
        while self.is_sign_ahead(ahead, "(") {
            ahead += 1;
        }
        // `WITH name AS (`, and VALUES only before rows: both words are otherwise free to be fields.
        self.is_word_ahead(ahead, "SELECT")
            || self.is_word_ahead(ahead, "PIVOT")
            || (self.is_word_ahead(ahead, "VALUES") && self.is_sign_ahead(ahead + 1, "("))
            || self.is_word_ahead(ahead, "WITH")
    }

    /// `[WITH …] body [ORDER BY …] [LIMIT …] [OFFSET …]`
    pub(super) fn query(&mut self) -> Result<Query> {
        self.deeper(|p| {
            let start = p.here();
            let mut with = Vec::new();
            let mut recursive = false;
            if p.word("WITH") {
                recursive = p.word("RECURSIVE");
                with = p.comma_separated(Self::common_table)?;
            }
            let body = p.set_expr(0)?;
            let order_by = if p.words(&["ORDER", "BY"]) { p.comma_separated(Self::order_item)? } else { Vec::new() };
            let (mut limit, mut offset) = (None, None);
            loop {
                if limit.is_none() && p.word("LIMIT") {
                    limit = Some(p.expr()?);
                } else if offset.is_none() && p.word("OFFSET") {
                    offset = Some(p.expr()?);
                } else {
                    break;
                }
            }
            Ok(Query {
                with,
                recursive,
                body,
                order_by,
                limit,
                ties: false,
                offset,
                sets_sequences: false,
                span: start.to(p.before()),
            })
        })
    }

    fn common_table(&mut self) -> Result<CommonTable> {
        let name = self.name("the name of a common table")?;
        let columns = self.column_names()?;
        self.expect_word("AS")?;
        self.expect_sign("(")?;
        let query = self.query()?;
        self.expect_sign(")")?;
        Ok(CommonTable { name, columns, rows: CommonRows::Query(Box::new(query)) })
    }

    /// `(a, b)` if a parenthesis is next.
    fn column_names(&mut self) -> Result<Vec<Name>> {
        if !self.sign("(") {
            return Ok(Vec::new());
        }
        let columns = self.comma_separated(|p| p.name("a column name"))?;
        self.expect_sign(")")?;
        Ok(columns)
    }

    /// Set operations that bind at least as tightly as `least`: UNION and EXCEPT 1, INTERSECT 2.
    fn set_expr(&mut self, least: u8) -> Result<SetExpr> {
        let outer = mem::replace(&mut self.deepest, self.depth);
        let mut left = self.set_operand()?;
        loop {
            if self.are_words(&["OUTER", "UNION"])
                || self.are_words(&["OUTER", "EXCEPT"])
                || self.are_words(&["OUTER", "INTERSECT"])
            {
                return Err(self.unsupported("OUTER in set operations", self.here(), "leave out OUTER"));
            }
            let (power, op) = if self.is_word("UNION") {
                (1, SetOp::Union)
            } else if self.is_word("EXCEPT") {
                (1, SetOp::Except)
            } else if self.is_word("INTERSECT") {
                (2, SetOp::Intersect)
            } else {
                break;
            };
            if power <= least {
                break;
            }
            self.advance();
            let all = self.word("ALL");
            if !all {
                self.word("DISTINCT");
            }
            self.wrapped(1)?;
            let right = self.deeper(|p| p.set_expr(power))?;
            left = SetExpr::Operation { op, all, left: Box::new(left), right: Box::new(right) };
        }
        self.deepest = self.deepest.max(outer);
        Ok(left)
    }

    fn set_operand(&mut self) -> Result<SetExpr> {
        let start = self.here();
        if self.is_word("SELECT") || self.is_word("PIVOT") {
            return Ok(SetExpr::Select(Box::new(self.select()?)));
        }
        if self.is_sign("(") && self.is_query_ahead(0) {
            self.advance();
            let query = self.query()?;
            self.expect_sign(")")?;
            return Ok(SetExpr::Query(Box::new(query)));
        }
        if self.is_word("VALUES") && self.is_sign_ahead(1, "(") {
            self.advance();
            let rows = self.comma_separated(|p| {
                p.expect_sign("(")?;
                let row = p.comma_separated(Self::expr)?;
                p.expect_sign(")")?;
                Ok(row)
            })?;
            return Ok(SetExpr::Values { rows, span: start.to(self.before()) });
        }
        Ok(SetExpr::Expr(Box::new(self.expr()?)))
    }

    pub(super) fn order_item(&mut self) -> Result<OrderBy> {
        let expr = self.expr()?;
        let descending = self.word("DESC");
        if !descending {
            self.word("ASC");
        }
        let nulls_first = if self.words(&["NULLS", "FIRST"]) {
            Some(true)
        } else if self.words(&["NULLS", "LAST"]) {
            Some(false)
        } else {
            None
        };
        Ok(OrderBy { expr, descending, nulls_first })
    }

    // ---- SELECT -------------------------------------------------------------------------------------------------

    fn select(&mut self) -> Result<Select> {
        let start = self.here();
        let mut distinct = Distinct::No;
        let projection = if self.word("PIVOT") {
            let value = Box::new(self.expr()?);
            self.expect_word("AT")?;
            Projection::Pivot { value, at: Box::new(self.expr()?) }
        } else {
            self.advance();
            if self.word("DISTINCT") {
                distinct = Distinct::Yes;
            } else {
                self.word("ALL");
            }
            self.projection()?
        };
        let mut select = Select { distinct, ..Select::of(projection, start) };
        if self.word("FROM") {
            select.from = self.sources()?;
        }
        if self.word("WHERE") {
            select.filter = Some(self.expr()?);
        }
        if self.is_word("GROUP") {
            select.group_by = self.group_by()?;
        }
        if self.word("HAVING") {
            select.having = Some(self.expr()?);
        }
        if self.word("WINDOW") {
            select.windows = self.comma_separated(|p| {
                let name = p.name("a window name")?;
                p.expect_word("AS")?;
                Ok((name, p.window_spec()?))
            })?;
        }
        select.span = start.to(self.before());
        Ok(select)
    }

    fn projection(&mut self) -> Result<Projection> {
        // `VALUE` is a name too: `SELECT value FROM t`, `SELECT value, x`, `SELECT value.a`, `SELECT value AS v`.
        let begins_expression = match self.kind(1) {
            Kind::Sign(sign) => matches!(*sign, "(" | "[" | "{" | "<<" | "@" | "-" | "+"),
            Kind::Word => {
                !["FROM", "AS", "WHERE", "ORDER", "LIMIT", "UNION", "GROUP"].iter().any(|w| self.is_word_ahead(1, w))
            }
            Kind::End => false,
            _ => true,
        };
        if self.is_word("VALUE") && begins_expression {
            self.advance();
            return Ok(Projection::Value(Box::new(self.expr()?)));
        }
        Ok(Projection::Items(self.comma_separated(Self::select_item)?))
    }

    fn select_item(&mut self) -> Result<SelectItem> {
        if self.is_sign("*") {
            self.advance();
            return Ok(SelectItem::Wildcard(self.before()));
        }
        let expr = self.expr()?;
        if let ExprKind::Path { base, steps } = &expr.kind
            && steps.last() == Some(&PathStep::AllFields)
        {
            let rest = &steps[..steps.len() - 1];
            let inner = if rest.is_empty() {
                (**base).clone()
            } else {
                Expr { kind: ExprKind::Path { base: base.clone(), steps: rest.to_vec() }, span: expr.span }
            };
            return Ok(SelectItem::QualifiedWildcard(inner));
        }
        let alias = if self.word("AS") { Some(self.alias_name()?) } else { self.bare_alias_name() };
        Ok(SelectItem::Expr { expr, alias })
    }

    /// After AS any word will do, even `SELECT a AS value`; reserved ones only where that is not ambiguous.
    fn alias_name(&mut self) -> Result<Name> {
        self.name("a name after AS")
    }

    /// An alias without AS, remembered in case it was meant as a keyword.
    fn bare_alias_name(&mut self) -> Option<Name> {
        let index = self.at;
        let name = self.maybe_name()?;
        if !name.quoted {
            self.bare_alias = Some(index);
        }
        Some(name)
    }

    fn group_by(&mut self) -> Result<Vec<GroupingElement>> {
        let start = self.here();
        self.advance();
        if self.is_word("PARTIAL") || self.is_word("AS") {
            return Err(self.unsupported("GROUP PARTIAL BY and GROUP AS", start, "use GROUP BY with aggregates"));
        }
        self.expect_word("BY")?;
        let keys = self.comma_separated(|p| {
            let key = p.expr()?;
            if p.is_word("AS") {
                let hint = "repeat the expression in the SELECT list and name it there";
                return Err(p.unsupported("an alias in GROUP BY", p.here(), hint));
            }
            Ok(GroupingElement::of(key))
        })?;
        if self.are_words(&["GROUP", "AS"]) {
            return Err(self.unsupported("GROUP AS", self.here(), "use aggregates, or a nested SELECT"));
        }
        Ok(keys)
    }

    // ---- FROM ---------------------------------------------------------------------------------------------------

    pub(super) fn sources(&mut self) -> Result<Vec<From>> {
        self.comma_separated(Self::joined_source)
    }

    /// One source and the joins after it.
    fn joined_source(&mut self) -> Result<From> {
        let outer = mem::replace(&mut self.deepest, self.depth);
        let mut left = self.source()?;
        loop {
            let natural = self.is_word("NATURAL");
            let Some((kind, words)) = self.join_kind(usize::from(natural)) else { break };
            self.at += words + usize::from(natural);
            self.wrapped(1)?;
            let right = self.deeper(|p| if p.is_sign("(") { p.source() } else { p.source_or_lateral() })?;
            let on = if natural {
                JoinOn::Natural
            } else if kind == JoinKind::Cross {
                JoinOn::None
            } else if self.word("ON") {
                JoinOn::On(Box::new(self.expr()?))
            } else if self.word("USING") {
                let columns = self.column_names()?;
                if columns.is_empty() {
                    return Err(self.expected("column names in parentheses"));
                }
                JoinOn::Using(columns)
            } else {
                return Err(self.expected("ON or USING"));
            };
            left = From::Join { kind, left: Box::new(left), right: Box::new(right), on };
        }
        self.deepest = self.deepest.max(outer);
        Ok(left)
    }

    /// The join that begins here and how many words say it.
    fn join_kind(&self, from: usize) -> Option<(JoinKind, usize)> {
        let is = |ahead: usize, word: &str| self.is_word_ahead(from + ahead, word);
        if is(0, "JOIN") {
            return Some((JoinKind::Inner, 1));
        }
        let kind = [
            ("INNER", JoinKind::Inner),
            ("CROSS", JoinKind::Cross),
            ("LEFT", JoinKind::Left),
            ("RIGHT", JoinKind::Right),
            ("FULL", JoinKind::Full),
        ]
        .into_iter()
        .find(|(word, _)| is(0, word))?
        .1;
        if is(1, "JOIN") {
            Some((kind, 2))
        } else if is(1, "OUTER") && is(2, "JOIN") && !matches!(kind, JoinKind::Inner | JoinKind::Cross) {
            Some((kind, 3))
        } else {
            None
        }
    }

    fn source_or_lateral(&mut self) -> Result<From> {
        self.word("LATERAL");
        self.source()
    }

    fn source(&mut self) -> Result<From> {
        if self.word("UNPIVOT") {
            let expr = self.operand()?;
            return Ok(From::Unpivot { expr, alias: self.alias()? });
        }
        if self.is_sign("(") && self.is_query_ahead(0) {
            self.advance();
            let query = Box::new(self.query()?);
            self.expect_sign(")")?;
            // A query in PartiQL sees the variables to its left, as LATERAL does in SQL.
            return Ok(From::Subquery { query, lateral: true, alias: self.alias()? });
        }
        if self.is_sign("(") && self.is_join_ahead() {
            self.advance();
            let inner = self.deeper(Self::joined_source)?;
            self.expect_sign(")")?;
            return Ok(inner);
        }
        let expr = self.deeper(|p| p.operand())?;
        self.source_of(expr)
    }

    /// Whether the parentheses that open here hold a join: names first, then a join's words before they close.
    fn is_join_ahead(&self) -> bool {
        let mut open = 0usize;
        let mut ahead = 0;
        loop {
            match self.kind(ahead) {
                Kind::Sign("(") => open += 1,
                Kind::Sign(")") => {
                    open -= 1;
                    if open == 0 {
                        return false;
                    }
                }
                Kind::Word if open == 1 && self.is_word_ahead(ahead, "JOIN") => return true,
                Kind::End => return false,
                _ => {}
            }
            ahead += 1;
        }
    }

    fn source_of(&mut self, expr: Expr) -> Result<From> {
        let path = match &expr.kind {
            ExprKind::Name(_) | ExprKind::LocalName(_) => true,
            ExprKind::Path { base, .. } => matches!(base.kind, ExprKind::Name(_) | ExprKind::LocalName(_)),
            _ => false,
        };
        if path {
            let as_of = self.as_of()?;
            return Ok(From::Path { path: expr, as_of, alias: self.alias()? });
        }
        if let ExprKind::Function(call) = expr.kind {
            let plain = !call.star
                && !call.distinct
                && call.order_by.is_empty()
                && call.filter.is_none()
                && call.over.is_none();
            if plain {
                let name = TableName { schema: call.name.schema, name: call.name.name };
                let alias = self.alias()?;
                return Ok(From::Function {
                    name,
                    arguments: call.arguments,
                    lateral: true,
                    with_ordinality: false,
                    alias,
                });
            }
            let expr = Expr { kind: ExprKind::Function(call), span: expr.span };
            return Ok(From::Expr { expr, alias: self.alias()? });
        }
        Ok(From::Expr { expr, alias: self.alias()? })
    }

    /// `AS OF TIMESTAMP t` or `AS OF BLOCK n`; `AS of` alone is an alias.
    fn as_of(&mut self) -> Result<Option<AsOf>> {
        if self.words(&["AS", "OF", "TIMESTAMP"]) {
            Ok(Some(AsOf::Timestamp(self.operand()?)))
        } else if self.words(&["AS", "OF", "BLOCK"]) {
            Ok(Some(AsOf::Block(self.operand()?)))
        } else if self.are_words(&["AS", "OF"]) && matches!(self.kind(2), Kind::Text(_) | Kind::Number | Kind::Ion(_)) {
            self.at += 2;
            Err(self.expected("TIMESTAMP or BLOCK after AS OF"))
        } else {
            Ok(None)
        }
    }

    /// `[AS] a [AT i] [BY id]`
    pub(super) fn alias(&mut self) -> Result<Alias> {
        let mut alias = Alias::default();
        if self.word("AS") {
            alias.name = Some(self.alias_name()?);
        } else if !self.begins_change() {
            alias.name = self.bare_alias_name();
        }
        if self.word("AT") {
            alias.at = Some(self.name("a name after AT")?);
        }
        if self.word("BY") {
            alias.by = Some(self.name("a name after BY")?);
        }
        Ok(alias)
    }

    /// Words after a table that begin a change rather than name it. They are reserved except in a quoted name.
    fn begins_change(&self) -> bool {
        self.word_ahead(0).is_some_and(is_reserved)
    }
}
