//! Bytes and sockets in 32-bit programs: each number of each call, 23 times, successful and failing, recorded
//! like a 64-bit program's call.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, ensure};
use bpf_programs::testing::{self, Compat, Kind};
use model::{Details, Ends, Record, Socket, Transfer};

use crate::support::{Kernel, decode, tracer};
use crate::usage::{self, Sums};
use crate::{TIMES, Test, compat};

pub const TESTS: &[Test] = if cfg!(target_arch = "x86_64") {
    &[
        ("usage_each_way_of_32_bit_programs", bytes),
        ("usage_no_way_of_32_bit_programs_is_forgotten", complete),
        ("accept_by_a_32_bit_program", accepts),
        ("bind_and_listen_by_a_32_bit_program", binds),
        ("udp_by_a_32_bit_program", datagrams),
    ]
} else {
    &[]
};

/// Perl code of the calls, and their effect each time: file, direction, bytes, call.
type Case = (&'static str, &'static [(&'static str, char, u64, &'static str)]);

/// Buffers in the 32-bit program's memory, and a page there that stays unchanged.
const PRELUDE: &str = r#"
$iov = ['yyyyyyy', 7, 'zzzzz', 5]; @msg = (0, 0, $iov, 2, 0, 0, 0); @many = (@msg, 0, @msg, 0, @msg, 0);
sub memory { open(my $h, '+<', "/proc/$pid32/mem") or die; binmode $h; sysseek($h, $_[0], 0); $h }
sub poke { my $h = memory($_[0]); syswrite($h, $_[1]) == length $_[1] or die }
sub peek { my $h = memory($_[0]); sysread($h, my $v, 4); unpack('L', $v) }
sub aio { my ($op, $get) = @_;
    $m ||= call32(192, 0, 4096, 3, 0x22, -1, 0) & 0xffffffff; poke($m, pack('L', 0)); call32(245, 4, $m);
    my $c = peek($m); poke($m + 8, pack('L', $m + 64));
    poke($m + 64, pack('QLlSsLQQqQLL', 0, 0, 0, $op, 0, $f, $m + 512, 10, 0, 0, 0, 0));
    call32(248, $c, 1, $m + 8) == 1 or die; call32($get, $c, 1, 2, $m + 256, 0) == 1 or die; call32(246, $c) }
"#;

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("sysseek(F, 0, 0); call32(3, $f, 'x' x 100, 100)", &[("held", 'r', 100, "read")]),
    ("sysseek(F, 0, 0); call32(4, $f, 'x' x 9, 9)", &[("held", 'w', 9, "write")]),
    ("call32(180, wide(3, $f, 'x' x 100, 100, 950))", &[("held", 'r', 50, "pread")]),
    ("call32(181, wide(3, $f, 'x' x 9, 9, 9))", &[("held", 'w', 9, "pwrite")]),
    ("sysseek(F, 0, 0); call32(145, $f, $iov, 2)", &[("held", 'r', 12, "readv")]),
    ("sysseek(F, 0, 0); call32(146, $f, $iov, 2)", &[("held", 'w', 12, "writev")]),
    ("call32(333, wide(3, $f, $iov, 2, 3))", &[("held", 'r', 12, "preadv")]),
    ("call32(334, wide(3, $f, $iov, 2, 3))", &[("held", 'w', 12, "pwritev")]),
    ("call32(378, wide(3, $f, $iov, 1, 3), 0)", &[("held", 'r', 7, "preadv2")]),
    ("call32(379, wide(3, $f, $iov, 1, 3), 0)", &[("held", 'w', 7, "pwritev2")]),
    ("sysseek(G, 0, 0); call32(187, $g, $f, [10], 30)", &[("held", 'r', 30, "sendfile"), ("other", 'w', 30, "sendfile")]),
    ("sysseek(G, 0, 0); call32(239, $g, $f, [10, 0], 30)", &[("held", 'r', 30, "sendfile"), ("other", 'w', 30, "sendfile")]),
    ("call32(377, $f, [0, 0], $g, [0, 0], 77, 0)", &[("held", 'r', 77, "copy_file_range"), ("other", 'w', 77, "copy_file_range")]),
    ("call32(313, $f, [0, 0], $::w, 0, 50, 0); call32(313, $::r, 0, $g, [0, 0], 50, 0)",
        &[("held", 'r', 50, "splice"), ("other", 'w', 50, "splice"), ("pipe", 'r', 50, "splice"), ("pipe", 'w', 50, "splice")]),
    ("syswrite(W, 'abcd'); call32(315, $::r, $v, 4, 0); sysread(R, $x, 4); sysread(S, $x, 4)", &[("pipe", 'r', 4, "tee"), ("pipe", 'w', 4, "tee")]),
    ("call32(316, $::w, $iov, 2, 0); sysread(R, $x, 12)", &[("pipe", 'w', 12, "vmsplice")]),
    ("call32(369, $a, 'x' x 33, 33, 0, 0, 0); call32(371, $b, 'x' x 99, 99, 0, 0, 0)", &[("socket", 'r', 33, "recvfrom"), ("socket", 'w', 33, "sendto")]),
    ("socketcall(11, $a, 'x' x 33, 33, 0, 0, 0); socketcall(12, $b, 'x' x 99, 99, 0, 0, 0)", &[("socket", 'r', 33, "recvfrom"), ("socket", 'w', 33, "sendto")]),
    ("socketcall(9, $a, 'x' x 33, 33, 0); socketcall(10, $b, 'x' x 99, 99, 0)", &[("socket", 'r', 33, "recvfrom"), ("socket", 'w', 33, "sendto")]),
    ("call32(370, $a, [@msg], 0); call32(372, $b, [@msg], 0)", &[("socket", 'r', 12, "recvmsg"), ("socket", 'w', 12, "sendmsg")]),
    ("socketcall(16, $a, [@msg], 0); socketcall(17, $b, [@msg], 0)", &[("socket", 'r', 12, "recvmsg"), ("socket", 'w', 12, "sendmsg")]),
    ("call32(345, $a, [@many], 3, 0); call32(337, $b, [@many], 3, 0, 0)", &[("socket", 'r', 36, "recvmmsg"), ("socket", 'w', 36, "sendmmsg")]),
    ("socketcall(20, $a, [@many], 3, 0); call32(417, $b, [@many], 3, 0, 0)", &[("socket", 'r', 36, "recvmmsg"), ("socket", 'w', 36, "sendmmsg")]),
    ("call32(345, $a, [@many], 3, 0); socketcall(19, $b, [@many], 3, 0, 0)", &[("socket", 'r', 36, "recvmmsg"), ("socket", 'w', 36, "sendmmsg")]),
    ("aio(0, 247)", &[("held", 'r', 10, "aio")]),
    ("aio(1, 385)", &[("held", 'w', 10, "aio")]),
    ("aio(0, 416)", &[("held", 'r', 10, "aio")]),
    ("$m = call32(192, 0, 300, 1, 2, $f, 1); call32(91, $m, 300)", &[("held", 'm', 300, "mmap")]),
    ("$m = call32(90, [0, 300, 1, 2, $f, 4096]); call32(91, $m, 300)", &[("held", 'm', 300, "mmap")]),
    // Calls that fail move nothing: ioctl is FICLONE.
    ("call32(54, $f, 0x40049409, 999); call32(3, -1, 'x' x 9, 9); call32(4, 999, 'x' x 9, 9); call32(377, -1, [0, 0], $g, [0, 0], 77, 0); socketcall(9, $f, 'x', 1, 0)", &[]),
];

fn bytes() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut kernel = Kernel::start()?;
    for (script, expected) in CASES {
        usage::fill(folder.path())?;
        let script_32 = format!("{PRELUDE} for (1..{TIMES}) {{ {script}; }}");
        let pid = compat::run(folder.path(), usage::PRELUDE, &script_32)?;
        kernel.drain();
        let mut reported = usage::reported(&kernel, pid)?;
        // The program's own reads and writes of messages.
        reported.retain(|usage| {
            let path = usage.path.to_str();
            !(path.starts_with("pipe:") && usage.via.iter().all(|via| ["read", "write"].contains(via)))
        });
        let found = usage::sums(&reported);
        let times = TIMES as u64;
        let wanted: Sums = expected
            .iter()
            .map(|(file, way, bytes, via)| (((*file).to_owned(), *way), (bytes * times, times, vec![*via])))
            .collect();
        ensure!(found == wanted, "{script}: {found:?} is not {wanted:?}");
        let in_memory = script.contains("call32(90,") || script.contains("socketcall(");
        let is_mixed = script.contains("socketcall(") && script.contains("call32(");
        for bytes in kernel.of(pid, Kind::Usage).iter().filter(|_| !is_mixed) {
            let Record { identity, details: Details::Usage(usage), .. } = decode(Kind::Usage, bytes)? else {
                continue;
            };
            let is_of_case = usage.via.iter().any(|via| expected.iter().any(|(_, _, _, of)| of == via));
            let unverified = identity.context("no identity")?.unverified;
            let has_lengths_in_memory =
                usage.via.iter().any(|via| ["sendmmsg", "recvmmsg", "aio"].contains(via));
            ensure!(!is_of_case || unverified == (in_memory || has_lengths_in_memory), "{script}: {usage:?}");
        }
    }
    Ok(())
}

/// Checks that every number of every call that moves bytes is in the table.
fn complete() -> anyhow::Result<()> {
    let words = CASES.iter().flat_map(|(script, _)| script.split(';')).map(str::trim);
    let words: Vec<&str> = words.map(|word| word.strip_prefix("$m = ").unwrap_or(word)).collect();
    let done = |compat: &Compat| {
        let start = match compat.socketcall {
            Some(asked) => format!("socketcall({asked},"),
            None => format!("call32({},", compat.number),
        };
        let aio = format!(", {})", compat.number);
        words.iter().any(|word| word.starts_with(&start) || word.starts_with("aio(") && word.ends_with(&aio))
    };
    let calls: BTreeSet<_> = testing::calls(tracer(Kind::Usage)?).into_iter().collect();
    for call in calls.into_iter().filter(|call| *call != "close") {
        let missing: Vec<_> =
            testing::compat(call).context(call)?.into_iter().filter(|one| !done(one)).collect();
        ensure!(missing.is_empty(), "{call}: {missing:?}");
    }
    Ok(())
}

/// Opens a listening socket, one that does not listen, one of UDP, and one that datagrams are sent to; prints
/// their ports.
const SOCKETS: &str = r#"
$^F = 1000;
sub at { pack('SnC4x8', 2, $_[0], 127, 0, 0, 1) } sub port { unpack('x2n', getsockname($_[0])) }
sub address { [2 | unpack('v', pack('n', $_[0])) << 16, 0x0100007f, 0, 0] }
socket(L, 2, 1, 0); bind(L, at(0)); listen(L, 64); $l = fileno L; $port = port(L);
socket(I, 2, 1, 0); bind(I, at(0)); $i = fileno I; socket(U, 2, 2, 0); bind(U, at(0)); $u = fileno U;
print "$port ", port(I), ' ', port(U), ' ';
"#;

/// Returns the records of one kind that a script makes, and the three ports.
fn reported(kind: Kind, script: &str) -> anyhow::Result<(Vec<Socket>, [u16; 3])> {
    let folder = tempfile::tempdir()?;
    let mut kernel = Kernel::start()?;
    let said = compat::output(folder.path(), SOCKETS, &format!("for (1..{TIMES}) {{ {script} }}"))?;
    let numbers: Vec<u32> = said.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let [a, b, c, pid] = numbers[..] else { anyhow::bail!("{said}") };
    kernel.drain();
    // The arguments are in memory, where they may have changed.
    let is_marked = script.contains("socketcall(");
    let mut found = Vec::new();
    for bytes in kernel.of(pid, kind) {
        let record = decode(kind, &bytes)?;
        ensure!(
            record.identity.is_some_and(|who| who.compat && (who.unverified || !is_marked)),
            "not of a 32-bit program, or not marked"
        );
        let Details::Socket(socket) = record.details else { anyhow::bail!("no socket") };
        found.push(*socket);
    }
    Ok((found, [a as u16, b as u16, c as u16]))
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Returns all ways to make a call, as the beginning of a call in Perl.
fn ways(call: &str) -> impl Iterator<Item = String> {
    testing::compat(call).into_iter().flatten().map(|one| match one.socketcall {
        Some(asked) => format!("socketcall({asked}, "),
        None => format!("call32({}, ", one.number),
    })
}

fn accepts() -> anyhow::Result<()> {
    for call in ["accept", "accept4"] {
        for way in ways(call) {
            let script = format!(
                "socket(C, 2, 1, 0); connect(C, at($port)); $s = {way} $l, 0, 0, 0); call32(6, $s); close C; {way} $i, 0, 0, 0);"
            );
            let (found, [listens, idle, _]) = reported(Kind::Accept, &script)?;
            ensure!(found.len() == 2 * TIMES, "{way}: {found:?}");
            for pair in found.chunks_exact(2) {
                let [good, bad] = pair else { anyhow::bail!("no pair") };
                let fields = |one: &Socket| (one.call, one.kind, one.protocol);
                ensure!(fields(good) == (Some(call), 1, 6) && fields(bad) == fields(good), "{way}: {pair:?}");
                ensure!(good.ret.is_some_and(|fd| fd > 2) && bad.ret == Some(-22), "{way}: {pair:?}");
                let Ends::Inet { local, remote: Some(remote), .. } = good.ends else {
                    anyhow::bail!("{good:?}")
                };
                ensure!(local == (HERE, listens) && remote.0 == HERE && remote.1 != 0, "{way}: {good:?}");
                ensure!(
                    bad.ends == Ends::Inet { is_v6: false, local: (HERE, idle), remote: None },
                    "{way}: {bad:?}"
                );
            }
        }
    }
    Ok(())
}

fn binds() -> anyhow::Result<()> {
    for (bind, listen) in ways("bind").zip(ways("listen")) {
        let script = format!(
            "$s = call32(359, 2, 1, 0); $t = call32(359, 2, 1, 0); {bind} $s, address(0), 16); {bind} $t, address($port), 16);
             {listen} $s, 7); {listen} $u, 7); call32(6, $s); call32(208, -1, 9999, -1); {bind} $t, address(1), 16);
             call32(208, -1, 0, -1); call32(6, $t);"
        );
        let (found, [taken, _, udp]) = reported(Kind::Bind, &script)?;
        ensure!(found.len() == 5 * TIMES, "{bind}: {found:?}");
        for calls in found.chunks_exact(5) {
            let results: Vec<_> = calls.iter().map(|one| (one.call, one.ret, one.backlog)).collect();
            let wanted = [
                (Some("bind"), Some(0), None),
                (Some("bind"), Some(-i64::from(libc::EADDRINUSE)), None),
                (Some("listen"), Some(0), Some(7)),
                (Some("listen"), Some(-i64::from(libc::EOPNOTSUPP)), Some(7)),
                // A port below 1024, which needs a capability.
                (Some("bind"), Some(-i64::from(libc::EACCES)), None),
            ];
            ensure!(results == wanted, "{bind}: {calls:?}");
            let ends = |port| Ends::Inet { is_v6: false, local: (HERE, port), remote: None };
            let Ends::Inet { local: (_, own), .. } = calls[0].ends else { anyhow::bail!("{calls:?}") };
            let found = calls.iter().map(|one| &one.ends).eq(&[
                ends(own),
                ends(taken),
                ends(own),
                ends(udp),
                ends(1),
            ]);
            ensure!(found && own != 0, "{bind}: {calls:?}");
        }
    }
    Ok(())
}

/// The first datagram of each of 23 flows, and as many failed ones to port 0.
fn datagrams() -> anyhow::Result<()> {
    let to = |port: &str| {
        [
            ("sendto", format!("call32(369, $s, 'hello', 5, 0, address({port}), 16)")),
            ("sendto", format!("socketcall(11, $s, 'hello', 5, 0, address({port}), 16)")),
            ("sendmsg", format!("call32(370, $s, [address({port}), 16, ['hello', 5], 1, 0, 0, 0], 0)")),
            ("sendmsg", format!("socketcall(16, $s, [address({port}), 16, ['hello', 5], 1, 0, 0, 0], 0)")),
            (
                "sendmmsg",
                format!("call32(345, $s, [address({port}), 16, ['hello', 5], 1, 0, 0, 0, 0], 1, 0)"),
            ),
            (
                "sendmmsg",
                format!("socketcall(20, $s, [address({port}), 16, ['hello', 5], 1, 0, 0, 0, 0], 1, 0)"),
            ),
        ]
    };
    for ((call, good), (_, bad)) in to("port(U)").into_iter().zip(to("0")) {
        let script = format!("$s = call32(359, 2, 2, 0); {good}; {bad}; call32(6, $s);");
        let (found, [_, _, port]) = reported(Kind::Udp, &script)?;
        let firsts: Vec<&Socket> = found.iter().filter(|one| one.traffic.is_none()).collect();
        ensure!(firsts.len() == 2 * TIMES, "{good}: {} {found:?}", firsts.len());
        for pair in firsts.chunks_exact(2) {
            let remotes = pair.iter().map(|one| match one.ends {
                Ends::Inet { remote, .. } => remote,
                Ends::Unix { .. } | Ends::Packet { .. } | Ends::Vsock { .. } => None,
            });
            ensure!(remotes.eq([Some((HERE, port)), Some((HERE, 0))]), "{good}: {pair:?}");
            let fields = |one: &Socket| (one.call, one.kind, one.direction);
            ensure!(
                pair.iter().all(|one| fields(one) == (Some(call), 2, Some(Transfer::Sent))),
                "{good}: {pair:?}"
            );
            ensure!(
                pair[0].ret == Some(5) || call == "sendmmsg" && pair[0].ret.is_some_and(|ret| ret > 0),
                "{good}: {pair:?}"
            );
            ensure!(pair[1].ret == Some(-i64::from(libc::EINVAL)), "{good}: {pair:?}");
        }
    }
    Ok(())
}
