//! Texts against patterns with wildcards: SQL's LIKE, and policies.

/// A part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// Any characters, or none.
    Any,
    /// One character.
    One,
    Char(char),
}

/// Whether a text is one that a pattern stands for. Greedy, with one place to go back to: linear in practice, quadratic at
/// worst.
pub fn matches(tokens: &[Token], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut t, mut p) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
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
                None => return false,
            },
        }
    }
    tokens.get(p..).unwrap_or_default().iter().all(|token| *token == Token::Any)
}
