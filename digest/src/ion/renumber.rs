//! A value in Ion binary whose symbols one dictionary numbers, written again as another numbers them, without building it.

use super::decode::{Item, Reader, at, read_bare};
use super::encode::{begin, end, end_var_uint, write_symbol, write_var_uint};
use super::{BinaryError, BinaryProblem, Limits};

/// Appends the value that [`super::encode_with`] wrote with one dictionary as it would have written it with another:
/// `number` is asked for the new number of each symbol, in the order in which they stand. 0 stays 0.
pub fn renumber(
    bytes: &[u8],
    limits: &Limits,
    number: &mut impl FnMut(u32) -> u32,
    out: &mut Vec<u8>,
) -> Result<(), BinaryError> {
    let (mut reader, item) = read_bare(bytes, limits)?;
    let mut copy = Copy { bytes, out, number };
    copy.item(&mut reader, item, 0)
}

struct Copy<'a, N> {
    bytes: &'a [u8],
    out: &'a mut Vec<u8>,
    number: &'a mut N,
}

impl<N: FnMut(u32) -> u32> Copy<'_, N> {
    /// Recursion: once per container or wrapper, ended by the depth limit.
    fn item(&mut self, reader: &mut Reader<'_>, item: Item, depth: usize) -> Result<(), BinaryError> {
        if item.is_null() || !matches!(item.code, 7 | 11..=14) {
            self.out.extend_from_slice(&self.bytes[item.start..item.end]);
            return Ok(());
        }
        if item.code == 7 {
            let number = self.number_of(reader.uint(item)?, item.start)?;
            write_symbol(number, self.out);
            return Ok(());
        }
        reader.check_depth(depth, item)?;
        let start = begin(self.out);
        let mut position = item.body;
        match item.code {
            11 | 12 => {
                while let Some(inner) = reader.next(&mut position, item.end)? {
                    self.item(reader, inner, depth + 1)?;
                }
            }
            13 => {
                while let Some((name, inner)) = reader.next_field(&mut position, item.end)? {
                    let name = self.number_of(name, inner.start)?;
                    write_var_uint(u64::from(name), self.out);
                    self.item(reader, inner, depth + 1)?;
                }
            }
            _ => {
                let ((mut position, numbers_end), inner) = reader.annotations(item)?;
                let numbers = begin(self.out);
                while position < numbers_end {
                    let name = reader.annotation(&mut position, numbers_end)?;
                    let name = self.number_of(name, item.start)?;
                    write_var_uint(u64::from(name), self.out);
                }
                end_var_uint(self.out, numbers);
                self.item(reader, inner, depth + 1)?;
            }
        }
        end(self.out, start, item.code << 4);
        Ok(())
    }

    fn number_of(&mut self, old: u64, offset: usize) -> Result<u32, BinaryError> {
        let old = u32::try_from(old).map_err(|_| at(offset, BinaryProblem::Number))?;
        Ok(if old == 0 { 0 } else { (self.number)(old) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SymbolTable, encode_with, parse};
    use super::*;

    /// Numbers as they come, from a first one on.
    struct Texts(u32, Vec<String>);

    impl SymbolTable for Texts {
        fn intern(&mut self, text: &str) -> u32 {
            let at = self.1.iter().position(|t| t == text).unwrap_or_else(|| {
                self.1.push(text.to_owned());
                self.1.len() - 1
            });
            self.0 + at as u32
        }
    }

    #[test]
    fn what_is_renumbered_is_what_the_other_dictionary_writes() {
        let long = "x".repeat(300);
        let texts = [
            "{a: 1, b: [c, a, $0], d: {a: 1.50, e: \"text\"}, f: {{aGVsbG8=}}, g: null.struct, h: 2020-01-01T, i: -5e0}"
                .to_owned(),
            "a::b::{c: d::[e, f::(g h)], i: {}, j: [], k: null, l: true}".to_owned(),
            format!("{{a: \"{long}\", b: {{c: \"{long}\", d: [e, \"{long}\"]}}}}"),
            format!("{{{}}}", (0..300).map(|n| format!("f{n}: s{n}")).collect::<Vec<_>>().join(", ")),
            "5".to_owned(),
        ];
        let limits = Limits::DOCUMENT;
        for text in &texts {
            let value = parse(text, &limits).unwrap();
            for (from, to) in [(1, 1), (1, 100), (120, 3), (5, 70_000), (16_000, 1)] {
                let (mut old, mut new) = (Texts(from, Vec::new()), Texts(to, vec!["first".to_owned()]));
                let (mut before, mut expected, mut after) = (Vec::new(), Vec::new(), vec![9]);
                encode_with(&value, &mut old, &mut before);
                encode_with(&value, &mut new, &mut expected);
                let mut again = Texts(to, vec!["first".to_owned()]);
                let mut number = |number: u32| again.intern(&old.1[(number - from) as usize]);
                renumber(&before, &limits, &mut number, &mut after).unwrap();
                assert_eq!(after[1..], expected, "{text} from {from} to {to}");
                assert_eq!(again.1, new.1, "symbols are asked for in their order");
            }
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        let mut ask = |number: u32| number;
        for bytes in [&[][..], &[0xde], &[0xd3, 0x81], &[0x8e, 0xff], &[0x20, 0x20]] {
            assert!(renumber(bytes, &Limits::DOCUMENT, &mut ask, &mut Vec::new()).is_err(), "{bytes:x?}");
        }
    }
}
