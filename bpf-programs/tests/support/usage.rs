//! Tracer `usage`: every call that reads, writes or maps a file's bytes, 23 times each, counted to the byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use bpf_programs::testing::Kind;
use model::Details;
use model::details::{Direction, Usage};

use crate::support::{Kernel, decode};
use crate::{TIMES, Test};

pub const TESTS: &[Test] = &[("usage_each_way", each_way)];

/// Bytes, calls and names of calls, by file (the end of its name) and direction.
pub type Sums = BTreeMap<(String, char), (u64, u64, Vec<&'static str>)>;

/// A case: its name, Perl code of the calls, and their effect each time: file, direction, bytes, call.
type Case = (&'static str, &'static str, &'static [(&'static str, char, u64, &'static str)]);

pub const PRELUDE: &str = r#"
sub call { my $call = shift; my $n = syscall($call, @_); die "$call: $!" if $n < 0; $n }
$^F = 100;
chdir $ARGV[0]; open(F, '+<', 'held') or die; $f = fileno(F); open(G, '+<', 'other') or die; $g = fileno(G);
pipe(R, W); ($r, $w) = (fileno(R), fileno(W)); pipe(S, V); ($s, $v) = (fileno(S), fileno(V));
socketpair(A, B, 1, 2, 0) or die; ($a, $b) = (fileno(A), fileno(B));
$buf = 'x' x 4096; ($one, $two) = ('y' x 7, 'z' x 5); $iov = pack('PQPQ', $one, 7, $two, 5);
sub at { pack('q', $_[0]) }
sub aio {
    my $c = pack('Q', 0); call(IO_SETUP(), 4, $c); $c = unpack('Q', $c);
    my $cb = pack('QLlSsLPQqQLL', 0, 0, 0, $_[0], 0, $f, $buf, 10, 0, 0, 0, 0); my $e = "\0" x 64;
    call(IO_SUBMIT(), $c, 1, pack('P', $cb)); call(IO_GETEVENTS(), $c, 1, 2, $e, 0); call(IO_DESTROY(), $c);
}
sub message { pack('QQPQQQQ', 0, 0, $iov, 2, 0, 0, 0) }
"#;

/// Numbers of system calls, by their names in the scripts.
const NUMBERS: &[(&str, i64)] = &[
    ("COPY_FILE_RANGE", libc::SYS_copy_file_range),
    ("IO_DESTROY", libc::SYS_io_destroy),
    ("IO_GETEVENTS", libc::SYS_io_getevents),
    ("IO_SETUP", libc::SYS_io_setup),
    ("IO_SUBMIT", libc::SYS_io_submit),
    ("MMAP", libc::SYS_mmap),
    ("MUNMAP", libc::SYS_munmap),
    ("PREAD64", libc::SYS_pread64),
    ("PREADV", libc::SYS_preadv),
    ("PREADV2", libc::SYS_preadv2),
    ("PWRITE64", libc::SYS_pwrite64),
    ("PWRITEV", libc::SYS_pwritev),
    ("PWRITEV2", libc::SYS_pwritev2),
    ("READ", libc::SYS_read),
    ("READV", libc::SYS_readv),
    ("RECVFROM", libc::SYS_recvfrom),
    ("RECVMMSG", libc::SYS_recvmmsg),
    ("RECVMSG", libc::SYS_recvmsg),
    ("SENDFILE", libc::SYS_sendfile),
    ("SENDMMSG", libc::SYS_sendmmsg),
    ("SENDMSG", libc::SYS_sendmsg),
    ("SENDTO", libc::SYS_sendto),
    ("SPLICE", libc::SYS_splice),
    ("TEE", libc::SYS_tee),
    ("VMSPLICE", libc::SYS_vmsplice),
    ("WRITE", libc::SYS_write),
    ("WRITEV", libc::SYS_writev),
];

const CASES: &[Case] = &[
    ("read", "sysseek(F, 0, 0); call(READ, $f, $buf, 100)", &[("held", 'r', 100, "read")]),
    ("pread", "call(PREAD64, $f, $buf, 100, 950)", &[("held", 'r', 50, "pread")]),
    ("end", "call(PREAD64, $f, $buf, 100, 1000)", &[("held", 'r', 0, "pread")]),
    ("readv", "sysseek(F, 0, 0); call(READV, $f, $iov, 2)", &[("held", 'r', 12, "readv")]),
    ("preadv", "call(PREADV, $f, $iov, 2, 3, 0)", &[("held", 'r', 12, "preadv")]),
    ("preadv2", "call(PREADV2, $f, $iov, 1, 3, 0, 0)", &[("held", 'r', 7, "preadv2")]),
    ("write", "sysseek(F, 0, 0); call(WRITE, $f, $buf, 9)", &[("held", 'w', 9, "write")]),
    ("pwrite", "call(PWRITE64, $f, $buf, 9, 9)", &[("held", 'w', 9, "pwrite")]),
    ("writev", "sysseek(F, 0, 0); call(WRITEV, $f, $iov, 2)", &[("held", 'w', 12, "writev")]),
    ("pwritev", "call(PWRITEV, $f, $iov, 2, 3, 0)", &[("held", 'w', 12, "pwritev")]),
    ("pwritev2", "call(PWRITEV2, $f, $iov, 1, 3, 0, 0)", &[("held", 'w', 7, "pwritev2")]),
    (
        "sendfile",
        "sysseek(G, 0, 0); call(SENDFILE, $g, $f, at(10), 30)",
        &[("held", 'r', 30, "sendfile"), ("other", 'w', 30, "sendfile")],
    ),
    (
        "copy_file_range",
        "call(COPY_FILE_RANGE, $f, at(0), $g, at(0), 77, 0)",
        &[("held", 'r', 77, "copy_file_range"), ("other", 'w', 77, "copy_file_range")],
    ),
    (
        "splice",
        "call(SPLICE, $f, at(0), $w, 0, 50, 0); call(SPLICE, $r, 0, $g, at(0), 50, 0)",
        &[
            ("held", 'r', 50, "splice"),
            ("other", 'w', 50, "splice"),
            ("pipe", 'r', 50, "splice"),
            ("pipe", 'w', 50, "splice"),
        ],
    ),
    (
        "tee",
        "syswrite(W, 'abcd'); call(TEE, $r, $v, 4, 0); sysread(R, $x, 4); sysread(S, $x, 4)",
        &[("pipe", 'r', 12, "read tee"), ("pipe", 'w', 8, "tee write")],
    ),
    (
        "vmsplice",
        "call(VMSPLICE, $w, $iov, 2, 0); sysread(R, $x, 12)",
        &[("pipe", 'r', 12, "read"), ("pipe", 'w', 12, "vmsplice")],
    ),
    (
        "sendto",
        "call(SENDTO, $a, $buf, 33, 0, 0, 0); call(RECVFROM, $b, $buf, 100, 0, 0, 0)",
        &[("socket", 'r', 33, "recvfrom"), ("socket", 'w', 33, "sendto")],
    ),
    (
        "sendmsg",
        "call(SENDMSG, $a, message(), 0); call(RECVMSG, $b, message(), 0)",
        &[("socket", 'r', 12, "recvmsg"), ("socket", 'w', 12, "sendmsg")],
    ),
    (
        "sendmmsg",
        "$m = (message() . pack('Q', 0)) x 3; call(SENDMMSG, $a, $m, 3, 0);
                 $m = (message() . pack('Q', 0)) x 3; call(RECVMMSG, $b, $m, 3, 0, 0)",
        &[("socket", 'r', 36, "recvmmsg"), ("socket", 'w', 36, "sendmmsg")],
    ),
    (
        "peek",
        "call(SENDTO, $a, $buf, 33, 0, 0, 0); call(RECVFROM, $b, $buf, 100, 2, 0, 0); call(RECVMSG, $b, message(), 2);
                 $m = message() . pack('Q', 0); call(RECVMMSG, $b, $m, 1, 2, 0); call(RECVFROM, $b, $buf, 100, 0, 0, 0)",
        &[("socket", 'r', 33, "recvfrom"), ("socket", 'w', 33, "sendto")],
    ),
    (
        "longer_than_the_buffer",
        "call(SENDTO, $a, $buf, 33, 0, 0, 0); die unless call(RECVFROM, $b, $buf, 10, 0x20, 0, 0) == 33",
        &[("socket", 'r', 10, "recvfrom"), ("socket", 'w', 33, "sendto")],
    ),
    (
        "longer_than_the_buffers",
        "call(SENDTO, $a, $buf, 33, 0, 0, 0); die unless call(RECVMSG, $b, message(), 0x20) == 33",
        &[("socket", 'r', 12, "recvmsg"), ("socket", 'w', 33, "sendto")],
    ),
    (
        "what_was_not_delivered",
        "socket(X, 2, 2, 0) or die; bind(X, pack('SnC4x8', 2, 0, 127, 0, 0, 1)) or die; $to = getsockname(X); close(X);
                 socket(U, 2, 2, 0) or die; setsockopt(U, 0, 11, pack('i', 1)) or die; connect(U, $to) or die; $u = fileno(U);
                 call(SENDTO, $u, $buf, 3, 0, 0, 0); die unless call(RECVMSG, $u, message(), 0x2000) == 3",
        &[("socket", 'w', 3, "sendto")],
    ),
    ("aio_read", "aio(0)", &[("held", 'r', 10, "aio")]),
    ("aio_write", "aio(1)", &[("held", 'w', 10, "aio")]),
    ("mmap", "$m = call(MMAP, 0, 300, 1, 2, $f, 4096); call(MUNMAP, $m, 300)", &[("held", 'm', 300, "mmap")]),
];

fn each_way() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut kernel = Kernel::start()?;
    for (name, script, expected) in CASES {
        fill(folder.path())?;
        let pid = perl(&format!("for (1..{TIMES}) {{ {script}; }}"), folder.path())?;
        // At the process's end all is flushed; nothing of it is left in the ledger.
        kernel.drain();
        let reported = reported(&kernel, pid)?;
        let found = sums(&reported);
        let wanted: Sums = expected
            .iter()
            .map(|(file, direction, bytes, via)| {
                let calls =
                    if *direction == 'r' && *via == "read tee" { 3 } else { via.split(' ').count() as u64 };
                (
                    (file.to_string(), *direction),
                    (bytes * TIMES as u64, calls * TIMES as u64, via.split(' ').collect()),
                )
            })
            .collect();
        ensure!(found == wanted, "{name}: {found:?} is not {wanted:?}");
    }
    Ok(())
}

/// Writes the two files that the prelude opens.
pub fn fill(folder: &Path) -> anyhow::Result<()> {
    fs::write(folder.join("held"), "h".repeat(1000))?;
    Ok(fs::write(folder.join("other"), "o".repeat(1000))?)
}

/// Runs a script after the prelude; returns its process's id.
pub fn perl(script: &str, folder: &Path) -> anyhow::Result<u32> {
    let numbers: String =
        NUMBERS.iter().map(|(name, number)| format!("sub {name}() {{ {number} }} ")).collect();
    let mut perl =
        Command::new("perl").arg("-e").arg(format!("{numbers} {PRELUDE} {script}")).arg(folder).spawn()?;
    let pid = perl.id();
    ensure!(perl.wait()?.success(), "{script} failed");
    Ok(pid)
}

/// Returns the usage records of a process.
pub fn reported(kernel: &Kernel, pid: u32) -> anyhow::Result<Vec<Usage>> {
    let mut reported = Vec::new();
    for bytes in kernel.of(pid, Kind::Usage) {
        match decode(Kind::Usage, &bytes)?.details {
            Details::Usage(usage) => reported.push(*usage),
            other => anyhow::bail!("{other:?}"),
        }
    }
    Ok(reported)
}

/// Sums up rows, for the files that a test makes.
pub fn sums(reported: &[Usage]) -> Sums {
    let mut sums = Sums::new();
    for usage in reported {
        let path = usage.path.to_str();
        let name = match path.rsplit_once('/') {
            _ if path.starts_with("pipe:") => "pipe",
            _ if path.starts_with("socket:") => "socket",
            Some((_, name)) => name,
            None => &path,
        };
        if !["held", "other", "pipe", "socket"].contains(&name) {
            continue;
        }
        let direction = match usage.direction {
            Direction::Read => 'r',
            Direction::Written => 'w',
            Direction::Mapped(_) => 'm',
        };
        let sum = sums.entry((name.to_owned(), direction)).or_default();
        sum.0 += usage.bytes;
        sum.1 += usage.calls;
        sum.2.extend(&usage.via);
        sum.2.sort_unstable();
        sum.2.dedup();
    }
    sums
}
