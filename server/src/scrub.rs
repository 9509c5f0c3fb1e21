//! The background scrubber: walks through the sealed segments of every ledger, and the notes of its key's rotations, again
//! and again, within a budget of bytes
//! per second. What it finds is logged with file, offset and what helps, and counted in `/metrics`; it repairs nothing,
//! because only a backup has what is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ledgerstone_journal::ReadError;
use ledgerstone_query::database::Database;
use ledgerstone_query::instance::Instance;
use tokio::sync::watch;

use crate::background;
use crate::config::Limits;
use crate::metrics::Metrics;

/// Walks until told to stop.
pub async fn run(instance: Arc<Instance>, metrics: Arc<Metrics>, limits: Limits, mut stop: watch::Receiver<bool>) {
    if limits.scrub_bytes_per_second == 0 {
        return;
    }
    let walk = async {
        loop {
            for ledger in instance.ledgers() {
                // One that cannot be opened has been told already.
                let Ok(database) = instance.ledger(&ledger.name) else { continue };
                pass(&database, &ledger.name, &metrics, limits.scrub_bytes_per_second).await;
            }
            metrics.scrub_passes.one();
            tokio::time::sleep(Duration::from_secs(limits.scrub_pause_seconds)).await;
        }
    };
    tokio::select! {
        () = walk => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

/// Once through the sealed segments of one ledger.
async fn pass(database: &Arc<Database>, name: &str, metrics: &Metrics, bytes_per_second: u64) {
    let mut number = 0;
    while number < database.ledger().sealed_segments() {
        let begun = Instant::now();
        let ledger = Arc::clone(database.ledger());
        let scrubbed = background::late(false, move || ledger.scrub(number)).await;
        match scrubbed {
            Ok(Ok(bytes)) => {
                metrics.scrub_bytes.add(bytes);
                let spent = Duration::from_millis(bytes.saturating_mul(1_000) / bytes_per_second);
                tokio::time::sleep(spent.saturating_sub(begun.elapsed())).await;
            }
            Ok(Err(error)) => damaged(name, &error, metrics),
            Err(error) => tracing::error!(ledger = name, %error, "a segment was not scrubbed"),
        }
        number += 1;
    }
    let ledger = Arc::clone(database.ledger());
    match tokio::task::spawn_blocking(move || ledger.scrub_rotations()).await {
        Ok(Ok(bytes)) => metrics.scrub_bytes.add(bytes),
        Ok(Err(error)) => {
            metrics.scrub_damage.one();
            tracing::error!(ledger = name, %error, "the scrubber found damage in the notes of the key's rotations");
        }
        Err(error) => tracing::error!(ledger = name, %error, "the rotations were not scrubbed"),
    }
}

fn damaged(ledger: &str, error: &ReadError, metrics: &Metrics) {
    metrics.scrub_damage.one();
    tracing::error!(ledger, %error, "the scrubber found damage in a sealed segment");
}
