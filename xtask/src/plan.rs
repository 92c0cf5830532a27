//! The steps of a long command: says before each one what it does and about how long it takes on this machine, and
//! keeps the times for the table at the end.
//!
//! The estimates begin as seconds measured on the machine described in CONTRIBUTING.md, with nothing built before. Steps
//! that compute are scaled by this machine's number of processors and by the speed of one, which is measured in a few
//! milliseconds at the start.

use std::hint::black_box;
use std::time::Duration;

use crate::run::{Watch, say};

/// Milliseconds that [`loop_once`] takes on the machine that the estimates are from.
const REFERENCE_MILLIS: f64 = 1.3;
/// Processors of that machine.
const REFERENCE_PROCESSORS: f64 = 2.0;

/// A step of a command.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    /// The step's text, in the form "building the agent".
    pub(crate) what: &'static str,
    /// About how long it takes on the reference machine.
    pub(crate) seconds: u64,
    pub(crate) scales: Scales,
}

/// The property of the machine that a step's time depends on.
#[derive(Clone, Copy)]
pub(crate) enum Scales {
    /// The speed and the number of the processors.
    WithProcessors,
    /// The speed of one processor.
    WithSpeed,
    /// Neither: it waits for a network or for time to pass.
    Never,
}

/// A command's steps, the one that runs, and the times of those that ended.
pub(crate) struct Plan {
    steps: Vec<Step>,
    speed: f64,
    begun: usize,
    step: Watch,
    whole: Watch,
    taken: Vec<(&'static str, Duration)>,
}

impl Plan {
    /// Announces the steps and the time they take together.
    pub(crate) fn announce(command: &str, steps: Vec<Step>) -> Self {
        let speed = slowness();
        let plan =
            Self { steps, speed, begun: 0, step: Watch::start(), whole: Watch::start(), taken: Vec::new() };
        let seconds: u64 = plan.steps.iter().map(|step| plan.estimate(step)).sum();
        let processors = processors();
        say(&format!(
            "{command}: {} steps, {} the first time on this machine ({processors} processors), less once things are built",
            plan.steps.len(),
            about(seconds)
        ));
        for (at, step) in plan.steps.iter().enumerate() {
            say(&format!("  {}. {}, {}", at + 1, step.what, about(plan.estimate(step))));
        }
        plan
    }

    /// Begins the next step.
    pub(crate) fn next(&mut self) {
        self.end_step();
        let Some(step) = self.steps.get(self.begun) else { return };
        self.begun += 1;
        let (at, of, estimate) = (self.begun, self.steps.len(), about(self.estimate(step)));
        say(&format!("step {at} of {of}: {}, {estimate}", step.what));
        self.step = Watch::start();
    }

    /// Ends the last step and returns the lines of the table: each step's time, and the total.
    pub(crate) fn finish(mut self) -> Vec<(String, Duration)> {
        self.end_step();
        let total = ("total".to_owned(), self.whole.elapsed());
        self.taken.into_iter().map(|(what, time)| (what.to_owned(), time)).chain([total]).collect()
    }

    fn end_step(&mut self) {
        if let Some(step) = self.begun.checked_sub(1).and_then(|at| self.steps.get(at)) {
            self.taken.push((step.what, self.step.elapsed()));
        }
    }

    fn estimate(&self, step: &Step) -> u64 {
        let factor = match step.scales {
            Scales::WithProcessors => self.speed * REFERENCE_PROCESSORS / processors() as f64,
            Scales::WithSpeed => self.speed,
            Scales::Never => 1.0,
        };
        (step.seconds as f64 * factor).round() as u64
    }
}

/// The time in words that do not promise too much.
fn about(seconds: u64) -> String {
    match seconds {
        0..=9 => "a few seconds".to_owned(),
        10..=54 => format!("about {} seconds", seconds.div_ceil(10) * 10),
        55..=89 => "about a minute".to_owned(),
        _ => format!("about {} minutes", (seconds + 30) / 60),
    }
}

/// Minutes and seconds, as in "3 min 05 s".
pub(crate) fn exactly(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    if seconds < 60 { format!("{seconds} s") } else { format!("{} min {:02} s", seconds / 60, seconds % 60) }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Returns how many times slower one processor is than one of the reference machine: the best of several short tries, so
/// that other load does not count.
fn slowness() -> f64 {
    let tries = (0..12).map(|_| {
        let watch = Watch::start();
        loop_once();
        watch.elapsed()
    });
    let best = tries.min().unwrap_or_default();
    best.as_secs_f64() * 1000.0 / REFERENCE_MILLIS
}

fn loop_once() {
    let mut state = 1_u64;
    for round in 0..200_000_u64 {
        state = black_box(state.rotate_left(5) ^ round).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    black_box(state);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_promise_little_and_times_are_exact() {
        assert_eq!(about(3), "a few seconds");
        assert_eq!(about(41), "about 50 seconds");
        assert_eq!(about(60), "about a minute");
        assert_eq!(about(640), "about 11 minutes");
        assert_eq!(exactly(Duration::from_secs(59)), "59 s");
        assert_eq!(exactly(Duration::from_secs(185)), "3 min 05 s");
    }
}
