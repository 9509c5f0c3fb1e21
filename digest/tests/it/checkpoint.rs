//! Checkpoints against the vectors.

use ledgerstone_digest::checkpoint::{Checkpoint, UnverifiedCheckpoint};
use ledgerstone_digest::note::SigningKey;

use crate::vectors;

#[test]
fn the_checkpoint_of_the_vectors_is_made_and_verified() {
    let vectors = vectors::contract();
    let vector = &vectors["checkpoint"];
    let note = vector["note"].as_str().unwrap();
    let origin = note.lines().next().unwrap();
    let seed: [u8; 32] = vectors::bytes(&vector["seed"]).try_into().unwrap();
    let key = SigningKey::from_seed(origin, &seed).unwrap();
    assert_eq!(key.verifier().to_string(), vector["vkey"].as_str().unwrap());
    let size = vector["size"].as_u64().unwrap();
    let root = vectors::hash(&vectors["roots"][size.to_string()]);
    let checkpoint = Checkpoint { origin: origin.to_owned(), size, root };
    assert_eq!(checkpoint.sign(&key).unwrap(), note);
    assert_eq!(UnverifiedCheckpoint::parse(note).unwrap().verify(key.verifier()).unwrap(), checkpoint);
    assert_eq!(checkpoint.ledger_id().unwrap().to_string(), origin.rsplit_once('/').unwrap().1);
}
