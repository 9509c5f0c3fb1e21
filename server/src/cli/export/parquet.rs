//! A ledger's history or current data as Parquet, with all that is needed to verify it.

use ledgerstone_digest::Id;
use ledgerstone_query::export::manifest::{Manifest, Scope};
use ledgerstone_query::export::{ExportError, ExportOptions, Source as _, export};

use super::super::terminal::{Style, bytes, counted, say, thousands};
use super::{Export, Failure};

/// Names of tables that an error lists.
const NAMES_MAX: usize = 20;

impl Export {
    pub(super) fn parquet(&self) -> Result<(), Failure> {
        if self.out.starts_with("s3:") {
            return Err(Failure::of(
                "a Parquet export is a directory; only blocks go to a bucket (--format qldb-ion)".into(),
            ));
        }
        if self.out.exists() {
            return Err(Failure::of(format!("{} exists already; choose another place", self.out.display())));
        }
        let options = ExportOptions {
            scope: if self.current { Scope::Current } else { Scope::History },
            tables: self.tables.clone(),
            ..ExportOptions::default()
        };
        let advice = || self.while_running();
        let manifest = self.with_database(advice, |database| {
            let mut bar = self.bar("leaves");
            let outcome = export(&**database, &self.out, &options, &mut |progress| {
                bar.at(progress.done, progress.total);
                true
            });
            outcome.map_err(|error| match error {
                ExportError::NoTable(asked) => Failure::of(no_table(&asked, database.tables())),
                error => Failure::of(error.to_string()),
            })
        })?;
        self.parquet_done(&manifest);
        Ok(())
    }

    /// What to do while a server has the ledger.
    fn while_running(&self) -> String {
        let table = self.tables.first().map_or("TABLE", String::as_str);
        let query =
            if self.current { format!("SELECT * FROM {table}") } else { format!("SELECT * FROM history({table})") };
        format!(
            "A running server has this ledger open. If it was started with --exports DIR, let it make the export:\n  \
             psql -h 127.0.0.1 -p 7432 {} -c \"COPY ({query}) TO 'NAME' (FORMAT parquet)\"\n\
             Otherwise stop it and run this again, or export a copy of the directory.\n\
             Rows alone, without what verifies them, come through the server:\n  \
             psql -h 127.0.0.1 -p 7432 {} -c \"COPY ({query}) TO STDOUT (FORMAT csv, HEADER)\" > {table}.csv",
            self.ledger, self.ledger
        )
    }

    fn parquet_done(&self, manifest: &Manifest) {
        let user: Vec<_> = manifest.tables.iter().filter(|table| !table.system).collect();
        let rows: u64 = user.iter().map(|table| table.rows).sum();
        let size: u64 = manifest.tables.iter().flat_map(|table| &table.files).map(|file| file.bytes).sum();
        if self.json {
            let tables: Vec<_> =
                user.iter().map(|t| serde_json::json!({ "name": t.name, "id": t.id, "rows": t.rows })).collect();
            let object = serde_json::json!({
                "directory": self.out, "origin": manifest.origin, "size": manifest.size, "scope": manifest.scope,
                "rows": rows, "bytes": size, "tables": tables,
            });
            say!("{object:#}");
            return;
        }
        let style = Style::stdout();
        say!("{}  {}", style.green("✓ exported"), style.bold(&self.out.display().to_string()));
        say!("  ledger      {}", manifest.origin);
        say!("  checkpoint  size {}", thousands(manifest.size));
        for table in &user {
            say!("  {:<26} {:>17}", table.name, counted(table.rows, "row"));
        }
        say!("  {} of Parquet. Verify it: ledgerstone verify {} --key VKEY", bytes(size), self.out.display());
    }
}

/// The tables that there are, in place of one that there is not.
fn no_table(asked: &str, tables: Vec<(Id, String)>) -> String {
    let mut names: Vec<String> = tables.into_iter().map(|(_, name)| name).collect();
    names.sort();
    names.dedup();
    let more = names.len().saturating_sub(NAMES_MAX);
    names.truncate(NAMES_MAX);
    let there = match (names.is_empty(), more) {
        (true, _) => "the ledger has no tables".to_owned(),
        (false, 0) => format!("there are {}", names.join(", ")),
        (false, more) => format!("there are {} and {} more", names.join(", "), thousands(more as u64)),
    };
    format!("--table {asked}: there is no such table; {there}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_is_not_there_is_answered_with_some_of_those_that_are() {
        let tables = |count: u8| (0..count).map(|n| (Id([n; 16]), format!("t{n:02}"))).collect();
        let said = |count| no_table("x", tables(count));
        assert_eq!(said(0), "--table x: there is no such table; the ledger has no tables");
        assert_eq!(said(2), "--table x: there is no such table; there are t00, t01");
        assert!(said(100).ends_with("t18, t19 and 80 more"), "{}", said(100));
    }
}
