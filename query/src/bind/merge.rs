//! MERGE bound: the source joined to the table, and what each WHEN does with a row of that.

use std::sync::Arc;

use super::Binder;
use super::dml::Bound;
use super::from::Tree;
use super::plan::{Body, Ex, MergeAction, MergePlan, MergeWhen};
use super::query::conjuncts;
use super::scope::Level;
use crate::ast::{self, Expr, JoinKind, Merge, Overriding};
use crate::catalogue::Table;
use crate::error::{QueryError, Result, SqlState};
use crate::permission::Action;

impl Binder<'_> {
    pub(super) fn merge(&mut self, merge: &Merge) -> Result<Bound> {
        if merge.recursive {
            let message = "WITH RECURSIVE is not supported for MERGE statement";
            return Err(QueryError::syntax(message, merge.span));
        }
        all_reachable(&merge.whens)?;
        self.within_with(&merge.with, false, |binder| binder.merge_without_with(merge))
    }

    fn merge_without_with(&mut self, merge: &Merge) -> Result<Bound> {
        self.levels.push(Level::default());
        // Before the table, which the source cannot read.
        let mut source = self.bind_from(std::slice::from_ref(&merge.source))?;
        let (table, slot, mut target) = self.target(std::slice::from_ref(&merge.table))?;
        let (Some(left), Some(right)) = (source.pop(), target.pop()) else {
            return Err(QueryError::internal("nothing to merge"));
        };
        let on = conjuncts(self.merge_condition(&merge.on, "JOIN/ON", "JOIN conditions")?);
        let whens = merge.whens.iter().map(|when| self.merge_when(&table, slot, when)).collect::<Result<_>>()?;
        let kind = match merge.whens.iter().all(|when| when.matched) {
            true => JoinKind::Inner,
            false => JoinKind::Left,
        };
        let join = Tree::Join { kind, left: Box::new(left), right: Box::new(right), on };
        let (from, filter) = self.plan_from(vec![join], vec![])?;
        let from = from.ok_or_else(|| QueryError::internal("nothing to merge"))?;
        let width = self.level().width as usize;
        self.levels.pop();
        let checks = self.table_checks(&table)?;
        let plan = MergePlan { table, slot, width, from, filter, whens, checks };
        Ok((Body::Merge(Box::new(plan)), None))
    }

    fn merge_condition(&mut self, e: &Expr, what: &str, clause: &'static str) -> Result<Ex> {
        self.level().clause = clause;
        let bound = self.expr(e)?;
        self.condition(bound, what, e.span)
    }

    fn merge_when(&mut self, table: &Arc<Table>, slot: u32, when: &ast::MergeWhen) -> Result<MergeWhen> {
        // Where no row of the table is met there is none to name.
        let target = if when.matched { None } else { self.level().items.pop() };
        let bound = self.merge_action(table, slot, when);
        self.level().items.extend(target);
        bound
    }

    fn merge_action(&mut self, table: &Arc<Table>, slot: u32, when: &ast::MergeWhen) -> Result<MergeWhen> {
        let condition = when.condition.as_ref();
        let condition = condition.map(|e| self.merge_condition(e, "WHEN", "MERGE WHEN conditions")).transpose()?;
        let action = match &when.action {
            ast::MergeAction::Nothing => MergeAction::Nothing,
            ast::MergeAction::Delete => {
                self.note_table(table, Action::Delete);
                MergeAction::Delete
            }
            ast::MergeAction::Update(assignments) => {
                self.note_table(table, Action::Update);
                self.level().clause = "UPDATE";
                MergeAction::Update(self.assignments(table, assignments, slot)?)
            }
            ast::MergeAction::Insert(insert) => {
                self.note_table(table, Action::Insert);
                let gives_identities = insert.overriding == Some(Overriding::System);
                let rows = self.insert_rows(table, &insert.columns, insert.overriding, &insert.source)?;
                MergeAction::Insert { rows: Box::new(rows), gives_identities }
            }
        };
        Ok(MergeWhen { matched: when.matched, condition, action })
    }
}

/// A WHEN behind one of its kind that always holds would never be asked.
fn all_reachable(whens: &[ast::MergeWhen]) -> Result<()> {
    for (at, when) in whens.iter().enumerate() {
        let before = whens.iter().take(at);
        if before.filter(|other| other.matched == when.matched).any(|other| other.condition.is_none()) {
            let message = "unreachable WHEN clause specified after unconditional WHEN clause";
            return Err(QueryError::new(SqlState::SYNTAX_ERROR, message).at(when.span));
        }
    }
    Ok(())
}
