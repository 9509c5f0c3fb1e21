//! Packs the full segments of every ledger in the background: what few wrote at a time is mostly filler, which goes
//! (`ledgerstone_journal::pack`). Whatever stands in the way is told, and tried again a pass later.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ledgerstone_journal::pack::Packing;
use ledgerstone_query::database::Database;
use ledgerstone_query::instance::Instance;
use tokio::sync::watch;

use crate::background;
use crate::config::Limits;
use crate::metrics::Metrics;

/// So many full segments (of 64 MiB) that nobody has looked at do not wait for processors that have nothing better to do.
const URGENT_SEGMENTS: u64 = 64;

/// Packs until told to stop.
pub async fn run(instance: Arc<Instance>, metrics: Arc<Metrics>, limits: Limits, mut stop: watch::Receiver<bool>) {
    if limits.pack_pause_seconds == 0 {
        return;
    }
    let walk = async {
        // By ledger, the first segment that was not looked at: full segments do not change by themselves.
        let mut seen = HashMap::new();
        loop {
            tokio::time::sleep(Duration::from_secs(limits.pack_pause_seconds)).await;
            for ledger in instance.ledgers() {
                // One that cannot be opened has been told already.
                let Ok(database) = instance.ledger(&ledger.name) else { continue };
                let from = seen.entry(database.ledger().ledger_id()).or_default();
                pass(&database, &ledger.name, &metrics, from).await;
            }
        }
    };
    tokio::select! {
        () = walk => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

/// Once through the segments of one ledger that became full since the last time.
async fn pass(database: &Arc<Database>, name: &str, metrics: &Metrics, from: &mut u64) {
    while *from < database.ledger().sealed_segments() {
        let (ledger, number) = (Arc::clone(database.ledger()), *from);
        // With much to be packed the disk fills faster than need be.
        let urgent = database.ledger().sealed_segments() - number > URGENT_SEGMENTS;
        match background::late(urgent, move || ledger.pack(number)).await {
            Ok(Ok(Packing::Packed { bytes_before, bytes_after })) => {
                metrics.packed_segments.one();
                metrics.packed_bytes.add(bytes_before.saturating_sub(bytes_after));
                tracing::debug!(ledger = name, segment = number, bytes_before, bytes_after, "a segment was packed");
            }
            Ok(Ok(Packing::Left)) => {}
            Ok(Err(error)) => {
                tracing::warn!(ledger = name, segment = number, %error, "a segment was not packed");
                return;
            }
            Err(error) => {
                tracing::error!(ledger = name, segment = number, %error, "a segment was not packed");
                return;
            }
        }
        *from += 1;
    }
}
