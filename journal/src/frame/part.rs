//! What one revision needs of its block's head (docs/format.md, "Frames"): the rest is passed over, so that a document of a
//! large transaction is read as quickly as one that was written alone.

use super::block::{self, BlockHead, Group, Opening};
use super::{Frame, RevisionFrame};
use crate::dictionary::Texts;
use crate::wire::{Reader, WireError};

/// A block's head as one of its revisions needs it. Of what was passed over nothing is known but that the frame's checksum
/// is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeadPart {
    pub opening: Opening,
    /// What the revision has in common with others of the block.
    pub group: Group,
}

impl HeadPart {
    pub fn decode(frame: &Frame<'_>, texts: &Texts, revision: &RevisionFrame<'_>) -> Result<HeadPart, WireError> {
        let mut reader = Reader::new(frame.payload);
        let opening = block::read_opening(&mut reader)?;
        // Blind, block hash, the previous block's leaf.
        reader.bytes(16 + 32 + 32, "hashes")?;
        for _ in 0..reader.count(block::STATEMENT_BYTES_MIN, "number of statements")? {
            block::skip_statement(&mut reader)?;
        }
        if !block::skip_to_groups(&mut reader)? {
            // What such a head may say depends on all of it.
            let head = BlockHead::decode(frame, texts)?;
            return Ok(HeadPart { opening, group: head.group_of(revision)?.clone() });
        }
        let count = reader.count(block::GROUP_BYTES_MIN, "number of groups")?;
        if revision.group as usize >= count {
            return Err(WireError(format!("block {} has no group {}", opening.number, revision.group)));
        }
        for _ in 0..revision.group {
            block::skip_group(&mut reader)?;
        }
        let group = block::read_group(&mut reader, texts)?;
        group.must_fit(revision)?;
        Ok(HeadPart { opening, group })
    }
}

#[cfg(test)]
mod tests {
    use ledgerstone_digest::block::{OriginInfo, RedactedRevision, RedactionInfo, StatementInfo, StatementText};
    use ledgerstone_digest::qldb::ImportedBlock;
    use ledgerstone_digest::{Hash, Id};

    use super::*;
    use crate::dictionary::Dictionary;
    use crate::frame::block::ImportedHead;
    use crate::frame::{Content, put_frame, read_frame};
    use crate::transaction::Listed;

    fn revision(group: u32, content: Content<'static>) -> RevisionFrame<'static> {
        RevisionFrame {
            group,
            to_block: 1,
            document_id: Id([1; 16]),
            version: 0,
            supersedes: None,
            blind: [0; 16],
            content,
            imported: None,
        }
    }

    fn plain() -> BlockHead {
        let listed = |name: &str| Some(Listed { table_name: name.into(), statements: [0, 300].into() });
        let statement = |text| StatementInfo { text, start_time_ms: -7, digest: Hash([8; 32]) };
        let texts = ["SELECT 1", "SELECT 1", "a longer text that stands here once"];
        let mut statements: Vec<_> = texts.into_iter().map(|t| statement(StatementText::Text(t.into()))).collect();
        statements.push(statement(StatementText::Redacted(Hash([9; 32]))));
        BlockHead {
            number: 1 << 40,
            position: 1 << 41,
            revisions: 70_000,
            time_ms: -1,
            tx_id: Id([3; 16]),
            blind: [4; 16],
            block_hash: Hash([5; 32]),
            previous_leaf: Some(Hash([6; 32])),
            statements,
            origin: OriginInfo { user: "u".into(), door: "postgresql".into(), client_token: None, signature: None },
            redaction: None,
            groups: vec![
                Group { table_id: Id([1; 16]), listed: listed("one") },
                Group { table_id: Id([2; 16]), listed: None },
                Group { table_id: Id::ZERO, listed: None },
                Group { table_id: Id([4; 16]), listed: listed("four") },
            ],
            staged: Vec::new(),
            imported: None,
        }
    }

    #[test]
    fn a_part_says_what_the_whole_head_says_whatever_stands_before_it() {
        let origin = OriginInfo { client_token: Some("token".into()), signature: Some(vec![1; 300]), ..plain().origin };
        let redacted = RedactedRevision {
            strand: Id([1; 16]),
            sequence_no: 1 << 50,
            table_id: Id([2; 16]),
            document_id: Id([3; 16]),
            version: 4,
        };
        let block = ImportedBlock { entries: vec![Hash::ZERO; 3], has_transaction_info: true, has_origin_info: true };
        let heads = [
            plain(),
            BlockHead { statements: Vec::new(), ..plain() },
            BlockHead { origin, ..plain() },
            BlockHead { redaction: Some(RedactionInfo { revisions: vec![redacted; 3] }), ..plain() },
            BlockHead { imported: Some(Box::new(ImportedHead { block, time_max_ms: 5 })), ..plain() },
        ];
        for whole in heads {
            let (mut dictionary, mut bytes) = (Dictionary::default(), Vec::new());
            put_frame(&mut bytes, whole.kind(), &whole.encode(&mut dictionary));
            let mut texts = Texts::default();
            texts.extend(dictionary.write_frame(&mut Vec::new()));
            let (frame, texts) = (read_frame(&bytes).unwrap(), &texts);
            assert_eq!(BlockHead::decode(&frame, texts).unwrap(), whole);
            for group in 0..6 {
                for content in [Content::Deleted, Content::Opaque] {
                    let revision = revision(group, content);
                    let part = HeadPart::decode(&frame, texts, &revision);
                    let Ok(expected) = whole.group_of(&revision) else {
                        assert!(part.is_err(), "{group}");
                        continue;
                    };
                    let part = part.unwrap();
                    assert_eq!(&part.group, expected);
                    let Opening { number, position, revisions, time_ms, tx_id } = part.opening;
                    assert_eq!((number, position, tx_id), (whole.number, whole.position, whole.tx_id));
                    assert_eq!((time_ms, revisions), (whole.time_ms, whole.revisions));
                    assert_eq!(part.opening.first_position(), whole.first_position());
                }
            }
            // Cut anywhere, it is refused or says the same.
            for length in 0..frame.payload.len() {
                let cut = Frame { payload: &frame.payload[..length], ..frame };
                let part = HeadPart::decode(&cut, texts, &revision(0, Content::Deleted));
                assert!(part.is_err() || part.is_ok_and(|part| part.group == whole.groups[0]), "{length}");
            }
        }
    }
}
