//! Texts against patterns with wildcards: SQL's LIKE, and policies.

use std::convert::Infallible;

/// A part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// Any characters, or none.
    Any,
    /// One character.
    One,
    Char(char),
}

/// Steps between two questions whether to go on.
const STEPS_PER_ASK: u32 = 1 << 16;

/// Whether a text is one that a pattern stands for.
pub fn matches(tokens: &[Token], text: &str) -> bool {
    let Ok(found) = matches_asking(tokens, text, || Ok::<(), Infallible>(()));
    found
}

/// The same; now and then it asks whether to go on. Greedy, with one place to go back to: linear in practice, quadratic at
/// worst, and a text and a pattern of a megabyte each are worst for hours.
pub fn matches_asking<E>(tokens: &[Token], text: &str, mut ask: impl FnMut() -> Result<(), E>) -> Result<bool, E> {
    let text: Vec<char> = text.chars().collect();
    let (mut t, mut p) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    let mut steps = 0_u32;
    while t < text.len() {
        steps = steps.wrapping_add(1);
        if steps.is_multiple_of(STEPS_PER_ASK) {
            ask()?;
        }
        match tokens.get(p) {
            Some(Token::Any) => {
                retry = Some((p, t));
                p += 1;
            }
            Some(Token::One) => (t, p) = (t + 1, p + 1),
            Some(Token::Char(c)) if text.get(t) == Some(c) => (t, p) = (t + 1, p + 1),
            _ => match retry {
                Some((at, from)) => {
                    retry = Some((at, from + 1));
                    (t, p) = (from + 1, at + 1);
                }
                None => return Ok(false),
            },
        }
    }
    Ok(tokens.get(p..).unwrap_or_default().iter().all(|token| *token == Token::Any))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_match_asks_again_and_again_and_ends_when_told_to() {
        let tokens: Vec<Token> = std::iter::once(Token::Any)
            .chain(std::iter::repeat_n(Token::Char('a'), 5_000))
            .chain([Token::Char('b')])
            .collect();
        let text = "a".repeat(10_000);
        let mut asked = 0;
        let ended = matches_asking(&tokens, &text, || {
            asked += 1;
            if asked < 3 { Ok(()) } else { Err("told to") }
        });
        assert_eq!((ended, asked), (Err("told to"), 3));
    }
}
