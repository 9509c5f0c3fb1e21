//! Where a path leads that may not be there yet: what must not lie inside something else is told by this.

use std::io;
use std::path::{Component, Path, PathBuf};

/// The absolute path without links, and without what goes back; what is not there yet stands as it was written. Fails where the way
/// to it cannot be looked at.
pub fn real_path(path: &Path) -> io::Result<PathBuf> {
    let mut real = PathBuf::new();
    for part in std::path::absolute(path)?.components() {
        match part {
            Component::ParentDir => drop(real.pop()),
            part => real.push(part),
        }
        match real.canonicalize() {
            Ok(found) => real = found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(real)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_and_what_goes_back_is_left_out_though_it_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("data")).unwrap();
        std::os::unix::fs::symlink(root.join("data"), root.join("link")).unwrap();
        for (path, real) in [
            ("data", "data"),
            ("none/a", "none/a"),
            ("link/a", "data/a"),
            ("none/../data/a", "data/a"),
            ("link/../other", "other"),
        ] {
            assert_eq!(real_path(&root.join(path)).unwrap(), root.join(real), "{path}");
        }
        std::fs::write(root.join("file"), "").unwrap();
        assert!(real_path(&root.join("file/a")).is_err());
    }
}
