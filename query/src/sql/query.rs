//! Queries: SELECT, VALUES, TABLE, set operations, FROM and joins.

use std::mem;

use sqlparser::ast as sql;
use sqlparser::ast::Spanned;

use super::expr::{path_of_object, span_over};
use super::{Converter, name, name_expr, names, plain_name, refuse, table_name, tokens};
use crate::ast::{
    Alias, AsOf, CommonRows, CommonTable, Delete, Distinct, ExprKind, From, Insert, JoinKind, JoinOn, Name, Projection,
    Query, Select, SelectItem, SetExpr, SetOp, Span, Statement, TableName, Update,
};
use crate::error::{QueryError, Result, SqlState};

impl Converter {
    /// A query, or `WITH … INSERT …` and its kin.
    pub(super) fn query_statement(&mut self, mut query: sql::Query) -> Result<Statement> {
        let body = mem::replace(&mut *query.body, empty_body());
        match body {
            sql::SetExpr::Insert(sql::Statement::Insert(insert)) => {
                let (with, recursive) = self.with(query.with.take(), true)?;
                Ok(Statement::Insert(Box::new(Insert { with, recursive, ..self.insert(insert)? })))
            }
            sql::SetExpr::Update(sql::Statement::Update(update)) => {
                let (with, recursive) = self.with(query.with.take(), true)?;
                Ok(Statement::Update(Box::new(Update { with, recursive, ..self.update(update)? })))
            }
            sql::SetExpr::Delete(sql::Statement::Delete(delete)) => {
                let (with, recursive) = self.with(query.with.take(), true)?;
                Ok(Statement::Delete(Box::new(Delete { with, recursive, ..self.delete(delete)? })))
            }
            sql::SetExpr::Merge(_) => {
                Err(QueryError::new(SqlState::FEATURE_NOT_SUPPORTED, "MERGE not supported in WITH query"))
            }
            body => {
                *query.body = body;
                Ok(Statement::Query(Box::new(self.whole_query(query)?)))
            }
        }
    }

    /// The query that is a statement: its WITH may change documents.
    pub(super) fn whole_query(&mut self, query: sql::Query) -> Result<Query> {
        self.query_of(query, true)
    }

    /// A query inside of something.
    pub(super) fn query(&mut self, query: sql::Query) -> Result<Query> {
        self.query_of(query, false)
    }

    fn query_of(&mut self, query: sql::Query, whole: bool) -> Result<Query> {
        self.deeper(|c| {
            let sql::Query {
                with,
                body,
                order_by,
                limit_clause,
                fetch,
                locks,
                for_clause,
                settings,
                format_clause,
                pipe_operators,
            } = query;
            let start = with.as_ref().map_or(Span::default(), |w| tokens::span(w.with_token.0.span));
            // What a transaction has read is validated when it commits, locked or not, and nobody waits.
            let skips_locked = locks.iter().any(|lock| lock.nonblock == Some(sql::NonBlock::SkipLocked));
            let lockable = if locks.is_empty() { Ok(()) } else { locked_rows(&body) };
            let wrapped = whole && with.is_none();
            let setvals = c.setvals;
            let (mut with, mut recursive) = c.with(with, whole)?;
            let (body, span) = match *body {
                // Parentheses around a whole statement are none: its WITH is the statement's.
                sql::SetExpr::Query(inner) if wrapped => {
                    let mut inner = c.whole_query(*inner)?;
                    if inner.changes_documents() {
                        (with, recursive) = (mem::take(&mut inner.with), inner.recursive);
                    }
                    let span = inner.span;
                    (SetExpr::Query(Box::new(inner)), span)
                }
                body => c.set_expr(body)?,
            };
            lockable.map_err(|error| error.at(span))?;
            let span = start.to(span);
            refuse(for_clause.is_some(), "FOR XML, FOR JSON and FOR BROWSE", span)?;
            refuse(settings.is_some() || format_clause.is_some(), "SETTINGS and FORMAT", span)?;
            refuse(!pipe_operators.is_empty(), "the pipe syntax", span)?;
            let order_by = c.order_by(order_by, span)?;
            let (mut limit, mut ties, offset) = c.limit(limit_clause, span)?;
            if let Some(sql::Fetch { with_ties, percent, quantity }) = fetch {
                refuse(percent, "FETCH … PERCENT", span)?;
                let one = sql::Expr::Value(sql::Value::Number("1".into(), false).into());
                (limit, ties) = (Some(c.expr(quantity.unwrap_or(one))?), with_ties);
            }
            if ties && order_by.is_empty() {
                let message = "WITH TIES cannot be specified without ORDER BY clause";
                return Err(QueryError::syntax(message, span));
            }
            if ties && skips_locked {
                let message = "SKIP LOCKED and WITH TIES options cannot be used together";
                return Err(QueryError::syntax(message, span));
            }
            let sets_sequences = c.setvals > setvals;
            Ok(Query { with, recursive, body, order_by, limit, ties, offset, sets_sequences, span })
        })
    }

    /// Common tables, of a whole statement or of a query inside of one.
    pub(super) fn with(&mut self, with: Option<sql::With>, whole: bool) -> Result<(Vec<CommonTable>, bool)> {
        let Some(sql::With { with_token: _, recursive, cte_tables }) = with else { return Ok((Vec::new(), false)) };
        let may_change = whole && self.within == 0;
        self.within += 1;
        let tables = cte_tables.into_iter().map(|t| self.common_table(t, may_change)).collect::<Result<_>>();
        self.within -= 1;
        Ok((tables?, recursive))
    }

    fn common_table(&mut self, table: sql::Cte, may_change: bool) -> Result<CommonTable> {
        // MATERIALIZED is advice on how, not on what.
        let sql::Cte { alias, query, from, materialized: _, closing_paren_token: _ } = table;
        let alias = self.alias(Some(alias))?;
        let name = alias.name.ok_or_else(|| QueryError::internal("a common table without a name"))?;
        refuse(from.is_some(), "FROM after a common table", name.span)?;
        let changes = matches!(
            *query.body,
            sql::SetExpr::Insert(_) | sql::SetExpr::Update(_) | sql::SetExpr::Delete(_) | sql::SetExpr::Merge(_)
        );
        if changes && !may_change {
            let message = "WITH clause containing a data-modifying statement must be at the top level";
            return Err(QueryError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(name.span));
        }
        let rows = match changes {
            true => CommonRows::Change(Box::new(self.deeper(|c| c.query_statement(*query))?)),
            false => CommonRows::Query(Box::new(self.query(*query)?)),
        };
        Ok(CommonTable { name, columns: alias.columns, rows })
    }

    fn order_by(&mut self, order_by: Option<sql::OrderBy>, span: Span) -> Result<Vec<crate::ast::OrderBy>> {
        let Some(sql::OrderBy { kind, interpolate }) = order_by else { return Ok(Vec::new()) };
        refuse(interpolate.is_some(), "INTERPOLATE", span)?;
        match kind {
            sql::OrderByKind::Expressions(items) => self.order_items(items),
            sql::OrderByKind::All(_) => Err(QueryError::unsupported("ORDER BY ALL").at(span)),
        }
    }

    /// How many rows, whether with those that stand with the last of them, and how many not.
    fn limit(
        &mut self,
        clause: Option<sql::LimitClause>,
        span: Span,
    ) -> Result<(Option<crate::ast::Expr>, bool, Option<crate::ast::Expr>)> {
        match clause {
            None => Ok((None, false, None)),
            Some(sql::LimitClause::LimitOffset { limit, offset, limit_by }) => {
                refuse(!limit_by.is_empty(), "LIMIT … BY", span)?;
                let (limit, ties) = match limit.map(tokens::without_ties) {
                    Some((limit, ties)) => (Some(self.expr(limit)?), ties),
                    None => (None, false),
                };
                let is_null = |e: &crate::ast::Expr| matches!(&e.kind, ExprKind::Literal(v) if v.is_null());
                if ties && limit.as_ref().is_some_and(is_null) {
                    let message = "row count cannot be null in FETCH FIRST ... WITH TIES clause";
                    return Err(QueryError::new(SqlState::INVALID_ROW_COUNT_IN_LIMIT, message).at(span));
                }
                // `LIMIT NULL` and `LIMIT ALL` are no limit.
                let limit = limit.filter(|e| !is_null(e));
                Ok((limit, ties, offset.map(|o| self.expr(o.value)).transpose()?))
            }
            Some(sql::LimitClause::OffsetCommaLimit { .. }) => {
                Err(QueryError::unsupported("LIMIT offset, count").at(span).hint("write LIMIT count OFFSET offset"))
            }
        }
    }

    // ---- bodies ---------------------------------------------------------------------------------------------------

    /// A body and its place. Set operations to the left are taken apart in a loop.
    fn set_expr(&mut self, body: sql::SetExpr) -> Result<(SetExpr, Span)> {
        let outer = mem::replace(&mut self.deepest, self.depth);
        let mut rest = Vec::new();
        let mut first = body;
        loop {
            match first {
                sql::SetExpr::SetOperation { left, op, set_quantifier, right } => {
                    rest.push((op, set_quantifier, *right));
                    first = *left;
                }
                other => {
                    first = other;
                    break;
                }
            }
        }
        let (mut left, mut span) = self.deeper(|c| c.set_operand(first))?;
        for (op, quantifier, right) in rest.into_iter().rev() {
            self.wrapped(1)?;
            let op = match op {
                sql::SetOperator::Union => SetOp::Union,
                sql::SetOperator::Intersect => SetOp::Intersect,
                sql::SetOperator::Except => SetOp::Except,
                sql::SetOperator::Minus => {
                    return Err(QueryError::unsupported("MINUS").at(span).hint("write EXCEPT"));
                }
            };
            let all = match quantifier {
                sql::SetQuantifier::All => true,
                sql::SetQuantifier::Distinct | sql::SetQuantifier::None => false,
                other => return Err(QueryError::unsupported(format!("{other} in a set operation")).at(span)),
            };
            let (right, right_span) = self.deeper(|c| c.set_expr(right))?;
            span = span.to(right_span);
            left = SetExpr::Operation { op, all, left: Box::new(left), right: Box::new(right) };
        }
        self.deepest = self.deepest.max(outer);
        Ok((left, span))
    }

    fn set_operand(&mut self, body: sql::SetExpr) -> Result<(SetExpr, Span)> {
        match body {
            sql::SetExpr::Select(select) => {
                let select = self.select(*select)?;
                let span = select.span;
                Ok((SetExpr::Select(Box::new(select)), span))
            }
            sql::SetExpr::Query(query) => {
                let query = self.query(*query)?;
                let span = query.span;
                Ok((SetExpr::Query(Box::new(query)), span))
            }
            sql::SetExpr::Values(sql::Values { explicit_row, value_keyword, rows }) => {
                refuse(explicit_row || value_keyword, "ROW and VALUE before rows", Span::default())?;
                let mut span = Span::default();
                let mut converted = Vec::with_capacity(rows.len());
                for row in rows {
                    span = span.to(tokens::span(row.opening_token.0.span)).to(tokens::span(row.closing_token.0.span));
                    converted.push(self.exprs(row.content)?);
                }
                Ok((SetExpr::Values { rows: converted, span }, span))
            }
            sql::SetExpr::Table(table) => {
                let sql::Table { table_name, schema_name } = *table;
                let ident = |text: String| Name::folded(text, Span::default());
                let name = table_name.ok_or_else(|| QueryError::internal("TABLE without a name"))?;
                let table = TableName { schema: schema_name.map(ident), name: ident(name) };
                Ok((SetExpr::Select(Box::new(whole_table(table))), Span::default()))
            }
            other => Err(QueryError::unsupported(format!(
                "{} inside a query",
                match other {
                    sql::SetExpr::Insert(_) => "INSERT",
                    sql::SetExpr::Update(_) => "UPDATE",
                    sql::SetExpr::Delete(_) => "DELETE",
                    _ => "MERGE",
                }
            ))),
        }
    }

    fn select(&mut self, select: sql::Select) -> Result<Select> {
        let span = tokens::span(select.select_token.0.span);
        let sql::Select {
            select_token: _,
            optimizer_hints,
            distinct,
            select_modifiers,
            top,
            top_before_distinct: _,
            projection,
            exclude,
            into,
            from,
            lateral_views,
            prewhere,
            selection,
            connect_by,
            group_by,
            cluster_by,
            distribute_by,
            sort_by,
            having,
            named_window,
            qualify,
            window_before_qualify: _,
            value_table_mode,
            flavor,
        } = select;
        refuse(!optimizer_hints.is_empty() || select_modifiers.is_some(), "a hint or modifier after SELECT", span)?;
        refuse(top.is_some(), "TOP", span)?;
        refuse(exclude.is_some(), "EXCLUDE", span)?;
        if into.is_some() {
            return Err(QueryError::unsupported("SELECT … INTO").at(span).hint("use CREATE TABLE … AS SELECT …"));
        }
        refuse(!lateral_views.is_empty() || prewhere.is_some(), "LATERAL VIEW and PREWHERE", span)?;
        refuse(!connect_by.is_empty(), "CONNECT BY", span)?;
        refuse(
            !cluster_by.is_empty() || !distribute_by.is_empty() || !sort_by.is_empty(),
            "CLUSTER BY and its kin",
            span,
        )?;
        if qualify.is_some() {
            return Err(QueryError::unsupported("QUALIFY").at(span).hint("filter in an outer query"));
        }
        refuse(value_table_mode.is_some(), "SELECT AS STRUCT and AS VALUE", span)?;
        if flavor != sql::SelectFlavor::Standard {
            return Err(QueryError::syntax("a query begins with SELECT, VALUES, TABLE or WITH", span));
        }
        let distinct = match distinct {
            None | Some(sql::Distinct::All) => Distinct::No,
            Some(sql::Distinct::Distinct) => Distinct::Yes,
            Some(sql::Distinct::On(on)) => Distinct::On(self.exprs(on)?),
        };
        let items = self.select_items(projection)?;
        let from = self.sources(from)?;
        let filter = self.optional(selection)?;
        let group_by = self.group_by(group_by, span)?;
        let having = self.optional(having)?;
        let windows = named_window.into_iter().map(|w| self.named_window(w)).collect::<Result<_>>()?;
        let end = filter.as_ref().map_or(Span::default(), |f| f.span);
        let end = group_by.iter().fold(end, |end, element| end.to(element.span()));
        Ok(Select {
            distinct,
            projection: Projection::Items(items),
            from,
            filter,
            group_by,
            having,
            windows,
            span: span.to(end),
        })
    }

    pub(super) fn select_items(&mut self, items: Vec<sql::SelectItem>) -> Result<Vec<SelectItem>> {
        items.into_iter().map(|i| self.select_item(i)).collect()
    }

    fn select_item(&mut self, item: sql::SelectItem) -> Result<SelectItem> {
        match item {
            sql::SelectItem::UnnamedExpr(e) => Ok(SelectItem::Expr { expr: self.expr(e)?, alias: None }),
            sql::SelectItem::ExprWithAlias { expr, alias } => {
                no_string(&alias)?;
                Ok(SelectItem::Expr { expr: self.expr(expr)?, alias: Some(name(alias)) })
            }
            sql::SelectItem::Wildcard(options) => {
                let span = tokens::span(options.wildcard_token.0.span);
                wildcard_options(options, span)?;
                Ok(SelectItem::Wildcard(span))
            }
            sql::SelectItem::QualifiedWildcard(kind, options) => {
                let span = tokens::span(options.wildcard_token.0.span);
                wildcard_options(options, span)?;
                Ok(SelectItem::QualifiedWildcard(match kind {
                    sql::SelectItemQualifiedWildcardKind::ObjectName(object) => path_of_object(object)?,
                    sql::SelectItemQualifiedWildcardKind::Expr(e) => self.expr(e)?,
                }))
            }
            sql::SelectItem::ExprWithAliases { expr, .. } => {
                let expr = self.expr(expr)?;
                Err(QueryError::unsupported("several aliases of one expression").at(expr.span))
            }
        }
    }

    fn named_window(&mut self, window: sql::NamedWindowDefinition) -> Result<(Name, crate::ast::WindowSpec)> {
        let sql::NamedWindowDefinition(ident, definition) = window;
        let spec = match definition {
            sql::NamedWindowExpr::WindowSpec(spec) => self.window_spec(spec)?,
            sql::NamedWindowExpr::NamedWindow(base) => {
                return Err(QueryError::syntax("a window is defined in parentheses", tokens::span(base.span)));
            }
        };
        Ok((name(ident), spec))
    }

    // ---- FROM -----------------------------------------------------------------------------------------------------

    pub(super) fn sources(&mut self, tables: Vec<sql::TableWithJoins>) -> Result<Vec<From>> {
        tables.into_iter().map(|t| self.joined(t)).collect()
    }

    pub(super) fn joined(&mut self, table: sql::TableWithJoins) -> Result<From> {
        self.deeper(|c| {
            let outer = mem::replace(&mut c.deepest, c.depth);
            let sql::TableWithJoins { relation, joins } = table;
            let mut left = c.source(relation)?;
            for join in joins {
                c.wrapped(1)?;
                left = c.join(left, join)?;
            }
            c.deepest = c.deepest.max(outer);
            Ok(left)
        })
    }

    fn join(&mut self, left: From, join: sql::Join) -> Result<From> {
        use sql::JoinOperator as J;
        let sql::Join { relation, global, join_operator } = join;
        let place = tokens::span(relation.span());
        refuse(global, "GLOBAL JOIN", place)?;
        let (kind, constraint) = match join_operator {
            J::Join(c) | J::Inner(c) => (JoinKind::Inner, c),
            J::Left(c) | J::LeftOuter(c) => (JoinKind::Left, c),
            J::Right(c) | J::RightOuter(c) => (JoinKind::Right, c),
            J::FullOuter(c) => (JoinKind::Full, c),
            J::CrossJoin(c) => (JoinKind::Cross, c),
            _ => return Err(QueryError::unsupported("this kind of join").at(place)),
        };
        let right = self.source(relation)?;
        let on = match constraint {
            sql::JoinConstraint::On(e) => JoinOn::On(Box::new(self.expr(e)?)),
            sql::JoinConstraint::Using(columns) => {
                JoinOn::Using(columns.into_iter().map(|c| plain_name(c, "a column")).collect::<Result<_>>()?)
            }
            sql::JoinConstraint::Natural => JoinOn::Natural,
            sql::JoinConstraint::None if kind == JoinKind::Cross => JoinOn::None,
            sql::JoinConstraint::None => {
                return Err(QueryError::syntax("a join needs ON or USING", place).hint("CROSS JOIN needs neither"));
            }
        };
        if kind == JoinKind::Cross && on != JoinOn::None {
            return Err(QueryError::syntax("CROSS JOIN has no condition", place));
        }
        Ok(From::Join { kind, left: Box::new(left), right: Box::new(right), on })
    }

    fn source(&mut self, factor: sql::TableFactor) -> Result<From> {
        use sql::TableFactor as F;
        match factor {
            table @ F::Table { .. } => self.table(table),
            F::Derived { lateral, subquery, alias, sample } => {
                let query = Box::new(self.query(*subquery)?);
                refuse(sample.is_some(), "TABLESAMPLE", query.span)?;
                Ok(From::Subquery { query, lateral, alias: self.alias(alias)? })
            }
            F::Function { lateral, name, args, with_ordinality, alias } => {
                let name = table_name(name)?;
                self.notes_setval(&name);
                let arguments = self.plain_arguments(args, name.name.span)?;
                Ok(From::Function { name, arguments, lateral, with_ordinality, alias: self.alias(alias)? })
            }
            F::UNNEST { alias, array_exprs, with_offset, with_offset_alias, with_ordinality } => {
                let arguments = self.exprs(array_exprs)?;
                let span = span_over(&arguments);
                refuse(with_offset || with_offset_alias.is_some(), "WITH OFFSET", span)?;
                let name = TableName::plain(Name::folded("unnest", span));
                Ok(From::Function { name, arguments, lateral: true, with_ordinality, alias: self.alias(alias)? })
            }
            F::NestedJoin { table_with_joins, alias } => {
                let inner = self.joined(*table_with_joins)?;
                if let Some(alias) = alias {
                    return Err(QueryError::unsupported("an alias of a join in parentheses")
                        .at(tokens::span(alias.name.span))
                        .hint("write (SELECT … FROM a JOIN b …) AS alias"));
                }
                Ok(inner)
            }
            other => {
                let span = tokens::span(other.span());
                Err(QueryError::unsupported("this form of a table in FROM").at(span))
            }
        }
    }

    fn table(&mut self, factor: sql::TableFactor) -> Result<From> {
        let sql::TableFactor::Table {
            name,
            alias,
            args,
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        } = factor
        else {
            return Err(QueryError::internal("not a table"));
        };
        let parts = names(name.clone())?;
        let span = parts.iter().fold(Span::default(), |s, n| s.to(n.span));
        refuse(sample.is_some(), "TABLESAMPLE", span)?;
        refuse(!with_hints.is_empty() || !index_hints.is_empty(), "a hint after a table", span)?;
        refuse(!partitions.is_empty() || json_path.is_some(), "PARTITION after a table", span)?;
        let as_of = version.map(|v| self.version(v, span)).transpose()?;
        let alias = self.alias(alias)?;
        if let Some(sql::TableFunctionArgs { args, settings }) = args {
            refuse(settings.is_some(), "SETTINGS in a function call", span)?;
            refuse(as_of.is_some(), "AS OF after a function", span)?;
            let arguments = self.plain_arguments(args, span)?;
            let name = table_name(name)?;
            self.notes_setval(&name);
            return Ok(From::Function { name, arguments, lateral: true, with_ordinality, alias });
        }
        refuse(with_ordinality, "WITH ORDINALITY after a table", span)?;
        Ok(From::Path { path: path_of_object(name)?, as_of, alias })
    }

    fn version(&mut self, version: sql::TableVersion, span: Span) -> Result<AsOf> {
        match version {
            sql::TableVersion::TimestampAsOf(e) => Ok(AsOf::Timestamp(self.expr(e)?)),
            sql::TableVersion::ForSystemTimeAsOf(e) => Ok(AsOf::Block(self.expr(e)?)),
            _ => Err(QueryError::unsupported("this version of a table")
                .at(span)
                .hint("AS OF TIMESTAMP … and AS OF BLOCK … are supported")),
        }
    }

    /// Arguments of a function in FROM: expressions only.
    fn plain_arguments(&mut self, args: Vec<sql::FunctionArg>, span: Span) -> Result<Vec<crate::ast::Expr>> {
        args.into_iter()
            .map(|argument| match argument {
                sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Expr(e)) => self.expr(e),
                other => Err(QueryError::unsupported(format!("the argument {other}")).at(span)),
            })
            .collect()
    }

    pub(super) fn alias(&mut self, alias: Option<sql::TableAlias>) -> Result<Alias> {
        let Some(sql::TableAlias { explicit: _, name: ident, columns, at }) = alias else {
            return Ok(Alias::default());
        };
        no_string(&ident)?;
        let table = name(ident);
        let columns = columns
            .into_iter()
            .map(|column| {
                let column_name = name(column.name);
                refuse(column.data_type.is_some(), "a list of column definitions after a function", column_name.span)?;
                Ok(column_name)
            })
            .collect::<Result<_>>()?;
        Ok(Alias { name: Some(table), columns, at: at.map(name), by: None })
    }
}

/// sqlparser takes a string for an alias, so that two strings in a row would lose one.
fn no_string(alias: &sql::Ident) -> Result<()> {
    match alias.quote_style {
        Some('\'') => {
            let message = format!("syntax error at or near \"'{}'\"", alias.value.replace('\'', "''"));
            Err(QueryError::syntax(message, tokens::span(alias.span)))
        }
        _ => Ok(()),
    }
}

fn wildcard_options(options: sql::WildcardAdditionalOptions, span: Span) -> Result<()> {
    let sql::WildcardAdditionalOptions {
        wildcard_token: _,
        opt_ilike,
        opt_exclude,
        opt_except,
        opt_replace,
        opt_rename,
        opt_alias,
    } = options;
    let any = opt_ilike.is_some()
        || opt_exclude.is_some()
        || opt_except.is_some()
        || opt_replace.is_some()
        || opt_rename.is_some();
    refuse(any, "a modifier after *", span)?;
    refuse(opt_alias.is_some(), "an alias of *", span)
}

/// `TABLE t` is `SELECT * FROM t`.
fn whole_table(table: TableName) -> Select {
    let path = match table.schema {
        None => name_expr(table.name),
        Some(schema) => {
            let steps = vec![crate::ast::PathStep::Field(table.name)];
            crate::ast::Expr { span: schema.span, kind: ExprKind::Path { base: Box::new(name_expr(schema)), steps } }
        }
    };
    let all = Projection::Items(vec![SelectItem::Wildcard(Span::default())]);
    let from = vec![From::Path { path, as_of: None, alias: Alias::default() }];
    Select { from, ..Select::of(all, Span::default()) }
}

/// FOR UPDATE and its kin name rows of tables, so the result's rows must be such.
fn locked_rows(body: &sql::SetExpr) -> Result<()> {
    let refused = |what: &str| {
        let message = format!("FOR UPDATE and its kin are not allowed with {what}");
        Err(QueryError::new(SqlState::FEATURE_NOT_SUPPORTED, message).hint("lock the rows in a query of their own"))
    };
    match body {
        sql::SetExpr::Select(select) if select.distinct.is_some() => refused("DISTINCT"),
        sql::SetExpr::Select(select) if select.having.is_some() => refused("HAVING"),
        sql::SetExpr::Select(select) => match &select.group_by {
            sql::GroupByExpr::Expressions(exprs, _) if exprs.is_empty() => Ok(()),
            _ => refused("GROUP BY"),
        },
        sql::SetExpr::SetOperation { .. } => refused("UNION, INTERSECT and EXCEPT"),
        sql::SetExpr::Values(_) => refused("VALUES"),
        _ => Ok(()),
    }
}

fn empty_body() -> sql::SetExpr {
    sql::SetExpr::Values(sql::Values { explicit_row: false, value_keyword: false, rows: Vec::new() })
}
