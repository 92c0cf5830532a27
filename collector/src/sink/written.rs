//! Counts the rows that a run has written to its present output file, so that the loss is known if the file is removed.
//! The counts outlive the sink's incarnations, and a change of its settings.

use std::collections::BTreeMap;
use std::mem::take;

use actors::clock;
use model::schema::stored_name;
use model::{BootNs, Routed, TracerName};

use super::Rejected;
use super::output_file::{Gone, OutputFile, Replaced};

/// The output file of a sink, and the rows that this run has written to it.
#[derive(Debug, Default)]
pub(crate) struct Written {
    file: Option<OutputFile>,
    rows: BTreeMap<TracerName, u64>,
    /// Number of each tracer's first row in the file, if rows have numbers.
    first: BTreeMap<TracerName, i64>,
    since: BootNs,
}

impl Written {
    /// Notes which file is open. The counts begin again if it is another than before.
    pub(crate) fn opened(&mut self, file: OutputFile) {
        if !self.file.as_ref().is_some_and(|before| before.is(&file)) {
            self.begin_again();
            self.since = clock::boot_ns();
        }
        self.file = Some(file);
    }

    /// Counts the rows of these batches, except for the rejected ones and the agent's own, for which no tracer accounts.
    pub(crate) fn add(&mut self, batches: &[Routed], rejected: &[Rejected]) {
        for (index, batch) in batches.iter().enumerate() {
            let Some(claim) = &batch.claim else { continue };
            let bad: u64 = rejected.iter().filter(|bad| bad.batch == index).map(|bad| bad.rows).sum();
            *self.rows.entry(claim.account().tracer().clone()).or_default() +=
                claim.count().saturating_sub(bad);
        }
    }

    /// Notes the number of the first row of each tracer whose rows this run writes to the file for the first time. `newest` returns the
    /// number of a tracer's newest row.
    pub(crate) fn note_first(&mut self, batches: &[Routed], newest: impl Fn(&str) -> Option<i64>) {
        for claim in batches.iter().filter_map(|batch| batch.claim.as_ref()) {
            let account = claim.account();
            let tracer = account.tracer();
            if self.first.contains_key(tracer) {
                continue;
            }
            let stored = stored_name(tracer.as_str());
            let rows = batches.iter().flat_map(|batch| batch.rows.iter());
            let rows = rows.filter(|row| stored_name(row.tracer.as_str()) == stored).count();
            if let Some(newest) = newest(&stored).filter(|_| rows > 0) {
                self.first.insert(tracer.clone(), newest - rows as i64 + 1);
            }
        }
    }

    /// Returns the numbers of the first rows of this run.
    pub(crate) fn first(&self) -> BTreeMap<TracerName, i64> {
        self.first.clone()
    }

    /// Returns what became of the file if its path does not lead to it any more.
    pub(crate) fn gone(&self) -> Option<Gone> {
        self.file.as_ref().and_then(OutputFile::gone)
    }

    /// Lets go of a file that is gone, and returns what was lost with it.
    pub(crate) fn replaced(&mut self, gone: &Gone) -> Replaced {
        let path = self.file.as_ref().map(|file| file.path().to_owned()).unwrap_or_default();
        let rows = self.begin_again();
        let lost = if *gone == Gone::Removed { rows } else { BTreeMap::new() };
        Replaced { cause: gone.sentence(&path), lost, since: self.since }
    }

    /// Forgets the file and its counts, which are returned.
    pub(crate) fn begin_again(&mut self) -> BTreeMap<TracerName, u64> {
        self.file = None;
        self.first.clear();
        take(&mut self.rows)
    }
}
