//! The first exchange of a connection: TLS, who it is, which ledger, and what the server says of itself.

use std::io;

use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::session::{Cancel, Dialect, Door, Session, SessionOptions, Settings};

use super::auth::Exchange;
use super::cancel::Registration;
use super::connection::Ended;
use super::frame::{self, Frontend, Next, Startup};
use super::message::Status;
use super::wire::{Arrival, Stream, Wire};
use super::{Server, runtime};

/// What a startup packet asks for.
struct Request {
    user: String,
    database: String,
    settings: Vec<(String, String)>,
    minor: u16,
    unknown: Vec<String>,
}

/// A connection that has said who it is.
pub struct Started {
    pub wire: Wire,
    pub session: Session,
    pub registration: Registration,
}

/// Takes a fresh stream to an open session. `Ok(None)`: there is nothing more to do (a cancel request, or an error that
/// was answered).
pub async fn start(server: &Server, stream: Box<dyn Stream>) -> Result<Option<Started>, Ended> {
    let Some((mut wire, request, secured)) = first_packet(server, stream).await? else { return Ok(None) };
    if server.requires_tls() && !secured {
        return refuse(
            wire,
            "28000",
            "this server accepts only TLS connections",
            Some("Connect with sslmode=require."),
        )
        .await;
    }
    if request.minor > 0 || !request.unknown.is_empty() {
        let unknown: Vec<&str> = request.unknown.iter().map(String::as_str).collect();
        wire.out.negotiate_version(0, &unknown);
    }
    if let Some(users) = &server.users {
        match authenticate(server, users, &mut wire, &request.user).await? {
            true => {}
            false => {
                server.metrics.authentication_failures.one();
                let message = format!("password authentication failed for user \"{}\"", request.user);
                return refuse(wire, "28P01", &message, None).await;
            }
        }
    }
    wire.out.authentication(0, &[]);
    open_session(server, wire, request).await
}

/// Reads packets until one that starts a session; answers TLS and cancel requests.
async fn first_packet(server: &Server, stream: Box<dyn Stream>) -> Result<Option<(Wire, Request, bool)>, Ended> {
    let mut wire = Wire::new(stream);
    let mut secured = false;
    loop {
        let packet = match frame::next_startup(&mut wire.inbound) {
            Ok(Next::Frame(packet)) => packet,
            Ok(Next::More(wanted)) => match wire.fill(wanted, None, None).await? {
                Arrival::Bytes => continue,
                _ => return Ok(None),
            },
            Err(error) => {
                server.metrics.protocol_errors.one();
                return refuse(wire, "08P01", &error.to_string(), None).await;
            }
        };
        match packet {
            Startup::Gss => {
                wire.out.byte(b'N');
                wire.flush().await?;
            }
            Startup::Tls => {
                let acceptor = server.tls.as_ref().filter(|_| !secured);
                wire.out.byte(if acceptor.is_some() { b'S' } else { b'N' });
                wire.flush().await?;
                if let Some(acceptor) = acceptor {
                    // Bytes sent before the handshake would not be protected by it.
                    if !wire.inbound.is_empty() {
                        server.metrics.protocol_errors.one();
                        return refuse(wire, "08P01", "received unencrypted data after the TLS request", None).await;
                    }
                    let stream = acceptor.accept(wire.into_stream()).await?;
                    wire = Wire::new(Box::new(stream));
                    secured = true;
                }
            }
            Startup::Cancel { process_id, secret } => {
                server.registry.cancel(process_id, secret);
                return Ok(None);
            }
            Startup::Start { minor, parameters } => match Request::read(minor, parameters) {
                Ok(request) => return Ok(Some((wire, request, secured))),
                Err(message) => return refuse(wire, "28000", message, None).await,
            },
        }
    }
}

impl Request {
    fn read(minor: u16, parameters: Vec<(String, String)>) -> Result<Request, &'static str> {
        let mut request =
            Request { user: String::new(), database: String::new(), settings: Vec::new(), minor, unknown: Vec::new() };
        for (name, value) in parameters {
            match name.as_str() {
                "user" => request.user = value,
                "database" => request.database = value,
                "options" => request.settings.extend(options(&value)),
                "replication" if matches!(value.as_str(), "false" | "off" | "no" | "0") => {}
                "replication" => return Err("replication connections are not supported"),
                _ if name.starts_with("_pq_.") => request.unknown.push(name),
                _ => request.settings.push((name, value)),
            }
        }
        if request.user.is_empty() {
            return Err("no user name in the startup packet");
        }
        if request.database.is_empty() {
            request.database.clone_from(&request.user);
        }
        Ok(request)
    }
}

/// `-c name=value` and `--name=value`, with backslash escapes, as libpq's `options` has them.
fn options(text: &str) -> Vec<(String, String)> {
    let mut words = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => words.last_mut().into_iter().for_each(|word| word.extend(characters.next())),
            ' ' => words.push(String::new()),
            other => words.last_mut().into_iter().for_each(|word| word.push(other)),
        }
    }
    let mut settings = Vec::new();
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        let assignment =
            match word.strip_prefix("--").or_else(|| word.strip_prefix("-c").filter(|rest| !rest.is_empty())) {
                Some(rest) => rest.to_owned(),
                None if word == "-c" => words.next().unwrap_or_default(),
                None => continue,
            };
        if let Some((name, value)) = assignment.split_once('=') {
            settings.push((name.replace('-', "_"), value.to_owned()));
        }
    }
    settings
}

async fn authenticate(server: &Server, users: &super::auth::Users, wire: &mut Wire, user: &str) -> Result<bool, Ended> {
    wire.out.authentication(10, b"SCRAM-SHA-256\0\0");
    let Some(first) = password_message(server, wire).await? else { return Ok(false) };
    let Some(client_first) = initial_response(&first) else { return Ok(false) };
    let Ok((answer, exchange)): Result<(String, Exchange), _> = users.begin(user, client_first) else {
        return Ok(false);
    };
    wire.out.authentication(11, answer.as_bytes());
    let Some(last) = password_message(server, wire).await? else { return Ok(false) };
    match exchange.finish(&last) {
        Ok(answer) => {
            wire.out.authentication(12, answer.as_bytes());
            Ok(true)
        }
        Err(_) => Ok(false),
    }
}

/// SASLInitialResponse: mechanism, then the length and bytes of the client's first message.
fn initial_response(body: &[u8]) -> Option<&[u8]> {
    let end = body.iter().position(|byte| *byte == 0)?;
    let (mechanism, rest) = body.split_at_checked(end)?;
    let (length, data) = rest.get(1..)?.split_first_chunk::<4>()?;
    let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
    (mechanism == b"SCRAM-SHA-256" && length == data.len()).then_some(data)
}

async fn password_message(server: &Server, wire: &mut Wire) -> Result<Option<bytes::BytesMut>, Ended> {
    wire.flush().await?;
    loop {
        // Nothing else may come now, least of all what may be long.
        if wire.inbound.first().is_some_and(|kind| *kind != b'p') {
            server.metrics.protocol_errors.one();
            return Ok(None);
        }
        match frame::next(&mut wire.inbound, &server.config.limits) {
            Ok(Next::Frame(Frontend::Password(body))) => return Ok(Some(body)),
            Ok(Next::Frame(_)) | Err(_) => {
                server.metrics.protocol_errors.one();
                return Ok(None);
            }
            Ok(Next::More(wanted)) => match wire.fill(wanted, None, None).await? {
                Arrival::Bytes => {}
                _ => return Err(Ended::Gone),
            },
        }
    }
}

async fn open_session(server: &Server, mut wire: Wire, request: Request) -> Result<Option<Started>, Ended> {
    let mut settings = Settings::default();
    for (name, value) in &request.settings {
        // Drivers name their machine's zone without being asked to. Times stay in UTC with an offset that says so, and the
        // parameter that is reported says so too.
        let of_habit = name.eq_ignore_ascii_case("timezone");
        if let Err(error) = settings.set(name, value)
            && !of_habit
        {
            return refuse(wire, "22023", &error.to_string(), None).await;
        }
    }
    let dialect = match settings.get("ledgerstone.dialect") {
        Some("partiql") => Dialect::PartiQl,
        _ => Dialect::Sql,
    };
    let cancel = Cancel::default();
    let registration = server.registry.register(cancel.clone(), server.random());
    let options = SessionOptions {
        settings,
        process_id: registration.process_id,
        cancel,
        statement_ms_max: server.config.limits.statement_seconds.saturating_mul(1_000),
        ..SessionOptions::new(Door::Postgres, request.user, dialect, runtime::tokio())
    };
    let session = match Session::new(server.instance.clone(), &request.database, options) {
        Ok(session) => session,
        Err(error) => return refuse_session(wire, &with_way_in(error, &request.database)).await,
    };
    for (name, value) in session.settings().reported() {
        wire.out.parameter_status(name, value);
    }
    wire.out.parameter_status("ledgerstone.commit", "");
    wire.out.backend_key(registration.process_id, registration.secret);
    wire.out.ready(Status::Idle);
    wire.flush().await?;
    Ok(Some(Started { wire, session, registration }))
}

/// Where PostgreSQL's tools come in to list, make and drop databases if nobody tells them another name.
const MAINTENANCE_NAMES: [&str; 2] = ["postgres", "template1"];

/// There is no place to come in that is not a ledger, so the tools have to be told of one.
fn with_way_in(error: QueryError, database: &str) -> QueryError {
    if error.code != SqlState::INVALID_CATALOG_NAME || !MAINTENANCE_NAMES.contains(&database) {
        return error;
    }
    let known = error.hint.as_ref().map(|known| format!("{known} ")).unwrap_or_default();
    error.hint(format!(
        "{known}Tools that come in through \"{database}\" can be told the name of a ledger: psql -d NAME -l, \
         createdb --maintenance-db=NAME, dropdb --maintenance-db=NAME. CREATE DATABASE postgres makes one that they find."
    ))
}

async fn refuse_session<T>(mut wire: Wire, error: &QueryError) -> Result<Option<T>, Ended> {
    wire.out.error(error, "", "FATAL");
    wire.close_after_error().await;
    Ok(None)
}

async fn refuse<T>(mut wire: Wire, code: &str, message: &str, hint: Option<&str>) -> Result<Option<T>, Ended> {
    wire.out.fatal(code, message, hint);
    wire.close_after_error().await;
    Ok(None)
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Ended::Io(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_libpq_writes_them() {
        let read = options("-c statement_timeout=5s --application-name=a\\ b -cwork_mem=1MB -x");
        let expected = [("statement_timeout", "5s"), ("application_name", "a b"), ("work_mem", "1MB")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_sasl_response_with_a_wrong_length_is_none() {
        assert_eq!(initial_response(b"SCRAM-SHA-256\0\0\0\0\x02n,"), Some(&b"n,"[..]));
        assert_eq!(initial_response(b"SCRAM-SHA-256\0\0\0\0\x03n,"), None);
        assert_eq!(initial_response(b"SCRAM-SHA-256"), None);
        assert_eq!(initial_response(b"PLAIN\0\0\0\0\x02n,"), None);
    }
}
