//! Made-up flows of a machine that builds software and serves, for measurements.
//!
//! A job is a `make` of the shell. It starts 16 compilers by vfork, each of which reads 60 of 40,000 headers and one of 200,000 sources,
//! writes an object, and writes to a pipe that `make` reads. A linker reads the objects and writes a program. A test executes that
//! program, reads four of 5,000 data files and maps a fifth, writes a result, and talks to a server over a socket pair. The server
//! lives as long as the machine; for each connection it writes to one of 64 tables and to a log. These are about 1,110 edges and 19
//! processes a job. Uses of the processes of a job overlap, and there is an edge every 28.8 ms, which is 3 million a day.

use std::time::Instant;

use super::edge_file;
use super::facts::{
    Clone_, End, Exec, Facts, FileKind, FileOfBoot, Mapping, Object, Process, Sighting, Socket, Use, Way,
};
use crate::{Error, Store};

const START: i64 = 1_767_225_600_000_000_000;
const STEP: i64 = 28_800_000;
const TICK_NS: i64 = 10_000_000;
const SECOND: u64 = 1_000_000_000;
const COMPILERS: u64 = 16;
/// Numbers of the first file of each kind.
const HEADER: u64 = 1_000_000;
const SOURCE: u64 = 2_000_000;
const DATA: u64 = 3_000_000;
const TABLE: u64 = 3_100_000;
const LOG: u64 = 3_200_000;
const TOOL: u64 = 3_300_000;
const MADE: u64 = 10_000_000;

/// Amount that was written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Made {
    /// Number of edges, without those of processes that are made or execute programs.
    pub uses: u64,
    /// Seconds that encoding and writing the files took.
    pub seconds: f64,
}

/// Replaces the files beside the sealed segments of a store by ones with about so many edges, of made-up flows.
///
/// # Errors
/// The store can't be read.
pub fn fill(store: &Store, edges: u64) -> Result<Made, Error> {
    let pieces = store.pieces(&["usage"])?;
    let segments: Vec<_> = pieces.iter().filter_map(|piece| piece.segment.as_ref()).collect();
    let share = edges / (segments.len() as u64).max(1);
    let mut making = Making { facts: Facts::default(), at: START, number: 0, made: 0, jobs: 0, edges: 0 };
    let mut made = Made::default();
    for (segment, hash) in segments {
        making.facts = Facts { boots: vec![START], ..Facts::default() };
        making.edges = 0;
        while making.edges < share {
            making.job();
        }
        made.uses += making.facts.uses.len() as u64;
        let begin = now();
        edge_file::save(store, segment, hash, &making.facts);
        made.seconds += begin.elapsed().as_secs_f64();
    }
    Ok(made)
}

#[expect(clippy::disallowed_methods, reason = "real time is measured, and this crate has no actors")]
fn now() -> Instant {
    Instant::now()
}

struct Making {
    facts: Facts,
    at: i64,
    /// State of the generator of numbers.
    number: u64,
    /// Number of files that were made.
    made: u64,
    jobs: u64,
    edges: u64,
}

impl Making {
    fn below(&mut self, limit: u64) -> u64 {
        self.number =
            self.number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.number >> 33) % limit
    }

    fn file(&mut self, ino: u64, name: &str) -> u32 {
        let file = FileOfBoot { dev: 65025, ino, generation: 7, boot: 0, kind: FileKind::Plain };
        let before = self.facts.files.items.len() as u32;
        let file = self.facts.files.number(file);
        if file == before {
            let name = self.facts.names.number(name);
            self.facts.sightings.push(Sighting { file, name, at: self.at });
        }
        file
    }

    /// A use at some time of the next two seconds.
    fn use_of(&mut self, process: u32, object: Object, way: Way, calls: &str) {
        let first = self.at + self.below(2 * SECOND).cast_signed();
        let last = if self.below(4) == 0 { first } else { first + self.below(200_000).cast_signed() };
        let ways = self.facts.ways.number(calls) as u16;
        let bytes = 1 + self.below(60_000);
        self.facts.uses.push(Use { process, object, way, first, last, end: last + TICK_NS, bytes, ways });
        self.step();
    }

    fn step(&mut self) {
        self.at += STEP;
        self.edges += 1;
    }

    fn process(&mut self, pid: u64, start: i64) -> u32 {
        self.facts.processes.number(Process { pid: pid as u32, start_ns: start.cast_unsigned() })
    }

    fn shell(&mut self) -> u32 {
        self.process(900, 1)
    }

    /// Starts a program in a process of its own.
    fn start(&mut self, parent: u32, program: u32, name: &str) -> u32 {
        let pid = 1000 + (self.jobs * (COMPILERS + 3) + self.below(COMPILERS)) % 4_000_000;
        let child = self.process(pid, self.at - START + 1_000_000_000);
        let at = self.at;
        self.facts.clones.push(Clone_ { parent, child, at, shares_memory: true });
        let name = self.facts.names.number(name);
        self.facts.execs.push(Exec {
            process: child,
            at: at + 300_000,
            file: Some(program),
            interpreter: None,
            name,
        });
        self.facts.comms.insert(child, name);
        // From the parent, from the program before, and from the program's file.
        (0..3).for_each(|_| self.step());
        child
    }

    fn end(&mut self, process: u32) {
        self.facts.exits.push((process, self.at + 3 * SECOND.cast_signed()));
    }

    fn job(&mut self) {
        self.jobs += 1;
        let (shell, tool) = (self.shell(), self.file(TOOL, "/opt/sdk/make"));
        let make = self.start(shell, tool, "make");
        let objects: Vec<u32> = (0..COMPILERS).map(|_| self.compile(make)).collect();
        let tool = self.file(TOOL + 1, "/opt/sdk/ld");
        let linker = self.start(make, tool, "ld");
        for object in objects {
            self.use_of(linker, Object::File(object), Way::Read, "read");
        }
        let program = self.make_file("program");
        self.use_of(linker, Object::File(program), Way::Written, "write");
        self.end(linker);
        self.test(make, program);
        self.end(make);
    }

    fn make_file(&mut self, kind: &str) -> u32 {
        self.made += 1;
        let name = format!("/srv/build/project-{}/{kind}-{}", self.jobs % 40, self.made % 400_000);
        self.file(MADE + self.made, &name)
    }

    fn compile(&mut self, make: u32) -> u32 {
        let tool = self.file(TOOL + 2, "/opt/sdk/cc");
        let compiler = self.start(make, tool, "cc");
        let unit = self.below(200_000);
        for number in 0..60 {
            let header = (unit * 37 + number * number * 7) % 40_000;
            let name = format!("/srv/sdk/include/library-{}/header-{header}.h", header / 100);
            let header = self.file(HEADER + header, &name);
            self.use_of(compiler, Object::File(header), Way::Read, "read");
        }
        let source = self.file(SOURCE + unit, &format!("/srv/build/source-{unit}.c"));
        self.use_of(compiler, Object::File(source), Way::Read, "read");
        let object = self.make_file("object");
        self.use_of(compiler, Object::File(object), Way::Written, "write");
        self.made += 1;
        let (ino, kind) = (MADE + self.made, FileKind::Pipe);
        let pipe = self.facts.files.number(FileOfBoot { dev: 14, ino, generation: 0, boot: 0, kind });
        self.use_of(compiler, Object::File(pipe), Way::Written, "write");
        // The reader is mostly back after the writer.
        self.at += 2 * SECOND.cast_signed();
        self.use_of(make, Object::File(pipe), Way::Read, "read");
        self.at -= 2 * SECOND.cast_signed();
        self.end(compiler);
        object
    }

    fn test(&mut self, make: u32, program: u32) {
        let test = self.start(make, program, "test");
        for _ in 0..4 {
            let data = self.data();
            self.use_of(test, Object::File(data), Way::Read, "pread");
        }
        let data = self.data();
        self.map(test, data);
        let result = self.make_file("result");
        self.use_of(test, Object::File(result), Way::Written, "write");
        let server = self.process(800, 2);
        self.made += 2;
        let [one, other] =
            [0, 1].map(|end| self.facts.sockets.number(Socket { ino: MADE + self.made - end, boot: 0 }));
        for (socket, peer) in [(one, other), (other, one)] {
            let (at, peer) = (self.at, Some(peer));
            self.facts.ends.push(End { socket, at, local: None, remote: None, peer, path: None });
        }
        self.use_of(test, Object::Socket(one), Way::Written, "sendto");
        self.use_of(server, Object::Socket(other), Way::Read, "recvfrom");
        let number = self.below(64);
        let table = self.file(TABLE + number, &format!("/srv/database/table-{number}"));
        self.use_of(server, Object::File(table), Way::Written, "pwrite");
        let log = self.file(LOG, "/var/log/server.log");
        self.use_of(server, Object::File(log), Way::Written, "write");
        self.use_of(server, Object::Socket(other), Way::Written, "sendto");
        self.use_of(test, Object::Socket(one), Way::Read, "recvfrom");
        self.end(test);
    }

    fn data(&mut self) -> u32 {
        let number = self.below(5000);
        self.file(DATA + number, &format!("/srv/data/table-{number}.csv"))
    }

    fn map(&mut self, process: u32, file: u32) {
        self.facts.mappings.push(Mapping {
            process,
            object: Object::File(file),
            first: self.at,
            last: i64::MAX,
            bytes: 65_536,
            ways: self.facts.ways.number("mmap") as u16,
            can_read: true,
            can_write: false,
            is_shared: false,
            address: 0,
        });
        self.step();
    }
}
