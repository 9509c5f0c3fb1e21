//! PartiQL as QLDB spoke it (QLDB developer guide, "PartiQL reference"; PartiQL specification of 2019), with ORDER BY,
//! GROUP BY, LIMIT, set operations, outer joins, windows and `AS OF` beside, which QLDB did not answer.
//!
//! A lexer and a recursive-descent parser with precedence climbing. Every error has a place and says what was
//! expected. Recursion and the height of the tree are bounded by [`DEPTH_MAX`].

mod expr;
mod lexer;
mod query;
mod statement;
#[cfg(test)]
mod tests;

use crate::ast::{DEPTH_MAX, Expr, ExprKind, Name, Span, TableName};
use crate::error::{QueryError, Result, SqlState};
use crate::literal::{self, Charge};
use crate::{Noted, Parsed};

pub(crate) use expr::balanced;
use lexer::{Kind, Token};

/// What is made of a token, in bytes, at most.
const TOKEN_BYTES: usize = 160;

/// Parses a text of statements with semicolons between them. Parameters are numbered from 0 in each statement.
pub fn parse(text: &str) -> Result<Vec<Parsed>, QueryError> {
    parse_within(text, &mut |_| Ok(()))
}

/// The same, asking before memory is taken, by about how much.
pub(crate) fn parse_within(text: &str, charge: Charge<'_>) -> Result<Vec<Parsed>, QueryError> {
    literal::check_length(text)?;
    let mut parser = Parser::new(text)?;
    charge(parser.tokens.len() * TOKEN_BYTES)?;
    let mut statements = Vec::new();
    loop {
        while parser.sign(";") {}
        if parser.at_end() {
            return Ok(statements);
        }
        let start = parser.here();
        parser.parameters = 0;
        let statement = parser.statement()?;
        let text = start.to(parser.before());
        if !parser.at_end() && !parser.is_sign(";") {
            return Err(parser.expected("the end of the statement"));
        }
        statements.push(Parsed { statement, text, parameters: parser.parameters, noted: Noted::default() });
    }
}

/// Words that are never a name without quotes, because they begin or end a part of a statement.
const RESERVED: &[&str] = &[
    "ALL",
    "AND",
    "ANY",
    "AS",
    "ASC",
    "AT",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CREATE",
    "CROSS",
    "DELETE",
    "DESC",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "ESCAPE",
    "EXCEPT",
    "EXISTS",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTO",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "MISSING",
    "NATURAL",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PIVOT",
    "REMOVE",
    "RIGHT",
    "SELECT",
    "SET",
    "THEN",
    "UNION",
    "UNPIVOT",
    "UPDATE",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
];

/// Words that may follow where an unexpected word stands; for suggestions only.
const CLAUSES: &[&str] = &[
    "SELECT",
    "VALUE",
    "FROM",
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "UNION",
    "INTERSECT",
    "EXCEPT",
    "INSERT",
    "INTO",
    "UPDATE",
    "DELETE",
    "REMOVE",
    "VALUES",
    "CREATE",
    "TABLE",
    "INDEX",
    "UNDROP",
    "EXEC",
    "UNPIVOT",
    "PIVOT",
    "INNER",
    "LEFT",
    "RIGHT",
    "CROSS",
    "JOIN",
    "BETWEEN",
    "LIKE",
    "EXPLAIN",
    "MISSING",
    "NULL",
    "DISTINCT",
];

pub(super) struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    parameters: u32,
    /// How many constructs enclose what is being parsed.
    depth: usize,
    /// The deepest leaf of what is being parsed, with the operators wrapped around it afterwards.
    deepest: usize,
    /// The last alias taken without AS: it may have been meant as a keyword.
    bare_alias: Option<usize>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Self> {
        let tokens = lexer::tokens(text)?;
        Ok(Parser { text, tokens, at: 0, parameters: 0, depth: 0, deepest: 0, bare_alias: None })
    }

    // ---- tokens -----------------------------------------------------------------------------------------------

    fn kind(&self, ahead: usize) -> &Kind {
        self.tokens.get(self.at + ahead).map_or(&Kind::End, |t| &t.kind)
    }

    fn span_at(&self, index: usize) -> Span {
        let end = self.text.len() as u32;
        self.tokens.get(index).map_or(Span { start: end, end }, |t| t.span)
    }

    /// The place of the next token.
    fn here(&self) -> Span {
        self.span_at(self.at)
    }

    /// The place of the last token taken.
    fn before(&self) -> Span {
        self.span_at(self.at.saturating_sub(1))
    }

    fn at_end(&self) -> bool {
        *self.kind(0) == Kind::End
    }

    fn advance(&mut self) {
        if self.at < self.tokens.len() {
            self.at += 1;
        }
    }

    fn is_sign_ahead(&self, ahead: usize, sign: &str) -> bool {
        matches!(self.kind(ahead), Kind::Sign(s) if *s == sign)
    }

    fn is_sign(&self, sign: &str) -> bool {
        self.is_sign_ahead(0, sign)
    }

    /// Takes the sign if it is next.
    fn sign(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        if found {
            self.advance();
        }
        found
    }

    fn expect_sign(&mut self, sign: &str) -> Result<()> {
        if self.sign(sign) { Ok(()) } else { Err(self.expected(&format!("\"{sign}\""))) }
    }

    /// The word `ahead` tokens from here, unquoted.
    fn word_ahead(&self, ahead: usize) -> Option<&'a str> {
        match self.kind(ahead) {
            Kind::Word => Some(self.span_at(self.at + ahead).slice(self.text)),
            _ => None,
        }
    }

    fn is_word_ahead(&self, ahead: usize, word: &str) -> bool {
        self.word_ahead(ahead).is_some_and(|w| w.eq_ignore_ascii_case(word))
    }

    fn is_word(&self, word: &str) -> bool {
        self.is_word_ahead(0, word)
    }

    /// Whether these words come next, in this order.
    fn are_words(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(ahead, word)| self.is_word_ahead(ahead, word))
    }

    /// Takes the word if it is next.
    fn word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.advance();
        }
        found
    }

    /// Takes the words if all of them are next.
    fn words(&mut self, words: &[&str]) -> bool {
        let found = self.are_words(words);
        if found {
            self.at += words.len();
        }
        found
    }

    fn expect_word(&mut self, word: &str) -> Result<()> {
        if self.word(word) { Ok(()) } else { Err(self.expected(word)) }
    }

    // ---- names ------------------------------------------------------------------------------------------------

    fn is_reserved_ahead(&self, ahead: usize) -> bool {
        self.word_ahead(ahead).is_some_and(is_reserved)
    }

    /// Takes a name if one is next. Reserved words are names only in quotes.
    fn maybe_name(&mut self) -> Option<Name> {
        let span = self.here();
        let name = match self.kind(0) {
            Kind::Quoted(text) => Name::exact(text.clone(), true, span),
            Kind::Word if !self.is_reserved_ahead(0) => Name::exact(span.slice(self.text), false, span),
            _ => return None,
        };
        self.advance();
        Some(name)
    }

    fn name(&mut self, what: &str) -> Result<Name> {
        match self.maybe_name() {
            Some(name) => Ok(name),
            None => {
                let error = self.expected(what);
                Err(match self.word_ahead(0).filter(|w| is_reserved(w)) {
                    Some(word) => {
                        error.hint(format!("expected {what}; {word} is a reserved word, quote it: \"{word}\""))
                    }
                    None => error,
                })
            }
        }
    }

    /// A step after a point: any word, reserved or not.
    fn field_name(&mut self) -> Result<Name> {
        if let Kind::Word = self.kind(0) {
            let span = self.here();
            self.advance();
            return Ok(Name::exact(span.slice(self.text), false, span));
        }
        self.name("a field name")
    }

    fn table_name(&mut self) -> Result<TableName> {
        let name = self.name("a table name")?;
        if self.sign(".") {
            return Ok(TableName { schema: Some(name), name: self.name("a table name")? });
        }
        Ok(TableName::plain(name))
    }

    fn comma_separated<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut all = vec![one(self)?];
        while self.sign(",") {
            all.push(one(self)?);
        }
        Ok(all)
    }

    // ---- bounds -----------------------------------------------------------------------------------------------

    /// Runs `inside` one level deeper, or refuses to.
    fn deeper<T>(&mut self, inside: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= DEPTH_MAX {
            return Err(self.too_deep());
        }
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        let result = literal::with_stack(|| inside(self));
        self.depth -= 1;
        result
    }

    /// Notes that what was parsed since `deepest` was reset is now `levels` deeper.
    fn wrapped(&mut self, levels: usize) -> Result<()> {
        self.deepest += levels;
        if self.deepest > DEPTH_MAX { Err(self.too_deep()) } else { Ok(()) }
    }

    fn too_deep(&self) -> QueryError {
        QueryError::new(
            SqlState::STATEMENT_TOO_COMPLEX,
            format!("the statement is nested more than {DEPTH_MAX} levels deep"),
        )
        .at(self.here())
        .hint("split it, or pass the value as a parameter")
    }

    // ---- errors -----------------------------------------------------------------------------------------------

    /// "syntax error at or near …", with what was expected and, if a keyword is near, what may have been meant.
    fn expected(&self, what: &str) -> QueryError {
        if let Some(index) = self.bare_alias.filter(|index| *index + 1 == self.at) {
            let span = self.span_at(index);
            if let Some(meant) = literal::suggestion(span.slice(self.text), CLAUSES.iter().copied()) {
                return near(span.slice(self.text), span).hint(format!("did you mean {meant}?"));
            }
        }
        let span = self.here();
        let (error, meant) = match self.kind(0) {
            Kind::End => (QueryError::syntax("syntax error at end of input", span), None),
            Kind::Word => {
                let word = span.slice(self.text);
                (near(word, span), literal::suggestion(word, CLAUSES.iter().copied()))
            }
            _ => (near(span.slice(self.text), span), None),
        };
        error.hint(match meant {
            Some(meant) => format!("expected {what}; did you mean {meant}?"),
            None => format!("expected {what}"),
        })
    }

    fn unsupported(&self, what: &str, span: Span, hint: &str) -> QueryError {
        QueryError::unsupported(what).at(span).hint(hint)
    }

    fn expr_to(&self, start: Span, kind: ExprKind) -> Expr {
        Expr { kind, span: start.to(self.before()) }
    }
}

fn near(text: &str, span: Span) -> QueryError {
    QueryError::syntax(format!("syntax error at or near \"{}\"", literal::shorten(text)), span)
}

fn is_reserved(word: &str) -> bool {
    // No reserved word is longer; this also keeps the upper-case copy on the stack's side of small.
    word.len() <= 9 && RESERVED.binary_search(&word.to_ascii_uppercase().as_str()).is_ok()
}
