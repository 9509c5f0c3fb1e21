//! Loads the sample registry through the PostgreSQL wire: SQL statements, several offices' worth of events in one
//! transaction. A transaction makes one revision per document, so events of the same document never share one.

use std::collections::{HashMap, HashSet};

use ledgerstone_sample_data::{Event, Registry, SCHEMA, Scale};
use tokio_postgres::Client;

use crate::cli::terminal::Progress;
use crate::cli::wire;

/// Events in one transaction at most.
const BATCH_EVENTS: usize = 40;
/// The seed of the registry: everybody sees the same one.
const SEED: u64 = 20_200_604;

/// What was loaded.
pub struct Loaded {
    pub revisions: u64,
    pub transactions: u64,
    /// The vehicle whose title changed most often and still stands.
    pub vin: String,
    pub person_count: u32,
}

/// Makes the tables and loads all events.
pub async fn load(client: &Client, scale: Scale) -> Result<Loaded, String> {
    for statement in SCHEMA {
        run(client, statement).await?;
    }
    let mut bar = Progress::new("     loading", "revisions");
    let mut titles: HashMap<String, u64> = HashMap::new();
    let (mut revisions, mut transactions) = (0, 0);
    let mut batch = Batch::default();
    for event in Registry::new(SEED, scale) {
        count(&mut titles, &event);
        if batch.events >= BATCH_EVENTS || batch.touched.contains(document(&event)) {
            revisions += batch.commit(client).await?;
            transactions += 1;
            bar.at(revisions, scale.revisions());
        }
        batch.add(&event);
    }
    if batch.events > 0 {
        revisions += batch.commit(client).await?;
        transactions += 1;
    }
    let vin = titles.into_iter().max_by_key(|(vin, changes)| (*changes, vin.clone())).map(|(vin, _)| vin);
    let vin = vin.ok_or("the registry has no vehicle")?;
    Ok(Loaded { revisions, transactions, vin, person_count: scale.people })
}

/// A transaction that is being put together.
#[derive(Default)]
struct Batch {
    statements: Vec<String>,
    touched: HashSet<String>,
    events: usize,
}

impl Batch {
    fn add(&mut self, event: &Event) {
        self.statements.extend(event.statements());
        self.touched.insert(document(event).to_owned());
        self.events += 1;
    }

    /// Sends it as one text, which is one transaction; tells how many revisions it made.
    async fn commit(&mut self, client: &Client) -> Result<u64, String> {
        let batch = std::mem::take(self);
        let text = format!("BEGIN;\n{};\nCOMMIT;", batch.statements.join(";\n"));
        run(client, &text).await?;
        Ok(batch.statements.len() as u64)
    }
}

async fn run(client: &Client, text: &str) -> Result<(), String> {
    client.batch_execute(text).await.map_err(|error| format!("{}\nin: {text:.200}", wire::explain(&error, text)))
}

/// What names the document that an event changes.
fn document(event: &Event) -> &str {
    match event {
        Event::Arrive(both) => &both.0.person_id,
        Event::Register(both) => &both.0.vin,
        Event::Transfer { vin, .. }
        | Event::AddOwner { vin, .. }
        | Event::Fine { vin, .. }
        | Event::Pay { vin }
        | Event::Renew { vin, .. }
        | Event::Scrap { vin } => vin,
        Event::Move { person_id, .. } => person_id,
        Event::RenewLicense { license_number, .. } => license_number,
    }
}

/// Counts the changes of titles; a vehicle that is gone does not count.
fn count(titles: &mut HashMap<String, u64>, event: &Event) {
    match event {
        Event::Scrap { vin } => drop(titles.remove(vin)),
        Event::Register(both) => drop(titles.insert(both.0.vin.clone(), 0)),
        // Transfers are what the story is about.
        Event::Transfer { vin, .. } => *titles.entry(vin.clone()).or_default() += 10,
        Event::AddOwner { vin, .. } | Event::Fine { vin, .. } | Event::Pay { vin } | Event::Renew { vin, .. } => {
            *titles.entry(vin.clone()).or_default() += 1;
        }
        Event::Arrive(_) | Event::Move { .. } | Event::RenewLicense { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scale_makes_fifty_thousand_revisions_and_no_batch_has_a_document_twice() {
        let mut batch: HashSet<String> = HashSet::new();
        let mut revisions = 0;
        for event in Registry::new(SEED, Scale::LARGE) {
            if batch.len() >= BATCH_EVENTS || batch.contains(document(&event)) {
                batch.clear();
            }
            assert!(batch.insert(document(&event).to_owned()));
            revisions += event.statements().len();
        }
        assert!(revisions >= 50_000, "{revisions}");
    }
}
