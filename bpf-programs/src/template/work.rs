//! A loaded template at work: records out of its buffer become a batch, and its books are kept.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use actors::clock;
use model::{Account, Batch, BootNs, Claim, Details, ExecId, Moment, Place, Record};

use super::config::Poll;
use super::errors::TemplateError;
use super::layout::{Clocks, Fields};
use super::plan::Plan;
use super::reader::Loaded;
use crate::host::{Attached, Cut};

/// The object and what came of it.
pub(super) struct Work {
    plan: Plan,
    loaded: Loaded,
    pub(super) attached: Attached,
    account: Arc<Account>,
    cut: Cut,
    /// Records that found the buffer full and are booked as lost.
    lost: u64,
    looked: BootNs,
}

/// What a look into the buffer brought.
#[derive(Default)]
pub(super) struct Look {
    pub(super) batch: Option<Batch>,
    pub(super) decoded: u64,
    pub(super) errors: u64,
    pub(super) error: Option<String>,
    /// There may be more.
    pub(super) more: bool,
}

impl Work {
    pub(super) fn load(plan: Plan, account: Arc<Account>) -> Result<Self, TemplateError> {
        let (loaded, attached) = Loaded::load(&plan)?;
        let looked = clock::boot_ns();
        Ok(Self { plan, loaded, attached, account, cut: Cut::default(), lost: 0, looked })
    }

    pub(super) fn map(&self) -> String {
        format!("{} ({})", self.plan.map, self.plan.poll)
    }

    /// How `seen` comes to know of records that found no room.
    pub(super) fn how_losses_are_known(&self) -> &'static str {
        match (self.plan.counts_lost, self.plan.poll) {
            (true, _) => "counted by the program",
            (false, Poll::PerfBuffer) => {
                "told by the kernel, each with the next record that finds room: the last ones may stay untold"
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

    /// One look: up to a batch of records, and the counters. With `panic` it falls over the first record.
    pub(super) fn look(&mut self, panic: bool) -> io::Result<Look> {
        let (from, now) = (self.looked, clock::boot_ns());
        self.looked = now;
        let cut = &mut self.cut;
        let taken = self.loaded.drain(Cut::RECORDS, &mut |record| cut.push(record, now));
        self.account.add_seen(taken as u64);
        let mut look = Look { more: taken == Cut::RECORDS, ..Look::default() };
        self.decode(&mut look, now, panic);
        let lost = self.loaded.lost()?.saturating_sub(self.lost);
        if lost > 0 {
            self.lost += lost;
            self.account.add_seen(lost);
            self.account.lose(Place::Ring, lost, (from, now), "the template's buffer was full");
        }
        Ok(look)
    }

    fn decode(&mut self, look: &mut Look, now: BootNs, panic: bool) {
        let Some(mut raw) = self.cut.take(&self.account) else { return };
        // From here on a panic books the batch as lost in decoding.
        raw.claim.enter(Place::Decode);
        let clocks = Clocks { boot: clock::boot_clock(), suspended_ns: clock::suspended_ns() };
        let mut records = Vec::with_capacity(raw.records().len());
        for bytes in raw.records() {
            assert!(!panic, "injected: panic while decoding");
            match self.plan.layout.decode(bytes, &clocks) {
                Ok(mut fields) => {
                    identify(&mut fields);
                    let details = Details::Fields(fields);
                    records.push(Record { at: Moment::Boot(now), identity: None, details });
                }
                Err(cause) => drop(look.error.get_or_insert_with(|| cause.to_string())),
            }
        }
        let mut claim: Claim = raw.into_claim();
        (look.decoded, look.errors) = (records.len() as u64, claim.count() - records.len() as u64);
        if let Some(cause) = &look.error {
            claim.lose(look.errors, cause);
        }
        claim.enter(Place::Queue);
        if !records.is_empty() {
            look.batch = Some(Batch { claim, records });
        }
    }
}

/// The process instance, where a record tells it: which process, and when that started.
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
