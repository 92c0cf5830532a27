//! Calls that do not send or receive exactly one datagram: pieces that the kernel cuts or puts together, datagrams that several
//! calls make.

use std::net::UdpSocket;
use std::process::{Command, Stdio};

use actors::clock;
use anyhow::{Context as _, ensure};
use bpf_programs::testing::Kind;
use model::{Details, Ends, Socket};

use crate::Test;
use crate::support::{DEADLINE, Kernel, decode};

pub const TESTS: &[Test] = &[("udp_counts_datagrams_and_not_calls", counts)];

const PROGRAM: &str = include_str!("segments.py");

/// Returns the sums of the process's flows, once there are `count`: calls of this process sweep for ended flows.
pub fn sums(kernel: &mut Kernel, pid: u32, count: usize) -> anyhow::Result<Vec<Socket>> {
    kernel.set(|settings| settings.flow_idle_ms = 1)?;
    let poke = UdpSocket::bind("127.0.0.1:0")?;
    let end = clock::now() + DEADLINE;
    loop {
        poke.send_to(b"x", poke.local_addr()?)?;
        kernel.drain();
        let mut sums = Vec::new();
        for bytes in kernel.of(pid, Kind::Udp) {
            match decode(Kind::Udp, &bytes)?.details {
                Details::Socket(flow) if flow.traffic.is_some() => sums.push(*flow),
                _ => {}
            }
        }
        if sums.len() >= count {
            ensure!(sums.len() == count, "{} flows, not {count}: {sums:#?}", sums.len());
            return Ok(sums);
        }
        ensure!(clock::now() < end, "{} flows, not {count}: {sums:#?}", sums.len());
    }
}

fn counts() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    kernel.set(|settings| settings.flow_idle_ms = u32::MAX)?;
    let mut python = Command::new("/usr/bin/python3");
    let python = python.args(["-B", "-I", "-S", "-c", PROGRAM]).stdout(Stdio::piped()).spawn()?;
    let pid = python.id();
    let output = python.wait_with_output()?;
    ensure!(output.status.success(), "the program failed");
    let output = String::from_utf8(output.stdout)?;
    let sums = sums(&mut kernel, pid, output.lines().count())?;
    for line in output.lines() {
        let [own, other, direction, count, bytes] = line.split(' ').collect::<Vec<_>>()[..] else {
            anyhow::bail!("{line}")
        };
        let (own, other): (u16, u16) = (own.parse()?, other.parse()?);
        let (count, bytes): (u64, u64) = (count.parse()?, bytes.parse()?);
        let is_it = |flow: &&Socket| matches!(flow.ends, Ends::Inet { local, remote: Some(remote), .. } if (local.1, remote.1) == (own, other));
        let flow = sums.iter().find(is_it).with_context(|| format!("no flow {line}: {sums:#?}"))?;
        let traffic = flow.traffic.context("no sums")?;
        let expected = match direction {
            "s" => (bytes, 0, Some((count, 0))),
            _ => (0, bytes, Some((0, count))),
        };
        let found = (traffic.bytes_sent, traffic.bytes_received, traffic.datagrams);
        ensure!(found == expected, "{line}: {found:?}");
    }
    Ok(())
}
