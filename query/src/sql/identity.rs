//! What ALTER TABLE says of an identity column, `ALTER COLUMN c SET GENERATED …` and `DROP IDENTITY`, which sqlparser cannot
//! read. Each is read here, and stands in what sqlparser reads as a DROP DEFAULT that is known by the place of its column.

use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::command::Cursor;
use super::tokens;
use crate::ast::{Identity, Span};
use crate::error::{QueryError, Result};

/// By the places of the columns' names.
pub(super) type IdentityChanges = Vec<(Span, IdentityChange)>;

#[derive(Debug, Clone, Copy)]
pub(super) enum IdentityChange {
    Set(Identity),
    Drop { if_exists: bool },
}

/// The statement without them; nothing if it has none.
pub(super) fn taken_out(tokens: &[TokenWithSpan], text: &str) -> Result<Option<(IdentityChanges, Vec<TokenWithSpan>)>> {
    if !tokens::begin_with(tokens, &["ALTER", "TABLE"]) {
        return Ok(None);
    }
    let (mut found, mut rest, mut at) = (IdentityChanges::new(), Vec::new(), 0);
    while let Some(token) = tokens.get(at) {
        rest.push(token.clone());
        at += 1;
        let begins = at > 2 && tokens::is_word(token, "ALTER");
        if !begins {
            continue;
        }
        if let Some(word) = tokens.get(at).filter(|word| tokens::is_word(word, "COLUMN")) {
            rest.push(word.clone());
            at += 1;
        }
        let Some(column) = tokens.get(at).filter(|t| matches!(t.token, Token::Word(_))) else { continue };
        let mut reader = Cursor { tokens, at: at + 1, text };
        let Some(change) = change(&mut reader)? else { continue };
        found.push((tokens::span(column.span), change));
        let word = |keyword| TokenWithSpan { token: Token::make_keyword(keyword), span: column.span };
        rest.extend([column.clone(), word("DROP"), word("DEFAULT")]);
        at = reader.at;
    }
    Ok((!found.is_empty()).then_some((found, rest)))
}

fn change(c: &mut Cursor<'_>) -> Result<Option<IdentityChange>> {
    if c.words(&["DROP", "IDENTITY"]) {
        return Ok(Some(IdentityChange::Drop { if_exists: c.words(&["IF", "EXISTS"]) }));
    }
    let mut generated = None;
    loop {
        let start = c.here();
        if c.words(&["SET", "GENERATED"]) {
            let kind = if c.words(&["ALWAYS"]) {
                Identity::Always
            } else if c.words(&["BY", "DEFAULT"]) {
                Identity::ByDefault
            } else {
                return Err(c.expected("ALWAYS or BY DEFAULT"));
            };
            if generated.replace(kind).is_some() {
                return Err(QueryError::syntax("conflicting or redundant options", start));
            }
        } else if c.words(&["RESTART"]) || c.words(&["SET", "RESTART"]) {
            return Err(QueryError::unsupported("RESTART of an identity column")
                .at(start)
                .hint("Identity values are never given twice: a column counts on from the highest there was."));
        } else if OPTIONS.iter().any(|option| c.are_words(&["SET", option])) {
            return Err(QueryError::unsupported("options of an identity column").at(start));
        } else {
            return Ok(generated.map(IdentityChange::Set));
        }
    }
}

const OPTIONS: [&str; 8] = ["INCREMENT", "MINVALUE", "MAXVALUE", "NO", "START", "CACHE", "CYCLE", "SEQUENCE"];
