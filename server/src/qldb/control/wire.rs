//! Requests and answers of the control API. Times are seconds since 1970, Ion values are Ion text.

use std::collections::BTreeMap;

use axum::body::Bytes;
use ledgerstone_digest::Id;
use ledgerstone_digest::ion::{Limits, Value, parse, to_text};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::Failure;

/// The account in ARNs: there are no accounts.
pub const ACCOUNT: &str = "000000000000";

/// The key of a ledger that QLDB itself would take: the only one that means something here.
pub const OWNED_KEY: &str = "AWS_OWNED_KMS_KEY";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateLedger {
    pub name: Option<String>,
    pub permissions_mode: Option<String>,
    pub deletion_protection: Option<bool>,
    pub kms_key: Option<String>,
    #[serde(default)]
    pub tags: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateLedger {
    pub deletion_protection: Option<bool>,
    pub kms_key: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdatePermissionsMode {
    pub permissions_mode: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetBlock {
    pub block_address: Option<IonText>,
    pub digest_tip_address: Option<IonText>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetRevision {
    pub block_address: Option<IonText>,
    pub document_id: Option<String>,
    pub digest_tip_address: Option<IonText>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tags {
    pub tags: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamJournalToKinesis {
    pub role_arn: Option<String>,
    pub tags: Option<BTreeMap<String, String>>,
    pub inclusive_start_time: Option<f64>,
    pub exclusive_end_time: Option<f64>,
    pub kinesis_configuration: Option<KinesisConfiguration>,
    pub stream_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KinesisConfiguration {
    pub stream_arn: Option<String>,
    pub aggregation_enabled: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ExportJournal {
    pub inclusive_start_time: Option<f64>,
    pub exclusive_end_time: Option<f64>,
    #[serde(rename = "S3ExportConfiguration")]
    pub s3: Option<S3Export>,
    pub role_arn: Option<String>,
    pub output_format: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct S3Export {
    pub bucket: Option<String>,
    pub prefix: Option<String>,
    pub encryption_configuration: Option<S3Encryption>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct S3Encryption {
    pub object_encryption_type: Option<String>,
    pub kms_key_arn: Option<String>,
}

/// QLDB's ValueHolder, which has no other form here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct IonText {
    ion_text: Option<String>,
}

/// A block address as a request gives it.
#[derive(Debug, PartialEq, Eq)]
pub struct Address {
    pub strand: Id,
    pub sequence_no: u64,
}

/// A request's body; an absent one is an empty struct.
pub fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Failure> {
    let body: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| Failure::invalid_parameter("body", format!("the request's body cannot be read: {error}")))
}

/// What a request must have.
pub fn required<T>(member: Option<T>, name: &'static str) -> Result<T, Failure> {
    member.ok_or_else(|| Failure::invalid_parameter(name, format!("{name} is missing")))
}

impl IonText {
    /// `{strandId: "…", sequenceNo: n}`.
    pub fn address(&self, name: &'static str) -> Result<Address, Failure> {
        let wrong = || {
            let what = format!("{name} is not an Ion struct such as {{strandId:\"…\",sequenceNo:14}}");
            Failure::invalid_parameter(name, what)
        };
        let text = self.ion_text.as_deref().ok_or_else(wrong)?;
        let value = parse(text, &Limits::DOCUMENT).map_err(|_| wrong())?;
        let fields = value.as_struct().ok_or_else(wrong)?;
        let strand = match fields.get("strandId") {
            Some(Value::String(text)) => text.parse().map_err(|_| wrong())?,
            _ => return Err(wrong()),
        };
        let sequence_no = match fields.get("sequenceNo") {
            Some(Value::Int(number)) => number.to_u64().ok_or_else(wrong)?,
            _ => return Err(wrong()),
        };
        Ok(Address { strand, sequence_no })
    }
}

/// A value as this API gives it.
pub fn ion_text(value: &Value) -> Json {
    json!({ "IonText": to_text(value) })
}

/// Seconds since 1970, with a fraction.
pub fn seconds(ms: i64) -> Json {
    json!(ms as f64 / 1000.0)
}

/// Milliseconds since 1970 of such seconds.
pub fn epoch_ms(seconds: f64, name: &'static str) -> Result<i64, Failure> {
    // From the year 1 to 9999: exact in a double, and far from the ends of an i64.
    match (-62_135_596_800.0..253_402_300_800.0).contains(&seconds) {
        true => Ok((seconds * 1000.0).round() as i64),
        false => Err(Failure::invalid_parameter(name, format!("{name} is no time in seconds since 1970"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_with_a_fraction() {
        assert_eq!(epoch_ms(1_700_000_000.123, "T"), Ok(1_700_000_000_123));
        assert_eq!(epoch_ms(-0.0005, "T"), Ok(-1));
        for bad in [f64::NAN, f64::INFINITY, 1e300, -1e300, 1.7e12] {
            assert!(epoch_ms(bad, "T").is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_ion_structs() {
        let address = |text: &str| IonText { ion_text: Some(text.to_owned()) }.address("BlockAddress");
        let strand = "001IYT0XLWR0glqewhlWlr";
        let good = format!("{{strandId:\"{strand}\", sequenceNo:14}}");
        assert_eq!(address(&good), Ok(Address { strand: strand.parse().unwrap(), sequence_no: 14 }));
        for bad in
            ["", "1", "{}", "{strandId:\"x\",sequenceNo:1}", &good.replace("14", "-1"), &good.replace("14", "1.")]
        {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
