//! Journal streams to Kinesis: made, described, listed and cancelled. A request names a stream of Kinesis and no address:
//! where Kinesis is, and with which keys it is called, `serve` was told.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledgerstone_digest::Id;
use ledgerstone_query::database::Database;
use ledgerstone_query::instance::{Instance, check_tags};
use ledgerstone_query::permission::{Action, Resource};
use serde_json::{Value as Json, json};

use super::ledgers::check_name;
use super::tags::check_tag_keys;
use super::wire::{self, ACCOUNT, StreamJournalToKinesis};
use super::{Call, Failure, denied, of_ledger};
use crate::kinesis::{NO_KINESIS, Refused, Status, Stream, Target, Wanted};

/// QLDB's own limit for a ledger.
const STRICT_STREAMS_MAX: usize = 5;
/// Characters of an ARN, as in QLDB.
const ARN_CHARACTERS: std::ops::RangeInclusive<usize> = 20..=1_600;

impl Call<'_> {
    pub fn create_stream(&self, ledger: &str) -> Result<String, Failure> {
        self.permit_stream(ledger, Action::StreamJournal, Resource::Streams)?;
        let request: StreamJournalToKinesis = wire::read(self.body)?;
        let database = self.database(ledger)?;
        let name = wire::required(request.stream_name, "StreamName")?;
        check_name(&name, "StreamName", "a stream")?;
        let role_arn = wire::required(request.role_arn, "RoleArn")?;
        if !ARN_CHARACTERS.contains(&role_arn.chars().count()) {
            return Err(Failure::invalid_parameter(
                "RoleArn",
                "RoleArn is no ARN; it is kept, and not used for anything",
            ));
        }
        let kinesis = wire::required(request.kinesis_configuration, "KinesisConfiguration")?;
        let kinesis_arn = wire::required(kinesis.stream_arn, "KinesisConfiguration")?;
        if Target::of_arn(&kinesis_arn).is_none() {
            let what = "StreamArn is not the ARN of a stream of Kinesis, such as \
                        arn:aws:kinesis:us-east-1:123456789012:stream/audit";
            return Err(Failure::invalid_parameter("KinesisConfiguration", what));
        }
        let start_ms = wire::required(request.inclusive_start_time, "InclusiveStartTime")?;
        let start_ms = wire::epoch_ms(start_ms, "InclusiveStartTime")?;
        let end_ms = request.exclusive_end_time.map(|time| wire::epoch_ms(time, "ExclusiveEndTime")).transpose()?;
        if start_ms > database.now_ms() {
            return Err(Failure::invalid_parameter("InclusiveStartTime", "InclusiveStartTime is in the future"));
        }
        if end_ms.is_some_and(|end_ms| end_ms <= start_ms) {
            let what = "InclusiveStartTime is not before ExclusiveEndTime";
            return Err(Failure::invalid_parameter("InclusiveStartTime", what));
        }
        let tags = request.tags.unwrap_or_default();
        check_stream_tags(&tags)?;
        let wanted = Wanted {
            name: name.clone(),
            region: self.region.to_owned(),
            account: ACCOUNT,
            kinesis_arn,
            aggregated: kinesis.aggregation_enabled.unwrap_or(true),
            role_arn,
            start_ms,
            end_ms,
            tags,
            most: self.shared.options.strict.then_some(STRICT_STREAMS_MAX),
        };
        let made = self.shared.options.streams.create(&database, wanted);
        let id = made.map_err(|refused| of_stream(refused, ledger, &name))?;
        Ok(json!({ "StreamId": id.to_string() }).to_string())
    }

    pub fn describe_stream(&self, ledger: &str, id: &str) -> Result<String, Failure> {
        let (_, stream) = self.find_stream(ledger, id, Action::DescribeStream)?;
        Ok(json!({ "Stream": described(ledger, &stream) }).to_string())
    }

    pub fn list_streams(&self, ledger: &str) -> Result<String, Failure> {
        self.permit_stream(ledger, Action::ListStreams, Resource::Streams)?;
        let streams = self.shared.options.streams.of_ledger(&self.database(ledger)?);
        // The oldest first.
        let key = |stream: &Arc<Stream>| format!("{:020} {}", stream.config.created_ms, stream.config.id);
        let (page, token) = self.page(streams, key)?;
        let streams: Vec<Json> = page.iter().map(|stream| described(ledger, stream)).collect();
        let mut answer = json!({ "Streams": streams });
        if let Some(token) = token {
            answer["NextToken"] = json!(token);
        }
        Ok(answer.to_string())
    }

    pub fn cancel_stream(&self, ledger: &str, id: &str) -> Result<String, Failure> {
        let (database, stream) = self.find_stream(ledger, id, Action::CancelStream)?;
        let cancelled = self.shared.options.streams.cancel(&database, &stream);
        cancelled.map_err(|refused| of_stream(refused, ledger, id))?;
        Ok(json!({ "StreamId": id }).to_string())
    }

    pub(super) fn find_stream(
        &self,
        ledger: &str,
        id: &str,
        action: Action,
    ) -> Result<(Arc<Database>, Arc<Stream>), Failure> {
        let parsed: Option<Id> = id.parse().ok();
        let parsed =
            parsed.ok_or_else(|| Failure::invalid_parameter("StreamId", format!("\"{id}\" is no stream's id")))?;
        self.permit_stream(ledger, action, Resource::Stream { id: parsed })?;
        let database = self.database(ledger)?;
        let stream = self.shared.options.streams.find(&database, parsed);
        let missing = || Failure::not_found("Stream", id, format!("ledger \"{ledger}\" has no stream {id}"));
        Ok((database, stream.ok_or_else(missing)?))
    }

    fn permit_stream(&self, ledger: &str, action: Action, resource: Resource<'_>) -> Result<(), Failure> {
        let instance: &Instance = &self.shared.instance;
        instance.check_resource(ledger, self.user, action, resource).map_err(|error| denied(&error))
    }

    fn database(&self, ledger: &str) -> Result<Arc<Database>, Failure> {
        self.shared.instance.ledger(ledger).map_err(|error| of_ledger(error, ledger))
    }
}

/// A stream as the API shows it. `ErrorDetail` is ours; SDKs pass it over.
fn described(ledger: &str, stream: &Stream) -> Json {
    let (config, progress) = (&stream.config, stream.progress());
    let mut shown = json!({
        "LedgerName": ledger,
        "CreationTime": wire::seconds(config.created_ms),
        "InclusiveStartTime": wire::seconds(config.start_ms),
        "RoleArn": config.role_arn,
        "StreamId": config.id.to_string(),
        "Arn": config.arn,
        "Status": progress.status.name(),
        "KinesisConfiguration": { "StreamArn": config.kinesis_arn, "AggregationEnabled": config.aggregated },
        "StreamName": config.name,
    });
    if let Some(end_ms) = config.end_ms {
        shown["ExclusiveEndTime"] = wire::seconds(end_ms);
    }
    if matches!(progress.status, Status::Impaired | Status::Failed) {
        if let Some(cause) = progress.cause {
            shown["ErrorCause"] = json!(cause.name());
        }
        if let Some(detail) = progress.detail {
            shown["ErrorDetail"] = json!(detail);
        }
    }
    shown
}

fn check_stream_tags(tags: &BTreeMap<String, String>) -> Result<(), Failure> {
    check_tag_keys(tags.keys())?;
    check_tags(tags).map_err(|error| Failure::invalid_parameter("Tags", error.message))
}

fn of_stream(refused: Refused, ledger: &str, stream: &str) -> Failure {
    let unmet = |message: String| Failure::precondition_not_met("Stream", stream, message);
    match refused {
        Refused::NoKinesis => unmet(NO_KINESIS.to_owned()),
        Refused::NameInUse => {
            unmet(format!("ledger \"{ledger}\" has a stream \"{stream}\" that goes on; cancel it first"))
        }
        Refused::TooMany(most) => Failure::too_many("Stream", format!("{most} streams go on already; cancel some")),
        Refused::Ended(status) => unmet(format!("the stream has ended: it is {}", status.name())),
        Refused::Failed(error) => of_ledger(error, ledger),
    }
}
