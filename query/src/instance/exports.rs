//! Where `COPY … TO 'name'` may write: a directory that lies apart from data and keys, so that no export is taken for a
//! ledger and none reaches a key.

use std::path::{Path, PathBuf};

use ledgerstone_journal::real_path;

use crate::error::{QueryError, Result, SqlState};

/// Makes a directory for exports that lies apart from these, if it is not there yet, and says where it really is.
pub fn prepared(exports: &Path, apart_from: &[&Path]) -> Result<PathBuf> {
    lie_apart(exports, apart_from)?;
    std::fs::create_dir_all(exports).map_err(|e| super::io_error("make the export directory", exports, e))?;
    exports.canonicalize().map_err(|e| super::io_error("find", exports, e))
}

/// Refuses a directory of exports that lies in one of these, or one of these in it. None of them need be there yet, and none
/// is made.
fn lie_apart(exports: &Path, from: &[&Path]) -> Result<()> {
    let real = |path: &Path| real_path(path).map_err(|error| super::io_error("find", path, error));
    let exports = real(exports)?;
    for own in from {
        let own = real(own)?;
        if exports.starts_with(&own) || own.starts_with(&exports) {
            let (exports, own) = (exports.display(), own.display());
            return Err(QueryError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("the export directory {exports} and {own} must not lie inside each other"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_lie_apart_from_data_and_keys_whether_they_are_there_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("data")).unwrap();
        std::os::unix::fs::symlink(at("data"), at("link")).unwrap();
        let apart = |exports: &str, own: &str| lie_apart(&at(exports), &[&at(own)]).is_ok();
        assert!(apart("exports", "data") && apart("exports", "none") && apart("data2", "data"));
        for inside in ["data", "data/x", "data/x/y", "link/x", "new/../data/x", "."] {
            assert!(!apart(inside, "data"), "{inside}");
        }
        assert!(!apart("none/x", "none") && !apart("x", "x/none"));
        assert!(!at("data/x").exists() && !at("exports").exists());
    }
}
