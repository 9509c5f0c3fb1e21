//! Starts the real server on free ports in a directory of its own, and stops it whatever the test does.

use std::error::Error as StdError;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tempfile::TempDir;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, NoTls};

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(60);

/// A running server.
pub struct Server {
    child: Option<Child>,
    directory: TempDir,
    data: PathBuf,
    keys: PathBuf,
    arguments: Vec<String>,
    setting: Setting,
    pub postgres: SocketAddr,
    pub http: SocketAddr,
}

/// What a server is started in.
#[derive(Clone, Default)]
pub struct Setting {
    /// A program that ends in executing the rest of its arguments, and its own arguments.
    pub wrapper: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// More arguments for `serve`.
    pub arguments: Vec<String>,
    /// Where its log goes, instead of a file of the test's own.
    pub log: Option<PathBuf>,
}

/// A server that did not start, or has ended.
pub struct Ended {
    pub status: ExitStatus,
    pub log: String,
}

impl Server {
    /// A fresh server with an empty `main`.
    pub fn start() -> Server {
        Server::start_with(&[])
    }

    /// With more arguments for `serve`.
    pub fn start_with(arguments: &[&str]) -> Server {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (postgres, http) = (free_port(), free_port());
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let (data, keys) = (directory.path().join("data"), directory.path().join("keys"));
        let setting = Setting::default();
        let mut server = Server { child: None, directory, data, keys, arguments, setting, postgres, http };
        server.launch();
        server
    }

    /// As [`Server::start_with`], with the PostgreSQL port on every address.
    pub fn start_everywhere(arguments: &[&str]) -> Server {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let http = free_port();
        let postgres = SocketAddr::from(([0, 0, 0, 0], free_port().port()));
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let (data, keys) = (directory.path().join("data"), directory.path().join("keys"));
        let setting = Setting::default();
        let mut server = Server { child: None, directory, data, keys, arguments, setting, postgres, http };
        server.launch();
        server
    }

    /// On directories that are there already.
    pub fn start_on(data: impl Into<PathBuf>, keys: impl Into<PathBuf>) -> Server {
        Server::start_in(data, keys, Setting::default())
    }

    /// On directories that are there already, in a setting of the test's.
    pub fn start_in(data: impl Into<PathBuf>, keys: impl Into<PathBuf>, setting: Setting) -> Server {
        match Server::try_start(data, keys, setting) {
            Ok(server) => server,
            Err(ended) => panic!("the server ended with {}: {}", ended.status, ended.log),
        }
    }

    /// As [`Server::start_in`], for a server that may refuse to start.
    pub fn try_start(data: impl Into<PathBuf>, keys: impl Into<PathBuf>, setting: Setting) -> Result<Server, Ended> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (postgres, http) = (free_port(), free_port());
        let (data, keys) = (data.into(), keys.into());
        let mut server = Server { child: None, directory, data, keys, arguments: Vec::new(), setting, postgres, http };
        match server.launch_somewhere() {
            Some(status) => Err(Ended { status, log: server.log_text() }),
            None => Ok(server),
        }
    }

    fn launch(&mut self) {
        if let Some(status) = self.launch_somewhere() {
            panic!("the server ended with {status}: {}", self.log_text());
        }
    }

    /// As `try_launch`, on other ports if its own are taken: one that was free may have gone to another test in between.
    fn launch_somewhere(&mut self) -> Option<ExitStatus> {
        for _ in 0..5 {
            let ended = self.try_launch();
            if ended.is_none() || !self.log_text().contains("is another server running?") {
                return ended;
            }
            self.postgres.set_port(free_port().port());
            self.http.set_port(free_port().port());
        }
        panic!("no port stays free: {}", self.log_text());
    }

    /// The status it ended with, if it did not start.
    fn try_launch(&mut self) -> Option<ExitStatus> {
        let mut command = match self.setting.wrapper.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(binary());
                command
            }
            None => Command::new(binary()),
        };
        let child = command
            .envs(self.setting.environment.iter().cloned())
            .arg("serve")
            .arg("--data")
            .arg(&self.data)
            .arg("--keys")
            .arg(&self.keys)
            .args(["--postgres", &self.postgres.to_string(), "--http", &self.http.to_string()])
            .args(&self.arguments)
            .args(&self.setting.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::from(std::fs::File::create(self.log()).expect("a log file")))
            .spawn()
            .expect("the server starts");
        self.child = Some(child);
        let started = Instant::now();
        loop {
            if self.get("/healthz").is_some_and(|answer| answer.starts_with("HTTP/1.1 ")) {
                return None;
            }
            let child = self.child.as_mut().expect("a child");
            if let Some(status) = child.try_wait().expect("a status") {
                self.child = None;
                return Some(status);
            }
            assert!(started.elapsed() < START, "the server does not answer: {}", self.log_text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The answer to a GET on the HTTP port.
    pub fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.http).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// Stops it in good order and says with which status.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.child.take().expect("a running server").wait().expect("a status")
    }

    /// Sends it a signal by name, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().expect("kill runs");
        assert!(status.success(), "kill -s {name} failed");
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running server").id()
    }

    /// Starts it again on the same files and ports, in another setting.
    pub fn restart_in(&mut self, setting: Setting) {
        self.setting = setting;
        self.launch();
    }

    /// As `kill -9`.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("a running server");
        child.kill().expect("kill works");
        child.wait().expect("a status");
    }

    /// How it ended by itself, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        // Its sockets close a moment before it is gone.
        for _ in 0..20 {
            let child = self.child.as_mut()?;
            if let Some(status) = child.try_wait().expect("a status") {
                self.child = None;
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    /// Starts it again on the same files and ports.
    pub fn restart(&mut self) {
        self.launch();
    }

    pub fn data(&self) -> PathBuf {
        self.data.clone()
    }

    pub fn keys(&self) -> PathBuf {
        self.keys.clone()
    }

    fn log(&self) -> PathBuf {
        self.setting.log.clone().unwrap_or_else(|| self.directory.path().join("log"))
    }

    pub fn log_text(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// A client of the extended protocol, connected to `main`.
    pub async fn client(&self) -> Client {
        self.client_of("main").await.expect("a connection")
    }

    pub async fn client_of(&self, ledger: &str) -> Result<Client, tokio_postgres::Error> {
        let config = format!("host={} port={} user=test dbname={ledger}", self.postgres.ip(), self.postgres.port());
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await?;
        tokio::spawn(async move {
            // Its error is also the error of whatever the client was asked to do.
            let _ = connection.await;
        });
        Ok(client)
    }

    /// Runs a script with psql; the output has values only, one row per line.
    pub fn psql(&self, script: &str) -> Output {
        self.psql_with(&["-At"], script)
    }

    pub fn psql_with(&self, arguments: &[&str], script: &str) -> Output {
        let mut child = Command::new("psql")
            .args(["-X", "-q", "-h", &self.postgres.ip().to_string(), "-p", &self.postgres.port().to_string()])
            .args(["-U", "test", "-d", "main", "-v", "VERBOSITY=verbose"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql is installed");
        child.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("psql reads");
        child.wait_with_output().expect("psql ends")
    }

    /// What psql prints for a script that must not fail.
    pub fn psql_ok(&self, script: &str) -> String {
        let output = self.psql(script);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!errors.contains("ERROR") && !errors.contains("FATAL"), "{script}\n{errors}");
        String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
    }

    /// What psql says when it connects to a ledger that does not answer.
    pub fn client_error(&self, ledger: &str) -> String {
        let output = Command::new("psql")
            .args(["-X", "-h", &self.postgres.ip().to_string(), "-p", &self.postgres.port().to_string()])
            .args(["-U", "test", "-d", ledger, "-c", "SELECT 1"])
            .output()
            .expect("psql is installed");
        assert!(!output.status.success(), "{ledger} answers");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// What psql says on its error output.
    pub fn psql_error(&self, script: &str) -> String {
        String::from_utf8_lossy(&self.psql(script).stderr).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("server log:\n{}", self.log_text());
        }
    }
}

/// `ledgerstone verify DIR` on a stopped server's ledger with a checkpoint that somebody kept: exit status and report. In a
/// process of its own: this one forks all the time, and a lock taken here lives on in a child until that executes.
pub fn verify_against(ledger: &Path, note: &str, vkey: &str) -> (i32, String) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (kept, key) = (directory.path().join("kept"), directory.path().join("vkey"));
    std::fs::write(&kept, note).expect("a file");
    std::fs::write(&key, vkey).expect("a file");
    let mut command = Command::new(binary());
    command.arg("verify").arg(ledger).arg("--checkpoint").arg(kept).arg("--key").arg(key);
    let output = command.output().expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}

/// A value as its bytes, whatever its type.
#[derive(Debug, Clone)]
pub struct Raw(pub Vec<u8>);

impl ToSql for Raw {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Raw(raw.to_vec()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The SQLSTATE of an error.
pub fn state(error: &tokio_postgres::Error) -> String {
    error.code().map_or_else(|| format!("no SQLSTATE: {error}"), |code| code.code().to_owned())
}

/// The binary under test: `LEDGERSTONE_BINARY`, or this workspace's own, built if need be.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("LEDGERSTONE_BINARY") {
            return PathBuf::from(path);
        }
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "ledgerstone"])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the server does not build");
        // target/debug/deps/it-… → target/debug/ledgerstone
        let own = std::env::current_exe().expect("a path");
        let target = own.parent().and_then(Path::parent).expect("target/debug");
        target.join("ledgerstone")
    })
}

fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}
