//! Datagrams, messages and connections of other sockets than those of TCP and UDP (`families.py`).

use std::process::{Command, Stdio};

use anyhow::{bail, ensure};
use bpf_programs::testing::Kind;
use serde_json::{Map, Value, json};

use crate::Test;
use crate::segments::sums;
use crate::support::{self, DATA_RING, ENTRIES, Kernel, Lacking, decode, fields};

pub const TESTS: &[Test] = &[
    ("socket_families_other_than_tcp_and_udp", || rows_of(&["inet", "unix", "packet", "connections"], "")),
    ("socket_families_vsock", || rows_of(&["vsock"], "vsock")),
    ("socket_families_vsock_connected", || rows_of(&["vsock_connected"], "vsock_loopback")),
    ("socket_families_sctp", || rows_of(&["sctp"], "SCTP")),
];

const PROGRAM: &str = include_str!("families.py");
/// The tracers whose rows are compared.
const KINDS: [(&str, Kind); 4] =
    [("udp", Kind::Udp), ("connect", Kind::Connect), ("accept", Kind::Accept), ("bind", Kind::Bind)];
/// Exit code of the program if the kernel has no sockets of the kind.
const LACKING: i32 = 77;

/// Runs functions of the program and compares the rows with what it prints. `module` is what some kernels lack for them.
fn rows_of(functions: &[&str], module: &'static str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    // These alone, which takes a guest less time.
    let wanted = |kind| KINDS.iter().any(|(_, one)| *one == kind);
    let mut kernel = Kernel::start_on(support::tier(), DATA_RING, ENTRIES, wanted)?;
    kernel.set(|settings| settings.flow_idle_ms = u32::MAX)?;
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-B", "-I", "-S", "-c", PROGRAM]).arg(folder.path()).args(functions).stdout(Stdio::piped());
    let python = python.spawn()?;
    let pid = python.id();
    let output = python.wait_with_output()?;
    if output.status.code() == Some(LACKING) {
        bail!(Lacking(module));
    }
    ensure!(output.status.success(), "the program failed");
    let output = String::from_utf8(output.stdout)?;
    let expected: Result<Vec<(String, Map<String, Value>)>, _> =
        output.lines().map(serde_json::from_str).collect();
    let expected = expected?;
    let flows = expected.iter().filter(|(tracer, _)| tracer == "udp").count();
    sums(&mut kernel, pid, flows)?;
    let mut rows = Vec::new();
    for (name, kind) in KINDS {
        for bytes in kernel.of(pid, kind) {
            let details = decode(kind, &bytes)?.details;
            let ret = details.ret();
            let mut fields = fields(kind, details)?;
            fields.insert("ret".to_owned(), json!(ret));
            rows.push((name, fields));
        }
    }
    for (tracer, wanted) in &expected {
        let (tracer, count) = tracer.strip_prefix('!').map_or((tracer.as_str(), 1), |tracer| (tracer, 0));
        let is_it = |row: &&(&str, Map<String, Value>)| {
            row.0 == tracer && wanted.iter().all(|(name, value)| row.1.get(name) == Some(value))
        };
        let found = rows.iter().filter(is_it).count();
        let of_tracer = || rows.iter().filter(|row| row.0 == tracer).collect::<Vec<_>>();
        ensure!(found == count, "{found} rows of {tracer} with {wanted:?} among {:#?}", of_tracer());
    }
    Ok(())
}
