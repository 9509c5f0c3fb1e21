//! The limits that the machine sets to any server: syncs of a disk, round trips over loopback, SHA-256.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

const PAGE: usize = 4096;
/// A file of this length is written over and over, as segments that were prepared ahead are.
const FILE_BYTES: u64 = 64 << 20;
/// About what a point read sends and gets.
const MESSAGE_BYTES: usize = 100;

/// Prints `{"limit", "clients", "per_second"}`, a line each.
pub fn measure(dir: &Path, seconds: u64) -> Result<(), String> {
    let time = Duration::from_secs(seconds);
    print("fdatasync of 4 KiB", 1, syncs(dir, time).map_err(|e| format!("{}: {e}", dir.display()))?);
    for clients in [1, 8, 64] {
        print("loopback round trips", clients, round_trips(clients, time).map_err(|e| format!("loopback: {e}"))?);
    }
    for bytes in [64, PAGE] {
        print(&format!("SHA-256 of {bytes} B, one core"), 1, hashes(bytes, time));
    }
    Ok(())
}

fn print(limit: &str, clients: usize, per_second: f64) {
    println!("{{\"limit\": \"{limit}\", \"clients\": {clients}, \"per_second\": {per_second:.0}}}");
}

fn syncs(dir: &Path, time: Duration) -> std::io::Result<f64> {
    std::fs::create_dir_all(dir)?;
    let path = dir.join("syncs");
    let file = File::create(&path)?;
    let zeros = vec![0; 1 << 20];
    for at in (0..FILE_BYTES).step_by(zeros.len()) {
        file.write_all_at(&zeros, at)?;
    }
    file.sync_all()?;
    let page = [7; PAGE];
    let began = Instant::now();
    let mut count = 0;
    while began.elapsed() < time {
        file.write_all_at(&page, (count * PAGE as u64) % FILE_BYTES)?;
        file.sync_data()?;
        count += 1;
    }
    let rate = count as f64 / began.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}

fn round_trips(clients: usize, time: Duration) -> std::io::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (over, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let began = Instant::now();
    std::thread::scope(|scope| -> std::io::Result<()> {
        for _ in 0..clients {
            let mut client = TcpStream::connect(address)?;
            let (mut server, _) = listener.accept()?;
            client.set_nodelay(true)?;
            server.set_nodelay(true)?;
            scope.spawn(move || {
                let mut message = [0; MESSAGE_BYTES];
                while server.read_exact(&mut message).and_then(|()| server.write_all(&message)).is_ok() {}
            });
            let (over, count) = (&over, &count);
            scope.spawn(move || {
                let mut message = [1; MESSAGE_BYTES];
                while !over.load(Ordering::Relaxed)
                    && client.write_all(&message).and_then(|()| client.read_exact(&mut message)).is_ok()
                {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(time);
        over.store(true, Ordering::Relaxed);
        Ok(())
    })?;
    Ok(count.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64())
}

fn hashes(bytes: usize, time: Duration) -> f64 {
    let mut message = vec![0; bytes];
    let began = Instant::now();
    let mut count = 0_u64;
    while began.elapsed() < time {
        for _ in 0..1000 {
            // Each depends on the one before, so that none can be left out.
            let hash = Sha256::digest(&message);
            message[..32].copy_from_slice(&hash);
        }
        count += 1000;
    }
    count as f64 / began.elapsed().as_secs_f64()
}
