//! Commands and answers as AWS JSON 1.0, with values in Ion.

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledgerstone_digest::Hash;
use ledgerstone_digest::ion::{self, Limits as IonLimits, Value};
use serde::Deserialize;
use serde_json::json;

use super::failure::Failure;

/// One request. Exactly one of its commands is there; members come in any order.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Request {
    session_token: Option<String>,
    start_session: Option<StartSession>,
    start_transaction: Option<Nothing>,
    execute_statement: Option<ExecuteStatement>,
    fetch_page: Option<FetchPage>,
    commit_transaction: Option<CommitTransaction>,
    abort_transaction: Option<Nothing>,
    end_session: Option<Nothing>,
}

#[derive(Debug, Deserialize)]
struct Nothing {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StartSession {
    ledger_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ExecuteStatement {
    transaction_id: String,
    statement: String,
    #[serde(default)]
    parameters: Vec<Holder>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FetchPage {
    transaction_id: String,
    next_page_token: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CommitTransaction {
    transaction_id: String,
    commit_digest: String,
}

/// A value; drivers send the binary form.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Holder {
    ion_binary: Option<String>,
    ion_text: Option<String>,
}

/// A command, its values decoded.
#[derive(Debug, PartialEq)]
pub enum Command {
    StartSession { ledger: String },
    InSession { token: String, command: SessionCommand },
}

/// A command to a session.
#[derive(Debug, PartialEq)]
pub enum SessionCommand {
    StartTransaction,
    Execute { transaction: String, statement: String, parameters: Vec<Value> },
    FetchPage { transaction: String, token: String },
    Commit { transaction: String, digest: Hash },
    Abort,
    EndSession,
}

/// Figures that go with an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    pub milliseconds: u64,
    pub reads: u64,
    pub writes: u64,
}

/// Reads a request.
pub fn read(body: &Bytes) -> Result<Command, Failure> {
    let request: Request = serde_json::from_slice(body)
        .map_err(|error| Failure::bad_request(format!("the request is not a SendCommand: {error}")))?;
    let mut commands = Vec::new();
    if let Some(StartSession { ledger_name }) = request.start_session {
        commands.push(Err(ledger_name));
    }
    commands.extend(request.start_transaction.map(|_| Ok(SessionCommand::StartTransaction)));
    if let Some(execute) = request.execute_statement {
        let parameters: Result<Vec<Value>, Failure> =
            execute.parameters.into_iter().enumerate().map(|(n, holder)| value(n, holder)).collect();
        commands.push(Ok(SessionCommand::Execute {
            transaction: execute.transaction_id,
            statement: execute.statement,
            parameters: parameters?,
        }));
    }
    commands.extend(request.fetch_page.map(|fetch| {
        Ok(SessionCommand::FetchPage { transaction: fetch.transaction_id, token: fetch.next_page_token })
    }));
    if let Some(commit) = request.commit_transaction {
        let digest = STANDARD.decode(&commit.commit_digest).ok().and_then(|bytes| Hash::from_slice(&bytes));
        let digest = digest.ok_or_else(|| Failure::bad_request("CommitDigest is not 32 bytes in base64"))?;
        commands.push(Ok(SessionCommand::Commit { transaction: commit.transaction_id, digest }));
    }
    commands.extend(request.abort_transaction.map(|_| Ok(SessionCommand::Abort)));
    commands.extend(request.end_session.map(|_| Ok(SessionCommand::EndSession)));
    let count = commands.len();
    match (commands.pop(), count) {
        (Some(Err(ledger)), 1) => Ok(Command::StartSession { ledger }),
        (Some(Ok(command)), 1) => {
            let token = request.session_token.ok_or_else(|| Failure::bad_request("SessionToken is missing"))?;
            Ok(Command::InSession { token, command })
        }
        _ => Err(Failure::bad_request(format!("a request holds one command, not {count}"))),
    }
}

fn value(number: usize, holder: Holder) -> Result<Value, Failure> {
    let failed = |what: String| Failure::bad_request(format!("parameter {}: {what}", number + 1));
    match holder {
        Holder { ion_binary: Some(binary), ion_text: None } => {
            let bytes =
                STANDARD.decode(&binary).map_err(|error| failed(format!("IonBinary is not base64: {error}")))?;
            ion::decode(&bytes, &IonLimits::DOCUMENT).map_err(|error| failed(format!("not an Ion value: {error}")))
        }
        Holder { ion_binary: None, ion_text: Some(text) } => {
            ion::parse(&text, &IonLimits::DOCUMENT).map_err(|error| failed(format!("not an Ion value: {error}")))
        }
        _ => Err(failed("give IonBinary or IonText".to_owned())),
    }
}

pub fn session_started(token: &str) -> String {
    json!({ "StartSession": { "SessionToken": token } }).to_string()
}

pub fn transaction_started(transaction: &str, figures: Figures) -> String {
    json!({ "StartTransaction": { "TransactionId": transaction, "TimingInformation": timing(figures) } }).to_string()
}

/// Some of a statement's values, each in Ion binary.
#[derive(Debug, Default)]
pub struct Page {
    pub values: Vec<Vec<u8>>,
    /// What to ask for more with, if there is more.
    pub next: Option<String>,
}

/// The first page of a statement's values.
pub fn executed(page: &Page, figures: Figures) -> String {
    json!({ "ExecuteStatement": {
        "FirstPage": page.to_json(), "TimingInformation": timing(figures), "ConsumedIOs": consumed(figures),
    }})
    .to_string()
}

pub fn page_fetched(page: &Page, figures: Figures) -> String {
    json!({ "FetchPage": {
        "Page": page.to_json(), "TimingInformation": timing(figures), "ConsumedIOs": consumed(figures),
    }})
    .to_string()
}

pub fn committed(transaction: &str, digest: &Hash, figures: Figures) -> String {
    json!({ "CommitTransaction": {
        "TransactionId": transaction, "CommitDigest": STANDARD.encode(digest.0),
        "TimingInformation": timing(figures), "ConsumedIOs": consumed(figures),
    }})
    .to_string()
}

pub fn aborted(figures: Figures) -> String {
    json!({ "AbortTransaction": { "TimingInformation": timing(figures) } }).to_string()
}

pub fn session_ended(figures: Figures) -> String {
    json!({ "EndSession": { "TimingInformation": timing(figures) } }).to_string()
}

impl Page {
    /// `Values` is there even if it is empty: a driver takes its length.
    fn to_json(&self) -> serde_json::Value {
        let values: Vec<_> = self.values.iter().map(|value| json!({ "IonBinary": STANDARD.encode(value) })).collect();
        match &self.next {
            Some(next) => json!({ "Values": values, "NextPageToken": next }),
            None => json!({ "Values": values }),
        }
    }
}

/// A driver that reads 0 takes it for no figure at all.
fn timing(figures: Figures) -> serde_json::Value {
    json!({ "ProcessingTimeMilliseconds": figures.milliseconds.max(1) })
}

fn consumed(figures: Figures) -> serde_json::Value {
    json!({ "ReadIOs": figures.reads, "WriteIOs": figures.writes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Command, Failure> {
        read(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn members_come_in_any_order_and_values_in_both_forms() {
        let text = r#"{"ExecuteStatement": {"Statement": "SELECT ?, ?", "TransactionId": "t",
            "Parameters": [{"IonText": "null.int"}, {"IonBinary": "4AEA6iEB"}]}, "SessionToken": "s"}"#;
        let Ok(Command::InSession { token, command: SessionCommand::Execute { statement, parameters, .. } }) = of(text)
        else {
            panic!("{:?}", of(text));
        };
        assert_eq!((token.as_str(), statement.as_str()), ("s", "SELECT ?, ?"));
        assert_eq!(parameters, [ion::parse("null.int", &IonLimits::DOCUMENT).unwrap(), Value::int(1)]);
        assert_eq!(
            of(r#"{"StartSession": {"LedgerName": "main"}}"#),
            Ok(Command::StartSession { ledger: "main".to_owned() })
        );
    }

    #[test]
    fn what_is_no_command_or_two_is_refused() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"StartTransaction": {}}"#,
            r#"{"SessionToken": "s", "StartTransaction": {}, "EndSession": {}}"#,
            r#"{"SessionToken": "s", "ExecuteStatement": {"Statement": "x"}}"#,
            r#"{"SessionToken": "s", "ExecuteStatement": {"TransactionId": "t", "Statement": "x", "Parameters": [{}]}}"#,
            r#"{"SessionToken": "s", "ExecuteStatement": {"TransactionId": "t", "Statement": "x",
                "Parameters": [{"IonBinary": "!"}]}}"#,
            r#"{"SessionToken": "s", "ExecuteStatement": {"TransactionId": "t", "Statement": "x",
                "Parameters": [{"IonBinary": "4AEA6g=="}]}}"#,
            r#"{"SessionToken": "s", "CommitTransaction": {"TransactionId": "t", "CommitDigest": "AAAA"}}"#,
        ] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
