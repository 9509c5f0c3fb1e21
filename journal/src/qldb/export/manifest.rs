//! The manifests of an export: one says at once what is being exported, the other at the end which objects it came to.

use ledgerstone_digest::Id;
use ledgerstone_digest::block::native_time;
use ledgerstone_digest::ion::{Limits, Struct, Value, parse, to_text_pretty};

use super::{Format, ObjectSink, SinkError, TimeRange};

const STARTED: &str = ".started.manifest";
const COMPLETED: &str = ".completed.manifest";
/// The longest prefix, as in QLDB.
const PREFIX_CHARACTERS_MAX: usize = 128;
/// The longest manifest that is read.
const MANIFEST_BYTES_MAX: u64 = 16 << 20;

/// What is exported and where to: what the started manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalExport {
    pub id: Id,
    pub ledger_name: String,
    pub range: TimeRange,
    /// `None`: nobody asked for one, and it is Ion text.
    pub output_format: Option<Format>,
    /// What is in front of all keys. Readers find block numbers behind the first dot of a key, so it has none.
    pub prefix: String,
    /// `None`: a directory.
    pub bucket: Option<String>,
    /// By QLDB's names: `SSE_S3`, `SSE_KMS`, `NO_ENCRYPTION`.
    pub encryption: String,
}

/// An export that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    pub export: JournalExport,
    /// Its data objects, if it has come to its end.
    pub completed: Option<Vec<String>>,
}

/// A manifest that is none.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {what}")]
pub struct ManifestError {
    pub key: String,
    pub what: &'static str,
}

impl JournalExport {
    /// What is wrong with a prefix, if anything.
    pub fn check_prefix(prefix: &str) -> Result<(), String> {
        let whole = !prefix.split('/').rev().skip(1).any(str::is_empty);
        if prefix.chars().count() <= PREFIX_CHARACTERS_MAX
            && whole
            && !prefix.contains(|c: char| c == '.' || c.is_control())
        {
            return Ok(());
        }
        Err(format!(
            "a prefix has at most {PREFIX_CHARACTERS_MAX} characters, no dot (readers of exports look for block numbers behind \
             the first one), no slash at the beginning or beside another, and no control characters"
        ))
    }

    pub fn format(&self) -> Format {
        self.output_format.unwrap_or_default()
    }

    pub(super) fn started_key(&self) -> String {
        format!("{}{}{STARTED}", self.prefix, self.id)
    }

    pub(super) fn completed_key(&self, strand: &str) -> String {
        format!("{}{}.{strand}{COMPLETED}", self.prefix, self.id)
    }

    pub(super) fn started_manifest(&self) -> String {
        let text = |text: &str| Value::string(text);
        let time = |ms: i64| Value::Timestamp(native_time(ms));
        let mut fields = vec![
            ("ledgerName", text(&self.ledger_name)),
            ("exportId", text(&self.id.to_string())),
            ("inclusiveStartTime", time(self.range.from_ms)),
            ("exclusiveEndTime", time(self.range.to_ms)),
        ];
        fields.extend(self.bucket.as_deref().map(|bucket| ("bucket", text(bucket))));
        fields.push(("prefix", text(&self.prefix)));
        fields.push(("objectEncryptionType", text(&self.encryption)));
        fields.extend(self.output_format.map(|format| ("outputFormat", text(format.name()))));
        whole(fields)
    }

    fn read(value: &Value) -> Option<JournalExport> {
        let fields = value.as_struct()?;
        let text = |name: &str| fields.get(name).and_then(Value::as_text).map(str::to_owned);
        let time = |name: &str| match fields.get(name) {
            Some(Value::Timestamp(time)) => Some(time.epoch_ms()),
            _ => None,
        };
        Some(JournalExport {
            id: text("exportId")?.parse().ok()?,
            ledger_name: text("ledgerName")?,
            range: TimeRange { from_ms: time("inclusiveStartTime")?, to_ms: time("exclusiveEndTime")? },
            output_format: match text("outputFormat") {
                Some(name) => Some(Format::from_name(&name)?),
                None => None,
            },
            prefix: text("prefix")?,
            bucket: text("bucket"),
            encryption: text("objectEncryptionType")?,
        })
    }
}

/// The exports that were begun under a prefix.
pub fn started(sink: &dyn ObjectSink, prefix: &str) -> Result<Vec<Started>, super::ExportError> {
    let keys = sink.keys(prefix)?;
    let mut found = Vec::new();
    for key in &keys {
        let id = key.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(STARTED));
        let Some(id) = id.and_then(|id| id.parse::<Id>().ok()) else { continue };
        let refuse = |key: &str, what| ManifestError { key: key.to_owned(), what };
        let value = read(sink, key)?.ok_or_else(|| refuse(key, "the manifest has gone"))?;
        let export = JournalExport::read(&value).filter(|export| export.id == id && export.prefix == prefix);
        let export = export.ok_or_else(|| refuse(key, "this is not the manifest of an export to this place"))?;
        let completed = keys.iter().find(|key| {
            let rest = key.strip_prefix(prefix).and_then(|rest| rest.strip_prefix(&id.to_string()));
            rest.is_some_and(|rest| rest.starts_with('.') && rest.ends_with(COMPLETED))
        });
        let completed = completed.map(|key| read_completed(sink, key)).transpose()?;
        found.push(Started { export, completed });
    }
    Ok(found)
}

/// The manifest at the end.
pub(super) fn completed(keys: &[String]) -> String {
    whole(vec![("keys", Value::List(keys.iter().map(|key| Value::string(key.as_str())).collect()))])
}

fn read_completed(sink: &dyn ObjectSink, key: &str) -> Result<Vec<String>, super::ExportError> {
    let value = read(sink, key)?;
    let keys = match value.as_ref().and_then(Value::as_struct).and_then(|fields| fields.get("keys")) {
        Some(Value::List(keys)) => keys.iter().map(|key| key.as_text().map(str::to_owned)).collect(),
        _ => None,
    };
    keys.ok_or_else(|| ManifestError { key: key.to_owned(), what: "this is not a completed manifest" }.into())
}

fn read(sink: &dyn ObjectSink, key: &str) -> Result<Option<Value>, SinkError> {
    let bytes = sink.get(key, MANIFEST_BYTES_MAX)?;
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(text.and_then(|text| parse(&text, &Limits::DOCUMENT).ok()))
}

fn whole(fields: Vec<(&str, Value)>) -> String {
    let mut text = to_text_pretty(&Value::Struct(Struct::from_fields(fields)));
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_those_that_readers_understand() {
        for good in ["", "JournalExports-ForMyLedger/Testing/", "JournalExports", "My:Tests/", "a b/ä"] {
            assert_eq!(JournalExport::check_prefix(good), Ok(()), "{good}");
        }
        for bad in ["a.b", "..", "/", "/a", "a//b", "a//", "a\nb", &"x".repeat(129)] {
            assert!(JournalExport::check_prefix(bad).is_err(), "{bad}");
        }
    }
}
