//! Rows of `pg_proc`: the functions that are the ledger's own, which `\df` lists. What PostgreSQL has too is in its documentation.

use ledgerstone_digest::ion::Value;

use super::oids::{INTERNAL_LANGUAGE, OWNER, PUBLIC, format_type, overload_oid, procedure_oid, type_oid};
use super::{Facts, Rows, flag, int, numbers, text};
use crate::bind::{CHANGES_COLUMNS, DIFF_COLUMNS};
use crate::function::{self, Arg, Returns, Volatility};
use crate::types::SqlType;

/// PostgreSQL's `"any"` and `record`.
const ANY: u32 = 2276;
const RECORD: u32 = 2249;

/// A function: its name, what its arguments are called, and what it is for.
type Own = (&'static str, &'static [&'static str], &'static str);

/// Those with a value, whose types are the registry's.
const SCALARS: &[Own] = &[
    ("ledgerstone_accept_clock", &[], "says that the machine's clock is right after it has jumped"),
    ("ledgerstone_consistency", &["from_size", "to_size"], "proof that the ledger has only grown between two sizes"),
    ("ledgerstone_digest", &[], "signed checkpoint of everything that is durable now"),
    ("ledgerstone_leaf", &["leaf_position"], "leaf of the tree at a position"),
    ("ledgerstone_origin", &[], "name of the ledger in its checkpoints"),
    ("ledgerstone_position", &["table_name", "key", "version"], "position of a committed revision"),
    ("ledgerstone_receipt", &["table_name", "key", "version"], "receipt of a committed revision"),
    ("ledgerstone_receipt_at", &["leaf_position"], "receipt of the revision at a position"),
    ("ledgerstone_rotation", &["rotation_number"], "receipt of a rotation of the ledger's key"),
    ("ledgerstone_tlog_proof", &["table_name", "key", "version"], "proof of a committed revision as a text"),
    ("ledgerstone_transaction_receipt", &["block_number"], "receipt of a transaction with all of its revisions"),
    ("ledgerstone_vkey", &[], "verifier key that checkpoints are checked with"),
];

/// Those with rows, which take so many of their arguments at least.
const TABLES: &[(Own, &[u32], usize, Columns)] = &[
    (
        ("changes", &["table_name", "from_moment", "to_moment"], "every revision between two moments"),
        &[TEXT, ANY, ANY],
        2,
        Columns::Are(CHANGES_COLUMNS),
    ),
    (
        ("diff", &["table_name", "from_moment", "to_moment"], "what has changed between two moments"),
        &[TEXT, ANY, ANY],
        2,
        Columns::Are(DIFF_COLUMNS),
    ),
    (
        ("history", &["table_name", "from_time", "to_time"], "every revision of a table's documents"),
        &[TEXT, TIME, TIME],
        1,
        Columns::OfTable,
    ),
];

const TEXT: u32 = 25;
const TIME: u32 = 1184;

/// What the rows of a function are.
#[derive(Clone, Copy)]
enum Columns {
    Are(&'static [(&'static str, SqlType)]),
    /// They depend on the table that it is asked about.
    OfTable,
}

/// One overload of a function.
struct Listed {
    oid: u32,
    name: &'static str,
    about: &'static str,
    arguments: Vec<(&'static str, u32)>,
    /// The type of its value; nothing if it has rows.
    value: Option<u32>,
    columns: &'static [(&'static str, SqlType)],
    strict: bool,
    volatile: bool,
}

pub(super) fn procedures(_: &Facts<'_>, rows: &mut Rows<'_>) {
    for listed in all() {
        let arguments = listed.arguments.iter();
        let columns = listed.columns.iter();
        let words = |all: Vec<&str>| Some(Value::List(all.into_iter().map(Value::string).collect()));
        let names = arguments.clone().map(|(name, _)| *name).chain(columns.clone().map(|(name, _)| *name)).collect();
        let modes = arguments.clone().map(|_| "i").chain(columns.clone().map(|_| "t")).collect();
        let types = arguments.clone().map(|(_, ty)| i64::from(*ty));
        let all_types = types.clone().chain(columns.map(|(_, ty)| i64::from(type_oid(ty))));
        let has_columns = !listed.columns.is_empty();
        rows.push([
            ("oid", int(listed.oid)),
            ("proname", text(listed.name)),
            ("pronamespace", int(PUBLIC)),
            ("proowner", int(OWNER)),
            ("prolang", int(INTERNAL_LANGUAGE)),
            ("procost", Some(Value::Float(1.0))),
            ("prorows", Some(Value::Float(if listed.value.is_none() { 1000.0 } else { 0.0 }))),
            ("prokind", text("f")),
            ("proisstrict", flag(listed.strict)),
            ("proretset", flag(listed.value.is_none())),
            ("provolatile", text(if listed.volatile { "v" } else { "s" })),
            ("proparallel", text("u")),
            ("pronargs", int(listed.arguments.len() as i64)),
            ("prorettype", int(listed.value.unwrap_or(RECORD))),
            ("proargtypes", numbers(types)),
            ("proallargtypes", has_columns.then(|| numbers(all_types)).flatten()),
            ("proargmodes", has_columns.then(|| words(modes)).flatten()),
            ("proargnames", (!listed.arguments.is_empty()).then(|| words(names)).flatten()),
            ("prosrc", text(listed.name)),
        ]);
    }
}

/// What `pg_get_function_result` says.
pub(crate) fn function_result(oid: u32) -> Option<String> {
    let listed = with(oid)?;
    Some(match (listed.value, listed.columns) {
        (Some(ty), _) => format_type(ty, None),
        (None, []) => "SETOF record".to_owned(),
        (None, columns) => {
            let columns = columns.iter().map(|(name, ty)| shown(name, type_oid(ty)));
            format!("TABLE({})", columns.collect::<Vec<_>>().join(", "))
        }
    })
}

/// What `pg_get_function_arguments` says.
pub(crate) fn function_arguments(oid: u32) -> Option<String> {
    let arguments = with(oid)?.arguments;
    Some(arguments.iter().map(|(name, ty)| shown(name, *ty)).collect::<Vec<_>>().join(", "))
}

/// What a function is for.
pub(crate) fn function_description(oid: u32) -> Option<&'static str> {
    with(oid).map(|listed| listed.about)
}

/// The name of the function with this OID.
pub(crate) fn function_with(oid: u32) -> Option<&'static str> {
    with(oid).map(|listed| listed.name)
}

/// Whether a function with rows is the ledger's own.
pub(crate) fn is_own_table_function(name: &str) -> bool {
    TABLES.iter().any(|((own, ..), ..)| *own == name)
}

fn shown(name: &str, ty: u32) -> String {
    format!("{} {}", function::quote_ident(name), format_type(ty, None))
}

fn with(oid: u32) -> Option<Listed> {
    all().find(|listed| listed.oid == oid)
}

fn all() -> impl Iterator<Item = Listed> {
    SCALARS.iter().flat_map(scalars).chain(TABLES.iter().flat_map(tables))
}

fn scalars(&(name, arguments, about): &'static Own) -> impl Iterator<Item = Listed> {
    function::named(name).enumerate().map(move |(nth, function)| Listed {
        oid: oid(name, nth),
        name,
        about,
        arguments: arguments.iter().copied().zip(function.arguments.iter().map(argument_type)).collect(),
        value: Some(match &function.returns {
            Returns::Type(ty) => type_oid(ty),
            _ => ANY,
        }),
        columns: &[],
        strict: function.strict,
        volatile: function.volatility != Volatility::Stable,
    })
}

fn argument_type(argument: &Arg) -> u32 {
    match argument {
        Arg::Type(ty) => type_oid(ty),
        _ => ANY,
    }
}

fn tables(
    ((name, names, about), types, least, columns): &'static (Own, &'static [u32], usize, Columns),
) -> impl Iterator<Item = Listed> {
    (*least..=names.len()).enumerate().map(move |(nth, count)| Listed {
        oid: oid(name, nth),
        name,
        about,
        arguments: names.iter().copied().zip(types.iter().copied()).take(count).collect(),
        value: None,
        columns: match columns {
            Columns::Are(columns) => columns,
            Columns::OfTable => &[],
        },
        strict: true,
        volatile: false,
    })
}

/// The first overload has the OID that its name is known by.
fn oid(name: &str, nth: usize) -> u32 {
    if nth == 0 { procedure_oid(name) } else { overload_oid(name, nth) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_function_is_in_the_registry_with_names_for_all_of_its_arguments() {
        for (name, names, _) in SCALARS {
            let longest = function::named(name).map(|function| function.arguments.len()).max();
            assert_eq!(longest, Some(names.len()), "{name}");
        }
        for ((name, names, _), types, ..) in TABLES {
            assert_eq!(names.len(), types.len(), "{name}");
        }
    }

    #[test]
    fn every_overload_has_an_oid_of_its_own() {
        let oids: BTreeSet<u32> = all().map(|listed| listed.oid).collect();
        assert_eq!(oids.len(), all().count());
    }

    #[test]
    fn arguments_and_results_are_written_as_postgresql_writes_them() {
        let receipt = procedure_oid("ledgerstone_receipt");
        assert_eq!(function_arguments(receipt).as_deref(), Some("table_name text, key \"any\""));
        assert_eq!(function_result(receipt).as_deref(), Some("bytea"));
        assert_eq!(function_result(procedure_oid("history")).as_deref(), Some("SETOF record"));
        let diff = function_result(procedure_oid("diff")).unwrap();
        assert!(diff.starts_with("TABLE(id text, operation text, old jsonb, new jsonb"), "{diff}");
        assert_eq!(function_arguments(1), None);
    }
}
