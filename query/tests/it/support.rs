//! Ledgers in memory, and short ways to say what tests say often.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::{Struct, Value, to_text};
use ledgerstone_digest::note::SigningKey;
use ledgerstone_journal::{Committed, Env};
use ledgerstone_query::ast::{ColumnDefinition, CreateTable, Identity, Name, Span, Statement, TableName, TypeName};
use ledgerstone_query::catalogue::Table;
use ledgerstone_query::catalogue::ddl;
use ledgerstone_query::database::{Database, DatabaseOptions, Limits, MemoryLimits};
use ledgerstone_query::error::QueryError;
use ledgerstone_query::index::disk::IndexOptions;
use ledgerstone_query::instance::{Instance, InstanceOptions};
use ledgerstone_query::session::{
    Dialect, Door, Inline, Response, SETTING_EXECUTOR, Session, SessionInfo, SessionOptions,
};
use ledgerstone_query::transaction::{Doc, Transaction};
use ledgerstone_query::work::WorkLimits;

/// A ledger in memory that can be closed and opened again.
pub struct Memory {
    pub env: Env,
    pub database: Arc<Database>,
}

pub const PREFIX: &str = "ledger.test";

pub fn key() -> SigningKey {
    SigningKey::from_seed(&format!("{PREFIX}/{}", id()), &[7; 32]).unwrap()
}

pub fn id() -> Id {
    Id([9; 16])
}

impl Memory {
    pub fn new(seed: u64) -> Memory {
        Memory::with(Env::memory(seed))
    }

    pub fn with(env: Env) -> Memory {
        Database::create(&env, Path::new("/data/main"), id(), PREFIX, key()).unwrap();
        let database = open(&env);
        Memory { env, database }
    }

    /// A session that speaks SQL.
    pub fn session(&self) -> Session {
        self.session_of(Dialect::Sql)
    }

    pub fn session_of(&self, dialect: Dialect) -> Session {
        Session::over(self.database.clone(), clerk(dialect))
    }

    /// Closes the ledger and opens it again: everything derived is made anew.
    pub fn reopen(&mut self) {
        self.reopen_after(|_| ());
    }

    /// The same; something happens to the files between.
    pub fn reopen_after(&mut self, between: impl FnOnce(&Env)) {
        self.database.close().unwrap();
        let name = self.database.name().clone();
        assert_eq!(&*name, "main");
        between(&self.env);
        self.database = open(&self.env);
    }

    pub fn begin(&self) -> Transaction {
        Transaction::begin(&self.database, false)
    }

    /// Runs and commits.
    pub fn run<T>(&self, work: impl FnOnce(&mut Transaction) -> T) -> (T, Option<Committed>) {
        let mut tx = self.begin();
        let result = work(&mut tx);
        (result, tx.commit_blocking().unwrap())
    }

    pub fn ddl(&self, statement: &Statement, dialect: Dialect) -> Committed {
        self.run(|tx| ddl::apply(tx, statement, dialect, &SessionInfo::embedded("main", dialect)).unwrap()).1.unwrap()
    }

    pub fn create_schemaless(&self, name: &str) {
        self.ddl(&create_table(name, &[]), Dialect::PartiQl);
    }
}

/// A row index that writes and merges all the time.
pub fn small_index() -> IndexOptions {
    IndexOptions { delta_revisions_max: 5, merge_runs: 3, ..IndexOptions::default() }
}

fn open(env: &Env) -> Arc<Database> {
    open_with(env, true)
}

/// How the clerk speaks to a ledger.
pub fn clerk(dialect: Dialect) -> SessionOptions {
    SessionOptions::new(Door::Embedded, "clerk", dialect, Arc::new(Inline))
}

/// Ledgers in files, with their keys beside them.
pub fn open_instance(dir: &Path) -> Result<Arc<Instance>, QueryError> {
    open_instance_in(Env::production(), dir)
}

pub fn open_instance_in(env: Env, dir: &Path) -> Result<Arc<Instance>, QueryError> {
    Instance::open(instance_options(env, dir))
}

pub fn instance_options(env: Env, dir: &Path) -> InstanceOptions {
    InstanceOptions {
        env,
        data: dir.join("data"),
        keys: dir.join("keys"),
        origin_prefix: "ledger.test".into(),
        limits: Limits::default(),
        memory: MemoryLimits::default(),
        work: WorkLimits::default(),
    }
}

/// A clerk's session with the ledger `main`.
pub fn session(instance: &Arc<Instance>, dialect: Dialect) -> Session {
    Session::new(instance.clone(), "main", clerk(dialect)).unwrap()
}

/// Without threads nothing happens but what the test drives.
pub fn open_with(env: &Env, threads: bool) -> Arc<Database> {
    // A small cache, so that revisions are read from the journal too, and a small delta, so that rows are read from files.
    let index = small_index();
    let options = DatabaseOptions { cache_bytes_max: 64 << 10, index, threads, ..DatabaseOptions::default() };
    Database::open(env, Path::new("/data/main"), "main", key(), options).unwrap()
}

pub fn name(text: &str) -> Name {
    Name::exact(text, true, Span::default())
}

pub fn table_name(text: &str) -> TableName {
    TableName { schema: None, name: name(text) }
}

/// `columns`: name, type, and `not null`, `primary key`, `unique` by their first letters.
pub fn create_table(table: &str, columns: &[(&str, &str, &str)]) -> Statement {
    let column = |(column, ty, flags): &(&str, &str, &str)| ColumnDefinition {
        name: name(column),
        ty: type_name(ty),
        not_null: flags.contains('n'),
        primary_key: flags.contains('p'),
        unique: flags.contains('u'),
        default: None,
        default_text: None,
        primary_key_name: None,
        unique_name: None,
        checks: Vec::new(),
        identity: flags.contains('i').then_some(Identity::ByDefault),
        counts_from: None,
    };
    Statement::CreateTable(Box::new(CreateTable {
        name: table_name(table),
        if_not_exists: false,
        columns: columns.iter().map(column).collect(),
        likes: Vec::new(),
        constraints: Vec::new(),
        options: Vec::new(),
        as_query: None,
    }))
}

/// `name` or `name(1,2)`.
fn type_name(text: &str) -> TypeName {
    let (name, arguments) = text.trim_end_matches(')').split_once('(').unwrap_or((text, ""));
    let arguments = arguments.split(',').filter_map(|number| number.parse().ok()).collect();
    TypeName { name: name.into(), arguments, array_depth: 0, span: Span::default() }
}

pub fn table(tx: &Transaction, name: &str) -> Arc<Table> {
    tx.table(name).unwrap().unwrap_or_else(|| panic!("no table {name}"))
}

pub fn record(fields: &[(&str, Value)]) -> Value {
    Value::Struct(Struct::from_fields(fields.iter().cloned()))
}

pub fn field(doc: &Doc, name: &str) -> Value {
    doc.data.as_deref().and_then(Value::as_struct).and_then(|s| s.get(name)).cloned().unwrap_or(Value::NULL)
}

/// The lines of what is answered, or the SQLSTATE and the message.
pub fn say(session: &mut Session, text: &str) -> String {
    match told(session, text) {
        Ok(lines) => lines.join(" "),
        Err(error) => format!("{} {}", error.code, error.message),
    }
}

/// Each text is answered so.
pub fn says(session: &mut Session, dialogue: &[(&str, &str)]) {
    for (text, answer) in dialogue {
        assert_eq!(say(session, text), *answer, "{text}");
    }
}

/// The lines of what is answered, or the SQLSTATE alone.
pub fn told_or_code(session: &mut Session, text: &str) -> String {
    match told(session, text) {
        Ok(lines) => lines.join(" "),
        Err(error) => error.code.to_string(),
    }
}

/// The rows of a query as one executor answers it, as texts, in a session of its own.
pub fn rows_by(
    database: &Arc<Database>,
    dialect: Dialect,
    executor: &str,
    text: &str,
) -> Result<Vec<String>, QueryError> {
    let mut session = Session::over(database.clone(), clerk(dialect));
    if dialect == Dialect::Sql {
        block_on(session.execute(&format!("SET {SETTING_EXECUTOR} = '{executor}'"))).unwrap();
    }
    let mut out = Vec::new();
    for response in block_on(session.execute(text))? {
        let Response::Rows { mut rows, .. } = response else { panic!("no rows: {text}") };
        while let Some(chunk) = rows.next_chunk()? {
            let show = |datum: &Option<_>| datum.as_ref().map_or("∅".to_owned(), to_text);
            out.extend(chunk.iter().map(|row| row.iter().map(show).collect::<Vec<_>>().join(" | ")));
        }
    }
    Ok(out)
}

/// Runs a text of statements and shows what each answered: its rows, cells parted by `|`, then its tag.
pub fn told(session: &mut Session, text: &str) -> Result<Vec<String>, QueryError> {
    let mut out = Vec::new();
    for answer in block_on(session.execute(text))? {
        match answer {
            Response::Rows { columns, mut rows } => {
                for row in rows.collect()? {
                    let cells = row.iter().zip(columns.iter()).map(|(cell, column)| match cell {
                        Some(value) => ledgerstone_query::value::text::format(value, &column.ty),
                        None => "null".to_owned(),
                    });
                    out.push(cells.collect::<Vec<_>>().join("|"));
                }
                out.push(rows.tag());
            }
            Response::Done { tag } => out.push(tag),
            _ => panic!("another kind of answer"),
        }
    }
    Ok(out)
}

/// Wakes the thread that waits in [`block_on`].
struct Thread(std::thread::Thread);

impl Wake for Thread {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

pub fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Thread(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
