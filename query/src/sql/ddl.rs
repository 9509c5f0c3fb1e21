//! CREATE TABLE, CREATE INDEX, ALTER TABLE and DROP.

use std::mem;
use std::sync::Arc;

use ledgerstone_digest::ion::Value;
use sqlparser::ast as sql;
use sqlparser::ast::helpers::stmt_create_table::CreateTableBuilder;

use super::expr::check_collation;
use super::identity::{IdentityChange, counts_from, identity_of};
use super::{Converter, made_as, name, plain_name, refuse, table_name, tokens};
use crate::ast::{
    AlterTable, AsQuery, ColumnDefinition, CreateIndex, CreateTable, Expr, ExprKind, Identity, Like, Name, PathStep,
    Span, Statement, TableConstraint,
};
use crate::error::{QueryError, Result};

impl Converter {
    pub(super) fn create_table(&mut self, mut create: sql::CreateTable) -> Result<Statement> {
        let object = create.name.clone();
        let table = table_name(object.clone())?;
        let span = table.name.span;
        let columns = mem::take(&mut create.columns);
        let constraints = mem::take(&mut create.constraints);
        let query = create.query.take();
        let if_not_exists = mem::take(&mut create.if_not_exists);
        let options = match mem::replace(&mut create.table_options, sql::CreateTableOptions::None) {
            sql::CreateTableOptions::None => Vec::new(),
            sql::CreateTableOptions::With(options) => self.table_options(options, span)?,
            _ => return Err(QueryError::unsupported("this kind of table options").at(span).hint("use WITH (…)")),
        };
        if create.temporary {
            return Err(QueryError::unsupported("a temporary table").at(span).hint("use WITH in the query"));
        }
        // Everything else a table can be said to be, in any dialect, is not supported: what is left must be nothing.
        if create != CreateTableBuilder::new(object).build() {
            return Err(QueryError::unsupported("this form of CREATE TABLE")
                .at(span)
                .detail(format!("beyond columns and constraints: {create}"))
                .hint("columns, PRIMARY KEY, UNIQUE, CHECK, NOT NULL, DEFAULT and WITH (…) are supported"));
        }
        let mut created = CreateTable {
            name: table,
            if_not_exists,
            columns: Vec::with_capacity(columns.len()),
            likes: Vec::new(),
            constraints: Vec::new(),
            options,
            as_query: query.map(|q| self.as_query(*q).map(Box::new)).transpose()?,
        };
        for column in columns {
            let place = tokens::span(column.name.span);
            match self.likes.iter().find(|(like, _)| *like == place) {
                Some((_, like)) => created.likes.push(Like { at: created.columns.len(), ..like.clone() }),
                None => created.columns.push(self.column(column)?),
            }
        }
        let own = created.likes.first().map(|like| like.table.name.span);
        let own = own.or_else(|| created.columns.first().map(|column| column.ty.span));
        if let (Some(_), Some(own)) = (&created.as_query, own.or((!constraints.is_empty()).then_some(span))) {
            return Err(QueryError::syntax("CREATE TABLE AS has the columns of its query", own)
                .hint("They can be given names, and no types: CREATE TABLE t (a, b) AS SELECT …"));
        }
        for constraint in constraints {
            created.constraints.push(self.constraint(constraint)?);
        }
        Ok(Statement::CreateTable(Box::new(created)))
    }

    fn as_query(&mut self, query: sql::Query) -> Result<AsQuery> {
        let made_as::MadeAs { columns, no_data } = mem::take(&mut self.made_as);
        Ok(AsQuery { query: self.whole_query(query)?, columns, no_data })
    }

    fn table_options(&mut self, options: Vec<sql::SqlOption>, span: Span) -> Result<Vec<(Arc<str>, Value)>> {
        options
            .into_iter()
            .map(|option| match option {
                sql::SqlOption::KeyValue { key, value } => {
                    let value = self.expr(value)?;
                    let literal = match value.kind {
                        ExprKind::Literal(literal) => literal,
                        ExprKind::Name(word) => Value::string(word.text),
                        _ => return Err(QueryError::syntax("the value of an option must be a literal", value.span)),
                    };
                    Ok((key.value.to_ascii_lowercase().into(), literal))
                }
                sql::SqlOption::Ident(ident) => Ok((ident.value.to_ascii_lowercase().into(), Value::Bool(true))),
                _ => Err(QueryError::unsupported("this kind of table option").at(span)),
            })
            .collect()
    }

    pub(super) fn column(&mut self, column: sql::ColumnDef) -> Result<ColumnDefinition> {
        let sql::ColumnDef { name: ident, data_type, options } = column;
        let column_name = name(ident);
        let span = column_name.span;
        if data_type == sql::DataType::Unspecified {
            return Err(QueryError::syntax(format!("the column \"{}\" needs a type", column_name.written), span));
        }
        let ty = self.type_name(data_type, span)?;
        let serial = matches!(&*ty.name, "serial" | "bigserial" | "smallserial" | "serial2" | "serial4" | "serial8");
        let mut definition = ColumnDefinition {
            name: column_name,
            ty,
            not_null: serial,
            primary_key: false,
            unique: false,
            default: None,
            default_text: None,
            primary_key_name: None,
            unique_name: None,
            checks: Vec::new(),
            identity: serial.then_some(Identity::ByDefault),
            counts_from: None,
        };
        for option in options {
            self.column_option(option, &mut definition)?;
        }
        if definition.identity.is_some() && definition.default.is_some() {
            return Err(QueryError::syntax("a column is either an identity or has a default", span));
        }
        Ok(definition)
    }

    fn column_option(&mut self, option: sql::ColumnOptionDef, column: &mut ColumnDefinition) -> Result<()> {
        use sql::ColumnOption as O;
        let span = column.name.span;
        let label = option.name.map(name);
        match option.option {
            O::Null => {}
            O::NotNull => column.not_null = true,
            O::Default(expr) => {
                column.default_text = Some(expr.to_string().into());
                column.default = Some(self.expr(expr)?);
            }
            O::PrimaryKey(key) => {
                plain_key(key.index_type.is_some(), &key.index_options, key.characteristics.as_ref(), span)?;
                column.primary_key = true;
                column.primary_key_name = label;
            }
            O::Unique(key) => {
                plain_key(key.index_type.is_some(), &key.index_options, key.characteristics.as_ref(), span)?;
                refuse(key.nulls_distinct == sql::NullsDistinctOption::NotDistinct, "NULLS NOT DISTINCT", span)?;
                column.unique = true;
                column.unique_name = label;
            }
            O::Check(sql::CheckConstraint { name: _, expr, enforced }) => {
                refuse(enforced.is_some(), "[NOT] ENFORCED", span)?;
                let text = expr.to_string().into();
                column.checks.push((self.expr(*expr)?, text, label));
            }
            O::Generated {
                generated_as,
                sequence_options,
                generation_expr,
                generation_expr_mode,
                generated_keyword: _,
            } => {
                let computed = generation_expr.is_some()
                    || generation_expr_mode.is_some()
                    || generated_as == sql::GeneratedAs::ExpStored;
                refuse(computed, "a generated column", span)?;
                column.counts_from = counts_from(&sequence_options.unwrap_or_default());
                if column.identity.is_some() {
                    let message = format!("multiple identity specifications for column \"{}\"", column.name.text);
                    return Err(QueryError::syntax(message, span));
                }
                column.identity = Some(identity_of(generated_as));
                column.not_null = true;
            }
            O::Collation(collation) => check_collation(collation, span)?,
            O::ForeignKey(_) => return Err(foreign_key(span)),
            other => return Err(QueryError::unsupported(format!("the column option {other}")).at(span)),
        }
        Ok(())
    }

    fn constraint(&mut self, constraint: sql::TableConstraint) -> Result<TableConstraint> {
        match constraint {
            sql::TableConstraint::PrimaryKey(key) => {
                let sql::PrimaryKeyConstraint {
                    name: label,
                    index_name,
                    index_type,
                    columns,
                    index_options,
                    characteristics,
                } = key;
                let label = label.map(name);
                let columns = self.key_columns(columns)?;
                let span = columns.first().map_or(Span::default(), |c| c.span);
                plain_key(
                    index_type.is_some() || index_name.is_some(),
                    &index_options,
                    characteristics.as_ref(),
                    span,
                )?;
                Ok(TableConstraint::PrimaryKey { name: label, columns })
            }
            sql::TableConstraint::Unique(key) => {
                let sql::UniqueConstraint {
                    name: label,
                    index_name,
                    index_type_display: _,
                    index_type,
                    columns,
                    index_options,
                    characteristics,
                    nulls_distinct,
                } = key;
                let label = label.map(name);
                let columns = self.key_columns(columns)?;
                let span = columns.first().map_or(Span::default(), |c| c.span);
                plain_key(
                    index_type.is_some() || index_name.is_some(),
                    &index_options,
                    characteristics.as_ref(),
                    span,
                )?;
                refuse(nulls_distinct == sql::NullsDistinctOption::NotDistinct, "NULLS NOT DISTINCT", span)?;
                Ok(TableConstraint::Unique { name: label, columns })
            }
            sql::TableConstraint::Check(sql::CheckConstraint { name: label, expr, enforced }) => {
                let text = expr.to_string().into();
                let expr = self.expr(*expr)?;
                refuse(enforced.is_some(), "[NOT] ENFORCED", expr.span)?;
                Ok(TableConstraint::Check { name: label.map(name), expr, text })
            }
            sql::TableConstraint::ForeignKey(key) => {
                Err(foreign_key(key.columns.first().map_or(Span::default(), |c| tokens::span(c.span))))
            }
            other => Err(QueryError::unsupported(format!("the constraint {other}"))),
        }
    }

    fn key_columns(&mut self, columns: Vec<sql::IndexColumn>) -> Result<Vec<Name>> {
        columns
            .into_iter()
            .map(|column| {
                let expr = self.index_column(column)?;
                match expr.kind {
                    ExprKind::Name(name) => Ok(name),
                    _ => Err(QueryError::syntax("a key is made of columns", expr.span)),
                }
            })
            .collect()
    }

    /// A column or a path; an index is read in both directions, so its own order does not matter.
    fn index_column(&mut self, column: sql::IndexColumn) -> Result<Expr> {
        let sql::IndexColumn { column: sql::OrderByExpr { expr, options, with_fill }, operator_class } = column;
        let expr = self.expr(expr)?;
        let span = expr.span;
        refuse(operator_class.is_some(), "an operator class", span)?;
        refuse(with_fill.is_some() || options.nulls_first.is_some(), "NULLS FIRST and NULLS LAST in an index", span)?;
        refuse(options.asc == Some(false), "DESC in an index", span)?;
        let path = match &expr.kind {
            ExprKind::Name(_) => true,
            ExprKind::Path { base, steps } => {
                matches!(base.kind, ExprKind::Name(_)) && steps.iter().all(|s| matches!(s, PathStep::Field(_)))
            }
            _ => false,
        };
        if path {
            return Ok(expr);
        }
        Err(QueryError::unsupported("an index on an expression")
            .at(span)
            .hint("index a column or a path of fields, as owner.PrimaryOwner.PersonId"))
    }

    pub(super) fn create_index(&mut self, create: sql::CreateIndex) -> Result<Statement> {
        let sql::CreateIndex {
            name: label,
            table_name: table,
            using,
            columns,
            unique,
            // Indexes are always built while the table is in use.
            concurrently: _,
            if_not_exists,
            include,
            nulls_distinct,
            with,
            predicate,
            index_options,
            alter_options,
        } = create;
        let table = table_name(table)?;
        let span = table.name.span;
        if using.is_some_and(|u| u != sql::IndexType::BTree) {
            return Err(QueryError::unsupported("an index of another kind than btree").at(span));
        }
        refuse(!include.is_empty(), "INCLUDE", span)?;
        refuse(nulls_distinct == Some(false), "NULLS NOT DISTINCT", span)?;
        refuse(
            !with.iter().all(is_of_storage) || !index_options.is_empty() || !alter_options.is_empty(),
            "an option of an index",
            span,
        )?;
        refuse(predicate.is_some(), "a partial index", span)?;
        let columns = columns.into_iter().map(|c| self.index_column(c)).collect::<Result<_>>()?;
        let name = label.map(|n| plain_name(n, "the name of an index")).transpose()?;
        Ok(Statement::CreateIndex(Box::new(CreateIndex { name, table, columns, unique, if_not_exists })))
    }

    pub(super) fn alter_table(&mut self, alter: sql::AlterTable) -> Result<Statement> {
        // ONLY leaves out children, which no table has.
        let sql::AlterTable {
            name: table,
            if_exists,
            only: _,
            operations,
            location,
            on_cluster,
            table_type,
            end_token: _,
        } = alter;
        let table = table_name(table)?;
        let span = table.name.span;
        refuse(location.is_some() || on_cluster.is_some() || table_type.is_some(), "this form of ALTER TABLE", span)?;
        let actions = operations.into_iter().map(|operation| self.alter_action(operation, span));
        let mut actions = actions.collect::<Result<Vec<_>>>()?;
        let action = match (actions.pop(), actions.is_empty()) {
            (Some(only), true) => only,
            (Some(last), false) => {
                actions.push(last);
                AlterTable::Several(actions)
            }
            (None, _) => return Err(QueryError::syntax("ALTER TABLE says nothing to change", span)),
        };
        Ok(Statement::AlterTable { table, if_exists, action: Box::new(action) })
    }

    fn alter_action(&mut self, operation: sql::AlterTableOperation, span: Span) -> Result<AlterTable> {
        use sql::AlterTableOperation as A;
        Ok(match operation {
            A::AddConstraint { constraint, not_valid } => {
                refuse(not_valid, "NOT VALID", span)?;
                AlterTable::AddConstraint(self.constraint(constraint)?)
            }
            A::AddColumn { column_keyword: _, if_not_exists, column_def, column_position } => {
                refuse(column_position.is_some(), "a position for a new column", span)?;
                AlterTable::AddColumn { column: self.column(column_def)?, if_not_exists }
            }
            A::DropColumn { has_column_keyword: _, column_names, if_exists, drop_behavior } => {
                refuse(drop_behavior == Some(sql::DropBehavior::Cascade), "CASCADE in DROP COLUMN", span)?;
                let mut columns = column_names.into_iter();
                let (Some(column), None) = (columns.next(), columns.next()) else {
                    return Err(QueryError::unsupported("several columns in one DROP COLUMN").at(span));
                };
                AlterTable::DropColumn { name: name(column), if_exists }
            }
            A::DropConstraint { if_exists, name: label, drop_behavior } => {
                refuse(drop_behavior == Some(sql::DropBehavior::Cascade), "CASCADE in DROP CONSTRAINT", span)?;
                AlterTable::DropConstraint { name: name(label), if_exists }
            }
            A::RenameColumn { old_column_name, new_column_name } => {
                AlterTable::RenameColumn { from: name(old_column_name), to: name(new_column_name) }
            }
            A::RenameTable { table_name: sql::RenameTableNameKind::To(to) } => {
                AlterTable::RenameTo(plain_name(to, "the new name")?)
            }
            A::AlterColumn { column_name, op } => self.alter_column(name(column_name), op)?,
            other => return Err(QueryError::unsupported(format!("ALTER TABLE … {other}")).at(span)),
        })
    }

    fn alter_column(&mut self, column: Name, op: sql::AlterColumnOperation) -> Result<AlterTable> {
        use sql::AlterColumnOperation as A;
        let mut sequence = None;
        match self.identities.iter().find(|(place, _)| *place == column.span).map(|(_, change)| change) {
            Some(IdentityChange::Set { identity, counts_from }) => {
                let (identity, counts_from) = (*identity, *counts_from);
                return Ok(AlterTable::SetGenerated { name: column, identity, counts_from });
            }
            Some(IdentityChange::Drop { if_exists }) => {
                return Ok(AlterTable::DropIdentity { name: column, if_exists: *if_exists });
            }
            Some(IdentityChange::Named(name)) => sequence = Some(name.clone()),
            None => {}
        }
        Ok(match op {
            A::SetNotNull => AlterTable::SetNotNull(column),
            A::DropNotNull => AlterTable::DropNotNull(column),
            A::DropDefault => AlterTable::DropDefault(column),
            A::SetDefault { value } => {
                let text = value.to_string().into();
                AlterTable::SetDefault { name: column, default: self.expr(value)?, text }
            }
            A::SetDataType { data_type, using, had_set: _ } => {
                let ty = self.type_name(data_type, column.span)?;
                AlterTable::SetType { name: column, ty, using: self.optional(using)? }
            }
            A::AddGenerated { generated_as, sequence_options } => {
                let Some(kind) = generated_as else {
                    return Err(QueryError::syntax("GENERATED needs ALWAYS or BY DEFAULT", column.span));
                };
                let counts_from = counts_from(&sequence_options.unwrap_or_default());
                AlterTable::AddGenerated { name: column, identity: identity_of(kind), counts_from, sequence }
            }
        })
    }

    pub(super) fn drop_statement(&mut self, drop: sql::Statement) -> Result<Statement> {
        // CASCADE has nothing further to drop: indexes go with their table, and there are no views.
        let sql::Statement::Drop { object_type, if_exists, names, cascade: _, restrict: _, purge, temporary, table } =
            drop
        else {
            return Err(QueryError::internal("not a DROP"));
        };
        let names = names.into_iter().map(table_name).collect::<Result<Vec<_>>>()?;
        let span = names.first().map_or(Span::default(), |n| n.name.span);
        refuse(purge || temporary || table.is_some(), "this form of DROP", span)?;
        match object_type {
            sql::ObjectType::Table => Ok(Statement::DropTable { names, if_exists }),
            sql::ObjectType::Index => {
                let names = names.into_iter().map(|n| n.name).collect();
                Ok(Statement::DropIndex { names, on: None, if_exists })
            }
            other => Err(QueryError::unsupported(format!("DROP {other}"))
                .at(span)
                .hint("tables, indexes and databases (ledgers) can be dropped")),
        }
    }
}

/// `fillfactor = 70` and the like: how PostgreSQL lays out the files of an index.
fn is_of_storage(option: &sql::Expr) -> bool {
    let sql::Expr::BinaryOp { left, op: sql::BinaryOperator::Eq, .. } = option else { return false };
    let known = |name: &sql::Ident| ["fillfactor", "deduplicate_items"].contains(&&*name.value.to_ascii_lowercase());
    matches!(&**left, sql::Expr::Identifier(name) if known(name))
}

fn plain_key(
    kind: bool,
    options: &[sql::IndexOption],
    characteristics: Option<&sql::ConstraintCharacteristics>,
    span: Span,
) -> Result<()> {
    refuse(kind || !options.is_empty(), "an option of a key's index", span)?;
    refuse(characteristics.is_some(), "DEFERRABLE and its kin", span)
}

fn foreign_key(span: Span) -> QueryError {
    QueryError::unsupported("a foreign key").at(span).hint(
        "Check the reference in the transaction that writes it: what it has read holds when it commits. Django leaves \
         the constraint out with db_constraint=False, Hibernate with ConstraintMode.NO_CONSTRAINT, Prisma with \
         relationMode = \"prisma\".",
    )
}
