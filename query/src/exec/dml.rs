//! INSERT, UPDATE, DELETE and MERGE, and those inside WITH. What is to change is found first, on the state before the statement;
//! then it is changed.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::{Struct, Symbol, Value};
use ledgerstone_journal::spread::spread_owned;

use super::Outcome;
use super::change::{Changed, changed, order_fields, removes_an_element};
use super::eval::storable;
use super::known::Known;
use super::result::{Collector, ResultRows};
use super::run::{Env, Flow, Row, Run, Slot, Tuple};
use crate::bind::plan::{
    Body, ConflictPlan, CteRows, Datum, DeletePlan, Ex, InsertPlan, InsertRows, Node, Plan, QueryPlan, TableChecks,
    UpdatePlan,
};
use crate::catalogue::Table;
use crate::error::{QueryError, Result, SqlState};
use crate::session::SessionInfo;
use crate::transaction::bulk::ReadyDocument;
use crate::transaction::{Doc, Transaction};
use crate::work::{Memory, Workspace};

pub(super) fn run(plan: &Plan, tx: &mut Transaction, params: &[Datum], session: &SessionInfo) -> Result<Outcome> {
    let workspace = Arc::clone(tx.database().workspace());
    let memory = workspace.memory();
    let work = Work { plan, params, session };
    let known = Known::of_several_runs();
    let changes = Changes { work, known, changed: RefCell::default(), memory: &memory, workspace: &workspace };
    // Its parts read what was there before it, whichever of them comes first.
    if !plan.held.is_empty() {
        tx.hold_view(&plan.held);
    }
    let outcome = changes.with_those_inside(tx);
    tx.release_view();
    outcome
}

/// Fewer documents are added one by one.
const LOAD_MIN: usize = 256;
/// Fewer are not worth a thread.
const LOAD_CHUNK_MIN: usize = 384;

/// Adds many documents to the table of an INSERT, each made of an item and its number.
pub(super) fn load<T: Send>(
    plan: &Plan,
    items: Vec<T>,
    make: &(dyn Fn(T, usize) -> Result<Struct> + Sync),
    tx: &mut Transaction,
    session: &SessionInfo,
) -> Result<u64> {
    // The one parameter is what the items are in place of.
    let params = &[Some(Value::NULL)];
    super::check_run(plan, tx, params)?;
    match &plan.body {
        Body::Insert(insert) => {
            let ids = Work { plan, params, session }.load(insert, items, make, tx)?;
            Ok(ids.len() as u64)
        }
        _ => Err(QueryError::internal("only an INSERT adds documents")),
    }
}

/// A statement that runs: what making one document ready needs of it, on any thread.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    plan: &'a Plan,
    params: &'a [Datum],
    session: &'a SessionInfo,
}

/// The changes that a statement makes.
pub(super) struct Changes<'a> {
    pub(super) work: Work<'a>,
    known: Rc<Known>,
    /// Documents that parts which are done have changed.
    changed: RefCell<HashSet<Id>>,
    /// Where rows of RETURNING are kept.
    memory: &'a Memory<'a>,
    workspace: &'a Arc<Workspace>,
}

/// What one change has done so far.
pub(super) struct Done<'a> {
    command: &'static str,
    count: u64,
    returning: Option<Collector<'a>>,
    /// Its rows go to the client.
    is_answer: bool,
    ids: Vec<Id>,
}

impl Done<'_> {
    pub(super) fn affected(&mut self, document: Id) {
        self.count += 1;
        self.ids.push(document);
    }

    pub(super) fn outcome(self, document_ids: bool) -> Result<Outcome> {
        let returning = match document_ids {
            true => Some(ResultRows::of(self.ids.iter().map(|id| vec![Some(document_id_row(*id))]).collect())),
            false => self.returning.map(Collector::finish).transpose()?,
        };
        Ok(Outcome::Affected { command: self.command, count: self.count, returning, document_ids: self.ids })
    }
}

/// A value that is to be a document.
pub(super) fn as_document(value: Value) -> Result<Struct> {
    match value {
        Value::Struct(document) => Ok(document),
        other => Err(QueryError::new(
            SqlState::DATATYPE_MISMATCH,
            match &other {
                Value::Annotated(_) => "a document must be a struct without annotations".to_owned(),
                _ => format!("a document must be a struct, not {}", crate::value::ion_type_name(&other)),
            },
        )),
    }
}

/// Refuses a new document with a field for a column that is GENERATED ALWAYS.
fn no_identities_given(table: &Table, document: &Struct) -> Result<()> {
    match table.columns.iter().find(|c| c.is_always_identity() && document.get(&c.name).is_some()) {
        Some(column) => {
            Err(column.no_value_of_ones_own().hint("Leave the field out, or use OVERRIDING SYSTEM VALUE in SQL."))
        }
        None => Ok(()),
    }
}

/// Documents as the statement gives them: defaults and checks are still to come. `outer`: the row that they are made of.
pub(super) fn new_documents(
    run: &Run<'_>,
    table: &Table,
    rows: &InsertRows,
    gives_identities: bool,
    outer: Option<&Env<'_>>,
) -> Result<Vec<Struct>> {
    let env = Env { row: &[], outer };
    let mut out: Vec<Struct> = Vec::new();
    let mut collect = |value: Value| -> Result<()> {
        let document = as_document(value)?;
        if !gives_identities {
            no_identities_given(table, &document)?;
        }
        out.push(document);
        Ok(())
    };
    match rows {
        InsertRows::Defaults => out.push(Struct::default()),
        InsertRows::Columns { columns, query } => run.query(query, outer, None, &mut |row| {
            run.charge_row(&row)?;
            let mut fields = Vec::with_capacity(row.len());
            for (at, value) in columns.iter().zip(row) {
                let Some(column) = at.and_then(|at| table.columns.get(at)) else { continue };
                // An explicit NULL is no reason for a default: it is kept until the defaults are filled in.
                let value = value.map_or(Value::NULL, |v| storable(v, &column.ty));
                fields.push((Symbol::from(&column.name), value));
            }
            out.push(Struct { fields });
            Ok(Flow::More)
        })?,
        InsertRows::Fields { names, query } => run.query(query, outer, None, &mut |row| {
            run.charge_row(&row)?;
            let fields = names.iter().zip(row).filter_map(|(n, v)| Some((Symbol::from(n), v?)));
            out.push(Struct { fields: fields.collect() });
            Ok(Flow::More)
        })?,
        InsertRows::DocumentQuery(query) => run.query(query, outer, None, &mut |row| {
            run.charge_row(&row)?;
            if let Some(Some(value)) = row.into_iter().next() {
                collect(value)?;
            }
            Ok(Flow::More)
        })?,
        InsertRows::Documents { expr, single } => match run.eval(expr, &env)? {
            Some(Value::List(items)) if !single => items.into_iter().try_for_each(&mut collect)?,
            Some(value) => collect(value)?,
            None => {
                return Err(QueryError::new(SqlState::DATATYPE_MISMATCH, "a document must be a struct, not MISSING"));
            }
        },
    }
    Ok(out)
}

fn document_id_row(id: Id) -> Value {
    Value::Struct(Struct::from_fields([("documentId", Value::string(id.to_string()))]))
}

impl Work<'_> {
    /// For defaults and checks, which are SQL, whatever the statement is.
    pub(super) fn judge<'r>(&'r self, tx: &'r Transaction) -> Run<'r> {
        Run::new(self.plan, tx, self.params, self.session).in_sql()
    }

    /// Adds many documents, each made of an item and its number. On several threads, unless that would give defaults and
    /// identities in another order than the rows'. The error is that of the first row that has one.
    fn load<T: Send>(
        &self,
        plan: &InsertPlan,
        items: Vec<T>,
        make: &(dyn Fn(T, usize) -> Result<Struct> + Sync),
        tx: &mut Transaction,
    ) -> Result<Vec<Id>> {
        let (table, checks) = (&plan.table, &plan.checks);
        let salts = tx.salts(table, items.len());
        let has_defaults =
            checks.defaults.iter().any(Option::is_some) || table.columns.iter().any(|c| c.identity.is_some());
        let chunk_min = if has_defaults { usize::MAX } else { LOAD_CHUNK_MIN };
        let parts: Vec<Result<Vec<ReadyDocument>>> = {
            let reader = &*tx;
            spread_owned(items, chunk_min, |first, part| {
                let (run, mut preparer) = (self.judge(reader), reader.preparer(table));
                for (item, number) in part.into_iter().zip(first..) {
                    run.tick()?;
                    let document = self.complete(&run, table, checks, make(item, number)?)?;
                    preparer.add(&document, salts.get(number))?;
                }
                Ok(preparer.finish())
            })
        };
        let mut ids = Vec::new();
        for part in parts {
            ids.append(&mut tx.load(table, part?)?);
        }
        Ok(ids)
    }

    /// Defaults, types, not-null and check constraints.
    pub(super) fn complete(
        &self,
        run: &Run<'_>,
        table: &Arc<Table>,
        checks: &TableChecks,
        mut document: Struct,
    ) -> Result<Value> {
        if !table.is_declared() {
            return Ok(Value::Struct(document));
        }
        let env = Env { row: &[], outer: None };
        for (column, default) in table.columns.iter().zip(&checks.defaults) {
            if document.get(&column.name).is_some() {
                continue;
            }
            let value = match default {
                Some(ex) => run.eval(ex, &env)?,
                None if column.identity.is_some() => {
                    Some(Value::int(run.call.session.next_identity(run.tx, table, column)?))
                }
                None => None,
            };
            if let Some(value) = value {
                document.fields.push((Symbol::from(&column.name), storable(value, &column.ty)));
            }
        }
        order_fields(table, &mut document);
        self.constrained(run, table, checks, document)
    }

    /// Types, not-null and check constraints of a document that is otherwise ready.
    pub(super) fn constrained(
        &self,
        run: &Run<'_>,
        table: &Arc<Table>,
        checks: &TableChecks,
        mut document: Struct,
    ) -> Result<Value> {
        if !table.is_declared() {
            return Ok(Value::Struct(document));
        }
        table.check_types(&mut document)?;
        let value = Value::Struct(document);
        if checks.checks.is_empty() {
            return Ok(value);
        }
        let slots: Tuple = vec![Slot::Value(value)];
        let env = Env { row: &slots, outer: None };
        for (name, check) in &checks.checks {
            // A check that is unknown holds.
            if matches!(run.eval(check, &env)?, Some(Value::Bool(false))) {
                let violated = table.checks.iter().find(|c| c.name == *name);
                return Err(violated.map_or_else(
                    || QueryError::new(SqlState::CHECK_VIOLATION, format!("check constraint \"{name}\" is violated")),
                    |c| table.check_violation(c),
                ));
            }
        }
        match slots.into_iter().next() {
            Some(Slot::Value(value)) => Ok(value),
            _ => Err(QueryError::internal("the document went missing")),
        }
    }
}

impl Changes<'_> {
    pub(super) fn runner<'r>(&'r self, tx: &'r Transaction) -> Run<'r> {
        Run::new(self.work.plan, tx, self.work.params, self.work.session).knowing(&self.known)
    }

    /// The statement's body and the changes in its WITH, each of which is done once and to its end. Those that are read come
    /// before what reads them, the others behind the statement, the last one first, as PostgreSQL has it.
    fn with_those_inside(&self, tx: &mut Transaction) -> Result<Outcome> {
        let inside = self.work.plan.ctes.iter().enumerate();
        for (id, cte) in inside.clone().filter(|(_, cte)| cte.reads > 0) {
            if let CteRows::Change(body) = &cte.rows
                && let Outcome::Affected { returning: Some(rows), .. } = self.part(body, false, tx)?
            {
                self.known.ctes.set(id, Rc::new(rows));
            }
        }
        let outcome = self.part(&self.work.plan.body, true, tx)?;
        for (_, cte) in inside.rev().filter(|(_, cte)| cte.reads == 0) {
            if let CteRows::Change(body) = &cte.rows {
                self.part(body, false, tx)?;
            }
        }
        Ok(outcome)
    }

    fn part(&self, body: &Body, is_answer: bool, tx: &mut Transaction) -> Result<Outcome> {
        let outcome = self.made(body, is_answer, tx)?;
        if let Outcome::Affected { document_ids, .. } = &outcome
            && self.work.plan.changes_in_with()
        {
            self.changed.borrow_mut().extend(document_ids);
        }
        Ok(outcome)
    }

    /// Whether a part before has changed a document, so that the next leaves it alone.
    pub(super) fn has_changed(&self, document: Id) -> bool {
        self.changed.borrow().contains(&document)
    }

    /// One change, or the query that the changes of its WITH belong to. `is_answer`: its rows go to the client.
    fn made(&self, body: &Body, is_answer: bool, tx: &mut Transaction) -> Result<Outcome> {
        match body {
            Body::Insert(insert) => self.insert(insert, is_answer, tx),
            Body::Update(update) => self.update(update, is_answer, tx),
            Body::Delete(delete) => self.delete(delete, is_answer, tx),
            Body::Merge(merge) => self.merge(merge, is_answer, tx),
            Body::Query(query) => self.query(query, tx),
        }
    }

    pub(super) fn begun(&self, command: &'static str, returns: bool, is_answer: bool) -> Done<'_> {
        let returning = returns.then(|| Collector::new(self.memory, self.workspace));
        Done { command, count: 0, returning, is_answer, ids: Vec::new() }
    }

    fn query(&self, query: &QueryPlan, tx: &Transaction) -> Result<Outcome> {
        let mut done = self.begun("SELECT", true, true);
        let run = self.runner(tx);
        run.query(query, None, None, &mut |row| {
            run.tick()?;
            done.count += 1;
            self.kept(&mut done, row, &run)?;
            Ok(Flow::More)
        })?;
        done.outcome(false)
    }

    // INSERT

    fn insert(&self, plan: &InsertPlan, is_answer: bool, tx: &mut Transaction) -> Result<Outcome> {
        let table = &plan.table;
        let run = self.runner(tx);
        let documents = new_documents(&run, table, &plan.source, plan.gives_identities, None)?;
        drop(run);
        if documents.len() >= LOAD_MIN && plan.conflict.is_none() && plan.returning.is_none() && tx.takes_loads(table) {
            let ids = self.work.load(plan, documents, &|document, _| Ok(document), tx)?;
            let done = Done { count: ids.len() as u64, ids, ..self.begun("INSERT", false, is_answer) };
            return done.outcome(plan.document_ids);
        }
        let mut done = self.begun("INSERT", plan.returning.is_some(), is_answer);
        let mut touched: HashSet<Id> = HashSet::new();
        for document in documents {
            let document = self.work.complete(&self.work.judge(tx), table, &plan.checks, document)?;
            if let Some(conflict) = &plan.conflict
                && let Some(found) = conflicting(conflict, table, &document, tx)?
            {
                if let Some(doc) = self.resolve_conflict(plan, conflict, found, document, &mut touched, tx)? {
                    self.returned(&mut done, plan.returning.as_deref(), plan.width, &doc, tx)?;
                }
                continue;
            }
            let doc = tx.insert(table, document)?;
            touched.insert(doc.id);
            self.returned(&mut done, plan.returning.as_deref(), plan.width, &doc, tx)?;
        }
        done.outcome(plan.document_ids)
    }

    fn resolve_conflict(
        &self,
        plan: &InsertPlan,
        conflict: &ConflictPlan,
        found: Arc<Doc>,
        excluded: Value,
        touched: &mut HashSet<Id>,
        tx: &mut Transaction,
    ) -> Result<Option<Doc>> {
        let Some((changes, filter)) = &conflict.update else { return Ok(None) };
        let new = {
            let run = self.runner(tx);
            let mut slots: Tuple = vec![Slot::Empty; plan.width];
            if let Some(slot) = slots.get_mut(0) {
                *slot = Slot::Doc(Arc::clone(&found));
            }
            if let Some(slot) = slots.get_mut(1) {
                *slot = Slot::Value(excluded);
            }
            let env = Env { row: &slots, outer: None };
            if let Some(filter) = filter
                && !Run::is_true(&run.eval(filter, &env)?)
            {
                return Ok(None);
            }
            if !touched.insert(found.id) || self.has_changed(found.id) {
                return Err(second_time(
                    "ON CONFLICT DO UPDATE",
                    "Ensure that no rows proposed for insertion within the same command have duplicate constrained values.",
                ));
            }
            match changed(&run, &plan.table, changes, &found, &env, &mut HashSet::new())? {
                Changed::Document(document) => {
                    self.work.constrained(&self.work.judge(tx), &plan.table, &plan.checks, document)?
                }
                Changed::Deleted => return Err(QueryError::internal("a conflict cannot delete")),
            }
        };
        tx.replace(&plan.table, &found, new).map(Some)
    }

    // UPDATE and DELETE

    fn update(&self, plan: &UpdatePlan, is_answer: bool, tx: &mut Transaction) -> Result<Outcome> {
        let targets = self.targets(&plan.from, &plan.filter, plan.slot, plan.width, tx)?;
        let mut done = self.begun("UPDATE", plan.returning.is_some(), is_answer);
        let mut work: Vec<(Arc<Doc>, Option<Value>, Tuple)> = Vec::with_capacity(targets.len());
        {
            let (run, judge) = (self.runner(tx), self.work.judge(tx));
            // An element that goes takes the place of none before it, so the last goes first.
            let backwards = plan.changes.iter().any(removes_an_element);
            for target in targets {
                run.tick()?;
                let Target { doc, mut tuples } = target;
                if backwards {
                    tuples.reverse();
                }
                let mut removed = HashSet::new();
                let mut current = Arc::clone(&doc);
                let mut new = None;
                let mut last: Tuple = Vec::new();
                let meetings = tuples.len();
                // In PartiQL a document may be met several times, once for each element of a list it ranges over; each
                // meeting changes what the one before has left.
                for (at, mut tuple) in tuples.into_iter().enumerate() {
                    set_doc(&mut tuple, plan.slot, Arc::clone(&current));
                    let env = Env { row: &tuple, outer: None };
                    match changed(&run, &plan.table, &plan.changes, &current, &env, &mut removed)? {
                        Changed::Document(document) => {
                            if at + 1 < meetings {
                                let data = Some(Arc::new(Value::Struct(document.clone())));
                                current = Arc::new(Doc { data, ..(*current).clone() });
                            }
                            new = Some(document);
                        }
                        Changed::Deleted => {
                            new = None;
                            break;
                        }
                    }
                    last = tuple;
                }
                let value = match new {
                    Some(document) => Some(self.work.constrained(&judge, &plan.table, &plan.checks, document)?),
                    None => None,
                };
                work.push((doc, value, last));
            }
        }
        for (doc, value, mut tuple) in work {
            if self.has_changed(doc.id) {
                continue;
            }
            match value {
                Some(value) => {
                    let new = tx.replace(&plan.table, &doc, value)?;
                    if plan.returning.is_some() {
                        set_doc(&mut tuple, plan.slot, Arc::new(new));
                    }
                    self.returned_tuple(&mut done, plan.returning.as_deref(), &tuple, doc.id, tx)?;
                }
                None => {
                    tx.delete(&plan.table, &doc)?;
                    done.affected(doc.id);
                }
            }
        }
        done.outcome(plan.document_ids)
    }

    fn delete(&self, plan: &DeletePlan, is_answer: bool, tx: &mut Transaction) -> Result<Outcome> {
        let targets = self.targets(&plan.from, &plan.filter, plan.slot, plan.width, tx)?;
        let mut done = self.begun("DELETE", plan.returning.is_some(), is_answer);
        for target in targets {
            if self.has_changed(target.doc.id) {
                continue;
            }
            let tuple = target.tuples.into_iter().next().unwrap_or_default();
            self.returned_tuple(&mut done, plan.returning.as_deref(), &tuple, target.doc.id, tx)?;
            tx.delete(&plan.table, &target.doc)?;
        }
        done.outcome(plan.document_ids)
    }

    /// The documents to change, each once, in the order they were found, with the rows that named them.
    fn targets(&self, from: &Node, filter: &[Ex], slot: u32, width: usize, tx: &Transaction) -> Result<Vec<Target>> {
        let run = self.runner(tx);
        let mut targets: Vec<Target> = Vec::new();
        let mut places: std::collections::HashMap<Id, usize> = std::collections::HashMap::new();
        let partiql = run.partiql;
        run.node(from, width, None, &mut |tuple| {
            if !run.passes(filter, &Env { row: tuple, outer: None })? {
                return Ok(Flow::More);
            }
            let Some(Slot::Doc(doc)) = tuple.get(slot as usize) else { return Ok(Flow::More) };
            match places.get(&doc.id).and_then(|at| targets.get_mut(*at)) {
                // SQL: of several matches one changes the row.
                Some(target) => {
                    if partiql {
                        run.charge_tuple(tuple)?;
                        target.tuples.push(tuple.clone());
                    }
                }
                None => {
                    run.charge_tuple(tuple)?;
                    places.insert(doc.id, targets.len());
                    targets.push(Target { doc: doc.clone(), tuples: vec![tuple.clone()] });
                }
            }
            Ok(Flow::More)
        })?;
        Ok(targets)
    }

    fn returned(
        &self,
        done: &mut Done<'_>,
        returning: Option<&[Ex]>,
        width: usize,
        doc: &Doc,
        tx: &Transaction,
    ) -> Result<()> {
        let mut tuple: Tuple = vec![Slot::Empty; if returning.is_some() { width } else { 0 }];
        if returning.is_some() {
            set_doc(&mut tuple, 0, Arc::new(doc.clone()));
        }
        self.returned_tuple(done, returning, &tuple, doc.id, tx)
    }

    fn returned_tuple(
        &self,
        done: &mut Done<'_>,
        returning: Option<&[Ex]>,
        tuple: &Tuple,
        id: Id,
        tx: &Transaction,
    ) -> Result<()> {
        done.affected(id);
        if let Some(exprs) = returning {
            let run = self.runner(tx);
            let env = Env { row: tuple, outer: None };
            let row: Result<Row> = exprs.iter().map(|e| run.eval(e, &env)).collect();
            self.kept(done, row?, &run)?;
        }
        Ok(())
    }

    /// Keeps a row that RETURNING, or the query behind the changes of WITH, gives.
    fn kept(&self, done: &mut Done<'_>, mut row: Row, run: &Run<'_>) -> Result<()> {
        if done.is_answer {
            super::name_oids(self.work.plan, &run.call, &mut row);
        }
        done.returning.as_mut().map_or(Ok(()), |rows| rows.push(row))
    }
}

struct Target {
    doc: Arc<Doc>,
    tuples: Vec<Tuple>,
}

pub(super) fn second_time(command: &str, hint: &str) -> QueryError {
    let message = format!("{command} command cannot affect row a second time");
    QueryError::new(SqlState::CARDINALITY_VIOLATION, message).hint(hint)
}

fn set_doc(tuple: &mut Tuple, slot: u32, doc: Arc<Doc>) {
    if let Some(place) = tuple.get_mut(slot as usize) {
        *place = Slot::Doc(doc);
    }
}

/// The document that holds one of the new document's unique keys, as the statement has left it so far.
fn conflicting(
    conflict: &ConflictPlan,
    table: &Arc<Table>,
    document: &Value,
    tx: &Transaction,
) -> Result<Option<Arc<Doc>>> {
    for index in &conflict.indexes {
        if !index.key_is_complete(document) {
            continue;
        }
        if let Some(doc) = tx.lookup_written(table, index, &index.key_of(document))?.into_iter().next() {
            return Ok(Some(doc));
        }
    }
    Ok(None)
}
