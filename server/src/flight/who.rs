//! Who calls, in which session, to which ledger and in which dialect: what a call's headers say.
//!
//! | header | what it says |
//! |---|---|
//! | `authorization: Basic …` | a name and a password, as on the other doors; without users any name |
//! | `authorization: Bearer …` | the session that a handshake has opened |
//! | `cookie: arrow_flight_session_id=…` | the session that SetSessionOptions has opened |
//! | `database`, or `catalog` | the ledger |
//! | `ledgerstone-dialect` | `sql` or `partiql` |

use std::sync::Arc;

use ledgerstone_digest::Id;
use ledgerstone_query::error::{QueryError, SqlState};
use ledgerstone_query::session::Dialect;
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::keeper::{Owner, Signed};
use super::service::Flight;
use super::status;
use crate::grpc::{InUse, basic, name_or_main};

/// The name that Flight's clients know (Flight.proto, "Session").
pub const SESSION_COOKIE: &str = "arrow_flight_session_id";

/// Who makes a call.
pub struct Who {
    pub owner: Owner,
    pub signed: Signed,
    /// The session it is made in; idle again when this is dropped.
    pub session: Option<InUse>,
    /// The ledger it asks for, if it does.
    pub ledger: Option<String>,
    pub dialect: Option<Dialect>,
}

impl Who {
    pub fn ledger_or_main(&self) -> &str {
        name_or_main(self.ledger.as_deref().unwrap_or_default())
    }
}

impl Flight {
    /// Reads a call's headers.
    pub fn who(&self, metadata: &MetadataMap) -> Result<Who, Status> {
        let given = authorization(metadata)?;
        let (signed, session) = match given.and_then(bearer) {
            Some(token) => {
                let (signed, in_use) = self.keeper.sessions.find_where(token, |_| true).map_err(|_| token_is_gone())?;
                (signed, Some((token.to_owned(), in_use)))
            }
            None => {
                let signed = self.sign(metadata)?;
                let session = match cookie(metadata) {
                    Some(id) => {
                        let mine = |of: &Signed| of.caller == signed.caller;
                        let (_, in_use) = self.keeper.sessions.find_where(id, mine)?;
                        Some((id.to_owned(), in_use))
                    }
                    None => None,
                };
                (signed, session)
            }
        };
        let id = session.as_ref().and_then(|(id, _)| id.parse::<Id>().ok());
        Ok(Who {
            owner: Owner { caller: signed.caller.clone(), session: id },
            signed,
            session: session.map(|(_, in_use)| in_use),
            ledger: header(metadata, "database")?.or(header(metadata, "catalog")?).map(str::to_owned),
            dialect: header(metadata, "ledgerstone-dialect")?.map(dialect).transpose()?,
        })
    }

    /// Says by a call's headers alone whether its message is to be read: `who` would not refuse them. A handshake may say who
    /// it is in its message.
    pub fn doorkeeper(&self) -> impl Fn(&str, &MetadataMap) -> Result<(), Status> + use<> {
        let (gate, keeper) = (Arc::clone(&self.options.gate), Arc::clone(&self.keeper));
        move |path, metadata| {
            if path.ends_with("/Handshake") {
                return Ok(());
            }
            match authorization(metadata)?.and_then(bearer) {
                Some(token) => keeper.sessions.find_where(token, |_| true).map(drop).map_err(|_| token_is_gone()),
                None => gate.admit(metadata).map(drop),
            }
        }
    }

    /// Who asks without a token.
    pub fn sign(&self, metadata: &MetadataMap) -> Result<Signed, Status> {
        let caller = self.options.gate.admit(metadata)?;
        let (asked, _password) = match authorization(metadata)? {
            Some(given) => basic(given).ok_or_else(|| {
                Status::unauthenticated("the authorization is neither `Basic` with a user and a password, nor `Bearer`")
            })?,
            None => <(String, String)>::default(),
        };
        let user = caller.user(&asked)?;
        Ok(Signed { caller, user })
    }
}

fn token_is_gone() -> Status {
    Status::unauthenticated("the token is not known, or was not used too long: sign in again")
}

fn authorization(metadata: &MetadataMap) -> Result<Option<&str>, Status> {
    header(metadata, "authorization")
}

fn bearer(text: &str) -> Option<&str> {
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// An empty header is none.
fn header<'m>(metadata: &'m MetadataMap, name: &'static str) -> Result<Option<&'m str>, Status> {
    let Some(value) = metadata.get(name) else { return Ok(None) };
    let text = value.to_str().map_err(|_| Status::invalid_argument(format!("the header {name} is not text")))?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn cookie(metadata: &MetadataMap) -> Option<&str> {
    let headers = metadata.get_all("cookie").iter().filter_map(|value| value.to_str().ok());
    let pairs = headers.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs
        .filter(|(name, _)| *name == SESSION_COOKIE)
        .map(|(_, value)| value.trim_matches('"'))
        .find(|id| !id.is_empty())
}

/// A dialect by its name.
pub fn dialect(name: &str) -> Result<Dialect, Status> {
    match name {
        "sql" => Ok(Dialect::Sql),
        "partiql" => Ok(Dialect::PartiQl),
        other => Err(status::of_error(QueryError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("the dialect \"{other}\" is not known: it is sql or partiql"),
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_and_tokens_are_found_among_others() {
        let mut metadata = MetadataMap::new();
        assert_eq!(cookie(&metadata), None);
        metadata.append("cookie", "a=b; arrow_flight_session_id=0123; c=d".parse().unwrap());
        assert_eq!(cookie(&metadata), Some("0123"));
        assert_eq!(bearer("bearer 01"), Some("01"));
        assert_eq!(bearer("Basic 01"), None);
        assert_eq!(bearer("01"), None);
        metadata.append("database", "".parse().unwrap());
        assert_eq!(header(&metadata, "database").unwrap(), None);
    }
}
