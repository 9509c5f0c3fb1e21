//! Runs a query for one document ([`crate::bind::point`]): the key is computed and looked up, and what was found is given
//! out as it stands in the cache. A row is made of it only for who wants one.
//!
//! Everything it computes is computed by the document executor's evaluator, so both say the same; what it leaves out is
//! what only rows of any number need. `query/tests/it/point_same.rs` holds the two against each other.

use std::sync::Arc;

use ledgerstone_digest::ion::Value;

use super::eval::field;
use super::run::{Env, Row, Run, Slot};
use super::{check_run, source};
use crate::bind::plan::{Access, Comparison, Datum, Plan};
use crate::bind::point::{Check, Parts, Point, own_field};
use crate::error::{QueryError, Result};
use crate::index::Key;
use crate::session::SessionInfo;
use crate::transaction::{Doc, Transaction, View};

/// A row that is still a document.
#[derive(Debug)]
pub struct Found {
    plan: Arc<Plan>,
    doc: Arc<Doc>,
    /// The columns that are not fields of the document, in order.
    computed: Vec<Datum>,
}

/// The document that the query asks for, if there is one. `plan` has the point, and [`is_here`].
pub(crate) fn run(
    plan: &Arc<Plan>,
    point: &Point,
    tx: &Transaction,
    params: &[Datum],
    session: &SessionInfo,
) -> Result<Option<Found>> {
    let Some(Parts { select, table }) = Parts::of(plan) else {
        return Err(QueryError::internal("a plan has lost its point"));
    };
    check_run(plan, tx, params)?;
    let run = Run::new(plan, tx, params, session);
    run.check_cancelled()?;
    let nothing = Env { row: &[], outer: None };
    let mut keys: Row = Vec::new();
    let doc = match &table.access {
        Access::Index { index, keys: parts } => {
            for part in parts.iter().flatten() {
                let value = run.eval(part, &nothing)?;
                // A NULL equals nothing.
                if run.is_absent(&value) {
                    return Ok(None);
                }
                keys.push(value);
            }
            let key = Key::of(keys.iter().map(Option::as_ref));
            tx.unique(&table.table, index, &key)?
        }
        Access::Ids(ids) => match ids.first().map(|ex| run.eval(ex, &nothing)).transpose()?.flatten() {
            Some(id) => match source::document_id(&id) {
                Some(id) => tx.get(&table.table, id, View::Current)?,
                None => None,
            },
            None => None,
        },
        _ => return Err(QueryError::internal("a point is reached by a key")),
    };
    let Some(doc) = doc else { return Ok(None) };
    let (alone, beside);
    let row: &[Slot] = match (select.width, table.slot) {
        (1, 0) => {
            alone = [Slot::Doc(Arc::clone(&doc))];
            &alone
        }
        (width, slot) => {
            let mut slots = vec![Slot::Empty; width];
            if let Some(place) = slots.get_mut(slot as usize) {
                *place = Slot::Doc(Arc::clone(&doc));
            }
            beside = slots;
            &beside
        }
    };
    let env = Env { row, outer: None };
    for check in &point.checks {
        let holds = match check {
            Check::Key { place, part, dynamic } => {
                let key = keys.get(*part).and_then(Option::as_ref);
                run.compare(Comparison::Eq, run.peek(place, &env).flatten(), key, *dynamic)
            }
            Check::Other(ex) => run.eval(ex, &env)?,
        };
        if !Run::is_true(&holds) {
            return Ok(None);
        }
    }
    let mut computed = Vec::new();
    if !point.distinct_fields {
        for ex in select.output.iter().filter(|ex| own_field(ex, table.slot).is_none()) {
            computed.push(run.eval(ex, &env)?);
        }
    }
    Ok(Some(Found { plan: Arc::clone(plan), doc, computed }))
}

/// Whether the document can be found here: an index answers only from its beginning on.
pub(crate) fn is_here(plan: &Plan, tx: &Transaction) -> bool {
    match Parts::of(plan).map(|parts| &parts.table.access) {
        Some(Access::Index { index, .. }) => index.from_position <= tx.snapshot(),
        found => found.is_some(),
    }
}

impl Found {
    /// Shows every column in order.
    pub fn columns(&self, mut each: impl FnMut(usize, Option<&Value>)) {
        let (Some(Parts { select, table }), Some(point)) = (Parts::of(&self.plan), &self.plan.point) else { return };
        let data = self.doc.data.as_deref();
        let fields = data.and_then(Value::as_struct).map_or(&[][..], |fields| &fields.fields);
        let mut computed = self.computed.iter();
        let mut next = 0;
        for (at, ex) in select.output.iter().enumerate() {
            let Some((name, any_case)) = own_field(ex, table.slot) else {
                each(at, computed.next().and_then(Option::as_ref));
                continue;
            };
            // Documents of a table mostly have their fields in the order of its columns. All fields before this one belong
            // to columns before this one, so it is the first of its name.
            let value = match fields.get(next) {
                Some((symbol, value)) if point.distinct_fields && symbol.text() == Some(name) => {
                    next += 1;
                    Some(value)
                }
                _ => data.and_then(|data| field(data, name, any_case)),
            };
            each(at, value.filter(|value| !value.is_null()));
        }
    }

    /// The row that it stands for.
    pub fn into_row(self) -> Row {
        let mut row = Vec::new();
        self.columns(|_, value| row.push(value.cloned()));
        row
    }
}
