//! What is said of identity columns and sqlparser cannot read. `ALTER COLUMN c SET GENERATED …`, `RESTART …` and `DROP IDENTITY` are
//! read here, and stand in what sqlparser reads as a DROP DEFAULT that is known by the place of its column. Options in
//! parentheses come in any order; what is left of them is `(START WITH n)`, and the name of a sequence, known by the place of the column
//! that its ALTER TABLE began with.

use sqlparser::ast as sql;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::command::Cursor;
use super::tokens;
use crate::ast::{Identity, Name, Span};
use crate::error::{QueryError, Result, SqlState};

/// By the places of the columns' names.
pub(super) type IdentityChanges = Vec<(Span, IdentityChange)>;

#[derive(Debug, Clone)]
pub(super) enum IdentityChange {
    Set {
        identity: Option<Identity>,
        counts_from: Option<i64>,
    },
    Drop {
        if_exists: bool,
    },
    /// What the sequence of an ADD GENERATED is to be called.
    Named(Name),
}

/// How sqlparser says it.
pub(super) fn identity_of(generated: sql::GeneratedAs) -> Identity {
    match generated {
        sql::GeneratedAs::Always => Identity::Always,
        sql::GeneratedAs::ByDefault | sql::GeneratedAs::ExpStored => Identity::ByDefault,
    }
}

/// The first value, which is all that options come to once they have gone through [`taken_out`].
pub(super) fn counts_from(options: &[sql::SequenceOptions]) -> Option<i64> {
    options.iter().find_map(|option| match option {
        sql::SequenceOptions::StartWith(from, _) => from.to_string().parse().ok(),
        _ => None,
    })
}

fn first_value(what: &str, (value, span): (i64, Span)) -> Result<i64> {
    if value >= 1 {
        return Ok(value);
    }
    let message = format!("{what} value ({value}) cannot be less than MINVALUE (1)");
    Err(QueryError::new(SqlState::INVALID_PARAMETER_VALUE, message).at(span))
}

/// The statement without them; nothing if it has none.
pub(super) fn taken_out(tokens: &[TokenWithSpan], text: &str) -> Result<Option<(IdentityChanges, Vec<TokenWithSpan>)>> {
    let alters = tokens::begin_with(tokens, &["ALTER", "TABLE"]);
    if !alters && !tokens::begin_with(tokens, &["CREATE", "TABLE"]) {
        return Ok(None);
    }
    let (mut found, mut rest, mut at, mut changed) = (IdentityChanges::new(), Vec::new(), 0, false);
    let mut altered = None;
    while let Some(token) = tokens.get(at) {
        rest.push(token.clone());
        at += 1;
        let mut reader = Cursor { tokens, at, text };
        if token.token == Token::Comma {
            // The next action is of another column, or of a new one.
            altered = None;
        }
        if is_generated_identity(tokens, at) && reader.token() == Some(&Token::LParen) {
            let options = options(&mut reader)?;
            rest.extend(options.counts_from().into_iter().flat_map(|from| start_with(from, token)));
            if let Some(name) = options.sequence {
                let column = altered.ok_or_else(|| {
                    QueryError::unsupported("SEQUENCE NAME where a column is made")
                        .at(name.span)
                        .hint("The sequence of a column is called <table>_<column>_seq.")
                })?;
                found.push((column, IdentityChange::Named(name)));
            }
            (at, changed) = (reader.at, true);
            continue;
        }
        if !alters || at <= 2 || !tokens::is_word(token, "ALTER") {
            continue;
        }
        if let Some(word) = tokens.get(at).filter(|word| tokens::is_word(word, "COLUMN")) {
            rest.push(word.clone());
            at += 1;
        }
        let Some(column) = tokens.get(at).filter(|t| matches!(t.token, Token::Word(_))) else { continue };
        altered = Some(tokens::span(column.span));
        let mut reader = Cursor { tokens, at: at + 1, text };
        let Some(change) = change(&mut reader)? else { continue };
        found.push((tokens::span(column.span), change));
        let word = |keyword| TokenWithSpan { token: Token::make_keyword(keyword), span: column.span };
        rest.extend([column.clone(), word("DROP"), word("DEFAULT")]);
        (at, changed) = (reader.at, true);
    }
    Ok(changed.then_some((found, rest)))
}

/// Whether the tokens before this place are `GENERATED … AS IDENTITY`: an alias may be called so as well.
fn is_generated_identity(tokens: &[TokenWithSpan], at: usize) -> bool {
    let ends_with = |words: &[&str]| {
        at.checked_sub(words.len()).and_then(|from| tokens.get(from..at)).is_some_and(|t| tokens::begin_with(t, words))
    };
    ends_with(&["GENERATED", "ALWAYS", "AS", "IDENTITY"])
        || ends_with(&["GENERATED", "BY", "DEFAULT", "AS", "IDENTITY"])
}

/// What is said of how a column counts.
#[derive(Default)]
pub(super) struct Options {
    from: Option<i64>,
    sequence: Option<Name>,
}

impl Options {
    /// If it is not 1.
    pub fn counts_from(&self) -> Option<i64> {
        self.from.filter(|from| *from > 1)
    }
}

/// What stands in parentheses behind IDENTITY: sqlparser knows options in one order only, and pg_dump has another.
fn options(c: &mut Cursor<'_>) -> Result<Options> {
    let mut options = Options::default();
    c.at += 1;
    while !c.sign(&Token::RParen) {
        let start = c.here();
        if c.words(&["SEQUENCE", "NAME"]) {
            if options.sequence.replace(c.table_name()?.name).is_some() {
                return Err(redundant(start));
            }
        } else if !option(c, &mut options)? {
            return Err(c.expected("an option of an identity column, such as START WITH 100"));
        }
    }
    Ok(options)
}

/// Takes an option of a sequence if one comes next. Those that would have a column count otherwise than upwards by one, as far as
/// its type goes, are refused.
pub(super) fn option(c: &mut Cursor<'_>, options: &mut Options) -> Result<bool> {
    let start = c.here();
    let again = if c.words(&["START"]) {
        c.words(&["WITH"]);
        options.from.replace(first_value("START", number(c)?)?).is_some()
    } else if c.words(&["CACHE"]) {
        number(c)?;
        false
    } else if c.words(&["NO", "MINVALUE"]) || c.words(&["NO", "MAXVALUE"]) || c.words(&["NO", "CYCLE"]) {
        false
    } else if c.words(&["INCREMENT"]) {
        c.words(&["BY"]);
        one(c, start, "INCREMENT")?
    } else if c.words(&["MINVALUE"]) {
        one(c, start, "MINVALUE")?
    } else if c.are_words(&["MAXVALUE"]) || c.are_words(&["CYCLE"]) {
        return Err(otherwise(c.here().slice(c.text), start));
    } else {
        return Ok(false);
    };
    if again { Err(redundant(start)) } else { Ok(true) }
}

fn redundant(at: Span) -> QueryError {
    QueryError::syntax("conflicting or redundant options", at)
}

/// An option that has to be 1.
fn one(c: &mut Cursor<'_>, start: Span, what: &str) -> Result<bool> {
    match number(c)? {
        (1, _) => Ok(false),
        _ => Err(otherwise(what, start)),
    }
}

fn otherwise(option: &str, at: Span) -> QueryError {
    QueryError::unsupported(format!("{option} of an identity column"))
        .at(at)
        .hint("An identity column counts upwards by one, as far as its type goes; START WITH says where from.")
}

fn number(c: &mut Cursor<'_>) -> Result<(i64, Span)> {
    let start = c.here();
    let sign = if c.sign(&Token::Minus) { "-" } else { "" };
    let Some(Token::Number(digits, _)) = c.token() else { return Err(c.expected("a whole number")) };
    let span = start.to(c.here());
    c.at += 1;
    let value = format!("{sign}{digits}").parse();
    value.map(|value| (value, span)).map_err(|_| QueryError::syntax("a whole number is needed here", span))
}

fn start_with(from: i64, place: &TokenWithSpan) -> [TokenWithSpan; 5] {
    let number = Token::Number(from.to_string(), false);
    [Token::LParen, Token::make_keyword("START"), Token::make_keyword("WITH"), number, Token::RParen]
        .map(|token| TokenWithSpan { token, span: place.span })
}

fn change(c: &mut Cursor<'_>) -> Result<Option<IdentityChange>> {
    if c.words(&["DROP", "IDENTITY"]) {
        return Ok(Some(IdentityChange::Drop { if_exists: c.words(&["IF", "EXISTS"]) }));
    }
    let (mut identity, mut counts_from) = (None, None);
    loop {
        let start = c.here();
        let again = if c.words(&["SET", "GENERATED"]) {
            identity.replace(generated(c)?).is_some()
        } else if c.words(&["RESTART"]) || c.words(&["SET", "RESTART"]) {
            counts_from.replace(restart(c, start)?).is_some()
        } else if OPTIONS.iter().any(|option| c.are_words(&["SET", option])) {
            return Err(QueryError::unsupported("options of an identity column").at(start));
        } else {
            let none = identity.is_none() && counts_from.is_none();
            return Ok((!none).then_some(IdentityChange::Set { identity, counts_from }));
        };
        if again {
            return Err(redundant(start));
        }
    }
}

fn generated(c: &mut Cursor<'_>) -> Result<Identity> {
    if c.words(&["ALWAYS"]) {
        Ok(Identity::Always)
    } else if c.words(&["BY", "DEFAULT"]) {
        Ok(Identity::ByDefault)
    } else {
        Err(c.expected("ALWAYS or BY DEFAULT"))
    }
}

/// What stands behind RESTART.
pub(super) fn restart(c: &mut Cursor<'_>, start: Span) -> Result<i64> {
    if c.words(&["WITH"]) || matches!(c.token(), Some(Token::Number(..) | Token::Minus)) {
        return first_value("RESTART", number(c)?);
    }
    Err(QueryError::unsupported("RESTART without a value")
        .at(start)
        .hint("Identity values are never given twice; RESTART WITH n skips some of those that are to come."))
}

const OPTIONS: [&str; 8] = ["INCREMENT", "MINVALUE", "MAXVALUE", "NO", "START", "CACHE", "CYCLE", "SEQUENCE"];
