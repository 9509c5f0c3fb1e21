//! A block as a message: QLDB's block struct, and beside it what Ledgerstone's tree needs to derive it again.

use ledgerstone_digest::ion;
use ledgerstone_journal::{Ledger, ReadError, StoredBlock};
use ledgerstone_protocol::v1;

/// The message of a block that was read.
pub fn message(ledger: &Ledger, block: &StoredBlock) -> Result<v1::GetBlockResponse, ReadError> {
    let (mut shown, leaves) = ledger.shown_with_leaves(block)?;
    // It has a field of its own.
    shown.origin_info = None;
    let blinds = block.revisions.iter().map(|revision| revision.blind).chain([block.blind]);
    Ok(v1::GetBlockResponse {
        number: block.number,
        first_position: block.first_position,
        block_position: block.position,
        block: ion::encode(&shown.to_value()),
        leaves,
        blinds: blinds.map(|blind| blind.to_vec()).collect(),
        // Empty for a block of QLDB's own, which has none.
        origin_info: block.origin_info().map(|info| ion::encode(&info)).unwrap_or_default(),
    })
}
