//! Namespaces and roots as the kernel set them, and keys by which rows of two processes that share memory or a queue are
//! joined.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use bpf_programs::testing::Kind;
use model::{Act, ActField, Details, File};

use crate::support::{Kernel, decode};
use crate::{Test, usage};

pub const TESTS: &[Test] = &[
    ("namespace_has_the_kernels_values", namespaces),
    ("chroot_has_the_real_path", root),
    ("ipc_joins_both_ends", shared),
    ("posix_shared_memory_is_a_file", posix),
    ("pidfd_send_signal_names_processes_only", targets),
];

/// Runs a Perl script; returns its pid and its output.
fn perl(script: &str, folder: &Path) -> anyhow::Result<(u32, String)> {
    let mut command = Command::new("perl");
    let child = command.args(["-e", script]).arg(folder).stdout(Stdio::piped()).spawn()?;
    let pid = child.id();
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{script}: {output:?}");
    Ok((pid, String::from_utf8(output.stdout)?))
}

fn acts(kernel: &Kernel, pid: u32, kind: Kind) -> anyhow::Result<Vec<Act>> {
    let records = kernel.of(pid, kind).into_iter().map(|bytes| match decode(kind, &bytes)?.details {
        Details::Act(act) => Ok(*act),
        other => anyhow::bail!("{other:?}"),
    });
    records.collect()
}

fn number(act: &Act, name: &str) -> Option<i64> {
    act.fields.iter().find(|(field, _)| *field == name).and_then(|(_, value)| match value {
        ActField::Int(number) => Some(*number),
        ActField::Uint(number) => i64::try_from(*number).ok(),
        ActField::Flags(..) | ActField::Name(_) | ActField::Text(_) => None,
    })
}

/// Prints the numbers of the process's namespaces, as `/proc` has them after the calls.
const NAMESPACES: &str = r#"
open(O, '<', '/proc/self/ns/net'); $o = fileno O; print "net ", (stat O)[1], " ";
syscall(272, 0x6e020000) == 0 or die $!; # all but CLONE_NEWUSER and CLONE_NEWTIME
for (qw(user uts ipc cgroup pid_for_children time_for_children)) { print "$_ ", (stat "/proc/self/ns/$_")[1] // 0, " " }
syscall(308, $o, 0) == 0 or die $!;
"#;

fn namespaces() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let (pid, output) = perl(NAMESPACES, Path::new("/"))?;
    kernel.drain();
    let words: Vec<&str> = output.split_whitespace().collect();
    let right: BTreeMap<&str, i64> =
        words.chunks_exact(2).map(|pair| Ok((pair[0], pair[1].parse()?))).collect::<anyhow::Result<_>>()?;
    let [unshare, setns] = &acts(&kernel, pid, Kind::Namespace)?[..] else { anyhow::bail!("not two calls") };
    ensure!((unshare.call, setns.call) == ("unshare", "setns"), "{unshare:?} {setns:?}");
    for act in [unshare, setns] {
        for (name, field) in [
            ("user", "user_ns"),
            ("uts", "uts_ns"),
            ("ipc", "ipc_ns"),
            ("cgroup", "cgroup_ns"),
            ("time_for_children", "time_ns_for_children"),
        ] {
            // A kernel may lack one kind.
            ensure!(
                right[name] == 0 || number(act, field) == Some(right[name]),
                "{field}: {act:?} {right:?}"
            );
        }
        // The folder in /proc shows it only once it has a first process.
        ensure!(number(act, "pid_ns_for_children").is_some_and(|ns| ns != 0), "{act:?}");
    }
    let entered =
        (number(setns, "namespace"), setns.fields.contains(&("type", ActField::Name("CLONE_NEWNET"))));
    ensure!(entered == (Some(right["net"]), true), "{setns:?} {right:?}");
    Ok(())
}

/// The requested path is `lnk/../jail`, where `lnk` leads to `real/dir`: the root is `real/jail`, and not `jail`, to which the
/// path without symbolic links would lead.
fn root() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("real/dir"))?;
    std::fs::create_dir_all(at("real/jail"))?;
    std::fs::create_dir(at("jail"))?;
    symlink("real/dir", at("lnk"))?;
    let right = std::fs::metadata(at("real/jail"))?.ino();
    let mut kernel = Kernel::start()?;
    let (pid, _) =
        perl("chdir $ARGV[0]; $n = 'lnk/../jail'; syscall(161, $n) == 0 or die $!", folder.path())?;
    kernel.drain();
    let [act] = &acts(&kernel, pid, Kind::Namespace)?[..] else { anyhow::bail!("not one call") };
    let found = act.path.as_ref().map(|path| path.to_str().into_owned());
    ensure!(found.as_deref() == at("real/jail").to_str() && !act.path_incomplete, "{act:?}");
    ensure!(act.file.is_some_and(|file| file.ino == right), "{act:?} is not {right}");
    Ok(())
}

/// Makes or finds a segment and two queues, and sends or receives by them. Prints the number of its namespace.
const ENDS: &str = r#"
($key, $write) = (0x64756574, $ARGV[0] eq 'write'); print +(stat '/proc/self/ns/ipc')[1];
$m = shmget($key, 4096, 0x380) + 0; $q = msgget($key, 0x380) + 0; $n = 'lineage'; $x = 'x' x 64;
$p = syscall(240, $n, 2114, 384, $a = pack('q8', 0, 10, 64, 0, 0, 0, 0, 0)); $t = 'hello';
$at = syscall(30, $m, 0, 0);
if ($write) { msgsnd($q, pack('q a5', 1, 'hello'), 0); syscall(242, $p, $t, 5, 0, 0) == 0 or die $! }
else { msgrcv($q, $x, 40, 0, 2048); syscall(243, $p, $x, 64, 0, 0); }
syscall(67, $at) == 0 or die $!;
unless ($write) { shmctl($m, 0, 0); msgctl($q, 0, 0); syscall(241, $n); }
"#;

/// Names of segment and queues in the rows of one process: namespace, id and file of the segment, namespace and id of the
/// System V queue, file of the POSIX queue.
type Names = ((i64, i64, File), (i64, i64), File);

fn end(kernel: &mut Kernel, way: &str, before: &str) -> anyhow::Result<Names> {
    let (pid, output) = perl(&format!("{before} {ENDS}"), Path::new(way))?;
    kernel.drain();
    let all = acts(kernel, pid, Kind::Ipc)?;
    let of =
        |call: &str| all.iter().find(|act| act.call == call).with_context(|| format!("no {call}: {all:?}"));
    let (memory, queue) = (of("shmat")?, of(if way == "write" { "msgsnd" } else { "msgrcv" })?);
    let posix = of(if way == "write" { "mq_timedsend" } else { "mq_timedreceive" })?;
    let key = |act: &Act| Some((number(act, "ipc_ns")?, number(act, "ipc_id")?));
    let (Some((ns, id)), Some(queue_key)) = (key(memory), key(queue)) else { anyhow::bail!("{all:?}") };
    ensure!(ns == output.parse::<i64>()? && queue_key.0 == ns, "{all:?} not in {output}");
    let keys = [memory, queue].map(|act| number(act, "ipc_key"));
    ensure!(keys == [Some(0x6475_6574); 2] && number(memory, "size") == Some(4096), "{all:?}");
    ensure!(number(of("shmdt")?, "address") == number(memory, "address"), "{all:?}");
    let (file, of_queue) = (memory.file.context("no file")?, posix.file.context("no file")?);
    Ok(((ns, id, file), queue_key, of_queue))
}

/// A segment and a queue have the same key for writer and reader, and another one in another namespace.
fn shared() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let apart = "syscall(272, 0x08000000) == 0 or die $!;";
    let writer = end(&mut kernel, "write", "")?;
    let other = end(&mut kernel, "write", apart)?;
    let reader = end(&mut kernel, "read", "")?;
    let same = |a: &File, b: &File| (a.dev, a.ino, a.generation) == (b.dev, b.ino, b.generation);
    ensure!(
        (writer.0.0, writer.0.1, writer.1) == (reader.0.0, reader.0.1, reader.1),
        "{writer:?} {reader:?}"
    );
    ensure!(same(&writer.0.2, &reader.0.2) && same(&writer.2, &reader.2), "{writer:?} {reader:?}");
    ensure!(writer.0.0 != other.0.0 && !same(&writer.0.2, &other.0.2), "{writer:?} {other:?}");
    ensure!(!same(&writer.2, &other.2), "{writer:?} {other:?}");
    Ok(())
}

/// Opens as shm_open() does, and maps.
const POSIX: &str = "
use Fcntl; sysopen(F, '/dev/shm/duetector-posix', O_RDWR | O_CREAT | O_NOFOLLOW | 0x80000, 0600) or die $!;
truncate(F, 4096); $at = syscall(9, 0, 4096, 3, 1, fileno F, 0); $at > 0 or die $!;
";

fn posix() -> anyhow::Result<()> {
    ensure!(Path::new("/dev/shm").is_dir(), "no /dev/shm");
    let mut kernel = Kernel::start()?;
    let mut found = Vec::new();
    for after in ["", "unlink '/dev/shm/duetector-posix'"] {
        let (pid, _) = perl(&format!("{POSIX} {after}"), Path::new("/"))?;
        kernel.drain();
        let rows = usage::reported(&kernel, pid)?;
        let mapped = |row: &&model::Usage| {
            row.via == ["mmap"] && row.path.to_str().starts_with("/dev/shm/duetector-posix")
        };
        let row = rows.iter().find(mapped).with_context(|| format!("not mapped: {rows:?}"))?;
        ensure!(row.bytes == 4096, "{row:?}");
        let opened = kernel.of(pid, Kind::Open).into_iter().map(|bytes| decode(Kind::Open, &bytes));
        let opened: Vec<_> = opened.collect::<Result<_, _>>()?;
        let opened = opened.into_iter().find_map(|record| match record.details {
            Details::Open(open) if open.path.to_str() == "/dev/shm/duetector-posix" => open.file,
            _ => None,
        });
        found.push([row.file, opened]);
    }
    let names: Vec<_> = found
        .into_iter()
        .flatten()
        .map(|file| file.map(|file| (file.dev, file.ino, file.generation)))
        .collect();
    ensure!(names[0].is_some() && names.iter().all(|one| *one == names[0]), "{names:?}");
    Ok(())
}

/// Signals by a pidfd and by the process's folder in /proc, then by descriptors of other files, which the kernel refuses: a file,
/// a folder of /proc that is no process's, an eventfd and an epoll.
const TARGETS: &str = r#"
$p = syscall(434, $$ + 0, 0); opendir(D, "/proc/$$"); open(F, '<', '/dev/null'); opendir(S, '/proc/sys');
for ($p, fileno D, fileno F, fileno S, syscall(290, 0, 0), syscall(291, 0)) { syscall(424, $_, 0, 0, 0) }
"#;

fn targets() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let (pid, _) = perl(TARGETS, Path::new("/"))?;
    kernel.drain();
    let acts = acts(&kernel, pid, Kind::Kill)?;
    let found: Vec<_> = acts.iter().map(|act| (act.ret, number(act, "target_pid"))).collect();
    let refused = (-i64::from(libc::EBADF), None);
    ensure!(
        found == [(0, Some(pid.into())), (0, Some(pid.into())), refused, refused, refused, refused],
        "{found:?}"
    );
    Ok(())
}
