//! Tags of ledgers and of journal streams, by their ARNs.

use std::collections::BTreeMap;

use ledgerstone_query::instance::LedgerSettings;
use ledgerstone_query::permission::Action;
use serde_json::json;

use super::wire::{self, Tags};
use super::{Call, Failure, of_ledger};
use crate::arn::qldb_resource;

/// What has tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tagged<'a> {
    Ledger(&'a str),
    Stream { ledger: &'a str, id: &'a str },
}

impl Call<'_> {
    pub fn tags(&self, arn: &str) -> Result<String, Failure> {
        let tags = match tagged(arn)? {
            Tagged::Ledger(ledger) => {
                self.permit(ledger, Action::ListTagsForResource)?;
                self.shared.instance.settings(ledger).map_err(|error| of_ledger(error, ledger))?.tags
            }
            Tagged::Stream { ledger, id } => {
                self.find_stream(ledger, id, Action::ListTagsForResource)?.1.progress().tags
            }
        };
        Ok(json!({ "Tags": tags }).to_string())
    }

    pub fn tag(&self, arn: &str) -> Result<String, Failure> {
        let resource = tagged(arn)?;
        let tags = wire::required(wire::read::<Tags>(self.body)?.tags, "Tags")?;
        check_tag_keys(tags.keys())?;
        self.change_tags(resource, Action::TagResource, |all| all.extend(tags))
    }

    pub fn untag(&self, arn: &str) -> Result<String, Failure> {
        let resource = tagged(arn)?;
        let keys: Vec<&str> = self.query.iter().filter(|(k, _)| k == "tagKeys").map(|(_, v)| v.as_str()).collect();
        if keys.is_empty() {
            return Err(Failure::invalid_parameter("tagKeys", "tagKeys is missing"));
        }
        self.change_tags(resource, Action::UntagResource, |all| all.retain(|key, _| !keys.contains(&key.as_str())))
    }

    fn change_tags(
        &self,
        resource: Tagged<'_>,
        action: Action,
        change: impl FnOnce(&mut BTreeMap<String, String>),
    ) -> Result<String, Failure> {
        let (ledger, changed) = match resource {
            Tagged::Ledger(ledger) => {
                self.permit(ledger, action)?;
                let change = |settings: &mut LedgerSettings| change(&mut settings.tags);
                (ledger, self.shared.instance.change_settings(ledger, change).map(drop))
            }
            Tagged::Stream { ledger, id } => {
                let (database, stream) = self.find_stream(ledger, id, action)?;
                (ledger, self.shared.options.streams.change_tags(&database, &stream, change))
            }
        };
        changed.map_err(|error| match of_ledger(error, ledger) {
            Failure { parameter: Some(_), message, .. } => Failure::invalid_parameter("Tags", message),
            other => other,
        })?;
        Ok("{}".to_owned())
    }
}

pub(super) fn check_tag_keys<'a>(mut keys: impl Iterator<Item = &'a String>) -> Result<(), Failure> {
    match keys.any(|key| key.starts_with("aws:")) {
        true => Err(Failure::invalid_parameter("Tags", "keys of tags do not begin with aws:")),
        false => Ok(()),
    }
}

/// `arn:aws:qldb:REGION:ACCOUNT:ledger/NAME`, or the same of `stream/LEDGER/ID`.
fn tagged(arn: &str) -> Result<Tagged<'_>, Failure> {
    let parts: Vec<&str> = qldb_resource(arn).map(|resource| resource.split('/').collect()).unwrap_or_default();
    match parts[..] {
        ["ledger", name] => Ok(Tagged::Ledger(name)),
        ["stream", ledger, id] => Ok(Tagged::Stream { ledger, id }),
        _ => {
            let what = "ResourceArn is neither the ARN of a ledger, such as arn:aws:qldb:us-east-1:000000000000:ledger/main, \
                        nor that of a stream";
            Err(Failure::invalid_parameter("ResourceArn", what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_name_ledgers_and_streams() {
        assert_eq!(tagged("arn:aws:qldb:eu-west-1:123456789012:ledger/main"), Ok(Tagged::Ledger("main")));
        let stream = Tagged::Stream { ledger: "main", id: "x" };
        assert_eq!(tagged("arn:aws:qldb:a:b:stream/main/x"), Ok(stream));
        for bad in
            ["", "main", "arn:aws:s3:::ledger/main", "arn:aws:qldb:a:b:stream/main", "arn:aws:qldb:a:b:ledger/a/b"]
        {
            assert!(tagged(bad).is_err(), "{bad}");
        }
    }
}
