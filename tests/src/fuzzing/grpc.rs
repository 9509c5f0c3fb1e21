//! Bodies of gRPC requests: the messages behind the frame, whose length and limits are tonic's.
//!
//! The server is a binary, which nobody can link: what reads parameters is compiled here once more, from the same file.

use ledgerstone_digest::ion;
use ledgerstone_protocol::v1;
use prost::Message;

#[path = "../../../server/src/grpc/parameters.rs"]
mod parameters;

/// Parameters that a statement may have here: few, so that one more is soon reached.
const PARAMETERS_MAX: usize = 8;

/// Reads a message and gives it back, encoded again.
type Read = fn(&[u8]) -> Option<Vec<u8>>;

macro_rules! requests {
    ($($message:ident),* $(,)?) => {
        /// Every request of both services. An input's first byte says which of them the rest is.
        pub const REQUESTS: &[(&str, Read)] = &[$((stringify!($message), |bytes| Some(v1::$message::decode(bytes).ok()?.encode_to_vec()))),*];
    };
}

requests!(
    OpenSessionRequest,
    CloseSessionRequest,
    BeginRequest,
    CommitRequest,
    RollbackRequest,
    FindCommitRequest,
    ExecuteRequest,
    ListLedgersRequest,
    CreateLedgerRequest,
    DescribeLedgerRequest,
    UpdateLedgerRequest,
    DropLedgerRequest,
    ListTablesRequest,
    RotateKeyRequest,
    BackupRequest,
    GetGenesisRequest,
    GetCheckpointRequest,
    GetReceiptRequest,
    GetConsistencyProofRequest,
    GetTlogProofRequest,
    GetRotationsRequest,
    GetBlockRequest,
    StreamBlocksRequest,
);

/// A message that is read has a form in which it is read again, and takes about what was sent; a statement's
/// parameters are values within the limits, or an error that says which of them is none.
pub fn grpc_requests(bytes: &[u8]) {
    let Some((kind, body)) = bytes.split_first() else { return };
    let Some((name, read)) = REQUESTS.get(usize::from(*kind) % REQUESTS.len()) else { return };
    let Some(again) = read(body) else { return };
    assert_eq!(read(&again).as_ref(), Some(&again), "{name} comes back");
    // A negative number of 32 bits may come in five bytes, and is written in ten.
    assert!(again.len() <= 2 * body.len(), "{name} grows from {} to {} bytes", body.len(), again.len());
    if *name != "ExecuteRequest" {
        return;
    }
    let request = v1::ExecuteRequest::decode(body).expect("it was read before");
    match parameters::decode_parameters(&request.parameters, PARAMETERS_MAX) {
        Ok(values) => {
            assert_eq!(values.len(), request.parameters.len());
            for value in values.iter().flatten() {
                assert!(ion::decode(&ion::encode(value), &ion::Limits::DOCUMENT).is_ok(), "a parameter comes back");
            }
        }
        Err(error) => assert!(!error.message.is_empty()),
    }
}
