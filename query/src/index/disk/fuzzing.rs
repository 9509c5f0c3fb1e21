//! The index files as bytes for fuzzing: whatever they are, reading ends, in order, or with a named error.

use std::path::Path;
use std::sync::Arc;

use ledgerstone_journal::env::{MemoryStorage, OpenMode, Storage, write_all_at};

use super::block::Block;
use super::cache::BlockCache;
use super::checksum::hash64;
use super::entry;
use super::manifest::{MANIFEST, Manifest};
use super::run::{Run, RunName, Writer, run_path};

const NONCE: u64 = 7;
const ENTRIES: u64 = 300;

/// A run file, with the name that the manifest would have for it. Its own checksums hold it together, so the numbers at
/// its end are tried again with theirs made right.
pub fn index_run(bytes: &[u8]) {
    read_run(bytes);
    if let Some(foot_at) = bytes.len().checked_sub(64) {
        let mut file = bytes.to_vec();
        let number = |file: &[u8], at: usize| {
            file.get(foot_at + at..).and_then(|b| b.first_chunk()).map(|b| u64::from_be_bytes(*b))
        };
        let section = |file: &[u8], from: Option<u64>, to: u64| {
            let range = usize::try_from(from?).ok()?..usize::try_from(to).ok()?;
            Some(hash64(NONCE, file.get(range)?))
        };
        let (places, filter) = (number(&file, 8), number(&file, 16));
        let sums = [section(&file, places, filter.unwrap_or(0)), section(&file, filter, foot_at as u64)];
        for (at, sum) in [40, 48].into_iter().zip(sums) {
            if let (Some(sum), Some(place)) = (sum, file.get_mut(foot_at + at..foot_at + at + 8)) {
                place.copy_from_slice(&sum.to_be_bytes());
            }
        }
        let sum = hash64(NONCE, &file[foot_at..foot_at + 56]);
        file[foot_at + 56..].copy_from_slice(&sum.to_le_bytes());
        read_run(&file);
    }
}

/// One block of a run, with its checksum made right.
pub fn index_block(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    if let Some(at) = bytes.len().checked_sub(8) {
        let sum = hash64(NONCE, &bytes[..at]);
        bytes[at..].copy_from_slice(&sum.to_le_bytes());
    }
    let Ok(block) = Block::read(bytes, NONCE) else { return };
    for n in 0..block.count() {
        let (key, _) = block.entry(n);
        let key = [block.shared(), key].concat();
        let _ = (entry::read_held(&key), entry::read_lost(&key), entry::read_revision(&key), entry::index_of(&key));
    }
    for key in [&b""[..], b"\0", b"\x40\x01\x02", &[0xff; 40]] {
        assert!(block.lower_bound(key) <= block.count());
    }
}

/// The manifest file, with its checksum made right.
pub fn index_manifest(bytes: &[u8]) {
    let body = bytes.len().checked_sub(32).map_or(bytes, |end| &bytes[..end]);
    let file = [body, &ledgerstone_digest::Hash::sha256(&[body]).0].concat();
    let storage = MemoryStorage::new();
    let dir = Path::new("index");
    put(&storage, &dir.join(MANIFEST), &file);
    if let Ok(Some(manifest)) = Manifest::read(&storage, dir) {
        manifest.store(&storage, dir).expect("memory has room");
        let again = Manifest::read(&storage, dir).expect("what was stored is read back").expect("a manifest");
        assert_eq!(again.runs, manifest.runs);
    }
}

/// A run as the writer makes it, for the corpus.
pub fn sample_index() -> Vec<u8> {
    let (storage, dir) = (MemoryStorage::new(), Path::new("index"));
    storage.create_dir_all(dir).expect("memory has directories");
    let cache = Arc::new(BlockCache::new(1 << 20));
    let mut writer = Writer::create(&storage, dir, 0, NONCE, ENTRIES).expect("memory has room");
    for n in 0..ENTRIES {
        let id = ledgerstone_digest::Id([(n / 3) as u8; 16]);
        let key = entry::revision(ledgerstone_digest::Id([16; 16]), id, n);
        writer.add(&key, Some(n)).expect("memory has room");
    }
    let run = writer.finish(&storage, dir, &cache).expect("memory has room");
    let file = storage.open(run.path(), OpenMode::Read).expect("it was made");
    let mut bytes = vec![0; run.name.length as usize];
    ledgerstone_journal::env::read_exact_at(&*file, &mut bytes, 0).expect("it is there");
    bytes
}

fn read_run(bytes: &[u8]) {
    let (storage, dir) = (MemoryStorage::new(), Path::new("index"));
    put(&storage, &run_path(dir, 0), bytes);
    let name = RunName { number: 0, nonce: NONCE, length: bytes.len() as u64, entries: ENTRIES };
    let Ok(run) = Run::open(&storage, dir, name, &Arc::new(BlockCache::new(1 << 20))) else { return };
    for descending in [false, true] {
        let Ok(mut cursor) = run.cursor(None, descending) else { continue };
        let (mut last, mut seen) = (None::<Vec<u8>>, 0_u64);
        while let Some(key) = cursor.key().map(<[u8]>::to_vec) {
            // Checksums vouch for the order inside what was written; here only the end has to come.
            seen += 1;
            assert!(seen <= 16 * bytes.len() as u64 + 16, "a run has an end");
            last = Some(key);
            if cursor.advance().is_err() {
                break;
            }
        }
        if let Some(key) = last {
            let _ = (run.get(&key), run.last_below(&[], &key), run.may_hold(hash64(0, &key)));
        }
    }
}

fn put(storage: &MemoryStorage, path: &Path, bytes: &[u8]) {
    storage.create_dir_all(path.parent().unwrap_or(path)).expect("memory has directories");
    let file = storage.open(path, OpenMode::CreateNew).expect("memory has files");
    write_all_at(&*file, bytes, 0).expect("memory has room");
}
