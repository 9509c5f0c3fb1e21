//! Session settings: PostgreSQL's parameters that drivers set or read at start-up, and `ledgerstone.*`.
//!
//! A parameter that would change the meaning of a statement and is not honoured is refused, never taken silently:
//! each entry of the table says which values it accepts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The version drivers and psql see; `version()` says the same.
pub const SERVER_VERSION: &str = "15.0";
/// `server_version_num`.
pub const SERVER_VERSION_NUM: &str = "150000";

/// Which executor runs what groups, sorts or joins: `auto` chooses by the number of documents scanned.
pub const SETTING_EXECUTOR: &str = "ledgerstone.executor";
/// From how many scanned documents on `auto` chooses DataFusion.
pub const SETTING_ANALYTIC_DOCUMENTS: &str = "ledgerstone.analytic_documents";

/// Names and values that differ from the defaults, of one session: an application's own may be of any length.
pub const SETTINGS_BYTES_MAX: usize = 256 << 10;

/// What an entry takes beside its texts, about.
const ENTRY_BYTES: usize = 64;

/// The least level of messages that are sent.
const MESSAGES: &str = "client_min_messages";
const LEVELS: &[&str] =
    &["debug5", "debug4", "debug3", "debug2", "debug", "debug1", "log", "info", "notice", "warning", "error"];

/// The client token of the next commit; empty by default.
const CLIENT_TOKEN: &str = "ledgerstone.client_token";

/// Values that differ from the defaults. Cloning is cheap and copy-on-write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    changed: Arc<BTreeMap<Cow<'static, str>, Arc<str>>>,
}

/// Why a setting was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    #[error("unrecognized configuration parameter \"{0}\"")]
    Unknown(String),
    #[error("parameter \"{0}\" cannot be changed")]
    ReadOnly(String),
    #[error("invalid value for parameter \"{name}\": \"{value}\"")]
    Invalid { name: String, value: String, hint: String },
    #[error("the settings of a session may have {SETTINGS_BYTES_MAX} bytes together")]
    TooLong,
}

/// What values a parameter takes.
#[derive(Debug, Clone, Copy)]
enum Accepts {
    /// Never changes.
    Nothing,
    Anything,
    /// `on`, `off` and their synonyms.
    Bool,
    /// One of these, in any case; anything else would have to change results.
    OneOf(&'static [&'static str]),
    /// Milliseconds, or a number with `us`, `ms`, `s`, `min`, `h`, `d`; kept in the largest of these that divides it.
    Duration,
    Integer(i64, i64),
}

struct Parameter {
    name: &'static str,
    default: &'static str,
    accepts: Accepts,
    /// Sent to PostgreSQL clients at start-up and when it changes.
    reported: bool,
    about: &'static str,
}

const fn parameter(
    name: &'static str,
    default: &'static str,
    accepts: Accepts,
    reported: bool,
    about: &'static str,
) -> Parameter {
    Parameter { name, default, accepts, reported, about }
}

use Accepts::{Anything, Bool, Duration, Integer, Nothing, OneOf};

/// Sorted by name.
const PARAMETERS: &[Parameter] = &[
    parameter("application_name", "", Anything, true, "Name of the application, for logs."),
    parameter("bytea_output", "hex", OneOf(&["hex"]), false, "Output format for bytea."),
    parameter("check_function_bodies", "on", Bool, false, "No effect: there are no stored functions."),
    parameter("client_encoding", "UTF8", OneOf(&["utf8", "unicode"]), true, "Client's character set."),
    parameter(MESSAGES, "notice", OneOf(LEVELS), false, "Least level of messages sent to the client."),
    parameter("datestyle", "ISO, MDY", OneOf(&["iso", "iso, mdy", "iso, dmy", "iso, ymd"]), true, "Date format."),
    parameter("default_table_access_method", "heap", OneOf(&["heap"]), false, "No effect."),
    parameter("default_tablespace", "", OneOf(&["", "pg_default"]), false, "No effect."),
    parameter(
        "default_transaction_isolation",
        "serializable",
        OneOf(&["serializable", "repeatable read", "read committed", "read uncommitted"]),
        false,
        "Every transaction is serializable, whatever is asked for.",
    ),
    parameter("default_transaction_read_only", "off", Bool, true, "Whether new transactions are read only."),
    parameter("extra_float_digits", "1", Integer(-15, 3), false, "Floats always round-trip."),
    parameter("idle_in_transaction_session_timeout", "0", Duration, false, "Ends a session idle in a transaction."),
    parameter("in_hot_standby", "off", Nothing, true, "Never a standby."),
    parameter("integer_datetimes", "on", Nothing, true, "Binary timestamps are integers."),
    parameter("intervalstyle", "postgres", OneOf(&["postgres"]), true, "Interval format."),
    parameter("is_superuser", "off", Nothing, true, "Whether the user is a superuser."),
    parameter("jit", "off", OneOf(&["off", "on"]), false, "No effect."),
    parameter("lc_collate", "C", Nothing, false, "Collation is C everywhere."),
    parameter("lc_ctype", "C", Nothing, false, "Character classes are C everywhere."),
    parameter("lc_messages", "C", Anything, false, "No effect: messages are English."),
    parameter("lc_monetary", "C", Anything, false, "No effect."),
    parameter("lc_numeric", "C", OneOf(&["c", "en_us.utf8", "en_us.utf-8", "posix"]), false, "Number format."),
    parameter("lc_time", "C", Anything, false, "No effect."),
    parameter(SETTING_ANALYTIC_DOCUMENTS, "10000", Integer(1, i64::MAX), false, "Scans from here on go to DataFusion."),
    parameter(CLIENT_TOKEN, "", Anything, false, "Makes a retry of the next commit idempotent."),
    parameter("ledgerstone.dialect", "sql", OneOf(&["sql", "partiql"]), false, "Front end that reads statements."),
    parameter(
        SETTING_EXECUTOR,
        "auto",
        OneOf(&["auto", "document", "datafusion", "columns"]),
        false,
        "Executor of what groups, sorts or joins.",
    ),
    parameter("lock_timeout", "0", Duration, false, "No effect: nothing waits for locks."),
    parameter("max_identifier_length", "63", Nothing, false, "Longest name."),
    parameter("max_index_keys", "32", Nothing, false, "Most columns of an index."),
    parameter("max_prepared_transactions", "0", Nothing, false, "There are no prepared transactions."),
    parameter("password_encryption", "scram-sha-256", OneOf(&["scram-sha-256"]), false, "How passwords are kept."),
    parameter("row_security", "off", OneOf(&["off", "on"]), false, "No effect: there are no row policies."),
    parameter("search_path", "\"$user\", public", Anything, false, "Schemas; there is one, public."),
    parameter("server_encoding", "UTF8", Nothing, true, "Server's character set."),
    parameter("server_version", SERVER_VERSION, Nothing, true, "PostgreSQL version whose protocol is spoken."),
    parameter("server_version_num", SERVER_VERSION_NUM, Nothing, false, "The same as a number."),
    parameter("session_authorization", "", Nothing, true, "The user."),
    parameter("standard_conforming_strings", "on", OneOf(&["on"]), true, "Backslashes in strings are plain."),
    parameter("statement_timeout", "0", Duration, false, "Ends a statement that takes longer."),
    parameter("synchronize_seqscans", "off", Bool, false, "No effect."),
    parameter("synchronous_commit", "on", OneOf(&["on", "local", "remote_write", "remote_apply"]), false, "Always."),
    parameter("timezone", "UTC", OneOf(&["utc", "etc/utc", "gmt", "z", "zulu", "0"]), true, "Times are shown in UTC."),
    parameter("transaction_isolation", "serializable", Nothing, false, "Every transaction is serializable."),
    parameter("transaction_read_only", "off", Nothing, false, "Whether this transaction is read only."),
    parameter("work_mem", "4MB", Anything, false, "No effect: the server's own memory limits hold."),
    parameter("xmloption", "content", Anything, false, "No effect: there is no xml type."),
];

impl Settings {
    /// The value in force; `None` for an unknown name. Names are compared without case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let name = canonical(name);
        if let Some(value) = self.changed.get(name.as_ref()) {
            return Some(value);
        }
        find(&name).map(|parameter| parameter.default)
    }

    /// Whether messages of this severity are sent.
    pub fn sends(&self, severity: &str) -> bool {
        let rank = |level: &str| LEVELS.iter().position(|known| level.eq_ignore_ascii_case(known));
        rank(severity) >= self.get(MESSAGES).and_then(rank)
    }

    /// Checks and sets. Names with a point that are not `ledgerstone.*` are the application's own, as in PostgreSQL.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        self.set_all([(name, value)])
    }

    /// The same for several, one after the other. After an error some of them may be set.
    pub fn set_all<'w>(&mut self, all: impl IntoIterator<Item = (&'w str, &'w str)>) -> Result<(), SettingError> {
        let mut bytes = self.bytes();
        for (name, value) in all {
            let (key, value) = accepted(name, value)?;
            let replaced = self.changed.get(&key).map_or(0, |old| key.len() + old.len());
            bytes = bytes - replaced + key.len() + value.len();
            if bytes > SETTINGS_BYTES_MAX {
                return Err(SettingError::TooLong);
            }
            Arc::make_mut(&mut self.changed).insert(key, Arc::from(value.as_ref()));
        }
        Ok(())
    }

    /// The value that [`Settings::set`] would set.
    pub fn check(name: &str, value: &str) -> Result<String, SettingError> {
        accepted(name, value).map(|(_, value)| value.into_owned())
    }

    /// Memory that these take beside others: none if they are the same ones.
    pub(super) fn bytes_beside(&self, others: Option<&Settings>) -> usize {
        match others {
            Some(others) if Arc::ptr_eq(&self.changed, &others.changed) => 0,
            _ => self.bytes() + self.changed.len() * ENTRY_BYTES,
        }
    }

    /// Bytes of names and values.
    fn bytes(&self) -> usize {
        self.changed.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// Sets what the server itself decides (`session_authorization`, `is_superuser`, `transaction_read_only`).
    pub fn set_fixed(&mut self, name: &'static str, value: &str) {
        Arc::make_mut(&mut self.changed).insert(Cow::Borrowed(name), Arc::from(value));
    }

    /// Back to the default, or to `base` (what the connection was opened with).
    pub fn reset(&mut self, name: &str, base: &Settings) -> Result<(), SettingError> {
        let name = canonical(name);
        if find(&name).is_none() && !is_custom(&name) {
            return Err(SettingError::Unknown(name.into_owned()));
        }
        let changed = Arc::make_mut(&mut self.changed);
        match base.changed.get(name.as_ref()) {
            Some(value) => {
                let value = Arc::clone(value);
                changed.insert(Cow::Owned(name.into_owned()), value);
            }
            None => {
                changed.remove(name.as_ref());
            }
        }
        Ok(())
    }

    /// Whether a boolean parameter is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name) == Some("on")
    }

    /// A duration in milliseconds; 0 is none.
    pub fn milliseconds(&self, name: &str) -> u64 {
        self.get(name).and_then(parse_duration).unwrap_or(0)
    }

    /// The token of the next commit, if one is set.
    pub fn client_token(&self) -> Option<&str> {
        // Asked several times for every transaction, and hardly ever set: not looked for among the defaults.
        self.changed.get(CLIENT_TOKEN).map(|token| &**token).filter(|token| !token.is_empty())
    }

    /// A token names one commit.
    pub fn forget_client_token(&mut self) {
        self.set_fixed(CLIENT_TOKEN, "");
    }

    /// Parameters a PostgreSQL client is told about, as it spells them.
    pub fn reported(&self) -> impl Iterator<Item = (&'static str, &str)> {
        PARAMETERS.iter().filter(|parameter| parameter.reported).map(|parameter| {
            let value = self.changed.get(parameter.name).map_or(parameter.default, |value| value.as_ref());
            (spelling(parameter.name), value)
        })
    }

    /// Every parameter, for `SHOW ALL` and `pg_settings`.
    pub fn all(&self) -> impl Iterator<Item = Shown<'_>> {
        PARAMETERS.iter().map(|parameter| Shown {
            name: spelling(parameter.name),
            value: self.changed.get(parameter.name).map_or(parameter.default, |value| value.as_ref()),
            parameter,
        })
    }
}

/// A parameter and its value.
pub struct Shown<'s> {
    pub name: &'static str,
    /// As `SHOW` shows it.
    pub value: &'s str,
    parameter: &'static Parameter,
}

impl Shown<'_> {
    pub fn about(&self) -> &'static str {
        self.parameter.about
    }

    /// `pg_settings.vartype`.
    pub fn kind(&self) -> &'static str {
        match self.parameter.accepts {
            Nothing | Anything => "string",
            Bool => "bool",
            OneOf(_) => "enum",
            Duration | Integer(..) => "integer",
        }
    }

    /// `pg_settings.context`: who may change it.
    pub fn context(&self) -> &'static str {
        if matches!(self.parameter.accepts, Nothing) { "internal" } else { "user" }
    }

    /// The value as a number with its unit, if that is what it is.
    pub fn in_unit(&self) -> Option<(u64, &'static str)> {
        match self.parameter.accepts {
            Duration => Some((parse_duration(self.value)?, "ms")),
            _ => None,
        }
    }
}

/// The name as `SHOW` heads its column: PostgreSQL spells three of them with capitals.
pub fn spelling(name: &str) -> &str {
    match name {
        "datestyle" => "DateStyle",
        "intervalstyle" => "IntervalStyle",
        "timezone" => "TimeZone",
        other => other,
    }
}

impl Parameter {
    /// The value in its canonical form.
    fn check<'v>(&self, value: &'v str) -> Result<Cow<'v, str>, SettingError> {
        let invalid = |hint: String| SettingError::Invalid {
            name: self.name.to_owned(),
            value: value.chars().take(200).collect(),
            hint,
        };
        match self.accepts {
            Nothing => Err(SettingError::ReadOnly(self.name.to_owned())),
            Anything => Ok(Cow::Borrowed(value)),
            Bool => match parse_bool(value) {
                Some(true) => Ok(Cow::Borrowed("on")),
                Some(false) => Ok(Cow::Borrowed("off")),
                None => Err(invalid("Use on or off.".to_owned())),
            },
            OneOf(values) => {
                let lower = match self.name {
                    // Encodings are named with or without signs: 'utf-8' in quotes too, which asyncpg sends.
                    "client_encoding" => value.chars().filter(char::is_ascii_alphanumeric).collect::<String>(),
                    _ => value.trim().to_owned(),
                };
                let lower = lower.to_ascii_lowercase();
                if !values.contains(&lower.as_str()) {
                    return Err(invalid(format!("Supported: {}.", values.join(", "))));
                }
                Ok(match self.name {
                    // Clients compare these as PostgreSQL writes them.
                    "client_encoding" | "datestyle" => Cow::Borrowed(self.default),
                    "timezone" => Cow::Borrowed("UTC"),
                    _ => Cow::Owned(lower),
                })
            }
            Duration => match parse_duration(value) {
                Some(ms) => Ok(Cow::Owned(duration_text(ms))),
                None => Err(invalid("Use milliseconds, or a number with us, ms, s, min, h or d.".to_owned())),
            },
            Integer(low, high) => match value.trim().parse::<i64>() {
                Ok(number) if (low..=high).contains(&number) => Ok(Cow::Owned(number.to_string())),
                _ => Err(invalid(format!("Use a whole number from {low} to {high}."))),
            },
        }
    }
}

/// The name and the value as they are kept.
fn accepted<'v>(name: &str, value: &'v str) -> Result<(Cow<'static, str>, Cow<'v, str>), SettingError> {
    let name = canonical(name);
    match find(&name) {
        Some(parameter) => Ok((Cow::Borrowed(parameter.name), parameter.check(value)?)),
        None if is_custom(&name) => Ok((Cow::Owned(name.into_owned()), Cow::Borrowed(value))),
        None => Err(SettingError::Unknown(name.into_owned())),
    }
}

pub(super) fn canonical(name: &str) -> Cow<'_, str> {
    let lower: Cow<'_, str> = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    };
    match lower.as_ref() {
        "time zone" => Cow::Borrowed("timezone"),
        "names" => Cow::Borrowed("client_encoding"),
        "transaction isolation level" => Cow::Borrowed("transaction_isolation"),
        _ => lower,
    }
}

fn is_custom(name: &str) -> bool {
    name.contains('.') && !name.starts_with("ledgerstone.")
}

fn find(name: &str) -> Option<&'static Parameter> {
    PARAMETERS.binary_search_by(|parameter| parameter.name.cmp(name)).ok().and_then(|index| PARAMETERS.get(index))
}

fn parse_bool(value: &str) -> Option<bool> {
    match value.trim().to_ascii_lowercase().as_str() {
        "on" | "true" | "t" | "yes" | "y" | "1" => Some(true),
        "off" | "false" | "f" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

/// In milliseconds, to the nearest one: `1.5s` are 1500.
fn parse_duration(value: &str) -> Option<u64> {
    let value = value.trim();
    let is_of_number = |character: char| character.is_ascii_digit() || character == '.';
    let (number, unit) = value.split_at(value.find(|character| !is_of_number(character)).unwrap_or(value.len()));
    let scale = match unit.trim() {
        "us" => 0.001,
        "" | "ms" => 1.0,
        "s" => 1_000.0,
        "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    };
    let ms = (number.parse::<f64>().ok()? * scale).round_ties_even();
    // Exact: a whole number below 2^31.
    (ms <= f64::from(i32::MAX)).then_some(ms as u64)
}

fn duration_text(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms")];
    match units.into_iter().find(|(scale, _)| ms.is_multiple_of(*scale)) {
        Some((scale, unit)) if ms > 0 => format!("{}{unit}", ms / scale),
        _ => "0".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_default_is_its_own_value() {
        assert!(PARAMETERS.windows(2).all(|pair| pair[0].name < pair[1].name));
        for parameter in PARAMETERS {
            if !matches!(parameter.accepts, Nothing) {
                assert!(parameter.check(parameter.default).is_ok(), "{}", parameter.name);
            }
        }
    }

    #[test]
    fn a_value_that_would_change_results_is_refused() {
        let mut settings = Settings::default();
        assert!(matches!(settings.set("standard_conforming_strings", "off"), Err(SettingError::Invalid { .. })));
        assert!(matches!(settings.set("client_encoding", "latin1"), Err(SettingError::Invalid { .. })));
        assert!(matches!(settings.set("server_version", "9"), Err(SettingError::ReadOnly(_))));
        assert!(matches!(settings.set("no_such_thing", "1"), Err(SettingError::Unknown(_))));
        assert!(matches!(settings.set("ledgerstone.no_such_thing", "1"), Err(SettingError::Unknown(_))));
    }

    #[test]
    fn names_ignore_case_and_reset_goes_back_to_what_the_connection_asked_for() {
        let mut base = Settings::default();
        base.set("application_name", "psql").unwrap();
        let mut settings = base.clone();
        settings.set("Application_Name", "other").unwrap();
        assert_eq!(settings.get("application_name"), Some("other"));
        settings.reset("application_name", &base).unwrap();
        assert_eq!(settings, base);
        settings.set("app.tenant", "7").unwrap();
        assert_eq!(settings.get("app.tenant"), Some("7"));
    }

    #[test]
    fn messages_below_the_least_level_are_not_sent() {
        let mut settings = Settings::default();
        for (level, notices, warnings) in
            [("notice", true, true), ("DEBUG1", true, true), ("Warning", false, true), ("error", false, false)]
        {
            settings.set("client_min_messages", level).unwrap();
            assert_eq!((settings.sends("NOTICE"), settings.sends("WARNING")), (notices, warnings), "{level}");
        }
        assert!(settings.set("client_min_messages", "loud").is_err());
    }

    #[test]
    fn durations_have_units() {
        let mut settings = Settings::default();
        settings.set("statement_timeout", "2min").unwrap();
        assert_eq!(settings.milliseconds("statement_timeout"), 120_000);
        assert!(settings.set("statement_timeout", "soon").is_err());
        for (given, shown) in [
            ("7000", "7s"),
            ("7001", "7001ms"),
            ("120 s", "2min"),
            ("48h", "2d"),
            ("0ms", "0"),
            ("1.5 s", "1500ms"),
            ("2500us", "2ms"),
            (".25min", "15s"),
        ] {
            settings.set("statement_timeout", given).unwrap();
            assert_eq!(settings.get("statement_timeout"), Some(shown));
            assert_eq!(parse_duration(shown), parse_duration(given));
        }
        for wrong in ["", "s", "1.2.3s", "-1", "1e3", "1 week", "2147483648", "25d", "1s 2"] {
            assert!(settings.set("statement_timeout", wrong).is_err(), "{wrong}");
        }
    }
}
