//! What clients ask: a small language of statements over tables of one shape, each of which has a text in SQL and a
//! meaning in the model (`model`).
//!
//! Every table is `(k bigint PRIMARY KEY, n bigint, s text)`; in some `s` is unique, some have an index on `n`.

use std::fmt;
use std::sync::Arc;

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    Insert {
        table: Arc<str>,
        rows: Vec<(i64, i64, Arc<str>)>,
    },
    Update {
        table: Arc<str>,
        filter: Filter,
        change: Change,
    },
    Delete {
        table: Arc<str>,
        filter: Filter,
    },
    Select {
        table: Arc<str>,
        filter: Filter,
        view: View,
        shape: Shape,
    },
    /// Every revision that the snapshot sees.
    History {
        table: Arc<str>,
    },
    CreateTable {
        table: Arc<str>,
        unique: bool,
    },
    DropTable {
        table: Arc<str>,
    },
    /// On `n`.
    CreateIndex {
        index: Arc<str>,
        table: Arc<str>,
    },
    DropIndex {
        index: Arc<str>,
    },
    /// Takes the data out of a revision, whose number in the model it has; the ids are the ledger's.
    Redact {
        revision: usize,
        strand: String,
        block: u64,
        table_id: String,
        document_id: String,
    },
}

/// Which rows. `scanned` is written so that no index helps, and must give the same rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    All,
    Key { k: i64, scanned: bool },
    Number { n: i64, scanned: bool },
    Numbers { low: i64, high: i64, scanned: bool },
    Text { s: Arc<str>, scanned: bool },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    SetNumber(i64),
    AddNumber(i64),
    SetText(Arc<str>),
    Append(Arc<str>),
    SetKey(i64),
}

/// When.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    Current,
    Block(u64),
    /// Milliseconds since 1970.
    Time(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `k, n, s`, in the order of k.
    Rows,
    /// How many, and the sum of `n`.
    Sum,
}

impl Statement {
    /// Whether it may write documents or definitions.
    pub fn writes(&self) -> bool {
        !matches!(self, Statement::Select { .. } | Statement::History { .. })
    }

    /// Whether its answer is about the past, which no transaction's commit depends on.
    pub fn is_of_the_past(&self) -> bool {
        match self {
            Statement::History { .. } => true,
            Statement::Select { view, .. } => *view != View::Current,
            _ => false,
        }
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Statement::Insert { table, rows } => {
                write!(f, "INSERT INTO {table} (k, n, s) VALUES ")?;
                for (at, (k, n, s)) in rows.iter().enumerate() {
                    write!(f, "{}({k}, {n}, '{s}')", if at > 0 { ", " } else { "" })?;
                }
                Ok(())
            }
            Statement::Update { table, filter, change } => write!(f, "UPDATE {table} SET {change}{filter}"),
            Statement::Delete { table, filter } => write!(f, "DELETE FROM {table}{filter}"),
            Statement::Select { table, filter, view, shape } => {
                let (columns, order) = match shape {
                    Shape::Rows => ("k, n, s", " ORDER BY k"),
                    Shape::Sum => ("count(*), coalesce(sum(n), 0)::bigint", ""),
                };
                write!(f, "SELECT {columns} FROM {table}{view}{filter}{order}")
            }
            Statement::History { table } => write!(
                f,
                "SELECT k, n, s, _ql_version, _ql_block, _ql_deleted FROM history({table}) AS h \
                 ORDER BY _ql_position"
            ),
            Statement::CreateTable { table, unique } => {
                let unique = if *unique { " UNIQUE" } else { "" };
                write!(f, "CREATE TABLE {table} (k bigint PRIMARY KEY, n bigint, s text{unique})")
            }
            Statement::DropTable { table } => write!(f, "DROP TABLE {table}"),
            Statement::CreateIndex { index, table } => write!(f, "CREATE INDEX {index} ON {table} (n)"),
            Statement::DropIndex { index } => write!(f, "DROP INDEX {index}"),
            Statement::Redact { strand, block, table_id, document_id, .. } => write!(
                f,
                "EXEC REDACT_REVISION '{{strandId: \"{strand}\", sequenceNo: {block}}}', '{table_id}', '{document_id}'"
            ),
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |scanned: &bool, column: &str| if *scanned { format!("{column} + 0") } else { column.to_owned() };
        match self {
            Filter::All => Ok(()),
            Filter::Key { k, scanned } => write!(f, " WHERE {} = {k}", number(scanned, "k")),
            Filter::Number { n, scanned } => write!(f, " WHERE {} = {n}", number(scanned, "n")),
            Filter::Numbers { low, high, scanned } => {
                let n = number(scanned, "n");
                write!(f, " WHERE {n} >= {low} AND {n} <= {high}")
            }
            Filter::Text { s, scanned: false } => write!(f, " WHERE s = '{s}'"),
            Filter::Text { s, scanned: true } => write!(f, " WHERE s || '' = '{s}'"),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::SetNumber(n) => write!(f, "n = {n}"),
            Change::AddNumber(n) => write!(f, "n = n + ({n})"),
            Change::SetText(s) => write!(f, "s = '{s}'"),
            Change::Append(s) => write!(f, "s = s || '{s}'"),
            Change::SetKey(k) => write!(f, "k = {k}"),
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            View::Current => Ok(()),
            View::Block(block) => write!(f, " AS OF BLOCK {block}"),
            View::Time(ms) => write!(f, " AS OF TIMESTAMP to_timestamp({}.{:03})", ms / 1000, ms % 1000),
        }
    }
}
