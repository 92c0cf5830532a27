//! Tracers `rename`, `unlink`, `link`, `truncate`, `attr`, `mkdir`, `mount`: a table of calls, each made 23 times so
//! that it succeeds, 23 times so that it fails and 23 times by who may not, by a 64-bit program and by a 32-bit one, told
//! field by field.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use bpf_programs::programs::tracers;
use bpf_programs::syscalls::{self, Compat};
use bpf_programs::wire::Kind;
use model::{Details, Extended, Fs};
use serde_json::{Value, json};

use crate::compat;
use crate::support::{Kernel, generation};
use crate::{TIMES, Test};

pub const TESTS: &[Test] = &[
    ("rename_each_call", || each(Kind::Rename, RENAMES)),
    ("unlink_each_call", || each(Kind::Unlink, UNLINKS)),
    ("link_each_call", || each(Kind::Link, LINKS)),
    ("truncate_each_call", || each(Kind::Truncate, TRUNCATES)),
    ("attr_each_call", || each(Kind::Attr, ATTRS)),
    ("mkdir_each_call", || each(Kind::Mkdir, MKDIRS)),
    ("mount_each_call", || each(Kind::Mount, MOUNTS)),
    ("rename_of_hostile_names", hostile),
];

/// A call in the table, in words of Perl: `$d` is the folder's descriptor, `$f` that of the file `held` in it, which
/// is also the working folder, `$p` one that is good for nothing (O_PATH); `touch`, `gone`, `folder` and `mark` make a
/// file, nothing, a folder, an attribute. The call, its number, what is done before it; its arguments when it is to
/// succeed, when it is to fail, and the errno; of both `fname` below the folder and the record's fields, where `FILE`
/// brings the identity of `held`. Then the first is tried again by a user who may not.
type Case = (&'static str, i64, &'static str, &'static str, &'static str, i32, Row, Row);

/// `fname` below the folder; fields.
type Row = (&'static str, &'static str);

/// Who has the descriptor may, whoever it is, but not with sealed memory (`$s`).
const BY_DESCRIPTOR: [&str; 2] = ["ftruncate", "fallocate"];

const NOBODY: u32 = 9999;

const PRELUDE: &str = r#"
sub touch { open(my $h, '>', $_[0]); close $h }
sub gone { unlink $_[0] if -e $_[0] || -l $_[0]; rmdir $_[0] if -d $_[0] }
sub call { my @a = @_; syscall(shift @a, @a) }
sub mark { call(188, 'held', 'trusted.x', 'v', 1, 0) }
sub sealed { my $s = call(319, 'sealed', 2); call(72, $s, 1033, 14) == 0 or die; $s }
sub folder { mkdir $_[0] unless -d $_[0] }
$^F = 1000; chdir $ARGV[0]; sysopen(D, '.', 0200000); $d = fileno(D); open(F, '+<', 'held'); $f = fileno(F);
sysopen(P, 'held', 010000000); $p = fileno(P); umask(18);
$s = sealed; $vv = 'vv'; $value = pack('PLL', $vv, 2, 0); $noexec = pack('Q4', 8, 1, 0, 0);
"#;

/// The same structures as a 32-bit program is given them.
const COMPAT: &str = "$value = ['vv', 0, 2, 0]; $noexec = [8, 0, 1, 0, 0, 0, 0, 0];";

/// Mounts of its own, which end with it, and a root that can be changed: an initramfs can't.
const APART: &str = r#"
call(272, 0x20000) == 0 or die; call(165, 'none', '/', 0, 0x44000, 0) == 0 or die;
mkdir "$ARGV[0]/root"; call(165, '/', "$ARGV[0]/root", 0, 0x5000, 0) == 0 or die; chroot "$ARGV[0]/root" or die;
sub mounted { call(166, 'm', 2); folder('m'); call(165, 'none', 'm', 'tmpfs', 0, 0); mkdir 'm/old'; folder('n') }
sub back { if (-e "/old$ARGV[0]") { chdir '/old'; call(155, '.', ".$ARGV[0]/m"); chdir $ARGV[0] } }
"#;

fn each(kind: Kind, cases: &[Case]) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("held"), "held")?;
    let mut kernel = Kernel::start()?;
    let prelude = format!("{}{PRELUDE}", if kind == Kind::Mount { APART } else { "" });
    for case in cases {
        let (call, number, before, good, bad, ..) = case;
        let script = |good: String, bad: String, turn_into: &dyn Fn(u32) -> String| {
            let denied = if BY_DESCRIPTOR.contains(call) { good.replace("$f", "$s") } else { good.clone() };
            let may_not = format!("{before}; {}; {denied}; {};", turn_into(NOBODY), turn_into(0));
            format!("for (1..{TIMES}) {{ {before}; {good}; {before}; {bad}; {may_not} }}")
        };
        let make = |arguments: &str| format!("call({number}, {arguments})");
        let native = script(make(good), make(bad), &|user| format!("$> = {user}"));
        let script_64 = format!("{prelude} {native}");
        let mut perl = Command::new("perl").arg("-e").arg(script_64).arg(folder.path()).spawn()?;
        let pid = perl.id();
        ensure!(perl.wait()?.success(), "{call} failed");
        kernel.drain();
        check(case, told(&kernel, pid, kind, call)?, folder.path(), None).context(*call)?;
        let calls = syscalls::named(call).context(*call)?.compat;
        for one in calls {
            let wide_at = if *call == "fallocate" { 2 } else { 1 };
            let as_32 = |arguments| compat::perl(one, arguments, wide_at);
            let turn_into = |user| format!("call32(208, -1, {user}, -1)");
            let pid = compat::run(
                folder.path(),
                &prelude,
                &format!("{COMPAT} {}", script(as_32(good), as_32(bad), &turn_into)),
            )?;
            kernel.drain();
            check(case, told(&kernel, pid, kind, call)?, folder.path(), Some(one))
                .with_context(|| format!("{call} of a 32-bit program, {one:?}"))?;
        }
    }
    Ok(())
}

/// A record: by a 32-bit program, by whom, what.
type Told = (bool, u32, Fs);

/// The records of a call by this process, in order.
fn told(kernel: &Kernel, pid: u32, kind: Kind, call: &str) -> anyhow::Result<Vec<Told>> {
    let decode = tracers().find(|tracer| tracer.kind == kind).context("no tracer")?.decode;
    let mut found = Vec::new();
    for bytes in kernel.of(pid, kind) {
        let record = decode(&bytes)?;
        let identity = record.identity.context("no identity")?;
        match record.details {
            Details::Fs(fs) if fs.call == call && !is_preparation(&fs) => {
                found.push((identity.compat, identity.uid, *fs));
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Of mounts: what sets the stage, and what undoes a pivot_root.
fn is_preparation(fs: &Fs) -> bool {
    let asked = fs.path_asked.as_ref().map_or("", |asked| asked.as_str());
    fs.call == "mount" && asked.starts_with('/') || fs.call == "pivot_root" && asked == "."
}

fn check(case: &Case, told: Vec<Told>, folder: &Path, as_32: Option<&Compat>) -> anyhow::Result<()> {
    let (call, .., errno, good_row, bad_row) = *case;
    ensure!(told.iter().all(|(compat, ..)| *compat == as_32.is_some()), "{told:?}");
    // Newer than this kernel.
    let unknown = -i64::from(libc::ENOSYS);
    if NEWER.contains(&call) && told.iter().all(|(_, _, fs)| fs.ret == unknown) {
        return Ok(());
    }
    let (may_not, may): (Vec<_>, Vec<_>) = told.into_iter().partition(|(_, user, _)| *user == NOBODY);
    let (good, bad): (Vec<_>, Vec<_>) = may.into_iter().partition(|(.., fs)| fs.ret >= 0);
    let counts = (good.len(), bad.len(), may_not.len());
    ensure!(counts == (TIMES, TIMES, TIMES), "succeeded, failed, denied: {counts:?} {bad:?} {may_not:?}");
    for (records, (fname, fields), errors) in [
        (good, good_row, &[][..]),
        (bad, bad_row, &[errno][..]),
        (may_not, good_row, &[libc::EACCES, libc::EPERM][..]),
    ] {
        let mut expected = serde_json::from_str(fields)?;
        fill(&mut expected, folder)?;
        expected["call"] = json!(call);
        if as_32.is_some_and(Compat::is_short) {
            expected["flags"] = json!([]);
        }
        let mut path = [folder.as_os_str().as_encoded_bytes(), fname.as_bytes()].concat();
        for (_, user, mut fs) in records {
            if user == NOBODY && BY_DESCRIPTOR.contains(&call) {
                path = b"/memfd:sealed (deleted)".to_vec();
                let (found, held) =
                    (fs.file.as_mut().context("no file")?, fs::metadata(folder.join("held"))?);
                ensure!(found.ino != held.ino() && found.dev != held.dev(), "{found:?}");
                (found.dev, found.ino) = (held.dev(), held.ino());
                found.generation = generation(&folder.join("held"))?;
            }
            ensure!(fs.path.as_bytes() == path, "{fs:?}");
            compare(fs, &expected, errors)?;
        }
    }
    Ok(())
}

/// Field by field; of a failed one its errno is one of these.
fn compare(fs: Fs, expected: &Value, errors: &[i32]) -> anyhow::Result<()> {
    let mut expected = expected.clone();
    if !errors.is_empty() {
        let errno = i32::try_from(-fs.ret)?;
        ensure!(errors.contains(&errno), "{fs:?} is not one of {errors:?}");
        expected["errno"] = json!(format!("{:?}", nix::errno::Errno::from_raw(errno)));
    }
    let shown = serde_json::to_value(Extended::new(Details::Fs(Box::new(fs))))?;
    ensure!(shown == expected, "{shown} is not {expected}");
    Ok(())
}

/// Puts the folder and the held file in.
fn fill(expected: &mut Value, folder: &Path) -> anyhow::Result<()> {
    let map = expected.as_object_mut().context("no object")?;
    if map.remove("FILE").is_some() {
        let stat = fs::metadata(folder.join("held"))?;
        map.extend([
            ("dev".to_owned(), json!(stat.dev())),
            ("ino".to_owned(), json!(stat.ino())),
            ("generation".to_owned(), json!(generation(&folder.join("held"))?)),
            ("file_type".to_owned(), json!("regular")),
        ]);
    }
    let folder = folder.to_str().context("folder")?;
    for value in map.values_mut() {
        if let Some(text) = value.as_str() {
            *value = json!(text.replace("FOLDER", folder));
        }
    }
    Ok(())
}

/// Calls that not every kernel has.
const NEWER: &[&str] = &["fchmodat2", "setxattrat", "removexattrat"];

#[rustfmt::skip]
const RENAMES: &[Case] = &[
    ("rename", libc::SYS_rename, "touch('a'); gone('b')", "'a', 'b'", "'no', 'b'", libc::ENOENT,
        ("/a", r#"{"path_asked": "a", "new_path": "FOLDER/b", "new_path_asked": "b"}"#), ("/no", r#"{"path_asked": "no", "new_path": "FOLDER/b", "new_path_asked": "b"}"#)),
    ("renameat", libc::SYS_renameat, "touch('a'); gone('b')", "$d, 'a', -100, 'b'", "$d, 'no', $d, 'b'", libc::ENOENT,
        ("/a", r#"{"path_asked": "a", "new_path": "FOLDER/b", "new_path_asked": "b"}"#), ("/no", r#"{"path_asked": "no", "new_path": "FOLDER/b", "new_path_asked": "b"}"#)),
    ("renameat2", libc::SYS_renameat2, "touch('a'); gone('b')", "-100, 'a', $d, 'b', 1", "$d, 'a', $d, 'b', 16", libc::EINVAL,
        ("/a", r#"{"path_asked": "a", "new_path": "FOLDER/b", "new_path_asked": "b", "flags": ["RENAME_NOREPLACE"]}"#), ("/a", r#"{"path_asked": "a", "new_path": "FOLDER/b", "new_path_asked": "b", "flags": ["0x10"]}"#)),
];

#[rustfmt::skip]
const UNLINKS: &[Case] = &[
    ("unlink", libc::SYS_unlink, "touch('a')", "'./a'", "'no/a'", libc::ENOENT,
        ("/a", r#"{"path_asked": "./a"}"#), ("/no/a", r#"{"path_asked": "no/a"}"#)),
    ("rmdir", libc::SYS_rmdir, "folder('e')", "'e'", "'held'", libc::ENOTDIR,
        ("/e", r#"{"path_asked": "e"}"#), ("/held", r#"{"path_asked": "held"}"#)),
    ("unlinkat", libc::SYS_unlinkat, "folder('e')", "$d, 'e', 0x200", "$d, 'e', 0", libc::EISDIR,
        ("/e", r#"{"path_asked": "e", "flags": ["AT_REMOVEDIR"]}"#), ("/e", r#"{"path_asked": "e", "flags": []}"#)),
];

#[rustfmt::skip]
const LINKS: &[Case] = &[
    ("link", libc::SYS_link, "gone('b')", "'held', 'b'", "'held', 'held'", libc::EEXIST,
        ("/held", r#"{"path_asked": "held", "new_path": "FOLDER/b", "new_path_asked": "b"}"#), ("/held", r#"{"path_asked": "held", "new_path": "FOLDER/held", "new_path_asked": "held"}"#)),
    ("linkat", libc::SYS_linkat, "gone('b')", "$d, 'held', -100, 'b', 0x400", "$d, 'no', $d, 'b', 0", libc::ENOENT,
        ("/held", r#"{"path_asked": "held", "new_path": "FOLDER/b", "new_path_asked": "b", "flags": ["AT_SYMLINK_FOLLOW"]}"#), ("/no", r#"{"path_asked": "no", "new_path": "FOLDER/b", "new_path_asked": "b", "flags": []}"#)),
    ("symlink", libc::SYS_symlink, "gone('b')", "'to/nowhere', 'b'", "'to/nowhere', 'held'", libc::EEXIST,
        ("/b", r#"{"path_asked": "b", "target": "to/nowhere"}"#), ("/held", r#"{"path_asked": "held", "target": "to/nowhere"}"#)),
    ("symlinkat", libc::SYS_symlinkat, "gone('b')", "'to/nowhere', $d, 'b'", "'x', $d, 'held'", libc::EEXIST,
        ("/b", r#"{"path_asked": "b", "target": "to/nowhere"}"#), ("/held", r#"{"path_asked": "held", "target": "x"}"#)),
];

#[rustfmt::skip]
const TRUNCATES: &[Case] = &[
    ("truncate", libc::SYS_truncate, "1", "'held', 3", "'held', -1", libc::EINVAL,
        ("/held", r#"{"path_asked": "held", "length": 3}"#), ("/held", r#"{"path_asked": "held", "length": -1}"#)),
    ("ftruncate", libc::SYS_ftruncate, "1", "$f, 3", "$p, 3", libc::EBADF,
        ("/held", r#"{"length": 3, "FILE": 1}"#), ("/held", r#"{"length": 3, "FILE": 1}"#)),
    ("fallocate", libc::SYS_fallocate, "1", "$f, 1, 5, 77", "$f, 0, -1, 7", libc::EINVAL,
        ("/held", r#"{"length": 77, "offset": 5, "flags": ["FALLOC_FL_KEEP_SIZE"], "FILE": 1}"#), ("/held", r#"{"length": 7, "offset": -1, "flags": [], "FILE": 1}"#)),
];

#[rustfmt::skip]
const ATTRS: &[Case] = &[
    ("chmod", libc::SYS_chmod, "1", "'held', 416", "'no', 1", libc::ENOENT,
        ("/held", r#"{"path_asked": "held", "mode": 416}"#), ("/no", r#"{"path_asked": "no", "mode": 1}"#)),
    ("fchmod", libc::SYS_fchmod, "1", "$f, 416", "$p, 1", libc::EBADF,
        ("/held", r#"{"mode": 416, "FILE": 1}"#), ("/held", r#"{"mode": 1, "FILE": 1}"#)),
    ("fchmodat", libc::SYS_fchmodat, "1", "$d, 'held', 416", "$d, 'no', 0", libc::ENOENT,
        ("/held", r#"{"path_asked": "held", "mode": 416}"#), ("/no", r#"{"path_asked": "no", "mode": 0}"#)),
    ("fchmodat2", libc::SYS_fchmodat2, "1", "$d, 'held', 416, 0", "$d, 'no', 0, 0x100", libc::ENOENT,
        ("/held", r#"{"path_asked": "held", "mode": 416, "flags": []}"#), ("/no", r#"{"path_asked": "no", "mode": 0, "flags": ["AT_SYMLINK_NOFOLLOW"]}"#)),
    ("chown", libc::SYS_chown, "1", "'held', 12, 34", "'no', 1, 1", libc::ENOENT,
        ("/held", r#"{"path_asked": "held", "new_uid": 12, "new_gid": 34}"#), ("/no", r#"{"path_asked": "no", "new_uid": 1, "new_gid": 1}"#)),
    ("lchown", libc::SYS_lchown, "1", "'held', 12, -1", "'no', 1, 1", libc::ENOENT,
        ("/held", r#"{"path_asked": "held", "new_uid": 12}"#), ("/no", r#"{"path_asked": "no", "new_uid": 1, "new_gid": 1}"#)),
    ("fchown", libc::SYS_fchown, "1", "$f, 12, 34", "$p, -1, 1", libc::EBADF,
        ("/held", r#"{"new_uid": 12, "new_gid": 34, "FILE": 1}"#), ("/held", r#"{"new_gid": 1, "FILE": 1}"#)),
    ("fchownat", libc::SYS_fchownat, "1", "$d, 'held', 12, 34, 0x100", "$d, 'no', 1, 1, 0", libc::ENOENT,
        ("/held", r#"{"path_asked": "held", "new_uid": 12, "new_gid": 34, "flags": ["AT_SYMLINK_NOFOLLOW"]}"#), ("/no", r#"{"path_asked": "no", "new_uid": 1, "new_gid": 1, "flags": []}"#)),
    ("utime", libc::SYS_utime, "1", "'held', 0", "'no', 0", libc::ENOENT,
        ("/held", r#"{"path_asked": "held"}"#), ("/no", r#"{"path_asked": "no"}"#)),
    ("utimes", libc::SYS_utimes, "1", "'held', 0", "'no', 0", libc::ENOENT,
        ("/held", r#"{"path_asked": "held"}"#), ("/no", r#"{"path_asked": "no"}"#)),
    ("futimesat", libc::SYS_futimesat, "1", "$d, 'held', 0", "$d, 'no', 0", libc::ENOENT,
        ("/held", r#"{"path_asked": "held"}"#), ("/no", r#"{"path_asked": "no"}"#)),
    ("utimensat", libc::SYS_utimensat, "1", "$f, 0, 0, 0", "$d, 'no', 0, 0", libc::ENOENT,
        ("/held", r#"{"flags": [], "FILE": 1}"#), ("/no", r#"{"path_asked": "no", "flags": []}"#)),
    ("setxattr", libc::SYS_setxattr, "1", "'held', 'trusted.x', 'vv', 2, 0", "'no', 'trusted.x', 'v', 1, 2", libc::ENOENT,
        ("/held", r#"{"path_asked": "held", "name": "trusted.x", "length": 2, "flags": []}"#), ("/no", r#"{"path_asked": "no", "name": "trusted.x", "length": 1, "flags": ["XATTR_REPLACE"]}"#)),
    ("lsetxattr", libc::SYS_lsetxattr, "1", "'held', 'trusted.x', 'vv', 2, 0", "'no', 'trusted.x', 'v', 1, 2", libc::ENOENT,
        ("/held", r#"{"path_asked": "held", "name": "trusted.x", "length": 2, "flags": []}"#), ("/no", r#"{"path_asked": "no", "name": "trusted.x", "length": 1, "flags": ["XATTR_REPLACE"]}"#)),
    ("fsetxattr", libc::SYS_fsetxattr, "1", "$f, 'trusted.x', 'vv', 2, 0", "$p, 'trusted.x', 'v', 1, 2", libc::EBADF,
        ("/held", r#"{"name": "trusted.x", "length": 2, "flags": [], "FILE": 1}"#), ("/held", r#"{"name": "trusted.x", "length": 1, "flags": ["XATTR_REPLACE"], "FILE": 1}"#)),
    ("setxattrat", 463, "1", "$d, 'held', 0, 'trusted.x', $value, 16", "$d, 'no', 0x100, 'trusted.x', $value, 16", libc::ENOENT,
        ("/held", r#"{"path_asked": "held", "name": "trusted.x", "length": 2, "flags": [], "at_flags": []}"#), ("/no", r#"{"path_asked": "no", "name": "trusted.x", "length": 2, "flags": [], "at_flags": ["AT_SYMLINK_NOFOLLOW"]}"#)),
    ("removexattrat", 466, "mark", "$d, 'held', 0, 'trusted.x'", "$d, 'held', 0x100, 'trusted.no'", libc::ENODATA,
        ("/held", r#"{"path_asked": "held", "name": "trusted.x", "flags": []}"#), ("/held", r#"{"path_asked": "held", "name": "trusted.no", "flags": ["AT_SYMLINK_NOFOLLOW"]}"#)),
    ("removexattr", libc::SYS_removexattr, "mark", "'held', 'trusted.x'", "'held', 'trusted.no'", libc::ENODATA,
        ("/held", r#"{"path_asked": "held", "name": "trusted.x"}"#), ("/held", r#"{"path_asked": "held", "name": "trusted.no"}"#)),
    ("lremovexattr", libc::SYS_lremovexattr, "mark", "'held', 'trusted.x'", "'held', 'trusted.no'", libc::ENODATA,
        ("/held", r#"{"path_asked": "held", "name": "trusted.x"}"#), ("/held", r#"{"path_asked": "held", "name": "trusted.no"}"#)),
    ("fremovexattr", libc::SYS_fremovexattr, "mark", "$f, 'trusted.x'", "$f, 'trusted.no'", libc::ENODATA,
        ("/held", r#"{"name": "trusted.x", "FILE": 1}"#), ("/held", r#"{"name": "trusted.no", "FILE": 1}"#)),
];

#[rustfmt::skip]
const MKDIRS: &[Case] = &[
    ("mkdir", libc::SYS_mkdir, "gone('e')", "'e', 448", "'held', 0", libc::EEXIST,
        ("/e", r#"{"path_asked": "e", "mode": 448, "umask": 18}"#), ("/held", r#"{"path_asked": "held", "mode": 0, "umask": 18}"#)),
    ("mkdirat", libc::SYS_mkdirat, "gone('e')", "$d, 'e', 448", "$d, 'held', 0", libc::EEXIST,
        ("/e", r#"{"path_asked": "e", "mode": 448, "umask": 18}"#), ("/held", r#"{"path_asked": "held", "mode": 0, "umask": 18}"#)),
    ("mknod", libc::SYS_mknod, "gone('p')", "'p', 4516, 0", "'held', 4516, 0", libc::EEXIST,
        ("/p", r#"{"path_asked": "p", "mode": 4516, "device": 0, "umask": 18}"#), ("/held", r#"{"path_asked": "held", "mode": 4516, "device": 0, "umask": 18}"#)),
    ("mknodat", libc::SYS_mknodat, "gone('p')", "$d, 'p', 4516, 0", "$d, 'held', 4516, 0", libc::EEXIST,
        ("/p", r#"{"path_asked": "p", "mode": 4516, "device": 0, "umask": 18}"#), ("/held", r#"{"path_asked": "held", "mode": 4516, "device": 0, "umask": 18}"#)),
];

#[rustfmt::skip]
const MOUNTS: &[Case] = &[
    ("mount", libc::SYS_mount, "folder('m'); call(166, 'm', 2)", "'none', 'm', 'tmpfs', 8, 0", "'none', 'm', 'nosuchfs', 0, 0", libc::ENODEV,
        ("/m", r#"{"path_asked": "m", "source": "none", "fs_type": "tmpfs", "flags": ["MS_NOEXEC"]}"#), ("/m", r#"{"path_asked": "m", "source": "none", "fs_type": "nosuchfs", "flags": []}"#)),
    ("umount2", libc::SYS_umount2, "folder('m'); call(165, 'none', 'm', 'tmpfs', 0, 0)", "'m', 2", "'held', 2", libc::EINVAL,
        ("/m", r#"{"path_asked": "m", "flags": ["MNT_DETACH"]}"#), ("/held", r#"{"path_asked": "held", "flags": ["MNT_DETACH"]}"#)),
    ("move_mount", libc::SYS_move_mount, "call(166, 'n', 2); mounted", "-100, 'm', -100, 'n', 0", "-100, 'no', -100, 'n', 1", libc::ENOENT,
        ("/m", r#"{"path_asked": "m", "new_path": "FOLDER/n", "new_path_asked": "n", "flags": []}"#), ("/no", r#"{"path_asked": "no", "new_path": "FOLDER/n", "new_path_asked": "n", "flags": ["MOVE_MOUNT_F_SYMLINKS"]}"#)),
    ("open_tree", libc::SYS_open_tree, "mounted", "-100, 'm', 1", "$d, 'no', 0x8001", libc::ENOENT,
        ("/m", r#"{"path_asked": "m", "flags": ["OPEN_TREE_CLONE"]}"#), ("/no", r#"{"path_asked": "no", "flags": ["OPEN_TREE_CLONE", "AT_RECURSIVE"]}"#)),
    ("mount_setattr", libc::SYS_mount_setattr, "mounted", "-100, 'm', 0, $noexec, 32", "$d, 'no', 0x8000, $noexec, 32", libc::ENOENT,
        ("/m", r#"{"path_asked": "m", "flags": [], "attributes_set": ["MOUNT_ATTR_NOEXEC"], "attributes_cleared": ["MOUNT_ATTR_RDONLY"]}"#),
        ("/no", r#"{"path_asked": "no", "flags": ["AT_RECURSIVE"], "attributes_set": ["MOUNT_ATTR_NOEXEC"], "attributes_cleared": ["MOUNT_ATTR_RDONLY"]}"#)),
    ("pivot_root", libc::SYS_pivot_root, "back; mounted", "\"$ARGV[0]/m\", \"$ARGV[0]/m/old\"", "\"$ARGV[0]/no\", \"$ARGV[0]/m/old\"", libc::ENOENT,
        ("/m", r#"{"put_old": "FOLDER/m/old", "put_old_asked": "FOLDER/m/old"}"#), ("/no", r#"{"put_old": "FOLDER/m/old", "put_old_asked": "FOLDER/m/old"}"#)),
];

/// Any bytes but NUL and slash, as long as a name may be.
fn hostile() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("held"), "")?;
    let mut kernel = Kernel::start()?;
    let script = format!(
        r#"{PRELUDE} for my $b (1..255) {{ next if $b == 47; my $x = chr($b) x 255; touch('a'); rename('a', $x) or die; rename($x, 'a') or die; }}"#
    );
    let mut perl = Command::new("perl").arg("-e").arg(script).arg(folder.path()).spawn()?;
    let pid = perl.id();
    ensure!(perl.wait()?.success(), "renaming failed");
    kernel.drain();
    let told = told(&kernel, pid, Kind::Rename, "rename")?;
    let names: HashSet<Vec<u8>> = told
        .iter()
        .step_by(2)
        .filter_map(|(.., fs)| {
            Some(fs.other.as_ref()?.path.as_bytes()[folder.path().as_os_str().len() + 1..].to_vec())
        })
        .collect();
    let all: HashSet<Vec<u8>> =
        (1..=255u8).filter(|byte| *byte != b'/').map(|byte| vec![byte; 255]).collect();
    ensure!(names == all, "{} of {} names", names.len(), all.len());
    Ok(())
}
