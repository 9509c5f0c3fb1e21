//! The tools that make faults. One that is not installed is a failure in CI and a visible skip elsewhere; one that the
//! machine forbids (tracing, mounting) is a visible skip everywhere.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::Server;

/// Says that a row was not run, where the harness's capturing does not hide it.
pub fn skipped(row: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED {row}: {why}");
}

/// Whether a program is installed.
pub fn has(row: &str, program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).chain(["/sbin".into(), "/usr/sbin".into()]);
    if found.map(|dir| dir.join(program)).any(|path| path.is_file()) {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "{row}: {program} is not installed, which is a failure in CI");
    skipped(row, &format!("{program} is not installed"));
    false
}

/// strace, attached to a server: system calls on one file fail or wait.
pub struct Strace(Child);

impl Strace {
    /// `inject` as strace's option of that name, for calls on `path`. `None` if the machine forbids it.
    pub fn attach(row: &str, server: &Server, path: &Path, inject: &str) -> Option<Strace> {
        if !has(row, "strace") {
            return None;
        }
        let call = inject.split(':').next().unwrap_or_default();
        let mut child = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-P"])
            .arg(path)
            .args(["-e", &format!("trace={call}"), "-e", &format!("inject={inject}"), "-p", &server.pid().to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace starts");
        let started = Instant::now();
        while !all_traced(server.pid()) {
            if let Some(status) = child.try_wait().expect("a status") {
                let mut text = String::new();
                let _ = std::io::Read::read_to_string(&mut child.stderr.take().expect("a pipe"), &mut text);
                assert!(text.contains("Operation not permitted"), "strace ended with {status}: {text}");
                skipped(row, "tracing is forbidden here");
                return None;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "strace does not attach");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Strace(child))
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // It lets go of the server and ends.
        let _ = Command::new("kill").args(["-s", "INT", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

/// Whether every thread of a process is traced.
fn all_traced(pid: u32) -> bool {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    tasks.flatten().all(|task| {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|pid| pid.trim() != "0"))
    })
}

/// A file system of a given size, unmounted at the end.
pub struct Mounted {
    at: TempDir,
    image: Option<PathBuf>,
}

impl Mounted {
    /// In memory. `None` if mounting is forbidden.
    pub fn tmpfs(row: &str, size: &str) -> Option<Mounted> {
        let at = tempfile::tempdir().expect("a temporary directory");
        let options = format!("size={size}");
        mount(row, &["-t", "tmpfs", "-o", &options, "ledgerstone-test"], at.path())?;
        Some(Mounted { at, image: None })
    }

    /// ext4 in a file, which becomes read-only at the first error.
    pub fn ext4(row: &str, megabytes: u64) -> Option<Mounted> {
        if !has(row, "mkfs.ext4") {
            return None;
        }
        let at = tempfile::tempdir().expect("a temporary directory");
        let image = at.path().with_extension("img");
        std::fs::File::create(&image).and_then(|file| file.set_len(megabytes << 20)).expect("an image");
        let made = Command::new("/usr/sbin/mkfs.ext4").args(["-q", "-F"]).arg(&image).status().expect("mkfs runs");
        assert!(made.success());
        let mounted = Mounted { at, image: Some(image) };
        let image = mounted.image.as_ref().expect("an image").to_str().expect("UTF-8").to_owned();
        mount(row, &["-o", "loop,errors=remount-ro", &image], mounted.path())?;
        Some(mounted)
    }

    pub fn path(&self) -> &Path {
        self.at.path()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.at.path().join(name)
    }

    /// Mounts it again with other options, such as `size=100m`.
    pub fn remount(&self, options: &str) -> bool {
        let status = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(self.path()).status();
        status.expect("mount runs").success()
    }

    /// Makes ext4 find an error, as a failing disk does: from then on it is read-only.
    pub fn fail(&self) -> bool {
        let source = Command::new("findmnt").args(["-n", "-o", "SOURCE"]).arg(self.path()).output();
        let source = source.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
        let device = source.trim_start_matches("/dev/");
        std::fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").is_ok()
    }
}

impl Mounted {
    /// As an operator mends a file system that had an error: unmounted, checked, mounted again.
    pub fn mend(&self) -> bool {
        let Some(image) = &self.image else { return false };
        let run = |program: &str, arguments: &[&std::ffi::OsStr]| {
            Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status()
        };
        let unmounted = run("umount", &[self.path().as_os_str()]);
        // 1: errors were found and mended.
        let checked = run("/usr/sbin/e2fsck", &["-f".as_ref(), "-y".as_ref(), image.as_os_str()]);
        let options = ["-o".as_ref(), "loop".as_ref(), image.as_os_str(), self.path().as_os_str()];
        unmounted.is_ok_and(|status| status.success())
            && checked.is_ok_and(|status| status.code().is_some_and(|code| code <= 1))
            && run("mount", &options).is_ok_and(|status| status.success())
    }
}

fn mount(row: &str, arguments: &[&str], at: &Path) -> Option<()> {
    if !has(row, "mount") {
        return None;
    }
    let output = Command::new("mount").args(arguments).arg(at).output().expect("mount runs");
    if !output.status.success() {
        skipped(row, &format!("mounting is forbidden here: {}", String::from_utf8_lossy(&output.stderr).trim()));
        return None;
    }
    Some(())
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).stderr(Stdio::null()).status();
        if let Some(image) = &self.image {
            let _ = std::fs::remove_file(image);
        }
    }
}

/// Fills the disk that a directory is on; the file takes the room until it is removed.
pub fn fill(directory: &Path) -> PathBuf {
    let path = directory.join("ballast");
    let mut file = std::fs::File::create(&path).expect("a file");
    for size in [1 << 20, 4096, 512] {
        let bytes = vec![0x5a; size];
        while file.write_all(&bytes).is_ok() {}
    }
    path
}
