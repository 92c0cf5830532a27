//! Decodes the records shared by the tracers of names and attributes (`rename`, `unlink`, `link`, `truncate`, `attr`,
//! `mkdir`, `mount`), with a table of each call's arguments. `include/fs.h` and the `*_args` of each probe write them.
//!
//! A path is as it was requested, made absolute from the working directory or the directory of a descriptor. Symbolic links
//! on the way are not resolved: these hooks don't see them.

use model::{Details, FlagSet, Fs, FsArg, Moment, OtherPath, Record, Text};

use crate::syscalls::numbers;
use crate::text;
use crate::wire::{Family, FsRecord, RawText, TEXT_CUT, TEXT_UNREADABLE, WireError, view};

/// Meaning of one number of a call.
#[derive(Clone, Copy)]
enum Arg {
    /// The call has no such number.
    Nothing,
    Uint(&'static str),
    Int(&'static str),
    /// A user or group id; the largest number leaves the id unchanged.
    Id(&'static str),
    Flags(FlagSet),
    /// Further flags, in a field of this name.
    More(&'static str, FlagSet),
}

/// A system call and the meaning of its arguments.
struct Call {
    number: i64,
    name: &'static str,
    other: &'static str,
    word: &'static str,
    args: &'static [Arg],
}

macro_rules! calls {
    ($($(#[$here:meta])? $name:ident $number:ident $other:literal $word:literal [$($arg:expr),*];)*) => {
        &[$($(#[$here])? Call {
            number: numbers::$number,
            name: stringify!($name),
            other: $other,
            word: $word,
            args: &[$($arg),*],
        }),*]
    };
}

use Arg::{Flags, Id, Int, More, Nothing, Uint};

/// All calls, with the numbers that the probes put into `a`, `b`, `c`.
const CALLS: &[Call] = calls! {
    #[cfg(target_arch = "x86_64")] rename SYS_rename "new_path" "" [];
    renameat SYS_renameat "new_path" "" [];
    renameat2 SYS_renameat2 "new_path" "" [Flags(FlagSet::Rename)];
    #[cfg(target_arch = "x86_64")] unlink SYS_unlink "" "" [];
    unlinkat SYS_unlinkat "" "" [Flags(FlagSet::Unlink)];
    #[cfg(target_arch = "x86_64")] rmdir SYS_rmdir "" "" [];
    #[cfg(target_arch = "x86_64")] link SYS_link "new_path" "" [];
    linkat SYS_linkat "new_path" "" [Flags(FlagSet::At)];
    #[cfg(target_arch = "x86_64")] symlink SYS_symlink "" "target" [];
    symlinkat SYS_symlinkat "" "target" [];
    truncate SYS_truncate "" "" [Int("length")];
    ftruncate SYS_ftruncate "" "" [Int("length")];
    fallocate SYS_fallocate "" "" [Int("length"), Int("offset"), Flags(FlagSet::Fallocate)];
    #[cfg(target_arch = "x86_64")] chmod SYS_chmod "" "" [Uint("mode")];
    fchmod SYS_fchmod "" "" [Uint("mode")];
    fchmodat SYS_fchmodat "" "" [Uint("mode")];
    fchmodat2 SYS_fchmodat2 "" "" [Uint("mode"), Flags(FlagSet::At)];
    #[cfg(target_arch = "x86_64")] chown SYS_chown "" "" [Id("new_uid"), Id("new_gid")];
    #[cfg(target_arch = "x86_64")] lchown SYS_lchown "" "" [Id("new_uid"), Id("new_gid")];
    fchown SYS_fchown "" "" [Id("new_uid"), Id("new_gid")];
    fchownat SYS_fchownat "" "" [Id("new_uid"), Id("new_gid"), Flags(FlagSet::At)];
    #[cfg(target_arch = "x86_64")] utime SYS_utime "" "" [];
    #[cfg(target_arch = "x86_64")] utimes SYS_utimes "" "" [];
    #[cfg(target_arch = "x86_64")] futimesat SYS_futimesat "" "" [];
    utimensat SYS_utimensat "" "" [Flags(FlagSet::At)];
    setxattr SYS_setxattr "" "name" [Uint("length"), Flags(FlagSet::Xattr)];
    lsetxattr SYS_lsetxattr "" "name" [Uint("length"), Flags(FlagSet::Xattr)];
    fsetxattr SYS_fsetxattr "" "name" [Uint("length"), Flags(FlagSet::Xattr)];
    setxattrat SYS_setxattrat "" "name" [Uint("length"), Flags(FlagSet::Xattr), More("at_flags", FlagSet::At)];
    removexattrat SYS_removexattrat "" "name" [Flags(FlagSet::At)];
    removexattr SYS_removexattr "" "name" [];
    lremovexattr SYS_lremovexattr "" "name" [];
    fremovexattr SYS_fremovexattr "" "name" [];
    #[cfg(target_arch = "x86_64")] mkdir SYS_mkdir "" "" [Uint("mode"), Nothing, Uint("umask")];
    mkdirat SYS_mkdirat "" "" [Uint("mode"), Nothing, Uint("umask")];
    #[cfg(target_arch = "x86_64")] mknod SYS_mknod "" "" [Uint("mode"), Uint("device"), Uint("umask")];
    mknodat SYS_mknodat "" "" [Uint("mode"), Uint("device"), Uint("umask")];
    mount SYS_mount "source" "fs_type" [Flags(FlagSet::Mount)];
    umount2 SYS_umount2 "" "" [Flags(FlagSet::Umount)];
    pivot_root SYS_pivot_root "put_old" "" [];
    move_mount SYS_move_mount "new_path" "" [Flags(FlagSet::MoveMount)];
    open_tree SYS_open_tree "" "" [Flags(FlagSet::OpenTree)];
    mount_setattr SYS_mount_setattr "" "" [Flags(FlagSet::OpenTree), More("attributes_set", FlagSet::MountAttr), More("attributes_cleared", FlagSet::MountAttr)];
};

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
    let call = CALLS.iter().find(|call| call.number == i64::from(raw.call));
    let call = call.ok_or(WireError::Call(raw.call))?;
    let known = raw.file.known != 0;
    let first = if known { text::file_path(base, &raw.file) } else { text::join(base, asked.bytes) };
    let second = (!call.other.is_empty()).then(|| text::join(base2, asked2.bytes));
    let incomplete =
        |path: &text::Path, asked: RawText<'_>| path.incomplete || asked.is(TEXT_CUT | TEXT_UNREADABLE);
    let path_incomplete = (if known { first.incomplete } else { incomplete(&first, asked) })
        || second.as_ref().is_some_and(|second| incomplete(second, asked2));
    let other = second.map(|second| other(call, asked2, &second));
    let fs = Fs {
        call: call.name,
        path: first.text(),
        path_incomplete,
        path_asked: (!known).then(|| Text::from_bytes(asked.bytes)),
        other,
        word: (!call.word.is_empty()).then(|| (call.word, Text::from_bytes(word.bytes))),
        args: args(call, [raw.a, raw.b, raw.c]),
        ret: raw.ret.into(),
        file: raw.file.file(),
    };
    Ok(Record {
        at: Moment::Boot(raw.header.at()),
        identity: Some(raw.header.identity()),
        details: Details::Fs(Box::new(fs)),
    })
}

/// Returns the second path. The source of a mount need not be a path: `proc`, `tmpfs`.
fn other(call: &Call, asked: RawText<'_>, path: &text::Path) -> OtherPath {
    let asked = Text::from_bytes(asked.bytes);
    let asked_name = match call.other {
        "source" => return OtherPath { name: call.other, path: asked, asked: None },
        "put_old" => "put_old_asked",
        _ => "new_path_asked",
    };
    OtherPath { name: call.other, path: path.text(), asked: Some((asked_name, asked)) }
}

fn args(call: &Call, values: [u64; 3]) -> Vec<(&'static str, FsArg)> {
    let shown = |(arg, value): (&Arg, u64)| match *arg {
        Nothing => None,
        Uint(name) => Some((name, FsArg::Uint(value))),
        Int(name) => Some((name, FsArg::Int(value.cast_signed()))),
        Id(name) => (value as u32 != u32::MAX).then_some((name, FsArg::Uint((value as u32).into()))),
        // Flags are ints: the upper half of the register is undefined.
        Flags(set) => Some(("flags", FsArg::Flags(value & 0xffff_ffff, set))),
        More(name, set) => Some((name, FsArg::Flags(value & 0xffff_ffff, set))),
    };
    call.args.iter().zip(values).filter_map(shown).collect()
}
