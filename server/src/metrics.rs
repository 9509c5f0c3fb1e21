//! Counters and gauges in Prometheus' text format, version 0.0.4. A few atomics need no library.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use ledgerstone_query::columns::ColumnStats;
use ledgerstone_query::work::Pool;

/// What the server counts about itself.
#[derive(Debug, Default)]
pub struct Metrics {
    pub connections_opened: Counter,
    pub connections_refused: Counter,
    pub connections_open: Gauge,
    pub authentication_failures: Counter,
    pub statements: Counter,
    pub statement_errors: Counter,
    pub statement_seconds: Histogram,
    pub answers_put_off: Counter,
    pub commits: Counter,
    pub conflicts: Counter,
    pub protocol_errors: Counter,
    pub bytes_received: Counter,
    pub bytes_sent: Counter,
    pub scrub_bytes: Counter,
    pub scrub_passes: Counter,
    pub scrub_damage: Counter,
    pub packed_segments: Counter,
    pub packed_bytes: Counter,
    pub kinesis_records: Counter,
    pub kinesis_failures: Counter,
    pub exports_open: Gauge,
    pub exports_completed: Counter,
    pub exports_cancelled: Counter,
    pub export_blocks: Counter,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// A number that comes and goes.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

/// Upper bounds in microseconds.
const BOUNDS_US: [u64; 14] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 2_500_000, 10_000_000];

/// Durations by size.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS_US.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
}

/// What a ledger adds to the page.
#[derive(Debug, Clone)]
pub struct LedgerMetrics {
    pub name: String,
    pub size: u64,
    /// False once a sync failed, and for a restored ledger that nobody has vouched for.
    pub takes_writes: bool,
    pub columns: ColumnStats,
}

impl Counter {
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub fn one(&self) {
        self.add(1);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Gauge {
    pub fn add(&self, by: i64) -> i64 {
        self.0.fetch_add(by, Ordering::Relaxed) + by
    }

    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Histogram {
    pub fn observe(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = BOUNDS_US.iter().position(|bound| us <= *bound).and_then(|at| self.buckets.get(at)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }
}

impl Metrics {
    /// The page.
    pub fn render(&self, ledgers: &[LedgerMetrics], work: &Pool, streams: &[(&'static str, usize)]) -> String {
        let mut page = String::with_capacity(4 << 10);
        let counters = [
            ("connections_opened_total", "Connections accepted on the PostgreSQL port.", &self.connections_opened),
            (
                "connections_refused_total",
                "Connections refused because there were too many.",
                &self.connections_refused,
            ),
            (
                "authentication_failures_total",
                "Connections that did not prove who they are.",
                &self.authentication_failures,
            ),
            ("statements_total", "Statements run.", &self.statements),
            ("statement_errors_total", "Statements that ended in an error.", &self.statement_errors),
            (
                "answers_put_off_total",
                "Answers, of many clients who only read, that waited for others who had arrived, on the PostgreSQL port.",
                &self.answers_put_off,
            ),
            ("commits_total", "Transactions committed.", &self.commits),
            ("conflicts_total", "Statements and transactions that ended with 40001.", &self.conflicts),
            ("protocol_errors_total", "Connections closed over malformed messages.", &self.protocol_errors),
            ("received_bytes_total", "Bytes received on the PostgreSQL port.", &self.bytes_received),
            ("sent_bytes_total", "Bytes sent on the PostgreSQL port.", &self.bytes_sent),
            ("scrub_bytes_total", "Bytes of sealed segments read again and found whole.", &self.scrub_bytes),
            ("scrub_passes_total", "Passes over all sealed segments of all ledgers.", &self.scrub_passes),
            (
                "scrub_damage_total",
                "Times that a sealed segment was found damaged or unreadable; the log names it.",
                &self.scrub_damage,
            ),
            ("packed_segments_total", "Full segments written again without filler.", &self.packed_segments),
            ("packed_bytes_total", "Bytes of disk that packing segments gave back.", &self.packed_bytes),
            ("kinesis_records_total", "Records of journal streams that Kinesis has taken.", &self.kinesis_records),
            (
                "kinesis_failures_total",
                "Calls to Kinesis that did not get all of their records through.",
                &self.kinesis_failures,
            ),
            ("journal_exports_completed_total", "Journal exports to S3 that are whole.", &self.exports_completed),
            ("journal_exports_cancelled_total", "Journal exports to S3 that were given up.", &self.exports_cancelled),
            (
                "journal_export_blocks_total",
                "Blocks that journal exports to S3 have gone through.",
                &self.export_blocks,
            ),
        ];
        for (name, help, counter) in counters {
            head(&mut page, name, "counter", help);
            let _ = writeln!(page, "ledgerstone_{name} {}", counter.get());
        }
        head(&mut page, "log_lines_lost_total", "counter", "Lines of the log that could not be written.");
        let _ = writeln!(page, "ledgerstone_log_lines_lost_total {}", crate::log::lines_lost());
        head(&mut page, "connections", "gauge", "Open connections on the PostgreSQL port.");
        let _ = writeln!(page, "ledgerstone_connections {}", self.connections_open.get());
        head(&mut page, "journal_exports", "gauge", "Journal exports to S3 that have not ended.");
        let _ = writeln!(page, "ledgerstone_journal_exports {}", self.exports_open.get());
        render_work(&mut page, work);
        self.render_histogram(&mut page);
        head(&mut page, "kinesis_streams", "gauge", "Journal streams to Kinesis, by their status.");
        for (status, count) in streams {
            let _ = writeln!(page, "ledgerstone_kinesis_streams{{status=\"{status}\"}} {count}");
        }
        head(&mut page, "ledger_size", "gauge", "Leaves of the ledger's tree, published.");
        for ledger in ledgers {
            let _ = writeln!(page, "ledgerstone_ledger_size{{ledger=\"{}\"}} {}", escape(&ledger.name), ledger.size);
        }
        head(&mut page, "ledger_takes_writes", "gauge", "1, or 0 once writes are refused until a restart.");
        for ledger in ledgers {
            let (name, takes) = (escape(&ledger.name), u8::from(ledger.takes_writes));
            let _ = writeln!(page, "ledgerstone_ledger_takes_writes{{ledger=\"{name}\"}} {takes}");
        }
        render_columns(&mut page, ledgers);
        page
    }

    fn render_histogram(&self, page: &mut String) {
        let name = "ledgerstone_statement_seconds";
        let _ = writeln!(page, "# HELP {name} Time a statement took, commit included.\n# TYPE {name} histogram");
        let mut sum = 0;
        for (bound, bucket) in BOUNDS_US.iter().zip(&self.statement_seconds.buckets) {
            sum += bucket.load(Ordering::Relaxed);
            let _ = writeln!(page, "{name}_bucket{{le=\"{}\"}} {sum}", seconds(*bound));
        }
        let count = self.statement_seconds.count.load(Ordering::Relaxed);
        let _ = writeln!(page, "{name}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(page, "{name}_sum {}", seconds(self.statement_seconds.sum_us.load(Ordering::Relaxed)));
        let _ = writeln!(page, "{name}_count {count}");
    }
}

fn render_work(page: &mut String, work: &Pool) {
    let all = [
        ("statement_memory_bytes", "gauge", "Memory that running statements keep rows in.", work.memory() as u64),
        ("spill_bytes", "gauge", "Disk that running statements use beyond their memory.", work.disk()),
        (
            "spilled_bytes_total",
            "counter",
            "Bytes that statements have put on the disk beyond their memory.",
            work.spilled(),
        ),
    ];
    for (name, kind, help, value) in all {
        head(page, name, kind, help);
        let _ = writeln!(page, "ledgerstone_{name} {value}");
    }
}

fn render_columns(page: &mut String, ledgers: &[LedgerMetrics]) {
    type Value = fn(&ColumnStats) -> u64;
    let all: [(&str, &str, &str, Value); 12] = [
        ("positions_behind", "gauge", "Published positions that columns have not been made of yet.", |c| {
            c.positions_behind
        }),
        ("memory_rows", "gauge", "Revisions whose columns are in no file yet.", |c| c.memory_rows),
        ("memory_bytes", "gauge", "Memory of columns, without decoded columns of files.", |c| c.memory_bytes),
        ("segments", "gauge", "Segments of columns.", |c| c.segments),
        ("file_rows", "gauge", "Revisions in segments of columns.", |c| c.file_rows),
        ("file_bytes", "gauge", "Bytes of the files of columns.", |c| c.file_bytes),
        ("superseded_in_memory", "gauge", "Rows in files whose successors are in memory only.", |c| {
            c.superseded_in_memory
        }),
        ("cache_bytes", "gauge", "Memory of decoded columns of files.", |c| c.cache_bytes),
        ("reading_bytes", "gauge", "Memory of scans for what they are reading from files of columns.", |c| {
            c.reading_bytes
        }),
        ("cache_hits_total", "counter", "Columns that were decoded already.", |c| c.cache_hits),
        ("cache_misses_total", "counter", "Columns that were decoded from files.", |c| c.cache_misses),
        ("read_bytes_total", "counter", "Bytes read from files of columns.", |c| c.read_bytes),
    ];
    for (name, kind, help, value) in all {
        head(page, &format!("columns_{name}"), kind, help);
        for ledger in ledgers {
            let (own, value) = (escape(&ledger.name), value(&ledger.columns));
            let _ = writeln!(page, "ledgerstone_columns_{name}{{ledger=\"{own}\"}} {value}");
        }
    }
}

/// The two lines that stand before a metric's values.
fn head(page: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(page, "# HELP ledgerstone_{name} {help}\n# TYPE ledgerstone_{name} {kind}");
}

fn seconds(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use ledgerstone_query::work::WorkLimits;

    use super::*;

    #[test]
    fn buckets_are_cumulative_and_labels_are_escaped() {
        let metrics = Metrics::default();
        metrics.statement_seconds.observe(Duration::from_micros(60));
        metrics.statement_seconds.observe(Duration::from_secs(60));
        let ledgers = [LedgerMetrics {
            name: "a\"b".to_owned(),
            size: 3,
            takes_writes: true,
            columns: ColumnStats { segments: 7, ..ColumnStats::default() },
        }];
        let page = metrics.render(&ledgers, &Pool::new(WorkLimits::default()), &[("ACTIVE", 2)]);
        assert!(page.contains("ledgerstone_kinesis_streams{status=\"ACTIVE\"} 2\n"), "{page}");
        assert!(page.contains("ledgerstone_statement_seconds_bucket{le=\"0.000100\"} 1\n"), "{page}");
        assert!(page.contains("ledgerstone_statement_seconds_bucket{le=\"+Inf\"} 2\n"), "{page}");
        assert!(page.contains("ledgerstone_columns_segments{ledger=\"a\\\"b\"} 7\n"), "{page}");
        assert!(page.contains("ledgerstone_ledger_size{ledger=\"a\\\"b\"} 3\n"), "{page}");
    }
}
