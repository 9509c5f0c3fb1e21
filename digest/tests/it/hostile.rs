//! Bytes from strangers: whatever they are, the answer is an error or a value, never a panic and never a large
//! allocation.

use ledgerstone_digest::checkpoint::UnverifiedCheckpoint;
use ledgerstone_digest::leaf::Leaf;
use ledgerstone_digest::note::{Note, SigningKey, VerifierKey};
use ledgerstone_digest::receipt::Receipt;
use ledgerstone_digest::tiles::{self, Tile};
use ledgerstone_digest::tlog_proof::TlogProof;
use ledgerstone_digest::verifier::{Trust, verify_transaction};
use ledgerstone_digest::{Hash, Id};
use proptest::prelude::*;

use crate::ledger::TestLedger;

/// A true receipt with pieces cut out, repeated and overwritten.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4u8, any::<u8>());
    prop::collection::vec(edit, 1..4).prop_map(|edits| {
        let mut bytes = TestLedger::example(7).transaction_receipt(1, 14).encode();
        for (from, to, kind, byte) in edits {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            let range = from.min(to)..(from.max(to) + 1).min(from.min(to) + 40);
            match kind {
                0 => drop(bytes.drain(range)),
                1 => bytes.splice(range.start..range.start, bytes[range].to_vec()).for_each(drop),
                2 => bytes[range].fill(byte),
                _ => bytes[from] = byte,
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_receipts_are_refused_or_read(bytes in damaged()) {
        if let Ok(receipt) = Receipt::decode(&bytes) {
            let ledger = TestLedger::new(7);
            let trust = Trust::in_key(ledger.key.verifier().clone());
            let _ = verify_transaction(&receipt, &trust, ledger.origin());
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut receipt = ledgerstone_digest::receipt::MAGIC.to_vec();
        receipt.extend_from_slice(&bytes);
        let _ = Receipt::decode(&receipt);
        let _ = Leaf::decode(&bytes);
        let _ = tiles::entries(&bytes, 3);
    }

    #[test]
    fn any_text_is_refused_or_read(text in "[ -~\n\u{2014}é]{0,200}") {
        let _ = Note::parse(&text);
        let _ = Note::parse(&format!("{text}\n\n\u{2014} {text}\n"));
        let _ = UnverifiedCheckpoint::parse(&text);
        let _ = TlogProof::parse(&format!("c2sp.org/tlog-proof@v1\n{text}"));
        let _ = text.parse::<VerifierKey>();
        let _ = format!("PRIVATE+KEY+{text}").parse::<SigningKey>();
        let _ = format!("tile/{text}").parse::<Tile>();
        let _ = text.parse::<Hash>();
        let _ = Id::from_foreign_text(&text);
    }
}
