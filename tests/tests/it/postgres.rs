//! A PostgreSQL of the test's own, to compare answers with, and how its clients are asked.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

/// How long its start may take on a busy machine.
const START: Duration = Duration::from_secs(120);

/// A running PostgreSQL.
pub struct Postgres {
    child: Child,
    port: u16,
    _directory: TempDir,
}

impl Postgres {
    /// Starts one if it is installed. Without it the test is skipped, which is seen; in CI that is a failure.
    pub fn start() -> Option<Postgres> {
        let Some(binaries) = binaries() else {
            assert!(std::env::var_os("CI").is_none(), "PostgreSQL's server is not installed (Debian: postgresql)");
            println!("SKIPPED: PostgreSQL's server is not installed (Debian: postgresql)");
            return None;
        };
        let directory = tempfile::tempdir().expect("a temporary directory");
        let data = directory.path().join("data");
        std::fs::create_dir(&data).expect("a directory");
        let owner = other_user();
        if let Some((uid, gid)) = owner {
            std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).expect("a mode");
            std::os::unix::fs::chown(&data, Some(uid), Some(gid)).expect("an owner");
        }
        let command = |name: &str| {
            let mut command = Command::new(binaries.join(name));
            // It refuses to run as root.
            if let Some((uid, gid)) = owner {
                command.uid(uid).gid(gid);
            }
            command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let made = command("initdb")
            .arg("-D")
            .arg(&data)
            .args(["-U", "test", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])
            .status()
            .expect("initdb runs");
        assert!(made.success(), "initdb failed with {made}");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let settings = ["fsync=off", "timezone=UTC", "unix_socket_directories=", "listen_addresses=127.0.0.1"];
        let mut server = command("postgres");
        server.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        settings.iter().for_each(|setting| {
            server.args(["-c", setting]);
        });
        let child = server.spawn().expect("postgres starts");
        Some(Postgres { child, port, _directory: directory })
    }

    /// A client, as soon as it answers.
    pub async fn client(&mut self, database: &str) -> Client {
        let started = Instant::now();
        loop {
            let config = format!("host=127.0.0.1 port={} user=test dbname={database}", self.port);
            match tokio_postgres::connect(&config, NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(async move {
                        let _ = connection.await;
                    });
                    return client;
                }
                Err(error) => {
                    let ended = self.child.try_wait().expect("a status");
                    assert!(ended.is_none(), "PostgreSQL ended with {ended:?}");
                    assert!(started.elapsed() < START, "PostgreSQL does not answer: {error}");
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Postgres {
    /// How psql and pg_dump come in.
    pub fn address(&self) -> [String; 6] {
        ["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "test"].map(str::to_owned)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGQUIT: at once, with all its processes.
        let _ = Command::new("kill").args(["-s", "QUIT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

/// Where its programs are, if they are installed.
pub fn binaries() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    found.extend(std::env::split_paths(&path));
    found.into_iter().find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

/// Whom to run as, if this is root: `postgres`, or else `nobody`.
fn other_user() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt as _;
    if std::fs::metadata("/proc/self").ok()?.uid() != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    ["postgres", "nobody"].iter().find_map(|wanted| {
        let mut fields = users.lines().find(|line| line.starts_with(&format!("{wanted}:")))?.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}
