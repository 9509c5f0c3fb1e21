//! Tokens of PartiQL (PartiQL specification, appendix "Lexical"; QLDB developer guide, "PartiQL reference").
//!
//! Keywords are not told from names here: the parser compares words, because PartiQL reserves few of them.

use std::sync::Arc;

use crate::ast::Span;
use crate::error::{QueryError, Result, SqlState};
use crate::literal::{STATEMENT_TOKENS_MAX, TEXT_TOKENS_MAX, shorten, too_many_tokens};

/// One token and its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub kind: Kind,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A name or a keyword; its text is the span's.
    Word,
    /// `"name"`
    Quoted(Arc<str>),
    /// `'text'`
    Text(Arc<str>),
    /// Digits with or without point and exponent; its text is the span's.
    Number,
    /// Backticks; the span of what is between them.
    Ion(Span),
    /// `?`
    Parameter,
    /// An operator or punctuation.
    Sign(&'static str),
    End,
}

/// Longest first, so that `<<` is not two `<`.
const SIGNS: [&str; 31] = [
    "<<", ">>", "<=", ">=", "<>", "!=", "||", "(", ")", "[", "]", "{", "}", "+", "-", "*", "/", "%", "=", "<", ">",
    ",", ".", ":", ";", "@", "~", "^", "&", "|", "#",
];

/// Room for the tokens of most texts, which is made at once.
const TOKENS_AT_ONCE: usize = 4_096;

/// Every token of the text, with `End` as the last. Too many are an error (54000).
pub(super) fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut lexer = Lexer { text, bytes: text.as_bytes(), at: 0 };
    let mut out = Vec::with_capacity((text.len() / 5 + 1).min(TOKENS_AT_ONCE));
    let mut meter = Meter::default();
    loop {
        let token = lexer.next()?;
        meter.take(&token, text)?;
        if out.len() >= TEXT_TOKENS_MAX {
            return Err(too_many_tokens(TEXT_TOKENS_MAX, token.span));
        }
        let end = token.kind == Kind::End;
        out.push(token);
        if end {
            return Ok(out);
        }
    }
}

/// Counts the tokens of a statement, and on its own of each row or document of an INSERT.
#[derive(Default)]
struct Meter {
    count: usize,
    depth: usize,
    is_insert: bool,
    rows: Option<Rows>,
}

/// What of an INSERT is being read: `VALUES (1), (2)` or `<< 1, 2 >>`.
struct Rows {
    /// Tokens that stand before them.
    before: usize,
    /// How deep the commas between them stand.
    depth: usize,
}

impl Meter {
    fn take(&mut self, token: &Token, text: &str) -> Result<()> {
        let is_word = |word: &str| token.kind == Kind::Word && token.span.slice(text).eq_ignore_ascii_case(word);
        if self.count == 0 {
            self.is_insert = is_word("INSERT");
        }
        self.count += 1;
        if self.count > STATEMENT_TOKENS_MAX {
            return Err(too_many_tokens(STATEMENT_TOKENS_MAX, token.span));
        }
        let begins_rows = self.is_insert && self.depth == 0 && self.rows.is_none();
        let sign = if let Kind::Sign(sign) = token.kind { sign } else { "" };
        if begins_rows && (sign == "<<" || is_word("VALUES")) {
            self.rows = Some(Rows { before: self.count, depth: usize::from(sign == "<<") });
        }
        match sign {
            "<<" | "(" | "[" | "{" => self.depth += 1,
            ">>" | ")" | "]" | "}" => {
                self.depth = self.depth.saturating_sub(1);
                if let Some(bag) = self.rows.take_if(|rows| rows.depth > self.depth) {
                    self.count = bag.before;
                }
            }
            "," => {
                if let Some(rows) = self.rows.as_ref().filter(|rows| rows.depth == self.depth) {
                    self.count = rows.before;
                }
            }
            ";" => *self = Meter::default(),
            _ => {}
        }
        Ok(())
    }
}

struct Lexer<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl Lexer<'_> {
    fn next(&mut self) -> Result<Token> {
        self.skip_space()?;
        let start = self.at;
        let Some(byte) = self.peek(0) else { return Ok(self.token(start, Kind::End)) };
        let kind = match byte {
            b'\'' => Kind::Text(self.quoted(b'\'')?),
            b'"' => Kind::Quoted(self.name()?),
            b'`' => self.ion()?,
            b'?' => {
                self.at += 1;
                Kind::Parameter
            }
            b'0'..=b'9' => self.number()?,
            b'.' if self.peek(1).is_some_and(|b| b.is_ascii_digit()) && !self.after_operand() => self.number()?,
            _ if is_word_start(byte) => {
                while self.peek(0).is_some_and(is_word_part) {
                    self.at += 1;
                }
                Kind::Word
            }
            _ => self.sign()?,
        };
        Ok(self.token(start, kind))
    }

    fn token(&self, start: usize, kind: Kind) -> Token {
        Token { kind, span: self.span(start) }
    }

    fn span(&self, start: usize) -> Span {
        Span { start: start as u32, end: self.at as u32 }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn looking_at(&self, what: &str) -> bool {
        self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(what.as_bytes()))
    }

    /// Whether what stands directly before ends an operand, so that `.5` after it would be a path step gone wrong.
    fn after_operand(&self) -> bool {
        self.at > 0 && self.bytes.get(self.at - 1).is_some_and(|b| is_word_part(*b) || matches!(b, b')' | b']' | b'"'))
    }

    fn skip_space(&mut self) -> Result<()> {
        loop {
            let start = self.at;
            match self.peek(0) {
                Some(b' ' | b'\t' | b'\r' | b'\n' | 0x0B | 0x0C) => self.at += 1,
                Some(b'-') if self.looking_at("--") => self.skip_line(),
                Some(b'/') if self.looking_at("/*") => {
                    self.skip_block_comment(start)?;
                }
                // A no-break space or a byte order mark, as editors and web pages leave them.
                Some(0xC2) if self.looking_at("\u{a0}") => self.at += 2,
                Some(0xEF) if self.looking_at("\u{feff}") => self.at += 3,
                _ => return Ok(()),
            }
        }
    }

    fn skip_line(&mut self) {
        while self.peek(0).is_some_and(|b| b != b'\n') {
            self.at += 1;
        }
    }

    fn skip_block_comment(&mut self, start: usize) -> Result<()> {
        let rest = self.text.get(self.at + 2..).unwrap_or("");
        let Some(length) = rest.find("*/") else {
            self.at += 2;
            return Err(QueryError::syntax("unterminated comment", self.span(start)).hint("close it with */"));
        };
        self.at += 2 + length + 2;
        Ok(())
    }

    /// Text up to the closing quote; the quote doubled stands for itself.
    fn quoted(&mut self, quote: u8) -> Result<Arc<str>> {
        let start = self.at;
        let mut value: Option<String> = None;
        let mut from = start + 1;
        self.at = from;
        loop {
            match self.peek(0) {
                Some(b) if b == quote && self.peek(1) == Some(quote) => {
                    let part = self.text.get(from..=self.at).unwrap_or("");
                    value.get_or_insert_default().push_str(part);
                    self.at += 2;
                    from = self.at;
                }
                Some(b) if b == quote => {
                    let part = self.text.get(from..self.at).unwrap_or("");
                    self.at += 1;
                    return Ok(match value {
                        Some(value) => (value + part).into(),
                        None => part.into(),
                    });
                }
                Some(_) => self.at += 1,
                None => {
                    self.at = start + 1;
                    let (what, hint) = if quote == b'\'' {
                        ("unterminated string", "close it with '; a quote inside is written ''")
                    } else {
                        ("unterminated quoted name", "close it with \"")
                    };
                    return Err(QueryError::syntax(what, self.span(start)).hint(hint));
                }
            }
        }
    }

    fn name(&mut self) -> Result<Arc<str>> {
        let start = self.at;
        let name = self.quoted(b'"')?;
        if name.is_empty() {
            return Err(QueryError::syntax("a quoted name must not be empty", self.span(start)));
        }
        Ok(name)
    }

    fn digits(&mut self) {
        while self.peek(0).is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn number(&mut self) -> Result<Kind> {
        let start = self.at;
        self.digits();
        if self.peek(0) == Some(b'.') {
            self.at += 1;
            self.digits();
        }
        if matches!(self.peek(0), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.peek(1), Some(b'+' | b'-')));
            if self.peek(1 + sign).is_some_and(|b| b.is_ascii_digit()) {
                self.at += 1 + sign;
                self.digits();
            }
        }
        if self.peek(0).is_some_and(is_word_part) {
            while self.peek(0).is_some_and(is_word_part) {
                self.at += 1;
            }
            let span = self.span(start);
            let written = shorten(span.slice(self.text));
            return Err(QueryError::syntax(format!("\"{written}\" is neither a number nor a name"), span)
                .hint("a name that starts with a digit needs double quotes"));
        }
        Ok(Kind::Number)
    }

    /// Ion text between backticks. Backticks inside its strings, symbols and comments do not end it.
    fn ion(&mut self) -> Result<Kind> {
        let start = self.at;
        self.at += 1;
        let from = self.at;
        let unterminated = |at: &Self| {
            let span = Span { start: start as u32, end: (start + 1).min(at.bytes.len()) as u32 };
            QueryError::syntax("unterminated Ion literal", span).hint("close it with `")
        };
        loop {
            match self.peek(0) {
                None => return Err(unterminated(self)),
                Some(b'`') => {
                    let inner = self.span(from);
                    self.at += 1;
                    return Ok(Kind::Ion(inner));
                }
                Some(b'\'') if self.looking_at("'''") => {
                    self.at += 3;
                    if !self.skip_past("'''") {
                        return Err(unterminated(self));
                    }
                }
                Some(quote @ (b'"' | b'\'')) => {
                    self.at += 1;
                    let end = if quote == b'"' { "\"" } else { "'" };
                    if !self.skip_past(end) {
                        return Err(unterminated(self));
                    }
                }
                Some(b'/') if self.looking_at("//") => self.skip_line(),
                Some(b'/') if self.looking_at("/*") => self.skip_block_comment(self.at)?,
                Some(_) => self.at += 1,
            }
        }
    }

    /// Moves behind the next `end` that no backslash stands before; false if there is none.
    fn skip_past(&mut self, end: &str) -> bool {
        while let Some(byte) = self.peek(0) {
            if byte == b'\\' {
                self.at = (self.at + 2).min(self.bytes.len());
            } else if self.looking_at(end) {
                self.at += end.len();
                return true;
            } else {
                self.at += 1;
            }
        }
        false
    }

    fn sign(&mut self) -> Result<Kind> {
        if let Some(sign) = SIGNS.iter().find(|s| self.looking_at(s)) {
            self.at += sign.len();
            return Ok(Kind::Sign(sign));
        }
        let start = self.at;
        let c = self.text.get(start..).and_then(|t| t.chars().next()).unwrap_or('\u{fffd}');
        self.at += c.len_utf8();
        let error = QueryError::new(
            SqlState::SYNTAX_ERROR,
            format!(
                "{} has no place in a statement",
                if c.is_control() { format!("{c:?}") } else { format!("\"{c}\"") }
            ),
        )
        .at(self.span(start));
        Err(match c {
            '‘' | '’' => error.hint("strings are written with straight quotes: 'text'"),
            '“' | '”' => error.hint("names are quoted with straight quotes: \"name\""),
            '$' => error.hint("parameters are written ? in PartiQL"),
            '!' => error.hint("not equal is written <> or !="),
            _ => error,
        })
    }
}

fn is_word_start(b: u8) -> bool {
    b.is_ascii_alphabetic() || b == b'_'
}

fn is_word_part(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'$'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        tokens(text).unwrap().into_iter().map(|t| t.kind).collect()
    }

    #[test]
    fn quotes_double_inside() {
        assert_eq!(kinds("'it''s'")[0], Kind::Text("it's".into()));
        assert_eq!(kinds("'a''''b'")[0], Kind::Text("a''b".into()));
        assert_eq!(kinds("\"a\"\"b\"")[0], Kind::Quoted("a\"b".into()));
        assert_eq!(kinds("''")[0], Kind::Text("".into()));
    }

    #[test]
    fn signs_are_the_longest_possible() {
        assert_eq!(kinds("<<>>")[..2], [Kind::Sign("<<"), Kind::Sign(">>")]);
        assert_eq!(kinds("a<=b")[1], Kind::Sign("<="));
        assert_eq!(kinds("a||b")[1], Kind::Sign("||"));
    }

    #[test]
    fn backticks_inside_ion_strings_do_not_end_the_literal() {
        let text = r#"`{a: "`", b: '''`''', c: '\'`', /* ` */ d: 1} // `
`"#;
        let tokens = tokens(text).unwrap();
        assert_eq!(tokens.len(), 2, "{tokens:?}");
    }

    #[test]
    fn numbers_and_paths() {
        assert_eq!(
            kinds("1.5e-3 .5 a.b 1."),
            [Kind::Number, Kind::Number, Kind::Word, Kind::Sign("."), Kind::Word, Kind::Number, Kind::End]
        );
    }

    #[test]
    fn comments_are_space() {
        assert_eq!(kinds("a -- x\n /* y \n */ b").len(), 3);
    }

    #[test]
    fn a_statement_of_too_many_tokens_is_refused_where_it_gets_too_long() {
        let refused = |text: &str| tokens(text).unwrap_err();
        let most = STATEMENT_TOKENS_MAX;
        let error = refused(&format!("SELECT VALUE [{}1]", "1,".repeat(most)));
        assert_eq!((error.code, error.hint.is_some()), (SqlState::PROGRAM_LIMIT_EXCEEDED, true));
        assert_eq!(error.span.unwrap().start as usize, 13 + most - 2);
        assert!(tokens(&format!("SELECT VALUE [{}1]", "1,".repeat(most / 2 - 3))).is_ok());
        // Statements have it each, and so have documents of an INSERT; nothing else has.
        let list = format!("[{}1]", "1,".repeat(most / 2 - 100));
        assert!(tokens(&format!("SELECT VALUE {list}; SELECT VALUE {list}; INSERT INTO t VALUE {list}")).is_ok());
        assert!(tokens(&format!("INSERT INTO t << {{'a': {list}}}, {list}, {list} >>")).is_ok());
        assert!(tokens(&format!("INSERT INTO t << {} 1 >>", "1,".repeat(most))).is_ok());
        assert!(tokens(&format!("INSERT INTO t (a) VALUES ({list}), ({list}), ({list})")).is_ok());
        for text in [
            format!("INSERT INTO t << [{list}, {list}] >>"),
            format!("INSERT INTO t VALUE [{list}, {list}]"),
            format!("INSERT INTO t (a) VALUES ({list}, {list})"),
            format!("SELECT VALUE << {list}, {list} >>"),
            format!("INSERT INTO t << 1 >> {list}, {list}"),
            format!("INSERT INTO t (SELECT VALUE x FROM << {list}, {list} >> AS x)"),
        ] {
            assert_eq!(refused(&text).code, SqlState::PROGRAM_LIMIT_EXCEEDED, "{}", &text[..30]);
        }
        let error = refused(&format!("INSERT INTO t << {} 1 >>", "1,".repeat(TEXT_TOKENS_MAX / 2)));
        assert!(error.message.contains("2000000"), "{error}");
        // What is no list is bounded by its text alone.
        assert!(tokens(&"SELECT 1;".repeat(200_000)).is_ok());
        assert_eq!(tokens(&format!("SELECT `[{}1]`", "1,".repeat(most))).unwrap().len(), 3);
    }

    #[test]
    fn what_cannot_be_a_token_is_placed() {
        for (text, start, message) in [
            ("a 'b", 2, "unterminated string"),
            ("a \"b", 2, "unterminated quoted name"),
            ("\"\"", 0, "a quoted name must not be empty"),
            ("x `{", 2, "unterminated Ion literal"),
            ("/* x", 0, "unterminated comment"),
            ("12ab", 0, "\"12ab\" is neither a number nor a name"),
            ("é", 0, "\"é\" has no place in a statement"),
            ("a $1", 2, "\"$\" has no place in a statement"),
        ] {
            let e = tokens(text).unwrap_err();
            assert_eq!((e.span.unwrap().start, e.message.as_str()), (start, message), "{text}");
        }
    }
}
