//! Calls on a file system whose server leads each search for a name to another file (`served.py`): rows name the file that the server
//! was asked to change, and have the bytes that the calls returned.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Context as _, bail, ensure};
use bpf_programs::Tier;
use bpf_programs::testing::Kind;
use model::details::Direction;
use model::{Details, File, Record};

use crate::Test;
use crate::ledger::flush_both_buffers;
use crate::support::{self, DATA_RING, ENTRIES, Kernel, decode};

pub const TESTS: &[Test] = &[("served_names_that_lead_elsewhere", names), ("served_bytes", bytes)];

const PROGRAM: &str = include_str!("served.py");
/// Names that the program prints, and the kinds of the rows.
const KINDS: [(&str, Kind); 6] = [
    ("open", Kind::Open),
    ("attr", Kind::Attr),
    ("truncate", Kind::Truncate),
    ("rename", Kind::Rename),
    ("unlink", Kind::Unlink),
    ("mkdir", Kind::Mkdir),
];

/// The inode numbers of a row's file and of the file that was replaced, and whether the row says that they are not known.
#[derive(Debug)]
struct Row {
    ino: Option<u64>,
    replaced: Option<u64>,
    is_marked: bool,
}

fn names() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let wanted = |kind| KINDS.iter().any(|(_, one)| *one == kind);
    let mut kernel = Kernel::start_on(support::tier(), DATA_RING, ENTRIES, wanted)?;
    let (pid, output) = support::run_python(PROGRAM, &[folder.path().as_os_str(), "names".as_ref()])?;
    kernel.drain();
    let mut rows = BTreeMap::new();
    for (name, kind) in KINDS {
        rows.insert(name, of(&kernel, pid, kind)?);
    }
    ensure!(output.lines().count() == 6 * 7, "{output}");
    for line in output.lines() {
        let mut words = line.split(' ');
        let name = words.next().context("no name")?;
        let inos: Vec<u64> = words.map(str::parse).collect::<Result<_, _>>()?;
        let row =
            rows.get_mut(name).and_then(VecDeque::pop_front).with_context(|| format!("no row: {line}"))?;
        if name == "open" || support::tier() == Tier::Function {
            ensure!(
                (row.ino, row.replaced) == (inos.first().copied(), inos.get(1).copied()),
                "{line}: {row:?}"
            );
            ensure!(!row.is_marked, "{line}: {row:?}");
        } else {
            ensure!(row.is_marked && row.ino.is_none(), "{line}: {row:?}");
        }
    }
    ensure!(rows.values().all(VecDeque::is_empty), "more rows than requests: {rows:?}");
    Ok(())
}

/// Returns the rows of calls on the folder that is served.
fn of(kernel: &Kernel, pid: u32, kind: Kind) -> anyhow::Result<VecDeque<Row>> {
    let ino = |file: Option<&File>| file.map(|file| file.ino);
    let mut found = VecDeque::new();
    for bytes in kernel.of(pid, kind) {
        let Record { identity, details, .. } = decode(kind, &bytes)?;
        let is_marked = identity.context("no identity")?.unverified;
        match details {
            Details::Open(open) if open.path_asked.as_bytes() == b"dir/file" => found.push_back(Row {
                ino: ino(open.file.as_ref()),
                replaced: None,
                is_marked: is_marked || open.path_unresolved,
            }),
            Details::Fs(fs) => found.push_back(Row {
                ino: ino(fs.file.as_ref()),
                replaced: ino(fs.replaced.as_ref()),
                is_marked: is_marked || fs.path_unresolved,
            }),
            _ => {}
        }
    }
    Ok(found)
}

fn bytes() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut kernel = Kernel::start()?;
    let (pid, output) = support::run_python(PROGRAM, &[folder.path().as_os_str(), "bytes".as_ref()])?;
    // The end of the process flushes what its descriptors lead to then.
    flush_both_buffers(&mut kernel)?;
    let line = output.lines().last().context("no line")?;
    let words: Vec<u64> = line.split(' ').skip(1).map(str::parse).collect::<Result<_, _>>()?;
    let [ino, read, written, waited] = words[..] else { bail!("{line}") };
    // The bytes of the read that waited, by the file that the row names.
    let (mut sums, mut marked) = (BTreeMap::<_, u64>::new(), 0);
    for bytes in kernel.of(pid, Kind::Usage) {
        let Record { identity, details: Details::Usage(usage), .. } = decode(Kind::Usage, &bytes)? else {
            continue;
        };
        let is_served = usage.file.is_some_and(|file| file.ino == ino);
        if identity.context("no identity")?.unverified
            && usage.direction == Direction::Read
            && usage.bytes == waited
        {
            marked += 1;
        } else if is_served {
            *sums.entry(usage.direction == Direction::Read).or_default() += usage.bytes;
        }
    }
    let is_certain = support::tier() == Tier::Function;
    let expected = BTreeMap::from([(true, if is_certain { read + waited } else { read }), (false, written)]);
    ensure!(sums == expected && marked == u64::from(!is_certain), "{sums:?} and {marked}, not {expected:?}");
    Ok(())
}
