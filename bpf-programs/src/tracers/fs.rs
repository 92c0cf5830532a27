//! Decodes the records shared by the tracers of names and attributes (`rename`, `unlink`, `link`, `truncate`, `attr`,
//! `mkdir`, `mount`), by the table of system calls. `include/fs.h` writes them.
//!
//! With tier `function` a path is as the kernel resolved it. Else it is as it was requested, made absolute from the working
//! directory or the directory of a descriptor: symbolic links on the way are not resolved.

use model::{Details, FlagSet, Fs, FsArg, Moment, OtherPath, Record, Text};

use crate::programs::{Function, Hook, Program, at_function};
use crate::syscalls::{self, Syscall};
use crate::text;
use crate::wire::{Family, FsRecord, RawText, TEXT_CUT, TEXT_RESOLVED, TEXT_UNREADABLE, WireError, view};

/// The program at the end of a path's lookup, for all calls that change names: it has the path as the kernel resolved it.
pub(crate) const PATH_RESOLVED: Program = at_function!(
    "names_resolved",
    exit of ["path_parentat", "__filename_parentat", "filename_parentat"],
    (
        "parentat_parent" = "parent",
        "parentat_nd" = "?nd",
        "parentat_name" = "?name",
        "parentat_last" = "?last",
        "parentat_type" = "?type"
    ) -> "parentat_result"
);

/// Meaning of one number of a call.
#[derive(Clone, Copy)]
enum Arg {
    /// The call has no such number.
    Nothing,
    Uint(&'static str),
    /// Permission bits, of which the kernel takes 16.
    Mode,
    /// A device number, of which the kernel takes 32 bits.
    Device,
    Int(&'static str),
    /// A user or group id; the largest number leaves the id unchanged.
    Id(&'static str),
    Flags(FlagSet),
    /// Further flags, in a field of this name.
    More(&'static str, FlagSet),
}

/// A system call and the meaning of its arguments.
struct Call {
    call: Syscall,
    /// Name of the second path, and of the same as it was requested.
    other: (&'static str, &'static str),
    word: &'static str,
    args: &'static [Arg],
}

macro_rules! syscalls {
    ($(
        $name:ident $call:ident $x86:tt $arm:tt $compat:tt
        $(Fs {$at:tt $(other $other:literal)? $(word $word:literal)? [$($arg:expr),*]})? $(Act $act:tt)?;
    )*) => {
        /// All calls, with the numbers that the kernel side puts into `a`, `b`, `c`.
        const CALLS: &[Call] = &[$($(Call {
            call: syscalls::$name,
            other: (concat!($($other)?), concat!($($other, "_asked")?)),
            word: concat!($($word)?),
            args: &[$($arg),*],
        },)?)*];
    };
}

use Arg::{Device, Flags, Id, Int, Mode, More, Nothing, Uint};

include!("../syscalls/calls.in");

/// Decodes the bytes of a record.
///
/// # Errors
/// Fails if the bytes are not a valid record of these kinds, or the call is not in the table.
pub(crate) fn decode(bytes: &[u8]) -> Result<Record, WireError> {
    let (raw, mut texts) = view::<FsRecord>(bytes, Family::Fs)?;
    let (asked, base) = (texts.take(raw.asked)?, texts.take(raw.base)?);
    let (asked2, base2) = (texts.take(raw.asked2)?, texts.take(raw.base2)?);
    let word = texts.take(raw.word)?;
    texts.end()?;
    let call = CALLS.iter().find(|call| call.call.number == Some(raw.call));
    let call = call.ok_or(WireError::Call(raw.call))?;
    // Of a descriptor: it has a file, and no path was asked for.
    let held = raw.file.known != 0 && (asked.is(TEXT_UNREADABLE) || asked.bytes.is_empty());
    let resolved = |base: RawText<'_>| base.is(TEXT_RESOLVED);
    let known = held || resolved(base);
    let first = if known { text::file_path(base, &raw.file) } else { text::asked(base, asked) };
    let second = |base: RawText<'_>, asked| match resolved(base) {
        true => text::path(base),
        false => text::asked(base, asked),
    };
    let second = (!call.other.0.is_empty()).then(|| second(base2, asked2));
    let incomplete =
        |path: &text::Path, asked: RawText<'_>| path.incomplete || asked.is(TEXT_CUT | TEXT_UNREADABLE);
    let path_incomplete = (if known { first.incomplete } else { incomplete(&first, asked) })
        || second.as_ref().is_some_and(|second| match resolved(base2) {
            true => second.incomplete,
            false => incomplete(second, asked2),
        });
    let path_unresolved = !known || second.is_some() && !resolved(base2);
    let other = second.map(|second| other(call, asked2, &second));
    let fs = Fs {
        call: call.call.name,
        path: first.text(),
        path_incomplete,
        path_unresolved,
        path_asked: (!held).then(|| Text::from_bytes(asked.bytes)),
        other,
        word: (!call.word.is_empty()).then(|| (call.word, Text::from_bytes(word.bytes))),
        args: args(call, [raw.a, raw.b, raw.c]),
        ret: raw.ret.into(),
        file: raw.file.file(),
        replaced: raw.replaced.file(),
    };
    Ok(Record {
        at: Moment::Boot(raw.header.at()),
        identity: Some(raw.header.identity()),
        details: Details::Fs(Box::new(fs)),
    })
}

/// Returns the second path. The source of a mount need not be a path: `proc`, `tmpfs`.
fn other(call: &Call, asked: RawText<'_>, path: &text::Path) -> OtherPath {
    let (asked, (name, asked_name)) = (Text::from_bytes(asked.bytes), call.other);
    if name == "source" {
        return OtherPath { name, path: asked, asked: None };
    }
    OtherPath { name, path: path.text(), asked: Some((asked_name, asked)) }
}

fn args(call: &Call, values: [u64; 3]) -> Vec<(&'static str, FsArg)> {
    let shown = |(arg, value): (&Arg, u64)| match *arg {
        Nothing => None,
        Uint(name) => Some((name, FsArg::Uint(value))),
        Mode => Some(("mode", FsArg::Uint(value & 0xffff))),
        Device => Some(("device", FsArg::Uint(value & 0xffff_ffff))),
        Int(name) => Some((name, FsArg::Int(value.cast_signed()))),
        Id(name) => (value as u32 != u32::MAX).then_some((name, FsArg::Uint((value as u32).into()))),
        // Flags are ints: the upper half of the register is undefined.
        Flags(set) => Some(("flags", FsArg::Flags(value & 0xffff_ffff, set))),
        More(name, set) => Some((name, FsArg::Flags(value & 0xffff_ffff, set))),
    };
    call.args.iter().zip(values).filter_map(shown).collect()
}
