//! Proofs over the wire: receipts against a pinned checkpoint, forks, and whole ledgers re-derived from served blocks.

use std::path::Path;

use ledgerstone_client::digest::Id;
use ledgerstone_client::digest::ion::{self, Limits};
use ledgerstone_client::digest::note::SigningKey;
use ledgerstone_client::digest::tlog_proof::TlogProof;
use ledgerstone_client::digest::validity::LeafVerifier;
use ledgerstone_client::digest::verifier::{ExpectedContent, VerdictKind};
use ledgerstone_client::{Commit, Error, PinnedCheckpoint, Session, TransactOptions, Value, Verifier};

use crate::grpc_sessions::{accounts, connect, session as open};
use crate::harness::Server;

async fn verifier(server: &Server) -> Verifier {
    Verifier::trust_on_first_use(connect(server).await, "main", None).await.expect("a first checkpoint")
}

/// The id of the document whose revision is the first of a commit.
async fn document(verifier: &mut Verifier, commit: &Commit) -> Id {
    let verdict = verifier.verify_commit(commit).await.expect("the commit is proved");
    verdict.revisions.first().expect("a revision").leaf.document_id
}

async fn insert(session: &mut Session, id: &str, balance: i64) -> Commit {
    let parameters = [Value::string(id), Value::int(balance)];
    session.run("INSERT INTO account VALUES ($1, $2)", &parameters).await.unwrap().commit.expect("a commit")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Puts a copy of the data in the place of what is there now.
fn put_back(server: &Server, kept: &Path) {
    std::fs::remove_dir_all(server.data()).unwrap();
    copy(kept, &server.data());
}

#[tokio::test]
async fn a_revision_is_verified_from_its_name_to_the_signed_root() {
    let server = Server::start();
    let mut session = open(&server).await;
    accounts(&mut session, &[]).await;
    let commit = insert(&mut session, "a", 10).await;
    let mut verifier = verifier(&server).await;
    let id = document(&mut verifier, &commit).await;
    let verdict = verifier.get_verified("account", id).await.unwrap();
    assert_eq!((verdict.kind.clone(), verdict.version), (VerdictKind::Verified, 0));
    let data = verdict.data.as_deref().and_then(Value::as_struct).expect("data");
    assert_eq!(data.get("balance").and_then(Value::as_i64), Some(10));
    session.run("UPDATE account SET balance = 11 WHERE id = 'a'", &[]).await.unwrap();
    assert_eq!(verifier.get_verified("account", id).await.unwrap().version, 1);
    assert_eq!(verifier.get_verified_version("account", id, 0).await.unwrap().position, verdict.position);
    session.run("DELETE FROM account WHERE id = 'a'", &[]).await.unwrap();
    assert_eq!(verifier.get_verified("account", id).await.unwrap().kind, VerdictKind::Deleted);
    assert!(verifier.get_verified("missing", id).await.is_err());
    assert!(verifier.get_verified_version("account", id, 7).await.is_err());
}

#[tokio::test]
async fn a_receipt_of_something_else_is_refused() {
    let server = Server::start();
    let mut session = open(&server).await;
    accounts(&mut session, &[]).await;
    let (a, b) = (insert(&mut session, "a", 1).await, insert(&mut session, "b", 2).await);
    let mut verifier = verifier(&server).await;
    let table = verifier.table_id("account").await.unwrap();
    let id = document(&mut verifier, &a).await;
    let receipt = verifier.fetch_receipt(a.first_position).await.unwrap();
    let expected = verifier.expect(table, id);
    verifier.verify_receipt(&receipt, &expected).await.unwrap();
    let other = verifier.fetch_receipt(b.first_position).await.unwrap();
    assert!(matches!(verifier.verify_receipt(&other, &expected).await, Err(Error::NotProved { .. })));
    let mut other_table = expected.clone();
    other_table.table_id = Id::TABLES;
    assert!(matches!(verifier.verify_receipt(&receipt, &other_table).await, Err(Error::NotProved { .. })));
    let mut other_content = expected.clone();
    other_content.content =
        Some(ExpectedContent::Value(ion::parse("{id: \"a\", balance: 2}", &Limits::DOCUMENT).unwrap()));
    assert!(matches!(verifier.verify_receipt(&receipt, &other_content).await, Err(Error::NotProved { .. })));
    let mut promise = a;
    promise.block_position += 1;
    assert!(matches!(verifier.verify_commit(&promise).await, Err(Error::Mismatch { .. })));
}

#[tokio::test]
async fn a_kept_receipt_and_the_pin_outlive_the_server_and_the_client() {
    let mut server = Server::start();
    let mut session = open(&server).await;
    accounts(&mut session, &[]).await;
    let commit = insert(&mut session, "a", 1).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("main.pin");
    let client = connect(&server).await;
    let mut verifier = Verifier::trust_on_first_use(client, "main", Some(path.clone())).await.unwrap();
    let table = verifier.table_id("account").await.unwrap();
    let id = document(&mut verifier, &commit).await;
    let receipt = verifier.fetch_receipt(commit.first_position).await.unwrap();
    let pinned = verifier.refresh().await.unwrap();
    assert!(server.stop().success());
    server.restart();
    let mut session = open(&server).await;
    for n in 0..20 {
        insert(&mut session, &format!("more{n}"), n).await;
    }
    let mut verifier = Verifier::new(connect(&server).await, "main", PinnedCheckpoint::open(&path).unwrap());
    assert_eq!(verifier.pin().checkpoint(), Some(&pinned));
    let newer = verifier.refresh().await.unwrap();
    assert!(newer.size > pinned.size);
    let expected = verifier.expect(table, id);
    let verdict = verifier.verify_receipt(&receipt, &expected).await.unwrap();
    assert!(verdict.checkpoint.size <= pinned.size);
    assert_eq!(PinnedCheckpoint::open(&path).unwrap().checkpoint(), Some(&newer));
}

#[tokio::test]
async fn another_key_than_the_pinned_one_is_refused() {
    let server = Server::start();
    let origin = connect(&server).await.describe_ledger("main").await.unwrap().origin;
    let stranger = SigningKey::from_seed(&origin, &[7; 32]).unwrap();
    let pin = PinnedCheckpoint::new(stranger.verifier().clone());
    let mut verifier = Verifier::new(connect(&server).await, "main", pin);
    assert!(matches!(verifier.refresh().await, Err(Error::NotProved { .. })));
}

#[tokio::test]
async fn a_forked_and_a_rolled_back_server_are_refused() {
    let mut server = Server::start();
    let mut session = open(&server).await;
    accounts(&mut session, &[("a", 1)]).await;
    assert!(server.stop().success());
    let kept = tempfile::tempdir().unwrap();
    copy(&server.data(), kept.path());
    server.restart();
    let mut session = open(&server).await;
    let commit = insert(&mut session, "b", 2).await;
    let mut verifier = verifier(&server).await;
    verifier.verify_commit(&commit).await.unwrap();
    let pinned = verifier.refresh().await.unwrap();

    // The same key over the older data: rolled back.
    assert!(server.stop().success());
    put_back(&server, kept.path());
    server.restart();
    let error = verifier.refresh().await.unwrap_err();
    assert!(matches!(error, Error::RolledBack { .. }) && error.is_fork(), "{error}");

    // And with another history on top: forked, at the pinned size and beyond it.
    let mut session = open(&server).await;
    for n in 0..5 {
        insert(&mut session, &format!("fork{n}"), n).await;
    }
    let error = verifier.refresh().await.unwrap_err();
    assert!(error.is_fork(), "{error}");
    let error = verifier.verify_commit(&commit).await.unwrap_err();
    assert!(error.is_fork(), "{error}");
    assert_eq!(verifier.pin().checkpoint(), Some(&pinned));
}

#[tokio::test]
async fn an_audit_re_derives_the_ledger_from_served_blocks() {
    let server = Server::start();
    let mut session = open(&server).await;
    accounts(&mut session, &[("a", 1), ("b", 2)]).await;
    session
        .transact(&TransactOptions::default(), async |tx| {
            tx.run("INSERT INTO account VALUES ('c', 3), ('d', 4)", &[]).await?;
            tx.run("UPDATE account SET balance = $1 WHERE id = 'a'", &[Value::int(9)]).await?;
            tx.run("DELETE FROM account WHERE id = 'b'", &[]).await
        })
        .await
        .unwrap();
    let mut verifier = verifier(&server).await;
    let report = verifier.audit().await.unwrap();
    let head = verifier.pin().checkpoint().unwrap().clone();
    assert_eq!((report.size, report.root), (head.size, Some(head.root)));
    assert_eq!((report.deleted, report.blocks), (1, 4));

    // The leaves alone lead to the same root, under the rules of a valid tree.
    let mut leaves = LeafVerifier::new();
    leaves.push(&verifier.genesis().await.unwrap().leaf).unwrap();
    let mut blocks = verifier.blocks(0, false).await.unwrap();
    while let Some(block) = blocks.next().await.unwrap() {
        for leaf in &block.leaves {
            leaves.push(leaf).unwrap();
        }
        assert_eq!(block, verifier.block(block.number).await.unwrap());
    }
    assert_eq!(leaves.finish().unwrap(), (head.size, head.root));
}

#[tokio::test]
async fn a_stream_of_blocks_follows_the_ledger() {
    let server = Server::start();
    let mut session = open(&server).await;
    accounts(&mut session, &[]).await;
    let verifier = verifier(&server).await;
    let from = verifier.pin().checkpoint().unwrap().size;
    let mut blocks = verifier.blocks(from, true).await.unwrap();
    let commit = insert(&mut session, "a", 1).await;
    let block = blocks.next().await.unwrap().expect("a block");
    assert_eq!((block.number, block.block_position), (commit.block, commit.block_position));
    let info = block.block.as_struct().and_then(|fields| fields.get("transactionId")).and_then(Value::as_text);
    assert_eq!(info, Some(commit.transaction_id.to_string().as_str()));
}

#[tokio::test]
async fn a_proof_file_verifies_without_this_client() {
    let server = Server::start();
    let mut session = open(&server).await;
    accounts(&mut session, &[]).await;
    let commit = insert(&mut session, "a", 1).await;
    let verifier = verifier(&server).await;
    let block = verifier.block(commit.block).await.unwrap();
    let proof = TlogProof::parse(&verifier.fetch_tlog_proof(commit.block_position).await.unwrap()).unwrap();
    proof.verify(block.leaves.last().unwrap(), verifier.pin().key()).unwrap();
    assert!(proof.verify(&block.leaves[0], verifier.pin().key()).is_err());
}

#[tokio::test]
async fn requests_outside_of_the_ledger_are_refused() {
    let server = Server::start();
    let verifier = verifier(&server).await;
    for outcome in [verifier.fetch_receipt(0).await, verifier.fetch_receipt(1 << 40).await] {
        assert!(matches!(outcome, Err(Error::Server { .. })), "{outcome:?}");
    }
    assert!(verifier.fetch_transaction_receipt(u64::MAX).await.is_err());
    assert!(verifier.block(12_345).await.is_err());
    let mut blocks = verifier.blocks(u64::MAX, false).await.unwrap();
    assert!(blocks.next().await.unwrap().is_none());
    let large = "x".repeat(100_000);
    let pin = verifier.pin().clone();
    let mut named = Verifier::new(verifier.client().clone(), &large, pin);
    assert!(matches!(named.refresh().await, Err(Error::Server { .. })));
}
