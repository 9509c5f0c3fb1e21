//! The calls of Flight, and which command of Flight SQL goes where.

use std::pin::Pin;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{
    Any, Command, CommandPreparedStatementQuery, CommandStatementQuery, ProstMessageExt as _, TicketStatementQuery,
};
use arrow_flight::{
    Action, ActionType, BasicAuth, Criteria, Empty, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo,
    HandshakeRequest, HandshakeResponse, IpcMessage, PollInfo, PutResult, SchemaAsIpc, SchemaResult, Ticket,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{Stream, StreamExt as _};
use ledgerstone_query::instance::Instance;
use ledgerstone_query::session::Cancel;
use prost::Message as _;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::keeper::Keeper;
use super::run::{Answer, Text};
use super::types::schema_of;
use super::who::Who;
use super::{actions, metadata, rows, status};
use crate::grpc;

/// The service.
pub struct Flight {
    pub instance: Arc<Instance>,
    pub keeper: Arc<Keeper>,
    pub options: grpc::Options,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl FlightService for Flight {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = rows::Data;
    type DoPutStream = Answers<PutResult>;
    type DoActionStream = Answers<arrow_flight::Result>;
    type ListActionsStream = Answers<ActionType>;
    type DoExchangeStream = Answers<FlightData>;

    /// Opens a session, whose id is the token of later calls.
    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        let (mut metadata, _, mut requests) = request.into_parts();
        // The older way says who it is in the first message.
        if !metadata.contains_key("authorization")
            && let Some(first) = requests.next().await
            && let Ok(login) = BasicAuth::decode(first?.payload)
            && !login.username.is_empty()
        {
            let basic = format!("Basic {}", STANDARD.encode(format!("{}:{}", login.username, login.password)));
            let basic = basic.parse().map_err(|_| Status::unauthenticated("the user name is not text"))?;
            metadata.insert("authorization", basic);
        }
        let token = self.sign_in(&metadata).await.map_err(status::told)?;
        let answer = HandshakeResponse { protocol_version: 0, payload: token.clone().into() };
        let mut response: Response<Self::HandshakeStream> =
            Response::new(Box::pin(futures::stream::iter([Ok(answer)])));
        let bearer = format!("Bearer {token}").parse().map_err(|_| Status::internal("a token is not text"))?;
        response.metadata_mut().insert("authorization", bearer);
        Ok(response)
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        Err(Status::unimplemented("there are no flights to list: results are those of statements (Flight SQL)"))
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        self.info(request).await.map_err(status::told)
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        Err(Status::unimplemented("a statement has run when its FlightInfo comes: call GetFlightInfo"))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        self.schema(request).await.map_err(status::told)
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        self.get(request).await.map_err(status::told)
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let (metadata, _, data) = request.into_parts();
        let who = self.who(&metadata).map_err(status::told)?;
        let answer = self.put(who, data).await.map_err(status::told)?;
        Ok(Response::new(Box::pin(futures::stream::iter([Ok(answer)]))))
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        self.action(request).await.map_err(status::told)
    }

    async fn list_actions(&self, request: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        self.who(request.metadata())?;
        let known = actions::KNOWN
            .iter()
            .map(|(name, about)| Ok(ActionType { r#type: (*name).to_owned(), description: (*about).to_owned() }));
        Ok(Response::new(Box::pin(futures::stream::iter(known))))
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(Status::unimplemented("Flight SQL has no use for DoExchange"))
    }
}

impl Flight {
    async fn info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        let (metadata, _, descriptor) = request.into_parts();
        let who = self.who(&metadata)?;
        let command = command(&descriptor.cmd)?;
        let (schema, ticket, count) = match command {
            Command::CommandStatementQuery(query) => self.statement(who, query).await?,
            Command::CommandPreparedStatementQuery(query) => self.prepared(who, &query).await?,
            // What asks for metadata is its own ticket: it is answered when it is fetched, and not for others.
            command => (metadata::schema_of(&command)?, command.into_any(), -1),
        };
        let ticket = Ticket::new(ticket.encode_to_vec());
        let info = FlightInfo::new()
            .try_with_schema(&schema)
            .map_err(|error| Status::internal(error.to_string()))?
            .with_descriptor(descriptor)
            .with_endpoint(FlightEndpoint::new().with_ticket(ticket))
            .with_total_records(count)
            .with_ordered(true);
        Ok(Response::new(info))
    }

    async fn schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let (metadata, _, descriptor) = request.into_parts();
        let who = self.who(&metadata)?;
        let schema = match command(&descriptor.cmd)? {
            Command::CommandStatementQuery(query) => {
                let transaction = query.transaction_id.as_deref().map(text_of).transpose()?;
                let described = self.place(who, transaction).await?.describe(query.query).await?;
                schema_of(described.columns.as_deref().unwrap_or_default())
            }
            Command::CommandPreparedStatementQuery(query) => {
                let statement = self.keeper.statement(&who.owner, &query.prepared_statement_handle)?;
                schema_of(statement.columns.as_deref().unwrap_or_default())
            }
            command => metadata::schema_of(&command)?,
        };
        Ok(Response::new(SchemaResult { schema: encode_schema(&schema)?.into() }))
    }

    async fn get(&self, request: Request<Ticket>) -> Result<Response<rows::Data>, Status> {
        let (metadata, _, ticket) = request.into_parts();
        let who = self.who(&metadata)?;
        let data = match command(&ticket.ticket)? {
            Command::TicketStatementQuery(ticket) => {
                rows::stream(self.keeper.fetch(&who.owner, &ticket.statement_handle)?)
            }
            Command::CommandPreparedStatementQuery(query) => {
                let owner = who.owner.clone();
                let (_, ticket, _) = self.prepared(who, &query).await?;
                let ticket = ticket.unpack::<TicketStatementQuery>().ok().flatten().unwrap_or_default();
                rows::stream(self.keeper.fetch(&owner, &ticket.statement_handle)?)
            }
            command => rows::of_batch(self.metadata(who, command).await?),
        };
        Ok(Response::new(data))
    }

    async fn action(&self, request: Request<Action>) -> Result<Response<Answers<arrow_flight::Result>>, Status> {
        let (metadata, _, action) = request.into_parts();
        let acted = self.act(&metadata, action).await?;
        let body = acted.body.map(|body| Ok(arrow_flight::Result::new(body)));
        let mut response: Response<Answers<arrow_flight::Result>> =
            Response::new(Box::pin(futures::stream::iter(body)));
        if let Some(cookie) = acted.cookie {
            let cookie = cookie.parse().map_err(|_| Status::internal("a cookie is not text"))?;
            response.metadata_mut().insert("set-cookie", cookie);
        }
        Ok(response)
    }

    /// Opens a session for who asks, and gives its token.
    pub async fn sign_in(&self, metadata: &MetadataMap) -> Result<String, Status> {
        let mut who = self.who(metadata)?;
        who.session = None;
        // The JDBC driver closes a connection without its session.
        self.keeper.sessions.make_room(self.options.limits.session_idle / 60);
        self.keeper.sessions.check_room()?;
        let session = self.open(&who, who.ledger_or_main(), Cancel::default()).await?;
        Ok(self.keeper.sessions.add(who.signed, session)?.to_string())
    }

    /// Runs a statement; its schema, the ticket of its rows, and how many rows it changed.
    async fn statement(&self, who: Who, query: CommandStatementQuery) -> Result<(SchemaRef, Any, i64), Status> {
        let transaction = query.transaction_id.as_deref().map(text_of).transpose()?;
        let owner = who.owner.clone();
        let answer = self.place(who, transaction).await?.run(Text::new(query.query), Vec::new()).await?;
        self.keep(owner, answer)
    }

    async fn prepared(&self, who: Who, query: &CommandPreparedStatementQuery) -> Result<(SchemaRef, Any, i64), Status> {
        let statement = self.keeper.statement(&who.owner, &query.prepared_statement_handle)?;
        let owner = who.owner.clone();
        let parameters = statement.bound()?;
        let place = self.place_of(who, &statement).await?;
        let answer = place.run(statement.text.clone(), parameters).await?;
        self.keep(owner, answer)
    }

    fn keep(&self, owner: super::keeper::Owner, answer: Answer) -> Result<(SchemaRef, Any, i64), Status> {
        let (result, count) = answer.into_result();
        let schema = Arc::clone(&result.schema);
        let handle = self.keeper.add_result(owner, result)?;
        Ok((schema, TicketStatementQuery { statement_handle: handle.into() }.as_any(), count))
    }
}

/// The command in a descriptor or a ticket.
pub fn command(bytes: &[u8]) -> Result<Command, Status> {
    let unread = |error: String| Status::invalid_argument(format!("this is no command of Flight SQL: {error}"));
    let any = Any::decode(bytes).map_err(|error| unread(error.to_string()))?;
    Command::try_from(any).map_err(|error| unread(error.to_string()))
}

/// A handle of this server's, which is text.
pub fn text_of(handle: &[u8]) -> Result<&str, Status> {
    std::str::from_utf8(handle).map_err(|_| Status::invalid_argument("this is no handle of this server"))
}

/// A schema as a message of its own.
pub fn encode_schema(schema: &Schema) -> Result<Vec<u8>, Status> {
    let options = arrow::ipc::writer::IpcWriteOptions::default();
    let message: Result<IpcMessage, _> = SchemaAsIpc::new(schema, &options).try_into();
    message.map(|IpcMessage(bytes)| bytes.to_vec()).map_err(|error| Status::internal(error.to_string()))
}

/// A command that this server does not know.
pub fn unknown(command: &Command) -> Status {
    status::of_error(ledgerstone_query::error::QueryError::unsupported(format!("the command {}", command.type_url())))
}
