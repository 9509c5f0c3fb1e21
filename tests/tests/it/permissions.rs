//! What each call of the HTTP port's protocols asks of the policy in a ledger in the mode STANDARD. The calls are read from
//! the protocol's own files: one that is added without a line here fails.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledgerstone_protocol::v1;
use ledgerstone_protocol::v1::get_receipt_request::Of;
use prost::Message as _;

use crate::harness::{Server, Setting, binary};

const PASSWORD: &str = "pencil";
const LEDGER: &str = "ledgerstone.v1.LedgerService";
const DIGEST: &str = "ledgerstone.v1.DigestService";
const FLIGHT: &str = "arrow.flight.protocol.FlightService";
const PROTOCOL: [(&str, &str); 2] = [
    (LEDGER, include_str!("../../../protocol/proto/ledgerstone/v1/ledger.proto")),
    (DIGEST, include_str!("../../../protocol/proto/ledgerstone/v1/digest.proto")),
];
/// Those that users of the test have alone, or lack alone.
const ACTIONS: [&str; 12] = [
    "qldb:SendCommand",
    "qldb:PartiQLSelect",
    "qldb:GetDigest",
    "qldb:GetRevision",
    "qldb:GetBlock",
    "qldb:ListLedgers",
    "qldb:CreateLedger",
    "qldb:DescribeLedger",
    "qldb:UpdateLedger",
    "qldb:DeleteLedger",
    "ledgerstone:Backup",
    "ledgerstone:RotateKey",
];

/// What a call asks for, and a message that asks for it.
type Question = (&'static str, Vec<u8>);

/// The questions of a call; none if it belongs to a session, which was asked when it was opened and asks with each statement.
fn questions(call: &str) -> Vec<Question> {
    let main = || "main".to_owned();
    let receipt = |of: Of| v1::GetReceiptRequest { ledger: main(), of: Some(of) }.encode_to_vec();
    let revision = v1::RevisionName { table: "t".into(), document_id: "0".repeat(22), version: None };
    match call {
        "OpenSession" => vec![("qldb:SendCommand", v1::OpenSessionRequest::default().encode_to_vec())],
        "FindCommit" => {
            let request = v1::FindCommitRequest { client_token: "token".into(), ..Default::default() };
            vec![("qldb:SendCommand", request.encode_to_vec())]
        }
        "CloseSession" | "Begin" | "Commit" | "Rollback" | "Execute" => Vec::new(),
        "ListLedgers" => vec![("qldb:ListLedgers", Vec::new())],
        "CreateLedger" => {
            let request = v1::CreateLedgerRequest { name: "new".into(), deletion_protection: false };
            vec![("qldb:CreateLedger", request.encode_to_vec())]
        }
        "DescribeLedger" => {
            vec![("qldb:DescribeLedger", v1::DescribeLedgerRequest { name: main() }.encode_to_vec())]
        }
        "UpdateLedger" => {
            let request = v1::UpdateLedgerRequest { name: main(), deletion_protection: false };
            vec![("qldb:UpdateLedger", request.encode_to_vec())]
        }
        "DropLedger" => vec![("qldb:DeleteLedger", v1::DropLedgerRequest { name: "nothing".into() }.encode_to_vec())],
        "ListTables" => vec![("qldb:PartiQLSelect", v1::ListTablesRequest::default().encode_to_vec())],
        "RotateKey" => vec![("ledgerstone:RotateKey", v1::RotateKeyRequest::default().encode_to_vec())],
        "Backup" => vec![("ledgerstone:Backup", v1::BackupRequest::default().encode_to_vec())],
        "GetGenesis" | "GetCheckpoint" | "GetRotations" => vec![("qldb:GetDigest", Vec::new())],
        "GetConsistencyProof" => {
            let request = v1::GetConsistencyProofRequest { ledger: main(), from_size: 1, to_size: 0 };
            vec![("qldb:GetDigest", request.encode_to_vec())]
        }
        "GetTlogProof" => {
            vec![("qldb:GetDigest", v1::GetTlogProofRequest { ledger: main(), position: 1 }.encode_to_vec())]
        }
        "GetReceipt" => vec![
            ("qldb:GetRevision", receipt(Of::Position(1))),
            ("qldb:GetRevision", receipt(Of::Revision(revision))),
            ("qldb:GetBlock", receipt(Of::Block(0))),
        ],
        "GetBlock" => vec![("qldb:GetBlock", v1::GetBlockRequest { ledger: main(), number: 0 }.encode_to_vec())],
        "StreamBlocks" => vec![("qldb:GetBlock", v1::StreamBlocksRequest::default().encode_to_vec())],
        other => panic!("{other} is a call without a line here: which permission does it ask for?"),
    }
}

#[test]
fn each_call_of_grpc_asks_for_its_permission_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let server = guarded(directory.path());
    let mut asked = 0;
    for (service, text) in PROTOCOL {
        let calls = text.lines().filter_map(|line| line.trim().strip_prefix("rpc ")?.split('(').next());
        for call in calls {
            for (action, message) in questions(call) {
                asked += 1;
                let path = format!("/{service}/{call}");
                let refused = ask(&server, &path, &format!("all-but-{action}"), &message);
                assert!(refused.is_refused(), "{call} asks for {action}: {refused:?}");
                assert!(
                    refused.text.contains(&action.replace(':', "%3A")) || refused.text.contains(action),
                    "{refused:?}"
                );
                let nobody = ask(&server, &path, "nobody", &message);
                assert!(nobody.is_refused(), "{call} answers who may do nothing: {nobody:?}");
                let allowed = ask(&server, &path, &format!("only-{action}"), &message);
                assert!(!allowed.is_refused(), "{call} asks for more than {action}: {allowed:?}");
            }
        }
    }
    assert!(asked >= 20, "{asked} calls");
}

#[test]
fn flight_names_no_ledger_and_no_table_to_who_may_not_know_it() {
    let directory = tempfile::tempdir().unwrap();
    let server = guarded(directory.path());
    let get = |command: &str, user: &str| {
        let any =
            [field(1, format!("type.googleapis.com/arrow.flight.protocol.sql.{command}").as_bytes()), field(2, b"")];
        ask(&server, &format!("/{FLIGHT}/DoGet"), user, &field(1, &any.concat()))
    };
    for (user, main, hidden) in [
        ("chief", true, true),
        ("only-qldb:ListLedgers", true, true),
        ("only-qldb:SendCommand", true, true),
        ("guest", true, false),
        ("nobody", false, false),
    ] {
        let answer = get("CommandGetCatalogs", user);
        assert!(!answer.is_refused(), "{user}: {answer:?}");
        assert_eq!(
            (answer.text.contains("main"), answer.text.contains("hidden")),
            (main, hidden),
            "{user}: {answer:?}"
        );
    }
    for command in ["CommandGetTables", "CommandGetDbSchemas", "CommandGetPrimaryKeys"] {
        for user in ["nobody", "only-qldb:GetDigest", "guest"] {
            let answer = get(command, user);
            assert!(answer.is_refused() && !answer.text.contains("a_table_of_main"), "{user}: {command}: {answer:?}");
        }
    }
    assert!(get("CommandGetTables", "chief").text.contains("a_table_of_main"));
    let handshake = |user| ask(&server, &format!("/{FLIGHT}/Handshake"), user, b"");
    assert!(handshake("nobody").is_refused() && handshake("all-but-qldb:SendCommand").is_refused());
    assert!(!handshake("guest").is_refused());
}

/// A server with users, a policy, and two ledgers in the mode STANDARD.
fn guarded(directory: &Path) -> Server {
    let mut server = Server::start();
    server.psql_ok("CREATE TABLE a_table_of_main (id int PRIMARY KEY); INSERT INTO a_table_of_main VALUES (1)");
    server.psql_ok("CREATE DATABASE hidden");
    for ledger in ["main", "hidden"] {
        let body = "{\"PermissionsMode\": \"STANDARD\"}";
        let request = format!(
            "PATCH /ledgers/{ledger}/permissions-mode HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = String::from_utf8_lossy(&exchange(&server, request.as_bytes())).into_owned();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert!(server.stop().success());
    let (users, policy) = (directory.join("users"), directory.join("policy.json"));
    let names = ["only", "all-but"].map(|kind| ACTIONS.map(move |action| format!("{kind}-{action}")));
    let mut names: Vec<String> = names.into_iter().flatten().collect();
    names.extend(["chief", "guest", "nobody"].map(str::to_owned));
    let verifier = verifier();
    // A colon ends a name in the file.
    let lines: String = names.iter().map(|name| format!("{}:{verifier}\n", name.replace(':', "."))).collect();
    write_private(&users, &lines);
    write_private(&policy, &policies());
    let arguments = ["--users", users.to_str().unwrap(), "--policy", policy.to_str().unwrap()];
    server.restart_in(Setting { arguments: arguments.map(str::to_owned).to_vec(), ..Setting::default() });
    server
}

fn policies() -> String {
    let statement = |effect: &str, action: &str, resource: &str| {
        format!("{{\"Effect\": \"{effect}\", \"Action\": \"{action}\", \"Resource\": \"{resource}\"}}")
    };
    let all = statement("Allow", "*", "*");
    let mut users = vec![format!("\"chief\": [{all}]")];
    let guest = statement("Allow", "qldb:SendCommand", "arn:aws:qldb:*:*:ledger/main");
    users.push(format!("\"guest\": [{guest}]"));
    for action in ACTIONS {
        let name = action.replace(':', ".");
        users.push(format!("\"only-{name}\": [{}]", statement("Allow", action, "*")));
        users.push(format!("\"all-but-{name}\": [{all}, {}]", statement("Deny", action, "*")));
    }
    format!("{{{}}}", users.join(",\n"))
}

/// What `ledgerstone passwd` makes of the password, without the name.
fn verifier() -> String {
    let mut command = Command::new(binary());
    command.args(["passwd", "chief"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{PASSWORD}\n").as_bytes()).unwrap();
    let line = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    line.trim_end().split_once(':').expect("NAME:VERIFIER").1.to_owned()
}

fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// What was answered: the status of an answer without a message, and all of it.
#[derive(Debug)]
struct Said {
    status: Option<u32>,
    text: String,
}

impl Said {
    /// PERMISSION_DENIED
    fn is_refused(&self) -> bool {
        self.status == Some(7)
    }
}

/// Makes a call as a user. HTTP/1.1 does for a message each way, and what ends in an error has its status in the headers.
fn ask(server: &Server, path: &str, user: &str, message: &[u8]) -> Said {
    let authorization = STANDARD.encode(format!("{}:{PASSWORD}", user.replace(':', ".")));
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc\r\nte: trailers\r\n\
         authorization: Basic {authorization}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        message.len() + 5
    );
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let answer = exchange(server, &[head.as_bytes(), &[0], &length, message].concat());
    let text = String::from_utf8_lossy(&answer).into_owned();
    assert!(text.starts_with("HTTP/1.1 200"), "{path}: {text}");
    let headers = text.split("\r\n\r\n").next().unwrap_or_default();
    let status = headers.lines().find_map(|line| line.strip_prefix("grpc-status: ")?.trim().parse().ok());
    Said { status, text }
}

fn exchange(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.http).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

/// A field of bytes in a message of protocol buffers.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length > 127 {
        out.push(length as u8 | 128);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
    out
}
