//! Texts and addresses that another thread changes while the kernel waits for their second page (`paged.py`): each row names what the
//! kernel worked with, or is marked.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use bpf_programs::Tier;
use bpf_programs::testing::Kind;
use model::{Details, Ends, Record};

use crate::Test;
use crate::support::{self, DATA_RING, ENTRIES, Kernel, decode};

pub const TESTS: &[Test] = &[("paged_texts_and_addresses_that_change", change)];

const PROGRAM: &str = include_str!("paged.py");
const KINDS: [(&str, Kind); 7] = [
    ("open", Kind::Open),
    ("chmod", Kind::Attr),
    ("rename", Kind::Rename),
    ("unlink", Kind::Unlink),
    ("mkdir", Kind::Mkdir),
    ("connect", Kind::Connect),
    ("sendto", Kind::Udp),
];
/// The path as it is when the call ends.
const DECOY: &str = "two/";

/// A row: what it names, and whether it is marked as not certain.
#[derive(Debug)]
struct Row {
    named: Option<u64>,
    asked: String,
    is_marked: bool,
}

fn change() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let wanted = |kind| KINDS.iter().any(|(_, one)| *one == kind);
    let mut kernel = Kernel::start_on(support::tier(), DATA_RING, ENTRIES, wanted)?;
    let (pid, output) = support::run_python(PROGRAM, &[folder.path()])?;
    kernel.drain();
    let known: BTreeMap<&str, &str> = output.lines().filter_map(|line| line.split_once(' ')).collect();
    ensure!(known.len() == KINDS.len(), "{output}");
    for (name, kind) in KINDS {
        let number: u64 = known.get(name).context("no line")?.parse()?;
        let row = row(&kernel, pid, kind)?.with_context(|| format!("no row of {name}"))?;
        is_right(name, number, &row).with_context(|| format!("{name} {number}: {row:?}"))?;
    }
    Ok(())
}

fn is_right(name: &str, number: u64, row: &Row) -> anyhow::Result<()> {
    let is_function = support::tier() == Tier::Function;
    let is_named = row.named == Some(number);
    match name {
        // From the socket's state with all hooks.
        "connect" => ensure!(is_named && !row.is_marked, "the port"),
        "sendto" => ensure!(row.is_marked || is_named, "the port"),
        // Path and file are the kernel's own, but the requested text is the caller's: see docs/COVERAGE.md.
        "chmod" if is_function => ensure!(!row.is_marked, "a mark"),
        _ if is_function => ensure!(!row.is_marked && !row.asked.starts_with(DECOY), "the text"),
        _ => ensure!(row.is_marked && row.asked.starts_with(DECOY), "not marked"),
    }
    ensure!(is_named || (!is_function && name != "open"), "another file or port");
    Ok(())
}

/// Returns the last row of this kind, which is that of the call with two pages.
fn row(kernel: &Kernel, pid: u32, kind: Kind) -> anyhow::Result<Option<Row>> {
    let mut found = None;
    for bytes in kernel.of(pid, kind) {
        let Record { identity, details, .. } = decode(kind, &bytes)?;
        let is_marked = identity.context("no identity")?.unverified;
        found = Some(match details {
            Details::Open(open) => {
                let asked = open.path_asked.to_str().into_owned();
                if !asked.contains("//") {
                    continue;
                }
                Row { named: open.file.map(|file| file.ino), asked, is_marked }
            }
            Details::Fs(fs) => {
                let asked =
                    fs.path_asked.as_ref().map(|asked| asked.to_str().into_owned()).unwrap_or_default();
                if !asked.contains("//") {
                    continue;
                }
                Row { named: fs.file.map(|file| file.ino), asked, is_marked: is_marked || fs.path_unresolved }
            }
            Details::Socket(socket) => {
                let Ends::Inet { remote: Some(remote), .. } = socket.ends else { continue };
                Row { named: Some(remote.1.into()), asked: String::new(), is_marked }
            }
            _ => continue,
        });
    }
    Ok(found)
}
