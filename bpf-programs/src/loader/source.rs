//! Implements the host's [`Source`] for the loaded object.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use actors::clock;
use model::pushdown::Split;
use model::{OffsetRange, ProcessTable};

use super::{AttachError, Held, Kernel, keeps_table, program};
use crate::catalog::PROCESSES;
use crate::host::{Attached, Count, PinInfo, Ring, Source};
use crate::programs::Tracer;
use crate::rules::Lowered;
use crate::wire::{self, Kind};

impl Source for Kernel {
    fn drain(&mut self, ring: Ring, limit: usize, visit: &mut dyn FnMut(OffsetRange, &[u8])) -> usize {
        let ring = match ring {
            Ring::Lifecycle => &mut self.lifecycle,
            Ring::Data => return self.data.drain(limit, visit),
        };
        for taken in 0..limit {
            match ring.next() {
                Some((range, record)) => visit(range, record),
                None => return taken,
            }
        }
        limit
    }

    fn release(&mut self, ring: Ring, upto: u64) {
        match ring {
            Ring::Lifecycle => self.lifecycle.release(upto),
            Ring::Data => self.data.release(upto),
        }
    }

    fn mark(&mut self) {
        if self.lifecycle.is_at_mark() {
            self.data.mark();
            self.lifecycle.mark();
        }
    }

    fn is_lifecycle_read(&self) -> bool {
        self.lifecycle.is_at_mark()
    }

    fn cursor(&self, ring: Ring) -> u64 {
        match ring {
            Ring::Lifecycle => self.lifecycle.cursor(),
            Ring::Data => self.data.cursor(),
        }
    }

    fn size(&self, ring: Ring) -> u64 {
        match ring {
            Ring::Lifecycle => self.lifecycle.size(),
            Ring::Data => self.data.size(),
        }
    }

    fn pin_info(&self) -> PinInfo {
        self.pin_info.clone()
    }

    fn count(&mut self, slot: u32) -> io::Result<Count> {
        let cpus = self.counts.get(&slot, 0).map_err(io::Error::other)?;
        Ok(Count::sum(&cpus))
    }

    fn processes(&mut self, visit: &mut dyn FnMut(&[u8])) -> Result<usize, AttachError> {
        let mut file = program::iterate(self.loaded(&PROCESSES)?, &PROCESSES)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|source| AttachError::Iterate { source })?;
        let mut count = 0;
        for record in wire::split(&bytes) {
            visit(record.map_err(|cause| AttachError::Iterate { source: io::Error::other(cause) })?);
            count += 1;
        }
        self.note_own_identity();
        Ok(count)
    }

    fn attach(&mut self, tracer: &'static Tracer) -> Result<Attached, AttachError> {
        let mut attached =
            Attached { tier: self.tier.number(), unseen: self.unseen(tracer), ..Attached::default() };
        for program in tracer.programs {
            self.users.insert((program.name, tracer.name));
            match (self.attach_program(program), program.without) {
                (Ok(found), _) => {
                    attached.hooks.extend(found.hooks);
                    attached.without.extend(found.missing);
                }
                (Err(cause), Some(without)) => attached.without.push(format!("{without} ({cause})")),
                (Err(cause), None) => {
                    self.detach(tracer);
                    return Err(cause);
                }
            }
        }
        self.settings.enable(tracer.kind, true);
        self.write_settings();
        if tracer.kind == Kind::Usage {
            self.ledger.begin(clock::boot_ns());
        }
        Ok(attached)
    }

    fn detach(&mut self, tracer: &'static Tracer) {
        self.settings.enable(tracer.kind, false);
        self.write_settings();
        if !keeps_table(tracer) {
            self.leave(tracer);
        }
        if tracer.kind == Kind::Usage {
            self.ledger.end();
        }
    }

    fn set_uids(&mut self, uids: &[u32]) {
        self.settings.set_uids(uids);
        self.write_settings();
    }

    fn set_rules(&mut self, lowered: &Lowered, table: &ProcessTable) {
        if let Err(cause) = self.rules.put(lowered, table, &mut self.settings) {
            // Without rules in the kernel, the collector drops the records.
            tracing::error!(%cause, "filter rules can't be written to the kernel");
            self.settings.set_rules(0, 0, 0, 0);
        }
        self.splits.clone_from(&lowered.splits);
        self.write_settings();
    }

    fn learn(&mut self, table: &ProcessTable) {
        self.rules.learn(table);
    }

    fn splits(&self) -> Vec<Split> {
        self.splits.clone()
    }

    fn filtered_by(&mut self) -> BTreeMap<String, u64> {
        self.rules.filtered_by()
    }

    fn close(&mut self) {
        self.settings.enabled = 0;
        self.write_settings();
        std::mem::take(&mut self.held).into_values().flatten().for_each(Held::detach);
        self.table.clear();
        self.leave_functions();
        self.ledger.end();
    }

    fn lacks(&self) -> Vec<String> {
        Kernel::lacks(self)
    }

    fn tend(&mut self) -> bool {
        self.tend_ledger()
    }

    fn wakers(&self) -> io::Result<[OwnedFd; 2]> {
        Ok([self.lifecycle.as_fd().try_clone_to_owned()?, self.data.waker()?])
    }
}
