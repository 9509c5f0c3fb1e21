//! A ledger of the vehicle registry with years of history: every revision a transaction of its own or several together, evenly spaced over
//! three years from 2020 on, committed through sessions, sequencer and journal as a server would, with a clock that says
//! what time it was. It is served afterwards with the real one.
//!
//! Nothing is synced while it is made: a crash here costs only the making of it.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use ledgerstone_digest::ion::Value;
use ledgerstone_journal::Env;
use ledgerstone_journal::env::{Clock, Entry, File, Lock, OpenMode, ProductionStorage, Storage, SystemClock};
use ledgerstone_query::database::{Limits, MemoryLimits};
use ledgerstone_query::instance::{Instance, InstanceOptions, MAIN};
use ledgerstone_query::session::{Dialect, Door, Pause, Runtime, Session, SessionOptions};
use ledgerstone_query::work::WorkLimits;

const SCHEMA: &str = include_str!("../../sql/schema.sql");
const STATES: &str = "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC \
                      ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY";
/// 2020-01-01T00:00:00Z.
const BEGIN_MS: i64 = 1_577_836_800_000;
const YEARS_US: u64 = 3 * 365 * 86_400 * 1_000_000;
/// Transactions between two lines of progress.
const PROGRESS: u64 = 250_000;

/// Makes `dir/data` and `dir/keys` with `vehicles` registrations of `revisions` revisions each, `together` in a transaction.
pub fn make(dir: &Path, vehicles: u64, revisions: u64, together: u64) -> Result<(), String> {
    let clock = Arc::new(Told(AtomicI64::new(BEGIN_MS - 1000)));
    let mut env = Env::production();
    (env.storage, env.clock) = (Arc::new(Unsynced(ProductionStorage)), clock.clone());
    let options = InstanceOptions {
        env,
        data: dir.join("data"),
        keys: dir.join("keys"),
        origin_prefix: "localhost".to_owned(),
        limits: Limits::default(),
        memory: MemoryLimits::default(),
        work: WorkLimits::default(),
    };
    let instance = Instance::open(options).map_err(|e| e.to_string())?;
    let session = SessionOptions::new(Door::Postgres, "bench", Dialect::Sql, Arc::new(InPlace));
    let mut session = Session::new(Arc::clone(&instance), MAIN, session).map_err(|e| e.to_string())?;
    wait(session.execute(SCHEMA)).map_err(|e| e.to_string())?;
    fill(&mut session, &clock, vehicles, revisions, together)?;
    // The last block has the time of today: a server finds that nobody's clock has jumped.
    clock.0.store(SystemClock.now_ms(), Ordering::SeqCst);
    wait(session.execute("CREATE TABLE made (at text)")).map_err(|e| e.to_string())?;
    drop(session);
    instance.close().map_err(|e| e.to_string())
}

fn fill(session: &mut Session, clock: &Told, vehicles: u64, revisions: u64, together: u64) -> Result<(), String> {
    let states: Vec<&str> = STATES.split(' ').collect();
    let insert = session
        .prepare("INSERT INTO vehicle_registration VALUES ($1, $2, $3, $4, $5, $6, $7, $8)", &[])
        .map_err(|e| e.to_string())?;
    let update = session
        .prepare("UPDATE vehicle_registration SET pending_penalty = $1, owner = $2 WHERE vin = $3", &[])
        .map_err(|e| e.to_string())?;
    let (total, persons) = (vehicles * revisions, (vehicles / 10).max(1));
    let begun = Instant::now();
    for v in 0..revisions {
        for i in 1..=vehicles {
            let number = v * vehicles + i;
            if together > 1 && (number - 1).is_multiple_of(together) {
                wait(session.execute("BEGIN")).map_err(|e| e.to_string())?;
            }
            clock.0.store(BEGIN_MS + (number * (YEARS_US / total) / 1000) as i64, Ordering::SeqCst);
            let cents = (i * 37 + v * 1009) % 50_000;
            let penalty = value(&format!("{}.{:02}", cents / 100, cents % 100))?;
            let owner = value(&format!(
                "{{PrimaryOwner:{{PersonId:\"P{:021}\"}},SecondaryOwners:[{{PersonId:\"P{:021}\"}}]}}",
                (i + 7 * v) % persons + 1,
                i * 7 % persons + 1
            ))?;
            let vin = Value::string(format!("V{i}"));
            if v == 0 {
                let state = states.get((i * 31 % 50) as usize).copied().unwrap_or_default();
                let (from, until) = (day(17_167 + i * 13 % 1500)?, day(18_628 + i * 13 % 1500)?);
                let row = [
                    vin,
                    Value::string(format!("LP{i:08}")),
                    Value::string(state),
                    Value::string(format!("City{}", i % 1000)),
                    penalty,
                    from,
                    until,
                    owner,
                ];
                run(session, &insert, &row.map(Some))?;
            } else {
                run(session, &update, &[Some(penalty), Some(owner), Some(vin)])?;
            }
            if together > 1 && (number.is_multiple_of(together) || number == total) {
                wait(session.execute("COMMIT")).map_err(|e| e.to_string())?;
            }
            if number.is_multiple_of(PROGRESS) || number == total {
                let rate = number as f64 / begun.elapsed().as_secs_f64();
                eprintln!("{number} of {total} revisions, {rate:.0}/s");
            }
        }
    }
    Ok(())
}

fn run(
    session: &mut Session,
    prepared: &ledgerstone_query::session::Prepared,
    parameters: &[Option<Value>],
) -> Result<(), String> {
    wait(session.run(prepared, parameters, true)).map(drop).map_err(|e| e.to_string())
}

/// A value from Ion text.
fn value(text: &str) -> Result<Value, String> {
    ledgerstone_digest::ion::parse(text, &ledgerstone_digest::ion::Limits::DOCUMENT).map_err(|e| e.to_string())
}

/// A date so many days after 1970-01-01.
fn day(days: u64) -> Result<Value, String> {
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    value(&format!("{year:04}-{month:02}-{:02}", doy - (153 * mp + 2) / 5 + 1))
}

/// Waits for a future that other threads complete.
fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Sessions do everything where they are called.
struct InPlace;

impl Runtime for InPlace {
    fn long(&self, work: &mut dyn FnMut()) {
        work();
    }

    fn pause(&self, _attempt: u32) -> Pause {
        Box::pin(std::future::ready(()))
    }
}

/// A clock that is told what time it is.
struct Told(AtomicI64);

impl Clock for Told {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn boottime_ms(&self) -> i64 {
        // Of the same pace, so that no time looks like a jump.
        self.0.load(Ordering::SeqCst) - BEGIN_MS + 1_000_000
    }
}

/// The files of another storage, but nothing waits for the disk.
struct Unsynced<T>(T);

struct UnsyncedFile(Arc<dyn File>);

impl File for UnsyncedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.0.allocate(length)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

impl<T: Storage> Storage for Unsynced<T> {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(UnsyncedFile(self.0.open(path, mode)?)))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.0.read_dir(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.remove_dir_all(path)
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn exists(&self, path: &Path) -> bool {
        self.0.exists(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.0.lock(path)
    }

    fn display(&self, path: &Path) -> PathBuf {
        self.0.display(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        for (days, text) in [(17_167, "2017-01-01"), (18_321, "2020-02-29"), (18_628, "2021-01-01")] {
            assert_eq!(day(days).unwrap(), value(text).unwrap());
        }
    }
}
