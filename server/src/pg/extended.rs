//! The extended protocol: prepared statements, portals, and what happens between two Syncs.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Instant;

use ledgerstone_digest::ion::Value;
use ledgerstone_query::bind::plan::ResultColumn;
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::exec::Row;
use ledgerstone_query::session::{Prepared, Response, RowStream, Session, Settings, TransactionStatus};
use ledgerstone_query::types::SqlType;

use super::connection::{Connection, Ended};
use super::frame::{self, Bind};
use super::message::Outbound;
use super::rows::{self, Formats};
use super::{encode, types};

/// The portals of one connection; its statements are the session's.
#[derive(Default)]
pub struct Extended {
    /// The unnamed one, which nearly every client uses alone.
    unnamed: Option<Portal>,
    portals: HashMap<String, Portal>,
    /// After an error: everything up to Sync is ignored.
    pub skipping: bool,
    /// The settings the client was last told of.
    reported: Settings,
}

/// A statement with its parameters.
struct Portal {
    prepared: Arc<Prepared>,
    parameters: Vec<Option<Value>>,
    /// What the parameters had in their message.
    parameter_bytes: u64,
    formats: Formats,
    state: PortalState,
}

enum PortalState {
    Fresh,
    /// Rows are left.
    Open {
        columns: Arc<[ResultColumn]>,
        rows: RowStream,
        ahead: std::vec::IntoIter<Row>,
    },
    /// All rows are out; the tag is repeated.
    Done(String),
    /// The same for rows: a tag that counts none.
    DoneRows(&'static str),
}

impl Extended {
    /// A simple query replaces the unnamed portal.
    pub fn forget_unnamed(&mut self) {
        self.unnamed = None;
    }

    fn portal(&self, name: &str) -> Option<&Portal> {
        if name.is_empty() { self.unnamed.as_ref() } else { self.portals.get(name) }
    }

    fn take_portal(&mut self, name: &str) -> Option<Portal> {
        if name.is_empty() { self.unnamed.take() } else { self.portals.remove(name) }
    }

    fn put_back(&mut self, name: &str, portal: Portal) {
        if name.is_empty() {
            self.unnamed = Some(portal);
        } else {
            self.portals.insert(name.to_owned(), portal);
        }
    }

    /// Portals end with their transaction.
    fn forget_portals(&mut self) {
        self.unnamed = None;
        if !self.portals.is_empty() {
            self.portals.clear();
        }
    }

    /// Tells the client of parameters that have changed since it was last told.
    pub fn report_settings(&mut self, session: &Session, out: &mut Outbound) {
        let settings = session.settings();
        if *settings == self.reported {
            return;
        }
        for ((name, value), (_, before)) in settings.reported().zip(self.reported.reported()) {
            if value != before {
                out.parameter_status(name, value);
            }
        }
        self.reported = settings.clone();
    }
}

impl Connection<'_> {
    pub(super) fn parse(&mut self, name: String, text: String, oids: &[u32]) {
        if let Err(error) = self.try_parse(name, &text, oids) {
            self.fail_extended(&error, &text);
        } else {
            self.wire.out.empty(b'1');
        }
    }

    fn try_parse(&mut self, name: String, text: &str, oids: &[u32]) -> Result<(), QueryError> {
        if !name.is_empty() {
            self.session.check_prepared_name(&name)?;
            let most = self.server.config.limits.prepared_statements;
            if self.session.prepared_count() as u64 >= most {
                return Err(QueryError::new(
                    SqlState::PROGRAM_LIMIT_EXCEEDED,
                    format!("a connection may have {most} prepared statements"),
                )
                .hint("DEALLOCATE some, or raise --limit prepared_statements."));
            }
        }
        let types: Vec<Option<SqlType>> = oids
            .iter()
            .map(|oid| {
                types::from_oid(*oid)
                    .map_err(|oid| QueryError::unsupported(format!("a parameter of the type with OID {oid}")))
            })
            .collect::<Result<_, _>>()?;
        let prepared = self.session.prepare(text, &types)?;
        self.session.keep_prepared(&name, prepared)
    }

    pub(super) fn bind(&mut self, bind: Bind) {
        match self.try_bind(bind) {
            Ok(()) => self.wire.out.empty(b'2'),
            Err(error) => self.fail_extended(&error, ""),
        }
    }

    fn try_bind(&mut self, bind: Bind) -> Result<(), QueryError> {
        let prepared = self.statement(&bind.statement)?;
        let expected = prepared.parameter_types.len();
        if bind.parameter_places.len() != expected {
            return Err(protocol(format!(
                "bind message supplies {} parameters, but prepared statement \"{}\" requires {expected}",
                bind.parameter_places.len(),
                bind.statement
            )));
        }
        let formats = Formats::read(&bind.parameter_formats)
            .filter(|formats| formats.fits(expected))
            .ok_or_else(|| protocol("the parameter formats do not fit the parameters"))?;
        let columns = prepared.columns.as_ref().map_or(0, |columns| columns.len());
        let results = Formats::read(&bind.result_formats)
            .filter(|formats| columns == 0 || formats.fits(columns))
            .ok_or_else(|| protocol("the result formats do not fit the columns"))?;
        let now_micros = self.session.info().transaction_time_ms.saturating_mul(1_000);
        let mut parameters = Vec::with_capacity(expected);
        let parameter_bytes = bind.parameters().map(|bytes| bytes.map_or(0, <[u8]>::len) as u64).sum();
        for (at, (bytes, ty)) in bind.parameters().zip(&prepared.parameter_types).enumerate() {
            let value = bytes.map(|bytes| parameter(bytes, ty, formats.is_binary(at), now_micros));
            parameters.push(value.transpose().map_err(|error| in_parameter(error, at))?);
        }
        let most = self.server.config.limits.portals;
        let portal = Portal { prepared, parameters, parameter_bytes, formats: results, state: PortalState::Fresh };
        if bind.portal.is_empty() {
            self.extended.unnamed = Some(portal);
            return Ok(());
        }
        let count = (self.extended.portals.len() + usize::from(self.extended.unnamed.is_some())) as u64;
        let open_bytes: u64 = self.extended.portals.values().map(|portal| portal.parameter_bytes).sum();
        let bytes_most = self.server.config.limits.parameters_bytes;
        match self.extended.portals.entry(bind.portal) {
            Entry::Occupied(entry) => {
                return Err(QueryError::new(SqlState("42P03"), format!("cursor \"{}\" already exists", entry.key())));
            }
            Entry::Vacant(_) if count >= most => {
                return Err(QueryError::new(
                    SqlState::PROGRAM_LIMIT_EXCEEDED,
                    format!("a connection may have {most} open portals"),
                ));
            }
            Entry::Vacant(_) if open_bytes.saturating_add(parameter_bytes) > bytes_most => {
                return Err(QueryError::new(
                    SqlState::PROGRAM_LIMIT_EXCEEDED,
                    format!("the parameters of a connection's open portals may have {bytes_most} bytes together"),
                )
                .hint("Close some, or raise --limit parameters_bytes."));
            }
            Entry::Vacant(entry) => {
                entry.insert(portal);
            }
        }
        Ok(())
    }

    pub(super) fn describe(&mut self, portal: bool, name: &str) {
        let outcome = if portal { self.describe_portal(name) } else { self.describe_statement(name) };
        if let Err(error) = outcome {
            self.fail_extended(&error, "");
        }
    }

    fn describe_statement(&mut self, name: &str) -> Result<(), QueryError> {
        let prepared = self.statement(name)?;
        let oids: Vec<u32> = prepared.parameter_types.iter().map(types::oid).collect();
        self.wire.out.parameter_description(&oids);
        match &prepared.columns {
            Some(columns) => rows::describe(&mut self.wire.out, columns, &Formats::AllText),
            None => self.wire.out.empty(b'n'),
        }
        Ok(())
    }

    fn describe_portal(&mut self, name: &str) -> Result<(), QueryError> {
        let Some(portal) = self.extended.portal(name) else {
            // A cursor that SQL has declared is a portal too.
            let columns = self.session.cursor_columns(name).ok_or_else(|| no_portal(name))?;
            rows::describe(&mut self.wire.out, &columns, &Formats::AllText);
            return Ok(());
        };
        match &portal.prepared.columns {
            Some(columns) => rows::describe(&mut self.wire.out, columns, &portal.formats),
            None => self.wire.out.empty(b'n'),
        }
        Ok(())
    }

    pub(super) async fn execute(&mut self, name: &str, max_rows: u32) -> Result<(), Ended> {
        let Some(mut portal) = self.extended.take_portal(name) else {
            self.fail_extended(&no_portal(name), "");
            return Ok(());
        };
        let text = portal.prepared.text().clone();
        let outcome = self.execute_portal(&mut portal, max_rows).await?;
        self.notices();
        match outcome {
            Ok(()) => {
                self.extended.put_back(name, portal);
                self.reports();
            }
            Err(error) => {
                self.session.fail();
                self.fail_extended(&error, &text);
            }
        }
        Ok(())
    }

    async fn execute_portal(&mut self, portal: &mut Portal, max_rows: u32) -> Result<Result<(), QueryError>, Ended> {
        if matches!(portal.state, PortalState::Fresh) {
            // A Sync right behind means that nothing else belongs to this transaction, so it can be run again.
            let alone = frame::sync_is_next(&self.wire.inbound);
            let started = Instant::now();
            let answer = self.session.run(&portal.prepared, &portal.parameters, alone).await;
            self.observe(started, answer.as_ref().err());
            match answer {
                Ok(Response::Rows { columns, rows }) => {
                    portal.state = PortalState::Open { columns, rows, ahead: Vec::new().into_iter() };
                }
                Ok(Response::Done { tag }) => {
                    self.wire.out.command_complete(&tag);
                    portal.state = PortalState::Done(tag);
                    return Ok(Ok(()));
                }
                Ok(Response::Empty) => {
                    self.wire.out.empty(b'I');
                    return Ok(Ok(()));
                }
                Ok(Response::CopyIn(copy)) => {
                    self.start_copy(*copy, portal.prepared.text().clone());
                    portal.state = PortalState::Done(String::new());
                    return Ok(Ok(()));
                }
                Ok(Response::CopyOut(copy)) => {
                    portal.state = PortalState::Done(String::new());
                    return self.copy_out(copy).await;
                }
                Err(error) => return Ok(Err(error)),
            }
        }
        self.send_rows(portal, max_rows).await
    }

    async fn send_rows(&mut self, portal: &mut Portal, max_rows: u32) -> Result<Result<(), QueryError>, Ended> {
        let (columns, rows, ahead) = match &mut portal.state {
            PortalState::Open { columns, rows, ahead } => (columns, rows, ahead),
            PortalState::Done(tag) => {
                self.wire.out.command_complete(tag);
                return Ok(Ok(()));
            }
            PortalState::DoneRows(command) => {
                self.wire.out.rows_complete(command, 0);
                return Ok(Ok(()));
            }
            PortalState::Fresh => return Ok(Err(QueryError::internal("a portal was not started"))),
        };
        let mut sent = 0_u64;
        while let Some(found) = rows.next_found() {
            if let Err(error) = rows::write_found(&mut self.wire.out, &found, columns, &portal.formats) {
                return Ok(Err(error));
            }
            sent += 1;
            if sent == u64::from(max_rows) {
                self.wire.out.empty(b's');
                return Ok(Ok(()));
            }
            self.wire.relieve().await?;
        }
        loop {
            for row in ahead.by_ref() {
                if let Err(error) = rows::write(&mut self.wire.out, &row, columns, &portal.formats) {
                    return Ok(Err(error));
                }
                sent += 1;
                if sent == u64::from(max_rows) {
                    self.wire.out.empty(b's');
                    return Ok(Ok(()));
                }
                self.wire.relieve().await?;
            }
            match rows.next_chunk() {
                Ok(Some(chunk)) => *ahead = chunk.into_iter(),
                Ok(None) => break,
                Err(error) => return Ok(Err(error)),
            }
        }
        let command = rows.command();
        self.wire.out.rows_complete(command, sent);
        portal.state = PortalState::DoneRows(command);
        Ok(Ok(()))
    }

    pub(super) fn close(&mut self, portal: bool, name: &str) {
        if portal {
            drop(self.extended.take_portal(name));
            self.session.forget_cursor(name);
        } else {
            self.session.forget_prepared(name);
        }
        self.wire.out.empty(b'3');
    }

    /// Commits what was sent since the last Sync, unless a transaction is open.
    pub(super) async fn sync(&mut self) {
        if !std::mem::take(&mut self.extended.skipping)
            && let Err(error) = self.session.sync().await
        {
            self.report(&error, "");
        }
        if self.session.transaction_status() == TransactionStatus::Idle {
            self.extended.forget_portals();
        }
        self.notices();
        self.ready();
    }

    pub(super) fn fail_extended(&mut self, error: &QueryError, text: &str) {
        self.session.fail();
        self.report(error, text);
        // At once, as PostgreSQL does: a client that asked for a Flush waits for it, and that message is skipped.
        self.flush = true;
        self.extended.skipping = true;
    }

    fn statement(&self, name: &str) -> Result<Arc<Prepared>, QueryError> {
        self.session.prepared(name).ok_or_else(|| {
            QueryError::new(
                SqlState::INVALID_STATEMENT_NAME,
                if name.is_empty() {
                    "unnamed prepared statement does not exist".to_owned()
                } else {
                    format!("prepared statement \"{name}\" does not exist")
                },
            )
        })
    }
}

fn parameter(bytes: &[u8], ty: &SqlType, binary: bool, now_micros: i64) -> Result<Value, QueryError> {
    if binary { encode::read_binary(bytes, ty, now_micros) } else { encode::read_text(bytes, ty, now_micros) }
}

fn in_parameter(mut error: QueryError, at: usize) -> QueryError {
    error.span = None;
    if error.detail.is_none() {
        error.detail = Some(format!("Parameter ${}.", at + 1));
    }
    error
}

fn no_portal(name: &str) -> QueryError {
    QueryError::new(SqlState::INVALID_CURSOR_NAME, format!("portal \"{name}\" does not exist"))
}

fn protocol(message: impl Into<String>) -> QueryError {
    QueryError::new(SqlState("08P01"), message)
}
