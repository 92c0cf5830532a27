//! Puts the facts of several segments together: the same thing has the same number then.

use super::facts::{
    Alias, Clone_, Detach, End, Exec, Facts, FileKind, FileOfBoot, Mapping, Object, Peek, Queue, Renaming,
    Sighting, Socket, Use,
};

/// Numbers of things in the whole, by their numbers in a part.
#[derive(Debug)]
pub(super) struct Numbers {
    processes: Vec<u32>,
    files: Vec<u32>,
    sockets: Vec<u32>,
    queues: Vec<u32>,
    names: Vec<u32>,
    ways: Vec<u16>,
}

impl Numbers {
    fn process(&self, number: u32) -> u32 {
        self.processes[number as usize]
    }

    fn file(&self, number: u32) -> u32 {
        self.files[number as usize]
    }

    fn name(&self, number: u32) -> u32 {
        self.names[number as usize]
    }

    fn way(&self, number: u16) -> u16 {
        self.ways.get(number as usize).copied().unwrap_or(u16::MAX)
    }

    fn object(&self, object: Object) -> Object {
        match object {
            Object::File(file) => Object::File(self.file(file)),
            Object::Socket(socket) => Object::Socket(self.sockets[socket as usize]),
            Object::Queue(queue) => Object::Queue(self.queues[queue as usize]),
        }
    }

    /// Returns a use with the numbers of the whole.
    pub(super) fn of_use(&self, one: Use) -> Use {
        Use {
            process: self.process(one.process),
            object: self.object(one.object),
            ways: self.way(one.ways),
            ..one
        }
    }
}

impl Facts {
    /// Adds the facts of a part, without its uses. `boot` returns the number of the boot at which the machine started at some time.
    /// Returns the numbers that things of the part have in the whole.
    pub(super) fn add(&mut self, part: Self, boot: impl Fn(i64) -> u16) -> Numbers {
        let starts = part.boots.clone();
        let boot = |number: u16| starts.get(number as usize).map_or(0, |start| boot(*start));
        let numbers = self.numbers(&part, boot);
        let of = &numbers;
        self.mappings.extend(part.mappings.into_iter().map(|one| Mapping {
            process: of.process(one.process),
            object: of.object(one.object),
            ways: of.way(one.ways),
            ..one
        }));
        self.detaches
            .extend(part.detaches.into_iter().map(|one| Detach { process: of.process(one.process), ..one }));
        self.execs.extend(part.execs.into_iter().map(|one| Exec {
            process: of.process(one.process),
            file: one.file.map(|file| of.file(file)),
            interpreter: one.interpreter.map(|file| of.file(file)),
            name: of.name(one.name),
            ..one
        }));
        let clones = part.clones.into_iter();
        self.clones.extend(clones.map(|one| Clone_ {
            parent: of.process(one.parent),
            child: of.process(one.child),
            ..one
        }));
        self.add_rest(of, part.exits, (part.peeks, part.truncations));
        self.ends.extend(part.ends.into_iter().map(|end| End {
            socket: of.sockets[end.socket as usize],
            peer: end.peer.map(|peer| of.sockets[peer as usize]),
            ..end
        }));
        let sightings = part.sightings.into_iter();
        self.sightings.extend(sightings.map(|one| Sighting {
            file: of.file(one.file),
            name: of.name(one.name),
            ..one
        }));
        if self.sightings.len() > self.few_sightings {
            self.join_sightings();
        }
        self.renamings.extend(part.renamings.into_iter().map(|one| Renaming {
            old: of.name(one.old),
            new: of.name(one.new),
            file: one.file.map(|file| of.file(file)),
            ..one
        }));
        for (alias, (first, last)) in part.aliases {
            let alias = Alias { file: of.file(alias.file), real: of.file(alias.real), ..alias };
            let known = self.aliases.entry(alias).or_insert((first, last));
            *known = (known.0.min(first), known.1.max(last));
        }
        for (process, name) in part.comms {
            self.comms.entry(of.process(process)).or_insert_with(|| of.name(name));
        }
        for (address, host) in part.hosts {
            self.hosts.entry(address).or_insert(host);
        }
        // Uses have no names.
        Numbers { names: Vec::new(), ..numbers }
    }

    fn add_rest(
        &mut self,
        of: &Numbers,
        exits: Vec<(u32, i64)>,
        (peeks, truncations): (Vec<Peek>, Vec<(u32, i64)>),
    ) {
        self.exits.extend(exits.into_iter().map(|(process, at)| (of.process(process), at)));
        self.peeks.extend(peeks.into_iter().map(|one| Peek {
            from: of.process(one.from),
            to: of.process(one.to),
            ways: of.way(one.ways),
            ..one
        }));
        self.truncations.extend(truncations.into_iter().map(|(file, at)| (of.file(file), at)));
    }

    fn numbers(&mut self, part: &Self, boot: impl Fn(u16) -> u16) -> Numbers {
        let files = part.files.items.iter().map(|file| {
            // Only a pipe ends with the boot.
            let boot = if file.kind == FileKind::Pipe { boot(file.boot) } else { 0 };
            self.files.number(FileOfBoot { boot, ..*file })
        });
        let files = files.collect();
        let sockets = part.sockets.items.iter();
        let sockets =
            sockets.map(|one| self.sockets.number(Socket { boot: boot(one.boot), ..*one })).collect();
        let queues = part.queues.items.iter();
        let queues = queues.map(|one| self.queues.number(Queue { boot: boot(one.boot), ..*one })).collect();
        Numbers {
            files,
            sockets,
            queues,
            processes: part.processes.items.iter().map(|process| self.processes.number(*process)).collect(),
            names: part.names.iter().map(|name| self.names.number(name)).collect(),
            ways: part.ways.iter().map(|ways| self.ways.number(ways) as u16).collect(),
        }
    }
}
