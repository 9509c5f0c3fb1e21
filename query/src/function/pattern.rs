//! LIKE and regular expressions (PostgreSQL's documentation, 9.7). Regular expressions are those of the `regex-lite`
//! crate: linear time, no look-around or back-references, which are refused by name.

use ledgerstone_digest::ion::Value;
use regex_lite::{Captures, Regex, RegexBuilder};

use super::size::{self, TextBuilder};
use super::ty::{INT4, R_BOOL, R_INT4, R_TEXT, TEXT};
use super::{Returns, Scalar, int_at, some_bool, some_int, some_text, strict, text_at};
use crate::bind::plan::Datum;
use crate::error::{QueryError, Result, SqlState};
use crate::wildcard::{self, Token};

pub(super) static FUNCTIONS: &[Scalar] = &[
    strict("regexp_replace", &[TEXT, TEXT, TEXT], R_TEXT, |_, a| {
        replace(text_at(a, 0)?, text_at(a, 1)?, text_at(a, 2)?, "")
    }),
    strict("regexp_replace", &[TEXT, TEXT, TEXT, TEXT], R_TEXT, |_, a| {
        replace(text_at(a, 0)?, text_at(a, 1)?, text_at(a, 2)?, text_at(a, 3)?)
    }),
    strict("regexp_match", &[TEXT, TEXT], Returns::TextArray, |_, a| {
        let Some(found) = regex(text_at(a, 1)?, false)?.captures(text_at(a, 0)?) else { return Ok(None) };
        groups(&found).map(Some)
    }),
    strict("regexp_count", &[TEXT, TEXT], R_INT4, |_, a| {
        some_int(regex(text_at(a, 1)?, false)?.find_iter(text_at(a, 0)?).count() as i64)
    }),
    strict("regexp_like", &[TEXT, TEXT], R_BOOL, |_, a| {
        some_bool(regex(text_at(a, 1)?, false)?.is_match(text_at(a, 0)?))
    }),
    strict("regexp_substr", &[TEXT, TEXT], R_TEXT, |_, a| {
        Ok(regex(text_at(a, 1)?, false)?.find(text_at(a, 0)?).map(|m| Value::string(m.as_str())))
    }),
    strict("regexp_split_to_array", &[TEXT, TEXT], Returns::TextArray, |_, a| {
        size::list(regex(text_at(a, 1)?, false)?.split(text_at(a, 0)?).map(|part| Ok(Value::string(part))))
    }),
    strict("regexp_like", &[TEXT, TEXT, TEXT], R_BOOL, |_, a| {
        let flags = text_at(a, 2)?;
        some_bool(regex(text_at(a, 1)?, flags.contains('i'))?.is_match(text_at(a, 0)?))
    }),
    strict("regexp_instr", &[TEXT, TEXT], R_INT4, |_, a| {
        let text = text_at(a, 0)?;
        some_int(match regex(text_at(a, 1)?, false)?.find(text) {
            Some(m) => text.get(..m.start()).map_or(0, |t| t.chars().count()) as i64 + 1,
            None => 0,
        })
    }),
    strict("ledgerstone_similar", &[TEXT, TEXT], R_BOOL, |_, a| {
        some_bool(regex(&similar(text_at(a, 1)?, Some('\\'))?, false)?.is_match(text_at(a, 0)?))
    }),
    strict("ledgerstone_similar", &[TEXT, TEXT, TEXT], R_BOOL, |_, a| {
        let mut escape = text_at(a, 2)?.chars();
        let (escape, more) = (escape.next(), escape.next());
        if more.is_some() {
            return Err(QueryError::new(SqlState::INVALID_ESCAPE, "invalid escape string")
                .hint("Escape string must be empty or one character."));
        }
        some_bool(regex(&similar(text_at(a, 1)?, escape)?, false)?.is_match(text_at(a, 0)?))
    }),
    // SUBSTRING(text FROM pattern)
    strict("substring", &[TEXT, TEXT], R_TEXT, |_, a| {
        let Some(found) = regex(text_at(a, 1)?, false)?.captures(text_at(a, 0)?) else { return Ok(None) };
        match found.get(1).or_else(|| found.get(0)) {
            Some(m) => some_text(m.as_str()),
            None => Ok(None),
        }
    }),
    strict("regexp_instr", &[TEXT, TEXT, INT4], R_INT4, |_, a| {
        let skip = (int_at(a, 2)?.max(1) - 1) as usize;
        let text = text_at(a, 0)?;
        let from = text.char_indices().nth(skip).map_or(text.len(), |(i, _)| i);
        let rest = text.get(from..).unwrap_or("");
        some_int(match regex(text_at(a, 1)?, false)?.find(rest) {
            Some(m) => (skip + rest.get(..m.start()).map_or(0, |t| t.chars().count()) + 1) as i64,
            None => 0,
        })
    }),
];

/// A pattern of SIMILAR TO as a regular expression (PostgreSQL's documentation, 9.7.2).
fn similar(pattern: &str, escape: Option<char>) -> Result<String> {
    let mut out = String::from("^(?:");
    let mut chars = pattern.chars();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            let Some(literal) = chars.next() else {
                return Err(QueryError::new(SqlState::INVALID_ESCAPE, "the pattern ends in its escape character"));
            };
            out.push_str(&regex_lite::escape(literal.encode_utf8(&mut [0; 4])));
            continue;
        }
        match c {
            ']' if in_class => {
                in_class = false;
                out.push(c);
            }
            '\\' => out.push_str("\\\\"),
            _ if in_class => out.push(c),
            '[' => {
                in_class = true;
                out.push(c);
            }
            '%' => out.push_str("(?s:.*)"),
            '_' => out.push_str("(?s:.)"),
            '(' => out.push_str("(?:"),
            '.' | '^' | '$' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out.push_str(")$");
    Ok(out)
}

/// The groups of a match, or all of it if the pattern has none. Groups may overlap, so they are measured first.
pub(super) fn groups(found: &Captures<'_>) -> Result<Value> {
    let from = usize::from(found.len() > 1);
    let texts = (from..found.len()).map(|i| found.get(i).map(|m| m.as_str()));
    size::check_bytes(texts.clone().flatten().map(str::len).sum())?;
    Ok(Value::List(texts.map(|text| text.map_or(Value::NULL, Value::string)).collect()))
}

/// A piece of a replacement.
enum Piece {
    Text(String),
    Group(usize),
}

/// What a match is replaced by: `\1` is a group, `\&` the match.
fn pieces(by: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut chars = by.chars();
    while let Some(c) = chars.next() {
        let group = match c {
            '\\' => match chars.next() {
                Some('&') => Some(0),
                Some(c) if c.is_ascii_digit() => c.to_digit(10),
                other => {
                    text.push(other.unwrap_or('\\'));
                    None
                }
            },
            other => {
                text.push(other);
                None
            }
        };
        if let Some(group) = group {
            pieces.push(Piece::Text(std::mem::take(&mut text)));
            pieces.push(Piece::Group(group as usize));
        }
    }
    pieces.push(Piece::Text(text));
    pieces
}

fn replace(text: &str, pattern: &str, by: &str, flags: &str) -> Result<Datum> {
    let regex = regex(pattern, flags.contains('i'))?;
    let pieces = pieces(by);
    let most = if flags.contains('g') { usize::MAX } else { 1 };
    let mut out = TextBuilder::default();
    let mut rest = 0;
    for found in regex.captures_iter(text).take(most) {
        let Some(whole) = found.get(0) else { continue };
        out.push_str(text.get(rest..whole.start()).unwrap_or_default())?;
        for piece in &pieces {
            out.push_str(match piece {
                Piece::Text(text) => text,
                Piece::Group(group) => found.get(*group).map_or("", |m| m.as_str()),
            })?;
        }
        rest = whole.end();
    }
    out.push_str(text.get(rest..).unwrap_or_default())?;
    out.finish()
}

/// Compiles a pattern; 2201B if it is none.
pub(crate) fn regex(pattern: &str, any_case: bool) -> Result<Regex> {
    RegexBuilder::new(pattern)
        .case_insensitive(any_case)
        .size_limit(1 << 20)
        .build()
        .map_err(|e| QueryError::new(SqlState("2201B"), format!("invalid regular expression: {e}")))
}

/// LIKE: `%` any characters, `_` one; `escape` takes the next character as itself.
pub(crate) fn like(text: &str, pattern: &str, escape: Option<char>, any_case: bool) -> Result<bool> {
    if any_case {
        return like(&text.to_lowercase(), &pattern.to_lowercase(), escape, false);
    }
    Ok(wildcard::matches(&tokens(pattern, escape)?, text))
}

fn tokens(pattern: &str, escape: Option<char>) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            c if Some(c) == escape => Token::Char(chars.next().ok_or_else(|| {
                QueryError::new(SqlState::INVALID_ESCAPE, "LIKE pattern must not end with escape character")
            })?),
            '%' => Token::Any,
            '_' => Token::One,
            c => Token::Char(c),
        });
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_matches_what_it_should() {
        for (text, pattern, matches) in [
            ("abc", "abc", true),
            ("abc", "a%", true),
            ("abc", "%c", true),
            ("abc", "a_c", true),
            ("abc", "_", false),
            ("", "%", true),
            ("aXbXc", "a%b%c", true),
            ("50%", "50\\%", true),
            ("50x", "50\\%", false),
            ("mississippi", "%iss%ip%", true),
            ("éa", "_a", true),
        ] {
            assert_eq!(like(text, pattern, Some('\\'), false).unwrap(), matches, "{text} like {pattern}");
        }
        assert!(like("a", "a\\", Some('\\'), false).is_err());
    }
}
