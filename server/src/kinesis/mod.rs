//! Journal streams to Kinesis: what of a ledger's blocks is sent, by whom, and how far it has come. At least once, in the
//! journal's order as long as nothing is refused; each stream has a task of its own and keeps its place beside the ledger.
//!
//! | module | what lives there |
//! |---|---|
//! | `state` | a stream as it is kept |
//! | `record` | blocks as records of Kinesis, several in one |
//! | `put` | Kinesis' API |
//! | `sender` | the task of a stream |

mod put;
mod record;
mod sender;
mod state;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use ledgerstone_digest::Id;
use ledgerstone_journal::env::Rng;
use ledgerstone_query::database::Database;
use ledgerstone_query::error::{QueryError, Result};
use ledgerstone_query::instance::Instance;
use tokio::sync::watch;

use crate::metrics::Metrics;
use crate::sessions::lock;
pub use put::{Kinesis, Target};
use sender::Sender;
pub use state::{Cause, Config, Progress, Status};

/// How long a stream that has ended is still shown, as in QLDB.
const ENDED_SHOWN_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// Ended streams of one ledger that are kept; the oldest go first.
const ENDED_KEPT_MAX: usize = 1_000;
/// What is said of a stream that nothing runs.
pub const NO_KINESIS: &str = "this server sends streams to no Kinesis: start it with --kinesis URL, and with AWS_ACCESS_KEY_ID and \
                              AWS_SECRET_ACCESS_KEY in its environment";

/// The streams of all ledgers.
pub struct Streams {
    instance: Arc<Instance>,
    /// Where they are sent, if anywhere.
    kinesis: Option<Kinesis>,
    metrics: Arc<Metrics>,
    rng: Arc<dyn Rng>,
    /// Streams that have not ended.
    most: usize,
    all: Mutex<HashMap<Id, Arc<Stream>>>,
    shutdown: watch::Receiver<bool>,
    /// Tasks that run.
    running: watch::Sender<usize>,
}

/// What the streams are given.
pub struct Options {
    pub kinesis: Option<Kinesis>,
    pub metrics: Arc<Metrics>,
    pub rng: Arc<dyn Rng>,
    /// Streams that have not ended, of all ledgers.
    pub most: usize,
    /// Turns true when the server stops.
    pub shutdown: watch::Receiver<bool>,
}

/// One stream.
pub struct Stream {
    pub config: Config,
    /// Its ledger, as long as that is there.
    home: Weak<Database>,
    progress: Mutex<Progress>,
    /// Turns true when nothing more is to be sent.
    ended: watch::Sender<bool>,
}

/// A stream that somebody wants.
pub struct Wanted {
    pub name: String,
    /// For its ARN.
    pub region: String,
    pub account: &'static str,
    /// The stream of Kinesis, a [`Target`].
    pub kinesis_arn: String,
    pub aggregated: bool,
    pub role_arn: String,
    pub start_ms: i64,
    pub end_ms: Option<i64>,
    pub tags: BTreeMap<String, String>,
    /// Streams of this ledger that may go on at once.
    pub most: Option<usize>,
}

/// Why a stream is not made, or not cancelled.
#[derive(Debug)]
pub enum Refused {
    NoKinesis,
    /// The ledger has a stream of this name that goes on.
    NameInUse,
    /// So many go on already.
    TooMany(usize),
    /// It has ended already.
    Ended(Status),
    Failed(QueryError),
}

impl Streams {
    /// Reads what is kept beside every ledger, and goes on with what has not ended. Call it inside the async runtime.
    pub fn open(instance: Arc<Instance>, options: Options) -> Arc<Streams> {
        let Options { kinesis, metrics, rng, most, shutdown } = options;
        let all = Mutex::default();
        let running = watch::Sender::new(0);
        let streams = Arc::new(Streams { instance, kinesis, metrics, rng, most, all, shutdown, running });
        for ledger in streams.instance.ledgers() {
            // One that cannot be opened has been told already.
            if let Ok(database) = streams.instance.ledger(&ledger.name) {
                streams.open_ledger(&database);
            }
        }
        streams
    }

    fn open_ledger(self: &Arc<Self>, database: &Arc<Database>) {
        let ledger = database.name();
        let files = self.instance.stream_files(ledger).unwrap_or_else(|error| {
            tracing::error!(%ledger, %error, "the ledger's streams cannot be read and do not go on");
            Vec::new()
        });
        for (file, bytes) in files {
            let read = bytes.map_err(|error| error.message).and_then(|bytes| {
                let text = String::from_utf8(bytes).map_err(|_| "it is no text".to_owned())?;
                state::decode(&text)
            });
            match read {
                Ok((config, _)) if config.ledger != database.ledger().ledger_id() => {
                    tracing::warn!(%ledger, file, "a stream belongs to another ledger and does not go on");
                }
                Ok((config, progress)) => self.take_up(database, Stream::new(database, config, progress)),
                Err(what) => {
                    let help = "remove the file, and make the stream again";
                    tracing::error!(%ledger, file, what, help, "a stream cannot be read and does not go on");
                }
            }
        }
    }

    /// Makes a stream and begins to send it.
    pub fn create(self: &Arc<Self>, database: &Arc<Database>, wanted: Wanted) -> std::result::Result<Id, Refused> {
        if self.kinesis.is_none() {
            return Err(Refused::NoKinesis);
        }
        let ledger = database.ledger().ledger_id();
        let mut all = self.lock();
        let goes_on = |stream: &&Arc<Stream>| !stream.progress().status.is_final();
        let here: Vec<_> = all.values().filter(goes_on).filter(|stream| stream.config.ledger == ledger).collect();
        if here.iter().any(|stream| stream.config.name == wanted.name) {
            return Err(Refused::NameInUse);
        }
        let there = |stream: &&Arc<Stream>| stream.home.strong_count() > 0;
        let count = all.values().filter(goes_on).filter(there).count();
        match wanted.most.filter(|most| here.len() >= *most) {
            Some(most) => return Err(Refused::TooMany(most)),
            None if count >= self.most => return Err(Refused::TooMany(self.most)),
            None => {}
        }
        let id = Id(self.rng.bytes16());
        let arn = format!("arn:aws:qldb:{}:{}:stream/{}/{id}", wanted.region, wanted.account, database.name());
        let config = Config {
            id,
            ledger,
            name: wanted.name,
            arn,
            kinesis_arn: wanted.kinesis_arn,
            aggregated: wanted.aggregated,
            role_arn: wanted.role_arn,
            created_ms: database.now_ms(),
            start_ms: wanted.start_ms,
            end_ms: wanted.end_ms,
        };
        let stream = Stream::new(database, config, Progress::new(wanted.tags));
        stream.keep(&self.instance, database).map_err(Refused::Failed)?;
        tracing::info!(ledger = %database.name(), stream = stream.config.name, %id, "a journal stream was made");
        all.insert(id, Arc::clone(&stream));
        self.begin(database, stream);
        Ok(id)
    }

    /// The streams of a ledger.
    pub fn of_ledger(&self, database: &Arc<Database>) -> Vec<Arc<Stream>> {
        let ledger = database.ledger().ledger_id();
        self.forget_old(database, ledger);
        self.lock().values().filter(|stream| stream.config.ledger == ledger).map(Arc::clone).collect()
    }

    pub fn find(&self, database: &Arc<Database>, id: Id) -> Option<Arc<Stream>> {
        self.of_ledger(database).into_iter().find(|stream| stream.config.id == id)
    }

    /// Ends a stream; nothing is sent any more when this returns.
    pub fn cancel(&self, database: &Arc<Database>, stream: &Stream) -> std::result::Result<(), Refused> {
        let now_ms = database.now_ms();
        let cancel = |progress: &mut Progress| progress.end(Status::Canceled, None, now_ms);
        match stream.change(&self.instance, database, cancel) {
            Ok(true) => {
                tracing::info!(ledger = %database.name(), stream = stream.config.name, "a journal stream was cancelled");
                Ok(())
            }
            Ok(false) => Err(Refused::Ended(stream.progress().status)),
            Err(error) => Err(Refused::Failed(error)),
        }
    }

    /// Changes a stream's tags, whatever its status.
    pub fn change_tags(
        &self,
        database: &Arc<Database>,
        stream: &Stream,
        change: impl FnOnce(&mut BTreeMap<String, String>),
    ) -> Result<()> {
        let mut progress = lock(&stream.progress);
        let mut next = progress.clone();
        change(&mut next.tags);
        ledgerstone_query::instance::check_tags(&next.tags)?;
        stream.write(&self.instance, database, &next)?;
        *progress = next;
        Ok(())
    }

    /// How many streams there are of each status.
    pub fn counts(&self) -> Vec<(&'static str, usize)> {
        let mut all = self.lock();
        // Those of ledgers that were dropped went with them.
        all.retain(|_, stream| stream.home.upgrade().is_some_and(|home| self.instance.is_open(&home)));
        let statuses: Vec<Status> = all.values().map(|stream| stream.progress().status).collect();
        Status::ALL.map(|status| (status.name(), statuses.iter().filter(|one| **one == status).count())).into()
    }

    /// Waits until no task runs any more. They end when the server stops.
    pub async fn finished(&self) {
        // The sender is ours, so there is no error.
        let _ = self.running.subscribe().wait_for(|running| *running == 0).await;
    }

    fn take_up(self: &Arc<Self>, database: &Arc<Database>, stream: Arc<Stream>) {
        self.lock().insert(stream.config.id, Arc::clone(&stream));
        if !stream.progress().status.is_final() {
            self.begin(database, stream);
        }
    }

    /// Starts the task of a stream.
    fn begin(self: &Arc<Self>, database: &Arc<Database>, stream: Arc<Stream>) {
        let target = Target::of_arn(&stream.config.kinesis_arn);
        let (Some(kinesis), Some(target)) = (&self.kinesis, target) else {
            let name = &stream.config.name;
            tracing::warn!(ledger = %database.name(), stream = name, "a journal stream does not go on: {NO_KINESIS}");
            return stream.note(|progress| progress.impair(None, NO_KINESIS.to_owned()));
        };
        let sender = Sender::new(self, database, stream, kinesis, target);
        let (streams, mut shutdown) = (Arc::clone(self), self.shutdown.clone());
        self.running.send_modify(|running| *running += 1);
        tokio::spawn(async move {
            sender.run(&mut shutdown).await;
            streams.running.send_modify(|running| *running -= 1);
        });
    }

    /// Removes what ended long ago.
    fn forget_old(&self, database: &Arc<Database>, ledger: Id) {
        let mut all = self.lock();
        let mut ended: Vec<(i64, Id)> = all
            .values()
            .filter(|stream| stream.config.ledger == ledger)
            .filter_map(|stream| Some((stream.progress().ended_ms?, stream.config.id)))
            .collect();
        ended.sort_unstable();
        let too_many = ended.len().saturating_sub(ENDED_KEPT_MAX);
        let shown_from = database.now_ms() - ENDED_SHOWN_MS;
        for (at, (ended_ms, id)) in ended.into_iter().enumerate() {
            if at >= too_many && ended_ms >= shown_from {
                break;
            }
            match self.instance.remove_stream_file(database, id) {
                Ok(()) => drop(all.remove(&id)),
                Err(error) => tracing::warn!(%error, "an old stream cannot be forgotten"),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Arc<Stream>>> {
        lock(&self.all)
    }
}

impl Stream {
    fn new(database: &Arc<Database>, config: Config, progress: Progress) -> Arc<Stream> {
        let (home, ended) = (Arc::downgrade(database), watch::Sender::new(progress.status.is_final()));
        Arc::new(Stream { config, home, progress: Mutex::new(progress), ended })
    }

    pub fn progress(&self) -> Progress {
        lock(&self.progress).clone()
    }

    /// Changes how far a stream has come, durably. False if it has ended: then nothing is changed.
    fn change(
        &self,
        instance: &Instance,
        database: &Arc<Database>,
        change: impl FnOnce(&mut Progress),
    ) -> Result<bool> {
        let mut progress = lock(&self.progress);
        if progress.status.is_final() {
            return Ok(false);
        }
        let mut next = progress.clone();
        change(&mut next);
        self.write(instance, database, &next)?;
        let ends = next.status.is_final();
        *progress = next;
        if ends {
            self.ended.send_replace(true);
        }
        Ok(true)
    }

    /// The same, in memory only.
    fn note(&self, change: impl FnOnce(&mut Progress)) {
        let mut progress = lock(&self.progress);
        if !progress.status.is_final() {
            change(&mut progress);
        }
    }

    /// Writes how far it has come.
    fn keep(&self, instance: &Instance, database: &Arc<Database>) -> Result<()> {
        self.write(instance, database, &lock(&self.progress))
    }

    fn write(&self, instance: &Instance, database: &Arc<Database>, progress: &Progress) -> Result<()> {
        let text = state::encode(&self.config, progress);
        instance.write_stream_file(database, self.config.id, text.as_bytes())
    }
}

impl Progress {
    fn impair(&mut self, cause: Option<Cause>, detail: String) {
        (self.status, self.cause, self.detail) = (Status::Impaired, cause, Some(detail));
    }

    fn end(&mut self, status: Status, detail: Option<String>, now_ms: i64) {
        (self.status, self.cause, self.detail, self.ended_ms) = (status, None, detail, Some(now_ms));
    }
}
