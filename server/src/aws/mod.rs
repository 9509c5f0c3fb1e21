//! What this server asks of services with AWS's APIs, at endpoints and with keys that its operator named and nobody else.
//!
//! | module | what lives there |
//! |---|---|
//! | `signature` | Signature Version 4, for who signs and for who verifies |
//! | `credentials` | the operator's keys and region, from the environment |
//! | `connection` | HTTP to one endpoint, with TLS or without |

mod connection;
mod credentials;
pub mod signature;

pub use connection::{Connection, Endpoint, EndpointError, Roots};
pub use credentials::{Credentials, CredentialsError, region_from_environment};
