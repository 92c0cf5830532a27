//! Configuration sections `[ebpf]` and `[tracer.<kernel tracer>]`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use model::units::{Period, Size};
use model::{Problem, Pushdown, TracerName};
use serde::{Deserialize, Serialize};

use crate::pin_choice::PinChoice;
use crate::tier::Choice;
use crate::wire::Ring;

/// Smallest and largest ring: a smaller one can't hold a record of the largest kind, a larger one is refused by the kernel.
const RING_SIZES: (Size, Size) = (Size(64 << 10), Size(1 << 30));

/// Maximum number of user ids in `uids`, from `include/map_values.h`.
pub(crate) const MAX_UIDS: usize = crate::wire::MAX_UIDS;

/// Maximum number of data rings, from `include/map_values.h`.
const MAX_DATA_RINGS: u32 = crate::wire::MAX_DATA_RINGS as u32;

/// Smallest and largest number of entries of the usage ledger.
const USAGE_MAPS: (u32, u32) = (16, 1 << 20);

/// Types of files that the usage ledger can record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum UsageFiles {
    /// Regular files, including those without a name (memfd, `O_TMPFILE`, deleted).
    Regular,
    /// Block devices, as a whole or by partition.
    Block,
    /// Character devices: terminals, `/dev/null` etc.
    Char,
    /// Pipes without a name.
    Pipe,
    /// Named pipes (FIFOs).
    Fifo,
    /// Sockets of all families.
    Socket,
}

impl UsageFiles {
    /// Returns the bit in [`crate::wire::Settings::usage_files`]: its number is the file type in stat's mode, or one that no
    /// file type has for pipes without a name.
    pub(crate) fn bit(self) -> u32 {
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

/// Section `[ebpf]`: settings of all kernel tracers together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EbpfConfig {
    /// If true, no kernel tracer runs.
    pub disabled: bool,
    /// Size of the kernel memory for records on their way to the agent. A ring that is too small loses records (counted)
    /// during bursts. Rounded up to a power of two of memory pages.
    pub data_ring: Size,
    /// Number of data rings of that size, among which the CPUs are divided. One ring keeps the order of all records;
    /// several reduce contention for the ring's lock on machines with many CPUs, and are read in order of time.
    pub data_rings: u32,
    /// While a data ring is more than half full, keeps one record in N of users who flood of the tracers in `sampled`, so that
    /// others find room. Records left out are counted as lost, with that cause. 0: no sampling.
    pub sample: u32,
    /// Tracers to sample: those with floods of single events that `usage` sums up anyway.
    pub sampled: Vec<String>,
    /// Size of the ring for records of processes that start, execute a program or exit, which are kept apart from others.
    pub lifecycle_ring: Size,
    /// Size of the ring for rare records that matter most (of `setuid`, `kill`, `ptrace`, `mount`, `module`, `bpf`, `memfd`,
    /// `namespace`), so that a flood of others finds no room there.
    pub security_ring: Size,
    /// Interval at which the agent polls for records when there are few. A lower value shows them sooner and costs more;
    /// a ring that fills up wakes the agent at once in any case.
    pub poll_interval: Period,
    /// Interval at which the usage ledger is flushed, besides when a file is closed or a process ends.
    pub usage_interval: Period,
    /// Maximum number of entries (process, file and direction) in the usage ledger. When it is full, each further call
    /// becomes a row of its own, and is counted.
    pub usage_map: u32,
    /// Age from which a connection whose socket is gone is forgotten, and counted as lost, if there is little room; and
    /// from which a request of io_uring whose ring was closed is recorded without a result.
    pub end_within: Period,
    /// Types of files recorded in the usage ledger.
    pub(crate) usage_files: Vec<UsageFiles>,
    /// Records only events of these users (effective user ids); empty records all users.
    pub uids: Vec<u32>,
    /// Lets the kernel drop records as far as it can decide filters. If false, the collector decides all filters; the
    /// rows are the same.
    pub pushdown: bool,
    /// Maximum number of batches (of up to 1,024 records) that wait for each tracer. When it is reached, the rings fill up.
    pub queue: usize,
    /// Keeps programs, rings and counters in bpffs, so that they outlive the agent: after a crash the next start resumes
    /// with the first record that is not in the store. Needs a store. `true`, `false`, or `auto`: if kernel, rights
    /// and the other settings allow it.
    pub pin: PinChoice,
    /// With `pin`, leaves the programs running after an orderly stop, too, for a start soon afterwards (an upgrade).
    /// Events meanwhile wait in the rings; those that don't fit are lost and counted. `stop --keep` does so once.
    pub pin_keep: bool,
    /// Kind of hooks: `function`, `tracepoint`, `kprobe`, or `auto` for the first that this kernel offers
    /// (docs/DECISIONS.md has the order). `check` and `status` show what the kernel lacks.
    pub(crate) tier: Choice,
    /// Ends the agent if a kernel tracer can't start, instead of only reporting it.
    pub strict: bool,
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
            security_ring: Size(2 << 20),
            poll_interval: Period(Duration::from_millis(100)),
            usage_interval: Period(Duration::from_secs(5)),
            usage_map: 16384,
            end_within: Period(Duration::from_secs(60)),
            usage_files: vec![
                UsageFiles::Regular,
                UsageFiles::Block,
                UsageFiles::Pipe,
                UsageFiles::Fifo,
                UsageFiles::Socket,
            ],
            uids: Vec::new(),
            pushdown: true,
            queue: 16,
            pin: PinChoice::Auto,
            pin_keep: false,
            tier: Choice::Auto,
            strict: false,
        }
    }
}

impl EbpfConfig {
    /// Returns whether to pin, as far as these settings decide it.
    pub(crate) fn pins(&self) -> bool {
        match self.pin {
            PinChoice::Auto => self.data_rings == 1,
            PinChoice::Always => true,
            PinChoice::Never => false,
        }
    }

    /// Returns the setting because of which `auto` does not pin.
    pub(crate) fn pin_conflict(&self) -> Option<String> {
        let rings = self.data_rings;
        (self.pin == PinChoice::Auto && rings > 1)
            .then(|| format!("ebpf.data_rings is {rings}, and only one ring can be pinned"))
    }

    /// Returns all problems of the section, which is found at `prefix` (`ebpf`).
    pub fn validate(&self, prefix: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut expect = |ok: bool, key: &str, message: String| {
            if !ok {
                problems.push(Problem::new(format!("{prefix}.{key}"), message));
            }
        };
        let (least, most) = RING_SIZES;
        let rings = [
            ("data_ring", self.data_ring),
            ("lifecycle_ring", self.lifecycle_ring),
            ("security_ring", self.security_ring),
        ];
        for (key, size) in rings {
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
            rings == 1 || self.pin != PinChoice::Always,
            "data_rings",
            format!("{rings} can't be used together with `pin`, which follows one ring: expected 1"),
        );
        for name in &self.sampled {
            let found = crate::catalog::tracers().find(|tracer| tracer.name == name);
            let known = found.is_some_and(|tracer| tracer.kind.ring() == Ring::Data);
            expect(known, "sampled", format!("{name:?} is no kernel tracer with records in a data ring"));
        }
        let spans = [
            ("poll_interval", self.poll_interval, Duration::from_millis(1), Duration::from_secs(60)),
            ("usage_interval", self.usage_interval, Duration::from_millis(100), Duration::from_secs(3600)),
            ("end_within", self.end_within, Duration::from_secs(1), Duration::from_secs(86_400)),
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

/// Section `[tracer.<name>]` of a kernel tracer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TracerConfig {
    /// If true, the tracer does not run.
    pub disabled: bool,
    /// Name under which the tracer's rows are stored.
    pub name: String,
}

/// All sections `[tracer.<name>]` of kernel tracers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TracersConfig(pub BTreeMap<String, TracerConfig>);

impl Default for TracersConfig {
    fn default() -> Self {
        let section = |name: &str| TracerConfig { disabled: false, name: name.to_owned() };
        Self(crate::catalog::tracers().map(|tracer| (tracer.name.to_owned(), section(tracer.name))).collect())
    }
}

impl TracersConfig {
    /// Returns the section of tracer `name`, or its defaults.
    pub fn of(&self, name: &str) -> TracerConfig {
        let mut section = self.0.get(name).cloned().unwrap_or_default();
        if section.name.is_empty() {
            section.name = name.to_owned();
        }
        section
    }

    /// Returns the name under which the tracer's rows are stored.
    pub fn stored_as(&self, name: &str) -> TracerName {
        TracerName::new(&self.of(name).name)
    }

    /// Returns all problems of the sections, which are found below `prefix` (`tracer`).
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

/// Settings of the kernel tracers: their sections of the configuration, and values that the agent computes.
#[derive(Clone, Debug, Default)]
pub struct KernelSettings {
    /// The section `[ebpf]` itself.
    pub ebpf: EbpfConfig,
    /// The sections `[tracer.<kernel tracer>]`.
    pub sections: TracersConfig,
    /// The part of the filters that the kernel can decide.
    pub pushed: Pushdown,
    /// Emits rows of tracer `manifest`; false if another program stores the rows.
    pub manifest: bool,
    /// The store's file, which notes how far pinned rings are read.
    pub store: Option<PathBuf>,
}

/// Description of the names that [`is_table_part`] accepts.
pub(crate) const TABLE_PART: &str = "1 to 64 letters, digits, '_', '-' or '.'";

/// Returns whether a name can be part of a table's name, in which `:` and `@` are separators.
pub(crate) fn is_table_part(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (1..=64).contains(&name.len()) && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(EbpfConfig::default().validate("ebpf"), []);
        assert_eq!(TracersConfig::default().validate("tracer"), []);
        assert_eq!(TracersConfig::default().stored_as("open").as_str(), "open");
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let config = EbpfConfig {
            data_ring: Size(1),
            poll_interval: Period(Duration::from_secs(90)),
            uids: vec![0; MAX_UIDS + 1],
            queue: 0,
            ..EbpfConfig::default()
        };
        let keys: Vec<_> = config.validate("ebpf").into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["ebpf.data_ring", "ebpf.poll_interval", "ebpf.uids", "ebpf.queue"]);
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
    fn a_section_is_parsed_and_unknown_keys_are_refused() {
        let config: EbpfConfig = serde_json::from_str(r#"{"data_ring": "2MiB", "uids": [0, 9999]}"#).unwrap();
        assert_eq!((config.data_ring, config.uids), (Size(2 << 20), vec![0, 9999]));
        assert!(serde_json::from_str::<EbpfConfig>(r#"{"dataring": 1}"#).is_err());
    }
}
