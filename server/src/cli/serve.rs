//! `ledgerstone serve`: opens the ledgers, listens, and leaves in good order.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ledgerstone_journal::Env;
use ledgerstone_journal::env::help_for;
use ledgerstone_query::instance::{Instance, InstanceOptions, exports};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::allocator;
use crate::aws::{Credentials, CredentialsError, Endpoint, EndpointError, Roots, region_from_environment};
use crate::config::{ConfigError, Limits, ServeConfig, TlsFiles, parse_address};
use crate::flight;
use crate::grpc;
use crate::http::{self, HttpState};
use crate::kinesis::{self, Kinesis, Streams};
use crate::log;
use crate::metrics::Metrics;
use crate::pack;
use crate::pg::{self, Server, Users};
use crate::policy::{Policies, PolicyError};
use crate::qldb;
use crate::scrub;
use crate::trusted_file;

/// How long requests on the HTTP port may go on once the server stops.
const HTTP_PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub struct Serve {
    /// Where the ledgers are.
    #[arg(long, value_name = "DIR", default_value = "ledgerstone-data")]
    data: PathBuf,
    /// Where their signing keys are; never inside the data directory.
    #[arg(long, value_name = "DIR", default_value = "ledgerstone-keys")]
    keys: PathBuf,
    /// Where PostgreSQL clients connect.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7432")]
    postgres: String,
    /// Where HTTP clients connect: gRPC, Flight SQL, health, metrics.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7430")]
    http: String,
    /// Access keys for QLDB drivers: lines of a key id, a secret, and the user it stands for. Without it anybody on this
    /// machine may use the session API, unless there are users.
    #[arg(long, value_name = "FILE")]
    access_keys: Option<PathBuf>,
    /// Refuses in QLDB's API what QLDB's own limits refused: 40 documents and 4 MB a transaction, 128 KB a document, 20 tables,
    /// 5 indexes a table, 5 ledgers. For testing a program that will meet them.
    #[arg(long)]
    qldb_strict: bool,
    /// Where journal streams are sent: http://HOST:PORT or https://HOST of Kinesis or something with its API. Keys come from
    /// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, the region from AWS_REGION or each stream's ARN. Without
    /// it streams are refused: no address that a client names is ever called.
    #[arg(long, value_name = "URL")]
    kinesis: Option<String>,
    /// Who may do what, in the form of IAM's policies: an object of users, each with its statements. Checked for every
    /// statement in ledgers whose permissions mode is STANDARD. Without it whoever comes in may do everything.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Users and their SCRAM verifiers; without it any user is welcome, on loopback only.
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// Certificate chain, PEM.
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Where COPY … TO 'name' (FORMAT parquet) writes; without it, nowhere. Whoever may connect may fill it.
    #[arg(long, value_name = "DIR")]
    exports: Option<PathBuf>,
    /// Where the buckets are that the control API's journal exports go to: S3 or what speaks as it does, such as
    /// https://s3.eu-central-1.amazonaws.com. The key for it is taken from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
    /// AWS_REGION. Without it such exports are refused.
    #[arg(long, value_name = "URL")]
    s3: Option<String>,
    /// First part of a new ledger's origin, such as a domain name of yours.
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    origin: String,
    /// Sets a limit: NAME=NUMBER, as often as needed.
    #[arg(long = "limit", value_name = "NAME=NUMBER")]
    limits: Vec<String>,
}

/// Why the server did not start or did not stop in order.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Users(#[from] pg::UsersError),
    #[error(transparent)]
    Tls(#[from] pg::TlsError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    AccessKeys(#[from] qldb::AccessKeyError),
    #[error("cannot open the ledgers in {data}: {text}")]
    Open { data: PathBuf, text: String },
    #[error("{0}")]
    Exports(String),
    #[error("--s3: {0}")]
    S3(EndpointError),
    #[error("--s3 needs access keys: {0}")]
    S3Keys(CredentialsError),
    #[error("--kinesis: {0}")]
    Kinesis(#[from] EndpointError),
    #[error("--kinesis needs access keys: {0}")]
    KinesisKeys(#[from] CredentialsError),
    #[error("--kinesis cannot speak TLS: {0}")]
    KinesisTls(String),
    #[error("cannot listen on {address}: {source}{}", help_to_listen(source))]
    Listen { address: std::net::SocketAddr, source: std::io::Error },
    #[error("cannot start: {0}{help}", help = help_for(.0))]
    Io(#[from] std::io::Error),
    #[error("the ledgers did not close in order: {0}")]
    Close(String),
}

impl Serve {
    pub fn run(self) -> ExitCode {
        log::begin();
        match self.config().map_err(ServeError::from).and_then(serve) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                log::say(format_args!("ledgerstone serve: {error}"));
                ExitCode::from(2)
            }
        }
    }

    fn config(self) -> Result<ServeConfig, ConfigError> {
        let mut limits = Limits::default();
        for assignment in &self.limits {
            limits.set(assignment)?;
        }
        let tls = match (self.tls_cert, self.tls_key) {
            (Some(certificates), Some(key)) => Some(TlsFiles { certificates, key }),
            (None, None) => None,
            _ => return Err(ConfigError::HalfTls),
        };
        let config = ServeConfig {
            data: self.data,
            keys: self.keys,
            postgres: parse_address(&self.postgres)?,
            http: parse_address(&self.http)?,
            users: self.users,
            access_keys: self.access_keys,
            qldb_strict: self.qldb_strict,
            kinesis: self.kinesis,
            policy: self.policy,
            tls,
            exports: self.exports,
            s3: self.s3,
            origin_prefix: self.origin,
            limits,
        };
        config.check()?;
        Ok(config)
    }
}

/// Connections, segments and runs are descriptors, and the usual soft limit of 1,024 is there for programs that would break
/// with more. The hard limit is the administrator's word.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
    {
        tracing::warn!(%error, ?limit, "the limit of open files cannot be raised");
    }
}

/// Where the limits come to less, what has been freed is given back soon: it counts, and nobody has limited it.
const SMALL_MEMORY_BYTES: u64 = 1 << 30;

/// For opening ledgers, backups, exports and what else may block and belongs to no session.
const THREADS_BESIDE_SESSIONS: u64 = 512;

fn serve(config: ServeConfig) -> Result<(), ServeError> {
    raise_descriptor_limit();
    if config.limits.memory_bytes_in_all() < SMALL_MEMORY_BYTES {
        allocator::give_back_soon();
    }
    // Two threads at least, so that a long statement never stops everyone.
    let threads = std::thread::available_parallelism().map_or(2, usize::from).max(2);
    // A statement that waits keeps its thread, and whoever ends its waiting needs one: there are enough for every session.
    let blocking = config.limits.sessions_in_all().saturating_add(THREADS_BESIDE_SESSIONS);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(usize::try_from(blocking).unwrap_or(usize::MAX))
        .on_thread_park(pg::before_sleep)
        .enable_all()
        .build()?;
    let env = Env::production();
    let mut seed = [0; 32];
    env.rng.fill(&mut seed);
    let users = config.users.as_deref().map(|path| Users::read(path, seed)).transpose()?.map(Arc::new);
    let door = match &config.access_keys {
        Some(path) => qldb::Door::Keys(qldb::AccessKeys::read(path)?),
        None if users.is_some() => qldb::Door::Closed,
        None => qldb::Door::Open,
    };
    let policy = config.policy.as_deref().map(Policies::read).transpose()?;
    let tls = config.tls.as_ref().map(pg::acceptor).transpose()?;
    let kinesis = config.kinesis.as_deref().map(named_kinesis).transpose()?;
    let s3 = config.s3.as_deref().map(named_s3).transpose()?;
    if let Some(exports) = &config.exports {
        // Before a ledger is made that would be there when the server is not.
        let prepared = exports::prepared(exports, &[&config.data, &config.keys]);
        prepared.map_err(|error| ServeError::Exports(explain(&error)))?;
    }
    trusted_file::look_at_data(&config.data);
    let instance = Instance::open(InstanceOptions {
        env,
        data: config.data.clone(),
        keys: config.keys.clone(),
        origin_prefix: config.origin_prefix.clone(),
        limits: config.limits.of_transactions(),
        memory: config.limits.memory(),
        work: config.limits.work(),
    })
    .map_err(|error| ServeError::Open { data: config.data.clone(), text: explain(&error) })?;
    if let Some(policy) = policy {
        instance.set_policy(Arc::new(policy));
    }
    if let Some(exports) = &config.exports {
        instance.set_exports(exports).map_err(|error| ServeError::Exports(explain(&error)))?;
    }
    let outcome = runtime.block_on(listen(config, Arc::clone(&instance), users, door, tls, Elsewhere { kinesis, s3 }));
    drop(runtime);
    let closed = instance.close().map_err(|error| ServeError::Close(explain(&error)));
    if outcome.is_ok() && closed.is_ok() {
        tracing::info!("stopped; every ledger's final size is recorded");
    }
    outcome.and(closed)
}

/// Services that the server calls.
struct Elsewhere {
    kinesis: Option<Kinesis>,
    s3: Option<Endpoint>,
}

async fn listen(
    config: ServeConfig,
    instance: Arc<Instance>,
    users: Option<Arc<Users>>,
    door: qldb::Door,
    tls: Option<tokio_rustls::TlsAcceptor>,
    elsewhere: Elsewhere,
) -> Result<(), ServeError> {
    let bind =
        async |address| TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source });
    let postgres = bind(config.postgres).await?;
    let http = bind(config.http).await?;
    let metrics = Arc::new(Metrics::default());
    let user = users.as_deref().and_then(Users::first_name);
    welcome(&config, postgres.local_addr()?, http.local_addr()?, &instance, user);
    let (stop, stopped) = watch::channel(false);
    let grpc = grpc::Options {
        limits: grpc::Limits::of(&config.limits),
        gate: gate(users.as_ref(), &door),
        rng: Env::production().rng,
        runtime: pg::runtime(),
        shutdown: stopped.clone(),
    };
    let streams = kinesis::Options {
        kinesis: elsewhere.kinesis,
        metrics: Arc::clone(&metrics),
        rng: Env::production().rng,
        most: usize::try_from(config.limits.qldb_kinesis_streams).unwrap_or(usize::MAX),
        shutdown: stopped.clone(),
    };
    let streams = Streams::open(Arc::clone(&instance), streams);
    let anyone = matches!(door, qldb::Door::Open);
    let qldb = qldb::Options {
        streams: Arc::clone(&streams),
        limits: qldb::Limits::of(&config.limits),
        door: Arc::new(door),
        strict: config.qldb_strict,
        s3: elsewhere.s3,
        metrics: Arc::clone(&metrics),
        rng: Env::production().rng,
        runtime: pg::runtime(),
        shutdown: stopped.clone(),
    };
    let flight = flight::Limits::of(&config.limits);
    let silence = Duration::from_secs(config.limits.http_idle_seconds);
    let state = HttpState {
        instance: Arc::clone(&instance),
        metrics: Arc::clone(&metrics),
        grpc,
        flight,
        qldb,
        silence,
        anyone,
    };
    let limits = http::Limits {
        connections: usize::try_from(config.limits.http_connections).unwrap_or(usize::MAX),
        headers: silence,
    };
    let mut http = tokio::spawn(http::serve(state, http, limits, stopped.clone()));
    let scrubbing = scrub::run(Arc::clone(&instance), Arc::clone(&metrics), config.limits, stopped.clone());
    let scrubber = tokio::spawn(scrubbing);
    let packing = pack::run(Arc::clone(&instance), Arc::clone(&metrics), config.limits, stopped.clone());
    let packer = tokio::spawn(packing);
    let server = Arc::new(Server::new(config, instance, metrics, users, tls));
    let postgres = tokio::spawn(pg::serve(server, postgres, stopped));
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: no new connections, running statements may finish");
    let _ = stop.send(true);
    let _ = postgres.await;
    // A segment that is being read is read to its end; it holds nobody up but a redaction.
    let _ = scrubber.await;
    let _ = packer.await;
    // Requests that are being answered may be; their commits are durable or refused either way.
    if tokio::time::timeout(HTTP_PATIENCE, &mut http).await.is_err() {
        http.abort();
    }
    // What they have not sent yet is sent by the next start.
    if tokio::time::timeout(HTTP_PATIENCE, streams.finished()).await.is_err() {
        tracing::warn!("a journal stream did not stop in time; the next start may send something again");
    }
    Ok(())
}

/// What to do about an address that cannot be listened at.
fn help_to_listen(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "; is another server running? --postgres and --http take another address, and not the same one"
        }
        std::io::ErrorKind::PermissionDenied => {
            "; ports below 1024 are the system's: --postgres and --http take another"
        }
        _ => help_for(error),
    }
}

/// The buckets' place that the operator named. Its keys are asked for when something is written; that there are none is said
/// at once, and nobody else is asked for them.
fn named_s3(url: &str) -> Result<Endpoint, ServeError> {
    let endpoint = url.parse().map_err(ServeError::S3)?;
    Credentials::from_environment().map_err(ServeError::S3Keys)?;
    Ok(endpoint)
}

/// The Kinesis that the operator named, with the keys of the environment.
fn named_kinesis(url: &str) -> Result<Kinesis, ServeError> {
    let endpoint: Endpoint = url.parse()?;
    let roots = endpoint.is_tls().then(Roots::of_the_system).transpose().map_err(ServeError::KinesisTls)?;
    let credentials = Credentials::from_environment()?;
    Ok(Kinesis { endpoint, roots, credentials, region: region_from_environment() })
}

/// Who may call on the HTTP port: with a users file, who knows a password, as on the other port. Where callers of QLDB's API have
/// to prove who they are, nobody gets around that by another protocol of the same port.
fn gate(users: Option<&Arc<Users>>, door: &qldb::Door) -> Arc<dyn grpc::Gate> {
    match users {
        Some(users) => {
            let mut seed = [0; 32];
            Env::production().rng.fill(&mut seed);
            Arc::new(grpc::Passwords::new(Arc::clone(users), seed))
        }
        None if matches!(door, qldb::Door::Open) => Arc::new(grpc::Anyone),
        None => Arc::new(grpc::Nobody),
    }
}

/// How psql connects, as it can be typed into a shell: to where the server listens, as a user who may come in.
fn psql_line(postgres: std::net::SocketAddr, user: Option<&str>) -> String {
    // Every address of the machine is none that can be connected to everywhere.
    let host = if postgres.ip().is_unspecified() { "localhost".to_owned() } else { postgres.ip().to_string() };
    let line = format!("psql -h {host} -p {}", postgres.port());
    match user {
        Some(name) => format!("{line} -U {} main", quoted(name)),
        None => format!("{line} main"),
    }
}

/// One word of a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.@-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// What to type next. Nobody may be reading it.
fn welcome(
    config: &ServeConfig,
    postgres: std::net::SocketAddr,
    http: std::net::SocketAddr,
    instance: &Instance,
    user: Option<&str>,
) {
    let shown =
        |name: String| if instance.is_served(&name) { name } else { format!("{name} (cannot be opened, see the log)") };
    let names: Vec<String> = instance.ledgers().into_iter().map(|ledger| shown(ledger.name)).collect();
    let (data, keys) = (config.data.display(), config.keys.display());
    let text = format!(
        "Ledgerstone {version} is ready.
  data      {data}
  keys      {keys} (keep them, and keep them apart from the data)
  ledgers   {names}
  postgres  {postgres}{open}
  http      http://{http}/healthz and /metrics; gRPC, Flight SQL, and the endpoint of QLDB's drivers

Type next:
  {psql}
Then:
  CREATE TABLE person (id text PRIMARY KEY, name text NOT NULL);
  INSERT INTO person VALUES ('p1', 'Raul Lewis');
  SELECT * FROM history(person);
  SHOW ledgerstone.checkpoint;

Ctrl-C stops it in good order.
",
        version = env!("CARGO_PKG_VERSION"),
        names = names.join(", "),
        open = if config.users.is_some() {
            " (the users of --users, with their passwords)"
        } else {
            " (any user, no password)"
        },
        psql = psql_line(postgres, user),
    );
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn explain(error: &ledgerstone_query::error::QueryError) -> String {
    let mut text = error.message.clone();
    for part in [&error.detail, &error.hint].into_iter().flatten() {
        text.push_str("; ");
        text.push_str(part);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_is_shown_for_psql_is_one_that_a_shell_takes() {
        let line = |address: &str, user| psql_line(address.parse().unwrap(), user);
        assert_eq!(line("127.0.0.1:7432", None), "psql -h 127.0.0.1 -p 7432 main");
        assert_eq!(line("[::1]:7432", Some("clerk")), "psql -h ::1 -p 7432 -U clerk main");
        assert_eq!(line("0.0.0.0:7432", Some("o'hara $x")), "psql -h localhost -p 7432 -U 'o'\\''hara $x' main");
    }
}
