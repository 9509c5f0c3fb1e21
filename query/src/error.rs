//! What goes wrong with a statement: a SQLSTATE, a message, and where in the text (PostgreSQL's documentation, appendix
//! A "Error Codes" and chapter 55.8 "Error and Notice Message Fields"). Every door shows the same error in its own way.

use std::fmt;
use std::sync::Arc;

use ledgerstone_digest::ion::{BinaryProblem, TextProblem};

use crate::ast::Span;

/// The result of everything that works on statements.
pub type Result<T, E = QueryError> = std::result::Result<T, E>;

/// An error a user sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryError {
    pub code: SqlState,
    /// What is wrong, one sentence, no full stop.
    pub message: String,
    /// More of what was found, if there is more to say.
    pub detail: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where in the statement text.
    pub span: Option<Span>,
    /// What a constraint is about, so that nobody has to read it out of the message.
    pub about: Option<Box<About>>,
}

/// The table, and the column or constraint, that an error is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    pub table: Arc<str>,
    pub column: Option<Arc<str>>,
    pub constraint: Option<Arc<str>>,
}

/// A five-character SQLSTATE.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState(pub &'static str);

macro_rules! states {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        impl SqlState {
            $($(#[$doc])* pub const $name: SqlState = SqlState($code);)*
        }
    };
}

states! {
    FEATURE_NOT_SUPPORTED = "0A000";
    CARDINALITY_VIOLATION = "21000";
    DATA_EXCEPTION = "22000";
    STRING_TOO_LONG = "22001";
    NUMERIC_OUT_OF_RANGE = "22003";
    SEQUENCE_LIMIT_EXCEEDED = "2200H";
    NULL_VALUE_NOT_ALLOWED = "22004";
    INVALID_DATETIME = "22007";
    DATETIME_OVERFLOW = "22008";
    INVALID_TIME_ZONE_DISPLACEMENT = "22009";
    SUBSTRING_ERROR = "22011";
    DIVISION_BY_ZERO = "22012";
    INVALID_ARGUMENT_FOR_LOGARITHM = "2201E";
    INVALID_ARGUMENT_FOR_POWER = "2201F";
    INVALID_ROW_COUNT_IN_LIMIT = "2201W";
    INVALID_ROW_COUNT_IN_OFFSET = "2201X";
    CHARACTER_NOT_IN_REPERTOIRE = "22021";
    INVALID_PARAMETER_VALUE = "22023";
    INVALID_ESCAPE = "22025";
    ARRAY_SUBSCRIPT_ERROR = "2202E";
    INVALID_TEXT_REPRESENTATION = "22P02";
    INVALID_BINARY_REPRESENTATION = "22P03";
    BAD_COPY_FORMAT = "22P04";
    UNTRANSLATABLE_CHARACTER = "22P05";
    INVALID_JSON_TEXT = "22032";
    NOT_NULL_VIOLATION = "23502";
    UNIQUE_VIOLATION = "23505";
    CHECK_VIOLATION = "23514";
    INVALID_TRANSACTION_STATE = "25000";
    ACTIVE_SQL_TRANSACTION = "25001";
    READ_ONLY_TRANSACTION = "25006";
    NO_ACTIVE_TRANSACTION = "25P01";
    FAILED_TRANSACTION = "25P02";
    INVALID_STATEMENT_NAME = "26000";
    DEPENDENT_OBJECTS = "2BP01";
    INVALID_CURSOR_NAME = "34000";
    INVALID_CATALOG_NAME = "3D000";
    INVALID_SAVEPOINT = "3B001";
    INVALID_SCHEMA_NAME = "3F000";
    /// Another transaction changed what this one read: run it again.
    SERIALIZATION_FAILURE = "40001";
    /// The outcome is not known: look, or retry with the same client token.
    OUTCOME_UNKNOWN = "40003";
    SYNTAX_ERROR = "42601";
    INSUFFICIENT_PRIVILEGE = "42501";
    NAME_TOO_LONG = "42622";
    INVALID_NAME = "42602";
    RESERVED_NAME = "42939";
    CANNOT_COERCE = "42846";
    GROUPING_ERROR = "42803";
    WINDOWING_ERROR = "42P20";
    INVALID_RECURSION = "42P19";
    DATATYPE_MISMATCH = "42804";
    GENERATED_ALWAYS = "428C9";
    WRONG_OBJECT_TYPE = "42809";
    UNDEFINED_COLUMN = "42703";
    UNDEFINED_FUNCTION = "42883";
    UNDEFINED_TABLE = "42P01";
    UNDEFINED_PARAMETER = "42P02";
    UNDEFINED_OBJECT = "42704";
    DUPLICATE_COLUMN = "42701";
    DUPLICATE_DATABASE = "42P04";
    DUPLICATE_CURSOR = "42P03";
    DUPLICATE_PREPARED_STATEMENT = "42P05";
    DUPLICATE_TABLE = "42P07";
    DUPLICATE_ALIAS = "42712";
    DUPLICATE_OBJECT = "42710";
    AMBIGUOUS_COLUMN = "42702";
    AMBIGUOUS_FUNCTION = "42725";
    INVALID_COLUMN_REFERENCE = "42P10";
    INVALID_TABLE_DEFINITION = "42P16";
    INVALID_OBJECT_DEFINITION = "42P17";
    INDETERMINATE_DATATYPE = "42P18";
    INSUFFICIENT_RESOURCES = "53000";
    DISK_FULL = "53100";
    OUT_OF_MEMORY = "53200";
    TOO_MANY_CONNECTIONS = "53300";
    PROGRAM_LIMIT_EXCEEDED = "54000";
    STATEMENT_TOO_COMPLEX = "54001";
    TOO_MANY_COLUMNS = "54011";
    TOO_MANY_ARGUMENTS = "54023";
    OBJECT_NOT_IN_PREREQUISITE_STATE = "55000";
    OBJECT_IN_USE = "55006";
    CANNOT_CHANGE_PARAMETER = "55P02";
    QUERY_CANCELED = "57014";
    SHUTDOWN = "57P01";
    CANNOT_CONNECT_NOW = "57P03";
    IO_ERROR = "58030";
    UNDEFINED_FILE = "58P01";
    DUPLICATE_FILE = "58P02";
    INTERNAL = "XX000";
    DATA_CORRUPTED = "XX001";
}

impl SqlState {
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl QueryError {
    pub fn new(code: SqlState, message: impl Into<String>) -> Self {
        QueryError { code, message: message.into(), detail: None, hint: None, span: None, about: None }
    }

    /// The text is not a statement (42601).
    pub fn syntax(message: impl Into<String>, span: Span) -> Self {
        QueryError::new(SqlState::SYNTAX_ERROR, message).at(span)
    }

    /// Understood, but not something Ledgerstone does (0A000): `what` reads as "… is not supported".
    pub fn unsupported(what: impl fmt::Display) -> Self {
        QueryError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{what} is not supported"))
    }

    /// Bytes that are not UTF-8 text (22021), worded as PostgreSQL does: the bytes of the first character that is none.
    pub fn not_utf8(bytes: &[u8]) -> Self {
        let at = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
        let rest = bytes.get(at..).unwrap_or_default();
        let width = match rest.first() {
            Some(0xc0..=0xdf) => 2,
            Some(0xe0..=0xef) => 3,
            Some(0xf0..=0xf7) => 4,
            _ => 1,
        };
        let shown: Vec<String> = rest.iter().take(width).map(|byte| format!("0x{byte:02x}")).collect();
        let message = format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" "));
        QueryError::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, message)
    }

    /// The SQLSTATE of Ion text that is well formed and goes beyond a limit; `None` if it is not Ion.
    pub fn ion_text_limit(problem: &TextProblem) -> Option<SqlState> {
        match problem {
            TextProblem::LongInt | TextProblem::Exponent => Some(SqlState::NUMERIC_OUT_OF_RANGE),
            TextProblem::TooLarge(_) | TextProblem::TooDeep(_) | TextProblem::TooMany(_) | TextProblem::TooLong(_) => {
                Some(SqlState::PROGRAM_LIMIT_EXCEEDED)
            }
            _ => None,
        }
    }

    /// The same for Ion binary.
    pub fn ion_binary_limit(problem: &BinaryProblem) -> Option<SqlState> {
        match problem {
            BinaryProblem::LongInt | BinaryProblem::Exponent => Some(SqlState::NUMERIC_OUT_OF_RANGE),
            BinaryProblem::TooLarge(_)
            | BinaryProblem::TooDeep(_)
            | BinaryProblem::TooMany(_)
            | BinaryProblem::TooLong(_) => Some(SqlState::PROGRAM_LIMIT_EXCEEDED),
            _ => None,
        }
    }

    /// A zero byte, which no text holds (22021).
    pub fn zero_byte() -> Self {
        let message = "invalid byte sequence for encoding \"UTF8\": 0x00";
        QueryError::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, message)
    }

    /// A defect of ours, said instead of panicking.
    pub fn internal(message: impl fmt::Display) -> Self {
        QueryError::new(SqlState::INTERNAL, format!("internal error: {message}"))
    }

    /// With the place in the text; a place known already stays, being the more exact one.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span.get_or_insert(span);
        self
    }

    #[must_use]
    pub fn about_column(mut self, table: &Arc<str>, column: &Arc<str>) -> Self {
        self.about = Some(Box::new(About { table: table.clone(), column: Some(column.clone()), constraint: None }));
        self
    }

    #[must_use]
    pub fn about_constraint(mut self, table: &Arc<str>, constraint: &Arc<str>) -> Self {
        self.about = Some(Box::new(About { table: table.clone(), column: None, constraint: Some(constraint.clone()) }));
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Moves the place, for a statement that is a part of a longer text.
    #[must_use]
    pub fn shifted(mut self, by: u32) -> Self {
        self.span = self.span.map(|s| Span { start: s.start.saturating_add(by), end: s.end.saturating_add(by) });
        self
    }

    /// The position as PostgreSQL counts it: characters from 1.
    pub fn position(&self, text: &str) -> Option<usize> {
        let start = floor_boundary(text, self.span?.start as usize);
        Some(text.get(..start)?.chars().count() + 1)
    }

    /// The line the error is on with a caret line below, as psql prints it:
    ///
    /// ```text
    /// LINE 1: SELECT * FORM t
    ///                  ^^^^
    /// ```
    /// Empty if the error has no place. Long lines are cut around the place.
    pub fn caret(&self, text: &str) -> String {
        const AROUND: usize = 60;
        let Some(span) = self.span else { return String::new() };
        let start = floor_boundary(text, span.start as usize);
        let end = floor_boundary(text, span.end as usize).max(start);
        let (before, after) = text.split_at(start);
        let line_number = before.matches('\n').count() + 1;
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let line_end = start + after.find('\n').unwrap_or(after.len());
        let head: Vec<char> = text.get(line_start..start).unwrap_or("").chars().collect();
        let tail: Vec<char> = text.get(start..line_end).unwrap_or("").trim_end().chars().collect();
        let mut shown = String::new();
        let cut = head.len().saturating_sub(AROUND);
        if cut > 0 {
            shown.push_str("...");
        }
        shown.extend(head.iter().skip(cut).map(|c| printable(*c)));
        let offset = shown.chars().count();
        shown.extend(tail.iter().take(AROUND).map(|c| printable(*c)));
        if tail.len() > AROUND {
            shown.push_str("...");
        }
        let marked = text.get(start..end.min(line_end)).map_or(0, |s| s.chars().count());
        let carets = marked.clamp(1, AROUND);
        let label = format!("LINE {line_number}: ");
        format!("{label}{shown}\n{}{}", " ".repeat(label.len() + offset), "^".repeat(carets))
    }

    /// Message, caret, detail and hint on lines of their own, as a terminal shows them.
    pub fn render(&self, text: &str) -> String {
        let mut out = format!("ERROR: {} ({})", self.message, self.code);
        for (label, part) in
            [("", Some(self.caret(text))), ("DETAIL: ", self.detail.clone()), ("HINT: ", self.hint.clone())]
        {
            if let Some(part) = part.filter(|p| !p.is_empty()) {
                out.push('\n');
                out.push_str(label);
                out.push_str(&part);
            }
        }
        out
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        Ok(())
    }
}

impl std::error::Error for QueryError {}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Tabs and control characters take one column, so that the caret stands where it should.
fn printable(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: u32, end: u32) -> QueryError {
        QueryError::syntax("no", Span { start, end })
    }

    #[test]
    fn caret_marks_the_word_on_its_line() {
        let text = "SELECT *\nFORM t";
        assert_eq!(at(9, 13).caret(text), "LINE 2: FORM t\n        ^^^^");
    }

    #[test]
    fn caret_counts_characters_not_bytes() {
        let text = "SELECT 'é' FORM";
        assert_eq!(at(12, 16).caret(text), "LINE 1: SELECT 'é' FORM\n                   ^^^^");
        assert_eq!(at(12, 16).position(text), Some(12));
    }

    #[test]
    fn caret_at_the_end_and_beyond_does_not_panic() {
        assert_eq!(at(3, 3).caret("abc"), "LINE 1: abc\n           ^");
        assert_eq!(at(900, 950).caret("abc"), "LINE 1: abc\n           ^");
        assert_eq!(at(1, 2).position("é"), Some(1));
        assert_eq!(at(0, 0).caret(""), "LINE 1: \n        ^");
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let text = format!("{}HERE{}", "a".repeat(500), "b".repeat(500));
        let caret = at(500, 504).caret(&text);
        assert!(caret.lines().all(|l| l.len() < 150), "{caret}");
        assert!(caret.contains("..."));
    }

    #[test]
    fn the_more_exact_place_stays() {
        let e = at(1, 2).at(Span { start: 0, end: 9 });
        assert_eq!(e.span, Some(Span { start: 1, end: 2 }));
    }

    #[test]
    fn render_has_every_part() {
        let e = at(0, 1).hint("try this").detail("because");
        assert_eq!(e.render("x"), "ERROR: no (42601)\nLINE 1: x\n        ^\nDETAIL: because\nHINT: try this");
    }
}
