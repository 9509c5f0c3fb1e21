//! Files that the server's safety rests on. Who else could read or write them is looked at, on the file that was opened,
//! before anything in them is believed.
//!
//! | kind | what may be |
//! |---|---|
//! | a secret: keys | as PostgreSQL wants of `ssl_key_file`: a regular file that belongs to the server's user and to nobody else (0600 or less), or to root, who may let a group read it (0640 or less) |
//! | an authority: who may come in, and do what | read by anybody, written by its owner alone |
//!
//! The ledgers' signing keys are the journal's, which takes them as 0600 alone.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ledgerstone_journal::env::help_for;

const ROOT: u32 = 0;

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{}: {source}{}", path.display(), help_for(source))]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is larger than {most} bytes", path.display())]
    TooLarge { path: PathBuf, most: u64 },
    #[error("{} is not a regular file", path.display())]
    NotAFile { path: PathBuf },
    #[error("{} can be read or written by others than its owner (mode {mode:04o}); run: chmod 600 {}", path.display(), path.display())]
    OpenSecret { path: PathBuf, mode: u32 },
    /// Root's file, which a group may read.
    #[error("{} is root's and can be read by everybody or written by others (mode {mode:04o}); run: chmod 640 {}", path.display(), path.display())]
    OpenSecretOfRoot { path: PathBuf, mode: u32 },
    #[error("{} belongs to user {owner}, neither to root nor to user {us}, who runs the server; run: chown {us} {}", path.display(), path.display())]
    OthersSecret { path: PathBuf, owner: u32, us: u32 },
    #[error("{} can be written by others than its owner (mode {mode:04o}); run: chmod go-w {}", path.display(), path.display())]
    Writable { path: PathBuf, mode: u32 },
}

/// A file's text, and its permission bits.
pub struct Trusted {
    pub text: String,
    pub mode: u32,
}

/// Reads a secret of at most so many bytes.
pub fn read_secret(path: &Path, most: u64) -> Result<String, FileError> {
    // Without a look at it first, opening a pipe that nobody writes to would wait for ever.
    if std::fs::metadata(path).is_ok_and(|facts| !facts.is_file()) {
        return Err(FileError::NotAFile { path: path.to_owned() });
    }
    let us = rustix::process::geteuid().as_raw();
    let check = |facts: &Metadata| check_secret(path, Facts::of(facts), us);
    read(path, most, check).map(|trusted| trusted.text)
}

/// Reads what says who may do what, of at most so many bytes.
pub fn read_authority(path: &Path, most: u64) -> Result<Trusted, FileError> {
    read(path, most, |facts| check_authority(path, Facts::of(facts)))
}

/// Says in the log if others than a group of the operator's can read the documents, or change them: PostgreSQL does not start
/// then. The server makes such directories 0750, and files 0640.
pub fn look_at_data(path: &Path) {
    if let Some(mode) = open_to_others(path) {
        tracing::warn!(
            path = %path.display(),
            mode = format_args!("{mode:04o}"),
            "others on this machine can read the data without asking the server, or write to it; run: chmod 750"
        );
    }
}

fn open_to_others(directory: &Path) -> Option<u32> {
    let mode = std::fs::metadata(directory).ok()?.mode() & 0o7777;
    (mode & 0o027 != 0).then_some(mode)
}

/// What of a file's facts is looked at.
#[derive(Debug, Clone, Copy)]
struct Facts {
    owner: u32,
    mode: u32,
    regular: bool,
}

impl Facts {
    fn of(metadata: &Metadata) -> Facts {
        Facts { owner: metadata.uid(), mode: metadata.mode() & 0o7777, regular: metadata.is_file() }
    }
}

/// The rules of PostgreSQL 15 (be-secure-common.c, `check_ssl_key_file_permissions`), but that a server that runs as root
/// takes what root's files may have.
fn check_secret(path: &Path, facts: Facts, us: u32) -> Result<(), FileError> {
    let Facts { owner, mode, regular } = facts;
    let path = path.to_owned();
    if !regular {
        Err(FileError::NotAFile { path })
    } else if owner != us && owner != ROOT {
        Err(FileError::OthersSecret { path, owner, us })
    } else if owner == ROOT && mode & 0o037 != 0 {
        Err(FileError::OpenSecretOfRoot { path, mode })
    } else if owner != ROOT && mode & 0o077 != 0 {
        Err(FileError::OpenSecret { path, mode })
    } else {
        Ok(())
    }
}

fn check_authority(path: &Path, facts: Facts) -> Result<(), FileError> {
    match facts.mode & 0o022 {
        0 => Ok(()),
        _ => Err(FileError::Writable { path: path.to_owned(), mode: facts.mode }),
    }
}

fn read(path: &Path, most: u64, check: impl Fn(&Metadata) -> Result<(), FileError>) -> Result<Trusted, FileError> {
    let io = |source| FileError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let facts = file.metadata().map_err(io)?;
    check(&facts)?;
    let mut text = String::new();
    file.take(most.saturating_add(1)).read_to_string(&mut text).map_err(io)?;
    if text.len() as u64 > most {
        return Err(FileError::TooLarge { path: path.to_owned(), most });
    }
    Ok(Trusted { text, mode: facts.mode() & 0o7777 })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "text").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    fn we_are_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused_with_its_mode_and_what_to_run() {
        for mode in [0o600, 0o400, 0o700] {
            let (_directory, path) = file(mode);
            assert_eq!(read_secret(&path, 10).unwrap(), "text", "{mode:o}");
        }
        for mode in [0o604, 0o620, 0o644, 0o602, 0o660, 0o601, 0o610, 0o666, 0o777] {
            let (_directory, path) = file(mode);
            let error = read_secret(&path, 10).unwrap_err().to_string();
            let run = format!("run: chmod {} {}", if we_are_root() { "640" } else { "600" }, path.display());
            assert!(error.contains(&format!("mode {mode:04o}")) && error.ends_with(&run), "{error}");
        }
        // Root may let a group read it.
        let (_directory, path) = file(0o640);
        assert_eq!(read_secret(&path, 10).is_ok(), we_are_root());
    }

    #[test]
    fn whose_a_secret_is_decides_what_others_may() {
        let path = Path::new("/etc/key");
        let check = |owner, mode, us| check_secret(path, Facts { owner, mode, regular: true }, us);
        assert!(check(7, 0o600, 7).is_ok() && check(0, 0o640, 7).is_ok() && check(0, 0o440, 0).is_ok());
        assert!(matches!(check(7, 0o640, 7), Err(FileError::OpenSecret { mode: 0o640, .. })));
        assert!(matches!(check(0, 0o644, 7), Err(FileError::OpenSecretOfRoot { .. })));
        assert!(matches!(check(0, 0o660, 7), Err(FileError::OpenSecretOfRoot { .. })));
        let others = check(8, 0o600, 7).unwrap_err();
        assert_eq!(
            others.to_string(),
            "/etc/key belongs to user 8, neither to root nor to user 7, who runs the server; run: chown 7 /etc/key"
        );
        assert!(check(8, 0o600, 0).is_err(), "root reads it, and so does user 8");
        let directory = check_secret(path, Facts { owner: 7, mode: 0o700, regular: false }, 7);
        assert!(matches!(directory, Err(FileError::NotAFile { .. })));
    }

    #[test]
    fn an_authority_that_others_can_write_is_refused() {
        for mode in [0o600, 0o644, 0o444, 0o755] {
            let (_directory, path) = file(mode);
            let trusted = read_authority(&path, 10).unwrap();
            assert_eq!((trusted.text.as_str(), trusted.mode), ("text", mode));
        }
        for mode in [0o620, 0o602, 0o664, 0o666, 0o777] {
            let (_directory, path) = file(mode);
            let error = read_authority(&path, 10).map(|trusted| trusted.text).unwrap_err().to_string();
            let run = format!("run: chmod go-w {}", path.display());
            assert!(error.contains(&format!("mode {mode:04o}")) && error.ends_with(&run), "{error}");
        }
    }

    #[test]
    fn data_that_others_can_read_or_a_group_can_write_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        for (mode, seen) in
            [(0o700, None), (0o750, None), (0o755, Some(0o755)), (0o770, Some(0o770)), (0o701, Some(0o701))]
        {
            std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(open_to_others(directory.path()), seen);
        }
        assert_eq!(open_to_others(&directory.path().join("none")), None);
    }

    #[test]
    fn long_files_and_pipes_are_refused() {
        let (directory, path) = file(0o600);
        assert!(matches!(read_secret(&path, 3), Err(FileError::TooLarge { most: 3, .. })));
        assert_eq!(read_secret(&path, 4).unwrap(), "text");
        let (pipe, mode) = (directory.path().join("pipe"), rustix::fs::Mode::from_raw_mode(0o600));
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(matches!(read_secret(&pipe, 10), Err(FileError::NotAFile { .. })));
        assert!(matches!(read_secret(&directory.path().join("none"), 10), Err(FileError::Io { .. })));
    }
}
