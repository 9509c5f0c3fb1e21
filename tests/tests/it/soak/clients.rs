//! Clients with a mixture of work: inserts, updates, reads by key, by index and of history, transfers, and now and then a
//! new connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ledgerstone_sample_data::Random;
use tokio_postgres::{Client, NoTls, Statement};

use crate::harness::state;

pub const SCHEMA: &str = "CREATE TABLE account (id text PRIMARY KEY, owner text NOT NULL, balance numeric(18,2) NOT NULL, \
                          changes bigint NOT NULL, terms jsonb); CREATE INDEX account_owner ON account (owner)";
/// Accounts of one owner.
const ACCOUNTS_OWNED: u64 = 4;

/// One transaction: how long it took from when it was due.
pub struct Transaction {
    pub took: Duration,
}

/// What all clients know.
pub struct Shared {
    postgres: SocketAddr,
    seed: u64,
    numbers: AtomicU64,
    accounts: AtomicI64,
    changes: AtomicI64,
    commits: AtomicU64,
    unexpected: Mutex<Vec<String>>,
}

impl Shared {
    pub fn new(postgres: SocketAddr, seed: u64) -> Shared {
        Shared {
            postgres,
            seed,
            numbers: AtomicU64::new(0),
            accounts: AtomicI64::new(0),
            changes: AtomicI64::new(0),
            commits: AtomicU64::new(0),
            unexpected: Mutex::default(),
        }
    }

    /// Accounts and changes of accounts that were acknowledged.
    pub fn acknowledged(&self) -> (i64, i64) {
        (self.accounts.load(Ordering::Relaxed), self.changes.load(Ordering::Relaxed))
    }

    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    pub fn expect_nothing_but_conflicts(&self) {
        assert_eq!(*self.unexpected.lock().expect("nobody panicked"), Vec::<String>::new());
    }

    fn note(&self, error: &tokio_postgres::Error) {
        if state(error) != "40001" {
            self.unexpected.lock().expect("nobody panicked").push(format!("{}: {error}", state(error)));
        }
    }
}

/// Runs clients for a while: each as fast as it can, or one transaction every `pace`, late ones made up for.
pub async fn run(shared: &Arc<Shared>, clients: u64, length: Duration, pace: Option<Duration>) -> Vec<Transaction> {
    let begun = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|number| {
            let shared = Arc::clone(shared);
            // They do not come all at once.
            let first = pace.map_or(Duration::ZERO, |pace| pace * number as u32 / clients as u32);
            tokio::spawn(async move {
                let mut one = One::connect(shared, number).await;
                let (mut done, mut due) = (Vec::new(), begun + first);
                while begun.elapsed() < length {
                    match pace {
                        Some(pace) => {
                            tokio::time::sleep_until(due.into()).await;
                            one.step().await;
                            done.push(Transaction { took: due.elapsed() });
                            due += pace;
                        }
                        None => {
                            let now = Instant::now();
                            one.step().await;
                            done.push(Transaction { took: now.elapsed() });
                        }
                    }
                }
                done
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.expect("a client ends"));
    }
    all
}

struct One {
    shared: Arc<Shared>,
    random: Random,
    connection: Connection,
}

struct Connection {
    client: Client,
    insert: Statement,
    update: Statement,
    read: Statement,
    owned: Statement,
    history: Statement,
}

impl Connection {
    async fn open(postgres: SocketAddr) -> Result<Connection, tokio_postgres::Error> {
        let config = format!("host={} port={} user=soak dbname=main", postgres.ip(), postgres.port());
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await?;
        tokio::spawn(connection);
        Ok(Connection {
            insert: client.prepare("INSERT INTO account VALUES ($1, $2, 100.00, 0, '{\"since\": \"2019\"}')").await?,
            update: client
                .prepare("UPDATE account SET balance = balance + 1.25, changes = changes + 1 WHERE id = $1")
                .await?,
            read: client.prepare("SELECT * FROM account WHERE id = $1").await?,
            owned: client.prepare("SELECT id, balance FROM account WHERE owner = $1").await?,
            history: client.prepare("SELECT balance FROM history(account) WHERE id = $1").await?,
            client,
        })
    }
}

impl One {
    async fn connect(shared: Arc<Shared>, number: u64) -> One {
        let connection = Connection::open(shared.postgres).await.expect("a connection");
        let random = Random::new(shared.seed.wrapping_mul(1_000).wrapping_add(number));
        One { shared, random, connection }
    }

    async fn step(&mut self) {
        let outcome = match self.random.below(100) {
            0..35 => self.insert().await,
            35..65 => self.update().await,
            65..85 => self.read(|connection| &connection.read, "a").await,
            85..90 => self.read(|connection| &connection.owned, "o").await,
            90..94 => self.read(|connection| &connection.history, "a").await,
            94..99 => self.transfer().await,
            _ => self.reconnect().await,
        };
        if let Err(error) = outcome {
            self.shared.note(&error);
        }
    }

    async fn insert(&mut self) -> Result<(), tokio_postgres::Error> {
        let number = self.shared.numbers.fetch_add(1, Ordering::Relaxed);
        let (id, owner) = (name("a", number), name("o", number / ACCOUNTS_OWNED));
        self.connection.client.execute(&self.connection.insert, &[&id, &owner]).await?;
        self.shared.accounts.fetch_add(1, Ordering::Relaxed);
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn update(&mut self) -> Result<(), tokio_postgres::Error> {
        let id = name("a", self.some());
        let changed = self.connection.client.execute(&self.connection.update, &[&id]).await?;
        self.shared.changes.fetch_add(changed as i64, Ordering::Relaxed);
        self.shared.commits.fetch_add(changed, Ordering::Relaxed);
        Ok(())
    }

    async fn read(&mut self, of: fn(&Connection) -> &Statement, kind: &str) -> Result<(), tokio_postgres::Error> {
        let number = self.some();
        let key = name(kind, if kind == "o" { number / ACCOUNTS_OWNED } else { number });
        self.connection.client.query(of(&self.connection), &[&key]).await.map(drop)
    }

    async fn transfer(&mut self) -> Result<(), tokio_postgres::Error> {
        let (from, to) = (name("a", self.some()), name("a", self.some()));
        let transaction = self.connection.client.transaction().await?;
        let mut changed = 0;
        for id in [&from, &to] {
            changed += transaction.execute(&self.connection.update, &[id]).await?;
        }
        transaction.commit().await?;
        self.shared.changes.fetch_add(changed as i64, Ordering::Relaxed);
        self.shared.commits.fetch_add(u64::from(changed > 0), Ordering::Relaxed);
        Ok(())
    }

    async fn reconnect(&mut self) -> Result<(), tokio_postgres::Error> {
        self.connection = Connection::open(self.shared.postgres).await?;
        Ok(())
    }

    /// An account, one of the newest more often than not.
    fn some(&mut self) -> u64 {
        let count = self.shared.numbers.load(Ordering::Relaxed).max(1);
        let back = self.random.below(count);
        count - 1 - if self.random.below(2) == 0 { back } else { back.min(self.random.below(1_000)) }
    }
}

fn name(kind: &str, number: u64) -> String {
    format!("{kind}{number:012}")
}
