//! Decodes the records shared by tracers `ptrace`, `bpf`, `module`, `memfd`, `setuid`, `kill`, `namespace` and `ipc`, by
//! the table of system calls. `include/misc_calls.h` writes them.
//!
//! Process ids are those the caller used, in its pid namespace; that of a process behind a pidfd is in the initial one.

mod names;
mod objects;

use model::process::FIRST_PID_NS;
use model::{Act, ActField, Details, ExecId, FlagSet, Moment, Record, Text};
use names::{
    BPF_COMMANDS, MAP_TYPES, MEMORY_COMMANDS, MESSAGE_COMMANDS, PROGRAM_TYPES, name, ptrace_request,
};

use crate::syscalls::{self, Syscall};
use crate::text;
use crate::wire::{ActRecord, Family, RawText, TEXT_UNREADABLE, WireError, view};

const BPF_MAP_CREATE: u64 = 0;
const BPF_PROG_LOAD: u64 = 5;
const PTRACE_TRACEME: u64 = 0;

/// A field of a row, and the position of the argument it is made from, counted from 1.
#[derive(Clone, Copy)]
enum Part {
    Uint(&'static str, usize),
    /// A number of which the kernel takes 32 bits.
    Half(&'static str, usize),
    /// A pid or a signal, which is an int.
    Int(&'static str, usize),
    /// A user or group id; the largest number leaves the id unchanged.
    Id(&'static str, usize),
    Flags(FlagSet, usize),
    /// The record's text.
    Word(&'static str),
    /// The request of ptrace().
    Request,
    /// The command of bpf(), and what it created.
    Command,
    /// The four user ids after the call.
    Users,
    /// The four group ids after the call.
    Groups,
    /// The effective capabilities after the call.
    Capabilities,
    /// The process of this number.
    Target(usize),
    /// The thread of this number, if it is not its process's first one.
    Thread(usize),
    /// The process that ptrace() is about, and the thread, if it is another than the first one.
    Traced,
    /// The process that the call is about, if it is known.
    Behind,
    /// The thread behind a pidfd, if it is not its process's first one.
    ThreadBehind,
    /// The namespaces after the call.
    Namespaces,
    /// The namespace to be entered.
    Entered,
    /// The object of IPC.
    Object,
    /// The command of a call on an object of IPC, by these names.
    Control(&'static [&'static str]),
    /// The number of bytes that came back.
    Received(&'static str),
    /// Flags that make an object of IPC, with the mode in their low bits.
    Made(usize),
    /// The address of attached memory.
    Attached,
}

use Part::{
    Attached, Behind, Capabilities, Command, Control, Entered, Flags, Groups, Half, Id, Int, Made,
    Namespaces, Object, Received, Request, Target, Thread, ThreadBehind, Traced, Uint, Users, Word,
};

struct Call {
    call: Syscall,
    parts: &'static [Part],
}

macro_rules! syscalls {
    ($(
        $name:ident $call:ident $x86:tt $arm:tt $compat:tt
        $(Fs $fs:tt)? $(Act [$($part:expr),*])?;
    )*) => {
        const CALLS: &[Call] = &[$($(Call { call: syscalls::$name, parts: &[$($part),*] },)?)*];
    };
}

include!("../../syscalls/calls.in");

/// Decodes the bytes of a record.
///
/// # Errors
/// Fails if the bytes are not a valid record of these kinds, or the call is not in the table.
pub(crate) fn decode(bytes: &[u8]) -> Result<Record, WireError> {
    let (raw, mut texts) = view::<ActRecord>(bytes, Family::Act)?;
    let (path, word) = (texts.take(raw.path)?, texts.take(raw.word)?);
    texts.end()?;
    let call = CALLS.iter().find(|call| call.call.number == Some(raw.call));
    let call = call.ok_or(WireError::Call(raw.call))?;
    let path = (raw.file.known != 0).then(|| text::file_path(path, &raw.file));
    let mut fields = Vec::new();
    call.parts.iter().for_each(|part| show(*part, &raw, word, &mut fields));
    Ok(Record {
        at: Moment::Boot(raw.header.at()),
        identity: Some(raw.header.identity()),
        details: Details::Act(Box::new(Act {
            call: call.call.name,
            path_incomplete: path.as_ref().is_some_and(|path| path.incomplete),
            path: path.map(|path| path.text()),
            fields,
            ret: result(call.call, raw.ret),
            file: raw.file.file(),
            target: (raw.target_start_ns != 0)
                .then_some(ExecId { pid: raw.target_pid, start_ns: raw.target_start_ns }),
        })),
    })
}

/// Returns the result of a call. Those that return the former id have no errors, and ids use all bits.
fn result(call: Syscall, ret: i32) -> i64 {
    match call {
        syscalls::SETFSUID | syscalls::SETFSGID => ret.cast_unsigned().into(),
        _ => ret.into(),
    }
}

fn show(part: Part, raw: &ActRecord, word: RawText<'_>, fields: &mut Vec<(&'static str, ActField)>) {
    let arg = |at: usize| raw.args[at - 1];
    let int = |at: usize| ActField::Int((arg(at) as i32).into());
    match part {
        Uint(name, at) => fields.push((name, ActField::Uint(arg(at)))),
        Half(name, at) => fields.push((name, ActField::Uint(arg(at) & 0xffff_ffff))),
        Int(name, at) => fields.push((name, int(at))),
        Id(name, at) if arg(at) as u32 != u32::MAX => {
            fields.push((name, ActField::Uint((arg(at) as u32).into())));
        }
        Id(..) => {}
        Flags(set, at) => fields.push(("flags", ActField::Flags(arg(at) & 0xffff_ffff, set))),
        Word(_) if word.is(TEXT_UNREADABLE) => {}
        Word(name) => fields.push((name, ActField::Text(Text::from_bytes(word.bytes)))),
        Request => fields.push(("request", ptrace_request(arg(1)))),
        Command => command(raw, word, fields),
        Users => ids(&raw.ids, |id| id & 0xffff_ffff, ["ruid", "euid", "suid", "fsuid"], fields),
        Groups => ids(&raw.ids, |id| id >> 32, ["rgid", "egid", "sgid", "fsgid"], fields),
        Capabilities => {
            fields.push(("capabilities", ActField::Flags(raw.capabilities, FlagSet::Capability)));
        }
        Target(at) => target(raw, arg(at) as i32, fields),
        Thread(at) if is_thread(raw) => fields.push(("target_tid", int(at))),
        Thread(_) => {}
        Traced if arg(1) != PTRACE_TRACEME => {
            show(Target(2), raw, word, fields);
            show(Thread(2), raw, word, fields);
        }
        Traced => {}
        ThreadBehind if is_thread(raw) => {
            fields.push(("target_tid", ActField::Int(raw.target_tid.into())));
        }
        ThreadBehind => {}
        Behind if raw.target_pid != 0 => fields.push(("target_pid", ActField::Uint(raw.target_pid.into()))),
        Behind => {}
        Namespaces => objects::namespaces(raw, fields),
        Entered => objects::entered(raw, fields),
        Object => objects::object(raw, fields),
        Made(at) => objects::made(arg(at), fields),
        Control(names) => objects::control(raw, names, fields),
        Received(name) if raw.ret >= 0 => fields.push((name, ActField::Int(raw.ret.into()))),
        Received(_) => {}
        Attached if raw.ret == 0 => fields.push(("address", ActField::Uint(arg(6)))),
        Attached => {}
    }
}

/// Shows the process of this number in the caller's pid namespace.
fn target(raw: &ActRecord, number: i32, fields: &mut Vec<(&'static str, ActField)>) {
    if raw.target_pid == 0 {
        fields.push(("target_pid", ActField::Int(number.into())));
        return;
    }
    fields.push(("target_pid", ActField::Int(raw.target_pid.into())));
    if raw.header.pid_ns != FIRST_PID_NS {
        fields.push(("target_ns_pid", ActField::Int(number.into())));
    }
}

/// Returns whether the call is about a thread, and not only about its process.
fn is_thread(raw: &ActRecord) -> bool {
    raw.target_start_ns != 0 && raw.target_tid != raw.target_pid
}

fn ids(
    all: &[u64; 4],
    pick: fn(u64) -> u64,
    names: [&'static str; 4],
    fields: &mut Vec<(&'static str, ActField)>,
) {
    fields.extend(names.into_iter().zip(all).map(|(name, id)| (name, ActField::Uint(pick(*id)))));
}

fn command(raw: &ActRecord, word: RawText<'_>, fields: &mut Vec<(&'static str, ActField)>) {
    let command = raw.args[0] & 0xffff_ffff;
    fields.push(("command", name(BPF_COMMANDS, command)));
    let types = match command {
        BPF_PROG_LOAD => PROGRAM_TYPES,
        BPF_MAP_CREATE => MAP_TYPES,
        _ => return,
    };
    fields.push(("type", name(types, raw.of_type.into())));
    // A name has at most 16 bytes with its NUL; longer texts are other parts of the struct.
    if !word.is(TEXT_UNREADABLE) && (1..16).contains(&word.bytes.len()) {
        fields.push(("name", ActField::Text(Text::from_bytes(word.bytes))));
    }
}
