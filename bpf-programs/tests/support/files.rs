//! Tests of tracer `open`.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use bpf_programs::testing::Kind;
use model::{Details, Identity, Open};
use nix::fcntl::{OFlag, OpenHow};
use nix::sys::stat::Mode;

use crate::support::{Kernel, decode, generation};
use crate::{TIMES, Test};

pub const TESTS: &[Test] = &[
    ("open_each_field", each_field),
    ("open_relative_to_a_folder", relative),
    ("open_failed", failed),
    ("open_hostile_names", hostile),
    ("open_long_paths", long),
    ("open_through_a_mount_and_a_symlink", mounted),
    ("open_in_an_unmounted_tree", unmounted),
    ("open_all_four_calls", four_calls),
    ("open_without_a_folder", detached),
    ("open_by_handle", by_handle),
    ("open_in_a_chroot", chrooted),
    ("open_filtered_by_user", by_user),
];

fn own() -> u32 {
    std::process::id()
}

/// Returns the opens of this process that asked for `asked`.
fn asked_for(kernel: &Kernel, asked: &[u8]) -> anyhow::Result<Vec<(Identity, Open)>> {
    let mut found = Vec::new();
    for bytes in kernel.of(own(), Kind::Open) {
        let record = decode(Kind::Open, &bytes)?;
        if let (Some(identity), Details::Open(open)) = (record.identity, record.details)
            && open.path_asked.as_bytes() == asked
        {
            found.push((identity, *open));
        }
    }
    Ok(found)
}

/// Returns the only open that asked for `asked`.
fn only(kernel: &mut Kernel, asked: &[u8]) -> anyhow::Result<Open> {
    kernel.drain();
    let mut found = asked_for(kernel, asked)?;
    ensure!(found.len() == 1, "{} opens of {}", found.len(), String::from_utf8_lossy(asked));
    Ok(found.remove(0).1)
}

fn check_identity(found: &Identity) -> anyhow::Result<()> {
    let namespace = |name: &str| -> anyhow::Result<u32> {
        Ok(fs::metadata(format!("/proc/self/ns/{name}"))?.ino().try_into()?)
    };
    let stat = fs::read_to_string("/proc/thread-self/stat")?;
    let comm = &stat[stat.find('(').context("comm")? + 1..stat.rfind(')').context("comm")?];
    ensure!(found.pid == own() && found.ppid == nix::unistd::getppid().as_raw() as u32, "{found:?}");
    ensure!(found.tid == nix::unistd::gettid().as_raw() as u32, "{found:?}");
    ensure!((found.uid, found.gid) == (0, nix::unistd::getegid().as_raw()), "{found:?}");
    ensure!(found.comm.to_str() == comm, "{found:?} is not {comm}");
    ensure!((found.pid_ns, found.mnt_ns) == (namespace("pid")?, namespace("mnt")?), "{found:?}");
    ensure!(found.net_ns == Some(namespace("net")?) && (found.ruid, found.fsuid) == (0, 0), "{found:?}");
    let own_stat = fs::read_to_string("/proc/self/stat")?;
    let behind = own_stat.rsplit(')').next().context("stat")?;
    let ticks: u64 = behind.split_whitespace().nth(19).context("start time")?.parse()?;
    ensure!(found.start_ns / 10_000_000 == ticks, "{found:?}, {ticks}");
    ensure!(found.cgroup.id != 0 && found.ns_pid == found.pid, "{found:?}");
    Ok(())
}

fn check_file(open: &Open, path: &Path) -> anyhow::Result<()> {
    let stat = fs::symlink_metadata(path)?;
    ensure!(open.path.as_bytes() == path.as_os_str().as_bytes(), "{} is not {path:?}", open.path);
    ensure!(!open.path_incomplete, "{open:?}");
    let file = open.file.context("no file")?;
    ensure!(
        (file.dev, file.ino, file.mode) == (stat.dev(), stat.ino(), stat.mode() as u16),
        "{open:?} {stat:?}"
    );
    ensure!(file.real.is_none(), "{open:?}");
    Ok(())
}

fn each_field() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("somefile");
    fs::write(&path, "x")?;
    let mut kernel = Kernel::start()?;
    let mut descriptors = Vec::new();
    for _ in 0..TIMES {
        descriptors.push(fs::OpenOptions::new().append(true).open(&path)?);
    }
    kernel.drain();
    let found = asked_for(&kernel, path.as_os_str().as_bytes())?;
    ensure!(found.len() == TIMES, "{}", found.len());
    let generation = generation(&path)?;
    for ((identity, open), descriptor) in found.iter().zip(&descriptors) {
        check_identity(identity)?;
        check_file(open, &path)?;
        ensure!(open.file.is_some_and(|file| file.generation == generation), "{open:?} {generation}");
        ensure!(open.ret == i64::from(descriptor.as_raw_fd()), "{open:?}");
        let flags = (libc::O_WRONLY | libc::O_APPEND | libc::O_CLOEXEC) as u64;
        ensure!((open.flags, open.mode) == (flags, 0), "{open:?}");
    }
    Ok(())
}

fn relative() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    fs::create_dir_all(folder.path().join("a/b"))?;
    let base = File::open(folder.path())?;
    let mut kernel = Kernel::start()?;
    let mode = Mode::from_bits_truncate(0o640);
    nix::fcntl::openat(&base, "a/./b/../b/file", OFlag::O_CREAT | OFlag::O_RDWR, mode)?;
    let open = only(&mut kernel, b"a/./b/../b/file")?;
    check_file(&open, &folder.path().join("a/b/file"))?;
    ensure!((open.flags, open.mode) == ((libc::O_CREAT | libc::O_RDWR) as u64, 0o640), "{open:?}");
    let error = nix::fcntl::openat(&base, "a/../a/none", OFlag::O_RDONLY, mode).err();
    ensure!(error == Some(nix::errno::Errno::ENOENT));
    let open = only(&mut kernel, b"a/../a/none")?;
    ensure!(open.path.as_bytes() == folder.path().join("a/none").as_os_str().as_bytes(), "{open:?}");
    Ok(())
}

fn failed() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    for _ in 0..TIMES {
        ensure!(File::open("/no/such//file").is_err());
    }
    ensure!(File::open("such-a-file").is_err());
    kernel.drain();
    let found = asked_for(&kernel, b"/no/such//file")?;
    ensure!(found.len() == TIMES, "{}", found.len());
    for (_, open) in found {
        ensure!(open.path.to_str() == "/no/such/file" && open.ret == -i64::from(libc::ENOENT), "{open:?}");
        ensure!(open.file.is_none(), "{open:?}");
    }
    let open = only(&mut kernel, b"such-a-file")?;
    ensure!(Path::new(&*open.path.to_str()) == std::env::current_dir()?.join("such-a-file"), "{open:?}");
    Ok(())
}

fn hostile() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let names: [&[u8]; 5] = [b"new\nline", b"\"quo'tes\"", b"inv\xff\xfealid", &[b'x'; 255], b" \t\x1b[31m"];
    let mut kernel = Kernel::start()?;
    for name in names {
        let path = folder.path().join(OsStr::from_bytes(name));
        let _file = File::create(&path)?;
        let open = only(&mut kernel, path.as_os_str().as_bytes())?;
        check_file(&open, &path)?;
        ensure!(open.path_asked.as_bytes() == path.as_os_str().as_bytes());
    }
    Ok(())
}

/// Absolute and relative paths of about 4,000 bytes, with 250-byte and with 20-byte names.
fn long() -> anyhow::Result<()> {
    for (name, depth) in [("n".repeat(250), 15), ("m".repeat(20), 187)] {
        let folder = tempfile::tempdir()?;
        let below: PathBuf = (0..depth).map(|_| name.as_str()).collect();
        let path = folder.path().join(&below);
        fs::create_dir_all(path.parent().context("parent")?)?;
        let mut kernel = Kernel::start()?;
        File::create(&path)?;
        check_file(&only(&mut kernel, path.as_os_str().as_bytes())?, &path)?;
        let base = File::open(folder.path())?;
        nix::fcntl::openat(&base, &below, OFlag::O_RDONLY, Mode::empty())?;
        check_file(&only(&mut kernel, below.as_os_str().as_bytes())?, &path)?;
    }
    Ok(())
}

fn mounted() -> anyhow::Result<()> {
    use nix::mount::{MntFlags, MsFlags, mount, umount2};
    let folder = tempfile::tempdir()?;
    let (from, at) = (folder.path().join("from/deep"), folder.path().join("at"));
    fs::create_dir_all(&from)?;
    fs::create_dir_all(&at)?;
    fs::write(from.join("file"), "")?;
    std::os::unix::fs::symlink(&at, folder.path().join("link"))?;
    let mut kernel = Kernel::start()?;
    mount(Some(&from), &at, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    let asked = folder.path().join("link/file");
    let opened = File::open(&asked);
    let open = only(&mut kernel, asked.as_os_str().as_bytes());
    let checked = open.and_then(|open| check_file(&open, &at.join("file")));
    drop(opened);
    umount2(&at, MntFlags::MNT_DETACH)?;
    checked
}

/// A tree that is unmounted while it is in use has no path any more.
fn unmounted() -> anyhow::Result<()> {
    use nix::mount::{MntFlags, MsFlags, mount, umount2};
    let folder = tempfile::tempdir()?;
    let at = folder.path().join("at");
    fs::create_dir(&at)?;
    let mut kernel = Kernel::start()?;
    mount(Some("tree"), &at, Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
    fs::create_dir(at.join("deep"))?;
    let deep = File::open(at.join("deep"))?;
    nix::fcntl::openat(&deep, "mounted", OFlag::O_CREAT, Mode::S_IRUSR)?;
    umount2(&at, MntFlags::MNT_DETACH)?;
    nix::fcntl::openat(&deep, "unmounted", OFlag::O_CREAT, Mode::S_IRUSR)?;
    let open = only(&mut kernel, b"mounted")?;
    ensure!(
        (open.path.as_bytes(), open.path_incomplete)
            == (at.join("deep/mounted").as_os_str().as_bytes(), false)
    );
    let open = only(&mut kernel, b"unmounted")?;
    ensure!((open.path.as_bytes(), open.path_incomplete) == (&b"deep/unmounted"[..], true), "{open:?}");
    Ok(())
}

fn four_calls() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("file");
    let mut kernel = Kernel::start()?;
    let how = OpenHow::new().flags(OFlag::O_CREAT | OFlag::O_WRONLY).mode(Mode::from_bits_truncate(0o600));
    drop(nix::fcntl::openat2(nix::fcntl::AT_FDCWD, &path, how)?);
    let open = only(&mut kernel, path.as_os_str().as_bytes())?;
    check_file(&open, &path)?;
    ensure!((open.flags, open.mode) == ((libc::O_CREAT | libc::O_WRONLY) as u64, 0o600), "{open:?}");
    if cfg!(target_arch = "x86_64") {
        // Calls that libc no longer makes.
        old_call(&mut kernel, &path, libc::SYS_open, libc::O_RDWR, (libc::O_RDWR, 0))?;
        let creat = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
        old_call(&mut kernel, &path, libc::SYS_creat, 0o604, (creat, 0o604))?;
    }
    Ok(())
}

fn old_call(
    kernel: &mut Kernel,
    path: &Path,
    call: i64,
    argument: i32,
    expected: (i32, u32),
) -> anyhow::Result<()> {
    let script = format!("exit(syscall({call}, $ARGV[0], {argument}) < 0)");
    let child = Command::new("perl").args(["-e", &script]).arg(path).spawn()?;
    let pid = child.id();
    ensure!(child.wait_with_output()?.status.success());
    kernel.wait_for(pid, Kind::Exit, 1)?;
    let mut found = 0;
    for bytes in kernel.of(pid, Kind::Open) {
        if let Details::Open(open) = decode(Kind::Open, &bytes)?.details
            && open.path_asked.as_bytes() == path.as_os_str().as_bytes()
        {
            check_file(&open, path)?;
            ensure!((open.flags, open.mode) == (expected.0 as u64, expected.1), "{open:?}");
            found += 1;
        }
    }
    ensure!(found == 1, "{found}");
    Ok(())
}

/// A file without a folder has the kernel's name for it.
fn detached() -> anyhow::Result<()> {
    let (pipe, _other) = nix::unistd::pipe()?;
    let memory = nix::sys::memfd::memfd_create(c"hidden", nix::sys::memfd::MFdFlags::empty())?;
    let gone = tempfile::tempfile()?;
    let mut kernel = Kernel::start()?;
    for descriptor in [pipe.as_raw_fd(), memory.as_raw_fd(), gone.as_raw_fd()] {
        let link = format!("/proc/self/fd/{descriptor}");
        let name = fs::read_link(&link)?;
        let _file = File::open(&link)?;
        let open = only(&mut kernel, link.as_bytes())?;
        ensure!(open.path.as_bytes() == name.as_os_str().as_bytes(), "{open:?} is not {name:?}");
    }
    Ok(())
}

/// Opens by handle in a file system that supports it, by a 64-bit program and by a 32-bit one, of a file that
/// exists and of one that does not.
fn by_handle() -> anyhow::Result<()> {
    use nix::mount::{MntFlags, MsFlags, mount, umount2};
    let folder = tempfile::tempdir()?;
    mount(Some("none"), folder.path(), Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
    let checked = each_handle(folder.path());
    umount2(folder.path(), MntFlags::MNT_DETACH)?;
    checked
}

fn each_handle(folder: &Path) -> anyhow::Result<()> {
    let path = folder.join("held");
    fs::write(&path, "held")?;
    let before = format!(
        "$^F = 1000; chdir $ARGV[0]; sysopen(D, '.', 0200000); open(M, '<', '.'); $m = fileno(M); $d = fileno(D);
         sub call {{ my @a = @_; syscall(shift @a, @a) }} my $name = 'held';
         my ($good, $mount) = (pack('Ll', 128, 0) . \"\\0\" x 128, pack('L', 0));
         syscall({}, $d, $name, $good, $mount, 0) == 0 or die; my ($len, $type) = unpack('Ll', $good);
         my $bad = pack('Ll', $len, $type) . \"\\xff\" x $len;
         print unpack('H*', substr($good, 8, $len)), ' ', $type, ' ';",
        libc::SYS_name_to_handle_at
    );
    let script = |make: &str| format!("for (1..{TIMES}) {{ for my $h ($good, $bad) {{ $fd = {make}; }} }}");
    let mut kernel = Kernel::start()?;
    let native =
        script("call(304, $m, $h, 2); call(3, $fd)").replace("304", &libc::SYS_open_by_handle_at.to_string());
    let perl = format!("{before} {native} print $$;");
    let output = Command::new("perl").args(["-e", &perl]).arg(folder).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    check_handles(&mut kernel, &String::from_utf8(output.stdout)?, &path, false)?;
    if cfg!(target_arch = "x86_64") {
        let words = "[unpack('l*', substr($h, 0, 8 + $len))]";
        let script = script(&format!("call32(342, $m, {words}, 2); call32(6, $fd)"));
        check_handles(&mut kernel, &crate::compat::output(folder, &before, &script)?, &path, true)?;
    }
    Ok(())
}

fn check_handles(kernel: &mut Kernel, said: &str, path: &Path, compat: bool) -> anyhow::Result<()> {
    let [handle, kind, pid] = said.split(' ').collect::<Vec<_>>()[..] else { anyhow::bail!("{said}") };
    kernel.drain();
    let mut counts = [0, 0];
    for bytes in kernel.of(pid.parse()?, Kind::Open) {
        let record = decode(Kind::Open, &bytes)?;
        let Details::Open(open) = record.details else { anyhow::bail!("no open") };
        let Some(found) = &open.handle else { continue };
        ensure!(record.identity.is_some_and(|identity| identity.compat == compat));
        let hex: String = found.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        ensure!((open.flags, open.mode) == (libc::O_RDWR as u64, 0), "{open:?}");
        ensure!(open.path_asked.as_bytes().is_empty() && found.kind == kind.parse::<i32>()?, "{open:?}");
        let good = open.ret >= 0;
        if good {
            check_file(&open, path)?;
            ensure!(hex == handle, "{open:?} {handle}");
        } else {
            // Only the file system of the missing file is known.
            ensure!(open.ret == -i64::from(libc::ESTALE) && hex == "ff".repeat(handle.len() / 2), "{open:?}");
            ensure!(open.file.is_none() && open.path_incomplete, "{open:?}");
            ensure!(Some(Path::new(&*open.path.to_str())) == path.parent(), "{open:?}");
        }
        counts[usize::from(good)] += 1;
    }
    ensure!(counts == [TIMES; 2], "{counts:?}");
    Ok(())
}

fn chrooted() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    fs::create_dir_all(folder.path().join("etc"))?;
    fs::write(folder.path().join("etc/inside"), "")?;
    let mut kernel = Kernel::start()?;
    // A thread with a root of its own.
    let root = folder.path().to_owned();
    let thread = std::thread::spawn(move || -> anyhow::Result<()> {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS)?;
        let outside = File::open("/")?;
        nix::unistd::chroot(&root)?;
        nix::unistd::chdir("/etc")?;
        File::open("inside")?;
        nix::fcntl::openat(&outside, "tmp", OFlag::O_RDONLY, Mode::empty())?;
        Ok(())
    });
    thread.join().map_err(|_| anyhow::anyhow!("panicked"))??;
    ensure!(only(&mut kernel, b"inside")?.path.to_str() == "/etc/inside");
    let outside = only(&mut kernel, b"tmp")?;
    ensure!(outside.path.to_str() == "tmp" && outside.path_incomplete, "{outside:?}");
    Ok(())
}

fn by_user() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    kernel.set(|settings| (settings.uid_count, settings.uids[0]) = (1, 64_999))?;
    let before = kernel.count(Kind::Open)?;
    File::open("/dev/null")?;
    ensure!(kernel.count(Kind::Open)? == before);
    kernel.drain();
    let earlier = kernel.of(own(), Kind::Open).len();
    kernel.set(|settings| (settings.uid_count, settings.uids[1]) = (2, 0))?;
    File::open("/dev/null")?;
    kernel.drain();
    ensure!(kernel.of(own(), Kind::Open).len() > earlier);
    Ok(())
}
