//! Blocks as QLDB's journal exports had them, into a directory or a bucket.

use ledgerstone_digest::Id;
use ledgerstone_digest::block::native_time;
use ledgerstone_journal::qldb::export::{
    DirectorySink, Exported, Format, JournalExport, ObjectSink, Started, TimeRange, started,
};
use ledgerstone_journal::{Env, Ledger};

use super::super::terminal::{Style, bytes, say, thousands};
use super::{Export, Failure};
use crate::s3::Located;

/// What is to be done.
enum Task {
    New(JournalExport),
    /// It was interrupted.
    GoOn(JournalExport),
    /// It is there, with so many objects.
    Done(JournalExport, usize),
}

/// Where the objects go.
enum Place {
    Directory(DirectorySink),
    /// Keys begin with this.
    Bucket(Located, String),
}

impl Place {
    fn sink(&self) -> &dyn ObjectSink {
        match self {
            Place::Directory(sink) => sink,
            Place::Bucket(located, _) => &located.bucket,
        }
    }

    fn prefix(&self) -> &str {
        match self {
            Place::Directory(_) => "",
            Place::Bucket(_, prefix) => prefix,
        }
    }

    fn bucket(&self) -> Option<&str> {
        match self {
            Place::Directory(_) => None,
            Place::Bucket(located, _) => Some(located.bucket.name()),
        }
    }
}

impl Export {
    pub(super) fn journal(&self, format: Format) -> Result<(), Failure> {
        let place = self.place()?;
        let there = started(place.sink(), place.prefix()).map_err(|error| Failure::of(error.to_string()))?;
        if there.is_empty() && place.bucket().is_none() && holds_anything(&self.out) {
            return Err(Failure::of(format!(
                "{} holds other things than an export; choose another place",
                self.out.display()
            )));
        }
        let advice = || {
            format!(
                "A running server has this ledger open. If it was started with --s3 URL, let it make the export:\n  \
                 aws qldb export-journal-to-s3 --endpoint-url http://127.0.0.1:7430 --name {} …\n\
                 Otherwise stop it and run this again.",
                self.ledger
            )
        };
        self.with_database(advice, |database| {
            let ledger = database.ledger();
            match self.task(format, ledger, &place, &there)? {
                Task::New(export) => {
                    export.begin(place.sink()).map_err(|error| Failure::of(error.to_string()))?;
                    self.write(&export, ledger, place.sink())
                }
                Task::GoOn(export) => self.write(&export, ledger, place.sink()),
                Task::Done(export, objects) => {
                    self.was_done(&export, objects);
                    Ok(())
                }
            }
        })
    }

    /// A directory, or a bucket and what its keys begin with.
    fn place(&self) -> Result<Place, Failure> {
        let Some(located) = Located::open(&self.out) else {
            return Ok(Place::Directory(DirectorySink::new(Env::production().storage, &self.out)));
        };
        let located = located.map_err(|error| Failure::of(error.to_string()))?;
        // As of a directory: what is in it stands behind a slash.
        let mut prefix = located.beginning.clone();
        if !prefix.is_empty() && !prefix.ends_with('/') {
            prefix.push('/');
        }
        JournalExport::check_prefix(&prefix).map_err(Failure::of)?;
        Ok(Place::Bucket(located, prefix))
    }

    /// A new export, unless the place has one that these options describe.
    fn task(&self, format: Format, ledger: &Ledger, place: &Place, there: &[Started]) -> Result<Task, Failure> {
        let range = self.range(ledger)?;
        let same = |export: &JournalExport| {
            export.ledger_name == self.ledger
                && export.format() == format
                && export.range.from_ms == range.from_ms
                && (self.to.is_none() || export.range.to_ms == range.to_ms)
        };
        let mine = |done: bool| there.iter().find(|one| same(&one.export) && one.completed.is_some() == done);
        if let Some(Started { export, .. }) = mine(false) {
            return Ok(Task::GoOn(export.clone()));
        }
        if let Some(Started { export, completed: Some(keys) }) = mine(true) {
            return Ok(Task::Done(export.clone(), keys.len()));
        }
        if let Some(Started { export, .. }) = there.first() {
            return Err(Failure::of(format!(
                "{} holds another export: ledger \"{}\", blocks from {} to {}, {}; choose another place, or give the options \
                 of that one to go on with it",
                self.out.display(),
                export.ledger_name,
                native_time(export.range.from_ms),
                native_time(export.range.to_ms),
                export.format().name(),
            )));
        }
        Ok(Task::New(JournalExport {
            id: Id(Env::production().rng.bytes16()),
            ledger_name: self.ledger.clone(),
            range,
            output_format: Some(format),
            prefix: place.prefix().to_owned(),
            bucket: place.bucket().map(str::to_owned),
            encryption: "NO_ENCRYPTION".to_owned(),
        }))
    }

    fn range(&self, ledger: &Ledger) -> Result<TimeRange, Failure> {
        let failed = |error: ledgerstone_journal::ReadError| Failure::of(error.to_string());
        let (begins_ms, ends_ms) =
            (ledger.journal_begins_ms().map_err(failed)?, ledger.journal_ends_ms().map_err(failed)?);
        let range =
            TimeRange { from_ms: self.from.unwrap_or(begins_ms).max(begins_ms), to_ms: self.to.unwrap_or(ends_ms) };
        if range.to_ms > ends_ms {
            return Err(Failure::of("--to lies in the future: what it would hold is not known yet".to_owned()));
        }
        if range.from_ms >= range.to_ms {
            return Err(self.no_blocks(begins_ms, ends_ms));
        }
        Ok(range)
    }

    /// Why no block can lie between --from and --to.
    fn no_blocks(&self, begins_ms: i64, ends_ms: i64) -> Failure {
        let what = match (self.from, self.to) {
            (_, Some(to)) if to <= begins_ms => format!("--to {}: the ledger begins after that", native_time(to)),
            (Some(from), Some(to)) if from >= to => {
                format!("--from {} is not before --to {}", native_time(from), native_time(to))
            }
            (Some(from), _) => format!("--from {}: the ledger has no block from then on", native_time(from)),
            (None, _) => "the ledger has no block".to_owned(),
        };
        let (begins, ends) = (native_time(begins_ms), native_time(ends_ms));
        Failure::of(what).advice(format!("The ledger begins at {begins}, and what it holds is known up to {ends}."))
    }

    fn write(&self, export: &JournalExport, ledger: &Ledger, sink: &dyn ObjectSink) -> Result<(), Failure> {
        let mut bar = self.bar("blocks");
        let outcome = export.run(ledger, sink, &mut |progress| {
            bar.at(progress.done, progress.total);
            true
        });
        drop(bar);
        let exported = outcome.map_err(|error| {
            Failure::of(error.to_string()).advice("The same command goes on where this one stopped.".to_owned())
        })?;
        self.journal_done(export, &exported);
        Ok(())
    }

    fn journal_done(&self, export: &JournalExport, exported: &Exported) {
        let Exported { keys, blocks, bytes: size, kept } = exported;
        let (from, to) = (native_time(export.range.from_ms), native_time(export.range.to_ms));
        if self.json {
            let object = serde_json::json!({
                "out": self.out, "ledger": export.ledger_name, "export_id": export.id.to_string(),
                "from": from.to_string(), "to": to.to_string(), "format": export.format().name(), "blocks": blocks,
                "objects": keys.len(), "objects_kept": kept, "bytes": size,
            });
            say!("{object:#}");
            return;
        }
        let style = Style::stdout();
        say!("{}  {}", style.green("✓ exported"), style.bold(&self.out.display().to_string()));
        say!("  export      {}", export.id);
        say!("  ledger      {}, from {from} to {to}", export.ledger_name);
        say!("  blocks      {} in {} objects, {}", thousands(*blocks), thousands(keys.len() as u64), bytes(*size));
        if *kept > 0 {
            say!("  kept        {} objects that were there already", thousands(*kept));
        }
    }

    fn was_done(&self, export: &JournalExport, objects: usize) {
        let (from, to) = (native_time(export.range.from_ms), native_time(export.range.to_ms));
        if self.json {
            let object = serde_json::json!({
                "out": self.out, "ledger": export.ledger_name, "export_id": export.id.to_string(),
                "from": from.to_string(), "to": to.to_string(), "format": export.format().name(), "objects": objects,
                "objects_kept": objects,
            });
            say!("{object:#}");
            return;
        }
        say!("{} holds the whole export {} already, blocks from {from} to {to}.", self.out.display(), export.id);
        say!("For later ones choose another place.");
    }
}

/// What an interrupted start leaves begins with a dot.
fn holds_anything(path: &std::path::Path) -> bool {
    let hidden = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".");
    match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().any(|entry| !hidden(&entry.file_name())),
        Err(_) => path.exists(),
    }
}
