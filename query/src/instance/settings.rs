//! What a ledger's owner has set beside it, in `<data>/<name>.settings`: whether statements need permissions, and tags.

use std::collections::BTreeMap;

use ledgerstone_digest::ion::{Struct, Symbol, Value};

use super::Instance;
use super::beside::Beside;
use crate::error::{QueryError, Result, SqlState};

/// Tags of one ledger or stream, as in QLDB.
pub const TAGS_MAX: usize = 50;
/// Characters of a tag's key.
pub const TAG_KEY_MAX: usize = 128;
/// Characters of a tag's value.
pub const TAG_VALUE_MAX: usize = 256;

/// A ledger whose permissions are not known is not opened to everybody.
pub(super) const SETTINGS: Beside =
    Beside { what: "settings", mend: "Remove the file, and set the permissions mode and the tags again." };

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
        let written = self.write_settings(ledger, &settings);
        // Also if it failed: what the file holds then is not known.
        self.permissions_changed();
        written.map(|()| settings)
    }

    fn read_settings(&self, ledger: &str) -> Result<LedgerSettings> {
        Ok(self.read_beside(ledger, SETTINGS, decode)?.unwrap_or_default())
    }

    pub(super) fn write_settings(&self, ledger: &str, settings: &LedgerSettings) -> Result<()> {
        self.write_beside(ledger, SETTINGS, &encode(settings))
    }
}

fn encode(settings: &LedgerSettings) -> Value {
    let tags = settings.tags.iter().map(|(key, value)| (Symbol::from(key.as_str()), Value::string(value.as_str())));
    let tags = Value::Struct(Struct { fields: tags.collect() });
    let mode = Value::string(settings.permissions.name());
    Value::Struct(Struct::from_fields([("permissionsMode", mode), ("tags", tags)]))
}

fn decode(value: &Value) -> std::result::Result<LedgerSettings, &'static str> {
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

#[cfg(test)]
mod tests {
    use ledgerstone_digest::ion::{Limits, parse};

    use super::*;

    #[test]
    fn settings_come_back_as_they_were_written() {
        let tags = [("a'b \"\\ \u{1F600}", "x\ny"), ("empty", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        for permissions in [PermissionsMode::AllowAll, PermissionsMode::Standard] {
            let settings = LedgerSettings { permissions, tags: tags.clone().into() };
            assert_eq!(decode(&encode(&settings)), Ok(settings));
        }
        for text in ["1", "{}", "{permissionsMode:\"NONE\",tags:{}}", "{permissionsMode:\"STANDARD\",tags:{a:1}}"] {
            assert!(decode(&parse(text, &Limits::DOCUMENT).unwrap()).is_err(), "{text}");
        }
    }
}
