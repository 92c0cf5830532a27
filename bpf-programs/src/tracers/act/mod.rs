//! Decodes the records shared by tracers `ptrace`, `bpf`, `module`, `memfd`, `setuid`, `kill`, `namespace` and `ipc`, by
//! the table of system calls. `include/misc_calls.h` writes them.
//!
//! Process ids are those the caller used, in its pid namespace; that of a process behind a pidfd is in the initial one.

mod names;
mod objects;

use model::{Act, ActField, Details, FlagSet, Moment, Record, Text};
use names::{
    BPF_COMMANDS, MAP_TYPES, MEMORY_COMMANDS, MESSAGE_COMMANDS, PROGRAM_TYPES, name, ptrace_request,
};

use crate::syscalls::{self, Syscall};
use crate::text;
use crate::wire::{ActRecord, Family, RawText, TEXT_UNREADABLE, WireError, view};

const BPF_MAP_CREATE: u64 = 0;
const BPF_PROG_LOAD: u64 = 5;

/// A field of a row, and the position of the argument it is made from, counted from 1.
#[derive(Clone, Copy)]
enum Part {
    Uint(&'static str, usize),
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
    /// The process behind a pidfd.
    Behind,
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
    Attached, Behind, Capabilities, Command, Control, Entered, Flags, Groups, Id, Int, Made, Namespaces,
    Object, Received, Request, Uint, Users, Word,
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
            ret: raw.ret.into(),
            file: raw.file.file(),
        })),
    })
}

fn show(part: Part, raw: &ActRecord, word: RawText<'_>, fields: &mut Vec<(&'static str, ActField)>) {
    let arg = |at: usize| raw.args[at - 1];
    let int = |at: usize| ActField::Int((arg(at) as i32).into());
    match part {
        Uint(name, at) => fields.push((name, ActField::Uint(arg(at)))),
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
