//! Making a ledger of a backup again. What comes out is read only: a ledger that goes on from an old state, while
//! somebody holds a newer checkpoint, signs a second history, and no proof would hold any more. So it is written to
//! again only when a checkpoint from elsewhere has been compared with it.

use std::path::Path;

use ledgerstone_digest::note::VerifierKey;

use super::BackupError;
use super::receive::{at, copy};
use crate::checkpoint::CHECKPOINT_FILE;
use crate::env::{Env, OpenMode, write_all_at};
use crate::recovery::LOCK_FILE;
use crate::rotation::{keep_note, notes};
use crate::segment::{JOURNAL_DIR, segment_number, segment_path};
use crate::verify::{Verdict, VerifyOptions, VerifyReport, verify_directory};

/// In a ledger's directory: it was restored, and nobody has vouched for it yet.
pub const RESTORED_FILE: &str = "restored";

/// What writers are told.
pub(crate) const READ_ONLY: &str = "it was restored from a backup, and a checkpoint kept elsewhere has not been compared \
     with it yet: `ledgerstone restore --confirm --checkpoint FILE --key VKEY` does that";

/// Copies a backup, which the caller has verified, to `target`: under a temporary name, synced, then renamed. Unless it
/// is `confirmed` by a checkpoint that the verification was given, the ledger will be read only.
pub fn restore(
    env: &Env,
    backup: &Path,
    target: &Path,
    confirmed: bool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), BackupError> {
    let storage = &*env.storage;
    let refuse = |path: &Path, what: &str| BackupError::Directory { path: path.to_owned(), what: what.to_owned() };
    if storage.exists(target) {
        return Err(refuse(target, "a ledger is there already; a restore never overwrites one"));
    }
    let mut name = std::ffi::OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(".restoring");
    let temporary = target.with_file_name(name);
    if storage.exists(&temporary) {
        storage.remove_dir_all(&temporary).map_err(at(&temporary, "remove it"))?;
    }
    let (from, to) = (backup.join(JOURNAL_DIR), temporary.join(JOURNAL_DIR));
    storage.create_dir_all(&to).map_err(at(&to, "make the directory"))?;
    let entries = storage.read_dir(&from).map_err(at(&from, "list it"))?;
    let segments: Vec<u64> = entries.iter().filter_map(|entry| segment_number(&entry.name)).collect();
    for (done, number) in segments.iter().enumerate() {
        copy_file(env, &segment_path(backup, *number), &segment_path(&temporary, *number))?;
        progress(done as u64 + 1, segments.len() as u64);
    }
    copy_file(env, &backup.join(CHECKPOINT_FILE), &temporary.join(CHECKPOINT_FILE))?;
    for (size, note) in notes(storage, backup)? {
        keep_note(storage, &temporary, size, &note)?;
    }
    if !confirmed {
        let path = temporary.join(RESTORED_FILE);
        let file = storage.open(&path, OpenMode::Create).map_err(at(&path, "make it"))?;
        let text = b"This ledger was restored from a backup and is read only until a checkpoint kept elsewhere was compared.\n";
        write_all_at(&*file, text, 0).and_then(|()| file.sync_data()).map_err(at(&path, "write it"))?;
    }
    storage.sync_dir(&to).map_err(at(&to, "sync it"))?;
    storage.sync_dir(&temporary).map_err(at(&temporary, "sync it"))?;
    storage.rename(&temporary, target).map_err(at(target, "rename it"))?;
    let parent = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    storage.sync_dir(parent).map_err(at(parent, "sync it"))
}

/// Whether a ledger is read only since it was restored.
pub fn is_restored(env: &Env, dir: &Path) -> bool {
    env.storage.exists(&dir.join(RESTORED_FILE))
}

/// Lets a restored ledger be written to again, if a checkpoint kept elsewhere is one of its own past: the verification
/// refuses one that is newer. The ledger must not be open. The report says what was found.
pub fn confirm(
    env: &Env,
    dir: &Path,
    note: String,
    vkey: VerifierKey,
    progress: Option<&mut dyn FnMut(u64, u64)>,
) -> Result<VerifyReport, BackupError> {
    let storage = &*env.storage;
    let marker = dir.join(RESTORED_FILE);
    if !storage.exists(&marker) {
        let what = "this ledger was not restored, or was confirmed before; there is nothing to do";
        return Err(BackupError::Directory { path: dir.to_owned(), what: what.to_owned() });
    }
    let options = VerifyOptions { checkpoint: Some(note), vkey: Some(vkey), progress, ..VerifyOptions::default() };
    let report = verify_directory(env, dir, options);
    if report.verdict() != Verdict::Holds {
        return Ok(report);
    }
    let lock = storage.lock(&dir.join(LOCK_FILE)).map_err(at(&dir.join(LOCK_FILE), "lock it"))?;
    storage.remove_file(&marker).map_err(at(&marker, "remove it"))?;
    storage.sync_dir(dir).map_err(at(dir, "sync it"))?;
    drop(lock);
    Ok(report)
}

fn copy_file(env: &Env, from: &Path, to: &Path) -> Result<(), BackupError> {
    let storage = &*env.storage;
    let source = storage.open(from, OpenMode::Read).map_err(at(from, "open it"))?;
    let file = storage.open(to, OpenMode::CreateNew).map_err(at(to, "make it"))?;
    let length = source.len().map_err(at(from, "find its length"))?;
    copy(&*source, &*file, length).and_then(|()| file.sync_data()).map_err(at(to, "write it"))
}
