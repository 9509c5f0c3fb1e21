//! What ALTER TABLE says of an identity column, `ALTER COLUMN c SET GENERATED …` and `DROP IDENTITY`, which sqlparser cannot
//! read. Each is read here, and stands in what sqlparser reads as a DROP DEFAULT that is known by the place of its column.

use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{near, tokens};
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
    if !matches!(tokens, [alter, table, ..] if says(alter, "ALTER") && says(table, "TABLE")) {
        return Ok(None);
    }
    let (mut found, mut rest, mut at) = (IdentityChanges::new(), Vec::new(), 0);
    while let Some(token) = tokens.get(at) {
        rest.push(token.clone());
        at += 1;
        let begins = at > 2 && says(token, "ALTER");
        if !begins {
            continue;
        }
        if let Some(word) = tokens.get(at).filter(|word| says(word, "COLUMN")) {
            rest.push(word.clone());
            at += 1;
        }
        let Some(column) = tokens.get(at).filter(|t| matches!(t.token, Token::Word(_))) else { continue };
        let mut reader = Reader { tokens, at: at + 1, text };
        let Some(change) = reader.change()? else { continue };
        found.push((tokens::span(column.span), change));
        let word = |keyword| TokenWithSpan { token: Token::make_keyword(keyword), span: column.span };
        rest.extend([column.clone(), word("DROP"), word("DEFAULT")]);
        at = reader.at;
    }
    Ok((!found.is_empty()).then_some((found, rest)))
}

struct Reader<'t> {
    tokens: &'t [TokenWithSpan],
    at: usize,
    text: &'t str,
}

impl Reader<'_> {
    fn change(&mut self) -> Result<Option<IdentityChange>> {
        if self.words(&["DROP", "IDENTITY"]) {
            return Ok(Some(IdentityChange::Drop { if_exists: self.words(&["IF", "EXISTS"]) }));
        }
        let mut generated = None;
        loop {
            let start = self.here();
            if self.words(&["SET", "GENERATED"]) {
                let kind = if self.words(&["ALWAYS"]) {
                    Identity::Always
                } else if self.words(&["BY", "DEFAULT"]) {
                    Identity::ByDefault
                } else {
                    return Err(near(self.here(), self.text).hint("expected ALWAYS or BY DEFAULT"));
                };
                if generated.replace(kind).is_some() {
                    return Err(QueryError::syntax("conflicting or redundant options", start));
                }
            } else if self.words(&["RESTART"]) || self.words(&["SET", "RESTART"]) {
                return Err(QueryError::unsupported("RESTART of an identity column")
                    .at(start)
                    .hint("Identity values are never given twice: a column counts on from the highest there was."));
            } else if OPTIONS.iter().any(|option| self.are_words(&["SET", option])) {
                return Err(QueryError::unsupported("options of an identity column").at(start));
            } else {
                return Ok(generated.map(IdentityChange::Set));
            }
        }
    }

    fn here(&self) -> Span {
        let end = || self.tokens.last().map_or(0, |token| tokens::span(token.span).end);
        match self.tokens.get(self.at) {
            Some(token) => tokens::span(token.span),
            None => Span { start: end(), end: end() },
        }
    }

    fn are_words(&self, words: &[&str]) -> bool {
        words.iter().zip(self.at..).all(|(word, at)| self.tokens.get(at).is_some_and(|token| says(token, word)))
    }

    fn words(&mut self, words: &[&str]) -> bool {
        let found = self.are_words(words);
        if found {
            self.at += words.len();
        }
        found
    }
}

const OPTIONS: [&str; 8] = ["INCREMENT", "MINVALUE", "MAXVALUE", "NO", "START", "CACHE", "CYCLE", "SEQUENCE"];

fn says(token: &TokenWithSpan, text: &str) -> bool {
    matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text))
}
