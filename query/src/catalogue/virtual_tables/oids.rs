//! OIDs: PostgreSQL's own for types and namespaces, and numbers made of ids for what a ledger defines (stable, since the
//! ids are; two of them may meet, as with any hash of 31 bits).

use ledgerstone_digest::id::Id;

use crate::types::SqlType;

pub(crate) const PG_CATALOG: u32 = 11;
pub(crate) const PUBLIC: u32 = 2200;
pub(crate) const INFORMATION_SCHEMA: u32 = 13_000;
/// The owner of everything, and its name.
pub(crate) const OWNER: u32 = 10;
pub(crate) const OWNER_NAME: &str = "ledgerstone";
pub(crate) const HEAP: u32 = 2;
pub(crate) const BTREE: u32 = 403;
/// The language of what is built in.
pub(crate) const INTERNAL_LANGUAGE: u32 = 12;
pub(crate) const DEFAULT_COLLATION: u32 = 100;
pub(crate) const DEFAULT_TABLESPACE: u32 = 1663;

/// A type of PostgreSQL, and the OID of its array type (0: none).
pub(crate) struct TypeFacts {
    pub oid: u32,
    pub array: u32,
    pub name: &'static str,
    /// As `format_type` writes it.
    pub long: &'static str,
    pub length: i16,
    pub category: &'static str,
    pub preferred: bool,
}

const fn fact(
    oid: u32,
    array: u32,
    (name, long): (&'static str, &'static str),
    length: i16,
    category: &'static str,
    preferred: bool,
) -> TypeFacts {
    TypeFacts { oid, array, name, long, length, category, preferred }
}

/// Every type that has a place here (PostgreSQL's `pg_type.dat`).
pub(crate) static TYPES: &[TypeFacts] = &[
    fact(16, 1000, ("bool", "boolean"), 1, "B", true),
    fact(17, 1001, ("bytea", "bytea"), -1, "U", false),
    fact(19, 1003, ("name", "name"), 64, "S", false),
    fact(20, 1016, ("int8", "bigint"), 8, "N", false),
    fact(21, 1005, ("int2", "smallint"), 2, "N", false),
    fact(23, 1007, ("int4", "integer"), 4, "N", false),
    fact(24, 1008, ("regproc", "regproc"), 4, "N", false),
    fact(25, 1009, ("text", "text"), -1, "S", true),
    fact(26, 1028, ("oid", "oid"), 4, "N", true),
    fact(114, 199, ("json", "json"), -1, "U", false),
    fact(700, 1021, ("float4", "real"), 4, "N", false),
    fact(701, 1022, ("float8", "double precision"), 8, "N", true),
    fact(705, 0, ("unknown", "unknown"), -2, "X", false),
    fact(1042, 1014, ("bpchar", "character"), -1, "S", false),
    fact(1043, 1015, ("varchar", "character varying"), -1, "S", false),
    fact(1082, 1182, ("date", "date"), 4, "D", false),
    fact(1114, 1115, ("timestamp", "timestamp without time zone"), 8, "D", false),
    fact(1184, 1185, ("timestamptz", "timestamp with time zone"), 8, "D", true),
    fact(1083, 1183, ("time", "time without time zone"), 8, "D", false),
    fact(1186, 1187, ("interval", "interval"), 16, "T", true),
    fact(1700, 1231, ("numeric", "numeric"), -1, "N", false),
    fact(22, 1006, ("int2vector", "int2vector"), -1, "A", false),
    fact(30, 1013, ("oidvector", "oidvector"), -1, "A", false),
    fact(2205, 2210, ("regclass", "regclass"), 4, "N", false),
    fact(2206, 2211, ("regtype", "regtype"), 4, "N", false),
    fact(2249, 2287, ("record", "record"), -1, "P", false),
    fact(2276, 0, ("any", "\"any\""), 4, "P", false),
    fact(2278, 0, ("void", "void"), 4, "P", false),
    fact(2950, 2951, ("uuid", "uuid"), 16, "U", false),
    fact(3802, 3807, ("jsonb", "jsonb"), -1, "U", false),
];

/// The OID of a type's `pg_type` row.
pub(crate) fn type_oid(ty: &SqlType) -> u32 {
    match ty {
        SqlType::Array(of) => facts_of(of).map_or(0, |f| f.array),
        ty => facts_of(ty).map_or(0, |f| f.oid),
    }
}

pub(crate) fn facts_of(ty: &SqlType) -> Option<&'static TypeFacts> {
    let name = ty.catalogue_name();
    TYPES.iter().find(|f| f.name == name)
}

/// A column's `atttypmod` with the digits of a second that it keeps.
pub(crate) fn column_modifier(ty: &SqlType, precision: Option<u8>) -> i64 {
    match (ty, precision.map(i64::from)) {
        // All fields, and the digits.
        (SqlType::Interval, Some(digits)) => INTERVAL_FIELDS << 16 | digits,
        (_, Some(digits)) => digits,
        (_, None) => type_modifier(ty),
    }
}

const INTERVAL_FIELDS: i64 = 0x7fff;

/// A column's `atttypmod`: length, or precision and scale; -1 if there are none.
pub(crate) fn type_modifier(ty: &SqlType) -> i64 {
    match ty {
        SqlType::Varchar(Some(n)) | SqlType::Char(n) => i64::from(*n) + 4,
        SqlType::Numeric { precision: Some(p), scale } => {
            (i64::from(*p) << 16 | i64::from(scale.unwrap_or(0)) & 0x7ff) + 4
        }
        SqlType::Array(of) => type_modifier(of),
        _ => -1,
    }
}

/// `format_type(oid, typmod)`.
pub(crate) fn format_type(oid: u32, modifier: Option<i64>) -> String {
    if oid == 0 {
        return "-".into();
    }
    let Some(facts) = TYPES.iter().find(|f| f.oid == oid || f.array == oid) else { return "???".into() };
    let digits = modifier.filter(|m| *m >= 0).map(|m| m & 0xffff);
    let modifier = modifier.filter(|m| *m >= 4).map(|m| m - 4);
    let mut out = match (facts.oid, modifier) {
        (1083 | 1114 | 1184 | 1186, _) if digits.is_some_and(|digits| digits <= 6) => {
            let ty = SqlType::from_text(facts.long).unwrap_or(SqlType::Text);
            ty.text_with(digits.and_then(|digits| u8::try_from(digits).ok()))
        }
        (1042 | 1043, Some(n)) => format!("{}({n})", facts.long),
        (1700, Some(m)) => {
            // Eleven bits of scale, with a sign.
            let scale = ((m & 0x7ff) ^ 1024) - 1024;
            format!("numeric({},{scale})", (m >> 16) & 0xffff)
        }
        _ => facts.long.to_owned(),
    };
    if facts.array == oid {
        out.push_str("[]");
    }
    out
}

/// The OID of a table or an index.
pub(crate) fn relation_oid(id: &Id) -> u32 {
    hashed(&[&id.0])
}

/// The OID of an index's constraint.
pub(crate) fn key_constraint_oid(index: &Id) -> u32 {
    hashed(&[b"constraint", &index.0])
}

pub(crate) fn check_constraint_oid(table: &Id, name: &str) -> u32 {
    hashed(&[b"check", &table.0, name.as_bytes()])
}

pub(crate) fn default_oid(table: &Id, column: &str) -> u32 {
    hashed(&[b"default", &table.0, column.as_bytes()])
}

/// The OID of an identity column's counter.
pub(crate) fn sequence_oid(table: &Id, column: &str) -> u32 {
    hashed(&[b"sequence", &table.0, column.as_bytes()])
}

pub(crate) fn database_oid(name: &str) -> u32 {
    hashed(&[b"database", name.as_bytes()])
}

pub(crate) fn role_oid(name: &str) -> u32 {
    if name == OWNER_NAME { OWNER } else { hashed(&[b"role", name.as_bytes()]) }
}

pub(crate) fn procedure_oid(name: &str) -> u32 {
    hashed(&[b"procedure", name.as_bytes()])
}

/// The OID of a further function of the same name.
pub(crate) fn overload_oid(name: &str, nth: usize) -> u32 {
    hashed(&[b"procedure", name.as_bytes(), &nth.to_be_bytes()])
}

/// FNV-1a of the parts, mixed and brought into 16384..2^31.
fn hashed(parts: &[&[u8]]) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in parts.iter().flat_map(|p| p.iter()) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    const FIRST: u64 = 16_384;
    u32::try_from(FIRST + hash % ((1 << 31) - FIRST)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_written_back_from_its_oid_and_modifier() {
        for text in [
            "integer",
            "character varying(20)",
            "character(3)",
            "numeric(12,2)",
            "numeric",
            "text[]",
            "timestamp with time zone",
        ] {
            let ty = SqlType::from_text(text).unwrap();
            assert_eq!(format_type(type_oid(&ty), Some(type_modifier(&ty))), text);
        }
        for text in ["timestamp(0) without time zone", "time(3) without time zone", "interval(2)"] {
            let (ty, precision) = SqlType::from_text_with(text).unwrap();
            assert_eq!(format_type(type_oid(&ty), Some(column_modifier(&ty, precision))), text);
        }
        assert_eq!(format_type(type_oid(&SqlType::Ion), None), "jsonb");
    }
}
