//! Which plans the sequencer may run again on its own thread, where all commits of the ledger wait for it: changes of few
//! documents found by id or index key, with nothing in them but operators whose cost is bounded by what they are given.
//!
//! This is a list of what is let in. Whatever is not on it waits, may take long, or has not been thought about; its session
//! runs it again instead.

use super::plan::{Access, Arithmetic, Body, ChangePlan, DocPart, Ex, Node, Plan, Source, Step, TableChecks, ViewPlan};
use super::walk::walk;
use crate::ast::BinaryOp;
use crate::function::{Scalar, Volatility};
use crate::types::SqlType;

/// Items of an IN, keys looked up, and the like.
const ITEMS_MAX: usize = 64;

/// Functions of a few machine words, or that only copy what they get.
const FUNCTIONS: [&str; 17] = [
    "abs",
    "clock_timestamp",
    "current_date",
    "current_role",
    "current_timestamp",
    "current_user",
    "greatest",
    "least",
    "ledgerstone_text_concat",
    "localtimestamp",
    "now",
    "session_user",
    "sign",
    "statement_timestamp",
    "transaction_timestamp",
    "txid",
    "utcnow",
];

impl Plan {
    /// Whether every run of it is cheap, whatever the data and the parameters.
    pub(crate) fn is_cheap(&self) -> bool {
        *self.cheap.get_or_init(|| !self.pace.costly && self.ctes.is_empty() && of_body(&self.body))
    }
}

fn of_body(body: &Body) -> bool {
    match body {
        Body::Update(update) => {
            of_node(&update.from)
                && all(&update.filter)
                && update.changes.iter().all(of_change)
                && of_checks(&update.checks)
                && update.returning.as_deref().is_none_or(all)
        }
        Body::Delete(delete) => {
            of_node(&delete.from) && all(&delete.filter) && delete.returning.as_deref().is_none_or(all)
        }
        Body::Query(_) | Body::Insert(_) | Body::Merge(_) => false,
    }
}

fn of_checks(checks: &TableChecks) -> bool {
    checks.checks.iter().all(|(_, check)| is_cheap(check))
}

fn of_change(change: &ChangePlan) -> bool {
    match change {
        ChangePlan::Set { path, value, .. } => of_steps(path) && is_cheap(value),
        ChangePlan::InsertInto { path, value, at } => {
            of_steps(path) && is_cheap(value) && at.as_ref().is_none_or(is_cheap)
        }
        ChangePlan::Remove { path } => of_steps(path),
        ChangePlan::Delete => true,
    }
}

/// One table, read by what names its documents.
fn of_node(node: &Node) -> bool {
    match node {
        Node::Source(source) => {
            let Source::Table(table) = &source.source else { return false };
            source.input.is_none()
                && matches!(table.view, ViewPlan::Current)
                && all(&source.filter)
                && of_access(&table.access)
        }
        Node::Filter { input, filter } => of_node(input) && all(filter),
        Node::Hash(_) | Node::Loop(_) => false,
    }
}

fn of_access(access: &Access) -> bool {
    match access {
        Access::Ids(ids) => ids.len() <= ITEMS_MAX && all(ids),
        Access::Index { keys, .. } => {
            keys.iter().map(Vec::len).sum::<usize>() <= ITEMS_MAX && keys.iter().all(|keys| all(keys))
        }
        Access::Scan | Access::IdList(_) | Access::Range { .. } => false,
    }
}

fn of_steps(steps: &[Step]) -> bool {
    steps.iter().all(|step| match step {
        Step::Field { .. } => true,
        Step::Index(at) | Step::Json(at) => is_cheap(at),
        Step::AllElements | Step::AllFields => false,
    })
}

fn all(parts: &[Ex]) -> bool {
    parts.iter().all(is_cheap)
}

fn is_cheap(ex: &Ex) -> bool {
    let mut cheap = true;
    // Walking needs a copy of its own; a plan is looked at once.
    walk(&mut ex.clone(), &mut |part| {
        cheap &= is_cheap_part(part);
        cheap
    });
    cheap
}

/// The part itself; its own parts come after it.
fn is_cheap_part(part: &Ex) -> bool {
    match part {
        Ex::Const(_)
        | Ex::Param(_)
        | Ex::Slot(_)
        | Ex::Field { .. }
        | Ex::And(_)
        | Ex::Or(_)
        | Ex::Not(_)
        | Ex::Compare { .. }
        | Ex::IsNull { .. }
        | Ex::IsMissing { .. }
        | Ex::IsBool { .. }
        | Ex::IsType { .. }
        | Ex::Distinct { .. }
        | Ex::Case { .. }
        | Ex::Coalesce(_)
        | Ex::IonCast { .. }
        | Ex::List(_)
        | Ex::Struct(_)
        | Ex::Row(_) => true,
        // These are computed over the whole document.
        Ex::Doc { part, .. } => !matches!(part, DocPart::Hash | DocPart::DataHash | DocPart::Committed),
        Ex::Path { steps, .. } => of_steps(steps),
        Ex::Arithmetic { op, kind, .. } => is_cheap_arithmetic(*op, *kind),
        Ex::In { list, .. } => list.len() <= ITEMS_MAX,
        Ex::Cast { from, to, .. } => !matches!(from, Some(SqlType::Reg(_))) && !matches!(to, SqlType::Reg(_)),
        Ex::Call { function, .. } => is_cheap_function(function),
        Ex::Like { .. } | Ex::Subquery(_) | Ex::Quantified { .. } | Ex::Merge(_) | Ex::Aggregate(_) => false,
    }
}

/// Numbers of any length take long to multiply, to divide and to raise to a power.
fn is_cheap_arithmetic(op: BinaryOp, kind: Arithmetic) -> bool {
    match kind {
        Arithmetic::Numeric | Arithmetic::Dynamic { .. } => matches!(op, BinaryOp::Add | BinaryOp::Subtract),
        _ => op != BinaryOp::Power,
    }
}

fn is_cheap_function(function: &Scalar) -> bool {
    function.volatility == Volatility::Stable && FUNCTIONS.contains(&function.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_on_the_list_exist_and_are_stable() {
        for name in FUNCTIONS {
            assert!(crate::function::named(name).next().is_some(), "{name}");
            assert!(crate::function::named(name).all(is_cheap_function), "{name}");
        }
    }
}
