//! A client of QLDB's session API, as far as the benchmark needs one: a session on a connection that stays open, and
//! transactions of one statement, each in the three requests that drivers make of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use ledgerstone_digest::ion::{Value, encode, ion_hash};
use ledgerstone_digest::qldb::{dot2, statement_digest};
use serde_json::{Value as Json, json};
use tokio::net::TcpStream;

/// An open session.
pub struct QldbClient {
    address: String,
    sender: SendRequest<Full<Bytes>>,
    token: String,
}

/// Why a transaction did not commit.
enum Refused {
    Conflict,
    Other(String),
}

impl QldbClient {
    pub async fn connect(address: &str, ledger: &str) -> Result<QldbClient, String> {
        let failed = |error: std::io::Error| format!("cannot connect to {address}: {error}");
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        // Its error is also that of the request that meets it.
        tokio::spawn(connection);
        let mut client = QldbClient { address: address.to_owned(), sender, token: String::new() };
        let answer = client.send(json!({ "StartSession": { "LedgerName": ledger } })).await.map_err(Refused::text)?;
        client.token = text(&answer, &["StartSession", "SessionToken"])?;
        Ok(client)
    }

    /// Runs a statement in a transaction of its own. False if that met a conflict.
    pub async fn run(&mut self, statement: &str, parameters: &[Value]) -> Result<bool, String> {
        match self.transaction(statement, parameters).await {
            Ok(()) => Ok(true),
            Err(Refused::Conflict) => Ok(false),
            Err(Refused::Other(what)) => Err(what),
        }
    }

    async fn transaction(&mut self, statement: &str, parameters: &[Value]) -> Result<(), Refused> {
        let started = self.send(json!({ "StartTransaction": {} })).await?;
        let id = text(&started, &["StartTransaction", "TransactionId"]).map_err(Refused::Other)?;
        let holders: Vec<Json> =
            parameters.iter().map(|value| json!({ "IonBinary": STANDARD.encode(encode(value)) })).collect();
        self.send(json!({ "ExecuteStatement": {
            "TransactionId": id, "Statement": statement, "Parameters": holders,
        }}))
        .await?;
        let digest = dot2(ion_hash(&Value::string(id.as_str())), statement_digest(statement, parameters));
        self.send(json!({ "CommitTransaction": { "TransactionId": id, "CommitDigest": STANDARD.encode(digest.0) } }))
            .await
            .map(drop)
    }

    async fn send(&mut self, mut command: Json) -> Result<Json, Refused> {
        if !self.token.is_empty() {
            command["SessionToken"] = json!(self.token);
        }
        let request = Request::post("/")
            .header("host", self.address.as_str())
            .header("x-amz-target", "QLDBSession.SendCommand")
            .header("content-type", "application/x-amz-json-1.0")
            .body(Full::new(Bytes::from(command.to_string())))
            .map_err(Refused::other)?;
        self.sender.ready().await.map_err(Refused::other)?;
        let answer = self.sender.send_request(request).await.map_err(Refused::other)?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(Refused::other)?.to_bytes();
        let body: Json = serde_json::from_slice(&body).map_err(Refused::other)?;
        match body["__type"].as_str() {
            None if status.is_success() => Ok(body),
            Some("OccConflictException") => Err(Refused::Conflict),
            _ => Err(Refused::Other(format!("{status}: {body}"))),
        }
    }
}

impl Refused {
    fn other(error: impl std::fmt::Display) -> Refused {
        Refused::Other(error.to_string())
    }

    fn text(self) -> String {
        match self {
            Refused::Conflict => "a conflict".to_owned(),
            Refused::Other(what) => what,
        }
    }
}

fn text(answer: &Json, path: &[&str]) -> Result<String, String> {
    let found = path.iter().fold(answer, |inside, name| &inside[*name]);
    found.as_str().map(str::to_owned).ok_or_else(|| format!("the answer has no {}: {answer}", path.join(".")))
}
