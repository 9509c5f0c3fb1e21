//! What clients of PostgreSQL ask about its catalogue (PostgreSQL's documentation, 9.26), and what names are as OIDs.
//!
//! They see the definitions that the transaction sees, its own included.

use std::sync::Arc;

use ledgerstone_digest::ion::Value;

use super::ty::{ANY, INT4, INT8, NUMERIC, R_BOOL, R_TEXT, TEXT, of};
use super::{Arg, Call, Returns, Scalar, int_at, lenient, some_bool, some_int, some_text, strict, text_at, variadic};
use crate::bind::plan::Datum;
use crate::catalogue::Catalogue;
use crate::catalogue::virtual_tables::{
    INFORMATION_SCHEMA, NAMESPACES, OWNER_NAME, PG_CLASS, PG_CONSTRAINT, Relation, constraint_definition, database_oid,
    description, format_type, function_arguments, function_description, function_result, function_with,
    index_definition, is_own_table_function, procedure_oid, quoted, relation_name, relation_named, relation_with,
    role_oid, type_oid, type_procedures,
};
use crate::error::{QueryError, Result, SqlState};
use crate::session::SessionInfo;
use crate::types::{Reg, SqlType};

pub(super) const OID: Arg = Arg::Type(SqlType::Oid);
const R_OID: Returns = of(SqlType::Oid);
const BOOL: Arg = super::ty::BOOL;

pub(super) static FUNCTIONS: &[Scalar] = &[
    // Names as OIDs
    strict("ledgerstone_regclass", &[TEXT], R_OID, |c, a| regclass(c, text_at(a, 0)?)),
    strict("to_regclass", &[TEXT], of(SqlType::Reg(Reg::Class)), |c, a| {
        Ok(regclass(c, text_at(a, 0)?).unwrap_or_default())
    }),
    strict("ledgerstone_regtype", &[TEXT], R_OID, |_, a| regtype(text_at(a, 0)?)),
    strict("to_regtype", &[TEXT], of(SqlType::Reg(Reg::Type)), |_, a| Ok(regtype(text_at(a, 0)?).unwrap_or_default())),
    strict("ledgerstone_regproc", &[TEXT], R_OID, |_, a| regproc(text_at(a, 0)?)),
    strict("to_regproc", &[TEXT], of(SqlType::Reg(Reg::Proc)), |_, a| Ok(regproc(text_at(a, 0)?).unwrap_or_default())),
    strict("to_regnamespace", &[TEXT], of(SqlType::Reg(Reg::Namespace)), |_, a| {
        Ok(regnamespace(text_at(a, 0)?).unwrap_or_default())
    }),
    strict("to_regrole", &[TEXT], of(SqlType::Reg(Reg::Role)), |c, a| {
        Ok(regrole(c.session, text_at(a, 0)?).unwrap_or_default())
    }),
    strict("ledgerstone_reg_name", &[TEXT, OID], R_TEXT, |c, a| match Reg::named(text_at(a, 0)?) {
        Some(reg) => some_text(reg_name(c, reg, int_at(a, 1)?)),
        None => Ok(None),
    }),
    strict("ledgerstone_regnamespace", &[TEXT], R_OID, |_, a| regnamespace(text_at(a, 0)?)),
    strict("ledgerstone_regrole", &[TEXT], R_OID, |c, a| regrole(c.session, text_at(a, 0)?)),
    // Visibility: what needs no schema
    strict("pg_table_is_visible", &[OID], R_BOOL, |_, a| {
        let first = i64::from(INFORMATION_SCHEMA);
        some_bool(!(first..first + 1000).contains(&int_at(a, 0)?))
    }),
    strict("pg_type_is_visible", &[OID], R_BOOL, yes),
    strict("pg_function_is_visible", &[OID], R_BOOL, yes),
    strict("pg_collation_is_visible", &[OID], R_BOOL, yes),
    strict("pg_opclass_is_visible", &[OID], R_BOOL, yes),
    strict("pg_operator_is_visible", &[OID], R_BOOL, yes),
    strict("pg_statistics_obj_is_visible", &[OID], R_BOOL, yes),
    strict("pg_conversion_is_visible", &[OID], R_BOOL, yes),
    strict("pg_opfamily_is_visible", &[OID], R_BOOL, yes),
    strict("pg_ts_config_is_visible", &[OID], R_BOOL, yes),
    strict("pg_ts_dict_is_visible", &[OID], R_BOOL, yes),
    strict("pg_ts_parser_is_visible", &[OID], R_BOOL, yes),
    strict("pg_ts_template_is_visible", &[OID], R_BOOL, yes),
    strict("pg_is_other_temp_schema", &[OID], R_BOOL, |_, _| some_bool(false)),
    strict("pg_my_temp_schema", &[], R_OID, |_, _| some_int(0)),
    strict("pg_relation_is_publishable", &[OID], R_BOOL, |_, _| some_bool(false)),
    strict("pg_relation_is_updatable", &[OID, BOOL], super::ty::R_INT4, |_, _| some_int(28)),
    // Definitions as text
    lenient("format_type", &[OID, INT4], R_TEXT, |_, a| match a {
        [Some(oid), modifier] => some_text(format_type(oid_of(oid), modifier.as_ref().and_then(Value::as_i64))),
        _ => Ok(None),
    }),
    strict("pg_get_expr", &[TEXT, OID], R_TEXT, |_, a| some_text(text_at(a, 0)?)),
    strict("pg_get_expr", &[TEXT, OID, BOOL], R_TEXT, |_, a| some_text(text_at(a, 0)?)),
    strict("pg_get_indexdef", &[OID], R_TEXT, indexdef),
    strict("pg_get_indexdef", &[OID, INT4, BOOL], R_TEXT, indexdef),
    strict("pg_get_constraintdef", &[OID], R_TEXT, constraintdef),
    strict("pg_get_constraintdef", &[OID, BOOL], R_TEXT, constraintdef),
    variadic("pg_get_viewdef", &[ANY], R_TEXT, null),
    variadic("pg_get_ruledef", &[ANY], R_TEXT, null),
    variadic("pg_get_triggerdef", &[ANY], R_TEXT, null),
    variadic("pg_get_functiondef", &[ANY], R_TEXT, null),
    strict("pg_get_function_result", &[OID], R_TEXT, |_, a| Ok(function_result(oid_at(a, 0)?).map(Value::string))),
    strict("pg_get_function_arguments", &[OID], R_TEXT, arguments_of),
    strict("pg_get_function_identity_arguments", &[OID], R_TEXT, arguments_of),
    variadic("pg_get_partkeydef", &[ANY], R_TEXT, null),
    variadic("pg_get_statisticsobjdef_columns", &[ANY], R_TEXT, null),
    // Comments
    strict("obj_description", &[OID], R_TEXT, |c, a| described(c, a, None, 0)),
    strict("obj_description", &[OID, TEXT], R_TEXT, |c, a| match text_at(a, 1)? {
        "pg_class" => described(c, a, Some(PG_CLASS), 0),
        "pg_constraint" => described(c, a, Some(PG_CONSTRAINT), 0),
        "pg_proc" => Ok(function_description(oid_at(a, 0)?).map(Value::string)),
        _ => Ok(None),
    }),
    strict("col_description", &[OID, INT4], R_TEXT, |c, a| described(c, a, Some(PG_CLASS), int_at(a, 1)?)),
    strict("shobj_description", &[OID, TEXT], R_TEXT, |c, a| {
        let asked = text_at(a, 1)? == "pg_database" && oid_at(a, 0)? == database_oid(&c.session.ledger);
        Ok(catalogue(c).comment().filter(|_| asked).map(|comment| Value::string(comment.clone())))
    }),
    variadic("pg_get_function_sqlbody", &[ANY], R_TEXT, null),
    variadic("pg_get_function_arg_default", &[ANY], R_TEXT, null),
    // Empty, as PostgreSQL has it for its own tablespaces.
    strict("pg_tablespace_location", &[OID], R_TEXT, |_, _| some_text("")),
    strict("getdatabaseencoding", &[], of(SqlType::Name), |_, _| some_text("UTF8")),
    strict("pg_char_to_encoding", &[TEXT], super::ty::R_INT4, |_, a| {
        let name: String = text_at(a, 0)?.chars().filter(char::is_ascii_alphanumeric).collect();
        some_int(if matches!(&*name.to_ascii_lowercase(), "utf8" | "unicode") { 6 } else { -1 })
    }),
    strict("pg_encoding_to_char", &[INT4], of(SqlType::Name), |_, a| {
        some_text(if int_at(a, 0)? == 6 { "UTF8" } else { "" })
    }),
    strict("pg_get_userbyid", &[OID], of(SqlType::Name), |c, a| {
        let oid = int_at(a, 0)?;
        let is = |name: &str| i64::from(role_oid(name)) == oid;
        match &c.session.user {
            _ if is(OWNER_NAME) => some_text(OWNER_NAME),
            user if is(user) => some_text(user.clone()),
            _ => some_text(format!("unknown (OID={oid})")),
        }
    }),
    // Sizes: a ledger is one journal, and what a single table takes of it is not kept
    variadic("pg_relation_size", &[ANY], super::ty::R_INT8, null),
    variadic("pg_table_size", &[ANY], super::ty::R_INT8, null),
    variadic("pg_indexes_size", &[ANY], super::ty::R_INT8, null),
    variadic("pg_total_relation_size", &[ANY], super::ty::R_INT8, null),
    variadic("pg_database_size", &[ANY], super::ty::R_INT8, null),
    variadic("pg_tablespace_size", &[ANY], super::ty::R_INT8, null),
    strict("pg_size_pretty", &[INT8], R_TEXT, |_, a| some_text(size_pretty(int_at(a, 0)?))),
    strict("pg_size_pretty", &[NUMERIC], R_TEXT, |_, a| {
        let bytes = super::float_at(a, 0)?;
        some_text(size_pretty(bytes as i64))
    }),
    // Privileges: there are no grants on single objects, so whoever may connect holds them
    variadic("has_table_privilege", &[ANY], R_BOOL, held),
    variadic("has_column_privilege", &[ANY], R_BOOL, held),
    variadic("has_any_column_privilege", &[ANY], R_BOOL, held),
    variadic("has_schema_privilege", &[ANY], R_BOOL, held),
    variadic("has_database_privilege", &[ANY], R_BOOL, held),
    variadic("has_function_privilege", &[ANY], R_BOOL, held),
    variadic("has_sequence_privilege", &[ANY], R_BOOL, held),
    variadic("has_tablespace_privilege", &[ANY], R_BOOL, held),
    variadic("has_type_privilege", &[ANY], R_BOOL, held),
    variadic("has_language_privilege", &[ANY], R_BOOL, held),
    variadic("has_server_privilege", &[ANY], R_BOOL, held),
    variadic("has_foreign_data_wrapper_privilege", &[ANY], R_BOOL, held),
    variadic("pg_has_role", &[ANY], R_BOOL, held),
];

fn null(_: &Call<'_>, _: &[Datum]) -> Result<Datum> {
    Ok(None)
}

fn yes(_: &Call<'_>, _: &[Datum]) -> Result<Datum> {
    some_bool(true)
}

fn held(_: &Call<'_>, a: &[Datum]) -> Result<Datum> {
    if a.iter().any(Option::is_none) { Ok(None) } else { some_bool(true) }
}

fn oid_of(value: &Value) -> u32 {
    value.as_i64().and_then(|i| u32::try_from(i).ok()).unwrap_or(0)
}

pub(super) fn oid_at(a: &[Datum], i: usize) -> Result<u32> {
    Ok(u32::try_from(int_at(a, i)?).unwrap_or(0))
}

pub(super) fn catalogue(c: &Call<'_>) -> Arc<Catalogue> {
    c.tx.catalogue()
}

/// The comment on a relation, on the column of this number, or on a constraint.
fn described(c: &Call<'_>, a: &[Datum], class: Option<u32>, column: i64) -> Result<Datum> {
    Ok(description(&catalogue(c), class, oid_at(a, 0)?, column).map(Value::string))
}

fn arguments_of(_: &Call<'_>, a: &[Datum]) -> Result<Datum> {
    Ok(function_arguments(oid_at(a, 0)?).map(Value::string))
}

fn indexdef(c: &Call<'_>, a: &[Datum]) -> Result<Datum> {
    let column = if a.len() > 1 { usize::try_from(int_at(a, 1)?).unwrap_or(usize::MAX) } else { 0 };
    let (catalogue, oid) = (catalogue(c), oid_at(a, 0)?);
    let is_seen = relation_with(&catalogue, oid).is_some_and(|relation| is_seen(c, &relation));
    Ok(is_seen.then(|| index_definition(&catalogue, oid, column)).flatten().map(Value::string))
}

fn constraintdef(c: &Call<'_>, a: &[Datum]) -> Result<Datum> {
    if c.session.permit.as_ref().is_some_and(|permit| !permit.sees_catalogue()) {
        return Ok(None);
    }
    Ok(constraint_definition(&catalogue(c), oid_at(a, 0)?).map(Value::string))
}

fn regclass(c: &Call<'_>, written: &str) -> Result<Datum> {
    if let Ok(oid) = written.trim().parse::<u32>() {
        return some_int(i64::from(oid));
    }
    some_int(i64::from(relation_called(c, written)?.oid()))
}

/// A relation that the user may know of; any other is not there.
pub(super) fn relation_called(c: &Call<'_>, written: &str) -> Result<Relation> {
    match relation_written(c, written) {
        Ok(relation) if !is_seen(c, &relation) => Err(missing(SqlState::UNDEFINED_TABLE, "relation", written)),
        found => found,
    }
}

pub(super) fn relation_written(c: &Call<'_>, written: &str) -> Result<Relation> {
    relation_in(&catalogue(c), written)
}

/// The table, index or sequence that a text names as a statement writes it.
pub(crate) fn relation_in(catalogue: &Catalogue, written: &str) -> Result<Relation> {
    let (schema, name) = names_written(written);
    relation_named(catalogue, schema.as_deref(), &name)
        .ok_or_else(|| missing(SqlState::UNDEFINED_TABLE, "relation", written))
}

pub(super) fn is_seen(c: &Call<'_>, relation: &Relation) -> bool {
    match relation {
        Relation::Table(table) | Relation::Index(table, _) | Relation::Sequence(table, _) => c.session.sees(table),
        Relation::Virtual(_) => true,
    }
}

/// A function by name, or one that PostgreSQL has for reading and writing a type.
fn regproc(written: &str) -> Result<Datum> {
    if let Ok(oid) = written.trim().parse::<u32>() {
        return some_int(i64::from(oid));
    }
    let (_, name) = names_written(written);
    if written.trim() == "-" {
        return some_int(0);
    }
    let known = super::names().any(|known| known == name) || is_own_table_function(&name);
    if known || type_procedures().any(|known| known == name) {
        return some_int(i64::from(procedure_oid(&name)));
    }
    Err(missing(SqlState::UNDEFINED_FUNCTION, "function", &name))
}

fn regrole(session: &SessionInfo, written: &str) -> Result<Datum> {
    let (_, name) = names_written(written);
    if name == OWNER_NAME || *name == *session.user {
        return some_int(i64::from(role_oid(&name)));
    }
    Err(missing(SqlState::UNDEFINED_OBJECT, "role", &name))
}

/// The name an oid of this kind is shown as; the number itself if it numbers nothing.
pub(crate) fn reg_name(c: &Call<'_>, reg: Reg, oid: i64) -> String {
    let Ok(number) = u32::try_from(oid) else { return oid.to_string() };
    let name = match (reg, number) {
        (_, 0) => Some("-".to_owned()),
        (Reg::Class, _) => {
            let catalogue = catalogue(c);
            let is_seen = |relation: Relation| is_seen(c, &relation);
            // Without a permit there is nothing to look up for it.
            let named = c.session.permit.is_none() || relation_with(&catalogue, number).is_some_and(is_seen);
            named.then(|| relation_name(&catalogue, number)).flatten()
        }
        (Reg::Type, _) => Some(format_type(number, None)).filter(|name| name != "???"),
        (Reg::Proc, _) => {
            let known = super::names().map(str::to_owned).chain(type_procedures());
            let listed = || function_with(number).map(str::to_owned);
            known.into_iter().find(|name| procedure_oid(name) == number).or_else(listed)
        }
        (Reg::Namespace, _) => NAMESPACES.iter().find(|(oid, _)| *oid == number).map(|(_, name)| (*name).to_owned()),
        (Reg::Procedure | Reg::Operator, _) => None,
        (Reg::Role, _) => [OWNER_NAME, &c.session.user].into_iter().find(|name| role_oid(name) == number).map(quoted),
    };
    name.unwrap_or_else(|| oid.to_string())
}

fn regtype(written: &str) -> Result<Datum> {
    if let Ok(oid) = written.trim().parse::<u32>() {
        return some_int(i64::from(oid));
    }
    some_int(i64::from(type_oid(&SqlType::from_text(written.trim())?)))
}

fn regnamespace(written: &str) -> Result<Datum> {
    let (_, name) = names_written(written);
    match NAMESPACES.iter().find(|(_, n)| *n == name) {
        Some((oid, _)) => some_int(i64::from(*oid)),
        None => Err(missing(SqlState::INVALID_SCHEMA_NAME, "schema", &name)),
    }
}

pub(super) fn missing(code: SqlState, what: &str, name: &str) -> QueryError {
    QueryError::new(code, format!("{what} \"{name}\" does not exist"))
}

/// A name with or without a schema, each part in lower case unless it stands in double quotes.
pub(crate) fn names_written(written: &str) -> (Option<String>, String) {
    let mut parts = vec![String::new()];
    let mut in_quotes = false;
    let mut letters = written.trim().chars().peekable();
    while let Some(letter) = letters.next() {
        let twice = letter == '"' && in_quotes && letters.peek() == Some(&'"');
        match letter {
            '"' if twice => {
                letters.next();
            }
            '"' => {
                in_quotes = !in_quotes;
                continue;
            }
            '.' if !in_quotes => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(if in_quotes { letter } else { letter.to_ascii_lowercase() });
        }
    }
    let name = parts.pop().unwrap_or_default();
    // Another database's name makes no schema of it that there is.
    ((!parts.is_empty()).then(|| parts.join(".")), name)
}

/// As PostgreSQL rounds: the next unit from 10 240 of one on.
fn size_pretty(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    let mut size = bytes;
    let mut unit = 0;
    while size.unsigned_abs() >= 10_240 && unit + 1 < UNITS.len() {
        // Half a unit rounds away from zero.
        size = size / 1024
            + if size % 1024 >= 512 {
                1
            } else if size % 1024 <= -512 {
                -1
            } else {
                0
            };
        unit += 1;
    }
    format!("{size} {}", UNITS.get(unit).unwrap_or(&"bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_postgresql_does() {
        for (bytes, shown) in [
            (0, "0 bytes"),
            (10_239, "10239 bytes"),
            (10_240, "10 kB"),
            (-10_240, "-10 kB"),
            (1 << 30, "1024 MB"),
            (i64::MAX, "8192 PB"),
        ] {
            assert_eq!(size_pretty(bytes), shown);
        }
    }

    #[test]
    fn names_are_taken_apart_at_dots_outside_quotes() {
        assert_eq!(names_written("public.T"), (Some("public".into()), "t".into()));
        assert_eq!(names_written("\"A.b\"\"c\""), (None, "A.b\"c".into()));
        assert_eq!(names_written("other.public.t"), (Some("other.public".into()), "t".into()));
    }
}
