//! The file of `serve --policy`: who may do what, in the form of IAM's policies, so that what guarded a ledger in AWS can
//! be taken over ("Identity-based policies" in the developer guides of IAM and QLDB).
//!
//! ```json
//! { "clerk": [ { "Effect": "Allow", "Action": ["qldb:SendCommand", "qldb:PartiQLSelect"], "Resource": "*" } ] }
//! ```
//!
//! A user has the statements under its name and those under `*`. What no statement allows is denied; what one denies is,
//! whatever others allow. `*` stands for any characters and `?` for one. Resources are ARNs whose region and account are
//! not looked at; a table is named by its id or by its name.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ledgerstone_query::permission::{Action, Policy, Resource};
use ledgerstone_query::wildcard::{self, Token};
use serde::Deserialize;

use crate::arn::qldb_resource;
use crate::trusted_file::{FileError, read_authority};

const FILE_BYTES_MAX: u64 = 4 << 20;
/// The user whose statements hold for all.
const EVERYBODY: &str = "*";

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("--policy: the policy {0}")]
    File(#[from] FileError),
    #[error(
        "--policy {}: {source}; a policy is an object of users, each with a list of statements, such as \
         {{\"clerk\": [{{\"Effect\": \"Allow\", \"Action\": \"qldb:SendCommand\", \"Resource\": \"*\"}}]}}",
        path.display()
    )]
    Form { path: PathBuf, source: serde_json::Error },
    #[error("--policy {}: {what}", path.display())]
    Statement { path: PathBuf, what: String },
}

/// Statements by user.
#[derive(Debug)]
pub struct Policies(HashMap<String, Vec<Statement>>);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Statement {
    #[serde(rename = "Sid")]
    _sid: Option<String>,
    effect: Effect,
    action: OneOrMore,
    resource: OneOrMore,
}

#[derive(Debug, Deserialize, PartialEq)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl Policies {
    pub fn read(path: &Path) -> Result<Policies, PolicyError> {
        let text = read_authority(path, FILE_BYTES_MAX)?.text;
        let policies = Policies::parse(&text).map_err(|source| PolicyError::Form { path: path.to_owned(), source })?;
        policies.check().map_err(|what| PolicyError::Statement { path: path.to_owned(), what })?;
        Ok(policies)
    }

    fn parse(text: &str) -> Result<Policies, serde_json::Error> {
        serde_json::from_str(text).map(Policies)
    }

    /// A resource that is not an ARN, and an action that there is not, match nothing: they must not seem to forbid.
    fn check(&self) -> Result<(), String> {
        for (user, statements) in &self.0 {
            for (number, statement) in (1..).zip(statements) {
                if statement.action.all().is_empty() || statement.resource.all().is_empty() {
                    return Err(format!("statement {number} of \"{user}\" is of no action, or of no resource"));
                }
                if let Some(action) = statement.action.all().iter().find(|action| !statement.may_name(action)) {
                    return Err(format!(
                        "statement {number} of \"{user}\": \"{action}\" is no action, nor a pattern of one; QLDB's are named as \
                         qldb:PartiQLSelect, those of other services can stand in statements that allow and mean nothing here"
                    ));
                }
                let wrong = statement.resource.all().iter().find(|resource| resource_part(resource).is_none());
                if let Some(resource) = wrong {
                    return Err(format!(
                        "statement {number} of \"{user}\": \"{resource}\" is neither * nor an ARN of QLDB, such as \
                         arn:aws:qldb:*:*:ledger/main/table/*"
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Policy for Policies {
    fn allows(&self, user: &str, ledger: &str, action: Action, resource: Resource<'_>) -> bool {
        let named = resources(ledger, resource);
        let statements = [user, EVERYBODY].into_iter().filter_map(|user| self.0.get(user)).flatten();
        let mut allowed = false;
        for statement in statements.filter(|statement| statement.concerns(action, &named)) {
            if statement.effect == Effect::Deny {
                return false;
            }
            allowed = true;
        }
        allowed
    }
}

/// Actions of QLDB's console, which nothing here asks for.
const OF_THE_CONSOLE: [&str; 3] = ["qldb:ExecuteStatement", "qldb:InsertSampleData", "qldb:ShowCatalog"];

impl Statement {
    /// Whether a pattern of actions stands for one at least. Others, of QLDB's console and of other services, are taken over with
    /// the statements that they stand in where they allow: there they give nothing.
    fn may_name(&self, pattern: &str) -> bool {
        let lower = pattern.to_ascii_lowercase();
        let is = |name: &str| matches(&lower, &name.to_ascii_lowercase());
        if Action::ALL.into_iter().any(|action| is(action.name())) {
            return true;
        }
        let of_others = |(service, _): (&str, &str)| !matches!(service, "qldb" | "ledgerstone");
        self.effect == Effect::Allow
            && (OF_THE_CONSOLE.into_iter().any(is) || lower.split_once(':').is_some_and(of_others))
    }

    fn concerns(&self, action: Action, named: &[String]) -> bool {
        // IAM's actions are the same in any case, its resources are not.
        let name = action.name().to_ascii_lowercase();
        let acts = self.action.all().iter().any(|pattern| matches(&pattern.to_ascii_lowercase(), &name));
        let mut resources = self.resource.all().iter().filter_map(|resource| resource_part(resource));
        acts && resources.any(|pattern| named.iter().any(|name| matches(pattern, name)))
    }
}

impl OneOrMore {
    fn all(&self) -> &[String] {
        match self {
            OneOrMore::One(one) => std::slice::from_ref(one),
            OneOrMore::More(more) => more,
        }
    }
}

/// The last part of an ARN of QLDB; all of `*`.
fn resource_part(arn: &str) -> Option<&str> {
    if arn == "*" { Some(arn) } else { qldb_resource(arn) }
}

/// What a resource is called: a table has two names.
fn resources(ledger: &str, resource: Resource<'_>) -> Vec<String> {
    match resource {
        Resource::Ledger => vec![format!("ledger/{ledger}")],
        Resource::Table { id, name } => {
            vec![format!("ledger/{ledger}/table/{id}"), format!("ledger/{ledger}/table/{name}")]
        }
        // As in QLDB, only a pattern for all tables covers one that is to be made.
        Resource::NewTable => vec![format!("ledger/{ledger}/table/*")],
        Resource::Catalogue => vec![format!("ledger/{ledger}/information_schema/user_tables")],
        Resource::Stream { id } => vec![format!("stream/{ledger}/{id}")],
        Resource::Streams => vec![format!("stream/{ledger}/*")],
    }
}

/// Whether a text is one that a pattern with `*` and `?` stands for.
fn matches(pattern: &str, text: &str) -> bool {
    let tokens: Vec<Token> = pattern
        .chars()
        .map(|c| match c {
            '*' => Token::Any,
            '?' => Token::One,
            c => Token::Char(c),
        })
        .collect();
    wildcard::matches(&tokens, text)
}

#[cfg(test)]
mod tests {
    use ledgerstone_digest::Id;

    use super::*;

    const TABLE: Resource<'static> = Resource::Table { id: ledgerstone_digest::Id([0; 16]), name: "Vehicle" };

    fn policies(text: &str) -> Policies {
        let policies = Policies::parse(text).unwrap();
        policies.check().unwrap();
        policies
    }

    #[test]
    fn only_what_is_allowed_is() {
        let policies = policies(
            r#"{"clerk": [
                {"Sid": "Read", "Effect": "Allow", "Action": "qldb:PartiQLSelect", "Resource": "arn:aws:qldb:*:*:ledger/main/table/*"},
                {"Effect": "Allow", "Action": ["qldb:PartiQLI*"], "Resource": ["arn:aws:qldb:us-east-1:1:ledger/main/table/Vehicle"]}],
              "chief": [
                {"Effect": "Allow", "Action": "*", "Resource": "*"},
                {"Effect": "Deny", "Action": "qldb:partiqlDELETE", "Resource": "arn:aws:qldb:*:*:ledger/main/table/0000000000000000000000"}],
              "*": [{"Effect": "Allow", "Action": "qldb:SendCommand", "Resource": "arn:aws:qldb:*:*:ledger/m??n"}]}"#,
        );
        let other = Resource::Table { id: ledgerstone_digest::Id([1; 16]), name: "Person" };
        let may = |user, action, resource| policies.allows(user, "main", action, resource);
        assert!(may("clerk", Action::Select, TABLE) && may("clerk", Action::Select, other));
        assert!(may("clerk", Action::Insert, TABLE) && !may("clerk", Action::Insert, other));
        assert!(!may("clerk", Action::Delete, TABLE) && !may("clerk", Action::Select, Resource::Catalogue));
        assert!(!policies.allows("clerk", "other", Action::Select, TABLE));
        assert!(may("chief", Action::Delete, other) && !may("chief", Action::Delete, TABLE));
        assert!(may("chief", Action::CreateTable, Resource::NewTable));
        assert!(!may("clerk", Action::CreateTable, Resource::NewTable));
        for user in ["clerk", "chief", "nobody"] {
            assert!(may(user, Action::SendCommand, Resource::Ledger), "{user}");
        }
        assert!(!policies.allows("nobody", "moon2", Action::SendCommand, Resource::Ledger));
    }

    #[test]
    fn streams_are_resources_of_their_own() {
        let policies = policies(
            r#"{"clerk": [{"Effect": "Allow", "Action": "qldb:*Stream*", "Resource": "arn:aws:qldb:*:*:stream/main/0000000000000000000001"}],
                "chief": [{"Effect": "Allow", "Action": "qldb:*Stream*", "Resource": "arn:aws:qldb:*:*:stream/main/*"}],
                "other": [{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:qldb:*:*:ledger/main*"}]}"#,
        );
        let may = |user, action, resource| policies.allows(user, "main", action, resource);
        let (first, second) = (Resource::Stream { id: Id::system(1) }, Resource::Stream { id: Id::system(2) });
        assert!(may("clerk", Action::CancelStream, first) && !may("clerk", Action::DescribeStream, second));
        assert!(!may("clerk", Action::StreamJournal, Resource::Streams), "not a stream that is to be made");
        assert!(
            may("chief", Action::StreamJournal, Resource::Streams)
                && may("chief", Action::ListStreams, Resource::Streams)
        );
        assert!(may("chief", Action::CancelStream, second) && !may("chief", Action::GetBlock, Resource::Ledger));
        assert!(!may("other", Action::StreamJournal, Resource::Streams));
        assert!(!policies.allows("chief", "other", Action::CancelStream, first));
    }

    #[test]
    fn what_is_not_understood_is_refused_and_not_passed_over() {
        for text in [
            r#"{"a": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {}}]}"#,
            r#"{"a": [{"Effect": "Allow", "NotAction": "*", "Resource": "*"}]}"#,
            r#"{"a": [{"Effect": "allow", "Action": "*", "Resource": "*"}]}"#,
            r#"{"a": [{"Effect": "Allow", "Action": "*"}]}"#,
        ] {
            assert!(Policies::parse(text).is_err(), "{text}");
        }
        let arn = r#"{"a": [{"Effect": "Deny", "Action": "*", "Resource": "ledger/main"}]}"#;
        assert!(Policies::parse(arn).unwrap().check().is_err());
    }

    #[test]
    fn an_action_that_there_is_not_does_not_seem_to_forbid() {
        let check = |effect: &str, action: &str| {
            let text = format!(r#"{{"a": [{{"Effect": "{effect}", "Action": "{action}", "Resource": "*"}}]}}"#);
            Policies::parse(&text).unwrap().check()
        };
        for action in
            ["*", "qldb:*", "QLDB:partiqlselect", "qldb:PartiQL?elect", "ledgerstone:Backup", "qldb:UpdateLedger*"]
        {
            assert_eq!((check("Allow", action), check("Deny", action)), (Ok(()), Ok(())), "{action}");
        }
        for action in ["dbqms:*", "qldb:ShowCatalog"] {
            assert!(check("Allow", action).is_ok() && check("Deny", action).is_err(), "{action}");
        }
        let none = r#"{"a": [{"Effect": "Deny", "Action": [], "Resource": "*"}]}"#;
        assert!(Policies::parse(none).unwrap().check().is_err());
        for action in ["qldb:PartiQLDelte", "qldb:X*", "PartiQLDelete", "ledgerstone:Fly", ""] {
            assert!(check("Allow", action).is_err() && check("Deny", action).is_err(), "{action}");
        }
        let error = check("Deny", "dqlb:PartiQLDelete").unwrap_err();
        assert!(error.starts_with("statement 1 of \"a\": \"dqlb:PartiQLDelete\" is no action"), "{error}");
    }

    #[test]
    fn patterns_match_as_in_iam() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("", "", true),
            ("?", "", false),
            ("a*b*c", "a--b--b--c", true),
            ("a*b*c", "a--c--b", false),
            ("*a", "aaab", false),
            ("ä?", "äö", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        assert!(!matches(&"*a".repeat(200), &"a".repeat(199)));
    }
}
