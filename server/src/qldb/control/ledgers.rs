//! Ledgers made, listed, described, changed and deleted.

use ledgerstone_query::instance::{LedgerSettings, NAME_CHARACTERS_MAX, PermissionsMode};
use ledgerstone_query::permission::Action;
use serde_json::{Value as Json, json};

use super::tags::check_tag_keys;
use super::wire::{self, CreateLedger, OWNED_KEY, UpdateLedger, UpdatePermissionsMode};
use super::{Call, Failure, of_ledger};

/// QLDB's own limit for an account and a region.
const STRICT_LEDGERS_MAX: usize = 5;

impl Call<'_> {
    pub fn create_ledger(&self) -> Result<String, Failure> {
        let request: CreateLedger = wire::read(self.body)?;
        let name = wire::required(request.name, "Name")?;
        self.permit(&name, Action::CreateLedger)?;
        check_name(&name, "Name", "a ledger")?;
        check_key(request.kms_key.as_deref())?;
        let mode = wire::required(request.permissions_mode, "PermissionsMode")?;
        let settings = LedgerSettings { permissions: mode_of(&mode)?, tags: request.tags.unwrap_or_default() };
        check_tag_keys(settings.tags.keys())?;
        let protected = request.deletion_protection.unwrap_or(true);
        let instance = &self.shared.instance;
        if self.shared.options.strict && instance.ledgers().len() >= STRICT_LEDGERS_MAX {
            return Err(Failure::too_many("Ledger", format!("there are {STRICT_LEDGERS_MAX} ledgers already")));
        }
        let made = instance.create_ledger_with(&name, protected, &settings).map_err(|error| of_ledger(error, &name))?;
        let mut answer = self.summary(&name, made.ledger().created_ms());
        answer["PermissionsMode"] = json!(settings.permissions.name());
        answer["DeletionProtection"] = json!(protected);
        Ok(answer.to_string())
    }

    pub fn list_ledgers(&self) -> Result<String, Failure> {
        self.permit("*", Action::ListLedgers)?;
        let names = self.shared.instance.ledgers().into_iter().map(|ledger| ledger.name).collect();
        let (names, token) = self.page(names, String::clone)?;
        let ledgers: Vec<Json> = names.iter().map(|name| self.listed(name)).collect();
        let mut answer = json!({ "Ledgers": ledgers });
        if let Some(token) = token {
            answer["NextToken"] = json!(token);
        }
        Ok(answer.to_string())
    }

    /// One that cannot be opened is listed too, with what is known of it.
    fn listed(&self, name: &str) -> Json {
        let created_ms = self.shared.instance.ledger(name).map_or(0, |database| database.ledger().created_ms());
        json!({ "Name": name, "State": "ACTIVE", "CreationDateTime": wire::seconds(created_ms) })
    }

    pub fn describe_ledger(&self, name: &str) -> Result<String, Failure> {
        self.permit(name, Action::DescribeLedger)?;
        let mut answer = self.described(name)?;
        let settings = self.shared.instance.settings(name).map_err(|error| of_ledger(error, name))?;
        answer["PermissionsMode"] = json!(settings.permissions.name());
        Ok(answer.to_string())
    }

    pub fn update_ledger(&self, name: &str) -> Result<String, Failure> {
        self.permit(name, Action::UpdateLedger)?;
        let request: UpdateLedger = wire::read(self.body)?;
        check_key(request.kms_key.as_deref())?;
        if let Some(protected) = request.deletion_protection {
            let set = self.shared.instance.set_deletion_protection(name, protected);
            set.map_err(|error| of_ledger(error, name))?;
        }
        Ok(self.described(name)?.to_string())
    }

    pub fn update_permissions_mode(&self, name: &str) -> Result<String, Failure> {
        self.permit(name, Action::UpdatePermissionsMode)?;
        let request: UpdatePermissionsMode = wire::read(self.body)?;
        let mode = mode_of(&wire::required(request.permissions_mode, "PermissionsMode")?)?;
        let changed = self.shared.instance.change_settings(name, |settings| settings.permissions = mode);
        changed.map_err(|error| of_ledger(error, name))?;
        Ok(json!({ "Name": name, "Arn": self.arn(name), "PermissionsMode": mode.name() }).to_string())
    }

    /// Its key stays where it is: what was signed can be verified for ever.
    pub fn delete_ledger(&self, name: &str) -> Result<String, Failure> {
        self.permit(name, Action::DeleteLedger)?;
        self.shared.instance.drop_ledger(name).map_err(|error| of_ledger(error, name))?;
        Ok(String::new())
    }

    fn described(&self, name: &str) -> Result<Json, Failure> {
        let instance = &self.shared.instance;
        let database = instance.ledger(name).map_err(|error| of_ledger(error, name))?;
        let mut answer = self.summary(name, database.ledger().created_ms());
        answer["DeletionProtection"] = json!(instance.is_protected(name));
        Ok(answer)
    }

    fn summary(&self, name: &str, created_ms: i64) -> Json {
        let created = wire::seconds(created_ms);
        json!({ "Name": name, "Arn": self.arn(name), "State": "ACTIVE", "CreationDateTime": created })
    }
}

fn mode_of(name: &str) -> Result<PermissionsMode, Failure> {
    let wrong = || Failure::invalid_parameter("PermissionsMode", "PermissionsMode is ALLOW_ALL or STANDARD");
    PermissionsMode::from_name(name).ok_or_else(wrong)
}

/// QLDB's rule, which is stricter than ours.
pub(super) fn check_name(name: &str, parameter: &'static str, what: &str) -> Result<(), Failure> {
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let hyphens = name.starts_with('-') || name.ends_with('-') || name.contains("--");
    let digits = name.bytes().all(|b| b.is_ascii_digit());
    if (1..=NAME_CHARACTERS_MAX).contains(&name.len()) && letters && !hyphens && !digits {
        return Ok(());
    }
    Err(Failure::invalid_parameter(
        parameter,
        format!(
            "\"{name}\" cannot be the name of {what}: 1 to {NAME_CHARACTERS_MAX} letters, digits and hyphens, not digits \
             only, no hyphen at an end or beside another"
        ),
    ))
}

/// Nothing is encrypted here, so a key of the caller's must not seem to be used.
fn check_key(key: Option<&str>) -> Result<(), Failure> {
    match key {
        None | Some(OWNED_KEY) => Ok(()),
        Some(_) => Err(Failure::invalid_parameter(
            "KmsKey",
            format!("this server encrypts no files; encrypt its disk, and leave KmsKey out or give {OWNED_KEY}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_qldb_took() {
        for good in ["a", "vehicle-registration", "1a", &"x".repeat(32)] {
            assert_eq!(check_name(good, "Name", "a ledger"), Ok(()), "{good}");
        }
        for bad in ["", "12", "-a", "a-", "a--b", "a_b", "a b", "ä", &"x".repeat(33)] {
            assert!(check_name(bad, "Name", "a ledger").is_err(), "{bad}");
        }
    }
}
