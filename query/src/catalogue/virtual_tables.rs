//! Tables that are computed from the catalogue when asked: `information_schema` and `pg_catalog`.

use std::fmt::Debug;
use std::sync::Arc;

use crate::bind::Datum;
use crate::error::Result;
use crate::session::SessionInfo;
use crate::transaction::Transaction;
use crate::types::SqlType;

/// A table whose rows are made when it is read.
pub trait VirtualTable: Debug + Send + Sync {
    fn name(&self) -> &str;
    /// Names and types of the columns, in order.
    fn columns(&self) -> &[(&'static str, SqlType)];
    /// The rows now, as this transaction sees the catalogue.
    fn rows(&self, tx: &Transaction, session: &SessionInfo) -> Result<Vec<Vec<Datum>>>;
}

/// The virtual table of this name, both in lower case. Without a schema `pg_catalog` is searched, as in PostgreSQL.
pub fn virtual_table(_schema: Option<&str>, _name: &str) -> Option<Arc<dyn VirtualTable>> {
    None
}
