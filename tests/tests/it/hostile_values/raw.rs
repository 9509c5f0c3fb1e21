//! Ion binary written by hand, for what no encoder writes.

/// A value of a type: its length, then its content.
pub fn tlv(code: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 6);
    match content.len() {
        short @ 0..14 => out.push(code << 4 | short as u8),
        long => {
            out.push(code << 4 | 14);
            out.extend(var_uint(long as u64));
        }
    }
    out.extend_from_slice(content);
    out
}

/// A decimal of this exponent and this coefficient, sign and magnitude.
pub fn decimal(exponent: i64, coefficient: &[u8]) -> Vec<u8> {
    let mut groups = vec![(exponent.unsigned_abs() & 0x7f) as u8];
    let mut rest = exponent.unsigned_abs() >> 7;
    while rest > 0 {
        groups.push((rest & 0x7f) as u8);
        rest >>= 7;
    }
    // The sign is the second bit of the first byte.
    if groups.last().is_some_and(|first| first & 0x40 != 0) {
        groups.push(0);
    }
    if exponent < 0 {
        *groups.last_mut().expect("a byte") |= 0x40;
    }
    groups[0] |= 0x80;
    groups.reverse();
    tlv(5, &[&groups, coefficient].concat())
}

/// Containers inside each other, the innermost empty.
pub fn nested(code: u8, depth: usize) -> Vec<u8> {
    // Backwards, since a length is known only when the content is.
    let mut backwards: Vec<u8> = vec![code << 4];
    for _ in 1..depth {
        let length = backwards.len();
        if length < 14 {
            backwards.push(code << 4 | length as u8);
        } else {
            backwards.extend(var_uint(length as u64).iter().rev());
            backwards.push(code << 4 | 14);
        }
    }
    backwards.reverse();
    backwards
}

/// A stream of one struct `{n: name, door: door, v: value}`.
pub fn document(name: &str, door: &str, value: &[u8]) -> Vec<u8> {
    let fields = [&[0x8a][..], &tlv(8, name.as_bytes()), &[0x8b], &tlv(8, door.as_bytes()), &[0x8c], value].concat();
    [symbol_table(&["n", "door", "v"]), tlv(13, &fields)].concat()
}

/// A version marker and a symbol table of these.
pub fn symbol_table(symbols: &[&str]) -> Vec<u8> {
    let list: Vec<u8> = symbols.iter().flat_map(|symbol| tlv(8, symbol.as_bytes())).collect();
    let table = tlv(13, &[&[0x87], &tlv(11, &list)[..]].concat());
    [&[0xe0, 1, 0, 0xea], &tlv(14, &[&[0x81, 0x83], &table[..]].concat())[..]].concat()
}

pub fn var_uint(mut number: u64) -> Vec<u8> {
    let mut bytes = vec![(number & 0x7f) as u8 | 0x80];
    number >>= 7;
    while number > 0 {
        bytes.push((number & 0x7f) as u8);
        number >>= 7;
    }
    bytes.reverse();
    bytes
}
