//! Tracers `exec`, `clone`, `exit`, and the events that keep the process table up to date.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use bpf_programs::testing::{Header, Kind, apply};
use model::{Details, ExecId, ProcessTable};

use crate::support::{Kernel, decode};
use crate::{TIMES, Test};

pub const TESTS: &[Test] = &[
    ("exec_each_field", exec_fields),
    ("exec_500_as_fast_as_possible", short_lives),
    ("exec_argv_is_cut_and_marked", long_argv),
    ("exec_denied_each_way", denied),
    ("exec_of_a_memfd", of_memory),
    ("clone_of_processes_and_threads", clones),
    ("exit_codes_and_signals", exits),
    ("exit_of_many_threads_is_recorded_once", threads),
    ("lifecycle_keeps_the_process_table", table),
    ("lifecycle_without_tracers_is_not_counted", untraced),
];

fn own() -> u32 {
    std::process::id()
}

/// Runs a command to its end and returns its pid.
fn run(command: &mut Command) -> anyhow::Result<u32> {
    let mut child = command.spawn()?;
    let pid = child.id();
    child.wait()?;
    Ok(pid)
}

fn exec_of(kernel: &mut Kernel, pid: u32) -> anyhow::Result<model::Exec> {
    let found = kernel.wait_for(pid, Kind::Exec, 1)?;
    ensure!(found.len() == 1, "{}", found.len());
    match decode(Kind::Exec, &found[0])?.details {
        Details::Exec(exec) => Ok(*exec),
        other => anyhow::bail!("{other:?}"),
    }
}

fn exec_fields() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut kernel = Kernel::start()?;
    let program = fs::canonicalize("/bin/true")?;
    for _ in 0..TIMES {
        let pid = run(Command::new("/bin/true").args(["one", "", "three\n"]).current_dir(folder.path()))?;
        let exec = exec_of(&mut kernel, pid)?;
        let argv: Vec<_> = exec.argv.iter().map(|arg| arg.to_str()).collect();
        ensure!(argv == ["/bin/true", "one", "", "three\n"], "{argv:?}");
        ensure!(!exec.argv_cut && !exec.path_incomplete, "{exec:?}");
        ensure!(exec.path_asked.to_str() == "/bin/true", "{exec:?}");
        ensure!(Path::new(&*exec.path.to_str()) == program, "{exec:?}");
        ensure!(Path::new(&*exec.cwd.to_str()) == folder.path(), "{exec:?}");
        let record = decode(Kind::Exec, &kernel.of(pid, Kind::Exec)[0])?;
        let identity = record.identity.context("identity")?;
        ensure!((identity.pid, identity.tid, identity.ppid) == (pid, pid, own()), "{identity:?}");
        ensure!(identity.comm.to_str() == "true" && identity.uid == 0, "{identity:?}");
    }
    Ok(())
}

fn short_lives() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let pid = run(Command::new("/bin/sh").args(["-c", "for i in $(seq 500); do /bin/true $i; done"]))?;
    kernel.wait_for(pid, Kind::Exit, 1)?;
    let mut numbers = Vec::new();
    let mut ended = 0;
    for bytes in kernel.all(Kind::Exec) {
        let record = decode(Kind::Exec, &bytes)?;
        let identity = record.identity.context("identity")?;
        let Details::Exec(exec) = record.details else { continue };
        if identity.ppid != pid || exec.path_asked.to_str() != "/bin/true" {
            continue;
        }
        ensure!(exec.argv.len() == 2 && exec.argv[0].to_str() == "/bin/true", "{exec:?}");
        ensure!(exec.path.to_str().ends_with("/bin/true") && !exec.path_incomplete, "{exec:?}");
        numbers.push(exec.argv[1].to_str().parse::<u32>()?);
        ended += kernel.of(identity.pid, Kind::Exit).len();
    }
    numbers.sort_unstable();
    ensure!(numbers == (1..=500).collect::<Vec<_>>(), "{}", numbers.len());
    ensure!(ended == 500, "{ended}");
    Ok(())
}

fn long_argv() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    for (length, cut) in [(8192 - 11, false), (8192 - 10, true), (100_000, true)] {
        let pid = run(Command::new("/bin/true").arg("y".repeat(length)))?;
        let exec = exec_of(&mut kernel, pid)?;
        ensure!(exec.argv_cut == cut, "{length}");
        ensure!(exec.argv[1].to_str().len() == length.min(8192 - 10), "{}", exec.argv[1].to_str().len());
    }
    Ok(())
}

/// An exec that fails, as Perl code: `$d` is the folder's descriptor, `$f` that of the file `denied` in it. The
/// errno, and the record's path, path as requested, flags of an execveat, whether the file is known.
type Denied = (&'static str, i32, &'static str, &'static str, Option<u32>, bool);

const AT_EMPTY_PATH: u32 = 0x1000;

/// The execs by a 64-bit program; ARGV and NONE become arguments, and an empty environment.
const DENIED: &[(u32, u32, Denied)] = &[
    (59, 11, ("'no/such', ARGV, NONE", libc::ENOENT, "/no/such", "no/such", None, false)),
    (59, 11, ("'./denied', ARGV, NONE", libc::EACCES, "/denied", "./denied", None, false)),
    (59, 11, ("'junk', ARGV, NONE", libc::ENOEXEC, "/junk", "junk", None, true)),
    (322, 358, ("$d, 'denied', ARGV, NONE, 0", libc::EACCES, "/denied", "denied", Some(0), false)),
    (322, 358, ("$d, 'link', ARGV, NONE, 256", libc::ELOOP, "/link", "link", Some(256), false)),
    (322, 358, ("$f, '', ARGV, NONE, 4096", libc::EACCES, "/denied", "", Some(AT_EMPTY_PATH), true)),
];

fn denied() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    for (name, mode) in [("denied", 0o644), ("junk", 0o755)] {
        fs::write(at(name), "junk")?;
        fs::set_permissions(at(name), std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    }
    std::os::unix::fs::symlink("junk", at("link"))?;
    let before = "$^F = 1000; chdir $ARGV[0]; sysopen(D, '.', 0200000); $d = fileno(D);
        open(F, '<', 'denied'); $f = fileno(F); sub call { my @a = @_; syscall(shift @a, @a) }
        ($x, $no, $y) = ('x', '', 'y z'); $argv = pack('PPPQ', $x, $no, $y, 0); $none = pack('Q', 0);";
    let mut kernel = Kernel::start()?;
    for (number, number32, case) in DENIED {
        let native = case.0.replace("ARGV", "$argv").replace("NONE", "$none");
        let script = format!("for (1..{TIMES}) {{ call({number}, {native}) }}");
        let mut perl = Command::new("perl");
        let pid = run(perl.args(["-e", &format!("{before} {script}")]).arg(folder.path()))?;
        check_denied(&mut kernel, pid, case, folder.path(), false).context(case.0)?;
        if cfg!(target_arch = "x86_64") {
            let other = case.0.replace("ARGV", "['x', '', 'y z', 0]").replace("NONE", "0");
            let script = format!("for (1..{TIMES}) {{ call32({number32}, {other}) }}");
            let pid = crate::compat::run(folder.path(), before, &script)?;
            check_denied(&mut kernel, pid, case, folder.path(), true).context(case.0)?;
        }
    }
    Ok(())
}

fn check_denied(
    kernel: &mut Kernel,
    pid: u32,
    case: &Denied,
    folder: &Path,
    compat: bool,
) -> anyhow::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let (_, errno, path, asked, execveat, known) = *case;
    kernel.wait_for(pid, Kind::Exit, 1)?;
    let mut failed = 0;
    for bytes in kernel.of(pid, Kind::Exec) {
        let record = decode(Kind::Exec, &bytes)?;
        let Details::Exec(exec) = record.details else { anyhow::bail!("no exec") };
        // Perl itself was searched for in several folders.
        if exec.ret == 0 || exec.path_asked.to_str().ends_with("/perl") {
            continue;
        }
        failed += 1;
        let identity = record.identity.context("identity")?;
        ensure!(identity.compat == compat && identity.pid == pid, "{identity:?}");
        let argv: Vec<_> = exec.argv.iter().map(|arg| arg.to_str()).collect();
        ensure!(exec.ret == -i64::from(errno) && argv == ["x", "", "y z"] && !exec.argv_cut, "{exec:?}");
        ensure!(exec.path_asked.to_str() == asked && exec.execveat == execveat, "{exec:?}");
        ensure!(exec.path.to_str() == format!("{}{path}", folder.display()), "{exec:?}");
        ensure!(Path::new(&*exec.cwd.to_str()) == folder && !exec.path_incomplete && !exec.memfd, "{exec:?}");
        let file = known.then(|| fs::metadata(format!("{}{path}", folder.display()))).transpose()?;
        let file = file.map(|stat| (stat.dev(), stat.ino()));
        ensure!(exec.file.map(|file| (file.dev, file.ino)) == file, "{exec:?}");
    }
    ensure!(failed == TIMES, "{failed} failed");
    Ok(())
}

/// A program in memory that has no name anywhere, executed successfully and not.
fn of_memory() -> anyhow::Result<()> {
    let script = format!(
        "my ($name, $empty, $x) = ('hidden', '', 'x'); my $argv = pack('PQ', $x, 0); my $none = pack('Q', 0);
         open(T, '<', '/bin/true'); binmode T; local $/; my $true = <T>;
         my ($good, $bad) = map {{ syscall({}, $name, 1) }} (1, 2); my $length = length $true;
         syscall(1, $good, $true, $length) == $length or die; syscall(1, $bad, $true, 3);
         for (1..{TIMES}) {{
             for my $fd ($good, $bad) {{ unless (fork) {{ syscall(322, $fd, $empty, $argv, $none, 4096); exit 7 }} wait }}
         }}",
        libc::SYS_memfd_create
    );
    let mut kernel = Kernel::start()?;
    let pid = run(Command::new("perl").args(["-e", &script]))?;
    kernel.wait_for(pid, Kind::Exit, 1)?;
    let mut counts = [0, 0];
    for bytes in kernel.all(Kind::Exec) {
        let record = decode(Kind::Exec, &bytes)?;
        let Details::Exec(exec) = record.details else { anyhow::bail!("no exec") };
        if record.identity.is_none_or(|identity| identity.ppid != pid) {
            continue;
        }
        ensure!(exec.memfd && exec.path.to_str() == "/memfd:hidden (deleted)", "{exec:?}");
        ensure!(exec.file.is_some_and(|file| file.ino != 0) && exec.argv[0].to_str() == "x", "{exec:?}");
        let ran = exec.ret == 0;
        let asked = if ran { (true, 0) } else { (false, AT_EMPTY_PATH) };
        let found = (exec.path_asked.to_str().starts_with("/dev/fd/"), exec.execveat);
        ensure!(found == (asked.0, Some(asked.1)), "{exec:?}");
        ensure!(ran || exec.ret == -i64::from(libc::ENOEXEC), "{exec:?}");
        counts[usize::from(ran)] += 1;
    }
    ensure!(counts == [TIMES; 2], "{counts:?}");
    Ok(())
}

fn clones() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let mut pids = Vec::new();
    for _ in 0..TIMES {
        pids.push(run(&mut Command::new("/bin/true"))?);
        std::thread::spawn(|| ()).join().map_err(|_| anyhow::anyhow!("panicked"))?;
    }
    kernel.wait_for(own(), Kind::Clone, 2 * TIMES)?;
    let (mut processes, mut threads) = (Vec::new(), 0);
    for bytes in kernel.of(own(), Kind::Clone) {
        let record = decode(Kind::Clone, &bytes)?;
        let Details::Clone(clone) = record.details else { continue };
        ensure!(clone.child_start_ns > 0 && clone.flags.is_some(), "{clone:?}");
        let flag = clone.flags.context("flags")? & libc::CLONE_THREAD as u64 != 0;
        ensure!(flag == clone.thread, "{clone:?}");
        if clone.thread {
            ensure!(clone.child_pid == own() && clone.child_tid != own(), "{clone:?}");
            ensure!(clone.child_start_ns == Header::parse(&bytes)?.start_ns, "{clone:?}");
            threads += 1;
        } else {
            ensure!(clone.child_pid == clone.child_tid, "{clone:?}");
            processes.push(clone.child_pid);
            let exit = kernel.wait_for(clone.child_pid, Kind::Exit, 1)?;
            ensure!(Header::parse(&exit[0])?.start_ns == clone.child_start_ns, "{clone:?}");
        }
    }
    ensure!(processes == pids, "{processes:?} {pids:?}");
    ensure!(threads == TIMES, "{threads}");
    Ok(())
}

fn exits() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let cases = [("exit 0", 0, 0), ("exit 37", 37, 0), ("kill -9 $$", 0, 9), ("kill -15 $$", 0, 15)];
    for (script, code, signal) in cases {
        for _ in 0..TIMES {
            let pid = run(Command::new("/bin/sh").args(["-c", script]))?;
            let found = kernel.wait_for(pid, Kind::Exit, 1)?;
            ensure!(found.len() == 1, "{}", found.len());
            let record = decode(Kind::Exit, &found[0])?;
            let Details::Exit(exit) = record.details else { continue };
            ensure!((exit.code, exit.signal, exit.core_dumped) == (code, signal, false), "{exit:?}");
            ensure!((1..10_000_000_000).contains(&exit.duration_ns), "{exit:?}");
        }
    }
    Ok(())
}

/// Threads that end together are one exit.
fn threads() -> anyhow::Result<()> {
    let program = "import threading,os\n\
        b=threading.Barrier(17)\n\
        [threading.Thread(target=lambda:(b.wait(),threading.Event().wait()),daemon=True).start() for _ in range(16)]\n\
        b.wait()\n\
        os._exit(5)";
    let mut kernel = Kernel::start()?;
    let mut pids = Vec::new();
    for _ in 0..TIMES {
        pids.push(run(Command::new("python3").args(["-c", program]))?);
        // The machine's other processes fill the ring too.
        kernel.drain();
    }
    for pid in pids {
        let found = kernel.wait_for(pid, Kind::Exit, 1)?;
        kernel.drain();
        ensure!(found.len() == 1 && kernel.of(pid, Kind::Exit).len() == 1, "{}", found.len());
        let record = decode(Kind::Exit, &found[0])?;
        ensure!(matches!(record.details, Details::Exit(exit) if exit.code == 5), "{record:?}");
    }
    Ok(())
}

/// A process that already ran, its change of folder, its child.
fn table() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU)?;
    let script = "read go < fifo; cd /proc; /bin/true";
    let child = Command::new("/bin/sh").args(["-c", script]).current_dir(folder.path()).spawn()?;
    let mut child = Guard(child);
    let pid = child.0.id();
    let mut kernel = Kernel::start()?;
    let table = ProcessTable::default();
    let mut id = None;
    for record in kernel.processes()? {
        apply(&table, &record)?;
        let header = Header::parse(&record)?;
        if header.pid == pid {
            id = Some(ExecId { pid, start_ns: header.start_ns });
        }
    }
    let id = id.context("not there")?;
    let before = table.latest(id).context("not in the table")?;
    ensure!(Path::new(&*before.cwd.as_ref().context("cwd")?.to_str()) == folder.path(), "{before:?}");
    let shell = fs::canonicalize("/bin/sh")?;
    ensure!(Path::new(&*before.exe.as_ref().context("exe")?.to_str()) == shell, "{before:?}");
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", pid))?;
    let cgroup = &*before.cgroup.as_ref().context("cgroup")?.path;
    ensure!(groups.lines().any(|line| line.splitn(3, ':').nth(2) == Some(cgroup)), "{cgroup} {groups}");
    fs::write(&fifo, "\n")?;
    child.0.wait()?;
    kernel.wait_for(pid, Kind::Exit, 1)?;
    let moved = kernel.of(pid, Kind::Chdir);
    ensure!(moved.len() == 1, "{}", moved.len());
    apply(&table, &moved[0])?;
    let after = table.latest(id).context("gone")?;
    ensure!(after.cwd.as_ref().context("cwd")?.to_str() == "/proc" && after.exe == before.exe, "{after:?}");
    Ok(())
}

/// Ends the process, should the test end first.
struct Guard(std::process::Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn untraced() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    kernel.set(|settings| settings.enabled = 0)?;
    let before = kernel.count(Kind::Exec)?;
    let pid = run(&mut Command::new("/bin/true"))?;
    let found = kernel.wait_for(pid, Kind::Exit, 1)?;
    ensure!(!Header::parse(&found[0])?.is_traced());
    ensure!(!Header::parse(&kernel.of(pid, Kind::Exec)[0])?.is_traced());
    ensure!(kernel.count(Kind::Exec)? == before);
    Ok(())
}
