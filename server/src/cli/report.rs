//! What a check found, for people and for scripts: what is proved, what is not, and where it broke. The exit status is
//! 0 if everything holds, 1 if something does not, 2 if something could not be checked.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use super::terminal::{Style, put, say};

/// Columns of a terminal that long lines are broken to.
const WIDTH: usize = 110;

/// The outcome of a check; the worst of several is the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Outcome {
    #[serde(rename = "holds")]
    Holds,
    #[serde(rename = "could not be checked")]
    Unchecked,
    #[serde(rename = "does not hold")]
    Broken,
}

impl Outcome {
    pub fn exit_status(self) -> u8 {
        match self {
            Outcome::Holds => 0,
            Outcome::Broken => 1,
            Outcome::Unchecked => 2,
        }
    }
}

impl From<ledgerstone_journal::verify::Verdict> for Outcome {
    fn from(verdict: ledgerstone_journal::verify::Verdict) -> Self {
        use ledgerstone_journal::verify::Verdict;
        match verdict {
            Verdict::Holds => Outcome::Holds,
            Verdict::CouldNotBeChecked => Outcome::Unchecked,
            Verdict::DoesNotHold => Outcome::Broken,
        }
    }
}

/// One thing that is wrong, or stood in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The byte in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    pub what: String,
}

/// A value with its name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fact {
    pub name: &'static str,
    pub value: serde_json::Value,
    /// For people, where it differs from the value; empty: not shown to them.
    #[serde(skip)]
    text: Option<String>,
}

/// What was checked, and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// What was looked at: a path, as it was given.
    pub subject: String,
    /// What it turned out to be.
    pub kind: &'static str,
    pub outcome: Outcome,
    pub facts: Vec<Fact>,
    pub proved: Vec<String>,
    pub not_proved: Vec<String>,
    pub findings: Vec<Finding>,
    /// What to do next.
    pub advice: Option<String>,
}

impl Check {
    pub fn new(subject: &Path, kind: &'static str) -> Check {
        Check {
            subject: subject.display().to_string(),
            kind,
            outcome: Outcome::Holds,
            facts: Vec::new(),
            proved: Vec::new(),
            not_proved: Vec::new(),
            findings: Vec::new(),
            advice: None,
        }
    }

    pub fn holds(&self) -> bool {
        self.outcome == Outcome::Holds
    }

    pub fn fact(&mut self, name: &'static str, value: impl Into<serde_json::Value>) {
        self.facts.push(Fact { name, value: value.into(), text: None });
    }

    /// A fact that people read differently than programs.
    pub fn fact_as(&mut self, name: &'static str, value: impl Into<serde_json::Value>, text: impl Into<String>) {
        self.facts.push(Fact { name, value: value.into(), text: Some(text.into()) });
    }

    /// A fact for programs, which people find elsewhere.
    pub fn fact_hidden(&mut self, name: &'static str, value: impl Into<serde_json::Value>) {
        self.fact_as(name, value, "");
    }

    pub fn proved(&mut self, what: impl Into<String>) {
        self.proved.push(what.into());
    }

    pub fn not_proved(&mut self, what: impl Into<String>) {
        self.not_proved.push(what.into());
    }

    pub fn finding(&mut self, finding: Finding) {
        self.outcome = self.outcome.max(finding.outcome);
        self.findings.push(finding);
    }

    pub fn broken(mut self, what: impl Into<String>) -> Check {
        self.finding(Finding::of(Outcome::Broken, what));
        self
    }

    pub fn unchecked(mut self, what: impl Into<String>) -> Check {
        self.finding(Finding::of(Outcome::Unchecked, what));
        self
    }

    pub fn advice(mut self, what: impl Into<String>) -> Check {
        self.advice = Some(what.into());
        self
    }

    fn to_json(&self) -> serde_json::Value {
        let facts: serde_json::Map<String, serde_json::Value> =
            self.facts.iter().map(|fact| (fact.name.replace(' ', "_"), fact.value.clone())).collect();
        serde_json::json!({
            "subject": self.subject,
            "kind": self.kind,
            "outcome": self.outcome,
            "facts": facts,
            "proved": self.proved,
            "not_proved": self.not_proved,
            "findings": self.findings,
            "advice": self.advice,
        })
    }

    /// The check as people read it.
    pub fn to_text(&self, style: Style) -> String {
        let mut out = String::new();
        let mark = match self.outcome {
            Outcome::Holds => style.green("✓ holds"),
            Outcome::Broken => style.red("✗ DOES NOT HOLD"),
            Outcome::Unchecked => style.yellow("? could not be checked"),
        };
        out.push_str(&format!("{mark}  {}  {}\n", style.bold(&self.subject), style.dim(self.kind)));
        for finding in &self.findings {
            let bullet = if finding.outcome == Outcome::Broken { style.red("✗") } else { style.yellow("?") };
            let place = finding.place();
            if !place.is_empty() {
                out.push_str(&format!("\n  {bullet} {}\n", style.bold(&place)));
                push_wrapped(&mut out, "      ", "      ", &finding.what);
            } else {
                out.push('\n');
                push_wrapped(&mut out, &format!("  {bullet} "), "    ", &finding.what);
            }
        }
        let width = self.facts.iter().map(|fact| fact.name.len()).max().unwrap_or(0).max(10);
        if !self.facts.is_empty() {
            out.push('\n');
        }
        for fact in self.facts.iter().filter(|fact| fact.text.as_deref() != Some("")) {
            let value = match (&fact.text, &fact.value) {
                (Some(text), _) => text.clone(),
                (None, serde_json::Value::String(text)) => text.clone(),
                (None, value) => value.to_string(),
            };
            let name = format!("{:width$}", fact.name);
            let indent = " ".repeat(width + 4);
            let mut lines = value.lines();
            out.push_str(&format!("  {}  {}\n", style.dim(&name), lines.next().unwrap_or_default()));
            lines.for_each(|line| out.push_str(&format!("{indent}{line}\n")));
        }
        push_list(&mut out, "Proved", &self.proved, style);
        push_list(&mut out, "Not proved", &self.not_proved, style);
        if let Some(advice) = &self.advice {
            out.push('\n');
            advice.lines().for_each(|line| out.push_str(&format!("  {line}\n")));
        }
        out
    }
}

impl Finding {
    pub fn of(outcome: Outcome, what: impl Into<String>) -> Finding {
        Finding { outcome, file: None, offset: None, block: None, position: None, what: what.into() }
    }

    fn place(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.file.as_ref().map(|file| file.display().to_string()));
        parts.extend(self.offset.map(|offset| format!("offset {offset}")));
        parts.extend(self.block.map(|block| format!("block {block}")));
        parts.extend(self.position.map(|position| format!("position {position}")));
        parts.join(", ")
    }
}

impl From<&ledgerstone_journal::verify::Finding> for Finding {
    fn from(finding: &ledgerstone_journal::verify::Finding) -> Self {
        Finding {
            outcome: finding.verdict.into(),
            file: Some(finding.path.clone()),
            offset: finding.offset,
            block: finding.block,
            position: None,
            what: finding.what.clone(),
        }
    }
}

/// Prints the checks and gives the exit status of the worst.
pub fn conclude(checks: &[Check], json: bool) -> ExitCode {
    let worst = checks.iter().map(|check| check.outcome).max().unwrap_or(Outcome::Unchecked);
    if json {
        let checks: Vec<serde_json::Value> = checks.iter().map(Check::to_json).collect();
        let all = serde_json::json!({ "outcome": worst, "exit_status": worst.exit_status(), "checks": checks });
        say!("{all:#}");
    } else {
        let texts: Vec<String> = checks.iter().map(|check| check.to_text(Style::stdout())).collect();
        put!("{}", texts.join("\n"));
    }
    ExitCode::from(worst.exit_status())
}

fn push_list(out: &mut String, title: &str, items: &[String], style: Style) {
    if items.is_empty() {
        return;
    }
    out.push_str(&format!("\n  {}\n", style.bold(title)));
    for item in items {
        push_wrapped(out, "    · ", "      ", item);
    }
}

/// Breaks a text at spaces. Words that are longer than a line, such as keys, stay whole.
fn push_wrapped(out: &mut String, first: &str, then: &str, text: &str) {
    let mut line = first.to_owned();
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line = then.to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    out.push_str(&line);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_outcome_decides() {
        assert!(Outcome::Broken > Outcome::Unchecked && Outcome::Unchecked > Outcome::Holds);
        let check = Check::new(Path::new("x"), "a test").unchecked("one").broken("two").unchecked("three");
        assert_eq!(check.outcome.exit_status(), 1);
    }

    #[test]
    fn a_finding_names_its_place() {
        let mut check = Check::new(Path::new("dir"), "a ledger's directory");
        check.finding(Finding {
            outcome: Outcome::Broken,
            file: Some("dir/journal/00000000".into()),
            offset: Some(4096),
            block: Some(7),
            position: None,
            what: "the batch's hash is another".to_owned(),
        });
        let text = check.to_text(Style::plain());
        assert!(text.starts_with("✗ DOES NOT HOLD  dir"), "{text}");
        assert!(
            text.contains("dir/journal/00000000, offset 4096, block 7\n      the batch's hash is another"),
            "{text}"
        );
    }
}
