//! A digest that was kept from QLDB, compared with the blocks that were exported.
//!
//! QLDB never published the shape of the tree over its blocks: its proofs fit any. The shapes that fit the proofs it gave
//! are tried; that none gives the digest says nothing about the blocks.

use std::fmt;

use ledgerstone_digest::Hash;
use ledgerstone_digest::full::DotFrontier;
use ledgerstone_digest::qldb::{dot2, ledger_digest};

use super::ImportError;

/// A digest with its tip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavedDigest {
    pub hash: Hash,
    /// The number of the last block it covers.
    pub tip: u64,
}

/// How the tree over the blocks is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TreeShape {
    /// Pairs from the left, an odd last one moves up: the shape of RFC 6962.
    Promoted,
    /// Perfect trees from the left, their roots folded from the left.
    PeaksFromLeft,
    /// An odd last one is paired with itself.
    Doubled,
    /// The last hash repeated up to a power of two.
    Padded,
}

impl TreeShape {
    const ALL: [TreeShape; 4] = [TreeShape::Promoted, TreeShape::PeaksFromLeft, TreeShape::Doubled, TreeShape::Padded];

    fn root(self, hashes: &[Hash]) -> Option<Hash> {
        match self {
            TreeShape::Promoted => ledger_digest(hashes),
            TreeShape::PeaksFromLeft => peaks(hashes).into_iter().reduce(dot2),
            TreeShape::Doubled => doubled(hashes),
            TreeShape::Padded => {
                let last = *hashes.last()?;
                let mut padded = hashes.to_vec();
                padded.resize(hashes.len().next_power_of_two(), last);
                ledger_digest(&padded)
            }
        }
    }
}

impl fmt::Display for TreeShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TreeShape::Promoted => "pairs from the left, an odd last one moving up",
            TreeShape::PeaksFromLeft => "perfect trees folded from the left",
            TreeShape::Doubled => "an odd last one paired with itself",
            TreeShape::Padded => "the last one repeated up to a power of two",
        })
    }
}

/// Collects what a comparison needs.
pub(super) struct Digests {
    all: DotFrontier,
    saved: Option<SavedDigest>,
    /// The hashes up to the tip; without a digest to compare none is kept.
    hashes: Vec<Hash>,
}

impl Digests {
    pub fn new(saved: Option<SavedDigest>) -> Digests {
        Digests { all: DotFrontier::default(), saved, hashes: Vec::new() }
    }

    pub fn block(&mut self, hash: Hash) {
        self.all.append(hash);
        if self.saved.is_some_and(|saved| self.hashes.len() as u64 <= saved.tip) {
            self.hashes.push(hash);
        }
    }

    /// The digest over every block, as this server makes it.
    pub fn of_all(&self) -> Option<Hash> {
        self.all.root()
    }

    /// The shape with which the digest comes out, if there is one to compare.
    pub fn compare(&self, blocks: u64) -> Result<Option<TreeShape>, ImportError> {
        let Some(SavedDigest { hash, tip }) = self.saved else { return Ok(None) };
        if tip >= blocks {
            return Err(ImportError::BeforeTip { tip, last: blocks.saturating_sub(1) });
        }
        let found = TreeShape::ALL.into_iter().find(|shape| shape.root(&self.hashes) == Some(hash));
        let tried = || TreeShape::ALL.map(|shape| shape.to_string()).join("; ");
        found.map(Some).ok_or_else(|| ImportError::Digest { given: hash, tip, tried: tried() })
    }
}

/// The roots of the perfect trees that the hashes fall into, the largest first.
fn peaks(hashes: &[Hash]) -> Vec<Hash> {
    let (mut rest, mut peaks) = (hashes, Vec::new());
    while !rest.is_empty() {
        let (tree, after) = rest.split_at(1 << rest.len().ilog2());
        peaks.extend(ledger_digest(tree));
        rest = after;
    }
    peaks
}

fn doubled(hashes: &[Hash]) -> Option<Hash> {
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        level = level.chunks(2).map(|pair| dot2(pair[0], *pair.last().unwrap_or(&pair[0]))).collect();
    }
    level.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_found_and_another_digest_is_not() {
        let hashes: Vec<Hash> = (0..7u8).map(|n| Hash::sha256(&[&[n]])).collect();
        for (n, tip) in [(1, 0u64), (2, 1), (5, 4), (6, 5), (7, 6)] {
            for shape in TreeShape::ALL {
                let hash = shape.root(&hashes[..n]).unwrap();
                let mut digests = Digests::new(Some(SavedDigest { hash, tip }));
                hashes.iter().for_each(|hash| digests.block(*hash));
                let found = digests.compare(7).unwrap().unwrap();
                assert_eq!(found.root(&hashes[..n]), Some(hash), "{shape} over {n}");
            }
        }
        let mut digests = Digests::new(Some(SavedDigest { hash: hashes[3], tip: 4 }));
        hashes.iter().for_each(|hash| digests.block(*hash));
        let said = digests.compare(7).unwrap_err().to_string();
        assert!(said.contains("could not be checked") && !said.contains("forged"), "{said}");
        let mut digests = Digests::new(Some(SavedDigest { hash: hashes[3], tip: 9 }));
        hashes.iter().for_each(|hash| digests.block(*hash));
        assert!(digests.compare(7).unwrap_err().to_string().contains("ends with block 6"));
    }
}
