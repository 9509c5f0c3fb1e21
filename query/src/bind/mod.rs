//! The binder: names, types and coercions of a statement resolved once, by the rules of its dialect; access paths
//! chosen (DESIGN section 7, "Two front ends, one catalogue, one binder").

mod access;
mod call;
mod changes;
mod cheap;
mod checks;
mod dml;
mod explain;
mod expr;
mod forward;
mod from;
mod group;
mod grouping;
mod identity;
mod join;
mod merge;
mod names;
mod operator;
mod origin;
pub mod plan;
pub(crate) mod point;
mod query;
mod quick;
mod row;
mod scope;
mod select;
mod types;
mod untyped;
pub(crate) mod walk;
mod with;

use std::sync::Arc;

use ledgerstone_digest::id::Id;

use crate::ast::{Name, Statement};
use crate::catalogue::Table;
use crate::error::{QueryError, Result, SqlState};
use crate::permission::Action;
use crate::session::{Dialect, SessionInfo};
use crate::transaction::Transaction;
use crate::types::SqlType;
use plan::{Body, Cte, Plan, ResultColumn, Step, changes_in};
use query::CteName;
use scope::Level;

pub(crate) use changes::{EACH as CHANGES_COLUMNS, NET as DIFF_COLUMNS};
pub(crate) use checks::parse_expression;
pub use plan::Datum;
pub(crate) use types::unsized_type;
pub(crate) use untyped::type_name;
#[cfg(feature = "analytics")]
pub(crate) use walk::own_slots as slots_read;
#[cfg(feature = "analytics")]
pub(crate) use walk::walk as each_part;

/// The most columns a result may have, as in PostgreSQL.
pub const COLUMNS_MAX: usize = 1664;

/// Gives a deep walk more stack when little is left: trees are at most `ast::DEPTH_MAX` high, but a step of a debug build
/// may take tens of kilobytes.
pub(crate) fn deep<T>(work: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(256 << 10, 2 << 20, work)
}

/// What binding needs to know.
pub struct PlanContext<'a> {
    pub tx: &'a Transaction,
    /// The statement's text, which spans point into.
    pub text: &'a str,
    pub dialect: Dialect,
    /// Types the client gave its parameters, as far as it did.
    pub parameter_types: &'a [Option<SqlType>],
    pub session: &'a SessionInfo,
}

/// Binds a query or a statement that changes documents. Everything else is not planned here.
pub fn plan(ctx: &mut PlanContext<'_>, statement: &Statement) -> Result<Arc<Plan>> {
    plan_with(ctx, statement, None)
}

/// The same for the query that stands for an expression which a table is to keep, a DEFAULT or a CHECK. It is computed
/// later with the rights of whoever writes, so it may not read anything that its author could not (0A000). Only asked
/// when it is defined: what a table has kept from before goes on working.
pub(crate) fn plan_of_definition(
    ctx: &mut PlanContext<'_>,
    statement: &Statement,
    what: &'static str,
) -> Result<Arc<Plan>> {
    plan_with(ctx, statement, Some(what))
}

fn plan_with(ctx: &mut PlanContext<'_>, statement: &Statement, defines: Option<&'static str>) -> Result<Arc<Plan>> {
    let mut binder = Binder { defines, ..Binder::new(ctx) };
    if let Statement::Explain { statement, .. } = statement {
        return plan_with(ctx, statement, defines);
    }
    let (body, columns) = binder.statement(statement)?;
    Ok(Arc::new(binder.finish(ctx, body, columns)))
}

/// A plan that inserts the documents of its one parameter, a list: what COPY runs.
pub(crate) fn insert_documents(ctx: &mut PlanContext<'_>, table: &Arc<Table>) -> Result<Plan> {
    let mut binder = Binder::new(ctx);
    let body = binder.insert_parameter(table)?;
    Ok(binder.finish(ctx, body, None))
}

pub(crate) struct Binder<'a> {
    tx: &'a Transaction,
    partiql: bool,
    session: &'a SessionInfo,
    params: Vec<Option<SqlType>>,
    tables: Vec<Arc<Table>>,
    uses: Vec<(Arc<Table>, Action)>,
    reads_catalogue: bool,
    ctes: Vec<Cte>,
    cte_names: Vec<CteName>,
    /// The names of each WITH RECURSIVE around.
    forward: Vec<forward::Forward>,
    /// Common tables whose rows are others at every step of the recursive term being bound, and which of them were read.
    working: Vec<usize>,
    working_read: Vec<usize>,
    levels: Vec<Level>,
    ids: usize,
    /// Tables that were named so far to be read, and to be changed.
    read: Vec<Id>,
    changed: Vec<Id>,
    /// Subqueries so far.
    subqueries: usize,
    /// Some of them are computed while documents change: where in `read` the first one's tables begin.
    reads_late: Option<usize>,
    /// Names of changes in WITH RECURSIVE that are being bound, which may not read themselves.
    changing: Vec<Arc<str>>,
    /// The next source is the table to change, whatever WITH queries are called.
    is_target: bool,
    /// The query being bound has a LIMIT.
    limited: bool,
    /// Variables that range over lists: their slot, the list, and the slot of the element's number.
    element_places: Vec<(u32, plan::Ex, u32)>,
    costs: quick::Costs,
    /// The kind of the expression that is to be kept, if one is being defined.
    defines: Option<&'static str>,
}

impl<'a> Binder<'a> {
    fn new(ctx: &PlanContext<'a>) -> Self {
        Binder {
            tx: ctx.tx,
            partiql: ctx.dialect == Dialect::PartiQl,
            session: ctx.session,
            params: ctx.parameter_types.to_vec(),
            tables: vec![],
            uses: vec![],
            reads_catalogue: false,
            ctes: vec![],
            cte_names: vec![],
            forward: vec![],
            working: vec![],
            working_read: vec![],
            levels: vec![],
            ids: 0,
            read: vec![],
            changed: vec![],
            subqueries: 0,
            reads_late: None,
            changing: vec![],
            is_target: false,
            limited: false,
            element_places: vec![],
            costs: quick::Costs::default(),
            defines: None,
        }
    }

    /// A query or a change of documents: the statement itself, or one inside its WITH.
    fn statement(&mut self, statement: &Statement) -> Result<(Body, Option<Vec<query::OutputColumn>>)> {
        match statement {
            Statement::Query(query) => {
                let (plan, columns) = self.query(query)?;
                Ok((Body::Query(Box::new(plan)), Some(columns)))
            }
            Statement::Insert(insert) => self.insert(insert),
            Statement::Update(update) => self.update(update),
            Statement::Delete(delete) => self.delete(delete),
            Statement::Merge(merge) => self.merge(merge),
            _ => Err(QueryError::internal("this statement is not planned by the binder")),
        }
    }

    /// Refuses what reads more than its row in an expression that a table is to keep.
    fn not_kept(&self, part: impl FnOnce() -> String) -> Result<()> {
        match self.defines {
            Some(what) => {
                let message = format!("cannot use {} in {what}", part());
                Err(QueryError::new(SqlState::FEATURE_NOT_SUPPORTED, message)
                    .hint("It would be computed with the rights of whoever writes a row: compute it in the statement."))
            }
            None => Ok(()),
        }
    }

    fn next_id(&mut self) -> usize {
        self.ids += 1;
        self.ids - 1
    }

    /// The tables that the statement changes and reads meanwhile.
    fn held(&self) -> Vec<Id> {
        let from = match self.reads_late {
            _ if changes_in(&self.ctes) => 0,
            // A WITH query is computed when it is first read.
            Some(_) if !self.ctes.is_empty() => 0,
            Some(late) => late,
            None => return Vec::new(),
        };
        let mut held: Vec<Id> = self.read.get(from..).unwrap_or_default().to_vec();
        held.retain(|table| self.changed.contains(table));
        held.sort_unstable();
        held.dedup();
        held
    }

    fn finish(self, ctx: &PlanContext<'_>, body: Body, columns: Option<Vec<query::OutputColumn>>) -> Plan {
        // What is an oid inside the statement leaves it as a name.
        let reg = |(at, (_, ty)): (usize, &query::OutputColumn)| match ty {
            SqlType::Reg(reg) => Some((at, *reg)),
            _ => None,
        };
        let shown = |ty| if matches!(ty, SqlType::Reg(_)) { SqlType::Text } else { ty };
        let held = self.held();
        let mut plan = Plan {
            reg_columns: columns.iter().flatten().enumerate().filter_map(reg).collect(),
            columns: columns.map(|c| {
                let origins = origin::origins(&body).into_iter().chain(std::iter::repeat(None));
                let column = |((name, ty), origin)| ResultColumn { name, ty: shown(ty), origin };
                c.into_iter().zip(origins).map(column).collect()
            }),
            // A parameter nothing gave a type is text.
            parameter_types: self.params.into_iter().map(|t| t.unwrap_or(SqlType::Text)).collect(),
            catalogue_version: ctx.tx.catalogue().version,
            dialect: ctx.dialect,
            body,
            tables: self.tables,
            uses: self.uses,
            reads_catalogue: self.reads_catalogue,
            held,
            ctes: self.ctes,
            pace: self.costs.pace(),
            point: None,
            cheap: std::sync::OnceLock::new(),
        };
        plan.point = point::Point::of(&plan);
        plan
    }
}

/// A field step for a name: exact in PartiQL and in quotes, otherwise as written with any case as second choice.
fn field_step(name: &Name, partiql: bool) -> Step {
    match partiql || name.quoted {
        true => Step::Field { name: name.text.clone(), any_case: false },
        false => Step::Field { name: name.written.clone(), any_case: true },
    }
}
