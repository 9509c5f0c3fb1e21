//! The ledgers of one server: a directory of them, by name (DESIGN section 8).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use ledgerstone_journal::Env;

use crate::database::{Database, Limits};
use crate::error::{QueryError, Result};

/// The ledger that the first start makes.
pub const MAIN: &str = "main";

/// All ledgers of a server.
#[allow(dead_code, reason = "the bodies follow")]
pub struct Instance {
    options: InstanceOptions,
    open: Mutex<BTreeMap<String, Arc<Database>>>,
}

/// Where the ledgers are and what holds for all of them.
#[derive(Clone)]
pub struct InstanceOptions {
    pub env: Env,
    pub data: PathBuf,
    /// Never inside `data`.
    pub keys: PathBuf,
    /// The origin of a ledger's checkpoints is this, a slash, and its id.
    pub origin_prefix: String,
    pub limits: Limits,
}

/// A ledger as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerSummary {
    pub name: String,
    pub deletion_protection: bool,
}

#[allow(unused_variables, reason = "the bodies follow")]
impl Instance {
    /// Opens every ledger under the data directory; the first start makes `main`.
    pub fn open(options: InstanceOptions) -> Result<Arc<Instance>> {
        Err(QueryError::unsupported("opening an instance"))
    }

    /// The ledger of this name. Unknown: 3D000, with a hint that lists what exists.
    pub fn ledger(&self, name: &str) -> Result<Arc<Database>> {
        Err(QueryError::unsupported("opening a ledger"))
    }

    pub fn ledgers(&self) -> Vec<LedgerSummary> {
        Vec::new()
    }

    pub fn create_ledger(&self, name: &str, deletion_protection: bool) -> Result<Arc<Database>> {
        Err(QueryError::unsupported("creating a ledger"))
    }

    /// Removes a ledger and its files, unless it is protected. Its key stays.
    pub fn drop_ledger(&self, name: &str) -> Result<()> {
        Err(QueryError::unsupported("dropping a ledger"))
    }

    pub fn set_deletion_protection(&self, name: &str, on: bool) -> Result<()> {
        Err(QueryError::unsupported("deletion protection"))
    }

    /// Closes every ledger: no more writes, final checkpoint.
    pub fn close(&self) -> Result<()> {
        Ok(())
    }
}
