//! Writes generated Ion values with their hashes as JSON lines, for other implementations of Ion Hash to compare:
//! `cargo run -p ledgerstone-digest --example ion_hash_cases -- COUNT SEED > cases.jsonl`

use std::io::{self, BufWriter, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledgerstone_digest::ion::{Value, encode, ion_hash, to_text};

#[allow(dead_code)]
#[path = "../tests/it/ion_generate.rs"]
mod ion_generate;

use ion_generate::{Random, Shape, TYPES, nested};

fn main() -> io::Result<()> {
    let number = |i| std::env::args().nth(i).and_then(|text| text.parse().ok());
    let count: u64 = number(1).unwrap_or(5000);
    let mut random = Random(number(2).unwrap_or(1));
    let mut out = BufWriter::new(io::stdout().lock());
    for t in TYPES {
        write_case(&mut out, &Value::Null(t))?;
    }
    for depth in [1, 10, 50, 100] {
        write_case(&mut out, &nested(depth, Value::string("deep")))?;
    }
    for _ in 0..count {
        write_case(&mut out, &random.value(Shape::ANY))?;
    }
    out.flush()
}

fn write_case(out: &mut impl Write, value: &Value) -> io::Result<()> {
    let case = serde_json::json!({
        "text": to_text(value),
        "binary": STANDARD.encode(encode(value)),
        "hash": ion_hash(value).to_string(),
    });
    writeln!(out, "{case}")
}
