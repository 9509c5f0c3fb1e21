//! Question marks as parameters, as JDBC and Python's DB-API write them. In SQL here they are `$1`, and `?` is an operator of
//! jsonb; but an operator stands between two operands and a parameter does not, so a text that parses as it stands has none.

use std::fmt::Write as _;

/// The text with its question marks numbered; `None` if it has none, or parameters with numbers already. `??` is the
/// operator, as in pgjdbc.
pub fn numbered(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len() + 16);
    let (mut rest, mut number) = (text, 0);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' => quoted(rest, '\'', ends_in_escape_prefix(&out)),
            '"' => quoted(rest, '"', false),
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => comment(rest),
            '$' => match dollar(rest) {
                Dollar::Quoted(length) => length,
                Dollar::Parameter => return None,
                Dollar::Other => 1,
            },
            '?' if rest.starts_with("??") => {
                out.push('?');
                rest = rest.get(2..)?;
                continue;
            }
            '?' => {
                number += 1;
                // Writing into a string does not fail.
                let _ = write!(out, "${number}");
                rest = rest.get(1..)?;
                continue;
            }
            other => other.len_utf8(),
        };
        out.push_str(rest.get(..length)?);
        rest = rest.get(length..)?;
    }
    (number > 0).then_some(out)
}

/// The bytes of a quoted text; doubled quotes belong to it, and so does what stands behind a backslash in `E'…'`.
fn quoted(text: &str, quote: char, escapes: bool) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character == '\\' && escapes {
            characters.next();
        } else if character == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
            return at + character.len_utf8();
        }
    }
    text.len()
}

/// Whether an `E` stands before the quote, and is not the end of a name.
fn ends_in_escape_prefix(before: &str) -> bool {
    let mut characters = before.chars().rev();
    let is_prefix = matches!(characters.next(), Some('e' | 'E'));
    is_prefix && characters.next().is_none_or(|character| !character.is_alphanumeric() && character != '_')
}

/// The bytes of a comment, with those inside it.
fn comment(text: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

enum Dollar {
    /// `$tag$…$tag$`, with so many bytes.
    Quoted(usize),
    Parameter,
    Other,
}

fn dollar(text: &str) -> Dollar {
    let inside = text.get(1..).unwrap_or_default();
    if inside.starts_with(|character: char| character.is_ascii_digit()) {
        return Dollar::Parameter;
    }
    let Some(end) = inside.find('$') else { return Dollar::Other };
    let tag = inside.get(..end).unwrap_or_default();
    if !tag.chars().all(|character| character.is_alphanumeric() || character == '_') {
        return Dollar::Other;
    }
    let open = format!("${tag}$");
    let body = text.get(open.len()..).unwrap_or_default();
    Dollar::Quoted(body.find(&open).map_or(text.len(), |at| open.len() + at + open.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_question_marks_outside_of_texts_and_comments_are_numbered() {
        for (text, expected) in [
            ("SELECT ?, ?", Some("SELECT $1, $2")),
            (
                "SELECT '?', \"?\", 'it''s ?' -- ?\n, /* ? /* ? */ ? */ ?",
                Some("SELECT '?', \"?\", 'it''s ?' -- ?\n, /* ? /* ? */ ? */ $1"),
            ),
            ("SELECT E'\\'?', ?", Some("SELECT E'\\'?', $1")),
            ("SELECT name'\\', ?", Some("SELECT name'\\', $1")),
            ("SELECT $$?$$, $a$ ? $b$ ? $a$, ?", Some("SELECT $$?$$, $a$ ? $b$ ? $a$, $1")),
            ("SELECT j ?? 'k' WHERE é = ?", Some("SELECT j ? 'k' WHERE é = $1")),
            ("SELECT j ?? 'k'", None),
            ("SELECT 1", None),
            ("SELECT $1, ?", None),
            ("SELECT '?", None),
            ("SELECT /* ?", None),
        ] {
            assert_eq!(numbered(text).as_deref(), expected, "{text}");
        }
    }
}
