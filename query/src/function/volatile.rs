//! Functions whose answer differs each time: random numbers and names, the transaction's number, and waiting.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use ledgerstone_digest::ion::Value;

use super::ty::{FLOAT8, INTERVAL, R_FLOAT8, R_INT8, of};
use super::{Call, Scalar, float_at, some_int, some_text, strict, value_at, wrong};
use crate::bind::plan::Datum;
use crate::error::{QueryError, Result, SqlState};
use crate::session::canceled;
use crate::types::SqlType;
use crate::value::datetime::Interval;

/// How long `pg_sleep` sleeps before it looks whether it is to go on.
const NAP: Duration = Duration::from_millis(10);

pub(super) static FUNCTIONS: &[Scalar] = &[
    strict("random", &[], R_FLOAT8, |c, _| {
        let [a, b, c, d, e, f, g, h, ..] = random16(c)?;
        // 53 bits are what a double has.
        let bits = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 11;
        Ok(Some(Value::Float(bits as f64 / (1_u64 << 53) as f64)))
    })
    .volatile(),
    strict("gen_random_uuid", &[], of(SqlType::Uuid), |c, _| {
        let mut bytes = random16(c)?;
        // Version 4, variant 1 (RFC 9562, 5.4).
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let mut text = String::with_capacity(36);
        for (at, byte) in bytes.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            let _ = write!(text, "{byte:02x}");
        }
        some_text(text)
    })
    .volatile(),
    // The first 63 bits of the transaction's id, which is what makes it one.
    strict("txid_current", &[], R_INT8, |c, _| {
        let [a, b, c, d, e, f, g, h, ..] = c.transaction_id.0;
        some_int((u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1) as i64)
    }),
    strict("pg_sleep", &[FLOAT8], of(SqlType::Void), |c, a| sleep(c, float_at(a, 0)?)).waiting(),
    strict("pg_sleep_for", &[INTERVAL], of(SqlType::Void), |c, a| {
        let interval = Interval::from_value(value_at(a, 0)?).ok_or_else(|| wrong(0, "an interval"))?;
        let days = f64::from(interval.months) * 30.0 + f64::from(interval.days);
        sleep(c, days * 86_400.0 + interval.micros as f64 / 1e6)
    })
    .waiting(),
];

fn random16(c: &Call<'_>) -> Result<[u8; 16]> {
    match &c.session.database {
        Some(database) => Ok(database.random16()),
        None => Err(QueryError::unsupported("a random value without a ledger")),
    }
}

/// Waits, unless the statement is told to stop.
fn sleep(c: &Call<'_>, seconds: f64) -> Result<Datum> {
    if seconds.is_nan() {
        return Err(QueryError::new(SqlState::INVALID_PARAMETER_VALUE, "pg_sleep() takes a number of seconds"));
    }
    let started = Instant::now();
    // A year is longer than any server waits.
    let wanted = Duration::from_secs_f64(seconds.clamp(0.0, 366.0 * 86_400.0));
    loop {
        if let Some(reason) = c.session.cancel.reason() {
            return Err(canceled(reason));
        }
        let left = wanted.saturating_sub(started.elapsed());
        if left.is_zero() {
            return some_text("");
        }
        std::thread::sleep(left.min(NAP));
    }
}
