//! The connection to a server, and what is asked of it outside of sessions: ledgers, tables, outcomes.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledgerstone_digest::{Hash, Id};
use ledgerstone_protocol::v1;
use ledgerstone_protocol::v1::digest_service_client::DigestServiceClient;
use ledgerstone_protocol::v1::ledger_service_client::LedgerServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use crate::error::{Error, Result};
use crate::retry::asked;
use crate::session::{Session, SessionOptions};

/// The largest answer that is accepted: a receipt of a whole transaction may come near it.
pub const MESSAGE_BYTES_MAX: usize = (256 << 20) + (1 << 16);

/// A connection to a server. Clones share it.
///
/// ```no_run
/// # async fn example() -> ledgerstone_client::Result<()> {
/// let client = ledgerstone_client::Client::connect("http://127.0.0.1:7430").await?;
/// for ledger in client.ledgers().await? {
///     println!("{} has {} leaves", ledger.name, ledger.size);
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
    credentials: Credentials,
    /// Who the password belongs to.
    user: Option<String>,
}

/// What is sent with every call to a server that asks for a password.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials(Option<MetadataValue<Ascii>>);

impl Interceptor for Credentials {
    fn call(&mut self, mut request: tonic::Request<()>) -> std::result::Result<tonic::Request<()>, tonic::Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// A channel with what proves who calls.
pub(crate) type Service = InterceptedService<Channel, Credentials>;

/// Where a commit stands in its ledger: the server's promise, which [`crate::Verifier::verify_commit`] checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// The transaction.
    pub transaction_id: Id,
    /// The strand, as in a block address.
    pub strand: Id,
    /// The block's number, as in a block address.
    pub block: u64,
    /// The position of the first revision.
    pub first_position: u64,
    /// How many revisions there are.
    pub revisions: u32,
    /// The position of the block's leaf.
    pub block_position: u64,
    /// The block's time in milliseconds since 1970.
    pub time_ms: i64,
}

/// A ledger, as its server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerDescription {
    /// Its name on this server.
    pub name: String,
    /// Its id, never used again.
    pub id: Id,
    /// What its checkpoints are signed as.
    pub origin: String,
    /// The key they are signed with. Do not trust it for being here: compare it with what its owner publishes.
    pub verifier_key: String,
    /// It cannot be dropped.
    pub deletion_protection: bool,
    /// Leaves.
    pub size: u64,
    /// Blocks.
    pub blocks: u64,
}

/// A table, as the server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDescription {
    /// Its id, which leaves and receipts name.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Not dropped.
    pub active: bool,
    /// Its columns; none if it takes any document.
    pub columns: Vec<Column>,
    /// Its indexes.
    pub indexes: Vec<IndexDescription>,
}

/// An index of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexDescription {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// What it indexes.
    pub paths: Vec<String>,
    /// No two documents may have the same value.
    pub unique: bool,
    /// `ONLINE`, or why it is not used yet.
    pub status: String,
}

/// A column of a table or of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type as SQL writes it; `ion` for any value.
    pub type_name: String,
}

impl Client {
    /// Connects to a server, such as `http://127.0.0.1:7430`.
    pub async fn connect(endpoint: &str) -> Result<Client> {
        let channel = parse_endpoint(endpoint)?.connect().await.map_err(|e| Error::Unavailable(chain(&e)))?;
        Ok(Client::over(channel))
    }

    /// Connects when something is asked first, and again whenever the connection is lost.
    pub fn connect_lazy(endpoint: &str) -> Result<Client> {
        Ok(Client::over(parse_endpoint(endpoint)?.connect_lazy()))
    }

    /// Uses a channel made elsewhere, with TLS for example.
    pub fn over(channel: Channel) -> Client {
        Client { channel, credentials: Credentials::default(), user: None }
    }

    /// Proves a user's password with every call, to a server with a users file. Over anything but loopback use it with a
    /// channel that speaks TLS only.
    pub fn with_password(mut self, user: &str, password: &str) -> Result<Client> {
        let refused = |problem: &str| Error::Endpoint { endpoint: user.to_owned(), problem: problem.to_owned() };
        if user.contains(':') {
            return Err(refused("a user name has no colon"));
        }
        let sent = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        let mut value: MetadataValue<Ascii> = sent.parse().map_err(|_| refused("the password cannot be sent"))?;
        value.set_sensitive(true);
        self.credentials = Credentials(Some(value));
        self.user = Some(user.to_owned());
        Ok(self)
    }

    /// Opens a session on a ledger.
    pub async fn session(&self, ledger: &str) -> Result<Session> {
        let mut options = SessionOptions::default();
        options.user = self.user.clone().unwrap_or(options.user);
        self.session_with(ledger, options).await
    }

    /// Opens a session on a ledger.
    pub async fn session_with(&self, ledger: &str, options: SessionOptions) -> Result<Session> {
        Session::open(self.clone(), ledger, options).await
    }

    /// What a client token has committed on a ledger. With the digests of the transaction's statements
    /// ([`crate::Done::statement_digest`]), a token that has committed another transaction is an error.
    pub async fn find_commit(&self, ledger: &str, token: &str, statements: Option<&[Hash]>) -> Result<Option<Commit>> {
        let request = v1::FindCommitRequest {
            ledger: ledger.to_owned(),
            client_token: token.to_owned(),
            statement_digests: statements.unwrap_or_default().iter().map(|hash| hash.0.to_vec()).collect(),
        };
        let answer = asked(|| {
            let (mut service, request) = (self.ledger_service(), request.clone());
            async move { service.find_commit(request).await }
        })
        .await?;
        answer.commit.map(Commit::read).transpose()
    }

    /// Every ledger of the server.
    pub async fn ledgers(&self) -> Result<Vec<LedgerDescription>> {
        let answer = asked(|| {
            let (mut service, request) = (self.ledger_service(), v1::ListLedgersRequest {});
            async move { service.list_ledgers(request).await }
        })
        .await?;
        answer.ledgers.into_iter().map(LedgerDescription::read).collect()
    }

    /// Makes a ledger.
    pub async fn create_ledger(&self, name: &str, deletion_protection: bool) -> Result<LedgerDescription> {
        let request = v1::CreateLedgerRequest { name: name.to_owned(), deletion_protection };
        described(self.ledger_service().create_ledger(request).await?.into_inner().ledger)
    }

    /// Describes a ledger.
    pub async fn describe_ledger(&self, name: &str) -> Result<LedgerDescription> {
        let request = v1::DescribeLedgerRequest { name: name.to_owned() };
        described(
            asked(|| {
                let (mut service, request) = (self.ledger_service(), request.clone());
                async move { service.describe_ledger(request).await }
            })
            .await?
            .ledger,
        )
    }

    /// Protects a ledger from being dropped, or no longer.
    pub async fn protect_ledger(&self, name: &str, deletion_protection: bool) -> Result<LedgerDescription> {
        let request = v1::UpdateLedgerRequest { name: name.to_owned(), deletion_protection };
        described(self.ledger_service().update_ledger(request).await?.into_inner().ledger)
    }

    /// Drops a ledger that is not protected.
    pub async fn drop_ledger(&self, name: &str) -> Result<()> {
        self.ledger_service().drop_ledger(v1::DropLedgerRequest { name: name.to_owned() }).await?;
        Ok(())
    }

    /// The tables of a ledger, dropped ones included.
    pub async fn tables(&self, ledger: &str) -> Result<Vec<TableDescription>> {
        let request = v1::ListTablesRequest { ledger: ledger.to_owned() };
        let answer = asked(|| {
            let (mut service, request) = (self.ledger_service(), request.clone());
            async move { service.list_tables(request).await }
        })
        .await?;
        answer.tables.into_iter().map(TableDescription::read).collect()
    }

    pub(crate) fn ledger_service(&self) -> LedgerServiceClient<Service> {
        LedgerServiceClient::with_interceptor(self.channel.clone(), self.credentials.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn digest_service(&self) -> DigestServiceClient<Service> {
        DigestServiceClient::with_interceptor(self.channel.clone(), self.credentials.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
    }
}

impl Commit {
    pub(crate) fn read(address: v1::CommitAddress) -> Result<Commit> {
        Ok(Commit {
            transaction_id: id(&address.transaction_id)?,
            strand: id(&address.strand_id)?,
            block: address.block,
            first_position: address.first_position,
            revisions: address.revisions,
            block_position: address.block_position,
            time_ms: address.time_ms,
        })
    }
}

impl LedgerDescription {
    fn read(ledger: v1::LedgerDescription) -> Result<Self> {
        Ok(LedgerDescription {
            id: id(&ledger.id)?,
            name: ledger.name,
            origin: ledger.origin,
            verifier_key: ledger.verifier_key,
            deletion_protection: ledger.deletion_protection,
            size: ledger.size,
            blocks: ledger.blocks,
        })
    }
}

impl TableDescription {
    fn read(table: v1::TableDescription) -> Result<Self> {
        let index = |index: v1::IndexDescription| {
            let v1::IndexDescription { id: text, name, paths, unique, status } = index;
            Ok(IndexDescription { id: id(&text)?, name, paths, unique, status })
        };
        Ok(TableDescription {
            id: id(&table.id)?,
            name: table.name,
            active: table.active,
            columns: table.columns.into_iter().map(Column::read).collect(),
            indexes: table.indexes.into_iter().map(index).collect::<Result<_>>()?,
        })
    }
}

impl Column {
    pub(crate) fn read(column: v1::Column) -> Column {
        Column { name: column.name, type_name: column.r#type }
    }
}

pub(crate) fn id(text: &str) -> Result<Id> {
    text.parse().map_err(|error| Error::answer(format!("an id: {error}")))
}

pub(crate) fn hash(bytes: &[u8]) -> Result<Hash> {
    Hash::from_slice(bytes).ok_or_else(|| Error::answer(format!("a hash has {} bytes, not 32", bytes.len())))
}

fn described(ledger: Option<v1::LedgerDescription>) -> Result<LedgerDescription> {
    LedgerDescription::read(ledger.ok_or_else(|| Error::answer("the description of the ledger is missing"))?)
}

fn parse_endpoint(endpoint: &str) -> Result<Endpoint> {
    let refused = |problem: String| Error::Endpoint { endpoint: endpoint.to_owned(), problem };
    let parsed = Endpoint::from_shared(endpoint.to_owned()).map_err(|error| refused(chain(&error)))?;
    match parsed.uri().scheme_str() {
        Some("http") => {}
        Some("https") => return Err(refused("for TLS, make a channel and give it to Client::over".to_owned())),
        _ => return Err(refused("it does not begin with http://".to_owned())),
    }
    Ok(parsed
        .connect_timeout(Duration::from_secs(10))
        .tcp_nodelay(true)
        // Documents are larger than a web page.
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20)))
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_are_checked() {
        assert!(Client::connect_lazy("http://127.0.0.1:7430").is_ok());
        for bad in ["127.0.0.1:7430", "https://example.org", "", "ftp://x"] {
            assert!(matches!(Client::connect_lazy(bad), Err(Error::Endpoint { .. })), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_unavailable() {
        // Port 9 (discard) of loopback answers nowhere.
        assert!(matches!(Client::connect("http://127.0.0.1:9").await, Err(Error::Unavailable(_))));
        let client = Client::connect_lazy("http://127.0.0.1:9").unwrap();
        let error = client.ledgers().await.unwrap_err();
        assert!(error.is_lost(), "{error:?}");
    }
}
