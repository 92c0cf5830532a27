//! The ledger's host half: when it is told.
//!
//! The kernel half keeps its entries in two maps, of which programs write to one. A sweep turns them about, waits until
//! no program is left that began before, and has what is in the other told by a program that runs where the entries are:
//! what it tells is in a ring, what finds no room there stays in the ledger. So nothing is lost or told twice, wherever
//! the agent is killed.
//!
//! **Hook.** A task iterator, read by the agent; the end of `close`; BTF tracepoints `sched_process_exec`, `sched_process_exit`.
//! **Kernel.** 5.15: `bpf_for_each_map_elem` (5.13).
//! **Cost.** About 2 µs for each exec and exit, 2 µs for a sweep of few entries, by `bpf_stats` on Linux 6.18 on a busy 2-CPU
//! machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use model::BootNs;

use crate::programs::{Hook, Program};
use crate::wire::{self, Sweep};

/// The program that tells what is in the half that is not written to.
pub const SWEEP: Program = Program { name: "usage_sweep", hook: Hook::TaskIterator, without: None };

/// Turns that leave nothing behind once nobody writes any more: a program that still ran may have written to either half.
const LAST_TURNS: u8 = 2;
/// How long programs are given to end where the kernel can't be asked (it has CPUs without a clock tick): they run
/// for microseconds.
const GRACE: u64 = 2_000_000_000;

/// Answers of the thread that waits for programs.
const WAITING: u8 = 0;
const ENDED: u8 = 1;
const UNKNOWN: u8 = 2;

#[derive(Debug, Default)]
enum Phase {
    /// The tracer is not attached, and nothing is left.
    #[default]
    Off,
    /// Between two sweeps.
    Resting { since: BootNs },
    /// For programs that began before the turn.
    Waiting { since: BootNs, answer: Arc<AtomicU8> },
    /// The other half is being told.
    Sweeping,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    Rest,
    /// Turn the halves about.
    Turn,
    /// Have the other half told.
    Sweep,
}

/// When the ledger is told.
#[derive(Debug)]
pub(crate) struct Ledger {
    interval: u64,
    phase: Phase,
    /// Of one that ends: turns to go.
    ending: Option<u8>,
}

impl Ledger {
    /// One that is told this often (nanoseconds).
    pub(crate) fn new(interval: u64) -> Self {
        Self { interval, phase: Phase::Off, ending: None }
    }

    /// It is written to from now on. What a predecessor may have left in the other half is told first.
    pub(crate) fn begin(&mut self, now: BootNs) {
        self.ending = None;
        if matches!(self.phase, Phase::Off) {
            self.wait(now);
        }
    }

    /// It is not written to any more: what is in it is told.
    pub(crate) fn end(&mut self) {
        if !matches!(self.phase, Phase::Off) {
            self.ending.get_or_insert(LAST_TURNS);
        }
    }

    /// Nothing will come out of it.
    pub(crate) fn is_off(&self) -> bool {
        matches!(self.phase, Phase::Off)
    }

    /// What is to be done now.
    pub(crate) fn step(&mut self, now: BootNs) -> Step {
        match &self.phase {
            Phase::Off => Step::Rest,
            Phase::Resting { since } => {
                let due = self.ending.is_some() || now.0.saturating_sub(since.0) >= self.interval;
                if due { Step::Turn } else { Step::Rest }
            }
            Phase::Waiting { since, answer } => {
                let over = match answer.load(Relaxed) {
                    WAITING => false,
                    ENDED => true,
                    _ => now.0.saturating_sub(since.0) >= GRACE,
                };
                if !over {
                    return Step::Rest;
                }
                self.phase = Phase::Sweeping;
                Step::Sweep
            }
            Phase::Sweeping => Step::Sweep,
        }
    }

    /// The halves were turned about.
    pub(crate) fn turned(&mut self, now: BootNs) {
        if let Some(turns) = &mut self.ending {
            *turns = turns.saturating_sub(1);
        }
        self.wait(now);
    }

    /// A sweep was made.
    pub(crate) fn swept(&mut self, sweep: Sweep, now: BootNs) {
        if sweep.left == 0 {
            self.phase = if self.ending == Some(0) { Phase::Off } else { Phase::Resting { since: now } };
        }
    }

    /// On a thread of its own: it takes the kernel some 20 ms, in which rings fill up.
    fn wait(&mut self, now: BootNs) {
        let answer = Arc::new(AtomicU8::new(WAITING));
        let theirs = answer.clone();
        let wait = move || {
            let known = wire::wait_for_programs().is_ok();
            theirs.store(if known { ENDED } else { UNKNOWN }, Relaxed);
        };
        if std::thread::Builder::new().name("ledger".to_owned()).spawn(wait).is_err() {
            answer.store(UNKNOWN, Relaxed);
        }
        self.phase = Phase::Waiting { since: now, answer };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Sweep = Sweep { told: 0, left: 0, side: 0, pad: 0 };

    /// Steps until there is something to do.
    fn next(ledger: &mut Ledger, now: BootNs) -> Step {
        let end = actors::clock::boot_ns().0 + 10_000_000_000;
        loop {
            let step = ledger.step(now);
            if step != Step::Rest || !matches!(ledger.phase, Phase::Waiting { .. }) {
                return step;
            }
            assert!(actors::clock::boot_ns().0 < end, "programs never end");
            std::thread::yield_now();
        }
    }

    #[test]
    fn it_is_told_each_interval() {
        let mut ledger = Ledger::new(100);
        assert_eq!((ledger.step(BootNs(1000)), ledger.is_off()), (Step::Rest, true));
        ledger.begin(BootNs(1000));
        assert_eq!(next(&mut ledger, BootNs(1000)), Step::Sweep);
        ledger.swept(Sweep { left: 1, ..NONE }, BootNs(1000));
        assert_eq!(next(&mut ledger, BootNs(1000)), Step::Sweep);
        ledger.swept(NONE, BootNs(1000));
        assert_eq!(next(&mut ledger, BootNs(1099)), Step::Rest);
        assert_eq!(next(&mut ledger, BootNs(1100)), Step::Turn);
        ledger.turned(BootNs(1100));
        assert_eq!(next(&mut ledger, BootNs(1100)), Step::Sweep);
        assert!(!ledger.is_off());
    }

    #[test]
    fn both_halves_are_told_before_it_is_off() {
        let mut ledger = Ledger::new(u64::MAX);
        ledger.begin(BootNs(0));
        ledger.end();
        let mut steps = Vec::new();
        while !ledger.is_off() {
            let step = next(&mut ledger, BootNs(0));
            match step {
                Step::Turn => ledger.turned(BootNs(0)),
                _ => ledger.swept(NONE, BootNs(0)),
            }
            steps.push(step);
        }
        assert_eq!(steps, [Step::Sweep, Step::Turn, Step::Sweep, Step::Turn, Step::Sweep]);
    }
}
