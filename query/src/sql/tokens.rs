//! From a text to the tokens of each statement: positions as byte offsets, `AS OF` in the form sqlparser reads, and
//! bounds on what would make a tree too deep to be dropped.

use sqlparser::ast as sql;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::dialect::LedgerstoneDialect;
use super::long;
use crate::ast::{DEPTH_MAX, Overriding, Span};
use crate::error::{QueryError, Result, SqlState};

/// How many operators may stand in one row. AND and OR become balanced trees later; the rest is held to the height
/// of a tree then.
pub(super) const LINKS_MAX: usize = 10_000;

/// The tokens of one statement, without space and comments, and how long its longest row of operators is.
pub(super) struct StatementTokens {
    pub tokens: Vec<TokenWithSpan>,
    pub span: Span,
    /// Whether reading it may take much stack: long rows of operators, or many parentheses inside each other.
    pub heavy: bool,
}

/// The statements of a text that has about so many tokens. Every token's span holds byte offsets: line 1 and the offset plus one as the column.
pub(super) fn statements(dialect: &LedgerstoneDialect, text: &str, count: usize) -> Result<Vec<StatementTokens>> {
    let mut tokens = Vec::with_capacity(count);
    let mut positions = Positions::new(text);
    if let Err(e) = Tokenizer::new(dialect, text).tokenize_with_location_into_buf(&mut tokens) {
        let start = tokens.last().map_or(e.location, |t| t.span.end.max(e.location));
        return Err(tokenizer_error(&e.message, positions.offset(start), text));
    }
    keep_words(&mut tokens, &mut positions, text)?;
    // From the end, so that the first statement, which mostly is the only one, keeps the place that all had.
    let mut parts = Vec::new();
    while let Some(at) = tokens.iter().rposition(|token| token.token == Token::SemiColon) {
        parts.push(tokens.split_off(at + 1));
        tokens.truncate(at);
    }
    parts.push(tokens);
    parts.into_iter().rev().filter_map(|part| statement(part).transpose()).collect()
}

/// Takes out spaces and comments, and puts strings together that go on; in place, for there may be many.
fn keep_words(tokens: &mut Vec<TokenWithSpan>, positions: &mut Positions<'_>, text: &str) -> Result<()> {
    let mut kept = 0;
    for at in 0..tokens.len() {
        let mut token = std::mem::replace(&mut tokens[at], TokenWithSpan::new_eof());
        if matches!(token.token, Token::Whitespace(_) | Token::EOF) {
            continue;
        }
        token.span.start = location(positions.offset(token.span.start));
        token.span.end = location(positions.offset(token.span.end));
        no_junk(&token, text)?;
        if kept > 0 && goes_on(&mut tokens[kept - 1], &token, text) {
            continue;
        }
        tokens[kept] = token;
        kept += 1;
    }
    tokens.truncate(kept);
    tokens.shrink_to_fit();
    Ok(())
}

/// The place of a node in bytes, from sqlparser's span; unknown if it has none.
pub(super) fn span(span: sqlparser::tokenizer::Span) -> Span {
    if span.start.line == 0 || span.start.column == 0 {
        return Span::default();
    }
    let start = u32::try_from(span.start.column - 1).unwrap_or(u32::MAX);
    let end = u32::try_from(span.end.column.saturating_sub(1)).unwrap_or(u32::MAX);
    Span { start, end: end.max(start) }
}

fn location(offset: u32) -> Location {
    Location { line: 1, column: u64::from(offset) + 1 }
}

fn statement(mut tokens: Vec<TokenWithSpan>) -> Result<Option<StatementTokens>> {
    let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return Ok(None) };
    let span = span(first.span).to(span_of(last));
    let heavy = is_heavy(&tokens)?;
    long::check_statement(&tokens)?;
    rewrite(&mut tokens)?;
    Ok(Some(StatementTokens { tokens, span, heavy }))
}

fn span_of(token: &TokenWithSpan) -> Span {
    span(token.span)
}

/// What a statement may have of that which is rewritten.
const REWRITES_MAX: usize = 1_000;

/// Rewrites `t AS OF TIMESTAMP x` and SQL's own `t FOR SYSTEM_TIME AS OF x` to `t TIMESTAMP AS OF x`, and `t AS OF BLOCK n`
/// to `t FOR SYSTEM_TIME AS OF n`, which are the two forms sqlparser has for a table's version; and more of what it cannot
/// read.
fn rewrite(tokens: &mut Vec<TokenWithSpan>) -> Result<()> {
    let (mut at, mut rewritten) = (0, 0);
    while at + 2 < tokens.len() {
        let before = tokens.len();
        if is_word(&tokens[at], "AS") && is_word(&tokens[at + 1], "OF") {
            if is_word(&tokens[at + 2], "TIMESTAMP") {
                tokens[at..=at + 2].rotate_right(1);
            } else if is_word(&tokens[at + 2], "BLOCK") {
                let span = tokens[at + 2].span;
                tokens.remove(at + 2);
                let words = ["FOR", "SYSTEM_TIME"].map(|w| TokenWithSpan { token: Token::make_keyword(w), span });
                tokens.splice(at..at, words);
                at += 1;
            }
        }
        // A moment may be any expression; only a number was ever a block.
        if begin_with(&tokens[at..], &["FOR", "SYSTEM_TIME", "AS", "OF"])
            && let Some(moment) = tokens.get(at + 4)
        {
            if !matches!(moment.token, Token::Number(..)) {
                let span = tokens[at + 1].span;
                tokens.splice(at..at + 2, [TokenWithSpan { token: Token::make_keyword("TIMESTAMP"), span }]);
                rewritten += 1;
                // `AS OF TIMESTAMP '…'` would be taken for the other form.
                at += 2;
            } else {
                at += 4;
            }
            continue;
        }
        // sqlparser has two ways to lock rows, PostgreSQL four; here they are all the same.
        if is_word(&tokens[at], "FOR") {
            let rest = &tokens[at + 1..];
            if begin_with(rest, &["NO", "KEY", "UPDATE"]) {
                tokens.drain(at + 1..at + 3);
            } else if begin_with(rest, &["KEY", "SHARE"]) {
                tokens.remove(at + 1);
            }
        }
        trim_of_blanks(tokens, at);
        let looked = only(tokens, at) || symmetric(tokens, at) || computed_fetch(tokens, at);
        // Each moves all that stands behind it, or looks at it.
        if looked || tokens.len() != before {
            rewritten += 1;
        }
        if rewritten > REWRITES_MAX {
            let message = format!("a statement may have {REWRITES_MAX} of AS OF BLOCK, BETWEEN SYMMETRIC and the like");
            let place = tokens.get(at).map(span_of).unwrap_or_default();
            return Err(QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).at(place));
        }
        at += 1;
    }
    Ok(())
}

/// What an INSERT, known by the place of its first word, says of identity columns.
pub(super) type Overridings = Vec<(Span, Overriding)>;

/// A statement without `OVERRIDING SYSTEM VALUE` and `OVERRIDING USER VALUE`, which sqlparser cannot read; nothing if it
/// has neither. They stand in INSERTs, of which a WITH may hold several.
pub(super) fn without_overriding(
    tokens: &[TokenWithSpan],
    text: &str,
) -> Result<Option<(Overridings, Vec<TokenWithSpan>)>> {
    if !tokens.first().is_some_and(|t| is_word(t, "INSERT") || is_word(t, "WITH")) {
        return Ok(None);
    }
    let (mut found, mut rest, mut kept) = (Vec::new(), Vec::new(), 0);
    for (at, insert) in tokens.iter().enumerate() {
        // Elsewhere the two words may be names.
        let before = at.checked_sub(1).and_then(|before| tokens.get(before)).map(|t| &t.token);
        let begins = matches!(before, None | Some(Token::LParen | Token::RParen)) && is_word(insert, "INSERT");
        if begins && let Some((overriding, place)) = overriding_behind(tokens, at, text)? {
            found.push((span_of(insert), overriding));
            rest.extend_from_slice(tokens.get(kept..place).unwrap_or_default());
            kept = place + 3;
        }
    }
    if found.is_empty() {
        return Ok(None);
    }
    rest.extend_from_slice(tokens.get(kept..).unwrap_or_default());
    Ok(Some((found, rest)))
}

/// The three words of OVERRIDING in the INSERT that begins here, and where they are: behind the table, its alias and the
/// columns.
fn overriding_behind(tokens: &[TokenWithSpan], begins: usize, text: &str) -> Result<Option<(Overriding, usize)>> {
    let word = |at: usize, word: &str| tokens.get(at).is_some_and(|t| is_word(t, word));
    let sign = |at: usize, sign: &Token| tokens.get(at).is_some_and(|t| t.token == *sign);
    if !word(begins + 1, "INTO") {
        return Ok(None);
    }
    let mut at = begins + 3;
    while sign(at, &Token::Period) {
        at += 2;
    }
    if word(at, "AS") {
        at += 2;
    }
    if sign(at, &Token::LParen) {
        let names = |t: &&TokenWithSpan| matches!(t.token, Token::Word(_) | Token::Comma | Token::Period);
        at += tokens.iter().skip(at + 1).take_while(names).count() + 2;
    }
    let overriding = match (word(at, "OVERRIDING"), word(at + 2, "VALUE")) {
        (true, true) if word(at + 1, "SYSTEM") => Overriding::System,
        (true, true) if word(at + 1, "USER") => Overriding::User,
        _ => return Ok(None),
    };
    // DEFAULT VALUES gives no value that could override anything; without a check it would be let pass.
    if let Some(token) = tokens.get(at + 3).filter(|token| is_word(token, "DEFAULT")) {
        return Err(super::near(span_of(token), text).hint("expected VALUES or a query"));
    }
    Ok(Some((overriding, at)))
}

/// `FROM ONLY t` and `FROM ONLY (t)`: no table has others that inherit from it. Whether there is one.
fn only(tokens: &mut Vec<TokenWithSpan>, at: usize) -> bool {
    let Some([before, word, table, ..]) = tokens.get(at..) else { return false };
    if !is_word(word, "ONLY") {
        return false;
    }
    let words = ["FROM", "JOIN", "USING", "TABLE", "UPDATE", "TRUNCATE", "LOCK"];
    let merges = |at: usize| tokens.get(at).is_some_and(|word| is_word(word, "MERGE"));
    let reads = words.iter().any(|word| is_word(before, word))
        || is_word(before, "INTO") && at.checked_sub(1).is_some_and(merges)
        || before.token == Token::Comma && is_among_tables(tokens.get(..at).unwrap_or_default());
    if !reads {
        return true;
    }
    match table.token {
        Token::Word(_) => drop(tokens.remove(at + 1)),
        Token::LParen => {
            let names = |token: &&TokenWithSpan| matches!(token.token, Token::Word(_) | Token::Period);
            let end = at + 3 + tokens.iter().skip(at + 3).take_while(names).count();
            if end > at + 3 && tokens.get(end).is_some_and(|token| token.token == Token::RParen) {
                tokens.remove(end);
                tokens.drain(at + 1..at + 3);
            }
        }
        _ => {}
    }
    true
}

/// Whether the comma behind these tokens separates tables: of the words that begin a clause the last one is such a one.
fn is_among_tables(tokens: &[TokenWithSpan]) -> bool {
    const OTHERS: [&str; 11] =
        ["SELECT", "WHERE", "GROUP", "ORDER", "HAVING", "SET", "VALUES", "RETURNING", "WINDOW", "LIMIT", "OFFSET"];
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().rev() {
        match token.token {
            Token::RParen => depth += 1,
            Token::LParen if depth == 0 => return false,
            Token::LParen => depth -= 1,
            _ if depth > 0 => {}
            _ if is_word(token, "FROM") => {
                // IS DISTINCT FROM is an operator.
                let distinct = at.checked_sub(1).and_then(|at| tokens.get(at)).is_some_and(|t| is_word(t, "DISTINCT"));
                if !distinct {
                    return true;
                }
            }
            _ if is_word(token, "USING") => return true,
            // LOCK TABLE a, ONLY b
            _ if at <= 1 && ["TABLE", "TRUNCATE", "LOCK"].iter().any(|word| is_word(token, word)) => return true,
            _ if OTHERS.iter().any(|word| is_word(token, word)) => return false,
            _ => {}
        }
    }
    false
}

/// What stands around the expression of `FETCH FIRST (expression) ROWS WITH TIES`.
const TIES: &str = "ledgerstone_with_ties";

/// `FETCH FIRST (expression) ROWS ONLY`, of which sqlparser reads numbers only, is `LIMIT (expression)`, with a call around it
/// if it is WITH TIES. Whether there is one.
fn computed_fetch(tokens: &mut Vec<TokenWithSpan>, at: usize) -> bool {
    let Some([fetch, first, rest @ ..]) = tokens.get(at..) else { return false };
    let begins = is_word(fetch, "FETCH") && (is_word(first, "FIRST") || is_word(first, "NEXT"));
    if !begins || rest.first().is_none_or(|token| token.token != Token::LParen) {
        return false;
    }
    let mut depth = 0_usize;
    let end = rest.iter().position(|token| {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    let Some(end) = end else { return true };
    let Some([rows, words @ ..]) = rest.get(end + 1..) else { return true };
    let only = words.first().is_some_and(|only| is_word(only, "ONLY"));
    let ties = matches!(words, [with, ties, ..] if is_word(with, "WITH") && is_word(ties, "TIES"));
    if (is_word(rows, "ROWS") || is_word(rows, "ROW")) && (only || ties) {
        let end = at + 2 + end;
        let last = tokens.drain(end + 1..end + if only { 3 } else { 4 }).next_back();
        // The statement may end with the words that are gone, and the place of its last token tells where.
        if let (Some(close), Some(last)) = (tokens.get_mut(end), last) {
            close.span.end = last.span.end;
        }
        if only {
            tokens.remove(at + 1);
        } else if let Some(first) = tokens.get_mut(at + 1) {
            first.token = Token::make_word(TIES, None);
            // The expression keeps its parentheses inside those of the call: it may be a subquery.
            let span = first.span;
            let close = tokens.get(end).map_or(span, |close| close.span);
            tokens.insert(end + 1, TokenWithSpan { token: Token::RParen, span: close });
            tokens.insert(at + 2, TokenWithSpan { token: Token::LParen, span });
        }
        if let Some(fetch) = tokens.get_mut(at) {
            fetch.token = Token::make_keyword("LIMIT");
        }
    }
    true
}

/// `trim(leading from x)`, which sqlparser reads with characters only, is `ltrim(x)`.
fn trim_of_blanks(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    let Some([trim, open, rest @ ..]) = tokens.get(at..) else { return };
    if !is_word(trim, "TRIM") || open.token != Token::LParen {
        return;
    }
    let sides = [("LEADING", "ltrim"), ("TRAILING", "rtrim"), ("BOTH", "btrim")];
    let side = rest.first().and_then(|word| sides.iter().find(|(name, _)| is_word(word, name)));
    let words = usize::from(side.is_some());
    if !rest.get(words).is_some_and(|word| is_word(word, "FROM")) {
        return;
    }
    let name = side.map_or("btrim", |(_, name)| *name);
    if let Some(trim) = tokens.get_mut(at) {
        trim.token = Token::make_word(name, None);
    }
    tokens.drain(at + 2..at + 3 + words);
}

/// What stands around the first bound of `BETWEEN SYMMETRIC a AND b`, a word that sqlparser does not know.
const SYMMETRIC: &str = "ledgerstone_symmetric";

/// Puts a call around the first bound, which ends at the AND that is not inside of anything.
/// Whether there is one.
fn symmetric(tokens: &mut Vec<TokenWithSpan>, at: usize) -> bool {
    let Some([between, word, rest @ ..]) = tokens.get(at..) else { return false };
    if !is_word(between, "BETWEEN") || !is_word(word, "SYMMETRIC") {
        return false;
    }
    let mut depth = 0_usize;
    let mut end = None;
    for (i, token) in rest.iter().enumerate() {
        match &token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket if depth == 0 => return true,
            Token::RParen | Token::RBracket => depth -= 1,
            _ if is_word(token, "CASE") => depth += 1,
            _ if is_word(token, "END") => depth = depth.saturating_sub(1),
            _ if depth == 0 && is_word(token, "AND") => {
                end = Some(at + 2 + i);
                break;
            }
            _ => {}
        }
    }
    let (Some(end), span) = (end, word.span) else { return true };
    let token = |token: Token| TokenWithSpan { token, span };
    tokens.insert(end, token(Token::RParen));
    tokens.splice(at + 1..at + 2, [token(Token::make_word(SYMMETRIC, None)), token(Token::LParen)]);
    true
}

/// Whether [`symmetric`] has put its call around this.
pub(super) fn is_symmetric(low: &sql::Expr) -> bool {
    matches!(low, sql::Expr::Function(call) if is_call_of(call, SYMMETRIC))
}

/// What LIMIT has, without the call that [`computed_fetch`] has put around it, and whether there was one.
pub(super) fn without_ties(limit: sql::Expr) -> (sql::Expr, bool) {
    if let sql::Expr::Function(call) = &limit
        && is_call_of(call, TIES)
        && let sql::FunctionArguments::List(list) = &call.args
        && let [sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Expr(inner))] = list.args.as_slice()
    {
        return (inner.clone(), true);
    }
    (limit, false)
}

fn is_call_of(call: &sql::Function, function: &str) -> bool {
    match call.name.0.as_slice() {
        [sql::ObjectNamePart::Identifier(name)] => name.value == function && name.quote_style.is_none(),
        _ => false,
    }
}

/// Whether a token is this word, which sqlparser need not know.
pub(super) fn is_word(token: &TokenWithSpan, word: &str) -> bool {
    matches!(&token.token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
}

/// Whether these words come first, one after the other.
pub(super) fn begin_with(tokens: &[TokenWithSpan], words: &[&str]) -> bool {
    tokens.len() >= words.len() && tokens.iter().zip(words).all(|(token, word)| is_word(token, word))
}

pub(super) fn is_keyword(token: &TokenWithSpan, keyword: Keyword) -> bool {
    matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && word.keyword == keyword)
}

/// Rows of operators and parentheses beyond these are read on a stack of their own.
const ROW_SHORT: usize = 100;
const OPEN_FEW: usize = 12;
/// Parentheses directly inside parentheses where tables stand: sqlparser tries each as a subquery and as a join, so that
/// every one doubles its work.
const WRAPPED_TABLES_MAX: usize = 6;

/// Whether the statement has long rows of operators (between commas, parentheses and the words that begin a clause)
/// or many parentheses inside each other; an error if either is too much.
fn is_heavy(tokens: &[TokenWithSpan]) -> Result<bool> {
    #[derive(Default)]
    struct Level {
        operators: usize,
        sets: usize,
        /// Between FROM and the next clause.
        in_from: bool,
        /// Opened where a table can stand.
        table: bool,
        /// Parentheses around tables that stand directly in another such one, in all levels around.
        wrapped: usize,
    }
    let mut levels = vec![Level::default()];
    let mut heavy = false;
    let mut before: Option<&Token> = None;
    for token in tokens {
        let previous = before.replace(&token.token);
        if let Some(previous) = previous {
            recursive_pair(previous, token)?;
        }
        let deepest = levels.len() - 1;
        let Some(level) = levels.get_mut(deepest) else { break };
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                level.operators += 1;
                let (in_from, inside_table, around) = (level.in_from, level.table, level.wrapped);
                if levels.len() > DEPTH_MAX {
                    return Err(super::too_deep().at(span(token.span)));
                }
                let table = match previous {
                    Some(Token::Word(w)) => {
                        matches!(w.keyword, Keyword::FROM | Keyword::JOIN | Keyword::USING | Keyword::LATERAL)
                    }
                    Some(Token::Comma) => in_from,
                    Some(Token::LParen) => inside_table,
                    _ => false,
                };
                let again = table && matches!(previous, Some(Token::LParen));
                let wrapped = around + usize::from(again);
                if wrapped > WRAPPED_TABLES_MAX {
                    return Err(super::too_deep().at(span(token.span)));
                }
                levels.push(Level { table, wrapped, ..Level::default() });
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                if deepest > 0 {
                    levels.pop();
                }
            }
            Token::Comma => level.operators = 0,
            Token::Word(word) if word.quote_style.is_none() => match word.keyword {
                Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT => {
                    level.sets += 1;
                    level.operators = 0;
                }
                Keyword::SELECT
                | Keyword::FROM
                | Keyword::WHERE
                | Keyword::HAVING
                | Keyword::ON
                | Keyword::WHEN
                | Keyword::THEN
                | Keyword::ELSE
                | Keyword::LIMIT
                | Keyword::VALUES
                | Keyword::SET => {
                    level.operators = 0;
                    level.in_from = word.keyword == Keyword::FROM || (level.in_from && word.keyword == Keyword::ON);
                }
                Keyword::NoKeyword => {}
                // Any other keyword may be an operator (AND, IS NULL, LIKE, COLLATE, AT TIME ZONE …).
                _ => level.operators += 1,
            },
            Token::Word(_) | Token::Number(..) | Token::SingleQuotedString(_) | Token::Placeholder(_) => {}
            _ => level.operators += 1,
        }
        if let Some(level) = levels.get(deepest) {
            let row = level.operators.max(level.sets);
            heavy |= row > ROW_SHORT || levels.len() > OPEN_FEW;
            if row > LINKS_MAX {
                return Err(QueryError::new(
                    SqlState::STATEMENT_TOO_COMPLEX,
                    format!("more than {LINKS_MAX} operators stand in one row"),
                )
                .at(span(token.span))
                .hint("use IN or = ANY with a list, or a table of values"));
            }
        }
    }
    Ok(heavy)
}

/// Two words after each other that sqlparser reads by recursion without counting it, and that mean nothing.
fn recursive_pair(before: &Token, token: &TokenWithSpan) -> Result<()> {
    let keyword = |t: &Token| match t {
        Token::Word(w) if w.quote_style.is_none() => Some(w.keyword),
        _ => None,
    };
    let refused = match keyword(before) {
        Some(Keyword::INTERVAL) => keyword(&token.token) == Some(Keyword::INTERVAL),
        Some(Keyword::ARRAY) => matches!(token.token, Token::Lt | Token::ShiftLeft | Token::Neq),
        _ => false,
    };
    if refused {
        return Err(QueryError::syntax(format!("syntax error at or near \"{}\"", token.token), span(token.span)));
    }
    Ok(())
}

/// Strings with nothing but space between them, a line's end included, are one.
fn goes_on(before: &mut TokenWithSpan, token: &TokenWithSpan, text: &str) -> bool {
    let (Token::SingleQuotedString(first), Token::SingleQuotedString(more)) = (&mut before.token, &token.token) else {
        return false;
    };
    let between = span(before.span).end as usize..span(token.span).start as usize;
    let goes_on = text.get(between).is_some_and(|between| between.contains('\n'));
    if goes_on {
        first.push_str(more);
        before.span.end = token.span.end;
    }
    goes_on
}

/// A number or a parameter with a letter directly behind it. Without this `SELECT 1e` would be a 1 named e; PostgreSQL
/// refuses it in these words.
fn no_junk(token: &TokenWithSpan, text: &str) -> Result<()> {
    let own = span(token.span);
    let written = |range: std::ops::Range<usize>| text.get(range).unwrap_or("");
    let (start, end) = (own.start as usize, own.end as usize);
    let begins_name = |c: char| c == '_' || c.is_alphabetic();
    let (what, junk_end) = match &token.token {
        Token::Number(..) => {
            let mut letters = text.get(end..).unwrap_or("").chars();
            match letters.next() {
                Some('e' | 'E') if letters.next().is_some_and(|c| matches!(c, '+' | '-')) => {
                    ("numeric literal", end + 2)
                }
                Some(letter) if begins_name(letter) => ("numeric literal", end + letter.len_utf8()),
                _ => return Ok(()),
            }
        }
        Token::HexStringLiteral(_) if written(start..end).starts_with('0') => ("numeric literal", start + 2),
        Token::Placeholder(name) => {
            let digits = name.strip_prefix('$').unwrap_or("");
            let Some((at, letter)) = digits.char_indices().find(|(_, c)| !c.is_ascii_digit()) else { return Ok(()) };
            if at == 0 || !begins_name(letter) {
                return Ok(());
            }
            ("parameter", start + 1 + at + letter.len_utf8())
        }
        _ => return Ok(()),
    };
    let message = format!("trailing junk after {what} at or near \"{}\"", written(start..junk_end));
    Err(QueryError::syntax(message, Span { start: own.start, end: junk_end as u32 }))
}

fn tokenizer_error(message: &str, at: u32, text: &str) -> QueryError {
    let end = text.len() as u32;
    let start = at.min(end);
    let span = Span { start, end: (start + 1).min(end) };
    let rest = text.get(start as usize..).unwrap_or("");
    let hint = if message.contains("string") && rest.starts_with('\'') {
        Some("close it with '; a quote inside is written ''")
    } else if message.contains("comment") {
        Some("close it with */")
    } else if message.contains("delimited") || message.contains("delimiter") {
        Some("close the name with \"")
    } else {
        None
    };
    let mut lower = message.to_owned();
    if let Some(first) = lower.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    let error = QueryError::syntax(lower, span);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Lines and columns (in characters) to byte offsets, for places that mostly ascend.
struct Positions<'a> {
    text: &'a str,
    line: u64,
    column: u64,
    offset: usize,
}

impl<'a> Positions<'a> {
    fn new(text: &'a str) -> Self {
        Positions { text, line: 1, column: 1, offset: 0 }
    }

    fn offset(&mut self, place: Location) -> u32 {
        if (place.line, place.column) < (self.line, self.column) {
            *self = Positions::new(self.text);
        }
        let rest = self.text.get(self.offset..).unwrap_or("");
        for c in rest.chars() {
            if (self.line, self.column) >= (place.line, place.column) {
                break;
            }
            self.offset += c.len_utf8();
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.offset as u32
    }
}
