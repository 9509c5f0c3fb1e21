//! Runs a query for one document, or for its revisions ([`crate::bind::point`]): the key is computed and looked up, and
//! what was found is given out as it stands in the cache. A row is made of it only for who wants one.
//!
//! Everything it computes is computed by the document executor's evaluator, so both say the same; what it leaves out is
//! what only rows of any number need. `query/tests/it/point_same.rs` holds the two against each other.

use std::sync::Arc;

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::Value;

use super::eval::field;
use super::run::{Env, Row, Run, Slot, bytes_of_row};
use super::{check_run, source};
use crate::bind::plan::{Access, Comparison, Datum, Plan};
use crate::bind::point::{Check, Parts, Point, own_field};
use crate::error::{QueryError, Result};
use crate::index::Key;
use crate::session::SessionInfo;
use crate::transaction::{Doc, Most, Transaction, View};

/// A document of more revisions is left to the executor of all queries, which does not hold them all at once and counts what
/// it holds.
const MOST: Most = Most::IN_PLACE;

/// A row that is still a document.
#[derive(Debug)]
pub struct Found<'f> {
    plan: &'f Plan,
    row: FoundRow,
}

#[derive(Debug)]
struct FoundRow {
    doc: Arc<Doc>,
    /// The columns that are not fields of the document, in order.
    computed: Vec<Datum>,
}

/// What was found.
#[derive(Debug)]
pub struct FoundRows {
    plan: Arc<Plan>,
    rows: Rows,
}

#[derive(Debug)]
enum Rows {
    One(Option<FoundRow>),
    Several(std::vec::IntoIter<FoundRow>),
}

impl FoundRows {
    /// The next one. It has no share of the plan, which all processors would count at one place.
    pub fn next_found(&mut self) -> Option<Found<'_>> {
        let row = match &mut self.rows {
            Rows::One(row) => row.take(),
            Rows::Several(rows) => rows.next(),
        }?;
        Some(Found { plan: &self.plan, row })
    }
}

/// What the query asks for; `None`: it is more than this way is for. `plan` has the point, and [`is_here`].
pub(crate) fn run(
    plan: &Arc<Plan>,
    point: &Point,
    tx: &Transaction,
    params: &[Datum],
    session: &SessionInfo,
) -> Result<Option<FoundRows>> {
    let Some(parts) = Parts::of(plan) else {
        return Err(QueryError::internal("a plan has lost its point"));
    };
    check_run(plan, tx, params)?;
    let run = Run::new(plan, tx, params, session);
    run.check_cancelled()?;
    let lookup = Lookup { run, point, parts };
    let rows = lookup.rows()?;
    Ok(rows.map(|rows| FoundRows { plan: Arc::clone(plan), rows }))
}

/// Where the document is to be found.
enum Place<'p> {
    Key(&'p crate::catalogue::Index, Key),
    Id(Id),
}

struct Lookup<'r> {
    run: Run<'r>,
    point: &'r Point,
    parts: Parts<'r>,
}

impl<'r> Lookup<'r> {
    fn rows(&self) -> Result<Option<Rows>> {
        let Some((place, keys)) = self.place()? else { return Ok(Some(Rows::One(None))) };
        if self.point.history {
            return self.revisions(&place, &keys);
        }
        let (tx, table) = (self.run.tx, &self.parts.table.table);
        let doc = match place {
            Place::Key(index, key) => tx.unique(table, index, &key)?,
            Place::Id(id) => tx.get(table, id, View::Current)?,
        };
        let row = doc.map(|doc| self.row(doc, &keys)).transpose()?.flatten();
        Ok(Some(Rows::One(row)))
    }

    /// The key or id as it is now, with the values of the key; `None` if nothing can have it.
    fn place(&self) -> Result<Option<(Place<'r>, Row)>> {
        let nothing = Env { row: &[], outer: None };
        let mut keys: Row = Vec::new();
        match &self.parts.table.access {
            Access::Index { index, keys: parts } => {
                for part in parts.iter().flatten() {
                    let value = self.run.eval(part, &nothing)?;
                    // A NULL equals nothing.
                    if self.run.is_absent(&value) {
                        return Ok(None);
                    }
                    keys.push(value);
                }
                let key = Key::of(keys.iter().map(Option::as_ref));
                Ok(Some((Place::Key(index, key), keys)))
            }
            Access::Ids(ids) => {
                let id = ids.first().map(|ex| self.run.eval(ex, &nothing)).transpose()?.flatten();
                Ok(id.and_then(|id| source::document_id(&id)).map(|id| (Place::Id(id), keys)))
            }
            _ => Err(QueryError::internal("a point is reached by a key")),
        }
    }

    /// All revisions of the one document that ever had the key; `None` if there are many, or more than one document.
    fn revisions(&self, place: &Place<'_>, keys: &Row) -> Result<Option<Rows>> {
        let (tx, table) = (self.run.tx, &self.parts.table.table);
        let id = match place {
            Place::Id(id) => *id,
            Place::Key(index, key) => match tx.documents_ever(table, index, key)?.as_deref() {
                Some([]) => return Ok(Some(Rows::One(None))),
                Some([id]) => *id,
                _ => return Ok(None),
            },
        };
        let Some(docs) = tx.revisions_of(table, id, MOST, self.point.successors)? else { return Ok(None) };
        let mut rows = Vec::with_capacity(docs.len());
        let mut bytes = 0;
        for doc in docs {
            let Some(row) = self.row(doc, keys)? else { continue };
            bytes += bytes_of_row(&row.computed);
            if rows.len() >= MOST.few && bytes > MOST.bytes {
                return Ok(None);
            }
            rows.push(row);
        }
        Ok(Some(Rows::Several(rows.into_iter())))
    }

    /// The row of a document, if it fulfils the conditions.
    fn row(&self, doc: Arc<Doc>, keys: &Row) -> Result<Option<FoundRow>> {
        let Parts { select, table } = &self.parts;
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
        for check in &self.point.checks {
            let holds = match check {
                Check::Key { place, part, dynamic } => {
                    let key = keys.get(*part).and_then(Option::as_ref);
                    self.run.compare(Comparison::Eq, self.run.peek(place, &env).flatten(), key, *dynamic)
                }
                Check::Other(ex) => self.run.eval(ex, &env)?,
            };
            if !Run::is_true(&holds) {
                return Ok(None);
            }
        }
        let mut computed = Vec::new();
        if self.point.computes {
            for ex in select.output.iter().filter(|ex| own_field(ex, table.slot).is_none()) {
                computed.push(self.run.eval(ex, &env)?);
            }
        }
        Ok(Some(FoundRow { doc, computed }))
    }
}

/// Whether the document can be found here: an index answers only from its beginning on.
pub(crate) fn is_here(plan: &Plan, tx: &Transaction) -> bool {
    match Parts::of(plan).map(|parts| &parts.table.access) {
        Some(Access::Index { index, .. }) => index.from_position <= tx.snapshot(),
        found => found.is_some(),
    }
}

impl Found<'_> {
    /// Shows every column in order.
    pub fn columns(&self, mut each: impl FnMut(usize, Option<&Value>)) {
        let (Some(Parts { select, table }), Some(point)) = (Parts::of(self.plan), &self.plan.point) else { return };
        let data = self.row.doc.data.as_deref();
        let fields = self.row.doc.fields();
        let mut computed = self.row.computed.iter();
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
