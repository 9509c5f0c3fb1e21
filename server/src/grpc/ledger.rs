//! The ledger service: sessions, transactions, statements and administration.

use std::sync::Arc;

use ledgerstone_digest::Hash;
use ledgerstone_protocol::v1;
use ledgerstone_protocol::v1::ledger_service_server::LedgerService;
use ledgerstone_query::database::Database;
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::instance::{Instance, MAIN};
use ledgerstone_query::permission::{Action, Resource};
use ledgerstone_query::session::{Dialect, Door, Session, SessionOptions};
use ledgerstone_query::transaction::body_digest;
use tonic::{Request, Response, Status};

use super::caller::Caller;
use super::execute::{Answer, commit_address};
use super::sessions::Registry;
use super::{Options, admin, backup, execute, status};

/// The longest list of statement digests in one request.
pub const DIGESTS_MAX: usize = 1_000_000;

/// The ledger service.
pub struct LedgerDoor {
    pub instance: Arc<Instance>,
    pub registry: Arc<Registry>,
    pub options: Options,
}

/// The ledger that an empty name means.
pub fn name_or_main(name: &str) -> &str {
    if name.is_empty() { MAIN } else { name }
}

/// Work that waits for the disk, on a thread for it.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(unfinished(error)),
    }
}

/// What became of work whose thread ended before it did.
pub fn unfinished(error: tokio::task::JoinError) -> Status {
    Status::internal(format!("the work was not finished: {error}"))
}

impl LedgerDoor {
    /// Refuses what a policy does not allow.
    fn permit(&self, caller: &Caller, ledger: &str, action: Action) -> Result<(), Status> {
        self.instance.check_operator(ledger, &caller.user("")?, action).map_err(status::of_error)
    }

    /// Runs administrative work with the instance.
    async fn administer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Instance) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, Status> {
        let instance = Arc::clone(&self.instance);
        blocking(move || work(&instance).map_err(status::of_error)).await
    }
}

#[tonic::async_trait]
impl LedgerService for LedgerDoor {
    async fn open_session(
        &self,
        request: Request<v1::OpenSessionRequest>,
    ) -> Result<Response<v1::OpenSessionResponse>, Status> {
        let caller = self.options.gate.admit(request.metadata())?;
        let request = request.into_inner();
        self.registry.check_room()?;
        let user = caller.user(&request.user)?;
        let dialect = match v1::Dialect::try_from(request.dialect) {
            Ok(v1::Dialect::Partiql) => Dialect::PartiQl,
            Ok(v1::Dialect::Sql | v1::Dialect::Unspecified) => Dialect::Sql,
            Err(_) => return Err(Status::invalid_argument("the dialect is unknown: SQL is 1, PartiQL is 2")),
        };
        let options = SessionOptions {
            statement_ms_max: self.options.limits.statement_ms,
            ..SessionOptions::new(Door::Grpc, user, dialect, Arc::clone(&self.options.runtime))
        };
        let instance = Arc::clone(&self.instance);
        let ledger = name_or_main(&request.ledger).to_owned();
        // Opening a ledger for the first time reads its journal.
        let session = blocking(move || Session::new(instance, &ledger, options).map_err(status::of_error)).await?;
        let ledger = session.info().ledger.to_string();
        let session = self.registry.add(caller, session)?.to_string();
        Ok(Response::new(v1::OpenSessionResponse { session, ledger }))
    }

    async fn close_session(
        &self,
        request: Request<v1::CloseSessionRequest>,
    ) -> Result<Response<v1::CloseSessionResponse>, Status> {
        let caller = self.options.gate.admit(request.metadata())?;
        self.registry.remove(&caller, &request.get_ref().session)?;
        Ok(Response::new(v1::CloseSessionResponse {}))
    }

    async fn begin(&self, request: Request<v1::BeginRequest>) -> Result<Response<v1::BeginResponse>, Status> {
        let caller = self.options.gate.admit(request.metadata())?;
        let request = request.into_inner();
        let in_use = self.registry.find(&caller, &request.session)?;
        let mut session = in_use.session().await?;
        session.begin_block(request.read_only, &request.client_token).map_err(status::of_error)?;
        Ok(Response::new(v1::BeginResponse {}))
    }

    async fn commit(&self, request: Request<v1::CommitRequest>) -> Result<Response<v1::CommitResponse>, Status> {
        let caller = self.options.gate.admit(request.metadata())?;
        let in_use = self.registry.find(&caller, &request.get_ref().session)?;
        // A task of its own: a client that goes away now must not leave the session between two states.
        let committing = tokio::spawn(async move {
            let mut session = in_use.session().await?;
            session.commit_block().await.map_err(status::of_error)
        });
        let commit = committing.await.map_err(|error| Status::internal(error.to_string()))??;
        Ok(Response::new(v1::CommitResponse { commit: commit.as_ref().map(commit_address) }))
    }

    async fn rollback(&self, request: Request<v1::RollbackRequest>) -> Result<Response<v1::RollbackResponse>, Status> {
        let caller = self.options.gate.admit(request.metadata())?;
        let in_use = self.registry.find(&caller, &request.get_ref().session)?;
        in_use.session().await?.roll_back_block().map_err(status::of_error)?;
        Ok(Response::new(v1::RollbackResponse {}))
    }

    async fn find_commit(
        &self,
        request: Request<v1::FindCommitRequest>,
    ) -> Result<Response<v1::FindCommitResponse>, Status> {
        let caller = self.options.gate.admit(request.metadata())?;
        let request = request.into_inner();
        // Whoever may open a session, as the one was that has committed.
        self.permit(&caller, name_or_main(&request.ledger), Action::SendCommand)?;
        if request.client_token.is_empty() || request.statement_digests.len() > DIGESTS_MAX {
            return Err(Status::invalid_argument("give a client token and at most a million digests"));
        }
        let digests: Option<Vec<Hash>> =
            request.statement_digests.iter().map(|bytes| Hash::from_slice(bytes)).collect();
        let digests = digests.ok_or_else(|| Status::invalid_argument("a statement digest has 32 bytes"))?;
        let found = self
            .administer(move |instance| {
                let database = instance.ledger(name_or_main(&request.ledger))?;
                let Some(first) = database.client_token(&request.client_token)? else { return Ok(None) };
                if !digests.is_empty() && body_digest(&digests) != first.body {
                    return Err(QueryError::new(
                        SqlState::INVALID_PARAMETER_VALUE,
                        "this client token has committed a different transaction before",
                    )
                    .hint("Use a fresh token for each transaction; the same one only to repeat it."));
                }
                Ok(Some(first.committed))
            })
            .await?;
        Ok(Response::new(v1::FindCommitResponse { commit: found.as_ref().map(commit_address) }))
    }

    type ExecuteStream = Answer;

    async fn execute(&self, request: Request<v1::ExecuteRequest>) -> Result<Response<Answer>, Status> {
        let caller = self.options.gate.admit(request.metadata())?;
        let request = request.into_inner();
        let in_use = self.registry.find(&caller, &request.session)?;
        execute::start(in_use, request, self.options.limits).map(Response::new)
    }

    async fn list_ledgers(
        &self,
        request: Request<v1::ListLedgersRequest>,
    ) -> Result<Response<v1::ListLedgersResponse>, Status> {
        let caller = self.options.gate.admit(request.metadata())?;
        self.permit(&caller, "*", Action::ListLedgers)?;
        let ledgers = self.administer(admin::ledgers).await?;
        Ok(Response::new(v1::ListLedgersResponse { ledgers }))
    }

    async fn create_ledger(
        &self,
        request: Request<v1::CreateLedgerRequest>,
    ) -> Result<Response<v1::CreateLedgerResponse>, Status> {
        let caller = self.options.gate.admit(request.metadata())?;
        let v1::CreateLedgerRequest { name, deletion_protection } = request.into_inner();
        self.permit(&caller, &name, Action::CreateLedger)?;
        let ledger = self
            .administer(move |instance| {
                instance.create_ledger(&name, deletion_protection)?;
                admin::ledger(instance, &name)
            })
            .await?;
        Ok(Response::new(v1::CreateLedgerResponse { ledger: Some(ledger) }))
    }

    async fn describe_ledger(
        &self,
        request: Request<v1::DescribeLedgerRequest>,
    ) -> Result<Response<v1::DescribeLedgerResponse>, Status> {
        let caller = self.options.gate.admit(request.metadata())?;
        let name = request.into_inner().name;
        self.permit(&caller, name_or_main(&name), Action::DescribeLedger)?;
        let ledger = self.administer(move |instance| admin::ledger(instance, name_or_main(&name))).await?;
        Ok(Response::new(v1::DescribeLedgerResponse { ledger: Some(ledger) }))
    }

    async fn update_ledger(
        &self,
        request: Request<v1::UpdateLedgerRequest>,
    ) -> Result<Response<v1::UpdateLedgerResponse>, Status> {
        let caller = self.options.gate.admit(request.metadata())?;
        let v1::UpdateLedgerRequest { name, deletion_protection } = request.into_inner();
        self.permit(&caller, &name, Action::UpdateLedger)?;
        let ledger = self
            .administer(move |instance| {
                instance.set_deletion_protection(&name, deletion_protection)?;
                admin::ledger(instance, &name)
            })
            .await?;
        Ok(Response::new(v1::UpdateLedgerResponse { ledger: Some(ledger) }))
    }

    async fn drop_ledger(
        &self,
        request: Request<v1::DropLedgerRequest>,
    ) -> Result<Response<v1::DropLedgerResponse>, Status> {
        let caller = self.options.gate.admit(request.metadata())?;
        let name = request.into_inner().name;
        self.permit(&caller, &name, Action::DeleteLedger)?;
        self.administer(move |instance| instance.drop_ledger(&name)).await?;
        Ok(Response::new(v1::DropLedgerResponse {}))
    }

    async fn list_tables(
        &self,
        request: Request<v1::ListTablesRequest>,
    ) -> Result<Response<v1::ListTablesResponse>, Status> {
        let user = self.options.gate.admit(request.metadata())?.user("")?;
        let ledger = request.into_inner().ledger;
        let tables = self
            .administer(move |instance| {
                // As a query of the catalogue.
                if let Some(permit) = instance.permit(name_or_main(&ledger), &user)? {
                    permit.check(Action::Select, Resource::Catalogue)?;
                }
                let database: Arc<Database> = instance.ledger(name_or_main(&ledger))?;
                Ok(admin::tables(&database))
            })
            .await?;
        Ok(Response::new(v1::ListTablesResponse { tables }))
    }

    async fn rotate_key(
        &self,
        request: Request<v1::RotateKeyRequest>,
    ) -> Result<Response<v1::RotateKeyResponse>, Status> {
        let caller = self.options.gate.admit(request.metadata())?;
        let v1::RotateKeyRequest { ledger, user } = request.into_inner();
        let user = caller.user(&user)?;
        self.permit(&caller, name_or_main(&ledger), Action::RotateKey)?;
        let answer = self.administer(move |instance| admin::rotate_key(instance, name_or_main(&ledger), &user));
        Ok(Response::new(answer.await?))
    }

    type BackupStream = backup::Parts;

    async fn backup(&self, request: Request<v1::BackupRequest>) -> Result<Response<backup::Parts>, Status> {
        let caller = self.options.gate.admit(request.metadata())?;
        let v1::BackupRequest { ledger, held } = request.into_inner();
        self.permit(&caller, name_or_main(&ledger), Action::Backup)?;
        let ledger =
            self.administer(move |instance| Ok(Arc::clone(instance.ledger(name_or_main(&ledger))?.ledger()))).await?;
        backup::start(ledger, &held).map(Response::new)
    }
}
