//! Tracers `rename`, `unlink`, `link`, `truncate`, `attr`, `mkdir`, `mount`. Each call of a table is made 23
//! times so that it succeeds, 23 times so that it fails and 23 times without permission, by a 64-bit program
//! and by a 32-bit one; each field is compared.

#[path = "names_cases.rs"]
mod cases;

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use bpf_programs::Tier;
use bpf_programs::testing::{self, Compat, Header, Kind};
use model::{Details, Fs};
use serde_json::{Value, json};

use cases::{ATTRS, Case, LINKS, MKDIRS, MOUNTS, RENAMES, TRUNCATES, UNLINKS};

use crate::compat;
use crate::support::{self, Kernel, decode, fields, generation};
use crate::{TIMES, Test, filters};

pub const TESTS: &[Test] = &[
    ("rename_each_call", || each(Kind::Rename, RENAMES)),
    ("unlink_each_call", || each(Kind::Unlink, UNLINKS)),
    ("link_each_call", || each(Kind::Link, LINKS)),
    ("truncate_each_call", || each(Kind::Truncate, TRUNCATES)),
    ("attr_each_call", || each(Kind::Attr, ATTRS)),
    ("mkdir_each_call", || each(Kind::Mkdir, MKDIRS)),
    ("mount_each_call", || each(Kind::Mount, MOUNTS)),
    ("rename_of_hostile_names", hostile),
    ("open_without_a_readable_name", unreadable),
];

/// Calls that need only a descriptor, whatever the user; they fail with sealed memory (`$s`) instead.
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

/// The same structures in a 32-bit program's layout.
const COMPAT: &str = "$value = ['vv', 0, 2, 0]; $noexec = [8, 0, 1, 0, 0, 0, 0, 0];";

/// Private mounts, which end with the process, and a root that can be pivoted, which an initramfs can't.
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
        let Case { call, number, before, good, bad, .. } = case;
        let script = |good: String, bad: String, become_user: &dyn Fn(u32) -> String| {
            let denied = if BY_DESCRIPTOR.contains(call) { good.replace("$f", "$s") } else { good.clone() };
            let may_not = format!("{before}; {}; {denied}; {};", become_user(NOBODY), become_user(0));
            format!("for (1..{TIMES}) {{ {before}; {good}; {before}; {bad}; {may_not} }}")
        };
        let make = |arguments: &str| format!("call({number}, {arguments})");
        let native = script(make(good), make(bad), &|user| format!("$> = {user}"));
        let script_64 = format!("{prelude} {native}");
        let run = || {
            let mut perl = Command::new("perl").arg("-e").arg(&script_64).arg(folder.path()).spawn()?;
            ensure!(perl.wait()?.success(), "{call} failed");
            Ok(perl.id())
        };
        let pid = run()?;
        kernel.drain();
        let native = reported(&kernel, pid, kind, call)?;
        if NEWER.contains(call) && is_unknown(*number)? {
            has_no_effect(&native).context(*call)?;
            continue;
        }
        check(case, kind, native, folder.path(), None).context(*call)?;
        filters::reach(&mut kernel, kind, run).context(*call)?;
        let calls = testing::compat(call).context(*call)?;
        for one in &calls {
            let wide_at = if *call == "fallocate" { 2 } else { 1 };
            let as_32 = |arguments| compat::perl(one, arguments, wide_at);
            let become_user = |user| format!("call32(208, -1, {user}, -1)");
            let pid = compat::run(
                folder.path(),
                &prelude,
                &format!("{COMPAT} {}", script(as_32(good), as_32(bad), &become_user)),
            )?;
            kernel.drain();
            check(case, kind, reported(&kernel, pid, kind, call)?, folder.path(), Some(one))
                .with_context(|| format!("{call} of a 32-bit program, {one:?}"))?;
        }
    }
    Ok(())
}

/// A record: made by a 32-bit program, its user, the details.
type Reported = (bool, u32, Fs);

/// Returns the records of a call by this process, in order.
fn reported(kernel: &Kernel, pid: u32, kind: Kind, call: &str) -> anyhow::Result<Vec<Reported>> {
    let mut found = Vec::new();
    for bytes in kernel.of(pid, kind) {
        let record = decode(kind, &bytes)?;
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

/// True for mounts that prepare, and for the pivot_root that undoes one.
fn is_preparation(fs: &Fs) -> bool {
    let asked = fs.path_asked.as_ref().map(|asked| asked.to_str()).unwrap_or_default();
    fs.call == "mount" && asked.starts_with('/') || fs.call == "pivot_root" && asked == "."
}

fn check(
    case: &Case,
    kind: Kind,
    reported: Vec<Reported>,
    folder: &Path,
    as_32: Option<&Compat>,
) -> anyhow::Result<()> {
    let Case { call, errno, good_path, good_fields, bad_path, bad_fields, .. } = *case;
    ensure!(reported.iter().all(|(compat, ..)| *compat == as_32.is_some()), "{reported:?}");
    let (may_not, may): (Vec<_>, Vec<_>) = reported.into_iter().partition(|(_, user, _)| *user == NOBODY);
    let (good, bad): (Vec<_>, Vec<_>) = may.into_iter().partition(|(.., fs)| fs.ret >= 0);
    let counts = (good.len(), bad.len(), may_not.len());
    ensure!(counts == (TIMES, TIMES, TIMES), "succeeded, failed, denied: {counts:?} {bad:?} {may_not:?}");
    for (records, fname, fields, errors) in [
        (good, good_path, good_fields, &[][..]),
        (bad, bad_path, bad_fields, &[errno][..]),
        (may_not, good_path, good_fields, &[libc::EACCES, libc::EPERM][..]),
    ] {
        let mut expected = serde_json::from_str(fields)?;
        fill(&mut expected, folder)?;
        expected["call"] = json!(call);
        if as_32.is_some_and(|one| one.is_short) {
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
            compare(kind, fs, &expected, errors)?;
        }
    }
    Ok(())
}

/// Compares field by field; a failed call must have one of these errors.
fn compare(kind: Kind, fs: Fs, expected: &Value, errors: &[i32]) -> anyhow::Result<()> {
    let mut expected = expected.clone();
    if !errors.is_empty() {
        let errno = i32::try_from(-fs.ret)?;
        ensure!(errors.contains(&errno), "{fs:?} is not one of {errors:?}");
        expected["errno"] = json!(format!("{:?}", nix::errno::Errno::from_raw(errno)));
    }
    let (by_path, resolved) = (fs.path_asked.is_some(), !fs.path_unresolved);
    let mut shown = fields(kind, Details::Fs(Box::new(fs)))?;
    if by_path && support::tier() != Tier::Function {
        expected["path_unresolved"] = json!(true);
    } else if by_path {
        // `races` checks paths and identities.
        let at_functions = ![Kind::Mount, Kind::Attr].contains(&kind);
        ensure!(resolved || !at_functions || !errors.is_empty(), "{shown:?}");
        for name in IDENTITY {
            shown.remove(name);
        }
    }
    let shown = Value::Object(shown);
    ensure!(shown == expected, "{shown} is not {expected}");
    Ok(())
}

/// Fills in the folder and the identity of the file `held`.
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

/// Fields that say which file a call by path is about, and whether its path is only text.
const IDENTITY: [&str; 8] = [
    "dev",
    "ino",
    "generation",
    "file_type",
    "replaced_dev",
    "replaced_ino",
    "replaced_generation",
    "path_unresolved",
];

/// Calls that only some kernels have.
const NEWER: &[&str] = &["fchmodat2", "setxattrat", "removexattrat", "open_tree_attr"];

/// Returns whether this kernel is older than the call.
fn is_unknown(number: i64) -> anyhow::Result<bool> {
    const SCRIPT: &str = "syscall($ARGV[0] + 0, -1, 0, 0, 0, 0, 0); exit($! + 0)";
    let status = Command::new("perl").args(["-e", SCRIPT, &number.to_string()]).status()?;
    Ok(status.code() == Some(libc::ENOSYS))
}

/// Checks the records of a call that this kernel does not have: with tier `function` there is nothing to attach a program to.
fn has_no_effect(reported: &[Reported]) -> anyhow::Result<()> {
    let is_refused = |(_, _, fs): &Reported| fs.ret == -i64::from(libc::ENOSYS);
    let expected = if support::tier() == Tier::Function { 0 } else { 3 * TIMES };
    ensure!(reported.len() == expected && reported.iter().all(is_refused), "{reported:?}");
    Ok(())
}

/// Names of any bytes but NUL and slash, up to the longest.
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
    let reported = reported(&kernel, pid, Kind::Rename, "rename")?;
    let names: HashSet<Vec<u8>> = reported
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

/// A name that can't be read is none, and not that of the working folder.
fn unreadable() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let python = "import ctypes; libc = ctypes.CDLL(None); libc.open(None, 0); libc.unlink(None)";
    let mut child = Command::new("python3").args(["-c", python]).spawn()?;
    let pid = child.id();
    ensure!(child.wait()?.success());
    kernel.drain();
    let mut found = 0;
    for bytes in [Kind::Open, Kind::Unlink].into_iter().flat_map(|kind| kernel.of(pid, kind)) {
        let (ret, path, incomplete) = match decode(Header::parse(&bytes)?.kind.try_into()?, &bytes)?.details {
            Details::Open(open) => (open.ret, open.path, open.path_incomplete),
            Details::Fs(fs) => (fs.ret, fs.path, fs.path_incomplete),
            _ => continue,
        };
        if ret == -i64::from(libc::EFAULT) {
            ensure!(path.as_bytes().is_empty() && incomplete, "{path:?}");
            found += 1;
        }
    }
    ensure!(found == 2, "{found} calls without a name");
    Ok(())
}
