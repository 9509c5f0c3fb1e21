//! COPY … FROM: text fields become typed documents of a table.

use ledgerstone_digest::ion::{Struct, Symbol, Value};

use super::eval::storable;
use crate::bind::{self, PlanContext};
use crate::catalogue::Table;
use crate::error::{QueryError, Result, SqlState};
use crate::session::SessionInfo;
use crate::transaction::Transaction;
use crate::types::SqlType;
use crate::value::text;

use std::sync::Arc;

/// A table made ready to take rows of text fields.
pub struct CopyTarget {
    table: Arc<Table>,
    /// Which declared column each field goes to; for a schemaless table the names of the fields.
    columns: Vec<Field>,
    insert: bind::plan::Plan,
}

/// How a field of a row becomes a value of its type.
type Read<'r, T> = dyn Fn(&T, &SqlType) -> Result<Value> + 'r;

/// An error, and the column it is in.
type Misplaced<'s> = (QueryError, Option<&'s str>);

struct Field {
    name: Arc<str>,
    ty: SqlType,
}

impl CopyTarget {
    /// Resolves the columns (all of them, in order, if none are named).
    pub fn new(table: &Arc<Table>, columns: &[Arc<str>], ctx: &mut PlanContext<'_>) -> Result<CopyTarget> {
        let mut fields: Vec<Field> = Vec::new();
        if !table.is_declared() && columns.is_empty() {
            fields.push(Field { name: Arc::from(""), ty: SqlType::Jsonb });
        } else if columns.is_empty() {
            fields.extend(table.columns.iter().map(|c| Field { name: c.name.clone(), ty: c.ty.clone() }));
        }
        for name in columns {
            let field = match table.column(name) {
                Some(column) => Field { name: column.name.clone(), ty: column.ty.clone() },
                None if !table.is_declared() => Field { name: name.clone(), ty: SqlType::Text },
                None => {
                    return Err(QueryError::new(
                        SqlState::UNDEFINED_COLUMN,
                        format!("column \"{name}\" of relation \"{}\" does not exist", table.name),
                    ));
                }
            };
            if fields.iter().any(|other| other.name == field.name) {
                let text = format!("column \"{name}\" specified more than once");
                return Err(QueryError::new(SqlState::DUPLICATE_COLUMN, text));
            }
            fields.push(field);
        }
        let insert = bind::insert_documents(ctx, table)?;
        // What a default reads that was defined when it still could read other tables.
        ctx.session.permit_plan(&insert)?;
        Ok(CopyTarget { table: table.clone(), columns: fields, insert })
    }

    /// Fields a row has.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Names and types of the fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = (&Arc<str>, &SqlType)> {
        self.columns.iter().map(|f| (&f.name, &f.ty))
    }

    /// Inserts rows that `split` splits into fields; `None` is NULL. `first_line` numbers the first row, for messages.
    pub fn insert<T: Send>(
        &self,
        rows: Vec<T>,
        first_line: u64,
        split: &(dyn Fn(T, u64) -> Result<Vec<Option<String>>> + Sync),
        tx: &mut Transaction,
        session: &SessionInfo,
    ) -> Result<u64> {
        let now = session.transaction_time_ms.saturating_mul(1000);
        let read = |text: &String, ty: &SqlType| text::parse(text, ty, now);
        let make = |row: T, line: u64| self.document(&split(row, line)?, line, &read);
        self.insert_documents(rows, first_line, &make, tx, session)
    }

    /// Inserts rows of values that are of the fields' types.
    pub fn insert_values(
        &self,
        rows: Vec<super::Row>,
        first_line: u64,
        tx: &mut Transaction,
        session: &SessionInfo,
    ) -> Result<u64> {
        let read = |value: &Value, _: &SqlType| Ok(value.clone());
        let make = |row: super::Row, line: u64| self.document(&row, line, &read);
        self.insert_documents(rows, first_line, &make, tx, session)
    }

    fn insert_documents<T: Send>(
        &self,
        rows: Vec<T>,
        first_line: u64,
        make: &(dyn Fn(T, u64) -> Result<Value> + Sync),
        tx: &mut Transaction,
        session: &SessionInfo,
    ) -> Result<u64> {
        if tx.takes_loads(&self.table) {
            let make = |row: T, number: usize| super::dml::as_document(make(row, first_line + number as u64)?);
            return super::dml::load(&self.insert, rows, &make, tx, session);
        }
        let documents: Result<Vec<Value>> =
            rows.into_iter().zip(first_line..).map(|(row, line)| make(row, line)).collect();
        match super::run(&self.insert, tx, &[Some(Value::List(documents?))], session)? {
            super::Outcome::Affected { count, .. } => Ok(count),
            super::Outcome::Rows { .. } => Err(QueryError::internal("COPY answered with rows")),
        }
    }

    fn document<T>(&self, row: &[Option<T>], line: u64, read: &Read<'_, T>) -> Result<Value> {
        self.document_of(row, read).map_err(|misplaced| {
            let (error, column) = *misplaced;
            let mut place = format!("COPY {}, line {line}", self.table.name);
            if let Some(column) = column {
                place.push_str(&format!(", column {column}"));
            }
            let detail = error.detail.clone().map_or_else(|| place.clone(), |d| format!("{d} ({place})"));
            QueryError { detail: Some(detail), ..error }
        })
    }

    /// A row as a document; an error with the column it is in.
    fn document_of<'s, T>(&'s self, row: &[Option<T>], read: &Read<'_, T>) -> Result<Value, Box<Misplaced<'s>>> {
        if row.len() != self.columns.len() {
            let what =
                if row.len() < self.columns.len() { "missing data for column" } else { "extra data after column" };
            let column = self.columns.get(row.len()).or(self.columns.last()).map_or("", |f| &f.name);
            let error = QueryError::new(SqlState::BAD_COPY_FORMAT, format!("{what} \"{column}\"")).detail(format!(
                "{} fields are expected, {} were found.",
                self.columns.len(),
                row.len()
            ));
            return Err(Box::new((error, None)));
        }
        let mut fields = Vec::with_capacity(row.len());
        for (field, value) in self.columns.iter().zip(row) {
            let value = match value {
                Some(value) => {
                    storable(read(value, &field.ty).map_err(|error| Box::new((error, Some(&*field.name))))?, &field.ty)
                }
                // An explicit NULL keeps the default away.
                None if self.table.is_declared() => Value::NULL,
                None => continue,
            };
            if field.name.is_empty() {
                return Ok(value);
            }
            fields.push((Symbol::from(&field.name), value));
        }
        Ok(Value::Struct(Struct { fields }))
    }
}
