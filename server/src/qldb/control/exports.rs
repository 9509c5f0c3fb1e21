//! ExportJournalToS3, DescribeJournalS3Export, ListJournalS3Exports and ListJournalS3ExportsForLedger.
//!
//! A request names a bucket and a prefix; where buckets are, and with which key they are written to, is the operator's word.

use ledgerstone_digest::Id;
use ledgerstone_journal::Ledger;
use ledgerstone_journal::qldb::export::{Format, JournalExport, TimeRange};
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::instance::{ExportJob, ExportState};
use ledgerstone_query::permission::Action;
use serde_json::{Value as Json, json};

use super::super::exporter::BeginError;
use super::wire::{self, ExportJournal, S3Export};
use super::{Call, Failure, of_ledger};

/// Exports of one ledger that QLDB made at once.
const STRICT_ACTIVE_MAX: usize = 2;
/// Characters of an ARN, as in QLDB.
const ARN_CHARACTERS: std::ops::RangeInclusive<usize> = 20..=1_600;
/// The member of a request that most mistakes are in.
const CONFIGURATION: &str = "S3ExportConfiguration";

impl Call<'_> {
    pub fn export_journal(&self, name: &str) -> Result<String, Failure> {
        self.permit(name, Action::ExportJournal)?;
        let request: ExportJournal = wire::read(self.body)?;
        let ledger = self.ledger(name)?;
        let job = self.job(name, &ledger, request)?;
        let (instance, exporter, id) = (&self.shared.instance, &self.shared.exporter, job.export.id);
        let active_max = self.shared.options.strict.then_some(STRICT_ACTIVE_MAX);
        instance.add_journal_export(name, &job, active_max).map_err(|error| of_list(error, name))?;
        if let Err(error) = exporter.begin(&job) {
            instance.forget_journal_export(name, id).map_err(|error| of_list(error, name))?;
            return Err(not_begun(error, name));
        }
        exporter.make(name.to_owned(), job);
        Ok(json!({ "ExportId": id.to_string() }).to_string())
    }

    pub fn describe_export(&self, name: &str, id: &str) -> Result<String, Failure> {
        self.permit(name, Action::DescribeJournalExport)?;
        let jobs = self.shared.instance.journal_exports(name).map_err(|error| of_list(error, name))?;
        let job = jobs.iter().find(|job| job.export.id.to_string() == id);
        let job = job.ok_or_else(|| {
            let what = format!("ledger \"{name}\" has no export {id}; those that ended are listed for seven days");
            Failure::not_found("JournalS3Export", id, what)
        })?;
        Ok(json!({ "ExportDescription": description(job) }).to_string())
    }

    pub fn list_exports_of(&self, name: &str) -> Result<String, Failure> {
        self.permit(name, Action::ListJournalExportsForLedger)?;
        let jobs = self.shared.instance.journal_exports(name).map_err(|error| of_list(error, name))?;
        self.export_list(jobs)
    }

    pub fn list_exports(&self) -> Result<String, Failure> {
        self.permit("*", Action::ListJournalExports)?;
        let instance = &self.shared.instance;
        // A ledger may go while this is asked.
        let jobs = instance.ledgers().into_iter().filter_map(|ledger| instance.journal_exports(&ledger.name).ok());
        self.export_list(jobs.flatten().collect())
    }

    fn export_list(&self, jobs: Vec<ExportJob>) -> Result<String, Failure> {
        let key = |job: &ExportJob| format!("{:020}/{}", job.created_ms, job.export.id);
        let (jobs, next) = self.page(jobs, key)?;
        let mut answer = json!({ "JournalS3Exports": jobs.iter().map(description).collect::<Vec<_>>() });
        if let Some(next) = next {
            answer["NextToken"] = json!(next);
        }
        Ok(answer.to_string())
    }

    /// What is asked for.
    fn job(&self, name: &str, ledger: &Ledger, request: ExportJournal) -> Result<ExportJob, Failure> {
        let now_ms = self.shared.instance.now_ms();
        let range = range(&request, ledger, now_ms)?;
        let wrong = |what: String| Failure::invalid_parameter(CONFIGURATION, what);
        let S3Export { bucket, prefix, encryption_configuration } = wire::required(request.s3, CONFIGURATION)?;
        let bucket = bucket.ok_or_else(|| wrong("Bucket is missing".to_owned()))?;
        if !crate::s3::is_bucket(&bucket) {
            return Err(wrong("Bucket is not the name of one".to_owned()));
        }
        let prefix = prefix.ok_or_else(|| wrong("Prefix is missing".to_owned()))?;
        JournalExport::check_prefix(&prefix).map_err(wrong)?;
        let encryption =
            encryption_configuration.ok_or_else(|| wrong("EncryptionConfiguration is missing".to_owned()))?;
        let kind = encryption.object_encryption_type.unwrap_or_default();
        let kms_key_arn = match (kind.as_str(), encryption.kms_key_arn) {
            ("SSE_KMS", Some(key)) => Some(arn(key, "KmsKeyArn")?),
            ("SSE_KMS", None) => return Err(wrong("SSE_KMS needs a KmsKeyArn".to_owned())),
            ("SSE_S3" | "NO_ENCRYPTION", _) => None,
            _ => return Err(wrong("ObjectEncryptionType is SSE_S3, SSE_KMS or NO_ENCRYPTION".to_owned())),
        };
        let format = |name: String| {
            let wrong = || Failure::invalid_parameter("OutputFormat", "OutputFormat is ION_TEXT, ION_BINARY or JSON");
            Format::from_name(&name).ok_or_else(wrong)
        };
        Ok(ExportJob {
            export: JournalExport {
                id: Id(self.shared.options.rng.bytes16()),
                ledger_name: name.to_owned(),
                range,
                output_format: request.output_format.map(format).transpose()?,
                prefix,
                bucket: Some(bucket),
                encryption: kind,
            },
            created_ms: now_ms,
            role_arn: arn(wire::required(request.role_arn, "RoleArn")?, "RoleArn")?,
            kms_key_arn,
            state: ExportState::InProgress,
        })
    }
}

/// From before the ledger was made means from its beginning, as in QLDB.
fn range(request: &ExportJournal, ledger: &Ledger, now_ms: i64) -> Result<TimeRange, Failure> {
    let time = |given, name| wire::epoch_ms(wire::required(given, name)?, name);
    let from_ms = time(request.inclusive_start_time, "InclusiveStartTime")?;
    let to_ms = time(request.exclusive_end_time, "ExclusiveEndTime")?;
    let begins_ms = ledger.journal_begins_ms().map_err(|error| Failure::internal(error.to_string()))?;
    if to_ms > now_ms {
        return Err(Failure::invalid_parameter("ExclusiveEndTime", "ExclusiveEndTime lies in the future"));
    }
    let range = TimeRange { from_ms: from_ms.max(begins_ms), to_ms };
    if range.from_ms >= to_ms {
        let what =
            "InclusiveStartTime must be before ExclusiveEndTime, and that behind the time at which the ledger was made";
        return Err(Failure::invalid_parameter("InclusiveStartTime", what));
    }
    Ok(range)
}

fn arn(text: String, name: &'static str) -> Result<String, Failure> {
    match ARN_CHARACTERS.contains(&text.chars().count()) && text.starts_with("arn:") && text.is_ascii() {
        true => Ok(text),
        false => Err(Failure::invalid_parameter(name, format!("{name} is not an ARN"))),
    }
}

fn description(job: &ExportJob) -> Json {
    let export = &job.export;
    let mut encryption = json!({ "ObjectEncryptionType": export.encryption });
    if let Some(key) = &job.kms_key_arn {
        encryption["KmsKeyArn"] = json!(key);
    }
    let mut description = json!({
        "LedgerName": export.ledger_name,
        "ExportId": export.id.to_string(),
        "ExportCreationTime": wire::seconds(job.created_ms),
        "Status": job.state.name(),
        "InclusiveStartTime": wire::seconds(export.range.from_ms),
        "ExclusiveEndTime": wire::seconds(export.range.to_ms),
        "S3ExportConfiguration": {
            "Bucket": export.bucket, "Prefix": export.prefix, "EncryptionConfiguration": encryption,
        },
        "RoleArn": job.role_arn,
    });
    if let Some(format) = export.output_format {
        description["OutputFormat"] = json!(format.name());
    }
    description
}

fn of_list(error: QueryError, ledger: &str) -> Failure {
    match error.code {
        SqlState::PROGRAM_LIMIT_EXCEEDED => Failure::too_many("JournalS3Export", error.message),
        _ => of_ledger(error, ledger),
    }
}

/// Where S3 is, is not the caller's to know.
fn not_begun(error: BeginError, ledger: &str) -> Failure {
    match error {
        BeginError::Nowhere => Failure::precondition_not_met("Ledger", ledger, error.to_string()),
        BeginError::Sink(error) if !error.lasting => {
            tracing::warn!(ledger, %error, "a journal export cannot begin");
            Failure::unavailable("the server cannot reach S3 now; its log says why")
        }
        BeginError::Bucket(_) | BeginError::Sink(_) => Failure::invalid_parameter(CONFIGURATION, error.to_string()),
    }
}
