//! The sections `[ebpf]` and `[tracer.<kernel tracer>]`.

use std::collections::BTreeMap;
use std::time::Duration;

use model::units::{Period, Size};
use model::{Problem, TracerName};
use serde::{Deserialize, Serialize};

/// Rings smaller than this can't hold one record of the largest kind; larger ones the kernel refuses.
const RING_SIZES: (Size, Size) = (Size(64 << 10), Size(1 << 30));

/// How many user ids the kernel side's allow-list holds; a fact of `include/wire.h`.
pub const MAX_UIDS: usize = crate::wire::MAX_UIDS;

/// `[ebpf]`: the host of all kernel tracers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EbpfConfig {
    /// No kernel tracer runs.
    pub disabled: bool,
    /// Kernel memory for records on their way to the agent. Too small a ring loses records (counted) when
    /// much happens at once. Rounded up to what the kernel takes: a power of two of memory pages.
    pub data_ring: Size,
    /// The same for records of processes that start, run a program and end, which are never mixed with the rest.
    pub lifecycle_ring: Size,
    /// How often the agent looks for records when there are few. Lower shows them sooner and costs more;
    /// a ring that fills up wakes the agent at once in any case.
    pub look_interval: Period,
    /// Record only what these users (effective user ids) do; empty records everybody.
    pub uids: Vec<u32>,
    /// How many batches (of up to 1,024 records) may wait for each tracer. Where they do, the rings fill up.
    pub queue: usize,
    /// Programs, rings and counters live in bpffs and outlive the agent: after a crash the next start goes on with the
    /// first record that is not in the store. Needs the sqlite sink.
    pub pin: bool,
    /// With `pin`: an orderly stop leaves them at work as well, for a start that follows soon (an upgrade). What
    /// happens meanwhile waits in the rings; what does not fit is lost, counted. `stop --keep` does so once.
    pub pin_keep: bool,
    /// A kernel tracer that can't start ends the agent instead of being reported.
    pub strict: bool,
}

impl Default for EbpfConfig {
    fn default() -> Self {
        Self {
            disabled: false,
            data_ring: Size(8 << 20),
            lifecycle_ring: Size(4 << 20),
            look_interval: Period(Duration::from_millis(100)),
            uids: Vec::new(),
            queue: 16,
            pin: false,
            pin_keep: false,
            strict: false,
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
        let (shortest, longest) = (Period(Duration::from_millis(1)), Period(Duration::from_secs(60)));
        let fits = (shortest..=longest).contains(&self.look_interval);
        let interval = self.look_interval;
        expect(
            fits,
            "look_interval",
            format!("{interval} is out of range, expected {shortest} to {longest}"),
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
