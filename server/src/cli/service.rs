//! The gRPC ledger service of a running server, for commands that an operator gives beside it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledgerstone_protocol::v1::ledger_service_client::LedgerServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// The service, as the user that the command was given.
pub type Service = LedgerServiceClient<InterceptedService<Channel, Authorized>>;

/// Puts who calls into each request.
#[derive(Clone)]
pub struct Authorized(Option<MetadataValue<Ascii>>);

impl Interceptor for Authorized {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// Connects to a server's HTTP port; a password is taken from PGPASSWORD. `stopped` says what to do if none runs there.
pub async fn connect(address: &str, user: &str, stopped: &str) -> Result<Service, String> {
    let nobody = || format!("no server answers at {address}. Say where with --connect, or {stopped}");
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| nobody())?;
    let channel = endpoint.connect().await.map_err(|_| nobody())?;
    let authorization = std::env::var("PGPASSWORD").ok().map(|password| {
        let both = STANDARD.encode(format!("{user}:{password}"));
        format!("Basic {both}").parse::<MetadataValue<Ascii>>()
    });
    let authorization = authorization.transpose().map_err(|error| error.to_string())?;
    Ok(LedgerServiceClient::with_interceptor(channel, Authorized(authorization)))
}

/// What a server says in refusal.
pub fn of_status(status: Status) -> String {
    let text = status.message();
    // The transport's word for an answer in another protocol.
    if text.contains("h2 protocol error") || text.contains("http2 error") {
        return "what listens there does not speak HTTP: --connect takes the server's HTTP port (7430 unless it was told \
                otherwise), not PostgreSQL's"
            .to_owned();
    }
    text.to_owned()
}
