//! DoAction: prepared statements, transactions and savepoints of Flight SQL; sessions and cancellation of Flight.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionBeginSavepointResult, ActionBeginTransactionRequest,
    ActionBeginTransactionResult, ActionCancelQueryRequest, ActionCancelQueryResult,
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    ActionEndSavepointRequest, ActionEndTransactionRequest, Any, Command, EndTransaction, ProstMessageExt,
};
use arrow_flight::{Action, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo};
use bytes::Bytes;
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::session::{Cancel, Dialect, Session, TransactionStatus};
use prost::Message;
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::keeper::{Cancelled, Keeper, Owner, Statement};
use super::messages::{
    CloseSessionResult, CloseSessionStatus, GetSessionOptionsResult, OptionError, OptionErrorValue, OptionValue,
    SessionOptionValue, SetSessionOptionsRequest, SetSessionOptionsResult,
};
use super::run::{AsyncWork, Scope};
use super::service::{Flight, command, encode_schema, text_of};
use super::status;
use super::types::{schema_of, schema_of_parameters};
use super::who::{SESSION_COOKIE, Who, dialect};

/// What ListActions says.
pub const KNOWN: &[(&str, &str)] = &[
    ("CreatePreparedStatement", "Prepares a statement: ActionCreatePreparedStatementRequest, …Result"),
    ("ClosePreparedStatement", "Closes a prepared statement: ActionClosePreparedStatementRequest"),
    ("BeginTransaction", "Begins a transaction: ActionBeginTransactionRequest, …Result"),
    ("EndTransaction", "Commits or rolls back a transaction: ActionEndTransactionRequest"),
    ("BeginSavepoint", "Sets a savepoint in a transaction: ActionBeginSavepointRequest, …Result"),
    ("EndSavepoint", "Releases a savepoint or rolls back to it: ActionEndSavepointRequest"),
    ("CancelFlightInfo", "Cancels a result: CancelFlightInfoRequest, CancelFlightInfoResult"),
    ("CancelQuery", "The older form of CancelFlightInfo: ActionCancelQueryRequest, …Result"),
    ("SetSessionOptions", "Sets catalog, schema or dialect: SetSessionOptionsRequest, …Result"),
    ("GetSessionOptions", "GetSessionOptionsRequest, GetSessionOptionsResult"),
    ("CloseSession", "Ends the session and all that belongs to it: CloseSessionRequest, CloseSessionResult"),
];

/// The body of an action without a statement. What is in one may take fifty times as much decoded.
const BODY_BYTES_MAX: usize = 1 << 20;

/// What an action answers.
#[derive(Default)]
pub struct Acted {
    pub body: Option<Bytes>,
    /// For a session that has just been opened.
    pub cookie: Option<String>,
}

impl Flight {
    /// Does what an action asks for.
    pub async fn act(&self, metadata: &MetadataMap, action: Action) -> Result<Acted, Status> {
        let who = self.who(metadata)?;
        let body = action.body;
        if body.len() > BODY_BYTES_MAX && action.r#type != "CreatePreparedStatement" {
            return Err(Status::resource_exhausted(format!(
                "the body of this action has at most {BODY_BYTES_MAX} bytes"
            )));
        }
        let answer = match action.r#type.as_str() {
            "CreatePreparedStatement" => packed(&self.create_statement(who, unpack(&body)?).await?),
            "ClosePreparedStatement" => {
                let request: ActionClosePreparedStatementRequest = unpack(&body)?;
                self.keeper.close_statement(&who.owner, &request.prepared_statement_handle);
                return Ok(Acted::default());
            }
            "BeginTransaction" => {
                let _: ActionBeginTransactionRequest = unpack(&body)?;
                packed(&ActionBeginTransactionResult { transaction_id: self.begin(who).await?.into() })
            }
            "EndTransaction" => {
                self.end(who, unpack(&body)?).await?;
                return Ok(Acted::default());
            }
            "BeginSavepoint" => {
                let savepoint_id = self.begin_savepoint(who, unpack(&body)?).await?.into();
                packed(&ActionBeginSavepointResult { savepoint_id })
            }
            "EndSavepoint" => {
                self.end_savepoint(who, unpack(&body)?).await?;
                return Ok(Acted::default());
            }
            "CancelFlightInfo" => {
                let request = CancelFlightInfoRequest::decode(body).map_err(unread)?;
                let cancelled = self.cancel(&who, &request.info.unwrap_or_default());
                let status = match cancelled {
                    Cancelled::Yes => CancelStatus::Cancelled,
                    Cancelled::Gone => CancelStatus::NotCancellable,
                };
                CancelFlightInfoResult::new(status).encode_to_vec().into()
            }
            "CancelQuery" => {
                let request: ActionCancelQueryRequest = unpack(&body)?;
                let info = FlightInfo::decode(request.info).map_err(unread)?;
                // Of CancelResult in FlightSql.proto: cancelled, or not cancellable.
                let result = if self.cancel(&who, &info) == Cancelled::Yes { 1 } else { 3 };
                packed(&ActionCancelQueryResult { result })
            }
            "SetSessionOptions" => {
                return self.set_options(who, SetSessionOptionsRequest::decode(body).map_err(unread)?).await;
            }
            "GetSessionOptions" => self.options_of(who).await?.encode_to_vec().into(),
            "CloseSession" => {
                if let Some(id) = who.owner.session {
                    drop(who.session);
                    self.keeper.close_session(&who.signed, id)?;
                }
                CloseSessionResult { status: CloseSessionStatus::Closed.into() }.encode_to_vec().into()
            }
            other => {
                return Err(status::of_error(
                    QueryError::unsupported(format!("the action \"{other}\"")).hint("ListActions says what there is."),
                ));
            }
        };
        Ok(Acted { body: Some(answer), cookie: None })
    }

    async fn create_statement(
        &self,
        who: Who,
        request: ActionCreatePreparedStatementRequest,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let transaction = request.transaction_id.as_deref().map(text_of).transpose()?.map(str::to_owned);
        let (owner, ledger) = (who.owner.clone(), who.ledger.clone());
        let place = self.place(who, transaction.as_deref()).await?;
        let described = place.describe(request.query).await?;
        let dataset_schema = match &described.columns {
            Some(columns) => encode_schema(&schema_of(columns))?,
            None => Vec::new(),
        };
        let parameter_schema = encode_schema(&schema_of_parameters(&described.types))?;
        let statement = Statement::new(owner, transaction, ledger, described);
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: self.keeper.add_statement(statement)?.into(),
            dataset_schema: dataset_schema.into(),
            parameter_schema: parameter_schema.into(),
        })
    }

    async fn begin(&self, mut who: Who) -> Result<String, Status> {
        self.keeper.transactions.check_room()?;
        // Where the caller's statements would run without it.
        if let Some(in_use) = &who.session {
            let session = in_use.session().await?;
            who.ledger.get_or_insert_with(|| session.info().ledger.to_string());
            who.dialect.get_or_insert(session.info().dialect);
        }
        let mut session = self.open(&who, who.ledger_or_main(), Cancel::default()).await?;
        session.begin_block(false, "").map_err(status::of_error)?;
        Ok(self.keeper.transactions.add(who.owner.clone(), session)?.to_string())
    }

    async fn end(&self, who: Who, request: ActionEndTransactionRequest) -> Result<(), Status> {
        let id = text_of(&request.transaction_id)?;
        let commit = match EndTransaction::try_from(request.action) {
            Ok(EndTransaction::Commit) => true,
            Ok(EndTransaction::Rollback) => false,
            _ => return Err(Status::invalid_argument("say whether to commit or to roll back")),
        };
        let end = End { commit, keeper: Arc::clone(&self.keeper), owner: who.owner.clone(), id: id.to_owned() };
        self.transaction(&who.owner, id)?.with(end).await
    }

    async fn begin_savepoint(&self, who: Who, request: ActionBeginSavepointRequest) -> Result<String, Status> {
        let transaction = text_of(&request.transaction_id)?;
        let text = format!("SAVEPOINT {}", quoted(&request.name));
        self.transaction(&who.owner, transaction)?.with(Execute(text)).await?;
        Ok(format!("{transaction}/{}", request.name))
    }

    async fn end_savepoint(&self, who: Who, request: ActionEndSavepointRequest) -> Result<(), Status> {
        let (transaction, name) = text_of(&request.savepoint_id)?
            .split_once('/')
            .ok_or_else(|| Status::invalid_argument("this is no savepoint of this server"))?;
        let name = quoted(name);
        // Of EndSavepoint in FlightSql.proto.
        let text = match request.action {
            1 => format!("RELEASE SAVEPOINT {name}"),
            2 => format!("ROLLBACK TO SAVEPOINT {name}"),
            _ => return Err(Status::invalid_argument("say whether to release the savepoint or to roll back to it")),
        };
        self.transaction(&who.owner, transaction)?.with(Execute(text)).await
    }

    fn cancel(&self, who: &Who, info: &FlightInfo) -> Cancelled {
        let tickets = info.endpoint.iter().filter_map(|endpoint| endpoint.ticket.as_ref());
        let handles = tickets.filter_map(|ticket| match command(&ticket.ticket) {
            Ok(Command::TicketStatementQuery(ticket)) => Some(ticket.statement_handle),
            _ => None,
        });
        let all: Vec<Cancelled> = handles.map(|handle| self.keeper.cancel(&who.owner, &handle)).collect();
        if all.contains(&Cancelled::Yes) { Cancelled::Yes } else { Cancelled::Gone }
    }

    /// A caller without a session gets one, and a cookie that says which.
    async fn set_options(&self, mut who: Who, request: SetSessionOptionsRequest) -> Result<Acted, Status> {
        let mut errors = HashMap::new();
        for (name, value) in request.session_options {
            let value = match value.option_value {
                Some(OptionValue::String(text)) => Some(text),
                None => Some(String::new()),
                _ => None,
            };
            let problem = match (name.as_str(), value) {
                ("catalog" | "database", Some(ledger)) => {
                    who.ledger = Some(ledger);
                    None
                }
                ("schema", Some(schema)) if schema.is_empty() || schema == "public" => None,
                ("dialect", Some(name)) => match dialect(&name) {
                    Ok(dialect) => {
                        who.dialect = Some(dialect);
                        None
                    }
                    Err(_) => Some(OptionErrorValue::InvalidValue),
                },
                ("catalog" | "database" | "schema" | "dialect", _) => Some(OptionErrorValue::InvalidValue),
                _ => Some(OptionErrorValue::InvalidName),
            };
            if let Some(problem) = problem {
                errors.insert(name, OptionError { value: problem.into() });
            }
        }
        let mut cookie = None;
        if errors.is_empty() {
            match who.session.take() {
                Some(in_use) => self.replace_session(&mut who, in_use).await?,
                None => {
                    self.keeper.sessions.check_room()?;
                    let session = self.open(&who, who.ledger_or_main(), Cancel::default()).await?;
                    let id = self.keeper.sessions.add(who.signed.clone(), session)?;
                    cookie = Some(format!("{SESSION_COOKIE}={id}"));
                }
            }
        }
        Ok(Acted { body: Some(SetSessionOptionsResult { errors }.encode_to_vec().into()), cookie })
    }

    async fn replace_session(&self, who: &mut Who, in_use: crate::grpc::InUse) -> Result<(), Status> {
        let mut session = in_use.session().await?;
        if session.transaction_status() != TransactionStatus::Idle {
            return Err(status::of_error(
                QueryError::new(SqlState::ACTIVE_SQL_TRANSACTION, "a transaction is open in this session")
                    .hint("Commit it or roll it back before you go to another ledger."),
            ));
        }
        who.ledger.get_or_insert_with(|| session.info().ledger.to_string());
        who.dialect.get_or_insert(session.info().dialect);
        *session = self.open(who, who.ledger_or_main(), session.cancel_handle()).await?;
        Ok(())
    }

    async fn options_of(&self, who: Who) -> Result<GetSessionOptionsResult, Status> {
        let (ledger, dialect) = match &who.session {
            Some(in_use) => {
                let session = in_use.session().await?;
                (session.info().ledger.to_string(), session.info().dialect)
            }
            None => (who.ledger_or_main().to_owned(), who.dialect.unwrap_or(Dialect::Sql)),
        };
        let options = [("catalog", ledger.as_str()), ("schema", "public"), ("dialect", dialect.name())];
        let session_options =
            options.into_iter().map(|(name, value)| (name.to_owned(), SessionOptionValue::text(value))).collect();
        Ok(GetSessionOptionsResult { session_options })
    }
}

/// The end of a transaction that a call has begun. Well or not, it has ended then, also for a client that does not wait.
struct End {
    commit: bool,
    keeper: Arc<Keeper>,
    owner: Owner,
    id: String,
}

impl AsyncWork<()> for End {
    async fn run(self, session: &mut Session, _: Scope) -> Result<(), Status> {
        let ended = if self.commit { session.commit_block().await.map(drop) } else { session.roll_back_block() };
        self.keeper.end_transaction(&self.owner, &self.id);
        self.keeper.transactions.remove(&self.owner, &self.id)?;
        ended.map_err(status::of_error)
    }
}

struct Execute(String);

impl AsyncWork<()> for Execute {
    async fn run(self, session: &mut Session, _: Scope) -> Result<(), Status> {
        session.execute(&self.0).await.map(drop).map_err(|error| status::of_query(&error, &self.0))
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn unpack<M: ProstMessageExt>(body: &Bytes) -> Result<M, Status> {
    let any = Any::decode(&**body).map_err(unread)?;
    let message = any.unpack().map_err(|error| Status::invalid_argument(error.to_string()))?;
    message.ok_or_else(|| Status::invalid_argument(format!("the action has no body of type {}", M::type_url())))
}

fn packed(message: &impl ProstMessageExt) -> Bytes {
    message.as_any().encode_to_vec().into()
}

fn unread(error: prost::DecodeError) -> Status {
    Status::invalid_argument(format!("the action's body cannot be read: {error}"))
}
