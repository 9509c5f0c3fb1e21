//! Functions that take and let go of advisory locks (PostgreSQL's documentation, 9.27.10).

use super::ty::{INT4, INT8, R_BOOL, of};
use super::{Call, Scalar, int_at, some_bool, some_text, strict, wrong};
use crate::bind::plan::Datum;
use crate::error::{QueryError, Result};
use crate::session::advisory::{AdvisoryKey, Holder, Until};
use crate::types::SqlType;

pub(super) static FUNCTIONS: &[Scalar] = &[
    strict("pg_advisory_lock", &[INT8], of(SqlType::Void), |c, a| lock(c, one(a)?, Until::Unlocked)).waiting(),
    strict("pg_advisory_lock", &[INT4, INT4], of(SqlType::Void), |c, a| lock(c, two(a)?, Until::Unlocked)).waiting(),
    strict("pg_advisory_xact_lock", &[INT8], of(SqlType::Void), |c, a| lock(c, one(a)?, Until::EndOfTransaction))
        .waiting(),
    strict("pg_advisory_xact_lock", &[INT4, INT4], of(SqlType::Void), |c, a| lock(c, two(a)?, Until::EndOfTransaction))
        .waiting(),
    strict("pg_try_advisory_lock", &[INT8], R_BOOL, |c, a| try_lock(c, one(a)?, Until::Unlocked)).volatile(),
    strict("pg_try_advisory_lock", &[INT4, INT4], R_BOOL, |c, a| try_lock(c, two(a)?, Until::Unlocked)).volatile(),
    strict("pg_try_advisory_xact_lock", &[INT8], R_BOOL, |c, a| try_lock(c, one(a)?, Until::EndOfTransaction))
        .volatile(),
    strict("pg_try_advisory_xact_lock", &[INT4, INT4], R_BOOL, |c, a| try_lock(c, two(a)?, Until::EndOfTransaction))
        .volatile(),
    strict("pg_advisory_unlock", &[INT8], R_BOOL, |c, a| some_bool(holder(c)?.unlock(one(a)?))).volatile(),
    strict("pg_advisory_unlock", &[INT4, INT4], R_BOOL, |c, a| some_bool(holder(c)?.unlock(two(a)?))).volatile(),
    strict("pg_advisory_unlock_all", &[], of(SqlType::Void), |c, _| {
        holder(c)?.unlock_all();
        some_text("")
    })
    .volatile(),
];

fn holder<'c>(c: &Call<'c>) -> Result<&'c Holder> {
    c.session.advisory.as_deref().ok_or_else(|| QueryError::unsupported("an advisory lock without a session"))
}

fn lock(c: &Call<'_>, key: AdvisoryKey, until: Until) -> Result<Datum> {
    holder(c)?.lock(key, until, &c.session.cancel)?;
    some_text("")
}

fn try_lock(c: &Call<'_>, key: AdvisoryKey, until: Until) -> Result<Datum> {
    some_bool(holder(c)?.try_lock(key, until)?)
}

fn one(a: &[Datum]) -> Result<AdvisoryKey> {
    Ok(AdvisoryKey::One(int_at(a, 0)?))
}

fn two(a: &[Datum]) -> Result<AdvisoryKey> {
    let half = |at| i32::try_from(int_at(a, at)?).map_err(|_| wrong(at, "an integer"));
    Ok(AdvisoryKey::Two(half(0)?, half(1)?))
}
