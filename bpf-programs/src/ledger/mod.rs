//! The usage ledger's schedule: decides when its two maps are swapped and flushed.
//!
//! The ledger sums up bytes and calls per process, file and direction in the kernel. It is double-buffered: programs add to
//! one of two hash maps, `usage_0` and `usage_1`; `usage_side` in map `settings` says which. Each interval the agent swaps the
//! buffers. Programs that started before the swap may still be writing to the old buffer, so the agent then waits for an RCU
//! grace period (`membarrier`); every eBPF program is an RCU reader, so none of the old ones is left after that. Now
//! nothing writes to the old buffer, and a program, run by reading a task iterator, flushes it: it moves each entry
//! into the data ring as a record and deletes it from the map.
//!
//! ```text
//!               swap            RCU grace period          flush
//!  programs ─▶ usage_0  │ ─▶ usage_1                 │ ─▶ usage_1              │ ─▶ usage_1
//!              usage_1  │    usage_0 ◀─ old programs │    usage_0: unchanging  │    usage_0 ─▶ data ring, deleted
//!  Phase:      Idle     │    Waiting                 │    Flushing             │    Idle
//! ```
//!
//! An entry that finds no room in the ring stays in its map for the next flush. The entry leaves the map and enters the ring
//! within the kernel, so nothing is lost or reported twice, wherever the agent is killed.
//!
//! Entries are also flushed early: when a descriptor is closed, and when a process executes a new program
//! or exits. Early or late, the sums over all rows are the same.
//!
//! **Hook.** A task iterator, read by the agent; the end of `close`; BTF tracepoints `sched_process_exec`, `sched_process_exit`.
//! **Kernel.** 5.15: `bpf_for_each_map_elem` (5.13).
//! **Cost.** About 2 µs for each exec and exit, 2 µs for a sweep of few entries, by `bpf_stats` on Linux 6.18 on a busy 2-CPU
//! machine.

mod sweep;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use model::BootNs;

use crate::programs::{Hook, Program};
use crate::wire::{self, Sweep};

pub(crate) use sweep::sweep_once;

/// The program that flushes the buffer that programs don't write to.
pub(crate) const SWEEP: Program = Program { name: "usage_sweep", hook: Hook::TaskIterator, without: None };

/// Swaps before the ledger is off: a program that was still running may have written to either buffer.
const LAST_SWAPS: u8 = 2;
/// Wait for old programs, in nanoseconds, where the kernel refuses to report a grace period (it has CPUs without a clock
/// tick, `nohz_full`). Programs run for microseconds.
const GRACE: u64 = 2_000_000_000;

// Results of the thread that waits for a grace period.
const WAITING: u8 = 0;
const ENDED: u8 = 1;
const UNKNOWN: u8 = 2;

#[derive(Debug, Default)]
enum Phase {
    /// The tracer is not attached, and both buffers are empty.
    #[default]
    Off,
    /// Between a flush and the next swap.
    Idle { since: BootNs },
    /// Waits for programs that started before the swap.
    Waiting { since: BootNs, answer: Arc<AtomicU8> },
    /// The buffer that is not written to is being flushed.
    Flushing,
}

/// The next action of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// There is nothing to do.
    Nothing,
    /// Swap the buffers.
    Swap,
    /// Flush the buffer that is not written to.
    Flush,
}

/// The ledger's schedule: when its buffers are swapped and flushed.
#[derive(Debug)]
pub(crate) struct Ledger {
    interval: u64,
    phase: Phase,
    /// While shutting down: the buffer swaps still to do.
    ending: Option<u8>,
    /// Calls that found the ledger full, as far as they were logged.
    reported_full: u64,
}

impl Ledger {
    /// Creates a ledger, switched off, with this flush interval in nanoseconds.
    pub(crate) fn new(interval: u64) -> Self {
        Self { interval, phase: Phase::Off, ending: None, reported_full: 0 }
    }

    /// Starts the schedule, as programs write to the ledger from now on. Entries an earlier agent may have left in the
    /// other buffer are flushed first.
    fn begin(&mut self, now: BootNs) {
        self.ending = None;
        if matches!(self.phase, Phase::Off) {
            self.wait(now);
        }
    }

    /// Shuts down the schedule, as programs no longer write to the ledger: both buffers are flushed, then it is off.
    pub(crate) fn end(&mut self) {
        if !matches!(self.phase, Phase::Off) {
            self.ending.get_or_insert(LAST_SWAPS);
        }
    }

    /// Returns whether no more records will come out of the ledger.
    pub(crate) fn is_off(&self) -> bool {
        matches!(self.phase, Phase::Off)
    }

    /// Returns what to do now.
    fn step(&mut self, now: BootNs) -> Step {
        match &self.phase {
            Phase::Off => Step::Nothing,
            Phase::Idle { since } => {
                let due = self.ending.is_some() || now.0.saturating_sub(since.0) >= self.interval;
                if due { Step::Swap } else { Step::Nothing }
            }
            Phase::Waiting { since, answer } => {
                let over = match answer.load(Relaxed) {
                    WAITING => false,
                    ENDED => true,
                    _ => now.0.saturating_sub(since.0) >= GRACE,
                };
                if !over {
                    return Step::Nothing;
                }
                self.phase = Phase::Flushing;
                Step::Flush
            }
            Phase::Flushing => Step::Flush,
        }
    }

    /// Notes that the buffers were swapped, and starts to wait for a grace period.
    fn swapped(&mut self, now: BootNs) {
        if let Some(swaps) = &mut self.ending {
            *swaps = swaps.saturating_sub(1);
        }
        self.wait(now);
    }

    /// Notes the result of a flush; if entries are left, the next step flushes again.
    fn flushed(&mut self, sweep: Sweep, now: BootNs) {
        if sweep.left == 0 {
            self.phase = if self.ending == Some(0) { Phase::Off } else { Phase::Idle { since: now } };
        }
    }

    /// Waits for a grace period on a separate thread: it takes the kernel about 20 ms, in which rings would fill up.
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

    const NONE: Sweep = Sweep { flushed: 0, left: 0, side: 0, pad: 0 };

    /// Steps until there is something to do.
    fn next(ledger: &mut Ledger, now: BootNs) -> Step {
        let end = actors::clock::boot_ns().0 + 10_000_000_000;
        loop {
            let step = ledger.step(now);
            if step != Step::Nothing || !matches!(ledger.phase, Phase::Waiting { .. }) {
                return step;
            }
            assert!(actors::clock::boot_ns().0 < end, "programs never end");
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_ledger_is_flushed_each_interval() {
        let mut ledger = Ledger::new(100);
        assert_eq!((ledger.step(BootNs(1000)), ledger.is_off()), (Step::Nothing, true));
        ledger.begin(BootNs(1000));
        assert_eq!(next(&mut ledger, BootNs(1000)), Step::Flush);
        ledger.flushed(Sweep { left: 1, ..NONE }, BootNs(1000));
        assert_eq!(next(&mut ledger, BootNs(1000)), Step::Flush);
        ledger.flushed(NONE, BootNs(1000));
        assert_eq!(next(&mut ledger, BootNs(1099)), Step::Nothing);
        assert_eq!(next(&mut ledger, BootNs(1100)), Step::Swap);
        ledger.swapped(BootNs(1100));
        assert_eq!(next(&mut ledger, BootNs(1100)), Step::Flush);
        assert!(!ledger.is_off());
    }

    #[test]
    fn both_buffers_are_flushed_before_the_ledger_is_off() {
        let mut ledger = Ledger::new(u64::MAX);
        ledger.begin(BootNs(0));
        ledger.end();
        let mut steps = Vec::new();
        while !ledger.is_off() {
            let step = next(&mut ledger, BootNs(0));
            match step {
                Step::Swap => ledger.swapped(BootNs(0)),
                _ => ledger.flushed(NONE, BootNs(0)),
            }
            steps.push(step);
        }
        assert_eq!(steps, [Step::Flush, Step::Swap, Step::Flush, Step::Swap, Step::Flush]);
    }
}
