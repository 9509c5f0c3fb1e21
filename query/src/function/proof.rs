//! Proofs as SQL functions, so that whoever can connect with psql can fetch one (CONTRACT sections 3 and 4).
//!
//! `ledgerstone_receipt('person', 'p1')` is a receipt as bytea, to be kept and verified by someone who trusts neither the
//! server nor its operator. Nothing here checks a proof: a server vouching for itself would prove nothing.

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::Value;
use ledgerstone_journal::checkpoint::CheckpointError;
use ledgerstone_journal::receipt::ReceiptError;

use super::ty::{INT8, SHOWN, TEXT};
use super::{Call, Returns, Scalar, strict};
use crate::bind::plan::Datum;
use crate::catalogue::Table;
use crate::database::Database;
use crate::error::{QueryError, Result, SqlState};
use crate::index::Key;
use crate::permission::{Action, Resource};
use crate::transaction::{Doc, Transaction, View};
use crate::types::SqlType;

const AS_TEXT: Returns = Returns::Type(SqlType::Text);
const AS_BYTES: Returns = Returns::Type(SqlType::Bytea);
const AS_INT8: Returns = Returns::Type(SqlType::Int8);

pub(super) static FUNCTIONS: &[Scalar] = &[
    strict("ledgerstone_digest", &[], AS_TEXT, |call, _| {
        permit(call, Action::GetDigest)?;
        text(checkpoint(database(call)?)?)
    }),
    strict("ledgerstone_vkey", &[], AS_TEXT, |call, _| text(database(call)?.ledger().vkey().to_string())),
    strict("ledgerstone_origin", &[], AS_TEXT, |call, _| text(database(call)?.ledger().origin().to_owned())),
    strict("ledgerstone_receipt", &[TEXT, SHOWN], AS_BYTES, receipt),
    strict("ledgerstone_receipt", &[TEXT, SHOWN, INT8], AS_BYTES, receipt),
    strict("ledgerstone_receipt_at", &[INT8], AS_BYTES, |call, arguments| receipt_at(call, number(arguments, 0)?)),
    strict("ledgerstone_rotation", &[INT8], AS_BYTES, rotation),
    strict("ledgerstone_transaction_receipt", &[INT8], AS_BYTES, transaction_receipt),
    strict("ledgerstone_consistency", &[INT8, INT8], AS_TEXT, consistency),
    strict("ledgerstone_tlog_proof", &[TEXT, SHOWN], AS_TEXT, tlog_proof),
    strict("ledgerstone_tlog_proof", &[TEXT, SHOWN, INT8], AS_TEXT, tlog_proof),
    strict("ledgerstone_position", &[TEXT, SHOWN], AS_INT8, position),
    strict("ledgerstone_position", &[TEXT, SHOWN, INT8], AS_INT8, position),
    strict("ledgerstone_leaf", &[INT8], AS_BYTES, |call, arguments| {
        permit(call, Action::GetDigest)?;
        let leaf = database(call)?.ledger().leaf(number(arguments, 0)?).map_err(crate::database::read_error)?;
        Ok(Some(Value::blob(leaf)))
    }),
];

/// A signed checkpoint of everything durable now, as the note that auditors keep.
pub(crate) fn checkpoint(database: &Database) -> Result<String> {
    match database.ledger().checkpoint() {
        Ok(signed) => Ok(signed.note.to_string()),
        Err(error) => Err(checkpoint_error(&error)),
    }
}

fn checkpoint_error(error: &CheckpointError) -> QueryError {
    let code = if error.is_full() { SqlState::DISK_FULL } else { SqlState::IO_ERROR };
    QueryError::new(code, error.to_string())
}

fn receipt(call: &Call<'_>, arguments: &[Datum]) -> Result<Datum> {
    // Before looking: whether it is there is not for everybody either.
    permit(call, Action::GetRevision)?;
    let position = find(call, arguments, None)?.position;
    receipt_at(call, position)
}

fn receipt_at(call: &Call<'_>, position: u64) -> Result<Datum> {
    permit(call, Action::GetRevision)?;
    let receipt = database(call)?.ledger().receipt(position).map_err(proof_error)?;
    Ok(Some(Value::blob(receipt.encode())))
}

fn transaction_receipt(call: &Call<'_>, arguments: &[Datum]) -> Result<Datum> {
    let block = number(arguments, 0)?;
    permit(call, Action::GetBlock)?;
    let receipt = database(call)?.ledger().transaction_receipt(block).map_err(proof_error)?;
    let bytes = receipt.encode_within_limit().map_err(|problem| {
        QueryError::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            format!("the receipt of block {block} cannot be given: {problem}"),
        )
        .hint("Ask for the receipts of its revisions one by one: ledgerstone_receipt_at(position).")
    })?;
    Ok(Some(Value::blob(bytes)))
}

/// The receipt of the n-th rotation of the key, from 0, under the checkpoint with which the key before handed over.
fn rotation(call: &Call<'_>, arguments: &[Datum]) -> Result<Datum> {
    let number = number(arguments, 0)?;
    permit(call, Action::GetDigest)?;
    let rotations = database(call)?.ledger().rotations(None).map_err(proof_error)?;
    let count = rotations.len();
    let found = usize::try_from(number).ok().and_then(|number| rotations.into_iter().nth(number));
    found.map(|receipt| Some(Value::blob(receipt))).ok_or_else(|| {
        let message = format!("there is no rotation {number}: the ledger's key was rotated {count} times");
        QueryError::new(SqlState("02000"), message).hint("Rotations are counted from 0.")
    })
}

/// Hashes in hexadecimal, one per line.
fn consistency(call: &Call<'_>, arguments: &[Datum]) -> Result<Datum> {
    let (from, to) = (number(arguments, 0)?, number(arguments, 1)?);
    permit(call, Action::GetDigest)?;
    let hashes = database(call)?.ledger().consistency(from, to).map_err(proof_error)?;
    let lines: Vec<String> = hashes.iter().map(ToString::to_string).collect();
    text(lines.join("\n"))
}

fn tlog_proof(call: &Call<'_>, arguments: &[Datum]) -> Result<Datum> {
    let position = find(call, arguments, Some(Action::Select))?.position;
    let proof = database(call)?.ledger().proof_file(position).map_err(proof_error)?;
    text(proof.to_text())
}

fn position(call: &Call<'_>, arguments: &[Datum]) -> Result<Datum> {
    let position = find(call, arguments, Some(Action::Select))?.position;
    Ok(Some(Value::int(i64::try_from(position).unwrap_or(i64::MAX))))
}

/// The committed revision that (table, document id or primary key[, version]) names; without a version the newest. Asks for
/// `action` on the table before it looks.
fn find(call: &Call<'_>, arguments: &[Datum], action: Option<Action>) -> Result<Arc<Doc>> {
    let (name, key) = (word(arguments, 0)?, key(arguments)?);
    let key = &*key;
    let tx = Transaction::begin(database(call)?, true);
    let table = tx
        .table_written(name)?
        .ok_or_else(|| QueryError::new(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist")))?;
    if let (Some(action), Some(permit)) = (action, &call.session.permit) {
        permit.check_table(action, &table)?;
    }
    let current = find_current(&tx, &table, key)?;
    if arguments.len() < 3 {
        return current.ok_or_else(|| missing(&table, key));
    }
    let version = number(arguments, 2)?;
    let id = match current {
        Some(doc) if doc.version == version => return Ok(doc),
        Some(doc) => doc.id,
        // A deleted document can be named by its id only: its key may have passed to another.
        None => Id::from_str(key).map_err(|_| missing(&table, key))?,
    };
    for doc in tx.history(&table, Some(id), None, None)? {
        let doc = doc?;
        if doc.version == version {
            return Ok(doc);
        }
    }
    Err(missing(&table, key).detail(format!("No version {version} of it was found.")))
}

fn find_current(tx: &Transaction, table: &Table, key: &str) -> Result<Option<Arc<Doc>>> {
    if let Some(index) = table.primary_key() {
        let column = match index.paths.as_slice() {
            [path] => match path.as_slice() {
                [crate::catalogue::PathStep::Field(name)] => table.column(name),
                _ => None,
            },
            _ => None,
        };
        if let Some(column) = column
            && let Ok(value) = crate::value::text::parse(key, &column.ty, 0)
            && let Some(doc) = tx.lookup(table, index, &Key::one(&value), View::Current)?.into_iter().next()
        {
            return Ok(Some(doc));
        }
    }
    match Id::from_str(key) {
        Ok(id) => tx.get(table, id, View::Current),
        Err(_) => Ok(None),
    }
}

fn missing(table: &Table, key: &str) -> QueryError {
    QueryError::new(SqlState("02000"), format!("table \"{}\" has no document \"{key}\"", table.name))
        .hint("Name it by its primary key or by its document id (22 characters).")
}

/// Receipts hold documents of whatever table, and digests cover all of them.
fn permit(call: &Call<'_>, action: Action) -> Result<()> {
    match &call.session.permit {
        Some(permit) => permit.check(action, Resource::Ledger),
        None => Ok(()),
    }
}

fn database<'a>(call: &Call<'a>) -> Result<&'a Arc<Database>> {
    call.session.database.as_ref().ok_or_else(|| QueryError::internal("a session without a ledger"))
}

fn word(arguments: &[Datum], at: usize) -> Result<&str> {
    arguments
        .get(at)
        .and_then(Option::as_ref)
        .and_then(Value::as_text)
        .ok_or_else(|| QueryError::internal("a proof function without its text"))
}

/// The document id or primary key: a text of one, or a value of the key's own type, whose text is meant.
fn key(arguments: &[Datum]) -> Result<Cow<'_, str>> {
    let key = super::value_at(arguments, 1)?.unannotated();
    Ok(match key.as_text() {
        Some(text) => Cow::Borrowed(text),
        None => Cow::Owned(crate::value::text::format_untyped(key)),
    })
}

fn number(arguments: &[Datum], at: usize) -> Result<u64> {
    let number = arguments.get(at).and_then(Option::as_ref).and_then(Value::as_i64);
    number.and_then(|number| u64::try_from(number).ok()).ok_or_else(|| {
        QueryError::new(SqlState::NUMERIC_OUT_OF_RANGE, "positions, blocks, sizes and versions are never negative")
    })
}

fn text(text: String) -> Result<Datum> {
    Ok(Some(Value::string(text)))
}

pub(crate) fn proof_error(error: ReceiptError) -> QueryError {
    match error {
        ReceiptError::Read(error) => crate::database::read_error(error),
        ReceiptError::Range(_) | ReceiptError::NotSigned { .. } => {
            QueryError::new(SqlState::INVALID_PARAMETER_VALUE, error.to_string())
        }
        ReceiptError::Checkpoint(error) => checkpoint_error(&error),
        other => QueryError::new(SqlState::DATA_CORRUPTED, other.to_string()),
    }
}
