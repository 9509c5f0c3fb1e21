//! Aggregates of values in order and of pairs of numbers (PostgreSQL's documentation, tables 9.61 and 9.62).

use ledgerstone_digest::ion::Value;

use super::aggregate::{AggregateKind, number_to_f64};
use crate::bind::plan::Datum;
use crate::error::{QueryError, Result, SqlState};
use crate::types::SqlType;
use crate::value::compare::compare;

/// Aggregates of pairs (PostgreSQL's documentation, table 9.61).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairKind {
    Corr,
    CovarPop,
    CovarSamp,
    AvgX,
    AvgY,
    Count,
    Intercept,
    R2,
    Slope,
    Sxx,
    Sxy,
    Syy,
}

/// Aggregates that need WITHIN GROUP.
pub const ORDERED_SET: &[&str] = &["percentile_cont", "percentile_disc", "mode"];

/// The aggregate a name means, the types its arguments are cast to, and its result type.
pub(super) fn resolve(name: &str, types: &[Option<SqlType>]) -> Option<(AggregateKind, Vec<Option<SqlType>>, SqlType)> {
    use AggregateKind::{Mode, Pair, Percentile};
    let first = types.first().cloned().flatten();
    Some(match (name, types.len()) {
        ("mode", 1) => {
            let ty = first.unwrap_or(SqlType::Text);
            (Mode, vec![Some(ty.clone())], ty)
        }
        ("percentile_cont", 2) => {
            first.filter(SqlType::is_number)?;
            let (fraction, result) = fractions(types, SqlType::Float8);
            (Percentile { continuous: true }, vec![Some(SqlType::Float8), Some(fraction)], result)
        }
        ("percentile_disc", 2) => {
            let ty = first.unwrap_or(SqlType::Text);
            let (fraction, result) = fractions(types, ty.clone());
            (Percentile { continuous: false }, vec![Some(ty), Some(fraction)], result)
        }
        (_, 2) => {
            let pair = pair_named(name)?;
            let ty = if pair == PairKind::Count { SqlType::Int8 } else { SqlType::Float8 };
            (Pair(pair), vec![Some(SqlType::Float8); 2], ty)
        }
        _ => return None,
    })
}

fn pair_named(name: &str) -> Option<PairKind> {
    Some(match name {
        "corr" => PairKind::Corr,
        "covar_pop" => PairKind::CovarPop,
        "covar_samp" => PairKind::CovarSamp,
        "regr_avgx" => PairKind::AvgX,
        "regr_avgy" => PairKind::AvgY,
        "regr_count" => PairKind::Count,
        "regr_intercept" => PairKind::Intercept,
        "regr_r2" => PairKind::R2,
        "regr_slope" => PairKind::Slope,
        "regr_sxx" => PairKind::Sxx,
        "regr_sxy" => PairKind::Sxy,
        "regr_syy" => PairKind::Syy,
        _ => return None,
    })
}

/// The type of a percentile's fraction, and of its result: several fractions have as many results.
fn fractions(types: &[Option<SqlType>], of: SqlType) -> (SqlType, SqlType) {
    match types.get(1) {
        Some(Some(SqlType::Array(_))) => (SqlType::Array(Box::new(SqlType::Float8)), SqlType::Array(Box::new(of))),
        _ => (SqlType::Float8, of),
    }
}

/// The running state of one of these.
#[derive(Debug, Clone)]
pub(super) enum Collected {
    Ordered {
        values: Vec<Value>,
        fraction: Datum,
    },
    /// The value that has come most often, the one that comes now, and how often.
    Runs {
        best: Value,
        most: u64,
        now: Value,
        count: u64,
    },
    Pairs(Pairs),
}

impl Collected {
    /// The state with one more value, which is not NULL, and its second argument.
    pub fn with(before: Option<Collected>, kind: &AggregateKind, value: Value, second: Datum) -> Result<Collected> {
        Ok(match (kind, before) {
            (AggregateKind::Percentile { .. }, Some(Collected::Ordered { mut values, fraction })) => {
                values.push(value);
                Collected::Ordered { values, fraction }
            }
            (AggregateKind::Percentile { .. }, _) => Collected::Ordered { values: vec![value], fraction: second },
            (AggregateKind::Pair(_), before) => {
                let mut pairs = match before {
                    Some(Collected::Pairs(pairs)) => pairs,
                    _ => Pairs::default(),
                };
                // The first argument is Y, as in PostgreSQL.
                if let Some(x) = &second {
                    pairs.add(number_to_f64(x)?, number_to_f64(&value)?);
                }
                Collected::Pairs(pairs)
            }
            (_, Some(Collected::Runs { best, most, now, count })) => {
                let count = if compare(&now, &value).is_eq() { count + 1 } else { 1 };
                let (best, most) = if count > most { (value.clone(), count) } else { (best, most) };
                Collected::Runs { best, most, now: value, count }
            }
            _ => Collected::Runs { best: value.clone(), most: 1, now: value, count: 1 },
        })
    }

    pub fn finish(&self, kind: &AggregateKind) -> Result<Datum> {
        match (kind, self) {
            (AggregateKind::Percentile { continuous }, Collected::Ordered { values, fraction }) => {
                percentiles(*continuous, values, fraction)
            }
            (AggregateKind::Pair(pair), Collected::Pairs(pairs)) => Ok(pairs.result(*pair)),
            (_, Collected::Runs { best, .. }) => Ok(Some(best.clone())),
            _ => Ok(None),
        }
    }
}

/// Sums over pairs, as `float8_regr_accum` keeps them (Youngs and Cramer's way).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pairs {
    n: f64,
    sx: f64,
    sxx: f64,
    sy: f64,
    syy: f64,
    sxy: f64,
}

impl Pairs {
    fn add(&mut self, x: f64, y: f64) {
        let before = self.n;
        self.n += 1.0;
        self.sx += x;
        self.sy += y;
        if before > 0.0 {
            let (dx, dy) = (x * self.n - self.sx, y * self.n - self.sy);
            let scale = 1.0 / (self.n * before);
            self.sxx += dx * dx * scale;
            self.syy += dy * dy * scale;
            self.sxy += dx * dy * scale;
        }
    }

    fn result(&self, pair: PairKind) -> Datum {
        let Pairs { n, sx, sxx, sy, syy, sxy } = *self;
        if pair == PairKind::Count {
            return Some(Value::int(n as i64));
        }
        if n < 1.0 {
            return None;
        }
        let of = |number: f64| Some(Value::Float(number));
        match pair {
            PairKind::Corr if sxx == 0.0 || syy == 0.0 => None,
            PairKind::Corr => of(sxy / (sxx * syy).sqrt()),
            PairKind::CovarPop => of(sxy / n),
            PairKind::CovarSamp if n < 2.0 => None,
            PairKind::CovarSamp => of(sxy / (n - 1.0)),
            PairKind::AvgX => of(sx / n),
            PairKind::AvgY => of(sy / n),
            PairKind::Intercept | PairKind::Slope | PairKind::R2 if sxx == 0.0 => None,
            PairKind::Intercept => of((sy - sx * sxy / sxx) / n),
            PairKind::Slope => of(sxy / sxx),
            PairKind::R2 if syy == 0.0 => of(1.0),
            PairKind::R2 => of((sxy * sxy) / (sxx * syy)),
            PairKind::Sxx => of(sxx),
            PairKind::Sxy => of(sxy),
            PairKind::Syy => of(syy),
            PairKind::Count => None,
        }
    }
}

/// One percentile, or one for each fraction of an array.
fn percentiles(continuous: bool, values: &[Value], fraction: &Datum) -> Result<Datum> {
    match fraction {
        None => Ok(None),
        Some(Value::List(fractions)) => {
            let one = |fraction: &Value| match fraction {
                Value::Null(_) => Ok(Value::NULL),
                fraction => Ok(percentile(continuous, values, fraction)?.unwrap_or(Value::NULL)),
            };
            Ok(Some(Value::List(fractions.iter().map(one).collect::<Result<_>>()?)))
        }
        Some(fraction) => percentile(continuous, values, fraction),
    }
}

fn percentile(continuous: bool, values: &[Value], fraction: &Value) -> Result<Datum> {
    let fraction = number_to_f64(fraction)?;
    if !(0.0..=1.0).contains(&fraction) {
        let message = format!("percentile value {fraction} is not between 0 and 1");
        return Err(QueryError::new(SqlState::NUMERIC_OUT_OF_RANGE, message));
    }
    let count = values.len();
    if !continuous {
        let at = (fraction * count as f64).ceil().max(1.0) as usize - 1;
        return Ok(values.get(at).cloned());
    }
    let place = fraction * count.saturating_sub(1) as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    let (Some(low_value), Some(high_value)) = (values.get(low), values.get(high)) else { return Ok(None) };
    let (a, b) = (number_to_f64(low_value)?, number_to_f64(high_value)?);
    Ok(Some(Value::Float(if low == high { a } else { a + (place - low as f64) * (b - a) })))
}
