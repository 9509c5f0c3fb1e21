//! INSERT, UPDATE and DELETE. What is to change is found first, on the state before the statement; then it is changed.

use std::collections::HashSet;
use std::sync::Arc;

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::{Struct, Symbol, Value};
use ledgerstone_journal::spread::spread_owned;

use super::Outcome;
use super::eval::{field, storable};
use super::run::{Env, Flow, Row, Run, Slot, Tuple};
use crate::bind::plan::{
    Body, ChangePlan, ConflictPlan, Datum, DeletePlan, Ex, InsertPlan, InsertRows, Node, Plan, Step, TableChecks,
    UpdatePlan,
};
use crate::catalogue::Table;
use crate::error::{QueryError, Result, SqlState};
use crate::session::SessionInfo;
use crate::transaction::bulk::ReadyDocument;
use crate::transaction::{Doc, Transaction, View};

pub(super) fn run(plan: &Plan, tx: &mut Transaction, params: &[Datum], session: &SessionInfo) -> Result<Outcome> {
    let work = Work { plan, params, session };
    match &plan.body {
        Body::Insert(insert) => work.insert(insert, tx),
        Body::Update(update) => work.update(update, tx),
        Body::Delete(delete) => work.delete(delete, tx),
        Body::Query(_) => Err(QueryError::internal("a query is not run here")),
    }
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

struct Work<'a> {
    plan: &'a Plan,
    params: &'a [Datum],
    session: &'a SessionInfo,
}

/// What a statement has done so far.
struct Done {
    command: &'static str,
    count: u64,
    returning: Option<Vec<Row>>,
    ids: Vec<Id>,
}

impl Done {
    fn outcome(self, document_ids: bool) -> Outcome {
        let returning = match document_ids {
            true => Some(self.ids.iter().map(|id| vec![Some(document_id_row(*id))]).collect()),
            false => self.returning,
        };
        Outcome::Affected { command: self.command, count: self.count, returning, document_ids: self.ids }
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

fn document_id_row(id: Id) -> Value {
    Value::Struct(Struct::from_fields([("documentId", Value::string(id.to_string()))]))
}

impl Work<'_> {
    fn runner<'r>(&'r self, tx: &'r Transaction) -> Run<'r> {
        Run::new(self.plan, tx, self.params, self.session)
    }

    /// For defaults and checks, which are SQL, whatever the statement is.
    fn judge<'r>(&'r self, tx: &'r Transaction) -> Run<'r> {
        self.runner(tx).in_sql()
    }

    // INSERT

    fn insert(&self, plan: &InsertPlan, tx: &mut Transaction) -> Result<Outcome> {
        let table = &plan.table;
        let documents = self.new_documents(plan, tx)?;
        if documents.len() >= LOAD_MIN && plan.conflict.is_none() && plan.returning.is_none() && tx.takes_loads(table) {
            let ids = self.load(plan, documents, &|document, _| Ok(document), tx)?;
            let done = Done { command: "INSERT", count: ids.len() as u64, returning: None, ids };
            return Ok(done.outcome(plan.document_ids));
        }
        let returning = plan.returning.as_ref().map(|_| Vec::new());
        let mut done = Done { command: "INSERT", count: 0, returning, ids: Vec::new() };
        let mut touched: HashSet<Id> = HashSet::new();
        for document in documents {
            let document = self.complete(&self.judge(tx), table, &plan.checks, document)?;
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
        Ok(done.outcome(plan.document_ids))
    }

    /// Adds many documents, each made of an item and its number. On several threads, unless that would give defaults and
    /// identities in another order than the rows'. The error is that of the first row that has one.
    pub(super) fn load<T: Send>(
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

    /// Documents as the statement gives them: defaults and checks are still to come.
    fn new_documents(&self, plan: &InsertPlan, tx: &Transaction) -> Result<Vec<Struct>> {
        let run = self.runner(tx);
        let table = &plan.table;
        let env = Env { row: &[], outer: None };
        let mut out: Vec<Struct> = Vec::new();
        let mut collect = |value: Value| -> Result<()> {
            let document = as_document(value)?;
            if !plan.gives_identities {
                no_identities_given(table, &document)?;
            }
            out.push(document);
            Ok(())
        };
        match &plan.source {
            InsertRows::Defaults => out.push(Struct::default()),
            InsertRows::Columns { columns, query } => run.query(query, None, None, &mut |row| {
                run.charge_row(&row)?;
                let mut fields = Vec::with_capacity(row.len());
                for (at, value) in columns.iter().zip(row) {
                    let Some(column) = at.and_then(|at| table.columns.get(at)) else { continue };
                    // An explicit NULL is no reason for a default: it is kept until the defaults are filled in.
                    let value = value.map_or(Value::NULL, |v| storable(v, &column.ty));
                    fields.push((Symbol::new(column.name.clone()), value));
                }
                out.push(Struct { fields });
                Ok(Flow::More)
            })?,
            InsertRows::Fields { names, query } => run.query(query, None, None, &mut |row| {
                run.charge_row(&row)?;
                let fields = names.iter().zip(row).filter_map(|(n, v)| Some((Symbol::new(n.clone()), v?)));
                out.push(Struct { fields: fields.collect() });
                Ok(Flow::More)
            })?,
            InsertRows::DocumentQuery(query) => run.query(query, None, None, &mut |row| {
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
                    return Err(QueryError::new(
                        SqlState::DATATYPE_MISMATCH,
                        "a document must be a struct, not MISSING",
                    ));
                }
            },
        }
        Ok(out)
    }

    /// Defaults, types, not-null and check constraints.
    fn complete(&self, run: &Run<'_>, table: &Arc<Table>, checks: &TableChecks, mut document: Struct) -> Result<Value> {
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
                None if column.identity.is_some() => Some(Value::int(run.tx.next_identity(table, column)?)),
                None => None,
            };
            if let Some(value) = value {
                document.fields.push((Symbol::new(column.name.clone()), storable(value, &column.ty)));
            }
        }
        order_fields(table, &mut document);
        self.constrained(run, table, checks, document)
    }

    /// Types, not-null and check constraints of a document that is otherwise ready.
    fn constrained(
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
            if !touched.insert(found.id) {
                return Err(second_time());
            }
            match changed(&run, &plan.table, changes, &found, &env, &mut HashSet::new())? {
                Changed::Document(document) => {
                    self.constrained(&self.judge(tx), &plan.table, &plan.checks, document)?
                }
                Changed::Deleted => return Err(QueryError::internal("a conflict cannot delete")),
            }
        };
        tx.replace(&plan.table, &found, new).map(Some)
    }

    // UPDATE and DELETE

    fn update(&self, plan: &UpdatePlan, tx: &mut Transaction) -> Result<Outcome> {
        let targets = self.targets(&plan.from, &plan.filter, plan.slot, plan.width, tx)?;
        let returning = plan.returning.as_ref().map(|_| Vec::new());
        let mut done = Done { command: "UPDATE", count: 0, returning, ids: Vec::new() };
        let mut work: Vec<(Arc<Doc>, Option<Value>, Tuple)> = Vec::with_capacity(targets.len());
        {
            let (run, judge) = (self.runner(tx), self.judge(tx));
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
                    Some(document) => Some(self.constrained(&judge, &plan.table, &plan.checks, document)?),
                    None => None,
                };
                work.push((doc, value, last));
            }
        }
        for (doc, value, mut tuple) in work {
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
                    done.count += 1;
                    done.ids.push(doc.id);
                }
            }
        }
        Ok(done.outcome(plan.document_ids))
    }

    fn delete(&self, plan: &DeletePlan, tx: &mut Transaction) -> Result<Outcome> {
        let targets = self.targets(&plan.from, &plan.filter, plan.slot, plan.width, tx)?;
        let returning = plan.returning.as_ref().map(|_| Vec::new());
        let mut done = Done { command: "DELETE", count: 0, returning, ids: Vec::new() };
        for target in targets {
            let tuple = target.tuples.into_iter().next().unwrap_or_default();
            self.returned_tuple(&mut done, plan.returning.as_deref(), &tuple, target.doc.id, tx)?;
            tx.delete(&plan.table, &target.doc)?;
        }
        Ok(done.outcome(plan.document_ids))
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
        done: &mut Done,
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
        done: &mut Done,
        returning: Option<&[Ex]>,
        tuple: &Tuple,
        id: Id,
        tx: &Transaction,
    ) -> Result<()> {
        done.count += 1;
        done.ids.push(id);
        if let (Some(exprs), Some(rows)) = (returning, &mut done.returning) {
            let run = self.runner(tx);
            let env = Env { row: tuple, outer: None };
            let row: Result<Row> = exprs.iter().map(|e| run.eval(e, &env)).collect();
            rows.push(row?);
        }
        Ok(())
    }
}

struct Target {
    doc: Arc<Doc>,
    tuples: Vec<Tuple>,
}

fn second_time() -> QueryError {
    QueryError::new(SqlState::CARDINALITY_VIOLATION, "ON CONFLICT DO UPDATE command cannot affect row a second time")
        .hint("Ensure that no rows proposed for insertion within the same command have duplicate constrained values.")
}

fn set_doc(tuple: &mut Tuple, slot: u32, doc: Arc<Doc>) {
    if let Some(place) = tuple.get_mut(slot as usize) {
        *place = Slot::Doc(doc);
    }
}

/// The current document that holds one of the new document's unique keys.
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
        if let Some(doc) = tx.lookup(table, index, &index.key_of(document), View::Current)?.into_iter().next() {
            return Ok(Some(doc));
        }
    }
    Ok(None)
}

/// Fields of declared columns in the columns' order.
fn order_fields(table: &Table, document: &mut Struct) {
    let place = |name: &Symbol| table.columns.iter().position(|c| Some(&*c.name) == name.text()).unwrap_or(usize::MAX);
    if !document.fields.is_sorted_by_key(|(name, _)| place(name)) {
        document.fields.sort_by_key(|(name, _)| place(name));
    }
}

enum Changed {
    Document(Struct),
    Deleted,
}

fn removes_an_element(change: &ChangePlan) -> bool {
    matches!(change, ChangePlan::Remove { path } if path.iter().any(|step| matches!(step, Step::Index(_))))
}

/// The document after an UPDATE's changes. All values are computed over the row before. `removed`: what is gone already, when
/// the document is met again.
fn changed(
    run: &Run<'_>,
    table: &Table,
    changes: &[ChangePlan],
    doc: &Doc,
    env: &Env<'_>,
    removed: &mut HashSet<Vec<Place>>,
) -> Result<Changed> {
    let mut value = match doc.data.as_deref() {
        Some(data) => data.clone(),
        None => Value::Struct(Struct::default()),
    };
    let mut ready = Vec::with_capacity(changes.len());
    for change in changes {
        ready.push(match change {
            ChangePlan::Set { path, value, column } => {
                let new = run.eval(value, env)?;
                let new = match column.and_then(|c| table.columns.get(c)) {
                    Some(column) => new.map(|v| storable(v, &column.ty)),
                    None => new,
                };
                Ready::Set(run.judged_places(table, path, env)?, new)
            }
            ChangePlan::InsertInto { path, value, at } => {
                let new = run.eval(value, env)?;
                let at = at.as_ref().map(|a| run.eval(a, env)).transpose()?.flatten();
                Ready::Insert(run.judged_places(table, path, env)?, new, at)
            }
            ChangePlan::Remove { path } => Ready::Remove(run.judged_places(table, path, env)?),
            ChangePlan::Delete => return Ok(Changed::Deleted),
        });
    }
    for change in ready {
        match change {
            Ready::Set(path, new) => set_at(&mut value, &path, new)?,
            Ready::Insert(path, Some(new), at) => insert_at(&mut value, &path, new, at)?,
            Ready::Insert(_, None, _) => {}
            Ready::Remove(path) => {
                if removed.insert(path.clone()) {
                    set_at(&mut value, &path, None)?;
                }
            }
        }
    }
    match value {
        Value::Struct(mut document) => {
            if table.is_declared() {
                order_fields(table, &mut document);
            }
            Ok(Changed::Document(document))
        }
        _ => Err(QueryError::new(SqlState::DATATYPE_MISMATCH, "a document must stay a struct")),
    }
}

enum Ready {
    Set(Vec<Place>, Datum),
    Insert(Vec<Place>, Datum, Datum),
    Remove(Vec<Place>),
}

/// A step of a target path with its index computed.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Place {
    Field(Arc<str>, bool),
    At(i64),
}

impl Run<'_> {
    /// A target's places. A column that is GENERATED ALWAYS was looked for in the path when it was bound, so that only a name
    /// that is computed is left to be judged.
    fn judged_places(&self, table: &Table, path: &[Step], env: &Env<'_>) -> Result<Vec<Place>> {
        let places = self.places(path, env)?;
        if !matches!(path.first(), Some(Step::Field { .. }))
            && let Some(Place::Field(name, _)) = places.first()
            && let Some(column) = table.column(name).filter(|column| column.is_always_identity())
        {
            return Err(column.only_default());
        }
        Ok(places)
    }

    fn places(&self, path: &[Step], env: &Env<'_>) -> Result<Vec<Place>> {
        path.iter()
            .map(|step| match step {
                Step::Field { name, any_case } => Ok(Place::Field(name.clone(), *any_case)),
                Step::Index(ex) | Step::Json(ex) => match self.eval(ex, env)? {
                    Some(Value::String(name)) => Ok(Place::Field(name, false)),
                    Some(v) if v.as_i64().is_some() => Ok(Place::At(v.as_i64().unwrap_or_default())),
                    _ => Err(QueryError::new(
                        SqlState::ARRAY_SUBSCRIPT_ERROR,
                        "a place in a list is named by an integer, a field by a string",
                    )),
                },
                Step::AllElements | Step::AllFields => Err(QueryError::unsupported("changing all elements at once")
                    .hint("Range over the list: FROM t AS a, a.list AS b SET b.field = …")),
            })
            .collect()
    }
}

/// Sets (or, without a value, removes) what a path names. Missing structs on the way are made.
fn set_at(value: &mut Value, path: &[Place], new: Datum) -> Result<()> {
    let Some((place, rest)) = path.split_first() else {
        if let Some(new) = new {
            *value = new;
        }
        return Ok(());
    };
    if let Value::Annotated(inner) = value {
        return set_at(&mut inner.value, path, new);
    }
    match (place, value) {
        (Place::Field(name, any_case), Value::Struct(s)) => {
            let at = place_of(s, name, *any_case);
            match (at, rest.is_empty(), new) {
                (Some(at), true, None) => {
                    s.fields.remove(at);
                }
                (Some(at), _, new) => {
                    if let Some((_, inner)) = s.fields.get_mut(at) {
                        set_at(inner, rest, new)?;
                    }
                }
                (None, _, None) => {}
                (None, _, Some(new)) => {
                    let mut inner = Value::Struct(Struct::default());
                    set_at(&mut inner, rest, Some(new))?;
                    s.fields.push((Symbol::new(name.clone()), inner));
                }
            }
            Ok(())
        }
        (Place::At(i), Value::List(items) | Value::Sexp(items)) => {
            let length = items.len();
            let at = usize::try_from(if *i < 0 { i + length as i64 } else { *i }).unwrap_or(usize::MAX);
            match (at.cmp(&length), rest.is_empty(), new) {
                (std::cmp::Ordering::Less, true, None) => {
                    items.remove(at);
                    Ok(())
                }
                (std::cmp::Ordering::Less, _, new) => items.get_mut(at).map_or(Ok(()), |item| set_at(item, rest, new)),
                (_, _, None) => Ok(()),
                (std::cmp::Ordering::Equal, true, Some(new)) => {
                    items.push(new);
                    Ok(())
                }
                _ => Err(QueryError::new(
                    SqlState::ARRAY_SUBSCRIPT_ERROR,
                    format!("the list has {length} elements, there is no place {i}"),
                )),
            }
        }
        (_, _) if new.is_none() => Ok(()),
        // A null on the way becomes what the path needs.
        (Place::Field(..), value @ Value::Null(_)) => {
            *value = Value::Struct(Struct::default());
            set_at(value, path, new)
        }
        (Place::Field(name, _), other) => Err(QueryError::new(
            SqlState::DATATYPE_MISMATCH,
            format!("cannot set field \"{name}\" of {}", crate::value::ion_type_name(other)),
        )),
        (Place::At(i), other) => Err(QueryError::new(
            SqlState::DATATYPE_MISMATCH,
            format!("cannot set element {i} of {}", crate::value::ion_type_name(other)),
        )),
    }
}

fn place_of(s: &Struct, name: &str, any_case: bool) -> Option<usize> {
    s.fields.iter().position(|(n, _)| n.text() == Some(name)).or_else(|| {
        let same = |n: &Symbol| n.text().is_some_and(|t| t.eq_ignore_ascii_case(name));
        any_case.then(|| s.fields.iter().position(|(n, _)| same(n))).flatten()
    })
}

/// PartiQL's `INSERT INTO path VALUE v [AT k]`: into a list (at the end, or at k), or a field of a struct.
fn insert_at(value: &mut Value, path: &[Place], new: Value, at: Datum) -> Result<()> {
    if let Some((place, rest)) = path.split_first() {
        let inner = match (place, value) {
            (Place::Field(name, any_case), Value::Struct(s)) => match place_of(s, name, *any_case) {
                Some(at) => s.fields.get_mut(at).map(|(_, v)| v),
                None if rest.is_empty() => {
                    // INSERT INTO t.list VALUE v where there is no list yet begins one.
                    s.fields.push((Symbol::new(name.clone()), Value::List(Vec::new())));
                    s.fields.last_mut().map(|(_, v)| v)
                }
                None => None,
            },
            (Place::At(i), Value::List(items)) => usize::try_from(*i).ok().and_then(|i| items.get_mut(i)),
            _ => None,
        };
        return match inner {
            Some(inner) => insert_at(inner, rest, new, at),
            None => Err(QueryError::new(SqlState::DATATYPE_MISMATCH, "there is nothing at this path to insert into")),
        };
    }
    match (value, at) {
        (Value::List(items) | Value::Sexp(items), None) => items.push(new),
        (Value::List(items) | Value::Sexp(items), Some(at)) => {
            let length = items.len();
            let place = at.as_i64().and_then(|i| usize::try_from(i).ok()).filter(|i| *i <= length);
            match place {
                Some(place) => items.insert(place, new),
                None => {
                    return Err(QueryError::new(
                        SqlState::ARRAY_SUBSCRIPT_ERROR,
                        format!("the list has {length} elements; AT must name a place from 0 to {length}"),
                    ));
                }
            }
        }
        (Value::Struct(s), Some(name)) => {
            let Some(name) = name.as_text() else {
                return Err(QueryError::new(SqlState::DATATYPE_MISMATCH, "AT must name a field of the struct"));
            };
            if field(&Value::Struct(s.clone()), name, false).is_some() {
                return Err(QueryError::new(SqlState::UNIQUE_VIOLATION, format!("field \"{name}\" is there already")));
            }
            s.fields.push((Symbol::new(name), new));
        }
        (value @ Value::Null(_), None) => *value = Value::List(vec![new]),
        (other, _) => {
            return Err(QueryError::new(
                SqlState::DATATYPE_MISMATCH,
                format!("cannot insert into {}", crate::value::ion_type_name(other)),
            ));
        }
    }
    Ok(())
}
