//! A small file of two alternating checksummed slots, for the few facts that must survive a torn write.
//!
//! Each slot is one 4,096-byte page. A value is written to the slot that does not hold the newest one and synced, so
//! that whatever a crash leaves of the write, the other slot still holds the value before it. `docs/format.md`,
//! section "Checkpoint slots", describes the bytes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledgerstone_digest::hash::Hash;

use crate::env::{File, OpenMode, Storage, help_for, write_all_at};

/// Bytes of one slot.
pub const SLOT_BYTES: usize = 4096;
/// Bytes of the whole file: two slots, nothing else.
pub const FILE_BYTES: usize = 2 * SLOT_BYTES;
/// The longest value a slot can hold.
pub const PAYLOAD_BYTES_MAX: usize = SLOT_BYTES - HEADER_BYTES - 32;

const HEADER_BYTES: usize = 8 + 8 + 4;

/// What stands in one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// All zeros: never written.
    Empty,
    /// A value that is whole.
    Valid {
        /// Counts the values stored, from 1; value `n` stands in slot `n % 2`.
        sequence: u64,
        /// The value.
        payload: Vec<u8>,
    },
    /// Anything else: a torn write or damage, with what is wrong.
    Broken(&'static str),
}

/// Why a slot file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// The file system refused.
    #[error("{}: {source}{}", path.display(), help_for(source))]
    Io {
        /// The slot file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file does not exist.
    #[error("{} is missing", path.display())]
    Missing {
        /// The slot file.
        path: PathBuf,
    },
    /// Neither slot holds a whole value.
    #[error("{}: neither slot holds a whole value (offset 0: {first}; offset 4096: {second}); run `ledgerstone verify DIR` to see the extent, keep a copy of the directory, and restore the file from a backup", path.display())]
    NoValue {
        /// The slot file.
        path: PathBuf,
        /// What is wrong with the first slot.
        first: &'static str,
        /// What is wrong with the second slot.
        second: &'static str,
    },
    /// A value that does not fit one slot.
    #[error("{}: a value of {bytes} bytes does not fit a slot of {PAYLOAD_BYTES_MAX}", path.display())]
    TooLong {
        /// The slot file.
        path: PathBuf,
        /// The length asked for.
        bytes: usize,
    },
}

/// An open slot file.
pub struct SlotFile {
    file: Arc<dyn File>,
    path: PathBuf,
    magic: [u8; 8],
    sequence: u64,
}

impl SlotFile {
    /// Makes the file with one value in it, and syncs it; the caller syncs the directory.
    pub fn create(storage: &dyn Storage, path: &Path, magic: [u8; 8], payload: &[u8]) -> Result<SlotFile, SlotError> {
        let io = |source| SlotError::Io { path: path.to_owned(), source };
        let file = storage.open(path, OpenMode::Create).map_err(io)?;
        file.set_len(0).map_err(io)?;
        file.set_len(FILE_BYTES as u64).map_err(io)?;
        write_all_at(&*file, &[0; FILE_BYTES], 0).map_err(io)?;
        let mut slots = SlotFile { file, path: path.to_owned(), magic, sequence: 0 };
        slots.store(payload)?;
        Ok(slots)
    }

    /// Opens the file and returns its newest whole value.
    pub fn open(storage: &dyn Storage, path: &Path, magic: [u8; 8]) -> Result<(SlotFile, Vec<u8>), SlotError> {
        let io = |source| SlotError::Io { path: path.to_owned(), source };
        let file = match storage.open(path, OpenMode::Write) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(SlotError::Missing { path: path.to_owned() });
            }
            Err(error) => return Err(io(error)),
        };
        // What a process left behind that was killed, or whose sync failed, is believed only if it is on the disk.
        file.sync_data().and_then(|()| file.drop_cache()).map_err(io)?;
        let mut bytes = vec![0; FILE_BYTES];
        read_up_to(&*file, &mut bytes, 0).map_err(io)?;
        let slots = inspect(&bytes, magic);
        let (sequence, payload) = match newest(&slots) {
            Some(found) => found,
            None => {
                let [first, second] = slots.map(|slot| match slot {
                    Slot::Broken(what) => what,
                    _ => "empty",
                });
                return Err(SlotError::NoValue { path: path.to_owned(), first, second });
            }
        };
        let payload = payload.to_vec();
        Ok((SlotFile { file, path: path.to_owned(), magic, sequence }, payload))
    }

    /// Writes a value over the older slot and syncs it. When this returns an error, either value may be found later.
    pub fn store(&mut self, payload: &[u8]) -> Result<(), SlotError> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(SlotError::TooLong { path: self.path.clone(), bytes: payload.len() });
        }
        let sequence = self.sequence + 1;
        let slot = encode(self.magic, sequence, payload);
        let io = |source| SlotError::Io { path: self.path.clone(), source };
        write_all_at(&*self.file, &slot, slot_offset(sequence)).map_err(io)?;
        self.file.sync_data().map_err(io)?;
        self.sequence = sequence;
        Ok(())
    }
}

/// Says what stands in the two slots of a file's bytes. Bytes that are missing are read as broken, not as zeros.
pub fn inspect(bytes: &[u8], magic: [u8; 8]) -> [Slot; 2] {
    [0, 1].map(|which| match bytes.get(which * SLOT_BYTES..(which + 1) * SLOT_BYTES) {
        Some(slot) => decode(slot, magic, which as u64),
        None => Slot::Broken("the file is shorter than its two slots"),
    })
}

/// The value with the highest sequence number.
pub fn newest(slots: &[Slot; 2]) -> Option<(u64, &[u8])> {
    slots
        .iter()
        .filter_map(|slot| match slot {
            Slot::Valid { sequence, payload } => Some((*sequence, payload.as_slice())),
            _ => None,
        })
        .max_by_key(|(sequence, _)| *sequence)
}

/// Reads until the buffer is full or the file ends; returns how much was read.
pub(crate) fn read_up_to(file: &dyn File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn slot_offset(sequence: u64) -> u64 {
    (sequence % 2) * SLOT_BYTES as u64
}

fn encode(magic: [u8; 8], sequence: u64, payload: &[u8]) -> Vec<u8> {
    let mut slot = Vec::with_capacity(SLOT_BYTES);
    slot.extend_from_slice(&magic);
    slot.extend_from_slice(&sequence.to_be_bytes());
    slot.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    slot.extend_from_slice(payload);
    slot.resize(SLOT_BYTES - 32, 0);
    let sum = Hash::sha256(&[&slot]);
    slot.extend_from_slice(&sum.0);
    slot
}

fn decode(slot: &[u8], magic: [u8; 8], which: u64) -> Slot {
    if slot.iter().all(|byte| *byte == 0) {
        return Slot::Empty;
    }
    let (body, sum) = slot.split_at(SLOT_BYTES - 32);
    if Hash::sha256(&[body]).0 != sum {
        return Slot::Broken("its checksum does not match");
    }
    let (head, rest) = body.split_at(HEADER_BYTES);
    if head[..8] != magic {
        return Slot::Broken("it belongs to another kind of file");
    }
    let mut sequence = [0; 8];
    sequence.copy_from_slice(&head[8..16]);
    let sequence = u64::from_be_bytes(sequence);
    let mut length = [0; 4];
    length.copy_from_slice(&head[16..20]);
    let length = u32::from_be_bytes(length) as usize;
    if sequence == 0 || sequence % 2 != which {
        return Slot::Broken("its sequence number belongs to the other slot");
    }
    match rest.get(..length) {
        Some(payload) if rest[length..].iter().all(|byte| *byte == 0) => {
            Slot::Valid { sequence, payload: payload.to_vec() }
        }
        Some(_) => Slot::Broken("its padding is not zero"),
        None => Slot::Broken("its length exceeds the slot"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::sim::{Noise, Sim};
    use crate::env::{Env, read_file};

    const MAGIC: [u8; 8] = *b"LSTEST\x00\x01";

    fn bytes(env: &Env) -> Vec<u8> {
        read_file(&*env.storage, Path::new("/slots"), 1 << 20).unwrap()
    }

    fn put(env: &Env, bytes: &[u8]) {
        let file = env.storage.open(Path::new("/slots"), OpenMode::Create).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        write_all_at(&*file, bytes, 0).unwrap();
    }

    fn open(env: &Env) -> Result<Vec<u8>, SlotError> {
        SlotFile::open(&*env.storage, Path::new("/slots"), MAGIC).map(|(_, payload)| payload)
    }

    #[test]
    fn the_newest_value_is_found_after_each_store() {
        let env = Env::memory(1);
        let mut slots = SlotFile::create(&*env.storage, Path::new("/slots"), MAGIC, b"value 0").unwrap();
        for n in 1..9u32 {
            let value = format!("value {n}").repeat(n as usize);
            slots.store(value.as_bytes()).unwrap();
            assert_eq!(open(&env).unwrap(), value.as_bytes());
            assert_eq!(bytes(&env).len(), FILE_BYTES);
        }
        slots.store(&vec![7; PAYLOAD_BYTES_MAX]).unwrap();
        assert_eq!(open(&env).unwrap(), vec![7; PAYLOAD_BYTES_MAX]);
        assert!(matches!(slots.store(&vec![7; PAYLOAD_BYTES_MAX + 1]), Err(SlotError::TooLong { .. })));
    }

    #[test]
    fn a_write_torn_at_any_byte_leaves_the_value_before() {
        let env = Env::memory(1);
        let mut slots = SlotFile::create(&*env.storage, Path::new("/slots"), MAGIC, b"first").unwrap();
        slots.store(b"the second, a little longer").unwrap();
        let before = bytes(&env);
        slots.store(b"third").unwrap();
        let after = bytes(&env);
        let changed = (0..FILE_BYTES).filter(|at| before[*at] != after[*at]).collect::<Vec<_>>();
        for cut in 0..=changed.len() {
            // A torn write may reach the disk from either end.
            for (new, old) in [(&after, &before), (&before, &after)] {
                let mut torn = old.clone();
                for at in &changed[..cut] {
                    torn[*at] = new[*at];
                }
                put(&env, &torn);
                let expected: &[u8] = if torn == after { b"third" } else { b"the second, a little longer" };
                assert_eq!(open(&env).unwrap(), expected, "{cut} of {} changed bytes", changed.len());
            }
        }
    }

    #[test]
    fn calls_that_are_interrupted_or_short_are_gone_on_with() {
        let sim = Sim::new(1);
        sim.disk.set_noise(Noise { short_one_in: 2, interrupted_one_in: 2 });
        let env = sim.env();
        let mut slots = SlotFile::create(&*env.storage, Path::new("/slots"), MAGIC, b"value 0").unwrap();
        for n in 1..20u32 {
            let value = format!("value {n}");
            slots.store(value.as_bytes()).unwrap();
            assert_eq!(open(&env).unwrap(), value.as_bytes());
        }
        assert!(sim.disk.counts().interrupted > 20 && sim.disk.counts().short_reads > 5);
    }

    #[test]
    fn each_flipped_byte_shows_in_its_slot_alone() {
        let env = Env::memory(1);
        let mut slots = SlotFile::create(&*env.storage, Path::new("/slots"), MAGIC, b"first").unwrap();
        slots.store(b"second").unwrap();
        let whole = bytes(&env);
        for at in 0..FILE_BYTES {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x20;
            let slots = inspect(&flipped, MAGIC);
            let hit = at / SLOT_BYTES;
            assert!(matches!(slots[hit], Slot::Broken(_)), "byte {at}");
            assert!(matches!(slots[1 - hit], Slot::Valid { .. }), "byte {at}");
        }
    }

    #[test]
    fn a_file_without_a_whole_value_is_refused() {
        let env = Env::memory(1);
        assert!(matches!(open(&env), Err(SlotError::Missing { .. })));
        for length in [0, 1, SLOT_BYTES, FILE_BYTES] {
            put(&env, &vec![0; length]);
            assert!(matches!(open(&env), Err(SlotError::NoValue { .. })));
        }
        SlotFile::create(&*env.storage, Path::new("/slots"), *b"LSOTHER\x01", b"value").unwrap();
        assert!(matches!(open(&env), Err(SlotError::NoValue { .. })));
    }
}
