//! What this server is and can, and its types, as GetSqlInfo and GetXdbcTypeInfo tell it (FlightSql.proto).

use std::sync::LazyLock;

use arrow_flight::sql::metadata::{
    SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder,
};
use arrow_flight::sql::{
    Nullable, Searchable, SqlInfo, SqlNullOrdering, SqlSupportedCaseSensitivity, SqlSupportedTransaction,
    SqlTransactionIsolationLevel, SupportedSqlGrammar, XdbcDataType, XdbcDatetimeSubcode,
};
use ledgerstone_query::catalogue::ddl;
use ledgerstone_query::instance;
use ledgerstone_query::types::{CHARACTERS_MAX, NUMERIC_PRECISION_MAX};

/// What the server is and can.
pub fn server() -> &'static SqlInfoData {
    static DATA: LazyLock<SqlInfoData> = LazyLock::new(|| {
        let built = make_server().build();
        built.unwrap_or_else(|error| unreachable!("the facts about the server make no batch: {error}"))
    });
    &DATA
}

/// The types of SQL that have a name in ODBC.
pub fn types() -> &'static XdbcTypeInfoData {
    static DATA: LazyLock<XdbcTypeInfoData> = LazyLock::new(|| {
        let built = make_types().build();
        built.unwrap_or_else(|error| unreachable!("the facts about types make no batch: {error}"))
    });
    &DATA
}

fn make_server() -> SqlInfoDataBuilder {
    let mut facts = SqlInfoDataBuilder::new();
    facts.append(SqlInfo::FlightSqlServerName, "Ledgerstone");
    facts.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    facts.append(SqlInfo::FlightSqlServerArrowVersion, "59");
    facts.append(SqlInfo::FlightSqlServerReadOnly, false);
    facts.append(SqlInfo::FlightSqlServerSql, true);
    facts.append(SqlInfo::FlightSqlServerSubstrait, false);
    facts.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::Savepoint as i32);
    facts.append(SqlInfo::FlightSqlServerCancel, true);
    facts.append(SqlInfo::FlightSqlServerStatementTimeout, 0_i32);
    facts.append(SqlInfo::FlightSqlServerTransactionTimeout, 0_i32);
    facts.append(SqlInfo::SqlDdlCatalog, true);
    facts.append(SqlInfo::SqlDdlSchema, false);
    facts.append(SqlInfo::SqlDdlTable, true);
    facts.append(SqlInfo::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32);
    facts.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    facts.append(
        SqlInfo::SqlQuotedIdentifierCase,
        SqlSupportedCaseSensitivity::SqlCaseSensitivityCaseInsensitive as i32,
    );
    facts.append(SqlInfo::SqlAllTablesAreSelectable, true);
    facts.append(SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32);
    facts.append(SqlInfo::SqlSupportsTableCorrelationNames, true);
    facts.append(SqlInfo::SqlSupportsExpressionsInOrderBy, true);
    facts.append(SqlInfo::SqlSupportsOrderByUnrelated, true);
    facts.append(SqlInfo::SqlSupportsColumnAliasing, true);
    facts.append(SqlInfo::SqlNullPlusNullIsNull, true);
    facts.append(SqlInfo::SqlSupportedGrammar, 1_i32 << SupportedSqlGrammar::SqlCoreGrammar as i32);
    facts.append(SqlInfo::SqlSupportsNonNullableColumns, true);
    facts.append(SqlInfo::SqlCatalogTerm, "ledger");
    facts.append(SqlInfo::SqlSchemaTerm, "schema");
    facts.append(SqlInfo::SqlSearchStringEscape, "\\");
    for longest in [SqlInfo::SqlMaxColumnNameLength, SqlInfo::SqlMaxTableNameLength] {
        facts.append(longest, i64::try_from(ddl::NAME_CHARACTERS_MAX).unwrap_or_default());
    }
    facts.append(SqlInfo::SqlMaxCatalogNameLength, i64::try_from(instance::NAME_CHARACTERS_MAX).unwrap_or_default());
    facts.append(SqlInfo::SqlTransactionsSupported, true);
    facts.append(
        SqlInfo::SqlSupportedTransactionsIsolationLevels,
        1_i32 << SqlTransactionIsolationLevel::SqlTransactionSerializable as i32,
    );
    facts.append(
        SqlInfo::SqlDefaultTransactionIsolation,
        SqlTransactionIsolationLevel::SqlTransactionSerializable as i32 as i64,
    );
    facts.append(SqlInfo::SqlDataDefinitionsInTransactionsIgnored, false);
    facts.append(SqlInfo::SqlDataDefinitionCausesTransactionCommit, false);
    facts.append(SqlInfo::SqlSavepointsSupported, true);
    facts.append(SqlInfo::SqlBatchUpdatesSupported, true);
    facts
}

fn make_types() -> XdbcTypeInfoDataBuilder {
    let mut all = XdbcTypeInfoDataBuilder::new();
    let numeric_digits = i32::try_from(NUMERIC_PRECISION_MAX).ok();
    let characters = i32::try_from(CHARACTERS_MAX).ok();
    let number = |name: &str, ty, digits, radix| XdbcTypeInfo {
        unsigned_attribute: Some(false),
        num_prec_radix: Some(radix),
        searchable: Searchable::Basic,
        ..plain(name, ty, Some(digits))
    };
    let text = |name: &str, ty, size| XdbcTypeInfo {
        literal_prefix: Some("'".to_owned()),
        literal_suffix: Some("'".to_owned()),
        case_sensitive: true,
        ..plain(name, ty, size)
    };
    // Year and date share a number in FlightSql.proto, which has one name for it here.
    let time = |name: &str, ty, size, subcode| XdbcTypeInfo {
        literal_prefix: Some("'".to_owned()),
        literal_suffix: Some("'".to_owned()),
        datetime_subcode: Some(subcode),
        searchable: Searchable::Basic,
        ..plain(name, ty, Some(size))
    };
    let length = |info: XdbcTypeInfo| XdbcTypeInfo { create_params: Some(vec!["length".to_owned()]), ..info };
    for info in [
        plain("boolean", XdbcDataType::XdbcBit, Some(1)),
        XdbcTypeInfo {
            minimum_scale: Some(0),
            maximum_scale: Some(0),
            ..number("smallint", XdbcDataType::XdbcSmallint, 16, 2)
        },
        XdbcTypeInfo {
            minimum_scale: Some(0),
            maximum_scale: Some(0),
            ..number("integer", XdbcDataType::XdbcInteger, 32, 2)
        },
        XdbcTypeInfo {
            minimum_scale: Some(0),
            maximum_scale: Some(0),
            ..number("bigint", XdbcDataType::XdbcBigint, 64, 2)
        },
        number("real", XdbcDataType::XdbcReal, 24, 2),
        number("double precision", XdbcDataType::XdbcDouble, 53, 2),
        XdbcTypeInfo {
            create_params: Some(vec!["precision".to_owned(), "scale".to_owned()]),
            minimum_scale: Some(0),
            maximum_scale: numeric_digits,
            ..number("numeric", XdbcDataType::XdbcNumeric, numeric_digits.unwrap_or_default(), 10)
        },
        text("text", XdbcDataType::XdbcLongvarchar, None),
        length(text("character varying", XdbcDataType::XdbcVarchar, characters)),
        length(text("character", XdbcDataType::XdbcChar, characters)),
        text("jsonb", XdbcDataType::XdbcLongvarchar, None),
        text("uuid", XdbcDataType::XdbcBinary, Some(16)),
        plain("bytea", XdbcDataType::XdbcVarbinary, None),
        time("date", XdbcDataType::XdbcDate, 10, XdbcDatetimeSubcode::XdbcSubcodeYear),
        time("timestamp", XdbcDataType::XdbcTimestamp, 26, XdbcDatetimeSubcode::XdbcSubcodeTimestamp),
        time("timestamptz", XdbcDataType::XdbcTimestamp, 32, XdbcDatetimeSubcode::XdbcSubcodeTimestampWithTimezone),
        text("interval", XdbcDataType::XdbcInterval, None),
    ] {
        all.append(info);
    }
    all
}

fn plain(name: &str, ty: XdbcDataType, size: Option<i32>) -> XdbcTypeInfo {
    XdbcTypeInfo {
        type_name: name.to_owned(),
        data_type: ty,
        sql_data_type: ty,
        column_size: size,
        nullable: Nullable::NullabilityNullable,
        searchable: Searchable::Full,
        auto_increment: Some(false),
        local_type_name: Some(name.to_owned()),
        ..XdbcTypeInfo::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_make_batches() {
        assert!(server().record_batch([]).unwrap().num_rows() > 30);
        assert_eq!(types().record_batch(XdbcDataType::XdbcBigint as i32).unwrap().num_rows(), 1);
    }
}
