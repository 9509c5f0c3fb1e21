//! What `serve` is told: addresses, directories, users, TLS, and every limit by name with its unit (DESIGN section 8).

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ledgerstone_query::database::{Limits as TransactionLimits, MemoryLimits};
use ledgerstone_query::work::WorkLimits;

use crate::machine;

/// Everything a server needs to start.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    pub data: PathBuf,
    pub keys: PathBuf,
    pub postgres: SocketAddr,
    pub http: SocketAddr,
    /// Names and SCRAM verifiers; `None`: any user is welcome, on loopback only.
    pub users: Option<PathBuf>,
    /// Access keys of QLDB's session API; `None`: anybody on loopback if there are no users, else nobody.
    pub access_keys: Option<PathBuf>,
    /// QLDB's own limits hold in its API.
    pub qldb_strict: bool,
    /// The URL of where journal streams are sent; `None`: nowhere.
    pub kinesis: Option<String>,
    /// Who may do what in ledgers that ask.
    pub policy: Option<PathBuf>,
    pub tls: Option<TlsFiles>,
    /// Where `COPY … TO 'name'` writes; `None`: nowhere.
    pub exports: Option<PathBuf>,
    /// Where the buckets of journal exports are; `None`: nowhere.
    pub s3: Option<String>,
    /// First part of a new ledger's origin.
    pub origin_prefix: String,
    pub limits: Limits,
}

/// A certificate chain and its private key, both PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    pub certificates: PathBuf,
    pub key: PathBuf,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{0} is not an address; use HOST:PORT, such as 127.0.0.1:7432")]
    Address(String),
    #[error(
        "--postgres {0} can be reached from other machines, which needs authentication and TLS: \
         add --users FILE, --tls-cert FILE and --tls-key FILE, or listen on 127.0.0.1"
    )]
    OpenPostgres(SocketAddr),
    #[error(
        "--http {0} can be reached from other machines, and the HTTP port has no TLS yet: use 127.0.0.1, and a tunnel or a \
         proxy that speaks TLS in front of it"
    )]
    OpenHttp(SocketAddr),
    #[error(
        "the keys directory {keys} lies inside the data directory {data}; keys must not be where backups take them"
    )]
    KeysInsideData { keys: PathBuf, data: PathBuf },
    #[error(
        "--policy says what each user may do, but without --users everybody calls himself as he likes on the PostgreSQL \
         port; add --users FILE"
    )]
    PolicyWithoutUsers,
    #[error("--tls-cert and --tls-key belong together: one of them is missing")]
    HalfTls,
    #[error("--limit {0} is not of the form NAME=NUMBER; an example is --limit connections=100")]
    LimitForm(String),
    #[error("--limit {0}: there is no limit of that name; names are {1}")]
    LimitName(String, String),
    #[error("--limit {name}={value}: the value has to be a whole number from {low} to {high} ({unit})")]
    LimitNumber { name: &'static str, value: String, low: u64, high: u64, unit: &'static str },
    #[error("--limit {name}={value} is out of range: {low} to {high} {unit}")]
    LimitRange { name: &'static str, value: u64, low: u64, high: u64, unit: &'static str },
}

macro_rules! limits {
    ($($(#[$about:meta])* $name:ident: $default:expr, $low:expr, $high:expr, $unit:literal;)*) => {
        /// Every limit of the server. Each is checked before anything is allocated for what it limits.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct Limits {
            $($(#[$about])* pub $name: u64,)*
        }

        impl Default for Limits {
            fn default() -> Self {
                Limits { $($name: $default,)* }
            }
        }

        impl Limits {
            const NAMES: &'static [&'static str] = &[$(stringify!($name),)*];

            /// Sets one limit from `NAME=NUMBER`.
            pub fn set(&mut self, assignment: &str) -> Result<(), ConfigError> {
                let form = || ConfigError::LimitForm(assignment.to_owned());
                let (name, value) = assignment.split_once('=').ok_or_else(form)?;
                match name.trim() {
                    $(stringify!($name) => {
                        let (low, high) = ($low, $high);
                        let value: u64 = value.trim().parse().map_err(|_| ConfigError::LimitNumber {
                            name: stringify!($name), value: value.to_owned(), low, high, unit: $unit,
                        })?;
                        if value < low || value > high {
                            return Err(ConfigError::LimitRange {
                                name: stringify!($name), value, low, high, unit: $unit,
                            });
                        }
                        self.$name = value;
                    })*
                    _ => return Err(ConfigError::LimitName(assignment.to_owned(), Self::NAMES.join(", "))),
                }
                Ok(())
            }
        }
    };
}

limits! {
    /// Client connections on the PostgreSQL port, at once.
    connections: 4_096, 1, 1 << 20, "connections";
    /// Text of one simple query or one prepared statement.
    statement_bytes: 16 << 20, 1_024, 1 << 29, "bytes";
    /// One Bind message: all parameters of one execution; and those of all portals that have a name and are open.
    parameters_bytes: 64 << 20, 1_024, 1 << 29, "bytes";
    /// One CopyData message.
    copy_message_bytes: 16 << 20, 1_024, 1 << 29, "bytes";
    /// Prepared statements of one connection.
    prepared_statements: 10_000, 1, 1 << 20, "statements";
    /// Open portals of one connection.
    portals: 1_000, 1, 1 << 16, "portals";
    /// From accepting a connection to its authentication.
    startup_seconds: 30, 1, 3_600, "seconds";
    /// A transaction in which the client does nothing is rolled back; 0 is never.
    idle_in_transaction_seconds: 600, 0, 86_400, "seconds";
    /// One statement; 0 is no limit.
    statement_seconds: 0, 0, 86_400, "seconds";
    /// Client connections on the HTTP port, at once.
    http_connections: 4_096, 1, 1 << 20, "connections";
    /// From one answer on the HTTP port to the end of the next request's headers.
    http_idle_seconds: 300, 1, 86_400, "seconds";
    /// Open sessions of the gRPC ledger service.
    grpc_sessions: 1_000, 1, 1 << 20, "sessions";
    /// A gRPC session in which nothing is asked for this long is closed, its transaction rolled back.
    grpc_session_idle_seconds: 600, 1, 86_400, "seconds";
    /// One gRPC request: a statement and its parameters.
    grpc_request_bytes: 64 << 20, 1_024, 1 << 29, "bytes";
    /// Open sessions of Flight SQL, and as many transactions.
    flight_sessions: 1_000, 1, 1 << 20, "sessions";
    /// A Flight SQL session, or a prepared statement, that is not used this long is closed.
    flight_session_idle_seconds: 3_600, 1, 604_800, "seconds";
    /// A Flight SQL transaction in which nothing is asked for this long is rolled back.
    flight_transaction_idle_seconds: 600, 1, 86_400, "seconds";
    /// Prepared statements of all Flight SQL clients.
    flight_statements: 10_000, 1, 1 << 20, "statements";
    /// Results of Flight SQL that are being fetched, or wait for it.
    flight_results: 1_000, 1, 1 << 20, "results";
    /// A result of Flight SQL that nobody begins to fetch for this long is dropped.
    flight_result_seconds: 300, 1, 86_400, "seconds";
    /// Streams of blocks on the gRPC digest service, at once.
    grpc_block_streams: 64, 1, 1 << 16, "streams";
    /// Journal streams over HTTP that are open at once.
    qldb_http_streams: 64, 1, 1 << 16, "streams";
    /// Journal streams to Kinesis that have not ended, of all ledgers.
    qldb_kinesis_streams: 64, 1, 1 << 16, "streams";
    /// Journal exports to S3 that are being made at once; others wait.
    qldb_exports: 2, 1, 64, "exports";
    /// Open sessions of QLDB's session API.
    qldb_sessions: 3_000, 1, 1 << 20, "sessions";
    /// A QLDB session without a transaction in which nothing is asked for this long is closed.
    qldb_session_idle_seconds: 60, 1, 86_400, "seconds";
    /// A QLDB session is closed after this long.
    qldb_session_seconds: 900, 1, 86_400, "seconds";
    /// From the start of a QLDB transaction until it is rolled back.
    qldb_transaction_seconds: 30, 1, 86_400, "seconds";
    /// One request of QLDB's session API: a statement and its parameters.
    qldb_request_bytes: 64 << 20, 1_024, 1 << 29, "bytes";
    /// Documents that one transaction writes: they are in memory until it commits.
    transaction_bytes: 4 << 30, 1 << 20, 1 << 40, "bytes";
    /// Memory of one statement for what it sorts, groups, joins and answers.
    statement_memory_bytes: 1 << 30, 1 << 20, 1 << 40, "bytes";
    /// The same of all statements together.
    all_statements_memory_bytes: 4 << 30, 1 << 20, 1 << 44, "bytes";
    /// Disk of all statements together for what they sort, group and answer beyond their memory.
    spill_bytes: 64 << 30, 0, 1 << 50, "bytes";
    /// Documents of each ledger that were read lately and are kept in memory.
    document_cache_bytes: machine::sixteenth_of_memory(), 1 << 20, 1 << 40, "bytes";
    /// Histories of documents of each ledger that were read lately, as bytes.
    history_cache_bytes: machine::sixteenth_of_memory(), 1 << 20, 1 << 40, "bytes";
    /// Blocks of each ledger's row index that were read lately.
    index_cache_bytes: machine::sixteenth_of_memory(), 1 << 20, 1 << 40, "bytes";
    /// Columns of each ledger that are in no file yet: more are written to files first.
    columns_memory_bytes: 256 << 20, 4 << 20, 1 << 40, "bytes";
    /// Columns of files of each ledger that were decoded lately; scans that are reading may have as much again.
    columns_cache_bytes: 256 << 20, 0, 1 << 40, "bytes";
    /// What was written to each ledger since its oldest open snapshot, kept to find conflicts.
    recent_writes_bytes: 768 << 20, 1 << 20, 1 << 40, "bytes";
    /// Bytes of sealed segments that are read again in the background, to find rot; 0 is none.
    scrub_bytes_per_second: 8 << 20, 0, 1 << 34, "bytes";
    /// From the end of one pass over all sealed segments to the next.
    scrub_pause_seconds: 3_600, 1, 31_536_000, "seconds";
    /// How often full segments are looked at, to take the filler out of them; 0 is never.
    pack_pause_seconds: 60, 0, 31_536_000, "seconds";
    /// How long a graceful shutdown waits for running statements.
    shutdown_seconds: 10, 0, 3_600, "seconds";
}

impl Limits {
    /// What a transaction may hold.
    pub fn of_transactions(&self) -> TransactionLimits {
        let transaction_bytes_max = usize::try_from(self.transaction_bytes).unwrap_or(usize::MAX);
        TransactionLimits { transaction_bytes_max, ..TransactionLimits::default() }
    }

    /// Sessions that may be open at all doors together, each with one statement at a time.
    pub fn sessions_in_all(&self) -> u64 {
        let doors =
            [self.connections, self.grpc_sessions, self.flight_sessions, self.flight_sessions, self.qldb_sessions];
        doors.into_iter().fold(0, u64::saturating_add)
    }

    /// What of each ledger is kept in memory.
    pub fn memory(&self) -> MemoryLimits {
        let bytes = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        MemoryLimits {
            documents: bytes(self.document_cache_bytes),
            histories: bytes(self.history_cache_bytes),
            index: bytes(self.index_cache_bytes),
            columns: bytes(self.columns_memory_bytes),
            decoded_columns: bytes(self.columns_cache_bytes),
            recent_writes: bytes(self.recent_writes_bytes),
        }
    }

    /// What all of that comes to with one ledger, beside what the process takes for itself.
    pub fn memory_bytes_in_all(&self) -> u64 {
        let each = [
            self.transaction_bytes,
            self.all_statements_memory_bytes,
            self.document_cache_bytes,
            self.history_cache_bytes,
            self.index_cache_bytes,
            self.columns_memory_bytes,
            self.columns_cache_bytes,
            // For what scans are reading: as much again, or a few pieces.
            self.columns_cache_bytes.max(self.columns_memory_bytes / 2),
            self.recent_writes_bytes,
        ];
        each.into_iter().fold(0, u64::saturating_add)
    }

    /// What statements may keep while they work.
    pub fn work(&self) -> WorkLimits {
        let bytes = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        WorkLimits {
            statement_memory_bytes: bytes(self.statement_memory_bytes),
            all_statements_memory_bytes: bytes(self.all_statements_memory_bytes),
            spill_bytes: self.spill_bytes,
        }
    }
}

impl ServeConfig {
    /// Refuses what would be open to strangers or would mix keys with data.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !self.postgres.ip().is_loopback() && (self.users.is_none() || self.tls.is_none()) {
            return Err(ConfigError::OpenPostgres(self.postgres));
        }
        if !self.http.ip().is_loopback() {
            return Err(ConfigError::OpenHttp(self.http));
        }
        if self.policy.is_some() && self.users.is_none() {
            return Err(ConfigError::PolicyWithoutUsers);
        }
        let (keys, data) = (absolute(&self.keys), absolute(&self.data));
        if keys.starts_with(&data) {
            return Err(ConfigError::KeysInsideData { keys, data });
        }
        Ok(())
    }

    /// The time a connection may take to say who it is.
    pub fn startup_timeout(&self) -> Duration {
        Duration::from_secs(self.limits.startup_seconds)
    }
}

/// `HOST:PORT`, resolving names such as `localhost`.
pub fn parse_address(text: &str) -> Result<SocketAddr, ConfigError> {
    if let Ok(address) = SocketAddr::from_str(text) {
        return Ok(address);
    }
    text.to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next())
        .ok_or_else(|| ConfigError::Address(text.to_owned()))
}

/// The path with its existing part resolved, so that a link cannot hide one directory inside another.
fn absolute(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut existing = absolute.as_path();
    let mut rest = Vec::new();
    loop {
        if let Ok(resolved) = existing.canonicalize() {
            return rest.iter().rev().fold(resolved, |resolved, part| resolved.join(part));
        }
        match (existing.parent(), existing.file_name()) {
            (Some(parent), Some(name)) => {
                rest.push(name.to_os_string());
                existing = parent;
            }
            _ => return absolute,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ServeConfig {
        ServeConfig {
            data: "/tmp/ledgerstone-data".into(),
            keys: "/tmp/ledgerstone-keys".into(),
            postgres: "127.0.0.1:7432".parse().unwrap(),
            http: "127.0.0.1:7430".parse().unwrap(),
            users: None,
            access_keys: None,
            qldb_strict: false,
            kinesis: None,
            policy: None,
            tls: None,
            exports: None,
            s3: None,
            origin_prefix: "localhost".to_owned(),
            limits: Limits::default(),
        }
    }

    #[test]
    fn strangers_need_tls_and_a_password() {
        assert!(config().check().is_ok());
        let open = ServeConfig { postgres: "0.0.0.0:7432".parse().unwrap(), ..config() };
        assert!(matches!(open.check(), Err(ConfigError::OpenPostgres(_))));
        let policy = ServeConfig { policy: Some("policy.json".into()), ..config() };
        assert!(matches!(policy.check(), Err(ConfigError::PolicyWithoutUsers)));
        assert!(ServeConfig { users: Some("users".into()), ..policy }.check().is_ok());
        let half = ServeConfig { users: Some("users".into()), ..open.clone() };
        assert!(matches!(half.check(), Err(ConfigError::OpenPostgres(_))));
        let tls = Some(TlsFiles { certificates: "cert".into(), key: "key".into() });
        assert!(ServeConfig { tls, ..half }.check().is_ok());
        let http = ServeConfig { http: "[::]:7430".parse().unwrap(), ..config() };
        assert!(matches!(http.check(), Err(ConfigError::OpenHttp(_))));
    }

    #[test]
    fn keys_stay_out_of_the_data_directory() {
        let inside = ServeConfig { keys: "/tmp/ledgerstone-data/keys".into(), ..config() };
        assert!(matches!(inside.check(), Err(ConfigError::KeysInsideData { .. })));
        let around = ServeConfig { keys: "/tmp/ledgerstone-data/../ledgerstone-data/k".into(), ..config() };
        assert!(around.check().is_ok() || matches!(around.check(), Err(ConfigError::KeysInsideData { .. })));
    }

    #[test]
    fn limits_have_names_and_ranges() {
        let mut limits = Limits::default();
        limits.set("statement_bytes=2048").unwrap();
        assert_eq!(limits.statement_bytes, 2048);
        assert!(matches!(limits.set("statement_bytes=1"), Err(ConfigError::LimitRange { .. })));
        let said = |assignment| Limits::default().set(assignment).unwrap_err().to_string();
        for (assignment, words) in [
            ("wishes=abc", "--limit wishes=abc: there is no limit of that name; names are connections, "),
            ("connections=abc", "--limit connections=abc: the value has to be a whole number from 1 to 1048576"),
            ("connections", "--limit connections is not of the form NAME=NUMBER"),
        ] {
            assert!(said(assignment).starts_with(words), "{}", said(assignment));
        }
    }
}
