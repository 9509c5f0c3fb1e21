"""What SQLAlchemy's suite may expect of the server: all that its own tests expect of PostgreSQL, less what is in EXCLUDED."""

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

# Of PostgreSQL, and closed unless a dialect says otherwise.
OPENED = """
    aggregate_order_by array_type autocommit boolean_col_expressions check_constraint_reflection
    column_collation_reflection comment_reflection constraint_comment_reflection create_table_as ctes ctes_on_dml
    ctes_with_update_delete ctes_with_values date_historic datetime_historic datetime_interval
    datetime_timezone delete_from except_ expression_server_defaults
    fetch_expression fetch_first fetch_no_order_by fetch_offset_with_options fetch_ties
    float_or_double_precision_behaves_generically identity_columns implicit_default_schema
    index_ddl_if_exists indexes_check_column_order
    infinity_floats inline_check_constraint_reflection intersect
    isolation_level json_type mod_operator_as_percent_sign nullsordering
    order_by_label_with_expression percent_schema_names
    precision_numerics_enotation_small precision_numerics_many_significant_digits
    precision_numerics_retains_significant_digits 
    reflect_table_options reflect_tables_no_columns reflects_pk_names regexp_match regexp_replace
    savepoints server_defaults supports_bitwise_and supports_bitwise_not supports_bitwise_or
    supports_bitwise_shift supports_bitwise_xor supports_distinct_on supports_is_distinct_from
    table_ddl_if_exists table_value_constructor time_timezone timestamp_microseconds tuple_in
    tuple_in_w_empty unicode_ddl unique_constraints_reflect_as_index update_from uuid_data_type
    window_functions window_range window_range_numeric window_range_non_numeric
""".split()

# What the server does not have (docs/compatibility.md, "SQLAlchemy's dialect suite").
EXCLUDED = {
    "schemas": "a ledger has one schema for tables, public",
    "schema_reflection": "a ledger has one schema for tables, public",
    "cross_schema_fk_reflection": "a ledger has one schema for tables, public",
    "default_schema_name_switch": "a ledger has one schema for tables, public",
    "views": "there are no views",
    "view_column_reflection": "there are no views",
    "view_reflection": "there are no views",
    "materialized_views": "there are no views",
    "temporary_views": "there are no views",
    "create_or_replace_view": "there are no views",
    "self_referential_foreign_keys": "there are no foreign keys",
    "foreign_key_constraint_reflection": "there are no foreign keys",
    "temp_table_reflection": "every table is in the ledger, there are no temporary ones",
    "has_temp_table": "every table is in the ledger, there are no temporary ones",
    "temporary_tables": "every table is in the ledger, there are no temporary ones",
    "create_temp_table_as": "every table is in the ledger, there are no temporary ones",
    "sequences": "there are no sequences of one's own, only serial and identity columns",
    "indexes_with_ascdesc": "an index has one direction and is read in both",
    "reflect_indexes_with_ascdesc": "an index has one direction and is read in both",
    "indexes_with_expressions": "an index is on columns and paths, not on expressions",
    "reflect_indexes_with_expressions": "an index is on columns and paths, not on expressions",
    "index_reflects_included_columns": "INCLUDE is not supported",
    "two_phase_transactions": "PREPARE TRANSACTION is not supported",
}


def _excluded(reason):
    return property(lambda self: exclusions.skip_if(lambda: True, reason))


class Requirements(SuiteRequirements):
    def get_isolation_levels(self, config):
        # Every level is taken, and served as serializable.
        levels = ["AUTOCOMMIT", "READ COMMITTED", "READ UNCOMMITTED", "REPEATABLE READ", "SERIALIZABLE"]
        return {"default": "SERIALIZABLE", "supported": levels}


for _name in OPENED:
    assert hasattr(SuiteRequirements, _name), _name
    setattr(Requirements, _name, property(lambda self: exclusions.open()))
for _name, _reason in EXCLUDED.items():
    assert hasattr(SuiteRequirements, _name), _name
    setattr(Requirements, _name, _excluded(_reason))
