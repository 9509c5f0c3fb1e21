//! The leaves of an export as a static log (C2SP tlog-tiles): entry bundles and tiles of hashes, each file once.

use std::path::{Path, PathBuf};

use ledgerstone_digest::tiles::{HEIGHT, Kind, Tile, WIDTH, push_entry};
use ledgerstone_digest::tree::{Frontier, leaf_hash};

use super::writer::write_synced;
use super::{ExportError, file_error};

/// Takes all leaves in order.
pub struct TileWriter {
    folder: PathBuf,
    frontier: Frontier,
    bundle: Vec<u8>,
    /// For each level of tiles: the number of hashes before its open tile, and the open tile.
    levels: Vec<(u64, Vec<u8>)>,
}

impl TileWriter {
    pub fn new(folder: &Path) -> Self {
        TileWriter { folder: folder.to_owned(), frontier: Frontier::new(), bundle: Vec::new(), levels: Vec::new() }
    }

    pub fn append(&mut self, entry: &[u8]) -> Result<(), ExportError> {
        push_entry(&mut self.bundle, entry)
            .ok_or_else(|| ExportError::Journal(format!("a leaf has {} bytes", entry.len())))?;
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
            self.write(Tile { kind: Kind::Entries, index: self.frontier.size() / WIDTH - 1, width: 256 }, &bundle)?;
            self.write_hashes(false)?;
        }
        Ok(())
    }

    /// Writes what is partial at the end.
    pub fn finish(mut self) -> Result<(), ExportError> {
        let size = self.frontier.size();
        if !size.is_multiple_of(WIDTH) {
            let bundle = std::mem::take(&mut self.bundle);
            self.write(Tile { kind: Kind::Entries, index: size / WIDTH, width: (size % WIDTH) as u16 }, &bundle)?;
        }
        self.write_hashes(true)
    }

    fn write_hashes(&mut self, partial: bool) -> Result<(), ExportError> {
        for level in 0..self.levels.len() {
            let (before, hashes) = &mut self.levels[level];
            let width = hashes.len() as u64 / 32;
            if width == WIDTH || (partial && width > 0) {
                let tile = Tile { kind: Kind::Hashes(level as u8), index: *before / WIDTH, width: width as u16 };
                *before += width;
                let hashes = std::mem::take(hashes);
                self.write(tile, &hashes)?;
            }
        }
        Ok(())
    }

    fn write(&self, tile: Tile, bytes: &[u8]) -> Result<(), ExportError> {
        let path = self.folder.join(tile.to_string());
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(file_error("create", parent))?;
        }
        write_synced(&path, bytes)
    }
}
