//! TCP connections that are not what `connect` returned: fast open, interrupted and raced calls. They are recorded from
//! the socket's state.

use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use bpf_programs::testing::Kind;
use model::{Details, Ends, Socket};

use crate::Test;
use crate::support::{Kernel, decode};

pub const TESTS: &[Test] = &[
    ("connect_by_fast_open", || each("fast_open")),
    ("connect_that_a_signal_interrupts", || each("interrupted")),
    ("connect_whose_descriptor_and_address_are_exchanged", || each("exchanged")),
    ("connect_that_fails_late_or_asks_for_the_outcome", || each("other_ends")),
];

const PROGRAM: &str = include_str!("attempts.py");

/// A connection: destination and source port (0: unknown), result, whether the caller waited.
type Attempt = (u16, u16, i64, bool);

/// Runs a case; compares all connections of its process, and the ends of those that succeeded.
fn each(case: &str) -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-B", "-I", "-S", "-c", PROGRAM, case]).stdout(Stdio::piped());
    let python = python.spawn()?;
    let pid = python.id();
    let output = python.wait_with_output()?;
    ensure!(output.status.success(), "{case} failed");
    let expected: anyhow::Result<Vec<_>> = String::from_utf8(output.stdout)?.lines().map(parse).collect();
    let expected = expected?;
    let established = expected.iter().filter(|attempt| attempt.2 == 0).count();
    let connects = sockets(Kind::Connect, kernel.wait_for(pid, Kind::Connect, expected.len())?)?;
    ensure!(connects.len() == expected.len(), "{expected:?} is not {connects:#?}");
    for (connect, attempt) in connects.iter().zip(&expected) {
        let (to, own, ret, waited) = *attempt;
        let Ends::Inet { local, remote: Some(remote), .. } = connect.ends else {
            anyhow::bail!("{connect:?}")
        };
        ensure!(remote == ([127, 0, 0, 1].into(), to), "{connect:?} is not {attempt:?}");
        ensure!(local.0 == remote.0 && (own == 0 || local.1 == own), "{connect:?} is not {attempt:?}");
        ensure!(
            (connect.ret, connect.nonblocking) == (Some(ret), Some(!waited)),
            "{connect:?} is not {attempt:?}"
        );
    }
    // The ends of accepted connections come between them.
    let mut wanted = established;
    let (ends, clients) = loop {
        let ends = sockets(Kind::Close, kernel.wait_for(pid, Kind::Close, wanted)?)?;
        let clients = ends.iter().filter(|close| close.accepted == Some(false)).count();
        if clients >= established {
            break (ends, clients);
        }
        wanted = ends.len() + 1;
    };
    ensure!(clients == established, "{clients} ends of {established}: {ends:#?}");
    Ok(())
}

fn sockets(kind: Kind, records: Vec<Vec<u8>>) -> anyhow::Result<Vec<Socket>> {
    let decoded = records.iter().map(|bytes| match decode(kind, bytes)?.details {
        Details::Socket(socket) => Ok(*socket),
        other => anyhow::bail!("{other:?}"),
    });
    decoded.collect()
}

fn parse(line: &str) -> anyhow::Result<Attempt> {
    let mut words = line.split(' ');
    let mut next = || words.next().with_context(|| line.to_owned());
    Ok((next()?.parse()?, next()?.parse()?, next()?.parse()?, next()?.parse()?))
}
