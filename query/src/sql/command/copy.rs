//! COPY: what is copied, from or to where, and how it is written.

use std::sync::Arc;

use sqlparser::tokenizer::Token;

use super::super::dialect::LedgerstoneDialect;
use super::super::{Converter, statement_of};
use super::{Cursor, option_is_on};
use crate::ast::{Copy, CopyFormat, CopyPlace, CopyTarget, Name, Statement};
use crate::error::{QueryError, Result, SqlState};
use crate::literal;

/// Options as written; what is left out depends on the format.
#[derive(Default)]
struct CopyOptions {
    format: Option<CopyFormat>,
    header: bool,
    delimiter: Option<u8>,
    null: Option<Arc<str>>,
    quote: Option<u8>,
    escape: Option<u8>,
}

pub(super) fn parse(dialect: &LedgerstoneDialect, converter: &mut Converter, c: &mut Cursor) -> Result<Statement> {
    let target = copy_target(dialect, converter, c)?;
    let from = if c.words(&["FROM"]) {
        true
    } else if c.words(&["TO"]) {
        false
    } else {
        return Err(c.expected("FROM or TO"));
    };
    let place_span = c.here();
    if from && !matches!(target, CopyTarget::Table { .. }) {
        return Err(QueryError::syntax("COPY … FROM takes a table, not a query", place_span));
    }
    let place = copy_place(c, from)?;
    c.words(&["WITH"]);
    let options = if c.sign(&Token::LParen) { copy_options(c)? } else { old_copy_options(c)? };
    let format = options.format.unwrap_or(CopyFormat::Text);
    if from && c.is_word_ahead(0, "WHERE") {
        return Err(c.unsupported("COPY … FROM … WHERE", "filter before sending, or afterwards with DELETE"));
    }
    match (&place, format) {
        (CopyPlace::File(_), CopyFormat::Parquet)
        | (CopyPlace::Standard, CopyFormat::Text | CopyFormat::Csv | CopyFormat::Binary) => {}
        (CopyPlace::File(_), _) => {
            return Err(QueryError::unsupported("COPY to a file of the server in this format")
                .at(place_span)
                .hint("use FORMAT parquet, or COPY … TO STDOUT (\\copy in psql)"));
        }
        (CopyPlace::Standard, CopyFormat::Parquet) => {
            return Err(QueryError::unsupported("Parquet through STDIN and STDOUT")
                .at(place_span)
                .hint("COPY … TO 'name' (FORMAT parquet) writes under the server's export directory"));
        }
    }
    if format == CopyFormat::Binary
        && (options.header || options.delimiter.is_some() || options.null.is_some() || options.quote.is_some())
    {
        return Err(QueryError::syntax("the binary format has no header, delimiter, null or quote", place_span));
    }
    let csv = format == CopyFormat::Csv;
    if !csv && (options.quote.is_some() || options.escape.is_some()) {
        return Err(QueryError::unsupported("QUOTE and ESCAPE outside CSV").at(place_span));
    }
    let quote = options.quote.unwrap_or(b'"');
    let delimiter = options.delimiter.unwrap_or(if csv { b',' } else { b'\t' });
    if csv && delimiter == quote {
        return Err(QueryError::new(SqlState::INVALID_PARAMETER_VALUE, "the delimiter and the quote must differ")
            .at(place_span));
    }
    Ok(Statement::Copy(Box::new(Copy {
        target,
        from,
        place,
        format,
        header: options.header,
        delimiter,
        null: options.null.unwrap_or_else(|| if csv { "".into() } else { "\\N".into() }),
        quote,
        escape: options.escape.unwrap_or(quote),
    })))
}

fn copy_target(dialect: &LedgerstoneDialect, converter: &mut Converter, c: &mut Cursor) -> Result<CopyTarget> {
    let start = c.at + 1;
    let Some(inside) = c.parenthesis("\")\" after the query", "a query")? else {
        let table = c.table_name()?;
        let mut columns = Vec::new();
        if c.sign(&Token::LParen) {
            columns.push(c.name("a column name")?);
            while c.sign(&Token::Comma) {
                columns.push(c.name("a column name")?);
            }
            c.expect_sign(&Token::RParen)?;
        }
        return Ok(CopyTarget::Table { table, columns });
    };
    let statement = statement_of(dialect, converter, inside, c.text)?;
    let returning = match &statement {
        Statement::Insert(insert) => &insert.returning,
        Statement::Update(update) => &update.returning,
        Statement::Delete(delete) => &delete.returning,
        Statement::Merge(_) => &Vec::new(),
        Statement::Query(query) if query.changes_documents() => return Ok(CopyTarget::Change(Box::new(statement))),
        Statement::Query(query) => return Ok(CopyTarget::Query(query.clone())),
        _ => {
            c.at = start;
            return Err(c.unsupported("COPY of anything but a table, a query or a change of data", "run it first"));
        }
    };
    if returning.is_empty() {
        c.at = start;
        let message = "COPY query must have a RETURNING clause";
        return Err(QueryError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(c.here()));
    }
    Ok(CopyTarget::Change(Box::new(statement)))
}

fn copy_place(c: &mut Cursor, from: bool) -> Result<CopyPlace> {
    let standard = if from { "STDIN" } else { "STDOUT" };
    if c.words(&[standard]) {
        return Ok(CopyPlace::Standard);
    }
    if c.is_word_ahead(0, "PROGRAM") {
        return Err(c.unsupported("COPY with a program of the server", "use \\copy in psql"));
    }
    if from && matches!(c.token(), Some(Token::SingleQuotedString(_))) {
        return Err(c.unsupported("COPY from a file of the server", "use COPY … FROM STDIN (\\copy in psql)"));
    }
    let what = if from { "STDIN" } else { "STDOUT or the name of a file in quotes" };
    c.string(what).map(CopyPlace::File)
}

/// `(FORMAT csv, HEADER, …)`; the parenthesis is taken.
fn copy_options(c: &mut Cursor) -> Result<CopyOptions> {
    let mut options = CopyOptions::default();
    loop {
        let place = c.here();
        let option = c.name("an option of COPY")?;
        match &*option.text {
            "format" => {
                let format = c.name_or_string("text, csv, binary or parquet")?;
                options.format = Some(copy_format(&format)?);
            }
            "header" => {
                if c.is_word_ahead(0, "MATCH") {
                    return Err(c.unsupported("HEADER MATCH", "name the columns in their order and use HEADER"));
                }
                options.header = option_is_on(c)?.ok_or_else(|| c.expected("true or false"))?;
            }
            "delimiter" => options.delimiter = Some(c.character("the delimiter")?),
            "null" => options.null = Some(c.string("the text that stands for null")?),
            "quote" => options.quote = Some(c.character("the quote")?),
            "escape" => options.escape = Some(c.character("the escape")?),
            "encoding" => encoding(c)?,
            // How rows stand in PostgreSQL's files.
            "freeze" => {
                option_is_on(c)?;
            }
            _ => {
                return Err(QueryError::unsupported(format!("the option {} of COPY", option.written))
                    .at(place)
                    .hint("FORMAT, HEADER, DELIMITER, NULL, QUOTE, ESCAPE and ENCODING are supported"));
            }
        }
        if !c.sign(&Token::Comma) {
            c.expect_sign(&Token::RParen)?;
            return Ok(options);
        }
    }
}

/// `CSV HEADER DELIMITER AS ',' NULL AS ''`, as before PostgreSQL 9.
fn old_copy_options(c: &mut Cursor) -> Result<CopyOptions> {
    let mut options = CopyOptions::default();
    loop {
        if c.words(&["CSV"]) {
            options.format = Some(CopyFormat::Csv);
        } else if c.words(&["HEADER"]) {
            options.header = true;
        } else if c.words(&["DELIMITER"]) || c.words(&["DELIMITERS"]) {
            c.words(&["AS"]);
            options.delimiter = Some(c.character("the delimiter")?);
        } else if c.words(&["NULL"]) {
            c.words(&["AS"]);
            options.null = Some(c.string("the text that stands for null")?);
        } else if c.words(&["QUOTE"]) {
            c.words(&["AS"]);
            options.quote = Some(c.character("the quote")?);
        } else if c.words(&["ESCAPE"]) {
            c.words(&["AS"]);
            options.escape = Some(c.character("the escape")?);
        } else if c.words(&["ENCODING"]) {
            encoding(c)?;
        } else if c.words(&["BINARY"]) {
            options.format = Some(CopyFormat::Binary);
        } else if c.words(&["FREEZE"]) {
            // How rows stand in PostgreSQL's files.
        } else if c.is_word_ahead(0, "FORCE") {
            return Err(c.unsupported("this option of COPY", "leave it out"));
        } else {
            return Ok(options);
        }
    }
}

fn copy_format(format: &Name) -> Result<CopyFormat> {
    match format.text.to_ascii_lowercase().as_str() {
        "text" => Ok(CopyFormat::Text),
        "csv" => Ok(CopyFormat::Csv),
        "binary" => Ok(CopyFormat::Binary),
        "parquet" => Ok(CopyFormat::Parquet),
        _ => Err(QueryError::unsupported(format!("the COPY format {}", format.written))
            .at(format.span)
            .hint("text, csv, binary and parquet are supported")),
    }
}

fn encoding(c: &mut Cursor) -> Result<()> {
    let span = c.here();
    let encoding = c.string("the name of an encoding")?;
    if ["utf8", "utf-8", "unicode"].contains(&encoding.to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    Err(QueryError::unsupported(format!("the encoding {}", literal::shorten(&encoding)))
        .at(span)
        .hint("everything is UTF-8"))
}
