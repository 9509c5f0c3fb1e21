//! `ledgerstone bench`: a quick look at inserts, point reads and updates, over the PostgreSQL wire or without one. For
//! comparisons with PostgreSQL, on one machine and in turns, there is tests/bench/run.

mod connection;
mod qldb;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use self::connection::{Connection, Target};
use super::demo::Folder;
use super::demo::process::Server;
use super::terminal::{say, thousands};

/// Rows of one INSERT while loading.
const LOAD_ROWS: u64 = 500;

#[derive(Debug, clap::Args)]
#[command(after_help = "ledgerstone bench --clients 64              through a server of its own\n\
    ledgerstone bench --clients 64 --embedded   without sockets: what the engine itself can do\n\n\
    Without --connect it starts a server of its own in a temporary folder. On a server of yours it makes\n\
    a table named bench_…, and drops it at the end; its history stays, as everything does.\n\
    Numbers of one run compare with nothing: tests/bench/run compares with PostgreSQL on the same machine.")]
pub struct Bench {
    /// A running server: its PostgreSQL address, with --qldb its HTTP address.
    #[arg(long, value_name = "ADDR")]
    connect: Option<String>,
    /// No server and no wire: the clients are sessions in this process, on a ledger in a temporary folder.
    #[arg(long, conflicts_with_all = ["connect", "ledger"])]
    embedded: bool,
    /// Through QLDB's session API: every transaction is three requests, as drivers make them.
    #[arg(long, conflicts_with = "embedded")]
    qldb: bool,
    /// Which ledger.
    #[arg(long, value_name = "NAME", default_value = "main")]
    ledger: String,
    /// How many clients at once.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=512))]
    clients: u64,
    /// How long each workload runs.
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Rows in the table at the start.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    rows: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// One kind of transaction.
#[derive(Debug, Clone, Copy)]
enum Workload {
    Insert,
    Read,
    Update,
}

const WORKLOADS: [(Workload, &str); 3] = [
    (Workload::Insert, "W1 insert a document"),
    (Workload::Read, "W2 read by primary key"),
    (Workload::Update, "W3 update by primary key"),
];

/// What one workload came to.
struct Measured {
    per_second: f64,
    p50: Duration,
    p99: Duration,
    conflicts: u64,
}

impl Bench {
    pub fn run(self) -> ExitCode {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
        let outcome = runtime.map_err(|error| format!("cannot start: {error}"));
        let outcome = outcome.and_then(|runtime| self.on_a_ledger(&runtime));
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(what) => {
                eprintln!("ledgerstone bench: {what}");
                ExitCode::from(2)
            }
        }
    }

    fn on_a_ledger(&self, runtime: &Runtime) -> Result<(), String> {
        let ledger = self.ledger.clone();
        let at = |address: String| match self.qldb {
            true => Target::Qldb { address, ledger },
            false => Target::Wire { address, ledger },
        };
        if let Some(address) = &self.connect {
            return runtime.block_on(self.measure(&at(address.clone())));
        }
        let folder = Folder::make(None)?;
        if self.embedded {
            let target = Target::embedded(&folder.path)?;
            let outcome = runtime.block_on(self.measure(&target));
            return target.close().and(outcome);
        }
        let binary = std::env::current_exe().map_err(|error| error.to_string())?;
        let server = Server::start(&binary, &folder.path)?;
        let address = if self.qldb { server.http } else { server.postgres };
        let outcome = runtime.block_on(self.measure(&at(address.to_string())));
        server.stop().and(outcome)
    }

    async fn measure(&self, target: &Target) -> Result<(), String> {
        let mut client = target.connect().await?;
        let table = format!("bench_{}", std::process::id());
        for definition in target.definitions(&table) {
            client.run(&definition).await?;
        }
        let outcome = self.workloads(target, &mut client, &table).await;
        outcome.and(client.run(&format!("DROP TABLE {table}")).await)
    }

    async fn workloads(&self, target: &Target, client: &mut Connection, table: &str) -> Result<(), String> {
        let started = Instant::now();
        for first in (0..self.rows).step_by(LOAD_ROWS as usize) {
            client.run(&target.load(table, first..self.rows.min(first + LOAD_ROWS))).await?;
        }
        let loaded = self.rows as f64 / started.elapsed().as_secs_f64().max(0.001);
        let mut results = Vec::new();
        if !self.json {
            say!("{} rows loaded, {} rows/s", thousands(self.rows), thousands(loaded as u64));
            say!("{} clients, {} s each", self.clients, self.seconds);
            say!("{:<26} {:>10} {:>10} {:>10} {:>10}", "", "tx/s", "p50 ms", "p99 ms", "conflicts");
        }
        let next = Arc::new(AtomicU64::new(self.rows));
        for (workload, name) in WORKLOADS {
            let found = self.workload(target, table, workload, &next).await?;
            let (p50, p99) = (found.p50.as_secs_f64() * 1e3, found.p99.as_secs_f64() * 1e3);
            if !self.json {
                let per_second = thousands(found.per_second as u64);
                say!("{name:<26} {per_second:>10} {p50:>10.2} {p99:>10.2} {:>10}", found.conflicts);
            }
            results.push(serde_json::json!({
                "workload": name, "tps": found.per_second, "p50_ms": p50, "p99_ms": p99, "conflicts": found.conflicts,
            }));
        }
        if self.json {
            let all = serde_json::json!({ "embedded": self.embedded, "qldb": self.qldb, "clients": self.clients, "rows": self.rows, "load_rows_per_s": loaded, "results": results });
            say!("{all:#}");
        } else {
            say!("\nFor comparisons with PostgreSQL: tests/bench/run");
        }
        Ok(())
    }

    async fn workload(
        &self,
        target: &Target,
        table: &str,
        workload: Workload,
        next: &Arc<AtomicU64>,
    ) -> Result<Measured, String> {
        let mut tasks = Vec::new();
        for number in 0..self.clients {
            let client = target.connect().await?;
            let (text, next, rows) = (target.statement(workload, table), Arc::clone(next), self.rows);
            let until = Duration::from_secs(self.seconds);
            tasks.push(tokio::spawn(
                async move { one_client(client, &text, workload, number, rows, &next, until).await },
            ));
        }
        let started = Instant::now();
        let (mut times, mut conflicts) = (Vec::new(), 0);
        for task in tasks {
            let (found, failed) = task.await.map_err(|error| error.to_string())??;
            times.extend(found);
            conflicts += failed;
        }
        let per_second = times.len() as f64 / started.elapsed().as_secs_f64().max(0.001);
        times.sort_unstable();
        let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
        Ok(Measured { per_second, p50: at(0.5), p99: at(0.99), conflicts })
    }
}

/// The times of one client's transactions, and how many met a conflict.
async fn one_client(
    mut client: Connection,
    text: &str,
    workload: Workload,
    number: u64,
    rows: u64,
    next: &AtomicU64,
    until: Duration,
) -> Result<(Vec<Duration>, u64), String> {
    let statement = client.prepare(text).await?;
    let (mut times, mut conflicts) = (Vec::new(), 0);
    // xorshift: any spread will do, and it has to be cheap.
    let mut random = 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(number + 1);
    let started = Instant::now();
    while started.elapsed() < until {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let key = match workload {
            Workload::Insert => next.fetch_add(1, Ordering::Relaxed),
            Workload::Read | Workload::Update => random % rows,
        };
        let began = Instant::now();
        match client.execute(&statement, vin(key)).await? {
            true => times.push(began.elapsed()),
            false => conflicts += 1,
        }
    }
    Ok((times, conflicts))
}

fn vin(number: u64) -> String {
    format!("V{number:016}")
}
