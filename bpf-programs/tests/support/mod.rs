//! The object loaded and attached, without the actors: tests of the kernel side, observed at its rings.

mod shared;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use actors::clock;
use anyhow::{Context as _, bail, ensure};
use aya::maps::lpm_trie::LpmTrie;
use aya::maps::{Array, HashMap as Table, MapData, RingBuf};
use bpf_programs::testing::{
    self, CgroupKey, Count, Header, Kind, ProcessKey, RuleTest, Settings, Sweep, Tree, wait_for_programs,
};
use bpf_programs::{EbpfConfig, Tier, Tracer, tracers};
use model::schema::{Column, Field, Tracers};
use model::{Details, Extended, Record};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use serde_json::{Map, Value, json};

pub use shared::Shared;

/// How long to wait for an event that must come.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// The size of the data ring that tests share.
pub const DATA_RING: u32 = 8 << 20;

/// Entries in each buffer of the ledger, if it is not to overflow.
pub const ENTRIES: u32 = 16384;

/// The slot of counters for processes that found no room in map `meddled`, as `COUNT_MEDDLED_FULL` in `map_values.h`.
const MEDDLED_FULL: u32 = 60;

/// All file types of the ledger.
const FILES: u32 = u32::MAX;

/// Returns the kind of hooks to test.
pub fn tier() -> Tier {
    let name = std::env::var("DUETECTOR_TEST_TIER").unwrap_or_default();
    (1..=3).filter_map(Tier::of_number).find(|tier| tier.to_string() == name).unwrap_or(Tier::Tracepoint)
}

/// Error of a test that this kernel can't run, with the name of the part that it lacks; the test counts as ignored.
#[derive(Debug)]
pub struct Lacking(pub &'static str);

impl std::fmt::Display for Lacking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "this kernel has no {}", self.0)
    }
}

impl std::error::Error for Lacking {}

/// The attached object.
pub struct Kernel {
    object: testing::Kernel,
    lifecycle: RingBuf<MapData>,
    security: RingBuf<MapData>,
    data: RingBuf<MapData>,
    /// The second data ring, used if `settings.data_rings` says so.
    second: RingBuf<MapData>,
    settings: Array<MapData, Settings>,
    /// Rules of filters, and their sets of paths.
    pub tests: Array<MapData, RuleTest>,
    pub path_sets: LpmTrie<MapData, [u8; 256], u64>,
    pub cgroup_sets: Table<MapData, CgroupKey, u64>,
    pub trees: Table<MapData, ProcessKey, Tree>,
    /// Records by process, in ring order.
    records: HashMap<u32, Vec<(Kind, Vec<u8>)>>,
    /// Counters at the start of this test.
    before: HashMap<Kind, Count>,
}

impl Kernel {
    /// Loads these hooks, for these kinds of records.
    pub fn start_on(
        tier: Tier,
        data_ring: u32,
        entries: u32,
        wanted: impl Fn(Kind) -> bool,
    ) -> anyhow::Result<Self> {
        let config = json!({ "data_ring": data_ring, "data_rings": 2, "usage_map": entries });
        let config: EbpfConfig = serde_json::from_value(config)?;
        let wanted: Vec<_> = tracers().filter(|tracer| wanted(tracer.kind)).collect();
        let object = testing::Kernel::load(&config, tier, &wanted).map_err(anyhow::Error::from_boxed)?;
        let mut kernel = Self {
            lifecycle: map(&object, "lifecycle")?,
            security: map(&object, "security")?,
            data: map(&object, "data")?,
            second: map(&object, "data_1")?,
            settings: map(&object, "settings")?,
            tests: map(&object, "tests")?,
            path_sets: map(&object, "path_sets")?,
            cgroup_sets: map(&object, "cgroup_sets")?,
            trees: map(&object, "trees")?,
            object,
            records: HashMap::new(),
            before: HashMap::new(),
        };
        kernel.set(|_| {})?;
        Ok(kernel)
    }

    /// Enables all tracers, with the settings changed by `change`.
    pub fn set(&mut self, change: impl FnOnce(&mut Settings)) -> anyhow::Result<()> {
        let mut settings = Settings {
            data_wakeup: 1,
            lifecycle_wakeup: 1,
            security_wakeup: 1,
            usage_files: FILES,
            ..Settings::default()
        };
        settings.enabled = tracers().fold(0, |bits, tracer| bits | 1 << tracer.kind as u32);
        change(&mut settings);
        Ok(self.settings.set(0, settings, 0)?)
    }

    /// Swaps the ledger's buffers and flushes the one that was written to; entries that found no room stay.
    pub fn sweep(&mut self) -> anyhow::Result<Sweep> {
        let settings = self.settings.get(&0, 0)?;
        self.settings.set(0, Settings { usage_side: 1 - settings.usage_side, ..settings }, 0)?;
        wait_for_programs()?;
        self.flush()
    }

    /// Flushes the buffer that is not written to.
    pub fn flush(&mut self) -> anyhow::Result<Sweep> {
        self.object.flush().map_err(anyhow::Error::from_boxed)
    }

    /// Records requests of io_uring that have ended without a completion.
    pub fn sweep_requests(&mut self) -> anyhow::Result<()> {
        self.flush().map(|_| ())
    }

    /// Returns the number of requests of io_uring whose ends are not known yet.
    pub fn kept(&self) -> anyhow::Result<usize> {
        let small: Table<MapData, u64, [u8; 872]> = map(&self.object, "uring_small")?;
        let large: Table<MapData, u64, [u8; 22632]> = map(&self.object, "uring_large")?;
        Ok(small.keys().chain(large.keys()).collect::<Result<Vec<_>, _>>()?.len())
    }

    /// Returns the processes that are known as such that others may have meddled with.
    pub fn marked(&self) -> anyhow::Result<Vec<u32>> {
        let marks: Table<MapData, ProcessKey, [u8; 16]> = map(&self.object, "meddled")?;
        marks.keys().map(|key| Ok(key?.pid)).collect()
    }

    /// Returns how many of them found no room.
    pub fn refused_marks(&self) -> anyhow::Result<u64> {
        Ok(self.object.count(MEDDLED_FULL).map_err(anyhow::Error::from_boxed)?.0.seen)
    }

    /// Returns the records of the task iterator.
    pub fn processes(&mut self) -> anyhow::Result<Vec<Vec<u8>>> {
        self.object.processes().map_err(anyhow::Error::from_boxed)
    }

    /// Returns the tracer's counters since the start of this test.
    pub fn count(&self, kind: Kind) -> anyhow::Result<Count> {
        let before = self.before.get(&kind).copied().unwrap_or_default();
        Ok(self.counted(kind)?.since(before))
    }

    fn counted(&self, kind: Kind) -> anyhow::Result<Count> {
        Ok(self.object.count(kind as u32).map_err(anyhow::Error::from_boxed)?.0)
    }

    /// Returns the runs that the kernel skipped of programs that make records of this kind.
    pub fn skipped(&self, kind: Kind) -> anyhow::Result<u64> {
        Ok(self.object.count(kind as u32).map_err(anyhow::Error::from_boxed)?.1)
    }

    /// Takes all records of the second data ring; returns their number.
    pub fn drain_second(&mut self) -> u64 {
        let mut taken = 0;
        while let Some(bytes) = self.second.next() {
            taken += 1;
            keep(&mut self.records, &bytes);
        }
        taken
    }

    /// Takes all records of the rings; returns the numbers of those in the lifecycle ring and in the data ring.
    pub fn drain(&mut self) -> (u64, u64) {
        let mut taken = (0, 0);
        while let Some(bytes) = self.lifecycle.next() {
            taken.0 += 1;
            keep(&mut self.records, &bytes);
        }
        while let Some(bytes) = self.security.next() {
            keep(&mut self.records, &bytes);
        }
        while let Some(bytes) = self.data.next() {
            taken.1 += 1;
            keep(&mut self.records, &bytes);
        }
        taken
    }

    /// Returns the records of process `pid` and `kind`, once there are at least `count`.
    pub fn wait_for(&mut self, pid: u32, kind: Kind, count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
        let end = clock::now() + DEADLINE;
        loop {
            self.drain();
            let found = self.of(pid, kind);
            if found.len() >= count {
                return Ok(found);
            }
            let is_late = clock::now() >= end;
            ensure!(
                !is_late,
                "{} records of {pid} {kind:?}, not {count}: {:?}",
                found.len(),
                self.count(kind)
            );
            let mut rings = [
                PollFd::new(self.lifecycle.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.security.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.data.as_fd(), PollFlags::POLLIN),
            ];
            nix::poll::poll(&mut rings, PollTimeout::from(50u8))?;
        }
    }

    /// Returns the records of process `pid` and `kind` taken so far.
    pub fn of(&self, pid: u32, kind: Kind) -> Vec<Vec<u8>> {
        let all = self.records.get(&pid).map(Vec::as_slice).unwrap_or_default();
        all.iter().filter(|(found, _)| *found == kind).map(|(_, bytes)| bytes.clone()).collect()
    }

    /// Returns all records of `kind` taken so far.
    pub fn all(&self, kind: Kind) -> Vec<Vec<u8>> {
        let all = self.records.values().flatten();
        all.filter(|(found, _)| *found == kind).map(|(_, bytes)| bytes.clone()).collect()
    }
}

fn map<T: TryFrom<aya::maps::Map, Error = aya::maps::MapError>>(
    object: &testing::Kernel,
    name: &str,
) -> anyhow::Result<T> {
    object.map(name).map_err(anyhow::Error::from_boxed)
}

/// Returns the tracer of records of this kind.
pub fn tracer(kind: Kind) -> anyhow::Result<&'static Tracer> {
    tracers().find(|tracer| tracer.kind == kind).with_context(|| format!("no tracer {kind:?}"))
}

/// Runs a Python program to its end; returns its pid and its output.
pub fn run_python(program: &str, arguments: &[impl AsRef<OsStr>]) -> anyhow::Result<(u32, String)> {
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-B", "-I", "-S", "-c", program]).args(arguments);
    let child = python.stdout(Stdio::piped()).spawn()?;
    let pid = child.id();
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "the program failed");
    Ok((pid, String::from_utf8(output.stdout)?))
}

/// Decodes a record of this kind.
pub fn decode(kind: Kind, bytes: &[u8]) -> anyhow::Result<Record> {
    Ok((tracer(kind)?.decode)(bytes)?)
}

/// Returns the fields of a record's row, which the tables of the schema must have for the record's tracer.
pub fn fields(kind: Kind, details: Details) -> anyhow::Result<Map<String, Value>> {
    let tracer = tracer(kind)?.name;
    let writes = |tracers: Tracers| match tracers {
        Tracers::Only(names) => names.contains(&tracer),
        Tracers::All | Tracers::Kernel | Tracers::KernelOr(_) => true,
        Tracers::Shell => false,
    };
    let columns = [(Column::Fname, details.fname().is_some()), (Column::Ret, details.ret().is_some())];
    let columns = columns.iter().filter(|(column, written)| *written && !writes(column.tracers()));
    let mut missing: Vec<_> = columns.map(|(column, _)| column.name().to_owned()).collect();
    let Value::Object(fields) = serde_json::to_value(Extended::new(details))? else { bail!("no object") };
    let listed = |name: &str| Field::named(name).is_some_and(|field| writes(field.tracers));
    missing.extend(fields.keys().filter(|name| !listed(name)).cloned());
    ensure!(missing.is_empty(), "the schema does not list {tracer} at {missing:?}");
    Ok(fields)
}

fn keep(records: &mut HashMap<u32, Vec<(Kind, Vec<u8>)>>, bytes: &[u8]) {
    let header = Header::parse(bytes).expect("a header");
    let kind = Kind::try_from(header.kind).expect("a kind");
    records.entry(header.pid).or_default().push((kind, bytes.to_vec()));
}

/// Returns a file's generation from the kernel itself: by ioctl, else from its handle; 0 if neither works.
pub fn generation(path: &std::path::Path) -> anyhow::Result<u32> {
    const ASK: &str = r#"
        open(my $file, "<", $ARGV[0]) or die;
        my $answer = pack("q", 0);
        if (ioctl($file, 0x80087601, $answer)) { print unpack("L", $answer); exit; }
        my ($handle, $mount) = (pack("LL", 12, 0) . "\0" x 12, pack("L", 0));
        my $empty = "";
        if (syscall($ARGV[1] + 0, fileno($file), $empty, $handle, $mount, 0x1000) == 0) { print unpack("x8L", $handle); }
        else { print 0; }
    "#;
    let mut answer = std::process::Command::new("perl");
    answer.args(["-e", ASK]).arg(path);
    let answer = answer.arg(libc::SYS_name_to_handle_at.to_string()).output()?;
    Ok(String::from_utf8(answer.stdout)?.parse()?)
}
