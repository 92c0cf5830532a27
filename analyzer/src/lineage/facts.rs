//! Facts that rows have about flows of data, in numbers: the things between which data went, and what happened to them. Nodes and
//! edges are made of it ([`super::build`]).

use std::collections::HashMap;

use super::table::{Table, Texts};

/// A process: its id, and when it was started, in nanoseconds since the machine was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) start_ns: u64,
}

impl Process {
    /// Reads an `exec_id`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (pid, start_ns) = text.split_once('-')?;
        Some(Self { pid: pid.parse().ok()?, start_ns: start_ns.parse().ok()? })
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.pid, self.start_ns)
    }
}

/// Identity of a file, and the boot of the machine for files that exist only in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FileOfBoot {
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) generation: u32,
    /// Number of the boot; 0 for files on a disk.
    pub(super) boot: u16,
    pub(super) kind: FileKind,
}

/// Kinds of files that lineage distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum FileKind {
    /// A file whose contents stay until they are thrown away.
    Plain,
    /// A pipe without a name.
    Pipe,
    /// A pipe with a name.
    Fifo,
}

/// A socket: its inode number, and the boot of the machine, because numbers begin again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Socket {
    pub(super) ino: u64,
    pub(super) boot: u16,
}

/// A message queue of System V.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Queue {
    pub(super) ipc_ns: u32,
    pub(super) id: i32,
    pub(super) boot: u16,
}

/// A thing that processes read and write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Object {
    File(u32),
    Socket(u32),
    Queue(u32),
}

/// The direction in which data went between a process and an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Way {
    Read,
    Written,
}

/// Bytes that a process read or wrote during an interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    pub(super) process: u32,
    pub(super) object: Object,
    pub(super) way: Way,
    pub(super) first: i64,
    /// The time that the row has for the last use.
    pub(super) last: i64,
    /// The time until which the last use can have been.
    pub(super) end: i64,
    pub(super) bytes: u64,
    pub(super) ways: u16,
}

/// Memory of an object that a process has from a moment on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mapping {
    pub(super) process: u32,
    pub(super) object: Object,
    pub(super) first: i64,
    /// The time at which it was given back, if a row says so; otherwise the process has it until it executes a program or ends.
    pub(super) last: i64,
    pub(super) bytes: u64,
    pub(super) ways: u16,
    pub(super) can_read: bool,
    pub(super) can_write: bool,
    /// Whether changes of others are seen, and a child shares it.
    pub(super) is_shared: bool,
    /// The address at which memory of System V is attached; 0 for mapped files.
    pub(super) address: u64,
}

/// Memory of System V that a process gave back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Detach {
    pub(super) process: u32,
    pub(super) address: u64,
    pub(super) at: i64,
}

/// A program that a process executed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exec {
    pub(super) process: u32,
    pub(super) at: i64,
    pub(super) file: Option<u32>,
    pub(super) interpreter: Option<u32>,
    /// Number of the program's path among the names.
    pub(super) name: u32,
}

/// A process that another one made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clone_ {
    pub(super) parent: u32,
    pub(super) child: u32,
    pub(super) at: i64,
    /// Whether both use the same memory, until the child executes a program or ends.
    pub(super) shares_memory: bool,
}

/// Memory of another process that was read or written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peek {
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) at: i64,
    pub(super) bytes: u64,
    pub(super) ways: u16,
}

/// An address and a port, as text, with the network namespace for addresses that are known only there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Address {
    pub(super) host: Box<str>,
    pub(super) port: u16,
    pub(super) net_ns: u32,
}

/// An end of a socket, as a row names it.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) socket: u32,
    pub(super) at: i64,
    pub(super) local: Option<Address>,
    pub(super) remote: Option<Address>,
    pub(super) peer: Option<u32>,
    /// Path or abstract name of a unix socket.
    pub(super) path: Option<Box<str>>,
}

/// A path that a file had at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting {
    pub(super) file: u32,
    pub(super) name: u32,
    pub(super) at: i64,
}

/// A path that became another one, or got a second one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Renaming {
    pub(super) at: i64,
    pub(super) old: u32,
    pub(super) new: u32,
    /// The file, if the row has it.
    pub(super) file: Option<u32>,
}

/// The file of a layer in which a file of an overlay has its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Alias {
    pub(super) file: u32,
    pub(super) real: u32,
    /// Whether the layer is the one that is written to.
    pub(super) is_upper: bool,
}

/// All that rows say.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Starts of the machine by its clocks; the numbers of boots are indexes of these.
    pub(super) boots: Vec<i64>,
    pub(super) processes: Table<Process>,
    pub(super) files: Table<FileOfBoot>,
    pub(super) sockets: Table<Socket>,
    pub(super) queues: Table<Queue>,
    /// Paths, names of commands, hosts.
    pub(super) names: Texts,
    /// Sets of calls, each with `+` between them.
    pub(super) ways: Texts,
    /// Bytes that processes read and wrote. Those of a whole store are not kept in memory.
    pub(super) uses: Vec<Use>,
    pub(super) mappings: Vec<Mapping>,
    pub(super) detaches: Vec<Detach>,
    pub(super) execs: Vec<Exec>,
    pub(super) clones: Vec<Clone_>,
    /// Ends of processes.
    pub(super) exits: Vec<(u32, i64)>,
    /// For each process its end, or the end of all times; made of `exits` when all was read.
    pub(super) ends_of: Vec<i64>,
    pub(super) peeks: Vec<Peek>,
    /// Moments at which the contents of a file were thrown away.
    pub(super) truncations: Vec<(u32, i64)>,
    pub(super) ends: Vec<End>,
    pub(super) sightings: Vec<Sighting>,
    /// Number of sightings beyond which those of the same file and name are joined.
    pub(super) few_sightings: usize,
    pub(super) renamings: Vec<Renaming>,
    /// Files of overlays with the first and the last time at which a row names their layer.
    pub(super) aliases: HashMap<Alias, (i64, i64)>,
    /// Names of commands: process, name.
    pub(super) comms: HashMap<u32, u32>,
    /// Names of hosts by their addresses.
    pub(super) hosts: HashMap<Box<str>, Box<str>>,
}

impl Facts {
    /// Keeps the first sighting of each file with each name: each part of a store has its own.
    pub(super) fn join_sightings(&mut self) {
        self.sightings.sort_unstable_by_key(|one| (one.file, one.name, one.at));
        self.sightings.dedup_by_key(|one| (one.file, one.name));
        self.few_sightings = 1_000_000.max(self.sightings.len() * 2);
    }

    /// Puts what was read in order.
    pub(super) fn finish(&mut self) {
        self.ends_of = vec![i64::MAX; self.processes.items.len()];
        for (process, at) in std::mem::take(&mut self.exits) {
            let end = &mut self.ends_of[process as usize];
            *end = at.min(*end);
        }
        self.execs.sort_by_key(|exec| (exec.process, exec.at));
        self.clones.sort_by_key(|clone| clone.child);
        self.renamings.sort_by_key(|renaming| renaming.at);
        self.detaches.sort_by_key(|detach| detach.at);
        for detach in &self.detaches {
            let is_it = |mapping: &&mut Mapping| {
                (mapping.process, mapping.address) == (detach.process, detach.address)
                    && mapping.first <= detach.at
                    && mapping.last == i64::MAX
            };
            let attached = self.mappings.iter_mut().filter(|mapping| mapping.address != 0).find(is_it);
            attached.into_iter().for_each(|mapping| mapping.last = detach.at);
        }
        if self.execs.iter().all(|exec| exec.interpreter.is_none()) {
            return;
        }
        // Rows have no generation of an interpreter: a file with the same numbers that another row names is taken for it.
        let numbers = |file: &FileOfBoot| (file.dev, file.ino);
        let files = (0..).zip(&self.files.items).filter(|(_, file)| file.generation != 0);
        let known: HashMap<(u64, u64), u32> = files.map(|(number, file)| (numbers(file), number)).collect();
        for exec in &mut self.execs {
            let file = exec.interpreter.map(|file| numbers(&self.files.items[file as usize]));
            exec.interpreter = file.and_then(|numbers| known.get(&numbers).copied()).or(exec.interpreter);
        }
    }
}
