//! Statements about tables as a whole: TRUNCATE, LOCK, ANALYZE, VACUUM, and what is refused with a hint.

use sqlparser::tokenizer::Token;

use super::Cursor;
use crate::ast::{Statement, TableName};
use crate::error::{QueryError, Result};

/// Ways to lock, of which all are the same here.
const LOCK_MODES: &[&[&str]] = &[
    &["ACCESS", "SHARE"],
    &["ROW", "SHARE"],
    &["ROW", "EXCLUSIVE"],
    &["SHARE", "UPDATE", "EXCLUSIVE"],
    &["SHARE", "ROW", "EXCLUSIVE"],
    &["SHARE"],
    &["EXCLUSIVE"],
    &["ACCESS", "EXCLUSIVE"],
];

pub(super) fn parse(c: &mut Cursor) -> Result<Option<Statement>> {
    let statement = if c.words(&["TRUNCATE"]) {
        truncate(c)?
    } else if c.words(&["LOCK"]) {
        lock(c)?
    } else if c.words(&["ANALYZE"]) || c.words(&["ANALYSE"]) {
        maintain(c, "ANALYZE")?
    } else if c.words(&["VACUUM"]) {
        maintain(c, "VACUUM")?
    } else if c.is_word_ahead(0, "DO") {
        return Err(c.unsupported("DO", "there is no procedural language: send the statements one by one"));
    } else if c.is_word_ahead(0, "REFRESH") || c.is_word_ahead(0, "SECURITY") || c.is_word_ahead(0, "REASSIGN") {
        let word = c.here().slice(c.text).to_ascii_uppercase();
        return Err(QueryError::unsupported(word).at(c.here()));
    } else {
        return Ok(None);
    };
    Ok(Some(statement))
}

/// `TABLE? ONLY? name *?, …`
fn tables(c: &mut Cursor) -> Result<Vec<TableName>> {
    c.words(&["TABLE"]);
    let mut tables = Vec::new();
    loop {
        c.words(&["ONLY"]);
        tables.push(c.table_name()?);
        c.sign(&Token::Mul);
        if !c.sign(&Token::Comma) {
            return Ok(tables);
        }
    }
}

fn truncate(c: &mut Cursor) -> Result<Statement> {
    let tables = tables(c)?;
    if c.are_words(&["RESTART", "IDENTITY"]) {
        return Err(c.unsupported("RESTART IDENTITY", "identity values are never given twice; leave it out"));
    }
    c.words(&["CONTINUE", "IDENTITY"]);
    // Nothing refers to a table, so both mean the same.
    if !c.words(&["CASCADE"]) {
        c.words(&["RESTRICT"]);
    }
    Ok(Statement::Truncate(tables))
}

fn lock(c: &mut Cursor) -> Result<Statement> {
    let tables = tables(c)?;
    if c.words(&["IN"]) {
        let Some(mode) = LOCK_MODES.iter().find(|mode| c.are_words(mode) && c.is_word_ahead(mode.len(), "MODE")) else {
            return Err(c.expected("a mode such as EXCLUSIVE MODE"));
        };
        c.at += mode.len() + 1;
    }
    // Nothing ever waits.
    c.words(&["NOWAIT"]);
    Ok(Statement::Lock(tables))
}

fn maintain(c: &mut Cursor, command: &'static str) -> Result<Statement> {
    if c.sign(&Token::LParen) {
        // How to do it; there is nothing to do.
        while !c.at_end() && !c.sign(&Token::RParen) {
            c.at += 1;
        }
    }
    for word in ["FULL", "FREEZE", "VERBOSE", "ANALYZE"] {
        c.words(&[word]);
    }
    let mut tables = Vec::new();
    while !c.at_end() {
        tables.push(c.table_name()?);
        if c.sign(&Token::LParen) {
            loop {
                c.name("a column name")?;
                if !c.sign(&Token::Comma) {
                    break;
                }
            }
            c.expect_sign(&Token::RParen)?;
        }
        if !c.sign(&Token::Comma) {
            break;
        }
    }
    Ok(Statement::Maintain { command, tables })
}
