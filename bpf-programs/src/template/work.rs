//! A loaded template: makes batches of the records in its buffer and keeps its account.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use actors::clock;
use model::{Account, Batch, BootNs, Claim, Details, ExecId, LossPoint, Moment, Record};

use super::config::Poll;
use super::errors::TemplateError;
use super::layout::{Clocks, Fields};
use super::plan::Plan;
use super::reader::Loaded;
use crate::host::BatchBuilder;
use crate::kernel::Attached;

/// The loaded object and its counters.
pub(super) struct Work {
    plan: Plan,
    loaded: Loaded,
    pub(super) attached: Attached,
    account: Arc<Account>,
    builder: BatchBuilder,
    /// Records that found the buffer full and were counted as lost.
    lost: u64,
    polled: BootNs,
}

/// The result of reading the buffer once.
#[derive(Default)]
pub(super) struct PollResult {
    pub(super) batch: Option<Batch>,
    pub(super) decoded: u64,
    pub(super) errors: u64,
    pub(super) error: Option<String>,
    /// True if there may be more records.
    pub(super) more: bool,
}

impl Work {
    pub(super) fn load(plan: Plan, account: Arc<Account>) -> Result<Self, TemplateError> {
        let (loaded, attached) = Loaded::load(&plan)?;
        let polled = clock::boot_ns();
        Ok(Self { plan, loaded, attached, account, builder: BatchBuilder::default(), lost: 0, polled })
    }

    pub(super) fn map(&self) -> String {
        format!("{} ({})", self.plan.map, self.plan.poll)
    }

    /// Explains how records that found no room are counted.
    pub(super) fn how_losses_are_known(&self) -> &'static str {
        match (self.plan.counts_lost, self.plan.poll) {
            (true, _) => "counted by the program",
            (false, Poll::PerfBuffer) => {
                "reported by the kernel with the next record that finds room: the last ones may go unreported"
            }
            (false, Poll::RingBuffer) => {
                "not known: the object does not count them (it has no map duetector_lost, see duetector.h)"
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Duration {
        self.plan.poll_timeout
    }

    pub(super) fn waker(&self) -> io::Result<OwnedFd> {
        self.loaded.waker()
    }

    pub(super) fn detach(&mut self) {
        self.loaded.detach();
    }

    /// Takes up to a batch of records, and the counters. Calls `before` for each record: it
    /// panics if a test wants that.
    pub(super) fn poll(&mut self, before: impl Fn()) -> io::Result<PollResult> {
        let (from, now) = (self.polled, clock::boot_ns());
        self.polled = now;
        let builder = &mut self.builder;
        let taken = self.loaded.drain(BatchBuilder::RECORDS, &mut |record| builder.push(record, now));
        self.account.add_seen(taken as u64);
        let mut result = PollResult { more: taken == BatchBuilder::RECORDS, ..PollResult::default() };
        self.decode(&mut result, now, before);
        let lost = self.loaded.lost()?.saturating_sub(self.lost);
        if lost > 0 {
            self.lost += lost;
            self.account.add_seen(lost);
            self.account.lose(LossPoint::Ring, lost, (from, now), "the template's buffer was full");
        }
        Ok(result)
    }

    fn decode(&mut self, result: &mut PollResult, now: BootNs, before: impl Fn()) {
        let Some(mut raw) = self.builder.take(&self.account) else { return };
        // From here on a panic counts the batch as lost in decoding.
        raw.claim.enter(LossPoint::Decode);
        let clocks = Clocks { boot: clock::boot_clock(), suspended_ns: clock::suspended_ns() };
        let mut records = Vec::with_capacity(raw.records().len());
        for bytes in raw.records() {
            before();
            match self.plan.layout.decode(bytes, &clocks) {
                Ok(mut fields) => {
                    identify(&mut fields);
                    let details = Details::Fields(fields);
                    records.push(Record { at: Moment::Boot(now), identity: None, details });
                }
                Err(cause) => drop(result.error.get_or_insert_with(|| cause.to_string())),
            }
        }
        let mut claim: Claim = raw.into_claim();
        (result.decoded, result.errors) = (records.len() as u64, claim.count() - records.len() as u64);
        if let Some(cause) = &result.error {
            claim.lose(result.errors, cause);
        }
        claim.enter(LossPoint::Queue);
        if !records.is_empty() {
            result.batch = Some(Batch { claim, records });
        }
    }
}

/// Derives the process instance from pid and start time, if the record has both.
fn identify(fields: &mut Fields) {
    const START: &str = "start_boottime";
    if let (Some(pid), Some(start_ns)) = (number(fields, "pid"), number(fields, START))
        && let Ok(pid) = u32::try_from(pid)
    {
        fields.shift_remove(START);
        fields.entry("exec_id").or_insert_with(|| ExecId { pid, start_ns }.to_string().into());
    }
}

fn number(fields: &Fields, name: &str) -> Option<u64> {
    fields.get(name).and_then(serde_json::Value::as_u64)
}
