//! The tree against published roots, the vectors, and a naive implementation of RFC 9162.

use ledgerstone_digest::Hash;
use ledgerstone_digest::tree::*;

use crate::ion_generate::{Random, cases};
use crate::vectors;

/// Entries `entry 0`, `entry 1`, …: the roots were computed with two other implementations.
const PUBLISHED_ROOTS: [(u64, &str); 11] = [
    (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    (1, "773885a613489e24ce2cf76199d6a423f042e4bbf12d7eecee912ef276c65701"),
    (2, "5a47662fd8a317d96049a3f9f47c55dc67ca66051baa3683dbb19b2fe09a07b0"),
    (3, "94fbd0dd836f50301692e6d0eade728ee19ec52bfff1606ed807c8575d5aaa19"),
    (7, "98c97f0ba3175cd08b031dd084b9dc4e649b64d1a28e6ea694646503173ab587"),
    (255, "cf66793e6329dff242eb3cee0a6f36ad3e3a196dcc573a1ec775e102be863f1c"),
    (256, "da6596d95369f5fef322ab8e4e0da3b0b50236aa9c8a3b1d246f7411c9e2e32e"),
    (257, "5c1fdfe835358022f2392de478dbe053fc130cfe1d3a082879a90cf6bf14bf7e"),
    (300, "ca393d0296bec5e0b8dcab983bd1fb7d1461f512e7267cb89631ad26fd66d848"),
    (70_000, "a3920fba7f239a071a9bd10721f1341addefbaededb41c7e24437a9d16bdf00a"),
    (1_000_000, "576215276439ca0b889edce6c505afe29166ec5c43386d12032914d9d02de328"),
];

/// The recursion of RFC 9162, written as it stands there, with roots by a table of ranges.
struct Naive(Vec<Vec<Hash>>);

impl Naive {
    fn new(leaves: &[Hash]) -> Self {
        // root[start][length - 1], filled for increasing lengths
        let mut table: Vec<Vec<Hash>> = leaves.iter().map(|h| vec![*h]).collect();
        for length in 2..=leaves.len() {
            let k = length.next_power_of_two() / 2;
            for start in 0..=leaves.len() - length {
                let root = Hash::sha256(&[&[1], &table[start][k - 1].0, &table[start + k][length - k - 1].0]);
                table[start].push(root);
            }
        }
        Naive(table)
    }

    fn root(&self, start: usize, length: usize) -> Hash {
        if length == 0 { Hash::sha256(&[]) } else { self.0[start][length - 1] }
    }

    fn path(&self, m: usize, start: usize, n: usize) -> Vec<Hash> {
        if n == 1 {
            return Vec::new();
        }
        let k = n.next_power_of_two() / 2;
        let (mut path, sibling) = if m < k {
            (self.path(m, start, k), self.root(start + k, n - k))
        } else {
            (self.path(m - k, start + k, n - k), self.root(start, k))
        };
        path.push(sibling);
        path
    }

    fn consistency(&self, m: usize, start: usize, n: usize, complete: bool) -> Vec<Hash> {
        if m == n {
            return if complete { Vec::new() } else { vec![self.root(start, n)] };
        }
        let k = n.next_power_of_two() / 2;
        let (mut proof, sibling) = if m <= k {
            (self.consistency(m, start, k, complete), self.root(start + k, n - k))
        } else {
            (self.consistency(m - k, start + k, n - k, false), self.root(start, k))
        };
        proof.push(sibling);
        proof
    }

    fn inclusion(&self, wanted: &[usize], start: usize, n: usize) -> Vec<Hash> {
        let from = wanted.partition_point(|w| *w < start);
        if wanted.get(from).is_none_or(|w| *w >= start + n) {
            return vec![self.root(start, n)];
        }
        if n == 1 {
            return Vec::new();
        }
        let k = n.next_power_of_two() / 2;
        let mut proof = self.inclusion(wanted, start, k);
        proof.extend(self.inclusion(wanted, start + k, n - k));
        proof
    }
}

fn leaves(count: u64) -> (Vec<Hash>, MemoryTree) {
    let leaves: Vec<Hash> = (0..count).map(|i| leaf_hash(format!("entry {i}").as_bytes())).collect();
    let mut tree = MemoryTree::new();
    leaves.iter().for_each(|leaf| tree.append(*leaf));
    (leaves, tree)
}

#[test]
fn roots_are_the_published_ones_up_to_a_million() {
    let mut frontier = Frontier::new();
    for (size, root) in PUBLISHED_ROOTS {
        while frontier.size() < size {
            frontier.append(leaf_hash(format!("entry {}", frontier.size()).as_bytes()));
        }
        assert_eq!(frontier.root().to_string(), root, "size {size}");
    }
    assert_eq!(leaf_hash(b"").to_string(), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
}

#[test]
fn every_size_to_300_has_the_naive_root_and_paths() {
    let (leaves, tree) = leaves(300);
    let naive = Naive::new(&leaves);
    for size in 0..=300u64 {
        let root = root_at(size, &tree).unwrap();
        assert_eq!(root, naive.root(0, size as usize), "size {size}");
        for position in 0..size {
            let leaf = leaves[position as usize];
            let path = audit_path(size, position, &tree).unwrap();
            assert_eq!(path, naive.path(position as usize, 0, size as usize), "{position} in {size}");
            verify_audit_path(size, &root, position, &leaf, &path).unwrap();
            let single = inclusion_proof(size, &[position], &tree).unwrap();
            assert_eq!(single, naive.inclusion(&[position as usize], 0, size as usize), "{position} in {size}");
            verify_inclusion(size, &root, &[(position, leaf)], &single).unwrap();
        }
    }
}

#[test]
fn every_pair_of_sizes_to_300_is_consistent_as_the_naive_proof_says() {
    let (leaves, tree) = leaves(300);
    let naive = Naive::new(&leaves);
    let roots: Vec<Hash> = (0..=300).map(|size| naive.root(0, size)).collect();
    for newer in 0..=300u64 {
        for older in 0..=newer {
            let proof = consistency_proof(older, newer, &tree).unwrap();
            let (m, n) = (older as usize, newer as usize);
            assert_eq!(proof, if m == 0 { Vec::new() } else { naive.consistency(m, 0, n, true) }, "{m} in {n}");
            verify_consistency(older, newer, &roots[m], &roots[n], &proof).unwrap();
            let other = Hash::sha256(&[b"other"]);
            assert!(verify_consistency(older, newer, &other, &roots[n], &proof).is_err(), "{m} in {n}");
            if m > 0 {
                assert!(verify_consistency(older, newer, &roots[m], &other, &proof).is_err(), "{m} in {n}");
            }
        }
    }
}

#[test]
fn proofs_of_several_leaves_are_the_naive_ones_for_every_size_to_300() {
    let (leaves, tree) = leaves(300);
    let naive = Naive::new(&leaves);
    let seed = 0x7EE5;
    let mut random = Random(seed);
    for size in 1..=300u64 {
        for round in 0..cases(30) {
            // Few leaves anywhere, now and then many, and runs of neighbours as a block's leaves are.
            let count = if round % 10 == 9 { 1 + random.below(size) } else { 1 + random.below(6) };
            let from = random.below(size);
            let mut wanted: Vec<u64> = if round % 3 == 0 {
                (from..(from + count).min(size)).collect()
            } else {
                (0..count).map(|_| random.below(size)).collect()
            };
            wanted.sort_unstable();
            wanted.dedup();
            let proof = inclusion_proof(size, &wanted, &tree).unwrap();
            let as_usize: Vec<usize> = wanted.iter().map(|w| *w as usize).collect();
            assert_eq!(proof, naive.inclusion(&as_usize, 0, size as usize), "seed {seed:#x}: {wanted:?} in {size}");
            let proved: Vec<(u64, Hash)> = wanted.iter().map(|w| (*w, leaves[*w as usize])).collect();
            let root = naive.root(0, size as usize);
            verify_inclusion(size, &root, &proved, &proof).unwrap();
            if size <= 70 && wanted.len() <= 6 {
                refuse_changed_inclusion(size, &root, &proved, &proof);
            }
        }
    }
}

/// Any change of a true proof is refused: a hash changed, dropped or added, a position moved, another size.
fn refuse_changed_inclusion(size: u64, root: &Hash, proved: &[(u64, Hash)], proof: &[Hash]) {
    for at in 0..proof.len() {
        let mut changed = proof.to_vec();
        changed[at].0[at % 32] ^= 1;
        assert!(verify_inclusion(size, root, proved, &changed).is_err());
        changed.remove(at);
        assert!(verify_inclusion(size, root, proved, &changed).is_err());
    }
    let mut longer = proof.to_vec();
    longer.push(*root);
    assert!(verify_inclusion(size, root, proved, &longer).is_err());
    for at in 0..proved.len() {
        let mut moved = proved.to_vec();
        moved[at].0 += 1;
        assert!(verify_inclusion(size, root, &moved, proof).is_err());
        let mut other = proved.to_vec();
        other[at].1.0[0] ^= 1;
        assert!(verify_inclusion(size, root, &other, proof).is_err());
    }
}

#[test]
fn changed_audit_paths_are_refused() {
    let (leaves, tree) = leaves(65);
    for size in 1..=65u64 {
        let root = root_at(size, &tree).unwrap();
        for position in 0..size {
            let leaf = leaves[position as usize];
            let path = audit_path(size, position, &tree).unwrap();
            for other in (0..size).filter(|other| *other != position) {
                assert!(
                    verify_audit_path(size, &root, other, &leaf, &path).is_err(),
                    "{position} as {other} in {size}"
                );
            }
            let mut longer = path.clone();
            longer.push(leaf);
            assert!(verify_audit_path(size, &root, position, &leaf, &longer).is_err());
            if let Some((_, shorter)) = path.split_last() {
                assert!(verify_audit_path(size, &root, position, &leaf, shorter).is_err());
            }
        }
    }
}

#[test]
fn a_consistency_proof_between_forks_is_refused() {
    let (_, tree) = leaves(50);
    let mut fork = MemoryTree::new();
    for i in 0..50u64 {
        fork.append(leaf_hash(format!("entry {}", if i == 20 { 99 } else { i }).as_bytes()));
    }
    for older in 21..50 {
        let older_root = root_at(older, &tree).unwrap();
        for source in [&tree, &fork] {
            let proof = consistency_proof(older, 50, source).unwrap();
            assert!(verify_consistency(older, 50, &older_root, &fork.root(), &proof).is_err(), "from {older}");
        }
    }
}

#[test]
fn the_contract_vectors_hold() {
    let vectors = vectors::contract();
    let hashes = vectors::hashes(&vectors["leaf_hashes"]);
    let mut tree = MemoryTree::new();
    hashes.iter().for_each(|hash| tree.append(*hash));
    for (size, root) in vectors["roots"].as_object().unwrap() {
        assert_eq!(root_at(size.parse().unwrap(), &tree).unwrap(), vectors::hash(root));
    }
    for (position, path) in vectors["paths"].as_object().unwrap() {
        assert_eq!(audit_path(tree.size(), position.parse().unwrap(), &tree).unwrap(), vectors::hashes(path));
    }
    for case in vectors["multi_inclusion"].as_array().unwrap() {
        let positions: Vec<u64> = case["positions"].as_array().unwrap().iter().map(|p| p.as_u64().unwrap()).collect();
        let size = case["size"].as_u64().unwrap();
        assert_eq!(inclusion_proof(size, &positions, &tree).unwrap(), vectors::hashes(&case["hashes"]));
    }
    for (sizes, proof) in vectors["consistency"].as_object().unwrap() {
        let (older, newer) = sizes.split_once('-').unwrap();
        let made = consistency_proof(older.parse().unwrap(), newer.parse().unwrap(), &tree).unwrap();
        assert_eq!(made, vectors::hashes(proof));
    }
}
