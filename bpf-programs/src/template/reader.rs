//! A loaded object, its buffer and its hooks.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};

use aya::maps::perf::{PerfEvent, PerfEventArrayBuffer};
use aya::maps::{Map, MapData, MapError, PerCpuArray, PerfEventArray, RingBuf};
use aya::{Ebpf, EbpfLoader};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::attach::{Attacher, blind};
use super::config::Poll;
use super::errors::{LOAD, TemplateError};
use super::object::LOST;
use super::plan::Plan;
use crate::facts::{BTF, Capabilities};
use crate::kernel::Attached;

use crate::errors::{NEEDED, is_permission};

/// Default size of a perf buffer for each CPU, if neither template nor object name one.
const PERF_BYTES: u32 = 256 << 10;

/// A loaded object. Dropping it detaches everything and lets the kernel free it.
pub(super) struct Loaded {
    /// The programs and their hooks, while they are attached.
    programs: Option<Ebpf>,
    buffer: Buffer,
    lost: Option<PerCpuArray<MapData, u64>>,
    /// Records that found no room, according to a perf buffer's own messages.
    reported: u64,
}

enum Buffer {
    Ring(RingBuf<MapData>),
    Perf { cpus: Vec<PerfEventArrayBuffer<MapData>>, next: usize },
}

impl Loaded {
    /// Loads the object and attaches its programs.
    ///
    /// # Errors
    /// The kernel refuses, or a required hook is missing.
    pub(super) fn load(plan: &Plan) -> Result<(Self, Attached), TemplateError> {
        let mut ebpf = object(plan)?;
        let buffer = Buffer::open(&mut ebpf, plan)?;
        let lost = match ebpf.take_map(LOST) {
            Some(map) => Some(PerCpuArray::try_from(map).map_err(|cause| {
                let why = format!("expected a per-CPU array of one unsigned 64-bit number: {cause}");
                TemplateError::Map { map: LOST.to_owned(), why }
            })?),
            None => None,
        };
        let attached = attach(&mut ebpf, plan)?;
        Ok((Self { programs: Some(ebpf), buffer, lost, reported: 0 }, attached))
    }

    /// Detaches everything. The buffer's content stays.
    pub(super) fn detach(&mut self) {
        self.programs = None;
    }

    /// Takes up to `limit` records out of the buffer; returns their number.
    pub(super) fn drain(&mut self, limit: usize, visit: &mut dyn FnMut(&[u8])) -> usize {
        match &mut self.buffer {
            Buffer::Ring(ring) => drain_ring(ring, limit, visit),
            Buffer::Perf { cpus, next } => {
                let mut taken = 0;
                // Each call begins with another CPU, so that one that is flooded can't starve the others.
                for _ in 0..cpus.len() {
                    *next = (*next + 1) % cpus.len();
                    let (count, lost) = drain_perf(&mut cpus[*next], limit - taken, visit);
                    taken += count;
                    self.reported += lost;
                    if taken >= limit {
                        break;
                    }
                }
                taken
            }
        }
    }

    /// Returns the number of records that found the buffer full, as far as known: by the program's own count,
    /// or the kernel's.
    pub(super) fn lost(&self) -> io::Result<u64> {
        match &self.lost {
            Some(map) => Ok(map.get(&0, 0).map_err(io::Error::other)?.iter().sum()),
            None => Ok(self.reported),
        }
    }

    /// Returns a descriptor that is readable when there are records.
    pub(super) fn waker(&self) -> io::Result<OwnedFd> {
        match &self.buffer {
            Buffer::Ring(ring) => ring.as_fd().try_clone_to_owned(),
            Buffer::Perf { cpus, .. } => {
                let all = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
                for cpu in cpus {
                    all.add(cpu, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
                }
                Ok(all.0)
            }
        }
    }
}

impl Buffer {
    fn open(ebpf: &mut Ebpf, plan: &Plan) -> Result<Self, TemplateError> {
        let failed = |why: String| TemplateError::Map { map: plan.map.clone(), why };
        let map = ebpf.take_map(&plan.map).ok_or_else(|| failed("the object no longer has it".to_owned()))?;
        match plan.poll {
            Poll::RingBuffer => typed(map).map(Self::Ring).map_err(failed),
            Poll::PerfBuffer => {
                let mut array: PerfEventArray<MapData> = typed(map).map_err(failed)?;
                let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
                let page = u32::try_from(page.unwrap_or(4096)).unwrap_or(4096);
                let pages = plan.buffer.unwrap_or(PERF_BYTES).div_ceil(page).next_power_of_two();
                let cpus =
                    aya::util::online_cpus().map_err(|(what, cause)| failed(format!("{what}: {cause}")))?;
                let open =
                    |cpu| array.open(cpu, Some(pages as usize)).map_err(|cause| failed(cause.to_string()));
                Ok(Self::Perf { cpus: cpus.into_iter().map(open).collect::<Result<_, _>>()?, next: 0 })
            }
        }
    }
}

fn typed<T: TryFrom<Map, Error = MapError>>(map: Map) -> Result<T, String> {
    T::try_from(map).map_err(|cause| cause.to_string())
}

/// Creates the object's maps; its programs are not loaded yet.
fn object(plan: &Plan) -> Result<Ebpf, TemplateError> {
    if std::fs::File::open(BTF).is_err() {
        return Err(TemplateError::NoBtf);
    }
    let missing = Capabilities::effective().missing(&NEEDED);
    if !missing.is_empty() {
        return Err(TemplateError::NotAllowed { action: LOAD.to_owned(), missing });
    }
    let mut loader = EbpfLoader::new();
    for (name, bytes) in &plan.constants {
        loader.override_global(name, &bytes[..], true);
    }
    if let (Some(size), Poll::RingBuffer) = (plan.buffer, plan.poll) {
        loader.map_max_entries(&plan.map, size.next_power_of_two());
    }
    loader.load(&plan.bytes).map_err(|cause| match is_permission(&cause) {
        true => TemplateError::NotAllowed { action: "load object".to_owned(), missing },
        false => TemplateError::Load { source: Box::new(cause) },
    })
}

fn attach(ebpf: &mut Ebpf, plan: &Plan) -> Result<Attached, TemplateError> {
    let (mut attacher, mut attached) = (Attacher::default(), Attached::default());
    for (hook, name) in &plan.hooks {
        let Some(program) = ebpf.program_mut(name) else {
            let (hook, program) = (hook.to_string(), name.clone());
            return Err(TemplateError::NoProgram { hook, program, have: Vec::new() });
        };
        match attacher.attach(program, name, hook) {
            Ok(hook_text) => {
                attached.hooks.push(hook_text);
                attached.without.extend(blind(hook.kind()));
            }
            Err(cause) if hook.optional => attached.without.push(cause.to_string()),
            Err(cause) => return Err(cause),
        }
    }
    Ok(attached)
}

fn drain_ring(ring: &mut RingBuf<MapData>, limit: usize, visit: &mut dyn FnMut(&[u8])) -> usize {
    for taken in 0..limit {
        match ring.next() {
            Some(record) => visit(&record),
            None => return taken,
        }
    }
    limit
}

/// Takes up to `limit` records of one CPU; returns their number, and the number that the kernel reports as
/// lost.
fn drain_perf(
    buffer: &mut PerfEventArrayBuffer<MapData>,
    limit: usize,
    visit: &mut dyn FnMut(&[u8]),
) -> (usize, u64) {
    if limit == 0 {
        return (0, 0);
    }
    let mut joined = Vec::new();
    let done = buffer.try_fold((0, 0), |(taken, lost), event| match event {
        PerfEvent::Lost { count } => ControlFlow::Continue((taken, lost + count)),
        PerfEvent::Sample { head, tail } => {
            if tail.is_empty() {
                visit(head);
            } else {
                joined.clear();
                joined.extend_from_slice(head);
                joined.extend_from_slice(tail);
                visit(&joined);
            }
            match taken + 1 {
                taken if taken >= limit => ControlFlow::Break((taken, lost)),
                taken => ControlFlow::Continue((taken, lost)),
            }
        }
    });
    match done {
        ControlFlow::Break(counts) | ControlFlow::Continue(counts) => counts,
    }
}
