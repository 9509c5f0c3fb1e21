//! Statements of PartiQL other than queries: documents in and out, tables and indexes, procedures, transactions.

use ledgerstone_digest::ion::Value;

use super::lexer::Kind;
use super::{Parser, near};
use crate::ast::{
    Alias, Assignment, Change, CreateIndex, CreateTable, Delete, Expr, ExprKind, From, Insert, InsertSource, Name,
    Span, Statement, TableName, Update,
};
use crate::error::{QueryError, Result};
use crate::literal;

/// What a statement may begin with, for the hint.
const STATEMENTS: [&str; 15] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "FROM", "CREATE", "DROP", "UNDROP", "EXEC", "PIVOT", "WITH", "EXPLAIN",
    "BEGIN", "COMMIT", "ROLLBACK",
];

impl Parser<'_> {
    pub(super) fn statement(&mut self) -> Result<Statement> {
        let word = self.word_ahead(0).unwrap_or("").to_ascii_uppercase();
        match word.as_str() {
            "SELECT" | "PIVOT" | "WITH" | "VALUES" => Ok(Statement::Query(Box::new(self.query()?))),
            "INSERT" => self.insert(),
            "UPDATE" => self.update(),
            "FROM" => self.changes_from(),
            "DELETE" => self.delete(),
            "CREATE" => self.create(),
            "DROP" => self.drop(),
            "UNDROP" => self.undrop(),
            "EXEC" => self.exec(),
            "EXPLAIN" => self.explain(),
            "BEGIN" | "START" | "COMMIT" | "ROLLBACK" | "ABORT" | "END" => self.transaction(&word),
            "SET" | "SHOW" | "RESET" => self.setting(),
            _ => self.expression_statement(),
        }
    }

    /// Settings are the session's and read alike in both dialects, so that a session finds its way back to SQL.
    fn setting(&mut self) -> Result<Statement> {
        let start = self.here();
        while !self.at_end() && !self.is_sign(";") {
            self.advance();
        }
        let span = start.to(self.before());
        let read = crate::sql::parse(span.slice(self.text)).map_err(|mut error| {
            let moved = |found: Span| Span { start: found.start + span.start, end: found.end + span.start };
            error.span = error.span.map(moved);
            error
        })?;
        let statement = read.into_iter().next().map(|parsed| parsed.statement);
        statement.ok_or_else(|| near(span.slice(self.text), span))
    }

    /// A query that is an expression, as `<< 1, 2 >>` or `EXISTS(SELECT …)`; a lone word is rather a misspelt keyword.
    fn expression_statement(&mut self) -> Result<Statement> {
        let begins = match self.kind(0) {
            Kind::Word => {
                self.is_sign_ahead(1, "(")
                    || ["CASE", "NULL", "MISSING", "TRUE", "FALSE"].iter().any(|w| self.is_word(w))
            }
            Kind::End | Kind::Quoted(_) => false,
            Kind::Sign(sign) => matches!(*sign, "(" | "[" | "{" | "<<" | "-" | "+"),
            _ => true,
        };
        let unknown = self.word_ahead(0).and_then(|w| literal::suggestion(w, STATEMENTS));
        if begins && unknown.is_none() {
            return Ok(Statement::Query(Box::new(self.query()?)));
        }
        let span = self.here();
        let error = match self.kind(0) {
            Kind::End => QueryError::syntax("syntax error at end of input", span),
            _ => near(span.slice(self.text), span),
        };
        Err(error.hint(match unknown {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("a statement begins with one of {}", STATEMENTS.join(", ")),
        }))
    }

    fn explain(&mut self) -> Result<Statement> {
        self.advance();
        let analyze = self.word("ANALYZE");
        let statement = Box::new(self.deeper(Self::statement)?);
        Ok(Statement::Explain { analyze, statement })
    }

    fn transaction(&mut self, word: &str) -> Result<Statement> {
        self.advance();
        if word == "START" {
            self.expect_word("TRANSACTION")?;
        } else if !self.word("TRANSACTION") {
            self.word("WORK");
        }
        Ok(match word {
            "COMMIT" | "END" => Statement::Commit { chain: false },
            "ROLLBACK" | "ABORT" => Statement::Rollback { chain: false },
            _ => {
                let read_only = self.words(&["READ", "ONLY"]);
                if !read_only {
                    self.words(&["READ", "WRITE"]);
                }
                Statement::Begin { read_only }
            }
        })
    }

    // ---- documents ------------------------------------------------------------------------------------------------

    /// `INSERT INTO t VALUE d`, `INSERT INTO t << d, d >>`, `INSERT INTO t ?`, `INSERT INTO t [(a, b)] VALUES … | SELECT …`
    fn insert(&mut self) -> Result<Statement> {
        self.advance();
        self.expect_word("INTO")?;
        let table = self.table_name()?;
        let columns = if self.are_columns() { self.parenthesized_names()? } else { Vec::new() };
        let source = if self.is_word("VALUE") {
            self.advance();
            InsertSource::Document { expr: self.expr()?, single: true }
        } else if self.word("VALUES") {
            self.values()?
        } else if self.is_query_ahead(0) {
            InsertSource::Query(Box::new(self.query()?))
        } else if columns.is_empty() && !self.at_end() {
            InsertSource::Document { expr: self.expr()?, single: false }
        } else {
            return Err(self.expected("VALUE, VALUES, a query or documents"));
        };
        if self.are_words(&["ON", "CONFLICT"]) {
            let hint = "use INSERT … ON CONFLICT through the PostgreSQL door";
            return Err(self.unsupported("ON CONFLICT in PartiQL", self.here(), hint));
        }
        if self.is_word("AT") {
            let hint = "an element of a list is inserted with FROM t AS a … INSERT INTO a.list VALUE v AT 0";
            return Err(self.expected("the end of the statement").hint(hint));
        }
        Ok(Statement::Insert(Box::new(Insert {
            with: Vec::new(),
            recursive: false,
            table,
            alias: None,
            columns,
            overriding: None,
            source,
            on_conflict: None,
            returning: Vec::new(),
        })))
    }

    /// Whether `(a, b)` comes next and then what begins the values.
    fn are_columns(&self) -> bool {
        if !self.is_sign("(") {
            return false;
        }
        let mut ahead = 1;
        loop {
            if !matches!(self.kind(ahead), Kind::Word | Kind::Quoted(_)) {
                return false;
            }
            if self.is_sign_ahead(ahead + 1, ")") {
                let after = ahead + 2;
                return ["VALUE", "VALUES", "SELECT", "WITH"].iter().any(|w| self.is_word_ahead(after, w));
            }
            if !self.is_sign_ahead(ahead + 1, ",") {
                return false;
            }
            ahead += 2;
        }
    }

    fn parenthesized_names(&mut self) -> Result<Vec<Name>> {
        self.expect_sign("(")?;
        let names = self.comma_separated(|p| p.name("a column name"))?;
        self.expect_sign(")")?;
        Ok(names)
    }

    /// VALUES is taken: rows in parentheses, or documents with commas between them.
    fn values(&mut self) -> Result<InsertSource> {
        if self.is_sign("(") {
            self.at -= 1;
            return Ok(InsertSource::Query(Box::new(self.query()?)));
        }
        let start = self.here();
        let mut documents = self.comma_separated(Self::expr)?;
        let expr = match documents.len() {
            1 => documents.pop().ok_or_else(|| QueryError::internal("no document"))?,
            _ => self.expr_to(start, ExprKind::Bag(documents)),
        };
        Ok(InsertSource::Document { expr, single: false })
    }

    /// `UPDATE t [AS a] [BY id] SET … | INSERT INTO … | REMOVE … [WHERE …]`
    fn update(&mut self) -> Result<Statement> {
        self.advance();
        let from = vec![self.changed_table()?];
        let changes = self.changes()?;
        let filter = self.filter()?;
        Ok(update_of(from, changes, filter))
    }

    /// `FROM t [AS a] [BY id], … [WHERE …] SET … | INSERT INTO … | REMOVE …`
    fn changes_from(&mut self) -> Result<Statement> {
        let start = self.here();
        self.advance();
        let from = self.sources()?;
        let filter = self.filter()?;
        if self.is_word("SELECT") {
            return Err(near(start.slice(self.text), start).hint("write SELECT … FROM …: SELECT comes first"));
        }
        let changes = self.changes()?;
        Ok(update_of(from, changes, filter))
    }

    /// `DELETE FROM t [AS a] [BY id] [WHERE …]`
    fn delete(&mut self) -> Result<Statement> {
        self.advance();
        self.expect_word("FROM")?;
        let from = vec![self.changed_table()?];
        let filter = self.filter()?;
        Ok(Statement::Delete(Box::new(Delete {
            with: Vec::new(),
            recursive: false,
            from,
            filter,
            returning: Vec::new(),
        })))
    }

    fn changed_table(&mut self) -> Result<From> {
        let start = self.here();
        let name = self.name("a table name")?;
        let base = Expr { kind: ExprKind::Name(name), span: start };
        let path = self.path_of(base)?;
        let alias: Alias = self.alias()?;
        Ok(From::Path { path, as_of: None, alias })
    }

    fn filter(&mut self) -> Result<Option<Expr>> {
        if self.word("WHERE") { Ok(Some(self.expr()?)) } else { Ok(None) }
    }

    fn changes(&mut self) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        loop {
            if self.word("SET") {
                let assignments = self.comma_separated(Self::assignment)?;
                changes.extend(assignments.into_iter().map(Change::Set));
            } else if self.word("REMOVE") {
                changes.extend(self.comma_separated(|p| Ok(Change::Remove { path: p.changed_path()? }))?);
            } else if self.is_word("INSERT") {
                changes.push(self.insert_into_path()?);
            } else if changes.is_empty() {
                return Err(self.expected("SET, INSERT INTO or REMOVE"));
            } else {
                return Ok(changes);
            }
        }
    }

    fn assignment(&mut self) -> Result<Assignment> {
        let target = self.changed_path()?;
        if !self.sign("=") {
            return Err(self.expected("\"=\""));
        }
        Ok(Assignment { target, value: self.expr()? })
    }

    /// A name and its steps: what can be changed.
    fn changed_path(&mut self) -> Result<Expr> {
        let start = self.here();
        let kind = if self.sign("@") {
            ExprKind::LocalName(self.name("the name of a variable after @")?)
        } else {
            ExprKind::Name(self.name("the path of a field")?)
        };
        let base = self.expr_to(start, kind);
        self.path_of(base)
    }

    fn insert_into_path(&mut self) -> Result<Change> {
        self.advance();
        self.expect_word("INTO")?;
        let path = self.changed_path()?;
        self.expect_word("VALUE")?;
        let value = self.expr()?;
        let at = if self.word("AT") { Some(self.expr()?) } else { None };
        Ok(Change::Insert { path, value, at })
    }

    // ---- definitions ------------------------------------------------------------------------------------------------

    fn create(&mut self) -> Result<Statement> {
        self.advance();
        if self.word("TABLE") {
            return self.create_table();
        }
        let unique = self.word("UNIQUE");
        if !self.word("INDEX") {
            return Err(self.expected(if unique { "INDEX" } else { "TABLE or INDEX" }));
        }
        let if_not_exists = self.words(&["IF", "NOT", "EXISTS"]);
        let name = if self.is_word("ON") { None } else { Some(self.name("ON, or a name for the index")?) };
        self.expect_word("ON")?;
        let table = self.table_name()?;
        self.expect_sign("(")?;
        let columns = self.comma_separated(|p| {
            let start = p.here();
            let name = p.name("the field to index")?;
            p.path_of(Expr { kind: ExprKind::Name(name), span: start })
        })?;
        self.expect_sign(")")?;
        Ok(Statement::CreateIndex(Box::new(CreateIndex { name, table, columns, unique, if_not_exists })))
    }

    fn create_table(&mut self) -> Result<Statement> {
        let if_not_exists = self.words(&["IF", "NOT", "EXISTS"]);
        let name = self.table_name()?;
        if self.is_sign("(") {
            let hint = "a table made in PartiQL has no columns to declare; use the PostgreSQL door for one that has";
            return Err(self.unsupported("CREATE TABLE with columns in PartiQL", self.here(), hint));
        }
        let options = if self.word("WITH") { self.options()? } else { Vec::new() };
        Ok(Statement::CreateTable(Box::new(CreateTable {
            name,
            if_not_exists,
            columns: Vec::new(),
            likes: Vec::new(),
            constraints: Vec::new(),
            options,
            as_query: None,
        })))
    }

    /// `(name = literal, …)`
    fn options(&mut self) -> Result<Vec<(std::sync::Arc<str>, Value)>> {
        self.expect_sign("(")?;
        let options = self.comma_separated(|p| {
            let name = p.name("the name of an option")?;
            p.expect_sign("=")?;
            let value = p.expr()?;
            let ExprKind::Literal(value) = value.kind else {
                return Err(QueryError::syntax("the value of an option must be a literal", value.span));
            };
            Ok((name.text.to_ascii_lowercase().into(), value))
        })?;
        self.expect_sign(")")?;
        Ok(options)
    }

    fn drop(&mut self) -> Result<Statement> {
        self.advance();
        if self.word("TABLE") {
            let if_exists = self.words(&["IF", "EXISTS"]);
            return Ok(Statement::DropTable { names: vec![self.table_name()?], if_exists });
        }
        if !self.word("INDEX") {
            return Err(self.expected("TABLE or INDEX"));
        }
        let if_exists = self.words(&["IF", "EXISTS"]);
        let index = self.name("the id of the index in double quotes")?;
        let on: Option<TableName> = if self.word("ON") { Some(self.table_name()?) } else { None };
        if self.word("WITH") {
            let span = self.here();
            for (name, value) in self.options()? {
                if &*name != "purge" || value != Value::Bool(true) {
                    let hint = "an index is always removed with what it holds: WITH (purge = true)";
                    return Err(self.unsupported("this option of DROP INDEX", span.to(self.before()), hint));
                }
            }
        }
        Ok(Statement::DropIndex { names: vec![index], on, if_exists })
    }

    fn undrop(&mut self) -> Result<Statement> {
        self.advance();
        self.expect_word("TABLE")?;
        Ok(Statement::UndropTable { table_id: self.name("the id of the table in double quotes")? })
    }

    /// `EXEC procedure argument, …`
    fn exec(&mut self) -> Result<Statement> {
        self.advance();
        let procedure = self.name("the name of a procedure")?;
        let procedure = Name::folded(procedure.written, procedure.span);
        let arguments = if self.at_end() || self.is_sign(";") { Vec::new() } else { self.comma_separated(Self::expr)? };
        Ok(Statement::Exec { procedure, arguments })
    }
}

/// An update of what PartiQL can say: it has no WITH and answers nothing.
fn update_of(from: Vec<From>, changes: Vec<Change>, filter: Option<Expr>) -> Statement {
    let (with, returning) = (Vec::new(), Vec::new());
    Statement::Update(Box::new(Update { with, recursive: false, from, changes, filter, returning }))
}
