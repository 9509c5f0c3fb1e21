//! What the server's process holds and what its directory takes, once a second.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clients::Shared;

/// One look.
pub struct Sample {
    /// From the start of the watch.
    pub at: Duration,
    pub resident_bytes: u64,
    /// Without those of the journal's segments, which stay open as long as they are few.
    pub descriptors: u64,
    pub threads: u64,
    /// What the journal takes on the disk.
    pub journal_bytes: u64,
    /// What everything else takes.
    pub derived_bytes: u64,
    /// Transactions that were acknowledged and made a block.
    pub commits: u64,
}

pub async fn watch(process: u32, data: PathBuf, shared: Arc<Shared>, length: Duration) -> Vec<Sample> {
    let begun = Instant::now();
    let mut samples = Vec::new();
    while begun.elapsed() < length {
        let commits = shared.commits();
        let look = (data.clone(), process, begun);
        let sample = tokio::task::spawn_blocking(move || sample(&look.0, look.1, look.2, commits)).await;
        samples.push(sample.expect("a look"));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    samples
}

fn sample(data: &Path, process: u32, begun: Instant, commits: u64) -> Sample {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the server runs");
    let field = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    };
    let main = data.join("main");
    let journal_bytes = taken(&main.join("journal"));
    Sample {
        at: begun.elapsed(),
        resident_bytes: field("VmRSS:") << 10,
        descriptors: descriptors(process),
        threads: field("Threads:"),
        journal_bytes,
        derived_bytes: taken(&main).saturating_sub(journal_bytes),
        commits,
    }
}

fn descriptors(process: u32) -> u64 {
    let all = fs::read_dir(format!("/proc/{process}/fd")).expect("the server runs");
    let is_segment = |path: &Path| path.extension().is_some_and(|extension| extension == "seg");
    all.flatten().filter(|entry| !fs::read_link(entry.path()).is_ok_and(|target| is_segment(&target))).count() as u64
}

/// Bytes that a directory takes on the disk. What goes away meanwhile takes none.
fn taken(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(facts) if facts.is_dir() => taken(&entry.path()),
            Ok(facts) => facts.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}
