//! Writers that go on under a fault, and what they were told. A statement without an answer is sent again with its
//! client token, on a new connection, until there is an answer: it must commit once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

use crate::harness::state;

/// Writing clients; each inserts numbers of its own into `t`, one at a time.
pub struct Writers {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Told>>,
}

/// What writers were told.
#[derive(Default)]
pub struct Told {
    /// Numbers that were acknowledged.
    pub rows: Vec<i64>,
    /// SQLSTATEs of refusals and broken connections.
    pub errors: Vec<String>,
    /// How often a number was sent again because there was no answer.
    pub retries: u64,
}

impl Writers {
    pub fn start(server: SocketAddr, clients: i64, from: i64) -> Writers {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks =
            (0..clients).map(|client| tokio::spawn(write(server, from + client * 1_000_000, Arc::clone(&stop))));
        Writers { tasks: tasks.collect(), stop }
    }

    /// Tells them to stop after the number they are at.
    pub async fn stop(self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        let mut told = Told::default();
        for task in self.tasks {
            let one = task.await.expect("a writer does not panic");
            told.rows.extend(one.rows);
            told.errors.extend(one.errors);
            told.retries += one.retries;
        }
        told
    }
}

async fn write(server: SocketAddr, from: i64, stop: Arc<AtomicBool>) -> Told {
    let mut told = Told::default();
    let mut client = None;
    for number in from.. {
        let mut stopped = stop.load(Ordering::Relaxed);
        let mut attempts = 0;
        loop {
            match attempt(&mut client, server, number).await {
                Ok(()) => {
                    told.rows.push(number);
                    break;
                }
                Err(error) => {
                    told.errors.push(error);
                    client = None;
                    told.retries += 1;
                    attempts += 1;
                }
            }
            // Who was told to stop does not try for ever.
            stopped |= stop.load(Ordering::Relaxed);
            if stopped && attempts > 3 {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if stopped {
            return told;
        }
    }
    told
}

async fn attempt(client: &mut Option<Client>, server: SocketAddr, number: i64) -> Result<(), String> {
    let work = async {
        let connected = match client {
            Some(connected) => connected,
            None => client.insert(connect(server).await.map_err(|error| error.to_string())?),
        };
        let statements = [
            format!("SET ledgerstone.client_token = 'row-{number}'"),
            format!("INSERT INTO t VALUES ({number}, 'x')"),
            "RESET ledgerstone.client_token".to_owned(),
        ];
        for statement in statements {
            connected.batch_execute(&statement).await.map_err(|error| state(&error))?;
        }
        Ok(())
    };
    match tokio::time::timeout(Duration::from_secs(20), work).await {
        Ok(outcome) => outcome,
        Err(_) => Err("no answer".to_owned()),
    }
}

pub async fn connect(server: SocketAddr) -> Result<Client, tokio_postgres::Error> {
    let config = format!("host={} port={} user=test dbname=main", server.ip(), server.port());
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await?;
    tokio::spawn(async move {
        // Its error is also the error of whatever the client was asked to do.
        let _ = connection.await;
    });
    Ok(client)
}
