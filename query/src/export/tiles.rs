//! The leaves of an export as a static log (C2SP tlog-tiles): entry bundles and tiles of hashes, each file once.
//!
//! The same cutting into files is used by the writer and by the verifier, which compares each file with what it is given.

use std::path::Path;

use ledgerstone_digest::tiles::{HEIGHT, Kind, Tile, WIDTH, push_entry};
use ledgerstone_digest::tree::{Frontier, leaf_hash};

use super::writer::write_synced;
use super::{ExportError, file_error};

/// Takes all leaves in order, and hands out each file when it is whole.
#[derive(Default)]
pub struct TileCutter {
    frontier: Frontier,
    bundle: Vec<u8>,
    /// For each level of tiles: the number of hashes before its open tile, and the open tile.
    levels: Vec<(u64, Vec<u8>)>,
}

/// What is done with a file.
pub type TakeTile<'a, E> = &'a mut dyn FnMut(Tile, &[u8]) -> Result<(), E>;

impl TileCutter {
    /// The next leaf, of at most 65,535 bytes.
    pub fn append<E>(&mut self, entry: &[u8], take: TakeTile<'_, E>) -> Result<(), E> {
        // Leaves of known kinds have at most 94 bytes, and what was read from a bundle fits one.
        let _ = push_entry(&mut self.bundle, entry);
        let levels = &mut self.levels;
        self.frontier.append_and_store(leaf_hash(entry), |level, _, hash| {
            if level % HEIGHT == 0 {
                let tile = usize::from(level / HEIGHT);
                if levels.len() <= tile {
                    levels.push((0, Vec::new()));
                }
                levels[tile].1.extend_from_slice(&hash.0);
            }
        });
        if self.frontier.size().is_multiple_of(WIDTH) {
            let bundle = std::mem::take(&mut self.bundle);
            take(Tile { kind: Kind::Entries, index: self.frontier.size() / WIDTH - 1, width: 256 }, &bundle)?;
            self.hashes(false, take)?;
        }
        Ok(())
    }

    /// What is partial at the end.
    pub fn finish<E>(mut self, take: TakeTile<'_, E>) -> Result<(), E> {
        let size = self.frontier.size();
        if !size.is_multiple_of(WIDTH) {
            let bundle = std::mem::take(&mut self.bundle);
            take(Tile { kind: Kind::Entries, index: size / WIDTH, width: (size % WIDTH) as u16 }, &bundle)?;
        }
        self.hashes(true, take)
    }

    fn hashes<E>(&mut self, partial: bool, take: TakeTile<'_, E>) -> Result<(), E> {
        for (level, (before, hashes)) in self.levels.iter_mut().enumerate() {
            let width = hashes.len() as u64 / 32;
            if width == WIDTH || (partial && width > 0) {
                let tile = Tile { kind: Kind::Hashes(level as u8), index: *before / WIDTH, width: width as u16 };
                *before += width;
                take(tile, &std::mem::take(hashes))?;
            }
        }
        Ok(())
    }
}

/// Writes a tile below a folder.
pub fn write_tile(folder: &Path, tile: Tile, bytes: &[u8]) -> Result<(), ExportError> {
    let path = folder.join(tile.to_string());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(file_error("create", parent))?;
    }
    write_synced(&path, bytes)
}
