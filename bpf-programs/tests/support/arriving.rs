//! Datagrams that are received while another thread puts another socket behind the descriptor, or another process changes the
//! address and the bytes in the caller's memory (`arriving.py`): with tier `function` the rows have what arrived.

use anyhow::{Context as _, ensure};
use bpf_programs::Tier;
use bpf_programs::testing::Kind;
use model::{Details, Ends, Record, Transfer};

use crate::Test;
use crate::support::{self, DATA_RING, ENTRIES, Kernel, decode};

pub const TESTS: &[Test] = &[("race_datagrams_that_arrive", changed)];

const PROGRAM: &str = concat!(include_str!("beside.py"), include_str!("arriving.py"));
/// Number of datagrams for each call, while the address changes.
const COUNT: &str = "100";
const KINDS: [Kind; 2] = [Kind::Udp, Kind::Dns];

/// A datagram, or the first of a flow, that was received: its socket, port of the other end, whether it is certain.
struct Received {
    ino: Option<u64>,
    port: Option<u16>,
    unverified: bool,
}

fn port(ends: &Ends) -> Option<u16> {
    let Ends::Inet { remote, .. } = ends else { return None };
    remote.map(|(_, port)| port)
}

fn changed() -> anyhow::Result<()> {
    let mut kernel = Kernel::start_on(support::tier(), DATA_RING, ENTRIES, |kind| KINDS.contains(&kind))?;
    kernel.set(|settings| settings.flow_idle_ms = u32::MAX)?;
    let (pid, output) = support::run_python(PROGRAM, &[COUNT])?;
    kernel.drain();
    let (mut flows, mut names) = (Vec::new(), Vec::new());
    for kind in KINDS {
        for bytes in kernel.of(pid, kind) {
            let Record { identity, details, .. } = decode(kind, &bytes)?;
            let unverified = identity.context("no identity")?.unverified;
            match details {
                Details::Socket(flow) if flow.direction == Some(Transfer::Received) => {
                    flows.push(Received { ino: flow.ids.ino, port: port(&flow.ends), unverified });
                }
                Details::Dns(dns) if dns.direction == Transfer::Received => {
                    ensure!(unverified != is_certain(), "{dns:?}");
                    names.push(dns.message.context("no message")?.name);
                }
                _ => {}
            }
        }
    }
    for line in output.lines() {
        check(line, &flows, &names)?;
    }
    ensure!(output.lines().count() == 10, "{output}");
    Ok(())
}

/// Returns whether rows have the kernel's own copies.
fn is_certain() -> bool {
    support::tier() == Tier::Function
}

fn check(line: &str, flows: &[Received], names: &[String]) -> anyhow::Result<()> {
    let [name, ino, port, count] = line.split(' ').collect::<Vec<_>>()[..] else { anyhow::bail!("{line}") };
    let (ino, port, count) = (ino.parse::<u64>()?, port.parse::<u16>()?, count.parse::<usize>()?);
    let of: Vec<_> = flows.iter().filter(|flow| flow.ino == Some(ino)).collect();
    if !is_certain() {
        let unverified = of.iter().all(|flow| flow.unverified);
        ensure!(unverified && (name == "moved" || !of.is_empty()), "{line}: not unverified");
        return Ok(());
    }
    ensure!(of.len() == 1, "{line}: {} flows", of.len());
    ensure!(of.iter().all(|flow| flow.port == Some(port) && !flow.unverified), "{line}: {:?}", of[0].port);
    if name == "answered" {
        let right = format!("{}.org", "a".repeat(30));
        ensure!(names.len() == count && names.iter().all(|name| *name == right), "{line}: {names:?}");
    }
    Ok(())
}
