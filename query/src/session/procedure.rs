//! `EXEC`: the one procedure there is, QLDB's `REDACT_REVISION block-address, table-id, document-id`.

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::{Int, Struct, Symbol, Value};
use ledgerstone_digest::qldb::block_address;

use super::response::{Response, RowStream};
use super::run::{Job, noted};
use super::{Dialect, Session};
use crate::ast::{Expr, Name, Projection, Query, Select, SelectItem, SetExpr, Statement};
use crate::bind::plan::ResultColumn;
use crate::error::{QueryError, SqlState};
use crate::exec;
use crate::permission::{Action, Resource};
use crate::transaction::Transaction;
use crate::types::SqlType;

const USAGE: &str = "EXEC REDACT_REVISION takes a block address {strandId, sequenceNo}, a table id and a document id";

impl Session {
    /// Runs a procedure inside a transaction.
    pub(super) fn exec_procedure(
        &mut self,
        tx: &mut Transaction,
        job: Job<'_>,
        procedure: &Name,
        arguments: &[Expr],
    ) -> Result<Response, QueryError> {
        if !procedure.text.eq_ignore_ascii_case("redact_revision") {
            return Err(QueryError::unsupported(format!("EXEC {}", procedure.text))
                .at(procedure.span)
                .hint("The one procedure is REDACT_REVISION."));
        }
        if tx.is_read_only() {
            return Err(QueryError::new(
                SqlState::READ_ONLY_TRANSACTION,
                "cannot execute REDACT_REVISION in a read-only transaction",
            ));
        }
        tx.begin_statement(job.own_text(), &noted(job.parameters))?;
        let (strand, block, table, document) = self.redaction(tx, job, procedure, arguments)?;
        let redacted = tx.redact(strand, block, table, document)?;
        Ok(answer(
            job.dialect,
            vec![
                ("blockAddress", block_address(&strand.to_string(), block), SqlType::Jsonb),
                ("tableId", Value::string(table.to_string()), SqlType::Text),
                ("documentId", Value::string(document.to_string()), SqlType::Text),
                ("version", Value::Int(Int::from(redacted.version)), SqlType::Int8),
            ],
        ))
    }

    /// What is to be redacted, strand, block, table and document, by whom it may be.
    pub(super) fn redaction(
        &mut self,
        tx: &mut Transaction,
        job: Job<'_>,
        procedure: &Name,
        arguments: &[Expr],
    ) -> Result<(Id, u64, Id, Id), QueryError> {
        let values = self.values_of(tx, job, arguments)?;
        let usage = || QueryError::new(SqlState::INVALID_PARAMETER_VALUE, USAGE).at(procedure.span);
        let [Some(address), Some(table), Some(document)] = &values[..] else { return Err(usage()) };
        let (strand, block) = address_of(address).ok_or_else(usage)?;
        let id = |value: &Value| value.as_text().and_then(|text| text.parse::<Id>().ok());
        let (table, document) = (id(table).ok_or_else(usage)?, id(document).ok_or_else(usage)?);
        if let Some(permit) = &self.info.permit {
            let found = tx.table_by_id(table)?;
            let name = found.map_or_else(|| table.to_string(), |found| found.name.to_string());
            permit.check(Action::Redact, Resource::Table { id: table, name: &name })?;
        }
        Ok((strand, block, table, document))
    }

    /// The arguments' values: the row of a SELECT without FROM.
    fn values_of(
        &mut self,
        tx: &mut Transaction,
        job: Job<'_>,
        arguments: &[Expr],
    ) -> Result<Vec<Option<Value>>, QueryError> {
        let mut values = Vec::with_capacity(arguments.len());
        for argument in arguments {
            let plan = self.bind(tx, job, &select(job.dialect, argument))?;
            match self.run_small(&plan, tx, job.parameters)? {
                exec::Outcome::Rows { rows, .. } => {
                    values.push(rows.all()?.into_iter().next().and_then(|mut row| row.pop()?))
                }
                _ => return Err(QueryError::internal("an argument is not a query")),
            }
        }
        Ok(values)
    }
}

fn select(dialect: Dialect, argument: &Expr) -> Statement {
    let projection = match dialect {
        Dialect::PartiQl => Projection::Value(Box::new(argument.clone())),
        Dialect::Sql => Projection::Items(vec![SelectItem::Expr { expr: argument.clone(), alias: None }]),
    };
    let select = Select::of(projection, argument.span);
    Statement::Query(Box::new(Query::of(SetExpr::Select(Box::new(select)), argument.span)))
}

/// `{strandId, sequenceNo}`, as a value or, from SQL, as its JSON or Ion text.
fn address_of(value: &Value) -> Option<(Id, u64)> {
    match value.unannotated() {
        Value::Struct(s) => {
            let strand = s.get("strandId")?.as_text()?.parse().ok()?;
            let Value::Int(number) = s.get("sequenceNo")? else { return None };
            Some((strand, number.to_u64()?))
        }
        Value::String(text) => {
            let limits = ledgerstone_digest::ion::Limits { bytes_max: 4096, depth_max: 8, values_max: 64 };
            let value = ledgerstone_digest::ion::parse(text, &limits).ok()?;
            matches!(value, Value::Struct(_)).then(|| address_of(&value))?
        }
        _ => None,
    }
}

fn answer(dialect: Dialect, fields: Vec<(&str, Value, SqlType)>) -> Response {
    let column = |name: &str, ty: SqlType| ResultColumn::computed(name, ty);
    let (columns, row): (Vec<ResultColumn>, Vec<Option<Value>>) = match dialect {
        Dialect::Sql => fields.into_iter().map(|(name, value, ty)| (column(name, ty), Some(value))).unzip(),
        Dialect::PartiQl => {
            let fields = fields.into_iter().map(|(name, value, _)| (Symbol::new(name), value)).collect();
            (vec![column("_1", SqlType::Ion)], vec![Some(Value::Struct(Struct { fields }))])
        }
    };
    Response::Rows { columns: columns.into(), rows: RowStream::of(vec![row], "SELECT") }
}
