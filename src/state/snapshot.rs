//! Snapshot: the whole state as one file.
//!
//! The file is a row of blocks, each with its kind, length and CRC-32: a head, entries, the users' database, in a
//! backup also the log records since the head's index, and an end that counts the blocks. Without a sound end nothing
//! of a file is used. Entries are read while writes go on: the head names the log index from *before* the reading
//! began, and replaying the log from there makes whole what changed meanwhile. Entries past their deadline stay out.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::change::Record;
use super::entries::Entries;
use super::entry::Entry;
use super::files::{damaged, discard_users, rename_durably};
use super::{Generation, codec};
use crate::clock::Millis;

const MAGIC: &[u8; 8] = b"SOJOURN\x01";
const BLOCK: usize = 1 << 20;
const BLOCK_MAX: usize = 64 << 20;
/// Threads that fill the cache at start.
const LOADERS: usize = 2;

/// What a snapshot file says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Log index up to which everything is in the file.
    pub index: u64,
    /// Log time of the state.
    pub stamp: Millis,
    /// What `raft` wants to find again: log id and membership, opaque here.
    pub label: Vec<u8>,
}

/// What lies in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Head = 1,
    Entries = 2,
    Users = 3,
    Records = 4,
    End = 5,
}

/// Writes a snapshot of `generation`: to a temporary file beside `path`, made durable, then renamed.
///
/// The label's index must have been taken before the call.
///
/// # Errors
/// When the disk or the users' database fails, or a checkpoint of it was held up. Nothing half done is left then: a
/// full disk needs the room.
pub fn write(generation: &Generation, head: &Head, path: &Path) -> io::Result<()> {
    let (draft, copy) = (path.with_extension("partial"), path.with_extension("users"));
    let written = write_draft(generation, head, (&draft, &copy)).and_then(|()| rename_durably(&draft, path));
    if written.is_err() {
        // what cannot be removed now is removed at the next start
        let _ = (fs::remove_file(&draft), discard_users(&copy));
    }
    written
}

fn write_draft(generation: &Generation, head: &Head, (draft, copy): (&Path, &Path)) -> io::Result<()> {
    discard_users(copy)?;
    let mut out = Blocks::create(draft)?;
    out.block(Kind::Head, &codec::encode(head))?;
    write_entries(&generation.entries, head.stamp, &mut out)?;
    generation.users.mark_applied(head.index)?;
    generation.users.copy_to(copy)?;
    out.file(Kind::Users, copy)?;
    discard_users(copy)?;
    out.finish()?;
    generation.users.checkpoint()
}

/// Copies the snapshot at `snapshot` to `out`, with the log records that follow it: a backup.
///
/// # Errors
/// When either cannot be read or `out` cannot be written.
pub fn write_backup(
    snapshot: &Path,
    records: impl Iterator<Item = io::Result<(u64, Record)>>,
    out: &Path,
) -> io::Result<()> {
    let mut blocks = Blocks::create(out)?;
    for block in BlockReader::open(snapshot)? {
        let (kind, payload) = block?;
        if kind != Kind::End {
            blocks.block(kind, &payload)?;
        }
    }
    for record in records {
        blocks.block(Kind::Records, &codec::encode(&record?))?;
    }
    blocks.finish()
}

fn write_entries(entries: &Entries, stamp: Millis, out: &mut Blocks) -> io::Result<()> {
    let mut block = Vec::with_capacity(BLOCK + (BLOCK >> 2));
    for entry in entries.held().filter(|entry| stamp < entry.deadline()) {
        let (header, rest) = entry.packed();
        block.extend_from_slice(&(entry.key().len() as u32).to_le_bytes());
        block.extend_from_slice(&((header.len() + rest.len()) as u32).to_le_bytes());
        block.extend_from_slice(entry.key());
        block.extend_from_slice(header);
        block.extend_from_slice(rest);
        if block.len() >= BLOCK {
            out.block(Kind::Entries, &block)?;
            block.clear();
        }
    }
    if block.is_empty() { Ok(()) } else { out.block(Kind::Entries, &block) }
}

/// The head of a snapshot file.
///
/// # Errors
/// When the file is missing, not ours, or damaged there.
pub fn head(path: &Path) -> io::Result<Head> {
    match BlockReader::open(path)?.next() {
        Some(Ok((Kind::Head, payload))) => codec::decode(&payload).map_err(|e| damaged(path, &e)),
        Some(Err(e)) => Err(e),
        _ => Err(damaged(path, &"it does not begin with a head")),
    }
}

/// Fills `entries`, and the database file `users` when one is named, from a snapshot file.
///
/// # Errors
/// When the file is damaged or ends early, or the disk fails. What was filled must be thrown away then.
pub fn read(path: &Path, entries: &Entries, users: Option<&Path>) -> io::Result<Head> {
    let head = head(path)?;
    let (send, receive) = sync_channel::<Vec<u8>>(LOADERS * 2);
    let receive = Mutex::new(receive);
    let failed: Mutex<Option<io::Error>> = Mutex::new(None);
    std::thread::scope(|threads| {
        for _ in 0..LOADERS {
            threads.spawn(|| {
                if let Err(e) = load_blocks(path, &receive, entries) {
                    failed.lock().get_or_insert(e);
                    // whoever reads the file would wait for us for ever
                    while receive.lock().recv().is_ok() {}
                }
            });
        }
        let mut database = users.map(File::create).transpose()?;
        for block in BlockReader::open(path)? {
            match block? {
                (Kind::Entries, payload) => send.send(payload).map_err(io::Error::other)?,
                (Kind::Users, payload) => {
                    if let Some(file) = &mut database {
                        file.write_all(&payload)?;
                    }
                }
                _ => {}
            }
        }
        drop(send);
        database.map_or(Ok(()), |file| file.sync_all())
    })?;
    failed.into_inner().map_or(Ok(head), Err)
}

/// Reads a file from beginning to end, so that nothing of a damaged one is ever used.
///
/// # Errors
/// When the file is missing, not ours, damaged, or ends early; says which and where.
pub fn check(path: &Path) -> io::Result<()> {
    head(path)?;
    BlockReader::open(path)?.try_for_each(|block| block.map(|_| ()))
}

/// The log records of a backup, in order.
///
/// # Errors
/// When the file is damaged.
pub fn records(path: &Path) -> io::Result<Vec<(u64, Record)>> {
    let mut found = Vec::new();
    for block in BlockReader::open(path)? {
        let (kind, payload) = block?;
        if kind == Kind::Records {
            found.push(codec::decode(&payload).map_err(|e| damaged(path, &e))?);
        }
    }
    Ok(found)
}

fn load_blocks(path: &Path, blocks: &Mutex<Receiver<Vec<u8>>>, entries: &Entries) -> io::Result<()> {
    loop {
        let next = blocks.lock().recv();
        let Ok(block) = next else { return Ok(()) };
        let mut rest = block.as_slice();
        while let Some((lengths, after)) = rest.split_first_chunk::<8>() {
            let (key_len, entry_len) = lengths.split_at(4);
            let length = |four: &[u8]| four.try_into().map(u32::from_le_bytes).unwrap_or(u32::MAX) as usize;
            let (key, after) = after.split_at_checked(length(key_len)).ok_or_else(|| damaged(path, &"torn key"))?;
            let (entry, after) =
                after.split_at_checked(length(entry_len)).ok_or_else(|| damaged(path, &"torn entry"))?;
            entries.load(Entry::unpacked(key, entry).map_err(|e| damaged(path, &e))?);
            rest = after;
        }
    }
}

/// A file of blocks being written.
struct Blocks {
    out: BufWriter<File>,
    count: u64,
}

impl Blocks {
    fn create(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let mut out = BufWriter::with_capacity(1 << 18, file);
        out.write_all(MAGIC)?;
        Ok(Self { out, count: 0 })
    }

    fn block(&mut self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&[kind as u8]);
        crc.update(payload);
        self.out.write_all(&[kind as u8])?;
        self.out.write_all(&(payload.len() as u32).to_le_bytes())?;
        self.out.write_all(&crc.finalize().to_le_bytes())?;
        self.out.write_all(payload)?;
        self.count += 1;
        Ok(())
    }

    fn file(&mut self, kind: Kind, path: &Path) -> io::Result<()> {
        let mut file = File::open(path)?;
        let mut buffer = vec![0; BLOCK];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(()),
                n => self.block(kind, &buffer[..n])?,
            }
        }
    }

    fn finish(mut self) -> io::Result<()> {
        let count = self.count.to_le_bytes();
        self.block(Kind::End, &count)?;
        self.out.into_inner().map_err(|e| e.into_error())?.sync_all()
    }
}

/// The blocks of a file, checked one by one; the last item is an error unless the end is sound.
struct BlockReader<'a> {
    path: &'a Path,
    file: BufReader<File>,
    count: u64,
    done: bool,
}

impl<'a> BlockReader<'a> {
    fn open(path: &'a Path) -> io::Result<Self> {
        let file = File::open(path).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
        let mut file = BufReader::with_capacity(1 << 18, file);
        let mut magic = [0; 8];
        file.read_exact(&mut magic).map_err(|_| damaged(path, &"shorter than its first line"))?;
        if magic != *MAGIC {
            return Err(damaged(path, &"not a snapshot of this program, or of another format"));
        }
        Ok(Self { path, file, count: 0, done: false })
    }

    fn block(&mut self) -> io::Result<(Kind, Vec<u8>)> {
        let mut header = [0; 9];
        self.file.read_exact(&mut header).map_err(|_| damaged(self.path, &"it ends early"))?;
        let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let kind = match header[0] {
            1 => Kind::Head,
            2 => Kind::Entries,
            3 => Kind::Users,
            4 => Kind::Records,
            5 => Kind::End,
            other => return Err(damaged(self.path, &format!("block of unknown kind {other}"))),
        };
        let length = number(1) as usize;
        if length > BLOCK_MAX {
            return Err(damaged(self.path, &format!("block of {length} bytes")));
        }
        let mut payload = vec![0; length];
        self.file.read_exact(&mut payload).map_err(|_| damaged(self.path, &"it ends early"))?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&[header[0]]);
        crc.update(&payload);
        if crc.finalize() != number(5) {
            return Err(damaged(self.path, &format!("checksum of block {} is wrong", self.count)));
        }
        if kind == Kind::End && payload != self.count.to_le_bytes() {
            return Err(damaged(self.path, &"blocks are missing"));
        }
        self.count += 1;
        Ok((kind, payload))
    }
}

impl Iterator for BlockReader<'_> {
    type Item = io::Result<(Kind, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let block = self.block();
        self.done = matches!(block, Err(_) | Ok((Kind::End, _)));
        Some(block)
    }
}
