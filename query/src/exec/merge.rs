//! MERGE: each row of the source, with the document that it meets, if any, goes the way of the first WHEN that holds. As
//! everywhere, what is to change is found first, and changed then.

use std::collections::HashSet;
use std::sync::Arc;

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::{Struct, Value};

use super::Outcome;
use super::change::{Changed, changed};
use super::dml::{Changes, new_documents, second_time};
use super::run::{Env, Flow, Run, Slot};
use crate::bind::plan::{MergeAction, MergePlan, MergeWhen};
use crate::error::{QueryError, Result};
use crate::transaction::{Doc, Transaction};

/// What becomes of one row.
enum Merged {
    New(Struct),
    Replaced(Arc<Doc>, Value),
    Deleted(Arc<Doc>),
}

impl Changes<'_> {
    pub(super) fn merge(&self, plan: &MergePlan, is_answer: bool, tx: &mut Transaction) -> Result<Outcome> {
        let mut done = self.begun("MERGE", false, is_answer);
        let (table, checks) = (&plan.table, &plan.checks);
        for merged in self.merged(plan, tx)? {
            let id = match merged {
                Merged::New(document) => {
                    let document = self.work.complete(&self.work.judge(tx), table, checks, document)?;
                    tx.insert(table, document)?.id
                }
                Merged::Replaced(doc, new) => tx.replace(table, &doc, new)?.id,
                Merged::Deleted(doc) => {
                    tx.delete(table, &doc)?;
                    doc.id
                }
            };
            done.affected(id);
        }
        done.outcome(false)
    }

    fn merged(&self, plan: &MergePlan, tx: &Transaction) -> Result<Vec<Merged>> {
        let (run, judge) = (self.runner(tx), self.work.judge(tx));
        let mut all = Vec::new();
        let mut met: HashSet<Id> = HashSet::new();
        run.node(&plan.from, plan.width, None, &mut |tuple| {
            run.tick()?;
            let env = Env { row: tuple, outer: None };
            if !run.passes(&plan.filter, &env)? {
                return Ok(Flow::More);
            }
            let doc = match tuple.get(plan.slot as usize) {
                Some(Slot::Doc(doc)) => Some(doc),
                _ => None,
            };
            let Some(when) = chosen(&run, &plan.whens, doc.is_some(), &env)? else { return Ok(Flow::More) };
            if !matches!(when.action, MergeAction::Nothing) {
                run.charge_tuple(tuple)?;
            }
            match (&when.action, doc) {
                (MergeAction::Insert { rows, gives_identities }, None) => {
                    let new = new_documents(&run, &plan.table, rows, *gives_identities, Some(&env))?;
                    all.extend(new.into_iter().map(Merged::New));
                }
                (MergeAction::Update(changes), Some(doc)) => {
                    self.only_once(&mut met, doc.id)?;
                    match changed(&run, &plan.table, changes, doc, &env, &mut HashSet::new())? {
                        Changed::Document(document) => {
                            let new = self.work.constrained(&judge, &plan.table, &plan.checks, document)?;
                            all.push(Merged::Replaced(Arc::clone(doc), new));
                        }
                        Changed::Deleted => return Err(QueryError::internal("SET deletes nothing")),
                    }
                }
                (MergeAction::Delete, Some(doc)) => {
                    self.only_once(&mut met, doc.id)?;
                    all.push(Merged::Deleted(Arc::clone(doc)));
                }
                _ => {}
            }
            Ok(Flow::More)
        })?;
        Ok(all)
    }

    /// Refuses to change a document again, whether by this MERGE or after a part of its WITH.
    fn only_once(&self, met: &mut HashSet<Id>, document: Id) -> Result<()> {
        match met.insert(document) && !self.has_changed(document) {
            true => Ok(()),
            false => {
                let hint = "Ensure that not more than one source row matches any one target row.";
                Err(second_time("MERGE", hint))
            }
        }
    }
}

/// The first WHEN of its kind whose condition holds.
fn chosen<'p>(run: &Run<'_>, whens: &'p [MergeWhen], matched: bool, env: &Env<'_>) -> Result<Option<&'p MergeWhen>> {
    for when in whens.iter().filter(|when| when.matched == matched) {
        let holds = match &when.condition {
            Some(condition) => Run::is_true(&run.eval(condition, env)?),
            None => true,
        };
        if holds {
            return Ok(Some(when));
        }
    }
    Ok(None)
}
