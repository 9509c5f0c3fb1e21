//! Walking bound expressions. Subqueries are not gone into: what they read of the levels around them is recorded with
//! their plan.

use super::plan::{Ex, Step, SubqueryKind};
use crate::function::Volatility;

/// Visits an expression and its parts, parents first; `false`: do not go into its parts.
pub(crate) fn walk(ex: &mut Ex, visit: &mut dyn FnMut(&mut Ex) -> bool) {
    if !visit(ex) {
        return;
    }
    match ex {
        Ex::Const(_) | Ex::Param(_) | Ex::Slot(_) | Ex::Doc { .. } | Ex::Field { .. } => {}
        Ex::Aggregate(_) => {}
        Ex::Path { base, steps } => {
            walk(base, visit);
            for step in steps {
                if let Step::Index(e) | Step::Json(e) = step {
                    walk(e, visit);
                }
            }
        }
        Ex::And(parts) | Ex::Or(parts) | Ex::Coalesce(parts) | Ex::List(parts) | Ex::Row(parts) => {
            walk_all(parts, visit);
        }
        Ex::Not(e)
        | Ex::IsNull { expr: e, .. }
        | Ex::IsMissing { expr: e, .. }
        | Ex::IsBool { expr: e, .. }
        | Ex::IsType { expr: e, .. }
        | Ex::Cast { expr: e, .. }
        | Ex::IonCast { expr: e, .. } => walk(e, visit),
        Ex::Compare { left, right, .. } | Ex::Arithmetic { left, right, .. } | Ex::Distinct { left, right, .. } => {
            walk(left, visit);
            walk(right, visit);
        }
        Ex::Quantified { left, array, .. } => {
            walk(left, visit);
            walk(array, visit);
        }
        Ex::In { expr, list, .. } => {
            walk(expr, visit);
            walk_all(list, visit);
        }
        Ex::Like { expr, pattern, escape, .. } => {
            walk(expr, visit);
            walk(pattern, visit);
            if let Some(e) = escape {
                walk(e, visit);
            }
        }
        Ex::Case { whens, otherwise } => {
            for (when, then) in whens {
                walk(when, visit);
                walk(then, visit);
            }
            if let Some(e) = otherwise {
                walk(e, visit);
            }
        }
        Ex::Call { arguments, .. } => walk_all(arguments, visit),
        Ex::Struct(fields) => {
            for (name, value) in fields {
                walk(name, visit);
                walk(value, visit);
            }
        }
        Ex::Merge(parts) => {
            for (_, e) in parts {
                walk(e, visit);
            }
        }
        Ex::Subquery(sub) => {
            if let SubqueryKind::Quantified { left, .. } = &mut sub.kind {
                walk_all(left, visit);
            }
        }
    }
}

fn walk_all(parts: &mut [Ex], visit: &mut dyn FnMut(&mut Ex) -> bool) {
    for part in parts {
        walk(part, visit);
    }
}

/// Whether there is something to compute, and it comes to the same for every row of a statement.
pub(crate) fn is_same_for_every_row(ex: &Ex) -> bool {
    if matches!(ex, Ex::Const(_) | Ex::Param(_) | Ex::Slot(_) | Ex::Doc { .. } | Ex::Field { .. } | Ex::Path { .. }) {
        return false;
    }
    let mut same = true;
    walk(&mut ex.clone(), &mut |e| {
        same &= match e {
            Ex::Slot(_) | Ex::Doc { .. } | Ex::Field { .. } | Ex::Aggregate(_) | Ex::Subquery(_) => false,
            Ex::Call { function, .. } => function.volatility == Volatility::Stable,
            _ => true,
        };
        same
    });
    same
}

/// The same column expression seen from `by` query levels further in.
pub(crate) fn shifted(ex: &Ex, by: u16) -> Ex {
    let mut ex = ex.clone();
    if by > 0 {
        walk(&mut ex, &mut |e| {
            if let Ex::Slot(at) | Ex::Doc { at, .. } | Ex::Field { at, .. } = e {
                at.depth += by;
            }
            true
        });
    }
    ex
}

/// Slots of the level the expression stands in that it reads, its subqueries included.
pub(crate) fn own_slots(ex: &Ex) -> Vec<u32> {
    slots_at(ex, 0)
}

/// Slots of the level `depth` out that the expression reads.
pub(crate) fn slots_at(ex: &Ex, depth: u16) -> Vec<u32> {
    let mut slots = Vec::new();
    let mut ex = ex.clone();
    walk(&mut ex, &mut |e| {
        match e {
            Ex::Slot(at) | Ex::Doc { at, .. } | Ex::Field { at, .. } if at.depth == depth => slots.push(at.slot),
            Ex::Subquery(sub) => {
                slots.extend(sub.query.outer.iter().filter(|at| at.depth == depth + 1).map(|at| at.slot));
            }
            _ => {}
        }
        true
    });
    slots.sort_unstable();
    slots.dedup();
    slots
}
