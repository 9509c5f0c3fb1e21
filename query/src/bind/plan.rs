//! What the binder makes of a statement and the executor runs: a tree with every name, type and coercion resolved.
//!
//! A query level (one SELECT) keeps its values in numbered *slots*. Each source, group key, aggregate and window call
//! writes slots of its own, so joins only merge and never renumber. An expression names a slot by how many query
//! levels out it lies (`depth` 0 is its own level) and the slot's number there.

mod change;

use std::sync::{Arc, OnceLock};

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::{Text, Value};

pub(crate) use change::{
    ChangePlan, ConflictPlan, DeletePlan, InsertPlan, InsertRows, MergeAction, MergePlan, MergeWhen, TableChecks,
    UpdatePlan,
};

use super::grouping::GroupingSet;
use crate::ast::{BinaryOp, FrameUnit, JoinKind, SetOp};
use crate::catalogue::{Index, Table, VirtualTable};
use crate::function::Scalar;
use crate::function::aggregate::AggregateKind;
use crate::function::table::TableFunction;
use crate::function::window::WindowKind;
use crate::permission::Action;
use crate::session::{Dialect, SessionInfo};
use crate::transaction::Transaction;
use crate::types::{Reg, SqlType};

/// A value in flight. In SQL `None` is NULL and a null value is JSON's; in PartiQL `None` is MISSING and a null value
/// is NULL.
pub type Datum = Option<Value>;

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultColumn {
    pub name: Arc<str>,
    pub ty: SqlType,
    /// Where it stands, if it is a column of a table as it is.
    pub origin: Option<Origin>,
}

/// A column of a table, by its numbers in `pg_attribute`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    pub table: u32,
    pub column: i16,
}

impl ResultColumn {
    /// A column that is computed.
    pub fn computed(name: impl Into<Arc<str>>, ty: SqlType) -> ResultColumn {
        ResultColumn { name: name.into(), ty, origin: None }
    }
}

/// A bound statement. It holds for the catalogue version it was made at and any number of runs.
#[derive(Debug)]
pub struct Plan {
    pub(crate) columns: Option<Arc<[ResultColumn]>>,
    /// Columns of oids that are given out as names.
    pub(crate) reg_columns: Vec<(usize, Reg)>,
    pub(crate) parameter_types: Vec<SqlType>,
    pub(crate) catalogue_version: u64,
    pub(crate) dialect: Dialect,
    pub(crate) body: Body,
    /// Every table the statement names: each run records the read of its definition.
    pub(crate) tables: Vec<Arc<Table>>,
    /// What it does to which of them.
    pub(crate) uses: Vec<(Arc<Table>, Action)>,
    /// It reads what is known of all tables.
    pub(crate) reads_catalogue: bool,
    pub(crate) ctes: Vec<Cte>,
    /// Tables that it reads while it changes them, and is to see none of its own changes in.
    pub(crate) held: Vec<Id>,
    /// How long its runs have taken.
    pub(crate) pace: super::quick::Pace,
    /// It asks for one document by its key.
    pub(crate) point: Option<super::point::Point>,
    /// Every run of it is cheap; found out when it is first asked.
    pub(super) cheap: OnceLock<bool>,
}

impl Plan {
    /// The columns of the rows it answers with; `None` if it answers with none.
    pub fn columns(&self) -> Option<&Arc<[ResultColumn]>> {
        self.columns.as_ref()
    }

    pub fn parameter_types(&self) -> &[SqlType] {
        &self.parameter_types
    }

    pub fn is_read_only(&self) -> bool {
        matches!(self.body, Body::Query(_)) && !self.changes_in_with()
    }

    /// Whether a WITH query changes documents.
    pub(crate) fn changes_in_with(&self) -> bool {
        changes_in(&self.ctes)
    }

    /// The catalogue version the names were resolved at.
    pub fn catalogue_version(&self) -> u64 {
        self.catalogue_version
    }

    /// `EXPLAIN`'s answer: executor, operators and access paths, one line each, as this transaction would run it.
    pub fn explain_lines(&self, tx: &Transaction, session: &SessionInfo) -> Vec<String> {
        super::explain::lines(self, tx, session)
    }

    /// The command its tag begins with.
    pub fn command(&self) -> &'static str {
        match self.body {
            Body::Query(_) => "SELECT",
            Body::Insert(_) => "INSERT",
            Body::Update(_) => "UPDATE",
            Body::Delete(_) => "DELETE",
            Body::Merge(_) => "MERGE",
        }
    }
}

/// Whether one of these WITH queries changes documents.
pub(super) fn changes_in(ctes: &[Cte]) -> bool {
    ctes.iter().any(|cte| matches!(cte.rows, CteRows::Change(_)))
}

#[derive(Debug)]
pub(crate) enum Body {
    Query(Box<QueryPlan>),
    Insert(Box<InsertPlan>),
    Update(Box<UpdatePlan>),
    Delete(Box<DeletePlan>),
    Merge(Box<MergePlan>),
}

/// A WITH query; its rows are computed on first use and kept for the run.
#[derive(Debug)]
pub(crate) struct Cte {
    pub name: Arc<str>,
    pub rows: CteRows,
    /// It reads rows of the queries around the one it belongs to.
    pub outside: bool,
    /// In how many places it is read.
    pub reads: usize,
}

#[derive(Debug)]
pub(crate) enum CteRows {
    Query(Arc<QueryPlan>),
    /// `WITH RECURSIVE`: the step reads this CTE's id as its working table. `all`: UNION ALL between base and step.
    Recursive {
        base: Arc<QueryPlan>,
        step: Arc<QueryPlan>,
        all: bool,
    },
    /// A change of documents, done once and to its end, and the rows of its RETURNING.
    Change(Body),
}

/// A query: a body, and for bodies other than SELECT its own order; then LIMIT and OFFSET.
#[derive(Debug)]
pub(crate) struct QueryPlan {
    pub body: QueryBody,
    pub limit: Option<Ex>,
    /// WITH TIES: by these columns the rows behind the last one are compared with it. Behind the `arity` columns of a row
    /// the body's rows have those that are only compared.
    pub ties: Option<Vec<SortKey>>,
    pub offset: Option<Ex>,
    /// Columns of a row.
    pub arity: usize,
    /// Slots of the levels around it that it reads (depth 1 is the next one out); with any, its rows cannot be kept.
    pub outer: Vec<At>,
}

impl QueryPlan {
    pub fn is_correlated(&self) -> bool {
        !self.outer.is_empty()
    }
}

#[derive(Debug)]
pub(crate) enum QueryBody {
    Select(Box<SelectPlan>),
    Set {
        op: SetOp,
        all: bool,
        left: Box<QueryPlan>,
        right: Box<QueryPlan>,
        /// Casts to the common types, over slots 0.. holding a row of that side.
        left_casts: Option<Vec<Ex>>,
        right_casts: Option<Vec<Ex>>,
        order: Vec<SortKey>,
    },
    Values {
        rows: Vec<Vec<Ex>>,
        order: Vec<SortKey>,
    },
    /// A query in parentheses with its own ORDER BY or LIMIT.
    Nested {
        query: Box<QueryPlan>,
        order: Vec<SortKey>,
    },
}

#[derive(Debug)]
pub(crate) struct SelectPlan {
    pub width: usize,
    pub from: Option<Node>,
    pub filter: Vec<Ex>,
    pub group: Option<GroupPlan>,
    pub having: Option<Ex>,
    pub windows: Vec<WindowPlan>,
    /// Set-returning functions of the select list, in lockstep, writing their slots.
    pub series: Vec<(TableCall, u32)>,
    pub output: Vec<Ex>,
    pub distinct: DistinctPlan,
    pub order: Vec<SortKey>,
    /// The source yields rows in ORDER BY's order already.
    pub ordered: bool,
}

#[derive(Debug)]
pub(crate) enum DistinctPlan {
    No,
    Yes,
    On(Vec<Ex>),
}

#[derive(Debug)]
pub(crate) struct GroupPlan {
    pub keys: Vec<(Ex, u32)>,
    /// At least one. The rows are grouped by each; keys that a set lacks are NULL in its groups.
    pub sets: Vec<GroupingSet>,
    pub aggregates: Vec<(AggregateCall, u32)>,
    /// `GROUPING(…)` of these keys, by their places.
    pub groupings: Vec<(Vec<usize>, u32)>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AggregateCall {
    pub kind: AggregateKind,
    pub arguments: Vec<Ex>,
    pub distinct: bool,
    pub order: Vec<SortKey>,
    pub filter: Option<Ex>,
}

#[derive(Debug)]
pub(crate) struct WindowPlan {
    pub partition: Vec<Ex>,
    pub order: Vec<SortKey>,
    pub frame: FramePlan,
    pub calls: Vec<(WindowCall, u32)>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WindowCall {
    pub kind: WindowKind,
    pub arguments: Vec<Ex>,
    pub filter: Option<Ex>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FramePlan {
    pub unit: FrameUnit,
    pub start: BoundPlan,
    pub end: BoundPlan,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum BoundPlan {
    UnboundedPreceding,
    Preceding(Ex),
    CurrentRow,
    Following(Ex),
    UnboundedFollowing,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SortKey {
    pub expr: SortExpr,
    pub descending: bool,
    pub nulls_first: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SortExpr {
    /// A column of the output, from 0.
    Output(usize),
    Expr(Ex),
}

/// Where rows come from.
#[derive(Debug)]
pub(crate) enum Node {
    Source(Box<SourceNode>),
    Hash(Box<HashJoin>),
    Loop(Box<LoopJoin>),
    Filter { input: Box<Node>, filter: Vec<Ex> },
}

/// For each row of the input (one empty row if there is none), the rows of a source that may depend on it.
#[derive(Debug)]
pub(crate) struct SourceNode {
    pub input: Option<Node>,
    pub source: Source,
    pub filter: Vec<Ex>,
    /// LEFT JOIN: a row of the input without partner comes out with nulls.
    pub outer: bool,
    /// The name it has in the statement, for EXPLAIN.
    pub label: Arc<str>,
}

#[derive(Debug)]
pub(crate) struct HashJoin {
    pub kind: JoinKind,
    pub left: Node,
    pub right: Node,
    pub left_keys: Vec<Ex>,
    pub right_keys: Vec<Ex>,
    pub residual: Vec<Ex>,
    pub right_slots: Vec<u32>,
}

#[derive(Debug)]
pub(crate) struct LoopJoin {
    pub kind: JoinKind,
    pub left: Node,
    pub right: Node,
    pub condition: Vec<Ex>,
    pub right_slots: Vec<u32>,
}

#[derive(Debug)]
pub(crate) enum Source {
    Table(Box<TableSource>),
    Query {
        query: Arc<QueryPlan>,
        first: u32,
        cache: Option<usize>,
    },
    Cte {
        id: usize,
        first: u32,
        arity: usize,
        /// How many levels up those begin that the common table may read.
        up: usize,
    },
    Virtual {
        table: Arc<dyn VirtualTable>,
        first: u32,
    },
    Function {
        calls: Vec<TableCall>,
        first: u32,
        ordinality: Option<u32>,
    },
    /// What happened to a table between two moments.
    Changes(Box<ChangesSource>),
    /// PartiQL: each element of a collection, or the value itself once.
    Collection {
        expr: Ex,
        slot: u32,
        at: Option<u32>,
    },
    /// PartiQL: each field of a struct.
    Unpivot {
        expr: Ex,
        slot: u32,
        at: Option<u32>,
    },
}

#[derive(Debug, Clone)]
pub(crate) struct TableCall {
    pub function: TableFunction,
    pub arguments: Vec<Ex>,
    /// Columns it returns.
    pub arity: usize,
}

#[derive(Debug)]
pub(crate) struct TableSource {
    pub table: Arc<Table>,
    pub slot: u32,
    pub view: ViewPlan,
    pub access: Access,
}

/// `diff(t, from, to)` and `changes(t, from, to)`.
#[derive(Debug)]
pub(crate) struct ChangesSource {
    pub table: Arc<Table>,
    pub from: Ex,
    /// Absent: the transaction's snapshot.
    pub to: Option<Ex>,
    pub first: u32,
    pub arity: usize,
    /// One row per document that is another one in the end, not one per revision.
    pub net: bool,
}

#[derive(Debug)]
pub(crate) enum ViewPlan {
    Current,
    AsOfTime(Ex),
    AsOfBlock(Ex),
    /// `history(t, from, to)`: every revision active in the interval.
    History {
        from: Option<Ex>,
        to: Option<Ex>,
    },
}

/// How documents of a table are found.
#[derive(Debug, Clone)]
pub(crate) enum Access {
    Scan,
    /// By document id: one, or any of several.
    Ids(Vec<Ex>),
    /// An `IN (subquery or parameter list)` of document ids.
    IdList(Ex),
    /// Equality on the first columns of an index; the last of them may be a list to try in turn.
    Index {
        index: Arc<Index>,
        keys: Vec<Vec<KeyEx>>,
    },
    /// Equality on some columns, then a range of the next; in index order.
    Range {
        index: Arc<Index>,
        prefix: Vec<KeyEx>,
        low: Option<(KeyEx, bool)>,
        high: Option<(KeyEx, bool)>,
        descending: bool,
    },
}

/// A key part: how a value of the expression is looked up.
pub(crate) type KeyEx = Ex;

/// A slot of this or an outer query level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At {
    pub depth: u16,
    pub slot: u32,
}

/// A part of a document row that is not a field of its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DocPart {
    Data,
    Id,
    Version,
    TxTime,
    TxId,
    Block,
    Position,
    Supersedes,
    Successor,
    Deleted,
    Hash,
    DataHash,
    TableId,
    /// `{id, version, txTime, txId}`
    Metadata,
    /// `{strandId, sequenceNo}`
    BlockAddress,
    /// The committed view's row: `{blockAddress, hash, data, metadata}`.
    Committed,
}

/// A bound expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ex {
    Const(Datum),
    Param(u32),
    Slot(At),
    Doc {
        at: At,
        part: DocPart,
    },
    /// A field of the document or struct in a slot.
    Field {
        at: At,
        name: Arc<str>,
        any_case: bool,
    },
    Path {
        base: Box<Ex>,
        steps: Vec<Step>,
    },
    And(Vec<Ex>),
    Or(Vec<Ex>),
    Not(Box<Ex>),
    Compare {
        op: Comparison,
        left: Box<Ex>,
        right: Box<Ex>,
        dynamic: bool,
    },
    Arithmetic {
        op: BinaryOp,
        kind: Arithmetic,
        left: Box<Ex>,
        right: Box<Ex>,
    },
    IsNull {
        expr: Box<Ex>,
        negated: bool,
    },
    IsMissing {
        expr: Box<Ex>,
        negated: bool,
    },
    IsBool {
        expr: Box<Ex>,
        value: Option<bool>,
        negated: bool,
    },
    IsType {
        expr: Box<Ex>,
        ty: Arc<str>,
        negated: bool,
    },
    Distinct {
        left: Box<Ex>,
        right: Box<Ex>,
        negated: bool,
    },
    /// `e IN (a, b)`; `dynamic` as for comparisons.
    In {
        expr: Box<Ex>,
        list: Vec<Ex>,
        negated: bool,
        dynamic: bool,
    },
    Like {
        expr: Box<Ex>,
        pattern: Box<Ex>,
        escape: Option<Box<Ex>>,
        any_case: bool,
        negated: bool,
    },
    Case {
        whens: Vec<(Ex, Ex)>,
        otherwise: Option<Box<Ex>>,
    },
    Coalesce(Vec<Ex>),
    Cast {
        expr: Box<Ex>,
        from: Option<SqlType>,
        to: SqlType,
        explicit: bool,
    },
    /// PartiQL's strict CAST.
    IonCast {
        expr: Box<Ex>,
        ty: Arc<str>,
    },
    Call {
        function: &'static Scalar,
        arguments: Vec<Ex>,
    },
    Subquery(Box<Subquery>),
    /// `e op ANY|ALL (array)`
    Quantified {
        op: Comparison,
        all: bool,
        left: Box<Ex>,
        array: Box<Ex>,
        dynamic: bool,
    },
    List(Vec<Ex>),
    Struct(Vec<(Ex, Ex)>),
    Row(Vec<Ex>),
    /// PartiQL's `SELECT *`: fields of structs side by side, other values under their names.
    Merge(Vec<(Arc<str>, Ex)>),
    /// An aggregate not yet given its slot; only inside the binder.
    Aggregate(usize),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    Field {
        name: Arc<str>,
        any_case: bool,
    },
    Index(Box<Ex>),
    /// jsonb's text array path element or `->` operand.
    Json(Box<Ex>),
    AllElements,
    AllFields,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
}

/// Which arithmetic the operand types ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Int2,
    Int4,
    Int8,
    Numeric,
    Float4,
    Float8,
    /// By the values at run time; `partiql` as QLDB does it.
    Dynamic {
        partiql: bool,
    },
    DatePlusDays,
    DateMinusDate,
    TimestampInterval {
        zoned: bool,
    },
    TimestampMinusTimestamp,
    Interval,
    IntervalScale,
}

#[derive(Debug, Clone)]
pub(crate) struct Subquery {
    pub id: usize,
    pub query: Arc<QueryPlan>,
    pub kind: SubqueryKind,
}

impl PartialEq for Subquery {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

#[derive(Debug, Clone)]
pub(crate) enum SubqueryKind {
    Scalar,
    Exists,
    /// `left op ANY|ALL (query)`; casts of the subquery's column are part of the query.
    Quantified {
        op: Comparison,
        all: bool,
        left: Vec<Ex>,
        dynamic: bool,
    },
    /// ARRAY(query), and PartiQL's query as a collection.
    List,
}

impl Ex {
    pub const TRUE: Ex = Ex::Const(Some(Value::Bool(true)));
    pub const NULL: Ex = Ex::Const(None);

    /// A slot of the expression's own level.
    pub fn slot(slot: u32) -> Ex {
        Ex::Slot(At { depth: 0, slot })
    }

    pub fn text(text: impl Into<Text>) -> Ex {
        Ex::Const(Some(Value::string(text)))
    }
}

impl Comparison {
    pub fn from_op(op: BinaryOp) -> Option<Comparison> {
        Some(match op {
            BinaryOp::Eq => Comparison::Eq,
            BinaryOp::NotEq => Comparison::NotEq,
            BinaryOp::Lt => Comparison::Lt,
            BinaryOp::LtEq => Comparison::LtEq,
            BinaryOp::Gt => Comparison::Gt,
            BinaryOp::GtEq => Comparison::GtEq,
            _ => return None,
        })
    }

    pub fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Comparison::Eq => ordering.is_eq(),
            Comparison::NotEq => ordering.is_ne(),
            Comparison::Lt => ordering.is_lt(),
            Comparison::LtEq => ordering.is_le(),
            Comparison::Gt => ordering.is_gt(),
            Comparison::GtEq => ordering.is_ge(),
        }
    }

    /// The same with the sides exchanged.
    pub fn flipped(self) -> Comparison {
        match self {
            Comparison::Lt => Comparison::Gt,
            Comparison::LtEq => Comparison::GtEq,
            Comparison::Gt => Comparison::Lt,
            Comparison::GtEq => Comparison::LtEq,
            same => same,
        }
    }

    pub fn symbol(self) -> &'static str {
        match self {
            Comparison::Eq => "=",
            Comparison::NotEq => "<>",
            Comparison::Lt => "<",
            Comparison::LtEq => "<=",
            Comparison::Gt => ">",
            Comparison::GtEq => ">=",
        }
    }
}
