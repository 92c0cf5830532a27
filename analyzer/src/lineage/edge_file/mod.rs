//! Files with the facts of a sealed segment, beside its rows: `lineage.edges`. A reader that may write makes one when it is missing,
//! damaged, of another version, or of another segment.

mod blocks;
mod bytes;
mod facts;
mod uses;

use std::fs::File;
use std::os::unix::fs::FileExt as _;

pub(super) use self::blocks::{Block, Blocks};
use self::bytes::{Reader, Writer};
use super::facts::Facts;
use crate::Store;

/// Name of the file.
const NAME: &str = "lineage.edges";
/// Beginning of each file.
const MAGIC: &[u8; 8] = b"DuLineag";
/// Version of the format. Any change of what is written, or of how rows are understood, needs a new one.
const VERSION: u64 = 3;
/// Most bytes of the header.
const HEAD: u64 = 4096;

/// Reads the facts of a segment, without its uses, and where these are; `None` if there is no file, or it is not one of this segment
/// and version, or is damaged.
pub(super) fn load(store: &Store, segment: &str, hash: &str) -> Option<(Facts, Blocks)> {
    decode(store.segments()?.derived(segment, NAME)?, hash)
}

/// Writes the facts of a segment, if this user may. Otherwise they are read from the rows each time.
pub(super) fn save(store: &Store, segment: &str, hash: &str, facts: &Facts) {
    let Some(folder) = store.segments() else { return };
    // A user who may only read the store reads the rows.
    let _ = folder.write_derived(segment, NAME, &encode(facts, hash));
}

/// Returns the bytes of a file: a header with the version, the hash of the segment's manifest and a checksum; the facts; where the
/// blocks of uses are, with a checksum of each; and the blocks.
fn encode(facts: &Facts, hash: &str) -> Vec<u8> {
    let (blocks, bytes) = blocks::make(&facts.uses);
    let mut body = Writer::default();
    facts::write(facts, &mut body);
    blocks::write(&blocks, &mut body);
    let mut head = Writer::default();
    head.number(VERSION);
    head.text(hash);
    head.number(u64::from(crc32fast::hash(&body.bytes)));
    head.number(body.bytes.len() as u64);
    [MAGIC.as_slice(), &head.bytes, &body.bytes, &bytes].concat()
}

fn decode(file: File, hash: &str) -> Option<(Facts, Blocks)> {
    let length = file.metadata().ok()?.len();
    let head = read(&file, 0, length.min(HEAD))?;
    let mut reader = Reader::new(head.strip_prefix(MAGIC)?);
    if reader.number()? != VERSION || reader.text()? != hash {
        return None;
    }
    let (crc, body) = (reader.number()?, reader.number()?);
    let begin = (head.len() - reader.rest().len()) as u64;
    let end = begin.checked_add(body).filter(|end| *end <= length)?;
    let body = read(&file, begin, body)?;
    if u64::from(crc32fast::hash(&body)) != crc {
        return None;
    }
    let mut reader = Reader::new(&body);
    let facts = facts::read(&mut reader)?;
    let blocks = blocks::read(&mut reader)?;
    if !reader.rest().is_empty() {
        return None;
    }
    let blocks = Blocks::in_file(file, end, blocks, &facts)?;
    Some((facts, blocks))
}

fn read(file: &File, begin: u64, length: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    file.read_exact_at(&mut bytes, begin).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::facts::{
        Address, Alias, Clone_, Detach, End, Exec, FileKind, FileOfBoot, Mapping, Object, Peek, Process,
        Queue, Renaming, Sighting, Socket, Use, Way,
    };
    use super::*;

    fn sample() -> Facts {
        let mut facts = Facts { boots: vec![-5, 1_700_000_000_000_000_000], ..Facts::default() };
        let process = facts.processes.number(Process { pid: 7, start_ns: u64::MAX });
        let file = facts.files.number(FileOfBoot {
            dev: 1,
            ino: u64::MAX,
            generation: 3,
            boot: 1,
            kind: FileKind::Pipe,
        });
        let socket = facts.sockets.number(Socket { ino: 9, boot: 0 });
        let queue = facts.queues.number(Queue { ipc_ns: 1, id: -1, boot: 1 });
        let name = facts.names.number("/a\\xffb");
        let ways = facts.ways.number("read+pread") as u16;
        for (number, object) in
            [Object::File(file), Object::Socket(socket), Object::Queue(queue)].into_iter().enumerate()
        {
            let first = 1_700_000_000_000_000_000 + number as i64;
            let (last, end, way) = (first + 5, first + 10_000_005, Way::Written);
            facts.uses.push(Use { process, object, way, first, last, end, bytes: u64::MAX, ways });
            facts.uses.push(Use {
                process,
                object,
                way: Way::Read,
                first: i64::MIN,
                last: 0,
                end: 0,
                bytes: 0,
                ways,
            });
            facts.mappings.push(Mapping {
                process,
                object,
                first,
                last: i64::MAX,
                bytes: 4096,
                ways,
                can_read: true,
                can_write: number == 1,
                is_shared: number == 2,
                address: 77,
            });
        }
        add_events(&mut facts, (process, file, socket), (name, ways));
        facts.uses.sort_by_key(|one| one.first);
        facts
    }

    fn add_events(facts: &mut Facts, (process, file, socket): (u32, u32, u32), (name, ways): (u32, u16)) {
        facts.detaches.push(Detach { process, address: 77, at: 3 });
        facts.execs.push(Exec { process, at: -1, file: Some(file), interpreter: None, name });
        facts.clones.push(Clone_ { parent: process, child: process, at: 4, shares_memory: true });
        facts.exits.push((process, 5));
        facts.peeks.push(Peek { from: process, to: process, at: 6, bytes: 1, ways });
        facts.truncations.push((file, 7));
        let address = Address { host: "::1".into(), port: 53, net_ns: 4 };
        facts.ends.push(End {
            socket,
            at: 8,
            local: Some(address),
            remote: None,
            peer: Some(socket),
            path: Some("@x".into()),
        });
        facts.sightings.push(Sighting { file, name, at: 9 });
        facts.renamings.push(Renaming { at: 10, old: name, new: name, file: None });
        facts.aliases.insert(Alias { file, real: file, is_upper: true }, (1, 2));
        facts.comms.insert(process, name);
        facts.hosts.insert("::1".into(), "localhost".into());
    }

    /// Reads the bytes of a file, with its uses.
    fn decoded(bytes: &[u8], hash: &str) -> Option<Facts> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        let (mut facts, blocks) = decode(file, hash)?;
        let (mut buffer, mut uses) = (Vec::new(), Vec::new());
        blocks.all.iter().try_for_each(|block| blocks.read(block, &mut buffer, |one| uses.push(one)))?;
        facts.uses = uses;
        Some(facts)
    }

    #[test]
    fn facts_are_read_as_they_were_written() {
        let facts = sample();
        let read = decoded(&encode(&facts, "hash"), "hash").expect("facts");
        assert_eq!(format!("{read:?}"), format!("{facts:?}"));
        let empty = decoded(&encode(&Facts::default(), ""), "").expect("facts");
        assert_eq!(format!("{empty:?}"), format!("{:?}", Facts::default()));
    }

    #[test]
    fn a_damaged_file_or_one_of_another_segment_is_not_read() {
        let bytes = encode(&sample(), "hash");
        assert!(decoded(&bytes, "other").is_none());
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 1;
            assert!(decoded(&damaged, "hash").is_none(), "byte {index}");
            assert!(decoded(&bytes[..index], "hash").is_none(), "{index} bytes");
        }
        assert!(decoded(&[&bytes[..], &[0]].concat(), "hash").is_none());
    }
}
