//! Journal exports that were asked for, beside their ledger: those that are being made, so that a restart goes on with them,
//! and for some days those that have ended. `<data>/<name>.exports` holds them as a list.

use ledgerstone_digest::Id;
use ledgerstone_digest::block::native_time;
use ledgerstone_digest::ion::{Struct, Value};
use ledgerstone_journal::qldb::export::{Format, JournalExport, TimeRange};

use super::Instance;
use super::beside::Beside;
use crate::error::{QueryError, Result, SqlState};

/// How long an export is listed after its end, as in QLDB.
pub const LISTED_MS: i64 = 7 * 24 * 3_600_000;
/// Exports of one ledger that are kept here.
pub const EXPORTS_MAX: usize = 1_000;

pub(super) const EXPORTS: Beside =
    Beside { what: "exports", mend: "Remove the file: exports that were being made have to be asked for again." };

/// An export that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportJob {
    pub export: JournalExport,
    pub created_ms: i64,
    /// Kept and shown; nobody takes it on.
    pub role_arn: String,
    /// With the encryption `SSE_KMS`.
    pub kms_key_arn: Option<String>,
    pub state: ExportState,
}

/// What became of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportState {
    InProgress,
    Completed {
        ended_ms: i64,
    },
    /// It could not be made.
    Cancelled {
        ended_ms: i64,
    },
}

impl ExportState {
    /// By QLDB's names.
    pub fn name(self) -> &'static str {
        match self {
            ExportState::InProgress => "IN_PROGRESS",
            ExportState::Completed { .. } => "COMPLETED",
            ExportState::Cancelled { .. } => "CANCELLED",
        }
    }

    fn ended_ms(self) -> Option<i64> {
        match self {
            ExportState::InProgress => None,
            ExportState::Completed { ended_ms } | ExportState::Cancelled { ended_ms } => Some(ended_ms),
        }
    }
}

impl Instance {
    /// The exports of a ledger that are listed, in the order in which they were asked for.
    pub fn journal_exports(&self, ledger: &str) -> Result<Vec<ExportJob>> {
        self.must_exist(ledger)?;
        self.read_exports(ledger)
    }

    /// Keeps an export that was asked for; durable when this returns. With `active_max`, no more than so many are being
    /// made at once.
    pub fn add_journal_export(&self, ledger: &str, job: &ExportJob, active_max: Option<usize>) -> Result<()> {
        // One change at a time, and none of a ledger that is being dropped.
        let _open = self.opened();
        self.must_exist(ledger)?;
        let mut jobs = self.read_exports(ledger)?;
        let active = jobs.iter().filter(|job| job.state == ExportState::InProgress).count();
        let refuse = |what: String| Err(QueryError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, what));
        if let Some(max) = active_max.filter(|max| active >= *max) {
            return refuse(format!("{max} exports of ledger \"{ledger}\" are being made; wait for one"));
        }
        if jobs.len() >= EXPORTS_MAX {
            return refuse(format!("ledger \"{ledger}\" had {EXPORTS_MAX} exports within a few days; wait"));
        }
        jobs.push(job.clone());
        self.write_exports(ledger, &jobs)
    }

    /// Says what became of an export. One that is not known, as of a ledger that was dropped, is no error.
    pub fn end_journal_export(&self, ledger: &str, id: Id, state: ExportState) -> Result<()> {
        self.change_exports(ledger, |jobs| {
            jobs.iter_mut().filter(|job| job.export.id == id).for_each(|job| job.state = state);
        })
    }

    /// Takes an export back that was not begun after all.
    pub fn forget_journal_export(&self, ledger: &str, id: Id) -> Result<()> {
        self.change_exports(ledger, |jobs| jobs.retain(|job| job.export.id != id))
    }

    fn change_exports(&self, ledger: &str, change: impl FnOnce(&mut Vec<ExportJob>)) -> Result<()> {
        let _open = self.opened();
        self.must_exist(ledger)?;
        let mut jobs = self.read_exports(ledger)?;
        change(&mut jobs);
        self.write_exports(ledger, &jobs)
    }

    /// Without those that ended long ago.
    fn read_exports(&self, ledger: &str) -> Result<Vec<ExportJob>> {
        let now_ms = self.options.env.clock.now_ms();
        let mut jobs = self.read_beside(ledger, EXPORTS, decode)?.unwrap_or_default();
        jobs.retain(|job| job.state.ended_ms().is_none_or(|ended_ms| now_ms.saturating_sub(ended_ms) < LISTED_MS));
        Ok(jobs)
    }

    fn write_exports(&self, ledger: &str, jobs: &[ExportJob]) -> Result<()> {
        self.write_beside(ledger, EXPORTS, &encode(jobs))
    }
}

fn encode(jobs: &[ExportJob]) -> Value {
    let one = |job: &ExportJob| {
        let text = |text: &str| Value::string(text);
        let time = |ms: i64| Value::Timestamp(native_time(ms));
        let export = &job.export;
        let mut fields = vec![
            ("exportId", text(&export.id.to_string())),
            ("ledgerName", text(&export.ledger_name)),
            ("created", time(job.created_ms)),
            ("from", time(export.range.from_ms)),
            ("to", time(export.range.to_ms)),
            ("prefix", text(&export.prefix)),
            ("encryption", text(&export.encryption)),
            ("roleArn", text(&job.role_arn)),
            ("state", text(job.state.name())),
        ];
        let optional = [
            ("bucket", export.bucket.as_deref().map(text)),
            ("outputFormat", export.output_format.map(|format| text(format.name()))),
            ("kmsKeyArn", job.kms_key_arn.as_deref().map(text)),
            ("ended", job.state.ended_ms().map(time)),
        ];
        fields.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
        Value::Struct(Struct::from_fields(fields))
    };
    Value::List(jobs.iter().map(one).collect())
}

fn decode(value: &Value) -> std::result::Result<Vec<ExportJob>, &'static str> {
    let Value::List(items) = value else { return Err("is not a list") };
    items.iter().map(|item| read(item).ok_or("has an export that cannot be read")).collect()
}

fn read(value: &Value) -> Option<ExportJob> {
    let fields = value.as_struct()?;
    let text = |name: &str| fields.get(name).and_then(Value::as_text).map(str::to_owned);
    let time = |name: &str| match fields.get(name) {
        Some(Value::Timestamp(time)) => Some(time.epoch_ms()),
        _ => None,
    };
    let output_format = match text("outputFormat") {
        Some(name) => Some(Format::from_name(&name)?),
        None => None,
    };
    let state = match text("state")?.as_str() {
        "IN_PROGRESS" => ExportState::InProgress,
        "COMPLETED" => ExportState::Completed { ended_ms: time("ended")? },
        "CANCELLED" => ExportState::Cancelled { ended_ms: time("ended")? },
        _ => return None,
    };
    Some(ExportJob {
        export: JournalExport {
            id: text("exportId")?.parse().ok()?,
            ledger_name: text("ledgerName")?,
            range: TimeRange { from_ms: time("from")?, to_ms: time("to")? },
            output_format,
            prefix: text("prefix")?,
            bucket: text("bucket"),
            encryption: text("encryption")?,
        },
        created_ms: time("created")?,
        role_arn: text("roleArn")?,
        kms_key_arn: text("kmsKeyArn"),
        state,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_come_back_as_they_were_written() {
        let one = ExportJob {
            export: JournalExport {
                id: Id([7; 16]),
                ledger_name: "main".into(),
                range: TimeRange { from_ms: 1_767_225_600_001, to_ms: 1_767_225_700_000 },
                output_format: None,
                prefix: "a \"b\"/".into(),
                bucket: Some("bucket".into()),
                encryption: "SSE_S3".into(),
            },
            created_ms: 1_767_225_800_000,
            role_arn: "arn:aws:iam::000000000000:role/r".into(),
            kms_key_arn: None,
            state: ExportState::InProgress,
        };
        let mut other = one.clone();
        other.export.output_format = Some(Format::Json);
        other.kms_key_arn = Some("arn:aws:kms:eu-central-1:000000000000:key/x".into());
        let states = [ExportState::Completed { ended_ms: 1_767_225_900_000 }, ExportState::Cancelled { ended_ms: 0 }];
        let jobs: Vec<ExportJob> =
            states.into_iter().map(|state| ExportJob { state, ..other.clone() }).chain([one]).collect();
        assert_eq!(decode(&encode(&jobs)), Ok(jobs.clone()));
        assert_eq!(decode(&encode(&[])), Ok(Vec::new()));
        assert!(decode(&Value::NULL).is_err() && decode(&Value::List(vec![Value::NULL])).is_err());
    }
}
