//! What is typed: when a statement is complete, and how words are completed.

use std::iter::Peekable;
use std::str::Chars;
use std::sync::Arc;
use std::sync::Mutex;

use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

/// Words that are completed, beside the names of tables.
const KEYWORDS: &[&str] = &[
    "ALTER TABLE",
    "AS OF BLOCK",
    "AS OF TIMESTAMP",
    "BEGIN",
    "COMMIT",
    "COPY",
    "CREATE INDEX ON",
    "CREATE TABLE",
    "DELETE FROM",
    "DISTINCT",
    "DROP TABLE",
    "EXPLAIN",
    "FROM",
    "GROUP BY",
    "HAVING",
    "INSERT INTO",
    "JOIN",
    "LEFT JOIN",
    "LIMIT",
    "MERGE INTO",
    "NOT NULL",
    "ORDER BY",
    "PRIMARY KEY",
    "RETURNING",
    "ROLLBACK",
    "SELECT",
    "SHOW",
    "UPDATE",
    "VALUES",
    "WHERE",
    "history(",
    "ledgerstone_consistency(",
    "ledgerstone_rotation(",
    "ledgerstone_digest()",
    "ledgerstone_receipt(",
    "ledgerstone_vkey()",
];

/// rustyline's helper; the names of tables come from the server.
pub struct Typist {
    pub tables: Arc<Mutex<Vec<String>>>,
}

impl Helper for Typist {}

impl Highlighter for Typist {}

impl Hinter for Typist {
    type Hint = String;
}

impl Completer for Typist {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = line.get(..at).unwrap_or(line);
        let start = typed
            .rfind(|c: char| !c.is_alphanumeric() && c != '_')
            .map_or(0, |i| i + typed.get(i..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8));
        let word = typed.get(start..).unwrap_or_default();
        if word.is_empty() {
            return Ok((at, Vec::new()));
        }
        let lower = word.to_lowercase();
        let tables = self.tables.lock().map(|tables| tables.clone()).unwrap_or_default();
        let keywords = KEYWORDS.iter().map(|word| (*word).to_owned());
        let all = tables.into_iter().chain(keywords);
        Ok((start, all.filter(|candidate| candidate.to_lowercase().starts_with(&lower)).collect()))
    }
}

impl Validator for Typist {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match is_complete(context.input()) {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

/// A command of the shell, nothing at all, or statements with a semicolon at the end that no quote or comment hides.
pub fn is_complete(text: &str) -> bool {
    let trimmed = text.trim();
    if trimmed.is_empty() || is_command(trimmed) || matches!(trimmed, "exit" | "quit") {
        return true;
    }
    let mut ended = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '`' => {
                ended = false;
                if !skip_ion(&mut rest) {
                    return false;
                }
            }
            '\'' | '"' => {
                ended = false;
                // A doubled quote closes and opens again, which comes to the same.
                if !rest.by_ref().any(|inside| inside == c) {
                    return false;
                }
            }
            '-' if rest.peek() == Some(&'-') => drop(rest.by_ref().find(|inside| *inside == '\n')),
            '/' if rest.peek() == Some(&'*') => {
                rest.next();
                let mut before = ' ';
                if !rest.by_ref().any(|inside| std::mem::replace(&mut before, inside) == '*' && inside == '/') {
                    return false;
                }
            }
            ';' => ended = true,
            c if c.is_whitespace() => {}
            _ => ended = false,
        }
    }
    ended
}

/// Moves behind the backtick that ends an Ion literal, which no quote inside it hides; false if there is none.
fn skip_ion(rest: &mut Peekable<Chars<'_>>) -> bool {
    while let Some(c) = rest.next() {
        match c {
            '`' => return true,
            '"' | '\'' => {
                let mut escaped = false;
                let ends = |inside: char| {
                    let ends = inside == c && !escaped;
                    escaped = inside == '\\' && !escaped;
                    ends
                };
                if !rest.by_ref().any(ends) {
                    return false;
                }
            }
            _ => {}
        }
    }
    false
}

/// A command of the shell's own, which ends with its line.
pub fn is_command(text: &str) -> bool {
    text.starts_with('\\') || text.split_whitespace().next() == Some("verify")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_with_a_semicolon_outside_of_quotes() {
        for complete in [
            "",
            "\\q",
            "SELECT 1;",
            "SELECT ';';",
            "SELECT 1; -- done",
            "SELECT 'it''s';",
            "a /* ; */ ;",
            "x `{a: \"`;\\\"\", 'b`': '''c`'''}`;",
        ] {
            assert!(is_complete(complete), "{complete}");
        }
        for open in
            ["SELECT 1", "SELECT ';", "SELECT 1 -- ;", "SELECT \"a;", "/* ; ", "SELECT 1; SELECT 2", "SELECT ';'"]
        {
            assert!(!is_complete(open), "{open}");
        }
    }
}
