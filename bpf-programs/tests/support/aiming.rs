//! Datagrams whose address, or whose bytes, another process changes while the call runs (`aiming.py`): with tier `function` the
//! rows have what was sent.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use bpf_programs::Tier;
use bpf_programs::testing::Kind;
use model::{Details, Ends, Record};

use crate::Test;
use crate::segments::sums;
use crate::support::{self, DATA_RING, ENTRIES, Kernel, decode};

pub const TESTS: &[Test] = &[("race_datagrams_whose_address_and_bytes_change", changed)];

const PROGRAM: &str = concat!(include_str!("beside.py"), include_str!("aiming.py"));
/// Number of datagrams that each receiver gets at least, and of questions for each name.
const COUNT: &str = "100";
const KINDS: [Kind; 2] = [Kind::Udp, Kind::Dns];

/// Port of the name server.
const DNS: u16 = 53;

fn changed() -> anyhow::Result<()> {
    let mut kernel = Kernel::start_on(support::tier(), DATA_RING, ENTRIES, |kind| KINDS.contains(&kind))?;
    kernel.set(|settings| settings.flow_idle_ms = u32::MAX)?;
    let (pid, output) = support::run_python(PROGRAM, &[COUNT])?;
    kernel.drain();
    let (mut arrived, mut asked) = (BTreeMap::new(), Vec::new());
    for line in output.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["to", port, count] => _ = arrived.insert(port.parse::<u16>()?, count.parse::<u64>()?),
            ["asked", name] => asked.push(format!("{name}.org")),
            _ => anyhow::bail!("{line}"),
        }
    }
    let mut names = Vec::new();
    for bytes in kernel.of(pid, Kind::Dns) {
        let Record { identity, details: Details::Dns(dns), .. } = decode(Kind::Dns, &bytes)? else {
            continue;
        };
        let unverified = identity.context("no identity")?.unverified;
        if port(&dns.ends) == Some(DNS) {
            ensure!(unverified != is_certain(), "{dns:?}");
            names.push(dns.message.context("no message")?.name);
        }
    }
    for bytes in kernel.of(pid, Kind::Udp) {
        let Record { identity, details: Details::Socket(flow), .. } = decode(Kind::Udp, &bytes)? else {
            continue;
        };
        let was_sent = flow.direction == Some(model::Transfer::Sent);
        ensure!(!was_sent || identity.context("no identity")?.unverified != is_certain(), "{flow:?}");
    }
    ensure!(names.len() == asked.len(), "{} questions, not {}", names.len(), asked.len());
    ensure!(!is_certain() || names == asked, "other names: {names:?}");
    let sent = flows(&mut kernel, pid, &arrived)?;
    ensure!(!is_certain() || sent == arrived, "{sent:?}, but {arrived:?} arrived");
    Ok(())
}

/// Returns whether rows have the kernel's own copies.
fn is_certain() -> bool {
    support::tier() == Tier::Function
}

/// Returns the number of datagrams that rows have, by receiver.
fn flows(kernel: &mut Kernel, pid: u32, to: &BTreeMap<u16, u64>) -> anyhow::Result<BTreeMap<u16, u64>> {
    let mut sent = BTreeMap::new();
    // One for each receiver, one to the name server, and three for what they have received.
    for flow in sums(kernel, pid, 6)? {
        let count = flow.traffic.and_then(|traffic| traffic.datagrams).context("no datagrams")?.0;
        if let Some(port) = port(&flow.ends).filter(|port| to.contains_key(port)) {
            sent.insert(port, count);
        }
    }
    Ok(sent)
}

/// Returns the port of the other end.
fn port(ends: &Ends) -> Option<u16> {
    let Ends::Inet { remote, .. } = ends else { return None };
    remote.map(|(_, port)| port)
}
