//! Facts without uses as bytes. What refers to a number is checked when it is read.

use super::bytes::{Reader, Writer};
use super::uses;
use crate::lineage::facts::{
    Address, Alias, Clone_, Detach, End, Exec, Facts, FileKind, FileOfBoot, Mapping, Object, Peek, Process,
    Queue, Renaming, Sighting, Socket,
};

const KINDS: [FileKind; 3] = [FileKind::Plain, FileKind::Pipe, FileKind::Fifo];

pub(super) fn write(facts: &Facts, to: &mut Writer) {
    to.list(&facts.boots, |to, start| to.time(*start));
    to.texts(facts.names.len(), facts.names.iter());
    to.texts(facts.ways.len(), facts.ways.iter());
    to.list(&facts.processes.items, |to, one| {
        to.number(one.pid.into());
        to.time(one.start_ns.cast_signed());
    });
    let (mut dev, mut ino) = (0_u64, 0_u64);
    to.list(&facts.files.items, |to, one| {
        let kind = KINDS.iter().position(|kind| *kind == one.kind).unwrap_or_default();
        // Most files are of the file system of the one before, and many have a number near its number.
        to.number(kind as u64 | (u64::from(one.dev != dev) << 2));
        if one.dev != dev {
            to.number(one.dev);
        }
        to.signed(one.ino.wrapping_sub(ino).cast_signed());
        to.number(one.generation.into());
        to.number(one.boot.into());
        (dev, ino) = (one.dev, one.ino);
    });
    to.list(&facts.sockets.items, |to, one| {
        to.number(one.ino);
        to.number(one.boot.into());
    });
    to.list(&facts.queues.items, |to, one| {
        to.number(one.ipc_ns.into());
        to.signed(one.id.into());
        to.number(one.boot.into());
    });
    to.list(&facts.mappings, mapping);
    to.list(&facts.detaches, |to, one| {
        to.number(one.process.into());
        to.number(one.address);
        to.time(one.at);
    });
    life(facts, to);
    to.list(&facts.ends, end);
    to.list(&facts.sightings, |to, one| {
        to.number(one.file.into());
        to.number(one.name.into());
        to.time(one.at);
    });
    to.list(&facts.renamings, |to, one| {
        to.time(one.at);
        to.number(one.old.into());
        to.number(one.new.into());
        to.maybe(one.file, |to, file| to.number(file.into()));
    });
    maps(facts, to);
}

/// Writes what is kept in tables without an order, in order, so that the same facts are the same bytes.
fn maps(facts: &Facts, to: &mut Writer) {
    let mut aliases: Vec<_> = facts.aliases.iter().collect();
    aliases.sort_unstable_by_key(|(alias, _)| (alias.file, alias.real, alias.is_upper));
    to.list(&aliases, |to, (alias, (first, last))| {
        to.number(alias.file.into());
        to.number(alias.real.into());
        to.number(alias.is_upper.into());
        to.time(*first);
        to.time(*last);
    });
    let mut comms: Vec<_> = facts.comms.iter().collect();
    comms.sort_unstable();
    to.list(&comms, |to, (process, name)| {
        to.number((**process).into());
        to.number((**name).into());
    });
    let mut hosts: Vec<_> = facts.hosts.iter().collect();
    hosts.sort_unstable();
    to.list(&hosts, |to, (address, host)| {
        to.text(address);
        to.text(host);
    });
}

fn mapping(to: &mut Writer, one: &Mapping) {
    let (kind, number) = uses::split(one.object);
    let bits = u64::from(one.can_read)
        | (u64::from(one.can_write) << 1)
        | (u64::from(one.is_shared) << 2)
        | ((kind as u64) << 3);
    to.number(bits);
    to.number(one.process.into());
    to.number(number.into());
    to.time(one.first);
    to.maybe((one.last != i64::MAX).then_some(one.last), Writer::time);
    to.number(one.bytes);
    to.number(one.ways.into());
    to.number(one.address);
}

/// Writes what happened to processes.
fn life(facts: &Facts, to: &mut Writer) {
    to.list(&facts.execs, |to, one| {
        to.number(one.process.into());
        to.time(one.at);
        to.maybe(one.file, |to, file| to.number(file.into()));
        to.maybe(one.interpreter, |to, file| to.number(file.into()));
        to.number(one.name.into());
    });
    to.list(&facts.clones, |to, one| {
        to.number(one.parent.into());
        to.number(one.child.into());
        to.time(one.at);
        to.number(one.shares_memory.into());
    });
    to.list(&facts.exits, |to, (process, at)| {
        to.number((*process).into());
        to.time(*at);
    });
    to.list(&facts.peeks, |to, one| {
        to.number(one.from.into());
        to.number(one.to.into());
        to.time(one.at);
        to.number(one.bytes);
        to.number(one.ways.into());
    });
    to.list(&facts.truncations, |to, (file, at)| {
        to.number((*file).into());
        to.time(*at);
    });
}

fn end(to: &mut Writer, one: &End) {
    let address = |to: &mut Writer, address: &Address| {
        to.text(&address.host);
        to.number(address.port.into());
        to.number(address.net_ns.into());
    };
    to.number(one.socket.into());
    to.time(one.at);
    to.maybe(one.local.as_ref(), address);
    to.maybe(one.remote.as_ref(), address);
    to.maybe(one.peer, |to, peer| to.number(peer.into()));
    to.maybe(one.path.as_ref(), |to, path| to.text(path));
}

pub(super) fn read(from: &mut Reader<'_>) -> Option<Facts> {
    let mut facts = Facts { boots: from.list(Reader::time)?, ..Facts::default() };
    from.texts(|name| {
        facts.names.number(name);
    })?;
    from.texts(|ways| {
        facts.ways.number(ways);
    })?;
    from.list(|from| {
        let (pid, start_ns) = (from.small()?, from.time()?.cast_unsigned());
        Some(facts.processes.number(Process { pid, start_ns }))
    })?;
    let (mut dev, mut ino) = (0_u64, 0_u64);
    from.list(|from| {
        let bits = from.number()?;
        let kind = *KINDS.get(usize::try_from(bits & 3).ok()?)?;
        dev = if bits & 4 == 0 { dev } else { from.number()? };
        ino = ino.wrapping_add(from.signed()?.cast_unsigned());
        let (generation, boot) = (from.small()?, from.small()?);
        Some(facts.files.number(FileOfBoot { dev, ino, generation, boot, kind }))
    })?;
    from.list(|from| Some(facts.sockets.number(Socket { ino: from.number()?, boot: from.small()? })))?;
    from.list(|from| {
        let (ipc_ns, id) = (from.small()?, i32::try_from(from.signed()?).ok()?);
        Some(facts.queues.number(Queue { ipc_ns, id, boot: from.small()? }))
    })?;
    Reading {
        processes: facts.processes.items.len(),
        files: facts.files.items.len(),
        names: facts.names.len(),
    }
    .rest(from, &mut facts)?;
    Some(facts)
}

/// Numbers of things, which what refers to them must be below.
#[derive(Clone, Copy)]
struct Reading {
    processes: usize,
    files: usize,
    names: usize,
}

impl Reading {
    fn rest(self, from: &mut Reader<'_>, facts: &mut Facts) -> Option<()> {
        let Self { processes, files, names } = self;
        let sockets = facts.sockets.items.len();
        let limits = [files, sockets, facts.queues.items.len()];
        facts.mappings = from.list(|from| self.mapping(from, limits))?;
        facts.detaches = from.list(|from| {
            Some(Detach { process: from.below(processes)?, address: from.number()?, at: from.time()? })
        })?;
        self.life(from, facts)?;
        facts.ends = from.list(|from| end_of(from, sockets))?;
        facts.sightings = from.list(|from| {
            Some(Sighting { file: from.below(files)?, name: from.below(names)?, at: from.time()? })
        })?;
        facts.renamings = from.list(|from| {
            let (at, old, new) = (from.time()?, from.below(names)?, from.below(names)?);
            Some(Renaming { at, old, new, file: from.maybe(|from| from.below(files))? })
        })?;
        let aliases = from.list(|from| {
            let (file, real, is_upper) = (from.below(files)?, from.below(files)?, from.flag()?);
            Some((Alias { file, real, is_upper }, (from.time()?, from.time()?)))
        })?;
        facts.aliases.extend(aliases);
        facts.comms.extend(from.list(|from| Some((from.below(processes)?, from.below(names)?)))?);
        facts.hosts.extend(from.list(|from| Some((from.text()?.into(), from.text()?.into())))?);
        Some(())
    }

    fn mapping(self, from: &mut Reader<'_>, limits: [usize; 3]) -> Option<Mapping> {
        let bits = from.number()?;
        let process = from.below(self.processes)?;
        let kind = usize::try_from(bits >> 3).ok()?;
        let object: Object = uses::join(kind, from.below(*limits.get(kind)?)?)?;
        Some(Mapping {
            process,
            object,
            first: from.time()?,
            last: from.maybe(Reader::time)?.unwrap_or(i64::MAX),
            bytes: from.number()?,
            ways: from.small()?,
            can_read: bits & 1 != 0,
            can_write: bits & 2 != 0,
            is_shared: bits & 4 != 0,
            address: from.number()?,
        })
    }

    fn life(self, from: &mut Reader<'_>, facts: &mut Facts) -> Option<()> {
        let Self { processes, files, names } = self;
        facts.execs = from.list(|from| {
            let (process, at) = (from.below(processes)?, from.time()?);
            let file = from.maybe(|from| from.below(files))?;
            let interpreter = from.maybe(|from| from.below(files))?;
            Some(Exec { process, at, file, interpreter, name: from.below(names)? })
        })?;
        facts.clones = from.list(|from| {
            let (parent, child, at) = (from.below(processes)?, from.below(processes)?, from.time()?);
            Some(Clone_ { parent, child, at, shares_memory: from.flag()? })
        })?;
        facts.exits = from.list(|from| Some((from.below(processes)?, from.time()?)))?;
        facts.peeks = from.list(|from| {
            let (one, other, at) = (from.below(processes)?, from.below(processes)?, from.time()?);
            Some(Peek { from: one, to: other, at, bytes: from.number()?, ways: from.small()? })
        })?;
        facts.truncations = from.list(|from| Some((from.below(files)?, from.time()?)))?;
        Some(())
    }
}

fn end_of(from: &mut Reader<'_>, sockets: usize) -> Option<End> {
    let address = |from: &mut Reader<'_>| {
        Some(Address { host: from.text()?.into(), port: from.small()?, net_ns: from.small()? })
    };
    Some(End {
        socket: from.below(sockets)?,
        at: from.time()?,
        local: from.maybe(address)?,
        remote: from.maybe(address)?,
        peer: from.maybe(|from| from.below(sockets))?,
        path: from.maybe(|from| from.text().map(Into::into))?,
    })
}
