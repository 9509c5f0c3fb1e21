//! LIKE and regular expressions (PostgreSQL's documentation, 9.7). Regular expressions are those of the `regex-lite`
//! crate: linear time, no look-around or back-references, which are refused by name.

use ledgerstone_digest::ion::Value;
use regex_lite::{Captures, Match, Regex, RegexBuilder};

use super::size::{self, TextBuilder};
use super::ty::{INT4, R_BOOL, R_INT4, R_TEXT, TEXT};
use super::{Call, Returns, Scalar, int_at, some_bool, some_int, some_text, strict, text_at};
use crate::bind::plan::Datum;
use crate::error::{QueryError, Result, SqlState};
use crate::session::Cancel;
use crate::wildcard::{self, Token};

pub(super) static FUNCTIONS: &[Scalar] = &[
    strict("regexp_replace", &[TEXT, TEXT, TEXT], R_TEXT, |c, a| {
        replace(c, text_at(a, 0)?, text_at(a, 1)?, text_at(a, 2)?, "")
    }),
    strict("regexp_replace", &[TEXT, TEXT, TEXT, TEXT], R_TEXT, |c, a| {
        replace(c, text_at(a, 0)?, text_at(a, 1)?, text_at(a, 2)?, text_at(a, 3)?)
    }),
    strict("regexp_match", &[TEXT, TEXT], Returns::TextArray, |c, a| match search(c, a, "")?.captures() {
        Some(found) => groups(&found).map(Some),
        None => Ok(None),
    }),
    strict("regexp_count", &[TEXT, TEXT], R_INT4, |c, a| {
        let search = search(c, a, "")?;
        some_int(search.all().try_fold(0, |count, found| found.map(|_| count + 1))?)
    }),
    strict("regexp_like", &[TEXT, TEXT], R_BOOL, |c, a| some_bool(search(c, a, "")?.is_match())),
    strict("regexp_substr", &[TEXT, TEXT], R_TEXT, |c, a| {
        Ok(search(c, a, "")?.find().map(|m| Value::string(m.as_str())))
    }),
    strict("regexp_split_to_array", &[TEXT, TEXT], Returns::TextArray, |c, a| {
        size::list(search(c, a, "")?.split().map(|part| part.map(Value::string)))
    }),
    strict("regexp_like", &[TEXT, TEXT, TEXT], R_BOOL, |c, a| some_bool(search(c, a, text_at(a, 2)?)?.is_match())),
    strict("regexp_instr", &[TEXT, TEXT], R_INT4, |c, a| {
        let text = text_at(a, 0)?;
        some_int(match search(c, a, "")?.find() {
            Some(m) => text.get(..m.start()).map_or(0, |t| t.chars().count()) as i64 + 1,
            None => 0,
        })
    }),
    strict("ledgerstone_similar", &[TEXT, TEXT], R_BOOL, |c, a| {
        some_bool(Search::new(c, &similar(text_at(a, 1)?, Some('\\'))?, false, text_at(a, 0)?)?.is_match())
    }),
    strict("ledgerstone_similar", &[TEXT, TEXT, TEXT], R_BOOL, |c, a| {
        let mut escape = text_at(a, 2)?.chars();
        let (escape, more) = (escape.next(), escape.next());
        if more.is_some() {
            return Err(QueryError::new(SqlState::INVALID_ESCAPE, "invalid escape string")
                .hint("Escape string must be empty or one character."));
        }
        some_bool(Search::new(c, &similar(text_at(a, 1)?, escape)?, false, text_at(a, 0)?)?.is_match())
    }),
    // SUBSTRING(text FROM pattern)
    strict("substring", &[TEXT, TEXT], R_TEXT, |c, a| {
        let Some(found) = search(c, a, "")?.captures() else { return Ok(None) };
        match found.get(1).or_else(|| found.get(0)) {
            Some(m) => some_text(m.as_str()),
            None => Ok(None),
        }
    }),
    strict("regexp_instr", &[TEXT, TEXT, INT4], R_INT4, |c, a| {
        let skip = (int_at(a, 2)?.max(1) - 1) as usize;
        let text = text_at(a, 0)?;
        let from = text.char_indices().nth(skip).map_or(text.len(), |(i, _)| i);
        let rest = text.get(from..).unwrap_or("");
        some_int(match Search::new(c, text_at(a, 1)?, false, rest)?.find() {
            Some(m) => (skip + rest.get(..m.start()).map_or(0, |t| t.chars().count()) + 1) as i64,
            None => 0,
        })
    }),
];

/// A pattern of SIMILAR TO as a regular expression (PostgreSQL's documentation, 9.7.2).
fn similar(pattern: &str, escape: Option<char>) -> Result<String> {
    check_pattern(pattern)?;
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

fn replace(call: &Call<'_>, text: &str, pattern: &str, by: &str, flags: &str) -> Result<Datum> {
    let search = Search::new(call, pattern, flags.contains('i'), text)?;
    let pieces = pieces(by);
    let most = if flags.contains('g') { usize::MAX } else { 1 };
    let mut out = TextBuilder::default();
    let mut rest = 0;
    for found in search.all_captures().take(most) {
        let found = found?;
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

/// The longest pattern that is read: what is longer does not compile within [`COMPILED_BYTES_MAX`] either.
const PATTERN_BYTES_MAX: usize = 64 << 10;
/// Memory of a compiled pattern.
const COMPILED_BYTES_MAX: usize = 1 << 20;
/// What a state of a compiled pattern takes of that, at least.
const STATE_BYTES: usize = 32;
/// A search takes a step for each state of the pattern at each character, at worst, and cannot be stopped in between: it is
/// one call of another library. So many steps take two seconds and a half at most (measured for patterns of every kind, with
/// optimization), which is how late a timeout may come. Fewer would refuse ordinary patterns: one of a few dozen characters
/// in a text of 16 MiB, the longest there is, takes just as many.
const STEPS_MAX: usize = 1 << 29;
/// Places that a search keeps: two for each group, for each state.
const PLACES_MAX: usize = 4 << 20;

/// A regular expression and the text that it is looked for in. No search is longer than it may be, and between two the
/// statement may be stopped.
pub(crate) struct Search<'t> {
    regex: Regex,
    text: &'t str,
    cancel: &'t Cancel,
}

impl<'t> Search<'t> {
    /// 2201B if the pattern is none, 54000 if it is too large for the text.
    pub fn new(call: &Call<'t>, pattern: &str, any_case: bool, text: &'t str) -> Result<Search<'t>> {
        let cancel = &call.session.cancel;
        cancel.check()?;
        check_pattern(pattern)?;
        let regex = compiled(pattern, any_case, COMPILED_BYTES_MAX)
            .map_err(|e| QueryError::new(SqlState("2201B"), format!("invalid regular expression: {e}")))?;
        let places = regex.captures_len().saturating_mul(2);
        let is_much = |states: usize| {
            let step = 1 + places / 8;
            states.saturating_mul(places) > PLACES_MAX
                || states.saturating_mul(step).saturating_mul(text.len() + 1) > STEPS_MAX
        };
        if is_much(states_at_most(pattern)) && is_much(states(pattern, any_case)) {
            let message = "the regular expression is too large for a text of this length";
            return Err(QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
                .hint("Use fewer repetitions and groups, or search the text in parts."));
        }
        Ok(Search { regex, text, cancel })
    }

    pub fn is_match(&self) -> bool {
        self.regex.is_match(self.text)
    }

    pub fn find(&self) -> Option<Match<'t>> {
        self.regex.find(self.text)
    }

    pub fn captures(&self) -> Option<Captures<'t>> {
        self.regex.captures(self.text)
    }

    /// All matches. Each search for the next one may read the text to its end.
    pub fn all(&self) -> impl Iterator<Item = Result<Match<'t>>> {
        self.regex.find_iter(self.text).map(|found| self.cancel.check().map(|()| found))
    }

    pub fn all_captures(&self) -> impl Iterator<Item = Result<Captures<'t>>> {
        self.regex.captures_iter(self.text).map(|found| self.cancel.check().map(|()| found))
    }

    /// What stands between the matches.
    pub fn split(&self) -> impl Iterator<Item = Result<&'t str>> {
        self.regex.split(self.text).map(|part| self.cancel.check().map(|()| part))
    }
}

/// The second argument in the first.
fn search<'t>(call: &Call<'t>, a: &'t [Datum], flags: &str) -> Result<Search<'t>> {
    Search::new(call, text_at(a, 1)?, flags.contains('i'), text_at(a, 0)?)
}

fn check_pattern(pattern: &str) -> Result<()> {
    if pattern.len() <= PATTERN_BYTES_MAX {
        return Ok(());
    }
    let message = format!("a pattern may have {PATTERN_BYTES_MAX} bytes, not {}", pattern.len());
    Err(QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message))
}

fn compiled(pattern: &str, any_case: bool, bytes_max: usize) -> std::result::Result<Regex, regex_lite::Error> {
    RegexBuilder::new(pattern).case_insensitive(any_case).size_limit(bytes_max).build()
}

/// States that a pattern has at most, by its length alone: only repetitions with a count make more of what is written.
fn states_at_most(pattern: &str) -> usize {
    let all = COMPILED_BYTES_MAX / STATE_BYTES;
    if pattern.contains('{') { all } else { all.min(pattern.len() * 4 + 8) }
}

/// The same, no more than twice too many: the compiler does not tell, but it refuses what is larger than it was told to make.
fn states(pattern: &str, any_case: bool) -> usize {
    let sizes =
        std::iter::successors(Some(1 << 10), |size| Some(size * 2)).take_while(|size| *size < COMPILED_BYTES_MAX);
    let fits = |size: &usize| compiled(pattern, any_case, *size).is_ok();
    let size = sizes.into_iter().find(fits).unwrap_or(COMPILED_BYTES_MAX);
    states_at_most(pattern).min(size / STATE_BYTES)
}

/// LIKE: `%` any characters, `_` one; `escape` takes the next character as itself.
pub(crate) fn like(text: &str, pattern: &str, escape: Option<char>, any_case: bool, cancel: &Cancel) -> Result<bool> {
    if any_case {
        return like(&text.to_lowercase(), &pattern.to_lowercase(), escape, false, cancel);
    }
    wildcard::matches_asking(&tokens(pattern, escape)?, text, || cancel.check())
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
            let cancel = Cancel::default();
            assert_eq!(like(text, pattern, Some('\\'), false, &cancel).unwrap(), matches, "{text} like {pattern}");
        }
        assert!(like("a", "a\\", Some('\\'), false, &Cancel::default()).is_err());
    }
}
