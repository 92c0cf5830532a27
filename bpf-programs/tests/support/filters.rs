//! Rules of filters, with one test for each kind: matching events are counted as filtered and not sent, all
//! others are sent.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, ensure};
use aya::maps::lpm_trie::Key;
use bpf_programs::testing::{CgroupKey, Header, Kind, ProcessKey, RuleField, RuleTest, Tree};

use crate::support::{Kernel, Shared, decode};
use crate::{TIMES, Test};

pub const TESTS: &[Test] = &[
    ("filters_by_number", by_number),
    ("filters_by_command", by_command),
    ("filters_by_result", by_result),
    ("filters_by_path", by_path),
    ("filters_by_cgroup", by_cgroup),
    ("filters_by_descent", by_descent),
    ("filters_that_must_all_hold", all_of_a_rule),
    ("filters_leave_the_process_table_alone", lifecycle),
];

const OPEN: u64 = 1 << Kind::Open as u32;

/// Checks that rules reach a tracer: with one that matches every result, nothing that a process does is sent, and it is
/// counted. `act` returns the process.
pub fn reach(
    kernel: &mut Kernel,
    kind: Kind,
    act: impl FnOnce() -> anyhow::Result<u32>,
) -> anyhow::Result<()> {
    let [a, b] = [i64::MIN, i64::MAX].map(i64::cast_unsigned);
    let rule = RuleTest { kinds: 1 << kind as u32, a, b, ..number(RuleField::Ret, 0) };
    kernel.tests.set(0, rule, 0)?;
    kernel.set(|settings| settings.set_rules(0, 1, 1, 0))?;
    let before = kernel.count(kind)?.filtered;
    let pid = act()?;
    kernel.drain();
    let (sent, filtered) = (kernel.of(pid, kind).len(), kernel.count(kind)?.filtered - before);
    ensure!(sent == 0 && filtered >= TIMES as u64, "{kind:?}: {sent} sent, {filtered} filtered");
    kernel.set(|_| {})
}

fn number(field: RuleField, is: u32) -> RuleTest {
    RuleTest { kinds: OPEN, a: is.into(), b: is.into(), last: 1, ..RuleTest::from(field) }
}

fn is_path(test: &RuleTest) -> bool {
    test.field == RuleField::Path as u32
}

fn not(test: RuleTest) -> RuleTest {
    RuleTest { negate: 1, ..test }
}

/// The object with changeable rules.
struct Rig {
    kernel: Shared,
}

impl Rig {
    fn start() -> anyhow::Result<Self> {
        Ok(Self { kernel: Kernel::start()? })
    }

    /// Makes these tests the rules; the first `early` of them need no path.
    fn go_by(&mut self, tests: &[RuleTest], early: usize) -> anyhow::Result<()> {
        self.kernel.set(|_| {})?;
        for (at, test) in tests.iter().enumerate() {
            self.kernel.tests.set(at as u32, test, 0)?;
        }
        let paths = tests.iter().filter(|test| is_path(test)).count();
        self.kernel.set(|settings| settings.set_rules(0, early, tests.len(), paths))
    }

    fn found(&self, path: &Path) -> usize {
        let name = path.file_name().map(|name| name.as_encoded_bytes().to_vec()).unwrap_or_default();
        let of_path = |record: &Vec<u8>| record.windows(name.len()).any(|part| part == name);
        self.kernel.of(std::process::id(), Kind::Open).iter().filter(|record| of_path(record)).count()
    }

    /// Opens a file 23 times and returns the number of records. An open of a marker file, which no rule
    /// matches, ends the count.
    fn opens(&mut self, path: &Path) -> anyhow::Result<usize> {
        self.kernel.drain();
        let before = self.found(path);
        for _ in 0..TIMES {
            // The file may be missing on purpose.
            let _ = File::open(path);
        }
        let missing = tempfile::tempdir()?.path().join("missing");
        let ended = self.kernel.of(std::process::id(), Kind::Rename).len() + 1;
        ensure!(std::fs::rename(missing, "/").is_err());
        self.kernel.wait_for(std::process::id(), Kind::Rename, ended)?;
        Ok(self.found(path) - before)
    }

    /// Checks that a rule that matches drops all opens of the file and counts them, and that one that does not
    /// drops none.
    fn holds(&mut self, test: RuleTest, path: &Path, expected: bool) -> anyhow::Result<()> {
        self.go_by(&[test], usize::from(!is_path(&test)))?;
        let before = self.kernel.count(Kind::Open)?.filtered;
        let found = self.opens(path)?;
        ensure!(found == if expected { 0 } else { TIMES }, "{test:?}: {found}");
        let count = self.kernel.count(Kind::Open)?;
        ensure!(!expected || count.filtered >= before + TIMES as u64, "{test:?}: {count:?}");
        Ok(())
    }
}

fn by_number() -> anyhow::Result<()> {
    let (mut rig, file) = (Rig::start()?, tempfile::NamedTempFile::new()?);
    let own = std::process::id();
    let numbers = [
        (RuleField::Pid, own),
        (RuleField::Uid, 0),
        (RuleField::Ppid, nix::unistd::getppid().as_raw() as u32),
    ];
    for (field, is) in numbers {
        rig.holds(number(field, is), file.path(), true)?;
        rig.holds(number(field, is + 1), file.path(), false)?;
    }
    rig.holds(not(number(RuleField::Gid, 0)), file.path(), false)?;
    rig.holds(not(number(RuleField::Gid, 77)), file.path(), true)
}

fn comm(text: &[u8], mask: usize) -> RuleTest {
    let (mut name, mut bits) = ([0_u8; 16], [0_u8; 16]);
    name[..text.len()].copy_from_slice(text);
    bits[..mask].fill(0xff);
    let [a, b] = [0, 8].map(|at| u64::from_ne_bytes(std::array::from_fn(|byte| name[at + byte])));
    let [c, d] = [0, 8].map(|at| u64::from_ne_bytes(std::array::from_fn(|byte| bits[at + byte])));
    RuleTest { kinds: OPEN, a, b, c, d, last: 1, ..RuleTest::from(RuleField::Comm) }
}

fn by_command() -> anyhow::Result<()> {
    let (mut rig, file) = (Rig::start()?, tempfile::NamedTempFile::new()?);
    std::fs::write("/proc/thread-self/comm", "filtered-thread")?;
    rig.holds(comm(b"filtered-thread", 16), file.path(), true)?;
    rig.holds(comm(b"filtered-threa", 15), file.path(), false)?;
    rig.holds(comm(b"filtered-threa", 14), file.path(), true)?;
    rig.holds(not(comm(b"filtered", 8)), file.path(), false)
}

fn by_result() -> anyhow::Result<()> {
    let (mut rig, folder) = (Rig::start()?, tempfile::tempdir()?);
    let enoent = (-2_i64).cast_unsigned();
    let failed = RuleTest { a: enoent, b: enoent, ..number(RuleField::Ret, 0) };
    rig.holds(failed, &folder.path().join("not-there"), true)?;
    rig.holds(not(failed), &folder.path().join("not-there"), false)
}

/// Prefixes of any length, whole names, and precedence of the longest prefix.
fn by_path() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let deep = folder.path().join("d".repeat(100)).join("e".repeat(100));
    std::fs::create_dir_all(&deep)?;
    let file = deep.join("leaf");
    std::fs::write(&file, "")?;
    let path = file.to_str().unwrap_or_default();
    let whole = format!("{path}\0");
    let longer = format!("{path}-and-more");
    let table = [
        ("/", true),
        (&path[..5], true),
        (&path[..150], true),
        (path, true),
        (&whole, true),
        (&whole[..whole.len() - 2], true),
        (&longer, false),
        ("/nowhere/", false),
    ];
    let mut rig = Rig::start()?;
    for (prefix, expected) in table {
        let mut bytes = [0; 256];
        bytes[..prefix.len()].copy_from_slice(prefix.as_bytes());
        let key = Key::new(8 * prefix.len() as u32, bytes);
        rig.kernel.path_sets.insert(&key, 4, 0)?;
        let test = RuleTest { a: 4, ..number(RuleField::Path, 0) };
        rig.holds(test, &file, expected)?;
        rig.holds(not(test), &file, !expected)?;
        rig.kernel.path_sets.remove(&key)?;
    }
    Ok(())
}

/// The agent sets what is known of a cgroup; nothing matches a cgroup that is not known.
fn by_cgroup() -> anyhow::Result<()> {
    let (mut rig, file) = (Rig::start()?, tempfile::NamedTempFile::new()?);
    let test = RuleTest { a: 4, ..number(RuleField::CgroupSet, 0) };
    rig.holds(test, file.path(), false)?;
    rig.holds(not(test), file.path(), false)?;
    let records = rig.kernel.of(std::process::id(), Kind::Open);
    let header = Header::parse(records.last().context("nothing was opened")?)?;
    let key = CgroupKey { id: header.cgroup_id, hierarchy: header.hierarchy, pad: 0 };
    for (sets, expected) in [(4, true), (7, true), (3, false)] {
        rig.kernel.cgroup_sets.insert(key, sets, 0)?;
        rig.holds(test, file.path(), expected)?;
        rig.holds(not(test), file.path(), !expected)?;
    }
    Ok(())
}

/// Ancestors are inherited by children and their children; entries of an older generation do not count, and
/// those of ended processes are removed.
fn by_descent() -> anyhow::Result<()> {
    const GENERATION: u64 = 7;
    let (mut rig, file) = (Rig::start()?, tempfile::NamedTempFile::new()?);
    let test = RuleTest { a: 2, b: GENERATION, ..number(RuleField::Tree, 0) };
    rig.holds(test, file.path(), false)?;
    rig.holds(not(test), file.path(), false)?;
    let records = rig.kernel.of(std::process::id(), Kind::Open);
    let header = Header::parse(records.last().context("nothing was opened")?)?;
    let key = ProcessKey { start_ns: header.start_ns, pid: header.pid, pad: 0 };
    let tree = |bits, generation| Tree { generation, bits, depth: 3, pad: 0 };
    for (bits, expected) in [(2, true), (3, true), (1, false)] {
        rig.kernel.trees.insert(key, tree(bits, GENERATION), 0)?;
        rig.holds(test, file.path(), expected)?;
        rig.holds(not(test), file.path(), !expected)?;
    }
    rig.kernel.trees.insert(key, tree(2, GENERATION - 1), 0)?;
    rig.holds(test, file.path(), false)?;
    rig.holds(not(test), file.path(), false)?;
    // A child and a grandchild, each with a mark of its own from its first moment on.
    rig.go_by(&[test], 1)?;
    rig.kernel.set(|settings| {
        settings.set_rules(0, 1, 1, 0);
        settings.trees = GENERATION;
    })?;
    for (bits, expected) in [(2, 0), (1, 2)] {
        rig.kernel.trees.insert(key, tree(bits, GENERATION), 0)?;
        ensure!(opens_below(&mut rig, file.path())? == expected, "children of one with {bits}");
    }
    rig.kernel.trees.remove(&key)?;
    ensure!(opens_below(&mut rig, file.path())? == 2, "children of nobody known");
    let left: Vec<_> = rig.kernel.trees.keys().filter_map(Result::ok).collect();
    ensure!(left.is_empty(), "not forgotten: {left:?}");
    Ok(())
}

/// Returns the number of a child's and a grandchild's opens that are recorded.
fn opens_below(rig: &mut Rig, path: &Path) -> anyhow::Result<usize> {
    let script = format!("(exec 3<'{0}'; :); exec 3<'{0}'; :", path.display());
    let mut child = std::process::Command::new("/bin/sh").args(["-c", &script]).spawn()?;
    let pid = child.id();
    child.wait()?;
    rig.kernel.wait_for(pid, Kind::Exit, 1)?;
    let mut pids = vec![pid];
    for clone in rig.kernel.of(pid, Kind::Clone) {
        if let model::Details::Clone(clone) = decode(Kind::Clone, &clone)?.details {
            pids.push(clone.child_pid);
        }
    }
    let name = path.file_name().map(|name| name.as_encoded_bytes().to_vec()).unwrap_or_default();
    let opens = pids.iter().flat_map(|pid| rig.kernel.of(*pid, Kind::Open));
    Ok(opens.filter(|record| record.windows(name.len()).any(|part| part == name)).count())
}

fn all_of_a_rule() -> anyhow::Result<()> {
    let (mut rig, file) = (Rig::start()?, tempfile::NamedTempFile::new()?);
    let first = |test: RuleTest| RuleTest { last: 0, ..test };
    let (us, nobody) = (number(RuleField::Pid, std::process::id()), number(RuleField::Uid, 65_534));
    let rules: [(&[RuleTest], usize); 4] = [
        (&[first(us), nobody], TIMES),
        (&[first(us), not(nobody)], 0),
        (&[first(nobody), us, us], 0),
        (&[RuleTest { kinds: 1 << Kind::Rename as u32, ..first(us) }, first(us), nobody], TIMES),
    ];
    for (rules, expected) in rules {
        rig.go_by(rules, rules.len())?;
        let found = rig.opens(file.path())?;
        ensure!(found == expected, "{rules:?}: {found}");
    }
    Ok(())
}

/// A filtered lifecycle record is sent all the same, without its tracer's flag.
fn lifecycle() -> anyhow::Result<()> {
    let all = RuleTest { kinds: 1 << Kind::Exec as u32, b: u32::MAX.into(), ..number(RuleField::Pid, 0) };
    let Rig { mut kernel, .. } = {
        let mut rig = Rig::start()?;
        rig.go_by(&[all], 1)?;
        rig
    };
    kernel.drain();
    let mut child = std::process::Command::new("/bin/true").spawn()?;
    let pid = child.id();
    child.wait()?;
    let records = kernel.wait_for(pid, Kind::Exec, 1)?;
    ensure!(records.iter().all(|record| !Header::parse(record).is_ok_and(|header| header.is_traced())));
    let count = kernel.count(Kind::Exec)?;
    ensure!(count.filtered > 0 && count.filtered <= count.seen, "{count:?}");
    ensure!(kernel.count(Kind::Exit)?.filtered == 0);
    Ok(())
}
