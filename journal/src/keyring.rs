//! A ledger's signing keys while they change (docs/format.md, "Key rotation"): the journal says which key is in force, and
//! here it is looked for, whatever name its file has at the moment.
//!
//! | file | what it is |
//! |---|---|
//! | `<id>.key` | the key in force, except for a moment while a rotation ends |
//! | `<id>.<key id>.new.key` | made for a rotation, and not in force yet |
//! | `<id>.<key id>.old.key` | was in force before |
//!
//! Names are for people. A crash may leave them as they were at any moment of a rotation; the next start puts them right.
//! No key is ever overwritten or removed here. They only go forward: a backup from before a rotation, opened beside the ledger
//! itself, finds its key under the name of an old one and leaves it there, because old keys are what people destroy.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledgerstone_digest::Id;
use ledgerstone_digest::note::{SigningKey, VerifierKey};

use crate::env::{OpenMode, Rng, Storage, read_file, write_all_at};
use crate::keys::{KEY_FILE_BYTES_MAX, KeyError};

/// Where the keys of one ledger are.
pub trait KeySource: Send + Sync {
    /// The signing key of this verifier key.
    fn find(&self, vkey: &VerifierKey) -> Result<SigningKey, KeyError>;

    /// Makes a key of this name. It survives a power failure when this returns.
    fn make(&self, origin: &str, rng: &dyn Rng) -> Result<SigningKey, KeyError>;

    /// This key is in force: it takes the name where people look for it, and the one that was there another. One that was in
    /// force before stays where it is.
    fn settle(&self, current: &VerifierKey) -> Result<(), KeyError>;
}

/// The keys that a ledger is opened with.
#[derive(Clone)]
pub struct Keys(Arc<dyn KeySource>);

impl Keys {
    pub fn new(source: impl KeySource + 'static) -> Keys {
        Keys(Arc::new(source))
    }
}

impl std::ops::Deref for Keys {
    type Target = dyn KeySource;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl From<SigningKey> for Keys {
    fn from(key: SigningKey) -> Keys {
        Keys::new(OneKey(key))
    }
}

/// A key in memory, with no place for another.
struct OneKey(SigningKey);

impl KeySource for OneKey {
    fn find(&self, vkey: &VerifierKey) -> Result<SigningKey, KeyError> {
        match self.0.verifier() == vkey {
            true => Ok(self.0.clone()),
            false => Err(KeyError::other(self.0.verifier(), vkey)),
        }
    }

    fn make(&self, _: &str, _: &dyn Rng) -> Result<SigningKey, KeyError> {
        Err(KeyError::NoPlace)
    }

    fn settle(&self, _: &VerifierKey) -> Result<(), KeyError> {
        Ok(())
    }
}

/// Files in the directory of keys.
pub trait KeyFiles: Send + Sync {
    /// The directory, for messages.
    fn dir(&self) -> &Path;
    /// The names in it.
    fn names(&self) -> Result<Vec<String>, KeyError>;
    /// A signing key; refused if others may read it.
    fn read(&self, name: &str) -> Result<SigningKey, KeyError>;
    /// Writes and syncs a file that must not be there yet.
    fn write_new(&self, name: &str, mode: u32, line: &str) -> Result<(), KeyError>;
    fn rename(&self, from: &str, to: &str) -> Result<(), KeyError>;
    /// Removes a file that is no key, if it is there.
    fn remove(&self, name: &str) -> Result<(), KeyError>;
    /// Makes the names durable.
    fn sync(&self) -> Result<(), KeyError>;
}

/// The keys of one ledger as files.
pub struct KeyRing<F> {
    files: F,
    ledger: Id,
}

impl<F: KeyFiles> KeyRing<F> {
    pub fn new(files: F, ledger: Id) -> KeyRing<F> {
        KeyRing { files, ledger }
    }

    /// Every key of the ledger with its file's name, the one in force first. There is at least one.
    pub fn all(&self) -> Result<Vec<(String, SigningKey)>, KeyError> {
        let (usual, prefix) = (self.usual(), format!("{}.", self.ledger));
        let mut names: Vec<String> = self.files.names()?;
        names.retain(|name| name.starts_with(&prefix) && name.ends_with(".key"));
        names.sort_by_key(|name| (*name != usual, name.clone()));
        let keys = names.into_iter().map(|name| Ok((name.clone(), self.files.read(&name)?)));
        let keys: Vec<_> = keys.collect::<Result<_, KeyError>>()?;
        match keys.is_empty() {
            true => Err(KeyError::Missing { path: self.files.dir().join(usual) }),
            false => Ok(keys),
        }
    }

    /// A key that nobody has yet.
    pub(crate) fn generate(&self, origin: &str, rng: &dyn Rng) -> Result<SigningKey, KeyError> {
        let mut seed = [0; 32];
        rng.fill(&mut seed);
        let made = SigningKey::from_seed(origin, &seed);
        seed.fill(0);
        let path = self.files.dir().join(self.usual());
        made.map_err(|error| KeyError::Malformed { path, reason: error.to_string() })
    }

    /// Writes the first key, and its verifier key beside it.
    pub fn create(&self, key: &SigningKey) -> Result<(), KeyError> {
        self.files.write_new(&self.usual(), 0o600, &key.to_private_text())?;
        self.files.write_new(&self.usual_vkey(), 0o644, &key.verifier().to_string())?;
        self.files.sync()
    }

    fn usual(&self) -> String {
        format!("{}.key", self.ledger)
    }

    fn usual_vkey(&self) -> String {
        format!("{}.vkey", self.ledger)
    }

    fn write_vkey(&self, vkey: &VerifierKey) -> Result<(), KeyError> {
        let part = format!("{}.part", self.usual_vkey());
        self.files.remove(&part)?;
        self.files.write_new(&part, 0o644, &vkey.to_string())?;
        self.files.rename(&part, &self.usual_vkey())
    }
}

impl<F: KeyFiles> KeySource for KeyRing<F> {
    fn find(&self, vkey: &VerifierKey) -> Result<SigningKey, KeyError> {
        let keys = self.all()?;
        if let Some((_, key)) = keys.iter().find(|(_, key)| key.verifier() == vkey) {
            return Ok(key.clone());
        }
        let usual = self.usual();
        match keys.first() {
            Some((name, given)) if *name == usual => Err(KeyError::other(given.verifier(), vkey)),
            _ => Err(KeyError::Missing { path: self.files.dir().join(usual) }),
        }
    }

    fn make(&self, origin: &str, rng: &dyn Rng) -> Result<SigningKey, KeyError> {
        let key = self.generate(origin, rng)?;
        // Whole before it has the name of a key: a torn one would be taken for damage.
        let name = aside(self.ledger, key.verifier(), "new");
        let part = format!("{name}.part");
        self.files.write_new(&part, 0o600, &key.to_private_text())?;
        self.files.rename(&part, &name)?;
        self.files.sync()?;
        Ok(key)
    }

    fn settle(&self, current: &VerifierKey) -> Result<(), KeyError> {
        let (keys, usual) = (self.all()?, self.usual());
        if keys.first().is_some_and(|(name, key)| *name == usual && key.verifier() == current) {
            return Ok(());
        }
        let Some((found, _)) = keys.iter().find(|(_, key)| key.verifier() == current) else {
            return Err(KeyError::Missing { path: self.files.dir().join(usual) });
        };
        let holds_usual = keys.first().is_some_and(|(name, _)| *name == usual);
        if holds_usual && *found == old_key_file(self.ledger, current) {
            tracing::warn!(
                key = found,
                "this ledger goes on with a key that another one has followed under the same id: it is a copy from before a \
                 rotation; that file must be kept as long as this copy is written to"
            );
            return Ok(());
        }
        // A crash between these leaves no file under the usual name, and both under names where they are found.
        if let Some((name, key)) = keys.first().filter(|(name, _)| *name == usual) {
            self.files.rename(name, &old_key_file(self.ledger, key.verifier()))?;
            self.files.sync()?;
        }
        self.write_vkey(current)?;
        self.files.rename(found, &usual)?;
        self.files.sync()
    }
}

/// The name that a key's file has after another key has taken over.
pub fn old_key_file(ledger: Id, vkey: &VerifierKey) -> String {
    aside(ledger, vkey, "old")
}

fn aside(ledger: Id, vkey: &VerifierKey, state: &str) -> String {
    format!("{ledger}.{:08x}.{state}.key", u32::from_be_bytes(vkey.id()))
}

/// Keys on a [`Storage`]: for tests, whose disks lose what was not synced. It has no permissions to look at.
pub struct StoredKeys {
    pub storage: Arc<dyn Storage>,
    pub dir: PathBuf,
}

impl StoredKeys {
    fn io(&self, name: &str) -> impl Fn(std::io::Error) -> KeyError {
        let path = self.dir.join(name);
        move |source| KeyError::Io { path: path.clone(), source }
    }
}

impl KeyFiles for StoredKeys {
    fn dir(&self) -> &Path {
        &self.dir
    }

    fn names(&self) -> Result<Vec<String>, KeyError> {
        let entries = self.storage.read_dir(&self.dir).map_err(self.io(""))?;
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    }

    fn read(&self, name: &str) -> Result<SigningKey, KeyError> {
        let path = self.dir.join(name);
        let bytes = read_file(&*self.storage, &path, KEY_FILE_BYTES_MAX).map_err(self.io(name))?;
        let text = String::from_utf8_lossy(&bytes);
        text.trim_end().parse().map_err(|error: ledgerstone_digest::note::KeyError| KeyError::Malformed {
            path,
            reason: error.to_string(),
        })
    }

    fn write_new(&self, name: &str, _: u32, line: &str) -> Result<(), KeyError> {
        let path = self.dir.join(name);
        let file = self.storage.open(&path, OpenMode::CreateNew).map_err(|source| match source.kind() {
            std::io::ErrorKind::AlreadyExists => KeyError::Exists { path },
            _ => self.io(name)(source),
        })?;
        write_all_at(&*file, format!("{line}\n").as_bytes(), 0).map_err(self.io(name))?;
        file.sync_data().map_err(self.io(name))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), KeyError> {
        self.storage.rename(&self.dir.join(from), &self.dir.join(to)).map_err(self.io(from))
    }

    fn remove(&self, name: &str) -> Result<(), KeyError> {
        match self.storage.remove_file(&self.dir.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(self.io(name)(error)),
            _ => Ok(()),
        }
    }

    fn sync(&self) -> Result<(), KeyError> {
        self.storage.sync_dir(&self.dir).map_err(self.io(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{Env, SeededRng};

    const LEDGER: Id = Id([3; 16]);

    fn ring(env: &Env) -> KeyRing<StoredKeys> {
        env.storage.create_dir_all(Path::new("/keys")).unwrap();
        KeyRing::new(StoredKeys { storage: env.storage.clone(), dir: "/keys".into() }, LEDGER)
    }

    fn origin() -> String {
        format!("ledger.example/{LEDGER}")
    }

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&origin(), &[seed; 32]).unwrap()
    }

    #[test]
    fn a_key_is_found_under_whatever_name_a_rotation_left_it() {
        let env = Env::memory(1);
        let ring = ring(&env);
        assert!(matches!(ring.find(key(1).verifier()), Err(KeyError::Missing { .. })));
        ring.create(&key(1)).unwrap();
        let new = ring.make(&origin(), &SeededRng::new(5)).unwrap();
        let found = |key: &SigningKey| ring.find(key.verifier()).unwrap().verifier() == key.verifier();
        assert!(found(&key(1)) && found(&new));
        // Half of a settling: nothing stands under the usual name.
        ring.files.rename(&ring.usual(), &old_key_file(LEDGER, key(1).verifier())).unwrap();
        assert!(found(&key(1)) && found(&new));
        ring.settle(new.verifier()).unwrap();
        ring.settle(new.verifier()).unwrap();
        assert!(found(&key(1)) && found(&new));
        let first = &ring.all().unwrap()[0];
        assert_eq!((first.0.as_str(), first.1.verifier()), (ring.usual().as_str(), new.verifier()));
        let vkey = read_file(&*env.storage, &Path::new("/keys").join(ring.usual_vkey()), 1000).unwrap();
        assert_eq!(String::from_utf8(vkey).unwrap(), format!("{}\n", new.verifier()));
        let strange = ring.find(key(9).verifier());
        assert!(matches!(strange, Err(KeyError::OtherKey { .. })), "{strange:?}");
    }

    #[test]
    fn a_copy_from_before_a_rotation_takes_no_name_from_the_key_in_force() {
        let env = Env::memory(1);
        let ring = ring(&env);
        ring.create(&key(1)).unwrap();
        let new = ring.make(&origin(), &SeededRng::new(5)).unwrap();
        for current in [&new, &key(1), &new, &key(1)] {
            ring.settle(current.verifier()).unwrap();
            assert_eq!(ring.find(current.verifier()).unwrap().verifier(), current.verifier());
            let all: Vec<_> =
                ring.all().unwrap().into_iter().map(|(name, key)| (name, key.verifier().clone())).collect();
            let old = old_key_file(LEDGER, key(1).verifier());
            assert_eq!(all, [(ring.usual(), new.verifier().clone()), (old, key(1).verifier().clone())]);
        }
        let vkey = read_file(&*env.storage, &Path::new("/keys").join(ring.usual_vkey()), 1000).unwrap();
        assert_eq!(String::from_utf8(vkey).unwrap(), format!("{}\n", new.verifier()));
    }
}
