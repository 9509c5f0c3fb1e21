//! What stands around the query of CREATE TABLE AS: names for its columns, `t (a, b) AS …`, and `WITH [NO] DATA` at its end, which
//! sqlparser cannot read. Both are read here and left out of what sqlparser reads.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{name, tokens};
use crate::ast::Name;

#[derive(Debug, Default)]
pub(super) struct MadeAs {
    pub columns: Vec<Name>,
    pub no_data: bool,
}

/// The statement without them; nothing if it has neither.
pub(super) fn taken_out(tokens: &[TokenWithSpan]) -> Option<(MadeAs, Vec<TokenWithSpan>)> {
    let begins = behind_name(tokens)?;
    let (columns, ends) = columns(tokens, begins).unwrap_or_else(|| (Vec::new(), begins));
    let query = query_begins(tokens, ends)?;
    let ends_with = |words: &[&str]| {
        let begins = tokens.len().checked_sub(words.len()).filter(|begins| *begins >= query)?;
        tokens::begin_with(tokens.get(begins..)?, words).then_some(begins)
    };
    let (length, no_data) = match (ends_with(&["WITH", "NO", "DATA"]), ends_with(&["WITH", "DATA"])) {
        (Some(length), _) => (length, true),
        (None, with_data) => (with_data.unwrap_or(tokens.len()), false),
    };
    if ends == begins && length == tokens.len() {
        return None;
    }
    let rest = [tokens.get(..begins)?, tokens.get(ends..length)?].concat();
    Some((MadeAs { columns, no_data }, rest))
}

/// Where CREATE TABLE has said its table's name.
fn behind_name(tokens: &[TokenWithSpan]) -> Option<usize> {
    if !tokens::begin_with(tokens, &["CREATE", "TABLE"]) {
        return None;
    }
    let mut at = if tokens::begin_with(tokens.get(2..)?, &["IF", "NOT", "EXISTS"]) { 5 } else { 2 };
    loop {
        matches!(tokens.get(at)?.token, Token::Word(_)).then_some(())?;
        at += 1;
        if tokens.get(at)?.token != Token::Period {
            return Some(at);
        }
        at += 1;
    }
}

/// Names in parentheses and nothing else, and where they end.
fn columns(tokens: &[TokenWithSpan], begins: usize) -> Option<(Vec<Name>, usize)> {
    if tokens.get(begins)?.token != Token::LParen {
        return None;
    }
    let (mut columns, mut at) = (Vec::new(), begins + 1);
    loop {
        let token = tokens.get(at)?;
        let Token::Word(word) = &token.token else { return None };
        columns.push(name(word.to_ident(token.span)));
        at += 2;
        match tokens.get(at - 1)?.token {
            Token::Comma => {}
            Token::RParen => return Some((columns, at)),
            _ => return None,
        }
    }
}

/// Where the query begins: behind AS, before which options may stand.
fn query_begins(tokens: &[TokenWithSpan], mut at: usize) -> Option<usize> {
    if tokens::is_word(tokens.get(at)?, "WITH") {
        let mut depth = 0_usize;
        loop {
            at += 1;
            match tokens.get(at)?.token {
                Token::LParen => depth += 1,
                Token::RParen if depth <= 1 => break,
                Token::RParen => depth -= 1,
                _ if depth == 0 => return None,
                _ => {}
            }
        }
        at += 1;
    }
    tokens::is_keyword(tokens.get(at)?, Keyword::AS).then_some(at + 1)
}
