//! The syntax tree both front ends produce: PartiQL from our own parser, SQL by conversion from sqlparser's tree.
//!
//! Nothing here is resolved: names are as written, types are names. Every node that an error can point at has a
//! [`Span`] into the statement text.

mod change;
mod definition;
mod session;

use std::sync::Arc;

use ledgerstone_digest::ion::Value;

pub use change::{
    Assignment, Change, Delete, Insert, InsertSource, Merge, MergeAction, MergeInsert, MergeWhen, OnConflict,
    Overriding, Update,
};
pub use definition::{
    AlterTable, AsQuery, ColumnDefinition, Comment, Commented, CreateIndex, CreateTable, Identity, Like, Sequence,
    SequenceChange, TableConstraint,
};
pub use session::{Copy, CopyFormat, CopyPlace, CopyTarget, DeclareCursor, FetchDirection, SetValue};

/// Byte offsets into the statement text; `start == end` where a position is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// From the first byte of one to the last byte of the other; an unknown (empty, at 0) span adds nothing.
    #[must_use]
    pub fn to(self, other: Span) -> Span {
        if self == Span::default() {
            other
        } else if other == Span::default() {
            self
        } else {
            Span { start: self.start.min(other.start), end: self.end.max(other.end) }
        }
    }

    /// This part of the text, or nothing if the span is not of this text.
    pub fn slice(self, text: &str) -> &str {
        text.get(self.start as usize..self.end as usize).unwrap_or("")
    }
}

/// How deep any tree of this module is, at most: the front ends refuse what is deeper, so that whoever walks a tree
/// may recurse.
pub const DEPTH_MAX: usize = 128;

/// A name. In PartiQL and in quoted SQL names case matters: `text` is as written. An unquoted SQL name is folded to
/// lower case in `text`, which is what a declared column or a table is looked up by; document fields are looked up by
/// `written`, so that `owner.PrimaryOwner.PersonId` works without quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub text: Arc<str>,
    pub written: Arc<str>,
    pub quoted: bool,
    pub span: Span,
}

impl Name {
    /// A name whose case counts, as every PartiQL name.
    pub fn exact(text: impl Into<Arc<str>>, quoted: bool, span: Span) -> Self {
        let text = text.into();
        Name { written: text.clone(), text, quoted, span }
    }

    /// An unquoted SQL name: folded to lower case (ASCII only, as PostgreSQL does for UTF-8).
    pub fn folded(written: impl Into<Arc<str>>, span: Span) -> Self {
        let written = written.into();
        let text = if written.bytes().any(|b| b.is_ascii_uppercase()) {
            written.to_ascii_lowercase().into()
        } else {
            written.clone()
        };
        Name { text, written, quoted: false, span }
    }
}

impl TableName {
    /// A name without a schema.
    pub fn plain(name: Name) -> Self {
        TableName { schema: None, name }
    }
}

/// One statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    Query(Box<Query>),
    Insert(Box<Insert>),
    Update(Box<Update>),
    Delete(Box<Delete>),
    Merge(Box<Merge>),
    CreateTable(Box<CreateTable>),
    DropTable {
        names: Vec<TableName>,
        if_exists: bool,
    },
    /// `UNDROP TABLE "tableId"`.
    UndropTable {
        table_id: Name,
    },
    CreateIndex(Box<CreateIndex>),
    /// SQL: by index name. PartiQL: by index id `ON table`.
    DropIndex {
        names: Vec<Name>,
        on: Option<TableName>,
        if_exists: bool,
    },
    AlterTable {
        table: TableName,
        if_exists: bool,
        action: Box<AlterTable>,
    },
    /// `COMMENT ON … IS …`.
    Comment(Box<Comment>),
    /// `CREATE SEQUENCE`, `ALTER SEQUENCE`.
    Sequence(Box<Sequence>),
    CreateDatabase {
        name: Name,
        if_not_exists: bool,
    },
    DropDatabase {
        name: Name,
        if_exists: bool,
    },
    Begin {
        read_only: bool,
    },
    /// `chain`: another one of the same kind begins at once.
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint(Name),
    ReleaseSavepoint(Name),
    RollbackToSavepoint(Name),
    Set {
        name: Arc<str>,
        value: SetValue,
        local: bool,
    },
    /// `SET TRANSACTION …`, and `SET SESSION CHARACTERISTICS AS TRANSACTION …` when `session`. Every isolation level is
    /// served as serializable; the name is kept for `SHOW transaction_isolation`.
    SetTransaction {
        session: bool,
        isolation: Option<&'static str>,
        read_only: Option<bool>,
    },
    Reset {
        name: Option<Arc<str>>,
    },
    Show {
        name: Arc<str>,
    },
    Explain {
        analyze: bool,
        statement: Box<Statement>,
    },
    Copy(Box<Copy>),
    /// `EXEC REDACT_REVISION block-address, table-id, document-id`, other procedures by name.
    Exec {
        procedure: Name,
        arguments: Vec<Expr>,
    },
    /// `DISCARD ALL`, `DEALLOCATE`, `LISTEN` and the like that need only a tag as an answer.
    NoOperation {
        tag: &'static str,
    },
    Deallocate {
        name: Option<Name>,
    },
    /// `DISCARD ALL`: what a session has kept is forgotten.
    DiscardAll,
    DiscardSequences,
    /// `PREPARE name (types) AS statement`; the statement is this part of the text.
    Prepare {
        name: Name,
        types: Vec<TypeName>,
        statement: Span,
    },
    Execute {
        name: Name,
        arguments: Vec<Expr>,
    },
    DeclareCursor(Box<DeclareCursor>),
    /// `FETCH`, and `MOVE`, which shows nothing.
    Fetch {
        name: Name,
        direction: FetchDirection,
        moves: bool,
    },
    /// `None`: all of them.
    CloseCursor(Option<Name>),
    Truncate(Vec<TableName>),
    Lock(Vec<TableName>),
    /// `ANALYZE`, `VACUUM`: what the server does by itself.
    Maintain {
        command: &'static str,
        tables: Vec<TableName>,
    },
}

/// `schema.name`; the schema is kept apart from nested paths by the front end.
#[derive(Debug, Clone, PartialEq)]
pub struct TableName {
    pub schema: Option<Name>,
    pub name: Name,
}

impl Statement {
    /// It is a query or a change of documents: what is planned, prepared, explained, and kept in the journal as it is written.
    pub fn is_query_or_change(&self) -> bool {
        matches!(
            self,
            Statement::Query(_)
                | Statement::Insert(_)
                | Statement::Update(_)
                | Statement::Delete(_)
                | Statement::Merge(_)
        )
    }

    /// It is a query, and changes nothing.
    pub fn only_reads(&self) -> bool {
        matches!(self, Statement::Query(query) if !query.changes_documents() && !query.sets_sequences)
    }
}

impl Query {
    /// A query that is nothing but its body.
    pub fn of(body: SetExpr, span: Span) -> Query {
        Query {
            with: Vec::new(),
            recursive: false,
            body,
            order_by: Vec::new(),
            limit: None,
            ties: false,
            offset: None,
            sets_sequences: false,
            span,
        }
    }

    /// Whether its WITH holds an INSERT, UPDATE or DELETE.
    pub fn changes_documents(&self) -> bool {
        self.with.iter().any(|table| matches!(table.rows, CommonRows::Change(_)))
    }
}

/// `WITH … body ORDER BY … LIMIT … OFFSET`.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub with: Vec<CommonTable>,
    pub recursive: bool,
    pub body: SetExpr,
    pub order_by: Vec<OrderBy>,
    pub limit: Option<Expr>,
    /// Rows that stand with the last one of LIMIT in ORDER BY come as well: `FETCH FIRST … WITH TIES`.
    pub ties: bool,
    pub offset: Option<Expr>,
    /// It calls `setval`.
    pub sets_sequences: bool,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CommonTable {
    pub name: Name,
    pub columns: Vec<Name>,
    pub rows: CommonRows,
}

/// Where the rows of a common table come from.
#[derive(Debug, Clone, PartialEq)]
pub enum CommonRows {
    Query(Box<Query>),
    /// An INSERT, UPDATE or DELETE, and what its RETURNING gives. Only in the WITH of a whole statement.
    Change(Box<Statement>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum SetExpr {
    Select(Box<Select>),
    Query(Box<Query>),
    Operation {
        op: SetOp,
        all: bool,
        left: Box<SetExpr>,
        right: Box<SetExpr>,
    },
    Values {
        rows: Vec<Vec<Expr>>,
        span: Span,
    },
    /// PartiQL: a bare expression used as a query, as in `<< 1, 2 >>`.
    Expr(Box<Expr>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetOp {
    Union,
    Intersect,
    Except,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Select {
    pub distinct: Distinct,
    pub projection: Projection,
    pub from: Vec<From>,
    pub filter: Option<Expr>,
    /// Each row of the result is of a set that combines one of every element.
    pub group_by: Vec<GroupingElement>,
    pub having: Option<Expr>,
    pub windows: Vec<(Name, WindowSpec)>,
    pub span: Span,
}

impl Select {
    /// What is selected, and no other clause.
    pub fn of(projection: Projection, span: Span) -> Select {
        Select {
            distinct: Distinct::No,
            projection,
            from: Vec::new(),
            filter: None,
            group_by: Vec::new(),
            having: None,
            windows: Vec::new(),
            span,
        }
    }
}

/// An element of GROUP BY: what stands for one grouping set or several.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupingElement {
    /// An expression, or several together, as in `(a, b)`; the empty grouping set `()` has none.
    Set(Vec<Expr>, Span),
    /// All beginnings of a list.
    Rollup(Vec<Vec<Expr>>, Span),
    /// All selections from a list.
    Cube(Vec<Vec<Expr>>, Span),
    /// `GROUPING SETS`: one after the other.
    Sets(Vec<GroupingElement>, Span),
    /// `GROUP BY DISTINCT`: what GROUP BY would make of these elements, every set once.
    Distinct(Vec<GroupingElement>, Span),
}

impl GroupingElement {
    /// One expression by itself.
    pub fn of(expr: Expr) -> Self {
        let span = expr.span;
        GroupingElement::Set(vec![expr], span)
    }

    pub fn span(&self) -> Span {
        match self {
            Self::Set(_, span)
            | Self::Rollup(_, span)
            | Self::Cube(_, span)
            | Self::Sets(_, span)
            | Self::Distinct(_, span) => *span,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Distinct {
    No,
    Yes,
    /// PostgreSQL's `DISTINCT ON (…)`.
    On(Vec<Expr>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Projection {
    Items(Vec<SelectItem>),
    /// PartiQL's `SELECT VALUE e`.
    Value(Box<Expr>),
    /// PartiQL's `PIVOT value AT name`.
    Pivot {
        value: Box<Expr>,
        at: Box<Expr>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub enum SelectItem {
    Expr {
        expr: Expr,
        alias: Option<Name>,
    },
    /// `*`
    Wildcard(Span),
    /// `t.*` or, in PartiQL, `path.*`.
    QualifiedWildcard(Expr),
}

#[derive(Debug, Clone, PartialEq)]
pub enum From {
    /// A table, view, CTE name, or a path over an alias already in scope (`v.Owners.SecondaryOwners`): the binder decides.
    /// `schema.table` arrives as a path of two names.
    Path {
        path: Expr,
        as_of: Option<AsOf>,
        alias: Alias,
    },
    /// `history(t, …)`, `generate_series(…)`, `unnest(…)`, `jsonb_array_elements(…)`.
    Function {
        name: TableName,
        arguments: Vec<Expr>,
        lateral: bool,
        with_ordinality: bool,
        alias: Alias,
    },
    Subquery {
        query: Box<Query>,
        lateral: bool,
        alias: Alias,
    },
    Unpivot {
        expr: Expr,
        alias: Alias,
    },
    /// Any other expression ranged over, as `<< … >>` or `?`.
    Expr {
        expr: Expr,
        alias: Alias,
    },
    Join {
        kind: JoinKind,
        left: Box<From>,
        right: Box<From>,
        on: JoinOn,
    },
}

/// `AS a (c1, c2) AT i BY id`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Alias {
    pub name: Option<Name>,
    pub columns: Vec<Name>,
    pub at: Option<Name>,
    pub by: Option<Name>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum AsOf {
    Timestamp(Expr),
    Block(Expr),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
    Cross,
}

#[derive(Debug, Clone, PartialEq)]
pub enum JoinOn {
    None,
    On(Box<Expr>),
    Using(Vec<Name>),
    Natural,
}

#[derive(Debug, Clone, PartialEq)]
pub struct OrderBy {
    pub expr: Expr,
    pub descending: bool,
    /// `None`: PostgreSQL's rule, nulls last ascending and first descending.
    pub nulls_first: Option<bool>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    pub kind: ExprKind,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    Literal(Value),
    /// PartiQL's MISSING.
    Missing,
    /// `DEFAULT` as a value: only in the VALUES of an INSERT and on the right of SET.
    Default,
    /// `?` numbered from 0 in order, or `$n` as n − 1.
    Parameter(u32),
    /// A single name; `a.b` is `Path(Name(a), Field(b))` and the binder tells columns from nested fields.
    Name(Name),
    /// PartiQL's `@name`: a lexical variable, never a global table.
    LocalName(Name),
    Path {
        base: Box<Expr>,
        steps: Vec<PathStep>,
    },
    Unary {
        op: UnaryOp,
        expr: Box<Expr>,
    },
    Binary {
        op: BinaryOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    IsNull {
        expr: Box<Expr>,
        negated: bool,
    },
    IsMissing {
        expr: Box<Expr>,
        negated: bool,
    },
    /// `IS TRUE`, `IS FALSE`, `IS UNKNOWN`.
    IsBool {
        expr: Box<Expr>,
        value: Option<bool>,
        negated: bool,
    },
    /// PartiQL's `e IS type`.
    IsType {
        expr: Box<Expr>,
        ty: TypeName,
        negated: bool,
    },
    IsDistinctFrom {
        left: Box<Expr>,
        right: Box<Expr>,
        negated: bool,
    },
    Between {
        expr: Box<Expr>,
        low: Box<Expr>,
        high: Box<Expr>,
        negated: bool,
    },
    InList {
        expr: Box<Expr>,
        list: Vec<Expr>,
        negated: bool,
    },
    /// `e IN (subquery)` or PartiQL's `e IN collection`.
    InExpr {
        expr: Box<Expr>,
        collection: Box<Expr>,
        negated: bool,
    },
    Like {
        expr: Box<Expr>,
        pattern: Box<Expr>,
        escape: Option<Box<Expr>>,
        case_insensitive: bool,
        negated: bool,
    },
    Case {
        operand: Option<Box<Expr>>,
        whens: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    Cast {
        expr: Box<Expr>,
        ty: TypeName,
    },
    Function(Box<FunctionCall>),
    Subquery(Box<Query>),
    Exists(Box<Query>),
    /// `ARRAY(subquery)`: the one column of its rows as a list.
    ArraySubquery(Box<Query>),
    /// `e op ANY (…)` and `e op ALL (…)`; the right side is a subquery or an array.
    Quantified {
        op: BinaryOp,
        all: bool,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// `[a, b]` or `ARRAY[a, b]`.
    List(Vec<Expr>),
    /// `<< a, b >>`
    Bag(Vec<Expr>),
    /// `{'a': 1}`: field names are expressions in PartiQL.
    Struct(Vec<(Expr, Expr)>),
    /// SQL's row value `(a, b)`.
    Row(Vec<Expr>),
    Extract {
        field: Arc<str>,
        from: Box<Expr>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub enum PathStep {
    /// `.name`
    Field(Name),
    /// `[e]`: an index from 0 into a list (PostgreSQL arrays too: the SQL front end has subtracted nothing), or a field name.
    Index(Expr),
    /// `[*]`
    AllElements,
    /// `.*`
    AllFields,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnaryOp {
    Not,
    Plus,
    Minus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOp {
    And,
    Or,
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Concat,
    /// jsonb `->`
    JsonGet,
    /// jsonb `->>`
    JsonGetText,
    /// jsonb `#>`
    JsonPath,
    /// jsonb `#>>`
    JsonPathText,
    /// jsonb and array `@>`
    Contains,
    /// jsonb and array `<@`
    ContainedBy,
    /// jsonb `?`
    JsonExists,
    RegexMatch,
    RegexMatchInsensitive,
    RegexNotMatch,
    RegexNotMatchInsensitive,
    BitAnd,
    BitOr,
    BitXor,
    ShiftLeft,
    ShiftRight,
}

/// A type as written, lower case: `numeric(12,2)` is ("numeric", [12, 2]); `text[]` has `array_depth` 1.
#[derive(Debug, Clone, PartialEq)]
pub struct TypeName {
    pub name: Arc<str>,
    pub arguments: Vec<i64>,
    pub array_depth: u8,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub struct FunctionCall {
    pub name: TableName,
    pub arguments: Vec<Expr>,
    /// `count(*)`
    pub star: bool,
    pub distinct: bool,
    pub order_by: Vec<OrderBy>,
    pub filter: Option<Expr>,
    pub over: Option<WindowRef>,
    /// It is written as an operator, which gives its column no name.
    pub is_operator: bool,
}

impl FunctionCall {
    /// A call with arguments and nothing else.
    pub fn new(name: TableName, arguments: Vec<Expr>) -> Self {
        FunctionCall {
            name,
            arguments,
            star: false,
            distinct: false,
            order_by: Vec::new(),
            filter: None,
            over: None,
            is_operator: false,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum WindowRef {
    Name(Name),
    Spec(Box<WindowSpec>),
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct WindowSpec {
    pub base: Option<Name>,
    pub partition_by: Vec<Expr>,
    pub order_by: Vec<OrderBy>,
    pub frame: Option<Frame>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    pub unit: FrameUnit,
    pub start: FrameBound,
    pub end: FrameBound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameUnit {
    Rows,
    Range,
    Groups,
}

#[derive(Debug, Clone, PartialEq)]
pub enum FrameBound {
    UnboundedPreceding,
    Preceding(Expr),
    CurrentRow,
    Following(Expr),
    UnboundedFollowing,
}
