//! A ledger's history or current data as Parquet, with all that is needed to verify it.

use ledgerstone_query::export::manifest::{Manifest, Scope};
use ledgerstone_query::export::{ExportOptions, export};

use super::super::terminal::{Style, bytes, counted, say, thousands};
use super::{Export, Failure};

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
            outcome.map_err(|error| Failure::of(error.to_string()))
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
