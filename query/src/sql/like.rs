//! `LIKE other INCLUDING …` among the columns of CREATE TABLE, of which sqlparser reads only a table that is nothing else. Each
//! is read here, and a column that is known by its place stands for it in what sqlparser reads.

use sqlparser::ast as sql;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::dialect::LedgerstoneDialect;
use super::{table_name, tokens, with_parser};
use crate::ast::{Like, Span};
use crate::error::Result;

/// By the places of the words LIKE.
pub(super) type Likes = Vec<(Span, Like)>;

/// The statement without its LIKEs; nothing if it has none.
pub(super) fn taken_out(
    dialect: &LedgerstoneDialect,
    tokens: &[TokenWithSpan],
    text: &str,
) -> Result<Option<(Likes, Vec<TokenWithSpan>)>> {
    let creates = tokens::begin_with(tokens, &["CREATE", "TABLE"]);
    let Some(open) = tokens.iter().position(|t| t.token == Token::LParen).filter(|_| creates) else { return Ok(None) };
    let (mut likes, mut rest, mut kept) = (Likes::new(), Vec::new(), 0);
    let (mut depth, mut begins) = (0_usize, false);
    for (at, token) in tokens.iter().enumerate().skip(open) {
        if begins && tokens::is_keyword(token, Keyword::LIKE) {
            let end = at + element_length(tokens.get(at..).unwrap_or_default());
            let like = with_parser(dialect, tokens.get(at..end).unwrap_or_default(), text, element)?;
            likes.push((tokens::span(token.span), converted(like)?));
            rest.extend_from_slice(tokens.get(kept..at).unwrap_or_default());
            let word = |word: Token| TokenWithSpan { token: word, span: token.span };
            rest.extend([word(Token::make_word("like", Some('"'))), word(Token::make_keyword("INT"))]);
            kept = end;
        }
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        begins = depth == 1 && matches!(token.token, Token::LParen | Token::Comma);
        if depth == 0 {
            break;
        }
    }
    if likes.is_empty() {
        return Ok(None);
    }
    rest.extend_from_slice(tokens.get(kept..).unwrap_or_default());
    Ok(Some((likes, rest)))
}

/// Up to the comma or the parenthesis behind it.
fn element_length(tokens: &[TokenWithSpan]) -> usize {
    let ends = |t: &TokenWithSpan| matches!(t.token, Token::Comma | Token::LParen | Token::RParen);
    tokens.iter().position(ends).unwrap_or(tokens.len())
}

struct Element {
    table: sql::ObjectName,
    /// What is included and excluded, in the order in which it is said.
    options: Vec<(bool, Keyword)>,
}

const OPTIONS: [(&str, Keyword); 10] = [
    ("ALL", Keyword::ALL),
    ("COMMENTS", Keyword::COMMENT),
    ("CONSTRAINTS", Keyword::CONSTRAINT),
    ("DEFAULTS", Keyword::DEFAULT),
    ("IDENTITY", Keyword::IDENTITY),
    ("INDEXES", Keyword::INDEX),
    // No table here has these.
    ("COMPRESSION", Keyword::COMPRESSION),
    ("GENERATED", Keyword::GENERATED),
    ("STATISTICS", Keyword::STATISTICS),
    ("STORAGE", Keyword::STORAGE),
];

fn element(parser: &mut Parser) -> Result<Element, ParserError> {
    parser.expect_keyword_is(Keyword::LIKE)?;
    let table = parser.parse_object_name(false)?;
    let mut options = Vec::new();
    loop {
        let including = match parser.peek_token_ref() {
            word if tokens::is_word(word, "INCLUDING") => true,
            word if tokens::is_word(word, "EXCLUDING") => false,
            _ => return Ok(Element { table, options }),
        };
        parser.advance_token();
        let next = parser.peek_token_ref();
        let Some((_, option)) = OPTIONS.iter().find(|(name, _)| tokens::is_word(next, name)) else {
            return parser.expected_ref("what to include or exclude, ALL or CONSTRAINTS", parser.peek_token_ref());
        };
        options.push((including, *option));
        parser.advance_token();
    }
}

fn converted(element: Element) -> Result<Like> {
    let mut like = Like {
        table: table_name(element.table)?,
        at: 0,
        comments: false,
        constraints: false,
        defaults: false,
        identity: false,
        indexes: false,
    };
    for (including, option) in element.options {
        let all = option == Keyword::ALL;
        for (which, named) in [
            (&mut like.comments, Keyword::COMMENT),
            (&mut like.constraints, Keyword::CONSTRAINT),
            (&mut like.defaults, Keyword::DEFAULT),
            (&mut like.identity, Keyword::IDENTITY),
            (&mut like.indexes, Keyword::INDEX),
        ] {
            if all || option == named {
                *which = including;
            }
        }
    }
    Ok(like)
}
