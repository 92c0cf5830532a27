//! Decodes the records shared by tracers `ptrace`, `bpf`, `module`, `memfd`, `setuid` and `kill`, with a table of each
//! call's arguments. `include/misc_calls.h` writes them.
//!
//! Process ids are those the caller used, in its pid namespace; that of a process behind a pidfd is in the initial one.

mod names;

use model::{Act, ActField, Details, FlagSet, Moment, Record, Text};
use names::{BPF_COMMANDS, MAP_TYPES, PROGRAM_TYPES, name, ptrace_request};

use crate::text;
use crate::wire::{ActRecord, Family, RawText, TEXT_UNREADABLE, WireError, view};

const BPF_MAP_CREATE: u64 = 0;
const BPF_PROG_LOAD: u64 = 5;

/// A field of a row, and the index of the argument it is made from.
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
}

use Part::{Behind, Capabilities, Command, Flags, Groups, Id, Int, Request, Uint, Users, Word};

struct Call {
    number: i64,
    name: &'static str,
    parts: &'static [Part],
}

macro_rules! calls {
    ($($name:ident $number:ident [$($part:expr),*];)*) => {
        &[$(Call { number: libc::$number, name: stringify!($name), parts: &[$($part),*] }),*]
    };
}

const CALLS: &[Call] = calls! {
    ptrace SYS_ptrace [Request, Int("target_pid", 1)];
    process_vm_readv SYS_process_vm_readv [Int("target_pid", 0)];
    process_vm_writev SYS_process_vm_writev [Int("target_pid", 0)];
    bpf SYS_bpf [Command];
    init_module SYS_init_module [Uint("length", 1), Word("params")];
    finit_module SYS_finit_module [Word("params"), Flags(FlagSet::FinitModule, 2)];
    delete_module SYS_delete_module [Word("name"), Flags(FlagSet::DeleteModule, 1)];
    memfd_create SYS_memfd_create [Word("name"), Flags(FlagSet::Memfd, 1)];
    setuid SYS_setuid [Id("asked_uid", 0), Users];
    setgid SYS_setgid [Id("asked_gid", 0), Groups];
    setreuid SYS_setreuid [Id("asked_ruid", 0), Id("asked_euid", 1), Users];
    setregid SYS_setregid [Id("asked_rgid", 0), Id("asked_egid", 1), Groups];
    setresuid SYS_setresuid [Id("asked_ruid", 0), Id("asked_euid", 1), Id("asked_suid", 2), Users];
    setresgid SYS_setresgid [Id("asked_rgid", 0), Id("asked_egid", 1), Id("asked_sgid", 2), Groups];
    setfsuid SYS_setfsuid [Id("asked_fsuid", 0), Users];
    setfsgid SYS_setfsgid [Id("asked_fsgid", 0), Groups];
    setgroups SYS_setgroups [Uint("asked_groups", 0)];
    capset SYS_capset [Capabilities];
    kill SYS_kill [Int("target_pid", 0), Int("signal", 1)];
    tkill SYS_tkill [Int("target_tid", 0), Int("signal", 1)];
    tgkill SYS_tgkill [Int("target_pid", 0), Int("target_tid", 1), Int("signal", 2)];
    rt_sigqueueinfo SYS_rt_sigqueueinfo [Int("target_pid", 0), Int("signal", 1)];
    rt_tgsigqueueinfo SYS_rt_tgsigqueueinfo [Int("target_pid", 0), Int("target_tid", 1), Int("signal", 2)];
    pidfd_send_signal SYS_pidfd_send_signal [Behind, Int("signal", 1), Flags(FlagSet::Pidfd, 3)];
};

/// Decodes the bytes of a record.
///
/// # Errors
/// Fails if the bytes are not a valid record of these kinds, or the call is not in the table.
pub(crate) fn decode(bytes: &[u8]) -> Result<Record, WireError> {
    let (raw, mut texts) = view::<ActRecord>(bytes, Family::Act)?;
    let (path, word) = (texts.take(raw.path)?, texts.take(raw.word)?);
    texts.end()?;
    let call = CALLS.iter().find(|call| call.number == i64::from(raw.call));
    let call = call.ok_or(WireError::Call(raw.call))?;
    let path = (raw.file.known != 0).then(|| text::file_path(path, &raw.file));
    let mut fields = Vec::new();
    call.parts.iter().for_each(|part| show(*part, &raw, word, &mut fields));
    Ok(Record {
        at: Moment::Boot(raw.header.at()),
        identity: Some(raw.header.identity()),
        details: Details::Act(Box::new(Act {
            call: call.name,
            path_incomplete: path.as_ref().is_some_and(|path| path.incomplete),
            path: path.map(|path| path.text()),
            fields,
            ret: raw.ret.into(),
            file: raw.file.file(),
        })),
    })
}

fn show(part: Part, raw: &ActRecord, word: RawText<'_>, fields: &mut Vec<(&'static str, ActField)>) {
    let arg = |at: usize| raw.args[at];
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
        Request => fields.push(("request", ptrace_request(arg(0)))),
        Command => command(raw, word, fields),
        Users => ids(&raw.ids, |id| id & 0xffff_ffff, ["ruid", "euid", "suid", "fsuid"], fields),
        Groups => ids(&raw.ids, |id| id >> 32, ["rgid", "egid", "sgid", "fsgid"], fields),
        Capabilities => {
            fields.push(("capabilities", ActField::Flags(raw.capabilities, FlagSet::Capability)));
        }
        Behind if raw.target_pid != 0 => fields.push(("target_pid", ActField::Uint(raw.target_pid.into()))),
        Behind => {}
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
