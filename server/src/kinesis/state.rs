//! What is kept of a journal stream beside its ledger: what was asked for, and how far it has come. An Ion text struct in
//! `<data>/<ledger>.streams/<stream id>`, written whole. No keys are in it.

use std::collections::BTreeMap;

use ledgerstone_digest::Id;
use ledgerstone_digest::ion::{Limits, Struct, Symbol, Value, parse, to_text};

/// What was asked for. It never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub id: Id,
    /// The ledger's own id: another ledger of the same name has other streams.
    pub ledger: Id,
    pub name: String,
    /// Of the stream itself; it stands in every record.
    pub arn: String,
    /// Of the stream of Kinesis that takes the records.
    pub kinesis_arn: String,
    pub aggregated: bool,
    /// As given; nothing here has roles.
    pub role_arn: String,
    pub created_ms: i64,
    /// Blocks from this time on.
    pub start_ms: i64,
    /// Blocks before this time; `None`: as long as the ledger goes on.
    pub end_ms: Option<i64>,
}

/// How far a stream has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub status: Status,
    /// Why, if the stream is impaired or has failed, as far as QLDB had a name for it.
    pub cause: Option<Cause>,
    /// The same in words.
    pub detail: Option<String>,
    /// Kinesis has the record that says that the stream begins.
    pub begun: bool,
    /// Kinesis has everything of the blocks before this one.
    pub next_block: u64,
    /// When it was completed, cancelled or given up.
    pub ended_ms: Option<i64>,
    pub tags: BTreeMap<String, String>,
}

/// By QLDB's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Active,
    Completed,
    Canceled,
    Failed,
    Impaired,
}

/// By QLDB's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    StreamNotFound,
    PermissionRevoked,
}

impl Status {
    pub const ALL: [Status; 5] =
        [Status::Active, Status::Completed, Status::Canceled, Status::Failed, Status::Impaired];

    pub fn name(self) -> &'static str {
        match self {
            Status::Active => "ACTIVE",
            Status::Completed => "COMPLETED",
            Status::Canceled => "CANCELED",
            Status::Failed => "FAILED",
            Status::Impaired => "IMPAIRED",
        }
    }

    /// Nothing more will be sent.
    pub fn is_final(self) -> bool {
        !matches!(self, Status::Active | Status::Impaired)
    }
}

impl Cause {
    const ALL: [Cause; 2] = [Cause::StreamNotFound, Cause::PermissionRevoked];

    pub fn name(self) -> &'static str {
        match self {
            Cause::StreamNotFound => "KINESIS_STREAM_NOT_FOUND",
            Cause::PermissionRevoked => "IAM_PERMISSION_REVOKED",
        }
    }
}

impl Progress {
    /// Of a stream that has sent nothing yet.
    pub fn new(tags: BTreeMap<String, String>) -> Progress {
        Progress {
            status: Status::Active,
            cause: None,
            detail: None,
            begun: false,
            next_block: 0,
            ended_ms: None,
            tags,
        }
    }
}

/// Both as the file holds them.
pub fn encode(config: &Config, progress: &Progress) -> String {
    let text = |text: &str| Value::string(text);
    let tags = progress.tags.iter().map(|(key, value)| (Symbol::from(key.as_str()), text(value)));
    let fields = [
        ("id", Some(text(&config.id.to_string()))),
        ("ledger", Some(text(&config.ledger.to_string()))),
        ("name", Some(text(&config.name))),
        ("arn", Some(text(&config.arn))),
        ("kinesisArn", Some(text(&config.kinesis_arn))),
        ("aggregated", Some(Value::Bool(config.aggregated))),
        ("roleArn", Some(text(&config.role_arn))),
        ("createdMs", Some(Value::int(config.created_ms))),
        ("startMs", Some(Value::int(config.start_ms))),
        ("endMs", config.end_ms.map(Value::int)),
        ("status", Some(text(progress.status.name()))),
        ("cause", progress.cause.map(|cause| text(cause.name()))),
        ("detail", progress.detail.as_deref().map(text)),
        ("begun", Some(Value::Bool(progress.begun))),
        ("nextBlock", Some(Value::Int(progress.next_block.into()))),
        ("endedMs", progress.ended_ms.map(Value::int)),
        ("tags", Some(Value::Struct(Struct { fields: tags.collect() }))),
    ];
    let fields = fields.into_iter().filter_map(|(name, value)| Some((Symbol::from(name), value?)));
    let mut text = to_text(&Value::Struct(Struct { fields: fields.collect() }));
    text.push('\n');
    text
}

/// Reads what `encode` wrote. The error names the field.
pub fn decode(text: &str) -> Result<(Config, Progress), String> {
    let value = parse(text, &Limits::DOCUMENT).map_err(|error| format!("it is no Ion struct: {error}"))?;
    let fields = Fields(value.as_struct().ok_or("it is no Ion struct")?);
    let config = Config {
        id: fields.id("id")?,
        ledger: fields.id("ledger")?,
        name: fields.text("name")?,
        arn: fields.text("arn")?,
        kinesis_arn: fields.text("kinesisArn")?,
        aggregated: fields.bool("aggregated")?,
        role_arn: fields.text("roleArn")?,
        created_ms: fields.need("createdMs", fields.integer("createdMs")?)?,
        start_ms: fields.need("startMs", fields.integer("startMs")?)?,
        end_ms: fields.integer("endMs")?,
    };
    let status = fields.text("status")?;
    let status = Status::ALL.into_iter().find(|known| known.name() == status).ok_or("its status is not known")?;
    let cause = fields.optional_text("cause")?;
    let cause = cause.and_then(|name| Cause::ALL.into_iter().find(|known| known.name() == name));
    let next_block = fields.need("nextBlock", fields.integer("nextBlock")?)?;
    let progress = Progress {
        status,
        cause,
        detail: fields.optional_text("detail")?,
        begun: fields.bool("begun")?,
        next_block: u64::try_from(next_block).map_err(|_| "its nextBlock is no block")?,
        ended_ms: fields.integer("endedMs")?,
        tags: fields.tags()?,
    };
    Ok((config, progress))
}

struct Fields<'a>(&'a Struct);

impl Fields<'_> {
    fn need<T>(&self, name: &str, value: Option<T>) -> Result<T, String> {
        value.ok_or_else(|| format!("it has no {name}"))
    }

    fn optional_text(&self, name: &str) -> Result<Option<String>, String> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.to_string())),
            Some(_) => Err(format!("its {name} is no text")),
        }
    }

    fn text(&self, name: &str) -> Result<String, String> {
        self.need(name, self.optional_text(name)?)
    }

    fn id(&self, name: &str) -> Result<Id, String> {
        self.text(name)?.parse().map_err(|error| format!("its {name}: {error}"))
    }

    fn bool(&self, name: &str) -> Result<bool, String> {
        match self.0.get(name) {
            Some(Value::Bool(value)) => Ok(*value),
            _ => Err(format!("its {name} is neither true nor false")),
        }
    }

    fn integer(&self, name: &str) -> Result<Option<i64>, String> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Int(number)) => number.to_i64().map(Some).ok_or_else(|| format!("its {name} is out of range")),
            Some(_) => Err(format!("its {name} is no number")),
        }
    }

    fn tags(&self) -> Result<BTreeMap<String, String>, String> {
        let tags = self.need("tags", self.0.get("tags").and_then(Value::as_struct))?;
        let tag = |(key, value): &(Symbol, Value)| match value {
            Value::String(value) => Some((key.text()?.to_owned(), value.to_string())),
            _ => None,
        };
        tags.fields.iter().map(tag).collect::<Option<_>>().ok_or_else(|| "it has a tag that is no text".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(end_ms: Option<i64>) -> Config {
        Config {
            id: Id([1; 16]),
            ledger: Id([2; 16]),
            name: "audit".to_owned(),
            arn: "arn:aws:qldb:us-east-1:000000000000:stream/main/x".to_owned(),
            kinesis_arn: "arn:aws:kinesis:us-east-1:123456789012:stream/a".to_owned(),
            aggregated: end_ms.is_some(),
            role_arn: "arn:aws:iam::123456789012:role/a".to_owned(),
            created_ms: 3,
            start_ms: -4,
            end_ms,
        }
    }

    #[test]
    fn a_stream_comes_back_as_it_was_written() {
        let tags = [("a'b \"\\", "x\ny"), ("empty", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        for status in Status::ALL {
            let mut progress = Progress::new(tags.clone().into());
            assert_eq!(decode(&encode(&config(None), &progress)), Ok((config(None), progress.clone())));
            progress.status = status;
            progress.cause = Some(Cause::PermissionRevoked);
            progress.detail = Some("because".to_owned());
            (progress.begun, progress.next_block, progress.ended_ms) = (true, 7, Some(8));
            let config = config(Some(9));
            assert_eq!(decode(&encode(&config, &progress)), Ok((config, progress)));
        }
    }

    #[test]
    fn what_is_damaged_is_named() {
        let good = encode(&config(Some(9)), &Progress::new(BTreeMap::new()));
        for (from, to, word) in [
            ("\"audit\"", "1", "name"),
            ("\"ACTIVE\"", "\"ODD\"", "status"),
            ("nextBlock:0", "nextBlock:-1", "nextBlock"),
            ("nextBlock:0", "a:0", "nextBlock"),
            ("endMs:9", "endMs:9.", "endMs"),
            ("begun:false", "begun:null", "begun"),
            ("tags:{}", "tags:{a:1}", "tag"),
            ("{", "", "struct"),
        ] {
            assert!(good.contains(from), "{from} {good}");
            let error = decode(&good.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(word), "{from}: {error}");
        }
    }
}
