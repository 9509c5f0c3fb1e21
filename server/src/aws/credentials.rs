//! The operator's access keys for services with AWS's APIs, from the environment as every AWS tool reads them. They are
//! never logged, stored, or shown.

use std::fmt;

/// Keys to sign with. Shown without the secrets.
#[derive(Clone)]
pub struct Credentials {
    key_id: String,
    secret: String,
    session_token: Option<String>,
}

/// Why there are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not set in the environment, or is no text that can be sent")]
pub struct CredentialsError(pub &'static str);

impl Credentials {
    pub fn new(key_id: &str, secret: &str, session_token: Option<&str>) -> Credentials {
        let session_token = session_token.map(str::to_owned);
        Credentials { key_id: key_id.to_owned(), secret: secret.to_owned(), session_token }
    }

    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, and `AWS_SESSION_TOKEN` if it is there.
    pub fn from_environment() -> Result<Credentials, CredentialsError> {
        let needed = |name| variable(name).ok_or(CredentialsError(name));
        let (key_id, secret) = (needed("AWS_ACCESS_KEY_ID")?, needed("AWS_SECRET_ACCESS_KEY")?);
        Ok(Credentials::new(&key_id, &secret, variable("AWS_SESSION_TOKEN").as_deref()))
    }

    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    pub fn secret(&self) -> &str {
        &self.secret
    }

    pub fn session_token(&self) -> Option<&str> {
        self.session_token.as_deref()
    }
}

/// `AWS_REGION`, or `AWS_DEFAULT_REGION`.
pub fn region_from_environment() -> Option<String> {
    variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"))
}

/// What is empty counts as absent. All of these go into headers.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic()))
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?}", Credentials::new("AKIDEXAMPLE", "the secret", Some("the token")));
        assert!(shown.contains("AKIDEXAMPLE") && !shown.contains("the "), "{shown}");
    }
}
