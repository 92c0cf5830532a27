//! io_uring: each operation of a table by system call and by request, 23 times successful, 23 times failing and
//! 23 times without permission. The records of the two ways differ only in `via`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use actors::clock;
use anyhow::{Context as _, ensure};
use bpf_programs::Tier;
use bpf_programs::testing::Kind;
use model::{Details, Dns, Identity, Record, SocketIds, Transfer};

use crate::ledger::flush_both_buffers;
use crate::support::{self, DEADLINE, Kernel, decode};
use crate::usage::{self, Sums};
use crate::{TIMES, Test};

pub const TESTS: &[Test] = &[
    ("uring_each_operation_is_recorded_like_its_call", || each("plain")),
    ("uring_workers_are_recorded_as_the_owner", || each("async")),
    ("uring_a_polling_thread_is_recorded_as_the_owner", || each("sqpoll")),
    ("uring_bytes_are_in_the_ledger", || ledger("plain")),
    ("uring_bytes_of_workers_are_the_owners", || ledger("async")),
    ("uring_bytes_of_a_polling_thread_are_the_owners", || ledger("sqpoll")),
    ("uring_bytes_of_fixed_files_are_in_the_ledger", || ledger("fixed")),
    ("uring_a_slot_is_a_file", slots),
    ("uring_a_request_with_another_users_rights", personal),
    ("uring_without_a_completion_is_recorded_like_the_call", || each("skip")),
    ("uring_workers_without_a_completion_are_recorded", || each("skip_async")),
    ("uring_a_polling_thread_without_completions_is_recorded", || each("skip_sqpoll")),
    ("uring_a_full_queue_hides_nothing", || each("full")),
    ("uring_files_need_no_completion", files),
    ("uring_bytes_without_a_completion_are_in_the_ledger", || ledger("skip")),
    ("uring_bytes_of_workers_without_a_completion_are_in_the_ledger", || ledger("skip_async")),
    ("uring_bytes_of_a_polling_thread_without_completions_are_in_the_ledger", || ledger("skip_sqpoll")),
    ("uring_a_full_queue_hides_no_bytes", || ledger("full")),
];

const PROGRAM: &str = include_str!("uring.py");

/// Exit status if the kernel is too old for an operation.
const UNKNOWN: i32 = 77;

type Case = (&'static str, Kind, i32, bool);

/// Operations of `uring.py`, with the errno of their failure, and whether they are also tried without
/// permission.
const CASES: &[Case] = &[
    ("openat", Kind::Open, libc::ENOENT, true),
    ("openat2", Kind::Open, libc::ENOENT, true),
    ("renameat2", Kind::Rename, libc::EINVAL, true),
    ("unlinkat", Kind::Unlink, libc::EISDIR, true),
    ("mkdirat", Kind::Mkdir, libc::EEXIST, true),
    ("symlinkat", Kind::Link, libc::EEXIST, true),
    ("linkat", Kind::Link, libc::ENOENT, true),
    ("fallocate", Kind::Truncate, libc::EINVAL, true),
    ("ftruncate", Kind::Truncate, libc::EBADF, true),
    ("fsetxattr", Kind::Attr, libc::EEXIST, true),
    ("setxattr", Kind::Attr, libc::ENOENT, true),
    ("connect", Kind::Connect, libc::ECONNREFUSED, true),
    ("accept4", Kind::Accept, libc::EINVAL, false),
    ("bind", Kind::Bind, libc::EADDRINUSE, true),
    ("listen", Kind::Bind, libc::EOPNOTSUPP, false),
    ("sendto", Kind::Udp, libc::EACCES, false),
    ("sendmsg", Kind::Udp, libc::EACCES, false),
    ("write", Kind::Udp, libc::ECONNREFUSED, false),
    ("writev", Kind::Udp, libc::ECONNREFUSED, false),
    ("recvfrom", Kind::Udp, libc::ECONNREFUSED, false),
    ("recvmsg", Kind::Udp, libc::ECONNREFUSED, false),
    ("read", Kind::Udp, libc::ECONNREFUSED, false),
    ("readv", Kind::Udp, libc::ECONNREFUSED, false),
    ("dns_sendto", Kind::Dns, libc::EACCES, false),
    ("dns_sendmsg", Kind::Dns, libc::EACCES, false),
];

/// The bytes that one request moves, by file and direction.
type Use = (&'static str, &'static [(&'static str, char, u64)]);

const USES: &[Use] = &[
    ("read", &[("held", 'r', 100)]),
    ("readv", &[("held", 'r', 12)]),
    ("read_fixed", &[("held", 'r', 50)]),
    ("write", &[("held", 'w', 9)]),
    ("writev", &[("held", 'w', 12)]),
    ("write_fixed", &[("other", 'w', 77)]),
    ("splice", &[("held", 'r', 50), ("other", 'w', 50), ("pipe", 'r', 50), ("pipe", 'w', 50)]),
    ("send", &[("socket", 'r', 33), ("socket", 'w', 33)]),
    ("sendmsg", &[("socket", 'r', 12), ("socket", 'w', 12)]),
    ("peek", &[("socket", 'r', 33), ("socket", 'w', 33)]),
    ("nothing", &[("held", 'r', 0)]),
    ("bad", &[]),
];

/// A running `uring.py`.
pub struct Python {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Python {
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        let mut python = Command::new("python3");
        python.args(["-B", "-c", PROGRAM]).arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn()?;
        let answers = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Self { child, answers })
    }

    /// Makes it begin a case that waits; returns its process.
    pub fn begin(&mut self, kernel: &mut Kernel, what: &str) -> anyhow::Result<u32> {
        let answer = self.ask(kernel, what)?;
        Ok(answer.strip_prefix("ready ").with_context(|| answer.clone())?.parse()?)
    }

    fn ask(&mut self, kernel: &mut Kernel, what: &str) -> anyhow::Result<String> {
        kernel.drain();
        let mut answer = String::new();
        writeln!(self.child.stdin.as_mut().context("no input")?, "{what}")?;
        self.answers.read_line(&mut answer)?;
        Ok(answer.trim().to_owned())
    }

    /// Makes it run a case; returns the process that ran it, or `None` if the kernel does not have the
    /// operation. Drains the rings first, so that earlier events leave room.
    pub fn run(&mut self, kernel: &mut Kernel, what: &str) -> anyhow::Result<Option<u32>> {
        let answer = self.ask(kernel, what)?;
        let (pid, code) = answer.trim().split_once(' ').with_context(|| format!("{what}: no answer"))?;
        let code: i32 = code.parse()?;
        ensure!(code == 0 || code == UNKNOWN, "{what} failed");
        Ok((code == 0).then_some(pid.parse()?))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // The process waits for input, or has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn each(mode: &str) -> anyhow::Result<()> {
    some(mode, CASES.iter())
}

/// Files that are opened, and names that are changed, without a completion, however the request was submitted.
fn files() -> anyhow::Result<()> {
    const KINDS: [Kind; 5] = [Kind::Open, Kind::Rename, Kind::Unlink, Kind::Mkdir, Kind::Link];
    for mode in ["skip", "skip_async", "skip_sqpoll", "full"] {
        some(mode, CASES.iter().filter(|case| KINDS.contains(&case.1))).context(mode)?;
    }
    Ok(())
}

fn some<'a>(mode: &str, cases: impl Iterator<Item = &'a Case>) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("held"), "held")?;
    let (mut kernel, mut python) = (Kernel::start()?, Python::start(folder.path())?);
    for (case, kind, errno, denied) in cases {
        let Some(pid) = python.run(&mut kernel, &format!("{case} {mode}"))? else { continue };
        kernel.drain();
        let variants = if *denied { 3 } else { 2 };
        let mut reported = reported(&kernel, pid, *kind, case)?;
        let (wanted, end) = (2 * variants * TIMES, clock::now() + DEADLINE);
        // The end of a polling thread's request is seen when the thread has more work; else the sweep finds it.
        while mode == "skip_sqpoll" && reported.len() < wanted && clock::now() < end {
            kernel.set(|settings| settings.end_within_ms = 1)?;
            kernel.sweep_requests()?;
            kernel.drain();
            reported = self::reported(&kernel, pid, *kind, case)?;
        }
        // Records from the preparation of sockets come first.
        if *kind == Kind::Bind {
            reported = reported.split_off(reported.len().saturating_sub(2 * variants * TIMES));
        }
        check(reported, *errno, variants).context(*case)?;
    }
    Ok(())
}

fn ledger(mode: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut kernel, mut python) = (Kernel::start()?, Python::start(folder.path())?);
    for (name, expected) in USES {
        usage::fill(folder.path())?;
        let pid = python.run(&mut kernel, &format!("use {name} {mode}"))?.context("unknown operation")?;
        // No close of a descriptor flushes what a ring did: the sweep does.
        flush_both_buffers(&mut kernel)?;
        let mut reported = usage::reported(&kernel, pid)?;
        // Without the files that Python reads at its start.
        reported.retain(|usage| usage.via.contains(&"io_uring"));
        let found = usage::sums(&reported);
        let times = TIMES as u64;
        let wanted: Sums = expected
            .iter()
            .map(|(file, way, bytes)| (((*file).to_owned(), *way), (bytes * times, times, vec!["io_uring"])))
            .collect();
        ensure!(found == wanted, "{name}: {found:?} is not {wanted:?}");
    }
    Ok(())
}

/// A file that has a slot in the ring's table and no descriptor.
fn slots() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("held");
    std::fs::write(&path, "held")?;
    let ino = std::fs::metadata(&path)?.ino();
    let (mut kernel, mut python) = (Kernel::start()?, Python::start(folder.path())?);
    let pid = python.run(&mut kernel, "slots")?.context("no slots")?;
    kernel.drain();
    let is_it = |record: &Record| {
        let (file, name) = match &record.details {
            Details::Open(open) => (open.file.as_ref(), &open.path),
            Details::Fs(fs) => (fs.file.as_ref(), &fs.path),
            _ => return false,
        };
        name.as_bytes() == path.as_os_str().as_bytes() && file.is_some_and(|file| file.ino == ino)
    };
    let opens = reported(&kernel, pid, Kind::Open, "slots")?;
    let allocations = reported(&kernel, pid, Kind::Truncate, "fallocate")?;
    ensure!((opens.len(), allocations.len()) == (TIMES, TIMES), "{opens:?} {allocations:?}");
    for record in opens.iter().chain(&allocations) {
        ensure!(is_it(record) && record.details.ret() == Some(0), "{record:#?}");
    }
    Ok(())
}

/// A request with the rights of another user has the ids of its process, as docs/COVERAGE.md says.
fn personal() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("held"), "held")?;
    let (mut kernel, mut python) = (Kernel::start()?, Python::start(folder.path())?);
    let pid = python.run(&mut kernel, "personal")?.context("no personality")?;
    kernel.drain();
    let mut opens = reported(&kernel, pid, Kind::Open, "slots")?;
    opens.retain(|record| record.details.fname().is_some_and(|name| name.to_str().ends_with("/personal")));
    let [open] = &opens[..] else { anyhow::bail!("{opens:#?}") };
    let uid = open.identity.as_ref().context("no identity")?.uid;
    ensure!(uid == 0 || support::tier() == Tier::Function, "the line of docs/COVERAGE.md is old: {uid}");
    Ok(())
}

/// Returns the records of one case's calls.
fn reported(kernel: &Kernel, pid: u32, kind: Kind, case: &str) -> anyhow::Result<Vec<Record>> {
    let mut found = Vec::new();
    for bytes in kernel.of(pid, kind) {
        let record = decode(kind, &bytes)?;
        let wanted = match &record.details {
            Details::Open(open) => match case {
                "openat" => open.mode == 0o640,
                "slots" => record.identity.as_ref().is_some_and(|identity| identity.uring),
                _ => {
                    open.mode == 0
                        && open.flags == 0
                        && ["held", "nothing"].contains(&&*open.path_asked.to_str())
                        || open.mode == 0o640
                }
            },
            Details::Fs(fs) => fs.call == case,
            // Preparing datagrams have three bytes.
            Details::Socket(socket) if kind == Kind::Udp => {
                socket.traffic.is_none()
                    && socket.call == Some(case)
                    && (socket.direction == Some(Transfer::Received) || socket.ret != Some(3))
            }
            Details::Dns(dns) => case.strip_prefix("dns_") == Some(dns.call) && asks(dns),
            Details::Socket(socket) => socket.call.is_none_or(|call| call == case),
            _ => false,
        };
        if wanted {
            found.push(record);
        }
    }
    Ok(found)
}

/// True if the name is complete, although it was sent in pieces.
fn asks(dns: &Dns) -> bool {
    dns.message.as_ref().is_some_and(|message| message.name == "a.one" && !message.incomplete)
}

/// Returns what a call was, without the identity of its socket, or of its file known by a path: another one each time.
fn apart(details: &Details) -> Details {
    let mut details = details.clone();
    match &mut details {
        Details::Socket(socket) => socket.ids = SocketIds::default(),
        Details::Dns(dns) => dns.ids = SocketIds::default(),
        Details::Fs(fs) if fs.path_asked.is_some() => (fs.file, fs.replaced) = (None, None),
        _ => {}
    }
    details
}

/// Compares calls and requests: those that succeed, that fail, and that lack permission.
fn check(reported: Vec<Record>, errno: i32, variants: usize) -> anyhow::Result<()> {
    ensure!(reported.len() == 2 * variants * TIMES, "{} records: {reported:#?}", reported.len());
    let (mut requests, mut calls): (Vec<_>, Vec<_>) =
        reported.into_iter().partition(|record| record.identity.as_ref().is_some_and(|who| who.uring));
    // The end of a polling thread's request may be found after that of the next one, which failed.
    let variant = |record: &Record| {
        let uid = record.identity.as_ref().map_or(0, |identity| identity.uid);
        (uid, record.details.ret().is_some_and(|ret| ret < 0))
    };
    calls.sort_by_key(variant);
    requests.sort_by_key(variant);
    ensure!(requests.len() == calls.len(), "not recorded as io_uring's: {requests:#?} {calls:#?}");
    for (at, (call, request)) in calls.iter().zip(&requests).enumerate() {
        let mut identity = request.identity.clone().context("identity")?;
        ensure!(std::mem::take(&mut identity.uring), "not recorded as io_uring's: {request:#?}");
        // The kernel keeps copies of a request's texts, but of those of calls only for tier function.
        identity.unverified = false;
        let of_call = call.identity.clone().map(|identity| Identity { unverified: false, ..identity });
        ensure!(Some(identity) == of_call, "{request:#?} is not {call:#?}");
        ensure!(apart(&request.details) == apart(&call.details), "{request:#?} is not {call:#?}");
        let ret = call.details.ret().context("result")?;
        let (wanted, user) = match at / TIMES {
            0 => (ret >= 0, 0),
            1 => (ret == -i64::from(errno), 0),
            _ => ([-1, -13].contains(&ret), 9999),
        };
        ensure!(wanted, "{call:#?}");
        ensure!(call.identity.as_ref().is_some_and(|who| who.uid == user), "{call:#?}");
    }
    Ok(())
}
