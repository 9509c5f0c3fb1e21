//! PostgreSQL's numbers for types: OID, size and modifier (catalog/pg_type.dat of PostgreSQL 15).

use ledgerstone_query::types::{Reg, SqlType};

/// The OID a column or parameter of this type is announced with. Document values are jsonb to PostgreSQL clients.
pub fn oid(ty: &SqlType) -> u32 {
    match ty {
        SqlType::Bool => 16,
        SqlType::Bytea => 17,
        SqlType::Name => 19,
        SqlType::Int8 => 20,
        SqlType::Int2 => 21,
        SqlType::Int2Vector => 22,
        SqlType::OidVector => 30,
        SqlType::Int4 => 23,
        SqlType::Text => 25,
        SqlType::Oid => 26,
        SqlType::Json => 114,
        SqlType::Float4 => 700,
        SqlType::Float8 => 701,
        SqlType::Char(_) => 1042,
        SqlType::Varchar(_) => 1043,
        SqlType::Date => 1082,
        SqlType::Time => 1083,
        SqlType::Timestamp => 1114,
        SqlType::TimestampTz => 1184,
        SqlType::Interval => 1186,
        SqlType::Numeric { .. } => 1700,
        SqlType::Reg(Reg::Class) => 2205,
        SqlType::Reg(Reg::Type) => 2206,
        SqlType::Reg(Reg::Proc) => 24,
        SqlType::Reg(Reg::Namespace) => 4089,
        SqlType::Reg(Reg::Role) => 4096,
        SqlType::Reg(Reg::Procedure) => 2202,
        SqlType::Reg(Reg::Operator) => 2204,
        SqlType::Void => 2278,
        SqlType::Uuid => 2950,
        SqlType::Jsonb | SqlType::Ion => 3802,
        SqlType::Array(element) => array_oid(element),
    }
}

fn array_oid(element: &SqlType) -> u32 {
    match element {
        SqlType::Bool => 1000,
        SqlType::Bytea => 1001,
        SqlType::Name => 1003,
        SqlType::Int2 => 1005,
        SqlType::Int2Vector => 1006,
        SqlType::OidVector => 1013,
        SqlType::Int4 => 1007,
        SqlType::Text | SqlType::Void => 1009,
        SqlType::Char(_) => 1014,
        SqlType::Varchar(_) => 1015,
        SqlType::Int8 => 1016,
        SqlType::Float4 => 1021,
        SqlType::Float8 => 1022,
        SqlType::Oid | SqlType::Reg(_) => 1028,
        SqlType::Timestamp => 1115,
        SqlType::Date => 1182,
        SqlType::Time => 1183,
        SqlType::TimestampTz => 1185,
        SqlType::Interval => 1187,
        SqlType::Json => 199,
        SqlType::Numeric { .. } => 1231,
        SqlType::Uuid => 2951,
        SqlType::Jsonb | SqlType::Ion => 3807,
        SqlType::Array(inner) => array_oid(inner),
    }
}

/// The type a client means; `Ok(None)` leaves it to the server, `Err` is a type there is none of here.
pub fn from_oid(oid: u32) -> Result<Option<SqlType>, u32> {
    let array = |element| SqlType::Array(Box::new(element));
    Ok(Some(match oid {
        0 | 705 => return Ok(None),
        16 => SqlType::Bool,
        17 => SqlType::Bytea,
        18 | 25 => SqlType::Text,
        19 => SqlType::Name,
        20 => SqlType::Int8,
        21 => SqlType::Int2,
        23 => SqlType::Int4,
        26 => SqlType::Oid,
        114 => SqlType::Json,
        700 => SqlType::Float4,
        701 => SqlType::Float8,
        // Without a length: bpchar as a parameter is a text whose blanks count.
        1042 | 1043 => SqlType::Varchar(None),
        1082 => SqlType::Date,
        1083 => SqlType::Time,
        1114 => SqlType::Timestamp,
        1184 => SqlType::TimestampTz,
        1186 => SqlType::Interval,
        1700 => SqlType::NUMERIC,
        2950 => SqlType::Uuid,
        3802 => SqlType::Jsonb,
        199 => array(SqlType::Json),
        1000 => array(SqlType::Bool),
        1001 => array(SqlType::Bytea),
        1003 => array(SqlType::Name),
        1005 => array(SqlType::Int2),
        1007 => array(SqlType::Int4),
        1009 => array(SqlType::Text),
        1014 | 1015 => array(SqlType::Varchar(None)),
        1016 => array(SqlType::Int8),
        1021 => array(SqlType::Float4),
        1022 => array(SqlType::Float8),
        1028 => array(SqlType::Oid),
        1115 => array(SqlType::Timestamp),
        1182 => array(SqlType::Date),
        1183 => array(SqlType::Time),
        1185 => array(SqlType::TimestampTz),
        1187 => array(SqlType::Interval),
        1231 => array(SqlType::NUMERIC),
        2951 => array(SqlType::Uuid),
        3807 => array(SqlType::Jsonb),
        other => return Err(other),
    }))
}

/// Bytes of a value of fixed size, otherwise −1.
pub fn size(ty: &SqlType) -> i16 {
    match ty {
        SqlType::Bool => 1,
        SqlType::Int2 => 2,
        SqlType::Int4 | SqlType::Float4 | SqlType::Date | SqlType::Oid | SqlType::Reg(_) | SqlType::Void => 4,
        SqlType::Int8 | SqlType::Float8 | SqlType::Time | SqlType::Timestamp | SqlType::TimestampTz => 8,
        SqlType::Interval | SqlType::Uuid => 16,
        SqlType::Name => 64,
        _ => -1,
    }
}

/// Length or precision and scale, as PostgreSQL packs them; −1 is none.
pub fn modifier(ty: &SqlType) -> i32 {
    match ty {
        SqlType::Char(length) | SqlType::Varchar(Some(length)) => i32::try_from(*length).map_or(-1, |n| n + 4),
        SqlType::Numeric { precision: Some(precision), scale } => {
            ((i32::from(*precision) << 16) | (i32::from(scale.unwrap_or(0)) & 0x7ff)) + 4
        }
        _ => -1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announced_type_comes_back_as_itself() {
        for ty in
            [SqlType::Bool, SqlType::Int2, SqlType::Int8, SqlType::Text, SqlType::Uuid, SqlType::NUMERIC, SqlType::Time]
        {
            let array = SqlType::Array(Box::new(ty.clone()));
            assert_eq!(from_oid(oid(&array)), Ok(Some(array)));
            assert_eq!(from_oid(oid(&ty)), Ok(Some(ty)));
        }
        assert_eq!(from_oid(oid(&SqlType::Ion)), Ok(Some(SqlType::Jsonb)));
        assert_eq!(from_oid(0), Ok(None));
        assert_eq!(from_oid(600), Err(600));
    }

    #[test]
    fn numeric_12_2_has_the_modifier_psql_decodes() {
        assert_eq!(modifier(&SqlType::Numeric { precision: Some(12), scale: Some(2) }), (12 << 16 | 2) + 4);
        assert_eq!(modifier(&SqlType::Char(24)), 28);
    }
}
