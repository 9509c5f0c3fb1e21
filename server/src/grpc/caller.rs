//! Who calls. On loopback anybody may, under any name, as on the PostgreSQL port; the configuration refuses other
//! addresses as long as no gate asks for proof. A gate that checks tokens reads them from the request's metadata.

use tonic::Status;
use tonic::metadata::MetadataMap;

/// Decides whether a call is let in, and as whom.
pub trait Gate: Send + Sync {
    /// The caller, or UNAUTHENTICATED.
    fn admit(&self, metadata: &MetadataMap) -> Result<Caller, Status>;
}

/// Who was let in. A session answers only to the caller that opened it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name that was proved; `None` if callers may name themselves.
    pub name: Option<String>,
}

/// Lets everybody in: for loopback only.
#[derive(Debug, Clone, Copy, Default)]
pub struct Anyone;

impl Gate for Anyone {
    fn admit(&self, _metadata: &MetadataMap) -> Result<Caller, Status> {
        Ok(Caller { name: None })
    }
}

/// Lets nobody in: a server whose users have access keys, which only QLDB's API reads.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl Gate for Nobody {
    fn admit(&self, _metadata: &MetadataMap) -> Result<Caller, Status> {
        let what = "this server knows access keys of QLDB's API alone; to be asked in this way, start it with --users";
        Err(Status::unauthenticated(what))
    }
}

impl Caller {
    /// The user of a session: the proved name, or the one asked for.
    pub fn user(&self, asked: &str) -> Result<String, Status> {
        match &self.name {
            Some(name) if asked.is_empty() || asked == name => Ok(name.clone()),
            Some(name) => Err(Status::permission_denied(format!("you are {name}, not {asked}"))),
            None if asked.len() > 128 => Err(Status::invalid_argument("a user name has at most 128 bytes")),
            None if asked.is_empty() => Ok("anonymous".to_owned()),
            None => Ok(asked.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proved_name_cannot_be_changed() {
        let proved = Caller { name: Some("ada".to_owned()) };
        assert_eq!(proved.user("").unwrap(), "ada");
        assert_eq!(proved.user("ada").unwrap(), "ada");
        assert!(proved.user("eve").is_err());
        let anyone = Anyone.admit(&MetadataMap::new()).unwrap();
        assert_eq!(anyone.user("eve").unwrap(), "eve");
        assert!(anyone.user(&"x".repeat(129)).is_err());
    }
}
