//! Ion values of every kind from a seed: typed nulls, integers of any size, decimals with scale and minus zero,
//! timestamps of every precision and offset, symbols with and without text, clobs, blobs, annotations, nesting.

use ledgerstone_digest::ion::{
    Annotated, Decimal, Fraction, Int, IonType, Precision, Struct, Symbol, Timestamp, Value,
};

/// SplitMix64: the same values for the same seed everywhere.
pub struct Random(pub u64);

/// What the generated values may be, for readers that cannot hold all of them.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub depth: u32,
    /// Bytes of an integer's or a decimal's magnitude.
    pub int_bytes: u64,
    /// Symbols whose text is not known.
    pub unknown_symbols: bool,
    /// Fraction digits of a second.
    pub fraction_digits: u64,
    pub exponent: i64,
}

impl Shape {
    pub const ANY: Shape =
        Shape { depth: 5, int_bytes: 40, unknown_symbols: true, fraction_digits: 38, exponent: i32::MAX as i64 };
}

pub const TYPES: [IonType; 13] = [
    IonType::Null,
    IonType::Bool,
    IonType::Int,
    IonType::Float,
    IonType::Decimal,
    IonType::Timestamp,
    IonType::Symbol,
    IonType::String,
    IonType::Clob,
    IonType::Blob,
    IonType::List,
    IonType::Sexp,
    IonType::Struct,
];

const WORDS: &[&str] = &[
    "a",
    "b",
    "id",
    "VIN",
    "name",
    "version",
    "imports",
    "$ion",
    "null",
    "true",
    "nan",
    "$10",
    "$x",
    "",
    "a b",
    "it's",
    "+",
    "-",
    "//",
    "/*",
    "é",
    "日本",
    "\u{1F600}",
    "line\nend",
    "tab\t",
    "\0",
    "\u{7f}\u{85}",
    "\"q\"",
    "\\",
    "inf",
    "+inf",
    "{",
    "::",
    "_",
    "9x",
    "\u{b}\u{c}\u{e}",
    "$ion_1_0x",
    "longer than fourteen bytes",
];

/// How many cases to try: twenty times as many in the long run.
pub fn cases(normal: u64) -> u64 {
    if std::env::var_os("LEDGERSTONE_TEST_LONG").is_some() { normal * 20 } else { normal }
}

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn bytes(&mut self, length: u64) -> Vec<u8> {
        // Marker bytes of Ion Hash are frequent on purpose.
        (0..length).map(|_| if self.one_in(4) { 0x0A + self.below(6) as u8 } else { self.next() as u8 }).collect()
    }

    pub fn word(&mut self) -> String {
        let mut word = WORDS[self.below(WORDS.len() as u64) as usize].to_owned();
        if self.one_in(6) {
            word.push_str(WORDS[self.below(WORDS.len() as u64) as usize]);
        }
        word
    }

    pub fn value(&mut self, shape: Shape) -> Value {
        if self.one_in(8) {
            let annotations = (0..1 + self.below(3)).map(|_| self.symbol(shape)).collect();
            return Value::Annotated(Box::new(Annotated { annotations, value: self.plain(shape) }));
        }
        self.plain(shape)
    }

    fn plain(&mut self, shape: Shape) -> Value {
        let kinds = if shape.depth == 0 { 11 } else { 16 };
        let inner = Shape { depth: shape.depth.saturating_sub(1), ..shape };
        match self.below(kinds) {
            0 => Value::Null(TYPES[self.below(13) as usize]),
            1 => Value::Bool(self.one_in(2)),
            2 => Value::Int(self.int(shape)),
            3 => Value::Float(self.float()),
            4 | 5 => Value::Decimal(self.decimal(shape)),
            6 | 7 => Value::Timestamp(self.timestamp(shape)),
            8 => Value::Symbol(self.symbol(shape)),
            9 => Value::string(self.word()),
            10 => {
                let length = self.below(30);
                let bytes = self.bytes(length);
                if self.one_in(2) { Value::blob(bytes) } else { Value::Clob(bytes.into()) }
            }
            11 | 12 => Value::List((0..self.below(5)).map(|_| self.value(inner)).collect()),
            13 => Value::Sexp((0..self.below(5)).map(|_| self.value(inner)).collect()),
            _ => {
                let fields = (0..self.below(6)).map(|_| (self.symbol(shape), self.value(inner))).collect();
                Value::Struct(Struct { fields })
            }
        }
    }

    fn symbol(&mut self, shape: Shape) -> Symbol {
        if shape.unknown_symbols && self.one_in(25) {
            return Symbol::UNKNOWN;
        }
        Symbol::new(self.word())
    }

    fn int(&mut self, shape: Shape) -> Int {
        match self.below(4) {
            0 => Int::from(self.below(512) as i64 - 256),
            1 => Int::from(self.next() as i64),
            2 => {
                let edges = [i64::MIN, i64::MAX, 0, -1, 127, 128, 255, 256, -128, -129, 0x0B, 0x0C, 0x0E, 0x0B0C0E];
                Int::from(edges[self.below(14) as usize])
            }
            _ => {
                let length = self.below(shape.int_bytes + 1);
                let magnitude = self.bytes(length);
                Int::from_sign_magnitude(self.one_in(2), &magnitude)
            }
        }
    }

    fn float(&mut self) -> f64 {
        let special = [0.0, -0.0, 1.0, -1.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, f64::MAX];
        let subnormal = f64::from_bits(1);
        match self.below(4) {
            0 => special[self.below(9) as usize],
            1 => (self.below(2_000_000) as f64 - 1e6) / 64.0,
            2 => f64::from_bits(self.next()),
            _ => subnormal * self.below(5) as f64,
        }
    }

    fn decimal(&mut self, shape: Shape) -> Decimal {
        let exponent = match self.below(4) {
            0 => 0,
            1 | 2 => -(self.below(12) as i64),
            _ => self.below(2 * shape.exponent as u64) as i64 - shape.exponent,
        } as i32;
        match self.below(4) {
            0 => Decimal::negative_zero(exponent),
            1 => Decimal::new(0i64, exponent),
            _ => Decimal::new(self.int(shape), exponent),
        }
    }

    pub fn timestamp(&mut self, shape: Shape) -> Timestamp {
        loop {
            let precision = [Precision::Year, Precision::Month, Precision::Day, Precision::Minute, Precision::Second]
                [self.below(5) as usize];
            let has = |p: Precision| precision >= p;
            let digits = if self.one_in(3) { 3 } else { self.below(shape.fraction_digits.min(19) + 1) };
            let digits = if self.one_in(8) { shape.fraction_digits } else { digits };
            let coefficient = if self.one_in(4) {
                0
            } else {
                (u128::from(self.next()) << 64 | u128::from(self.next())) % 10u128.pow(digits as u32)
            };
            let offset = match self.below(4) {
                0 => None,
                1 => Some(0),
                2 => Some((self.below(96) as i16 - 48) * 15),
                _ => Some(self.below(2879) as i16 - 1439),
            };
            let timestamp = Timestamp {
                year: if self.one_in(8) { 1 + self.below(9999) as u16 } else { 1970 + self.below(80) as u16 },
                month: if has(Precision::Month) { 1 + self.below(12) as u8 } else { 1 },
                day: if has(Precision::Day) { 1 + self.below(31) as u8 } else { 1 },
                hour: if has(Precision::Minute) { self.below(24) as u8 } else { 0 },
                minute: if has(Precision::Minute) { self.below(60) as u8 } else { 0 },
                second: if has(Precision::Second) { self.below(60) as u8 } else { 0 },
                fraction: if has(Precision::Second) {
                    Fraction::new(coefficient, digits as u8)
                } else {
                    Fraction::NONE
                },
                precision,
                offset_minutes: if has(Precision::Minute) { offset } else { None },
            };
            if let Ok(valid) = timestamp.validated() {
                return valid;
            }
        }
    }
}

/// A value inside `depth` containers of changing kind.
pub fn nested(depth: usize, inner: Value) -> Value {
    (0..depth).fold(inner, |value, level| match level % 3 {
        0 => Value::List(vec![value]),
        1 => Value::Sexp(vec![value]),
        _ => Value::Struct(Struct { fields: vec![(Symbol::new("n"), value)] }),
    })
}
