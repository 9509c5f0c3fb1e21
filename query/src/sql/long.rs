//! Long texts: how many tokens one may have, and the rows of a long INSERT, which are read some at a time. What the parser makes
//! of a token takes hundreds of bytes, so a text of a megabyte would take most of a gigabyte if all of it were read at once.

use std::ops::Range;

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::dialect::LedgerstoneDialect;
use super::{Converter, tokens, whole_statement, with_parser};
use crate::ast::{InsertSource, SetExpr, Span, Statement};
use crate::error::{QueryError, Result};
use crate::literal::{STATEMENT_TOKENS_MAX, TEXT_TOKENS_MAX, too_many_tokens};

/// Tokens of the rows of an INSERT that are read at once, but for one row that is longer.
const ROW_TOKENS_AT_ONCE: usize = 10_000;

/// An error if the text has too many tokens (54000), and otherwise how many it has, about: they are counted before any is
/// made. What stands between quotes and in comments is one token, however long.
pub(super) fn check_text(text: &str) -> Result<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut count) = (0, 0_usize);
    while at < bytes.len() {
        count += 1;
        if count > TEXT_TOKENS_MAX {
            let start = at as u32;
            return Err(too_many_tokens(TEXT_TOKENS_MAX, Span { start, end: start + 1 }));
        }
        at = token_end(bytes, at).max(at + 1);
    }
    Ok(count)
}

/// Where the token ends that begins here.
fn token_end(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest {
        [b'\'', ..] => quote_end(bytes, at + 1, b'\'', false),
        [b'e' | b'E', b'\'', ..] => quote_end(bytes, at + 2, b'\'', true),
        [b'"', ..] => quote_end(bytes, at + 1, b'"', false),
        [b'-', b'-', ..] => quote_end(bytes, at + 2, b'\n', false),
        [b'/', b'*', ..] => comment_end(bytes, at + 2),
        [b'$', ..] => dollar_end(bytes, at),
        [first, ..] if is_word(*first) => {
            at + rest.iter().position(|byte| !is_word(*byte) && *byte != b'.' && *byte != b'$').unwrap_or(rest.len())
        }
        _ => at + 1,
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// Behind the quote that ends what begins here. One that stands twice ends it, and begins the next.
fn quote_end(bytes: &[u8], from: usize, quote: u8, escapes: bool) -> usize {
    let mut end = from;
    while let Some(byte) = bytes.get(end) {
        match *byte {
            b'\\' if escapes => end += 1,
            byte if byte == quote => return end + 1,
            _ => {}
        }
        end += 1;
    }
    bytes.len()
}

/// Comments may be inside each other.
fn comment_end(bytes: &[u8], from: usize) -> usize {
    let (mut at, mut depth) = (from, 1);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        match rest {
            [b'/', b'*', ..] => (at, depth) = (at + 2, depth + 1),
            [b'*', b'/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

/// A text between dollars, `$tag$ … $tag$`, or a parameter.
fn dollar_end(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at + 1..).unwrap_or_default();
    let tag = rest.iter().position(|byte| !is_word(*byte)).unwrap_or(rest.len());
    if rest.get(tag) != Some(&b'$') || rest.first().is_some_and(u8::is_ascii_digit) {
        return at + 1 + tag;
    }
    let delimiter = bytes.get(at..at + tag + 2).unwrap_or_default();
    let mut end = at + delimiter.len();
    while let Some(dollar) = bytes.get(end..).and_then(|rest| rest.iter().position(|byte| *byte == b'$')) {
        end += dollar;
        if bytes.get(end..).is_some_and(|rest| rest.starts_with(delimiter)) {
            return end + delimiter.len();
        }
        end += 1;
    }
    bytes.len()
}

/// An error if the statement has too many tokens to be read at once (54000).
pub(super) fn check_statement(tokens: &[TokenWithSpan]) -> Result<()> {
    let in_rows = Rows::of(tokens).map_or(0, |rows| rows.tokens());
    match tokens.get(STATEMENT_TOKENS_MAX + in_rows) {
        Some(token) => Err(too_many_tokens(STATEMENT_TOKENS_MAX, tokens::span(token.span))),
        None => Ok(()),
    }
}

/// How many tokens of a statement are read at once, at most.
pub(super) fn at_once(tokens: &[TokenWithSpan]) -> usize {
    let Some(rows) = Rows::of(tokens) else { return tokens.len() };
    let longest = rows.rows.iter().map(Range::len).max().unwrap_or(0);
    tokens.len() - rows.tokens() + longest + ROW_TOKENS_AT_ONCE
}

/// The rows of an INSERT that has many.
pub(super) struct Rows<'t> {
    tokens: &'t [TokenWithSpan],
    /// Where VALUES stands.
    values: usize,
    /// The tokens of each row.
    rows: Vec<Range<usize>>,
}

impl<'t> Rows<'t> {
    /// `None`: the statement is another one, or has few.
    pub fn of(tokens: &'t [TokenWithSpan]) -> Option<Rows<'t>> {
        if tokens.len() <= ROW_TOKENS_AT_ONCE || !tokens::is_keyword(tokens.first()?, Keyword::INSERT) {
            return None;
        }
        let mut depth = 0_usize;
        let values = tokens.iter().position(|token| {
            depth = deeper(depth, &token.token);
            depth == 0 && tokens::is_keyword(token, Keyword::VALUES)
        })?;
        let mut rows: Vec<Range<usize>> = Vec::new();
        let mut start = values + 1;
        while matches!(tokens.get(start)?.token, Token::LParen) {
            let mut depth = 0;
            let length = tokens.get(start..)?.iter().position(|token| {
                depth = deeper(depth, &token.token);
                depth == 0
            })?;
            if length > STATEMENT_TOKENS_MAX {
                return None;
            }
            let end = start + length + 1;
            rows.push(start..end);
            match tokens.get(end..) {
                Some([comma, next, ..]) if comma.token == Token::Comma && next.token == Token::LParen => {
                    start = end + 1
                }
                _ => break,
            }
        }
        (rows.len() > 1).then_some(Rows { tokens, values, rows })
    }

    fn tokens(&self) -> usize {
        self.rows.last().map_or(0, |last| last.end - self.values)
    }

    /// The tokens of these rows, behind others.
    fn behind(&self, before: Range<usize>, rows: &[Range<usize>]) -> Vec<TokenWithSpan> {
        let range = rows.first().map_or(0, |row| row.start)..rows.last().map_or(0, |row| row.end);
        [before, range].into_iter().flat_map(|range| self.tokens.get(range).unwrap_or_default()).cloned().collect()
    }

    /// The statement: as if it had one row, and then the others.
    pub fn statement(&self, dialect: &LedgerstoneDialect, converter: &mut Converter, text: &str) -> Result<Statement> {
        let (first, others) = self.rows.split_at(1);
        let mut short = self.behind(0..self.values + 1, first);
        let end = self.rows.last().map_or(0, |last| last.end);
        short.extend_from_slice(self.tokens.get(end..).unwrap_or_default());
        let mut statement = whole_statement(dialect, converter, &short, text)?;
        let Statement::Insert(insert) = &mut statement else { return Err(QueryError::internal("no INSERT")) };
        let InsertSource::Query(query) = &mut insert.source else { return Err(QueryError::internal("no VALUES")) };
        let SetExpr::Values { rows, span } = &mut query.body else {
            // They are a part of something else, such as a UNION.
            return whole_statement(dialect, converter, self.tokens, text);
        };
        for some in pieces(others) {
            let part = self.behind(self.values..self.values + 1, some);
            let parsed = with_parser(dialect, &part, text, |parser| parser.parse_query())?;
            let SetExpr::Values { rows: more, span: last } = converter.query(*parsed)?.body else {
                return Err(QueryError::internal("rows are none"));
            };
            rows.extend(more);
            *span = span.to(last);
        }
        query.span = query.span.to(*span);
        Ok(statement)
    }
}

/// Rows that are read at once: those that begin in the same part of the tokens.
fn pieces(rows: &[Range<usize>]) -> impl Iterator<Item = &[Range<usize>]> {
    rows.chunk_by(|before, next| before.start / ROW_TOKENS_AT_ONCE == next.start / ROW_TOKENS_AT_ONCE)
}

fn deeper(depth: usize, token: &Token) -> usize {
    match token {
        Token::LParen | Token::LBracket | Token::LBrace => depth + 1,
        Token::RParen | Token::RBracket | Token::RBrace => depth.saturating_sub(1),
        _ => depth,
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use crate::compact;
    use crate::error::SqlState;

    #[test]
    fn a_text_of_a_million_tokens_is_refused_where_it_gets_too_long() {
        let refused = parse(&format!("SELECT {}1", "1,".repeat(1 << 19))).unwrap_err();
        assert_eq!(refused.code, SqlState::PROGRAM_LIMIT_EXCEEDED);
        assert!(refused.hint.is_some());
        assert_eq!(refused.span.unwrap().start, 7 + STATEMENT_TOKENS_MAX as u32 - 1);
        let refused = parse(&" ".repeat(TEXT_TOKENS_MAX + 1)).unwrap_err();
        assert_eq!(refused.code, SqlState::PROGRAM_LIMIT_EXCEEDED);
        assert!(parse(&format!("SELECT {}1", "1,".repeat(STATEMENT_TOKENS_MAX / 2 - 2))).is_ok());
        // Rows of any number of an INSERT are read, but not if one is as long as a statement may be.
        assert!(parse(&format!("INSERT INTO t VALUES {}(1)", "(1),".repeat(60_000))).is_ok());
        let row = format!("({}1)", "1,".repeat(STATEMENT_TOKENS_MAX));
        assert!(parse(&format!("INSERT INTO t VALUES {row}")).is_err());
    }

    #[test]
    fn what_stands_in_quotes_and_comments_is_one_token() {
        let long = "a, b ".repeat(500_000);
        for (text, count) in [
            (format!("SELECT '{long}'"), 3),
            (format!("SELECT 'it''s {long}'"), 4),
            (format!("SELECT /* {long} /* */ */ 1"), 5),
            (format!("SELECT 1 -- {long}"), 5),
            (format!("SELECT $x$ $ {long} $y$ $x$, $1"), 6),
            (format!("SELECT e'\\'{}'", ", ".repeat(1_200_000)), 3),
            ("SELECT \"a, b\".c1, 1.5".to_owned(), 8),
        ] {
            assert_eq!(check_text(&text).unwrap(), count, "{}", &text[..20]);
        }
    }

    #[test]
    fn rows_read_some_at_a_time_are_those_read_at_once() {
        let row = |n: usize| format!("({n}, 'x(,{n}', DEFAULT, $1, (1 + {n}) * 2, ARRAY[1, {n}])");
        let insert = |rows: &[usize]| {
            let rows: Vec<String> = rows.iter().map(|n| row(*n)).collect();
            let text = format!(
                "INSERT INTO t (a, b, c, d, e, f) VALUES {} ON CONFLICT (a) DO NOTHING RETURNING a, $2",
                rows.join(",")
            );
            let parsed = parse(&text).unwrap();
            assert_eq!(parsed[0].parameters, 2);
            compact::statement(&parsed[0].statement)
        };
        let all: Vec<usize> = (1_000..1_000 + 2_000).collect();
        // What each row comes to alone stands in the long statement, one behind the other.
        let (one, other) = (insert(&[1_000]), insert(&[1_000, 1_000]));
        let head = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
        let shown = &other[head..head + other.len() - one.len()];
        let long = insert(&all);
        assert_eq!(long.len(), one.len() + (all.len() - 1) * shown.len());
        let places: Vec<_> = all.iter().map(|n| long.find(&format!("'x(,{n}'")).unwrap()).collect();
        assert!(places.is_sorted());
    }

    #[test]
    fn few_rows_are_read_at_once_however_long_they_are() {
        for tokens in (3..30).chain([ROW_TOKENS_AT_ONCE - 1, ROW_TOKENS_AT_ONCE, 3 * ROW_TOKENS_AT_ONCE]) {
            for first in 4..8 {
                let rows: Vec<_> = (0..100_000 / tokens + 9)
                    .map(|n| first + n * (tokens + 1))
                    .map(|start| start..start + tokens)
                    .collect();
                let most = ROW_TOKENS_AT_ONCE + tokens + 1;
                assert!(pieces(&rows).all(|piece| piece[piece.len() - 1].end - piece[0].start <= most), "{tokens}");
                assert!(pieces(&rows).flatten().eq(&rows));
            }
        }
    }

    #[test]
    fn an_error_in_a_late_row_points_to_it() {
        let mut rows = vec!["(1, 2)"; 10_000];
        rows[9_000] = "(1 2)";
        let text = format!("INSERT INTO t VALUES {}", rows.join(", "));
        let error = parse(&text).unwrap_err();
        assert_eq!(error.code, SqlState::SYNTAX_ERROR);
        assert_eq!(error.span.unwrap().start as usize, text.find("(1 2)").unwrap() + 3);
        let rows = "(1), ".repeat(9_999);
        for text in [
            format!("INSERT INTO t VALUES {rows}(1),"),
            format!("INSERT INTO t VALUES {rows}(1) foo"),
            format!("INSERT INTO t VALUES {rows}(1"),
        ] {
            assert_eq!(parse(&text).unwrap_err().code, SqlState::SYNTAX_ERROR, "{}", &text[text.len() - 10..]);
        }
        assert!(parse(&format!("INSERT INTO t VALUES {rows}(1) ORDER BY 1")).is_ok());
        assert!(parse(&format!("INSERT INTO t VALUES {rows}(1) UNION SELECT 1")).is_ok());
    }
}
