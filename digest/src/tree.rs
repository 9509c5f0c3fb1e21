//! The Merkle tree of RFC 9162 section 2.1: hashes, roots, proofs and their verification.
//!
//! A leaf is SHA-256(0x00 ‖ entry), a node SHA-256(0x01 ‖ left ‖ right); a tree of n > 1 leaves splits at the largest
//! power of two below n. Everything that verifies takes proofs from strangers: lengths are exact, nothing panics, and
//! the work is bounded by 64 levels for each proved position.

use crate::hash::Hash;

/// The root of a tree without leaves: SHA-256 of nothing.
pub const EMPTY_ROOT: Hash = Hash([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41,
    0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

/// The hash of a leaf with this entry.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Hash::sha256(&[&[0], entry])
}

/// The hash of a node with these children.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(&left.0);
    bytes[33..].copy_from_slice(&right.0);
    Hash::sha256(&[&bytes])
}

/// The roots of the complete subtrees that a tree of some size is made of: all that appending needs to know.
/// It is a value: a clone is a snapshot, and assigning the clone back restores it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    /// One for each bit set in `size`, largest subtree first.
    edge: Vec<Hash>,
}

/// The number of edge hashes does not fit the size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a tree of {size} leaves has an edge of {} hashes, not {found}", size.count_ones())]
pub struct FrontierError {
    /// The size that was given.
    pub size: u64,
    /// How many hashes came with it.
    pub found: usize,
}

impl Frontier {
    /// The empty tree.
    pub fn new() -> Self {
        Frontier::default()
    }

    /// Takes a stored frontier up again. Only the number of hashes is checked here: compare [`Frontier::root`] with
    /// what is trusted.
    pub fn restore(size: u64, edge: Vec<Hash>) -> Result<Self, FrontierError> {
        if edge.len() == size.count_ones() as usize {
            Ok(Frontier { size, edge })
        } else {
            Err(FrontierError { size, found: edge.len() })
        }
    }

    /// The frontier of the first `size` leaves of a tree whose subtrees can be read.
    pub fn read<R: HashReader + ?Sized>(size: u64, reader: &R) -> Result<Self, R::Error> {
        let mut edge = Vec::with_capacity(size.count_ones() as usize);
        for (level, index) in complete_subtrees(0, size) {
            edge.push(reader.subtree(level, index)?);
        }
        Ok(Frontier { size, edge })
    }

    /// Leaves in the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, largest first.
    pub fn edge(&self) -> &[Hash] {
        &self.edge
    }

    /// Adds a leaf.
    pub fn append(&mut self, leaf: Hash) {
        self.append_and_store(leaf, |_, _, _| ());
    }

    /// Adds a leaf and hands out every complete subtree that it completes, as (level, index, root), the leaf itself
    /// (level 0) first.
    pub fn append_and_store(&mut self, leaf: Hash, mut store: impl FnMut(u8, u64, Hash)) {
        let mut hash = leaf;
        store(0, self.size, hash);
        for level in 0..self.size.trailing_ones() as u8 {
            // Each trailing one bit of the size stands for one complete subtree on the edge, so this never misses.
            let Some(left) = self.edge.pop() else { break };
            hash = node_hash(&left, &hash);
            store(level + 1, self.size >> (level + 1), hash);
        }
        self.edge.push(hash);
        self.size += 1;
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        fold_right(&self.edge, node_hash)
    }
}

/// Where the hashes of a tree come from: level files, tiles, a network.
pub trait HashReader {
    /// Why a hash could not be read.
    type Error;

    /// The root of the complete subtree over leaves `index << level` up to `(index + 1) << level`; level 0 is the
    /// leaves' hashes.
    fn subtree(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;

    /// The hash of a node with these children. Another combiner makes another tree of the same shape: QLDB's digest is
    /// one ([`crate::qldb`]).
    fn node(&self, left: &Hash, right: &Hash) -> Hash {
        node_hash(left, right)
    }
}

impl<R: HashReader + ?Sized> HashReader for &R {
    type Error = R::Error;

    fn subtree(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        (**self).subtree(level, index)
    }

    fn node(&self, left: &Hash, right: &Hash) -> Hash {
        (**self).node(left, right)
    }
}

/// Why a proof could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError<E> {
    /// What was asked for is not in the tree.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// A hash could not be read.
    #[error("cannot read the tree: {0}")]
    Read(E),
}

/// Positions or sizes that no proof can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// A position is not below the size.
    #[error("position {position} is not in a tree of {size} leaves")]
    Position {
        /// The position.
        position: u64,
        /// The size of the tree.
        size: u64,
    },
    /// No position, or positions that do not ascend.
    #[error("the positions of a proof are one or more, each above the one before")]
    Order,
    /// The older size is not within the newer one.
    #[error("a tree of {newer} leaves has no older version of {older} leaves")]
    Sizes {
        /// The older size.
        older: u64,
        /// The newer size.
        newer: u64,
    },
}

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// What it should prove cannot be.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// Too many or too few hashes.
    #[error("the proof has {found} hashes, which is not the number this proof has")]
    Length {
        /// How many it has.
        found: usize,
    },
    /// It leads to another root.
    #[error("the proof leads to root {found}, not to {expected}")]
    Root {
        /// The root that was trusted.
        expected: Hash,
        /// The root that the proof leads to.
        found: Hash,
    },
}

/// The root of the first `size` leaves.
pub fn root_at<R: HashReader + ?Sized>(size: u64, reader: &R) -> Result<Hash, R::Error> {
    range_root(0, size, reader)
}

/// One proof for one or more leaves: the roots of the maximal subtrees that hold no proved position, left to right.
/// `positions` ascend.
pub fn inclusion_proof<R: HashReader + ?Sized>(
    size: u64,
    positions: &[u64],
    reader: &R,
) -> Result<Vec<Hash>, ProofError<R::Error>> {
    check_positions(size, positions.iter().copied())?;
    let mut proof = Vec::new();
    collect_inclusion(0, size, positions, reader, &mut proof).map_err(ProofError::Read)?;
    Ok(proof)
}

/// Checks a proof made by [`inclusion_proof`]: that `leaves`, as (position, leaf hash), stand in the tree of `size`
/// leaves with this root.
pub fn verify_inclusion(size: u64, root: &Hash, leaves: &[(u64, Hash)], proof: &[Hash]) -> Result<(), VerifyError> {
    check_positions(size, leaves.iter().map(|(position, _)| *position))?;
    let mut rest = proof;
    let found = implied_root(0, size, leaves, &mut rest).ok_or(VerifyError::Length { found: proof.len() })?;
    if !rest.is_empty() {
        return Err(VerifyError::Length { found: proof.len() });
    }
    same_root(root, found)
}

/// The audit path of one leaf (RFC 9162 section 2.1.3.1): the leaf's sibling first.
pub fn audit_path<R: HashReader + ?Sized>(
    size: u64,
    position: u64,
    reader: &R,
) -> Result<Vec<Hash>, ProofError<R::Error>> {
    check_positions(size, [position].into_iter())?;
    let (mut start, mut end, mut path) = (0, size, Vec::new());
    while end - start > 1 {
        let middle = start + split(end - start);
        let (inner, other) =
            if position < middle { ((start, middle), (middle, end)) } else { ((middle, end), (start, middle)) };
        path.push(range_root(other.0, other.1, reader).map_err(ProofError::Read)?);
        (start, end) = inner;
    }
    path.reverse();
    Ok(path)
}

/// Checks an audit path (RFC 9162 section 2.1.3.2).
pub fn verify_audit_path(size: u64, root: &Hash, position: u64, leaf: &Hash, path: &[Hash]) -> Result<(), VerifyError> {
    check_positions(size, [position].into_iter())?;
    let wrong_length = VerifyError::Length { found: path.len() };
    let (mut first, mut last, mut hash) = (position, size - 1, *leaf);
    for sibling in path {
        if last == 0 {
            return Err(wrong_length);
        }
        if first & 1 == 1 || first == last {
            hash = node_hash(sibling, &hash);
            // A right edge that has no sibling on this level moves up unchanged until it has one.
            let skipped = if first & 1 == 1 { 0 } else { first.trailing_zeros().min(63) };
            (first, last) = (first >> skipped, last >> skipped);
        } else {
            hash = node_hash(&hash, sibling);
        }
        (first, last) = (first >> 1, last >> 1);
    }
    if last != 0 {
        return Err(wrong_length);
    }
    same_root(root, hash)
}

/// The proof that the tree of `newer` leaves begins with the tree of `older` leaves (RFC 9162 section 2.1.4.1).
/// Empty when the sizes are equal or `older` is 0.
pub fn consistency_proof<R: HashReader + ?Sized>(
    older: u64,
    newer: u64,
    reader: &R,
) -> Result<Vec<Hash>, ProofError<R::Error>> {
    if older > newer {
        return Err(RangeError::Sizes { older, newer }.into());
    }
    if older == 0 || older == newer {
        return Ok(Vec::new());
    }
    let (mut start, mut end, mut proof) = (0, newer, Vec::new());
    while end != older {
        let middle = start + split(end - start);
        if older <= middle {
            proof.push(range_root(middle, end, reader).map_err(ProofError::Read)?);
            end = middle;
        } else {
            proof.push(range_root(start, middle, reader).map_err(ProofError::Read)?);
            start = middle;
        }
    }
    if start != 0 {
        proof.push(range_root(start, end, reader).map_err(ProofError::Read)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Checks a consistency proof (RFC 9162 section 2.1.4.2). Every tree is consistent with the empty one, whose root is
/// [`EMPTY_ROOT`], by an empty proof.
pub fn verify_consistency(
    older: u64,
    newer: u64,
    older_root: &Hash,
    newer_root: &Hash,
    proof: &[Hash],
) -> Result<(), VerifyError> {
    if older > newer {
        return Err(RangeError::Sizes { older, newer }.into());
    }
    let wrong_length = VerifyError::Length { found: proof.len() };
    if older == 0 || older == newer {
        if !proof.is_empty() {
            return Err(wrong_length);
        }
        return same_root(older_root, if older == 0 { EMPTY_ROOT } else { *newer_root });
    }
    // The complete subtree that ends the older tree: it is the older tree itself when its size is a power of two.
    let shift = (older - 1).trailing_ones();
    let (mut first, mut last) = ((older - 1) >> shift, (newer - 1) >> shift);
    let (seed, rest) = match proof.split_first() {
        _ if older.is_power_of_two() => (*older_root, proof),
        Some((seed, rest)) => (*seed, rest),
        None => return Err(wrong_length),
    };
    let (mut old_hash, mut new_hash) = (seed, seed);
    for sibling in rest {
        if last == 0 {
            return Err(wrong_length);
        }
        if first & 1 == 1 || first == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            let skipped = if first & 1 == 1 { 0 } else { first.trailing_zeros().min(63) };
            (first, last) = (first >> skipped, last >> skipped);
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        (first, last) = (first >> 1, last >> 1);
    }
    if last != 0 {
        return Err(wrong_length);
    }
    same_root(older_root, old_hash)?;
    same_root(newer_root, new_hash)
}

/// The largest power of two below `n`, for n > 1.
fn split(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

fn same_root(expected: &Hash, found: Hash) -> Result<(), VerifyError> {
    if *expected == found { Ok(()) } else { Err(VerifyError::Root { expected: *expected, found }) }
}

fn check_positions(size: u64, positions: impl Iterator<Item = u64>) -> Result<(), RangeError> {
    let mut before = None;
    for position in positions {
        if before.is_some_and(|b| b >= position) {
            return Err(RangeError::Order);
        }
        if position >= size {
            return Err(RangeError::Position { position, size });
        }
        before = Some(position);
    }
    if before.is_none() { Err(RangeError::Order) } else { Ok(()) }
}

/// The complete subtrees, as (level, index), that the leaves from `start` up to `end` are made of, largest first.
/// `start` is a multiple of every power of two up to the range's length, as it is for every range that splitting makes.
fn complete_subtrees(start: u64, end: u64) -> impl Iterator<Item = (u8, u64)> {
    let mut at = start;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let level = 63 - (end - at).leading_zeros();
        let subtree = (level as u8, at >> level);
        at += 1 << level;
        Some(subtree)
    })
}

fn range_root<R: HashReader + ?Sized>(start: u64, end: u64, reader: &R) -> Result<Hash, R::Error> {
    let mut hashes = Vec::new();
    for (level, index) in complete_subtrees(start, end) {
        hashes.push(reader.subtree(level, index)?);
    }
    Ok(fold_right(&hashes, |left, right| reader.node(left, right)))
}

fn fold_right(hashes: &[Hash], node: impl Fn(&Hash, &Hash) -> Hash) -> Hash {
    let mut folded = hashes.iter().rev();
    match folded.next() {
        None => EMPTY_ROOT,
        Some(last) => folded.fold(*last, |right, left| node(left, &right)),
    }
}

/// Halves the range at most 64 times, so the recursion is bounded.
fn collect_inclusion<R: HashReader + ?Sized>(
    start: u64,
    end: u64,
    positions: &[u64],
    reader: &R,
    proof: &mut Vec<Hash>,
) -> Result<(), R::Error> {
    if positions.is_empty() {
        proof.push(range_root(start, end, reader)?);
        return Ok(());
    }
    if end - start == 1 {
        return Ok(());
    }
    let middle = start + split(end - start);
    let (left, right) = positions.split_at(positions.partition_point(|p| *p < middle));
    collect_inclusion(start, middle, left, reader, proof)?;
    collect_inclusion(middle, end, right, reader, proof)
}

/// `None` when the proof is too short.
fn implied_root(start: u64, end: u64, leaves: &[(u64, Hash)], proof: &mut &[Hash]) -> Option<Hash> {
    let Some((_, first)) = leaves.first() else {
        let (hash, rest) = proof.split_first()?;
        *proof = rest;
        return Some(*hash);
    };
    if end - start == 1 {
        return Some(*first);
    }
    let middle = start + split(end - start);
    let (left, right) = leaves.split_at(leaves.partition_point(|(p, _)| *p < middle));
    let left = implied_root(start, middle, left, proof)?;
    let right = implied_root(middle, end, right, proof)?;
    Some(node_hash(&left, &right))
}

/// A tree kept whole in memory: every complete subtree of every level. For tests, exports and small logs.
#[derive(Debug, Clone, Default)]
pub struct MemoryTree {
    frontier: Frontier,
    levels: Vec<Vec<Hash>>,
}

/// The tree does not have this subtree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tree of {size} leaves has no complete subtree {index} at level {level}")]
pub struct NoSubtree {
    /// Leaves in the tree.
    pub size: u64,
    /// The level asked for.
    pub level: u8,
    /// The index asked for.
    pub index: u64,
}

impl MemoryTree {
    /// The empty tree.
    pub fn new() -> Self {
        MemoryTree::default()
    }

    /// Adds a leaf.
    pub fn append(&mut self, leaf: Hash) {
        let levels = &mut self.levels;
        self.frontier.append_and_store(leaf, |level, _, hash| {
            if levels.len() <= usize::from(level) {
                levels.push(Vec::new());
            }
            levels[usize::from(level)].push(hash);
        });
    }

    /// Leaves in the tree.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }
}

impl HashReader for MemoryTree {
    type Error = NoSubtree;

    fn subtree(&self, level: u8, index: u64) -> Result<Hash, NoSubtree> {
        let hashes = self.levels.get(usize::from(level));
        let hash = hashes.and_then(|hashes| hashes.get(usize::try_from(index).ok()?));
        hash.copied().ok_or(NoSubtree { size: self.size(), level, index })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(size: u64) -> MemoryTree {
        let mut tree = MemoryTree::new();
        for i in 0..size {
            tree.append(leaf_hash(format!("entry {i}").as_bytes()));
        }
        tree
    }

    #[test]
    fn the_empty_root_is_the_hash_of_nothing() {
        assert_eq!(EMPTY_ROOT, Hash::sha256(&[]));
        assert_eq!(Frontier::new().root(), EMPTY_ROOT);
        assert_eq!(root_at(0, &tree(0)).unwrap(), EMPTY_ROOT);
    }

    #[test]
    fn a_restored_frontier_goes_on_as_if_never_stored() {
        let whole = tree(300);
        for size in 0..300 {
            let read = Frontier::read(size, &whole).unwrap();
            let mut frontier = Frontier::restore(size, read.edge().to_vec()).unwrap();
            assert_eq!(frontier.root(), root_at(size, &whole).unwrap());
            for i in size..300 {
                frontier.append(whole.subtree(0, i).unwrap());
            }
            assert_eq!(frontier.root(), whole.root());
        }
    }

    #[test]
    fn a_frontier_with_a_wrong_number_of_hashes_is_refused() {
        assert!(Frontier::restore(3, vec![Hash::ZERO]).is_err());
        assert!(Frontier::restore(0, vec![Hash::ZERO]).is_err());
    }

    #[test]
    fn proofs_for_what_is_not_there_are_refused() {
        let whole = tree(5);
        assert!(inclusion_proof(5, &[], &whole).is_err());
        assert!(inclusion_proof(5, &[5], &whole).is_err());
        assert!(inclusion_proof(5, &[2, 1], &whole).is_err());
        assert!(inclusion_proof(5, &[1, 1], &whole).is_err());
        assert!(inclusion_proof(0, &[0], &whole).is_err());
        assert!(audit_path(5, 5, &whole).is_err());
        assert!(consistency_proof(6, 5, &whole).is_err());
        assert_eq!(inclusion_proof(9, &[8], &whole), Err(ProofError::Read(NoSubtree { size: 5, level: 3, index: 0 })));
    }

    #[test]
    fn huge_sizes_with_any_proof_neither_panic_nor_hold() {
        let hashes = vec![Hash::sha256(&[b"x"]); 200];
        for size in [1 << 62, (1 << 63) - 1, 1 << 63, u64::MAX - 1, u64::MAX] {
            for length in [0, 1, 62, 63, 64, 65, 128, 200] {
                let proof = &hashes[..length];
                for position in [0, 1, 1 << 61, size / 2, size - 1] {
                    assert!(verify_audit_path(size, &hashes[0], position, &hashes[0], proof).is_err());
                    assert!(verify_inclusion(size, &hashes[0], &[(position, hashes[0])], proof).is_err());
                    assert!(verify_consistency(position, size, &hashes[0], &hashes[0], proof).is_err());
                }
            }
        }
    }
}
