//! The layout of tiles (c2sp.org/tlog-tiles): which hashes and entries stand in which file. Arithmetic only.

use std::fmt;
use std::str::FromStr;

/// Hashes in a full tile, entries in a full bundle.
pub const WIDTH: u64 = 256;
/// Levels of the tree in one tile.
pub const HEIGHT: u8 = 8;
/// The highest level of tiles that a path can name.
pub const LEVEL_MAX: u8 = 63;

/// What a file of the tile tree holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Hashes of this level of tiles: hash i of level L is the root of 256^L leaves.
    Hashes(u8),
    /// Entries, each with its length.
    Entries,
}

/// One tile or entry bundle, full or partial. Its text is the path below the log's prefix, as
/// `tile/0/x001/x234/067` or `tile/entries/000.p/17`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    /// Hashes or entries.
    pub kind: Kind,
    /// The number of the tile in its level.
    pub index: u64,
    /// 256, or the width of a partial tile: 1 to 255.
    pub width: u16,
}

/// A path that names no tile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the path of a tile; paths look like tile/0/x001/234, tile/0/x001/234.p/17 or tile/entries/000")]
pub struct PathError(pub String);

impl Tile {
    /// The tile as it is in a tree of `size` leaves, full or partial; `None` when it is empty or not there.
    pub fn at_size(kind: Kind, index: u64, size: u64) -> Option<Tile> {
        let level = match kind {
            Kind::Hashes(level) => level,
            Kind::Entries => 0,
        };
        let hashes = hashes_at(level, size);
        let start = index.checked_mul(WIDTH)?;
        let width = hashes.checked_sub(start)?.min(WIDTH) as u16;
        (width > 0).then_some(Tile { kind, index, width })
    }

    /// True if the tile has all its 256 hashes or entries, so that it never changes.
    pub fn is_full(&self) -> bool {
        u64::from(self.width) == WIDTH
    }

    /// The full tile in place of a partial one.
    pub fn to_full(self) -> Tile {
        Tile { width: WIDTH as u16, ..self }
    }

    /// The smallest tree that has this tile.
    pub fn size_min(&self) -> Option<u64> {
        let level = match self.kind {
            Kind::Hashes(level) => level,
            Kind::Entries => 0,
        };
        let hashes = self.index.checked_mul(WIDTH)?.checked_add(u64::from(self.width))?;
        let shift = u32::from(HEIGHT) * u32::from(level);
        if shift >= 64 || hashes.leading_zeros() < shift { None } else { Some(hashes << shift) }
    }
}

/// How many hashes level `level` of tiles has in a tree of `size` leaves.
pub fn hashes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(u32::from(HEIGHT) * u32::from(level)).unwrap_or(0)
}

/// The width of the partial tile that ends level `level` at this size; 0 when there is none.
pub fn partial_width(level: u8, size: u64) -> u16 {
    (hashes_at(level, size) % WIDTH) as u16
}

/// Every tile of hashes in a tree of `size` leaves, level by level.
pub fn all(size: u64) -> impl Iterator<Item = Tile> {
    (0..=LEVEL_MAX).take_while(move |level| hashes_at(*level, size) > 0).flat_map(move |level| {
        let tiles = hashes_at(level, size).div_ceil(WIDTH);
        (0..tiles).filter_map(move |index| Tile::at_size(Kind::Hashes(level), index, size))
    })
}

/// Where the complete subtree (level, index) of the tree lies: in tile (tile level, tile index), over its hashes from
/// `first` up to `first + count`; its root is their Merkle root, or the hash itself when `count` is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The level of tiles.
    pub tile_level: u8,
    /// The number of the tile in its level.
    pub tile_index: u64,
    /// The first hash in the tile.
    pub first: u16,
    /// How many hashes: a power of two, 1 to 128.
    pub count: u16,
}

/// Finds a complete subtree among the tiles.
pub fn place(level: u8, index: u64) -> Option<Place> {
    let inner = u32::from(level % HEIGHT);
    if u32::from(level) >= 64 || index.leading_zeros() < inner {
        return None;
    }
    let hash = index << inner;
    Some(Place {
        tile_level: level / HEIGHT,
        tile_index: hash / WIDTH,
        first: (hash % WIDTH) as u16,
        count: 1 << inner,
    })
}

/// The root of hashes from a tile: `count` of a [`Place`].
pub fn root_of(hashes: &[crate::Hash]) -> crate::Hash {
    let mut frontier = crate::tree::Frontier::new();
    hashes.iter().for_each(|hash| frontier.append(*hash));
    frontier.root()
}

/// Adds an entry to a bundle: its length as u16, its bytes. `None` if it is longer than 65,535 bytes.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Option<()> {
    let length = u16::try_from(entry.len()).ok()?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Some(())
}

/// A bundle that is cut off, or that does not hold the number of entries it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the entry bundle does not hold exactly {expected} entries: it is damaged after {found}")]
pub struct BundleError {
    /// How many entries it should hold.
    pub expected: u16,
    /// How many could be read.
    pub found: u16,
}

/// The entries of a bundle of this width.
pub fn entries(bundle: &[u8], width: u16) -> Result<Vec<&[u8]>, BundleError> {
    let mut found = Vec::with_capacity(usize::from(width).min(WIDTH as usize));
    let mut rest = bundle;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        if found.len() == usize::from(width) || after.len() < length {
            break;
        }
        let (entry, after) = after.split_at(length);
        found.push(entry);
        rest = after;
    }
    if rest.is_empty() && found.len() == usize::from(width) {
        Ok(found)
    } else {
        Err(BundleError { expected: width, found: found.len() as u16 })
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Hashes(level) => write!(f, "tile/{level}")?,
            Kind::Entries => write!(f, "tile/entries")?,
        }
        // Groups of three digits, all but the last marked with an x.
        let mut groups = vec![self.index % 1000];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        for group in groups.iter().skip(1).rev() {
            write!(f, "/x{group:03}")?;
        }
        write!(f, "/{:03}", self.index % 1000)?;
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

impl FromStr for Tile {
    type Err = PathError;

    fn from_str(path: &str) -> Result<Self, PathError> {
        let refuse = || PathError(path.chars().take(100).collect());
        let rest = path.strip_prefix("tile/").ok_or_else(refuse)?;
        let (kind, rest) = rest.split_once('/').ok_or_else(refuse)?;
        let kind = match kind {
            "entries" => Kind::Entries,
            level => Kind::Hashes(decimal(level).filter(|l| *l <= u64::from(LEVEL_MAX)).ok_or_else(refuse)? as u8),
        };
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => {
                (number, decimal(width).filter(|w| (1..WIDTH).contains(w)).ok_or_else(refuse)? as u16)
            }
            None => (rest, WIDTH as u16),
        };
        let mut index = 0u64;
        let mut groups = number.split('/').peekable();
        while let Some(group) = groups.next() {
            let digits = if groups.peek().is_some() { group.strip_prefix('x').ok_or_else(refuse)? } else { group };
            if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(refuse());
            }
            let value: u64 = digits.parse().map_err(|_| refuse())?;
            index = index.checked_mul(1000).and_then(|i| i.checked_add(value)).ok_or_else(refuse)?;
        }
        let tile = Tile { kind, index, width };
        // One path for one tile: `x000/001` would be a second one.
        if tile.to_string() == path { Ok(tile) } else { Err(refuse()) }
    }
}

/// A decimal number without a sign or leading zeros.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || (!text.starts_with('0') && !text.is_empty());
    if canonical && text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{self, HashReader, MemoryTree};

    #[test]
    fn numbers_are_groups_of_three_digits() {
        let tile = Tile { kind: Kind::Hashes(0), index: 1_234_067, width: 256 };
        assert_eq!(tile.to_string(), "tile/0/x001/x234/067");
        assert_eq!(Tile { width: 17, ..tile }.to_string(), "tile/0/x001/x234/067.p/17");
        assert_eq!(Tile { kind: Kind::Entries, index: 0, width: 256 }.to_string(), "tile/entries/000");
        assert_eq!(Tile { kind: Kind::Hashes(63), index: 1000, width: 1 }.to_string(), "tile/63/x001/000.p/1");
    }

    #[test]
    fn every_path_is_read_back_and_no_other() {
        for index in [0, 1, 255, 999, 1000, 1001, 999_999, 1_000_000, 1_234_067, u64::MAX / 256] {
            for (kind, width) in [(Kind::Entries, 256), (Kind::Hashes(0), 1), (Kind::Hashes(7), 255)] {
                let tile = Tile { kind, index, width };
                assert_eq!(tile.to_string().parse::<Tile>().unwrap(), tile);
            }
        }
        let wrong = [
            "",
            "tile",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/0/0000",
            "tile/0/x000/001",
            "tile/0/001/002",
            "tile/64/000",
            "tile/-1/000",
            "tile/00/000",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/",
            "tile/0/x001",
            "tile/0/000/",
            "/tile/0/000",
            "tile/0/+01",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
            "tile/data/000",
        ];
        for path in wrong {
            assert!(path.parse::<Tile>().is_err(), "{path}");
        }
    }

    #[test]
    fn seventy_thousand_leaves_have_the_published_tiles() {
        let tiles: Vec<Tile> = all(70_000).collect();
        assert_eq!(tiles.iter().filter(|t| t.kind == Kind::Hashes(0) && t.is_full()).count(), 273);
        let partial: Vec<String> = tiles.iter().filter(|t| !t.is_full()).map(Tile::to_string).collect();
        assert_eq!(partial, ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);
        assert_eq!(all(256).map(|t| t.to_string()).collect::<Vec<_>>(), ["tile/0/000", "tile/1/000.p/1"]);
        assert_eq!(all(0).count(), 0);
    }

    #[test]
    fn a_tile_is_there_from_its_smallest_size_on() {
        for size in [1, 255, 256, 257, 65_535, 65_536, 70_000] {
            for tile in all(size) {
                let least = tile.size_min().unwrap();
                assert!(least <= size);
                assert_eq!(Tile::at_size(tile.kind, tile.index, least), Some(tile));
                assert_ne!(Tile::at_size(tile.kind, tile.index, least - 1), Some(tile));
            }
        }
        assert_eq!(Tile::at_size(Kind::Entries, u64::MAX, u64::MAX), None);
        assert_eq!(Tile { kind: Kind::Hashes(63), index: 0, width: 1 }.size_min(), None);
    }

    #[test]
    fn every_subtree_is_the_root_of_its_place() {
        let mut whole = MemoryTree::new();
        for i in 0..70_000u32 {
            whole.append(tree::leaf_hash(&i.to_be_bytes()));
        }
        for (level, index) in [(0, 69_999), (3, 100), (7, 500), (8, 272), (11, 33), (15, 1), (16, 0)] {
            let place = place(level, index).unwrap();
            let base = place.tile_index * WIDTH + u64::from(place.first);
            let hashes: Vec<_> = (base..base + u64::from(place.count))
                .map(|i| whole.subtree(place.tile_level * HEIGHT, i).unwrap())
                .collect();
            assert_eq!(root_of(&hashes), whole.subtree(level, index).unwrap());
        }
        assert_eq!(place(64, 0), None);
    }

    #[test]
    fn a_bundle_is_read_back_whole_or_refused() {
        let mut bundle = Vec::new();
        push_entry(&mut bundle, b"").unwrap();
        push_entry(&mut bundle, b"abc").unwrap();
        assert_eq!(entries(&bundle, 2).unwrap(), [&b""[..], b"abc"]);
        assert!(entries(&bundle, 1).is_err());
        assert!(entries(&bundle, 3).is_err());
        assert!(entries(&bundle[..bundle.len() - 1], 2).is_err());
        bundle.push(0);
        assert!(entries(&bundle, 2).is_err());
        assert_eq!(push_entry(&mut bundle, &[0; 65_536]), None);
    }
}
