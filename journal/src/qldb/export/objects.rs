//! Blocks in a row as data objects `<prefix>yyyy/mm/dd/hh/<strand>.<first>-<last>.<extension>`: an object holds blocks of one
//! hour, with no number missing, and about so many bytes at most.

use ledgerstone_digest::ion::Timestamp;
use ledgerstone_digest::qldb::JournalBlock;

use super::{Exported, Format, JournalExport, ObjectSink, SinkError};

/// Takes blocks in the order of their numbers.
pub(super) struct Objects<'a> {
    sink: &'a dyn ObjectSink,
    prefix: &'a str,
    format: Format,
    strand: String,
    bytes_max: usize,
    open: Option<Open>,
    there: There,
    exported: Exported,
}

/// The object that blocks are put into.
struct Open {
    /// With the prefix, ending with a slash.
    directory: String,
    first: u64,
    last: u64,
    /// Where an object ends that stands there and begins with the same block: it ends here too, so that its blocks stand in
    /// no other object as well, whatever they have become in length.
    until: Option<u64>,
    bytes: Vec<u8>,
}

/// The data objects in one directory.
#[derive(Default)]
struct There {
    directory: String,
    ranges: Vec<(u64, u64)>,
}

impl<'a> Objects<'a> {
    /// `strand`: what the completed manifest is named after if there is no block.
    pub fn new(sink: &'a dyn ObjectSink, export: &'a JournalExport, strand: String, bytes_max: usize) -> Objects<'a> {
        let (prefix, format) = (export.prefix.as_str(), export.format());
        let (there, exported) = (There::default(), Exported::default());
        Objects { sink, prefix, format, strand, bytes_max, open: None, there, exported }
    }

    pub fn block(&mut self, block: &JournalBlock, time: &Timestamp) -> Result<(), SinkError> {
        let (number, max) = (block.sequence_no, self.bytes_max);
        let directory = self.directory(time);
        let mut bytes = Vec::new();
        self.format.write(&block.to_value(), &mut bytes);
        if self.open.as_ref().is_some_and(|open| !open.takes(&directory, number, bytes.len(), max)) {
            self.close()?;
        }
        self.exported.blocks += 1;
        match &mut self.open {
            Some(open) => {
                open.last = number;
                open.bytes.append(&mut bytes);
            }
            None => {
                self.strand.clone_from(&block.strand_id);
                let until = self.until(&directory, number)?;
                self.open = Some(Open { directory, first: number, last: number, until, bytes });
            }
        }
        Ok(())
    }

    /// The strand's name and what was exported.
    pub fn finish(mut self) -> Result<(String, Exported), SinkError> {
        self.close()?;
        Ok((self.strand, self.exported))
    }

    fn close(&mut self) -> Result<(), SinkError> {
        let Some(Open { directory, first, last, until, bytes }) = self.open.take() else { return Ok(()) };
        let key = format!("{directory}{}.{first}-{last}.{}", self.strand, self.format.extension());
        if until == Some(last) && self.sink.holds(&key, &bytes)? {
            self.exported.kept += 1;
        } else {
            self.sink.put(&key, &bytes)?;
        }
        self.exported.bytes += bytes.len() as u64;
        self.exported.keys.push(key);
        Ok(())
    }

    fn directory(&self, time: &Timestamp) -> String {
        format!("{}{:04}/{:02}/{:02}/{:02}/", self.prefix, time.year, time.month, time.day, time.hour)
    }

    /// Where the longest object ends that stands in this directory and begins with this block.
    fn until(&mut self, directory: &str, first: u64) -> Result<Option<u64>, SinkError> {
        if self.there.directory != directory {
            let names = format!("{directory}{}.", self.strand);
            let keys = self.sink.keys(&names)?;
            let end = format!(".{}", self.format.extension());
            let ranges = keys.iter().filter_map(|key| {
                let (first, last) = key.strip_prefix(&names)?.strip_suffix(&end)?.split_once('-')?;
                Some((first.parse().ok()?, last.parse().ok()?))
            });
            self.there = There { directory: directory.to_owned(), ranges: ranges.collect() };
        }
        Ok(self.there.ranges.iter().filter(|range| range.0 == first).map(|range| range.1).max())
    }
}

impl Open {
    fn takes(&self, directory: &str, number: u64, length: usize, bytes_max: usize) -> bool {
        let next = self.directory == directory && number == self.last + 1;
        let bytes = self.bytes.len() + length;
        next && match self.until {
            // A redaction makes blocks shorter, and some a little longer.
            Some(until) if bytes <= 2 * bytes_max => number <= until,
            _ => bytes <= bytes_max,
        }
    }
}
