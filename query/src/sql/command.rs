//! Statements read from the tokens directly: transactions, settings, COPY, EXPLAIN, COMMENT, databases, and PartiQL's UNDROP and
//! EXEC. They are simple, and so every clause is seen and every error has a place.

mod comment;
mod copy;
mod cursor;
mod maintenance;
mod sequence;

use std::sync::Arc;

use ledgerstone_digest::ion::Value;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::dialect::LedgerstoneDialect;
use super::{Converter, near, statement_of, tokens, with_parser};
use crate::ast::{Name, SetValue, Span, Statement, TableName};
use crate::error::{QueryError, Result, SqlState};
use crate::literal;

/// The statement, or nothing if it is not one of those read here.
pub(super) fn parse(
    dialect: &LedgerstoneDialect,
    converter: &mut Converter,
    tokens: &[TokenWithSpan],
    text: &str,
) -> Result<Option<Statement>> {
    let mut c = Cursor { tokens, at: 0, text };
    let statement = if c.words(&["EXPLAIN"]) {
        return explain(dialect, converter, c).map(Some);
    } else if c.words(&["COPY"]) {
        copy::parse(dialect, converter, &mut c)?
    } else if c.words(&["EXEC"]) {
        exec(dialect, converter, &mut c)?
    } else if let Some(statement) = transaction(&mut c)? {
        statement
    } else if let Some(statement) = session(&mut c)? {
        statement
    } else if let Some(statement) = definition(&mut c)? {
        statement
    } else if let Some(statement) = cursor::parse(dialect, converter, &mut c)? {
        statement
    } else if c.words(&["COMMENT", "ON"]) {
        comment::parse(&mut c)?
    } else if let Some(statement) = maintenance::parse(&mut c)? {
        statement
    } else {
        return Ok(None);
    };
    if c.at_end() { Ok(Some(statement)) } else { Err(c.expected("the end of the statement")) }
}

/// Reads words and signs of a statement, one after the other.
pub(super) struct Cursor<'a> {
    pub(super) tokens: &'a [TokenWithSpan],
    pub(super) at: usize,
    pub(super) text: &'a str,
}

impl<'a> Cursor<'a> {
    pub(super) fn token(&self) -> Option<&'a Token> {
        self.tokens.get(self.at).map(|t| &t.token)
    }

    /// The tokens of a parenthesis that comes next, which is taken. `close` and `inside` say what is expected of it.
    fn parenthesis(&mut self, close: &str, inside: &str) -> Result<Option<&'a [TokenWithSpan]>> {
        if self.token() != Some(&Token::LParen) {
            return Ok(None);
        }
        let mut open = 0usize;
        let length = self.rest().iter().position(|t| {
            match t.token {
                Token::LParen => open += 1,
                Token::RParen => open = open.saturating_sub(1),
                _ => {}
            }
            open == 0
        });
        let Some(length) = length else {
            self.at = self.tokens.len();
            return Err(self.expected(close));
        };
        let tokens = self.tokens.get(self.at + 1..self.at + length).unwrap_or(&[]);
        if tokens.is_empty() {
            self.at += 1;
            return Err(self.expected(inside));
        }
        self.at += length + 1;
        Ok(Some(tokens))
    }

    fn at_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    pub(super) fn here(&self) -> Span {
        match self.tokens.get(self.at) {
            Some(token) => tokens::span(token.span),
            None => {
                let end = self.tokens.last().map_or(0, |t| tokens::span(t.span).end);
                Span { start: end, end }
            }
        }
    }

    fn rest(&self) -> &'a [TokenWithSpan] {
        self.tokens.get(self.at..).unwrap_or(&[])
    }

    fn is_word_ahead(&self, ahead: usize, word: &str) -> bool {
        self.tokens.get(self.at + ahead).is_some_and(|token| tokens::is_word(token, word))
    }

    pub(super) fn are_words(&self, words: &[&str]) -> bool {
        tokens::begin_with(self.rest(), words)
    }

    /// Takes these words if all of them come next.
    pub(super) fn words(&mut self, words: &[&str]) -> bool {
        let found = self.are_words(words);
        if found {
            self.at += words.len();
        }
        found
    }

    fn expect_word(&mut self, word: &str) -> Result<()> {
        if self.words(&[word]) { Ok(()) } else { Err(self.expected(word)) }
    }

    pub(super) fn sign(&mut self, sign: &Token) -> bool {
        let found = self.token() == Some(sign);
        if found {
            self.at += 1;
        }
        found
    }

    fn expect_sign(&mut self, sign: &Token) -> Result<()> {
        if self.sign(sign) { Ok(()) } else { Err(self.expected(&format!("\"{sign}\""))) }
    }

    pub(super) fn expected(&self, what: &str) -> QueryError {
        near(self.here(), self.text).hint(format!("expected {what}"))
    }

    fn name(&mut self, what: &str) -> Result<Name> {
        let span = self.here();
        let Some(Token::Word(word)) = self.token() else { return Err(self.expected(what)) };
        self.at += 1;
        Ok(match word.quote_style {
            Some(_) => Name::exact(word.value.as_str(), true, span),
            None => Name::folded(word.value.as_str(), span),
        })
    }

    /// A name, or one that stands in quotes as if it were a text, as drivers write the formats of COPY.
    fn name_or_string(&mut self, what: &str) -> Result<Name> {
        let span = self.here();
        match self.token() {
            Some(Token::SingleQuotedString(_)) => Ok(Name::exact(self.string(what)?.to_ascii_lowercase(), true, span)),
            _ => self.name(what),
        }
    }

    pub(super) fn table_name(&mut self) -> Result<TableName> {
        let name = self.name("a table name")?;
        if self.sign(&Token::Period) {
            return Ok(TableName { schema: Some(name), name: self.name("a table name")? });
        }
        Ok(TableName::plain(name))
    }

    /// `table.column` or `schema.table.column`
    fn column_of_table(&mut self, what: &str) -> Result<(TableName, Name)> {
        let mut parts: Vec<Name> = vec![self.name(what)?];
        while self.sign(&Token::Period) {
            parts.push(self.name("a column name")?);
        }
        let Some(column) = parts.pop() else { return Err(QueryError::internal("a name without parts")) };
        let (name, schema) = (parts.pop(), parts.pop());
        match name {
            None => Err(QueryError::syntax("column name must be qualified", column.span).hint("write table.column")),
            Some(name) if !parts.is_empty() => {
                Err(QueryError::unsupported("a name of more than a schema, a table and a column").at(name.span))
            }
            Some(name) => Ok((TableName { schema, name }, column)),
        }
    }

    /// A quoted string.
    fn string(&mut self, what: &str) -> Result<Arc<str>> {
        let text = match self.token() {
            Some(
                Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) | Token::UnicodeStringLiteral(text),
            ) => text.as_str(),
            Some(Token::DollarQuotedString(text)) => text.value.as_str(),
            _ => return Err(self.expected(what)),
        };
        self.at += 1;
        Ok(text.into())
    }

    /// A string of one ASCII character.
    fn character(&mut self, what: &str) -> Result<u8> {
        let span = self.here();
        let text = self.string(&format!("{what}, one character in quotes"))?;
        match text.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(*byte),
            _ => Err(QueryError::new(SqlState::INVALID_PARAMETER_VALUE, format!("{what} must be one ASCII character"))
                .at(span)),
        }
    }

    fn unsupported(&self, what: &str, hint: &str) -> QueryError {
        QueryError::unsupported(what).at(self.here()).hint(hint)
    }
}

// ---- transactions -------------------------------------------------------------------------------------------------

#[derive(Default)]
struct Modes {
    isolation: Option<&'static str>,
    read_only: Option<bool>,
}

fn transaction(c: &mut Cursor) -> Result<Option<Statement>> {
    let statement = if c.words(&["BEGIN"]) {
        skip_noise(c);
        Statement::Begin { read_only: modes(c)?.read_only.unwrap_or(false) }
    } else if c.words(&["START", "TRANSACTION"]) {
        Statement::Begin { read_only: modes(c)?.read_only.unwrap_or(false) }
    } else if c.words(&["COMMIT"]) || c.words(&["END"]) {
        skip_noise(c);
        Statement::Commit { chain: chain(c) }
    } else if c.words(&["ROLLBACK"]) || c.words(&["ABORT"]) {
        skip_noise(c);
        if c.words(&["TO"]) {
            c.words(&["SAVEPOINT"]);
            Statement::RollbackToSavepoint(c.name("the name of a savepoint")?)
        } else {
            Statement::Rollback { chain: chain(c) }
        }
    } else if c.words(&["SAVEPOINT"]) {
        Statement::Savepoint(c.name("the name of a savepoint")?)
    } else if c.words(&["RELEASE"]) {
        c.words(&["SAVEPOINT"]);
        Statement::ReleaseSavepoint(c.name("the name of a savepoint")?)
    } else {
        return Ok(None);
    };
    Ok(Some(statement))
}

fn skip_noise(c: &mut Cursor) {
    if !c.words(&["WORK"]) {
        c.words(&["TRANSACTION"]);
    }
}

fn chain(c: &mut Cursor) -> bool {
    c.words(&["AND", "CHAIN"]) || {
        c.words(&["AND", "NO", "CHAIN"]);
        false
    }
}

/// Every level is served as serializable, which is at least what was asked for.
fn modes(c: &mut Cursor) -> Result<Modes> {
    let mut modes = Modes::default();
    loop {
        if c.words(&["ISOLATION", "LEVEL"]) {
            modes.isolation = Some(if c.words(&["SERIALIZABLE"]) {
                "serializable"
            } else if c.words(&["REPEATABLE", "READ"]) {
                "repeatable read"
            } else if c.words(&["READ", "COMMITTED"]) {
                "read committed"
            } else if c.words(&["READ", "UNCOMMITTED"]) {
                "read uncommitted"
            } else {
                return Err(c.expected("SERIALIZABLE, REPEATABLE READ, READ COMMITTED or READ UNCOMMITTED"));
            });
        } else if c.words(&["READ", "ONLY"]) {
            modes.read_only = Some(true);
        } else if c.words(&["READ", "WRITE"]) {
            modes.read_only = Some(false);
        } else if !c.words(&["NOT", "DEFERRABLE"]) && !c.words(&["DEFERRABLE"]) {
            // A read-only transaction here never waits and never fails, deferred or not.
            return if c.at_end() {
                Ok(modes)
            } else {
                Err(c.expected("ISOLATION LEVEL, READ ONLY, READ WRITE or the end of the statement"))
            };
        }
        c.sign(&Token::Comma);
    }
}

// ---- settings -----------------------------------------------------------------------------------------------------

fn session(c: &mut Cursor) -> Result<Option<Statement>> {
    let statement = if c.words(&["SET"]) {
        set(c)?
    } else if c.words(&["SHOW"]) {
        Statement::Show { name: shown(c)? }
    } else if c.words(&["RESET"]) {
        if c.words(&["ALL"]) {
            Statement::Reset { name: None }
        } else if c.words(&["SESSION", "AUTHORIZATION"]) || c.words(&["ROLE"]) {
            Statement::NoOperation { tag: "RESET" }
        } else {
            Statement::Reset { name: Some(shown(c)?) }
        }
    } else if c.words(&["DISCARD"]) {
        if c.words(&["ALL"]) {
            return Ok(Some(Statement::DiscardAll));
        }
        if c.words(&["SEQUENCES"]) {
            return Ok(Some(Statement::DiscardSequences));
        }
        let tag = if c.words(&["PLANS"]) {
            "DISCARD PLANS"
        } else if c.words(&["TEMP"]) || c.words(&["TEMPORARY"]) {
            "DISCARD TEMP"
        } else {
            return Err(c.expected("ALL, PLANS, SEQUENCES or TEMP"));
        };
        Statement::NoOperation { tag }
    } else if c.words(&["DEALLOCATE"]) {
        c.words(&["PREPARE"]);
        let name = if c.words(&["ALL"]) { None } else { Some(c.name("the name of a prepared statement, or ALL")?) };
        Statement::Deallocate { name }
    } else if c.words(&["UNLISTEN"]) {
        // Nothing is ever listened to, so this has nothing to do; connection pools send it.
        if !c.sign(&Token::Mul) {
            c.name("* or the name of a channel")?;
        }
        Statement::NoOperation { tag: "UNLISTEN" }
    } else {
        return Ok(None);
    };
    Ok(Some(statement))
}

/// The name of a setting after SHOW or RESET.
fn shown(c: &mut Cursor) -> Result<Arc<str>> {
    if c.words(&["TRANSACTION", "ISOLATION", "LEVEL"]) {
        return Ok("transaction_isolation".into());
    }
    if c.words(&["TIME", "ZONE"]) {
        return Ok("timezone".into());
    }
    setting_name(c)
}

/// `name` or `prefix.name`, in lower case.
fn setting_name(c: &mut Cursor) -> Result<Arc<str>> {
    let mut name = c.name("the name of a setting")?.text.to_ascii_lowercase();
    while c.sign(&Token::Period) {
        name.push('.');
        name.push_str(&c.name("the name of a setting")?.text.to_ascii_lowercase());
    }
    Ok(name.into())
}

fn set(c: &mut Cursor) -> Result<Statement> {
    if c.words(&["TRANSACTION"]) {
        return set_transaction(c, false);
    }
    if c.words(&["SESSION", "CHARACTERISTICS", "AS", "TRANSACTION"]) {
        return set_transaction(c, true);
    }
    if c.words(&["SESSION", "AUTHORIZATION"]) || c.words(&["ROLE"]) {
        if c.words(&["DEFAULT"]) || c.words(&["NONE"]) {
            return Ok(Statement::NoOperation { tag: "SET" });
        }
        return Err(c.unsupported("acting as another user", "connect as that user"));
    }
    let local = c.words(&["LOCAL"]);
    if !local && !matches!(c.tokens.get(c.at + 1).map(|t| &t.token), Some(Token::Eq | Token::Period)) {
        c.words(&["SESSION"]);
    }
    if c.words(&["TIME", "ZONE"]) {
        let value = if c.words(&["LOCAL"]) { SetValue::Default } else { set_value(c)? };
        return Ok(Statement::Set { name: "timezone".into(), value, local });
    }
    if c.words(&["NAMES"]) {
        return Ok(Statement::Set { name: "client_encoding".into(), value: set_value(c)?, local });
    }
    let name = setting_name(c)?;
    if !c.sign(&Token::Eq) && !c.words(&["TO"]) {
        return Err(c.expected("TO or \"=\""));
    }
    Ok(Statement::Set { name, value: set_value(c)?, local })
}

fn set_transaction(c: &mut Cursor, session: bool) -> Result<Statement> {
    if c.is_word_ahead(0, "SNAPSHOT") {
        return Err(c.unsupported("SET TRANSACTION SNAPSHOT", "read at a block with AS OF BLOCK"));
    }
    if c.at_end() {
        return Err(c.expected("ISOLATION LEVEL, READ ONLY or READ WRITE"));
    }
    let Modes { isolation, read_only } = modes(c)?;
    Ok(Statement::SetTransaction { session, isolation, read_only })
}

fn set_value(c: &mut Cursor) -> Result<SetValue> {
    if c.words(&["DEFAULT"]) {
        return Ok(SetValue::Default);
    }
    let mut values = vec![one_value(c)?];
    while c.sign(&Token::Comma) {
        values.push(one_value(c)?);
    }
    Ok(SetValue::Values(values))
}

fn one_value(c: &mut Cursor) -> Result<Value> {
    let span = c.here();
    let negative = c.sign(&Token::Minus);
    let value = match c.token() {
        Some(Token::Number(text, _)) => {
            let text = if negative { format!("-{text}") } else { text.clone() };
            // A number is kept as its text: what it means depends on the setting.
            Value::string(text)
        }
        Some(Token::Word(word)) if !negative => match word.quote_style {
            Some(_) => Value::string(word.value.as_str()),
            None => Value::string(word.value.to_ascii_lowercase()),
        },
        Some(Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text)) if !negative => {
            Value::string(text.as_str())
        }
        _ => return Err(c.expected("a value")),
    };
    if let Some(text) = value.as_text()
        && text.len() > 65_536
    {
        let message = format!("the value {} is too long", literal::shorten(text));
        return Err(QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).at(span));
    }
    c.at += 1;
    Ok(value)
}

// ---- definitions --------------------------------------------------------------------------------------------------

fn definition(c: &mut Cursor) -> Result<Option<Statement>> {
    let statement = if c.words(&["CREATE", "DATABASE"]) {
        let if_not_exists = c.words(&["IF", "NOT", "EXISTS"]);
        let name = c.name("the name of a database, which is a ledger")?;
        if !c.at_end() {
            return Err(c.unsupported("an option of CREATE DATABASE", "a ledger has no owner, template or encoding"));
        }
        Statement::CreateDatabase { name, if_not_exists }
    } else if c.words(&["DROP", "DATABASE"]) {
        let if_exists = c.words(&["IF", "EXISTS"]);
        let name = c.name("the name of a database, which is a ledger")?;
        if !c.at_end() {
            return Err(c.unsupported("an option of DROP DATABASE", "close its sessions first"));
        }
        Statement::DropDatabase { name, if_exists }
    } else if c.words(&["CREATE", "SEQUENCE"]) {
        sequence::create(c)?
    } else if c.words(&["ALTER", "SEQUENCE"]) {
        sequence::alter(c)?
    } else if c.words(&["UNDROP", "TABLE"]) {
        Statement::UndropTable { table_id: c.name("the id of the table in double quotes")? }
    } else if c.are_words(&["DROP", "INDEX"]) && c.is_word_ahead(3, "ON") {
        c.at += 2;
        let index = c.name("the id of the index in double quotes")?;
        c.expect_word("ON")?;
        let on = Some(c.table_name()?);
        if c.words(&["WITH"]) {
            c.expect_sign(&Token::LParen)?;
            c.expect_word("PURGE")?;
            c.expect_sign(&Token::Eq)?;
            c.expect_word("TRUE")?;
            c.expect_sign(&Token::RParen)?;
        }
        Statement::DropIndex { names: vec![index], on, if_exists: false }
    } else {
        return Ok(None);
    };
    Ok(Some(statement))
}

/// `EXEC procedure argument, …`
fn exec(dialect: &LedgerstoneDialect, converter: &mut Converter, c: &mut Cursor) -> Result<Statement> {
    let procedure = c.name("the name of a procedure")?;
    let mut arguments = Vec::new();
    if !c.at_end() {
        let parsed = with_parser(dialect, c.rest(), c.text, |p| p.parse_comma_separated(|p| p.parse_expr()))?;
        arguments = converter.exprs(parsed)?;
        c.at = c.tokens.len();
    }
    Ok(Statement::Exec { procedure, arguments })
}

fn explain(dialect: &LedgerstoneDialect, converter: &mut Converter, mut c: Cursor) -> Result<Statement> {
    let mut analyze = false;
    if c.sign(&Token::LParen) {
        loop {
            let place = c.here();
            let option = c.name("an option of EXPLAIN")?;
            let on = option_is_on(&mut c)?;
            match (&*option.text, on) {
                ("analyze", Some(on)) => analyze = on,
                // The plan is shown without these, and always with all it has.
                ("costs" | "buffers" | "settings" | "wal" | "timing" | "summary", Some(false))
                | ("verbose", Some(_)) => {}
                ("format", None) if c.words(&["TEXT"]) => {}
                _ => {
                    return Err(QueryError::unsupported(format!("the option {} of EXPLAIN", option.written))
                        .at(place)
                        .hint("ANALYZE is supported; the format is text"));
                }
            }
            if !c.sign(&Token::Comma) {
                break;
            }
        }
        c.expect_sign(&Token::RParen)?;
    } else {
        analyze = c.words(&["ANALYZE"]) || c.words(&["ANALYSE"]);
        c.words(&["VERBOSE"]);
    }
    if c.at_end() {
        return Err(c.expected("a statement to explain"));
    }
    let statement = converter.deeper(|converter| statement_of(dialect, converter, c.rest(), c.text))?;
    match statement {
        statement if statement.is_query_or_change() => {
            Ok(Statement::Explain { analyze, statement: Box::new(statement) })
        }
        // Without ANALYZE nothing is made, and the plan is the query's.
        Statement::CreateTable(create) if !analyze => match create.as_query {
            Some(made) => {
                let query = Statement::Query(Box::new(made.query));
                Ok(Statement::Explain { analyze, statement: Box::new(query) })
            }
            None => Err(QueryError::syntax("only queries and changes of data can be explained", c.here())),
        },
        _ => Err(QueryError::syntax("only queries and changes of data can be explained", c.here())),
    }
}

/// The value of an option that is on or off; nothing if it has another value.
fn option_is_on(c: &mut Cursor) -> Result<Option<bool>> {
    Ok(if c.words(&["ON"]) || c.words(&["TRUE"]) {
        Some(true)
    } else if c.words(&["OFF"]) || c.words(&["FALSE"]) {
        Some(false)
    } else if matches!(c.token(), Some(Token::Comma | Token::RParen)) {
        Some(true)
    } else {
        match c.token() {
            Some(Token::Number(n, _)) if n == "0" || n == "1" => {
                c.at += 1;
                Some(n == "1")
            }
            _ => None,
        }
    })
}
