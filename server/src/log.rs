//! The server's log: lines to standard error that never stop the server.
//!
//! Standard error is often a file on the disk that has just become full, or a pipe that nobody reads any more. A line that
//! cannot be written is counted (`ledgerstone_log_lines_lost_total`) and given up: `eprintln!` would panic, in the middle
//! of whatever the thread was doing.
//!
//! What is never logged at the default level: passwords and their verifiers, keys, parameters, and the texts of
//! statements. Set `LEDGERSTONE_LOG` to another level, such as `debug` or `warn`.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

static LOST: AtomicU64 = AtomicU64::new(0);

/// Sends what is traced to standard error.
pub fn begin() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("LEDGERSTONE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Lossy(io::stderr()))
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .with_target(false)
        .log_internal_errors(false)
        .init();
}

/// A line for the terminal; given up if it cannot be written.
pub fn say(line: impl std::fmt::Display) {
    let _ = writeln!(Lossy(io::stderr()), "{line}");
}

/// Lines that could not be written.
pub fn lines_lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Writes what it can and says that all is well.
struct Lossy<W>(W);

impl<W: Write> Write for Lossy<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.write_all(bytes).is_err() {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    #[test]
    fn a_line_that_cannot_be_written_is_counted_and_no_error() {
        let before = lines_lost();
        assert_eq!(Lossy(Full).write(b"a line\n").unwrap(), 7);
        Lossy(Full).flush().unwrap();
        assert!(lines_lost() > before);
    }
}
