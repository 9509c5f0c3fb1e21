//! What a session may ask about itself, and functions that need no family (PostgreSQL's documentation, 9.18 and 9.26).

use ledgerstone_digest::ion::Value;

use super::size;
use super::ty::{ANY, BOOL, BYTEA, INT4, R_BOOL, R_INT4, R_TEXT, TEXT, of};
use super::{
    Call, Returns, Scalar, Search, bool_at, int_at, some_bool, some_int, some_text, strict, text_at, variadic, wrong,
};
use crate::bind::plan::Datum;
use crate::error::{QueryError, Result, SqlState};
use crate::permission::Action;
use crate::session::{Settings, Wish};
use crate::types::SqlType;
use crate::value::compare::compare;
use crate::value::datetime;
use crate::value::text::pad;

pub(super) static FUNCTIONS: &[Scalar] = &[
    strict("version", &[], R_TEXT, |_, _| {
        let version = env!("CARGO_PKG_VERSION");
        some_text(format!("PostgreSQL 15.0 (Ledgerstone {version}, a verifiable ledger database)"))
    }),
    strict("current_database", &[], of(SqlType::Name), |c, _| some_text(c.session.ledger.clone())),
    strict("current_catalog", &[], of(SqlType::Name), |c, _| some_text(c.session.ledger.clone())),
    strict("current_schema", &[], of(SqlType::Name), |_, _| some_text("public")),
    strict("current_schemas", &[BOOL], Returns::TextArray, |_, a| {
        let mut names = vec![Value::string("public")];
        if bool_at(a, 0)? {
            names.insert(0, Value::string("pg_catalog"));
        }
        Ok(Some(Value::List(names)))
    }),
    strict("current_user", &[], of(SqlType::Name), user),
    strict("session_user", &[], of(SqlType::Name), user),
    strict("current_role", &[], of(SqlType::Name), user),
    strict("user", &[], of(SqlType::Name), user),
    strict("pg_backend_pid", &[], R_INT4, |c, _| some_int(i64::from(c.session.process_id))),
    strict("pg_is_in_recovery", &[], R_BOOL, |_, _| some_bool(false)),
    // What lifts the stop after the clock has jumped (docs/operations.md).
    strict("ledgerstone_accept_clock", &[], of(SqlType::TimestampTz), accept_clock).volatile(),
    strict("current_setting", &[TEXT], R_TEXT, |c, a| {
        let name = text_at(a, 0)?;
        match c.session.settings.get(name) {
            Some(value) => some_text(value),
            None => Err(unknown_setting(name)),
        }
    }),
    strict("current_setting", &[TEXT, BOOL], R_TEXT, |c, a| {
        let name = text_at(a, 0)?;
        match c.session.settings.get(name) {
            Some(value) => some_text(value),
            None if bool_at(a, 1)? => Ok(None),
            None => Err(unknown_setting(name)),
        }
    }),
    strict("set_config", &[TEXT, TEXT, BOOL], R_TEXT, |c, a| {
        let (name, value) = (text_at(a, 0)?, text_at(a, 1)?);
        let set = Settings::check(name, value)?;
        c.session.wishes.add(Wish { name: name.to_owned(), value: value.to_owned(), local: bool_at(a, 2)? })?;
        some_text(set)
    })
    .volatile(),
    variadic("num_nulls", &[ANY], R_INT4, |_, a| some_int(a.iter().filter(|v| v.is_none()).count() as i64)),
    variadic("num_nonnulls", &[ANY], R_INT4, |_, a| some_int(a.iter().flatten().count() as i64)),
    variadic("greatest", &[ANY], Returns::Same(0), |_, a| Ok(best(a, std::cmp::Ordering::Greater))),
    variadic("least", &[ANY], Returns::Same(0), |_, a| Ok(best(a, std::cmp::Ordering::Less))),
    strict("ledgerstone_pad", &[TEXT, INT4], R_TEXT, |_, a| {
        let width = u32::try_from(int_at(a, 1)?).map_err(|_| wrong(1, "a length"))?;
        size::check_bytes(width as usize)?;
        some_text(pad(text_at(a, 0)?.trim_end_matches(' '), width))
    }),
    strict("ledgerstone_text_concat", &[TEXT, TEXT], R_TEXT, |_, a| {
        let (x, y) = (text_at(a, 0)?, text_at(a, 1)?);
        size::check_bytes(x.len().saturating_add(y.len()))?;
        let mut both = String::with_capacity(x.len() + y.len());
        both.push_str(x);
        both.push_str(y);
        some_text(both)
    }),
    strict("ledgerstone_bytea_concat", &[BYTEA, BYTEA], of(SqlType::Bytea), |_, a| match a {
        [Some(Value::Blob(x)), Some(Value::Blob(y))] => {
            size::check_bytes(x.len().saturating_add(y.len()))?;
            Ok(Some(Value::blob([&x[..], &y[..]].concat())))
        }
        _ => Err(wrong(0, "bytea")),
    }),
    strict("ledgerstone_regex_i", &[TEXT, TEXT], R_BOOL, |c, a| {
        some_bool(Search::new(c, text_at(a, 1)?, true, text_at(a, 0)?)?.is_match())
    }),
];

/// The operator says that the wall clock is right: blocks get its time again. Answers with that time.
fn accept_clock(c: &Call<'_>, _: &[Datum]) -> Result<Datum> {
    let Some(database) = &c.session.database else {
        return Err(QueryError::unsupported("ledgerstone_accept_clock() without a ledger"));
    };
    // An operator's action: asked for in every mode, as the server's are.
    if let Some(instance) = &c.session.instance {
        instance.check_operator(&c.session.ledger, &c.session.user, Action::AcceptClock)?;
    }
    database.ledger().accept_clock();
    let now_ms = database.now_ms();
    tracing::warn!(ledger = %database.name(), user = %c.session.user, now_ms, "the clock was accepted as right");
    Ok(Some(Value::Timestamp(datetime::from_micros(now_ms.saturating_mul(1_000), true)?)))
}

fn user(c: &Call<'_>, _: &[Datum]) -> Result<Datum> {
    some_text(c.session.user.clone())
}

fn unknown_setting(name: &str) -> QueryError {
    QueryError::new(SqlState::UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{name}\""))
}

/// The greatest or least of what is not NULL.
fn best(a: &[Datum], wanted: std::cmp::Ordering) -> Datum {
    a.iter().flatten().reduce(|best, v| if compare(v, best) == wanted { v } else { best }).cloned()
}
