//! What a ledger's owner has set beside it: whether statements need permissions, and tags.
//!
//! `<data>/<name>.settings` is an Ion text struct, written whole under another name, synced and renamed. It is no part of
//! the ledger: nothing of it is proved, and backups do not hold it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ledgerstone_digest::ion::{Limits, Struct, Symbol, Value, parse, to_text};
use ledgerstone_journal::env::{read_file, write_whole};

use super::{Instance, io_error};
use crate::error::{QueryError, Result, SqlState};

/// Tags of one ledger or stream, as in QLDB.
pub const TAGS_MAX: usize = 50;
/// Characters of a tag's key.
pub const TAG_KEY_MAX: usize = 128;
/// Characters of a tag's value.
pub const TAG_VALUE_MAX: usize = 256;
/// The longest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Whether statements of the session API need permissions, by QLDB's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PermissionsMode {
    /// Who may open a session may do everything.
    #[default]
    AllowAll,
    /// Each statement needs a permission on each table it touches.
    Standard,
}

/// What is set beside a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LedgerSettings {
    pub permissions: PermissionsMode,
    pub tags: BTreeMap<String, String>,
}

impl PermissionsMode {
    pub fn name(self) -> &'static str {
        match self {
            PermissionsMode::AllowAll => "ALLOW_ALL",
            PermissionsMode::Standard => "STANDARD",
        }
    }

    pub fn from_name(name: &str) -> Option<PermissionsMode> {
        [PermissionsMode::AllowAll, PermissionsMode::Standard].into_iter().find(|mode| mode.name() == name)
    }
}

impl LedgerSettings {
    pub(super) fn check(&self) -> Result<()> {
        check_tags(&self.tags)
    }
}

/// Whether a ledger, or something that belongs to one, may have these tags (22023).
pub fn check_tags(tags: &BTreeMap<String, String>) -> Result<()> {
    let refuse = |what: String| Err(QueryError::new(SqlState::INVALID_PARAMETER_VALUE, what));
    if tags.len() > TAGS_MAX {
        return refuse(format!("there are at most {TAGS_MAX} tags, not {}", tags.len()));
    }
    for (key, value) in tags {
        if !(1..=TAG_KEY_MAX).contains(&key.chars().count()) || value.chars().count() > TAG_VALUE_MAX {
            return refuse(format!(
                "a tag's key has 1 to {TAG_KEY_MAX} characters and its value at most {TAG_VALUE_MAX}"
            ));
        }
    }
    Ok(())
}

impl Instance {
    /// What is set beside a ledger. One that nobody has set anything of has the defaults.
    pub fn settings(&self, ledger: &str) -> Result<LedgerSettings> {
        self.must_exist(ledger)?;
        self.read_settings(ledger)
    }

    /// Changes what is set beside a ledger; durable when this returns.
    pub fn change_settings(&self, ledger: &str, change: impl FnOnce(&mut LedgerSettings)) -> Result<LedgerSettings> {
        // One change at a time, and none of a ledger that is being dropped.
        let _open = self.opened();
        self.must_exist(ledger)?;
        let mut settings = self.read_settings(ledger)?;
        change(&mut settings);
        settings.check()?;
        self.write_settings(ledger, &settings)?;
        Ok(settings)
    }

    fn read_settings(&self, ledger: &str) -> Result<LedgerSettings> {
        let path = self.settings_path(ledger);
        let storage = &self.options.env.storage;
        let bytes = match read_file(&**storage, &path, FILE_BYTES_MAX) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(LedgerSettings::default()),
            Err(error) if error.kind() == ErrorKind::InvalidData => return Err(damaged(&path, "is too long")),
            read => read.map_err(|e| io_error("read", &path, e))?,
        };
        let text = String::from_utf8(bytes).map_err(|_| damaged(&path, "is not text"))?;
        decode(&text).map_err(|what| damaged(&path, what))
    }

    pub(super) fn write_settings(&self, ledger: &str, settings: &LedgerSettings) -> Result<()> {
        let storage = &self.options.env.storage;
        let (path, next) = (self.settings_path(ledger), self.options.data.join(format!(".{ledger}.settings.tmp")));
        write_whole(&**storage, &next, encode(settings).as_bytes()).map_err(|e| io_error("write", &next, e))?;
        storage.rename(&next, &path).map_err(|e| io_error("rename", &next, e))?;
        storage.sync_dir(&self.options.data).map_err(|e| io_error("sync", &self.options.data, e))
    }

    /// Those of a ledger that is gone, or of one that was not made after all.
    pub(super) fn remove_settings(&self, ledger: &str) -> Result<()> {
        let (storage, path) = (&self.options.env.storage, self.settings_path(ledger));
        if storage.exists(&path) {
            storage.remove_file(&path).map_err(|e| io_error("remove", &path, e))?;
        }
        Ok(())
    }

    fn settings_path(&self, ledger: &str) -> PathBuf {
        self.options.data.join(format!("{ledger}.settings"))
    }
}

fn encode(settings: &LedgerSettings) -> String {
    let tags = settings.tags.iter().map(|(key, value)| (Symbol::from(key.as_str()), Value::string(value.as_str())));
    let tags = Value::Struct(Struct { fields: tags.collect() });
    let mode = Value::string(settings.permissions.name());
    let mut text = to_text(&Value::Struct(Struct::from_fields([("permissionsMode", mode), ("tags", tags)])));
    text.push('\n');
    text
}

fn decode(text: &str) -> std::result::Result<LedgerSettings, &'static str> {
    let value = parse(text, &Limits::DOCUMENT).map_err(|_| "is not an Ion struct")?;
    let fields = value.as_struct().ok_or("is not an Ion struct")?;
    let text_of = |value: &Value| match value {
        Value::String(text) => Some(text.to_string()),
        _ => None,
    };
    let mode = fields.get("permissionsMode").and_then(text_of).ok_or("has no permissionsMode")?;
    let permissions = PermissionsMode::from_name(&mode).ok_or("has a permissionsMode that is not known")?;
    let tags = fields.get("tags").and_then(Value::as_struct).ok_or("has no tags")?;
    let tags = tags.fields.iter().map(|(key, value)| Some((key.text()?.to_owned(), text_of(value)?)));
    Ok(LedgerSettings { permissions, tags: tags.collect::<Option<_>>().ok_or("has a tag that is not text")? })
}

/// A ledger whose permissions are not known is not opened to everybody.
fn damaged(path: &Path, what: &str) -> QueryError {
    QueryError::new(SqlState::DATA_CORRUPTED, format!("{} {what}", path.display()))
        .hint("Remove the file, and set the permissions mode and the tags again.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_as_they_were_written() {
        let tags = [("a'b \"\\ \u{1F600}", "x\ny"), ("empty", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        for permissions in [PermissionsMode::AllowAll, PermissionsMode::Standard] {
            let settings = LedgerSettings { permissions, tags: tags.clone().into() };
            assert_eq!(decode(&encode(&settings)), Ok(settings));
        }
        for text in ["", "1", "{}", "{permissionsMode:\"NONE\",tags:{}}", "{permissionsMode:\"STANDARD\",tags:{a:1}}"] {
            assert!(decode(text).is_err(), "{text}");
        }
    }
}
