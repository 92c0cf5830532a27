//! The sections `[ebpf]` and `[tracer.<kernel tracer>]`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::units::{Period, Size};
use model::{Problem, Pushdown, TracerName};
use serde::{Deserialize, Serialize};

use crate::tier::Choice;

/// Rings smaller than this can't hold one record of the largest kind; larger ones the kernel refuses.
const RING_SIZES: (Size, Size) = (Size(64 << 10), Size(1 << 30));

/// How many user ids the kernel side's allow-list holds; a fact of `include/wire.h`.
pub const MAX_UIDS: usize = crate::wire::MAX_UIDS;

/// How many data rings there can be; a fact of `include/wire.h`.
const MAX_DATA_RINGS: u32 = crate::wire::MAX_DATA_RINGS as u32;

/// Entries of the usage ledger.
const USAGE_MAPS: (u32, u32) = (16, 1 << 20);

/// Files that the usage ledger may be kept of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UsageFiles {
    /// Regular files, those without a name (memfd, `O_TMPFILE`, deleted) among them.
    Regular,
    /// Disks and partitions as such.
    Block,
    /// Terminals, `/dev/null` and the like.
    Char,
    /// Pipes without a name.
    Pipe,
    /// Pipes that are found by a name.
    Fifo,
    /// Sockets.
    Socket,
}

impl UsageFiles {
    /// Its bit in [`crate::wire::Settings::usage_files`]: the type of file in stat's mode; of pipes one that no type has.
    pub fn bit(self) -> u32 {
        match self {
            Self::Fifo => 1 << 0o1,
            Self::Char => 1 << 0o2,
            Self::Block => 1 << 0o6,
            Self::Regular => 1 << 0o10,
            Self::Socket => 1 << 0o14,
            Self::Pipe => 1 << 16,
        }
    }
}

/// `[ebpf]`: the host of all kernel tracers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EbpfConfig {
    /// No kernel tracer runs.
    pub disabled: bool,
    /// Kernel memory for records on their way to the agent. Too small a ring loses records (counted) when
    /// much happens at once. Rounded up to what the kernel takes: a power of two of memory pages.
    pub data_ring: Size,
    /// How many data rings there are, of that size each: the CPUs are shared out among them. One keeps the order of
    /// all records; several spare many CPUs the wait for one ring's lock, and are read in order of time.
    pub data_rings: u32,
    /// While a data ring is nearly full (7/8), of the tracers in `sampled` one record in so many is kept, so that
    /// others find room. What is left out is counted as lost, with that cause. 0: none is left out on purpose.
    pub sample: u32,
    /// Tracers of single events that may come in floods, and whose sums `usage` keeps.
    pub sampled: Vec<String>,
    /// The same for records of processes that start, run a program and end, which are never mixed with the rest.
    pub lifecycle_ring: Size,
    /// How often the agent looks for records when there are few. Lower shows them sooner and costs more;
    /// a ring that fills up wakes the agent at once in any case.
    pub look_interval: Period,
    /// How often the usage ledger is told besides at the close of a file and the end of a process.
    pub usage_interval: Period,
    /// How many files in use by processes it holds, each way. One that is full tells each call by itself; it is counted.
    pub usage_map: u32,
    /// Of which files it is kept.
    pub usage_files: Vec<UsageFiles>,
    /// Record only what these users (effective user ids) do; empty records everybody.
    pub uids: Vec<u32>,
    /// Filters drop in the kernel what can be decided there; off, the collector decides everything. The rows are the same.
    pub pushdown: bool,
    /// What of the filters the kernel can decide; worked out by whoever knows them.
    #[serde(skip)]
    pub pushed: Arc<Pushdown>,
    /// How many batches (of up to 1,024 records) may wait for each tracer. Where they do, the rings fill up.
    pub queue: usize,
    /// Programs, rings and counters live in bpffs and outlive the agent: after a crash the next start goes on with the
    /// first record that is not in the store. Needs the sqlite sink.
    pub pin: bool,
    /// With `pin`: an orderly stop leaves them at work as well, for a start that follows soon (an upgrade). What
    /// happens meanwhile waits in the rings; what does not fit is lost, counted. `stop --keep` does so once.
    pub pin_keep: bool,
    /// Which kind of hooks is used: `trampoline`, `tracepoint`, `kprobe`, or `auto` for the first of them that this
    /// kernel offers (docs/DECISIONS.md has the order). What is not there is told by `check` and `status`.
    pub tier: Choice,
    /// A kernel tracer that can't start ends the agent instead of being reported.
    pub strict: bool,
    /// Tracers tell the store what they run with; not if whoever stores is another program.
    #[serde(skip)]
    pub manifest: bool,
}

impl Default for EbpfConfig {
    fn default() -> Self {
        Self {
            disabled: false,
            data_ring: Size(8 << 20),
            data_rings: 1,
            sample: 64,
            sampled: vec!["open".to_owned()],
            lifecycle_ring: Size(4 << 20),
            look_interval: Period(Duration::from_millis(100)),
            usage_interval: Period(Duration::from_secs(5)),
            usage_map: 16384,
            usage_files: vec![
                UsageFiles::Regular,
                UsageFiles::Block,
                UsageFiles::Pipe,
                UsageFiles::Fifo,
                UsageFiles::Socket,
            ],
            uids: Vec::new(),
            pushdown: true,
            pushed: Arc::default(),
            queue: 16,
            pin: false,
            pin_keep: false,
            tier: Choice::Auto,
            strict: false,
            manifest: true,
        }
    }
}

impl EbpfConfig {
    /// Everything wrong with the section, which is found at `prefix` (`ebpf`).
    pub fn validate(&self, prefix: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut expect = |ok: bool, key: &str, message: String| {
            if !ok {
                problems.push(Problem::new(format!("{prefix}.{key}"), message));
            }
        };
        let (least, most) = RING_SIZES;
        for (key, size) in [("data_ring", self.data_ring), ("lifecycle_ring", self.lifecycle_ring)] {
            let fits = (least..=most).contains(&size);
            expect(fits, key, format!("{size} is out of range, expected {least} to {most}"));
        }
        let rings = self.data_rings;
        let most = MAX_DATA_RINGS;
        expect(
            (1..=most).contains(&rings),
            "data_rings",
            format!("{rings} is out of range, expected 1 to {most}"),
        );
        expect(
            rings == 1 || !self.pin,
            "data_rings",
            format!("{rings} can't be used together with `pin`, which follows one ring: expected 1"),
        );
        for name in &self.sampled {
            let found = crate::programs::tracers().find(|tracer| tracer.name == name);
            let known = found.is_some_and(|tracer| !tracer.kind.is_lifecycle());
            expect(
                known,
                "sampled",
                format!("{name:?} is no kernel tracer whose records go into a data ring"),
            );
        }
        let spans = [
            ("look_interval", self.look_interval, Duration::from_millis(1), Duration::from_secs(60)),
            ("usage_interval", self.usage_interval, Duration::from_millis(100), Duration::from_secs(3600)),
        ];
        for (key, interval, shortest, longest) in spans {
            let (shortest, longest) = (Period(shortest), Period(longest));
            let fits = (shortest..=longest).contains(&interval);
            expect(fits, key, format!("{interval} is out of range, expected {shortest} to {longest}"));
        }
        let map = self.usage_map;
        let (least, most) = USAGE_MAPS;
        expect(
            (least..=most).contains(&map),
            "usage_map",
            format!("{map} is out of range, expected {least} to {most}"),
        );
        let count = self.uids.len();
        expect(count <= MAX_UIDS, "uids", format!("{count} user ids, expected at most {MAX_UIDS}"));
        let queue = self.queue;
        expect((1..=1024).contains(&queue), "queue", format!("{queue} is out of range, expected 1 to 1024"));
        problems
    }
}

/// `[tracer.<name>]` of a kernel tracer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TracerConfig {
    /// This tracer does not run.
    pub disabled: bool,
    /// The name its rows are stored under.
    pub name: String,
}

/// All sections `[tracer.<name>]` of kernel tracers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TracersConfig(pub BTreeMap<String, TracerConfig>);

impl Default for TracersConfig {
    fn default() -> Self {
        let section = |name: &str| TracerConfig { disabled: false, name: name.to_owned() };
        Self(
            crate::programs::tracers().map(|tracer| (tracer.name.to_owned(), section(tracer.name))).collect(),
        )
    }
}

impl TracersConfig {
    /// The section of the tracer `name`; its defaults where there is none.
    pub fn of(&self, name: &str) -> TracerConfig {
        let mut section = self.0.get(name).cloned().unwrap_or_default();
        if section.name.is_empty() {
            section.name = name.to_owned();
        }
        section
    }

    /// The name the tracer's rows are stored under.
    pub fn stored_as(&self, name: &str) -> TracerName {
        TracerName::new(&self.of(name).name)
    }

    /// Everything wrong with the sections, which are found below `prefix` (`tracer`).
    pub fn validate(&self, prefix: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut taken = BTreeMap::new();
        for (tracer, section) in &self.0 {
            let key = format!("{prefix}.{tracer}.name");
            if !is_table_part(&section.name) {
                problems.push(Problem::new(
                    key.clone(),
                    format!("{:?} is no tracer name, expected {TABLE_PART}", section.name),
                ));
            }
            if let Some(other) = taken.insert(section.name.as_str(), tracer) {
                problems.push(Problem::new(
                    key,
                    format!("{:?} is also the name of tracer {other}", section.name),
                ));
            }
        }
        problems
    }
}

/// What [`is_table_part`] wants.
pub(crate) const TABLE_PART: &str = "1 to 64 letters, digits, '_', '-' or '.'";

/// The name becomes part of a table's name, where `:` and `@` have a meaning.
pub(crate) fn is_table_part(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (1..=64).contains(&name.len()) && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_right() {
        assert_eq!(EbpfConfig::default().validate("ebpf"), []);
        assert_eq!(TracersConfig::default().validate("tracer"), []);
        assert_eq!(TracersConfig::default().stored_as("open").as_str(), "open");
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let config = EbpfConfig {
            data_ring: Size(1),
            look_interval: Period(Duration::from_secs(90)),
            uids: vec![0; MAX_UIDS + 1],
            queue: 0,
            ..EbpfConfig::default()
        };
        let keys: Vec<_> = config.validate("ebpf").into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["ebpf.data_ring", "ebpf.look_interval", "ebpf.uids", "ebpf.queue"]);
    }

    #[test]
    fn names_that_break_a_table_or_collide_are_refused() {
        let mut tracers = TracersConfig::default();
        tracers.0.get_mut("open").unwrap().name = "a@b".to_owned();
        tracers.0.get_mut("exec").unwrap().name = "exit".to_owned();
        let problems = tracers.validate("tracer");
        let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, ["tracer.exit.name", "tracer.open.name"]);
        assert_eq!(problems[0].message, "\"exit\" is also the name of tracer exec");
    }

    #[test]
    fn a_section_is_read_as_written() {
        let config: EbpfConfig = serde_json::from_str(r#"{"data_ring": "2MiB", "uids": [0, 9999]}"#).unwrap();
        assert_eq!((config.data_ring, config.uids), (Size(2 << 20), vec![0, 9999]));
        assert!(serde_json::from_str::<EbpfConfig>(r#"{"dataring": 1}"#).is_err());
    }
}
