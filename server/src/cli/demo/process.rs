//! The other processes of the demonstration: the server, and the commands that check what it did.

use std::fs::File;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a start may take on a slow machine, and a stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server of this same binary; killed if it is dropped before it was stopped.
pub struct Server {
    child: Option<Child>,
    log: PathBuf,
    pub postgres: SocketAddr,
    pub http: SocketAddr,
}

impl Server {
    /// Starts it on free ports and waits until it listens.
    pub fn start(binary: &Path, folder: &Path) -> Result<Server, String> {
        let (postgres, http) = (free_port()?, free_port()?);
        let log = folder.join("server.log");
        let out = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let err = out.try_clone().map_err(|error| format!("{}: {error}", log.display()))?;
        let child = Command::new(binary)
            .arg("serve")
            .args([Path::new("--data"), &folder.join("data"), Path::new("--keys"), &folder.join("keys")])
            .args(["--postgres", &postgres.to_string(), "--http", &http.to_string()])
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", binary.display()))?;
        let mut server = Server { child: Some(child), log, postgres, http };
        let started = Instant::now();
        while TcpStream::connect(postgres).is_err() {
            let ended = server.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if let Some(status) = ended {
                server.child = None;
                return Err(format!("the server ended with {status}:\n{}", server.log_text()));
            }
            if started.elapsed() > PATIENCE {
                return Err(format!("the server does not listen:\n{}", server.log_text()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Asks it to stop in good order, and waits.
    pub fn stop(mut self) -> Result<(), String> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM).map_err(|error| format!("cannot signal the server: {error}"))?;
        }
        let asked = Instant::now();
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("the server ended with {status}:\n{}", self.log_text())),
                Ok(None) if asked.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(10)),
                Ok(None) => {
                    self.child = Some(child);
                    return Err("the server does not stop".to_owned());
                }
                Err(error) => return Err(format!("cannot wait for the server: {error}")),
            }
        }
    }

    /// The end of its log.
    fn log_text(&self) -> String {
        let mut text = String::new();
        let _ = File::open(&self.log).map(|file| file.take(64 << 10).read_to_string(&mut text));
        text
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a command printed, and its exit status.
pub struct Output {
    pub status: i32,
    pub text: String,
}

/// Runs this binary with these arguments.
pub fn run(binary: &Path, arguments: &[String], colours: bool) -> Result<Output, String> {
    let mut command = Command::new(binary);
    command.args(arguments).stdin(Stdio::null());
    if colours {
        command.env("CLICOLOR_FORCE", "1");
    }
    let output = command.output().map_err(|error| format!("cannot start {}: {error}", binary.display()))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok(Output { status: output.status.code().unwrap_or(-1), text })
}

/// Copies a directory with everything in it.
pub fn copy_directory(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn free_port() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("no free port: {error}"))?;
    listener.local_addr().map_err(|error| format!("no free port: {error}"))
}
