//! A session: one client's conversation with one ledger, whatever the protocol (DESIGN section 8).

pub mod info;
pub mod settings;

pub use info::{Cancel, CancelReason, Dialect, Door, SessionInfo};
pub use settings::{SettingError, Settings};
