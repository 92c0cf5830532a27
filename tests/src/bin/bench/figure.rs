//! Figures with their budgets, and how they are taken.

use std::fs;

use tests::Agent;

/// A figure that has a budget.
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) digits: usize,
    pub(crate) unit: &'static str,
    pub(crate) must: f64,
    pub(crate) goal: f64,
}

impl Figure {
    /// Returns which of the two limits the figure meets. A limit above its goal is a ceiling, one below it is a floor.
    pub(crate) fn verdict(&self) -> &'static str {
        let meets =
            |limit: f64| if self.must >= self.goal { self.value <= limit } else { self.value >= limit };
        match (meets(self.must), meets(self.goal)) {
            (_, true) => "ok, goal",
            (true, false) => "ok",
            (false, false) => "**over**",
        }
    }
}

pub(crate) fn figure(
    what: impl Into<String>,
    value: f64,
    digits: usize,
    unit: &'static str,
    (must, goal): (f64, f64),
) -> Figure {
    Figure { what: what.into(), value, digits, unit, must, goal }
}

/// Returns user and system time of the agent so far.
pub(crate) fn cpu_seconds(agent: &Agent) -> f64 {
    cpu_seconds_of(agent.pid())
}

/// Returns user and system time of a process so far.
pub(crate) fn cpu_seconds_of(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name, which may hold anything: fields 14 and 15 of proc(5), in hundredths of a second.
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks =
        |field: usize| fields.get(field).and_then(|text| text.parse::<f64>().ok()).unwrap_or(f64::NAN);
    (ticks(11) + ticks(12)) / 100.0
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
