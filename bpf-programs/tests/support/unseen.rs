//! Operations that `docs/COVERAGE.md` lists as not seen, and that they leave no record: no line is out of date.

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use bpf_programs::Tier;
use bpf_programs::testing::Kind;
use model::{Details, Direction, Socket};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, connect, listen, socket,
};

use crate::Test;
use crate::connections::{inet, reported};
use crate::support::{self, DATA_RING, DEADLINE, ENTRIES, Kernel, decode};

pub const TESTS: &[Test] = &[
    ("what_is_listed_as_not_seen_leaves_no_record", nothing),
    ("connections_of_before_have_no_outcome_and_no_end", of_before),
    ("connect_that_began_before_has_no_outcome", outcome_of_before),
];

const PROGRAM: &str = include_str!("unseen.py");
/// Kinds of records that say that something was done; not those of exits, ends of connections and the ledger.
const KINDS: [Kind; 23] = [
    Kind::Open,
    Kind::Exec,
    Kind::Clone,
    Kind::Connect,
    Kind::Rename,
    Kind::Unlink,
    Kind::Link,
    Kind::Truncate,
    Kind::Attr,
    Kind::Mkdir,
    Kind::Mount,
    Kind::Ptrace,
    Kind::Bpf,
    Kind::Module,
    Kind::Memfd,
    Kind::Setuid,
    Kind::Kill,
    Kind::Namespace,
    Kind::Ipc,
    Kind::Accept,
    Kind::Bind,
    Kind::Udp,
    Kind::Dns,
];

fn nothing() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut kernel = Kernel::start()?;
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-B", "-I", "-S", "-c", PROGRAM]).arg(folder.path()).stdout(Stdio::piped());
    let output = python.spawn()?.wait_with_output()?;
    ensure!(output.status.success(), "the program failed");
    let output = String::from_utf8(output.stdout)?;
    let pids: Option<BTreeMap<&str, &str>> = output.lines().map(|line| line.split_once(' ')).collect();
    let pids = pids.context("a line without a pid")?;
    let pid = |name: &str| anyhow::Ok(pids.get(name).context("no such process")?.parse::<u32>()?);
    let (unseen, refused, cancelled) = (pid("unseen")?, pid("refused")?, pid("cancelled")?);
    for pid in [unseen, refused, cancelled] {
        kernel.wait_for(pid, Kind::Exit, 1)?;
    }
    kernel.drain();
    let counts = |pid: u32| -> BTreeMap<Kind, usize> {
        let counts = KINDS.iter().map(|kind| (*kind, kernel.of(pid, *kind).len()));
        counts.filter(|(_, count)| *count > 0).collect()
    };
    let only = |kinds: &[(Kind, usize)]| kinds.iter().copied().collect::<BTreeMap<_, _>>();
    let found = counts(unseen);
    ensure!(found.is_empty(), "{found:?}");
    for bytes in kernel.of(unseen, Kind::Usage) {
        let Details::Usage(usage) = decode(Kind::Usage, &bytes)?.details else { continue };
        ensure!(!matches!(usage.direction, Direction::Mapped(_)) && !usage.via.contains(&"aio"), "{usage:?}");
    }
    // The other kinds of hooks are at the ends of all calls.
    let expected = if support::tier() == Tier::Function { only(&[]) } else { only(&[(Kind::Unlink, 1)]) };
    ensure!(counts(refused) == expected, "{:?}", counts(refused));
    // It asks for its debugger, and stops itself.
    let expected = only(&[(Kind::Kill, 1), (Kind::Ptrace, 1)]);
    ensure!(counts(cancelled) == expected, "{:?}", counts(cancelled));
    Ok(())
}

fn of_before() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let accepted = listener.accept()?;
    let own = [client.local_addr()?, listener.local_addr()?];
    let before = [inet(own[0], Some(own[1])), inet(own[1], Some(own[0]))];
    // Not the object that the tests share: it may be attached already.
    let mut kernel = Kernel::start_on(support::tier(), DATA_RING, ENTRIES, |kind| kind == Kind::Close)?;
    drop((client, accepted));
    // A later connection, whose ends come after those. Other tests of this process end connections, too.
    let client = TcpStream::connect(listener.local_addr()?)?;
    let own = [client.local_addr()?, listener.local_addr()?];
    drop(client);
    drop(listener.accept()?);
    let later = [inet(own[0], Some(own[1])), inet(own[1], Some(own[0]))];
    let mut closed: Vec<Socket> = Vec::new();
    while !later.iter().all(|ends| closed.iter().any(|one| one.ends == *ends)) {
        kernel.wait_for(std::process::id(), Kind::Close, closed.len() + 1)?;
        closed = reported(&mut kernel, Kind::Close)?;
    }
    ensure!(closed.iter().all(|one| !before.contains(&one.ends)), "{closed:?}");
    Ok(())
}

/// A connection whose listener has no room begins before the programs are loaded, and is made afterwards.
fn outcome_of_before() -> anyhow::Result<()> {
    let full = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None)?;
    bind(full.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0))?;
    listen(&full, Backlog::new(0)?)?;
    let listener = TcpListener::from(full);
    let address = listener.local_addr()?;
    let first = TcpStream::connect(address)?;
    let late = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_NONBLOCK, None)?;
    let begun = connect(late.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, address.port()));
    ensure!(begun == Err(Errno::EINPROGRESS), "{begun:?}");
    let mut kernel = Kernel::start_on(support::tier(), DATA_RING, ENTRIES, |kind| kind == Kind::Connect)?;
    drop((listener.accept()?, first));
    // The kernel asks again after 1, 3, 7, 15 and 31 seconds.
    let timeout = PollTimeout::try_from(6 * DEADLINE)?;
    ensure!(poll(&mut [PollFd::new(late.as_fd(), PollFlags::POLLOUT)], timeout)? == 1, "no connection");
    let late = TcpStream::from(late);
    ensure!(late.take_error()?.is_none() && late.peer_addr()? == address, "no connection");
    drop(listener.accept()?);
    let later = TcpStream::connect(address)?;
    kernel.wait_for(std::process::id(), Kind::Connect, 1)?;
    let ends: Vec<_> = reported(&mut kernel, Kind::Connect)?.into_iter().map(|one| one.ends).collect();
    ensure!(ends.contains(&inet(later.local_addr()?, Some(address))), "{ends:?}");
    ensure!(!ends.contains(&inet(late.local_addr()?, Some(address))), "{ends:?}");
    Ok(())
}
