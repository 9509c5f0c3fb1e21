//! INSERT, UPDATE and DELETE.

use sqlparser::ast as sql;

use super::expr::path_of_object;
use super::{Converter, name, plain_name, refuse, table_name, tokens};
use crate::ast::{
    Assignment, Change, Delete, Distinct, Expr, ExprKind, From, Insert, InsertSource, OnConflict, Projection, Query,
    Select, SelectItem, SetExpr, Span, Update,
};
use crate::error::{QueryError, Result};

impl Converter {
    pub(super) fn insert(&mut self, insert: sql::Insert) -> Result<Insert> {
        let sql::Insert {
            insert_token,
            optimizer_hints,
            or,
            ignore,
            into,
            table,
            table_alias,
            columns,
            overwrite,
            source,
            assignments,
            partitioned,
            after_columns,
            has_table_keyword,
            on,
            returning,
            output,
            replace_into,
            priority,
            insert_alias,
            settings,
            format_clause,
            multi_table_insert_type,
            multi_table_into_clauses,
            multi_table_when_clauses,
            multi_table_else_clause,
        } = insert;
        let span = tokens::span(insert_token.0.span);
        if !into {
            return Err(QueryError::syntax("expected INTO after INSERT", span));
        }
        let foreign = !optimizer_hints.is_empty()
            || or.is_some()
            || ignore
            || overwrite
            || partitioned.is_some()
            || !after_columns.is_empty()
            || has_table_keyword
            || output.is_some()
            || replace_into
            || priority.is_some()
            || insert_alias.is_some()
            || settings.is_some()
            || format_clause.is_some()
            || multi_table_insert_type.is_some()
            || !multi_table_into_clauses.is_empty()
            || !multi_table_when_clauses.is_empty()
            || multi_table_else_clause.is_some()
            || !assignments.is_empty();
        refuse(foreign, "this form of INSERT", span)?;
        let sql::TableObject::TableName(table) = table else {
            return Err(QueryError::unsupported("INSERT into anything but a table").at(span));
        };
        let source = match source {
            None => InsertSource::DefaultValues,
            Some(query) => InsertSource::Query(Box::new(self.query(*query)?)),
        };
        Ok(Insert {
            with: Vec::new(),
            recursive: false,
            table: table_name(table)?,
            alias: table_alias.map(|a| name(a.alias)),
            columns: columns.into_iter().map(|c| plain_name(c, "a column")).collect::<Result<_>>()?,
            overriding: self.overridings.iter().find(|(place, _)| *place == span).map(|(_, overriding)| *overriding),
            source,
            on_conflict: on.map(|on| self.on_conflict(on, span)).transpose()?,
            returning: self.returning(returning)?,
        })
    }

    fn returning(&mut self, items: Option<Vec<sql::SelectItem>>) -> Result<Vec<SelectItem>> {
        self.select_items(items.unwrap_or_default())
    }

    fn on_conflict(&mut self, on: sql::OnInsert, span: Span) -> Result<OnConflict> {
        let sql::OnInsert::OnConflict(sql::OnConflict { conflict_target, action }) = on else {
            return Err(QueryError::unsupported("ON DUPLICATE KEY UPDATE")
                .at(span)
                .hint("use ON CONFLICT (column) DO UPDATE SET …"));
        };
        let (target, constraint) = match conflict_target {
            None => (Vec::new(), None),
            Some(sql::ConflictTarget::Columns(columns)) => (columns.into_iter().map(name).collect(), None),
            Some(sql::ConflictTarget::OnConstraint(constraint)) => {
                (Vec::new(), Some(plain_name(constraint, "a constraint")?))
            }
        };
        let update = match action {
            sql::OnConflictAction::DoNothing => None,
            sql::OnConflictAction::DoUpdate(sql::DoUpdate { assignments, selection }) => {
                if target.is_empty() && constraint.is_none() {
                    return Err(QueryError::syntax("ON CONFLICT DO UPDATE must name a column or a constraint", span)
                        .hint("for example ON CONFLICT (id) DO UPDATE SET …"));
                }
                Some((self.assignments(assignments)?, self.optional(selection)?))
            }
        };
        Ok(OnConflict { target, constraint, update })
    }

    pub(super) fn assignments(&mut self, assignments: Vec<sql::Assignment>) -> Result<Vec<Assignment>> {
        let mut all = Vec::with_capacity(assignments.len());
        for sql::Assignment { target, value } in assignments {
            match target {
                sql::AssignmentTarget::ColumnName(column) => {
                    all.push(Assignment { target: path_of_object(column)?, value: self.expr(value)? });
                }
                sql::AssignmentTarget::Tuple(columns) => {
                    let value = self.expr(value)?;
                    let span = value.span;
                    let values = match value.kind {
                        ExprKind::Row(values) if values.len() == columns.len() => values,
                        ExprKind::Row(values) => {
                            let message = format!("{} values for {} columns", values.len(), columns.len());
                            return Err(QueryError::syntax(message, span));
                        }
                        // One subquery for each column, of one row like all of them.
                        ExprKind::Subquery(query) if let Some(queries) = one_by_one(&query, columns.len()) => queries
                            .into_iter()
                            .map(|query| Expr { kind: ExprKind::Subquery(Box::new(query)), span })
                            .collect(),
                        ExprKind::Function(call)
                            if &*call.name.name.text == "row" && call.arguments.len() == columns.len() =>
                        {
                            call.arguments
                        }
                        _ => {
                            return Err(QueryError::unsupported("this as the value of several columns")
                                .at(span)
                                .hint("set each column with its own subquery"));
                        }
                    };
                    for (column, value) in columns.into_iter().zip(values) {
                        all.push(Assignment { target: path_of_object(column)?, value });
                    }
                }
            }
        }
        Ok(all)
    }

    pub(super) fn update(&mut self, update: sql::Update) -> Result<Update> {
        let sql::Update {
            update_token,
            optimizer_hints,
            table,
            assignments,
            from,
            selection,
            returning,
            output,
            or,
            order_by,
            limit,
        } = update;
        let span = tokens::span(update_token.0.span);
        let foreign = !optimizer_hints.is_empty() || output.is_some() || or.is_some();
        refuse(foreign, "this form of UPDATE", span)?;
        refuse(!order_by.is_empty() || limit.is_some(), "ORDER BY and LIMIT in UPDATE", span)?;
        let mut sources = vec![self.changed(table, span)?];
        match from {
            None => {}
            Some(sql::UpdateTableFromKind::AfterSet(tables)) => sources.extend(self.sources(tables)?),
            Some(sql::UpdateTableFromKind::BeforeSet(_)) => {
                return Err(QueryError::unsupported("FROM before SET").at(span).hint("FROM comes after SET"));
            }
        }
        let changes = self.assignments(assignments)?.into_iter().map(Change::Set).collect();
        let (filter, returning) = (self.optional(selection)?, self.returning(returning)?);
        Ok(Update { with: Vec::new(), recursive: false, from: sources, changes, filter, returning })
    }

    /// The table that changes: one table, without joins.
    pub(super) fn changed(&mut self, table: sql::TableWithJoins, span: Span) -> Result<From> {
        match self.joined(table)? {
            From::Path { as_of: Some(_), .. } => {
                Err(QueryError::syntax("the past does not change: AS OF has no place here", span))
            }
            table @ From::Path { .. } => Ok(table),
            _ => Err(QueryError::unsupported("a change of anything but one table")
                .at(span)
                .hint("name the other tables in FROM (UPDATE) or USING (DELETE)")),
        }
    }

    pub(super) fn delete(&mut self, delete: sql::Delete) -> Result<Delete> {
        let sql::Delete {
            delete_token,
            optimizer_hints,
            tables,
            from,
            using,
            selection,
            returning,
            output,
            order_by,
            limit,
        } = delete;
        let span = tokens::span(delete_token.0.span);
        let foreign = !optimizer_hints.is_empty() || !tables.is_empty() || output.is_some();
        refuse(foreign, "this form of DELETE", span)?;
        refuse(!order_by.is_empty() || limit.is_some(), "ORDER BY and LIMIT in DELETE", span)?;
        let sql::FromTable::WithFromKeyword(from) = from else {
            return Err(QueryError::syntax("expected FROM after DELETE", span));
        };
        let mut from = from.into_iter();
        let (Some(table), None) = (from.next(), from.next()) else {
            return Err(QueryError::syntax("DELETE FROM takes one table", span).hint("name the others in USING"));
        };
        let mut sources = vec![self.changed(table, span)?];
        sources.extend(self.sources(using.unwrap_or_default())?);
        let (filter, returning) = (self.optional(selection)?, self.returning(returning)?);
        Ok(Delete { with: Vec::new(), recursive: false, from: sources, filter, returning })
    }
}

/// A subquery of several columns as one for each column; `None` if it is not of so many plain expressions.
fn one_by_one(query: &Query, columns: usize) -> Option<Vec<Query>> {
    let SetExpr::Select(select) = &query.body else { return None };
    let Projection::Items(items) = &select.projection else { return None };
    if items.len() != columns || select.distinct != Distinct::No {
        return None;
    }
    items
        .iter()
        .map(|item| {
            let SelectItem::Expr { .. } = item else { return None };
            let select = Select { projection: Projection::Items(vec![item.clone()]), ..(**select).clone() };
            Some(Query { body: SetExpr::Select(Box::new(select)), ..query.clone() })
        })
        .collect()
}
