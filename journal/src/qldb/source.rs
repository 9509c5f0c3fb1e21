//! A journal export as it lies in a directory or a bucket: which objects there are, and the blocks in them in order
//! ("Journal export output in Amazon QLDB" in QLDB's developer guide).
//!
//! Objects are named by the blocks they hold, `<strand>.<first>-<last>.ion`; one with another name is read to learn
//! that. One object at a time is in memory.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use ledgerstone_digest::Hash;
use ledgerstone_digest::ion::{Limits, Value, decode_many, parse_many};
use ledgerstone_digest::qldb::JournalBlock;
use ledgerstone_digest::qldb::chain::{ChainError, OpenRedactions, check_block};

/// No object is read that is longer: QLDB's own had a few megabytes.
pub const OBJECT_BYTES_MAX: u64 = 512 << 20;
/// Nor more of them.
pub const OBJECTS_MAX: usize = 1 << 20;
const LIMITS: Limits = Limits { bytes_max: OBJECT_BYTES_MAX as usize, depth_max: 272, values_max: 64 << 20 };
const BINARY_MARKER: [u8; 4] = [0xe0, 0x01, 0x00, 0xea];

/// Where objects come from.
pub trait ObjectSource {
    /// Every object's key and length, in any order.
    fn list(&self) -> Result<Vec<(String, u64)>, SourceError>;
    fn read(&self, key: &str) -> Result<Vec<u8>, SourceError>;
}

/// Blocks from block 0 on, as often as they are asked for.
pub trait BlockSource {
    /// What there is to read, in the unit of [`ReadSoFar::done`].
    fn all(&self) -> u64;

    /// How many manifests say that it is complete; `None` if it needs none.
    fn manifests(&self) -> Option<usize>;

    /// The last checkpoint of the ledger whose blocks these are, if it was one of ours.
    fn continues(&self) -> Option<&str>;

    /// Gives every block once, in order, with the name of what it stands in.
    fn blocks(
        &self,
        each: &mut dyn FnMut(&str, JournalBlock, ReadSoFar) -> Result<(), ExportError>,
    ) -> Result<ReadSoFar, ExportError>;
}

/// An object or the source cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct SourceError {
    /// The object or the directory.
    pub place: String,
    pub problem: String,
}

/// Why an export was not read to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A block does not hold, or could not be kept.
    #[error("{object}: {error}")]
    Block { object: String, error: ChainError },
    #[error("{object}: {problem}")]
    Object { object: String, problem: String },
    #[error("{0}")]
    Incomplete(String),
    /// A ledger of ours cannot be read.
    #[error("{0}")]
    Ledger(String),
}

/// A directory with everything below it.
#[derive(Debug, Clone)]
pub struct Directory(pub PathBuf);

/// An export's objects, in the order of their blocks.
pub struct JournalExport<'a> {
    source: &'a dyn ObjectSource,
    objects: Vec<Object>,
    pub manifests: usize,
    pub bytes: u64,
}

struct Object {
    key: String,
    length: u64,
    first: u64,
}

/// How far the reading of an export is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadSoFar {
    /// Bytes of objects, or blocks of a ledger.
    pub done: u64,
    pub blocks: u64,
    /// Blocks that were in more than one object and were passed over.
    pub repeated: u64,
}

impl<'a> JournalExport<'a> {
    /// Looks at what is there.
    pub fn open(source: &'a dyn ObjectSource) -> Result<JournalExport<'a>, ExportError> {
        let mut listed = source.list()?;
        if listed.len() > OBJECTS_MAX {
            return Err(ExportError::Incomplete(format!("more than {OBJECTS_MAX} objects")));
        }
        listed.sort();
        let manifests: Vec<&str> = listed.iter().map(|(key, _)| key.as_str()).filter(|key| is_manifest(key)).collect();
        must_be_complete(source, &manifests, &listed)?;
        let manifests = manifests.len();
        let mut objects = Vec::new();
        for (key, length) in listed.into_iter().filter(|(key, _)| !is_manifest(key) && !is_hidden(key)) {
            if key.ends_with(".json") {
                let problem = "blocks in JSON cannot be hashed again: export the journal as Ion text or Ion binary";
                return Err(ExportError::Object { object: key, problem: problem.to_owned() });
            }
            let first = match first_of_name(&key) {
                Some(first) => first,
                None => first_of(source, &key)?,
            };
            objects.push(Object { key, length, first });
        }
        if objects.is_empty() {
            return Err(ExportError::Incomplete("there is no object with blocks".to_owned()));
        }
        objects.sort_by_key(|object| object.first);
        let bytes = objects.iter().map(|object| object.length).sum();
        Ok(JournalExport { source, objects, manifests, bytes })
    }
}

impl BlockSource for JournalExport<'_> {
    fn all(&self) -> u64 {
        self.bytes
    }

    fn manifests(&self) -> Option<usize> {
        Some(self.manifests)
    }

    fn continues(&self) -> Option<&str> {
        None
    }

    fn blocks(
        &self,
        each: &mut dyn FnMut(&str, JournalBlock, ReadSoFar) -> Result<(), ExportError>,
    ) -> Result<ReadSoFar, ExportError> {
        let mut so_far = ReadSoFar::default();
        let mut hashes = Vec::new();
        for object in &self.objects {
            for block in blocks_of(self.source, &object.key)? {
                // Exports of overlapping times hold some blocks twice.
                let before = usize::try_from(block.sequence_no).ok().and_then(|number| hashes.get(number));
                if let Some(before) = before {
                    let wrong = |error| ExportError::Block { object: object.key.clone(), error };
                    same_block(before, &block).map_err(wrong)?;
                    so_far.repeated += 1;
                    continue;
                }
                let hash = block.block_hash;
                each(&object.key, block, so_far)?;
                hashes.push(hash);
                so_far.blocks += 1;
            }
            so_far.done += object.length;
        }
        Ok(so_far)
    }
}

impl ObjectSource for Directory {
    fn list(&self) -> Result<Vec<(String, u64)>, SourceError> {
        let mut found = Vec::new();
        let mut directories = vec![self.0.clone()];
        while let Some(directory) = directories.pop() {
            let failed = |error: std::io::Error| source_error(&directory.display(), &error);
            for entry in std::fs::read_dir(&directory).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let kind = entry.file_type().map_err(failed)?;
                let path = entry.path();
                if kind.is_dir() {
                    directories.push(path);
                } else {
                    // A link is what it leads to: passed over, it would be missed in the chain of blocks.
                    let of_path = |error: std::io::Error| source_error(&path.display(), &error);
                    let metadata = std::fs::metadata(&path).map_err(of_path)?;
                    if metadata.is_file() {
                        found.push((self.key(&path)?, metadata.len()));
                    } else if kind.is_symlink() && metadata.is_dir() {
                        let problem = "it is a link to a directory, and such links are not followed".to_owned();
                        return Err(SourceError { place: path.display().to_string(), problem });
                    }
                }
                if found.len() + directories.len() > OBJECTS_MAX {
                    let problem = format!("there are more than {OBJECTS_MAX} files and directories in it");
                    return Err(SourceError { place: self.0.display().to_string(), problem });
                }
            }
        }
        Ok(found)
    }

    fn read(&self, key: &str) -> Result<Vec<u8>, SourceError> {
        let path = self.0.join(key);
        let length = std::fs::metadata(&path).map_err(|error| source_error(&path.display(), &error))?.len();
        if length > OBJECT_BYTES_MAX {
            let problem = format!("it has {length} bytes; at most {OBJECT_BYTES_MAX} are read");
            return Err(SourceError { place: path.display().to_string(), problem });
        }
        std::fs::read(&path).map_err(|error| source_error(&path.display(), &error))
    }
}

impl Directory {
    fn key(&self, path: &Path) -> Result<String, SourceError> {
        let inside = path.strip_prefix(&self.0).ok().and_then(Path::to_str);
        inside.map(str::to_owned).ok_or_else(|| SourceError {
            place: path.display().to_string(),
            problem: "its name is not UTF-8".to_owned(),
        })
    }
}

/// The redactions that were open after all blocks were verified, compared with the blocks, which are read again if there is
/// one.
pub fn check_redactions(blocks: &dyn BlockSource, mut open: OpenRedactions) -> Result<OpenRedactions, ExportError> {
    if !open.is_empty() {
        blocks.blocks(&mut |_, block, _| {
            open.see(&block);
            Ok(())
        })?;
        open.check().map_err(|error| ExportError::Block { object: "the export".to_owned(), error })?;
    }
    Ok(open)
}

/// Of a block that came before, in another object: what was redacted between two exports may be gone, and nothing else.
fn same_block(before: &Hash, block: &JournalBlock) -> Result<(), ChainError> {
    check_block(block)?;
    if *before == block.block_hash {
        return Ok(());
    }
    let problem = "another object holds this block with other content: one of the two is not the ledger's".to_owned();
    Err(ChainError { block: block.sequence_no, problem })
}

fn source_error(place: &dyn std::fmt::Display, error: &std::io::Error) -> SourceError {
    SourceError { place: place.to_string(), problem: format!("cannot read it: {error}") }
}

fn is_manifest(key: &str) -> bool {
    key.ends_with(".manifest")
}

/// Left by tools and file managers.
fn is_hidden(key: &str) -> bool {
    file_name(key).starts_with('.')
}

fn file_name(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

/// The number of the first block, as the object's name says.
fn first_of_name(key: &str) -> Option<u64> {
    let mut parts = file_name(key).rsplit('.');
    parts.next()?;
    parts.next()?.split_once('-')?.0.parse().ok()
}

fn first_of(source: &dyn ObjectSource, key: &str) -> Result<u64, ExportError> {
    let blocks = blocks_of(source, key)?;
    let first = blocks.first().map(|block| block.sequence_no);
    first.ok_or_else(|| ExportError::Object { object: key.to_owned(), problem: "there is no block in it".to_owned() })
}

/// The blocks of an object, ascending.
fn blocks_of(source: &dyn ObjectSource, key: &str) -> Result<Vec<JournalBlock>, ExportError> {
    let wrong = |problem: String| ExportError::Object { object: key.to_owned(), problem };
    let bytes = source.read(key)?;
    let values = read_values(&bytes).map_err(wrong)?;
    drop(bytes);
    let mut blocks = Vec::with_capacity(values.len());
    for (i, value) in values.into_iter().enumerate() {
        let block = JournalBlock::from_value(&value).map_err(|error| wrong(format!("value {i}: {error}")))?;
        blocks.push(block);
    }
    blocks.sort_by_key(|block| block.sequence_no);
    Ok(blocks)
}

fn read_values(bytes: &[u8]) -> Result<Vec<Value>, String> {
    if bytes.starts_with(&BINARY_MARKER) {
        return decode_many(bytes, &LIMITS).map_err(|error| error.to_string());
    }
    let text = std::str::from_utf8(bytes).map_err(|error| format!("neither Ion binary nor text: {error}"))?;
    parse_many(text, &LIMITS).map_err(|error| error.to_string())
}

/// Every object that a manifest names is there, and every export that was started came to its end.
fn must_be_complete(
    source: &dyn ObjectSource,
    manifests: &[&str],
    listed: &[(String, u64)],
) -> Result<(), ExportError> {
    let names: HashSet<&str> = listed.iter().map(|(key, _)| file_name(key)).collect();
    for key in manifests {
        if let Some(export) = file_name(key).strip_suffix(".started.manifest") {
            let mut completed = manifests.iter().map(|key| file_name(key)).filter(|name| name.starts_with(export));
            if !completed.any(|name| name.ends_with(".completed.manifest")) {
                let what =
                    format!("the export {export} was never completed: there is no {export}.….completed.manifest");
                return Err(ExportError::Incomplete(what));
            }
        } else if key.ends_with(".completed.manifest") {
            let missing = keys_of(source, key)?.into_iter().find(|key| !names.contains(file_name(key)));
            if let Some(missing) = missing {
                return Err(ExportError::Incomplete(format!("{key} names {missing}, which is not there")));
            }
        }
    }
    Ok(())
}

/// The keys in a completed manifest.
fn keys_of(source: &dyn ObjectSource, manifest: &str) -> Result<Vec<String>, ExportError> {
    let wrong = |problem: &str| ExportError::Object { object: manifest.to_owned(), problem: problem.to_owned() };
    let values = read_values(&source.read(manifest)?).map_err(|problem| wrong(&problem))?;
    let keys = values.first().and_then(Value::as_struct).and_then(|fields| fields.get("keys"));
    let Some(Value::List(keys)) = keys else { return Err(wrong("there is no list of keys in it")) };
    let texts = keys.iter().map(|key| key.as_text().map(str::to_owned));
    texts.map(|text| text.ok_or_else(|| wrong("a key is not a string"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_objects_say_where_their_blocks_begin() {
        assert_eq!(first_of_name("p/2020/03/25/20/JdxjkR9bSYB5jMHWcI464T.14-17.ion"), Some(14));
        assert_eq!(first_of_name("JdxjkR9bSYB5jMHWcI464T.0-4.ion"), Some(0));
        assert_eq!(first_of_name("blocks.ion"), None);
        assert_eq!(first_of_name("blocks"), None);
    }
}
