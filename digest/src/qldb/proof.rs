//! QLDB's proofs: lists of hashes that a verifier folds with `dot` onto the hash it knows, until the digest comes out.
//!
//! `dot` sorts its two sides, so a proof says nothing of left and right, of position or of size. It shows what QLDB's
//! proofs showed and no more; receipts ([`crate::receipt`]) bind what these leave open.

use super::dot2;
use crate::Hash;

/// What a verifier computes: the digest that `leaf` and this proof lead to.
pub fn fold(leaf: Hash, proof: &[Hash]) -> Hash {
    proof.iter().fold(leaf, |hash, sibling| dot2(hash, *sibling))
}

/// The siblings on the way from one of the hashes to [`super::merkle`] of them, the nearest first; `None` if there is no
/// such hash.
pub fn path(hashes: &[Hash], index: usize) -> Option<Vec<Hash>> {
    hashes.get(index)?;
    let (mut level, mut at, mut path) = (hashes.to_vec(), index, Vec::new());
    while level.len() > 1 {
        // An odd last one moves up without a sibling.
        path.extend(level.get(at ^ 1).copied());
        level = level.chunks(2).map(|pair| if let [a, b] = pair { dot2(*a, *b) } else { pair[0] }).collect();
        at /= 2;
    }
    Some(path)
}

/// The proof of a revision in its block: through the revisions' tree, whose root is `entries[root]`, and the entries' to
/// `entriesHash`, then the hash of the block before. What follows is the proof of the block. `None` if the block has no
/// such revision or entry.
pub fn in_block(
    revision_hashes: &[Hash],
    index: usize,
    entries: &[Hash],
    root: usize,
    previous_block_hash: Option<Hash>,
) -> Option<Vec<Hash>> {
    let mut proof = path(revision_hashes, index)?;
    proof.extend(path(entries, root)?);
    proof.extend(previous_block_hash);
    Some(proof)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qldb::{Entries, block_hash, merkle};

    fn hashes(count: u8) -> Vec<Hash> {
        (0..count).map(|n| Hash::sha256(&[&[n]])).collect()
    }

    #[test]
    fn every_path_leads_to_the_root() {
        for count in 1..40 {
            let list = hashes(count);
            for (index, leaf) in list.iter().enumerate() {
                let path = path(&list, index).unwrap();
                assert_eq!(Some(fold(*leaf, &path)), merkle(&list), "{index} of {count}");
            }
            assert_eq!(path(&list, count.into()), None);
        }
    }

    #[test]
    fn a_revision_leads_to_its_blocks_hash() {
        let revisions = hashes(5);
        let h = |n: u8| Hash::sha256(&[&[n, n]]);
        let entries = Entries::native(&revisions, h(1), h(2), Some(h(3)));
        for previous in [None, Some(h(4))] {
            let expected = block_hash(entries.hash(), previous);
            for (index, leaf) in revisions.iter().enumerate() {
                let proof = in_block(&revisions, index, &entries.list, 0, previous).unwrap();
                assert_eq!(fold(*leaf, &proof), expected);
                for changed in 0..proof.len() {
                    let mut forged = proof.clone();
                    forged[changed].0[7] ^= 1;
                    assert_ne!(fold(*leaf, &forged), expected);
                }
            }
        }
        assert_eq!(in_block(&[], 0, &[h(1), h(2)], 0, None), None);
    }
}
