//! Signing keys: one per ledger, as a file in a directory of their own, never inside the data directory.
//!
//! `<ledger id>.key` holds Go's text form of a note signing key (`PRIVATE+KEY+name+hash+base64`) and a newline, mode
//! 0600; `<ledger id>.vkey` holds the verifier key that auditors are given, mode 0644. The key file is the one secret
//! of a ledger: whoever has it can sign another history. It belongs in no backup of the data. While a key is rotated
//! there are more files; [`crate::keyring`] knows their names.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ledgerstone_digest::id::Id;
use ledgerstone_digest::note::{KeyError as NoteKeyError, SigningKey, VerifierKey};

use crate::env::{Rng, help_for, is_full};
use crate::keyring::{KeyFiles, KeyRing, Keys};
use crate::real_path;

/// Key files are short; a longer file is not one.
pub(crate) const KEY_FILE_BYTES_MAX: u64 = 4096;

/// Why a key could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file system refused.
    #[error("{}: {source}{}", path.display(), help_for(source))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What was given as the directory of keys is none, or cannot be read.
    #[error(
        "the keys directory {}: {source}{}; --keys names the directory that holds the ledgers' keys",
        path.display(),
        help_for(source)
    )]
    Directory {
        /// What was given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no key for the ledger.
    #[error(
        "{} is missing: it is the key that signs this ledger's checkpoints; restore it from where keys are kept (it is \
         not in backups of the data directory), or see `ledgerstone import ledger --help` if it is lost for good",
        path.display()
    )]
    Missing {
        /// The key file.
        path: PathBuf,
    },
    /// Others than the owner may read the key.
    #[error("{} can be read or written by others than its owner (mode {mode:04o}); run: chmod 600 {}", path.display(), path.display())]
    TooOpen {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Others than its owner may put keys into the directory, or take them away.
    #[error("the keys directory {} can be written by others than its owner (mode {mode:04o}); run: chmod go-w {}", path.display(), path.display())]
    DirectoryTooOpen {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file does not hold a signing key.
    #[error("{} is not a signing key: {reason}", path.display())]
    Malformed {
        /// The key file.
        path: PathBuf,
        /// What is wrong, without the text.
        reason: String,
    },
    /// The key signs for somebody else.
    #[error("{}: the key is named {found:?}, but the ledger's origin is {origin:?}", path.display())]
    OtherName {
        /// The key file.
        path: PathBuf,
        /// The key's name.
        found: String,
        /// The ledger's origin.
        origin: String,
    },
    /// None of the keys is the one that is looked for.
    #[error("the key {given} is not {expected}, which the ledger's journal says is in force")]
    OtherKey {
        /// The key under the usual name.
        given: String,
        /// The key that is needed.
        expected: String,
    },
    /// A key that was given has no file beside which a new one could be put.
    #[error("the key was not read from a directory of keys, so there is no place for a new one")]
    NoPlace,
    /// A key for this ledger exists; it is never overwritten.
    #[error("{} exists; a key is never overwritten", path.display())]
    Exists {
        /// The key file.
        path: PathBuf,
    },
    /// The keys would lie among the data they protect.
    #[error("the keys directory {} lies inside the data directory {}; keep keys elsewhere", keys.display(), data.display())]
    InsideData {
        /// The keys directory.
        keys: PathBuf,
        /// The data directory.
        data: PathBuf,
    },
}

impl KeyError {
    /// There is no room on the disk.
    pub fn is_full(&self) -> bool {
        matches!(self, KeyError::Io { source, .. } | KeyError::Directory { source, .. } if is_full(source))
    }

    pub(crate) fn other(given: &VerifierKey, expected: &VerifierKey) -> KeyError {
        KeyError::OtherKey { given: given.to_string(), expected: expected.to_string() }
    }
}

/// The directory that holds the signing keys of a server's ledgers.
#[derive(Debug, Clone)]
pub struct KeyDirectory {
    dir: PathBuf,
}

impl KeyDirectory {
    /// Opens the directory, making it (mode 0700) if it is not there. It may not lie inside `data`.
    pub fn open(dir: &Path, data: &Path) -> Result<KeyDirectory, KeyError> {
        let refused = |source| KeyError::Directory { path: dir.to_owned(), source };
        if real_path(dir).map_err(refused)?.starts_with(real_path(data).map_err(refused)?) {
            return Err(KeyError::InsideData { keys: dir.to_owned(), data: data.to_owned() });
        }
        if !dir.is_dir() {
            create_private_dir(dir).map_err(|source| match source.kind() {
                // "File exists" would be said of what is no directory.
                io::ErrorKind::AlreadyExists => refused(io::ErrorKind::NotADirectory.into()),
                _ => refused(source),
            })?;
        }
        let facts = fs::metadata(dir).map_err(refused)?;
        let mode = facts.permissions().mode() & 0o7777;
        if mode & 0o022 != 0 {
            return Err(KeyError::DirectoryTooOpen { path: dir.to_owned(), mode });
        }
        Ok(KeyDirectory { dir: dir.to_owned() })
    }

    /// The key file of a ledger.
    pub fn key_path(&self, ledger: Id) -> PathBuf {
        self.dir.join(format!("{ledger}.key"))
    }

    /// The verifier key file of a ledger: what to give to auditors.
    pub fn vkey_path(&self, ledger: Id) -> PathBuf {
        self.dir.join(format!("{ledger}.vkey"))
    }

    /// Makes a key named `origin`, writes and syncs both files, and returns it. An existing key is an error.
    pub fn create(&self, ledger: Id, origin: &str, rng: &dyn Rng) -> Result<SigningKey, KeyError> {
        let ring = self.ring(ledger);
        let key = ring.generate(origin, rng)?;
        ring.create(&key)?;
        Ok(key)
    }

    /// Reads a ledger's key. A file that others can read is refused, and so is a key for another origin.
    pub fn load(&self, ledger: Id, origin: &str) -> Result<SigningKey, KeyError> {
        let path = self.key_path(ledger);
        let key = read_key(&path)?;
        match key.name() == origin {
            true => Ok(key),
            false => Err(KeyError::OtherName { path, found: key.name().to_owned(), origin: origin.to_owned() }),
        }
    }

    /// All keys that a ledger has or had.
    pub fn ring(&self, ledger: Id) -> KeyRing<KeyDirectory> {
        KeyRing::new(self.clone(), ledger)
    }

    fn io(&self, source: io::Error) -> KeyError {
        KeyError::Io { path: self.dir.clone(), source }
    }
}

impl KeyFiles for KeyDirectory {
    fn dir(&self) -> &Path {
        &self.dir
    }

    fn names(&self) -> Result<Vec<String>, KeyError> {
        let entries = fs::read_dir(&self.dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = entries.map_err(|source| KeyError::Directory { path: self.dir.clone(), source })?;
        Ok(entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }

    fn read(&self, name: &str) -> Result<SigningKey, KeyError> {
        read_key(&self.dir.join(name))
    }

    fn write_new(&self, name: &str, mode: u32, line: &str) -> Result<(), KeyError> {
        write_new(&self.dir.join(name), mode, line)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), KeyError> {
        let path = self.dir.join(from);
        fs::rename(&path, self.dir.join(to)).map_err(|source| KeyError::Io { path, source })
    }

    fn remove(&self, name: &str) -> Result<(), KeyError> {
        let path = self.dir.join(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(KeyError::Io { path, source }),
            _ => Ok(()),
        }
    }

    fn sync(&self) -> Result<(), KeyError> {
        fs::File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(|source| self.io(source))
    }
}

/// The keys of a ledger in a directory that is there.
pub fn keys_in(dir: &Path, ledger: Id) -> Keys {
    Keys::new(KeyDirectory { dir: dir.to_owned() }.ring(ledger))
}

/// Reads one key file.
pub fn read_key(path: &Path) -> Result<SigningKey, KeyError> {
    let io = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => KeyError::Missing { path: path.to_owned() },
        _ => KeyError::Io { path: path.to_owned(), source },
    };
    let malformed = |reason: String| KeyError::Malformed { path: path.to_owned(), reason };
    let file = fs::File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::TooOpen { path: path.to_owned(), mode });
    }
    if !metadata.is_file() || metadata.len() > KEY_FILE_BYTES_MAX {
        return Err(malformed(format!("it is not a file of at most {KEY_FILE_BYTES_MAX} bytes")));
    }
    let text = io::read_to_string(file).map_err(io)?;
    text.trim_end_matches(['\r', '\n']).parse().map_err(|error: NoteKeyError| malformed(error.to_string()))
}

fn create_private_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

fn write_new(path: &Path, mode: u32, line: &str) -> Result<(), KeyError> {
    let io = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.to_owned() },
        _ => KeyError::Io { path: path.to_owned(), source },
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(io)?;
    file.write_all(format!("{line}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(|error| {
        // Nobody has it, and half a key would be taken for damage.
        let _ = fs::remove_file(path);
        io(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::SeededRng;

    const LEDGER: Id = Id([3; 16]);

    fn origin() -> String {
        format!("ledger.example/{LEDGER}")
    }

    fn directory() -> (tempfile::TempDir, KeyDirectory) {
        let dir = tempfile::tempdir().unwrap();
        let keys = KeyDirectory::open(&dir.path().join("keys"), &dir.path().join("data")).unwrap();
        (dir, keys)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_key_is_private_and_read_back() {
        let (dir, keys) = directory();
        let key = keys.create(LEDGER, &origin(), &SeededRng::new(7)).unwrap();
        assert_eq!(mode(&dir.path().join("keys")), 0o700);
        assert_eq!(mode(&keys.key_path(LEDGER)), 0o600);
        assert_eq!(mode(&keys.vkey_path(LEDGER)), 0o644);
        assert_eq!(keys.load(LEDGER, &origin()).unwrap().verifier(), key.verifier());
        assert_eq!(fs::read_to_string(keys.vkey_path(LEDGER)).unwrap(), format!("{}\n", key.verifier()));
        assert!(fs::read_to_string(keys.key_path(LEDGER)).unwrap().starts_with("PRIVATE+KEY+ledger.example/"));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let (_dir, keys) = directory();
        keys.create(LEDGER, &origin(), &SeededRng::new(7)).unwrap();
        for open in [0o604, 0o640, 0o644, 0o602, 0o666, 0o777] {
            fs::set_permissions(keys.key_path(LEDGER), fs::Permissions::from_mode(open)).unwrap();
            match keys.load(LEDGER, &origin()) {
                Err(KeyError::TooOpen { mode, .. }) => assert_eq!(mode, open),
                other => panic!("mode {open:o}: {other:?}"),
            }
        }
        fs::set_permissions(keys.key_path(LEDGER), fs::Permissions::from_mode(0o400)).unwrap();
        keys.load(LEDGER, &origin()).unwrap();
    }

    #[test]
    fn a_key_is_never_overwritten_nor_used_for_another_ledger() {
        let (_dir, keys) = directory();
        assert!(matches!(keys.load(LEDGER, &origin()), Err(KeyError::Missing { .. })));
        keys.create(LEDGER, &origin(), &SeededRng::new(7)).unwrap();
        assert!(matches!(keys.create(LEDGER, &origin(), &SeededRng::new(8)), Err(KeyError::Exists { .. })));
        assert!(matches!(keys.load(LEDGER, "ledger.example/other"), Err(KeyError::OtherName { .. })));
        fs::write(keys.key_path(LEDGER), "PRIVATE+KEY+nonsense\n").unwrap();
        match keys.load(LEDGER, &origin()) {
            Err(error @ KeyError::Malformed { .. }) => assert!(!error.to_string().contains("nonsense")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_directory_that_others_can_write_to_holds_no_keys() {
        let dir = tempfile::tempdir().unwrap();
        let (keys, data) = (dir.path().join("keys"), dir.path().join("data"));
        fs::create_dir(&keys).unwrap();
        for open in [0o720, 0o702, 0o775, 0o777, 0o1777] {
            fs::set_permissions(&keys, fs::Permissions::from_mode(open)).unwrap();
            let error = KeyDirectory::open(&keys, &data).unwrap_err().to_string();
            let run = format!("(mode {open:04o}); run: chmod go-w {}", keys.display());
            assert!(error.ends_with(&run), "{error}");
        }
        for closed in [0o700, 0o755, 0o750] {
            fs::set_permissions(&keys, fs::Permissions::from_mode(closed)).unwrap();
            KeyDirectory::open(&keys, &data).unwrap();
        }
    }

    #[test]
    fn keys_do_not_lie_inside_the_data() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        for inside in [data.clone(), data.join("keys"), data.join("a/b"), dir.path().join("new/../data/keys")] {
            assert!(matches!(KeyDirectory::open(&inside, &data), Err(KeyError::InsideData { .. })));
        }
        assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
    }
}
