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
    let (length, no_data) = match tokens.get(query..)? {
        [.., with, no, data] if is(with, "WITH") && is(no, "NO") && is(data, "DATA") => (tokens.len() - 3, true),
        [.., with, data] if is(with, "WITH") && is(data, "DATA") => (tokens.len() - 2, false),
        _ => (tokens.len(), false),
    };
    if ends == begins && length == tokens.len() {
        return None;
    }
    let rest = [tokens.get(..begins)?, tokens.get(ends..length)?].concat();
    Some((MadeAs { columns, no_data }, rest))
}

fn is(token: &TokenWithSpan, word: &str) -> bool {
    tokens::is_word(token, word)
}

/// Where CREATE TABLE has said its table's name.
fn behind_name(tokens: &[TokenWithSpan]) -> Option<usize> {
    let [create, table, ..] = tokens else { return None };
    if !tokens::is_keyword(create, Keyword::CREATE) || !tokens::is_keyword(table, Keyword::TABLE) {
        return None;
    }
    let mut at = 2;
    if let Some([if_, not, exists]) = tokens.get(at..at + 3)
        && is(if_, "IF")
        && is(not, "NOT")
        && is(exists, "EXISTS")
    {
        at += 3;
    }
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
    if is(tokens.get(at)?, "WITH") {
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
