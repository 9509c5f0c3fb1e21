//! The integration tests of the query crate: one binary, a module per subject.

#[cfg(feature = "analytics")]
mod analytics_same;
mod changes;
#[cfg(feature = "analytics")]
mod columns_files;
#[cfg(feature = "analytics")]
mod columns_model;
#[cfg(feature = "analytics")]
mod columns_pruned;
#[cfg(feature = "analytics")]
mod columns_race;
#[cfg(feature = "analytics")]
mod columns_streamed;
mod comments;
mod everyday_forms;
mod exec_fixtures;
#[cfg(feature = "analytics")]
mod export;
#[cfg(feature = "analytics")]
mod generated;
mod grouping_sets;
mod hot_rows;
mod identity;
mod import;
mod import_hostile;
mod index_model;
mod index_scan;
mod limits;
mod merge;
mod occ_matrix;
mod own_functions;
mod parse_memory;
mod partiql_elements;
mod permissions;
mod point_same;
mod qldb_forms;
mod select_list;
mod session_clock;
mod session_kept;
mod session_loads;
mod session_redaction;
mod session_rotation;
mod session_savepoints;
mod session_tokens;
mod spill;
mod sql_scopes;
mod store_basic;
mod store_concurrent;
mod store_conflict;
mod store_crash;
mod store_definitions;
mod store_index;
mod store_instance;
mod store_model;
mod strict;
mod support;
mod tools;
mod untyped_fields;
mod virtual_tables;
mod with_changes;
