//! Journal exports that are being made: each on a thread of its own, some at once, on after a restart, and again after what
//! keeps them from going on has passed.

use std::sync::Arc;
use std::time::Duration;

use ledgerstone_journal::qldb::export::{ExportError, Exported, SinkError};
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::instance::{ExportJob, ExportState, Instance};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use super::Options;
use crate::aws::Endpoint;
use crate::metrics::Metrics;
use crate::s3::{Bucket, Encryption, Patience, S3Error};

/// Before the second attempt; each later one waits twice as long.
const PAUSE_MIN: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// Makes the exports of a server.
#[derive(Clone)]
pub struct Exporter(Arc<Shared>);

struct Shared {
    instance: Arc<Instance>,
    /// `None`: exports go nowhere.
    s3: Option<Endpoint>,
    /// One permit for each that is being made.
    at_once: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    shutdown: watch::Receiver<bool>,
}

/// Why an export was not begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    #[error(
        "this server exports to no bucket: start it with --s3 URL, and with AWS_ACCESS_KEY_ID and its like in the environment"
    )]
    Nowhere,
    #[error(transparent)]
    Bucket(#[from] S3Error),
    #[error(transparent)]
    Sink(#[from] SinkError),
}

/// Why an attempt did not come to its end.
enum Stopped {
    /// The server stops. The next start goes on.
    Server,
    /// The ledger was dropped.
    Gone,
    /// Trying again may help.
    ForNow(String),
    ForGood(String),
}

impl Exporter {
    /// Goes on with what an earlier start began. Call it inside the async runtime.
    pub fn start(instance: Arc<Instance>, options: &Options) -> Exporter {
        let exporter = Exporter(Arc::new(Shared {
            instance,
            s3: options.s3.clone(),
            at_once: Arc::new(Semaphore::new(options.limits.exports)),
            metrics: Arc::clone(&options.metrics),
            shutdown: options.shutdown.clone(),
        }));
        for ledger in exporter.0.instance.ledgers() {
            match exporter.0.instance.journal_exports(&ledger.name) {
                Ok(jobs) => {
                    let open = jobs.into_iter().filter(|job| job.state == ExportState::InProgress);
                    open.for_each(|job| exporter.make(ledger.name.clone(), job));
                }
                Err(error) => tracing::error!(ledger = ledger.name, %error, "journal exports cannot be gone on with"),
            }
        }
        exporter
    }

    /// Says in the bucket that an export begins, so that who asks for it hears at once if that cannot be. Blocks.
    pub fn begin(&self, job: &ExportJob) -> Result<(), BeginError> {
        let bucket = self.0.bucket(job, Patience::Short)?;
        Ok(job.export.begin(&bucket)?)
    }

    /// Begins to make an export that is kept in its ledger's list.
    pub fn make(&self, ledger: String, job: ExportJob) {
        let shared = Arc::clone(&self.0);
        shared.metrics.exports_open.add(1);
        tokio::spawn(async move {
            Arc::clone(&shared).make(&ledger, &job).await;
            shared.metrics.exports_open.add(-1);
        });
    }
}

impl Shared {
    async fn make(self: Arc<Self>, ledger: &str, job: &ExportJob) {
        let (id, mut pause, mut shutdown) = (job.export.id, PAUSE_MIN, self.shutdown.clone());
        loop {
            let permit = tokio::select! {
                permit = Arc::clone(&self.at_once).acquire_owned() => permit,
                _ = shutdown.wait_for(|stop| *stop) => return,
            };
            let (shared, name, tried) = (Arc::clone(&self), ledger.to_owned(), job.clone());
            let attempt = tokio::task::spawn_blocking(move || shared.attempt(&name, &tried)).await;
            drop(permit);
            let ended_ms = self.instance.now_ms();
            let state = match attempt.unwrap_or_else(|error| Err(Stopped::ForGood(error.to_string()))) {
                Ok(Exported { keys, blocks, bytes, kept }) => {
                    let objects = keys.len();
                    tracing::info!(ledger, export = %id, blocks, objects, kept, bytes, "a journal export is complete");
                    self.metrics.exports_completed.one();
                    ExportState::Completed { ended_ms }
                }
                Err(Stopped::ForNow(reason)) => {
                    tracing::warn!(ledger, export = %id, reason, again_seconds = pause.as_secs(), "a journal export waits");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        _ = shutdown.wait_for(|stop| *stop) => return,
                    }
                    pause = PAUSE_MAX.min(2 * pause);
                    continue;
                }
                Err(Stopped::ForGood(reason)) => {
                    tracing::error!(ledger, export = %id, reason, "a journal export is given up");
                    self.metrics.exports_cancelled.one();
                    ExportState::Cancelled { ended_ms }
                }
                Err(Stopped::Server | Stopped::Gone) => return,
            };
            let (shared, name) = (Arc::clone(&self), ledger.to_owned());
            let ended = tokio::task::spawn_blocking(move || shared.instance.end_journal_export(&name, id, state)).await;
            if let Ok(Err(error)) = ended {
                // It will be made once more after a restart, and find everything there.
                tracing::error!(ledger, export = %id, %error, "what became of a journal export cannot be kept");
            }
            return;
        }
    }

    fn attempt(&self, ledger: &str, job: &ExportJob) -> Result<Exported, Stopped> {
        let of_ledger = |error: QueryError| match self.is_listed(ledger, job) {
            true => Stopped::ForGood(error.to_string()),
            false => Stopped::Gone,
        };
        if !self.is_listed(ledger, job) {
            return Err(Stopped::Gone);
        }
        let database = self.instance.ledger(ledger).map_err(of_ledger)?;
        let bucket = self.bucket(job, Patience::Long).map_err(|error| Stopped::ForNow(error.to_string()))?;
        let mut go_on = |_| {
            self.metrics.export_blocks.one();
            !*self.shutdown.borrow()
        };
        // It may not have been said before a restart that the export begins.
        let begun = job.export.begin(&bucket).map_err(ExportError::from);
        let outcome = begun.and_then(|()| job.export.run(database.ledger(), &bucket, &mut go_on));
        outcome.map_err(|error| match error {
            _ if *self.shutdown.borrow() => Stopped::Server,
            _ if !self.is_listed(ledger, job) => Stopped::Gone,
            ExportError::Sink(error) if !error.lasting => Stopped::ForNow(error.to_string()),
            ExportError::Closed(_) | ExportError::Stopped => Stopped::ForNow(error.to_string()),
            error => Stopped::ForGood(error.to_string()),
        })
    }

    /// False once the ledger was dropped, though another has its name.
    fn is_listed(&self, ledger: &str, job: &ExportJob) -> bool {
        match self.instance.journal_exports(ledger) {
            Ok(jobs) => jobs.iter().any(|listed| listed.export.id == job.export.id),
            Err(error) => error.code != SqlState::INVALID_CATALOG_NAME,
        }
    }

    /// The bucket of a job, on the runtime of this thread.
    fn bucket(&self, job: &ExportJob, patience: Patience) -> Result<Bucket, BeginError> {
        let endpoint = self.s3.as_ref().ok_or(BeginError::Nowhere)?;
        let encryption = match (job.export.encryption.as_str(), &job.kms_key_arn) {
            ("SSE_S3", _) => Encryption::S3,
            ("SSE_KMS", Some(key)) => Encryption::Kms(key),
            _ => Encryption::Unsaid,
        };
        let name = job.export.bucket.as_deref().unwrap_or_default();
        let bucket = Bucket::open(Some(endpoint), name, encryption, patience, Handle::current())?;
        Ok(bucket.until(self.shutdown.clone()))
    }
}
