//! What a statement needs permissions for, where the ledger asks for them ([`crate::permission`]).

use super::{Session, SessionInfo};
use crate::ast::{Commented, SequenceChange, Statement, TableName};
use crate::bind::plan::Plan;
use crate::catalogue::Table;
use crate::catalogue::ddl::meant_by;
use crate::catalogue::virtual_tables::{Relation, relation_named};
use crate::error::QueryError;
use crate::permission::{Action, Resource};
use crate::transaction::Transaction;

impl SessionInfo {
    /// Whether a table may be named to the user who has not named it.
    pub(crate) fn sees(&self, table: &Table) -> bool {
        self.permit.as_ref().is_none_or(|permit| permit.sees(table))
    }

    /// A bound query or change: each table it reads or changes, in every way it does.
    pub(crate) fn permit_plan(&self, plan: &Plan) -> Result<(), QueryError> {
        self.permit_uses(plan, |_| true)
    }

    /// The same of these tables only.
    pub(crate) fn permit_uses(&self, plan: &Plan, of: impl Fn(&Table) -> bool) -> Result<(), QueryError> {
        let Some(permit) = &self.permit else { return Ok(()) };
        for (table, action) in plan.uses.iter().filter(|(table, _)| of(table)) {
            permit.check_table(*action, table)?;
        }
        if plan.reads_catalogue {
            permit.check(Action::Select, Resource::Catalogue)?;
        }
        Ok(())
    }
}

impl Session {
    /// A definition. Tables that are not there are left to whoever runs it, which says so.
    pub(super) fn permit_definition(&self, tx: &Transaction, statement: &Statement) -> Result<(), QueryError> {
        let Some(permit) = &self.info.permit else { return Ok(()) };
        let named = |action, name: &TableName| -> Result<(), QueryError> {
            match tx.table(&name.name.text)? {
                Some(table) => permit.check_table(action, &table),
                None => permit.check(action, Resource::NewTable),
            }
        };
        match statement {
            Statement::CreateTable(create) => {
                permit.check(Action::CreateTable, Resource::NewTable)?;
                create.likes.iter().try_for_each(|like| named(Action::Select, &like.table))
            }
            Statement::DropTable { names, .. } => names.iter().try_for_each(|name| named(Action::DropTable, name)),
            Statement::UndropTable { table_id } => match table_id.text.parse().ok().map(|id| tx.table_by_id(id)) {
                Some(found) => match found? {
                    Some(table) => permit.check_table(Action::UndropTable, &table),
                    None => permit.check(Action::UndropTable, Resource::NewTable),
                },
                None => Ok(()),
            },
            Statement::CreateIndex(create) => named(Action::CreateIndex, &create.table),
            Statement::DropIndex { names, .. } => {
                let catalogue = tx.catalogue();
                for table in catalogue.tables() {
                    let is_named = |index: &crate::catalogue::Index| {
                        names.iter().any(|name| *index.name == *name.text || index.id.to_string() == *name.text)
                    };
                    if table.indexes.iter().any(|index| is_named(index)) {
                        permit.check_table(Action::DropIndex, table)?;
                    }
                }
                Ok(())
            }
            Statement::AlterTable { table, .. } => named(Action::AlterTable, table),
            // As ALTER TABLE of the table whose column it is, or is to be.
            Statement::Sequence(said) => {
                let on_new = || permit.check(Action::AlterTable, Resource::NewTable);
                let catalogue = tx.catalogue();
                match &said.change {
                    SequenceChange::Create { owner: Some((table, _)), .. } => named(Action::AlterTable, table),
                    // It changes nothing. Who may alter none of the tables it may be for hears the same as if there were none.
                    SequenceChange::Create { owner: None, .. } => {
                        let meant = meant_by(&catalogue, &said.name.name.text);
                        let mut meant = meant.iter().map(|(table, _)| permit.check_table(Action::AlterTable, table));
                        if meant.any(|checked| checked.is_ok()) { Ok(()) } else { on_new() }
                    }
                    change => {
                        if let SequenceChange::OwnedBy { table, .. } = change {
                            named(Action::AlterTable, table)?;
                        }
                        match relation_named(&catalogue, Some("public"), &said.name.name.text) {
                            Some(Relation::Sequence(table, _)) => permit
                                .check_table(Action::AlterTable, &table)
                                .or_else(|denied| on_new().and(Err(denied))),
                            _ if matches!(change, SequenceChange::OwnedBy { .. }) => Ok(()),
                            _ => on_new(),
                        }
                    }
                }
            }
            Statement::Comment(comment) => match &comment.on {
                Commented::Table(table)
                | Commented::Column { table, .. }
                | Commented::Constraint { table, .. }
                | Commented::View(table) => named(Action::AlterTable, table),
                Commented::Index(index) => match tx.catalogue().index_by_name(&index.name.text) {
                    Some((table, _)) => permit.check_table(Action::AlterTable, table),
                    None => permit.check(Action::AlterTable, Resource::NewTable),
                },
                Commented::Database(_) => permit.check(Action::UpdateLedger, Resource::Ledger),
            },
            _ => permit.check(Action::AlterTable, Resource::NewTable),
        }
    }
}
