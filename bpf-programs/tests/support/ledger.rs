//! The usage ledger: exact under concurrency, overflow and sweeps, and attributed to the right process.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::thread;

use anyhow::{Context as _, ensure};
use bpf_programs::testing::Kind;
use model::details::{Direction, Usage};
use nix::mount::{MsFlags, mount};

use crate::identity::apart;
use crate::support::{Kernel, decode};
use crate::usage::{fill, perl, reported, sums};
use crate::{TIMES, Test};

pub const TESTS: &[Test] = &[
    ("ledger_is_exact_while_it_is_swept", storm),
    ("ledger_that_is_full_emits_each_call", full),
    ("ledger_is_flushed_at_close_and_at_exec", close_and_exec),
    ("ledger_knows_who_uses_a_descriptor", users),
    ("ledger_knows_files_without_a_name", nameless),
    ("ledger_has_a_row_for_each_name_of_a_file", names),
    ("ledger_keeps_long_paths", long_path),
];

/// Several threads of one process, on one file.
fn storm() -> anyhow::Result<()> {
    const CALLS: u64 = 100_000;
    let file = tempfile::NamedTempFile::new()?;
    let mut kernel = Kernel::start()?;
    let open = File::options().read(true).write(true).open(file.path())?;
    open.write_all_at(&[1; 8], 0)?;
    let mut sweeps = 0;
    thread::scope(|scope| -> anyhow::Result<()> {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| -> std::io::Result<()> {
                    for _ in 0..CALLS {
                        open.read_exact_at(&mut [0], 3)?;
                        open.write_all_at(&[1], 4)?;
                    }
                    Ok(())
                })
            })
            .collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            kernel.sweep()?;
            kernel.drain();
            sweeps += 1;
        }
        for thread in threads {
            thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        }
        Ok(())
    })?;
    flush_both_buffers(&mut kernel)?;
    let of = of_file(&kernel, std::process::id(), &file.path().metadata()?)?;
    let total = |wanted: Direction| {
        let some = of.iter().filter(|usage| usage.direction == wanted);
        some.fold((0, 0), |(bytes, calls), usage| (bytes + usage.bytes, calls + usage.calls))
    };
    ensure!(
        total(Direction::Read) == (4 * CALLS, 4 * CALLS),
        "{:?} in {sweeps} sweeps",
        total(Direction::Read)
    );
    let written = total(Direction::Written);
    ensure!(written == (4 * CALLS + 8, 4 * CALLS + 1), "{written:?} in {sweeps} sweeps");
    ensure!(sweeps > 3 && of.len() > 3, "swept {sweeps} times only");
    let count = kernel.count(Kind::Usage)?;
    ensure!(count.kept_out() == 0, "{count:?}");
    Ok(())
}

/// More files than the ledger has room for.
fn full() -> anyhow::Result<()> {
    const FILES: usize = 64;
    let folder = tempfile::tempdir()?;
    let mut kernel = Kernel::start_few(8 << 20, 16)?;
    let files: Vec<File> = (0..FILES)
        .map(|number| File::create(folder.path().join(format!("{number}"))))
        .collect::<Result<_, _>>()?;
    for at in 0..TIMES {
        for file in &files {
            file.write_all_at(b"abc", at as u64 * 3)?;
        }
    }
    flush_both_buffers(&mut kernel)?;
    let mut rows = 0;
    for file in &files {
        let of = of_file(&kernel, std::process::id(), &file.metadata()?)?;
        let sum = of.iter().fold((0, 0), |(bytes, calls), usage| (bytes + usage.bytes, calls + usage.calls));
        ensure!(sum == (3 * TIMES as u64, TIMES as u64), "{sum:?}");
        rows += of.len();
    }
    ensure!(rows > FILES * 2, "{rows} rows: the ledger was not full");
    Ok(())
}

fn close_and_exec() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    fill(folder.path())?;
    let mut kernel = Kernel::start()?;
    // Each close flushes; what is open when another program is run is flushed under the previous program's
    // name.
    let script = format!(
        "for (1..{TIMES}) {{ open(my $h, '<', 'held'); sysread($h, $x, 10); close $h }}
         call(WRITE(), $g, $buf, 5); exec '/bin/true'"
    );
    let pid = perl(&script, folder.path())?;
    kernel.drain();
    let reported = reported(&kernel, pid)?;
    let held = of_path(&reported, "held");
    ensure!(held.len() == TIMES, "{} rows", held.len());
    ensure!(held.iter().all(|usage| (usage.bytes, usage.calls) == (10, 1)), "{held:?}");
    let other = of_path(&reported, "other");
    ensure!(other.len() == 1 && (other[0].bytes, other[0].calls) == (5, 1), "{other:?}");
    let named = kernel.of(pid, Kind::Usage).into_iter().map(|bytes| decode(Kind::Usage, &bytes));
    for record in named.collect::<Result<Vec<_>, _>>()? {
        let identity = record.identity.context("no identity")?;
        let model::Details::Usage(usage) = record.details else { anyhow::bail!("no usage") };
        if usage.path.to_str().ends_with("/other") {
            ensure!(identity.comm.to_str() == "perl", "{identity:?}");
        }
    }
    Ok(())
}

/// Descriptors that are inherited over fork, duplicated, or passed through a socket: the reading process is
/// counted.
fn users() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    fill(folder.path())?;
    let mut kernel = Kernel::start()?;
    // The parent prints nothing, so that its rows differ from the child's, which prints its id.
    let script = format!(
        "sysread(F, $x, 1); if (!fork) {{ for (1..{TIMES}) {{ call(PREAD64(), $f, $buf, 10, 0) }}
            open(D, '<&', F); call(PREAD64(), fileno(D), $buf, 3, 0); close D; exit }} wait;
         if (!fork) {{ my $in = \"\\0\"; my $v = pack('PQ', $in, 1); my $c = \"\\0\" x 24;
            my $m = pack('QQPQPQQ', 0, 0, $v, 1, $c, 24, 0); call(RECVMSG(), $b, $m, 0);
            my $n = unpack('x16l', $c); for (1..{TIMES}) {{ call(PREAD64(), $n, $buf, 20, 0) }} exit }}
         my $v = pack('PQ', 'x', 1); my $c = pack('Qllll', 20, 1, 1, $g, 0);
         call(SENDMSG(), $a, pack('QQPQPQQ', 0, 0, $v, 1, $c, 24, 0), 0); wait"
    );
    let pid = perl(&script, folder.path())?;
    kernel.drain();
    let own = sums(&reported(&kernel, pid)?);
    ensure!(own.get(&("held".to_owned(), 'r')).is_some_and(|sum| sum.0 == 1), "{own:?}");
    ensure!(!own.contains_key(&("other".to_owned(), 'r')), "{own:?}");
    let times = TIMES as u64;
    let mut found = Vec::new();
    for bytes in kernel.all(Kind::Usage) {
        let record = decode(Kind::Usage, &bytes)?;
        let identity = record.identity.context("no identity")?;
        if identity.ppid == pid {
            let model::Details::Usage(usage) = record.details else { anyhow::bail!("no usage") };
            found.push((identity.pid, *usage));
        }
    }
    let all: Vec<Usage> = found.iter().map(|(_, usage)| usage.clone()).collect();
    let sums = sums(&all);
    ensure!(sums[&("held".to_owned(), 'r')].0 == 10 * times + 3, "{sums:?}");
    ensure!(sums[&("other".to_owned(), 'r')].0 == 20 * times, "{sums:?}");
    Ok(())
}

/// Files that are deleted but open, memfd, O_TMPFILE.
fn nameless() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    fill(folder.path())?;
    let mut kernel = Kernel::start()?;
    let script = format!(
        "unlink 'held'; my ($name, $here) = ('secret', '.');
         my $m = call({}, $name, 0); my $t = call({}, $here, {}, 0600);
         for (1..{TIMES}) {{ call(WRITE(), $_, $buf, 11) for ($f, $m, $t) }}",
        libc::SYS_memfd_create,
        libc::SYS_open,
        libc::O_TMPFILE | libc::O_RDWR,
    );
    let pid = perl(&script, folder.path())?;
    kernel.drain();
    let reported = reported(&kernel, pid)?;
    let wrote: Vec<_> = reported
        .iter()
        .filter(|usage| usage.direction == Direction::Written && usage.bytes == 11 * TIMES as u64)
        .collect();
    ensure!(wrote.len() == 3, "{reported:?}");
    for usage in &wrote {
        ensure!(
            usage.path.to_str().ends_with(" (deleted)") || usage.path.to_str().contains('#'),
            "{usage:?}"
        );
        ensure!(usage.file.is_some_and(|file| file.ino != 0), "{usage:?}");
    }
    ensure!(wrote.iter().any(|usage| usage.path.to_str() == "/memfd:secret (deleted)"), "{wrote:?}");
    Ok(())
}

/// Writes one file by two hard links and through two mounts: each name has its own bytes, and their sum is what was done with
/// the file.
fn names() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("mounted"))?;
    fs::create_dir(at("parent"))?;
    fs::write(at("parent/first"), [1; 1000])?;
    fs::hard_link(at("parent/first"), at("parent/second"))?;
    let file = at("parent/first").metadata()?;
    let mut kernel = Kernel::start()?;
    let root = folder.path().to_owned();
    apart(move || {
        let (from, to) = (root.join("parent"), root.join("mounted"));
        mount(Some(&from), &to, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        let names = ["parent/first", "parent/second", "mounted/first"];
        let files: Vec<_> = names.iter().map(|name| File::open(root.join(name))).collect::<Result<_, _>>()?;
        for (file, bytes) in files.iter().zip([7, 11, 13]) {
            for _ in 0..TIMES {
                file.read_exact_at(&mut vec![0; bytes], 0)?;
            }
        }
        fs::rename(root.join("parent/second"), root.join("parent/renamed"))?;
        Ok(files[1].read_exact_at(&mut [0; 5], 0)?)
    })?;
    flush_both_buffers(&mut kernel)?;
    let of = of_file(&kernel, std::process::id(), &file)?;
    let times = TIMES as u64;
    // A name that is changed meanwhile is shown as it was at first.
    let expected = [
        ("parent/first", (7 * times, times)),
        ("parent/second", (11 * times + 5, times + 1)),
        ("mounted/first", (13 * times, times)),
    ];
    for (name, expected) in expected {
        let path = at(name);
        let of_name = of.iter().filter(|usage| Path::new(&*usage.path.to_str()) == path);
        let sum = of_name.fold((0, 0), |sum, usage| (sum.0 + usage.bytes, sum.1 + usage.calls));
        ensure!(sum == expected, "{name}: {sum:?} in {of:?}");
    }
    ensure!(of.iter().map(|usage| usage.bytes).sum::<u64>() == 31 * times + 5, "{of:?}");
    Ok(())
}

/// A path of more than 256 bytes.
fn long_path() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let deep = (0..8).fold(folder.path().to_owned(), |path, _| path.join("n".repeat(200)));
    fs::create_dir_all(&deep)?;
    let file = File::create(deep.join("held"))?;
    let mut kernel = Kernel::start()?;
    file.write_all_at(b"x", 0)?;
    flush_both_buffers(&mut kernel)?;
    let of = of_file(&kernel, std::process::id(), &file.metadata()?)?;
    ensure!(of.len() == 1, "{of:?}");
    let known = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    ensure!(Path::new(&*of[0].path.to_str()) == known && !of[0].path_incomplete, "{of:?}");
    Ok(())
}

/// Flushes both buffers of the ledger.
pub fn flush_both_buffers(kernel: &mut Kernel) -> anyhow::Result<()> {
    for _ in 0..2 {
        let mut sweep = kernel.sweep()?;
        kernel.drain();
        while sweep.left != 0 {
            sweep = kernel.flush()?;
            kernel.drain();
        }
    }
    Ok(())
}

pub fn of_file(kernel: &Kernel, pid: u32, meta: &fs::Metadata) -> anyhow::Result<Vec<Usage>> {
    let mut reported = reported(kernel, pid)?;
    reported.retain(|usage| usage.file.is_some_and(|file| (file.ino, file.dev) == (meta.ino(), meta.dev())));
    Ok(reported)
}

fn of_path<'a>(reported: &'a [Usage], name: &str) -> Vec<&'a Usage> {
    let name = format!("/{name}");
    reported.iter().filter(|usage| usage.path.to_str().ends_with(&name)).collect()
}
