//! The gate of a server with a users file: callers prove a password with every call, as HTTP's basic authentication sends it
//! (RFC 7617). The port is plain and on loopback only, so nothing but the machine itself sees it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use ledgerstone_digest::Hash;
use tokio::runtime::{Handle, RuntimeFlavor};
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::caller::{Caller, Gate};
use crate::pg::Users;

/// Flight's client in Go leaves the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// The longest header that is looked at.
const HEADER_BYTES_MAX: usize = 4_096;

/// Lets in who knows the password of a name in the users file.
pub struct Passwords {
    users: Arc<Users>,
    /// What has been proved: a keyed hash of name and password, so that not every call pays for thousands of rounds. One for
    /// each user at most.
    proved: Mutex<HashMap<String, Hash>>,
    /// The key of those hashes.
    seed: [u8; 32],
    checking: Mutex<()>,
}

impl Passwords {
    pub fn new(users: Arc<Users>, seed: [u8; 32]) -> Passwords {
        Passwords { users, proved: Mutex::default(), seed, checking: Mutex::default() }
    }

    fn knows(&self, user: &str, password: &str) -> bool {
        let length = (user.len() as u64).to_be_bytes();
        let hash = Hash::sha256(&[&self.seed, &length, user.as_bytes(), password.as_bytes()]);
        let proved = || self.proved.lock().unwrap_or_else(PoisonError::into_inner);
        if proved().get(user) == Some(&hash) {
            return true;
        }
        // Thousands of rounds, at the will of whoever calls: not where other connections wait, and one after the other.
        let known = apart(|| {
            let _one = self.checking.lock().unwrap_or_else(PoisonError::into_inner);
            self.users.is_password(user, password)
        });
        if known {
            proved().insert(user.to_owned(), hash);
        }
        known
    }
}

/// Lets the other tasks of this thread go on elsewhere meanwhile, if there is an elsewhere.
fn apart<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

impl Gate for Passwords {
    fn admit(&self, metadata: &MetadataMap) -> Result<Caller, Status> {
        let given = metadata.get("authorization").ok_or_else(|| {
            Status::unauthenticated(
                "this server asks for a user and a password: send `authorization: Basic …`; commands of ledgerstone take \
                 --user NAME and the password from PGPASSWORD",
            )
        })?;
        let (user, password) =
            given.to_str().ok().filter(|text| text.len() <= HEADER_BYTES_MAX).and_then(basic).ok_or_else(|| {
                Status::unauthenticated("the authorization is not `Basic` with a user and a password")
            })?;
        if !self.knows(&user, &password) {
            tracing::info!(user, "a password was refused on the HTTP port");
            return Err(Status::unauthenticated(format!("password authentication failed for user \"{user}\"")));
        }
        Ok(Caller { name: Some(user) })
    }
}

/// `Basic base64(user:password)`.
pub fn basic(text: &str) -> Option<(String, String)> {
    let (scheme, encoded) = text.split_once(' ')?;
    let decoded = BASE64.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

    use super::*;
    use crate::pg::users_line;

    #[test]
    fn only_a_proved_password_is_let_in() {
        let directory = std::env::temp_dir().join(format!("ledgerstone-gate-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("users");
        std::fs::write(&path, users_line("ada", "pass:word", [7; 16])).unwrap();
        let gate = Passwords::new(Arc::new(Users::read(&path, [0; 32]).unwrap()), [1; 32]);
        std::fs::remove_dir_all(&directory).unwrap();
        let admit = |value: Option<String>| {
            let mut metadata = MetadataMap::new();
            if let Some(value) = value {
                metadata.insert("authorization", value.parse().unwrap());
            }
            gate.admit(&metadata)
        };
        let sent = |text: &str| Some(format!("Basic {}", STANDARD.encode(text)));
        // Again after it is remembered, and with a password that shares its hash's input otherwise.
        for _ in 0..2 {
            assert_eq!(admit(sent("ada:pass:word")).unwrap().name.as_deref(), Some("ada"));
            let bare = Some(format!("Basic {}", STANDARD_NO_PAD.encode("ada:pass:word")));
            assert_eq!(admit(bare).unwrap().name.as_deref(), Some("ada"));
            for wrong in [
                None,
                sent("ada:"),
                sent("ada:pass"),
                sent("adap:ass:word"),
                sent("eve:pass:word"),
                sent("ada"),
                Some("Bearer x".into()),
                Some("Basic ###".into()),
            ] {
                assert_eq!(admit(wrong.clone()).unwrap_err().code(), tonic::Code::Unauthenticated, "{wrong:?}");
            }
        }
    }
}
